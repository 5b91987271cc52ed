"""Quibb of the bundled characters: a cel-shaded cartoon with violet outlines, whole from horns to feet.

Every surface has two flat tones with a hard edge between them, light from the upper right; eyes have an iris and a
glint. The places are in `places.py`.
"""

from __future__ import annotations

from pipelines.models.starter.vocabulary import COLOURS
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.framing import Frame, OwnArt
from pipelines.starter_build.own_art.quibb.places import PLACES
from pipelines.starter_build.own_art.svg import (
    circle,
    clipped,
    darker,
    ellipse,
    lighter,
    line,
    mirrored,
    path,
    placed,
    star,
)

_LINE, _SKIN, _SHADE, _LIGHT = "#472a80", "#a97cf0", "#8557d6", "#c8a8ff"
_BODY = (
    "M50 21C65 21 72 32 73 45C74 57 83 65 82 78C81 90 68 94 50 94"
    "C32 94 19 90 18 78C17 65 26 57 27 45C28 32 35 21 50 21Z"
)
_INK = "#2a174f"
_LEFT, _RIGHT = 40.0, 60.0
"""Middle of the two eyes; both at `_EYES` units from above."""
_EYES = 43.0


def _outlined(data: str, fill: str, width: float = 1.5, colour: str = _LINE) -> str:
    return path(data, fill, stroke=colour, stroke_width=width, stroke_linejoin="round")


def _toned(name: str, data: str, lit: str, shade: str, move: str = "translate(4.5 -3.5)") -> str:
    """A shape in two tones: the same shape, moved towards the light, is lit; then the outline."""
    inside = path(data, shade) + path(data, lit, transform=move)
    return clipped(name, data, inside) + path(data, stroke=_LINE, stroke_width=1.5, stroke_linejoin="round")


def _horns() -> str:
    data = "M35.5 30C31 22 30 13 33.5 4C40 9 44.5 17 45.5 25C42 25.5 38 27 35.5 30Z"
    bands = line("M33.4 20Q37.5 19.5 41.5 16M32.2 14Q35 13.5 38.3 10.5", "#d99a1e", 1)
    one = _outlined(data, "#ffd43b", colour="#8a5a12") + path(
        "M36 29C32 22 31 13 33.6 5.6C34 15 36 22 39.5 26.8Q37.5 27.6 36 29Z", "#eeae26"
    )
    return one + bands + mirrored(one + bands)


def _tail() -> str:
    curl = "M74 86C88 90 97 84 95 74"
    return (
        line(curl, _LINE, 7)
        + line(curl, _SHADE, 4)
        + _outlined("M95 76C88 72 88 63 95 57C101 63 101 72 95 76Z", "#ffd43b", 1.3, "#8a5a12")
    )


def _body() -> str:
    belly = "M50 62C61 62 67 70 67 79C67 88 60 93 50 93C40 93 33 88 33 79C33 70 39 62 50 62Z"
    inside = path(belly, "#d9c6f7") + clipped("belly", belly, path(belly, "#f6efff", transform="translate(3 -2.5)"))
    glow = path("M63 25C71 31 72 39 72.5 46C73 55 79 60 81 70C77 62 70 57 69.5 46C69 37 67 30 63 25Z", _LIGHT)
    return (
        _toned("body", _BODY, _SKIN, _SHADE)
        + clipped("trunk", _BODY, inside + glow)
        + path(_BODY, stroke=_LINE, stroke_width=1.5)
    )


def _feet() -> str:
    foot = _outlined("M22 94C22 88 30 86 37 88C43 90 44 95 41 96.5H25C23 96.5 22 95.5 22 94Z", _SKIN)
    toes = line("M29 96.3Q29 93.5 30 92.6M35 96.3Q35 93.5 36 92.8", _LINE, 1)
    shade = path("M23 94C27 93 36 93 41.5 94.5Q41.5 95.6 40.6 95.8H25Q23 95.8 23 94Z", _SHADE)
    one = foot + shade + toes
    return one + mirrored(one)


