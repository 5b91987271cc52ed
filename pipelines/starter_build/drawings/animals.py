"""Animals of our own, CC0: nine kinds with coats, marks in the fur, and room for clothes below the head.

Drawn in the square of 100 by 100 units, the head about (50, 46). Ears and muzzles tell the kinds apart; the face is
`faces.face`. Nothing here is copied from elsewhere.
"""

from __future__ import annotations

from pipelines.models.starter.vocabulary import COLOURS, CRITTER_COLOURS
from pipelines.starter_build.drawings.attributes import Identity
from pipelines.starter_build.drawings.faces import face
from pipelines.starter_build.drawings.svg_shapes import outlined_path

_INK = "#2a2430"
_HEADS = {
    "cat": (30, 27),
    "dog": (28, 28),
    "rabbit": (27, 27),
    "bear": (31, 28),
    "fox": (31, 26),
    "mouse": (27, 26),
    "pig": (31, 28),
    "frog": (34, 25),
    "owl": (30, 30),
}
"""Half width and half height of the head."""


def _shape(data: str, fill: str) -> str:
    return outlined_path(data, fill, _INK)


def _disc(x: float, y: float, radius: float, fill: str, stroke: str = _INK) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>'


def _oval(x: float, y: float, width: float, height: float, fill: str, stroke: str = _INK) -> str:
    return f'<ellipse cx="{x}" cy="{y}" rx="{width}" ry="{height}" fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>'


def _ears(kind: str, coat: str, inner: str) -> str:
    """What stands behind the head."""
    shapes = {
        "cat": _shape("M22 38L22 8L46 22Z", coat)
        + _shape("M78 38L78 8L54 22Z", coat)
        + _shape("M26 30L26 15L37 22Z", inner)
        + _shape("M74 30L74 15L63 22Z", inner),
        "fox": _shape("M20 40L16 4L46 22Z", coat)
        + _shape("M80 40L84 4L54 22Z", coat)
        + _shape("M20 18L16 4L30 13Z", _INK)
        + _shape("M80 18L84 4L70 13Z", _INK),
        "rabbit": _oval(36, 14, 7.5, 20, coat)
        + _oval(64, 14, 7.5, 20, coat)
        + _oval(36, 14, 3.4, 14, inner, "none")
        + _oval(64, 14, 3.4, 14, inner, "none"),
        "bear": _disc(25, 23, 10, coat) + _disc(75, 23, 10, coat) + _disc(25, 23, 5, inner) + _disc(75, 23, 5, inner),
        "mouse": _disc(23, 22, 15, coat) + _disc(77, 22, 15, coat) + _disc(23, 22, 9, inner) + _disc(77, 22, 9, inner),
        "pig": _shape("M22 34Q16 16 28 16L42 24Z", coat) + _shape("M78 34Q84 16 72 16L58 24Z", coat),
        "frog": _disc(38, 32, 14, coat) + _disc(62, 32, 14, coat),
        "owl": _shape("M24 34L22 12L42 22Z", coat) + _shape("M76 34L78 12L58 22Z", coat),
        "dog": "",
    }
    return shapes[kind]


def _muzzle(kind: str, coat: str, inner: str) -> str:
    """Hanging ears and muzzle, before the head and behind the face."""
    pale = "#fff4e6"
    nose = f'<path d="M46 51H54Q54 56 50 57T46 51Z" fill="{_INK}"/>'
    shapes = {
        "dog": _shape("M26 26Q10 24 12 52Q14 64 24 58Q30 46 30 30Z", inner)
        + _shape("M74 26Q90 24 88 52Q86 64 76 58Q70 46 70 30Z", inner)
        + _oval(50, 60, 16, 12, pale, "none")
        + nose,
        "cat": f'{nose}<path d="M20 50L32 53M20 58L32 57M80 50L68 53M80 58L68 57" stroke="{_INK}" stroke-width="1.2"/>',
        "fox": _shape("M20 50Q34 50 42 58Q50 74 58 58Q66 50 80 50Q74 72 50 73T20 50Z", pale) + nose,
        "rabbit": _disc(50, 53, 3, "#ff7fa8"),
        "bear": _oval(50, 60, 15, 12, pale, "none") + nose,
        "mouse": _disc(50, 53, 3.6, "#ff7fa8"),
        "pig": _oval(50, 54, 9, 6, inner) + _disc(46.5, 54, 1.5, _INK) + _disc(53.5, 54, 1.5, _INK),
        "frog": _oval(50, 62, 24, 9, "#ffffff55", "none"),
        "owl": _disc(39, 42, 12, pale, "none")
        + _disc(61, 42, 12, pale, "none")
        + _shape("M46 47H54L50 55Z", "#f5a623"),
    }
    return shapes[kind]


