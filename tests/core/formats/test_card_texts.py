"""Names and texts of cards as they are found: titles, line breaks, lists for texts, macros that show pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character_folder import read_character
from pipelines.core.character.checks import check_report
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.cards import CardImport, read_card
from pipelines.core.formats.import_character import import_file
from tests.core.formats.card_samples import as_json, foreign
from tests.core.formats.talks import lines

SHOP, BELL = ["u:Is the shop open?", "c:Open since nine."], ["u:And the bell?", "c:It lies."]
TALK = "<START>\n{{user}}: Open?\nTola: Listen.\n{{user}}: Bell?\n{{char}}: It lies."


def card(**fields: Any) -> CardImport:
    base = {"nickname": "", "description": "{{char}} mends clocks.", "personality": "", "mes_example": TALK}
    return read_card(as_json(foreign(**{**base, **fields})), "tola.json")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Tola | The Clock Mender", "Tola"),
        ("Tola Brask \uff5c 時計屋", "Tola Brask"),
        ("| Tola | slow burn | clocks |", "Tola"),
        ("Tola\nBrask\u200b", "Tola Brask"),
        ("\ufeffTola\t Brask\x07 ", "Tola Brask"),
        ("No", "No"),
        ("1984-01-02", "1984-01-02"),
        ("क्\u200dष", "क्\u200dष"),
        ("||", "||"),
    ],
)
def test_a_name_is_one_line_without_its_title(name: str, meant: str, tmp_path: Path) -> None:
    found = card(name=name)
    assert found.character.name == meant and found.character.persona == f"{meant} mends clocks."
    told = [note.message for note in found.notes if "title behind it" in note.message]
    assert bool(told) == (("|" in name and meant != name) or "\uff5c" in name)
    (tmp_path / "a.json").write_bytes(as_json(foreign(name=name, nickname="")))
    import_file(tmp_path / "a.json", tmp_path / "a")
    export_card(tmp_path / "a", tmp_path / "b.json")
    exported = json.loads((tmp_path / "b.json").read_text("utf-8"))["data"]
    assert exported["name"] == name.replace("\x07", "").strip() or exported["name"] == name.strip()
    import_file(tmp_path / "b.json", tmp_path / "b")
    assert read_character(tmp_path / "b") == read_character(tmp_path / "a")


def test_the_words_of_a_title_are_nobody() -> None:
    talk = "<START>\n{{user}}: Open?\nTola: Listen.\n{{user}}: Bell?\nTola: It lies."
    found = card(name="Tola | The Clock Mender", mes_example=talk).character
    assert [turn.text for turn in found.interactions[0]] == ["Open?", "Listen.", "Bell?", "It lies."]


def test_a_name_that_somebody_gave_here_stays_whole_through_an_export(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "character.yaml").write_text("name: Tola | The Clock Mender\npersona: Mends clocks.\n")
    export_card(folder, tmp_path / "a.json")
    import_file(tmp_path / "a.json", tmp_path / "b")
    assert read_character(tmp_path / "b") == read_character(folder)


@pytest.mark.parametrize(
    "text", ["name: no\npersona: x\n", "name: 1984-01-02\npersona: x\n", "name: |\n  Tola\n  Brask\npersona: x\n"]
)
def test_names_in_yaml_are_texts_of_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "character.yaml").write_text(text)
    assert read_character(tmp_path).name in ("no", "1984-01-02", "Tola Brask")


@pytest.mark.parametrize(
    ("description", "persona"),
    [
        (["Tola mends clocks.", "She is 34."], "Tola mends clocks.\nShe is 34."),
        (
            {"text": "Mends clocks.", "age": 34, "likes": ["bells", "rain"]},
            "Mends clocks.\nage: 34\nlikes: bells, rain",
        ),
        ({"body": {"hair": "red", "eyes": "green"}}, "body: hair: red, eyes: green"),
        (34, "34"),
    ],
)
def test_a_description_in_lists_is_read_in_lines(description: Any, persona: str) -> None:
    found = card(description=description)
    assert found.character.persona == persona
    assert not any("not a text" in note.message for note in found.notes)


def test_of_several_first_messages_the_first_is_the_greeting(tmp_path: Path) -> None:
    found = card(first_mes=["Careful.", "", "Hush."], alternate_greetings=["Oi."])
    assert found.character.greeting == "Careful."
    assert any(note.message.startswith("2 other greetings are kept for export") for note in found.notes)


@pytest.mark.parametrize("value", [True, [], {}, [None], {"a": None}])
def test_what_is_no_text_is_left_out_and_told(value: Any) -> None:
    found = card(description=value, personality="dry")
    assert found.character.persona == "dry"
    assert any("'description' is not a text" in note.message for note in found.notes)


def test_pictures_that_a_greeting_shows_are_not_learned(tmp_path: Path) -> None:
    greeting = 'Hush. <img="tola_smile"> {{img::tola}}{{asset::a}} ![x](https://example.org/a.png) Listen.'
    (tmp_path / "a.json").write_bytes(as_json(foreign(nickname="", first_mes=greeting)))
    notes = import_file(tmp_path / "a.json", tmp_path / "a")
    assert " ".join(read_character(tmp_path / "a").greeting.split()) == "Hush. Listen."
    told = {note.message: note.count for note in notes if note.outcome == "left out"}
    assert told["macros that show a picture or play a sound were left out: nobody says them."] == 2
    assert told["pictures named in the data were left out: add them to the character's images."] == 2
    assert not any(item["field"] == "greeting" for item in check_report(tmp_path / "a")["problems"])


def test_the_note_on_a_lorebook_counts_what_is_kept_of_it(tmp_path: Path) -> None:
    entry = {"keys": ["a"], "content": "x" * 2000, "extensions": {}, "enabled": True, "insertion_order": 1}
    book = {"entries": [entry | {"content": f"{n} {'x' * 2000}"} for n in range(900)], "extensions": {}}
    (tmp_path / "a.json").write_bytes(as_json(foreign(character_book=book)))
    notes = import_file(tmp_path / "a.json", tmp_path / "a")
    lost = next(note.count for note in notes if "entries of the lorebook were left out" in note.message)
    assert 0 < lost < 900
    assert any(f"lorebook ({900 - lost} entries) is kept for export" in note.message for note in notes)


@pytest.mark.parametrize(
    ("written", "kept"), [("9" * 5000, "9" * 5000), ("1e999", None), ("12345678901234567890", 12345678901234567890)]
)
def test_numbers_that_no_program_can_hold(tmp_path: Path, written: str, kept: Any) -> None:
    text = json.dumps(foreign(creator="x", extensions={"id": 4242424242})).replace("4242424242", written)
    (tmp_path / "a.json").write_text(text)
    import_file(tmp_path / "a.json", tmp_path / "a")
    assert read_character(tmp_path / "a").extensions.get("id") == kept
    export_card(tmp_path / "a", tmp_path / "b.json")
    import_file(tmp_path / "b.json", tmp_path / "b")
    assert read_character(tmp_path / "b") == read_character(tmp_path / "a")


def test_texts_that_nothing_reads_are_told() -> None:
    extensions = {"depth_prompt": {"prompt": "Tola limps.", "depth": 4}, "risuai": {"additionalText": "Tola hums."}}
    told = {note.message for note in card(extensions=extensions, notes="limps", avatar="none", chat="x").notes}
    message = "These texts of the card are kept for export, but not taught: "
    assert f"{message}'notes', 'depth_prompt.prompt', 'risuai.additionalText'." in told
    older = {"name": "Tola", "description": "Mends.", "appearance": "Silver curls.", "create_date": "May", "fav": True}
    assert f"{message}'appearance'." in {note.message for note in read_card(as_json(older), "t.json").notes}
    empty = {"depth_prompt": {"prompt": ""}, "risuai": {"additionalText": None}}
    assert not any(message in note.message for note in card(extensions=empty, notes="3/4").notes)


# ---------------------------------------------------------------- talks in cards


def bare(**changes: object) -> bytes:
    return as_json({"spec": "chara_card_v2", "data": {"name": "Tola Brask", "description": "Mends clocks.", **changes}})


def read_talks(**changes: object) -> list[list[str]]:
    return lines(read_card(bare(**changes), "tola.json").character.interactions)


def test_examples_as_a_list_thoughts_and_marks() -> None:
    shop, bell = (f"{{{{user}}}}: {talk[0][2:]}\n{{{{char}}}}: {talk[1][2:]}" for talk in (SHOP, BELL))
    assert read_talks(mes_example=[shop, bell]) == [SHOP, BELL]
    marked = shop.replace("Open since", '<think>She asks.</think>Open <img="smile"> since')
    assert read_talks(mes_example=marked) == [SHOP]
    found = read_card(bare(first_mes="<think>Greet.</think>Careful. ![x](https://a.example/x.png)"), "tola.json")
    assert found.character.greeting == "Careful."


def test_single_braces_and_macros_inside_choices() -> None:
    found = read_card(
        bare(first_mes="{user}, {char} says {{random::{{user}}, come in::Wait}}. {{pick:a\\, b,c}}"), "t.json"
    )
    assert found.character.greeting == "you, Tola Brask says you, come in. a, b"
    assert read_talks(mes_example="{user}: Is the shop open?\n{char}: Open since nine.") == [SHOP]


def test_conversations_in_a_description() -> None:
    talk = "{{user}}: Is the shop open?\n{{char}}: Open since nine.\n{{user}}: And the bell?\n{{char}}: It lies."
    for text in (f"Mends clocks.\n{talk}", f"Mends clocks.\n<START>\n{talk}\n\n[Tola's age: 34]\nShe hums."):
        found = read_card(bare(description=text), "tola.json").character
        assert lines(found.interactions) == [SHOP + BELL] and found.persona.startswith("Mends clocks.")
        assert "hums" in found.persona or "hums" not in text
    plain = "{{char}}: a mender of clocks.\nLikes: rain."
    assert (
        read_card(bare(description=plain), "tola.json").character.persona
        == "Tola Brask: a mender of clocks.\nLikes: rain."
    )
