"""DiceBear figures as bare SVG elements: without frame, background and licence text.

A component may be left out, or enlarged about its middle, so that it can be recognised at 96 pixels.
Licences of the art are in pipelines/models/starter/LICENCES.md.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from dicebear import Avatar, Style


@cache
def _definition(name: str) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(
        files("dicebear_styles").joinpath(f"{name}.json").read_text(encoding="utf-8")
    )
    return definition


@cache
def _style(name: str) -> Style:
    return Style(_definition(name))


def middle(style: str, component: str) -> tuple[int, int]:
    """Middle of a component in its own units: half of the size that the style's definition gives, rounded down."""
    found = _definition(style)["components"][component]
    return int(found["width"] / 2), int(found["height"] / 2)


def unit_square(elements: str, style: str) -> str:
    """The whole canvas of a style scaled to 100 by 100 units."""
    return f'<g transform="scale({100 / _definition(style)["canvas"]["width"]:.5f})">{elements}</g>'


def avatar(style: str, options: dict[str, object], scales: dict[str, float]) -> str:
    """The avatar's SVG elements; `scales` enlarges components by name, 0 leaves one out."""
    text = str(Avatar(_style(style), {"seed": "understudy", **options}))
    inner = text[text.index("</metadata>") + len("</metadata>") : text.rindex("</svg>")]
    inner = re.sub(r'<g clip-path="url\(#clip-\w+\)">', "<g>", inner, count=1)
    size = _definition(style)["canvas"]["width"]
    inner = re.sub(rf'<rect width="{size}" height="{size}" fill="#\w+"/>', "", inner, count=1)
    for name, scale in scales.items():
        x, y = middle(style, name)
        larger = rf"\1 translate({x} {y}) scale({scale}) translate({-x} {-y})\2" if scale else ""
        inner = re.sub(rf'(<use transform="[^"]*)("[^>]*#{name}-[^>]*>)', larger, inner, count=1)
    return inner
