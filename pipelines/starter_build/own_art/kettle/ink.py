"""Thick ink as old cartoons were printed, the teapot's material: swelling brush lines, flat tones, halftone dots.

`inked` draws a shape with a line that is thin above left and thick below right; its shaded side has printed dots.
Colours are #rrggbb, lengths units of the square of 100 by 100.
"""

from __future__ import annotations

import math
import zlib

from pipelines.starter_build.own_art.svg import (
    circle,
    clipped,
    element,
    group,
    line,
    mixed,
    path,
    rect,
)

INK, PAPER, RED, GOLD = "#1c1916", "#f5ecd6", "#d6473c", "#e9b044"
GREEN, BLUE, ROSE, BROWN, SLATE = "#7fa86b", "#7fb2bd", "#e59a94", "#a8744a", "#7d8790"


def inked(data: str, colour: str, weight: float = 2.2, shade: float = 3.0, dots: bool = True) -> str:
    """A filled shape with a brush line; `shade` is how far the dotted side reaches, 0 for none."""
    name = f"ink{zlib.crc32(f'{data}{shade}'.encode())}"
    drop = weight * 0.22
    base = path(data, INK, stroke=INK, stroke_width=weight * 1.25, stroke_linejoin="round")
    if not shade:
        return base + path(data, colour, transform=f"translate({-drop} {-drop})")
    dark = path(data, mixed(colour, INK, 0.22)) + (path(data, "url(#dots)") if dots else "")
    lit = path(data, colour, transform=f"translate({-shade} {-shade * 0.8})")
    return base + group(clipped(name, data, dark + lit), transform=f"translate({-drop} {-drop})")


def brush(data: str, width: float = 2.0, colour: str = INK) -> str:
    """A line with round ends."""
    return line(data, colour, width)


def round_path(x: float, y: float, across: float, down: float) -> str:
    """Path data of an ellipse."""
    return (
        f"M{x - across:.2f} {y:.2f}A{across:.2f} {down:.2f} 0 0 1 {x + across:.2f} {y:.2f}"
        f"A{across:.2f} {down:.2f} 0 0 1 {x - across:.2f} {y:.2f}Z"
    )


def ball(x: float, y: float, across: float, down: float, colour: str, weight: float = 2.0, shade: float = 2.0) -> str:
    """An inked ellipse."""
    return inked(round_path(x, y, across, down), colour, weight, shade)


def block(x: float, y: float, width: float, height: float, colour: str, weight: float = 1.2, shade: float = 0) -> str:
    """An inked rectangle."""
    return inked(f"M{x} {y}h{width}v{height}h{-width}Z", colour, weight, shade)


def printed_sky(colour: str, dotted: str = "light") -> str:
    """A tint over the paper, with rows of dots that fade downwards."""
    return rect(-5, -5, 110, 110, colour) + rect(-5, -5, 110, 62, f"url(#{dotted})")


def hatching(
    x: float, y: float, count: int, length: float, step: float = 2.2, width: float = 0.9, slope: float = -1.6
) -> str:
    """Short parallel strokes from (x, y) to the right."""
    return brush(
        "".join(f"M{x + at * step:.2f} {y}l{slope} {length * (1 - 0.08 * (at % 3)):.2f}" for at in range(count)), width
    )


def puff(x: float, y: float, size: float, colour: str = PAPER, weight: float = 1.2) -> str:
    """A cloud of round lobes."""
    lobes = ((-9, 1, 5.4), (-3, -3.4, 6), (5, -2, 5.6), (10, 2, 4.4))
    back = "".join(circle(x + a * size, y + b * size, r * size + weight * 0.6, INK) for a, b, r in lobes)
    front = "".join(circle(x + a * size, y + b * size, r * size, colour) for a, b, r in lobes)
    front += rect(x - 9 * size, y - 2 * size, 18 * size, 5 * size, colour)
    foot = rect(x - 14 * size, y + 2.6 * size, 28 * size, 4 * size, colour, rx=2 * size)
    return rect(x - 14.6 * size, y + 2.4 * size, 29.2 * size, 5 * size, INK, rx=2.4 * size) + back + front + foot


def spiral(x: float, y: float, radius: float, turns: float = 2.2) -> str:
    """Path data of a spiral inwards."""
    steps = int(turns * 10)
    points = [
        (x + radius * (1 - at / steps) * math.cos(0.628 * at), y + radius * (1 - at / steps) * math.sin(0.628 * at))
        for at in range(steps)
    ]
    return "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in points)


def finish(elements: str) -> str:
    """The picture with the halftone screens it is printed through, on paper."""

    def screen(name: str, size: float, radius: float, colour: str, opacity: float) -> str:
        dots = circle(size / 4, size / 4, radius, colour) + circle(size * 0.75, size * 0.75, radius, colour)
        return element(
            "pattern", group(dots, opacity=opacity), id=name, width=size, height=size, patternUnits="userSpaceOnUse"
        )

    screens = screen("dots", 2.6, 0.52, INK, 0.6) + screen("light", 3.4, 0.62, "#ffffff", 0.5)
    screens += screen("dark", 3.4, 0.62, INK, 0.28)
    return element("defs", screens) + rect(0, 0, 100, 100, PAPER) + elements


def land(data: str, colour: str) -> str:
    """A stretch of ground, water or hills: a thin line and one tone."""
    return inked(data, colour, 1.1, 0)
