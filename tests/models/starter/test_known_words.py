"""Unknown words in front of an image: what becomes of them, and that nothing which the build says changes."""

from __future__ import annotations

import random

import pytest

from pipelines.data.chat_template import ImageTurn, Subject, image_turn, look_ids
from pipelines.models.starter.known_words import (
    CLOTHES_BY_NAME,
    COLOURS_BY_NAME,
    EXPRESSIONS_BY_NAME,
    HAIR_COLOURS_BY_NAME,
    PLACES_BY_NOUN,
    in_known_words,
)
from pipelines.models.starter.model import toy_starter
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, HAIR_COLOURS, KINDS, WIDE_PLACES
from pipelines.starter_build.drawings.attributes import WIDE
from pipelines.starter_build.drawings.caption_templates import captions


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("wearing a violet jumper, in the woods", "wearing a purple sweater, in a forest"),
        ("wearing an emerald-green coat", "wearing a green jacket"),
        ("Wearing a Navy Blue pullover", "Wearing a blue sweater"),
        ("he wears a crimson cloak", "he wears a red cape"),
        ("long auburn hair, light-blue eyes", "long red hair, blue eyes"),
        ("short dark hair", "short black hair"),
        ("an azure scarf", "a blue scarf"),
        ("a smooth violet creature with two horns", "a smooth purple creature with two horns"),
        ("very tired", "sleepy"),
        ("with a big smile", "happy"),
        ("a grumpy face", "angry"),
        ("crying, among the stars", "sad, in space"),
        ("standing in a rainy street at night", "in a city at night"),
        ("in the snowy woods", "in a forest"),
        ("swimming under the sea", "under water"),
        ("in the deep sea", "under water"),
        ("by the sea", "on a beach"),
        ("in bed", "in a bedroom"),
    ],
)
def test_the_nearest_known_word_stands_instead(said: str, known: str) -> None:
    assert in_known_words(said) == known
    assert in_known_words(known) == known


@pytest.mark.parametrize(
    "said",
    [
        "",
        "happy, wearing a purple sweater, in a forest",
        "holding an ice cream",
        "with a gold medal",
        "in a field of lavender",  # a plant, and nothing stands behind it
        "a rose in her hand",
        "a man in black",
        "in the dark",
        "in love",
        "a shaggy coat of brown fur",  # not worn
        "holding a cup in the kitchen",  # what is held must stay
        "in a café",
        "在雪地里穿着紫色毛衣",
    ],
)
def test_other_words_stay(said: str) -> None:
    assert in_known_words(said) == said


def test_every_caption_of_the_build_stays() -> None:
    rng = random.Random(0)
    for number in range(200):
        identity = WIDE.identity(number * 7 + 13)
        attributes = WIDE.sample_attributes(rng, identity, held_out=bool(number % 2))
        for caption in (*captions(identity, attributes, rng), identity.words):
            assert in_known_words(caption) == caption


def test_every_word_of_the_tables_becomes_one_that_captions_have() -> None:
    kinds = {kind for kinds in KINDS.values() for kind in kinds}
    for table, known in (
        (COLOURS_BY_NAME, set(COLOURS)),
        (HAIR_COLOURS_BY_NAME, set(HAIR_COLOURS)),
        (CLOTHES_BY_NAME, kinds),
        (EXPRESSIONS_BY_NAME, set(EXPRESSIONS)),
        (PLACES_BY_NOUN, set(WIDE_PLACES)),
    ):
        assert set(table.values()) <= known and not set(table) & known
    assert in_known_words("wearing a mint green shawl") == "wearing a green scarf"  # blanks and hyphens are alike


def test_an_image_is_drawn_from_known_words_however_it_was_announced() -> None:
    """A look that a person asks for, one that the model wrote in its reply, and the appearance."""
    model, tokenizer = toy_starter(seed=0)
    spec = model.spec
    who, plain = Subject("Mira", "a violet creature"), Subject("Mira", "a purple creature")
    look, known = "giggling, wearing a scarlet jumper", "laughing, wearing a red sweater"
    turn = image_turn(plain, known, spec, tokenizer)
    assert image_turn(who, look, spec, tokenizer) == turn
    written = ImageTurn.of(who, spec, tokenizer)
    assert written.ids([9, 9, *written.chat_head, *look_ids(look, tokenizer), spec.boi_id]) == turn
    assert written.ids([9, 9, *written.chat_head, *look_ids(known, tokenizer), spec.boi_id]) == turn
