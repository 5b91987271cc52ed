"""Which images are references: the creator's choice first, then what captions say; never one that is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.character.character import Character, CharacterImage, TestSplit
from pipelines.core.character.character_folder import read_character, write_character, write_test_split
from pipelines.core.character.checks import check_character
from pipelines.core.character.held_out_split import hold_out
from pipelines.core.character.references import ranked_references, references_of
from pipelines.core.character.serialize import character_from_entries, character_to_entries
from pipelines.core.problems import Problem
from tests.core.character.flawless import PICTURES, new_problem


def test_a_plain_face_and_a_close_up_come_first(ada: Character) -> None:
    images = (
        CharacterImage("1.png", "angry"),
        CharacterImage("2.png", "happy", pose="from afar"),
        CharacterImage("3.png", "happy"),
        CharacterImage("4.png", "sad", pose="close-up"),
    )
    ranked = ranked_references(replace(ada, images=images))
    assert ranked == ("3.png", "4.png", "1.png", "2.png")
    assert references_of(ranked, 2) == ("3.png", "4.png")
    assert references_of(ranked, 2, drawn="3.png") == ("4.png", "1.png")


def test_a_close_up_with_a_strong_face_gives_way_to_another_plain_one(ada: Character) -> None:
    images = (
        CharacterImage("1.png", "happy"),
        CharacterImage("2.png", "surprised", pose="close-up"),
        CharacterImage("3.png", "happy"),
    )
    assert ranked_references(replace(ada, images=images)) == ("1.png", "3.png", "2.png")
    assert ranked_references(replace(ada, images=images[:2])) == ("1.png", "2.png")


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_an_image_is_never_its_own_reference(count: int) -> None:
    names = ("a.png", "b.png", "c.png")
    assert references_of(names, count) == names[:count]
    for drawn in names:
        others = references_of(names, count, drawn)
        assert drawn not in others and len(others) == min(count, 2)


def test_without_the_other_framing_there_is_still_an_order(ada: Character) -> None:
    close = tuple(CharacterImage(f"{n}.png", "happy", pose="close-up") for n in range(3))
    assert ranked_references(replace(ada, images=close)) == ("0.png", "1.png", "2.png")
    assert ranked_references(replace(ada, images=())) == ()


def test_what_the_creator_chose_stands_before_everything_else(ada: Character) -> None:
    usual = ranked_references(ada)
    chosen = replace(ada, references=(usual[-1], usual[2], "gone.png"))
    assert ranked_references(chosen) == (usual[-1], usual[2], *usual[:2], *usual[3:-1])


def test_a_choice_is_written_and_read(tmp_path: Path, ada: Character) -> None:
    chosen = replace(ada, references=("1.png", "0.png"))
    write_character(chosen, tmp_path, PICTURES)
    assert "references:\n- 1.png\n- 0.png" in (tmp_path / "character.yaml").read_text()
    assert read_character(tmp_path) == chosen and check_character(tmp_path) == []
    assert "references" not in character_to_entries(ada)
    problems: list[Problem] = []
    assert character_from_entries({"name": "Ada", "persona": "x", "references": ["a/b.png"]}, problems).references == ()
    assert [problem.field for problem in problems] == ["references[0]"]


@pytest.mark.parametrize(
    ("chosen", "said", "mend", "severity"),
    [
        (("1.png", "9.png"), "9.png is none of", "Choose from 0.png, 1.png", "error"),
        (("1.png", "02.png"), "02.png is none of", "Did you mean 2.png?", "error"),
        (("1.png", "t.png"), "t.png is a held-out picture", "images/", "error"),
        (("1.png", "1.png"), "listed twice", "Take one", "warning"),
    ],
)
def test_a_wrong_choice_is_named_with_its_mend(
    ada: Character, split: TestSplit, tmp_path: Path, chosen: tuple[str, ...], said: str, mend: str, severity: str
) -> None:
    wrong = replace(ada, references=chosen)
    problem = new_problem(wrong, split)
    assert problem.field == "references[1]" and said in problem.message and mend in problem.mend
    assert problem.severity == severity
    write_character(wrong, tmp_path, PICTURES)
    write_test_split(split, tmp_path, {"t.png": PICTURES["7.png"]})
    assert check_character(tmp_path) == [problem]


def test_a_chosen_picture_is_never_held_out(ada: Character) -> None:
    images = tuple(CharacterImage(f"{number}.png") for number in range(16))
    plain = replace(ada, images=images)
    assert [image.file for image in hold_out(plain)[1].images] == ["7.png", "15.png"]
    training, split = hold_out(replace(plain, references=("7.png", "15.png", "14.png")))
    assert [image.file for image in split.images] == ["6.png", "13.png"]
    assert {"7.png", "14.png", "15.png"} <= {image.file for image in training.images} and len(training.images) == 14
    everyone = replace(plain, images=images[:6], references=tuple(image.file for image in images[:6]))
    assert hold_out(everyone)[1].images == ()
