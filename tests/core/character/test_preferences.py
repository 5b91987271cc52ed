"""Preferences in `character.yaml`: there and back, what teaches nothing, and which are kept back."""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.character.character import Character, Preference, message
from pipelines.core.character.preferences import REJECTED_KEY, split_preferences
from pipelines.core.character.serialize import character_from_entries, character_to_entries
from pipelines.core.problems import Problem


def preference(number: int) -> Preference:
    chosen = message("character", f"Aye {number}.", scene="Mira, smiling")
    return Preference(f"Question {number}?", chosen, message("character", f"As a model {number}."))


def test_there_and_back(mira: Character) -> None:
    character = replace(mira, preferences=tuple(map(preference, range(3))))
    problems: list[Problem] = []
    assert character_from_entries(character_to_entries(character), problems) == character and not problems


def test_what_teaches_nothing_is_left_out_and_what_is_wrong_is_named(mira: Character) -> None:
    entries = character_to_entries(mira) | {
        "preferences": [
            {"prompt": "Who?", "chosen": "Mira.", "rejected": {"text": "Nobody."}},
            {"prompt": "Who?", "chosen": "Mira.", "rejected": "Mira."},
            {"prompt": "", "chosen": "Mira.", "rejected": "Nobody."},
            {"prompt": "Who?", "chosen": "Mira."},
            {"prompt": "Who?", "chosen": ["Mira"], "rejected": "Nobody."},
            "Who?",
        ]
    }
    problems: list[Problem] = []
    character = character_from_entries(entries, problems)
    assert character.preferences == (
        Preference("Who?", message("character", "Mira."), message("character", "Nobody.")),
    )
    assert {problem.field for problem in problems} == {
        "preferences[3].rejected",
        "preferences[4].chosen",
        "preferences[5]",
    }


def test_every_fifth_is_kept_back_and_imported_ones_count(mira: Character) -> None:
    kept = [{"prompt": "Rain?", "chosen": "Always.", "rejected": "Sometimes."}, {"prompt": 7}, "x"]
    character = replace(mira, preferences=tuple(map(preference, range(9))), extensions={REJECTED_KEY: kept})
    learned, held_out = split_preferences(character)
    assert [one.prompt for one in held_out] == ["Question 3?", "Question 8?"]
    assert learned[0].chosen.text == "Always." and len(learned) == 8
    assert split_preferences(mira) == ((), ())
