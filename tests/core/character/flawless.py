"""A character and a held-out split without a single problem, to be damaged by the tests of the checks."""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.character.character import (
    Character,
    CharacterImage,
    Consent,
    Fact,
    Interaction,
    Message,
    MultipleChoice,
    TestSplit,
    message,
)
from pipelines.core.character.checks import check_content
from pipelines.core.character.image_decode import image_sha256
from pipelines.core.problems import Problem
from tests.core.drawings import drawing, encoded

LOOKS = (
    ("happy", "a red hoodie", "on a beach", "close-up"),
    ("sad", "a blue coat", "in the snow", ""),
    ("angry", "a red hoodie", "in a forest", ""),
    ("surprised", "a green scarf", "in a park", "from afar"),
    ("sleepy", "a blue coat", "on a ship", ""),
    ("winking", "a red hoodie", "in space", "tilted"),
)
PICTURES = {f"{n}.png": encoded(drawing(n, 256, 256)) for n in range(9)}


USER, REPLY = message("user", "Do you like the gulls at all?"), message("character", "Not one of them.")
LONG = "many words follow here "


def talk(number: int, *more: Message) -> Interaction:
    return (
        message("user", f"Tell me about night {number} on the water, please."),
        message("character", f"Night {number}? The bell rang {number} times and nobody drowned."),
        *more,
    )


def flawless_character() -> Character:
    """A character without a single problem."""
    talks = [
        talk(n, message("user", f"And what of the way back, night {n}?"), message("character", f"{n} bells again."))
        for n in range(9)
    ]
    shown = (message("user", "Where are you now?"), message("character", "By the sea.", ["0.png"], "Ada, happy"))
    return Character(
        name="Ada",
        persona="Ada has steered the night ferry for thirty years and knows each bell of the harbour by its voice.",
        style="Short sentences. Says aye. Never swears.",
        appearance="A round face with a scar on the chin.",
        facts=tuple(
            Fact(f"What is bell number {n} made of?", f"{metal}")
            for n, metal in enumerate(("tin", "iron", "glass", "brass", "silver", "clay"))
        ),
        images=tuple(CharacterImage(f"{n}.png", *look) for n, look in enumerate(LOOKS)),
        interactions=(*talks, shown),
        consent=Consent("Drawn for this test.", "Ann", "2026-11-21", tuple(map(image_sha256, PICTURES.values()))),
        licence="CC0-1.0",
    )


def flawless_split() -> TestSplit:
    """A held-out split without a single problem for `flawless_character`."""
    return TestSplit(
        dialogues=((message("user", "Will it rain on the way over?"), message("character", "Aye, before four.")),),
        choices=(MultipleChoice("Which metal is the third bell?", ("Tin", "Glass", "Clay", "Iron"), 1),),
        images=(CharacterImage("t.png", "sad", "a red hoodie", "on a ship"),),
    )


def with_talk(ada: Character, *turns: Message) -> Character:
    """The character with one more conversation, number 11 (interactions[10])."""
    return replace(ada, interactions=(*ada.interactions, turns))


def new_problem(character: Character, split: TestSplit | None = None) -> Problem:
    """The only problem of a character."""
    (problem,) = check_content(character, split)
    assert problem.mend.endswith((".", "?"))
    return problem
