"""Rooms and stalls in the teapot's thick ink: kitchen, library, stage, bedroom, market.

Each fills the square of 100 by 100 units with thinner lines than the figure's; the floor begins above 82.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.kettle.ink import (
    BLUE,
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
    inked,
)
from pipelines.starter_build.own_art.svg import circle, ellipse, mirrored, path, placed, rect, star


def _wall(colour: str, screen: str = "light") -> str:
    return rect(-5, -5, 110, 110, colour) + rect(-5, -5, 110, 110, f"url(#{screen})")


def _kitchen() -> str:
    tiles = brush(
        "M-5 32H105M-5 46H105M-5 60H105M6 32V74M20 32V74M34 32V74M48 32V74M62 32V74M76 32V74M90 32V74", 0.7, "#c9a46a"
    )
    pan = brush("M0 0V9", 2.0) + ball(0, 16, 7.6, 7.6, SLATE, 1.6, 2.0)
    stove = (
        block(0, 0, 36, 44, "#5a5660", 1.5, 2.0)
        + block(5, 14, 24, 18, "#e8853a", 1.3, 0)
        + inked("M9 31C8 24 14 24 14 18C20 22 18 26 21 26C23 26 22 22 22 20C27 26 25 31 25 31Z", GOLD, 1.1, 0)
    )
    stove += circle(8, 6.6, 2, PAPER, stroke=INK, stroke_width=1) + circle(
        16, 6.6, 2, PAPER, stroke=INK, stroke_width=1
    )
    pot = (
        inked("M-13 -14H13V-3C13 2 -13 2 -13 -3Z", RED, 1.6, 2.0)
        + block(-14.6, -17.6, 29.2, 4, RED, 1.4, 0)
        + brush("M-5 -20Q-8 -25 -5 -29M5 -20Q2 -25 5 -29", 1.5)
    )
    jar = (
        block(-6, -14, 12, 14, "#cfe3d6", 1.3, 0) + rect(-5.2, -8, 10, 7.4, GOLD) + block(-7, -18, 14, 4, BROWN, 1.3, 0)
    )
    window = (
        block(0, 0, 30, 26, BLUE, 1.6, 0)
        + brush("M15 0V26M0 13H30", 1.6)
        + inked("M-3 -2H12C11 8 6 12 -3 14Z", RED, 1.3, 1.2)
        + inked("M33 -2H18C19 8 24 12 33 14Z", RED, 1.3, 1.2)
    )
    return "".join(
        (
            _wall("#f3dfae") + tiles,
            placed(window, 35, 2),
            brush("M-2 9H26M76 9H102", 2.0)
            + placed(pan, 6, 9, 0.9)
            + placed(pan, 20, 9, 0.75)
            + placed(pan, 92, 9, 0.9),
            block(-5, 76, 72, 30, BROWN, 1.4, 0)
            + block(-5, 72, 74, 5, "#d9b07a", 1.4, 0)
            + brush("M12 84V100M32 84V100", 1.0),
            placed(jar, 7, 72) + placed(jar, 22, 72, 0.75),
            placed(stove, 70, 66) + placed(pot, 88, 66, 0.9),
        )
    )


def _library() -> str:
    colours = (RED, BLUE, GOLD, GREEN, "#8a6aa8", PAPER, "#b5653a", SLATE)
    out = []
    for row, bottom in enumerate((24, 50, 76)):
        x, books = 1.0, ""
        for at in range(12):
            width, height = (6, 8, 7, 9)[(at * 3 + row) % 4], (15, 19, 17, 20, 13)[(at * 2 + row * 3) % 5]
            colour = colours[(at * 5 + row * 3) % 8]
            books += block(x, bottom - height, width, height, colour, 1.0, 0.8) + brush(
                f"M{x + 1} {bottom - height * 0.75}h{width - 2}", 1.0
            )
            x += width + 0.8
        out.append(books + block(-5, bottom, 110, 4, BROWN, 1.3, 0))
    ladder = brush("M0 0L8 -84M12 0L20 -84M1.6 -16h12M3.2 -32h12M4.8 -48h12M6.2 -64h12", 2.2) + brush(
        "M0 0L8 -84M12 0L20 -84", 1.0, GOLD
    )
    candle = (
        block(-2.4, -14, 4.8, 14, PAPER, 1.3, 0)
        + inked("M-2 -15C-2 -19 0 -22 0 -22C0 -22 2 -19 2 -15Z", GOLD, 1.1, 0)
        + circle(0, -18, 9, GOLD, fill_opacity=0.25)
    )
    stack = (
        block(-10, -5, 20, 5, RED, 1.2, 0)
        + block(-8, -10, 18, 5, GREEN, 1.2, 0)
        + block(-9, -14.6, 16, 4.6, BLUE, 1.2, 0)
    )
    return "".join(
        (
            _wall("#5c3d2e", "dark"),
            *out,
            block(-5, 82, 110, 24, "#8f5f3e", 1.4, 0) + brush("M-5 90H105M20 82V90M70 90V99", 0.9),
            placed(ladder, 80, 90, 1.0),
            placed(stack + placed(candle, -1, -14.6), 13, 92, 1.0),
        )
    )


def _stage() -> str:
    curtain = inked("M-5 -5H34C33 24 26 44 17 60C14 68 18 78 19 86H-5Z", RED, 1.6, 3.0) + brush(
        "M8 2C8 34 6 60 5 84M20 2C19 30 14 46 9 62", 1.4
    )
    swags = "".join(
        inked(f"M{x} -5H{x + 22}C{x + 22} 8 {x + 17} 14 {x + 11} 14S{x} 8 {x} -5Z", "#b8303a", 1.5, 1.6)
        + brush(f"M{x + 2} 6C{x + 5} 12 {x + 17} 12 {x + 20} 6", 1.4, GOLD)
        for x in (-6, 16, 38, 60, 82)
    )
    bulbs = "".join(ball(x, 97, 4, 4.4, GOLD, 1.4, 0) for x in (6, 20, 80, 94))
    return "".join(
        (
            _wall("#5a4a66", "dark"),
            path("M50 -10L14 92H86Z", "#fff0c0", fill_opacity=0.5)
            + path("M50 -10L28 92H72Z", "#fff6d8", fill_opacity=0.4),
            "".join(
                path(star(x, y, 3.4, 1.4), GOLD, stroke=INK, stroke_width=0.8)
                for x, y in ((36, 26), (64, 24), (40, 44), (62, 42))
            ),
            curtain + mirrored(curtain),
            swags,
            block(-5, 84, 110, 22, "#c79058", 1.4, 0)
            + brush("M14 84L8 100M32 84L28 100M50 84V100M68 84L72 100M86 84L92 100", 1.0),
            ellipse(50, 92, 36, 6, "#fff0c0", fill_opacity=0.6),
            bulbs,
        )
    )


def _bedroom() -> str:
    stripes = "".join(rect(x, -5, 5, 90, "#cdb4cf") for x in range(-4, 104, 12))
    bed = (
        block(60, 40, 5, 50, BROWN, 1.5, 1.0)
        + ball(62.5, 39, 3.2, 3.2, GOLD, 1.3, 0)
        + inked("M65 56C74 46 94 46 105 52V66H65Z", PAPER, 1.5, 2.0)
    )
    quilt = inked("M56 68C70 60 90 62 105 64V98H56Z", "#6f9ac0", 1.6, 2.6) + "".join(
        path(star(x, y, 3, 1.3), GOLD, stroke=INK, stroke_width=0.8)
        for x, y in ((66, 76), (82, 72), (96, 78), (74, 88), (91, 90))
    )
    window = (
        block(0, 0, 26, 30, "#3a4a78", 1.6, 0)
        + circle(18, 9, 4, "#fbeab4", stroke=INK, stroke_width=0.8)
        + path(star(8, 20, 2, 0.8, 4), "#fff4cf")
        + brush("M13 0V30M0 15H26", 1.6)
    )
    window += inked("M-4 -3H9C8 12 4 24 -4 34Z", ROSE, 1.3, 1.4) + inked("M30 -3H17C18 12 22 24 30 34Z", ROSE, 1.3, 1.4)
    lamp = inked("M-7 0H7L4 -11H-4Z", GOLD, 1.4, 1.2) + brush("M0 0V9", 2.2) + ball(0, 10, 4, 1.8, BROWN, 1.2, 0)
    clock = (
        ball(0, 0, 5, 5, PAPER, 1.4, 0)
        + brush("M0 -3V0L2 1.4", 1.0)
        + brush("M-3 5L-5 8M3 5L5 8M-4 -5L-2 -7M4 -5L2 -7", 1.4)
    )
    return "".join(
        (
            _wall("#dcc6de") + stripes,
            placed(window, 6, 10),
            block(-5, 80, 110, 26, "#c09a6c", 1.4, 0) + brush("M-5 90H105", 0.9),
            bed + quilt,
            block(2, 66, 22, 26, BROWN, 1.5, 1.4)
            + brush("M2 79H24", 1.2)
            + ball(13, 72.6, 1.4, 1.4, GOLD, 1.0, 0)
            + ball(13, 85.6, 1.4, 1.4, GOLD, 1.0, 0),
            placed(lamp, 9, 56, 0.95) + placed(clock, 19, 60, 0.75),
            ellipse(42, 97, 26, 5, ROSE, stroke=INK, stroke_width=1.3)
            + ellipse(42, 97, 18, 3, "none", stroke=PAPER, stroke_width=1),
        )
    )


def _market() -> str:
    def stall(x: float, colour: str, wares: str) -> str:
        strips = "".join(
            inked(f"M{x + at * 7} 24h7v14c0 5 -7 5 -7 0Z", colour if at % 2 == 0 else PAPER, 1.2, 0) for at in range(5)
        )
        top = inked(f"M{x + 3} 14H{x + 32}L{x + 35} 24H{x}Z", colour, 1.4, 1.2)
        posts = brush(f"M{x + 2} 38V86M{x + 33} 38V86", 2.4)
        counter = block(x - 1, 66, 37, 5, "#d9b07a", 1.4, 0) + block(x, 71, 35, 17, BROWN, 1.4, 1.4)
        goods = "".join(ball(x + 5 + at * 6, 63 - (at % 2) * 1.4, 3.4, 3.4, wares, 1.2, 1.0) for at in range(5))
        return posts + goods + counter + top + strips

    flags = brush("M-5 4Q50 14 105 4", 1.2) + "".join(
        inked(f"M{x - 4} {6.4 + 3 * (1 - abs(x - 50) / 50):.1f}h8l-4 8Z", (RED, GOLD, BLUE, ROSE)[at % 4], 1.1, 0)
        for at, x in enumerate(range(4, 100, 12))
    )
    house = (
        block(0, 0, 20, 50, "#e2c9a2", 1.3, 0)
        + inked("M-3 0L10 -13L23 0Z", "#b5653a", 1.4, 1.4)
        + block(4, 8, 5, 7, BLUE, 1.1, 0)
        + block(12, 8, 5, 7, BLUE, 1.1, 0)
    )
    return "".join(
        (
            _wall("#c6dcdc"),
            placed(house, 29, 34) + placed(house, 52, 40),
            flags,
            rect(-5, 82, 110, 30, "#c6b697")
            + brush("M-5 82H105", 1.3)
            + "".join(
                ellipse(x, y, 5, 2, "#b3a282", stroke=INK, stroke_width=0.7)
                for x, y in ((30, 90), (46, 95), (62, 89), (70, 97), (20, 97))
            ),
            stall(-9, RED, GOLD) + stall(74, BLUE, RED),
        )
    )


ROOMS: dict[str, Callable[[], str]] = {
    "in a kitchen": _kitchen,
    "in a library": _library,
    "on a stage": _stage,
    "in a bedroom": _bedroom,
    "at a market": _market,
}
"""Place -> SVG elements."""
