"""The bundled characters: their folders pass the checks, and their held-out split asks for nothing that was copied."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.character.checks import check_character
from pipelines.core.character.validate_dialogues import normalized_words

BUNDLED = Path(__file__).resolve().parents[3] / "pipelines" / "core" / "bundled"
QUESTIONS = 40


@pytest.fixture(params=["ambrose-fell", "nella-tarn", "quibb"])
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of one bundled character."""
    return BUNDLED / request.param


def test_nothing_about_the_folder_is_reported(folder: Path) -> None:
    assert check_character(folder) == []


def test_pictures_are_512_pixels_small_files_and_covered_by_the_consent(folder: Path) -> None:
    character, split = read_character(folder), read_test_split(folder)
    paths = [folder / "images" / image.file for image in character.images]
    paths += [folder / "test_images" / image.file for image in split.images]
    assert len(paths) == 15
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (512, 512), path
    assert sum(path.stat().st_size for path in paths) < 800_000
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths[:10]]
    assert character.consent and list(character.consent.image_sha256) == hashes


def test_held_out_pictures_are_new_combinations(folder: Path) -> None:
    seen = [
        (image.expression, image.clothes, image.place)
        for image in (*read_character(folder).images, *read_test_split(folder).images)
    ]
    assert len(set(seen)) == len(seen)


def _likeness(one: str, other: str) -> float:
    """Share of the words of two questions that both have (Jaccard)."""
    first, second = set(normalized_words(one).split()), set(normalized_words(other).split())
    return len(first & second) / len(first | second)


def test_forty_questions_in_words_of_their_own(folder: Path) -> None:
    facts, choices = read_character(folder).facts, read_test_split(folder).choices
    assert len(choices) == QUESTIONS
    assert set(Counter(choice.answer for choice in choices).values()) == {QUESTIONS // 4}  # no place is the right one
    asked = {choice.options[choice.answer] for choice in choices}
    assert {fact.answer for fact in facts} <= asked  # every fact is asked for
    for choice in choices:
        assert len(choice.options) == 4
        nearest = max(facts, key=lambda fact: _likeness(fact.question, choice.question))
        assert _likeness(nearest.question, choice.question) < 0.7, (choice.question, nearest.question)
    for one, other in combinations(choices, 2):
        assert _likeness(one.question, other.question) < 0.7, (one.question, other.question)
