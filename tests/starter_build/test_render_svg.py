"""Drawings: every word of the vocabulary can be drawn and is seen, and what is held out stays out."""

from __future__ import annotations

import io
import json
import random
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
import yaml
from PIL import Image

from pipelines.models.starter.vocabulary import (
    ALL_STYLES,
    COLOURS,
    EXPRESSIONS,
    EXTRAS,
    FIRST_STYLES,
    HAIR_COLOURS,
    KINDS,
    PLACES,
    POSES,
    RARE_HAIR_COLOURS,
    WIDE_PLACES,
    WIDE_POSES,
    clothes_phrase,
)
from pipelines.starter_build.draw_bundled import BUNDLED, IDENTITIES, draw, render_character
from pipelines.starter_build.drawings.attributes import (
    FIRST,
    TRAINING_NUMBERS,
    WIDE,
    Attributes,
    Domain,
    Identity,
    identity_for,
    is_held_out_combination,
    is_held_out_identity,
    random_identity,
)
from pipelines.starter_build.drawings.caption_templates import CAPTION_SHARES, captions, questions
from pipelines.starter_build.drawings.render_svg import render_image, svg
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, attributes_of, read_images, render_images


@pytest.fixture(params=ALL_STYLES)
def identity(request: pytest.FixtureRequest) -> Identity:
    """One figure of each style."""
    return random_identity(random.Random(3), request.param)


def _pixels(identity: Identity, attributes: Attributes, px: int = 48) -> np.ndarray:
    return np.asarray(render_image(identity, attributes, px)).astype(int)


def _first_attributes(identity: Identity) -> Attributes:
    return Attributes("happy", clothes_phrase("red", KINDS[identity.style][0]), "in a park")


@pytest.mark.parametrize("px", [32, 96, 192])
def test_picture_has_the_asked_size_and_is_the_same_every_time(identity: Identity, px: int) -> None:
    attributes = _first_attributes(identity)
    image = render_image(identity, attributes, px)
    assert image.mode == "RGB"
    assert image.size == (px, px)
    assert image.tobytes() == render_image(identity, attributes, px).tobytes()


@pytest.mark.parametrize("field", ["expression", "place", "pose", "extra", "colour", "kind"])
def test_every_word_of_the_vocabulary_changes_the_picture(identity: Identity, field: str) -> None:
    kinds = KINDS[identity.style]
    attributes_list = {
        "expression": [Attributes(word, clothes_phrase("red", kinds[0]), "in a park") for word in EXPRESSIONS],
        "place": [Attributes("happy", clothes_phrase("red", kinds[0]), word) for word in WIDE_PLACES],
        "pose": [Attributes("happy", clothes_phrase("red", kinds[0]), "in a park", word) for word in WIDE_POSES],
        "extra": [
            Attributes("happy", clothes_phrase("red", kinds[0]), "in a park", "", word) for word in ("", *EXTRAS)
        ],
        "colour": [Attributes("happy", clothes_phrase(word, kinds[0]), "in a park") for word in COLOURS],
        "kind": [Attributes("happy", clothes_phrase("red", word), "in a park") for word in kinds],
    }[field]
    images = [_pixels(identity, attributes) for attributes in attributes_list]
    differences = [np.abs(one - other).mean() for one, other in combinations(images, 2)]
    assert min(differences) > 0.4  # of 255, over the whole picture


def test_identities_differ_and_stay_the_same_in_every_look() -> None:
    identities = [identity_for(index) for index in range(200)]
    assert identities == [identity_for(index) for index in range(200)]
    assert len(set(identities)) > 195
    assert {identity.style for identity in identities} == set(FIRST_STYLES)
    attributes = Attributes("happy", "a red hoodie", "in a park")
    rendered = [
        _pixels(identity, attributes, 32).tobytes() for identity in identities if identity.style == "avataaars"
    ][:20]
    assert len(set(rendered)) == 20


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        (Attributes("bored", "a red hoodie", "in a park"), "bored"),
        (Attributes("happy", "a mauve hoodie", "in a park"), "a mauve hoodie"),
        (Attributes("happy", "a red cape", "in a park"), "a red cape"),
        (Attributes("happy", "a red hoodie", "at home"), "at home"),
        (Attributes("happy", "a red hoodie", "in a park", "upside down"), "upside down"),
        (Attributes("happy", "a red hoodie", "in a park", "", "holding a piano"), "holding a piano"),
    ],
)
def test_what_cannot_be_drawn_is_named(attributes: Attributes, named: str) -> None:
    identity = random_identity(random.Random(0), "avataaars")
    with pytest.raises(ValueError, match=named):
        svg(identity, attributes)


