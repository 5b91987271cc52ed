"""The places of Quibb's pictures: flat hard-edged shapes without outlines, seen from where a boot stands.

Only the places that the bundled texts name, the rooms in `rooms.py`. Everything fills the square of 100 by 100
units; the ground begins above 76.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.quibb.rooms import ROOMS
from pipelines.starter_build.own_art.svg import (
    circle,
    darker,
    ellipse,
    group,
    line,
    path,
    placed,
    rect,
    scattered,
    smooth,
    star,
)


def _sky(*bands: str) -> str:
    """Horizontal bands of colour from above, each with a wavy lower edge."""
    out = rect(0, 0, 100, 100, bands[-1])
    for number in range(len(bands) - 2, -1, -1):
        y = 76 * (number + 1) / len(bands)
        out += path(f"M0 0H100V{y}Q82 {y + 5} 62 {y}T26 {y + 2}T0 {y - 1}Z", bands[number])
    return out


def _dots(seed: str, count: int, area: tuple[float, float, float, float], colour: str, sizes: tuple[float, ...]) -> str:
    points = scattered(seed, count, *area)
    return "".join(circle(x, y, sizes[at % len(sizes)], colour) for at, (x, y) in enumerate(points))


def _fir(x: float, base: float, height: float, colour: str, snow: str = "") -> str:
    out = rect(x - height * 0.04, base - 1, height * 0.08, height * 0.12, "#5a3a2e")
    for at, (top, low, half) in enumerate(((0.42, 0.0, 0.34), (0.7, 0.28, 0.27), (1.0, 0.56, 0.19))):
        y0, y1, w = base - top * height, base - low * height, half * height
        zig = f"M{x} {y0}L{x + w} {y1}Q{x + w * 0.5} {y1 - 2} {x + w * 0.34} {y1}T{x - w * 0.3} {y1}T{x - w} {y1}Z"
        out += path(zig, colour) + path(f"M{x} {y0}L{x - w} {y1}L{x - w * 0.3} {y1}Z", darker(colour, 0.25))
        if snow:
            right, dip, left = (y0 + (y1 - y0) * share for share in (0.6, 0.44 + 0.1 * at, 0.52))
            out += path(f"M{x} {y0 - 0.6}L{x + w * 0.62} {right}Q{x} {dip} {x - w * 0.5} {left}Z", snow)
    return out


def _snow() -> str:
    sky = _sky("#8fb7e8", "#a9cbf0", "#c6dff7")
    far = path("M0 62L16 44L27 56L42 38L58 58L74 42L88 55L100 46V80H0Z", "#9db9dd")
    far += path("M42 38L49 47L44 46L41 50L37 44ZM74 42L80 48L75 47L71 50L69 47ZM16 44L21 50L16 48L12 50Z", "#ffffff")
    hills = path("M0 66Q26 54 54 66T100 62V100H0Z", "#eaf4ff") + path("M0 78Q40 68 100 82V100H0Z", "#ffffff")
    hills += path("M0 90Q44 82 100 93V100H0Z", "#dcebfa") + path("M18 72Q34 66 52 70Q38 70 26 75Z", "#d3e5f7")
    trees = (
        _fir(11, 72, 50, "#2f7d78", "#ffffff")
        + _fir(90, 70, 58, "#2f7d78", "#ffffff")
        + _fir(27, 66, 24, "#4a948f", "#f4faff")
    )
    return sky + far + hills + trees + _dots("snow", 46, (0, 0, 100, 96), "#ffffff", (0.9, 1.5, 0.7, 2.1))


def _trunk(x: float, width: float, colour: str) -> str:
    """The lower part of a trunk with its roots; `width` is half of it at the top."""
    bark = path("M-1 0Q-.7 50 -.8 70Q-1.3 78 -2 82H2Q1.3 78 .8 70Q.7 50 1 0Z", colour)
    shade = path("M-1 0Q-.7 50 -.8 70Q-1.3 78 -2 82H-.6Q-.1 60 -.3 0Z", darker(colour, 0.28))
    hole = ellipse(0.25, 34, 0.28, width * 0.5, darker(colour, 0.4))
    return group(bark + shade + hole, transform=f"translate({x} 0) scale({width} 1)")


def _mushroom(x: float, y: float, size: float) -> str:
    cap = path("M-6 0Q-6 -8 0 -8T6 0Q0 2 -6 0Z", "#e0452f") + path(
        "M-6 0Q-6 -8 -1 -8Q-4 -4 -2.6 0.8Q-5 0.6 -6 0Z", "#b02f2a"
    )
    spots = circle(1.5, -5, 1.2, "#fff4e0") + circle(4, -1.8, 0.9, "#fff4e0") + circle(-2.4, -2.6, 1, "#fff4e0")
    return placed(path("M-1.6 0H1.6L2.2 7H-2.2Z", "#f4e6cc") + cap + spots, x, y, size)


def _forest() -> str:
    back = (
        rect(0, 0, 100, 100, "#5f9a58") + path("M34 0H66L80 80H20Z", "#a9d080") + path("M44 0H58L64 80H38Z", "#cfe6a0")
    )
    far = "".join(rect(x, 0, w, 76, "#4a7f4c") for x, w in ((18, 4), (31, 3), (66, 3.4), (79, 4.4)))
    floor = path("M0 74Q50 66 100 75V100H0Z", "#3c6b3a") + path("M0 86Q40 78 100 88V100H0Z", "#2f5730")
    near = _trunk(7, 9, "#6b4630") + _trunk(94, 10, "#6b4630")
    canopy = path("M0 0H100V10Q93 20 84 13Q78 22 68 14Q58 20 50 11Q40 19 31 13Q22 22 14 14Q6 20 0 12Z", "#2f6b3a")
    canopy += path("M0 0H100V4Q92 11 84 6Q76 12 66 6Q56 11 48 5Q38 11 28 6Q18 12 10 6Q4 9 0 6Z", "#23532f")
    leaves = "".join(
        placed(path("M0 -3Q3 0 0 3Q-3 0 0 -3Z", "#f0943a"), x, y, 0.8, x * 7)
        for x, y in scattered("leaf", 14, 4, 20, 96, 95)
    )
    return (
        back
        + far
        + canopy
        + floor
        + near
        + leaves
        + _mushroom(19, 86, 1.1)
        + _mushroom(86, 90, 1.3)
        + _mushroom(26, 91, 0.7)
    )


def _blossom(x: float, y: float, size: float, colour: str) -> str:
    petals = "".join(
        placed(path("M0 0C-4 -3 -4 -9 0 -10C4 -9 4 -3 0 0Z", colour), 0, 0, 1, turn) for turn in range(0, 360, 60)
    )
    shade = "".join(
        placed(path("M0 0C-4 -3 -4 -9 0 -10Q-2 -5 0 0Z", darker(colour, 0.2)), 0, 0, 1, turn)
        for turn in range(0, 360, 60)
    )
    stem = line("M0 0Q-2 16 1 34", "#2f8a3f", 1.8) + path("M-0.8 16Q7 10 10 14Q6 20 -0.6 20Z", "#3fa04a")
    return placed(stem + petals + shade + circle(0, 0, 3.4, "#ffd43b") + circle(-0.8, 0.7, 2.2, "#f0a92a"), x, y, size)


def _flowers() -> str:
    sky = _sky("#6fc3f5", "#8fd3fa", "#b5e4fc") + path(
        "M66 14Q68 8 74 9Q78 4 84 8Q91 7 92 14Q90 18 84 17Q78 20 73 17Q67 18 66 14Z", "#ffffff"
    )
    hill = path("M0 60Q24 44 54 58T100 50V100H0Z", "#8fd16a") + path("M0 70Q44 58 100 70V100H0Z", "#6cbd55")
    dots = "".join(
        circle(x, y, 1.1 + (y - 58) * 0.05, ("#ff6f9f", "#ffffff", "#ffb03b", "#a86bf0")[at % 4])
        for at, (x, y) in enumerate(scattered("meadow", 70, 0, 58, 100, 80))
    )
    front = path("M0 84Q50 76 100 84V100H0Z", "#4fa048")
    spots = (
        (8, 52, 1.15, "#ff6f9f"),
        (21, 68, 0.95, "#ffffff"),
        (92, 50, 1.2, "#ffb03b"),
        (81, 69, 0.9, "#ff6f9f"),
        (5, 78, 0.9, "#a86bf0"),
        (96, 80, 1.0, "#ffffff"),
    )
    bee = (
        ellipse(0, 0, 4, 3, "#ffd43b")
        + path("M-1.6 -2.8H0V2.9H-1.6ZM1.4 -2.7H2.8V2.4H1.4Z", "#3a2a1a")
        + ellipse(-1, -3.6, 2.6, 1.8, "#ffffff", fill_opacity=0.9)
        + circle(3.4, -0.6, 0.6, "#3a2a1a")
    )
    return sky + hill + dots + front + "".join(_blossom(*spot) for spot in spots) + placed(bee, 20, 17, 1.2, -14)


def _tower(x: float, top: float, width: float, colour: str, seed: int) -> str:
    out = rect(x, top, width, 80 - top, colour) + rect(x, top, width * 0.3, 80 - top, darker(colour, 0.35))
    for row in range(int(top) + 4, 72, 6):
        for column in range(int(width // 4)):
            lit = (row * 7 + column * 5 + seed) % 5
            if lit < 3:
                out += rect(x + 1.6 + column * 4, row, 2.2, 3.2, "#ffd76a" if lit else "#ff9f5a")
    return out


def _city() -> str:
    sky = (
        _sky("#1b1647", "#2a2165", "#43308a", "#6a3f9a")
        + circle(80, 15, 9, "#fff1c0")
        + circle(76.4, 13, 8, "#ffe08a", fill_opacity=0.35)
    )
    stars = _dots("city", 24, (2, 2, 98, 36), "#ffffff", (0.5, 0.8, 0.4))
    towers = (
        (-2, 34, 15, "#2c2566"),
        (14, 46, 11, "#3a3180"),
        (26, 28, 13, "#2c2566"),
        (40, 50, 12, "#3a3180"),
        (53, 40, 12, "#2c2566"),
        (66, 48, 10, "#3a3180"),
        (77, 30, 14, "#2c2566"),
        (91, 44, 12, "#3a3180"),
    )
    city = "".join(_tower(*tower, number) for number, tower in enumerate(towers))
    blurs = "".join(
        circle(x, y, 2.6 + at % 3, ("#ffb45a", "#ff7f9f", "#7fd4ff")[at % 3], fill_opacity=0.35)
        for at, (x, y) in enumerate(scattered("blur", 12, 3, 56, 97, 76))
    )
    wall = rect(0, 76, 100, 24, "#7a3f4a") + rect(0, 74.6, 100, 3.4, "#a8606a")
    wall += line(
        "M0 84H100M0 92H100M14 78V84M40 78V84M66 78V84M92 78V84M2 84V92M27 84V92M53 84V92M79 84V92"
        "M14 92V100M40 92V100M66 92V100M92 92V100",
        "#592a38",
        0.9,
    )
    return sky + stars + city + blurs + wall


def _beach() -> str:
    sky = (
        _sky("#58c4f0", "#7fd6f7", "#a8e6fb")
        + circle(17, 16, 9.5, "#fff4b0")
        + path(star(17, 16, 14, 10.6, 12), "#fff4b0", fill_opacity=0.45)
    )
    sea = (
        rect(0, 42, 100, 26, "#1c9fc4")
        + path("M0 52Q10 48 20 52T40 52T60 52T80 52T100 52V68H0Z", "#28b6d6")
        + path("M0 60Q12 55 25 60T50 60T75 60T100 60V70H0Z", "#4fd0e4")
    )
    sail = (
        path("M66 42H80L77 46H68Z", "#ffffff")
        + path("M72 41V24L82 39Z", "#ff6f5a")
        + path("M71 41V27L64 39Z", "#ffffff")
    )
    sand = (
        path("M0 68Q20 63 44 68T100 65V100H0Z", "#ffffff")
        + path("M0 70Q20 65 44 70T100 67V100H0Z", "#f7dc9a")
        + path("M0 88Q50 80 100 90V100H0Z", "#eac47a")
    )
    castle = (
        path("M0 0V-14H3V-11H6V-14H9V-8H17V-18H20V-15H23V-18H26V-8H31V0Z", "#e0b062")
        + path("M0 0V-14H3V0ZM17 0V-18H20V0Z", "#c8954a")
        + line("M21.5 -18V-28", "#7a5230", 1)
        + path("M21.5 -28L30 -25.4L21.5 -22.6Z", "#ff5a5f")
    )
    shell = path("M0 0Q-6 -2 -6 -8Q0 -12 6 -8Q6 -2 0 0Z", "#ff9fb0") + line(
        "M0 0L-3.4 -8.6M0 0V-9.6M0 0L3.4 -8.6", "#e0708a", 0.9
    )
    palm = path("M97 78Q99 46 88 22L92 20Q104 46 103 78Z", "#a3703f") + path(
        "M97 78Q99 46 88 22L89.6 21.4Q101 46 99.6 78Z", "#7d5230"
    )
    leaf = path("M0 0Q12 -12 27 -3Q14 -5 0 0Z", "#2fa050") + path("M0 0Q14 -6 27 -3Q13 1 0 0Z", "#23803f")
    palm += "".join(
        placed(leaf, 90, 21, size, turn)
        for size, turn in ((1.0, 8), (0.9, 60), (1.0, 150), (1.0, -165), (0.9, -120), (0.9, -60), (0.8, 110))
    )
    return (
        sky
        + sea
        + sail
        + sand
        + placed(castle, 0, 80, 0.8)
        + palm
        + placed(shell, 84, 92, 0.8)
        + placed(path(star(0, 0, 5, 2.2), "#ff7f4a"), 10, 92, 1, 14)
    )


def _space() -> str:
    sky = rect(0, 0, 100, 100, "#120a33") + path(
        smooth([(0, 30), (24, 14), (52, 22), (78, 4), (104, 12), (104, 34), (76, 38), (50, 50), (22, 46), (-4, 56)]),
        "#2a1660",
    )
    sky += path(smooth([(-4, 40), (24, 24), (50, 32), (80, 16), (104, 22), (80, 28), (52, 42), (24, 36)]), "#45218a")
    stars = _dots("space", 70, (0, 0, 100, 78), "#ffffff", (0.35, 0.6, 0.45, 0.9)) + "".join(
        path(star(x, y, 3, 0.7, 4), "#fff4c0") for x, y in ((12, 14), (62, 10), (38, 40), (93, 52))
    )
    ringed = circle(82, 26, 11, "#f0843f") + path(
        "M71 26A11 11 0 0 0 86 36.2A14 14 0 0 1 78 15.8A11 11 0 0 0 71 26Z", "#c4562f"
    )
    ringed += path("M66 33Q82 36 100 17Q96 15 92 20Q84 29 72.6 29.6Q64 30 66 33Z", "#ffd98a")
    small = (
        circle(16, 40, 7, "#4fb8d8")
        + path("M9 40A7 7 0 0 0 18.4 46.6A9 9 0 0 1 13.6 33.4A7 7 0 0 0 9 40Z", "#2f86b0")
        + path("M14 36Q18 34 21 37Q18 40 15 39Z", "#8fe0b0")
    )
    comet = path("M44 16L62 4L47 19Z", "#bfe6ff") + circle(45, 18, 2.2, "#ffffff")
    ground = path("M0 82Q50 68 100 82V100H0Z", "#8f86b0") + path("M0 92Q40 82 100 94V100H0Z", "#6f6796")
    craters = "".join(
        ellipse(x, y, w, w * 0.32, "#5a5280") + ellipse(x, y + w * 0.1, w * 0.8, w * 0.2, "#7a72a0")
        for x, y, w in ((14, 88, 7), (84, 86, 9), (66, 79.4, 4), (34, 80, 3.4), (92, 96, 6))
    )
    return sky + stars + ringed + small + comet + ground + craters


def _park() -> str:
    sky = _sky("#7fccf5", "#9cdaf9", "#c2ebfc") + path(
        "M8 20Q10 13 17 15Q22 9 29 14Q36 14 36 20Q33 24 27 22Q20 25 15 23Q9 24 8 20Z", "#ffffff"
    )
    far = path("M0 58Q14 44 28 54Q40 42 56 54Q70 42 84 52Q94 46 100 50V80H0Z", "#5fae5c") + path(
        "M0 64Q30 56 60 63T100 60V100H0Z", "#86cc62"
    )
    pond = path("M52 70Q76 64 104 70V79Q76 82 56 77Q46 74 52 70Z", "#4fb8e0") + path(
        "M60 72Q76 68 96 71Q80 71 66 74Z", "#a8e0f5"
    )
    lawn = (
        path("M0 76Q50 70 100 80V100H0Z", "#6dba50")
        + path("M34 100Q44 86 60 79L66 80Q58 88 60 100Z", "#f0dca8")
        + path("M0 92Q40 84 100 95V100H0Z", "#57a043")
    )
    crown = path("M-16 2Q-22 -8 -12 -14Q-10 -24 2 -22Q14 -26 17 -14Q26 -8 17 2Q8 8 0 4Q-10 8 -16 2Z", "#3f9a4a")
    crown += (
        path("M-16 2Q-22 -8 -12 -14Q-10 -22 -3 -22.6Q-9 -12 -4 -6Q-6 2 0 4Q-10 8 -16 2Z", "#2f7d3f")
        + circle(8, -12, 2, "#7fc95a")
        + circle(12, -5, 1.5, "#7fc95a")
        + circle(3, -17, 1.4, "#7fc95a")
    )
    tree = path("M-3 32L-2 0H3L5 32Z", "#8a5a38") + path("M-3 32L-2 0H0L-0.4 32Z", "#684028") + crown
    bench = (
        rect(0, 0, 26, 2.6, "#c9803f")
        + rect(0, 4.4, 26, 2.6, "#c9803f")
        + rect(-1, 11, 28, 3, "#e0964f")
        + path("M2 0H4V22H2ZM22 0H24V22H22Z", "#5a4a52")
    )
    swing = (
        line("M0 26L7 0H27L34 26M20 0L27 26M7 0L14 26", "#c8443f", 2)
        + line("M13 0V17M22 0V17", "#6b5a5a", 0.9)
        + rect(11, 17, 13, 2, "#e0b04a")
    )
    return (
        sky
        + far
        + pond
        + lawn
        + placed(swing, 33, 48, 0.72)
        + placed(tree, 11, 48, 1.15)
        + placed(bench, 72, 62)
        + placed(tree, 95, 40, 0.8)
    )


PLACES: dict[str, Callable[[], str]] = {
    "in a park": _park,
    "on a beach": _beach,
    "in a city at night": _city,
    "in the snow": _snow,
    "in a forest": _forest,
    "in space": _space,
    "in a field of flowers": _flowers,
    **ROOMS,
}
"""Place -> SVG elements."""
