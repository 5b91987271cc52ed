"""The split that is set aside when a creator wrote none."""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.holdout import hold_out
from tests.toys import toy


def test_nothing_held_out_is_seen() -> None:
    character, _ = toy()
    seen, split = hold_out(character)
    assert hold_out(character) == (seen, split)
    assert len(split.dialogues) == 1 and len(split.images) == 1
    assert not set(split.dialogues) & set(seen.interactions)
    gone = {image.file for image in split.images}
    assert {image.file for image in seen.images} == {image.file for image in character.images} - gone
    for interaction in seen.interactions:
        assert not any(gone & set(turn.pictures) for turn in interaction)


def test_choices_are_made_from_facts() -> None:
    character, _ = toy()
    answers = {fact.question: fact.answer for fact in character.facts}
    _, split = hold_out(character)
    assert len(split.choices) == 6
    for choice in split.choices:
        assert choice.options[choice.answer] == answers[choice.question]
        assert len(set(choice.options)) == 4 and set(choice.options) <= set(answers.values())


def test_little_is_left_alone() -> None:
    character, _ = toy()
    small = replace(
        character, interactions=character.interactions[:4], images=character.images[:4], facts=character.facts[:3]
    )
    seen, split = hold_out(small)
    assert seen == small and split.dialogues == split.images == split.choices == ()
