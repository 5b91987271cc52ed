"""Every way in cleans: of a picture that tells where, when or with what it was made, only its pixels come through.

Each way is tried with every kind of metadata of `test_image_metadata.py`, through the real path: what is left in the
character folder, the store, a run or an export is searched, packed files and texts in base64 too.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character import Character, CharacterImage, Fact, message
from pipelines.core.character.character import TestSplit as Split
from pipelines.core.character.character_folder import write_character, write_test_split
from pipelines.core.character.image_metadata import holds_only_pixels
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.card_files import put_chunks, read_chunks
from pipelines.core.formats.card_images import exif_comment, suffix_of
from pipelines.core.formats.cards import ADAPTER_FOLDER, is_card_chunk
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.mmrole_export import export_mmrole
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import publish_folder
from pipelines.train import prepare_run
from studio.actions import compare, drafts, images, import_review, lore
from studio.actions.upload_readers import read_talks
from studio.context import AppContext
from tests.core.character.test_image_metadata import CARRYING, MARK, encoded, with_chunk
from tests.core.formats.card_samples import as_charx, as_json, foreign
from tests.core.formats.mmrole_samples import train_samples
from tests.core.formats.test_other_programs import byaf
from tests.core.formats.test_rolescape import scene
from tests.studio import staged
from tests.toys import TOY_BASE, TOY_STEPS

Pictures = dict[str, bytes]
"""File name -> bytes."""
MARKS = (MARK, b"U0VDUkVU", b"NFQ1JFV", b"TRUNSRV")
"""As it stands in a file, and in base64."""


def told_by(data: bytes, name: str) -> Iterator[str]:
    """What of a file tells more than it shows; zips, cards and base64 are looked into."""
    if any(mark in data for mark in MARKS):
        yield f"{name}: says it"
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from told_by(archive.read(member), f"{name}/{member}")
    elif suffix_of(data):
        bare = data
        if data.startswith(b"\x89PNG"):
            bare = put_chunks(data, {}, is_card_chunk, name)
            cards = {key: text for key, text in read_chunks(data, name).items() if is_card_chunk(key)}
            for keyword, text in cards.items():
                yield from told_by(base64.b64decode(text), f"{keyword} in {name}")
        if not holds_only_pixels(bare):
            yield f"{name}: is more than pixels"
    elif not name.endswith((".db", "-wal")):  # whose pages cut texts
        for number, text in enumerate(re.findall(rb"(?<![A-Za-z0-9+/])(?:iVBORw0KGgo|/9j/|UklGR)[A-Za-z0-9+/]+", data)):
            yield from told_by(base64.b64decode(text + b"=" * (-len(text) % 4)), f"{name}, text {number}")


def told_under(folder: Path) -> list[str]:
    """The same of all files below a folder, of which some are pictures."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(suffix_of(path.read_bytes()[:16]) for path in files), "no picture came in"
    return [words for path in files for words in told_by(path.read_bytes(), str(path.relative_to(folder)))]


def character_of(pictures: Pictures, adapter: bool = False) -> tuple[Character, Split]:
    """One whose pictures those are; the last one is shown by somebody else."""
    *own, shown = pictures
    talks = ((message("user", "What is it?", [shown]), message("character", "Rain.")),)
    character = Character(
        "Tola",
        "Mends clocks.",
        facts=(Fact("How old?", "Seventy."),),
        images=tuple(map(CharacterImage, own)),
        interactions=talks,
        input_images=(shown,),
    )
    return character, Split(talks, images=(CharacterImage(own[0]),), input_images=(shown,))


def folder_of(pictures: Pictures, folder: Path) -> Path:
    """A character folder with them, as somebody keeps it."""
    character, split = character_of(pictures)
    write_character(character, folder, pictures)
    write_test_split(split, folder, pictures)
    return folder


def packed(folder: Path) -> bytes:
    return as_charx(
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )


# ---------------------------------------------------------------- files that hold a character


