"""SVG of our own for the later styles: shoulders with clothes on them, objects held in a hand, a gold medal.

Everything is in the square of 100 by 100 units that a picture without a pose shows; shoulders begin at 74 and go on
below the lower edge, because other framings show more. Nothing here is copied from elsewhere.
"""

from __future__ import annotations

import math

from pipelines.starter_build.drawings.svg_shapes import dot, line, outlined_path

_INK = "#1e293b"
_BODY = "M50 73C59 73 63 77 71 80C86 84 91 94 92 140H8C9 94 14 84 29 80C37 77 41 73 50 73Z"


def torso(kind: str, colour: str, skin: str, ink: str = _INK) -> tuple[str, str]:
    """What lies behind the head and what lies before it, in one of `TORSO_KINDS`; colours as #rrggbb."""
    neck = outlined_path("M43 58H57V74Q57 82 50 82T43 74Z", skin, ink)
    body = outlined_path(_BODY, colour, ink)
    bare = f'<path d="M42 74.5Q50 85 58 74.5Q50 71 42 74.5Z" fill="{skin}"/>'
    if kind == "t-shirt":
        collar = line("M40 75Q50 90 60 75", ink, 1.3)
        return neck, body + bare + collar + line("M24 92V112M76 92V112", ink, 1.3)
    if kind == "hoodie":
        hood = outlined_path("M26 80Q28 58 50 58T74 80Q66 90 50 90T26 80Z", colour, ink)
        inside = '<path d="M33 79Q36 64 50 64T67 79Q60 85 50 85T33 79Z" fill="#000" fill-opacity=".3"/>'
        front = outlined_path("M27 79Q36 88 50 88T73 79Q72 93 50 94T27 79Z", colour, ink)
        strings = line("M43 90V99M57 90V99", "#ffffff", 2) + dot(43, 99, 1.5, "#fff") + dot(57, 99, 1.5, "#fff")
        return hood + inside + neck, body + bare + front + strings
    if kind == "sweater":
        collar = outlined_path("M38 72Q50 77 62 72L64 81Q50 87 36 81Z", colour, ink)
        ribs = line("M42 75V82M46 76V83M50 77V84M54 76V83M58 75V82", "#00000055", 1)
        bands = '<path d="M10 96Q50 90 90 96V102Q50 96 10 102Z" fill="#fff" fill-opacity=".7"/>'
        return neck, body + bands + collar + ribs
    if kind == "jacket":
        shirt = outlined_path("M40 75Q50 79 60 75L58 140H42Z", "#ffffff" if colour != "#f6f6f4" else "#8b9198", ink)
        lapels = "M40 73L32 80L43 104L47 91Z M60 73L68 80L57 104L53 91Z"
        shade = f'<path d="{lapels}" fill="#000" fill-opacity=".25"/>'
        return neck, body + shirt + bare + outlined_path(lapels, colour, ink) + shade
    if kind == "dress":
        bodice = outlined_path("M31 84L36 83Q40 95 50 95T64 83L69 84Q74 96 74 140H26Q26 96 31 84Z", colour, ink)
        straps = line("M33 85L37 77M67 85L63 77", colour, 4)
        light = "#f8d433" if colour == "#f6f6f4" else "#ffffff"
        spots = ((34, 94), (66, 94), (42, 101), (58, 101), (50, 99), (33, 103), (67, 103))
        return neck, outlined_path(_BODY, skin, ink) + straps + bodice + "".join(
            dot(x, y, 1.7, light) for x, y in spots
        )
    if kind == "overalls":
        shirt = outlined_path(_BODY, "#f4efe2" if colour != "#f6f6f4" else "#f08a4b", ink)
        bib = outlined_path("M32 90H68V140H32Z", colour, ink)
        straps = outlined_path("M33 91L28 81L34 79L40 91ZM67 91L72 81L66 79L60 91Z", colour, ink)
        buttons = dot(37, 92, 2.2, "#f8d433", ink) + dot(63, 92, 2.2, "#f8d433", ink)
        return neck, shirt + bare + bib + straps + buttons
    raise ValueError(f"shoulders wear no {kind!r}")


