"""Characters and chats of Backyard, Character.AI, RisuAI and Agnai, made as their programs write them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.cards import read_card
from pipelines.core.formats.chat_formats import read_conversations
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_charx, as_json, png
from tests.core.formats.talks import lines, read

FOLDER = "characters/tola"


def said(text: str, minute: int, active: int | None = None) -> dict[str, str]:
    at = f"2025-06-06T12:{minute:02d}:00Z"
    return {
        "createdAt": at,
        "updatedAt": at,
        "text": text,
        "activeTimestamp": f"2025-06-06T13:{active or minute:02d}:00Z",
    }


def scenario(**changes: Any) -> dict[str, Any]:
    """A scenario with every field that the schema asks for."""
    settings = dict.fromkeys(("minP", "temperature", "repeatPenalty", "repeatLastN", "topK", "topP"), 1)
    return {
        "schemaVersion": 1,
        **settings,
        "minPEnabled": True,
        "formattingInstructions": "Write one line.",
        "exampleMessages": [{"characterID": "tola", "text": "#{user}: Open?\n#{character}: Since nine, {user}."}],
        "canDeleteExampleMessages": True,
        "firstMessages": [{"characterID": "tola", "text": "Careful, {user}."}],
        "narrative": "{user} enters the shop of {character}.",
        "promptTemplate": None,
        "grammar": None,
        "messages": [
            {
                "type": "human",
                "createdAt": "2025-06-06T12:01:00Z",
                "updatedAt": "2025-06-06T12:01:00Z",
                "text": "Rain?",
            },
            {
                "type": "human",
                "createdAt": "2025-06-06T12:03:00Z",
                "updatedAt": "2025-06-06T12:03:00Z",
                "text": "Snow?",
            },
            {"type": "ai", "outputs": [said("Sometimes.", 2), said("Always.", 2, active=9)]},
            {"type": "ai", "outputs": [said("Never.", 4)]},
        ],
        **changes,
    }


def byaf(*scenarios: Any, **changes: Any) -> bytes:
    """A Backyard archive of one character with three pictures and two scenarios."""
    listed = scenarios or (
        scenario(),
        scenario(firstMessages=[{"characterID": "tola", "text": "Closed."}], messages=[]),
    )
    character = {
        "schemaVersion": 1,
        "id": "tola",
        "name": "Tola",
        "displayName": "Tola Brask",
        "isNSFW": False,
        "persona": "{character} mends clocks. She hums.",
        "createdAt": "2025-06-06T12:00:00Z",
        "updatedAt": "2025-06-06T12:00:00Z",
        "loreItems": [{"key": "bell, door", "value": "The bell of {character} lies."}],
        "images": [
            {"path": "images/a.png", "label": ""},
            {"path": "images/b.png", "label": "Laughing"},
            {"path": "images/gone.png", "label": "sad"},
        ],
        **changes,
    }
    manifest = {
        "schemaVersion": 1,
        "createdAt": "2025-06-06T12:00:00Z",
        "author": {"name": "tester"},
        "characters": [f"{FOLDER}/character.json"],
        "scenarios": [f"scenarios/{number}.json" for number in range(len(listed))],
    }
    files = {
        "manifest.json": as_json(manifest),
        f"{FOLDER}/character.json": as_json(character),
        f"{FOLDER}/images/a.png": png(),
        f"{FOLDER}/images/b.png": png("red"),
        "scenarios/back.png": png("blue"),
    }
    return as_charx(files | {f"scenarios/{number}.json": as_json(one) for number, one in enumerate(listed)})


def test_a_backyard_archive_is_read_with_pictures_chats_and_lore(tmp_path: Path) -> None:
    (tmp_path / "tola.byaf").write_bytes(byaf())
    notes = import_file(tmp_path / "tola.byaf", tmp_path / "tola")
    tola = read_character(tmp_path / "tola")
    assert (tola.name, tola.persona) == ("Tola Brask", "Tola mends clocks. She hums.")
    assert (tola.greeting, tola.scenario) == ("Careful, you.", "the user enters the shop of Tola.")
    assert [image.expression for image in tola.images] == ["", "laughing"]
    # The order of time, and of two answers the one that was active last.
    assert lines(tola.interactions[-1:]) == [["u:Rain?", "c:Always.", "u:Snow?", "c:Never."]]
    # Both scenarios have the same example.
    assert lines(tola.interactions[:1]) == [["u:Open?", "c:Since nine, you."]] and len(tola.interactions) == 2
    assert tola.extensions["understudy_rejected"] == [
        {"prompt": "Rain?", "chosen": "Always.", "rejected": "Sometimes."}
    ]
    kept: Any = tola.extensions["understudy_card"]
    assert kept["data"]["alternate_greetings"] == ["Closed."] and kept["data"]["creator"] == "tester"
    assert kept["data"]["character_book"]["entries"][0]["keys"] == ["bell", "door"]
    told = " ".join(note.message for note in notes)
    assert "lorebook (1 entry)" in told and "file is missing" in told and "instructions to the model" in told


def test_backyard_parts_that_are_wrong_do_not_lose_the_character() -> None:
    found = read_card(byaf({"exampleMessages": "x", "messages": [7, {"type": "ai"}], "firstMessages": [{}]}), "t.byaf")
    assert found.character.name == "Tola Brask" and not found.character.interactions
    found = read_card(byaf(scenario(exampleMessages=[{"text": "Mind the step."}])), "t.byaf")
    assert lines(found.character.interactions[:1]) == [["u:Hello.", "c:Mind the step."]]
    told = {
        note.message: note.examples for note in read_card(byaf(scenario(), scenario(narrative="A train.")), "t").notes
    }
    assert told["scenes of other scenarios were left out; their greetings and chats were read."] == ("A train.",)
    with pytest.raises(CharacterProblems, match="without its character"):
        read_card(as_charx({"manifest.json": as_json({"characters": ["characters/x/character.json"]})}), "t.byaf")


def old_backyard() -> dict[str, Any]:
    items = [{"input": "Rain?", "output": "Always.", "RegenSwipes": [{"text": "Always."}, {"text": "Maybe."}]}]
    character = {
        "aiName": "Tola",
        "aiDisplayName": "Tola",
        "aiPersona": "{character} mends clocks.",
        "customDialogue": "#{user}: Open?\n#{character}: Since nine.",
        "basePrompt": "",
        "scenario": "",
        "firstMessage": "Careful.",
        "loreItems": [],
        "Chat": [{"ChatItems": items}],
    }
    return {"character": character, "version": 4}


@pytest.mark.parametrize("kind", ["PNG", "JSON"])
def test_older_exports_of_backyard_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"tola.{kind.lower()}"
    if kind == "PNG":
        exif = Image.Exif()
        exif[0x9286] = base64.b64encode(as_json(old_backyard())).decode()
        Image.new("RGB", (128, 128), "teal").save(path, exif=exif)
    else:
        path.write_bytes(as_json(old_backyard()))
    found = read_card(path)
    assert found.character.persona == "Tola mends clocks." and len(found.images) == (kind == "PNG")
    assert lines(found.character.interactions) == [["u:Open?", "c:Since nine."], ["u:Rain?", "c:Always."]]
    assert found.character.extensions["understudy_rejected"]
    assert all(b"aiName" not in data and b"eXIf" not in data for data in found.images.values())


DEFINITION = """Likes: tea
Age: 70, and proud of it.
{{random_user_1}}: And the bell?
{{char}}: It lies.
By nine minutes.
END_OF_DIALOG
She never lies about clocks.
{{user}}: Rain?
{{char}}: Always.
END_OF_DIALOG"""


def character_ai(**changes: Any) -> dict[str, Any]:
    about = {"title": "Clock mender", "description": "Mends clocks.", "greeting": "Careful, {{user}}."}
    return {"name": "Tola", **about, "definition": DEFINITION, "participant__name": "Tola", **changes}


@pytest.mark.parametrize("outer", ["character", "bare"])
def test_a_definition_is_parted_into_persona_and_talks(outer: str) -> None:
    value = {"character": character_ai(), "status": "OK"} if outer == "character" else character_ai()
    tola = read_card(as_json(value), "tola.json").character
    assert tola.persona == (
        "Clock mender\nMends clocks.\nLikes: tea\nAge: 70, and proud of it.\nShe never lies about clocks."
    )
    assert tola.greeting == "Careful, you."
    assert lines(tola.interactions) == [["u:And the bell?", "c:It lies.\nBy nine minutes."], ["u:Rain?", "c:Always."]]


def test_a_definition_with_names_instead_of_macros() -> None:
    value = character_ai(
        definition="BoardWizard: Your move!\nRobert: Catan?\nBoardWizard: Try Azul.\nRobert: Why?\nBoardWizard: Tiles.",
        name="BoardWizard",
    )
    assert lines(read_card(as_json(value), "w.json").character.interactions) == [
        ["u:Catan?", "c:Try Azul.", "u:Why?", "c:Tiles."]
    ]


def history() -> dict[str, Any]:
    talk = [(False, "Careful."), (True, "Rain?"), (False, "Always.")]
    msgs = [{"text": text, "src": {"is_human": human, "name": "Ann" if human else "Tola B."}} for human, text in talk]
    return {"info": {"character": character_ai(definition="")}, "histories": {"histories": [{"msgs": msgs}]}}


def test_histories_of_character_ai_are_a_character_with_talks_or_talks_alone() -> None:
    assert lines(read_card(as_json(history()), "h.json").character.interactions) == [["u:Rain?", "c:Always."]]
    found = read_conversations(json.dumps(history()), "h.json", "Tola")
    assert lines(found.interactions) == [["u:Rain?", "c:Always."]]


RISU = {"role": "user", "data": "Rain?"}, {"role": "char", "data": "Always."}
CHATS: dict[str, Any] = {
    "risu": {"type": "risuChat", "ver": 2, "data": {"name": "New chat", "message": [*RISU]}},
    "all of risu": {"type": "risuAllChats", "ver": 2, "data": [{"message": [*RISU]}]},
    "agnai": {
        "name": "Exported",
        "messages": [{"userId": "1", "msg": "Rain?"}, {"characterId": "2", "msg": "Always."}],
    },
}


@pytest.mark.parametrize("kind", CHATS)
def test_chats_are_no_characters_but_can_be_added_to_one(kind: str) -> None:
    found = read_conversations(json.dumps(CHATS[kind]), "chat.json", "Tola")
    assert lines(found.interactions) == [["u:Rain?", "c:Always."]]
    with pytest.raises(CharacterProblems, match="is a chat, not a character"):
        read_card(as_json(CHATS[kind]), "chat.json")


def test_a_lorebook_is_no_character() -> None:
    book = {"name": "Clocks", "description": "x", "entries": {"0": {"key": ["bell"], "content": "It lies."}}}
    with pytest.raises(CharacterProblems, match="is a lorebook, not a character"):
        read_card(as_json(book), "book.json")


def test_chats_of_agnai_and_risuai_with_two_characters() -> None:
    agnai = {
        "name": "Exported",
        "messages": [
            {"msg": "Is the shop open?", "userId": "u"},
            {"msg": "Open since nine.", "characterId": "1", "handle": "Tola Brask"},
            {"msg": "Bell?", "userId": "u"},
            {"msg": "I am Orla.", "characterId": "2", "handle": "Orla Finn"},
        ],
    }
    assert lines(read(agnai).interactions) == [["u:Is the shop open?", "c:Open since nine."]]
    said_by = [("user", "Open?", ""), ("char", "Yes.", "id-1"), ("user", "Bell?", ""), ("char", "No.", "id-2")]
    message = [{"role": role, "data": words, "saying": who} for role, words, who in said_by]
    with pytest.raises(CharacterProblems, match="'id-1', 'id-2' are unknown"):
        read({"type": "risuChat", "ver": 2, "data": {"message": message}})
    one = [{**line, "saying": "id-1" if line["saying"] else ""} for line in message]
    one[1] = {**one[1], "saying": ""}  # an older line does not say it
    assert len(read({"type": "risuChat", "ver": 2, "data": {"message": one}}).interactions[0]) == 4


def test_parts_of_an_agnai_character_are_told_like_those_of_a_card(tmp_path: Path) -> None:
    book = {"kind": "memory", "name": "b", "entries": [{"name": "bell", "entry": "It lies.", "keywords": ["bell"]}]}
    agnai = {
        **{"kind": "character", "name": "Tola", "greeting": "Careful.", "description": "A mender by the bridge."},
        **{"persona": {"attributes": {"text": ["Mends clocks."]}}, "alternateGreetings": ["Shut.", "Go."]},
        **{"systemPrompt": "Rhyme.", "postHistoryInstructions": "No.", "characterBook": book},
    }
    found = read_card(as_json(agnai), "tola.json")
    told = " ".join(note.message for note in found.notes)
    for words in ("2 other greetings are kept", "instructions to the model are kept"):
        assert words in told
    kept = found.character.extensions["understudy_card"]["data"]  # type: ignore[index]
    assert kept["alternate_greetings"] == ["Shut.", "Go."] and kept["creator_notes"] == "A mender by the bridge."
    [entry] = kept["character_book"]["entries"]
    assert entry["keys"] == ["bell"] and entry["content"] == "It lies."
    plain = read_card(as_json({**agnai, "alternate_greetings": ["Wait."], "alternateGreetings": []}), "tola.json")
    assert "1 other greeting is kept" in " ".join(note.message for note in plain.notes)
