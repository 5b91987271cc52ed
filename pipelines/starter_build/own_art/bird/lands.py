"""Lands in the bird's pastel light: park, snow, forest, desert, meadow, rain, mountain.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.bird.glow import PLUM, air, cloud, glow, lights, orb, pillow, soft
from pipelines.starter_build.own_art.svg import circle, ellipse, fitted, line, mixed, path, placed, scattered


def _tree(x: float, y: float, size: float, leaf: str = "#9fd8a8", trunk: str = "#c9a08c") -> str:
    lobes = (
        orb(-9, -27, 10, 9, mixed(leaf, PLUM, 0.06))
        + orb(9, -28, 11, 10, mixed(leaf, PLUM, 0.04))
        + orb(0, -37, 12, 11, leaf)
        + orb(0, -25, 9, 7, leaf)
    )
    return placed(
        soft("M-3 0C-2 -10 -2 -16 -3 -24H3C2 -16 3 -10 5 0Z", trunk, mixed(trunk, PLUM, 0.25)) + lobes, x, y, size
    )


def _petals(seed: str, count: int, colour: str) -> str:
    return "".join(
        placed(ellipse(0, 0, 1.5, 0.8, colour, fill_opacity=0.85), x, y, 1, at * 47)
        for at, (x, y) in enumerate(scattered(seed, count, 0, 0, 100, 96))
    )


def _park() -> str:
    bench = (
        pillow(0, 0, 27, 4, "#e0b08a")
        + pillow(0, 6, 27, 4, "#e0b08a")
        + pillow(-1, 13, 29, 4, "#eac09a")
        + pillow(2, 16, 2.4, 10, "#9a86a8", 1)
        + pillow(23, 16, 2.4, 10, "#9a86a8", 1)
    )
    swan = (
        orb(0, 0, 7, 4, "#ffffff", 0.12)
        + line("M-5 -1Q-9 -8 -5 -11", "#ffffff", 2)
        + circle(-4.6, -11.4, 1.7, "#ffffff")
        + soft("M-3.4 -11.6L-.6 -10.8L-3.2 -10Z", "#ffb870", "#f29a5c")
    )
    return "".join(
        (
            air("#a9dcff", "#d9f1ff", "#fff2dc"),
            glow(84, 14, 26, 26, "#fff0b0", 0.9) + orb(84, 14, 7, 7, "#ffe9a0", 0.08),
            cloud(28, 14, 0.9) + cloud(56, 24, 0.6),
            soft("M-5 60C20 46 40 58 62 52C80 48 94 54 105 50V105H-5Z", "#d6f2c8", "#b6e4b4"),
            soft("M46 72C66 64 90 64 105 68V80C84 82 60 80 46 72Z", "#cdeefa", "#8fcbe8") + placed(swan, 66, 71, 0.9),
            soft("M-5 76C30 68 70 76 105 80V105H-5Z", "#bfe8a8", "#86c98f"),
            soft("M34 105C42 92 50 84 60 80L66 82C58 88 58 96 60 105Z", "#fff0d0", "#f2d8a8"),
            _tree(9, 80, 1.2) + _tree(96, 66, 0.7),
            placed(bench, 74, 74, 0.85),
        )
    )


def _fir(x: float, y: float, size: float, colour: str, snowy: bool = True) -> str:
    tiers = "".join(
        soft(
            fitted("M0 -1C.5 -.6 .8 -.15 1 0Q0 .25 -1 0C-.8 -.15 -.5 -.6 0 -1Z", 0, low, w, low - top),
            "#ffffff" if snowy else mixed(colour, "#ffffff", 0.5),
            colour,
            mixed(colour, PLUM, 0.2),
        )
        for top, low, w in ((-22, -2, 14), (-34, -14, 11), (-45, -27, 8))
    )
    return placed(pillow(-2, -3, 4, 8, "#b08a8a", 1) + tiers, x, y, size)


def _snow() -> str:
    man = (
        orb(0, 0, 9, 8.4, "#f4f8ff", 0.2)
        + orb(0, -12, 6.4, 6, "#f4f8ff", 0.2)
        + circle(-2, -13, 0.9, PLUM)
        + circle(2, -13, 0.9, PLUM)
        + soft("M0 -11.6L6 -10L0 -9.4Z", "#ffb870", "#f29a5c")
    )
    return "".join(
        (
            air("#a9c4f0", "#cfe0f8", "#f2ecfa"),
            soft("M-5 62L14 36L28 54L46 28L64 56L82 34L105 58V105H-5Z", "#e4eefc", "#b8cdf0"),
            soft("M-5 68C20 58 44 68 66 62C84 58 94 64 105 62V105H-5Z", "#ffffff", "#dce8fa"),
            _fir(10, 76, 1.1, "#8fcabc") + _fir(91, 76, 1.2, "#8fcabc") + _fir(27, 66, 0.5, "#a9d8d0"),
            soft("M-5 82C30 76 60 86 105 82V105H-5Z", "#ffffff", "#dfe6fa"),
            placed(man, 79, 90, 0.9),
            "".join(
                glow(x, y, 1.4 + at % 4 * 0.7, 1.4 + at % 4 * 0.7, "#ffffff", 1)
                for at, (x, y) in enumerate(scattered("bird snow", 60, 0, 0, 100, 98))
            ),
        )
    )


def _forest() -> str:
    def trunk(x: float, width: float, light: str, dark: str) -> str:
        return soft(
            fitted("M-.6 -5C-.4 40 -.5 70 -1.3 90H1.3C.5 70 .4 40 .6 -5Z", x, 0, width, 1),
            light,
            dark,
        )

    mushroom = (
        soft("M-2.4 0H2.4L3.4 10H-3.4Z", "#fff8ee", "#f0dcd0")
        + soft("M-9 1C-9 -9 9 -9 9 1Q0 4 -9 1Z", "#ffa6a6", "#f06f80")
        + circle(-3, -2.6, 1.5, "#fff8f0")
        + circle(3, -3.6, 1.7, "#fff8f0")
    )
    leaves = "".join(
        orb(x, y, 13, 10, ("#8fcf9a", "#7fc494", "#a4daa0")[at % 3], 0.2)
        for at, (x, y) in enumerate(
            ((2, 6), (20, 1), (38, 4), (58, 2), (78, 2), (98, 7), (10, 16), (90, 17), (68, 9), (30, 10))
        )
    )
    return "".join(
        (
            air("#b8e4b0", "#dcf4c4", "#f8f6d4"),
            glow(50, 30, 44, 54, "#fffbe0", 0.95),
            trunk(28, 4, "#b8cfa4", "#9abf98")
            + trunk(44, 3, "#c8dcb4", "#aacda4")
            + trunk(60, 3, "#c8dcb4", "#aacda4")
            + trunk(73, 4, "#b8cfa4", "#9abf98"),
            soft("M-5 76C30 70 70 74 105 77V105H-5Z", "#a9d88f", "#6fb488"),
            trunk(7, 9, "#c8a48c", "#9a7a80") + trunk(94, 10, "#c8a48c", "#9a7a80"),
            leaves,
            placed(mushroom, 20, 88, 1.0) + placed(mushroom, 84, 91, 1.15) + placed(mushroom, 27, 94, 0.55),
            lights("bird fireflies", 16, (10, 20, 90, 90), ("#fff6b0", "#fffce0"), 2.6),
        )
    )


def _desert() -> str:
    cactus = (
        soft("M-5.4 0V-34C-5.4 -41 5.4 -41 5.4 -34V0Z", "#b4e4b0", "#6fbf98")
        + soft("M-5 -11H-13V-25C-13 -30 -7 -30 -7 -25V-18H-5Z", "#a9dca9", "#7fc49c")
        + soft("M5 -17H8V-28C8 -33 14 -33 14 -28V-10H5Z", "#a9dca9", "#7fc49c")
    )
    cactus += orb(0, -39, 3, 2.6, "#ff9fc0")
    return "".join(
        (
            air("#ffc9a8", "#ffdfb4", "#fff0cc"),
            glow(70, 20, 34, 34, "#fff0b0", 0.95) + orb(70, 20, 10, 10, "#ffb98a", 0.1),
            soft("M-5 66V46Q6 38 12 40L16 34H25L31 44L36 66Z", "#f0a898", "#e09aa4")
            + soft("M68 64L75 48Q84 44 93 47L105 54V66Z", "#f5b4a0", "#e8a4a8"),
            soft("M-5 62C20 52 44 64 66 57C84 53 94 60 105 56V105H-5Z", "#ffdf9f", "#f8c98a"),
            soft("M-5 78C30 66 60 82 105 72V105H-5Z", "#ffd494", "#eab078"),
            placed(cactus, 10, 84, 1.1) + placed(cactus, 92, 76, 0.8),
            soft("M-5 92C30 86 70 96 105 90V105H-5Z", "#f5c48a", "#dca070"),
            orb(80, 93, 5, 3, "#e0b0a4") + orb(87, 95, 3, 2, "#d8a49c"),
        )
    )


def _flowers() -> str:
    def bloom(x: float, y: float, size: float, light: str, dark: str) -> str:
        stem = line("M0 2Q-2 18 1 38", "#8fcf94", 2.2) + soft(
            "M0 24C6 14 12 15 14 19C10 24 4 26 0 24Z", "#c4ecb8", "#7fc48a"
        )
        petals = "".join(
            placed(soft("M0 0C-6 -4 -6 -12 0 -14C6 -12 6 -4 0 0Z", light, dark), 0, 0, 1, turn)
            for turn in range(0, 360, 60)
        )
        return placed(stem + petals + orb(0, 0, 4, 4, "#ffe08a"), x, y, size)

    spots = (
        (8, 54, 1.05, "#ffb4cc", "#ff86ac"),
        (21, 72, 0.8, "#ffffff", "#f4e0f4"),
        (92, 52, 1.1, "#ffd4a4", "#ffa87f"),
        (80, 72, 0.8, "#ffb4cc", "#ff86ac"),
        (4, 82, 0.75, "#d4c0ff", "#a98fec"),
        (97, 82, 0.8, "#ffffff", "#f4e0f4"),
    )
    dots = "".join(
        orb(
            x,
            y,
            1.1 + (y - 56) * 0.055,
            1.0 + (y - 56) * 0.05,
            ("#ff9fbc", "#ffffff", "#ffd08a", "#c4a8f8")[at % 4],
            0.12,
        )
        for at, (x, y) in enumerate(scattered("bird meadow", 60, 0, 58, 100, 82))
    )
    return "".join(
        (
            air("#a4dcff", "#d4f0ff", "#fff4e6"),
            cloud(74, 14, 0.9) + cloud(18, 20, 0.7) + glow(50, 0, 40, 20, "#fff4c0", 0.7),
            soft("M-5 58C22 46 46 58 66 54C84 50 94 54 105 50V105H-5Z", "#d8f4c0", "#b4e4ac"),
            soft("M-5 66C30 58 64 66 105 62V105H-5Z", "#c4ecac", "#94d49a") + dots,
            soft("M-5 88C30 82 70 84 105 88V105H-5Z", "#a4dc9a", "#74bf8c"),
            *(bloom(*spot) for spot in spots),
            _petals("bird petals", 12, "#ffc4d8"),
        )
    )


def _rain() -> str:
    drops = "".join(
        line(f"M{x:.1f} {y:.1f}l-1.6 7", "#f4fbff", 1.0, stroke_opacity=0.85)
        for x, y in scattered("bird rain", 64, 0, 14, 100, 92)
    )
    ripples = "".join(
        ellipse(x, y, w, w * 0.26, "none", stroke="#f0f8ff", stroke_width=0.8, stroke_opacity=0.9)
        for x, y, w in ((20, 93, 13), (20, 93, 7), (82, 95, 12), (82, 95, 6))
    )
    return "".join(
        (
            air("#8a98c4", "#a9b4d4", "#ccd4e4"),
            soft("M-5 62C20 54 40 62 60 58C80 54 92 60 105 58V105H-5Z", "#a9c4bc", "#8fb0b0"),
            _tree(8, 84, 1.0, "#8fb8a8", "#a08a94") + _tree(95, 82, 0.9, "#8fb8a8", "#a08a94"),
            soft("M-5 80C30 74 70 76 105 80V105H-5Z", "#94b4ac", "#7898a8"),
            glow(20, 93, 17, 5, "#d4e6f8", 0.9) + glow(82, 95, 16, 5, "#d4e6f8", 0.9) + ripples,
            "".join(
                orb(x, y, w, h, tone, 0.3)
                for x, y, w, h, tone in (
                    (10, 8, 16, 10, "#9aa4c8"),
                    (28, 12, 14, 9, "#a4aed0"),
                    (50, 4, 16, 9, "#aab4d4"),
                    (74, 11, 15, 9, "#a0aacc"),
                    (92, 7, 16, 10, "#949ec4"),
                )
            ),
            drops,
        )
    )


def _mountain() -> str:
    peaks = soft("M-5 76L14 24L28 48L42 12L60 50L80 8L105 52V105H-5Z", "#f4f4ff", "#b4b4e4", "#9fa8d8")
    shade = path("M42 12L60 50L52 76H44ZM80 8L105 52V76H86ZM14 24L28 48L24 76H16Z", PLUM, fill_opacity=0.13)
    caps = "".join(
        path(data, "#ffffff")
        for data in (
            "M14 24L21 36L16 34L13 39L9 37Z",
            "M42 12L49 27L44 24L40 30L36 27Z",
            "M80 8L90 25L83 22L78 29L73 24Z",
        )
    )
    return "".join(
        (
            air("#b4d4fb", "#dbe6fc", "#ffeaf0"),
            cloud(60, 12, 0.7),
            peaks + shade + caps,
            glow(50, 62, 70, 12, "#ffffff", 0.85) + cloud(8, 60, 0.9) + cloud(92, 58, 0.9),
            _fir(20, 78, 0.45, "#8fc4ac", False) + _fir(78, 77, 0.5, "#8fc4ac", False),
            soft("M-5 80C20 72 44 80 66 76C84 73 94 78 105 76V105H-5Z", "#cfe8b0", "#94c49c"),
            orb(8, 95, 12, 8, "#b4b0d0") + orb(92, 97, 13, 9, "#b4b0d0") + orb(80, 99, 7, 5, "#c4c0dc"),
            line("M14 88V60", "#c09a90", 1.6)
            + soft("M14 60C20 58 24 64 29 62V70C24 72 20 66 14 68Z", "#ffa8b8", "#f0809c"),
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
