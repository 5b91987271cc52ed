"""Uploads that are small and cost a lot: each is refused in plain words, or read, within the limits of its process.

Here in a short form; `python -m tests.benchmarks.upload_bombs` has the sizes of the report and says what each took.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from pipelines.core.character.image_check import check_image
from pipelines.core.upload_process import read_apart
from studio.actions.upload_readers import read_report, report_of
from tests.read_bombs import NOTHING_TO_REFUSE, measured
from tests.upload_bombs import Bomb, bombs

BOMBS = bombs(whole=False)


def test_there_are_forty_of_twelve_kinds() -> None:
    assert len(BOMBS) >= 40 and len({bomb.kind for bomb in BOMBS}) >= 12


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")
@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_a_bomb_takes_little(bomb: Bomb) -> None:
    took = measured(bomb)
    assert took.seconds < 20 and took.process_mb < 1500 and took.parent_mb < 100, took
    if bomb.kind in NOTHING_TO_REFUSE:
        return
    assert took.is_refused and bomb.file in took.words, took
    assert not any(word in took.words for word in ("Error", "Traceback", "Exception")), took


def test_a_large_picture_is_measured_in_the_process_as_here() -> None:
    out = io.BytesIO()
    Image.merge("RGB", [Image.radial_gradient("L").resize((2100, 2090)).rotate(90 * turn) for turn in range(3)]).save(
        out, "JPEG"
    )
    report, problems = check_image(out.getvalue(), "a.jpg")
    values, told = read_apart(read_report, out.getvalue(), "a.jpg", file="a.jpg")
    assert values is not None and report is not None and told == problems
    again = report_of(values)
    assert again == report and again.phash == report.phash and again.sharpness == report.sharpness
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(again.thumbs, report.thumbs, strict=True))
