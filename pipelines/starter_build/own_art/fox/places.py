"""All places in the fox's cut paper: sea, city, space and castle here, the others in `lands.py` and `rooms.py`.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.fox.lands import LANDS
from pipelines.starter_build.own_art.fox.paper import (
    BARK,
    CHARCOAL,
    CORAL,
    CREAM,
    MUSTARD,
    NAVY,
    PLUM,
    TEAL,
    cloud,
    disc,
    layer,
    piece,
    ridge,
    sky,
    strip,
)
from pipelines.starter_build.own_art.fox.rooms import ROOMS
from pipelines.starter_build.own_art.svg import darker, fitted, mirrored, path, placed, scattered, star


def _beach() -> str:
    shade = piece("-17,0 -13,-8 -5,-13 5,-13 13,-8 17,0 8.5,-2 0,0 -8.5,-2", CORAL) + piece(
        "-5,-13 5,-13 6,-1.6 0,0 -6,-1.6", CREAM
    )
    leaf = piece("0,0 9,-6 18,-6 25,0 17,-2 9,-1", "#4f9a5c")
    palm = "".join(layer(placed(leaf, 88, 24, 1, turn), 1) for turn in (-170, -130, -60, -20, 25, 160))
    shell = piece("-5,0 -6,-6 -2,-9 2,-9 6,-6 5,0", "#f2b3a4") + piece("-.5,0 -.5,-8 .5,-8 .5,0", CORAL)
    return "".join(
        (
            sky("#bfe6ea"),
            layer(disc(50, 10, 8, 8, "#ffdf8a", 16, 3), 1),
            cloud(76, 12, 0.8),
            layer(ridge("sea 1", 44, 44, 0.5, "#3f9fb0"), 1),
            layer(ridge("sea 2", 51, 52, 1.2, "#55b5c0", 14), 2),
            layer(ridge("sea 3", 59, 60, 1.2, "#86d0d2", 14), 2),
            layer(ridge("foam", 66, 67, 1.2, CREAM, 12), 1),
            layer(ridge("sand", 69, 70, 1.2, "#f0d59a", 12), 2),
            layer(ridge("sand 2", 88, 86, 1, "#e2c080"), 1),
            layer(strip(14, 84, 12, 40, 1.8, BARK), 1) + layer(placed(shade, 12, 42, 1.05, -4), 2),
            layer(piece("90,80 95,80 93,50 90,24 87,24 89,52", "#9a6a40"), 2) + palm,
            layer(placed(shell, 84, 92, 0.8) + placed(path(star(0, 0, 5, 2.2), CORAL), 12, 93, 0.9, 12), 1),
        )
    )


def _city() -> str:
    def tower(x: float, top: float, width: float, colour: str, seed: int) -> str:
        windows = "".join(
            piece(f"{wx},{wy} {wx + 2.4},{wy} {wx + 2.4},{wy + 3.4} {wx},{wy + 3.4}", "#ffd76a")
            for row, wy in enumerate(range(int(top) + 4, 84, 7))
            for column, wx in enumerate(x + 2 + step * 4.2 for step in range(int((width - 2) // 4.2)))
            if (row * 3 + column * 5 + seed) % 4
        )
        return layer(piece(f"{x},101 {x},{top} {x + width},{top} {x + width},101", colour) + windows, 2)

    far = (
        (-3, 30, 15, "#3c4a7c"),
        (13, 42, 12, "#47588c"),
        (74, 36, 13, "#47588c"),
        (86, 24, 16, "#3c4a7c"),
        (30, 50, 12, "#3c4a7c"),
        (58, 48, 13, "#3c4a7c"),
    )
    near = ((4, 54, 14, "#28335e"), (84, 52, 13, "#28335e"))
    stars = "".join(path(star(x, y, 1.5, 0.6, 4), CREAM) for x, y in scattered("fox night", 22, 2, 2, 98, 34))
    return "".join(
        (
            sky("#1c2448"),
            stars,
            layer(disc(78, 13, 8, 8, "#fbe9b0", 17, 2) + disc(75.6, 11, 1.8, 1.8, "#eed48a", 8, 1), 1),
            *(tower(*one, at) for at, one in enumerate((*far, *near))),
            layer(piece("-2,84 102,84 102,101 -2,101", "#4a4560"), 1),
            "".join(
                piece(f"{x},91.6 {x + 12},91.6 {x + 11.6},93.4 {x - 0.4},93.4", "#d9cfa8") for x in (2, 24, 66, 88)
            ),
        )
    )


def _space() -> str:
    stars = "".join(
        path(star(x, y, r, r * 0.4, 4), CREAM)
        for at, (x, y) in enumerate(scattered("fox space", 40, 1, 1, 99, 74))
        for r in (0.9 + at % 3 * 0.6,)
    )
    ringed = disc(0, 0, 10, 10, "#e8894a", 17, 4) + piece("-9,3 9,-1 8.6,2.4 -7.6,6", "#c8643c")
    ring = piece("-17,5 -10,1 10,-5 17,-6 14,-3 8,-.6 -9,5 -15,7", "#ffdf9a")
    rocket = (
        piece("-4,8 -4,-6 0,-14 4,-6 4,8", CREAM)
        + piece("-4,-6 0,-14 4,-6", CORAL)
        + piece("-4,2 -8,9 -4,8", CORAL)
        + piece("4,2 8,9 4,8", CORAL)
    )
    rocket += disc(0, -2, 2.2, 2.2, TEAL, 10, 1) + piece("-2.4,9 0,17 2.4,9", MUSTARD)
    return "".join(
        (
            sky("#171233"),
            layer(ridge("nebula 1", 34, 12, 5, "#241b4e", 8, 60), 1),
            layer(ridge("nebula 2", 50, 30, 4, "#1c1540", 8, 80), 1),
            stars,
            layer(placed(ringed, 84, 22, 1.05), 2) + layer(placed(ring, 84, 22, 1.05), 1),
            layer(disc(11, 44, 6.4, 6.4, TEAL, 14, 2) + piece("6,42 14,40 16,44 9,47", "#6fc0a8"), 2),
            layer(placed(rocket, 15, 20, 0.95, 24), 2),
            layer(ridge("moon", 82, 82, 2, "#b9b3c4"), 2),
            layer(ridge("moon 2", 93, 91, 1, "#9c96ac"), 1),
            "".join(
                disc(x, y, w, w * 0.34, "#8a849c", 11, at)
                for at, (x, y, w) in enumerate(((12, 89, 6), (86, 88, 7), (70, 84.6, 3), (30, 85, 3)))
            ),
        )
    )


def _ship() -> str:
    ring = (
        disc(0, 0, 8, 8, CORAL, 16, 1)
        + "".join(placed(piece("-2,-8.3 2,-8.3 1.6,-4 -1.6,-4", CREAM), 0, 0, 1, turn) for turn in (45, 135, 225, 315))
        + disc(0, 0, 4, 4, "#86bcc8", 12, 2)
    )
    posts = "".join(piece(f"{x},60 {x + 2.4},60 {x + 2.4},82 {x},82", CREAM) for x in (3, 25, 73, 95))
    return "".join(
        (
            sky("#cfe4e6"),
            cloud(24, 12, 0.9, "#ffffff"),
            layer(ridge("waves 1", 46, 46, 1, "#3f86a4", 14), 1),
            layer(ridge("waves 2", 55, 56, 1.6, "#2f6f92", 16), 2),
            layer(ridge("waves 3", 65, 66, 1.6, NAVY, 16), 2),
            layer(piece("86,84 90,84 89,-3 87,-3", BARK), 2),
            layer(piece("86,6 86,50 62,48 68,28", "#fbf3df") + piece("86,20 86,25 66.6,32 68,28", CORAL), 2),
            layer(piece("-2,60 102,60 102,63 -2,63", "#a8683c") + posts, 1),
            layer(piece("-2,80 102,80 102,101 -2,101", "#b87a48"), 2),
            "".join(piece(f"-2,{y} 102,{y} 102,{y + 0.7} -2,{y + 0.7}", "#8f5a34") for y in (86, 93)),
            layer(placed(ring, 14, 69, 1.0), 2),
        )
    )


def _water() -> str:
    def fish(x: float, y: float, size: float, colour: str) -> str:
        return placed(
            layer(
                piece("-9,0 -4,-5 4,-5.4 9,0 4,5.4 -4,5", colour)
                + piece("-8,0 -15,-5 -13,0 -15,5", darker(colour, 0.15))
                + disc(4.6, -1.4, 1.2, 1.2, CHARCOAL, 7),
                1,
            ),
            x,
            y,
            size,
        )

    weed = "".join(piece("-2,0 -4,-10 0,-18 -4,-28 -1,-38 1,-28 4,-18 1.6,-10 3,0", "#3f8a68") for _ in (0,))
    bubbles = "".join(
        disc(x, y, 1 + at % 3 * 0.8, 1 + at % 3 * 0.8, "#d4f0f2", 9, at)
        for at, (x, y) in enumerate(scattered("fox bubbles", 18, 3, 6, 97, 80))
    )
    coral = (
        "".join(strip(0, 0, x, y, 3.4, CORAL) for x, y in ((-9, -16), (0, -20), (9, -14)))
        + strip(-5, -9, -14, -10, 2.6, CORAL)
        + strip(5, -9, 14, -18, 2.6, CORAL)
    )
    return "".join(
        (
            sky("#2f8fa6"),
            layer(ridge("light 1", 16, 22, 2, "#2a7f9a", 8), 1),
            layer(ridge("light 2", 40, 36, 3, "#246f8c", 8), 2),
            layer(ridge("deep", 60, 64, 4, "#1f5f7e", 8), 2),
            layer(
                piece("34,-3 46,-3 30,70 12,70", "#ffffff", opacity=0.12)
                + piece("62,-3 70,-3 78,70 64,70", "#ffffff", opacity=0.12),
                1,
            ),
            fish(16, 22, 1.05, MUSTARD) + mirrored(fish(16, 38, 0.9, CORAL)) + fish(12, 52, 0.7, "#e6d9b0"),
            layer(placed(weed, 8, 90, 1.15) + placed(weed, 17, 92, 0.8) + placed(weed, 94, 88, 1.2), 1),
            layer(placed(coral, 84, 88, 1.0), 1),
            layer(ridge("seabed", 84, 82, 1.6, "#d9c08a"), 2),
            layer(bubbles, 1),
        )
    )


def _box(x: float, y: float, width: float, height: float) -> str:
    """The corners of a rectangle, as `piece` takes them."""
    return f"{x},{y} {x + width},{y} {x + width},{y + height} {x},{y + height}"


def _castle() -> str:
    stone, dark = "#a9a0a8", "#8a8290"

    def tower(x: float, top: float, width: float) -> str:
        teeth = "".join(
            piece(
                _box(x + at * width / 5, top - 3.4, width / 5, 4.4),
                stone,
            )
            for at in (0, 2, 4)
        )
        window = path(fitted("M-2 18L-2 11L0 8.4L2 11L2 18Z", x + width / 2, top, 1, 1), NAVY)
        bricks = "".join(
            piece(
                f"{x + bx},{top + by} {x + bx + 4},{top + by} {x + bx + 4},{top + by + 1.8} {x + bx},{top + by + 1.8}",
                dark,
            )
            for bx, by in ((2, 24), (width - 7, 30), (3, 42), (width - 8, 48), (2, 6))
        )
        return layer(piece(f"{x},101 {x},{top} {x + width},{top} {x + width},101", stone) + teeth + bricks + window, 2)

    flag = strip(0, 0, 0, -16, 1.2, BARK) + piece("0,-16 13,-13 0,-9", CORAL)
    banner = piece("-6,0 6,0 6,22 0,17 -6,22", PLUM) + path(star(0, 9, 4.4, 1.9), MUSTARD)
    return "".join(
        (
            sky("#c6dbe6"),
            cloud(50, 9, 0.9),
            layer(placed(flag, 10, 15, 1.0) + placed(flag, 88, 11, 1.0), 1),
            layer(
                piece("18,101 18,40 82,40 82,101", dark)
                + "".join(piece(f"{x},36 {x + 6},36 {x + 6},41 {x},41", dark) for x in range(20, 80, 12)),
                2,
            ),
            layer(piece("34,101 34,62 40,52 50,48 60,52 66,62 66,101", "#4a3830"), 1),
            tower(-3, 20, 23) + tower(79, 16, 24),
            layer(placed(banner, 26, 46, 0.9) + placed(banner, 74, 46, 0.9), 1),
            layer(ridge("court", 84, 84, 0.6, "#c9b48a"), 2),
            "".join(
                piece(f"{x},{y} {x + 9},{y} {x + 9.6},{y + 3} {x - 0.6},{y + 3}", "#b39c70")
                for x, y in ((4, 90), (22, 95), (66, 90), (84, 95))
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
