"""SVG elements that several of the drawings are made of.

Colours are #rrggbb; lengths are in the units of the figure, since the elements are scaled and moved with it.
"""

from __future__ import annotations


def outlined_path(data: str, fill: str, ink: str) -> str:
    """A filled path with an outline."""
    return f'<path d="{data}" fill="{fill}" stroke="{ink}" stroke-width="1.3" stroke-linejoin="round"/>'


def line(data: str, stroke: str, width: float) -> str:
    """A path drawn as a line with round ends."""
    return f'<path d="{data}" stroke="{stroke}" stroke-width="{width}" fill="none" stroke-linecap="round"/>'


def joined_line(data: str, stroke: str, width: float) -> str:
    """A line with round ends and round corners."""
    return (
        f'<path d="{data}" stroke="{stroke}" stroke-width="{width}" fill="none" stroke-linecap="round" '
        'stroke-linejoin="round"/>'
    )


def dot(x: float, y: float, radius: float, fill: str, stroke: str = "none") -> str:
    """A circle, without an outline unless `stroke` is given."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="1"/>'
