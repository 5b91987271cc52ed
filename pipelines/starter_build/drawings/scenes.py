"""The places behind a figure, as small SVG drawings of our own.

Each scene fills a square of 100 by 100 units. They are told apart by hue and by the shapes near the left,
right and upper edges, because the figure covers the middle. Nothing in them is copied from elsewhere.
"""

from __future__ import annotations

import math

from pipelines.starter_build.drawings.svg_shapes import line


def _circles(points: str, radius: float, fill: str) -> str:
    """Equal circles at "x,y x,y ..."."""
    pairs = (point.split(",") for point in points.split())
    return "".join(f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}"/>' for x, y in pairs)


def _rect(x: float, y: float, width: float, height: float, fill: str, radius: float = 0) -> str:
    rounded = f' rx="{radius}"' if radius else ""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"{rounded}/>'


def _path(data: str, fill: str) -> str:
    return f'<path d="{data}" fill="{fill}"/>'


def _sky(colour: str) -> str:
    return _rect(0, 0, 100, 100, colour)


def _fir(x: float, top: float, base: float, fill: str) -> str:
    """A fir tree of two triangles on a trunk."""
    half = (base - top) * 0.3
    middle = top + (base - top) * 0.55
    return (
        _rect(x - 1.5, base - 1, 3, 7, "#5b3a22")
        + _path(f"M{x} {top}L{x + half * 0.8} {middle}H{x - half * 0.8}Z", fill)
        + _path(f"M{x} {top + (base - top) * 0.3}L{x + half} {base}H{x - half}Z", fill)
    )


def _flower(x: float, y: float, radius: float, fill: str) -> str:
    """Five petals round a yellow heart."""
    petals = " ".join(
        f"{x + radius * math.sin(turn):.1f},{y - radius * math.cos(turn):.1f}"
        for turn in (2 * math.pi * step / 5 for step in range(5))
    )
    return _circles(petals, radius * 0.75, fill) + _circles(f"{x},{y}", radius * 0.6, "#ffe14d")


def _park() -> str:
    tree = _rect(9, 40, 5, 30, "#7a5230") + _circles("12,30 5,37 20,37", 11, "#3f9b45")
    bench = _rect(72, 56, 26, 3, "#a5652f") + _rect(72, 62, 26, 3, "#a5652f") + _rect(76, 56, 2, 16, "#444")
    path = _path("M60 100Q78 82 100 80V92Q88 94 80 100Z", "#e9d3a0")
    sun = _circles("86,14", 8, "#ffd84a")
    return _sky("#a9dcf5") + sun + _rect(0, 64, 100, 36, "#7cc65a") + path + tree + bench


def _beach() -> str:
    sea = _rect(0, 38, 100, 28, "#1fa3c9") + line("M0 46H16M80 44H100M4 56H14M84 55H96", "#d9f6ff", 1.6)
    palm = line("M90 70Q92 40 82 20", "#8a5a2b", 4) + "".join(
        line(f"M82 20Q{x} {y} {x2} {y2}", "#2f9e44", 3.6)
        for x, y, x2, y2 in ((70, 10, 62, 20), (76, 6, 70, 4), (92, 8, 99, 20), (84, 26, 76, 34), (94, 2, 100, 4))
    )
    umbrella = _path("M1 52A14 14 0 0 1 29 52Z", "#ef4444") + _path("M10 52A5 14 0 0 1 20 52Z", "#fff")
    return (
        _sky("#8fe0ff")
        + _circles("14,15", 9, "#fff2a8")
        + sea
        + _rect(0, 64, 100, 36, "#f5dc9a")
        + line("M15 52V84", "#fff", 1.8)
        + umbrella
        + palm
    )


def _kitchen() -> str:
    tiles = line("M0 20H100M0 40H100M20 0V60M40 0V60M60 0V60M80 0V60", "#f0e2c4", 0.8)
    shelf = _rect(0, 24, 26, 3, "#9a6a3c") + _rect(4, 13, 8, 11, "#e0503a", 2) + _rect(15, 15, 7, 9, "#3f88c5", 2)
    hood = _path("M72 0H96L100 22H68Z", "#8f9aa3")
    stove = _rect(68, 62, 32, 38, "#e8ecef") + _rect(73, 72, 22, 18, "#4b5560", 2)
    pot = _rect(76, 48, 18, 13, "#d8413b", 2) + line("M76 53H72M94 53H98", "#333", 2) + _rect(75, 46, 20, 3, "#f4f4f4")
    counter = _rect(0, 62, 68, 5, "#b98450") + _rect(0, 67, 68, 33, "#f3b562") + _rect(0, 67, 1, 33, "#c98d3d")
    return _sky("#fff4d6") + tiles + shelf + hood + counter + stove + pot