_ARMS = {  # of the left arm and of the right one, from the shoulder to the paw
    "happy": ("M27 64Q16 70 19 79", "M73 64Q88 62 87 49"),
    "laughing": ("M27 63Q12 58 14 45", "M73 63Q88 58 86 45"),
    "sad": ("M26 64Q17 72 22 82", "M74 64Q83 72 78 82"),
    "angry": ("M26 64Q10 68 24 77", "M74 64Q90 68 76 77"),
    "surprised": ("M27 65Q16 66 25 57", "M73 65Q84 66 75 57"),
    "sleepy": ("M26 64Q17 72 23 81", "M73 66Q78 66 61 61"),
    "winking": ("M26 64Q10 68 24 77", "M73 64Q88 62 86 50"),
    "worried": ("M27 66Q30 76 44 71", "M73 66Q70 76 56 71"),
}


def _arm(data: str) -> str:
    paw = data.rsplit(" ", 1)
    x, y = float(paw[0].split()[-1].lstrip("Q")), float(paw[1])
    arm = line(data, _LINE, 9.4) + line(data, _SHADE, 6.5) + line(data, _SKIN, 4, transform="translate(.7 -.8)")
    return arm + circle(x, y, 5.3, _SKIN, stroke=_LINE, stroke_width=1.4) + circle(x - 0.2, y + 0.2, 4.4, _SKIN)


def _eye(x: float, look: tuple[float, float], size: float = 1.0, pupil: float = 1.0, lid: str = "") -> str:
    """An open eye; `look` moves the iris, `lid` is the lid's path over it."""
    white = f"M{-7 * size} 0A{7 * size} {8 * size} 0 0 1 {7 * size} 0A{7 * size} {8 * size} 0 0 1 {-7 * size} 0Z"
    iris = (
        circle(*look, 4.9 * pupil, "#5a2fb0")
        + circle(look[0], look[1] + 1.2, 3.6 * pupil, "#8f5cf0")
        + circle(*look, 2.9 * pupil, _INK)
        + circle(look[0] + 1.7, look[1] - 1.9, 1.6 * pupil, "#ffffff")
        + circle(look[0] - 1.6, look[1] + 1.9, 0.8 * pupil, "#e8dcff")
    )
    name = f"eye{int(x)}"
    cover = path(lid, _SHADE) + line(lid.split("L")[0], _LINE, 1.4) if lid else ""
    return placed(
        path(white, "#ffffff") + clipped(name, white, iris + cover) + path(white, stroke=_LINE, stroke_width=1.4),
        x,
        _EYES,
    )


def _eyes(expression: str) -> str:
    shut, brow = 2.1, 2.3
    if expression == "laughing":
        return line("M33 45Q40 35 46 45M54 45Q60 35 67 45", _INK, 2.4)
    if expression == "sleepy":
        return line("M33.5 43Q40 49.5 46.5 43M53.5 43Q60 49.5 66.5 43", _INK, shut)
    if expression == "winking":
        return (
            _eye(_LEFT, (0.8, 0))
            + line("M66.5 38.5L55.5 43.5L66.5 47.5", _INK, 2.3)
            + line("M33 32Q39 29 45 32", _LINE, brow)
        )
    if expression == "sad":
        lids = ("M-9 -3.4L9 -7L9 -10L-9 -10Z", "M9 -3.4L-9 -7L-9 -10L9 -10Z")
        eyes = _eye(_LEFT, (0, 1.6), lid=lids[0]) + _eye(_RIGHT, (0, 1.6), lid=lids[1])
        tear = path(
            "M32 52C36 57.5 36.5 60 34.6 62A3.8 3.8 0 0 1 28.6 58.8C29 56.5 31 55 32 52Z",
            "#7fd4ff",
            stroke="#2a7fc0",
            stroke_width=0.9,
        )
        return eyes + tear + line("M33 35.5L44.5 30.5M67 35.5L55.5 30.5", _LINE, brow)
    if expression == "angry":
        lids = ("M-9 -7.6L9 0L9 -11L-9 -11Z", "M9 -7.6L-9 0L-9 -11L9 -11Z")
        eyes = _eye(_LEFT, (1.6, 1.5), pupil=0.85, lid=lids[0]) + _eye(_RIGHT, (-1.6, 1.5), pupil=0.85, lid=lids[1])
        return eyes + line("M31 32L47.5 40M69 32L52.5 40", _INK, 3)
    if expression == "surprised":
        eyes = _eye(_LEFT - 0.5, (0, 0), 1.18, 0.62) + _eye(_RIGHT + 0.5, (0, 0), 1.18, 0.62)
        return eyes + line("M33 30.5Q38.5 26 44 29M67 30.5Q61.5 26 56 29", _LINE, brow)
    if expression == "worried":
        eyes = _eye(_LEFT, (3.2, 1.2), 0.95, 0.85) + _eye(_RIGHT, (3.2, 1.2), 0.95, 0.85)
        return eyes + line("M32.5 35.5Q38 30 45 30M67.5 35.5Q62 30 55 30", _LINE, brow)
    return _eye(_LEFT, (0.8, 0)) + _eye(_RIGHT, (-0.4, 0))


