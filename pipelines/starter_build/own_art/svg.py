"""SVG elements as text, colours, and pixels: what the own art of every set is built of.

Lengths are units of the square of 100 by 100 that a picture shows; colours are #rrggbb; `more` are SVG attributes with
underscores for hyphens (`stroke_width=2`).
"""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Iterable, Sequence

import resvg_py
from PIL import Image

Point = tuple[float, float]


def element(name: str, body: str = "", **more: object) -> str:
    """One element; attributes that are None are left out."""
    words = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items() if value is not None)
    return f"<{name}{words}>{body}</{name}>" if body else f"<{name}{words}/>"


def path(data: str, fill: str = "none", **more: object) -> str:
    """A filled path."""
    return element("path", d=data, fill=fill, **more)


def line(data: str, colour: str, width: float, **more: object) -> str:
    """A path as a line with round ends and corners."""
    ends = {"stroke_linecap": "round", "stroke_linejoin": "round"}
    return element("path", d=data, fill="none", stroke=colour, stroke_width=width, **(ends | more))


def circle(x: float, y: float, radius: float, fill: str, **more: object) -> str:
    """A circle about (x, y)."""
    return element("circle", cx=f"{x:.2f}", cy=f"{y:.2f}", r=radius, fill=fill, **more)


def ellipse(x: float, y: float, across: float, down: float, fill: str, **more: object) -> str:
    """An ellipse about (x, y) with half its width and half its height."""
    return element("ellipse", cx=f"{x:.2f}", cy=f"{y:.2f}", rx=across, ry=down, fill=fill, **more)


def rect(x: float, y: float, width: float, height: float, fill: str, **more: object) -> str:
    """A rectangle; `rx` rounds its corners."""
    return element("rect", x=f"{x:.2f}", y=f"{y:.2f}", width=width, height=height, fill=fill, **more)


def group(body: str, **more: object) -> str:
    """Elements under common attributes; "" without elements."""
    return element("g", body, **more) if body else ""


def placed(body: str, x: float, y: float, scale: float = 1, turn: float = 0) -> str:
    """Elements about the origin, turned by degrees, scaled and moved to (x, y)."""
    return group(body, transform=f"translate({x:.2f} {y:.2f}) rotate({turn:.2f}) scale({scale:.3f})")


def mirrored(body: str, middle: float = 50) -> str:
    """Elements reflected left to right about x = middle."""
    return group(body, transform=f"translate({2 * middle} 0) scale(-1 1)")


def clipped(name: str, data: str, body: str) -> str:
    """Elements seen only inside a path; `name` must be the only one of its kind in the picture."""
    return element("clipPath", path(data), id=name) + group(body, clip_path=f"url(#{name})")


def polygon(points: Iterable[Point], closed: bool = True) -> str:
    """Path data of straight lines through points."""
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + ("Z" if closed else "")


def smooth(points: Sequence[Point]) -> str:
    """Path data of a closed curve through points (Catmull-Rom, as cubic Bezier pieces)."""
    count, data = len(points), f"M{points[0][0]:.2f} {points[0][1]:.2f}"
    for at in range(count):
        before, start, end, after = (points[(at + step) % count] for step in (-1, 0, 1, 2))
        first = (start[0] + (end[0] - before[0]) / 6, start[1] + (end[1] - before[1]) / 6)
        second = (end[0] - (after[0] - start[0]) / 6, end[1] - (after[1] - start[1]) / 6)
        data += "C" + " ".join(f"{x:.2f} {y:.2f}" for x, y in (first, second, end))
    return data + "Z"


def fitted(data: str, x: float, y: float, across: float, down: float) -> str:
    """Path data of absolute commands, stretched by `across` and `down` about the origin and moved to (x, y).

    Unlike a transform this leaves the width of a line as it is.
    """
    out, horizontal = "", True
    for word in re.findall(r"[MLHVCSQTZ]|-?[\d.]+", data):  # after H or V one number only
        if word.isalpha():
            out, horizontal = out + word, word != "V"
        else:
            out += f"{x + float(word) * across if horizontal else y + float(word) * down:.2f} "
            horizontal = not horizontal
    return out


def star(x: float, y: float, outer: float, inner: float, rays: int = 5, turn: float = 0) -> str:
    """Path data of a star; `turn` in degrees."""
    steps = [math.pi * step / rays + math.radians(turn) for step in range(2 * rays)]
    radii = [outer if step % 2 == 0 else inner for step in range(2 * rays)]
    return polygon(
        (x + radius * math.sin(angle), y - radius * math.cos(angle)) for radius, angle in zip(radii, steps, strict=True)
    )


def scattered(seed: str, count: int, left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Random points of a rectangle, the same on every machine."""
    rng = random.Random(seed)
    return [(rng.uniform(left, right), rng.uniform(top, bottom)) for _ in range(count)]


def mixed(colour: str, other: str, share: float) -> str:
    """A colour with `share` (0-1) of another in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def darker(colour: str, share: float = 0.25) -> str:
    """A colour with `share` of a deep violet blue in it, which shades look better in than black."""
    return mixed(colour, "#1a1038", share)


def lighter(colour: str, share: float = 0.3) -> str:
    """A colour with `share` of white in it."""
    return mixed(colour, "#ffffff", share)


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def rasterized(elements: str, px: int) -> Image.Image:
    """The square of 100 by 100 units as an RGB image of `px` pixels a side."""
    document = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{elements}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=document, width=px, height=px, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")
