"""Rusk Halloway, a fox who keeps a lighthouse, in cut paper: facets, layers with shadows, no outlines.

The set's figure; its paper is in `paper.py`, its places in `lands.py`, `rooms.py` and `places.py`, its texts in `fox/`.
"""

from __future__ import annotations

from pipelines.models.starter.vocabulary import COLOURS
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.fox.paper import (
    BARK,
    CHARCOAL,
    CREAM,
    MUSTARD,
    NAVY,
    RUST,
    disc,
    finish,
    layer,
    piece,
    strip,
)
from pipelines.starter_build.own_art.fox.places import PLACES
from pipelines.starter_build.own_art.framing import Frame, OwnArt
from pipelines.starter_build.own_art.svg import darker, lighter, mirrored, placed

_SIDE = "#c4552a"
"""The paper of the fox's shaded sides."""
_EYES = 41.5


def _tail() -> str:
    back = piece("62,88 74,90 87,84 96,72 97,58 91,45 84,38 80,46 79,58 74,68 66,75 60,80", RUST)
    under = piece("66,87 78,88 90,80 95,70 90,76 80,80 70,80", _SIDE)
    tip = piece("84,38 91,45 97,57 96.5,62 91,57 88,60 86,53 81,55 80,46", CREAM)
    return layer(back + under, 2) + layer(tip, 1)


def _head() -> str:
    left_ear = piece("22,36 17,8 21,4 26,9 24.5,13 30,12 42,24", RUST) + piece(
        "17,8 21,4 26,9 24.5,13 30,12 20,20", BARK
    )
    inner_left = piece("25,29 23,17 33,23", "#f0b48c")
    right_ear = piece("78,36 84,5 80,3 58,24", RUST) + piece("84,5 80,3 70,13 81.5,20", BARK)
    inner_right = piece("75,29 78,15 66,22", "#f0b48c")
    skull = piece(
        "50,19 62,20 73,27 79,37 90,46 84,49 91,56 82,57 84,63 73,62 62,68 50,70 "
        "38,68 27,62 16,63 18,57 9,56 16,49 10,46 21,37 27,27 38,20",
        RUST,
    )
    cheek = piece("10,56 18,57 16,63 27,62 38,68 50,70 50,52 42,47 34,50 24,49 17,52", CREAM)
    bridge = piece("50,24 55,34 55.5,46 50,52 44.5,46 45,34", lighter(RUST, 0.22))
    ears = layer(left_ear + right_ear, 2) + layer(inner_left + inner_right, 1)
    nose = piece("44.6,49 50,47.4 55.4,49 53,53.4 50,55 47,53.4", CHARCOAL) + piece(
        "47,49.2 50,48.4 51.4,49.2 48.6,50.4", "#8a8496"
    )
    return ears + layer(skull, 3) + layer(cheek + mirrored(cheek), 1) + layer(bridge, 1) + layer(nose, 1)


def _cap() -> str:
    crown = piece("31,23 33,12 41,8 50,7 59,8 67,12 69,23 60,20 50,19 40,20", NAVY)
    band = piece("30.5,25 40,21.4 50,20.2 60,21.4 69.5,25 69,21 60,17.6 50,16.4 40,17.6 31,21", darker(NAVY, 0.3))
    peak = piece("34,25 42,21.6 50,20.8 58,21.6 66,25 60,28 50,26.4 40,28", CHARCOAL)
    return layer(crown, 2) + layer(band + peak, 1) + layer(disc(50, 13.6, 3, 3, MUSTARD, 9, 3), 1)


def _open_eye(x: float, look: float = 0, drop: float = 0, size: float = 1.0) -> str:
    eye = disc(x, _EYES, 5.2 * size, 6.2 * size, "#fffaf0", 12, 5)
    pupil = disc(x + look, _EYES + drop, 3.7, 4.7, CHARCOAL, 11, 8)
    glint = disc(x + look + 1.3, _EYES + drop - 1.8, 1.25, 1.25, "#ffffff", 7, 2)
    return layer(eye, 1) + pupil + glint