def _library() -> str:
    colours = ("#b23a48", "#2f6690", "#e0a030", "#4c8c5a", "#7d4f9e", "#d9d2c0", "#c4622d")
    books = []
    for row, top in enumerate((4, 30, 56, 82)):
        x = 2.0
        for index in range(16):
            kind = (index * 5 + row * 3) % 7
            height = 17 + kind % 4
            books.append(_rect(x, top + 21 - height, 5.2, height, colours[kind]))
            x += 6.1
    shelves = "".join(_rect(0, y, 100, 4, "#8a5a33") for y in (25, 51, 77))
    return _sky("#4a2f1c") + "".join(books) + shelves + _rect(0, 0, 2, 100, "#8a5a33") + _rect(98, 0, 2, 100, "#8a5a33")


def _city_night() -> str:
    towers = (  # x, top, width, colour
        (0, 22, 14, "#2b3566"),
        (15, 38, 13, "#3a4580"),
        (29, 26, 12, "#2b3566"),
        (58, 34, 14, "#3a4580"),
        (73, 16, 13, "#2b3566"),
        (87, 30, 13, "#3a4580"),
        (42, 44, 15, "#333d75"),
    )
    out = []
    for x, top, width, fill in towers:
        out.append(_rect(x, top, width, 100 - top, fill))
        for row in range(top + 5, 96, 9):
            out.append(_rect(x + 2.5, row, 3, 4.5, "#ffd75e"))
            if (row + x) % 2:
                out.append(_rect(x + 8, row, 3, 4.5, "#ffd75e"))
    moon = _circles("84,9", 6, "#f6f1c8")
    return _sky("#141a3c") + _circles("10,8 26,14 50,8 66,20 38,18", 0.9, "#fff") + moon + "".join(out)


def _snow() -> str:
    hills = _path("M0 66Q25 50 55 66T100 62V100H0Z", "#ffffff") + _path("M0 82Q40 70 100 84V100H0Z", "#e6f0f8")
    flakes = _circles("8,10 22,24 40,8 60,14 78,6 92,20 70,28 6,34 30,40 94,40 50,26", 1.9, "#ffffff")
    firs = _fir(11, 34, 66, "#3d7a6b") + _fir(90, 30, 66, "#3d7a6b")
    return _sky("#b9cfe3") + hills + firs + flakes


def _forest() -> str:
    trunks = "".join(_rect(x, 0, w, 84, "#4f3420") for x, w in ((2, 8), (20, 5), (74, 6), (88, 9)))
    leaves = _circles("4,4 22,0 42,2 60,0 80,2 98,6", 14, "#1f6b3a") + _circles("12,14 90,16 70,10 32,10", 9, "#2c8a4b")
    bushes = _circles("4,80 18,86 82,86 97,80", 12, "#1f6b3a")
    return _sky("#7fb069") + _rect(0, 78, 100, 22, "#3f7d3a") + trunks + leaves + bushes


def _desert() -> str:
    dunes = _path("M0 62Q30 46 60 62T100 56V100H0Z", "#eda64a") + _path("M0 80Q50 62 100 82V100H0Z", "#dd8a35")
    cactus = _rect(8, 34, 8, 38, "#3f8f4e", 4) + line("M12 56H3V46M12 50H22V41", "#3f8f4e", 5)
    small = _rect(88, 46, 7, 24, "#3f8f4e", 3.5) + line("M92 60H84V54", "#3f8f4e", 4)
    return _sky("#ffdf9e") + _circles("82,18", 11, "#ff7b3a") + dunes + cactus + small


def _stage() -> str:
    folds = "".join(_rect(x, 0, 3, 82, "#8f1220") for x in (5, 13, 21, 76, 84, 92))
    curtains = _path("M0 0H28Q22 50 26 84H0Z", "#c21f32") + _path("M100 0H72Q78 50 74 84H100Z", "#c21f32")
    spot = _path("M44 0H56L84 100H16Z", "#fff3b0")
    valance = _path("M0 0H100V9Q90 18 80 9Q70 18 60 9Q50 18 40 9Q30 18 20 9Q10 18 0 9Z", "#e0a030")
    floor = _rect(0, 82, 100, 18, "#a8703a")
    return _sky("#3b1830") + f'<g opacity=".45">{spot}</g>' + floor + curtains + folds + valance


