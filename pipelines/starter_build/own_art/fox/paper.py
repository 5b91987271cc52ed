"""Cut paper, the fox's material: faceted pieces as scissors leave them, shadows between layers, grain over everything.

Nothing has an outline. A layer is one sheet with a shadow on what lies below it; `finish` adds the grain. Colours
are #rrggbb, lengths units of the square of 100 by 100.
"""

from __future__ import annotations

import math
import random
import re

from pipelines.starter_build.own_art.svg import Point, element, group, path, placed, polygon, rect

CREAM, NAVY, RUST, MUSTARD, TEAL = "#f7ead0", "#22324f", "#dd6a35", "#e6a93c", "#2f8083"
_SHADOW = "#160c1c"
CORAL, SAGE, PLUM, BARK, CHARCOAL = "#e0604c", "#8dac72", "#5d3b62", "#6b4630", "#2b2530"


def layer(body: str, height: int = 1) -> str:
    """Pieces that lie `height` (1, 2 or 3) sheets above what was drawn before, with a soft shadow on it.

    The shadow is a few faint copies, each a little further off: in flat art that looks as a blur does, which takes
    resvg 80 ms a layer at 512 pixels.
    """
    shadow = re.sub(r'fill="[^"]*"', f'fill="{_SHADOW}" fill-opacity="{0.11}"', body)
    steps = [0.32 * step * (1 + 0.45 * (height - 1)) for step in range(1, 5)]
    return "".join(group(shadow, transform=f"translate({0.5 * far:.2f} {far:.2f})") for far in steps) + body


def piece(points: str, colour: str, **more: object) -> str:
    """A straight-edged piece from corners written "x,y x,y ..."."""
    return path(polygon((float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())), colour, **more)


def _around(x: float, y: float, across: float, down: float, facets: int, seed: int) -> list[Point]:
    rng = random.Random(f"cut {seed} {facets}")
    turn = rng.random()
    out = []
    for step in range(facets):
        angle, radius = 2 * math.pi * (step + turn) / facets, 1 + rng.uniform(-0.035, 0.035)
        out.append((x + across * radius * math.cos(angle), y + down * radius * math.sin(angle)))
    return out


def disc(
    x: float, y: float, across: float, down: float, colour: str, facets: int = 16, seed: int = 0, **more: object
) -> str:
    """A round piece as scissors cut it, with half its width and half its height."""
    return path(polygon(_around(x, y, across, down, facets, seed)), colour, **more)


def ridge(seed: str, left: float, right: float, rough: float, colour: str, steps: int = 9, floor: float = 101) -> str:
    """A torn strip of land across the picture: its upper edge goes from height `left` to `right`, uneven by `rough`."""
    rng = random.Random(f"ridge {seed}")
    edge = [
        (-3 + 106 * at / steps, left + (right - left) * at / steps + rng.uniform(-rough, rough))
        for at in range(steps + 1)
    ]
    return path(polygon([(-3, floor), *edge, (103, floor)]), colour)


def strip(x: float, y: float, to_x: float, to_y: float, width: float, colour: str) -> str:
    """A straight narrow piece from one point to another, a little wider at its end."""
    length = math.hypot(to_x - x, to_y - y)
    across, down = -(to_y - y) / length * width / 2, (to_x - x) / length * width / 2
    corners = ((x + across * 0.8, y + down * 0.8), (to_x + across, to_y + down), (to_x - across, to_y - down))
    return path(polygon([*corners, (x - across * 0.8, y - down * 0.8)]), colour)


def sky(colour: str) -> str:
    """The sheet at the bottom of the picture."""
    return rect(-5, -5, 110, 110, colour)


def finish(elements: str) -> str:
    """The whole picture with the grain of paper over it."""
    noise = element("feTurbulence", type="fractalNoise", baseFrequency="1.7", numOctaves=3, seed=4, result="noise")
    grey = element("feColorMatrix", type="matrix", values="0 0 0 0 0.1 0 0 0 0 0.06 0 0 0 0 0.08 0 0 0 1.6 -0.72")
    grain = element("filter", noise + grey, id="grain", x="0", y="0", width="100%", height="100%")
    return element("defs", grain) + elements + rect(0, 0, 100, 100, "#000000", filter="url(#grain)", opacity=0.24)


def cloud(x: float, y: float, size: float, colour: str = CREAM) -> str:
    """A cloud of one sheet."""
    puff = piece("-14,4 -12,-2 -7,-3 -4,-8 3,-9 6,-5 12,-5 15,0 14,4", colour)
    return layer(placed(puff, x, y, size), 1)
