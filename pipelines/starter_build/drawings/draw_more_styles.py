"""Figures of the later styles: people, robots, plants, smileys and animals, all in a square of 100 by 100 units.

Art by DiceBear styles (see pipelines/models/starter/LICENCES.md), with faces, shoulders, clothes and marks of our own
where a style has none. `render_svg.py` lays `figure` over a scene.
"""

from __future__ import annotations

from pipelines.models.starter.vocabulary import COLOURS, CRITTER_COLOURS, HAIR_COLOURS, KINDS, SKINS
from pipelines.starter_build.drawings.animals import animal, animal_body
from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.drawings.avatar import avatar, unit_square
from pipelines.starter_build.drawings.costume import creature_clothes
from pipelines.starter_build.drawings.faces import face, for_expression
from pipelines.starter_build.drawings.svg_shapes import joined_line
from pipelines.starter_build.drawings.torso import torso

_INK = "#1e293b"
_ADVENTURER_FACES = {  # eyes, eyebrows, mouth ("" is one of our own)
    "happy": ("variant26", "variant10", ""),
    "laughing": ("variant19", "variant10", "variant28"),
    "sad": ("variant16", "variant10", ""),
    "angry": ("variant12", "variant01", "variant11"),
    "surprised": ("variant03", "variant09", "variant15"),
    "sleepy": ("variant20", "variant10", ""),
    "winking": ("variant22", "variant10", "variant01"),
    "worried": ("variant08", "variant15", ""),
}
_ADVENTURER_MOUTHS = {
    "happy": "M-62 -30Q0 60 62 -30",
    "sad": "M-48 34Q0 -46 48 34",
    "sleepy": "M-34 8H34",
    "worried": "M-60 10Q-40 -24 -20 10T20 10T60 10",
}
_MICAH_FACES = {  # eyes and mouth of the style, "" for ours
    "happy": ("eyes", "smile"),
    "laughing": ("smiling", "laughing"),
    "sad": ("eyes", "frown"),
    "angry": ("", "frown"),
    "surprised": ("", "surprised"),
    "sleepy": ("", ""),
    "winking": ("", "smirk"),
    "worried": ("round", "nervous"),
}
_SPROUT_FACES = {
    "happy": ("round", "smile"),
    "laughing": ("happy", "grin"),
    "sad": ("round", "frown"),
    "angry": ("angry", "tooth"),
    "surprised": ("wide", "open"),
    "sleepy": ("closedLine", "line"),
    "winking": ("wink", "tongue"),
    "worried": ("sideeye", "wavy"),
}
_MOOD_FACES = {
    "happy": ("pupils", "smile"),
    "laughing": ("happy", "laugh"),
    "sad": ("pupils", "frown"),
    "angry": ("angry", "teeth"),
    "surprised": ("tallPupils", "gasp"),
    "sleepy": ("closed", "line"),
    "winking": ("wink", "tongue"),
    "worried": ("lookSide", "wavy"),
}
_LAMPS = {
    "green": "#5df08a",
    "blue": "#5fd0ff",
    "yellow": "#ffe14d",
    "pink": "#ff9ad5",
    "orange": "#ffab4d",
    "white": "#ffffff",
}
_EDGES = {"bottts": (24, 76, 8.0), "sprouts": (23, 77, 30.0), "moods": (10, 90, 2.0), "animals": (22, 78, 4.0)}
"""Left and right edge at the neck and the offset of a hat, as `creature_clothes` takes them."""


def figure(identity: Identity, attributes: Attributes) -> str:
    """SVG elements of the figure; raises ValueError if its style has no such clothes or expression."""
    if attributes.kind not in KINDS[identity.style]:
        worn = ", ".join(kind or "nothing" for kind in KINDS[identity.style])
        raise ValueError(f"clothes {attributes.clothes!r}: this style wears one of: {worn}")
    parts = {
        "adventurer": _adventurer,
        "micah": _micah,
        "bottts": _robot,
        "sprouts": _sprout,
        "moods": _mood,
        "animals": _animal,
    }
    return parts[identity.style](identity, attributes)


def hand_colour(identity: Identity) -> str:
    """The colour of the hand that holds something, #rrggbb."""
    return SKINS.get(identity.colour) or CRITTER_COLOURS[identity.colour]