def held_object(extra: str, hand: str) -> tuple[str, str]:
    """What lies behind the figure and what lies before it; `hand` is the colour of the hand as #rrggbb."""
    if not extra:
        return "", ""
    if extra == "with a gold medal":
        ribbon = outlined_path("M40 74L49 90L53 88L45 73ZM60 74L51 90L47 88L55 73Z", "#2c6be0", _INK)
        return "", ribbon + dot(50, 91, 6.4, "#f5b921", _INK) + dot(50, 91, 3.6, "#ffe27a")
    things = {
        "holding a cup": _cup,
        "holding a book": _book,
        "holding a balloon": _balloon,
        "holding a flower": _flower,
        "holding an ice cream": _ice_cream,
        "holding an umbrella": _umbrella,
        "holding a lantern": _lantern,
        "holding a magic wand": _wand,
    }
    if extra not in things:
        raise ValueError(f"{extra!r} is not one of: {', '.join(things)}, with a gold medal")
    behind, before = things[extra]()
    return behind, before + dot(80, 81, 5.2, hand, _INK)


def _cup() -> tuple[str, str]:
    cup = outlined_path("M70 62H88L86 80H72Z", "#ffffff", _INK) + line("M88 66Q95 67 93 72T86 76", _INK, 1.8)
    steam = line("M75 58Q73 55 75 52M82 58Q80 55 82 52", "#ffffff", 2)
    return "", cup + '<path d="M71 68H87.4L87 73H71.6Z" fill="#e0503a"/>' + steam


def _book() -> tuple[str, str]:
    pages = outlined_path("M68 60L92 57V80L68 84Z", "#ffffff", _INK)
    cover = outlined_path("M67 58L88 55V78L67 82Z", "#2f6690", _INK)
    return "", pages + cover + line("M71 63L84 61M71 68L80 66.6", "#ffe14d", 2)


def _balloon() -> tuple[str, str]:
    string = line("M80 81Q90 60 84 38", _INK, 1.3)
    ball = outlined_path("M84 8C93 8 97 15 97 22C97 31 90 36 84 39C78 36 71 31 71 22C71 15 75 8 84 8Z", "#ef4444", _INK)
    return string + ball + '<path d="M78 15Q75 18 75 23" stroke="#fff" stroke-width="2.4" fill="none"/>', ""


def _flower() -> tuple[str, str]:
    petals = "".join(
        dot(80 + 7 * math.sin(turn), 57 - 7 * math.cos(turn), 4.6, "#ff5d8f", _INK)
        for turn in (2 * math.pi * step / 5 for step in range(5))
    )
    stem = line("M80 82V60", "#2b9a4a", 2.6) + line("M80 74Q86 72 88 67", "#2b9a4a", 3)
    return "", stem + petals + dot(80, 57, 4, "#ffe14d")


def _ice_cream() -> tuple[str, str]:
    cone = outlined_path("M73 66H87L80 84Z", "#e2a755", _INK) + line("M76 67L82 77M84 67L78 77", "#b57a2c", 1)
    scoops = dot(76, 61, 5.6, "#f9a3cd", _INK) + dot(84, 61, 5.6, "#fff4d6", _INK)
    return "", cone + scoops + dot(80, 54, 5.6, "#8a5a33", _INK)


def _umbrella() -> tuple[str, str]:
    edge = "M44 20Q50 -6 74 -6T104 20Q97 15 92 20Q86 15 80 20Q74 15 68 20Q62 15 56 20Q50 15 44 20Z"
    canopy = outlined_path(edge, "#8636cf", _INK)
    stripes = '<path d="M74 -6Q66 4 68 20Q74 15 80 20Q82 4 74 -6Z" fill="#fff" fill-opacity=".75"/>'
    return canopy + stripes + line("M74 -9V-6", _INK, 2), line("M80 82L75 18", _INK, 2)


def _lantern() -> tuple[str, str]:
    glow = '<circle cx="80" cy="66" r="15" fill="#fff2a8" fill-opacity=".6"/>'
    box = outlined_path("M73 58H87L89 76H71Z", "#ffd75e", _INK) + outlined_path(
        "M72 55H88V59H72ZM70 75H90V79H70Z", "#4b5560", _INK
    )
    return "", glow + box + line("M80 59V75M75 55Q80 46 85 55", _INK, 1.5)


def _wand() -> tuple[str, str]:
    points = " ".join(
        f"{84 + (9 if step % 2 == 0 else 3.8) * math.sin(math.pi * step / 5):.1f},"
        f"{53 - (9 if step % 2 == 0 else 3.8) * math.cos(math.pi * step / 5):.1f}"
        for step in range(10)
    )
    star = f'<polygon points="{points}" fill="#ffe14d" stroke="{_INK}" stroke-width="1.2"/>'
    return "", line("M79 84L83 58", "#7b4a2a", 3) + star
