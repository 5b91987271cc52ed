"""Checks of the held-out split: its form, what in it training sees word for word, and what somebody chose for it.

A test line that stands in the training data measures memory and not the character, so the user's lines and the
questions are errors and the character's own lines, which may well repeat, are warnings. Files of test pictures are
checked in `folder_image_check.py`.
"""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.character.character import Character, TestSplit
from pipelines.core.character.character_folder import TEST_FILE
from pipelines.core.character.validate_dialogues import check_interactions
from pipelines.core.problems import Problem, Severity
from pipelines.core.words import count_words, normalized_words

SAME_LINE_WORDS = 4
"""Shorter lines ("Why?", "Tell me more.") may stand in training and in the test alike."""


def check_split(character: Character, split: TestSplit) -> list[Problem]:
    """Problems of the held-out split: its form, and lines or questions that training sees word for word."""
    known_images = tuple(image.file for image in (*split.images, *character.images))
    shown = (*split.input_images, *character.input_images)
    found = check_interactions(split.dialogues, known_images, {}, "dialogues", "test conversation", input_images=shown)
    found += _check_choices(split)
    # "What do you see?" about another picture is another question.
    asked = {
        (normalized_words(turn.text), turn.images)
        for item in character.interactions
        for turn in item
        if turn.role == "user"
    }
    asked |= {(normalized_words(fact.question), ()) for fact in character.facts}
    replied: set[tuple[str, tuple[str, ...]]] = {
        (normalized_words(turn.text), ())
        for item in character.interactions
        for turn in item
        if turn.role == "character"
    }
    for number, dialogue in enumerate(split.dialogues):
        for index, turn in enumerate(dialogue):
            field, what = f"dialogues[{number}][{index}]", f"test conversation {number + 1}, turn {index + 1}"
            if turn.role == "user":
                found += _seen_in_training(turn.text, asked, field, what, "error", turn.images)
            elif turn.role == "character":
                found += _seen_in_training(turn.text, replied, field, what, "warning")
    for number, choice in enumerate(split.choices):
        field = f"choices[{number}].question"
        found += _seen_in_training(choice.question, asked, field, f"test question {number + 1}", "error")
    return [replace(problem, field=f"{TEST_FILE}: {problem.field}") for problem in found]


def check_held_out(character: Character) -> list[Problem]:
    """Problems of what somebody chose to be held out: what is not there, and nothing left to learn."""
    chosen = character.held_out
    found = []
    for key, what, places, count in (
        ("conversations", "conversation", chosen.conversations, len(character.interactions)),
        ("facts", "fact", chosen.facts, len(character.facts)),
    ):
        for place in places or ():
            if place >= count:
                message = f"Place {place} of the held-out {key} is none of the {count} that there are."
                found.append(Problem(f"held_out.{key}", message, f"Name a {what} by its place, counted from 0."))
    files = [image.file for image in character.images]
    for name in chosen.images or ():
        if name not in files:
            message = f"The held-out picture {name} is none of the character's pictures."
            found.append(Problem("held_out.images", message, "Choose one of the pictures, or take the line out."))
        elif name in character.references:
            message = f"The picture {name} is kept for the test, and a reference as well."
            mend = "Choose another one for one of the two: what is drawn from cannot be measured against."
            found.append(Problem("held_out.images", message, mend))
    everything: tuple[tuple[str, str, set[object], set[object]], ...] = (
        ("conversations", "conversation", set(chosen.conversations or ()), set(range(len(character.interactions)))),
        ("images", "picture", set(chosen.images or ()), set(files)),
    )
    for key, what, kept, there in everything:
        if kept and kept >= there:
            message = f"Every {what} is kept for the test, so nothing is left to learn from."
            found.append(Problem(f"held_out.{key}", message, f"Keep one {what} in eight, or two."))
    return found


def _seen_in_training(
    text: str,
    trained: set[tuple[str, tuple[str, ...]]],
    field: str,
    what: str,
    severity: Severity,
    images: tuple[str, ...] = (),
) -> list[Problem]:
    words = normalized_words(text)
    if count_words(words) < SAME_LINE_WORDS or (words, images) not in trained:
        return []
    return [
        Problem(
            field,
            f"{what.capitalize()} stands in the training data word for word: {text[:80]!r}.",
            "Word it differently in one of the two, or the score only measures memory.",
            severity,
        )
    ]


def _check_choices(split: TestSplit) -> list[Problem]:
    found = []
    for number, choice in enumerate(split.choices):
        field, what = f"choices[{number}]", f"Test question {number + 1}"
        if not choice.question.strip():
            found.append(Problem(f"{field}.question", f"{what} is empty.", "Write the question, or take it out."))
        if len(choice.options) < 2 or not all(option.strip() for option in choice.options):
            found.append(Problem(f"{field}.options", f"{what} has too few options, or an empty one.", "Give it four."))
        elif len({normalized_words(option) for option in choice.options}) < len(choice.options):
            found.append(Problem(f"{field}.options", f"{what} has the same option twice.", "Change one of the two."))
    return found
