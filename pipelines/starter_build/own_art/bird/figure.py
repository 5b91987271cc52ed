"""Plim, a round bird, in soft pastel gradients: no lines, fluffy rims, large glossy eyes.

The set's figure; its light is in `glow.py`, its places in `lands.py`, `rooms.py` and `places.py`, its texts in
`bird/`.
"""

from __future__ import annotations

import math

from pipelines.models.starter.vocabulary import COLOURS
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.bird.glow import PLUM, ball_fill, finish, glow, orb, soft
from pipelines.starter_build.own_art.bird.places import PLACES
from pipelines.starter_build.own_art.framing import Frame, OwnArt
from pipelines.starter_build.own_art.svg import (
    circle,
    clipped,
    ellipse,
    lighter,
    line,
    mixed,
    path,
    placed,
    star,
)

_COAT, _DEEP, _BELLY = "#a9c8f5", "#7f9be0", "#fff3ea"
_INK = "#4a3a66"


def _fluff(x: float, y: float, across: float, tall: float, colours: tuple[str, str], count: int, size: float) -> str:
    """Tufts round a rim, so that the edge is downy; of the second colour below."""
    colour, below = colours
    out = []
    for at in range(count):
        angle = 2 * math.pi * at / count
        wobble = 1 + 0.02 * math.sin(at * 2.7)
        px, py = x + across * wobble * math.cos(angle), y + tall * wobble * math.sin(angle)
        shade = mixed(colour, below, 0.5 * max(0.0, math.sin(angle)) + 0.16 * max(0.0, math.cos(angle)))
        out.append(placed(ellipse(0, 0, size * 1.5, size, shade), px, py, 1, math.degrees(angle) + 24))
    return "".join(out)


def _crest() -> str:
    feather = "M0 0C-7 -6 -8 -17 -2 -24C3 -18 5 -8 3 0Z"
    colours = (("#cdb5f2", "#a58be0"), ("#f8c4dc", "#e59abf"), ("#c2e6f7", "#8fc0ea"))
    return "".join(
        placed(soft(feather, lighter(light, 0.4), light, dark), 48.6 + at * 2.6, 26, 1.12, turn)
        for at, ((light, dark), turn) in enumerate(zip(colours, (-34, 2, 36), strict=True))
    )


def _body() -> str:
    define, fill = ball_fill("#e4f1ff", _COAT, _DEEP)
    belly_define, belly = ball_fill("#ffffff", _BELLY, "#f3cfd6", 0.45, 0.25)
    tail = placed(soft("M0 0C10 -8 24 -8 30 -2C24 6 10 8 0 6Z", "#c6daf8", "#7f93d8"), 74, 78, 0.8, -24)
    return (
        tail
        + _fluff(50, 56, 34.4, 33.4, (_COAT, _DEEP), 44, 3.0)
        + define
        + ellipse(50, 56, 35, 34, fill)
        + belly_define
        + _fluff(50, 71, 20.5, 15.5, (_BELLY, "#f3cfd6"), 26, 2.0)
        + ellipse(50, 71, 21.4, 16.4, belly)
    )


def _feet() -> str:
    toe = "M0 0C-3 4 -8 5 -9 8C-6 9 -2 8 0 6C1 9 4 10 7 9C6 6 3 3 2 0Z"
    foot = soft(toe, "#ffc48a", "#f29a5c")
    return placed(foot, 41, 88, 0.95) + placed(foot, 59, 88, 0.95)


_WINGS = {  # turn of the left wing and of the right one, in degrees from hanging down
    "happy": (20, -112),
    "laughing": (118, -118),
    "sad": (4, -4),
    "angry": (46, -46),
    "surprised": (78, -78),
    "sleepy": (4, -4),
    "winking": (24, -96),
    "worried": (-22, 22),
}


def _wing(turn: float) -> str:
    shape = "M-3 -4C-9 6 -9 20 -1 28C1 25 2 25 3 26C5 23 6 23 7 24C10 14 8 2 3 -5Z"
    return placed(soft(shape, "#cfe2fb", "#9db8ee", "#7a90d8"), 0, 0, 1, turn)


