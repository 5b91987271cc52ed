"""One budget for all that one upload holds; outside of one nothing is counted."""

from __future__ import annotations

import pytest

from pipelines.core.problems import CharacterProblems
from pipelines.core.upload_budget import LIMITS, require, spend, upload_budget


def test_many_small_ones_use_it_up() -> None:
    with upload_budget():
        for _ in range(23):
            spend("pixels", 64_000_000, "mira.zip")
        require("pixels", 20_000_000, "mira.zip")
        with pytest.raises(CharacterProblems, match=r"mira\.zip has pictures of more than 1,500 million pixels in all"):
            require("pixels", 64_000_000, "mira.zip")
        with pytest.raises(CharacterProblems):
            spend("pixels", 64_000_000, "mira.zip")
        spend("pixels", 20_000_000, "mira.zip")  # what is refused costs nothing


def test_a_budget_inside_another_is_that_one() -> None:
    with upload_budget():
        with upload_budget():
            spend("entries", LIMITS["entries"], "a.zip")
        with pytest.raises(CharacterProblems, match="lists more than 40,000 files"):
            spend("entries", 1, "b.zip")
    with upload_budget():
        spend("entries", 1, "c.zip")


def test_outside_of_one_nothing_is_counted() -> None:
    spend("scans", 10**9, "x.jpg")
    require("scans", 10**9, "x.jpg")


@pytest.mark.parametrize("cost", LIMITS)
def test_each_refusal_names_the_file_and_the_mend(cost: str) -> None:
    with upload_budget(), pytest.raises(CharacterProblems) as caught:
        spend(cost, 10**12, "mira.zip")  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.message.startswith("mira.zip ") and problem.mend and "{" not in problem.message