def _mouth(expression: str) -> str:
    fang = path("M44.6 55.6L47.4 56.3L45.6 59Z", "#ffffff", stroke=_INK, stroke_width=0.6)
    if expression == "laughing":
        open_mouth = "M37.5 51.5Q50 55 62.5 51.5Q62 66 50 66T37.5 51.5Z"
        inside = path(open_mouth, "#6e1740") + ellipse(50, 65, 7.5, 4.6, "#ff7fa0")
        teeth = path("M39.5 51.9Q50 55 60.5 51.9L59 55.2Q50 57.4 41 55.2Z", "#ffffff")
        return clipped("mouth", open_mouth, inside + teeth) + path(
            open_mouth, stroke=_INK, stroke_width=1.6, stroke_linejoin="round"
        )
    if expression == "surprised":
        return ellipse(50, 58.5, 4.6, 6.2, "#6e1740", stroke=_INK, stroke_width=1.6) + ellipse(
            50, 62, 2.8, 2, "#ff7fa0"
        )
    if expression == "winking":
        tongue = path("M51 56.6Q56 56.2 58.4 54.2Q61 61.5 56.2 62T51 56.6Z", "#ff7fa0", stroke=_INK, stroke_width=1.1)
        return tongue + line("M39.5 53Q50 60.5 61 52", _INK, 2)
    if expression == "angry":
        jaw = "M39 60L41.5 54.5Q50 51.5 58.5 54.5L61 60Q50 57.5 39 60Z"
        teeth = line("M43.5 54.2L43.2 59M47.8 53.2V58.3M52.2 53.2V58.3M56.5 54.2L56.8 59", _INK, 1)
        return path(jaw, "#ffffff", stroke=_INK, stroke_width=1.7, stroke_linejoin="round") + teeth
    if expression == "sleepy":
        return ellipse(50, 56.5, 2.6, 2.2, "#6e1740", stroke=_INK, stroke_width=1.4)
    lines = {
        "happy": "M40 52.5Q50 62.5 60 52.5",
        "sad": "M42.5 59.5Q50 52 57.5 59.5",
        "worried": "M40.5 58Q43.5 53.5 47 57T53.5 57T60 55.5",
    }
    return line(lines[expression], _INK, 2.1) + (fang if expression == "happy" else "")


def _marks(expression: str) -> str:
    """Beside the head, what the face says once more: a tuft of steam, a drop, sleep."""
    if expression == "angry":
        puff = "M0 0Q-3 -5 2 -6Q3 -11 8 -8Q14 -8 12 -3Q15 2 9 3Q4 5 0 0Z"
        steam = _outlined(puff, "#ffffff", 1.1)
        return placed(steam, 77, 31, 0.85, -8) + mirrored(placed(steam, 77, 31, 0.85, -8))
    if expression == "worried":
        drop = "M0 -7C4 -1 5 2 2.6 4.6A4 4 0 0 1 -3.6 2C-3.6 -1 -1 -3 0 -7Z"
        return placed(path(drop, "#8fdcff", stroke="#2a7fc0", stroke_width=0.9), 76, 30, 1.1, 16)
    if expression == "sleepy":
        z = "M0 0H6L0 7.5H6"
        return "".join(
            placed(line(z, "#ffffff", 3.6) + line(z, _LINE, 1.8), x, y, size)
            for x, y, size in ((76, 30, 0.7), (84, 17, 1.0))
        )
    if expression == "surprised":
        return line("M22 27L16 22M27 19L23 12M78 27L84 22M73 19L77 12", "#ffffff", 3.4) + line(
            "M22 27L16 22M27 19L23 12M78 27L84 22M73 19L77 12", _LINE, 1.7
        )
    return ""