def _adventurer(identity: Identity, attributes: Attributes) -> str:
    eyes, brows, mouth = for_expression(_ADVENTURER_FACES, attributes.expression)
    details = {"freckles": "freckles", "pink cheeks": "blush"}.get(identity.cheeks, "")
    head = avatar(
        "adventurer",
        {
            "skinColor": [SKINS[identity.colour]],
            "hairColor": [HAIR_COLOURS[identity.top_colour]],
            "hairVariant": identity.top,
            "eyesVariant": eyes,
            "eyebrowsVariant": brows,
            "mouthVariant": mouth or "variant02",
            "detailsProbability": 100 if details else 0,
            "detailsVariant": details or "blush",
            "earringsProbability": 0,
            "glassesProbability": 100 if identity.glasses else 0,
            "glassesVariant": "variant04" if identity.glasses == "round" else "variant02",
        },
        {"mouth": 1.35 if mouth else 0, "eyebrows": 1.1},
    )
    if not mouth:  # about the middle of the style's own mouth
        own = joined_line(_ADVENTURER_MOUTHS[attributes.expression], "#000000", 15)
        head += f'<g transform="translate(335 520) rotate(-4)">{own}</g>'
    behind, before = torso(attributes.kind, COLOURS[attributes.colour], SKINS[identity.colour], "#000000")
    return f'{behind}<g transform="translate(1 -7) scale(0.128)">{head}</g>{before}'


def _micah(identity: Identity, attributes: Attributes) -> str:
    eyes, mouth = for_expression(_MICAH_FACES, attributes.expression)
    head = avatar(
        "micah",
        {
            "baseColor": [SKINS[identity.colour]],
            "hairColor": [HAIR_COLOURS[identity.top_colour]],
            "hairVariant": identity.top,
            "eyesVariant": eyes or "eyes",
            "mouthVariant": mouth or "smirk",
            "eyebrowsVariant": "down" if attributes.expression in ("sad", "worried") else "up",
            "facialHairProbability": 100 if identity.beard else 0,
            "facialHairVariant": identity.beard or "scruff",
            "facialHairColor": [HAIR_COLOURS[identity.top_colour]],
            "earringsProbability": 0,
            "glassesProbability": 0,
            "earsVariant": "attached",
            "noseVariant": "curve",
        },
        {
            "mouth": 1.35 if mouth else 0,
            "eyes": 1.15 if eyes else 0,
            "clothes": 0,
            "eyebrows": 0 if attributes.expression == "angry" else 1.1,
        },
    )
    own = _micah_eyes(attributes.expression)
    if identity.glasses:  # those of the style hang on its eyes, which are not always there
        rim = 'fill="none" stroke="#262e33" stroke-width="6"'
        shape = '<circle cx="{}" cy="{}" r="27" {}/>' if identity.glasses == "round" else _SQUARE_RIM
        own += shape.format(159, 148, rim) + shape.format(222, 140, rim) + joined_line("M186 143L195 142", "#262e33", 6)
    behind, before = torso(attributes.kind, COLOURS[attributes.colour], SKINS[identity.colour], "#000000")
    return f'{behind}<g transform="translate(1 -3) scale(0.27)">{head}{own}</g>{before}'


_SQUARE_RIM = '<rect x="{0}" y="{1}" width="50" height="44" rx="6" transform="translate(-25 -22)" {2}/>'


def _micah_eyes(expression: str) -> str:
    """Eyes, brows and mouths that the style does not have."""
    dot = '<ellipse cx="{}" cy="{}" rx="{}" ry="{}" fill="{}" stroke="#000" stroke-width="4"/>'
    if expression == "angry":
        pupils = dot.format(159, 150, 8, 12, "#000") + dot.format(221, 141, 8, 12, "#000")
        return joined_line("M134 128L164 142M222 112L196 130", "#000", 8) + pupils
    if expression == "surprised":
        whites = dot.format(158, 148, 15, 19, "#fff") + dot.format(222, 140, 15, 19, "#fff")
        return whites + dot.format(158, 148, 5, 5, "#000") + dot.format(222, 140, 5, 5, "#000")
    if expression == "sleepy":
        return joined_line("M142 148Q158 162 174 145M206 140Q222 153 238 137M180 222H208", "#000", 6)
    if expression == "winking":
        return dot.format(159, 148, 8, 13, "#000") + joined_line("M240 128L210 139L240 146", "#000", 6)
    return ""


