"""Dame Oolong, a teapot who is a witch, in thick ink: rubber limbs, pie-cut eyes, white gloves, halftone shades.

The set's figure; its ink is in `ink.py`, its places in `lands.py`, `rooms.py` and `places.py`, its texts in
`kettle/`.
"""

from __future__ import annotations

from pipelines.models.starter.vocabulary import COLOURS
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.framing import Frame, OwnArt
from pipelines.starter_build.own_art.kettle.ink import GOLD, INK, PAPER, RED, ball, brush, finish, inked
from pipelines.starter_build.own_art.kettle.places import PLACES
from pipelines.starter_build.own_art.svg import circle, clipped, ellipse, mirrored, path, placed, star

_POT = "#5fb7ad"
_BELLY = "M50 35C66 35 78 45 78 59C78 74 66 83 50 83C34 83 22 74 22 59C22 45 34 35 50 35Z"
_WHITE = "#fffaf0"


def _spout() -> str:
    return inked(
        "M27 70C16 68 13 58 12 50C11.6 46 9 44.4 5.6 44L8.6 38.6C16 38 20 42 21 48C22 54 25 56 30 56Z", _POT
    ) + ball(7, 41.2, 2.2, 3.4, GOLD, 1.6, 0)


def _handle() -> str:
    outer = "M73 47C86 42 95 49 95 58C95 67 87 74 75 72L75 67C84 68 90 63.6 90 58C90 52 84 48 75 51Z"
    return inked(outer, _POT, 2.0, 1.6)


def _hat() -> str:
    brim = "M18 37C18 33 32 30.5 50 30.5C68 30.5 82 33 82 37C82 41 68 41.6 50 41.6C32 41.6 18 41 18 37Z"
    cone = "M30 33C34 24 38 14 46 7C53 1 64 -2 73 4C67 4 64 7 65 11C66 17 68 26 70 33C60 37 40 37 30 33Z"
    band = "M31.4 29.6C40 33.6 60 33.6 69.2 29.6L70.2 34C60 38 40 38 29.6 34Z"
    shine = brush("M39 25C42 18 45 13 49.4 9.4M36.6 27.6L37.4 26", 1.3, _WHITE)
    buckle = inked("M45 30.6h10v7h-10Z", GOLD, 1.4, 0) + path("M47.6 32.6h4.4v2.8h-4.4Z", "#7d3f9a")
    return (
        inked(brim, "#3a3440", 2.2, 1.6, dots=False)
        + inked(cone, "#3a3440", 2.2, 3.6, dots=False)
        + shine
        + inked(band, "#7d3f9a", 1.6, 1.2)
        + buckle
    )


def _pattern() -> str:
    daisy = "".join(placed(ellipse(0, -2.3, 1.1, 1.7, PAPER), 0, 0, 1, turn) for turn in range(0, 360, 60)) + circle(
        0, 0, 1.2, GOLD
    )
    flowers = "".join(
        placed(daisy, x, y, size) for x, y, size in ((29, 71, 0.9), (71.4, 72, 0.9), (27, 56, 0.6), (73.4, 57, 0.6))
    )
    shine = brush("M31 47Q35 42 41 39.8", 2.0, "#d8f2ea") + brush("M28.6 51.4L29.4 50", 2.0, "#d8f2ea")
    return flowers + shine


def _legs() -> str:
    boot = "M38.6 90H45.4V93C45.4 97 45.4 97 45.4 98H33.6C32.6 97 33.6 93.4 38.6 93Z"
    one = brush("M42 80V91", 3.2) + inked(boot, "#8a4a34", 1.8, 1.2)
    return one + mirrored(one)


_ARMS = {  # of the left hand and the right one: curve from the shoulder to the wrist
    "happy": ("M26 73Q14 78 17 87", "M75 72Q90 76 92 84"),
    "laughing": ("M26 73Q10 80 8 68", "M75 72Q92 78 94 66"),
    "sad": ("M27 75Q20 84 24 90", "M73 75Q80 84 76 90"),
    "angry": ("M26 73Q8 76 22 83", "M75 73Q93 76 79 83"),
    "surprised": ("M26 73Q10 74 10 62", "M75 72Q92 74 92 64"),
    "sleepy": ("M27 75Q20 84 24 90", "M74 74Q86 84 68 76"),
    "winking": ("M26 73Q8 76 22 83", "M75 72Q90 76 94 66"),
    "worried": ("M27 76Q30 88 44 84", "M73 76Q70 88 56 84"),
}


