"""Charts are plain specifications; what they say in numbers and words is checked without drawing them."""

from __future__ import annotations

import json
import math

import pytest

from pipelines.core.score_axes import scorecard
from studio import charts
from tests.studio.staged import SCORES


def rows(spec: charts.ChartSpec) -> list[dict[str, object]]:
    found: list[dict[str, object]] = spec["data"]["values"]
    return found


def test_a_short_loss_is_drawn_as_it_is_and_a_long_one_smoothed() -> None:
    short = charts.loss_chart({"loss": [(1, 7.0), (2, float("nan")), (3, 6.0)]})
    assert [(row["step"], row["value"]) for row in rows(short)] == [(1, 7.0), (3, 6.0)]
    long = charts.loss_chart({"loss": [(step, 5.0 + step % 2) for step in range(1, 101)]})
    values = [row["value"] for row in rows(long)]
    assert values[0] == pytest.approx(6.0)  # no pull to zero at the beginning
    assert len(values) == 100 and max(values[20:]) - min(values[20:]) < 0.2
    json.dumps([short, long], allow_nan=False)


def test_words_and_pictures_are_two_lines() -> None:
    chart = charts.loss_chart({"loss_words": [(1, 4.0), (4, 3.0)], "loss_codes": [(2, 2.0), (3, 1.5)]})
    assert [(row["line"], row["step"]) for row in rows(chart)] == [
        ("Words", 1),
        ("Words", 4),
        ("Pictures", 2),
        ("Pictures", 3),
    ]


def test_a_very_long_line_is_thinned_out_and_keeps_its_end() -> None:
    points = charts.thinned([(step, 1.0) for step in range(1, 5001)])
    assert len(points) <= charts.MAX_POINTS and points[-1] == (5000, 1.0)


def test_rewards_are_named_in_plain_words() -> None:
    spec = charts.reward_chart({"reward": [(1, 0.4)], "likeness": [(1, 0.2)]})
    assert {row["line"] for row in rows(spec)} == {"All marks together", "Mark for the looks"}
    assert spec["encoding"]["y"]["scale"] == {"domain": [0, 100]}
    assert {row["value"] for row in rows(spec)} == {40, 20}


def test_the_radar_closes_and_lies_inside_its_rim() -> None:
    cards = {name: scorecard(SCORES[name], SCORES["base"]) for name in ("base", "grpo-000002")}
    _, outlines, *labels = charts.radar_chart(cards)["layer"]
    points = outlines["data"]["values"]
    own = [point for point in points if point["who"] == "grpo-000002"]
    assert len(own) == 6 and (own[0]["x"], own[0]["y"]) == (own[-1]["x"], own[-1]["y"])
    assert own[0]["y"] == pytest.approx(0.5) and own[0]["x"] == pytest.approx(0.0)  # the first axis points up
    assert all(math.hypot(point["x"], point["y"]) <= 1.001 for point in points)
    # Names lead away from the web: one begins to the right of it, one stands above.
    named = {one["mark"]["align"]: [label["text"] for label in one["data"]["values"]] for one in labels}
    assert named["center"] == ["Looks like them"] and "Sounds like them" in named["left"]


def test_what_was_not_measured_is_left_out_of_the_radar() -> None:
    card = {"base": scorecard({"likeness": 0.3})}
    assert {point["score"] for point in charts.radar_chart(card)["layer"][1]["data"]["values"]} == {"Looks like them"}


def test_a_line_in_words() -> None:
    assert charts.trend("Error", [(1, 7.0), (28, 4.016)]) == "Error: 7.00 at step 1, 4.02 at step 28"
    assert charts.trend("Error", []) == "Error: nothing yet"
