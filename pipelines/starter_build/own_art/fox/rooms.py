"""Rooms and stalls in the fox's cut paper: kitchen, library, stage, bedroom, market.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the fox is in front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.fox.paper import (
    BARK,
    CHARCOAL,
    CORAL,
    CREAM,
    MUSTARD,
    NAVY,
    PLUM,
    SAGE,
    TEAL,
    disc,
    layer,
    piece,
    sky,
    strip,
)
from pipelines.starter_build.own_art.svg import darker, mirrored, path, placed, star


def _block(x: float, y: float, width: float, height: float, colour: str) -> str:
    return piece(f"{x},{y} {x + width},{y} {x + width},{y + height} {x},{y + height}", colour)


def _kitchen() -> str:
    tiles = "".join(
        _block(x, y, 9.4, 9.4, "#f3dcae" if (x + y) // 10 % 2 else "#f8e8c6")
        for x in range(0, 100, 10)
        for y in range(30, 70, 10)
    )
    pan = (
        strip(0, 0, 0, 8, 1.4, CHARCOAL) + disc(0, 14, 7, 7, "#4a5060", 15, 2) + disc(0, 14, 4.8, 4.8, "#5f6678", 13, 3)
    )
    pot = (
        piece("-13,0 13,0 12,17 8,20 -8,20 -12,17", CORAL)
        + _block(-14, -3, 28, 3.6, "#c84a3a")
        + disc(0, -5, 2.2, 2.2, CREAM, 8)
    )
    steam = piece("-4,-9 -6,-14 -3,-18 -4,-23 -1.6,-18 -3.6,-14 -2,-9", CREAM) + piece(
        "4,-9 2.6,-13 5.4,-17 4.6,-21 7,-17 5,-13 6,-9", CREAM
    )
    jar = (
        piece("-6,0 -6.6,-13 6.6,-13 6,0", "#bcd8cc")
        + piece("-6,0 -6.3,-8 6.3,-8 6,0", MUSTARD)
        + _block(-6.6, -16, 13.2, 3.6, BARK)
    )
    curtain = piece("30,-3 46,-3 43,12 31,20", CORAL)
    return "".join(
        (
            sky("#f9ebcf"),
            layer(tiles, 1),
            layer(_block(33, -6, 34, 33, CREAM), 1)
            + layer(_block(36, -6, 28, 30, "#9fd0de"), 1)
            + _block(49, -6, 2, 30, CREAM),
            layer(curtain + mirrored(curtain), 1),
            layer(_block(0, 9, 27, 2, BARK) + _block(73, 9, 27, 2, BARK), 1),
            layer(placed(pan, 8, 10) + placed(pan, 21, 10, 0.8) + placed(pan, 92, 10), 2),
            layer(_block(-2, 72, 104, 30, "#a8683c"), 2) + layer(_block(-2, 70, 104, 4.4, "#d0985f"), 1),
            "".join(_block(x, 80, 24, 17, "#8f5530") + disc(x + 12, 84, 1.3, 1.3, MUSTARD, 7) for x in (2, 74)),
            layer(placed(jar, 8, 70) + placed(jar, 22, 70, 0.75), 2),
            layer(placed(steam, 88, 56), 1) + layer(placed(pot, 88, 53, 0.9), 2),
        )
    )


def _library() -> str:
    colours = (CORAL, TEAL, MUSTARD, SAGE, PLUM, CREAM, "#b5653a", "#3f5f8f")
    rows = []
    for row, bottom in enumerate((25, 51, 77)):
        x, books = 3.0, ""
        for at in range(11):
            width, height = (6.4, 8.6, 7.4, 9.6)[(at * 3 + row) % 4], (16, 20, 18, 21, 14)[(at * 2 + row * 3) % 5]
            colour = colours[(at * 5 + row * 3) % 8]
            books += _block(x, bottom - height, width, height, colour) + _block(
                x, bottom - height * 0.75, width, 1.6, darker(colour, 0.3)
            )
            x += width + 0.6
        rows.append(layer(books, 1) + layer(_block(-2, bottom, 104, 4, "#9a6238"), 1))
    globe = (
        disc(0, -10, 8, 8, "#5fa3b8", 15, 2)
        + piece("-5,-14 0,-16 3,-12 -2,-8 -6,-9", SAGE)
        + piece("2,-8 6,-9 5,-4", SAGE)
        + piece("-5,2 5,2 1,-2 -1,-2", BARK)
    )
    return "".join(
        (
            sky("#4a2f28"),
            *rows,
            layer(_block(-2, 81, 104, 22, "#7a4a30"), 1),
            layer(piece("10,101 16,86 84,86 90,101", "#8c3f44") + piece("14,101 19,88 81,88 86,101", "#a85050"), 1),
            layer(
                strip(92, 88, 97, 0, 1.8, BARK)
                + strip(82, 88, 87, 0, 1.8, BARK)
                + "".join(_block(83 + y * 0.05, 84 - y, 10, 1.8, BARK) for y in (6, 20, 34, 48, 62, 76)),
                1,
            ),
            layer(placed(globe, 10, 86, 1.0), 2),
        )
    )


def _stage() -> str:
    side = piece("-3,-3 32,-3 29,24 22,44 16,62 19,84 -3,84", "#b8303f")
    folds = piece("4,-3 11,-3 9,84 4,84", "#962536") + piece("18,-3 25,-3 20,40 13,84 11,84", "#962536")
    swag = "".join(
        piece(f"{x},-3 {x + 20},-3 {x + 19},6 {x + 14},12 {x + 6},12 {x + 1},6", "#d0414e")
        + piece(
            f"{x + 1},5 {x + 6},11 {x + 14},11 {x + 19},5 {x + 19},7.4 {x + 14},13.6 {x + 6},13.6 {x + 1},7.4", MUSTARD
        )
        for x in range(0, 100, 20)
    )
    moon = disc(0, 0, 8, 8, "#ffe9a8", 15, 1)
    return "".join(
        (
            sky("#3b2338"),
            layer(_block(24, -3, 52, 90, "#4f2f4c"), 1),
            layer(
                placed(moon, 50, 22, 1.0)
                + path(star(34, 30, 3, 1.3), "#ffe9a8")
                + path(star(66, 34, 3, 1.3), "#ffe9a8"),
                1,
            ),
            piece("50,-10 14,86 86,86", "#fff0b0", opacity=0.2),
            layer(_block(-2, 80, 104, 22, "#b47a48"), 1)
            + "".join(_block(-2, y, 104, 0.8, "#8f5a34") for y in (85, 91)),
            layer(side + folds, 3) + layer(mirrored(side + folds), 3),
            layer(swag, 2),
            "".join(
                layer(piece(f"{x - 4},101 {x - 4},95 {x},92 {x + 4},95 {x + 4},101", "#ffe08a"), 1)
                for x in (8, 24, 76, 92)
            ),
        )
    )


def _bedroom() -> str:
    paper = "".join(
        path(star(x + (y // 12 % 2) * 6, y, 1.5, 0.6, 4), "#c9b6d2")
        for x in range(4, 100, 12)
        for y in range(6, 66, 12)
    )
    bed = _block(62, 46, 4, 42, BARK) + piece("62,46 103,46 103,88 62,88", "#a8683c")
    quilt = piece("58,66 103,64 103,96 58,96", TEAL) + "".join(
        _block(x, y, 7, 7, MUSTARD if (x + y) // 9 % 2 else CORAL) for x in (60, 69, 78, 87, 96) for y in (70, 79, 88)
    )
    pillow = piece("70,52 98,51 101,64 68,65", CREAM)
    lamp = (
        piece("-6,0 6,0 4,-10 -4,-10", "#ffe08a") + _block(-0.9, 0, 1.8, 10, BARK) + piece("-4,12 4,12 2,9 -2,9", BARK)
    )
    window = (
        _block(0, 0, 26, 28, CREAM)
        + _block(2.4, 2.4, 21.2, 23.2, NAVY)
        + disc(16, 9, 3.6, 3.6, "#ffe9a8", 11, 1)
        + path(star(8, 17, 1.8, 0.7, 4), CREAM)
        + _block(12, 2.4, 2, 23.2, CREAM)
    )
    return "".join(
        (
            sky("#d9c6e0"),
            paper,
            layer(placed(window, 5, 12), 1),
            layer(piece("2,8 13,8 9,44 2,42", PLUM) + piece("23,8 34,8 34,42 27,44", PLUM), 1),
            layer(_block(-2, 74, 104, 28, "#b98a60"), 1),
            layer(bed, 2) + layer(pillow, 1) + layer(quilt, 2),
            layer(
                _block(2, 66, 20, 24, "#8f5a38")
                + disc(12, 76, 1.4, 1.4, MUSTARD, 7)
                + disc(12, 84, 1.4, 1.4, MUSTARD, 7),
                2,
            ),
            layer(placed(lamp, 12, 54), 1),
            layer(disc(44, 95, 26, 6, "#c86a6a", 18, 3) + disc(44, 95, 19, 4, "#e09a8a", 16, 4), 1),
        )
    )


def _market() -> str:
    def stall(x: float, stripe: str) -> str:
        roof = "".join(
            piece(
                f"{x + at * 7},26 {x + at * 7 + 7},26 {x + at * 7 + 7},38 {x + at * 7 + 3.5},42 {x + at * 7},38",
                stripe if at % 2 == 0 else CREAM,
            )
            for at in range(5)
        )
        top = piece(f"{x + 3},18 {x + 32},18 {x + 35},27 {x},27", stripe)
        posts = _block(x + 1.4, 36, 2, 40, BARK) + _block(x + 31.6, 36, 2, 40, BARK)
        return layer(posts, 1) + layer(top + roof, 2)

    def crate(x: float, y: float, fruit: str) -> str:
        heap = "".join(
            disc(x + fx, y - fy, 3, 3, fruit, 9, at)
            for at, (fx, fy) in enumerate(((4, 0), (10, 0), (16, 0), (7, 4), (13, 4), (10, 7.4)))
        )
        return layer(heap, 1) + layer(_block(x, y + 1, 20, 10, "#b98450") + _block(x, y + 5, 20, 1.2, "#8f5f34"), 1)

    bunting = "".join(
        piece(f"{x},{4 + (at % 2)} {x + 8},{4.6 - (at % 2)} {x + 4},11", (CORAL, MUSTARD, TEAL, PLUM)[at % 4])
        for at, x in enumerate(range(2, 98, 11))
    )
    return "".join(
        (
            sky("#cfe3df"),
            layer(
                _block(30, 22, 18, 60, "#e8cfa8")
                + piece("28,22 50,22 39,12", "#b5653a")
                + _block(52, 28, 18, 54, "#d9b08a")
                + piece("50,28 72,28 61,18", "#9a5238"),
                1,
            ),
            "".join(
                _block(x, y, 4, 5, "#6f8f9f") for x, y in ((33, 30), (41, 30), (55, 36), (63, 36), (33, 44), (63, 50))
            ),
            layer(strip(-2, 4, 102, 4, 0.7, CHARCOAL) + bunting, 1),
            stall(-8, CORAL) + stall(73, TEAL),
            layer(_block(-2, 78, 104, 24, "#c4b49a"), 1)
            + "".join(_block(x, y, 8, 4, "#ae9d82") for x, y in ((30, 84), (44, 92), (60, 86), (34, 97), (68, 95))),
            crate(0, 72, "#d8413b") + crate(80, 72, MUSTARD) + crate(4, 87, "#8abf5a") + crate(78, 88, "#e8853a"),
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
