"""Character Cards in and out: containers, versions, what is kept, what never enters training, and the guards."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character import Character, CharacterImage, Message, TextPart, message
from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.card_fields import KEPT_KEY, OWN_KEY, V2_NOTICE
from pipelines.core.formats.card_files import put_chunks, read_chunks
from pipelines.core.formats.cards import read_card, write_card
from pipelines.core.formats.teach_lore import lore_of
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign, jpeg, png


@pytest.fixture
def ada(toy_character: Path) -> tuple[Character, dict[str, bytes]]:
    """The toy character and its pictures."""
    character = read_character(toy_character)
    character = replace(character, references=("03.png", "01.png"))
    return character, {image.file: (toy_character / "images" / image.file).read_bytes() for image in character.images}


# ---------------------------------------------------------------- ours: export -> import


@pytest.mark.parametrize("suffix", ["png", "json", "charx"])
def test_export_and_import_give_the_same_character_and_bytes(
    ada: tuple[Character, dict[str, bytes]], tmp_path: Path, suffix: str
) -> None:
    character, images = ada
    assert write_card(character, images, tmp_path / f"ada.{suffix}") == []
    card = read_card(tmp_path / f"ada.{suffix}")
    assert card.character == character
    assert card.images == images
    assert card.notes == []


def test_second_export_gives_the_same_bytes(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    for suffix in ("png", "json", "charx"):
        first, second = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
        write_card(*ada, first)
        card = read_card(first)
        write_card(card.character, card.images, second)
        assert first.read_bytes() == second.read_bytes()


def test_png_has_both_chunks_once_and_shows_the_first_picture(
    ada: tuple[Character, dict[str, bytes]], tmp_path: Path
) -> None:
    character, images = ada
    first = character.images[0].file
    old = put_chunks(images[first], {"Chara": b"old", "CCV3": b"old"}, lambda keyword: False, "x")
    write_card(character, {**images, first: old}, tmp_path / "ada.png")
    data = (tmp_path / "ada.png").read_bytes()
    assert data.count(b"tEXtchara\0") == 1 and data.count(b"tEXtccv3\0") == 1 and b"CCV3" not in data
    chunks = read_chunks(data, "x")
    old_card, new_card = (json.loads(base64.b64decode(chunks[keyword])) for keyword in ("chara", "ccv3"))
    assert (old_card["spec"], new_card["spec"]) == ("chara_card_v2", "chara_card_v3")
    assert old_card["data"]["creator_notes"].startswith(V2_NOTICE) and new_card["data"]["creator_notes"] == ""
    assert not {"assets", "group_only_greetings", "nickname"} & set(old_card["data"])
    assert new_card["data"]["extensions"]["sd_character_prompt"]["positive"] == character.appearance
    with Image.open(io.BytesIO(data)) as shown, Image.open(io.BytesIO(images[first])) as meant:
        assert shown.tobytes() == meant.tobytes()


def test_v2_copy_alone_gives_the_words_back(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    write_card(*ada, tmp_path / "ada.png")
    chunks = read_chunks((tmp_path / "ada.png").read_bytes(), "x")
    card = read_card(put_chunks(ada[1]["01.png"], {"chara": chunks["chara"]}, lambda keyword: False, "x"), "ada.png")
    assert card.images == {"01.png": ada[1]["01.png"]}
    assert card.character.extensions == {}  # the notice is trimmed
    left = {"images": (), "interactions": ()}
    assert replace(card.character, **left) == replace(ada[0], **left, references=("01.png",))  # of what is there
    # The lost picture is no longer spoken of, its scene stays.
    assert [turn.scene for turn in card.character.interactions[-1]] == [turn.scene for turn in ada[0].interactions[-1]]
    assert not any(turn.images for turn in card.character.interactions[-1])
    assert any("pictures" in note.message for note in card.notes)


def test_fields_edited_elsewhere_win_over_ours(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    character = ada[0]
    write_card(*ada, tmp_path / "ada.json")
    card = json.loads((tmp_path / "ada.json").read_bytes())
    card["data"] |= {"description": "{{char}} sells fish.", "first_mes": "Fish?", "name": "Ida"}
    card["data"]["extensions"]["sd_character_prompt"]["positive"] = "blue hat"
    card["data"]["extensions"]["fav"] = True
    read = read_card(as_json(card), "ada.json").character
    edited = replace(character, name="Ida", persona="Ida sells fish.", greeting="Fish?", appearance="blue hat")
    assert read == replace(edited, extensions={"fav": True})


def test_edited_examples_replace_only_what_was_written_there(
    ada: tuple[Character, dict[str, bytes]], tmp_path: Path
) -> None:
    many = tuple((message("user", f"q{i}"), message("character", f"a{i}")) for i in range(12))
    character = replace(ada[0], interactions=many)
    write_card(character, ada[1], tmp_path / "ada.json")
    card = json.loads((tmp_path / "ada.json").read_bytes())
    assert card["data"]["mes_example"].count("<START>") == 8
    card["data"]["mes_example"] = "<START>\n{{user}}: new\n{{char}}: words"
    read = read_card(as_json(card), "ada.json").character
    assert [talk[0].text for talk in read.interactions] == ["new", "q8", "q9", "q10", "q11"]


def test_jpeg_avatar_is_redrawn_but_comes_back_as_it_was(tmp_path: Path) -> None:
    character = Character("A", "b", images=(CharacterImage("me.jpg", caption="red"),))
    write_card(character, {"me.jpg": jpeg()}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    card = read_card(tmp_path / "a.png")
    assert (card.character, card.images) == (character, {"me.jpg": jpeg()})


def test_avatar_that_was_saved_again_elsewhere_stands_in_for_the_first_picture(
    ada: tuple[Character, dict[str, bytes]], tmp_path: Path
) -> None:
    write_card(*ada, tmp_path / "ada.png")
    chunks = read_chunks((tmp_path / "ada.png").read_bytes(), "x")
    card = read_card(put_chunks(png("red"), chunks, lambda keyword: False, "x"), "ada.png")
    assert card.images == {**ada[1], "01.png": png("red")}
    assert any("avatar" in note.message for note in card.notes)


def test_charx_carries_an_adapter_and_ascii_paths(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    first = replace(ada[0].images[0], file="mädchen 1.png")
    character = replace(ada[0], images=(first,), references=(), interactions=ada[0].interactions[:2])
    adapter = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * 20}
    adapter |= {"references.safetensors": b"codes", "references/01.jpg": png("red")}
    write_card(character, {"mädchen 1.png": ada[1]["01.png"]}, tmp_path / "a.charx", adapter_files=adapter)
    with zipfile.ZipFile(tmp_path / "a.charx") as archive:
        names = archive.namelist()
        card = json.loads(archive.read("card.json"))
    assert all(name.isascii() for name in names) and "assets/icon/images/01.png" in names
    assert card["data"]["assets"][0] == {
        "type": "icon",
        "name": "main",
        "ext": "png",
        "uri": "embeded://assets/icon/images/01.png",
    }
    read = read_card(tmp_path / "a.charx")
    assert (read.character, read.adapter_files) == (character, adapter)


def test_v1_card_is_six_words_and_says_what_is_lost(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    notes = write_card(*ada, tmp_path / "a.json", version=1)
    assert list(json.loads((tmp_path / "a.json").read_bytes())) == [
        "name",
        "description",
        "personality",
        "scenario",
        "first_mes",
        "mes_example",
    ]
    assert any("V1" in note.message for note in notes) and any("pictures" in note.message for note in notes)


def test_what_cannot_be_written_is_refused(ada: tuple[Character, dict[str, bytes]], tmp_path: Path) -> None:
    for path, options in (("a.gif", {}), ("a.charx", {"version": 2}), ("a.png", {"adapter_files": {"a.json": b""}})):
        with pytest.raises(CharacterProblems, match="a\\."):
            write_card(*ada, tmp_path / path, **options)
    with pytest.raises(CharacterProblems, match=r"05\.png"):
        write_card(ada[0], {file: data for file, data in ada[1].items() if file != "05.png"}, tmp_path / "a.json")
    with pytest.raises(CharacterProblems, match="needs a picture"):
        write_card(Character("A", "b"), {}, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- theirs: import


def test_foreign_card_becomes_a_character() -> None:
    card = read_card(as_json(foreign()), "haruhi.json")
    character = card.character
    assert character.name == "Haruhi Vale"
    assert character.persona == "Ru runs a tea house.\n\nLoud."
    assert character.scenario == "the user enters the tea house of Ru."
    assert character.greeting == "Sit, you! your tea is hot."
    assert character.appearance == "red hair"
    assert [[turn.text for turn in talk] for talk in character.interactions] == [
        ["Hi", "Hello.\nSit down."],
        ["Hello.", "Only me."],
    ]
    assert character.interactions[0][0] == Message("user", (TextPart("Hi"),))
    trained = json.dumps(
        [
            character.persona,
            character.style,
            character.scenario,
            character.greeting,
            [turn.text for talk in character.interactions for turn in talk],
        ]
    )
    assert "SECRET" not in trained and "original" not in trained
    assert len(lore_of(card.character.extensions)) == 1
    assert all(note.severity == "warning" for note in card.notes)


@pytest.mark.parametrize("suffix", ["json", "png", "charx"])
def test_nothing_of_a_foreign_card_is_lost_on_the_way_through(tmp_path: Path, suffix: str) -> None:
    card = foreign()
    first = read_card(as_png({"ccv3": card}), "haruhi.png")
    write_card(first.character, first.images, tmp_path / f"h.{suffix}")
    second = read_card(tmp_path / f"h.{suffix}")
    assert second.character == first.character
    write_card(second.character, second.images, tmp_path / "h.json")
    data = json.loads((tmp_path / "h.json").read_bytes())["data"]
    data.pop("assets")
    assert data["extensions"].pop(OWN_KEY)["version"] == 1
    expected = {**card["data"], "mes_example": card["data"]["mes_example"].strip()}
    assert data == expected


def test_editing_one_field_keeps_the_other_originals(tmp_path: Path) -> None:
    character = read_card(as_json(foreign()), "h.json").character
    write_card(replace(character, greeting="New."), {}, tmp_path / "h.json")
    data = json.loads((tmp_path / "h.json").read_bytes())["data"]
    assert data["first_mes"] == "New."
    assert data["description"] == "{{char}} runs a tea house." and data["personality"] == "Loud."
    write_card(replace(character, persona="Someone else."), {}, tmp_path / "h.json")
    data = json.loads((tmp_path / "h.json").read_bytes())["data"]
    assert (data["description"], data["personality"]) == ("Someone else.", "")


def test_v2_backfill_drops_decorators_and_keeps_notes(tmp_path: Path) -> None:
    first = read_card(as_png({"ccv3": foreign()}), "h.png")
    write_card(first.character, first.images, tmp_path / "h.png")
    chunks = read_chunks((tmp_path / "h.png").read_bytes(), "h.png")
    old = json.loads(base64.b64decode(chunks["chara"]))["data"]
    assert old["character_book"]["entries"][0]["content"] == "Tea is green."
    assert old["creator_notes"] == f"{V2_NOTICE}\n\nSECRETNOTE"
    again = read_card(put_chunks(png(), {"chara": chunks["chara"]}, lambda keyword: False, "x"), "h.png").character
    assert again.extensions[KEPT_KEY]["data"]["creator_notes"] == "SECRETNOTE"  # type: ignore[index]


def test_ccv3_is_preferred_and_keywords_ignore_case() -> None:
    old, new = foreign(name="Old"), foreign(name="New")
    assert read_card(as_png({"chara": old, "ccv3": new}), "x").character.name == "New"
    assert read_card(as_png({"Chara": old}), "x").character.name == "Old"
    assert read_card(as_png({"CCV3": new, "chara": old}), "x").character.name == "New"


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iTXt packed"])
def test_packed_and_international_text_chunks_are_read(kind: str) -> None:
    text = base64.b64encode(as_json(foreign(name="Jörg")))
    body = {
        "zTXt": b"chara\0\0" + zlib.compress(text),
        "iTXt": b"chara\0\0\0de\0\0" + text,
        "iTXt packed": b"chara\0\x01\0de\0\0" + zlib.compress(text),
    }[kind]
    body = kind[:4].encode() + body
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = png()
    assert read_card(data[:-12] + chunk + data[-12:], "x").character.name == "Jörg"
    # The avatar comes back as it was before the card was put in.
    assert read_card(data[:-12] + chunk + data[-12:], "x").images == {"01.png": data}


def test_v1_and_v2_cards() -> None:
    words = {"name": "A", "description": "d", "personality": "p", "scenario": "s", "first_mes": "f", "mes_example": ""}
    for card in (words, {"spec": "chara_card_v2", "spec_version": "2.0", "data": words}, {**words, "data": None}):
        character = read_card(as_json(card), "a.json").character
        assert (character.name, character.persona, character.greeting) == ("A", "d\n\np", "f")
    assert read_card(as_json({**words, "extra": 1}), "a.json").character.extensions == {
        KEPT_KEY: {"data": {"extra": 1}, "original": {"description": "d", "personality": "p"}}
    }


def test_foreign_pictures_and_captions() -> None:
    assets = [
        {"type": "emotion", "name": "very_happy", "uri": "embedded://assets/emotion/images/h.png", "ext": "png"},
        {"type": "background", "name": "main", "uri": "embeded://bg.png", "ext": "png"},
        {"type": "icon", "name": "main", "uri": "embeded://assets/icon/main.png", "ext": "png"},
        {"type": "emotion", "name": "far", "uri": "https://example.org/x.png", "ext": "png"},
        {"type": "emotion", "name": "lost", "uri": "embeded://nowhere.png", "ext": "png"},
        {"type": "other", "name": "inline", "uri": "data:image/png;base64," + base64.b64encode(png("blue")).decode()},
    ]
    files = {
        "card.json": as_json(foreign(assets=assets)),
        "assets/icon/main.png": png("red"),
        "bg.png": png("black"),
        "assets/emotion/images/h.png": png("gold"),
        "assets/icon/audio/a.mp3": b"no",
    }
    card = read_card(as_charx(files), "h.charx")
    assert card.images == {"01.png": png("red"), "02.png": png("gold"), "03.png": png("blue")}
    assert [image.expression for image in card.character.images] == ["", "very happy", ""]
    said = " ".join(note.message for note in card.notes)
    for word in ("internet", "missing", "do not show the character", "not pictures"):
        assert word in said


def test_png_assets_of_other_programs() -> None:
    card = foreign(assets=[{"type": "emotion", "name": "sad", "uri": "__asset:0", "ext": "png"}])
    texts = {"ccv3": base64.b64encode(as_json(card)), "chara-ext-asset_:0": base64.b64encode(png("navy"))}
    read = read_card(put_chunks(png(), texts, lambda keyword: False, "x"), "x")
    assert read.images == {"01.png": png(), "02.png": png("navy")}


def test_charx_behind_a_jpeg_is_read_and_a_plain_jpeg_is_not() -> None:
    assert read_card(jpeg() + as_charx({"card.json": as_json(foreign())}), "x").character.name == "Haruhi Vale"
    with pytest.raises(CharacterProblems, match="without a card"):
        read_card(jpeg(), "x")


def test_strange_fields_are_noted_not_fatal() -> None:
    strange = foreign(description=[None], tags="x", extensions=[], character_book=3, assets={})
    card = read_card(as_json(strange), "h.json")
    assert card.character.persona == "Loud."
    assert any("'description'" in note.message for note in card.notes)


# ---------------------------------------------------------------- folders


def test_export_card_chooses_by_suffix(toy_character: Path, tmp_path: Path) -> None:
    character = read_character(toy_character)
    for suffix in ("png", "json", "charx"):
        assert export_card(toy_character, tmp_path / f"ada.{suffix}") == []
        assert read_card(tmp_path / f"ada.{suffix}").character == character
    export_card(toy_character, tmp_path / "ada.zip")
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert {"character.yaml", "test.yaml", "images/01.png", "test_images/01.png"} <= set(archive.namelist())
    with pytest.raises(CharacterProblems, match=r"ada\.gif"):
        export_card(toy_character, tmp_path / "ada.gif")


@pytest.mark.parametrize("suffix", ["png", "json", "charx", "zip"])
def test_an_export_tells_nothing_but_pixels(toy_character: Path, tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0110] = "SECRET telephone"
    folder = shutil.copytree(toy_character, tmp_path / "ada")
    for path in (folder / "images" / "01.png", folder / "test_images" / "01.png"):
        with Image.open(path) as image:
            image.save(path, "PNG", exif=exif)
        assert b"SECRET" in path.read_bytes()
    made = tmp_path / f"ada.{suffix}"
    export_card(folder, made)
    if suffix == "zip":
        with zipfile.ZipFile(made) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        assert "test_images/01.png" in held
    else:
        held = read_card(made).images
    assert "01.png" in {name.rsplit("/")[-1] for name in held}
    assert not any(b"SECRET" in data for data in held.values())


def test_cards_load_no_torch() -> None:
    modules = "pipelines.core.formats.import_character, pipelines.core.formats.cards"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
