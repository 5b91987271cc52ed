"""Charts as plain Vega-Lite specifications: made from numbers by pure functions, drawn by `draw` with words for those
who do not see them.

No colours stand here, so the theme's own are taken, light or dark. A line whose steps are few is drawn with its points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pipelines.core.score_axes import ScoreAxis
from pipelines.core.score_names import LOSS_NAMES, REWARD_NAMES

Series = Sequence[tuple[int, float]]
ChartSpec = dict[str, Any]
FEW = 40
"""Up to so many steps each is a point too."""
MAX_POINTS = 400
"""A longer series is thinned out: a screen is hardly wider."""
SMOOTHING = 0.8
"""Weight of the past in the smoothed line."""
HEIGHT_PX, LEGEND_ROW_PX, COLUMNS = 240, 28, 2
RADAR_X, RADAR_Y = 2.05, 1.32
"""What the radar shows to each side of its middle, labels included; its rim is at 1."""
RADAR_PX = (316, round(316 * RADAR_Y / RADAR_X))
"""Width and height; as wide as a phone has room for, and in one scale, so that the web is even."""


def loss_chart(losses: Mapping[str, Series]) -> ChartSpec:
    """What training calls loss, step by step, words and pictures apart; smoothed where there are enough steps."""
    rows = []
    for name, series in losses.items():
        points = thinned(_finite(series))
        points = points if len(points) <= FEW else smoothed(points)
        rows += [{"step": step, "line": LOSS_NAMES[name], "value": value} for step, value in points]
    few = all(len(series) <= FEW for series in losses.values())
    return _lines(rows, "Error (lower is better)", few, len(losses) if len(losses) > 1 else 0)


def reward_chart(rewards: Mapping[str, Series]) -> ChartSpec:
    """The marks of each step of practice: all together and each part, of 100."""
    rows = []
    for name, title in REWARD_NAMES.items():
        series = thinned(_finite(rewards.get(name, ())))
        few = len(series) <= FEW
        points = series if few else smoothed(series)
        rows += [{"step": step, "line": title, "value": 100 * value} for step, value in points]
    count = max((len(series) for series in rewards.values()), default=0)
    spec = _lines(rows, "Marks (of 100)", count <= FEW, len(rewards))
    spec["encoding"]["y"]["scale"] = {"domain": [0, 100]}
    spec["encoding"]["color"]["sort"] = list(REWARD_NAMES.values())
    spec["encoding"]["strokeWidth"] = {
        "condition": {"test": f"datum.line == '{REWARD_NAMES['reward']}'", "value": 4},
        "value": 1.5,
    }
    return spec


def radar_chart(cards: Mapping[str, Sequence[ScoreAxis]]) -> ChartSpec:
    """A radar chart of the five scores of one or more checkpoints; 0 is the middle, 1 the rim.

    A score that was not measured leaves a gap in its outline.
    """
    axes = next(iter(cards.values()), ())
    corners = [_corner(number, len(axes)) for number in range(len(axes))]
    web, outlines = [], []
    for ring in (0.25, 0.5, 0.75, 1.0):
        web += [{"ring": ring, "at": at, **_point(corner, ring)} for at, corner in _around(corners)]
    for label, card in cards.items():
        outlines += [
            {"who": label, "score": axis.name, "at": at, "value": round(100 * axis.value), **_point(corner, axis.value)}
            for (at, corner), axis in zip(_around(corners), [*card, *card[:1]], strict=True)
            if axis.value is not None
        ]
    place = {
        "x": {"field": "x", "type": "quantitative", "axis": None, "scale": {"domain": [-RADAR_X, RADAR_X]}},
        "y": {"field": "y", "type": "quantitative", "axis": None, "scale": {"domain": [-RADAR_Y, RADAR_Y]}},
    }
    line = {"type": "line", "interpolate": "linear"}
    order = {"field": "at", "type": "quantitative"}
    return {
        "width": RADAR_PX[0],
        "height": RADAR_PX[1],
        "autosize": {"type": "pad"},  # the legend stands below, and the web stays as large as it is
        "layer": [
            {
                "data": {"values": web},
                "mark": {**line, "color": "gray", "opacity": 0.35, "strokeWidth": 1},
                "encoding": {**place, "detail": {"field": "ring"}, "order": order},
            },
            {
                "data": {"values": outlines},
                "mark": {**line, "point": True, "strokeWidth": 3},
                "encoding": {
                    **place,
                    "order": order,
                    "color": {
                        "field": "who",
                        "type": "nominal",
                        "title": None,
                        "sort": list(cards),
                        "legend": {"orient": "bottom", "columns": 1, "labelLimit": 290},
                    },
                    "tooltip": [
                        {"field": "who", "title": "Checkpoint"},
                        {"field": "score", "title": "Score"},
                        {"field": "value", "title": "Of 100"},
                    ],
                },
            },
            *_axis_labels(axes, corners, place),
        ],
    }


def _axis_labels(
    axes: Sequence[ScoreAxis], corners: Sequence[tuple[float, float]], place: dict[str, Any]
) -> list[dict[str, Any]]:
    """The names of the axes outside the rim: one layer for each alignment, since a layer has one."""
    labels: list[dict[str, Any]] = [
        {"text": axis.name, **_point(corner, 1.1 if abs(corner[0]) > 0.7 else 1.2)}
        for corner, axis in zip(corners, axes, strict=True)
    ]
    return [
        {
            "data": {"values": [one for one in labels if _side(one["x"]) == side]},
            "mark": {"type": "text", "fontSize": 12, "color": "gray", "align": side},
            "encoding": {**place, "text": {"field": "text"}},
        }
        for side in ("left", "center", "right")
    ]


def draw(spec: ChartSpec, alt: str, key: str) -> None:
    """Put a chart on the page; `alt` says in words what it shows."""
    st.vega_lite_chart(spec=spec, width="content" if "width" in spec else "stretch", alt=alt, key=key)


def trend(name: str, series: Series) -> str:
    """A line in words: "Error: 7.31 at step 1, 4.02 at step 28"."""
    points = _finite(series)
    if not points:
        return f"{name}: nothing yet"
    (first, start), (last, end) = points[0], points[-1]
    return f"{name}: {start:.2f} at step {first}, {end:.2f} at step {last}"


def smoothed(series: Series) -> list[tuple[int, float]]:
    """An exponential mean over the steps, without the pull to zero at the beginning."""
    found, mean, weight = [], 0.0, 0.0
    for step, value in series:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        found.append((step, mean / weight))
    return found


def thinned(series: Series) -> list[tuple[int, float]]:
    """At most MOST_POINTS of them, evenly spread, the last one always."""
    every = -(-len(series) // MAX_POINTS) or 1
    return [point for number, point in enumerate(reversed(series)) if number % every == 0][::-1]


def _lines(rows: list[dict[str, Any]], title: str, points: bool, names: int) -> ChartSpec:
    """Lines over the steps; `names` of them are named below, two in a row, which also fits a phone."""
    return {
        # The legend is inside it.
        "height": HEIGHT_PX + ((-(-names // COLUMNS) + 1) * LEGEND_ROW_PX if names else 0),
        "data": {"values": rows},
        "mark": {"type": "line", "point": points, "interpolate": "monotone"},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "Step", "axis": {"tickMinStep": 1, "format": "d"}},
            "y": {"field": "value", "type": "quantitative", "title": title, "scale": {"zero": False}},
            "color": {
                "field": "line",
                "type": "nominal",
                "title": None,
                "legend": {
                    "orient": "bottom",
                    "columns": COLUMNS,
                    "labelLimit": 150,
                    "columnPadding": 6,
                    "labelFontSize": 11,
                    "symbolSize": 60,
                }
                if names
                else None,
            },
            "tooltip": [
                {"field": "line", "title": "Line"},
                {"field": "step", "title": "Step"},
                {"field": "value", "title": "Value", "format": ".3f"},
            ],
        },
    }


def _finite(series: Series) -> list[tuple[int, float]]:
    return [(step, value) for step, value in series if math.isfinite(value)]


def _corner(number: int, count: int) -> tuple[float, float]:
    """The first axis points up, the others follow clockwise."""
    angle = math.pi / 2 - 2 * math.pi * number / count
    return math.cos(angle), math.sin(angle)


def _side(x: float) -> str:
    """Alignment of a label, so that it reads away from the web."""
    return "left" if x > 0.7 else "right" if x < -0.7 else "center"


def _point(corner: tuple[float, float], value: float) -> dict[str, float]:
    return {"x": round(corner[0] * value, 4), "y": round(corner[1] * value, 4)}


def _around(corners: Sequence[tuple[float, float]]) -> list[tuple[int, tuple[float, float]]]:
    """Corners with their number, the first one again at the end, so that the line closes."""
    return list(enumerate([*corners, *corners[:1]]))
