"""An emoji or icon as a character: the symbol is the whole figure, or the head above a plain coat of our own.

Everything is in the square of 100 by 100 units that a picture without a pose shows, like the figures of
`draw_more_styles.py`; the coat goes on below the lower edge because other framings show more.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.models.starter.vocabulary import COLOURS
from pipelines.starter_build.drawings.svg_shapes import dot, line, outlined_path
from pipelines.starter_build.drawings.symbols import Symbol

_INK = "#1e293b"
COAT_CUTS = ("", "buttons", "v-neck", "zip", "lapels", "pocket")
"""How a coat is cut; "" is no coat at all. The cut belongs to the character, the colour to the picture."""
_WHOLE = (50.0, 53.0, 74.0)
_HEAD = (50.0, 42.0, 58.0)
"""Middle x, middle y and side of the square that the symbol fills."""
_BODY = "M50 66C67 66 77 76 79 92L83 140H17L21 92C23 76 33 66 50 66Z"


@dataclass(frozen=True)
class SymbolCharacter:
    """A symbol with what never changes about it as a character."""

    symbol: Symbol
    coat: str = ""
    """One of `COAT_CUTS`."""

    @property
    def words(self) -> str:
        """Who it is: "a fox face"."""
        noun = self.symbol.noun
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def symbol_figure(character: SymbolCharacter, colour: str = "") -> str:
    """SVG elements of the figure; `colour` is one of `COLOURS`, that of its coat if it wears one.

    Raises ValueError if it has no coat to be of that colour, or the colour is unknown.
    """
    if bool(colour) != bool(character.coat) or (colour and colour not in COLOURS):
        raise ValueError(f"{character.words} with coat {character.coat!r} cannot wear {colour!r}")
    symbol = character.symbol
    left, top, width, height = symbol.view
    middle_x, middle_y, side = _HEAD if character.coat else _WHOLE
    scale = side / max(width, height)
    place = f"translate({middle_x} {middle_y}) scale({scale:.5f}) translate({-left - width / 2} {-top - height / 2})"
    # Without a fill of its own a shape is black, as in a document of its own.
    drawn = f'<g transform="{place}" fill="#000">{symbol.body}</g>'
    return (_coat(character.coat, COLOURS[colour]) if character.coat else "") + drawn


def _coat(cut: str, colour: str) -> str:
    body = outlined_path(_BODY, colour, _INK)
    shade, pale = "#00000040", "#ffffff" if colour != COLOURS["white"] else "#8b9198"
    details = {
        "buttons": dot(50, 80, 1.8, _INK) + dot(50, 90, 1.8, _INK) + dot(50, 100, 1.8, _INK),
        "v-neck": outlined_path("M40 67L50 84L60 67Z", pale, _INK),
        "zip": line("M50 70V140", pale, 1.6) + line("M38 70Q50 79 62 70", _INK, 1.3),
        "lapels": f'<path d="M42 67L34 74L48 96L50 82ZM58 67L66 74L52 96L50 82Z" fill="{shade}"/>'
        + line("M50 82V140", _INK, 1.2),
        "pocket": f'<path d="M58 86H70V96Q64 101 58 96Z" fill="{shade}"/>' + line("M36 71Q50 82 64 71", _INK, 1.6),
    }
    return body + details[cut]