def _fur_marks(pattern: str, colour: str, kind: str) -> str:
    width, height = _HEADS[kind]
    pieces = {
        "": "",
        "stripes": f'<path d="M50 {46 - height}V30M42 {48 - height}L44 29M58 {48 - height}L56 29" stroke="{colour}" '
        f'stroke-width="3.6" stroke-linecap="round"/><path d="M{51 - width} 56H{58 - width}M{51 - width} 62H'
        f'{59 - width}M{49 + width} 56H{42 + width}M{49 + width} 62H{41 + width}" stroke="{colour}" stroke-width="3"/>',
        "spots": "".join(
            f'<circle cx="{x}" cy="{y}" r="3.4" fill="{colour}"/>'
            for x, y in ((50, 25), (40, 29), (60, 29), (54 - width, 57), (46 + width, 57), (30, 64), (70, 64))
        ),
        "patch": f'<circle cx="61" cy="42" r="12.5" fill="{colour}"/>',
    }
    return pieces[pattern]


def _top(top: str, colour: str) -> str:
    if top == "cap":
        return _shape("M28 26Q30 8 50 8T72 26Q50 20 28 26Z", colour) + _shape("M50 24Q78 18 90 28Q72 30 50 27Z", colour)
    if top == "ear bow":
        return _shape("M74 22L62 14V30ZM74 22L86 14V30Z", colour) + _disc(74, 22, 3.4, colour)
    if top == "tuft":
        return _shape("M42 22Q38 8 48 12Q48 2 55 10Q64 6 58 22Z", colour)
    return ""


def animal(identity: Identity, expression: str) -> str:
    """Head of the animal with its face; body and clothes are drawn elsewhere."""
    coat, second = CRITTER_COLOURS[identity.colour], (COLOURS | CRITTER_COLOURS)[identity.top_colour]
    inner, kind = "#f7b6c2" if identity.colour != "pink" else "#e98aa5", identity.body
    if kind == "dog":
        inner = second
    width, height = _HEADS[kind]
    blush = '<ellipse cx="{}" cy="60" rx="5.5" ry="3.6" fill="#ff7fa8" fill-opacity=".8"/>'
    cheeks = blush.format(29) + blush.format(71)
    glasses = (
        f'<g fill="none" stroke="{_INK}" stroke-width="2"><circle cx="39" cy="42" r="9.5"/>'
        '<circle cx="61" cy="42" r="9.5"/><path d="M48.5 41Q50 39 51.5 41"/></g>'
    )
    return (
        _ears(kind, coat, inner)
        + _oval(50, 54 if kind == "frog" else 48, width, height, coat)
        + _fur_marks(identity.pattern, second, kind)
        + _muzzle(kind, coat, inner)
        + (cheeks if identity.cheeks else "")
        + f'<g transform="translate(50 42)">{face(expression, _INK)}</g>'
        + (glasses if identity.glasses else "")
        + _top(identity.top, second)
    )


def animal_body(identity: Identity) -> str:
    """Chest and shoulders in the coat's colour."""
    coat = CRITTER_COLOURS[identity.colour]
    return _shape("M50 68Q84 72 86 140H14Q16 72 50 68Z", coat) + _oval(50, 100, 18, 22, "#ffffff66", "none")