def _arm(data: str) -> str:
    x, y = (float(word) for word in data.rsplit("Q", 1)[1].split()[2:4])
    cuff = ball(x, y, 3.4, 3.0, _WHITE, 1.5, 0)
    fingers = (
        "M-4.6 -1C-7 -3.6 -4.4 -6 -2.4 -4.4C-2.6 -7.4 1 -8 1.6 -5C3 -7.4 6 -6 5 -3"
        "C7.4 -2.6 7 .8 4.6 1.2C3 4 -3 4 -4.6 -1Z"
    )
    hand = placed(inked(fingers, _WHITE, 1.5, 1.0, dots=False) + brush("M-.6 -2.4V-.4M2 -2.4V-.4", 0.9), x, y)
    return brush(data, 3.2) + cuff + hand


def _pie_eye(
    x: float, y: float, across: float, down: float, look: tuple[float, float] = (0, 0), pupil: float = 1.0
) -> str:
    white = ball(x, y, across, down, _WHITE, 1.5, 0)
    px, py, r = x + look[0], y + 1 + look[1], 3.6 * pupil
    cut = path(f"M{px} {py}L{px + r * 1.3} {py - r * 1.0}L{px + r * 0.4} {py - r * 1.6}Z", _WHITE)
    return white + ellipse(px, py, r, r * 1.35, INK) + cut


def _eyes(expression: str) -> str:
    if expression == "laughing":
        return brush("M33.5 55Q40 45.6 46 55M54 55Q60 45.6 66.5 55", 2.6)
    if expression == "sleepy":
        lash = brush("M34.6 55L33 57.6M40 57.6V60.4M45.4 55.4L47 58", 1.3)
        return brush("M33.6 53Q40 60.6 46.4 53M53.6 53Q60 60.6 66.4 53", 2.4) + lash + mirrored(lash)
    if expression == "winking":
        return (
            _pie_eye(40, 53, 6.2, 8.2)
            + brush("M66.6 48.6L54.6 54L66.6 58.6", 2.6)
            + brush("M33 42.6Q39 39.6 45 42.4", 1.8)
        )
    if expression == "surprised":
        return (
            _pie_eye(39.4, 52, 7.6, 9.6, pupil=0.55)
            + _pie_eye(60.6, 52, 7.6, 9.6, pupil=0.55)
            + brush("M32 41.4Q37 38.6 42 41M68 41.4Q63 38.6 58 41", 1.6)
        )
    if expression == "angry":
        eyes = _pie_eye(40, 54, 6, 7, (1, 0.4), 0.85) + _pie_eye(60, 54, 6, 7, (-1, 0.4), 0.85)
        cover = path("M31 42H48V53L31 46.4Z", _POT) + brush("M32 45.6L47.4 52", 3.4)
        return eyes + cover + mirrored(cover)
    if expression == "sad":
        eyes = _pie_eye(40, 54, 6, 7.4, (0, 1), 0.9) + _pie_eye(60, 54, 6, 7.4, (0, 1), 0.9)
        cover = (
            path("M32.6 44H47.4V47.6L32.6 53Z", _POT)
            + brush("M33 52.4L46.8 47.4", 1.6)
            + brush("M34 44.6L45 41.4", 1.8)
        )
        tear = inked("M32 61C35 65 35.4 67.6 33.4 69.4A3.4 3.4 0 0 1 28.6 67C28.6 65 31 63.6 32 61Z", "#bfe3f0", 1.3, 0)
        return eyes + cover + mirrored(cover) + tear
    if expression == "worried":
        return (
            _pie_eye(40, 53.4, 6, 7.6, (2.4, 0.8), 0.8)
            + _pie_eye(60, 53.4, 6, 7.6, (2.4, 0.8), 0.8)
            + brush("M34 44.6Q39 41 45 41.4M66 44.6Q61 41 55 41.4", 1.8)
        )
    return _pie_eye(40, 53, 6.2, 8.2, (0.6, 0)) + _pie_eye(60, 53, 6.2, 8.2, (-0.6, 0))


