"""Random flat art for the image tokenizer alone: shapes, strokes, gradients and dots in any colours.

The figures and scenes of the other drawings use few colours and forms; a tokenizer that has seen only those gives
foreign pictures back in them.
"""

from __future__ import annotations

import random


def random_art(rng: random.Random) -> str:
    """SVG elements in the square of 100 by 100 units: a background and two to fourteen things on it."""
    makers = (_ellipse, _polygon, _rectangle, _stroke, _ring)
    gradients: list[str] = []
    background = f'<rect width="100" height="100" fill="{_fill(rng, gradients, 0.3)}"/>'
    things = "".join(rng.choice(makers)(rng, gradients) for _ in range(rng.randint(2, 14)))
    dots = _dots(rng) if rng.random() < 0.5 else ""
    return f"<defs>{''.join(gradients)}</defs>{background}{things}{dots}"


def _colour(rng: random.Random) -> str:
    """Any colour; three in ten are near grey, or black or white."""
    if rng.random() < 0.15:
        return rng.choice(("#000000", "#ffffff", "#1e293b", "#f6f6f4"))
    if rng.random() < 0.15:
        base = rng.randint(20, 235)
        return "#" + "".join(f"{max(0, min(255, base + rng.randint(-12, 12))):02x}" for _ in range(3))
    return f"#{rng.randrange(1 << 24):06x}"


def _fill(rng: random.Random, gradients: list[str], share: float = 0.15) -> str:
    """A colour, or (in `share` of the calls) a gradient, which is added to `gradients`."""
    if rng.random() >= share:
        return _colour(rng)
    name, angle = f"g{len(gradients)}", rng.randint(0, 359)
    stops = f'<stop offset="0" stop-color="{_colour(rng)}"/><stop offset="1" stop-color="{_colour(rng)}"/>'
    turned = f'gradientTransform="rotate({angle} .5 .5)"'
    if rng.random() < 0.3:
        gradients.append(f'<radialGradient id="{name}">{stops}</radialGradient>')
    else:
        gradients.append(f'<linearGradient id="{name}" {turned}>{stops}</linearGradient>')
    return f"url(#{name})"


def _outline(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return ""
    return f' stroke="{_colour(rng)}" stroke-width="{rng.uniform(0.6, 3):.1f}" stroke-linejoin="round"'


def _length(rng: random.Random) -> float:
    """Half a side; small ones are as frequent as large ones."""
    return 1.5 * 20 ** rng.random()


def _spot(rng: random.Random) -> str:
    return f"{rng.uniform(-5, 105):.1f} {rng.uniform(-5, 105):.1f}"


def _ellipse(rng: random.Random, gradients: list[str]) -> str:
    size = _length(rng)
    shape = f'rx="{size:.1f}" ry="{size * rng.uniform(0.4, 1):.1f}" fill="{_fill(rng, gradients)}"{_outline(rng)}'
    return f'<ellipse transform="translate({_spot(rng)}) rotate({rng.randint(0, 179)})" {shape}/>'


def _rectangle(rng: random.Random, gradients: list[str]) -> str:
    width, height = 2 * _length(rng), 2 * _length(rng)
    corner = rng.choice((0.0, 0.0, 0.15 * min(width, height)))
    shape = f'width="{width:.1f}" height="{height:.1f}" rx="{corner:.1f}" fill="{_fill(rng, gradients)}"{_outline(rng)}'
    return f'<rect transform="translate({_spot(rng)}) rotate({rng.choice((0, 0, rng.randint(0, 179)))})" {shape}/>'


def _polygon(rng: random.Random, gradients: list[str]) -> str:
    size, corners = _length(rng), rng.randint(3, 7)
    points = " ".join(f"{rng.uniform(-size, size):.1f},{rng.uniform(-size, size):.1f}" for _ in range(corners))
    shape = f'points="{points}" fill="{_fill(rng, gradients)}"{_outline(rng)}'
    return f'<polygon transform="translate({_spot(rng)})" {shape}/>'


def _stroke(rng: random.Random, gradients: list[str]) -> str:
    bends = " ".join(f"Q{_spot(rng)} {_spot(rng)}" for _ in range(rng.randint(1, 3)))
    look = f'stroke="{_colour(rng)}" stroke-width="{rng.uniform(0.5, 4.5):.1f}" stroke-linecap="round"'
    return f'<path d="M{_spot(rng)} {bends}" fill="none" {look}/>'


def _ring(rng: random.Random, gradients: list[str]) -> str:
    look = f'r="{_length(rng):.1f}" fill="none" stroke="{_colour(rng)}" stroke-width="{rng.uniform(0.5, 3):.1f}"'
    return f'<circle transform="translate({_spot(rng)})" {look}/>'


def _dots(rng: random.Random) -> str:
    colour, radius = _colour(rng), rng.uniform(0.4, 1.6)
    spots = (_spot(rng) for _ in range(rng.randint(6, 30)))
    return "".join(f'<circle transform="translate({spot})" r="{radius:.1f}" fill="{colour}"/>' for spot in spots)
