"""Lands in the teapot's thick ink: park, snow, forest, desert, meadow, rain, mountain.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.kettle.ink import (
    BROWN,
    GOLD,
    GREEN,
    INK,
    PAPER,
    RED,
    ROSE,
    SLATE,
    ball,
    block,
    brush,
    hatching,
    inked,
    land,
    printed_sky,
    puff,
    spiral,
)
from pipelines.starter_build.own_art.svg import circle, ellipse, fitted, path, placed, polygon, rect, scattered

_SAND, _NIGHT = "#ecd095", "#2f3c63"


def _tree(x: float, y: float, size: float, leaf: str = GREEN) -> str:
    trunk = inked("M-3 0C-2 -8 -2 -16 -3 -24H4C3 -16 4 -8 6 0Z", BROWN, 1.4, 1.4)
    crown = (
        "M-16 -22C-22 -26 -20 -36 -12 -37C-11 -46 2 -49 7 -42C16 -43 21 -33 15 -27"
        "C16 -20 4 -18 0 -21C-5 -17 -13 -18 -16 -22Z"
    )
    return placed(
        trunk + inked(crown, leaf, 1.6, 3.0) + brush("M-8 -34Q-5 -38 0 -37M4 -30Q8 -30 10 -33", 1.0), x, y, size
    )


def _park() -> str:
    bench = (
        block(0, 0, 27, 4, BROWN)
        + block(0, 6, 27, 4, BROWN)
        + block(-1, 13, 29, 3, BROWN)
        + brush("M3 -1V22M24 -1V22", 2.0)
    )
    fountain = (
        ball(0, 0, 13, 4, "#b9b4a8", 1.4, 0)
        + ellipse(0, -0.6, 10, 2.6, "#bfe3f0")
        + brush("M0 -1V-14M0 -14Q-6 -20 -8 -8M0 -14Q6 -20 8 -8", 1.3)
    )
    return "".join(
        (
            printed_sky("#a9d3d8"),
            ball(82, 15, 8, 8, GOLD, 1.4, 0) + brush("M82 3V0M94 15H98M91 6L94 3M73 6L70 3M70 15H66", 1.3),
            puff(26, 14, 0.9),
            land("M-5 62C20 50 40 58 60 56C78 54 90 50 105 56V105H-5Z", "#9dbb7c"),
            land("M-5 74C30 68 70 70 105 76V105H-5Z", GREEN),
            land("M34 105C44 90 54 82 64 78L70 79C60 86 60 96 62 105Z", _SAND),
            placed(fountain, 34, 72, 0.8),
            _tree(9, 78, 1.15) + _tree(96, 70, 0.85),
            placed(bench, 71, 64, 0.95),
            hatching(10, 88, 4, 4) + hatching(82, 92, 4, 4),
        )
    )


def _fir(x: float, y: float, size: float, snow: bool) -> str:
    tiers = "".join(
        inked(
            fitted("M0 -1C.5 -.6 .8 -.2 1 0C.4 .1 -.4 .1 -1 0C-.8 -.2 -.5 -.6 0 -1Z", 0, low, w, low - top),
            "#5d9382",
            1.4,
            1.6,
        )
        + (
            path(
                fitted("M0 1C.3 6 .4 8 .5 9Q.2 8 0 11Q-.2 7 -.5 9C-.4 8 -.3 6 0 1Z", 0, top, w, 1),
                "#ffffff",
            )
            if snow
            else ""
        )
        for top, low, w in ((-22, -2, 14), (-34, -14, 11), (-45, -27, 8))
    )
    return placed(block(-2, -2, 4, 7, BROWN) + tiers, x, y, size)


def _snow() -> str:
    man = (
        ball(0, 0, 9, 8, "#ffffff", 1.5, 1.4)
        + ball(0, -12, 6, 5.6, "#ffffff", 1.5, 1.0)
        + circle(-2, -13, 0.9, INK)
        + circle(2, -13, 0.9, INK)
    )
    man += path("M0 -11.6L6 -10L0 -9.6Z", "#e8853a", stroke=INK, stroke_width=0.7) + brush(
        "M-8 -3L-15 -8M8 -3L15 -8", 1.3
    )
    return "".join(
        (
            printed_sky("#aac6d6"),
            land("M-5 60L14 36L28 54L46 30L64 56L82 34L105 58V105H-5Z", "#c9dbe6"),
            land("M-5 68C20 58 44 68 66 62C84 58 94 64 105 62V105H-5Z", "#f3f8fa"),
            _fir(11, 74, 1.1, True) + _fir(91, 74, 1.2, True) + _fir(28, 66, 0.55, True),
            land("M-5 82C30 74 60 84 105 80V105H-5Z", "#ffffff"),
            placed(man, 80, 88, 0.95),
            "".join(
                circle(x, y, 1.1 + at % 3 * 0.4, "#ffffff", stroke=INK, stroke_width=0.5)
                for at, (x, y) in enumerate(scattered("kettle snow", 40, 0, 0, 100, 94))
            ),
        )
    )


def _forest() -> str:
    def trunk(x: float, width: float, colour: str) -> str:
        bark = brush(f"M{x - width * 0.3} 20v14M{x + width * 0.2} 36v12M{x - width * 0.1} 58v12", 1.1)
        return (
            inked(
                fitted("M-.7 -5C-.5 40 -.5 70 -1.3 88H1.3C.5 70 .5 40 .7 -5Z", x, 0, width, 1),
                colour,
                1.4,
                2.0,
            )
            + bark
        )

    mushroom = (
        inked("M-2 0H2L3 9H-3Z", PAPER, 1.2, 0)
        + inked("M-8 1C-8 -8 8 -8 8 1Q0 4 -8 1Z", RED, 1.4, 0)
        + circle(-3, -2.4, 1.3, PAPER)
        + circle(2.6, -3.4, 1.5, PAPER)
    )
    canopy = "M-5 -5H105V12C96 22 90 12 82 16C76 24 68 14 60 15C54 22 46 12 40 15C32 23 26 13 18 16C10 22 4 14 -5 14Z"
    eyes = "".join(
        circle(x, y, 1.3, GOLD, stroke=INK, stroke_width=0.6) for x, y in ((31, 52), (35, 52), (66, 44), (70, 44))
    )
    return "".join(
        (
            printed_sky("#b7cf94"),
            rect(25, 0, 7, 78, "#93b077")
            + rect(40, 0, 5, 78, "#9dba80")
            + rect(57, 0, 5, 78, "#9dba80")
            + rect(69, 0, 7, 78, "#93b077"),
            eyes,
            land("M-5 76C30 70 70 72 105 76V105H-5Z", "#6f9a5c"),
            trunk(8, 8, BROWN) + trunk(93, 9, BROWN),
            inked(canopy, "#4f8456", 1.6, 2.4),
            placed(brush(spiral(0, 0, 4), 1.0), 8, 50) + placed(brush(spiral(0, 0, 3.4), 1.0), 94, 40),
            placed(mushroom, 20, 88, 1.0) + placed(mushroom, 84, 90, 1.2) + placed(mushroom, 27, 93, 0.6),
            hatching(4, 92, 4, 4) + hatching(64, 94, 4, 4),
        )
    )


def _desert() -> str:
    cactus = inked("M-5 0V-34C-5 -40 5 -40 5 -34V0Z", "#6fa06a", 1.6, 1.8) + inked(
        "M-5 -12H-12V-25C-12 -29 -6.6 -29 -6.6 -25V-18H-5Z", "#6fa06a", 1.4, 0
    )
    cactus += inked("M5 -18H7V-28C7 -32 12.6 -32 12.6 -28V-12H5Z", "#6fa06a", 1.4, 0) + brush(
        "M-1 -30v4M2 -22v4M-2 -14v4M1 -6v4", 0.9
    )
    skull = (
        ball(0, 0, 5, 4.4, PAPER, 1.3, 0)
        + circle(-1.8, -0.6, 1.3, INK)
        + circle(1.8, -0.6, 1.3, INK)
        + brush("M-5 -3Q-9 -4 -9 -8M5 -3Q9 -4 9 -8", 1.4)
    )
    return "".join(
        (
            printed_sky("#f0cf94"),
            ball(72, 18, 12, 12, "#e8853a", 1.4, 0),
            inked("M-5 66V44L8 40L12 34H24L29 44L34 66Z", "#c8754c", 1.2, 2.0)
            + inked("M70 62L76 46H93L105 52V66Z", "#c8754c", 1.2, 2.0),
            land("M-5 62C20 54 44 64 66 58C84 54 94 60 105 56V105H-5Z", "#e6b568"),
            land("M-5 78C30 68 60 82 105 72V105H-5Z", "#dca250"),
            placed(cactus, 11, 82, 1.1) + placed(cactus, 91, 74, 0.8),
            placed(skull, 82, 92, 0.8),
            brush("M6 92q4 -2 8 0t8 0M62 94q4 -2 8 0t8 0M34 74q4 -2 8 0", 1.0),
        )
    )


def _flowers() -> str:
    def bloom(x: float, y: float, size: float, colour: str) -> str:
        stem = (
            brush("M0 2Q-2 18 1 36", 3.0)
            + brush("M0 2Q-2 18 1 36", 1.4, GREEN)
            + inked("M0 22C6 12 12 14 13 18C9 22 4 24 0 22Z", GREEN, 1.1, 0)
        )
        petals = "".join(placed(ball(0, -7, 3.6, 5, colour, 1.3, 0), 0, 0, 1, turn) for turn in range(0, 360, 60))
        return placed(stem + petals + ball(0, 0, 4, 4, GOLD, 1.3, 1.0), x, y, size)

    dots = "".join(
        circle(x, y, 1.0 + (y - 56) * 0.05, (RED, PAPER, ROSE, GOLD)[at % 4], stroke=INK, stroke_width=0.6)
        for at, (x, y) in enumerate(scattered("kettle meadow", 50, 0, 58, 100, 80))
    )
    bee = (
        ball(0, 0, 4.6, 3.4, GOLD, 1.3, 0) + brush("M-1 -3V3M1.8 -2.6V2.6", 1.3) + ball(-1, -4.4, 2.6, 2, PAPER, 1.0, 0)
    )
    spots = (
        (8, 54, 1.1, RED),
        (21, 70, 0.85, PAPER),
        (92, 52, 1.15, ROSE),
        (81, 70, 0.85, GOLD),
        (4, 80, 0.8, "#a98bc4"),
        (97, 80, 0.85, PAPER),
    )
    return "".join(
        (
            printed_sky("#b8dbe4"),
            puff(76, 14, 0.95) + placed(bee, 18, 16, 0.95, -12),
            land("M-5 58C22 46 46 58 66 54C84 50 94 54 105 50V105H-5Z", "#a9c98a"),
            land("M-5 66C30 58 64 66 105 62V105H-5Z", "#8fbb72") + dots,
            land("M-5 86C30 80 70 82 105 86V105H-5Z", GREEN),
            *(bloom(*spot) for spot in spots),
        )
    )


def _rain() -> str:
    drops = "".join(
        brush(f"M{x:.1f} {y:.1f}l-2 7", 1.2, "#f2f8fa") for x, y in scattered("kettle rain", 60, 0, 16, 100, 92)
    )
    puddle = ellipse(0, 0, 15, 3.6, "#b8d3dc", stroke=INK, stroke_width=1.1) + brush("M-6 0h8M4 1.2h4", 0.8, "#ffffff")
    return "".join(
        (
            printed_sky("#93a5b0", "dark"),
            land("M-5 62C20 54 40 62 60 58C80 54 92 60 105 58V105H-5Z", "#7c9484"),
            land("M-5 78C30 72 70 74 105 78V105H-5Z", "#6a8474"),
            _tree(8, 82, 1.0, "#5f8a6c") + _tree(95, 80, 0.95, "#5f8a6c"),
            puff(20, 13, 1.25, SLATE) + puff(80, 11, 1.3, "#6d7780") + puff(50, 5, 1.0, "#8a949c"),
            drops,
            placed(puddle, 20, 93, 1.0) + placed(puddle, 82, 95, 0.85),
            inked("M90 26L82 42H88L83 58L97 38H90L96 26Z", GOLD, 1.5, 0),
        )
    )


def _mountain() -> str:
    far = "M-5 74L14 24L28 48L42 12L60 50L80 8L105 52V105H-5Z"
    caps = "".join(
        path(polygon(points), "#ffffff", stroke=INK, stroke_width=1, stroke_linejoin="round")
        for points in (
            ((14, 24), (21, 36), (16, 34), (13, 39), (9, 37)),
            ((42, 12), (49, 27), (44, 24), (40, 30), (36, 27)),
            ((80, 8), (90, 25), (83, 22), (78, 29), (73, 24)),
        )
    )
    goat = (
        inked("M-7 0V-8C-4 -11 3 -11 5 -9L8 -14L12 -11L9 -8L7 0H5V-4H-4V0Z", PAPER, 1.4, 0)
        + brush("M8 -14Q6 -18 3 -18", 1.3)
        + circle(9.4, -11.4, 0.7, INK)
    )
    return "".join(
        (
            printed_sky("#c3d7e2"),
            puff(60, 13, 0.8),
            inked(far, "#8f93ab", 1.3, 0)
            + path("M42 12L60 50L50 74H40ZM80 8L105 52V74H82ZM14 24L28 48L22 74H14Z", "url(#dark)")
            + caps,
            puff(10, 60, 0.9) + puff(91, 58, 0.85),
            land("M-5 80C20 72 44 80 66 76C84 73 94 78 105 76V105H-5Z", "#90a86e"),
            inked("M-5 105L2 88L12 84L20 90L22 105Z", SLATE, 1.4, 2.0)
            + inked("M78 105L84 92L94 90L105 98V105Z", SLATE, 1.4, 2.0),
            placed(goat, 88, 80, 0.95),
            brush("M14 84V58", 1.8) + inked("M14 58L28 62L14 67Z", RED, 1.3, 0),
        )
    )


LANDS: dict[str, Callable[[], str]] = {
    "in a park": _park,
    "in the snow": _snow,
    "in a forest": _forest,
    "in a desert": _desert,
    "in a field of flowers": _flowers,
    "in the rain": _rain,
    "on a mountain": _mountain,
}
"""Place -> SVG elements."""