def test_two_of_a_hundred_combinations_and_every_twentieth_identity_are_held_out() -> None:
    attributes_list = [
        Attributes(expression, clothes_phrase("red", kind), place)
        for expression in EXPRESSIONS
        for kinds in KINDS.values()
        for kind in kinds
        for place in PLACES
    ]
    share = sum(map(is_held_out_combination, attributes_list)) / len(attributes_list)
    assert 0.01 < share < 0.03
    rng = random.Random(0)
    sampled = [FIRST.sample_attributes(rng, identity_for(1)) for _ in range(500)]
    assert not any(map(is_held_out_combination, sampled))
    assert is_held_out_combination(FIRST.sample_attributes(rng, identity_for(1), held_out=True))
    assert [index for index in range(50) if is_held_out_identity(index)] == [0, 20, 40]


def test_held_out_rule_does_not_depend_on_colour_or_pose() -> None:
    attributes_list = [Attributes("sad", f"a {colour} scarf", "in space", pose) for colour in COLOURS for pose in POSES]
    assert len({is_held_out_combination(attributes) for attributes in attributes_list}) == 1


def test_captions_name_the_look_in_varied_words(identity: Identity) -> None:
    rng = random.Random(1)
    for _ in range(20):
        attributes = FIRST.sample_attributes(rng, identity)
        written = captions(identity, attributes, rng, name="Tomo")
        assert written[0] == attributes.description
        assert written[1] == f"Tomo, {attributes.description}"
        assert len(set(written)) == len(written)
        for words in written[:7]:
            assert attributes.place in words
            assert attributes.clothes in words
        assert all(attributes.expression in written[at] for at in (0, 1, 2, 5, 6))
        assert identity.words in written[2]
        assert identity.noun in written[4]


def test_captions_of_the_figure_speaking_and_of_two_sentences_name_everything_too(identity: Identity) -> None:
    rng = random.Random(1)
    attributes = Attributes("sad", clothes_phrase("orange", KINDS[identity.style][0]), "on a ship", "", "holding a cup")
    written = captions(identity, attributes, rng, name="Tomo")
    assert len(written) == len(CAPTION_SHARES) - 1
    bare = attributes.clothes.removeprefix("an ")
    for words in (written[2], *written[8:]):
        assert all(part in words for part in ("sad", bare, "on a ship", "holding a cup")), words
    assert "holding a cup" in written[3] and len(written[7].split(", ")) == 2
    assert "my " + bare in written[8] and "I have my " + bare in written[9]
    assert attributes.description == f"sad, holding a cup, wearing {attributes.clothes}, on a ship"


def test_questions_are_answered_from_the_drawing(identity: Identity) -> None:
    rng = random.Random(2)
    attributes = Attributes("sad", clothes_phrase("orange", KINDS[identity.style][0]), "on a ship")
    answers: dict[str, set[str]] = {}
    for _ in range(150):
        for question, answer in questions(identity, attributes, rng):
            answers.setdefault(question, set()).add(answer)
    assert all(len(given) == 1 for given in answers.values())  # one question never has two answers
    assert answers["Where is this?"] == {"on a ship"}
    assert answers[f"What colour is the {attributes.kind}?"] == {"orange"}
    assert answers["Are they sad?"] == {"yes"}
    assert answers["Are they happy?"] == {"no"}


def test_phrases_have_the_right_article() -> None:
    assert clothes_phrase("orange", "hoodie") == "an orange hoodie"
    assert clothes_phrase("blue", "dress") == "a blue dress"
    assert clothes_phrase("blue", "overalls") == "blue overalls"
    assert clothes_phrase("blue", "") == ""
    assert (Attributes("sad", "an orange bow tie", "in space").colour, Attributes("sad", "blue overalls", "").kind) == (
        "orange",
        "overalls",
    )


@pytest.mark.parametrize("held_out", [False, True])
def test_drawn_set_matches_its_attributes(tmp_path, held_out: bool) -> None:
    made = render_images(tmp_path, count=25, seed=4, px=32, held_out=held_out, processes=1)
    pixels, records = read_images(tmp_path)
    assert made == {"pictures": 25, "identities": 3}
    assert pixels.shape == (25, 32, 32, 3)
    assert [record["identity"] for record in records[::IMAGES_PER_IDENTITY]] == ([0, 20, 40] if held_out else [1, 2, 3])
    assert any(record["held_out_look"] for record in records) == held_out
    for at in (0, 13, 24):
        identity = identity_for(records[at]["identity"])
        assert records[at]["words"] == identity.words
        assert np.array_equal(pixels[at], np.asarray(render_image(identity, attributes_of(records[at]), 32)))