def _robot(identity: Identity, attributes: Attributes) -> str:
    sides = {"square": "square", "round": "round"}.get(identity.pattern, identity.pattern)
    colour = CRITTER_COLOURS[identity.colour]
    head = avatar(
        "bottts",
        {
            "baseColor": [colour],
            "headVariant": identity.body,
            "topVariant": identity.top,
            "sidesVariant": sides,
            "textureProbability": 0,
        },
        {"eyes": 0, "mouth": 0},
    )
    visor = f'<rect x="22" y="32" width="56" height="44" rx="13" fill="#14182b" stroke="{_INK}" stroke-width="1.5"/>'
    lit = f'<g transform="translate(50 47)">{face(attributes.expression, _LAMPS[identity.top_colour], "")}</g>'
    body = f'<path d="M38 84H62V92L88 100V140H12V100L38 92Z" fill="{colour}" stroke="{_INK}" stroke-opacity=".5"/>'
    behind, before = _worn("bottts", attributes)
    return behind + body + unit_square(head, "bottts") + visor + lit + before


def _sprout(identity: Identity, attributes: Attributes) -> str:
    eyes, mouth = for_expression(_SPROUT_FACES, attributes.expression)
    second = CRITTER_COLOURS[identity.top_colour]
    pot = avatar(
        "sprouts",
        {
            "potColor": [CRITTER_COLOURS[identity.colour]],
            "plantColor": ["#4fb86a"],
            "bloomColor": [second],
            "plantVariant": identity.top,
            "potVariant": identity.body,
            "patternProbability": 100 if identity.pattern else 0,
            "patternVariant": identity.pattern or "band",
            "cheeksProbability": 0,
            "eyesVariant": eyes,
            "mouthVariant": mouth,
            "animationVariant": "none",
        },
        {"eyes": 1.35, "mouth": 1.5},
    )
    behind, before = _worn("sprouts", attributes)
    return behind + f'<g transform="translate(8 -6) scale(.84)">{pot}</g>' + before


def _mood(identity: Identity, attributes: Attributes) -> str:
    eyes, mouth = for_expression(_MOOD_FACES, attributes.expression)
    smiley = avatar(
        "moods",
        {
            "faceColor": [CRITTER_COLOURS[identity.colour]],
            "faceVariant": identity.body,
            "eyesVariant": eyes,
            "mouthVariant": mouth,
            "cheeksProbability": 100 if identity.cheeks else 0,
            "animationVariant": "none",
        },
        {"eyes": 1.15, "mouth": 1.15},
    )
    behind, before = _worn("moods", attributes)
    under, over = _mood_top(identity.top, CRITTER_COLOURS[identity.top_colour])
    return behind + under + f'<g transform="translate(6 12) scale(.88)">{smiley}</g>' + over + before


def _mood_top(top: str, colour: str) -> tuple[str, str]:
    """What stands on a smiley, behind and before it."""
    ink = f'stroke="{_INK}" stroke-width="1.2" stroke-linejoin="round"'
    filled = f'fill="{colour}" {ink}'
    ball = f'<circle cx="{{}}" cy="{{}}" r="{{}}" {filled}/>'
    stalks = f'<path d="M40 24Q36 10 28 6M60 24Q64 10 72 6" stroke="{_INK}" stroke-width="2.4" fill="none"/>'
    behind = {
        "cat ears": f'<path d="M26 40L22 8L48 24ZM74 40L78 8L52 24Z" {filled}/>',
        "little horns": f'<path d="M26 26Q20 10 30 4Q32 14 42 20ZM74 26Q80 10 70 4Q68 14 58 20Z" {filled}/>',
        "tuft": f'<path d="M38 24Q30 6 44 10Q42 0 54 6Q64 0 60 24Z" {filled}/>',
        "leaf": f'<path d="M50 24V8Q66 -6 76 6Q66 16 50 14" {filled}/>',
        "feelers": stalks + ball.format(28, 6, 5) + ball.format(72, 6, 5),
    }
    before = {
        "bow": f'<path d="M66 17L52 8V27ZM66 17L80 8V27Z" {filled}/>' + ball.format(66, 17, 3.6),
        "halo": '<ellipse cx="50" cy="9" rx="22" ry="5.5" fill="none" stroke="#ffd23f" stroke-width="4"/>',
    }
    return behind.get(top, ""), before.get(top, "")


def _animal(identity: Identity, attributes: Attributes) -> str:
    coat = CRITTER_COLOURS[identity.colour]
    if attributes.kind in ("hoodie", "t-shirt", "sweater"):
        return "".join(torso(attributes.kind, COLOURS[attributes.colour], coat)) + animal(
            identity, attributes.expression
        )
    behind, before = _worn("animals", attributes)
    return behind + animal_body(identity) + animal(identity, attributes.expression) + before


def _worn(style: str, attributes: Attributes) -> tuple[str, str]:
    return creature_clothes(attributes.kind, COLOURS.get(attributes.colour, ""), _EDGES[style])