def _space() -> str:
    stars = _circles("6,44 14,8 30,20 44,6 60,14 92,50 70,4 96,8 8,66 88,64 94,84 5,88", 1.3, "#ffffff")
    planet = _circles("82,26", 11, "#f08a4b") + line("M66 32Q82 34 98 20", "#ffd9a0", 2.6)
    moon = _circles("13,28", 8, "#b8c4d6") + _circles("10,26 16,31", 1.8, "#8896ad")
    ground = _path("M0 92Q50 78 100 92V100H0Z", "#5c4a8a")
    return _sky("#120b33") + _circles("30,60", 26, "#2a1a5e") + stars + planet + moon + ground


def _ship() -> str:
    sea = _rect(0, 44, 100, 36, "#1d5f9e") + line("M2 54Q7 50 12 54T22 54M78 56Q83 52 88 56T98 56", "#9fd0f0", 1.6)
    mast = _rect(8, 0, 4, 76, "#7a4b25") + _path("M14 4Q34 18 14 44Z", "#fbf7ea")
    deck = _rect(0, 78, 100, 22, "#b5793f") + line("M0 86H100M0 93H100", "#8c5a2b", 1)
    rail = line("M0 66H100", "#7a4b25", 3) + "".join(_rect(x, 66, 2.4, 13, "#7a4b25") for x in (2, 20, 76, 94))
    ring = '<circle cx="86" cy="34" r="8" stroke="#fff" stroke-width="5" fill="none"/>'
    ring += '<circle cx="86" cy="34" r="8" stroke="#e23b3b" stroke-width="5" fill="none" stroke-dasharray="6.3 6.3"/>'
    return _sky("#cfeaf7") + sea + mast + _rect(84.5, 42, 3, 26, "#7a4b25") + ring + rail + deck


def _flowers() -> str:
    colours = ("#ff5d8f", "#ffffff", "#b15cff", "#ff8a3d")
    spots = "5,60 16,68 28,60 8,78 20,88 72,62 84,68 95,60 78,80 92,78 6,94 88,92 34,74 66,74 98,90 44,62 56,62"
    points = [tuple(map(int, spot.split(","))) for spot in spots.split()]
    flowers = "".join(_flower(x, y, 4.2, colours[index % 4]) for index, (x, y) in enumerate(points))
    cloud = _circles("14,16 22,13 30,17", 6, "#ffffff") + _circles("80,10 88,12", 5, "#ffffff")
    return _sky("#8fd3ff") + cloud + _rect(0, 52, 100, 48, "#58b84a") + flowers


def _bedroom() -> str:
    wall = _sky("#cdb8e8") + _circles("10,50 30,46 50,50 70,46 90,50 20,8 80,8", 1.6, "#b79fdc")
    window = _rect(64, 6, 28, 26, "#8fd3ff", 1) + line("M78 6V32M64 19H92", "#ffffff", 2.4)
    lamp = _path("M4 34H20L16 22H8Z", "#ffd75e") + _rect(11, 34, 2, 20, "#7a5230") + _rect(0, 54, 24, 4, "#9a6a3c")
    bed = _rect(0, 70, 100, 30, "#4aa3a1") + _rect(70, 54, 32, 20, "#ffffff", 6) + line("M0 80H100", "#368583", 3)
    return wall + window + lamp + bed


def _rain() -> str:
    clouds = _circles("8,8 22,4 38,10 56,5 74,9 92,5", 12, "#5d6b7a")
    drops = "".join(
        line(f"M{x} {y}L{x - 3} {y + 9}", "#bfe3ff", 1.8)
        for x, y in ((8, 26), (20, 40), (12, 58), (30, 28), (72, 30), (84, 44), (94, 28), (78, 60), (92, 66), (26, 72))
    )
    ground = _rect(0, 82, 100, 18, "#56626e") + line("M4 90Q12 86 20 90M76 92Q86 88 96 92", "#9fc4de", 2)
    return _sky("#8796a5") + clouds + ground + drops


