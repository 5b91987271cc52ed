"""Lorebooks of every program: read, taught as facts or persona on the creator's choice, kept and told otherwise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character import Character, Fact
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.lorebook import is_lorebook, read_entries
from pipelines.core.formats.teach_lore import LORE_USES, lore_of, teach
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_json, foreign

LONG = "The shop has four hundred clocks, and not one of them agrees with another about the hour of the day. " * 4
ENTRIES: list[dict[str, Any]] = [
    {"keys": ["bell", "door"], "content": "@@depth 4\nThe bell of {{char}} lies.", "constant": True, "name": "Bell"},
    {"keys": ["rain"], "content": "It rains on {{user}}.", "enabled": True},
    {"keys": ["off"], "content": "Nobody knows.", "constant": True, "enabled": False},
    {"keys": ["shop"], "content": f"@@constant\n{LONG}"},
    {"keys": ["empty"], "content": ""},
    7,  # type: ignore[list-item]
]
OTHERS: dict[str, Any] = {
    "sillytavern": {"entries": {"0": {"key": ["bell"], "comment": "Bell", "content": "It lies.", "constant": True}}},
    "risu": {
        "type": "risu",
        "data": [{"key": "bell, door", "comment": "Bell", "content": "It lies.", "alwaysActive": True}],
    },
    "agnai": {
        "kind": "memory",
        "entries": [{"keywords": ["bell"], "name": "Bell", "entry": "It lies.", "enabled": True}],
    },
    "novelai": {
        "lorebookVersion": 5,
        "entries": [{"keys": ["bell"], "displayName": "Bell", "text": "It lies.", "forceActivation": True}],
    },
    "v3": {
        "spec": "lorebook_v3",
        "data": {"entries": [{"keys": ["bell"], "name": "Bell", "content": "It lies.", "constant": True}]},
    },
}


def card() -> dict[str, Any]:
    return foreign(nickname="", character_book={"entries": ENTRIES, "extensions": {}})


@pytest.mark.parametrize("kind", OTHERS)
def test_books_of_every_program_are_read(kind: str) -> None:
    [entry] = read_entries(OTHERS[kind])
    assert (entry.topic, entry.content, entry.keys[0]) == ("Bell", "It lies.", "bell")
    assert entry.constant == (kind != "agnai") and entry.enabled and is_lorebook(OTHERS[kind])
    assert not is_lorebook(foreign()) and not is_lorebook({"entries": []}) and read_entries(None) == []


def test_constant_entries_are_kept_and_named_without_a_choice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(as_json(card()))
    told = " ".join(f"{note.message} {note.mend}" for note in import_file(tmp_path / "a.json", tmp_path / "a"))
    assert "lorebook (4 entries)" in told and "2 of them are in every prompt there: Bell, shop" in told
    found = read_character(tmp_path / "a")
    assert found.facts == () and len(lore_of(found.extensions)) == 4


def test_constant_entries_become_facts_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(as_json(card()))
    notes = import_file(tmp_path / "a.json", tmp_path / "a", lore="facts")
    found = read_character(tmp_path / "a")
    assert found.facts[0] == Fact("What do you know about Bell?", "The bell of Haruhi Vale lies.")
    assert LONG.startswith(found.facts[1].answer) and len(found.facts) == 2 and len(found.facts[1].answer) < len(LONG)
    told = " ".join(note.said for note in notes)
    assert "became facts (2 x)" in told and "first sentences alone" in told and "lorebook (" not in told
    again = teach(found, lore_of(found.extensions)[:1], "facts", Counter())
    assert again.facts == found.facts


def test_constant_entries_become_persona(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(as_json(card()))
    import_file(tmp_path / "a.json", tmp_path / "a", lore="persona")
    found = read_character(tmp_path / "a")
    assert "The bell of Haruhi Vale lies.\n\nThe shop has four hundred" in found.persona and not found.facts
    assert "Nobody knows" not in found.persona and "It rains" not in found.persona


def test_one_question_never_gets_two_answers() -> None:
    lore = read_entries({"entries": [{"keys": ["a"], "content": f"{number}."} for number in range(3)]})
    facts = teach(Character("A", "b"), lore, "facts", Counter()).facts
    assert len({fact.question for fact in facts}) == 3


@pytest.mark.parametrize("use", LORE_USES)
def test_a_book_of_its_own_is_added_to_a_character_once(tmp_path: Path, use: Any) -> None:
    write_character(Character("Tola", "Mends clocks."), tmp_path / "tola")
    (tmp_path / "book.json").write_bytes(as_json(OTHERS["risu"]))
    for time in range(2):
        notes = import_file(tmp_path / "book.json", tmp_path / "tola", lore=use)
        (note,) = (note for note in notes if "entries of the lorebook were added" in note.message)
        assert (note.count, note.outcome) == (1 - time, "kept")
    found = read_character(tmp_path / "tola")
    assert [entry.keys for entry in lore_of(found.extensions)] == [("bell", "door")]
    assert (len(found.facts), "It lies." in found.persona) == (use == "facts", use == "persona")
    with pytest.raises(CharacterProblems, match="is a lorebook"):
        import_file(tmp_path / "book.json", tmp_path / "new")