def _eyes(expression: str) -> str:
    arch = "28.5,44 31,39 35.5,36.4 40,38.4 43,44 40.6,44.6 38.4,41.2 35.6,39.6 32.6,41.6 31,44.6"
    shut = "28.5,40.6 31,44.4 35.5,46.6 40,45 43,40.8 41,40 38.6,42.6 35.6,43.8 32.6,42.4 30.6,39.8"
    brow = "29,33.6 42.4,29.6 43,32.4 30,36.6"
    if expression in ("laughing", "sleepy"):
        one = piece(arch if expression == "laughing" else shut, CHARCOAL)
        return layer(one + mirrored(one), 1)
    if expression == "winking":
        return (
            _open_eye(36)
            + layer(piece("57,36.4 66,40 71,39.6 71,42.4 66,43 57.6,47.4 56.4,45.2 62.6,41.4 56,38.8", CHARCOAL), 1)
            + layer(mirrored(piece("57,31 69,28.6 70,31.2 57.6,33.8", BARK)), 1)
        )
    if expression == "angry":
        lid = piece("27,32 46,40 45.4,36 30,29", RUST) + piece("27.6,33.2 45.8,41 46.4,37.4 29,30.4", BARK)
        eyes = _open_eye(36, 1.2, 0.8) + _open_eye(64, -1.2, 0.8)
        cover = piece("27,34 46,41.6 46,30 27,30", RUST)
        return eyes + cover + mirrored(cover) + layer(lid + mirrored(lid), 1)
    if expression == "surprised":
        eyes = "".join(
            layer(disc(x, _EYES, 7, 8.2, "#fffaf0", 14, 5), 1) + disc(x, _EYES, 2.5, 3, CHARCOAL, 9, 8)
            for x in (36, 64)
        )
        up = piece("29.6,31 36,28 43,30 42.4,32.6 36,30.8 30.4,33.6", BARK)
        return eyes + layer(up + mirrored(up), 1)
    if expression == "sad":
        eyes = _open_eye(36, 0, 1.6) + _open_eye(64, 0, 1.6)
        cover = piece("28,41.5 45,36.4 45,31 28,33", RUST)
        tear = piece("29,46.6 31.6,51.4 31,54.6 28.6,55.8 26.2,54.4 26,51.4", "#5fb3d4")
        sad = piece("28.6,38 42.6,32.4 43.4,34.8 29.6,40.4", BARK)
        return eyes + cover + mirrored(cover) + layer(sad + mirrored(sad), 1) + layer(tear, 1)
    if expression == "worried":
        eyes = _open_eye(36, 2, 0.6, 1.05) + _open_eye(64, 2, 0.6, 1.05)
        return eyes + layer(piece(brow, BARK) + mirrored(piece(brow, BARK)), 1)
    return _open_eye(36, 0.6) + _open_eye(64, -0.6)


def _mouth(expression: str) -> str:
    shapes = {
        "happy": "39.6,57.4 44,60.6 50,61.8 56,60.6 60.4,57.4 61.8,59 57,63.2 50,64.8 43,63.2 38.2,59",
        "sad": "42,64.4 45.6,60.8 50,59.6 54.4,60.8 58,64.4 56.4,65.4 53,63.2 50,62.4 47,63.2 43.6,65.4",
        "sleepy": "46.6,59.6 50,58.6 53.4,59.6 53.2,62 50,63 46.8,62",
        "worried": "40,60.4 43.4,57.8 47,60 50.4,57.8 54,60 57.4,57.6 60.4,59.6 "
        "59.4,61.8 57.2,60.6 54,63 50.4,60.8 47,63 43.6,60.8 41.4,62.6",
        "winking": "39.6,57.8 44,60.6 50,61.4 56,59.8 61,55.6 62.6,57.2 57,62.6 50,64.4 43,63.2 38.4,59.6",
    }
    if expression in shapes:
        tongue = piece("51.6,62.4 58.6,59.6 60,64 57.4,67 53.4,66.6", "#e9788a") if expression == "winking" else ""
        return layer(tongue, 1) + layer(piece(shapes[expression], CHARCOAL), 1)
    if expression == "laughing":
        inside = piece(
            "38.4,56.6 44,58.4 50,59 56,58.4 61.6,56.6 59.6,63 55.6,67.4 50,68.8 44.4,67.4 40.4,63", "#5a1f2c"
        )
        tongue = piece("44,65.2 47,63.4 50,63 53,63.4 56,65.2 53.6,67.8 50,68.6 46.4,67.8", "#e9788a")
        teeth = piece("41.6,57.6 44,58.4 50,59 56,58.4 58.4,57.6 57.4,60 50,61.2 42.6,60", "#fffaf0")
        return layer(inside, 1) + tongue + teeth
    if expression == "surprised":
        return layer(disc(50, 61.6, 4.2, 5.2, "#5a1f2c", 12, 4), 1) + disc(50, 64, 2.4, 2, "#e9788a", 8, 1)
    jaw = piece("39,64.6 41.4,58.6 50,57 58.6,58.6 61,64.6 50,62.8", "#5a1f2c")
    teeth = piece(
        "40.6,62.6 42.6,59.2 44.4,62 46.6,58.4 48.6,61.6 50.4,58 52.4,61.4 54.2,58.4 56,62 57.8,59.2 59.4,62.6 50,61.8",
        "#fffaf0",
    )
    return layer(jaw, 1) + teeth


