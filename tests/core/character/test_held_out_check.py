"""The held-out split: its form, and what stands in the training data word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.character.character import Character, Fact, MultipleChoice, TestSplit, message
from pipelines.core.character.checks import check_content
from pipelines.core.character.held_out_check import check_split
from pipelines.core.problems import errors
from tests.core.character.flawless import REPLY, USER, new_problem, talk, with_talk


@pytest.mark.parametrize(
    ("changes", "field", "said", "severity"),
    [
        ({"dialogues": ((talk(4)[0], REPLY),)}, "dialogues[0][0]", "word for word", "error"),
        (
            {"dialogues": ((message("user", "what is bell number 4 MADE of..."), REPLY),)},
            "dialogues[0][0]",
            "word for word",
            "error",
        ),
        ({"dialogues": ((USER, talk(4)[1]),)}, "dialogues[0][1]", "word for word", "warning"),
        ({"dialogues": ((USER,),)}, "dialogues[0][0]", "Test conversation 1 does not end", "error"),
        (
            {"choices": (MultipleChoice("What is bell number 4 made of?", ("a", "b", "c", "d"), 0),)},
            "choices[0].question",
            "word for word",
            "error",
        ),
        ({"choices": (MultipleChoice(" ", ("a", "b", "c", "d"), 0),)}, "choices[0].question", "is empty", "error"),
        ({"choices": (MultipleChoice("Where to?", ("a",), 0),)}, "choices[0].options", "too few", "error"),
        (
            {"choices": (MultipleChoice("Where to?", ("a", "", "c", "d"), 0),)},
            "choices[0].options",
            "empty one",
            "error",
        ),
        ({"choices": (MultipleChoice("Where to?", ("a", "b", "A.", "d"), 0),)}, "choices[0].options", "twice", "error"),
    ],
)
def test_splits(
    ada: Character, split: TestSplit, changes: dict[str, object], field: str, said: str, severity: str
) -> None:
    problem = new_problem(ada, replace(split, **changes))  # type: ignore[arg-type]
    assert (problem.field, problem.severity) == (f"test.yaml: {field}", severity)
    assert said in problem.message


def test_small_talk_may_stand_in_both(ada: Character, split: TestSplit) -> None:
    chat = (message("user", "Tell me more."), REPLY)
    tested = replace(split, dialogues=((chat[0], message("character", "No.")),))
    assert check_content(with_talk(ada, *chat), tested) == []


def test_a_test_line_of_training_is_found_in_a_script_without_spaces() -> None:
    asked, question = "橋の下のお店は今日も開いていますか", "時計の直し方は誰に教わったのですか"
    interactions = ((message("user", asked), message("character", "ええ。")),)
    character = Character("ミラ", "時計を直す。", interactions=interactions, facts=(Fact(question, "叔母"),))
    choices = (MultipleChoice(f"{question}?", ("a", "b"), 0),)
    found = check_split(character, TestSplit(dialogues=interactions, choices=choices))
    assert [problem.field for problem in errors(found)] == [
        "test.yaml: dialogues[0][0]",
        "test.yaml: choices[0].question",
    ]
