"""Render an identity with given attributes, from openly licensed avatar art over scenes of our own.

`render_image` lays a figure (a DiceBear style with accessories and marks of our own), rasterised by resvg, over a
scene. The same identity and attributes always give the same pixels. Licences of the art are in
pipelines/models/starter/LICENCES.md.
"""

from __future__ import annotations

import io
from functools import lru_cache

import resvg_py
from PIL import Image

from pipelines.models.starter.vocabulary import (
    COLOURS,
    CRITTER_COLOURS,
    FIRST_STYLES,
    HAIR_COLOURS,
    HEADGEAR,
    RARE_HAIR_COLOURS,
    SKINS,
)
from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.drawings.avatar import avatar
from pipelines.starter_build.drawings.costume import (
    EDGES,
    creature_cheeks,
    creature_clothes,
    creature_pattern,
    marks,
    toon_extras,
    toon_mouth,
)
from pipelines.starter_build.drawings.draw_more_styles import figure as wide_figure
from pipelines.starter_build.drawings.draw_more_styles import hand_colour
from pipelines.starter_build.drawings.faces import for_expression
from pipelines.starter_build.drawings.scenes import SCENES
from pipelines.starter_build.drawings.torso import held_object

_AVATAAARS_FACES = {  # eyes, eyebrows, mouth
    "happy": ("default", "defaultNatural", "twinkle"),
    "laughing": ("happy", "raisedExcitedNatural", "smile"),
    "sad": ("cry", "sadConcernedNatural", "sad"),
    "angry": ("squint", "angryNatural", "grimace"),
    "surprised": ("surprised", "raisedExcited", "disbelief"),
    "sleepy": ("closed", "flatNatural", "serious"),
    "winking": ("wink", "upDownNatural", "smile"),
    "worried": ("side", "sadConcernedNatural", "concerned"),
}
_TOON_FACES = {  # "" is a mouth of our own
    "happy": ("happy", "happy", ""),
    "laughing": ("bow", "happy", "laugh"),
    "sad": ("humble", "sad", ""),
    "angry": ("happy", "angry", "angry"),
    "surprised": ("wide", "raised", "agape"),
    "sleepy": ("humble", "neutral", ""),
    "winking": ("wink", "raised", "laugh"),
    "worried": ("wide", "sad", ""),
}
_CRITTER_FACES = {  # eyes ("" is the identity's own) and mouth
    "happy": ("", "smile"),
    "laughing": ("happy", "grin"),
    "sad": ("", "frown"),
    "angry": ("angry", "zigzag"),
    "surprised": ("wide", "open"),
    "sleepy": ("closedLine", "dot"),
    "winking": ("wink", "tongue"),
    "worried": ("", "wavy"),
}
_AVATAAARS_CLOTHES = {
    "hoodie": "hoodie",
    "sweater": "collarAndSweater",
    "blazer": "blazerAndShirt",
    "overalls": "overall",
    "t-shirt": "shirtScoopNeck",
}
_TOON_CLOTHES = {
    "shirt": "shirt",
    "turtleneck": "turtleNeck",
    "jacket": "openJacket",
    "dress": "dress",
    "t-shirt": "tShirt",
}
_FRAMES: dict[
    str, dict[str, tuple[float, float, float, float]]
] = {  # middle x, middle y and width of what is shown, in the figure's own units; turn in degrees
    "avataaars": {
        "": (140, 140, 252, 0),
        "close-up": (140, 130, 198, 0),
        "from afar": (140, 102, 356, 0),
        "tilted": (144, 130, 248, 14),
    },
    "toon-head": {
        "": (384, 412, 700, 0),
        "close-up": (384, 425, 550, 0),
        "from afar": (384, 370, 990, 0),
        "tilted": (400, 420, 740, 14),
    },
    "critters": {
        "": (50, 51, 110, 0),
        "close-up": (50, 56, 88, 0),
        "from afar": (50, 32, 148, 0),
        "tilted": (54, 44, 108, 14),
    },
    "wide": {
        "": (50, 50, 100, 0),
        "close-up": (50, 45, 80, 0),
        "from afar": (50, 30, 140, 0),
        "tilted": (54, 45, 104, 14),
    },
}
_NECKS = {"avataaars": (140, 185), "toon-head": (384, 600), "critters": (50, 80), "wide": (50, 80)}