def _wings(expression: str, holding: bool) -> str:
    left, right = _WINGS[expression]
    right = -104 if holding else right
    wings = placed(_wing(left), 19, 57, 0.9), placed(_wing(right), 81, 57, 0.9)
    return "".join(wings)


def _eye(x: float, y: float = 48, size: float = 1.0, look: tuple[float, float] = (0, 0), pupil: float = 1.0) -> str:
    white = orb(x, y, 8.6 * size, 9.6 * size, "#ffffff", 0.12)
    define, fill = ball_fill("#b99be8", "#6f52b4", "#2f2154", 0.5, 0.95)
    ex, ey, r = x + look[0], y + look[1], 6.7 * size * pupil
    glints = circle(ex - r * 0.34, ey - r * 0.42, r * 0.34, "#ffffff") + circle(
        ex + r * 0.4, ey + r * 0.44, r * 0.17, "#f3e6ff"
    )
    return (
        glow(x, y + 0.6, 10 * size, 11 * size, "#6f86c8", 0.5)
        + white
        + define
        + ellipse(ex, ey, r, r * 1.12, fill)
        + ellipse(ex, ey + 0.2, r * 0.56, r * 0.66, "#221640")
        + glints
    )


def _lid(x: float, tilt: float, y: float = 40.5, name: str = "") -> str:
    """A lid over the upper part of an eye; positive `tilt` turns it clockwise, degrees."""
    eye = f"M{x - 9.6} 48A9.6 10.6 0 0 1 {x + 9.6} 48A9.6 10.6 0 0 1 {x - 9.6} 48Z"
    skin = placed(soft("M-16 -12H16V1Q0 -2 -16 1Z", "#c3d9f9", "#b3cef7"), x, y, 1, tilt)
    return clipped(f"lid{name}{int(x)}", eye, skin)


def _eyes(expression: str) -> str:
    shut = {"stroke_linecap": "round"}
    if expression == "laughing":
        return line("M28.6 50Q36 40.6 43.4 50M56.6 50Q64 40.6 71.4 50", _INK, 2.7, **shut)
    if expression == "sleepy":
        return line("M28.4 47.6Q36 55 43.6 47.6M56.4 47.6Q64 55 71.6 47.6", _INK, 2.4) + line(
            "M29.4 50.6L27.4 53M36 51.6V54.6M64 51.6V54.6M70.6 50.6L72.6 53", _INK, 1.5
        )
    if expression == "winking":
        return _eye(36) + line("M71.6 43.4Q63 45 57.4 48.6Q63 50.6 71 54", _INK, 2.6)
    if expression == "surprised":
        return (
            _eye(35, 47, 1.16, pupil=0.62)
            + _eye(65, 47, 1.16, pupil=0.62)
            + line("M28 32.6Q33 29.4 38.6 31.4M72 32.6Q67 29.4 61.4 31.4", _DEEP, 2.2)
        )
    if expression == "angry":
        eyes = _eye(36, look=(1.2, 1), pupil=0.86) + _eye(64, look=(-1.2, 1), pupil=0.86)
        return eyes + _lid(36, 21, 41) + _lid(64, -21, 41) + line("M26.6 38L44.6 45.6M73.4 38L55.4 45.6", _INK, 3)
    if expression == "sad":
        eyes = _eye(36, look=(0, 1.8)) + _eye(64, look=(0, 1.8))
        tear = soft(
            "M28 56C32 61.6 32.6 64.6 30.4 66.8A4.4 4.4 0 0 1 23.6 63.4C24 60.4 27 58.8 28 56Z", "#e8f8ff", "#7fc4f0"
        )
        tear = placed(tear, 4, 0)
        return (
            eyes
            + _lid(36, -17, 40)
            + _lid(64, 17, 40)
            + tear
            + line("M29 37.4L41.6 31.6M71 37.4L58.4 31.6", _DEEP, 2.2)
        )
    if expression == "worried":
        eyes = _eye(36, size=0.96, look=(2.6, 0.6), pupil=0.8) + _eye(64, size=0.96, look=(2.6, 0.6), pupil=0.8)
        return eyes + line("M28.6 37Q34 32 41.4 32M71.4 37Q66 32 58.6 32", _DEEP, 2.2)
    return _eye(36, look=(0.5, 0)) + _eye(64, look=(-0.5, 0))


