"""Character files that are almost cards: other programs' keys, wrong types, empty names, lists, encodings, pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.card_files import put_chunks
from pipelines.core.formats.cards import export_card, read_card
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
    with pytest.raises(CharacterProblems, match="is a list of 2 cards"):
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
    assert "02.jpg (did you mean 02.png?)" in notes[0].message and "images:" in notes[0].mend
