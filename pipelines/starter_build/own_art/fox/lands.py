"""Lands in the fox's cut paper: park, snow, forest, desert, meadow, rain, mountain.

Each fills the square of 100 by 100 units; what tells it apart stands left, right and above, since the figure is in
front.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.fox.paper import (
    BARK,
    CHARCOAL,
    CORAL,
    CREAM,
    MUSTARD,
    cloud,
    disc,
    layer,
    piece,
    ridge,
    sky,
    strip,
)
from pipelines.starter_build.own_art.svg import darker, fitted, path, placed, scattered


def _broadleaf(x: float, y: float, size: float, colour: str, seed: int) -> str:
    """A tree of a trunk and three round sheets; (x, y) is its foot."""
    crown = disc(-6, -26, 10, 9, darker(colour, 0.16), 11, seed) + disc(
        7, -27, 10, 9, darker(colour, 0.1), 11, seed + 1
    )
    top = disc(0, -33, 10.5, 10, colour, 12, seed + 2)
    return placed(layer(piece("-2.4,0 2.4,0 1.6,-22 -1.6,-22", BARK), 1) + layer(crown, 1) + layer(top, 1), x, y, size)


def _fir(x: float, y: float, size: float, colour: str, snow: bool = False) -> str:
    trunk = piece("-1.8,0 1.8,0 1.8,-6 -1.8,-6", BARK)
    tiers = "".join(
        layer(
            piece(f"{-w},{low} {-w * 0.4},{low - 1.6} 0,{low} {w * 0.45},{low - 1.4} {w},{low} 0,{top}", colour)
            + (
                piece(
                    f"{-w * 0.5},{(low + top) / 2} {w * 0.1},{(low + top) / 2 + 2} {w * 0.5},{(low + top) / 2} 0,{top}",
                    CREAM,
                )
                if snow
                else ""
            ),
            1,
        )
        for w, low, top in ((13, -4, -20), (10.5, -14, -30), (7.5, -24, -40))
    )
    return placed(trunk + tiers, x, y, size)


def _park() -> str:
    bench = (
        piece("0,0 26,0 26,3 0,3", "#a8683c")
        + piece("0,5 26,5 26,8 0,8", "#a8683c")
        + piece("2,-1 4,-1 4,18 2,18", CHARCOAL)
    )
    bench += piece("22,-1 24,-1 24,18 22,18", CHARCOAL) + piece("-1,10 27,10 28,13 -2,13", "#c07c48")
    lamp = (
        piece("-.9,0 .9,0 .9,-34 -.9,-34", CHARCOAL)
        + piece("-3,-34 3,-34 4,-41 -4,-41", "#ffe08a")
        + piece("-5,-41 5,-41 0,-45", CHARCOAL)
    )
    return "".join(
        (
            sky("#bfe0e2"),
            layer(disc(84, 15, 9, 9, MUSTARD, 18, 1), 1),
            cloud(24, 14, 1.0),
            layer(ridge("park far", 56, 50, 3, "#a9c48a"), 2),
            layer(ridge("park", 70, 68, 1.6, "#84ab66"), 2),
            layer(piece("30,101 44,84 60,74 66,74 56,86 58,101", "#ead6a4"), 1),
            _broadleaf(10, 78, 1.25, "#5f9a58", 2),
            _broadleaf(94, 70, 0.9, "#5f9a58", 5),
            layer(placed(lamp, 28, 76, 0.9), 1),
            layer(placed(bench, 73, 66, 0.95), 1),
        )
    )


def _snow() -> str:
    flakes = "".join(
        disc(x, y, r, r, "#ffffff", 6, at)
        for at, (x, y) in enumerate(scattered("fox snow", 44, 0, 0, 100, 98))
        for r in (0.8 + at % 3 * 0.5,)
    )
    man = disc(0, 0, 8, 7.4, "#fffdf6", 13, 1) + disc(0, -10.5, 5.6, 5.4, "#fffdf6", 12, 2)
    man += (
        disc(-1.8, -11.6, 0.7, 0.7, CHARCOAL, 6)
        + disc(1.8, -11.6, 0.7, 0.7, CHARCOAL, 6)
        + piece("0,-10.6 5,-9.4 0,-8.8", "#e8853a")
    )
    return "".join(
        (
            sky("#a9c3d9"),
            layer(ridge("peaks", 46, 40, 9, "#c6d8e6", 7), 2),
            layer(ridge("snow 1", 62, 58, 2, "#e4eef4"), 2),
            _fir(10, 74, 1.15, "#3f7f78", True)
            + _fir(90, 72, 1.3, "#3f7f78", True)
            + _fir(26, 66, 0.6, "#5a958c", True),
            layer(ridge("snow 2", 74, 76, 1.6, "#f6fafc"), 2),
            layer(placed(man, 78, 84, 0.9), 2),
            layer(ridge("snow 3", 92, 90, 1, "#e8f0f6"), 1),
            layer(flakes, 1),
        )
    )


def _trunk(x: float, width: float, colour: str) -> str:
    return layer(
        path(fitted("M-1 90L-.6 78L-.5 -3L.5 -3L.6 76L1 90Z", x, 0, width, 1), colour),
        2,
    )


def _mushroom() -> str:
    return (
        piece("-2,6 2,6 1.4,-1 -1.4,-1", CREAM)
        + piece("-6,0 -4.6,-5 0,-7 4.6,-5 6,0", "#c8404a")
        + disc(-2, -3, 1, 1, CREAM, 7)
        + disc(2, -4, 0.9, 0.9, CREAM, 7)
    )


def _forest() -> str:
    leaves = "".join(
        placed(piece("0,-2.6 1.6,0 0,2.6 -1.6,0", MUSTARD if at % 2 else CORAL), x, y, 0.9, at * 31)
        for at, (x, y) in enumerate(scattered("fox leaves", 20, 2, 24, 98, 98))
    )
    return "".join(
        (
            sky("#b9d39a"),
            layer(piece("30,-3 24,78 40,78 44,-3", "#8fb57a") + piece("60,-3 62,78 74,78 70,-3", "#8fb57a"), 1),
            layer(ridge("floor far", 72, 72, 1.6, "#79a066"), 1),
            _trunk(24, 4.4, "#7a6a4a") + _trunk(77, 4.8, "#7a6a4a"),
            layer(ridge("floor", 82, 80, 1.6, "#55804c"), 1),
            _trunk(6, 9, BARK) + _trunk(95, 10, BARK),
            layer(
                piece(
                    "-3,-3 103,-3 103,17 92,24 83,14 72,21 60,11 49,17 38,10 27,21 16,14 6,24 -3,16",
                    "#3f7048",
                ),
                2,
            ),
            layer(
                piece(
                    "-3,-3 103,-3 103,8 90,13 78,6 64,11 50,4 36,10 22,6 9,13 -3,8",
                    "#2e5a3c",
                ),
                1,
            ),
            layer(leaves, 1),
            layer(placed(_mushroom(), 18, 90, 1.0) + placed(_mushroom(), 86, 92, 1.2), 1),
        )
    )


def _desert() -> str:
    def cactus(x: float, y: float, size: float) -> str:
        body = piece("-4,0 -4.4,-30 -2,-34 2,-34 4.4,-30 4,0", "#4f8f5a")
        arms = piece("-4,-12 -11,-12 -12,-24 -9.4,-26 -7.4,-24 -7,-16 -4,-16", "#4f8f5a") + piece(
            "4,-17 8,-17 8.4,-26 11,-28 13,-26 12.4,-12.6 4,-12.6", "#4f8f5a"
        )
        return placed(layer(body + arms, 2) + piece("-.6,-2 -.6,-30 .6,-30 .6,-2", "#3a7046"), x, y, size)

    return "".join(
        (
            sky("#f6d9a0"),
            layer(disc(74, 18, 11, 11, "#f08a4a", 19, 2), 1),
            layer(
                piece("-3,62 -3,44 6,42 10,36 22,36 26,44 30,62", "#c8643c")
                + piece("70,60 76,48 92,48 103,56 103,62", "#d0744a"),
                1,
            ),
            layer(ridge("dune 1", 60, 54, 2.4, "#eab264"), 2),
            layer(ridge("dune 2", 68, 74, 2.0, "#e09a4c"), 2),
            cactus(11, 78, 1.15) + cactus(91, 72, 0.85),
            layer(ridge("dune 3", 90, 84, 1.4, "#cf843c"), 2),
            layer(disc(84, 90, 5, 3, "#a8603a", 9, 2) + disc(77, 92, 3, 2, "#b8704a", 8, 3), 1),
        )
    )


def _flowers() -> str:
    def bloom(x: float, y: float, size: float, colour: str) -> str:
        petals = "".join(
            placed(piece("-3,-3 -3.4,-8 0,-10.4 3.4,-8 3,-3", colour), 0, 0, 1, turn) for turn in range(0, 360, 60)
        )
        stem = piece("-.9,2 .9,2 1.4,34 -.6,34", "#4f8a48") + piece("0,18 9,11 10,16 1,22", "#5f9a52")
        return placed(layer(stem, 1) + layer(petals, 1) + layer(disc(0, 0, 3.4, 3.4, MUSTARD, 9, 2), 1), x, y, size)

    spots = (
        (7, 54, 1.1, CORAL),
        (20, 70, 0.85, "#fffaf0"),
        (93, 52, 1.15, "#d98ac0"),
        (82, 70, 0.9, CORAL),
        (4, 80, 0.8, "#9a7ac8"),
        (97, 82, 0.8, "#fffaf0"),
    )
    dots = "".join(
        disc(x, y, 0.9 + (y - 54) * 0.05, 0.8 + (y - 54) * 0.045, (CORAL, CREAM, "#d98ac0", MUSTARD)[at % 4], 7, at)
        for at, (x, y) in enumerate(scattered("fox meadow", 60, 0, 56, 100, 80))
    )
    butterfly = (
        piece("0,0 -6,-6 -8,0 -4,3", "#9a7ac8")
        + piece("0,0 6,-6 8,0 4,3", "#9a7ac8")
        + piece("-.6,-3 .6,-3 .6,4 -.6,4", CHARCOAL)
    )
    return "".join(
        (
            sky("#bfe3ee"),
            cloud(78, 14, 1.0) + cloud(12, 26, 0.7),
            layer(ridge("meadow 1", 52, 56, 2.4, "#a8cc80"), 2),
            layer(ridge("meadow 2", 64, 60, 1.8, "#8dbb68") + dots, 2),
            layer(ridge("meadow 3", 86, 84, 1.4, "#6a9f52"), 1),
            *(bloom(*spot) for spot in spots),
            layer(placed(butterfly, 15, 15, 0.8, 14), 1),
        )
    )


def _rain() -> str:
    drops = "".join(
        placed(piece("-.5,-3.4 .5,-3.4 .8,2 0,3.4 -.8,2", "#e4f2f8"), x, y, 1.0, 14)
        for x, y in scattered("fox rain", 54, 0, 16, 100, 92)
    )
    heavy = "-22,8 -24,-2 -15,-6 -12,-13 0,-16 9,-12 18,-12 24,-3 22,8"
    return "".join(
        (
            sky("#9fb0bd"),
            layer(ridge("rain far", 58, 56, 3, "#7f9690"), 2),
            layer(ridge("rain near", 74, 76, 1.6, "#64806f"), 2),
            _broadleaf(8, 80, 1.1, "#4f7a62", 3) + _broadleaf(94, 78, 1.0, "#4f7a62", 7),
            layer(placed(piece(heavy, "#6f7f92"), 20, 9, 1.1), 2)
            + layer(placed(piece(heavy, "#5f6f84"), 80, 7, 1.15), 2)
            + layer(placed(piece(heavy, "#7c8b9c"), 50, 2, 1.0), 2),
            layer(disc(20, 93, 15, 3.4, "#a9c6d4", 14, 3) + disc(84, 95, 13, 3, "#a9c6d4", 13, 5), 1),
            layer(drops, 1),
        )
    )


def _mountain() -> str:
    far = piece("-3,70 14,26 22,36 38,12 56,44 66,34 84,8 103,46 103,80 -3,80", "#8a8aa8")
    caps = (
        piece("38,12 45,25 41,23 38,28 34,23 32.4,20", CREAM)
        + piece("84,8 93,26 88,23 84,30 79,23 77.6,18.6", CREAM)
        + piece("14,26 18.4,31.4 14,33 11,33.6", CREAM)
    )
    goat = piece("-6,0 -6,-7 5,-8 8,-12 11,-9 8,-6 6,0 4,0 4,-4 -3,-4 -4,0", CREAM) + strip(8, -12, 5, -16, 1.2, BARK)
    return "".join(
        (
            sky("#cfe0ea"),
            cloud(62, 14, 0.9, "#ffffff"),
            layer(far + caps, 2),
            layer(
                piece("-3,80 -3,50 10,44 26,62 44,78", "#6a6a86") + piece("103,80 103,48 92,42 76,60 58,78", "#6a6a86"),
                2,
            ),
            cloud(8, 60, 0.9, "#ffffff") + cloud(94, 58, 0.8, "#ffffff"),
            layer(ridge("ledge", 78, 76, 1.6, "#7d8f5e"), 2),
            layer(ridge("ledge 2", 90, 92, 1, "#667a4c"), 1),
            layer(placed(goat, 88, 77, 0.9), 1),
            layer(piece("8,92 10,84 17,82 22,90 20,95 10,96", "#8a8a98"), 2),
            layer(strip(16, 82, 16, 62, 1.4, BARK) + piece("16.6,62 28,65.4 16.6,69", CORAL), 1),
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
