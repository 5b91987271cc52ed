"""Which images are references, and their codes as a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.character.character import Character, CharacterImage
from pipelines.data.references import code_batch, ranked_references, reference_batch, references_of


def ranked(mira: Character, *images: CharacterImage) -> tuple[str, ...]:
    return ranked_references(replace(mira, images=images))


def test_first_a_plain_face_then_a_close_up_then_what_shows_less(mira: Character) -> None:
    images = (
        CharacterImage("far.png", "happy", pose="from afar"),
        CharacterImage("angry.png", "angry"),
        CharacterImage("angry-close.png", "angry", pose="close-up"),
        CharacterImage("calm.png", "calm"),
        CharacterImage("close.png", "happy", pose="close-up"),
        CharacterImage("happy.png", "happy"),
    )
    assert ranked(mira, *images) == (
        "calm.png",
        "close.png",
        "happy.png",
        "angry.png",
        "far.png",
        "angry-close.png",
    )


def test_without_the_other_framing_there_is_still_an_order(mira: Character) -> None:
    close = [CharacterImage(f"{n}.png", "happy", pose="close-up") for n in range(3)]
    assert ranked(mira, *close) == ("0.png", "1.png", "2.png")
    assert ranked(mira, CharacterImage("b.png", "sad"), CharacterImage("a.png", "")) == ("a.png", "b.png")
    assert ranked(mira) == ()


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_an_image_is_never_its_own_reference(count: int) -> None:
    names = ("a.png", "b.png", "c.png")
    assert references_of(names, count) == names[:count]
    for drawn in names:
        others = references_of(names, count, drawn)
        assert drawn not in others and len(others) == min(count, 2)


def test_missing_references_are_filled_with_no_code() -> None:
    codes = {"a.png": [1, 2], "b.png": [3, 4]}
    batch = reference_batch([("a.png", "b.png"), ("b.png",), ()], codes)
    assert batch is not None
    assert batch.tolist() == [[[1, 2], [3, 4]], [[3, 4], [-1, -1]], [[-1, -1], [-1, -1]]]
    assert code_batch([]) is None and code_batch([(), ()]) is None
