"""Own art: every word changes the picture, what cannot be drawn is named, and the three folders can be trained on."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.character.checks import check_character
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, WIDE_PLACES, WIDE_POSES, clothes_phrase
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.framing import OwnArt
from pipelines.starter_build.own_art.quibb.figure import QUIBB
from pipelines.starter_build.own_art.sets import SETS, main, write_folder
from pipelines.starter_build.own_art.svg import fitted, mixed, rasterized, rect, scattered

ARTS = {"quibb": QUIBB, **{slug: chosen.art for slug, chosen in SETS.items()}}


@pytest.fixture(params=list(ARTS))
def art(request: pytest.FixtureRequest) -> OwnArt:
    """The art of each character."""
    return ARTS[request.param]


def _pixels(art: OwnArt, attributes: Attributes, px: int = 64) -> np.ndarray:
    return np.asarray(art.draw(attributes, px)).astype(int)


@pytest.mark.parametrize("field", ["expression", "place", "pose", "extra", "colour", "kind"])
def test_every_word_changes_the_picture(art: OwnArt, field: str) -> None:
    worn = clothes_phrase("red", art.kinds[0])
    looks = {
        "expression": [Attributes(word, worn, "in a park") for word in EXPRESSIONS],
        "place": [Attributes("happy", worn, word) for word in art.places],
        "pose": [Attributes("happy", worn, "in a park", word) for word in art.frames],
        "extra": [Attributes("happy", worn, "in a park", "", word) for word in ("", *art.extras)],
        "colour": [Attributes("happy", clothes_phrase(word, art.kinds[0]), "in a park") for word in COLOURS],
        "kind": [Attributes("happy", clothes_phrase("red", word), "in a park") for word in art.kinds],
    }[field]
    images = [_pixels(art, look) for look in looks]
    assert min(np.abs(one - other).mean() for one, other in combinations(images, 2)) > 0.4  # of 255


def test_a_picture_has_the_asked_size_and_is_the_same_every_time(art: OwnArt) -> None:
    look = Attributes("winking", clothes_phrase("blue", art.kinds[0]), "in the snow", "close-up")
    image = art.draw(look, 48)
    assert (image.mode, image.size) == ("RGB", (48, 48))
    assert image.tobytes() == art.draw(look, 48).tobytes()


@pytest.mark.parametrize("slug", list(SETS))
def test_the_sets_draw_every_face_in_every_place_of_the_wide_domain(slug: str) -> None:
    art = SETS[slug].art
    assert set(art.places) == set(WIDE_PLACES) and set(art.frames) == set(WIDE_POSES)
    for at, place in enumerate(art.places):  # the text of a picture is what can go wrong; pixels are seen above
        for expression in EXPRESSIONS:
            kind = art.kinds[at % len(art.kinds)]
            elements = art.svg(Attributes(expression, clothes_phrase("green", kind), place))
            assert elements.startswith("<") and "None" not in elements and "nan" not in elements


@pytest.mark.parametrize(
    ("look", "named"),
    [
        (Attributes("bored", "a red scarf", "in a park"), "expression 'bored'"),
        (Attributes("happy", "a mauve scarf", "in a park"), "colour 'mauve'"),
        (Attributes("happy", "red overalls", "in a park"), "clothes 'overalls'"),
        (Attributes("happy", "a red scarf", "at home"), "place 'at home'"),
        (Attributes("happy", "a red scarf", "in a park", "upside down"), "pose 'upside down'"),
        (Attributes("happy", "a red scarf", "in a park", "", "holding a piano"), "extra 'holding a piano'"),
    ],
)
def test_what_cannot_be_drawn_is_named(art: OwnArt, look: Attributes, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        art.svg(look)


@pytest.mark.parametrize("slug", list(SETS))
def test_a_folder_of_a_set_is_accepted_and_shows_much(tmp_path: Path, slug: str) -> None:
    write_folder(slug, tmp_path, px=256)
    assert check_character(tmp_path) == []
    character, split = read_character(tmp_path), read_test_split(tmp_path)
    assert (len(character.images), len(split.images)) == (10, 5)
    assert len({image.place for image in character.images}) >= 6
    assert len({image.expression for image in character.images}) >= 6
    close_ups = [image.pose for image in character.images if "close-up" in image.pose]
    assert 3 <= len(close_ups) <= 7  # the others show whole figures
    shown = [(image.expression, image.clothes, image.place) for image in (*character.images, *split.images)]
    assert len(set(shown)) == 15
    assert len(character.facts) >= 8 and len(character.interactions) >= 6 and len(split.choices) >= 8
    assert {fact.answer for fact in character.facts} >= {choice.options[choice.answer] for choice in split.choices}
    assert any(turn.images for talk in character.interactions for turn in talk)


def test_the_command_refuses_unknown_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "mona-lisa"])
    assert "no set is called mona-lisa" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_shapes_and_colours() -> None:
    assert fitted("M0 -1H2V3Z", 10, 20, 2, 5) == "M10.00 15.00 H14.00 V35.00 Z"
    assert (mixed("#000000", "#ffffff", 0.5), mixed("#ff0000", "#0000ff", 0.0)) == ("#808080", "#ff0000")
    assert scattered("stars", 3, 0, 0, 1, 1) == scattered("stars", 3, 0, 0, 1, 1)
    assert rasterized(rect(0, 0, 50, 100, "#ff0000"), 4).getpixel((0, 0)) == (255, 0, 0)
