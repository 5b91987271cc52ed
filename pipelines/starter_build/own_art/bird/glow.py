"""Soft light, the bird's material: pastel gradients and fading glows, nothing with an edge line.

Every gradient stands beside the shape that it fills; equal ones have equal names. Colours are #rrggbb, lengths units of
the square of 100 by 100.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pipelines.starter_build.own_art.svg import element, ellipse, lighter, mixed, path, rect, scattered

PLUM, LILAC, ROSE, PEACH, BUTTER = "#5a4a78", "#c9b6ee", "#f7bcd0", "#ffd2b0", "#fff0b8"
MINT, SKY, SEA, CLOUD, DUSK = "#bfe8d4", "#bfe0f8", "#8fd0dc", "#fdfaff", "#8f86c4"


def _name(kind: str, words: object) -> str:
    return f"{kind}{zlib.crc32(repr(words).encode())}"


def down(*colours: str) -> tuple[str, str]:
    """A gradient from above to below: its definition, and the fill that uses it."""
    name = _name("down", colours)
    stops = "".join(
        element("stop", offset=f"{at / (len(colours) - 1):.3f}", stop_color=colour) for at, colour in enumerate(colours)
    )
    return element("linearGradient", stops, id=name, x1=0, y1=0, x2=0, y2=1), f"url(#{name})"


def ball_fill(light: str, middle: str, dark: str, x: float = 0.38, y: float = 0.3) -> tuple[str, str]:
    """A gradient of a ball lit from above left: definition and fill; (x, y) is the light's place in the box, 0 to 1."""
    name = _name("ball", (light, middle, dark, x, y))
    stops = "".join(
        element("stop", offset=offset, stop_color=colour)
        for offset, colour in (("0", light), ("0.5", middle), ("1", dark))
    )
    return element("radialGradient", stops, id=name, cx=x, cy=y, r=0.78), f"url(#{name})"


def glow(x: float, y: float, across: float, tall: float, colour: str, strength: float = 0.8) -> str:
    """A light that fades to nothing at its rim; half its width and half its height."""
    name = _name("glow", (colour, strength))
    stops = element("stop", offset="0", stop_color=colour, stop_opacity=strength)
    stops += element("stop", offset="0.55", stop_color=colour, stop_opacity=round(strength * 0.55, 3))
    stops += element("stop", offset="1", stop_color=colour, stop_opacity=0)
    return element("radialGradient", stops, id=name) + ellipse(x, y, across, tall, f"url(#{name})")


def soft(data: str, *colours: str, **more: object) -> str:
    """A path filled from above to below."""
    define, fill = down(*colours)
    return define + path(data, fill, **more)


def orb(x: float, y: float, across: float, tall: float, colour: str, depth: float = 0.28) -> str:
    """A ball or egg with a light and a shaded side."""
    define, fill = ball_fill(lighter(colour, 0.6), colour, mixed(colour, PLUM, depth))
    return define + ellipse(x, y, across, tall, fill)


def pillow(
    x: float, y: float, width: float, height: float, colour: str, radius: float = 2.0, depth: float = 0.18
) -> str:
    """A rounded box, lighter above."""
    define, fill = down(lighter(colour, 0.35), colour, mixed(colour, PLUM, depth))
    return define + rect(x, y, width, height, fill, rx=radius)


def air(*colours: str) -> str:
    """The background's gradient from above to below."""
    define, fill = down(*colours)
    return define + rect(-5, -5, 110, 110, fill)


def lights(
    seed: str, count: int, area: tuple[float, float, float, float], colours: Sequence[str], size: float = 3.0
) -> str:
    """Out-of-focus lights scattered over an area (left, top, right, bottom)."""
    return "".join(
        glow(x, y, size * (0.5 + at % 4 * 0.3), size * (0.5 + at % 4 * 0.3), colours[at % len(colours)], 0.75)
        for at, (x, y) in enumerate(scattered(seed, count, *area))
    )


def cloud(x: float, y: float, size: float, colour: str = CLOUD) -> str:
    """A cloud of fading lobes."""
    lobes = ((-10, 1, 8, 5), (-3, -3, 9, 7), (6, -2, 9, 6), (12, 2, 7, 4), (0, 3, 16, 4))
    return "".join(glow(x + a * size, y + b * size, w * size, h * size, colour, 0.95) for a, b, w, h in lobes)


def finish(elements: str) -> str:
    """The picture under a warm light from above left and a faint haze below."""
    return elements + glow(14, 2, 80, 60, "#fff6e0", 0.42) + glow(60, 104, 90, 26, "#e6d4ff", 0.4)