def _under_water() -> str:
    light = _path("M20 0H34L26 70H6ZM70 0H80L98 60H84Z", "#7fdcf0")
    weed = line("M8 100Q2 84 8 70T8 48M18 100Q22 88 17 76M92 100Q98 86 92 72T92 52", "#1f8a5b", 3.6)
    fish = _path("M72 24Q80 16 88 24Q80 32 72 24ZM73 24L66 18V30Z", "#ff9a3d") + _circles("84,23", 1.3, "#222")
    bubbles = "".join(
        f'<circle cx="{x}" cy="{y}" r="{r}" stroke="#e4fbff" stroke-width="1.2" fill="none"/>'
        for x, y, r in ((14, 30, 4), (24, 14, 2.6), (88, 44, 3.4), (8, 12, 2.4))
    )
    sand = _path("M0 90Q50 80 100 90V100H0Z", "#e8cf8e") + _circles("24,94 80,93", 3, "#ff7fa8")
    return _sky("#1787b8") + f'<g opacity=".35">{light}</g>' + sand + weed + fish + bubbles


def _mountain() -> str:
    far = _path("M0 70L22 34L44 70Z", "#8ea0b8") + _path("M22 34L30 47L23 45L16 49L14 47Z", "#ffffff")
    near = _path("M48 74L82 14L116 74Z", "#6b7c95") + _path("M82 14L95 37L86 33L80 40L74 34L69 37Z", "#ffffff")
    meadow = _path("M0 70Q50 60 100 72V100H0Z", "#7fb35c")
    eagle = line("M10 18Q15 12 20 18Q25 12 30 18", "#33404f", 1.8)
    return _sky("#bfe6f5") + far + near + meadow + eagle


def _castle() -> str:
    lines = "M0 14H100M0 30H100M0 46H100M0 62H100M0 78H100M16 0V14M50 0V14M84 0V14M32 14V30M66 14V30M16 30V46M84 30V46"
    wall = _sky("#9aa1ab") + line(lines + "M32 46V62M66 46V62M16 62V78M84 62V78", "#7d848f", 1.2)
    window = _path("M6 52V30Q14 18 22 30V52Z", "#8fd3ff") + line("M14 24V52M6 38H22", "#4b5560", 1.8)
    banner = _path("M76 6H94V44L85 36L76 44Z", "#b23a48") + _path("M85 14L89 22L85 30L81 22Z", "#f8d433")
    torch = _rect(66, 34, 3.4, 16, "#5b3a22") + _path("M67.6 20Q74 28 70 34H65Q61 28 67.6 20Z", "#ff9a3d")
    return wall + window + banner + torch + _rect(0, 84, 100, 16, "#a83240") + line("M0 86H100", "#f8d433", 2)


def _market() -> str:
    awning = "".join(
        _path(f"M{x} 0H{x + 12.5}V18Q{x + 6.25} 26 {x} 18Z", "#e0282f" if index % 2 else "#ffffff")
        for index, x in enumerate((0, 12.5, 25, 37.5, 50, 62.5, 75, 87.5))
    )
    crates = _rect(0, 62, 28, 14, "#a5652f") + _rect(74, 62, 28, 14, "#a5652f") + _rect(0, 76, 100, 24, "#c98d4f")
    fruit = _circles("5,60 13,58 21,60", 5, "#f5851f") + _circles("79,60 87,58 95,60", 5, "#2b9a4a")
    more = _circles("9,52 17,52", 5, "#f5851f") + _circles("83,52 91,52", 5, "#2b9a4a")
    return _sky("#f6dfb4") + awning + line("M4 22V62M96 22V62", "#7a4b25", 3) + crates + more + fruit


SCENES = {
    "in a park": _park(),
    "on a beach": _beach(),
    "in a kitchen": _kitchen(),
    "in a library": _library(),
    "in a city at night": _city_night(),
    "in the snow": _snow(),
    "in a forest": _forest(),
    "in a desert": _desert(),
    "on a stage": _stage(),
    "in space": _space(),
    "on a ship": _ship(),
    "in a field of flowers": _flowers(),
    "in a bedroom": _bedroom(),
    "in the rain": _rain(),
    "under water": _under_water(),
    "on a mountain": _mountain(),
    "in a castle": _castle(),
    "at a market": _market(),
}
"""SVG elements of each place, in a square of 100 by 100 units."""