def _mouth(expression: str) -> str:
    if expression == "laughing":
        shape = "M36 63Q50 67.6 64 63Q64 79 50 79T36 63Z"
        return (
            path(shape, "#5a1a20")
            + clipped(
                "laugh", shape, ellipse(50, 78.4, 8.4, 5.6, "#e8727a") + path("M36 62H64V66.6Q50 70.6 36 66.6Z", _WHITE)
            )
            + brush(shape, 2.0)
        )
    if expression == "surprised":
        return ball(50, 70.6, 4.8, 6.2, "#5a1a20", 1.8, 0)
    if expression == "angry":
        shape = "M37.6 74L40 67Q50 63.6 60 67L62.4 74Q50 71 37.6 74Z"
        return path(shape, _WHITE) + brush("M43 66V72.4M48 65V71.6M52 65V71.6M57 66V72.4", 1.1) + brush(shape, 2.0)
    if expression == "sleepy":
        return ball(50, 69, 2.8, 2.4, "#5a1a20", 1.5, 0)
    if expression == "winking":
        tongue = inked("M51 71Q57 70.6 60 67.6Q64 76 58.6 77T51 71Z", "#e8727a", 1.5, 0)
        return tongue + brush("M37.6 66Q49 75.6 62.6 65.4M36.2 65Q37 64.6 38.4 66", 2.4)
    lines = {
        "happy": "M37 65.6Q50 78.6 63 65.6M35.4 66.6L38.4 64.6M64.6 66.6L61.6 64.6",
        "sad": "M40.6 74Q50 64.6 59.4 74",
        "worried": "M38.6 71.6Q42 66 46 70.4T53.6 70.4T61.4 68.4",
    }
    return brush(lines[expression], 2.4)


def _steam(expression: str) -> str:
    """What comes out of the spout, and marks beside the hat: the mood once more."""
    if expression == "angry":
        burst = path(star(0, 0, 10, 5, 9, 10), _WHITE, stroke=INK, stroke_width=1.5, stroke_linejoin="round")
        return placed(burst, 4, 31, 0.85) + brush("M85 22L93 16M89 29L98 27M80 16L84 8", 2.2, RED)
    if expression == "sleepy":
        z = "M0 0H7L0 9H7"
        return "".join(
            placed(brush(z, 4.4, _WHITE) + brush(z, 2.0), x, y, size) for x, y, size in ((84, 26, 0.75), (90, 11, 1.05))
        )
    if expression == "worried":
        return placed(
            inked("M0 -8C4.4 -1 5.4 2 3 5A4.6 4.6 0 0 1 -4 2.4C-4.2 -1 -1 -3.4 0 -8Z", "#bfe3f0", 1.4, 0),
            88,
            28,
            1.0,
            14,
        )
    if expression == "surprised":
        return brush("M84 24L92 18M88 31L97 30M79 18L83 9M14 27L8 22M19 20L15 12", 2.2)
    curl = "M6 36C1 32 2 27 6 26C10 25 11 21 7 17" if expression != "sad" else "M5 36C4 34 4 33 5 31"
    return brush(curl, 4.2) + brush(curl, 2.0, _WHITE)


def _clothes(kind: str, colour: str) -> tuple[str, str]:
    """What lies behind the pot and what lies before it."""
    if kind == "scarf":
        band = "M22.6 68C34 82 66 82 77.4 68L79 75.6C66 91 34 91 21 75.6Z"
        tail = "M60 83L69 79L76 96L69.8 98.4L66.6 95.6L62.8 98.8Z"
        ribs = brush("M31 79.6L29.6 84M50 83V88M69 79.6L70.4 84", 1.1)
        return "", inked(tail, colour, 2.0, 1.6) + inked(band, colour, 2.0, 1.6) + ribs
    if kind == "cape":
        back = "M36 42C20 50 8 72 5 94C18 90 34 93 50 94C66 93 82 90 95 94C92 72 80 50 64 42Z"
        front = "M25.6 45C33 42 42 41.4 50 41.4C58 41.4 67 42 74.4 45L70 47.6C58 45 42 45 30 47.6Z"
        return inked(back, colour, 2.2, 3.4), inked(front, colour, 1.8, 0) + ball(50, 43.6, 2.8, 2.6, GOLD, 1.5, 0)
    if kind == "bow tie":
        wings = "M50 83L35 76Q31.6 83 35 90.6L50 84.6L65 90.6Q68.4 83 65 76Z"
        return "", inked(wings, colour, 2.0, 1.8) + ball(50, 83.6, 4.2, 4.4, colour, 1.8, 1.0) + brush(
            "M44 82L38.6 79.8M56 82L61.4 79.8", 1.1
        )
    return "", ""


