"""The words of the drawings: expressions, places, clothes, and what the figures of each style are made of.

The first three styles, twelve places and four framings are what two processor cores can teach (`FIRST_*`); the wide
vocabulary adds styles, held objects, places and framings for a GPU. `FIGURES` says, style by style, which traits
there are and how they are called; colours are given as the words and as #rrggbb.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EXPRESSIONS = ("happy", "laughing", "sad", "angry", "surprised", "sleepy", "winking", "worried")
PLACES = (
    "in a park",
    "on a beach",
    "in a kitchen",
    "in a library",
    "in a city at night",
    "in the snow",
    "in a forest",
    "in a desert",
    "on a stage",
    "in space",
    "on a ship",
    "in a field of flowers",
)
WIDE_PLACES = (
    *PLACES,
    "in a bedroom",
    "in the rain",
    "under water",
    "on a mountain",
    "in a castle",
    "at a market",
)
POSES = ("", "close-up", "from afar", "tilted")
WIDE_POSES = (*POSES, "on the left", "on the right")
POSE_WEIGHTS = (55, 18, 15, 12, 9, 9)
"""Of `WIDE_POSES` in order; of `POSES` the first four."""
EXTRAS = (
    "holding a cup",
    "holding a book",
    "holding a balloon",
    "holding a flower",
    "holding an ice cream",
    "holding an umbrella",
    "holding a lantern",
    "holding a magic wand",
    "with a gold medal",
)
"""What a look may show besides clothes; only in the wide vocabulary."""
COLOURS = {
    "red": "#e0282f",
    "orange": "#f5851f",
    "yellow": "#f8d433",
    "green": "#2b9a4a",
    "blue": "#2c6be0",
    "purple": "#8636cf",
    "pink": "#f77fb6",
    "white": "#f6f6f4",
    "grey": "#8b9198",
    "black": "#25262b",
    "brown": "#7b4a2a",
}
SKINS = {"fair-skinned": "#ffdcb8", "tanned": "#e3a673", "brown-skinned": "#ae6a38", "dark-skinned": "#7b5340"}
HAIR_COLOURS = {
    "black": "#221d1f",
    "brown": "#6f432f",
    "blond": "#e6c05c",
    "red": "#c4481c",
    "grey": "#a9a6a3",
    "white": "#f0eeea",
    "pink": "#f47fb4",
    "blue": "#4677dd",
}
TOPS = {
    "bigHair": "big wavy {} hair",
    "bob": "a {} bob",
    "bun": "{} hair in a bun",
    "curly": "big curly {} hair",
    "curvy": "long wavy {} hair",
    "dreads": "long {} dreadlocks",
    "dreads02": "frizzy {} hair",
    "frizzle": "a {} quiff",
    "fro": "a big {} afro",
    "longButNotTooLong": "shoulder-length {} hair",
    "miaWallace": "a {} bob with a fringe",
    "shaggy": "shaggy {} hair",
    "shavedSides": "long {} hair shaved at the sides",
    "shortCurly": "short curly {} hair",
    "shortFlat": "short {} hair",
    "shortWaved": "short wavy {} hair",
    "sides": "a bald head with {} hair at the sides",
    "straight02": "long straight {} hair",
    "straightAndStrand": "long {} hair with a fringe",
    "theCaesar": "very short {} hair",
    "hat": "a wide {} hat",
    "hijab": "a {} headscarf",
    "turban": "a {} turban",
    "winterHat02": "a {} woolly hat",
    "winterHat04": "a {} hat with cat ears",
}
"""Hair and headgear of avataaars, `{}` being the colour."""
HEADGEAR = ("hat", "hijab", "turban", "winterHat02", "winterHat04")
BEARDS = {"beardLight": "a stubbly beard", "beardMajestic": "a big beard", "moustacheMagnum": "a moustache"}
GLASSES = {"round": "round glasses", "prescription02": "square glasses"}
TOON_HAIRS = {
    "sideComed": "side-parted {} hair",
    "spiky": "spiky {} hair",
    "undercut": "a {} undercut",
    "bun": "{} hair in a bun",
    "sideComed longStraight": "long straight {} hair",
    "sideComed longWavy": "long wavy {} hair",
    "sideComed neckHigh": "neck-length {} hair",
    "spiky longWavy": "long wavy {} hair, spiky on top",
    "bun longStraight": "long {} hair with a bun",
    "spiky shoulderHigh": "shoulder-length {} hair, spiky on top",
}
"""Front hair and rear hair of toon-head, `{}` being the colour."""
TOON_BEARDS = {"fullBeard": "a full beard", "longBeard": "a long beard", "moustacheTwirl": "a curled moustache"}
BODIES = {
    "dome": "dome-shaped",
    "block": "square",
    "tower": "tall",
    "squat": "wide",
    "blob": "lumpy",
    "round": "round",
    "tilt": "lopsided",
    "peak": "pointy-headed",
    "bell": "bell-shaped",
    "wedge": "narrow-headed",
    "wedgeInv": "broad-headed",
    "steps": "stepped",
}
CRITTER_TOPS = {
    "horns": "{} horns",
    "antennae": "two {} antennae",
    "antenna": "one {} antenna",
    "earsRound": "round {} ears",
    "earsPointy": "pointed {} ears",
    "earsDroop": "{} rabbit ears",
    "spikes": "{} spikes",
    "fin": "a {} fin",
    "sprout": "{} leaves on top",
    "bobble": "a {} pompom",
    "": "",
}
CRITTER_COLOURS = {
    "red": "#f0625d",
    "orange": "#fb9a4b",
    "yellow": "#fbd443",
    "green": "#6fd08c",
    "blue": "#62b5f6",
    "purple": "#b48cf2",
    "pink": "#f9a3cd",
    "white": "#eef1f4",
    "grey": "#a9b2bd",
    "brown": "#b98558",
}
CRITTER_EYES = ("round", "bigPupils")
PATTERNS = {"": "", "dots": "{} dots", "stripes": "{} stripes", "belly": "a {} belly"}
RARE_HAIR_COLOURS = {"chestnut": "#a55728", "silver": "#dfe2e8"}
RARE_TRAITS = {"hornsIn": "upright {} horns", "pale belly": "a pale belly"}
"""For hand-chosen figures only: no random identity has them, so training never shows them."""
FIRST_STYLES = ("avataaars", "toon-head", "critters")
"""The styles of the first weights; their random identities are fixed by `random_identity` of the build."""
TORSO_KINDS = ("hoodie", "t-shirt", "sweater", "jacket", "dress", "overalls")
NECK_KINDS = ("scarf", "bow tie", "party hat", "cape", "")
"""Worn by those without shoulders; "" is nothing."""


def article(word: str) -> str:
    """ "an" before a vowel, else "a"."""
    return "an" if word[:1] in "aeiou" else "a"


def clothes_phrase(colour: str, kind: str) -> str:
    """The words for clothes: "an orange hoodie", "blue overalls", "" for no clothes."""
    if not kind:
        return ""
    return f"{colour} {kind}" if kind == "overalls" else f"{article(colour)} {colour} {kind}"


@dataclass(frozen=True)
class Figures:
    """What the figures of one style are made of; names of parts -> words, `{}` being the second colour."""

    noun: str
    """The bare figure, with {colour} and {body}, behind an article."""
    family: str
    """person, creature, robot, plant, smiley or animal."""
    clothes: tuple[str, ...]
    colours: tuple[str, ...]
    """Skin of a person, body of the others."""
    tops: dict[str, str]
    top_colours: tuple[str, ...]
    bodies: dict[str, str] = field(default_factory=lambda: {"": ""})
    patterns: dict[str, str] = field(default_factory=lambda: {"": ""})
    beards: dict[str, str] = field(default_factory=lambda: {"": ""})
    glasses: tuple[str, ...] = ("",)
    """Drawn evenly, so "" may stand several times."""
    cheeks: tuple[str, ...] = ("",)


_CREATURE_COLOURS = tuple(CRITTER_COLOURS)
FIGURES = {
    "avataaars": Figures(
        "{colour} person",
        "person",
        ("hoodie", "sweater", "blazer", "overalls", "t-shirt"),
        tuple(SKINS),
        TOPS,
        tuple(HAIR_COLOURS),
        beards=BEARDS,
    ),
    "toon-head": Figures(
        "{colour} person",
        "person",
        ("shirt", "turtleneck", "jacket", "dress", "t-shirt"),
        tuple(SKINS),
        TOON_HAIRS,
        tuple(HAIR_COLOURS),
        beards=TOON_BEARDS,
    ),
    "critters": Figures(
        "{colour} {body} creature",
        "creature",
        NECK_KINDS,
        _CREATURE_COLOURS,
        CRITTER_TOPS,
        _CREATURE_COLOURS,
        bodies=BODIES,
        patterns=PATTERNS,
    ),
    "adventurer": Figures(
        "{colour} person",
        "person",
        TORSO_KINDS,
        tuple(SKINS),
        {
            "short01": "short {} hair",
            "short03": "short curly {} hair",
            "short05": "{} hair in a small bun",
            "short07": "wavy {} hair",
            "short11": "a {} undercut",
            "short15": "a {} mohawk",
            "short16": "wild spiky {} hair",
            "short12": "one {} curl on a bald head",
            "long02": "a {} bob with a curl",
            "long05": "a {} bob",
            "long07": "long {} hair with a fringe",
            "long09": "long wavy {} hair",
            "long10": "{} hair in a bun",
            "long15": "two high {} pigtails",
            "long16": "a {} braid",
            "long19": "a {} ponytail",
            "long22": "big curly {} hair",
            "long23": "two {} buns",
        },
        tuple(HAIR_COLOURS),
        glasses=("", "", "", "round", "prescription02"),
        cheeks=("", "", "", "", "", "freckles", "pink cheeks"),
    ),
    "micah": Figures(
        "{colour} person",
        "person",
        TORSO_KINDS,
        tuple(SKINS),
        {
            "fonze": "a {} quiff",
            "dannyPhantom": "swept-back {} hair",
            "dougFunny": "three {} hairs on a bald head",
            "full": "long side-parted {} hair",
            "mrClean": "a bald head",
            "mrT": "a {} mohawk",
            "pixie": "a {} bob with a long strand",
            "turban": "a {} turban",
        },
        tuple(HAIR_COLOURS),
        glasses=("", "", "", "round", "prescription02"),
        beards={"": "", "beard": "a full beard", "scruff": "a stubbly beard"},
    ),
    "bottts": Figures(
        "{colour} {body} robot",
        "robot",
        NECK_KINDS,
        _CREATURE_COLOURS,
        {
            "antenna": "an antenna",
            "antennaCrooked": "a crooked antenna",
            "bulb01": "a light bulb on top",
            "horns": "horns",
            "lights": "three lamps on top",
            "pyramid": "a pointed hat",
            "radar": "a radar dish",
        },
        ("green", "blue", "yellow", "pink", "orange", "white"),
        bodies={
            "round01": "round",
            "round02": "oval",
            "square01": "square",
            "square03": "tapered",
            "square04": "bell-shaped",
        },
        patterns={
            "square": "{} eyes",
            "round": "{} eyes and round ears",
            "cables01": "{} eyes and cables",
            "antenna01": "{} eyes and a side antenna",
        },
    ),
    "sprouts": Figures(
        "plant in {article} {colour} {body} pot",
        "plant",
        ("scarf", "bow tie", "cape", ""),
        _CREATURE_COLOURS,
        {
            "sprout": "one big leaf",
            "seedling": "two leaves",
            "cactus": "a cactus",
            "ball": "a round cactus",
            "bush": "a bush",
            "tall": "tall leaves",
            "flower": "a {} flower",
            "tulip": "a {} tulip",
            "palm": "palm leaves",
            "grass": "grass",
            "buds": "{} buds",
        },
        ("red", "orange", "yellow", "purple", "pink", "white", "blue"),
        bodies={
            "taper": "tapered",
            "cylinder": "straight",
            "bowl": "bowl-shaped",
            "round": "round",
            "bag": "baggy",
            "rim": "rimmed",
        },
        patterns={"": "", "band": "a band", "dots": "dots", "stripes": "stripes", "chevron": "a zigzag"},
    ),
    "moods": Figures(
        "{colour} {body} smiley",
        "smiley",
        ("scarf", "bow tie", "party hat", ""),
        _CREATURE_COLOURS,
        {
            "": "",
            "cat ears": "{} cat ears",
            "little horns": "little {} horns",
            "bow": "{article} {} bow on the head",
            "tuft": "{article} {} tuft of hair",
            "leaf": "{article} {} leaf on top",
            "halo": "a halo",
            "feelers": "two {} feelers",
        },
        _CREATURE_COLOURS,
        bodies={
            "circle": "round",
            "squircle": "rounded",
            "softSquare": "square",
            "wide": "wide",
            "tall": "tall",
            "hexagon": "six-sided",
            "bean": "bean-shaped",
            "blob": "lumpy",
        },
        cheeks=("", "", "pink cheeks"),
    ),
    "animals": Figures(
        "{colour} {body}",
        "animal",
        (*TORSO_KINDS[:3], "scarf", "bow tie", ""),
        _CREATURE_COLOURS,
        {
            "": "",
            "ear bow": "{article} {} bow on the ear",
            "cap": "{article} {} cap",
            "tuft": "{article} {} tuft of hair",
        },
        _CREATURE_COLOURS,
        bodies={name: name for name in ("cat", "dog", "rabbit", "bear", "fox", "mouse", "pig", "frog", "owl")},
        patterns={"": "", "stripes": "{} stripes", "spots": "{} spots", "patch": "{article} {} patch round one eye"},
        glasses=("", "", "", "round"),
        cheeks=("", "", "pink cheeks"),
    ),
}
"""All styles; the first three also have random rules of their own, which are older."""
ALL_STYLES = tuple(FIGURES)
KINDS = {style: figures.clothes for style, figures in FIGURES.items()}
"""Kinds of clothes of each style; the empty string is nothing."""
