"""Rooms and stalls in the bird's pastel light: kitchen, library, stage, bedroom, market.

Each fills the square of 100 by 100 units; what tells a place apart stands left, right and above.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.bird.glow import PLUM, air, glow, lights, orb, pillow, soft
from pipelines.starter_build.own_art.svg import ellipse, line, mirrored, mixed, path, placed, rect, star


def _kitchen() -> str:
    window = (
        pillow(0, 0, 32, 28, "#ffffff", 3, 0.06)
        + soft("M3 3H29V25H3Z", "#b4e4ff", "#eaf8ff")
        + rect(15, 3, 2, 22, "#ffffff")
        + rect(3, 13, 26, 2, "#ffffff")
    )
    window += soft("M-4 -3H13C12 9 6 15 -4 18Z", "#ffc4d0", "#ff9fb4") + soft(
        "M36 -3H19C20 9 26 15 36 18Z", "#ffc4d0", "#ff9fb4"
    )
    pan = (
        line("M0 0V9", "#a48fb0", 2)
        + orb(0, 16, 7.6, 7.6, "#a9a4c8")
        + ellipse(-1, 15, 4.6, 4.6, "#c4c0dc", fill_opacity=0.6)
    )
    pot = (
        glow(0, -22, 8, 10, "#ffffff", 0.7)
        + orb(0, -4, 14, 11, "#ff9f9f")
        + pillow(-14.6, -16, 29.2, 4.4, "#ffb4b0", 2.2)
        + orb(0, -18, 2.6, 2.4, "#ffe0c0")
    )
    jar = (
        pillow(-7, -16, 14, 16, "#dff4ec", 3, 0.08)
        + pillow(-6, -10, 12, 9.4, "#ffcf7f", 2.4)
        + pillow(-7, -20, 14, 5, "#e0b48f", 2)
    )
    tiles = "".join(
        pillow(x, y, 11, 11, "#fff0d4" if (x + y) // 12 % 2 else "#ffe6c4", 2, 0.04)
        for x in range(-2, 100, 12)
        for y in range(34, 74, 12)
    )
    return "".join(
        (
            air("#fff4dc", "#ffe8cc") + tiles,
            glow(50, 14, 40, 30, "#ffffff", 0.8) + placed(window, 34, -1),
            pillow(-5, 8, 30, 2.4, "#d8b48f", 1.2) + pillow(75, 8, 30, 2.4, "#d8b48f", 1.2),
            placed(pan, 6, 9, 0.9) + placed(pan, 20, 9, 0.7) + placed(pan, 93, 9, 0.9),
            soft("M-5 76H105V105H-5Z", "#e8bc96", "#c4948a") + pillow(-5, 71, 110, 6, "#f8d8b4", 2),
            "".join(pillow(x, 80, 24, 18, "#e0b08c", 2, 0.12) + orb(x + 12, 84, 1.5, 1.5, "#fff0c0") for x in (2, 75)),
            placed(jar, 8, 72) + placed(jar, 22, 72, 0.7) + placed(pot, 88, 66, 0.85),
        )
    )


def _library() -> str:
    colours = ("#f29fae", "#94c4ea", "#ffd08a", "#9fd8b0", "#c4aaf0", "#fff0e0", "#e8b08c", "#a4b0e0")
    out = []
    for row, bottom in enumerate((24, 50, 76)):
        x, books = 0.0, ""
        for at in range(12):
            width, height = (6, 8, 7, 9)[(at * 3 + row) % 4], (15, 19, 17, 20, 13)[(at * 2 + row * 3) % 5]
            colour = colours[(at * 5 + row * 3) % 8]
            books += pillow(x, bottom - height, width, height, colour, 1.4) + rect(
                x + 1, bottom - height * 0.76, width - 2, 1.4, "#fff8e8", fill_opacity=0.8
            )
            x += width + 0.8
        out.append(books + pillow(-5, bottom, 110, 4, "#d4a48c", 1.6) + glow(50, bottom + 5, 60, 3, PLUM, 0.35))
    lamp = (
        glow(0, -26, 24, 24, "#fff0b0", 0.85)
        + line("M0 0V-22", "#d8b07f", 1.8)
        + soft("M-9 -20C-8 -30 -4 -34 0 -34C4 -34 8 -30 9 -20Z", "#b4ecc8", "#6fc4a4")
        + ellipse(0, 0, 6, 1.8, "#c89f74")
    )
    stack = (
        pillow(-11, -5, 22, 5, "#f29fae", 1.6)
        + pillow(-9, -10, 19, 5, "#9fd8b0", 1.6)
        + pillow(-10, -15, 17, 5, "#94c4ea", 1.6)
    )
    return "".join(
        (
            air("#8a6a84", "#a4808c"),
            *out,
            soft("M-5 81H105V105H-5Z", "#d8ac94", "#a88090"),
            ellipse(50, 95, 44, 8, "#f4b4c4", fill_opacity=0.85) + ellipse(50, 95, 36, 6, "#ffd8dc", fill_opacity=0.8),
            placed(lamp, 89, 84, 1.15) + placed(stack, 12, 91, 1.0),
        )
    )


def _stage() -> str:
    curtain = soft("M-5 -5H34C33 24 26 44 17 60C14 68 18 78 19 86H-5Z", "#ff9fb4", "#e8708f", "#c4507f")
    folds = "".join(
        line(data, "#fff0f4", 2.4, stroke_opacity=0.25)
        for data in ("M8 0C8 34 6 60 5 84", "M20 0C19 30 14 46 9 64", "M28 0C27 22 20 42 14 60")
    )
    swags = "".join(
        soft(f"M{x} -5H{x + 22}C{x + 22} 9 {x + 17} 15 {x + 11} 15S{x} 9 {x} -5Z", "#ffb4c4", "#e06f90")
        + line(f"M{x + 2} 7C{x + 5} 14 {x + 17} 14 {x + 20} 7", "#ffe6a8", 1.6)
        for x in (-6, 16, 38, 60, 82)
    )
    return "".join(
        (
            air("#4f3f80", "#7a5fa4", "#a880b8"),
            path("M50 -10L12 92H88Z", "#fff6d0", fill_opacity=0.2)
            + path("M50 -10L28 92H72Z", "#fff6d0", fill_opacity=0.25),
            "".join(
                path(star(x, y, 3, 1.4), "#fff0b0") + glow(x, y, 6, 6, "#fff0b0", 0.5)
                for x, y in ((36, 26), (64, 24), (42, 42), (60, 40))
            ),
            curtain + folds + mirrored(curtain + folds),
            swags,
            soft("M-5 83H105V105H-5Z", "#f0c49a", "#c08c80")
            + line("M14 83L8 105M32 83L28 105M50 83V105M68 83L72 105M86 83L92 105", "#b88470", 0.8),
            glow(50, 92, 44, 9, "#fff6d0", 0.9),
            "".join(glow(x, 97, 8, 8, "#fff0b0", 0.8) + orb(x, 98, 3.6, 4, "#ffe08f") for x in (7, 21, 79, 93)),
        )
    )


def _bedroom() -> str:
    window = (
        pillow(-2, -2, 32, 36, "#ffffff", 3, 0.06)
        + soft("M1 1H27V31H1Z", "#3f3a80", "#8f78b8")
        + orb(19, 10, 4.4, 4.4, "#fff4c8", 0.1)
        + path(star(9, 20, 2.4, 0.8, 4), "#ffffff")
        + rect(13, 1, 2, 30, "#ffffff")
        + rect(1, 15, 26, 2, "#ffffff")
    )
    window += soft("M-5 -5H10C9 12 4 26 -5 38Z", "#ffd0e0", "#f2a4c4") + soft(
        "M33 -5H18C19 12 24 26 33 38Z", "#ffd0e0", "#f2a4c4"
    )
    quilt = soft("M54 70C70 60 90 62 105 64V100H54Z", "#b4d4ff", "#8fa8ec") + "".join(
        path(star(x, y, 3, 1.4), "#fff4c0") for x, y in ((66, 78), (82, 72), (96, 80), (74, 90), (90, 92))
    )
    lamp = (
        glow(0, -6, 18, 18, "#fff0b0", 0.9)
        + soft("M-8 0H8L4.6 -12H-4.6Z", "#fff6d0", "#ffd79a")
        + line("M0 0V9", "#c49f94", 2)
        + ellipse(0, 10, 4.6, 1.6, "#c49f94")
    )
    return "".join(
        (
            air("#e4d0f4", "#f4dcee"),
            "".join(
                path(star(x + y // 13 % 2 * 7, y, 1.6, 0.7), "#ffffff", fill_opacity=0.7)
                for x in range(2, 100, 14)
                for y in range(4, 76, 13)
            ),
            placed(window, 5, 8),
            soft("M-5 79H105V105H-5Z", "#f0ccb0", "#cfa0a0"),
            pillow(92, 34, 20, 60, "#d8ac98", 5)
            + soft("M62 60C70 48 92 48 105 54V70H62Z", "#ffffff", "#ece0f4")
            + quilt,
            pillow(1, 66, 24, 28, "#e0b49f", 3)
            + orb(13, 74, 1.6, 1.6, "#fff0c0")
            + orb(13, 86, 1.6, 1.6, "#fff0c0")
            + rect(3, 79.6, 20, 0.9, mixed("#e0b49f", PLUM, 0.3)),
            placed(lamp, 13, 56, 1.0),
            ellipse(42, 97, 28, 5.4, "#ffb4c8", fill_opacity=0.9)
            + ellipse(42, 97, 20, 3.6, "#ffe0e8", fill_opacity=0.9),
        )
    )


def _market() -> str:
    def stall(x: float, light: str, dark: str, wares: str) -> str:
        strips = "".join(
            soft(
                f"M{x + at * 7} 23h7v15c0 5 -7 5 -7 0Z",
                light if at % 2 == 0 else "#ffffff",
                dark if at % 2 == 0 else "#f4e6ec",
            )
            for at in range(5)
        )
        posts = pillow(x + 1, 36, 2.4, 52, "#d8b09a", 1) + pillow(x + 31.6, 36, 2.4, 52, "#d8b09a", 1)
        top = soft(f"M{x + 3} 13Q{x + 17.5} 10 {x + 32} 13L{x + 35} 24H{x}Z", light, dark)
        goods = "".join(orb(x + 5 + at * 6, 63 - at % 2 * 1.6, 3.8, 3.8, wares) for at in range(5))
        return (
            posts
            + goods
            + pillow(x - 1, 66, 37, 6, "#f4d4b4", 2)
            + soft(f"M{x} 71H{x + 35}V90H{x}Z", "#e0b496", "#c09088")
            + top
            + strips
        )

    house = (
        pillow(0, 0, 20, 54, "#fbe4cc", 2, 0.1)
        + soft("M-3 2L10 -13L23 2Z", "#ffb49f", "#e89090")
        + pillow(3.6, 10, 5, 8, "#a4d0f0", 1.4)
        + pillow(12, 10, 5, 8, "#a4d0f0", 1.4)
    )
    flags = line("M-5 3Q50 14 105 3", "#c4a8c8", 0.9) + "".join(
        soft(f"M{x - 4} {5.4 + 3.4 * (1 - abs(x - 50) / 50):.1f}h8l-4 8Z", light, dark)
        for x, (light, dark) in zip(
            range(4, 100, 12),
            (("#ffc4d0", "#ff9fb4"), ("#fff0b0", "#ffd88a"), ("#c4e8ff", "#94c8f0"), ("#d4c0ff", "#b49cf0")) * 2,
            strict=True,
        )
    )
    return "".join(
        (
            air("#b4e0ff", "#e4f4ff", "#fff2e4"),
            placed(house, 29, 36) + placed(house, 52, 42),
            flags,
            soft("M-5 82H105V105H-5Z", "#f4e2d0", "#d4b8b4"),
            "".join(
                ellipse(x, y, 6, 2, "#dcc4b8", fill_opacity=0.8)
                for x, y in ((30, 90), (46, 96), (62, 90), (72, 97), (18, 97))
            ),
            stall(-9, "#ffb4c0", "#f58fa4", "#ffc07f") + stall(74, "#b4ecd4", "#84ceb4", "#ff9f9f"),
            lights("bird market", 10, (20, 12, 80, 40), ("#fff4c0", "#ffffff"), 3),
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