def _marks(expression: str) -> str:
    if expression == "sleepy":
        z = piece("0,0 7,0 7,1.8 2.8,6.6 7.2,6.6 7.2,8.6 0,8.6 0,6.8 4.2,2 0,2", "#fffaf0")
        return layer(placed(z, 86, 22, 0.8, -6) + placed(z, 91, 9, 1.05, 8), 1)
    if expression == "worried":
        return layer(piece("88,24 91.4,30.4 91,34.4 88,36 85,34.4 84.6,30.4", "#5fb3d4"), 1)
    if expression == "angry":
        bolt = piece("90,14 96,17 92.6,20 98,24 88.6,30 91.6,24 87,21.6", "#c8323a")
        return layer(bolt, 1)
    if expression == "surprised":
        rays = (
            strip(88, 26, 96, 21, 2.2, MUSTARD)
            + strip(84, 17, 89, 9, 2.2, MUSTARD)
            + strip(90, 34, 98, 34, 2.2, MUSTARD)
        )
        return layer(rays, 1)
    return ""


def _legs() -> str:
    one = piece("38,84 47,84 47,94 48,97 36,97 37,92", BARK)
    return layer(one + mirrored(one), 1)


def _trunk(kind: str, colour: str) -> str:
    """Body with what is worn on it, arms apart."""
    shade, light = darker(colour, 0.26), lighter(colour, 0.22)
    body = layer(piece("35,66 65,66 69,78 68,91 60,93 40,93 32,91 31,78", RUST), 2)
    chest = layer(piece("42,66 58,66 60,76 54,84 50,88 46,84 40,76", CREAM), 1)
    if kind == "sweater":
        knit = piece("34,66 66,66 70.4,78 70,90 50,92 30,90 29.6,78", colour)
        bands = piece("30,82 70,82 70.2,85 50,86.6 29.8,85", light) + piece(
            "29.9,87 50,88.8 70.1,87 70,90 50,92 30,90", shade
        )
        collar = piece("38,65 62,65 63.6,71 50,73.6 36.4,71", shade)
        return body + layer(knit, 1) + bands + layer(collar, 1)
    if kind == "jacket":
        back = piece("33,66 67,66 72,79 73,93 50,95 27,93 28,79", colour)
        lapels = piece("40,66 49.6,79 49.6,94 44,94 36,73", light) + piece("60,66 50.4,79 50.4,94 56,94 64,73", light)
        buttons = "".join(disc(x, y, 1.5, 1.5, MUSTARD, 8, 2) for x in (43.6, 56.4) for y in (82, 88.6))
        return (
            body + layer(back, 1) + layer(lapels, 1) + layer(buttons, 1) + layer(piece("46,66 54,66 50,75", CREAM), 1)
        )
    if kind == "scarf":
        band = piece("32,66 50,71 68,66 70,72 60,77 50,78.6 40,77 30,72", colour)
        end = piece("38,75 46,77 45,92 42,89.6 39.6,92.6 36,90", shade) + piece("37.4,82 45.6,83 45.4,86 37,85", light)
        return body + chest + layer(end, 1) + layer(band + piece("32,66 50,71 68,66 68.6,68 50,73.2 31.4,68", light), 1)
    if kind == "cape":
        front = piece("31,66 50,72 69,66 72,73 61,80 50,76 39,80 28,73", colour)
        return body + chest + layer(front, 2) + layer(disc(50, 75, 2.8, 2.8, MUSTARD, 9, 4), 1)
    return body + chest


def _behind(kind: str, colour: str) -> str:
    if kind != "cape":
        return ""
    cloak = piece("33,64 67,64 80,80 86,95 66,92 50,96 34,92 14,95 20,80", colour)
    folds = piece("28,72 22,93.6 30,92.4", darker(colour, 0.26)) + piece("72,72 78,93.6 70,92.4", darker(colour, 0.26))
    return layer(cloak, 2) + folds