def in_a_zip(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    thumbs = folder_of(pictures, scratch / "ada") / ADAPTER_FOLDER / "references"
    thumbs.mkdir(parents=True)
    (thumbs.parent / "adapter_config.json").write_text("{}")
    for number, data in enumerate(pictures.values()):
        (thumbs / f"{number:02d}.jpg").write_bytes(data)
    return "ada.zip", packed(scratch / "ada")


def in_a_charx(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    assets = [
        {"type": kind, "name": f"{number}", "ext": "png", "uri": f"embeded://assets/{file}"}
        for number, file in enumerate(pictures)
        for kind in (("icon", "emotion")[number > 0],)
    ]
    inside = {f"assets/{file}": data for file, data in pictures.items()}
    adapter = {f"assets/x/ai/references/{file}.jpg": data for file, data in pictures.items()}
    return "ada.charx", as_charx({"card.json": as_json(foreign(assets=assets, **QUIET)), **inside, **adapter})


def in_json(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    return "ada.json", as_json(foreign(assets=inline(pictures), **QUIET))


def in_a_list_of_cards(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    cards = [foreign(name=name, assets=inline(pictures), **QUIET) for name in ("Ada", "Bea")]
    return "cards.json", as_json(cards)


def in_png(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    card = base64.b64encode(as_json(foreign(assets=inline(pictures), **QUIET)))
    avatar = next(data for data in pictures.values() if data.startswith(b"\x89PNG"))
    return "ada.png", with_chunk(b"tEXt", b"ccv3\0" + card, avatar)


def in_risuai_png(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    """Pictures in RisuAI's own part of a card: as base64, and as chunks of the picture."""
    texts = {file: base64.b64encode(data).decode() for file, data in pictures.items()}
    some, others = list(texts)[::2], list(texts)[1::2]
    assets = [[file, f"__asset:{number}", "png"] for number, file in enumerate(others)]
    risu = {"emotions": [[file, texts[file]] for file in some], "additionalAssets": assets}
    card = {"spec": "chara_card_v2", "data": foreign(**{**QUIET, "extensions": {"risuai": risu}})["data"]}
    data = with_chunk(b"tEXt", b"chara\0" + base64.b64encode(as_json(card)), encoded("PNG"))
    for number, file in enumerate(others):
        data = with_chunk(b"tEXt", f"chara-ext-asset_:{number}".encode() + b"\0" + texts[file].encode(), data)
    return "risu.png", data


def in_texts(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    """Pictures as addresses in the texts of a card."""
    url = [f"![x]({url_of(data)})" for data in pictures.values()]
    texts = {"description": f"Mends clocks. {url[0]}", "first_mes": f"Hello. {url[-1]}", "creator_notes": " ".join(url)}
    book = {"entries": [{"keys": ["x"], "content": url[0], "enabled": True, "insertion_order": 0, "extensions": {}}]}
    card = foreign(**{**QUIET, **texts, "character_book": book, "alternate_greetings": url, "assets": inline(pictures)})
    return "ada.json", as_json(card)


def in_webp(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x9286] = as_json(foreign(**QUIET)).decode()
    exif[0x0110] = MARK.decode()
    Image.linear_gradient("L").convert("RGB").save(out, "WEBP", exif=exif, xmp=b"<x>SECRET</x>")
    assert exif_comment(out.getvalue())
    return "ada.webp", out.getvalue()


def in_backyard(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    listed = [{"path": f"images/{file}", "label": ""} for file in pictures]
    with zipfile.ZipFile(io.BytesIO(byaf(images=listed))) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".png")}
    return "ada.byaf", as_charx(
        {**files, **{f"characters/tola/images/{file}": data for file, data in pictures.items()}}
    )


def beside_a_card(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    return "ada.zip", as_charx({"card.json.json": as_json(foreign(**QUIET)), **pictures})


def of_kohya(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    return "set.zip", as_charx({f"10_tola woman/{file}": data for file, data in pictures.items()})


def of_a_table(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    table = "file_name,text\n" + "".join(f"{file},laughing\n" for file in pictures)
    return "set.zip", as_charx(
        {"train/metadata.csv": table.encode(), **{f"train/{file}": data for file, data in pictures.items()}}
    )


def of_mmrole(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    (one, *_) = train_samples()
    samples = [{**one, "id": f"Tola_comment_COCO_{number}_1", "image": file} for number, file in enumerate(pictures)]
    return "mmrole.zip", as_charx(
        {"data/train/train.json": as_json(samples), **{f"images/{file}": data for file, data in pictures.items()}}
    )


def of_rolescape(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    scenes = [scene(f"Where, {n}?", f"Shelf {n}.", str(n)) for n in range(len(pictures))]
    record = {"role": "Tock", "description": "An owl.", "opening": "Tick.", "scenes": scenes}
    named = {f"{n}.png": data for n, data in enumerate(pictures.values())}
    return "rolescape.folder", as_charx(
        {"annotation.json": as_json(record), "Tock_with_image.json": as_json(record), **named}
    )


def of_our_own(pictures: Pictures, scratch: Path) -> tuple[str, bytes]:
    """An export of ours that somebody has put such pictures into again."""
    clean = {file: encoded("PNG") for file in pictures}
    export_card(folder_of(clean, scratch / "ada"), scratch / "own.zip")
    with zipfile.ZipFile(scratch / "own.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in files if name.startswith(("images/", "test_images/"))]
    return "own.zip", as_charx({**files, **dict(zip(names, [*pictures.values()] * 2, strict=False))})


def inline(pictures: Pictures) -> list[dict[str, str]]:
    uris = [url_of(data) for data in pictures.values()]
    return [{"type": "emotion", "name": f"{number}", "ext": "png", "uri": uri} for number, uri in enumerate(uris)]


def url_of(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


QUIET: dict[str, Any] = {"creator_notes": "", "tags": [], "creator": "", "character_version": ""}
"""Fields of the sample card that say SECRET themselves."""
FILES: dict[str, Callable[[Pictures, Path], tuple[str, bytes]]] = {
    "a zipped character": in_a_zip,
    "a CHARX": in_a_charx,
    "a JSON card": in_json,
    "a list of cards": in_a_list_of_cards,
    "a PNG card": in_png,
    "a RisuAI card": in_risuai_png,
    "texts of a card": in_texts,
    "a WebP card": in_webp,
    "a Backyard archive": in_backyard,
    "pictures beside a card": beside_a_card,
    "a kohya set": of_kohya,
    "an image folder": of_a_table,
    "MMRole": of_mmrole,
    "RoleScape": of_rolescape,
    "our own zip": of_our_own,
}
ROLES = {"MMRole": "Tola", "a list of cards": "Ada"}


def batches() -> Iterator[Pictures]:
    """All kinds, some at a time."""
    made = [(kind, make()) for kind, make in CARRYING.items()]
    for start in range(0, len(made), 12):
        some = made[start : start + 12]
        yield {f"{number:02d}{suffix_of(data)}": data for number, (_, data) in enumerate(some)}


def placed(name: str, data: bytes, scratch: Path) -> Path:
    """The file, or the folder that it stands for."""
    if not name.endswith(".folder"):
        (scratch / name).write_bytes(data)
        return scratch / name
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(scratch / name)
    return scratch / name


@pytest.mark.parametrize("way", FILES)
def test_a_character_comes_in_and_goes_out_clean(way: str, tmp_path: Path) -> None:
    for number, pictures in enumerate(batches()):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        name, data = FILES[way](pictures, scratch)
        assert [*told_by(data, name)] or name.endswith((".webp", ".folder"))
        import_file(placed(name, data, scratch), scratch / "came in", role=ROLES.get(way, ""))
        assert told_under(scratch / "came in") == []
        adapter = scratch / "came in" / ADAPTER_FOLDER
        export_card(scratch / "came in", scratch / "ada.charx", adapter if adapter.is_dir() else None)
        assert [*told_by((scratch / "ada.charx").read_bytes(), "ada.charx")] == []


def test_pictures_that_are_added_to_a_character_come_in_clean(tmp_path: Path) -> None:
    for number, pictures in enumerate(batches()):
        folder, added = tmp_path / f"tola {number}", tmp_path / f"set {number}"
        write_character(Character("Tola", "Mends clocks."), folder)
        added.mkdir()
        for file, data in pictures.items():
            (added / file).write_bytes(data)
        import_file(added, folder)
        assert told_under(folder) == []


def test_the_command_line_takes_nothing_but_pixels_out_of_a_folder(context: AppContext, tmp_path: Path) -> None:
    for number, pictures in enumerate(batches()):
        folder = folder_of(pictures, tmp_path / f"{number}" / "tola")
        face = base64.b64encode(CARRYING["a comment in a JPEG"]()).decode()
        with (folder / "character.yaml").open("a", encoding="utf-8") as file:
            file.write(f"extensions: {{risuai: {{face: {face}}}}}\n")
        thumbs = tmp_path / f"{number}" / "adapter" / "references"
        thumbs.mkdir(parents=True)
        for file in pictures:
            (thumbs / f"{file}.jpg").write_bytes(pictures[file])
        out = tmp_path / f"{number}" / "out"
        for suffix in ("zip", "charx", "png", "json"):
            export_card(folder, out / f"ada.{suffix}", thumbs.parent if suffix in ("zip", "charx") else None)
        export_mmrole(folder, out / "mmrole.zip")
        prepare_run(out / "run", folder, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
        assert told_under(out) == []
        publish_folder(context.records, context.store, context.owner, folder)
    assert told_under(context.settings.home) == []


# ---------------------------------------------------------------- the studio


def test_what_is_dropped_into_the_studio_is_stored_clean(context: AppContext) -> None:
    id = drafts.create(context)
    for number, pictures in enumerate(batches()):
        images.add(context, id, list(pictures.items()))
        waiting = import_review.stage_pictures(context, id, [(f"{number}.zip", as_charx(pictures))])
        import_review.take(context, waiting.id)
    draft = drafts.own_character(context, id).draft
    assert len(draft["pictures"]) + len(draft["aside"]) > len(CARRYING)
    assert told_under(context.settings.home) == []


def test_what_is_uploaded_or_shown_in_a_chat_is_stored_clean(context: AppContext, tmp_path: Path) -> None:
    pictures = next(batches())
    for way in ("a zipped character", "texts of a card"):
        staged.took(context, *FILES[way](pictures, tmp_path / way))
    book = as_json({"entries": [{"keys": ["x"], "content": url_of(pictures["00.jpg"])}]})
    lore.upload(context, drafts.create(context), "book.json", book)
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    chat = compare.start_conversation(context, job.character, f"{job.id}:base", f"{job.id}:sft-000004", False)
    compare.send_message(context, chat.id, "Look.", pictures["00.jpg"])
    assert told_under(context.settings.home) == []


def test_pictures_in_the_words_of_conversations_come_in_clean(context: AppContext, tmp_path: Path) -> None:
    shown = url_of(CARRYING["a comment in a JPEG"]())
    lines = [
        as_json({"prompt": f"Rain {number}? {shown}", "chosen": f"Always. {shown}", "rejected": f"As an AI {shown}"})
        for number in range(8)
    ]
    folder = folder_of({"01.png": encoded("PNG"), "02.png": encoded("PNG")}, tmp_path / "tola")
    (tmp_path / "talk.jsonl").write_bytes(b"\n".join(lines))
    import_file(tmp_path / "talk.jsonl", folder)
    assert told_under(folder) == []
    found = read_talks(b"\n".join(lines), "talk.jsonl", "Tola", "")
    assert found.rejected and not any(mark in repr(found).encode() for mark in MARKS)
