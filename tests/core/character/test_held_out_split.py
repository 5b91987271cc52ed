"""The split that is set aside when a creator wrote none: the same every time, and never trained on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.character.character import Character, CharacterImage, Fact, Interaction, message
from pipelines.core.character.held_out_split import choices_from_facts, hold_out
from pipelines.core.character.validate_dialogues import normalized_words
from tests.toys import toy


@pytest.fixture
def ada() -> Character:
    """Six pictures, eight conversations (the last two with a picture), six facts."""
    return toy()[0]


def talk(number: int) -> Interaction:
    return message("user", f"Tell me about night {number}."), message("character", f"The bell rang {number} times.")


def test_nothing_held_out_is_seen(ada: Character) -> None:
    training, split = hold_out(ada)
    assert hold_out(ada) == (training, split)
    assert split.dialogues == ada.interactions[7:] and training.interactions == ada.interactions[:7]
    assert split.images == ada.images[5:] and training.images == ada.images[:5]
    assert training.facts == ada.facts  # the questions ask whether they were learned


def test_a_shown_picture_that_is_held_out_leaves_its_words_and_scene(ada: Character) -> None:
    images = (*ada.images, CharacterImage("07.png", "calm"), CharacterImage("08.png", "awed"))
    shown = (message("user", "Show me."), message("character", "Look.", ["08.png"], "Ada, awed"))
    training, split = hold_out(replace(ada, images=images, interactions=(*(talk(n) for n in range(16)), shown)))
    assert split.dialogues == (talk(7), talk(15)) and len(training.interactions) == 15
    assert [image.file for image in split.images] == ["08.png"] and len(training.images) == 7
    assert training.interactions[-1] == (shown[0], message("character", "Look.", scene="Ada, awed"))


def test_little_is_left_alone(ada: Character) -> None:
    small = replace(ada, interactions=ada.interactions[:7], images=ada.images[:5], facts=ada.facts[:3])
    training, split = hold_out(small)
    assert training == small and split.dialogues == split.images == split.choices == ()


def test_questions_are_made_from_facts(ada: Character) -> None:
    facts = (*ada.facts, Fact("Who taught you?", "Old Marn"), Fact("Who waits at home?", "A grey cat"))
    choices = choices_from_facts(facts)
    assert [choice.question for choice in choices] == [fact.question for fact in facts]
    for choice, fact in zip(choices, facts, strict=True):
        assert choice.options[choice.answer] == fact.answer
        assert len({normalized_words(option) for option in choice.options}) == 4
    assert set(choices[0].options) <= {fact.answer for fact in ada.facts}  # wrong answers are of the same kind
    assert "Old Marn" in choices[7].options
    assert len({choice.answer for choice in choices}) > 1


def test_questions_need_four_different_answers_and_are_at_most_twenty(ada: Character) -> None:
    assert choices_from_facts(ada.facts[:3]) == ()
    assert choices_from_facts([Fact(f"Question {n}?", "yes") for n in range(9)]) == ()
    assert len(choices_from_facts([Fact(f"Question {n}?", f"answer {n}") for n in range(90)])) == 20
