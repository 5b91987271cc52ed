"""All places in the bird's pastel light: sea, city, space and castle here, the others in `lands.py` and `rooms.py`.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.bird.glow import PLUM, air, cloud, glow, lights, orb, pillow, soft
from pipelines.starter_build.own_art.bird.lands import LANDS
from pipelines.starter_build.own_art.bird.rooms import ROOMS
from pipelines.starter_build.own_art.svg import circle, ellipse, line, mixed, path, placed, rect, scattered, star


def _beach() -> str:
    shade = soft(
        "M-20 0C-17 -14 -6 -20 0 -20C6 -20 17 -14 20 0C15 -4 11 -4 7 0C4 -4 -4 -4 -7 0C-11 -4 -15 -4 -20 0Z",
        "#ffb0b8",
        "#f58a9a",
    )
    shade += soft("M-7 0C-6 -10 -3 -17 0 -20C3 -17 6 -10 7 0C4 -4 -4 -4 -7 0Z", "#ffffff", "#ffe6e0")
    leaf = soft("M0 0C8 -10 20 -9 26 3C17 -3 8 -3 0 0Z", "#b8ecb8", "#6fc49a")
    palm = soft("M-2.4 44C2 28 1 12 -2 0H2C7 14 7 30 4 44Z", "#e0bc94", "#b08a78") + "".join(
        placed(leaf, 0, 1, 1, turn) for turn in (-175, -120, -55, 0, 40, 145)
    )
    shell = soft("M0 0C-8 -2 -8 -10 0 -12C8 -10 8 -2 0 0Z", "#ffe0ea", "#f5a9c4") + line(
        "M0 -1V-10M-1 -1L-5 -8M1 -1L5 -8", "#e88fb0", 0.8
    )
    return "".join(
        (
            air("#a4e0ff", "#d4f3ff", "#fff4dc"),
            glow(50, 14, 30, 26, "#fff2b8", 0.9) + orb(50, 12, 7.4, 7.4, "#fff0b0", 0.06),
            cloud(20, 20, 0.7),
            soft("M-5 44H105V74H-5Z", "#7fd0e8", "#a9e6ee", "#d8f7f4"),
            "".join(
                line(f"M{x} {y}q4 -2 8 0t8 0", "#ffffff", 0.9, stroke_opacity=0.8)
                for x, y in ((2, 50), (78, 48), (8, 60), (72, 58))
            ),
            line("M-5 70C20 65 40 74 64 69C84 65 94 70 105 68", "#ffffff", 3, stroke_opacity=0.9),
            soft("M-5 71C20 66 40 75 64 70C84 66 94 71 105 69V105H-5Z", "#fff0cc", "#f2d39a"),
            line("M13 90L11 42", "#d8b090", 1.8) + placed(shade, 11, 44, 1.0, -4),
            placed(palm, 90, 34, 1.1),
            placed(shell, 84, 93, 0.8) + placed(path(star(0, 0, 5, 2.4), "#ffb08a"), 12, 95, 0.9, 10),
        )
    )


def _city() -> str:
    def tower(x: float, top: float, width: float, light: str, dark: str, seed: int) -> str:
        panes = "".join(
            rect(
                x + 2 + column * 4.2,
                y,
                2.6,
                3.6,
                "#fff0b0" if (row + column + seed) % 3 else "#ffc9a0",
                rx=0.6,
                fill_opacity=0.92,
            )
            for row, y in enumerate(range(int(top) + 5, 80, 7))
            for column in range(int((width - 2) // 4.2))
            if (row * 3 + column * 5 + seed) % 4
        )
        return (
            soft(
                f"M{x} 110V{top + 3}Q{x} {top} {x + 3} {top}h{width - 6}Q{x + width} {top} {x + width} {top + 3}V110Z",
                light,
                dark,
            )
            + panes
        )

    return "".join(
        (
            air("#2c2a66", "#57489a", "#a878b8", "#f2b0b8"),
            glow(78, 15, 26, 26, "#fff0d0", 0.6) + orb(78, 15, 8, 8, "#fff4d0", 0.1),
            "".join(
                circle(x, y, 0.4 + at % 3 * 0.3, "#ffffff")
                for at, (x, y) in enumerate(scattered("bird night", 34, 1, 1, 99, 40))
            ),
            *(
                tower(*one, at)
                for at, one in enumerate(
                    (
                        (28, 48, 13, "#8a78bc", "#6a5aa8"),
                        (58, 46, 13, "#8a78bc", "#6a5aa8"),
                        (12, 40, 15, "#6f62ac", "#54488f"),
                        (72, 38, 14, "#6f62ac", "#54488f"),
                    )
                )
            ),
            *(
                tower(*one, at + 2)
                for at, one in enumerate(((-4, 32, 17, "#584c9a", "#3d3478"), (86, 28, 18, "#584c9a", "#3d3478")))
            ),
            soft("M-5 82H105V105H-5Z", "#7a6aa8", "#4f4484"),
            lights("bird street", 22, (0, 62, 100, 98), ("#ffe0a0", "#ffb0c0", "#b8d4ff"), 5),
        )
    )


def _space() -> str:
    rocket = (
        soft("M0 -16C7 -9 7 3 4.6 10H-4.6C-7 3 -7 -9 0 -16Z", "#ffffff", "#d9d0f4")
        + soft("M-5 2L-11 11L-4.6 10Z", "#ffa0b4", "#e8708f")
        + soft("M5 2L11 11L4.6 10Z", "#ffa0b4", "#e8708f")
        + orb(0, -3, 2.8, 2.8, "#8fd0f0")
    )
    rocket = glow(0, 15, 6, 9, "#ffd08a", 1) + rocket
    ring = path(
        "M-20 5C-14 11 13 4 20 -7C18 -9 14 -8 11 -5C4 1 -5 4 -11 4C-16 3 -20 3 -20 5Z", "#ffe6b8", fill_opacity=0.92
    )
    return "".join(
        (
            air("#231a5c", "#4a368f", "#8a5fb4", "#c98fc4"),
            glow(30, 30, 52, 26, "#f08fd0", 0.45)
            + glow(74, 44, 44, 24, "#6fb0ff", 0.45)
            + glow(60, 10, 40, 16, "#a98fff", 0.5),
            "".join(
                circle(x, y, 0.4 + at % 4 * 0.25, "#ffffff")
                for at, (x, y) in enumerate(scattered("bird space", 60, 0, 0, 100, 78))
            ),
            "".join(
                path(star(x, y, 3.4, 0.8, 4), "#fff8e0") + glow(x, y, 4, 4, "#ffffff", 0.6)
                for x, y in ((34, 12), (62, 22), (93, 56), (10, 66))
            ),
            glow(84, 24, 18, 18, "#ffd0b0", 0.4) + orb(84, 24, 10.4, 10.4, "#ffb49a") + placed(ring, 84, 24, 0.98),
            orb(11, 46, 6.4, 6.4, "#8fe0d0") + placed(rocket, 15, 20, 0.85, 24),
            soft("M-5 84C30 75 70 77 105 84V105H-5Z", "#e6dcf4", "#a898cc"),
            "".join(
                ellipse(x, y, w, w * 0.36, "#a596c8", fill_opacity=0.8)
                for x, y, w in ((11, 91, 7), (88, 91, 8), (70, 83, 3.4), (28, 83, 3))
            ),
        )
    )


def _ship() -> str:
    ring = circle(0, 0, 6.6, "none", stroke="#ff8f9f", stroke_width=4.4) + "".join(
        placed(rect(-1.8, -8.8, 3.6, 4.6, "#fff6f0"), 0, 0, 1, turn) for turn in (45, 135, 225, 315)
    )
    sail = soft("M0 0C-16 4 -22 18 -22 38C-14 34 -6 34 0 36Z", "#ffffff", "#f2e0ec") + soft(
        "M-4 9C-12 13 -16 20 -17.4 28C-12 26 -8 26 -4 27Z", "#ffc4d0", "#ffb0c0"
    )
    return "".join(
        (
            air("#a9dcff", "#d6f0ff", "#fff0e2"),
            glow(22, 16, 24, 22, "#fff0c0", 0.8) + cloud(30, 16, 0.9) + cloud(56, 26, 0.6),
            soft("M-5 46C10 43 20 49 34 46C48 43 58 49 72 46C86 43 94 48 105 46V105H-5Z", "#8fd4ec", "#6fb8dc"),
            soft("M-5 56C10 52 20 60 34 56C48 52 58 60 72 56C86 52 94 58 105 56V105H-5Z", "#7fc4e4", "#5f9fd0"),
            "".join(glow(x, y, 5, 1.2, "#ffffff", 0.9) for x, y in ((10, 52), (30, 60), (74, 52), (64, 62))),
            pillow(87.6, -8, 4.4, 96, "#d9b49a", 2) + placed(sail, 88, 8, 1.0),
            pillow(-5, 62, 110, 4, "#e6c4a4", 2)
            + "".join(pillow(x, 64, 3, 20, "#e6c4a4", 1.2) for x in (1, 27, 71, 97)),
            soft("M-5 81H105V105H-5Z", "#eac9a0", "#c99f86") + line("M-5 88H105M-5 95H105", "#b88f7c", 0.8),
            placed(ring, 14, 73, 1.0),
        )
    )


def _water() -> str:
    def fish(colour: str, fin: str) -> str:
        return (
            soft("M8 0L17 -8Q14 0 17 8Z", fin, mixed(fin, PLUM, 0.2))
            + orb(0, 0, 11, 7.4, colour, 0.2)
            + circle(-5.4, -1.6, 2.3, "#ffffff")
            + circle(-5.9, -1.4, 1.2, PLUM)
        )

    weed = soft("M-2 0C-9 -12 5 -20 -2 -30C-7 -38 3 -42 1 -50C6 -42 3 -38 5 -30C8 -20 0 -12 4 0Z", "#b4f0c8", "#5fb8a8")
    coral = line("M0 0V-18M0 -8L-9 -16V-22M0 -5L9 -14V-20", "#ff9fb8", 4.4) + line(
        "M-.6 -2V-17M-9.4 -17V-21M8.4 -15V-19", "#ffd0dc", 1.2
    )
    rays = "".join(
        path(data, "#ffffff", fill_opacity=0.13)
        for data in ("M18 -5H32L16 90H-6Z", "M44 -5H52L50 90H36Z", "M66 -5H76L94 90H76Z")
    )
    return "".join(
        (
            air("#9fe4f0", "#6fc4e4", "#5a9ad0", "#6f86c4"),
            rays + glow(40, -4, 60, 26, "#ffffff", 0.6),
            soft("M-5 62C14 54 34 66 52 59C72 51 86 62 105 57V105H-5Z", "#6fb0d8", "#5f8fc4"),
            placed(fish("#ffd08a", "#ffa87f"), 14, 20, 0.9)
            + placed(fish("#ffb0c8", "#f58fb0"), 87, 36, 0.8)
            + placed(fish("#c9b6ff", "#a98fec"), 10, 54, 0.6),
            placed(weed, 7, 94, 1.05) + placed(weed, 17, 95, 0.7) + placed(weed, 95, 92, 1.1),
            soft("M-5 87C24 81 50 89 105 83V105H-5Z", "#fbeccb", "#dcc4a8"),
            placed(coral, 83, 90, 0.85) + placed(path(star(0, 0, 5, 2.6), "#ffb08a"), 24, 94, 0.9, 12),
            "".join(
                orb(x, y, 1 + at % 4 * 0.7, 1 + at % 4 * 0.7, "#e4f8ff", 0.1)
                for at, (x, y) in enumerate(scattered("bird bubbles", 24, 3, 4, 97, 84))
            ),
        )
    )


def _castle() -> str:
    def tower(x: float, top: float, width: float) -> str:
        body = soft(f"M{x} 110V{top}H{x + width}V110Z", "#f2e4f4", "#c9b4dc")
        teeth = "".join(
            pillow(x - 1 + at * (width + 2) / 4, top - 4, (width + 2) / 5, 7, "#ead8f0", 1) for at in range(4)
        )
        window = soft(f"M{x + width / 2 - 3} {top + 20}v-7q3 -6 6 0v7Z", "#8f86c4", "#ffd8a8")
        return (
            body
            + teeth
            + window
            + "".join(
                rect(x + bx, top + by, 5, 2, "#d4bfe2", rx=1)
                for bx, by in ((3, 28), (width - 9, 34), (4, 46), (width - 8, 54))
            )
        )

    roof = soft("M-14 0C-6 -6 -2 -16 0 -25C2 -16 6 -6 14 0Z", "#ffb4d0", "#c98fd4")
    flag = line("M0 0V-10", "#b09ac8", 1.1) + soft("M0 -10C4 -12 8 -8 12 -10V-4C8 -2 4 -6 0 -4Z", "#fff0a8", "#ffd08a")
    return "".join(
        (
            air("#bfd8ff", "#e2e0ff", "#ffe8ee"),
            cloud(48, 12, 0.8) + glow(50, 30, 50, 30, "#fff6e0", 0.6),
            soft("M18 110V42H82V110Z", "#e2d0ec", "#bfa8d4")
            + "".join(pillow(x, 37, 6, 7, "#dccbe8", 1) for x in (22, 34, 60, 72)),
            soft("M34 110V66C34 50 66 50 66 66V110Z", "#a98fc4", "#7a64a0"),
            tower(-6, 32, 25) + tower(81, 28, 25),
            placed(roof + placed(flag, 0, -25), 6.5, 28, 1.1) + placed(roof + placed(flag, 0, -25), 93.5, 24, 1.1),
            soft("M-5 84H105V105H-5Z", "#f4e0cc", "#d4b4b4")
            + "".join(
                ellipse(x, y, 6, 1.8, "#dcc0b4", fill_opacity=0.8) for x, y in ((10, 91), (28, 96), (70, 91), (88, 97))
            ),
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