def render_image(identity: Identity, attributes: Attributes, px: int = 96) -> Image.Image:
    """The image, RGB and `px` pixels square.

    Raises ValueError if the attributes name an expression, clothes, place, pose or extra that the style does not have.
    """
    return compose(attributes.place, rasterise(figure_elements(identity, attributes), px))


def figure_layer(identity: Identity, attributes: Attributes, px: int) -> Image.Image:
    """The figure alone, RGBA and transparent around it; raises ValueError as `render_image` does."""
    return rasterise(figure_elements(identity, attributes), px)


def compose(place: str, figure: Image.Image) -> Image.Image:
    """A figure's layer (RGBA, square) over the scene of a place, RGB; raises ValueError on an unknown place."""
    return Image.alpha_composite(_scene_image(place, figure.width), figure).convert("RGB")


def svg(identity: Identity, attributes: Attributes) -> str:
    """The whole image as SVG text; raises ValueError as `render_image` does."""
    return _document(scene_elements(attributes.place) + figure_elements(identity, attributes))


def figure_elements(identity: Identity, attributes: Attributes) -> str:
    """The figure with what it holds, moved, scaled and turned into the square of 100 by 100 units."""
    kind = identity.style if identity.style in FIRST_STYLES else "wide"
    x, y, width, _ = _FRAMES[kind][""]
    figure = _figure(identity, attributes)
    if attributes.extra:  # its units are the square that the figure fills without a pose
        behind, before = held_object(attributes.extra, hand_colour(identity))
        side = -1 if attributes.pose == "on the right" else 1  # always towards the middle of the image
        square = f"translate({x - side * width / 2} {y - width / 2}) scale({side * width / 100} {width / 100})"
        figure = f'<g transform="{square}">{behind}</g>{figure}<g transform="{square}">{before}</g>'
    return framed(figure, attributes.pose, kind)


def framed(figure: str, pose: str, kind: str = "wide") -> str:
    """SVG elements in the units of `kind` (a key of `_FRAMES`), moved as the pose says into 100 by 100 units."""
    frames = _FRAMES[kind]
    x, y, width, turn = frames[""]
    sides = {"on the left": 1, "on the right": -1}
    if pose in sides:  # a little smaller, the lower edge where it was
        x, y, width, turn = x + sides[pose] * 0.2 * width, y - 0.06 * width, 1.12 * width, 0
    elif pose in frames:
        x, y, width, turn = frames[pose]
    else:
        poses = ", ".join(repr(known) for known in (*frames, *sides))
        raise ValueError(f"pose {pose!r} is not one of: {poses}")
    neck = " ".join(str(value) for value in _NECKS[kind])
    move = f"translate(50 50) scale({100 / width:.5f}) translate({-x} {-y}) rotate({turn} {neck})"
    return f'<g transform="{move}">{figure}</g>'


def scene_elements(place: str) -> str:
    if place not in SCENES:
        raise ValueError(f"place {place!r} is not one of: {', '.join(SCENES)}")
    return SCENES[place]