def test_wide_domain_keeps_identities_and_combinations_apart() -> None:
    trained = {WIDE.identity(number) for number in range(4000) if not is_held_out_identity(number)}
    kept = {WIDE.identity(number) for number in range(0, 4000, 20)}
    assert not trained & kept
    assert {identity.style for identity in trained} == {identity.style for identity in kept} == set(ALL_STYLES)
    first = {identity_for(number) for number in range(TRAINING_NUMBERS) if not is_held_out_identity(number)}
    assert not first & kept
    rng = random.Random(0)
    attributes_list = [WIDE.sample_attributes(rng, WIDE.identity(number)) for number in range(1, 1500)]
    assert not any(map(is_held_out_combination, attributes_list))
    assert {attributes.extra for attributes in attributes_list} == {"", *EXTRAS} and {
        attributes.pose for attributes in attributes_list
    } == set(WIDE_POSES)
    assert is_held_out_combination(WIDE.sample_attributes(rng, WIDE.identity(20), held_out=True))


def test_domains_have_names_and_refuse_unknown_styles() -> None:
    assert (Domain.named("first"), Domain.named("wide")) == (FIRST, WIDE)
    assert Domain.named("micah, animals").styles == ("micah", "animals")
    assert FIRST.identity(7) == identity_for(7)
    with pytest.raises(ValueError, match="oil painting: choose of avataaars"):
        Domain.named("oil painting")


def test_every_style_has_its_licence_written_down() -> None:
    page = (files("pipelines.models.starter") / "LICENCES.md").read_text(encoding="utf-8")
    for style in set(ALL_STYLES) - {"animals"}:
        meta = json.loads((files("dicebear_styles") / f"{style}.json").read_text(encoding="utf-8"))["meta"]
        line = next(line for line in page.splitlines() if f"`{style}`" in line)
        assert meta["license"]["name"] in line and meta["creator"]["name"] in line


def test_bundled_and_held_out_identities_are_no_training_identities() -> None:
    trained = {identity_for(index) for index in range(TRAINING_NUMBERS) if not is_held_out_identity(index)}
    assert not trained & {identity_for(index) for index in range(0, TRAINING_NUMBERS, 20)}
    for identity in IDENTITIES.values():  # a rare trait, which no random identity of any domain has
        assert identity.top_colour in set(RARE_HAIR_COLOURS) - set(HAIR_COLOURS)
        assert identity.style in WIDE.styles and identity.top_colour in identity.words


def test_bundled_pictures_are_what_the_code_draws(tmp_path) -> None:
    root = files("pipelines.core") / "bundled"
    for slug in BUNDLED:
        shown = yaml.safe_load((root / slug / "character.yaml").read_text(encoding="utf-8"))["images"][:3]
        for document in ("character.yaml", "test.yaml"):
            (tmp_path / document).write_text(yaml.safe_dump({"images": shown}), encoding="utf-8")
        assert render_character(tmp_path, lambda attributes, slug=slug: draw(slug, attributes)) == 6
        for entry in shown:
            stored = Image.open(io.BytesIO((root / slug / "images" / entry["file"]).read_bytes())).convert("RGB")
            drawn = Image.open(tmp_path / "images" / entry["file"]).convert("RGB")
            assert stored.size == drawn.size == (512, 512)
            assert np.abs(np.asarray(stored).astype(int) - np.asarray(drawn)).mean() < 1.5  # of 255
            assert (tmp_path / "test_images" / entry["file"]).exists()


def test_a_bundled_look_that_cannot_be_drawn_names_the_file(tmp_path) -> None:
    for slug in BUNDLED:
        clothes = "a red scarf" if slug == "quibb" else "a red t-shirt"  # what its style has
        bad = {"file": "03.png", "expression": "happy", "place": "in a tent", "clothes": clothes}
        (tmp_path / "character.yaml").write_text(yaml.safe_dump({"images": [bad]}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"character\.yaml, picture 03\.png: .*'in a tent'"):
            render_character(tmp_path, lambda attributes, slug=slug: draw(slug, attributes))


def test_what_is_held_stands_in_the_pose_of_an_image() -> None:
    attributes = Attributes.of_image("happy", "a red scarf", "in space", "close-up, holding a cup")
    assert attributes == Attributes("happy", "a red scarf", "in space", "close-up", "holding a cup")
    assert attributes.full_pose == "close-up, holding a cup"
    assert Attributes.of_image("happy", "", "in space").full_pose == ""
