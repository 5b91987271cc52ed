"""SVG of our own, worn or shown by the figures: creatures' clothes, glasses, mouths, tears, drops and sleep marks.

Every piece is in the units of its style (avataaars 280, toon-head 768, critters 100). Marks beside the face repeat
what the face says, because at 96 pixels a mouth is only a few pixels wide.
"""

from __future__ import annotations

EDGES = {
    "dome": (16, 84, 2.5),
    "block": (12, 88, 5.5),
    "tower": (28, 72, 2),
    "squat": (8, 92, 10),
    "blob": (14, 86, 2),
    "round": (10, 90, 8),
    "tilt": (22, 77, 2),
    "peak": (18, 82, 4),
    "bell": (17, 83, 2.5),
    "wedge": (22, 78, 2),
    "wedgeInv": (23, 77, 5.5),
    "steps": (14, 86, 3.5),
}
"""Left and right edge of each creature at the height of its neck, and the offset of what stands on its head."""
_INK = "#1e293b"
_MARKS = {
    "avataaars": (196, 62, 2.6),
    "toon-head": (566, 205, 7.2),
    "critters": (80, 25, 1.0),
    "adventurer": (86, 22, 1.0),
    "micah": (84, 22, 1.0),
    "bottts": (86, 22, 1.0),
    "sprouts": (86, 40, 1.0),
    "moods": (89, 20, 1.0),
    "animals": (90, 22, 1.0),
}
"""Where a mark stands beside the head, and its size."""
_TEARS = {
    "avataaars": None,
    "toon-head": (296, 455, 7.0),
    "critters": (33, 61, 1.0),
    "adventurer": (33, 56, 1.0),
    "micah": (42, 47, 0.9),
    "bottts": (31, 60, 0.9),
    "sprouts": (34, 66, 0.8),
    "moods": (31, 62, 1.0),
    "animals": (36, 58, 0.9),
}


def _shade(data: str) -> str:
    return f'<path d="{data}" fill="#000" fill-opacity=".18"/>'


def creature_clothes(kind: str, colour: str, edges: tuple[float, float, float]) -> tuple[str, str]:
    """What lies behind the body and what lies before it; `colour` as #rrggbb, `edges` as in `EDGES`."""
    left, right, rise = edges
    outline = f'stroke="{_INK}" stroke-opacity=".35" stroke-width="1"'
    if kind == "scarf":
        band = f"M{left - 2} 79Q50 88 {right + 2} 79V89Q50 98 {left - 2} 89Z"
        tail = f"M{left + 7} 88L{left + 20} 91V106H{left + 7}Z"
        fringe = _shade(f"M{left + 7} 89Q{left + 14} 93 {left + 20} 92V96Q{left + 12} 96 {left + 7} 92Z")
        paint = f'fill="{colour}" {outline}'
        return "", f'<path d="{tail}" {paint}/><path d="{band}" {paint}/>{fringe}'
    if kind == "bow tie":
        bow = "M50 85L31 76Q28 85 31 95L50 87L69 95Q72 85 69 76Z"
        knot = f'<rect x="45.5" y="80" width="9" height="11" rx="3" fill="{colour}" {outline}/>'
        folds = _shade("M42 81L50 86L42 90Z M58 81L50 86L58 90Z")
        return "", f'<path d="{bow}" fill="{colour}" {outline}/>{folds}{knot}'
    if kind == "cape":
        spread = f"M{left + 4} 68Q{left - 14} 84 {left - 16} 108H{right + 16}Q{right + 14} 84 {right - 4} 68Z"
        behind = f'<path d="{spread}" fill="{colour}" {outline}/>'
        collar = f'<path d="M{left - 1} 78Q50 89 {right + 1} 78V85Q50 96 {left - 1} 85Z" fill="{colour}" {outline}/>'
        flap = f"M{left - 1} 80Q{left + 14} 88 {left + 10} 108H{left - 6}Z"
        other = f"M{right + 1} 80Q{right - 14} 88 {right - 10} 108H{right + 6}Z"
        flaps = f'<path d="{flap}{other}" fill="{colour}" {outline}/>'
        return behind, flaps + collar + f'<circle cx="50" cy="87" r="4" fill="#ffd23f" {outline}/>'
    if kind == "party hat":
        base = rise + 27
        cone = f"M50 {base - 31}L66 {base}Q50 {base + 6} 34 {base}Z"
        stripe = f"M44 {base - 19}L56 {base - 19.5}L58.5 {base - 14.5}L41.5 {base - 14}Z"
        rim = f"M36.5 {base - 5}Q50 {base + 1} 63.5 {base - 5}L66 {base}Q50 {base + 6} 34 {base}Z"
        ball = f'<circle cx="50" cy="{base - 30}" r="4.2" fill="#fff" {outline}/>'
        light = f'<path d="{stripe}{rim}" fill="#fff" fill-opacity=".55"/>'
        return "", f'<path d="{cone}" fill="{colour}" {outline}/>{light}{ball}'
    return "", ""