def _clothes(kind: str, colour: str) -> tuple[str, str]:
    """What lies behind the body and what lies before it."""
    dark, light, edge = darker(colour, 0.28), lighter(colour, 0.2), darker(colour, 0.6)
    if kind == "scarf":
        end = "M30 65L25 86L36 88L40 67Z"
        fringe = line("M26 86L25 90M29.6 86.8L29 91M33.2 87.4L33 91.6", dark, 1.6)
        band = "M25.6 56Q50 68 74.4 56Q77.5 60 76.4 65.5Q50 77 23.6 65.5Q22.5 60 25.6 56Z"
        tail = _outlined(end, dark, 1.3, edge) + line("M28.4 74L38 76M27.3 79L37.2 81", light, 1.8)
        lit = path("M26.6 57.6Q50 69 73.4 57.6L74.6 60.4Q50 71.4 25.6 60.4Z", light)
        return "", fringe + tail + _outlined(band, colour, 1.4, edge) + lit + line(
            "M24.8 65Q50 75.6 75.2 65", dark, 1.6
        )
    if kind == "cape":
        back = "M28 55C12 66 5 84 4 96C20 91 34 95 50 96C66 95 80 91 96 96C95 84 88 66 72 55Z"
        folds = path(
            "M24 64C16 76 13 86 12 94.4L22 93.4C21 84 22 74 26 66Z"
            "M76 64C84 76 87 86 88 94.4L78 93.4C79 84 78 74 74 66Z",
            dark,
        )
        front = "M26.5 55.5Q38 65 50 67Q62 65 73.5 55.5Q77 60 76 64.5Q62 73 50 74Q38 73 24 64.5Q23 60 26.5 55.5Z"
        clasp = circle(50, 70, 3.6, "#ffd43b", stroke="#8a5a12", stroke_width=1.2) + path(
            star(50, 70, 2.2, 1), "#fff6c9"
        )
        lit = path("M27.4 57Q38 66 50 68Q62 66 72.6 57L74 59.6Q62 68.6 50 70Q38 68.6 26 59.6Z", light)
        return _outlined(back, colour, 1.4, edge) + folds, _outlined(front, colour, 1.4, edge) + lit + clasp
    if kind == "bow tie":
        wings = "M50 70L34 62.5Q31.5 70.5 34 78.5L50 71.5L66 78.5Q68.5 70.5 66 62.5Z"
        shade = path("M50 71.5L34 78.5Q32.8 75 32.7 72L50 70.8L67.3 72Q67.2 75 66 78.5Z", dark)
        knot = _outlined(
            "M45.6 66.4Q50 64.8 54.4 66.4Q55.6 70.8 54.4 75Q50 76.8 45.6 75Q44.4 70.8 45.6 66.4Z", light, 1.3, edge
        )
        folds = line("M44 69L38 66.4M56 69L62 66.4", edge, 1)
        return "", _outlined(wings, colour, 0.1, edge) + shade + path(
            wings, stroke=edge, stroke_width=1.4, stroke_linejoin="round"
        ) + folds + knot
    if kind == "party hat":
        cone = "M39.5 24.5Q50 28.5 60.5 24.5L52.5 -1Z"
        dots = "".join(circle(x, y, 1.7, lighter(colour, 0.75)) for x, y in ((47, 20), (54, 21), (52, 12), (50.5, 5.5)))
        shade = path("M39.5 24.5Q43 26 46.5 26.4L52.5 -1Z", dark)
        pompom = path(star(52.5, -1.5, 5, 3.2, 9), "#fff6c9", stroke=edge, stroke_width=1, stroke_linejoin="round")
        return "", _outlined(cone, colour, 0.1, edge) + shade + dots + path(
            cone, stroke=edge, stroke_width=1.4, stroke_linejoin="round"
        ) + pompom
    return "", ""


