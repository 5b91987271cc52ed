"""Character files that are almost cards: other programs' keys, wrong types, empty names, lists, encodings, pictures."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.card_files import put_chunks
from pipelines.core.formats.cards import read_card
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_charx, as_json, foreign, png
from tests.core.formats.talks import lines


def tola(**changes: Any) -> dict[str, Any]:
    data = {"name": "Tola", "description": "Mends clocks.", "first_mes": "Careful.", "mes_example": ""}
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**data, **changes}}


@pytest.mark.parametrize(
    "card",
    [
        {"char_name": "Tola", "char_persona": "Mends clocks.", "char_greeting": "Careful.", "world_scenario": "Rain."},
        {"name": "Tola", "context": "Mends clocks.", "greeting": "Careful.", "scenario": "Rain."},
        {
            "name": "Tola",
            "persona": {"attributes": {"text": ["Mends clocks."]}},
            "greeting": "Careful.",
            "scenario": "Rain.",
        },
    ],
)
def test_characters_of_other_programs(card: dict[str, Any]) -> None:
    found = read_card(as_json(card), "tola.json").character
    assert (found.name, found.persona, found.greeting, found.scenario) == ("Tola", "Mends clocks.", "Careful.", "Rain.")


def test_examples_of_pygmalion_and_yaml_of_text_generation_webui() -> None:
    card = {"char_name": "Tola", "char_persona": "x", "example_dialogue": "{{user}}: Open?\n{{char}}: Since nine."}
    assert lines(read_card(as_json(card), "tola.json").character.interactions) == [["u:Open?", "c:Since nine."]]
    text = "name: Tola\ngreeting: |-\n  Careful.\ncontext: |-\n  Mends clocks.\n"
    found = read_card(text.encode(), "Tola.yaml").character
    assert (found.name, found.persona, found.greeting) == ("Tola", "Mends clocks.", "Careful.")


def test_no_type_is_trusted_and_no_empty_field_hides_a_filled_one() -> None:
    for extensions in (True, 7, None, [], "x"):
        assert read_card(as_json(tola(extensions=extensions)), "a.json").character.persona == "Mends clocks."
    assert read_card(as_json(tola(name=47)), "a.json").character.name == "47"
    assert read_card(as_json({**tola(name=""), "name": "Tola Brask"}), "a.json").character.name == "Tola Brask"


def test_what_goes_out_has_the_types_of_the_specification(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(as_json(tola(alternate_greetings="168", tags=None, character_version=1.2)))
    import_file(tmp_path / "a.json", tmp_path / "a")
    export_card(tmp_path / "a", tmp_path / "b.json")
    data = json.loads((tmp_path / "b.json").read_text())["data"]
    assert (data["alternate_greetings"], data["tags"], data["character_version"]) == (["168"], [], "1.2")


def test_lists_of_cards(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps([tola()]))
    import_file(tmp_path / "one.json", tmp_path / "one")
    assert read_character(tmp_path / "one").name == "Tola"
    (tmp_path / "two.json").write_text(json.dumps([tola(), tola()]))
    with pytest.raises(CharacterProblems, match="holds 2 characters: Tola"):
        import_file(tmp_path / "two.json", tmp_path / "two")
    with pytest.raises(CharacterProblems, match="is a chat, not a character"):
        read_card(as_json({"name": "Exported", "greeting": "", "messages": [{"msg": "Careful."}]}), "chat.json")


def test_cards_in_other_encodings() -> None:
    text = json.dumps(tola(name="Jörg"), ensure_ascii=False)
    for encoding in ("utf-16", "utf-8-sig", "cp1252"):
        found = read_card(text.encode(encoding), "a.json")
        assert found.character.name == "Jörg" and bool(found.notes) == (encoding == "cp1252")


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_cards_in_the_comment_of_a_picture(kind: str) -> None:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x9286] = as_json(tola()).decode()
    Image.new("RGB", (64, 64), "teal").save(out, kind, exif=exif)
    found = read_card(out.getvalue(), f"tola.{kind.lower()}")
    assert found.character.name == "Tola" and len(found.images) == 1
    assert all(b"Mends" not in data for data in found.images.values())


def test_protected_cards_and_archives_of_pictures_say_what_they_are() -> None:
    protected = put_chunks(png(), {"chara": b"rcc||rccv1||AQIB"}, lambda keyword: False, "x")
    with pytest.raises(CharacterProblems, match="is protected by RisuAI"):
        read_card(protected, "tola.png")
    with pytest.raises(CharacterProblems, match=r"holds pictures but no character.*at step Pictures"):
        read_card(as_charx({"10_tola woman/01.png": png(), "10_tola woman/01.txt": b"x"}), "tola.zip")
    assert read_card(as_charx({"card.json": as_json(foreign()), "assets\\icon\\x.png": png()}), "a.charx").character


def test_zipped_folders_with_other_names(tmp_path: Path) -> None:
    text = b"name: Tola\npersona: Mends clocks.\nimages:\n  - {file: 01.png}\n  - {file: 02.jpg}\n"
    files = {"tola\\character.yaml": text, "tola\\images\\01.PNG": png(), "tola\\images\\02.png": png("red")}
    (tmp_path / "tola.zip").write_bytes(as_charx(files))
    notes = import_file(tmp_path / "tola.zip", tmp_path / "tola")
    assert [image.file for image in read_character(tmp_path / "tola").images] == ["01.png"]
    told = " ".join(f"{note.message} {note.mend}" for note in notes)
    assert "02.jpg (did you mean 02.png?)" in told and "Correct their names under `images:`" in told


def test_greetings_and_lorebooks_that_are_only_kept_are_told(tmp_path: Path) -> None:
    entries = {"0": {"content": "a"}, "1": {"content": "b"}}
    for count, greetings, size in ((2, "2 other greetings are", "2 entries"), (1, "1 other greeting is", "1 entry")):
        book = {"entries": dict([*entries.items()][:count])}
        (tmp_path / "a.json").write_bytes(
            as_json(tola(alternate_greetings=["Oi.", "Hm."][:count], character_book=book))
        )
        told = " ".join(note.message for note in import_file(tmp_path / "a.json", tmp_path / str(count)))
        assert f"{greetings} kept for export, but not taught" in told and f"lorebook ({size})" in told


def test_conversations_behind_a_description_are_conversations() -> None:
    text = "[Tola: dry]\n<START>\n{{user}}: Open?\n{{char}}: Since nine.\n<START>\n{{user}}: Rain?\n{{char}}: Always."
    found = read_card(
        as_json(tola(description=text, mes_example="<START>\n{{user}}: Snow?\n{{char}}: Never.")), "a.json"
    )
    assert found.character.persona == "[Tola: dry]"
    assert [talk[1] for talk in lines(found.character.interactions)] == ["c:Since nine.", "c:Always.", "c:Never."]


def test_one_damaged_part_does_not_keep_the_rest_out() -> None:
    good = {"type": "icon", "name": "main", "uri": "data:image/png;base64," + base64.b64encode(png()).decode()}
    bad = {"type": "emotion", "name": "sad", "uri": "data:image/png;base64,%%%"}
    found = read_card(as_json({"spec": "chara_card_v3", "data": {**tola()["data"], "assets": [good, bad]}}), "a.json")
    assert len(found.images) == 1 and "could not be read were left out" in found.notes[-1].message
    texts = {"ccv3": b"%%%", "chara": base64.b64encode(as_json(tola()))}
    older = read_card(put_chunks(png(), texts, lambda keyword: False, "x"), "a.png")
    assert older.character.name == "Tola" and any(
        "is damaged: the older one was read" in n.message for n in older.notes
    )


def test_what_a_zip_holds_beside_its_character_is_told(tmp_path: Path) -> None:
    files = {f"a/{name}": png() for name in ("images/01.png", "images/02.png", "images/note.txt")}
    files |= {"a/character.yaml": b"name: Tola\npersona: Mends clocks.\nimages: [{file: 01.png}]\n"}
    files |= {"b/more/character.yaml": b"name: Orla Finn\npersona: x\n", "a/images/note.txt": b"x"}
    (tmp_path / "tola.zip").write_bytes(as_charx(files))
    told = [note.message for note in import_file(tmp_path / "tola.zip", tmp_path / "tola")]
    assert "other characters in it were not read: Orla Finn (b/more/character.yaml)." in told
    assert "pictures in images/ that character.yaml does not list were left out: 02.png." in told


@pytest.mark.parametrize(
    "uri", ["embeded://assets/Happy.PNG", "embedded://./assets/happy.png?x=1", "__asset:assets/happy.png"]
)
def test_assets_are_found_however_they_are_addressed(uri: str) -> None:
    data = {**tola()["data"], "assets": [{"type": "emotion", "name": "happy_face.png", "uri": uri}]}
    card = as_json({"spec": "chara_card_v3", "spec_version": "3.0", "data": data})
    found = read_card(as_charx({"card.json": card, "assets/happy.png": png()}), "a.charx")
    assert [image.expression for image in found.character.images] == ["happy face"]


@pytest.mark.parametrize("colon", ["", ":"])
def test_assets_in_a_picture_are_found_with_and_without_a_colon(colon: str) -> None:
    data = {**tola()["data"], "assets": [{"type": "emotion", "name": "sad", "uri": "__asset:0"}]}
    texts = {"ccv3": {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}}
    chunks = {key: base64.b64encode(as_json(card)) for key, card in texts.items()}
    chunks[f"chara-ext-asset_{colon}0"] = base64.b64encode(png("red"))
    found = read_card(put_chunks(png(), chunks, lambda keyword: False, "x"), "a.png")
    assert [image.expression for image in found.character.images] == ["", "sad"]


def test_pictures_that_risuai_lists_in_its_own_part() -> None:
    inline = base64.b64encode(png("red")).decode()
    risu = {
        "emotions": [["happy", inline], ["angry", "__asset:1"], "broken"],
        "additionalAssets": [["beach", "__asset:2", "png"]],
    }
    chunks = {"chara": base64.b64encode(as_json(tola(extensions={"risuai": risu})))}
    chunks |= {f"chara-ext-asset_:{n}": base64.b64encode(png(c)) for n, c in enumerate(["blue", "green", "black"])}
    found = read_card(put_chunks(png(), chunks, lambda keyword: False, "x"), "a.png")
    assert [image.expression for image in found.character.images] == ["", "happy", "angry", ""]
    assert "pictures that the card does not name were left out" in found.notes[-1].message
