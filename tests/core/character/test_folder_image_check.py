"""Files of a character folder: missing, unlisted, damaged, doubled, and test pictures that are trained on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character import (
    Character,
    TestSplit,
)
from pipelines.core.character.character_folder import write_character, write_test_split
from pipelines.core.character.checks import check_character, check_report
from tests.core.character.flawless import PICTURES
from tests.core.drawings import drawing, encoded


@pytest.mark.parametrize(
    ("damage", "field", "said", "mend", "severity"),
    [
        (lambda at: (at / "images/3.png").unlink(), "images/3.png", "is not in images/", "Put it there", "error"),
        (
            lambda at: (at / "images/3.png").rename(at / "images/3.PNG"),
            "images/3.png",
            "is not in images/",
            "Did you mean 3.PNG",
            "error",
        ),
        (lambda at: (at / "images/x.png").write_bytes(b"x"), "images/x.png", "not listed", "List it", "warning"),
        (
            lambda at: (at / "images/3.txt").write_bytes(b"x"),
            "images/3.txt",
            "captions beside pictures",
            "under `caption:`",
            "warning",
        ),
        (lambda at: (at / "images/3.png").write_bytes(b"x"), "images/3.png", "no picture", "Save it", "error"),
        (
            lambda at: (at / "images/3.png").write_bytes(PICTURES["2.png"]),
            "images/3.png",
            "same file as 2.png",
            "Take one",
            "error",
        ),
        (
            lambda at: (at / "images/3.png").write_bytes(PICTURES["8.png"][:500]),
            "images/3.png",
            "damaged",
            "again",
            "error",
        ),
        (
            lambda at: (at / "test_images/t.png").unlink(),
            "test_images/t.png",
            "is not in test_images/",
            "Put it",
            "error",
        ),
        (lambda at: (at / "test_images/t.png").write_bytes(b""), "test_images/t.png", "is empty", "Copy", "error"),
        (
            lambda at: (at / "test_images/t.png").write_bytes(PICTURES["2.png"]),
            "test_images/t.png",
            "also the training picture 2.png",
            "Take it out",
            "error",
        ),
        (
            lambda at: (at / "test_images/t.png").write_bytes(encoded(drawing(2, 256, 256).resize((300, 300)))),
            "test_images/t.png",
            "nearly the training picture 2.png",
            "Use another",
            "warning",
        ),
        (lambda at: (at / "test.yaml").write_text("choices: [a"), "test.yaml", "cannot be read", "line", "error"),
        (lambda at: (at / "character.yaml").unlink(), "character.yaml", "no character.yaml", "Make", "error"),
    ],
)
def test_files(
    tmp_path: Path,
    ada: Character,
    split: TestSplit,
    damage: Callable[[Path], object],
    field: str,
    said: str,
    mend: str,
    severity: str,
) -> None:
    write_character(ada, tmp_path, PICTURES)
    write_test_split(split, tmp_path, {"t.png": PICTURES["7.png"]})
    damage(tmp_path)
    found = {problem.field: problem for problem in check_character(tmp_path)}
    assert said in found[field].message
    assert mend in found[field].mend
    assert found[field].severity == severity
    assert check_report(tmp_path)["ok"] is (severity == "warning")


def test_files_that_systems_leave_behind_are_passed_over(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "images" / name).write_bytes(b"x")
    assert check_character(tmp_path) == []


def test_metadata_and_size_reach_the_report(tmp_path: Path, ada: Character) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    out = io.BytesIO()
    drawing(0, 150, 150).save(out, "JPEG", exif=exif)
    write_character(
        replace(ada, consent=replace(ada.consent, image_sha256=())), tmp_path, {**PICTURES, "0.png": out.getvalue()}
    )
    messages = [problem.message for problem in check_character(tmp_path)]
    assert messages == ["0.png is small (150 x 150 px).", "0.png tells more than it shows (camera and time)."]
