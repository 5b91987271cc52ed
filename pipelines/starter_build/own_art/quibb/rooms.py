"""The places indoors of Quibb's pictures: a library, a kitchen, a stage, seen from where a boot stands.

Flat hard-edged shapes without outlines that fill the square of 100 by 100 units; the floor begins above 78.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.starter_build.own_art.svg import (
    circle,
    darker,
    ellipse,
    line,
    mirrored,
    mixed,
    path,
    placed,
    rect,
)


def _spine(x: float, top: float, width: float, bottom: float, colour: str) -> str:
    """A book that stands: a lit and a shaded side, two gilded bands."""
    height = bottom - top
    bands = "".join(rect(x, top + height * at, width, 1.1, "#f2cf6b") for at in (0.14, 0.2, 0.8))
    return rect(x, top, width, height, colour) + rect(x, top, width * 0.3, height, darker(colour, 0.3)) + bands


def _library() -> str:
    colours = ("#c0413f", "#2f78a8", "#e0952f", "#3f8f62", "#7b4fa8", "#d6c9a8", "#b5652f", "#4a5fa0")
    out = rect(0, 0, 100, 100, "#33202c")
    for row, bottom in enumerate((22, 48, 74)):
        x = 2.0
        for at in range(12):
            width = (5.6, 7.6, 6.4, 9.2)[(at * 3 + row) % 4]
            top = bottom - (15, 19, 17, 20.5, 13)[(at * 2 + row * 3) % 5]
            out += _spine(x, top, width, bottom, mixed(colours[(at * 5 + row * 3) % 8], "#33202c", 0.22))
            x += width + 0.9
        out += rect(0, bottom, 100, 3.4, "#8a5630") + rect(0, bottom + 2.2, 100, 1.4, "#5c3620")
    lamp_light = path("M84 20L46 78H100V30Z", "#ffd98a", fill_opacity=0.22)
    desk = rect(0, 76, 100, 24, "#7a4526") + path("M0 76H100V80H0Z", "#a3633a") + path("M8 84H92L97 100H3Z", "#2f6b52")
    desk += line("M10 86H90L94.4 100M10 86L5.6 100", "#d9b45a", 0.8)
    stack = rect(-3, 70, 25, 7, "#c0413f") + rect(-3, 75, 25, 2, "#f4ead0") + rect(-1, 63.4, 20, 6.6, "#2f78a8")
    stack += rect(-1, 68, 20, 1.6, "#f4ead0") + rect(-4, 58, 21, 5.4, "#e0952f") + rect(-4, 61.6, 21, 1.4, "#f4ead0")
    lamp = path("M84 6L95 22H75Z", "#3f8f62") + path("M84 6L88 22H75Z", "#2f6b52") + rect(84, 22, 2.4, 52, "#d9b45a")
    lamp += ellipse(85, 76.4, 9, 2.4, "#b58a3a") + ellipse(85, 22, 10, 1.6, "#fff2c4")
    return out + lamp_light + desk + stack + lamp


def _kitchen() -> str:
    wall = rect(0, 0, 100, 100, "#ffe9c2") + "".join(
        rect(x, y, 11.4, 11.4, "#f6d79a" if (x + y) % 24 else "#f9e0b0")
        for x in range(0, 100, 12)
        for y in range(30, 70, 12)
    )
    window = (
        rect(31, -6, 38, 34, "#ffffff")
        + rect(33.5, -6, 33, 31, "#8fd0f0")
        + path("M33.5 25L50 -6H58L41 25Z", "#b6e2f7")
    )
    window += rect(49, -6, 2, 31, "#ffffff") + path("M29 -6H43Q41 12 29 18ZM71 -6H57Q59 12 71 18Z", "#e8604c")
    rail = line("M0 12H26M74 12H100", "#6b5a5a", 1.6)
    pan = (
        line("M0 0V8", "#6b5a5a", 1.4)
        + circle(0, 15, 7.5, "#4a5568")
        + path("M-7.5 15A7.5 7.5 0 0 0 2 22.2A9 9 0 0 1 -4 8.8A7.5 7.5 0 0 0 -7.5 15Z", "#343d4e")
    )
    ladle = line("M0 0V15", "#b0793f", 1.6) + ellipse(0, 17.5, 4, 3.4, "#c9ced6") + ellipse(-1, 18, 2.6, 2.2, "#9aa2ae")
    counter = (
        rect(0, 74, 100, 26, "#c98a52") + rect(0, 74, 100, 4, "#e3ab74") + line("M0 86H100M0 94H100", "#b0743f", 0.8)
    )
    pot = (
        path("M0 0H30V18Q30 24 24 24H6Q0 24 0 18Z", "#d8413b")
        + path("M0 0H9V24H6Q0 24 0 18Z", "#a82a33")
        + rect(-2, -3, 34, 4, "#f06a5c")
    )
    pot += line("M32 6Q38 6 36 12M-2 6Q-8 6 -6 12", "#a82a33", 2.4) + circle(15, -5, 2.4, "#f4d9b0")
    jar = (
        rect(0, 0, 15, 20, "#bfe3e0", rx=3)
        + rect(0, 8, 15, 12, "#f0b24a", rx=3)
        + rect(-0.6, -3.4, 16.2, 4.4, "#b0793f", rx=1.4)
        + rect(2, 2, 2, 15, "#ffffff", rx=1, fill_opacity=0.7)
    )
    return (
        wall
        + window
        + rail
        + placed(pan, 9, 12)
        + placed(ladle, 21, 12)
        + placed(ladle, 80, 12)
        + placed(pan, 92, 12)
        + counter
        + placed(pot, 70, 54, 0.95)
        + placed(jar, 4, 57)
    )


def _stage() -> str:
    back = (
        rect(0, 0, 100, 100, "#4a1530")
        + path("M30 0H70V76H30Z", "#6b1f40")
        + line("M38 0V76M46 0V76M54 0V76M62 0V76", "#571935", 2)
    )
    beam = path("M50 -10L16 82H84Z", "#fff0b0", fill_opacity=0.28) + path(
        "M50 -10L28 82H72Z", "#fff0b0", fill_opacity=0.3
    )
    side = path("M0 0H32Q31 30 22 50Q16 66 18 78H0Z", "#d0283c") + path(
        "M6 0H13Q13 40 7 78H2Q7 40 6 0ZM20 0H26Q25 34 15 60L12 78H10Q20 40 20 0Z", "#a31a33"
    )
    valance = "".join(
        path(f"M{x} 0H{x + 20}Q{x + 18} 15 {x + 10} 15T{x} 0Z", "#e8384a")
        + path(f"M{x} 0H{x + 6}Q{x + 5} 11 {x + 9} 15Q{x + 2} 13 {x} 0Z", "#b51f38")
        + line(f"M{x + 1} 5Q{x + 3} 15.5 {x + 10} 15.5T{x + 19} 5", "#ffd43b", 1.1)
        for x in range(0, 100, 20)
    )
    floor = (
        path("M0 76H100V100H0Z", "#b5713f")
        + "".join(line(f"M{50 + (x - 50) * 0.7} 76L{x} 100", "#94562c", 1) for x in range(-10, 120, 12))
        + rect(0, 75, 100, 2.2, "#d6935a")
    )
    floor += ellipse(50, 89, 38, 7.5, "#ffe9a8", fill_opacity=0.5)
    lights = "".join(
        path(f"M{x - 4} 100V96A4 4 0 0 1 {x + 4} 96V100Z", "#ffe27a")
        + path(f"M{x - 4} 100V96A4 4 0 0 1 {x - 1} 92.4V100Z", "#f0b23a")
        for x in (8, 92)
    )
    return back + beam + side + mirrored(side) + valance + floor + lights


ROOMS: dict[str, Callable[[], str]] = {
    "in a kitchen": _kitchen,
    "in a library": _library,
    "on a stage": _stage,
}
"""Place -> SVG elements."""