def _arm(kind: str, colour: str, raised: bool) -> str:
    """The right arm of the picture; sleeves follow the clothes."""
    sleeve = colour if kind in ("sweater", "jacket") else RUST
    if raised:
        arm, paw = piece("62,70 70,73 83,66 80,59.6 70,64", sleeve), disc(84, 61.6, 4.6, 4.8, BARK, 10, 6)
    else:
        arm, paw = piece("63,69 69,70 76,81 73.6,86 68,84", sleeve), disc(73.4, 85.6, 4.2, 4.2, BARK, 10, 6)
    return layer(paw, 1) + layer(arm, 1)


def _figure(attributes: Attributes) -> str:
    expression, kind = attributes.expression, attributes.kind
    colour = COLOURS.get(attributes.colour, CREAM)
    raised = bool(attributes.extra) or expression in ("happy", "laughing", "winking")
    arms = _arm(kind, colour, raised) + mirrored(_arm(kind, colour, expression == "laughing"))
    face = _eyes(expression) + _mouth(expression)
    held = placed(_HELD[attributes.extra](), 84, 61.6) if attributes.extra else ""
    trunk = _legs() + _trunk(kind, colour)
    return _behind(kind, colour) + _tail() + trunk + arms + _head() + _cap() + face + _marks(expression) + held


def _lantern() -> str:
    box = piece("-5.6,8 5.6,8 7,20 -7,20", "#ffe08a") + piece("-1,10 1,10 1.4,18 -1.4,18", "#fff8e0")
    frame = piece("-6.4,5 6.4,5 6.6,8.4 -6.6,8.4", CHARCOAL) + piece("-7.6,19.6 7.6,19.6 7.6,23 -7.6,23", CHARCOAL)
    bars = piece("-6.4,8 -5,8 -6,20 -7.6,20", CHARCOAL) + piece("5,8 6.4,8 7.6,20 6,20", CHARCOAL)
    handle = strip(0, 0, -6, 6, 1.2, CHARCOAL) + strip(0, 0, 6, 6, 1.2, CHARCOAL)
    return (
        layer(disc(0, 14, 13, 13, "#ffe9a8", 14, 1, opacity=0.45), 1)
        + layer(box + frame + bars + handle, 2)
        + disc(0, 0, 3.6, 3.6, BARK, 9, 3)
    )


def _cup() -> str:
    cup = piece("-6,-9 6.6,-9 5.6,3 -5,3", "#fffaf0") + piece("-5.8,-5.4 6.3,-5.4 6,-1.6 -5.5,-1.6", "#3f74a8")
    steam = piece("-3,-11 -4.4,-15 -1.6,-18 -2.4,-22 -.6,-18 -2.6,-15 -1.2,-11", "#fffaf0") + piece(
        "2,-11 .8,-14 3.4,-17 2.6,-20 4.4,-17 2.4,-14 3.6,-11", "#fffaf0"
    )
    return layer(steam, 1) + layer(cup, 2) + layer(disc(0, 2.4, 4.2, 3.6, BARK, 9, 3), 1)


def _umbrella() -> str:
    canopy = piece("-26,-36 -20,-48 -8,-56 4,-56 14,-48 18,-37 10,-40 4,-36 -4,-40 -11,-36 -19,-40", "#c8404a")
    panel = piece("-8,-56 4,-56 4,-36 -4,-40 -11,-36", "#f3d9b8")
    return (
        layer(strip(0, 6, -3, -40, 1.6, CHARCOAL), 1)
        + layer(canopy + panel, 2)
        + layer(disc(0, 0, 4, 4, BARK, 9, 3), 1)
    )


_HELD = {"holding a lantern": _lantern, "holding a cup": _cup, "holding an umbrella": _umbrella}
FOX = OwnArt(
    figure=_figure,
    places=PLACES,
    frames={
        "": Frame(50, 46, 124),
        "close-up": Frame(50, 41, 98, place_scale=1.15),
        "from afar": Frame(50, 38, 166),
        "tilted": Frame(52, 44, 126, turn=-10),
        "on the left": Frame(70, 45, 128),
        "on the right": Frame(30, 45, 128),
    },
    kinds=("sweater", "jacket", "scarf", "cape", ""),
    extras=tuple(_HELD),
    finish=finish,
)
"""Rusk Halloway's art."""
