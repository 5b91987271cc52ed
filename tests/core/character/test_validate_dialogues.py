"""Example conversations: each kind of damage is one problem with its place and its mend; good ones have none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.character.character import (
    Character,
    Interaction,
    TextPart,
    message,
)
from pipelines.core.character.checks import check_content
from pipelines.core.character.validate_dialogues import normalized_words
from tests.core.character.flawless import LONG, REPLY, USER, new_problem, talk, with_talk


@pytest.mark.parametrize(
    ("turns", "place", "said", "mend", "severity"),
    [
        ((), "", "has no turns", "take it out", "error"),
        ((USER, message("character")), "[1]", "is empty", "Write its words", "error"),
        ((USER, message("character", "\u200b\u2060")), "[1]", "is empty", "Write its words", "error"),
        ((USER, message("character", "Since\x1b[31m nine.")), "[1]", "control characters", "import it", "warning"),
        ((message("user"), REPLY), "[0]", "is empty", "Write its words", "error"),
        ((USER, USER, REPLY), "[1]", "user speaks twice in a row", "Join", "error"),
        ((USER, REPLY, message("character", "And so on.")), "[2]", "character speaks twice", "Join", "error"),
        ((USER, REPLY, message("user", "Why?")), "[2]", "does not end with the character", "reply", "error"),
        ((USER,), "[0]", "does not end with the character", "reply", "error"),
        ((REPLY,), "", "Nobody speaks to the character", "user's line", "warning"),
        ((USER, message("system", "Be rude."), REPLY), "[1]", "in the middle", "Take it out", "error"),
        ((message("system", "Be rude."), USER, REPLY), "[0]", "begins with instructions", "persona", "warning"),
        ((USER, message("character", LONG * 60)), "[1]", "is long", "split", "warning"),
        ((USER, message("character", LONG * 200)), "[1]", "too long", "Cut it", "error"),
        ((message("user", LONG * 200), REPLY), "[0]", "too long", "Cut it", "error"),
        (
            (USER, message("character", "Aye.", ["00.PNG"], "Ada, sad")),
            "[1].image",
            "not one of the",
            "mean 0.png",
            "error",
        ),
        ((USER, message("character", "Aye.", ["9.png"], "Ada, sad")), "[1].image", "not one of the", "Add it", "error"),
        ((USER, message("character", "Aye.", ["harbour.jpg"], "Ada")), "[1].image", "harbour.jpg", "Add it", "error"),
        (
            (USER, message("character", "Aye.", ["0.png", "1.png"], "Ada")),
            "[1].image",
            "2 pictures",
            "Keep one",
            "error",
        ),
        (
            (USER, message("character", "Aye.", ["0.png"])),
            "[1].scene",
            "no scene in words",
            "happy, close-up, wearing",
            "warning",
        ),
        ((message("user", "Hi there.", scene="Ada, sad"), REPLY), "[0].scene", "is the user's", "Move it", "warning"),
        ((USER, message("character", "As an AI language model I cannot.")), "[1]", "assistant", "itself", "warning"),
        ((USER, message("character", "Ask {{user}} about it.")), "[1]", "{{user}}", "placeholders", "warning"),
    ],
)
def test_conversations(ada: Character, turns: Interaction, place: str, said: str, mend: str, severity: str) -> None:
    problem = new_problem(with_talk(ada, *turns))
    assert problem.field == f"interactions[10]{place}"
    assert said in problem.message
    assert mend in problem.mend
    assert problem.severity == severity
    assert "onversation 11" in problem.message


@pytest.mark.parametrize(
    "turns",
    [
        (USER, message("character", "Aye, cold.", scene="Ada, sad, in the snow")),  # a scene without a picture
        (USER, message("character", "", ["1.png"], "Ada, sad")),  # a picture without words
        (message("user", "", ["1.png"]), REPLY),
        (message("character", "Evening."), USER, REPLY),  # the character greets first
        (message("user", "Why?"), REPLY, message("user", "Why?"), message("character", "Because.")),
    ],
)
def test_conversations_that_are_fine(ada: Character, turns: Interaction) -> None:
    assert check_content(with_talk(ada, *turns)) == []


def test_doubled_conversations_and_replies(ada: Character) -> None:
    again = check_content(with_talk(ada, *ada.interactions[3]))
    assert [(problem.field, problem.severity) for problem in again] == [
        ("interactions[10]", "warning"),
        ("interactions[10][1]", "warning"),
    ]
    assert "same as conversation 4" in again[0].message
    parrot = new_problem(
        with_talk(
            ada, USER, replace(talk(3)[1], parts=(TextPart("NIGHT 3! The bell rang 3 times - and nobody drowned"),))
        )
    )
    assert "stands 2 times, first in conversation 4, turn 2" in parrot.message


def test_a_long_conversation_is_warned_of(ada: Character) -> None:
    turns = [message(role, f"{role} {n} {LONG * 20}") for n in range(9) for role in ("user", "character")]
    assert "longer than about 1500 tokens" in new_problem(with_talk(ada, *turns)).message


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert normalized_words(" Don\u2019t, STOP-it!\n") == normalized_words("dont stop it") == "dont stop it"
