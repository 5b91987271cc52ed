"""Faces of our own for animals and robots: eyes, brows and a mouth for each expression.

`face` draws about the point (0, 0) between the eyes, eyes 11 units to either side and the mouth 17 below, so that every
part is three pixels or more at 96 pixels. Nothing here is copied from elsewhere.
"""

from __future__ import annotations

from typing import TypeVar

from pipelines.starter_build.drawings.svg_shapes import dot, joined_line

T = TypeVar("T")

_ROUND, _WIDE = 4.6, 7.2
"""Radius of an open eye and of an astonished one."""


def face(expression: str, ink: str, white: str = "#ffffff") -> str:
    """SVG elements; `ink` for lines and pupils, `white` behind pupils ("" for lit-up eyes without a white).

    Raises ValueError for a word that is no expression.
    """
    left, right = for_expression(_EYES, expression)
    eyes = _eye(left, -11, ink, white) + _eye(right, 11, ink, white)
    return eyes + _brows(expression, ink) + mouth(expression, ink)


def for_expression(table: dict[str, T], expression: str) -> T:
    """A table's entry for an expression; raises ValueError, naming the known ones, for another word."""
    if expression not in table:
        raise ValueError(f"expression {expression!r} is not one of: {', '.join(table)}")
    return table[expression]


_EYES = {
    "happy": ("open", "open"),
    "laughing": ("arched", "arched"),
    "sad": ("droop", "droop"),
    "angry": ("cross", "cross"),
    "surprised": ("wide", "wide"),
    "sleepy": ("shut", "shut"),
    "winking": ("open", "wink"),
    "worried": ("aside", "aside"),
}


def _stroke(data: str, ink: str, width: float = 2.6) -> str:
    return joined_line(data, ink, width)


def _eye(kind: str, x: float, ink: str, white: str) -> str:
    if kind == "arched":
        return _stroke(f"M{x - 5} 2Q{x} -7 {x + 5} 2", ink)
    if kind == "shut":
        return _stroke(f"M{x - 5} -1Q{x} 6 {x + 5} -1", ink)
    if kind == "wink":
        return _stroke(f"M{x + 5} -4L{x - 4} 0L{x + 5} 4", ink)
    radius = _WIDE if kind == "wide" else _ROUND
    lid = _stroke(f"M{x - 6} -5L{x + 6} -5", ink, 2) if kind == "cross" else ""
    if not white:  # a lamp
        return dot(x, 0, radius, ink) + lid
    pupil = {"open": (x, 0), "droop": (x, 2.4), "cross": (x - x / 8, 0.5), "wide": (x, 0), "aside": (x + 2.6, 0)}[kind]
    size = 2.6 if kind in ("wide", "aside") else 3.2
    return dot(x, 0, radius + 1.4, white, ink) + dot(*pupil, size, ink) + lid


def _brows(expression: str, ink: str) -> str:
    lines = {
        "sad": "M-17 -8L-7 -12M17 -8L7 -12",
        "angry": "M-18 -12L-5 -6M18 -12L5 -6",
        "surprised": "M-17 -13Q-11 -17 -5 -13M17 -13Q11 -17 5 -13",
        "worried": "M-17 -9L-7 -14M17 -9L7 -14",
    }
    return _stroke(lines[expression], ink) if expression in lines else ""


def mouth(expression: str, ink: str) -> str:
    """The mouth alone, 17 units below the eyes."""
    if expression == "laughing":
        tongue = '<path d="M-6 22Q0 17 6 22Q0 28 -6 22Z" fill="#ff7fa8"/>'
        return f'<path d="M-11 13H11Q10 26 0 26T-11 13Z" fill="{ink}"/>{tongue}'
    if expression == "surprised":
        return f'<ellipse cx="0" cy="20" rx="4.6" ry="6" fill="{ink}"/>'
    if expression == "winking":
        tongue = f'<path d="M1 18.6H8Q9 26 4.5 26T1 18.6Z" fill="#ff7fa8" stroke="{ink}"/>'
        return _stroke("M-9 15Q0 23 9 15", ink) + tongue
    lines = {
        "happy": "M-10 14Q0 26 10 14",
        "sad": "M-8 23Q0 13 8 23",
        "angry": "M-9 20L-5 16L-1 20L3 16L7 20L10 17",
        "sleepy": "M-4 18H4",
        "worried": "M-10 19Q-7 14 -4 19T2 19T8 19",
    }
    return _stroke(lines[expression], ink)