def _document(elements: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" fill="none">{elements}</svg>'


def rasterise(elements: str, px: int) -> Image.Image:
    """SVG elements as an RGBA image, transparent where nothing is drawn."""
    png = resvg_py.svg_to_bytes(svg_string=_document(elements), width=px, height=px, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


@lru_cache(maxsize=64)
def _scene_image(place: str, px: int) -> Image.Image:
    """The scene alone: the same for every figure, so it is rasterised once."""
    return rasterise(scene_elements(place), px)


def _figure(identity: Identity, attributes: Attributes) -> str:
    """The figure with its extras, in the units of its style."""
    if attributes.colour and attributes.colour not in COLOURS:
        raise ValueError(f"clothes {attributes.clothes!r}: the colour is not one of: {', '.join(COLOURS)}")
    first = {"avataaars": _avataaars, "toon-head": _toon, "critters": _critter}
    return first.get(identity.style, wide_figure)(identity, attributes) + marks(identity.style, attributes.expression)


def _avataaars(identity: Identity, attributes: Attributes) -> str:
    eyes, brows, mouth = for_expression(_AVATAAARS_FACES, attributes.expression)
    hair = (COLOURS if identity.top in HEADGEAR else HAIR_COLOURS | RARE_HAIR_COLOURS)[identity.top_colour]
    beard = hair if identity.top not in HEADGEAR else HAIR_COLOURS["brown"]
    return avatar(
        "avataaars",
        {
            "skinColor": [SKINS[identity.colour]],
            "topVariant": identity.top,
            "hairColor": [hair],
            "hatColor": [hair],
            "facialHairProbability": 100 if identity.beard else 0,
            "facialHairColor": [beard],
            "facialHairVariant": identity.beard or "beardLight",
            "accessoriesProbability": 100 if identity.glasses else 0,
            "accessoriesColor": ["#262e33"],
            "accessoriesVariant": identity.glasses or "round",
            "clothesVariant": _clothes(_AVATAAARS_CLOTHES, attributes),
            "clothesColor": [COLOURS[attributes.colour]],
            "eyesVariant": eyes,
            "eyebrowsVariant": brows,
            "mouthVariant": mouth,
        },
        {"eyes": 1.15, "mouth": 1.5 if mouth == "twinkle" else 1.25, "eyebrows": 1.1},
    )


def _toon(identity: Identity, attributes: Attributes) -> str:
    eyes, brows, mouth = for_expression(_TOON_FACES, attributes.expression)
    front, _, rear = identity.top.partition(" ")
    figure = avatar(
        "toon-head",
        {
            "skinColor": [SKINS[identity.colour]],
            "hairColor": [(HAIR_COLOURS | RARE_HAIR_COLOURS)[identity.top_colour]],
            "hairVariant": front,
            "rearHairProbability": 100 if rear else 0,
            "rearHairVariant": rear or "longWavy",
            "beardProbability": 100 if identity.beard else 0,
            "beardVariant": identity.beard or "fullBeard",
            "clothesVariant": _clothes(_TOON_CLOTHES, attributes),
            "clothesColor": [COLOURS[attributes.colour]],
            "eyesVariant": eyes,
            "eyebrowsVariant": brows,
            "mouthVariant": mouth or "smile",
        },
        {"mouth": 1.35 if mouth else 0},
    )
    return figure + ("" if mouth else toon_mouth(attributes.expression)) + toon_extras(identity.glasses)


def _critter(identity: Identity, attributes: Attributes) -> str:
    eyes, mouth = for_expression(_CRITTER_FACES, attributes.expression)
    if attributes.kind not in ("", "scarf", "bow tie", "party hat", "cape"):
        worn = "a scarf, a bow tie, a party hat, a cape or nothing"
        raise ValueError(f"clothes {attributes.clothes!r}: a creature wears {worn}")
    figure = avatar(
        "critters",
        {
            "bodyVariant": identity.body,
            "bodyColor": [CRITTER_COLOURS[identity.colour]],
            "accentColor": [CRITTER_COLOURS[identity.top_colour]],
            "topProbability": 100 if identity.top else 0,
            "topVariant": identity.top or "horns",
            "patternProbability": 0,
            "cheeksProbability": 0,
            "eyesVariant": eyes or identity.eyes,
            "mouthVariant": mouth,
            "animationVariant": "none",
        },
        {"mouth": 1.5 if attributes.expression in ("surprised", "sleepy") else 1.15, "eyes": 1.1},
    )
    colour = COLOURS.get(attributes.colour, "")
    behind, before = creature_clothes(attributes.kind, colour, EDGES[identity.body])
    pattern = creature_pattern(identity.pattern, CRITTER_COLOURS[identity.top_colour], identity.body)
    return behind + figure + creature_cheeks(identity.cheeks, identity.body) + pattern + before


def _clothes(kinds: dict[str, str], attributes: Attributes) -> str:
    if attributes.kind not in kinds:
        raise ValueError(f"clothes {attributes.clothes!r}: this style wears one of: {', '.join(kinds)}")
    return kinds[attributes.kind]