def _figure(attributes: Attributes) -> str:
    expression, kind = attributes.expression, attributes.kind
    behind, before = _clothes(kind, COLOURS.get(attributes.colour, "#ffffff"))
    left, right = _ARMS[expression]
    held = ""
    if attributes.extra:
        right = "M73 66Q72 76 76 80" if attributes.extra == "holding a book" else "M73 64Q86 66 86 57"
        held = _HELD[attributes.extra]()
    cheeks = ellipse(32.5, 53, 4.6, 3.2, "#ff86b4") + ellipse(67.5, 53, 4.6, 3.2, "#ff86b4")
    glints = line("M30.6 53.6L32 51.6M33 54L34.4 52M65.6 53.6L67 51.6M68 54L69.4 52", "#ffd0e2", 0.8)
    shadow = ellipse(50, 95.5, 36, 3.6, "#1a1038", fill_opacity=0.28)
    face = cheeks + glints + _eyes(expression) + _mouth(expression)
    arms = _arm(left) + _arm(right)
    over = before + arms if kind != "party hat" else arms + before
    return shadow + behind + _tail() + _horns() + _body() + _feet() + face + over + _marks(expression) + held


def _balloon() -> str:
    ball = "M86 2C96 2 102 9 102 17C102 27 94 33 86 36C78 33 70 27 70 17C70 9 76 2 86 2Z"
    string = line("M86 36Q89 46 86 57", _LINE, 1)
    shine = path("M91 7Q97 10 97 17Q94 11 89 9Z", "#ffd9d9")
    return (
        string
        + _toned("balloon", ball, "#ff5a5f", "#d8343f", "translate(5 -3)")
        + shine
        + circle(86, 57, 4.2, _SKIN, stroke=_LINE, stroke_width=1.3)
    )


def _lantern() -> str:
    glow = circle(86, 70, 17, "#ffe98a", fill_opacity=0.35) + circle(86, 70, 11, "#fff3b8", fill_opacity=0.5)
    box = _outlined("M79 64H93L95 79H77Z", "#ffe27a", 1.4, "#4a3a20") + path(star(86, 72, 5, 2, 6), "#fffbe0")
    frame = _outlined("M78 60H94V64.5H78ZM76 78.5H96V82H76Z", "#6b5a7a", 1.2, "#2a174f") + line(
        "M80 60Q86 52 92 60", "#2a174f", 1.4
    )
    return glow + box + frame + circle(86, 57, 4.2, _SKIN, stroke=_LINE, stroke_width=1.3)


def _book() -> str:
    cover = _outlined("M70 58L86 62L102 58V80L86 84L70 80Z", "#2f7fc0", 1.4, "#173a66")
    pages = path("M72.5 57L86 60.4L99.5 57V77L86 80.5L72.5 77Z", "#fff8e6", stroke="#173a66", stroke_width=0.9)
    words = line(
        "M86 60.4V80.5M75.5 63L83 65M75.5 67L83 69M75.5 71L83 73M89 65L96.5 63M89 69L96.5 67M89 73L96.5 71",
        "#b9a98f",
        0.9,
    )
    return cover + pages + words + circle(75, 80, 4.2, _SKIN, stroke=_LINE, stroke_width=1.3)


_HELD = {"holding a balloon": _balloon, "holding a book": _book, "holding a lantern": _lantern}

QUIBB = OwnArt(
    figure=_figure,
    places=PLACES,
    frames={
        "": Frame(50, 48.5, 108),
        "close-up": Frame(50, 41.5, 82, place_scale=1.25),
        "from afar": Frame(50, 36, 156),
        "tilted": Frame(53, 46, 114, turn=11),
        "on the left": Frame(68, 46, 116),
        "on the right": Frame(32, 46, 116),
    },
    kinds=("scarf", "cape", "bow tie", "party hat", ""),
    extras=tuple(_HELD),
)
"""Quibb's art: everything that the bundled texts name."""