def _figure(attributes: Attributes) -> str:
    expression = attributes.expression
    behind, before = _clothes(attributes.kind, COLOURS.get(attributes.colour, PAPER))
    left, right = _ARMS[expression]
    held = ""
    if attributes.extra:
        right, held = "M75 72Q88 78 91 70", placed(_HELD[attributes.extra](), 91, 69)
    shadow = ellipse(50, 98.4, 31, 2.6, INK, fill_opacity=0.55)
    cheeks = ellipse(31.6, 63, 4, 2.6, "#ef8f86") + ellipse(68.4, 63, 4, 2.6, "#ef8f86")
    pot = _handle() + _spout() + _legs() + inked(_BELLY, _POT, 2.6, 4.4) + _pattern() + cheeks
    face = _eyes(expression) + _mouth(expression)
    return shadow + behind + pot + before + face + _hat() + _arm(left) + _arm(right) + held + _steam(expression)


def _wand() -> str:
    return (
        brush("M0 4L5 -22", 3.6)
        + brush("M0 4L5 -22", 1.6, "#a8744a")
        + path(star(6, -28, 8.4, 3.6, 5, 10), GOLD, stroke=INK, stroke_width=1.6, stroke_linejoin="round")
        + brush("M-3 -33L-6 -36M16 -34L19 -37M16 -22L20 -21", 1.5)
        + ball(0, 0, 4.4, 4, _WHITE, 1.5, 0)
    )


def _book() -> str:
    cover = inked("M-14 -13L0 -9L14 -13V7L0 11L-14 7Z", "#7d3f9a", 1.8, 0) + path(
        "M-12 -12L0 -8.6V8.6L-12 5Z M12 -12L0 -8.6V8.6L12 5Z", _WHITE, stroke=INK, stroke_width=1
    )
    return (
        cover
        + brush("M-9.6 -7L-2.6 -5M-9.6 -2.6L-2.6 -.6M9.6 -7L2.6 -5M9.6 -2.6L2.6 -.6", 0.9)
        + ball(-2, 10, 4.4, 3.4, _WHITE, 1.5, 0)
    )


def _cup() -> str:
    cup = (
        inked("M-7 -14H8L6.4 -2C6 1 -5 1 -5.4 -2Z", _WHITE, 1.8, 1.6)
        + brush("M8 -11.6Q14 -11 12 -6T6.8 -3.6", 1.7)
        + path("M-6.6 -10H7.4L7 -7H-6.2Z", RED)
    )
    return brush("M-2 -17Q-4 -20 -2 -23M3.6 -17Q1.6 -20 3.6 -23", 1.6) + cup + ball(0, 1.4, 4.6, 3.6, _WHITE, 1.5, 0)


_HELD = {"holding a magic wand": _wand, "holding a book": _book, "holding a cup": _cup}
KETTLE = OwnArt(
    figure=_figure,
    places=PLACES,
    frames={
        "": Frame(50, 47, 120),
        "close-up": Frame(50, 49, 88, place_scale=1.2),
        "from afar": Frame(50, 39, 162),
        "tilted": Frame(50, 46, 124, turn=10),
        "on the left": Frame(70, 46, 126),
        "on the right": Frame(30, 46, 126),
    },
    kinds=("scarf", "cape", "bow tie", ""),
    extras=tuple(_HELD),
    finish=finish,
)
"""Dame Oolong's art."""
