"""`import_file`, which turns any file into a character folder."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.character_folder import read_character, read_test_split, write_character
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.cards import write_card
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.teach_lore import lore_of
from pipelines.core.problems import CharacterProblems
from tests.core.formats.talks import lines, messages

# ---------------------------------------------------------------- import_file


def same_folder(left: Path, right: Path) -> bool:
    """Whether two folders hold equal characters, splits and pictures."""
    pictures = [{path.name: path.read_bytes() for path in (folder / "images").iterdir()} for folder in (left, right)]
    return read_character(left) == read_character(right) and pictures[0] == pictures[1]


def test_a_chosen_reference_that_cannot_be_opened_goes_with_its_picture(toy_character: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_character, tmp_path / "ada")
    write_character(replace(read_character(folder), references=("06.png", "02.png", "05.png")), folder)
    (folder / "images" / "02.png").write_bytes(b"broken")
    export_card(folder, tmp_path / "ada.zip")
    import_file(tmp_path / "ada.zip", tmp_path / "new")
    assert read_character(tmp_path / "new").references == ("06.png", "05.png")


@pytest.mark.parametrize("suffix", ["png", "json", "charx", "zip"])
def test_a_folder_comes_back_from_every_format(toy_character: Path, tmp_path: Path, suffix: str) -> None:
    export_card(toy_character, tmp_path / f"ada.{suffix}")
    assert import_file(tmp_path / f"ada.{suffix}", tmp_path / "ada") == []
    assert same_folder(tmp_path / "ada", toy_character)
    split = read_test_split(tmp_path / "ada")
    assert split == (read_test_split(toy_character) if suffix == "zip" else None)


def test_adapter_is_put_beside_the_character_and_pickles_are_not(toy_character: Path, tmp_path: Path) -> None:
    character = read_character(toy_character)
    images = {image.file: (toy_character / "images" / image.file).read_bytes() for image in character.images}
    adapter = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"abc", "adapter_model.bin": b"pickle"}
    adapter |= {"references.safetensors": b"codes", "references/01.jpg": jpeg_with_place(), "references/02.jpg": b"no"}
    write_card(character, images, tmp_path / "ada.charx", adapter_files=adapter)
    notes = import_file(tmp_path / "ada.charx", tmp_path / "ada")
    read = adapter_files(tmp_path / "ada")
    assert sorted(read) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "references.safetensors",
        "references/01.jpg",
    ]
    assert b"Exif" not in read["references/01.jpg"]
    assert any("not safetensors" in note.message for note in notes)
    export_card(toy_character, tmp_path / "ada.zip", adapter=tmp_path / "ada" / "adapter")
    import_file(tmp_path / "ada.zip", tmp_path / "zipped")
    assert adapter_files(tmp_path / "zipped") == read


def adapter_files(folder: Path) -> dict[str, bytes]:
    found = (path for path in (folder / "adapter").rglob("*") if path.is_file())
    return {path.relative_to(folder / "adapter").as_posix(): path.read_bytes() for path in found}


def jpeg_with_place() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 3.0, 7.0)})
    out = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_metadata_is_stripped_and_broken_pictures_are_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    out = io.BytesIO()
    Image.effect_noise((200, 100), 80).convert("RGB").save(out, "JPEG", exif=exif)
    images = {"a.jpg": out.getvalue(), "b.png": b"\x89PNG\r\n\x1a\nbroken"}
    character = Character("A", "b", images=tuple(CharacterImage(file, caption=file) for file in images))
    write_card(character, images, tmp_path / "a.charx")
    notes = import_file(tmp_path / "a.charx", tmp_path / "a")
    assert [image.caption for image in read_character(tmp_path / "a").images] == ["a.jpg"]
    assert b"Camera" not in (tmp_path / "a" / "images" / "a.jpg").read_bytes()
    assert any("cannot be opened" in note.message for note in notes)


def test_conversations_are_added_to_a_character_that_is_there(toy_character: Path, tmp_path: Path) -> None:
    export_card(toy_character, tmp_path / "ada.zip")
    import_file(tmp_path / "ada.zip", tmp_path / "ada")
    before = read_character(tmp_path / "ada").interactions
    chat = tmp_path / "chat.jsonl"
    talks = [messages(("user", "New?"), ("assistant", words)) for words in ("Aye!", "aye")]
    chat.write_text("\n".join(json.dumps(talk) for talk in talks))
    notes = import_file(chat, tmp_path / "ada")
    after = read_character(tmp_path / "ada").interactions
    assert after[: len(before)] == before and lines(after[len(before) :]) == [["u:New?", "c:Aye!"]]
    assert any("there already" in note.message for note in notes)
    (tmp_path / "talk.txt").write_text("<START>\n{{user}}: X?\nAda: Y.")
    import_file(tmp_path / "talk.txt", tmp_path / "ada")
    assert lines(read_character(tmp_path / "ada").interactions[-1:]) == [["u:X?", "c:Y."]]


def test_a_character_is_never_overwritten_and_nothing_is_half_written(toy_character: Path, tmp_path: Path) -> None:
    export_card(toy_character, tmp_path / "ada.png")
    import_file(tmp_path / "ada.png", tmp_path / "ada")
    before = (tmp_path / "ada" / "character.yaml").read_bytes()
    with pytest.raises(CharacterProblems, match="holds a character already"):
        import_file(tmp_path / "ada.png", tmp_path / "ada")
    assert (tmp_path / "ada" / "character.yaml").read_bytes() == before
    (tmp_path / "cut.png").write_bytes((tmp_path / "ada.png").read_bytes()[:-100])
    for source in (tmp_path / "cut.png", tmp_path / "nowhere.png", tmp_path):
        with pytest.raises(CharacterProblems):
            import_file(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_conversations_alone_make_no_character(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", "{}"), ("a.txt", "<START>"), ("a.json", "[{}]"), ("b.json", '{"messages": []}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(CharacterProblems, match=f"{name}.*Make the character first"):
            import_file(tmp_path / name, tmp_path / "new")


def test_of_a_large_lorebook_as_much_is_kept_as_a_folder_holds(tmp_path: Path) -> None:
    more = {f"key{number}": [number] for number in range(30)}
    entries = [{"content": f"{number}.", "constant": number == 899, "extensions": more} for number in range(900)]
    data = {"name": "A", "description": "b", "creator": "tester", "character_book": {"entries": entries}}
    (tmp_path / "a.json").write_text(json.dumps({"spec": "chara_card_v2", "data": data}))
    notes = import_file(tmp_path / "a.json", tmp_path / "a")
    kept = lore_of(read_character(tmp_path / "a").extensions)
    assert 300 < len(kept) < 900 and [entry.content for entry in kept[-2:]] == [f"{len(kept) - 2}.", "899."]
    assert any("entries of the lorebook were left out" in note.message for note in notes)


def test_a_large_lorebook_does_not_keep_a_card_out(tmp_path: Path) -> None:
    entry = {f"key{number}": [number] for number in range(30)}
    for name, entries in (("long", [{"content": "x" * 3_000_000}]), ("many", [entry] * 900)):
        data = {"name": "A", "description": "b", "character_book": {"entries": entries}}
        (tmp_path / f"{name}.json").write_text(json.dumps({"spec": "chara_card_v2", "data": data}))
        notes = import_file(tmp_path / f"{name}.json", tmp_path / name)
        assert read_character(tmp_path / name).persona == "b"
        assert any("too large" in note.message for note in notes)