def _beak(expression: str) -> str:
    upper = soft(
        "M40.6 60C43.6 54.6 47.4 53.4 50 53.4C52.6 53.4 56.4 54.6 59.4 60Q50 64 40.6 60Z",
        "#ffe0a6",
        "#ffb870",
        "#f29a5c",
    )
    if expression in ("laughing", "happy", "winking"):
        depth = {"laughing": 76, "happy": 69, "winking": 70}[expression]
        inside = soft(f"M41.4 60.4Q50 64 58.6 60.4Q59 {depth} 50 {depth}T41.4 60.4Z", "#a8405c", "#7a2846")
        tongue = ellipse(50, (61 + depth) / 2 + 2.2, 4.4, (depth - 63) * 0.24, "#ff9fb0")
        edge = line(f"M41.4 60.4Q41 {depth} 50 {depth}T58.6 60.4", "#f29a5c", 2.2)
        return inside + tongue + edge + upper
    if expression == "surprised":
        return (
            orb(50, 63.6, 6, 7.4, "#ffb870")
            + ellipse(50, 64.2, 3.9, 5.2, "#7a2846")
            + ellipse(50, 67, 2.4, 1.8, "#ff9fb0")
        )
    if expression == "sleepy":
        return orb(50, 58.4, 5.4, 3.6, "#ffb870") + ellipse(50, 61.6, 2.2, 1.8, "#7a2846")
    if expression == "angry":
        return soft(
            "M38.6 63.6C42 56 46.6 54 50 54C53.4 54 58 56 61.4 63.6Q50 58.6 38.6 63.6Z", "#ffe0a6", "#ffb870", "#f29a5c"
        ) + line("M39 64Q50 58.4 61 64", "#b85a2c", 2)
    if expression == "sad":
        return soft(
            "M41 62.6C44 56.4 47.4 54.8 50 54.8C52.6 54.8 56 56.4 59 62.6Q50 57.8 41 62.6Z", "#ffe0a6", "#ffb870"
        ) + line("M41.6 63Q50 57 58.4 63", "#c86a38", 1.7)
    if expression == "worried":
        return upper + line("M41 61Q44 57.6 47.4 61T53.4 61T59.4 60", "#b85a2c", 1.8)
    return upper


def _marks(expression: str) -> str:
    if expression == "sleepy":
        return "".join(
            placed(line("M0 0H7L0 8.6H7", "#ffffff", 4.6) + line("M0 0H7L0 8.6H7", "#9d86d8", 2.2), x, y, size)
            for x, y, size in ((80, 25, 0.75), (87, 11, 1.05))
        )
    if expression == "worried":
        return placed(
            soft("M0 -8C4.4 -1 5.4 2 3 5A4.6 4.6 0 0 1 -4 2.4C-4.2 -1 -1 -3.4 0 -8Z", "#eaf8ff", "#7fc4f0"),
            84,
            28,
            1.05,
            14,
        )
    if expression == "surprised":
        rays = "M17 30L11 25M22 21L18 14M83 30L89 25M78 21L82 14"
        return line(rays, "#ffffff", 4.4) + line(rays, "#f2a05c", 2.2)
    if expression == "angry":
        return glow(50, 50, 46, 20, "#ff6f7f", 0.3) + "".join(_hot_puff(x) for x in (16, 84))
    return ""


def _hot_puff(x: float) -> str:
    """A puff of hot air beside the head."""
    return (
        orb(x, 27, 4.4, 3.8, "#ffffff", 0.2)
        + orb(x + 3, 24, 3.4, 3, "#ffffff", 0.2)
        + orb(x - 3.4, 24.4, 3, 2.6, "#ffffff", 0.2)
    )


