"""From a figure and a place to a picture: framing by pose, refusals, and the one type that every set's art is.

A figure is drawn in a square of 100 by 100 units that it fills, feet at the lower edge; a pose moves, scales and turns
it over the place behind, which close-ups enlarge a little too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.svg import group, rasterized


@dataclass(frozen=True)
class Frame:
    """What a pose shows of the figure's square."""

    x: float
    """Middle, in the figure's units."""
    y: float
    width: float
    turn: float = 0.0
    """Degrees by which the figure leans."""
    place_scale: float = 1.0
    """How much larger the place is drawn."""


@dataclass(frozen=True)
class OwnArt:
    """The art of one character: everything that varies, drawn in the character's own style."""

    figure: Callable[[Attributes], str]
    """SVG elements of the figure in clothes, with a face and what it holds."""
    places: Mapping[str, Callable[[], str]]
    """Place -> SVG elements that fill the square."""
    frames: Mapping[str, Frame]
    """Pose -> framing."""
    kinds: tuple[str, ...]
    """Kinds of clothes; "" is nothing."""
    extras: tuple[str, ...] = ()
    """What can be held, of `EXTRAS`."""
    finish: Callable[[str], str] = lambda elements: elements
    """What the style does to the whole picture: definitions, paper, print."""

    def svg(self, attributes: Attributes) -> str:
        """SVG elements of the picture; raises ValueError, naming it, for what this art does not have."""
        asked = {
            "expression": (attributes.expression, EXPRESSIONS),
            "place": (attributes.place, tuple(self.places)),
            "pose": (attributes.pose, tuple(self.frames)),
            "clothes": (attributes.kind, self.kinds),
            "colour": (attributes.colour, ("", *COLOURS)),
            "extra": (attributes.extra, ("", *self.extras)),
        }
        for field, (word, known) in asked.items():
            if word not in known:
                raise ValueError(f"{field} {word!r} is not one of: {', '.join(repr(item) for item in known)}")
        frame = self.frames[attributes.pose]
        scale = 100 / frame.width
        turn = f" rotate({frame.turn} 50 80)" if frame.turn else ""
        move = f"translate(50 50) scale({scale:.4f}) translate({-frame.x} {-frame.y}){turn}"
        place = self.places[attributes.place]()
        if frame.place_scale != 1:
            place = group(place, transform=f"translate(50 60) scale({frame.place_scale}) translate(-50 -60)")
        return self.finish(place + group(self.figure(attributes), transform=move))

    def draw(self, attributes: Attributes, px: int = 512) -> Image.Image:
        """The picture, RGB and `px` pixels square; raises ValueError as `svg` does."""
        return rasterized(self.svg(attributes), px)
