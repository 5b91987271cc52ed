"""The lint of captions: what never changes, what is alike, and what speaks against a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.character.caption_lint import check_captions, contradicted_fields
from pipelines.core.character.character import CharacterImage
from pipelines.core.character.character_folder import read_character, read_test_split

BUNDLED = Path(__file__).resolve().parents[3] / "pipelines" / "core" / "bundled"

LOOKS = "A brown-skinned woman with long grey hair, round glasses and a red scarf."


def captions(*words: str) -> list[CharacterImage]:
    return [CharacterImage(f"{number:02d}.png", caption=told) for number, told in enumerate(words, 1)]


def told(images: list[CharacterImage], looks: str = "") -> list[str]:
    found = check_captions(images, looks, lambda file: file[:2])
    assert all(problem.severity == "warning" and problem.field == "images" and problem.mend for problem in found)
    return [problem.message for problem in found]


def test_what_stands_in_the_looks_is_told_with_its_captions() -> None:
    images = captions("long grey hair, happy", "sad, at sea", "angry, with long grey hair", "asleep")
    assert told(images, LOOKS) == ['"long grey hair" stands in the looks already, and in the captions of 01 and 03.']
    # Clothes may be named in the looks, where they are always worn.
    assert told([CharacterImage("a.png", "happy", "a red scarf", "at sea")], LOOKS) == []
    assert told([CharacterImage("a.png", "happy", pose="round glasses off")], LOOKS) != []


def test_what_nearly_all_captions_repeat_is_told() -> None:
    images = captions(*(f"a red-haired girl, {mood}" for mood in ("happy", "sad", "angry", "calm")), "asleep")
    assert told(images) == ['4 of 5 captions say "red haired girl".']
    assert told(images[:3]) == []  # too few to say so
    assert told(captions("Mira sad", "Mira happy", "Mira at sea", "angry Mira")) == ['4 of 4 captions say "mira".']
    assert told(captions("happy at sea", "sad at sea", "angry, in a park", "asleep in bed")) == []


def test_captions_that_are_all_alike_are_told_once() -> None:
    assert told(captions(*["a nice picture"] * 5)) == ["All captions are alike."]
    words = told(captions(*["happy"] * 4, "sad, at sea", "angry"))
    assert words == ["The captions of 01, 02, 03 and 04 are alike."]
    same = [CharacterImage(f"{n}.png", "happy", "a red hat", "at sea") for n in range(4)]
    assert told(same) == ["All captions are alike."]


def test_scripts_without_spaces_are_compared_by_longer_phrases() -> None:
    japanese = captions("赤い髪の少女が笑う", "赤い髪の少女が泣く", "赤い髪の少女が怒る", "赤い髪の少女が眠る")
    assert told(japanese) == ['4 of 4 captions say "赤い髪の少女が".']


@pytest.mark.parametrize("slug", ["ambrose-fell", "nella-tarn", "quibb"])
def test_careful_captions_have_no_fault(slug: str) -> None:
    character, split = read_character(BUNDLED / slug), read_test_split(BUNDLED / slug)
    assert told(list(character.images), character.appearance) == []
    assert split is not None and told(list(split.images), character.appearance) == []


@pytest.mark.parametrize(
    ("image", "seen", "wrong"),
    [
        (CharacterImage("a", "laughing"), {"expression": "sad"}, ["expression"]),
        (CharacterImage("a", "a big grin"), {"expression": "happy"}, []),
        (CharacterImage("a", "worried"), {"expression": "sad"}, []),
        (CharacterImage("a", "wistful"), {"expression": "angry"}, []),
        (CharacterImage("a"), {"expression": "angry", "clothes": "a red hat", "place": "in space"}, []),
        (CharacterImage("a", clothes="a blue hoodie"), {"clothes": "a red hoodie"}, ["clothes"]),
        (CharacterImage("a", clothes="a teal hoodie"), {"clothes": "a red hoodie"}, []),
        (CharacterImage("a", clothes="a red and blue hoodie"), {"clothes": "a red hoodie"}, []),
        (CharacterImage("a", place="in a snowy wood"), {"place": "in the snow"}, []),
        (CharacterImage("a", place="in a kitchen"), {"place": "in the snow"}, ["place"]),
        (
            CharacterImage("a", caption="crying on a red ship"),
            {"expression": "happy", "clothes": "a blue cape"},
            ["expression"],
        ),
    ],
)
def test_only_known_words_speak_against_a_picture(
    image: CharacterImage, seen: dict[str, str], wrong: list[str]
) -> None:
    assert list(contradicted_fields(image, seen)) == wrong