def _clothes(kind: str, colour: str) -> str:
    light, dark = lighter(colour, 0.45), mixed(colour, PLUM, 0.32)
    if kind == "scarf":
        band = soft("M16 66C30 80 70 80 84 66L85.6 74C70 90 30 90 14.4 74Z", light, colour, dark)
        tail = soft("M62 82L73 78.6L79 98L75 96.4L72 99L69 96.8L66.4 99.4Z", colour, dark)
        folds = line(
            "M27 74.4Q27.6 76 27 77.4M42 79Q42.8 81 42.2 82.8M58 79Q58.6 81 58.2 82.8", mixed(colour, PLUM, 0.2), 1.2
        )
        return tail + band + folds
    if kind == "bow tie":
        wings = soft(
            "M0 -1C-6 -9 -14 -10 -18 -7C-19.4 -1 -19 5 -17 9C-12 10 -5 7 0 1"
            "C5 7 12 10 17 9C19 5 19.4 -1 18 -7C14 -10 6 -9 0 -1Z",
            light,
            colour,
            dark,
        )
        return placed(wings + orb(0, 0, 4.6, 5, colour), 50, 82)
    if kind == "party hat":
        cone = soft("M36 26C42 30 58 30 64 26C60 16 55 6 51 -2C46 6 40 16 36 26Z", light, colour, dark)
        dots = "".join(
            circle(x, y, 1.9, "#ffffff", fill_opacity=0.85)
            for x, y in ((44, 22), (53, 24), (49, 14), (56, 16.4), (51, 6.6))
        )
        return cone + dots + path(star(51, -2, 6, 3.6, 9), "#ffffff", fill_opacity=0.6) + orb(51, -2, 4, 4, "#fff0b8")
    return ""


def _figure(attributes: Attributes) -> str:
    expression, kind = attributes.expression, attributes.kind
    worn = _clothes(kind, COLOURS.get(attributes.colour, "#ffffff"))
    holding = bool(attributes.extra)
    held = _HELD[attributes.extra]() if holding else ""
    cheeks = glow(25, 61, 8, 6, "#ff86ac", 0.8) + glow(75, 61, 8, 6, "#ff86ac", 0.8)
    ground = glow(50, 95, 42, 7, "#4a3f78", 0.5)
    aura = glow(50, 56, 54, 52, "#ffffff", 0.35)
    crest = "" if kind == "party hat" else _crest()
    face = cheeks + _eyes(expression) + _beak(expression)
    hat = worn if kind == "party hat" else ""
    return (
        ground
        + aura
        + crest
        + _feet()
        + _body()
        + ("" if hat else worn)
        + face
        + hat
        + held
        + _wings(expression, holding)
        + _marks(expression)
    )


def _balloon() -> str:
    string = line("M97 18Q101 34 100 50", "#b79ad8", 0.9)
    return string + orb(97, 4, 12, 14, "#ff9fb8") + soft("M94.6 17.6H99.4L100.4 21H93.6Z", "#f58aa6", "#e0708f")


def _flower() -> str:
    stem = line("M101 54Q98 44 100 32", "#8fcf9f", 2.2) + soft(
        "M100 46C92 40 88 42 87 44C90 48 96 49 100 47Z", "#bfe8c4", "#84c48f"
    )
    petals = "".join(
        placed(soft("M0 0C-5 -4 -5 -11 0 -13C5 -11 5 -4 0 0Z", "#fff4d0", "#ffc27a"), 100, 30, 1, turn)
        for turn in range(0, 360, 60)
    )
    return stem + petals + orb(100, 30, 4, 4, "#ff9f7a")


def _ice_cream() -> str:
    cone = soft("M92 40H108L100 60Z", "#f5d29a", "#d99f5c") + line("M95 44L102 54M105 44L98 54", "#c98a4a", 0.9)
    return cone + orb(96, 36, 6.4, 6, "#ffb6cf") + orb(104, 36, 6.4, 6, "#bfe8d4") + orb(100, 28, 6.6, 6.2, "#fff0c4")


_HELD = {"holding a balloon": _balloon, "holding a flower": _flower, "holding an ice cream": _ice_cream}
BIRD = OwnArt(
    figure=_figure,
    places=PLACES,
    frames={
        "": Frame(50, 44, 122),
        "close-up": Frame(50, 49, 98, place_scale=1.15),
        "from afar": Frame(50, 36, 162),
        "tilted": Frame(50, 44, 124, turn=-11),
        "on the left": Frame(70, 44, 128),
        "on the right": Frame(30, 44, 128),
    },
    kinds=("scarf", "bow tie", "party hat", ""),
    extras=tuple(_HELD),
    finish=finish,
)
"""Plim's art."""