def creature_pattern(pattern: str, colour: str, body: str) -> str:
    """Dots, stripes or a belly on the lower body, clipped to the creature's own outline."""
    left, right, _ = EDGES[body]
    pieces = {
        "": "",
        "dots": "".join(
            f'<circle cx="{x}" cy="{y}" r="3.6" fill="{colour}"/>'
            for x, y in ((left + 7, 66), (right - 7, 66), (left + 9, 78), (right - 9, 78), (50, 98), (36, 92), (64, 92))
        ),
        "stripes": f'<path d="M{left} 82H{right}V87H{left}ZM{left} 91H{right}V96H{left}Z'
        f'M{left} 64H{left + 9}V69H{left}ZM{right - 9} 64H{right}V69H{right - 9}Z" fill="{colour}"/>',
        "belly": f'<ellipse cx="50" cy="100" rx="{(right - left) * 0.33:.1f}" ry="20" fill="{colour}"/>',
    }
    pieces["pale belly"] = pieces["belly"].replace(colour, "#f3ecff")
    return f'<g clip-path="url(#dbcrb-{body})">{pieces[pattern]}</g>'


def creature_cheeks(kind: str, body: str) -> str:
    """Pink cheeks, or nothing for ""."""
    left, right, _ = EDGES[body]
    if not kind:
        return ""
    return "".join(f'<ellipse cx="{x}" cy="65" rx="6" ry="4" fill="#ff7fa8"/>' for x in (left + 11, right - 11))


def toon_mouth(expression: str) -> str:
    """A mouth of our own for toon-head, where the style's mouths look too much alike."""
    lines = {
        "happy": "M322 494Q384 556 446 494",
        "sad": "M336 534Q384 486 432 534",
        "sleepy": "M362 516H406",
        "worried": "M330 516Q348 496 366 516T402 516T438 516",
    }
    return (
        f'<path d="{lines[expression]}" stroke="#4b2422" stroke-width="11" fill="none" stroke-linecap="round" '
        'stroke-linejoin="round"/>'
    )


def toon_extras(kind: str) -> str:
    """Round glasses or golden earrings for toon-head."""
    if kind == "round":
        rims = "".join(f'<circle cx="{x}" cy="410" r="62"/>' for x in (309, 459))
        return f'<g fill="none" stroke="#262e33" stroke-width="11">{rims}<path d="M371 400Q384 390 397 400"/></g>'
    if kind == "earrings":
        return "".join(
            f'<circle cx="{x}" cy="486" r="17" fill="#ffd23f" stroke="#8a5a10" stroke-width="5"/>' for x in (204, 564)
        )
    return ""


def marks(style: str, expression: str) -> str:
    """Tears for sad, a drop for worried, z's for sleepy, lines for surprised and angry; "" for the others."""
    x, y, size = _MARKS[style]
    place = f'<g transform="translate({x} {y}) scale({size})" stroke-linecap="round" stroke-linejoin="round">'
    if expression == "sleepy":
        letters = "M-5 3H2L-5 11H2M3 -9H9L3 -2H9"
        return (
            f'{place}<path d="{letters}" stroke="#fff" stroke-width="4.6"/>'
            f'<path d="{letters}" stroke="{_INK}" stroke-width="2"/></g>'
        )
    if expression == "worried":
        drop = "M0 -8Q7 2 5 7A5.6 5.6 0 0 1 -5 7Q-7 2 0 -8Z"
        return f'{place}<path d="{drop}" fill="#7fd4ff" stroke="{_INK}" stroke-width="1.3"/></g>'
    if expression == "angry":
        cross = "M-6 -2Q-2 -2 -2 -6M6 -2Q2 -2 2 -6M-6 2Q-2 2 -2 6M6 2Q2 2 2 6"
        return (
            f'{place}<path d="{cross}" stroke="#fff" stroke-width="4.4"/>'
            f'<path d="{cross}" stroke="#e0282f" stroke-width="2.4"/></g>'
        )
    if expression == "surprised":
        lines = "M-4 6L1 -1M-9 2L-8 -7M1 11L9 8"
        return (
            f'{place}<path d="{lines}" stroke="{_INK}" stroke-width="4"/>'
            f'<path d="{lines}" stroke="#ffe14d" stroke-width="2.2"/></g>'
        )
    tear = _TEARS[style]
    if expression == "sad" and tear:
        drop = "M0 -5Q4.5 2 3.4 4.6A3.8 3.8 0 0 1 -3.4 4.6Q-4.5 2 0 -5Z"
        return (
            f'<g transform="translate({tear[0]} {tear[1]}) scale({tear[2]})">'
            f'<path d="{drop}" fill="#7fd4ff" stroke="{_INK}" stroke-width=".9"/></g>'
        )
    return ""
