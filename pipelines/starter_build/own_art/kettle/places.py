"""All places in the teapot's thick ink: sea, city, space and castle here, the others in `lands.py` and `rooms.py`.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
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
    ball,
    block,
    brush,
    inked,
    land,
    printed_sky,
    puff,
)
from pipelines.starter_build.own_art.kettle.lands import LANDS
from pipelines.starter_build.own_art.kettle.rooms import ROOMS
from pipelines.starter_build.own_art.svg import circle, ellipse, path, placed, rect, scattered, star

_SAND, _NIGHT = "#ecd095", "#2f3c63"


def _inked_star(x: float, y: float, size: float, colour: str = GOLD) -> str:
    return path(star(x, y, size, size * 0.42), colour, stroke=INK, stroke_width=0.9, stroke_linejoin="round")


def _beach() -> str:
    shade = "M-19 0C-16 -14 -6 -19 0 -19C6 -19 16 -14 19 0C14 -4 10 -4 6.4 0C4 -4 -4 -4 -6.4 0C-10 -4 -14 -4 -19 0Z"
    stripe = path("M-6.4 0C-6 -9 -3 -15 0 -19C3 -15 6 -9 6.4 0C4 -4 -4 -4 -6.4 0Z", PAPER, stroke=INK, stroke_width=1)
    leaf = inked("M0 0C8 -9 20 -8 25 2C17 -3 8 -3 0 0Z", GREEN, 1.2, 1.0)
    palm = inked("M-3 40C0 24 0 12 -2 0H3C6 12 6 26 3 40Z", BROWN, 1.4, 1.2) + brush(
        "M-1.6 10H4M-1 20H5M-1.6 30H4.4", 0.9
    )
    crab = (
        ball(0, 0, 5, 3.4, RED, 1.3, 0)
        + brush("M-4 -2L-8 -5M4 -2L8 -5M-4 2L-7 4M4 2L7 4", 1.2)
        + circle(-1.6, -3.6, 1, INK)
        + circle(1.6, -3.6, 1, INK)
    )
    return "".join(
        (
            printed_sky("#bfe0e0"),
            ball(52, 12, 8, 8, GOLD, 1.4, 0) + puff(22, 12, 0.7),
            land("M-5 42H105V72H-5Z", "#5fa4b4"),
            brush("M2 50q3 -3 6 0t6 0M84 48q3 -3 6 0t6 0M20 58q3 -3 6 0t6 0M70 58q3 -3 6 0t6 0", 1.1, PAPER),
            land("M-5 68C20 62 40 70 62 66C80 63 92 66 105 64V105H-5Z", _SAND),
            brush("M12 84V36", 2.0) + placed(inked(shade, RED, 1.6, 0) + stripe, 12, 40, 1.0, -5),
            placed(palm + "".join(placed(leaf, 0, 1, 1, turn) for turn in (-175, -125, -50, 0, 40, 150)), 90, 36, 1.1),
            placed(crab, 84, 92, 0.9) + _inked_star(14, 94, 4, ROSE),
            "".join(circle(x, y, 0.5, INK) for x, y in scattered("kettle sand", 26, 2, 76, 98, 99)),
        )
    )


def _city() -> str:
    def house(x: float, top: float, width: float, colour: str, lit: int) -> str:
        panes = "".join(
            rect(x + 2.4 + column * 4.6, y, 2.8, 3.8, GOLD, stroke=INK, stroke_width=0.7)
            for row, y in enumerate(range(int(top) + 4, 80, 7))
            for column in range(int((width - 2) // 4.6))
            if (row * 2 + column * 3 + lit) % 4
        )
        return block(x, top, width, 110 - top, colour, 1.2, 1.4) + panes

    roofs = inked("M-4 40L6 26L17 40Z", "#54426e", 1.2, 0) + inked("M82 34L92 18L104 34Z", "#54426e", 1.2, 0)
    lamp = brush("M0 0V-36", 2.2) + inked("M-4 -36H4L6 -46H-6Z", GOLD, 1.4, 0) + brush("M-7 -46Q0 -52 7 -46", 1.8)
    return "".join(
        (
            rect(-5, -5, 110, 110, _NIGHT),
            rect(-5, -5, 110, 60, "url(#dark)"),
            "".join(path(star(x, y, 1.8, 0.7, 4), "#fff4cf") for x, y in scattered("kettle night", 20, 2, 2, 98, 34)),
            circle(74, 13, 9, INK) + circle(73.6, 12.6, 8.2, "#fbeab4") + circle(77, 10.6, 7, _NIGHT),
            roofs,
            house(15, 44, 13, "#46518a", 1)
            + house(29, 54, 12, "#3d4778", 2)
            + house(58, 50, 13, "#46518a", 0)
            + house(70, 42, 13, "#3d4778", 3),
            house(-2, 40, 17, "#5a5f96", 0) + house(84, 34, 18, "#5a5f96", 2),
            land("M-5 82H105V105H-5Z", "#6f6a86"),
            brush("M4 92h10M26 92h8M66 92h8M86 92h10", 1.8, "#cfc6a8"),
            placed(lamp, 24, 84, 0.9) + circle(24, 47, 8, GOLD, fill_opacity=0.22),
        )
    )


def _space() -> str:
    ringed = ball(0, 0, 11, 11, "#e59a5a", 1.5, 3.0) + inked(
        "M-19 5C-14 10 12 4 19 -6C18 -8 14 -8 11 -5C4 1 -5 4 -11 4C-15 3 -19 3 -19 5Z", GOLD, 1.3, 0
    )
    rocket = (
        inked("M0 -15C6 -9 6 2 4 9H-4C-6 2 -6 -9 0 -15Z", PAPER, 1.5, 1.4)
        + inked("M-4.6 2L-10 10L-4 9Z", RED, 1.3, 0)
        + inked("M4.6 2L10 10L4 9Z", RED, 1.3, 0)
    )
    rocket += ball(0, -3, 2.4, 2.4, BLUE, 1.2, 0) + inked("M-3 10C-4 15 0 19 0 19C0 19 4 15 3 10Z", GOLD, 1.2, 0)
    return "".join(
        (
            rect(-5, -5, 110, 110, "#252046"),
            rect(-5, -5, 110, 110, "url(#dark)"),
            path("M-5 46C20 26 44 44 66 28C84 16 94 20 105 12V30C84 34 70 50 46 52C26 54 10 52 -5 64Z", "#473a78"),
            "".join(
                path(star(x, y, 1.6 + at % 3, 0.6 + at % 3 * 0.3, 4), "#fff4cf")
                for at, (x, y) in enumerate(scattered("kettle space", 34, 2, 2, 98, 76))
            ),
            placed(ringed, 85, 24, 0.95)
            + ball(11, 48, 6.6, 6.6, "#6fb0a4", 1.4, 2.0)
            + placed(rocket, 14, 22, 0.85, 24),
            land("M-5 84C30 76 70 78 105 84V105H-5Z", "#b8b3ac"),
            "".join(
                ellipse(x, y, w, w * 0.36, "#8f8a86", stroke=INK, stroke_width=1)
                for x, y, w in ((11, 91, 7), (87, 90, 8), (70, 84, 3.4), (28, 83, 3))
            ),
        )
    )


def _ship() -> str:
    ring = (
        ball(0, 0, 8.4, 8.4, RED, 1.6, 0)
        + "".join(placed(rect(-2, -8.2, 4, 4.4, PAPER), 0, 0, 1, turn) for turn in (45, 135, 225, 315))
        + ball(0, 0, 4, 4, BLUE, 1.4, 0)
    )
    sail = inked("M0 0C-16 4 -22 18 -22 36C-14 33 -6 33 0 35Z", PAPER, 1.4, 2.0) + brush(
        "M-3 8C-12 12 -16 20 -17 30", 1.0
    )
    gull = brush("M-6 -2Q-3 -5 0 0Q3 -5 6 -2", 1.4)
    wheel = "".join(placed(brush("M0 0V-11", 1.8), 0, 0, 1, turn) for turn in range(0, 360, 60))
    wheel += (
        circle(0, 0, 7, "none", stroke=INK, stroke_width=3.6)
        + circle(0, 0, 7, "none", stroke=BROWN, stroke_width=1.8)
        + ball(0, 0, 2.2, 2.2, GOLD, 1.2, 0)
    )
    return "".join(
        (
            printed_sky("#c4dde0"),
            puff(24, 15, 0.9) + placed(gull, 46, 10) + placed(gull, 60, 18, 0.7),
            land("M-5 46C10 42 20 50 34 46C48 42 58 50 72 46C86 42 94 48 105 46V105H-5Z", "#5f95ab"),
            land("M-5 58C10 54 20 62 34 58C48 54 58 62 72 58C86 54 94 60 105 58V105H-5Z", "#477a96"),
            block(88, -5, 4, 90, BROWN, 1.3, 1.0) + placed(sail, 88, 8, 1.0),
            block(-5, 62, 110, 4, BROWN) + "".join(block(x, 64, 3, 18, BROWN) for x in (1, 27, 71, 97)),
            land("M-5 80H105V105H-5Z", "#c79660") + brush("M-5 87H105M-5 94H105M20 80V87M70 87V94M40 94V100", 0.9),
            placed(ring, 14, 72, 1.0) + placed(wheel, 84, 72, 0.9),
        )
    )


def _water() -> str:
    def fish(colour: str, other: str) -> str:
        tail = inked("M8 0L16 -7Q14 0 16 7Z", other, 1.4, 0)
        return (
            tail
            + inked("M-11 0C-8 -8 4 -8 9 0C4 8 -8 8 -11 0Z", colour, 1.6, 1.6)
            + circle(-6, -1.4, 2, PAPER, stroke=INK, stroke_width=0.8)
            + circle(-6.4, -1.2, 0.9, INK)
            + brush("M0 -4Q2.4 0 0 4", 1.0)
        )

    weed = brush("M0 0C-8 -10 6 -18 -1 -28C-6 -36 4 -40 1 -46", 4.6) + brush(
        "M0 0C-8 -10 6 -18 -1 -28C-6 -36 4 -40 1 -46", 2.6, "#6fae7c"
    )
    coral = brush("M0 0V-18M0 -8L-9 -16V-22M0 -5L9 -14V-20", 5.6) + brush(
        "M0 0V-18M0 -8L-9 -16V-22M0 -5L9 -14V-20", 3.2, ROSE
    )
    chest = (
        block(-9, -8, 18, 10, BROWN, 1.4, 1.0)
        + inked("M-9 -8C-9 -16 9 -16 9 -8Z", BROWN, 1.4, 1.0)
        + ball(0, -7, 1.8, 1.8, GOLD, 1.1, 0)
    )
    return "".join(
        (
            rect(-5, -5, 110, 110, "#3f8fa3") + rect(-5, -5, 110, 110, "url(#dark)"),
            path("M20 -5H34L18 80H-2ZM62 -5H70L86 80H70Z", "#ffffff", fill_opacity=0.14),
            path("M-5 60C14 50 34 64 52 56C72 48 86 60 105 54V105H-5Z", "#33788f"),
            placed(fish(GOLD, RED), 14, 20, 0.95)
            + placed(fish(ROSE, PAPER), 87, 36, 0.85)
            + placed(fish("#b7d98a", GOLD), 10, 52, 0.65),
            placed(weed, 7, 92, 1.1) + placed(weed, 17, 94, 0.75) + placed(weed, 95, 90, 1.1),
            land("M-5 86C24 80 50 88 105 82V105H-5Z", "#e0c78c"),
            placed(coral, 24, 90, 0.75) + placed(chest, 83, 90, 0.95),
            "".join(
                circle(x, y, 1.2 + at % 3 * 0.8, "none", stroke="#e8f6f8", stroke_width=0.9)
                for at, (x, y) in enumerate(scattered("kettle bubbles", 20, 3, 4, 97, 80))
            ),
        )
    )


def _castle() -> str:
    def tower(x: float, top: float, width: float) -> str:
        bricks = brush(
            "".join(
                f"M{x + at} {top + y}h4" for at, y in ((3, 20), (width - 8, 28), (4, 40), (width - 7, 50), (3, 60))
            ),
            1.0,
        )
        window = inked(f"M{x + width / 2 - 2.6} {top + 16}v-6q2.6 -5 5.2 0v6Z", _NIGHT, 1.2, 0)
        teeth = "".join(f"h{width / 5:.2f}v{5 if at % 2 == 0 else -5}" for at in range(4)) + f"h{width / 5:.2f}"
        return inked(f"M{x} {top}{teeth}V110H{x}Z", "#b3aba6", 1.5, 2.4) + window + bricks

    roof = (
        inked("M-13 0L0 -22L13 0Z", "#8a5a86", 1.4, 2.0)
        + brush("M0 -22V-32", 1.4)
        + inked("M0 -32L11 -29L0 -26Z", RED, 1.2, 0)
    )
    torch = brush("M0 0V8", 2.2, BROWN) + inked("M-3 0C-4 -5 0 -9 0 -9C0 -9 4 -5 3 0Z", GOLD, 1.2, 0)
    return "".join(
        (
            printed_sky("#bcd4dd"),
            puff(50, 10, 0.8),
            block(16, 40, 68, 70, "#9a938f", 1.3, 0)
            + "".join(block(x, 35, 6, 6, "#9a938f", 1.2, 0) for x in (20, 32, 62, 74)),
            inked("M34 110V64C34 50 66 50 66 64V110Z", "#5a4438", 1.5, 0)
            + brush("M42 56V110M50 54V110M58 56V110", 1.0),
            tower(-6, 30, 26) + tower(80, 26, 26),
            placed(roof, 7, 30, 1.15) + placed(roof, 93, 26, 1.15),
            placed(torch, 27, 56, 1.1) + placed(torch, 73, 56, 1.1),
            land("M-5 84H105V105H-5Z", "#c9b78e") + brush("M4 90h8M24 96h8M66 91h8M86 96h8", 1.0),
        )
    )


PLACES: dict[str, Callable[[], str]] = {
    **LANDS,
    **ROOMS,
    "on a beach": _beach,
    "in a city at night": _city,
    "in space": _space,
    "on a ship": _ship,
    "under water": _water,
    "in a castle": _castle,
}
"""Place -> SVG elements."""
