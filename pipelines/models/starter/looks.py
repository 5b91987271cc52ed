"""What a drawing shows, in words: who it is (`Identity`, never changes) and how they look today (`Look`).

The vocabulary is fixed and small, so that two processor cores can teach it. Whole identities and whole combinations of
expression, clothes and place are held out of every training; `is_held_out_identity` and `is_held_out_look` say which.
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass

EXPRESSIONS = ("happy", "laughing", "sad", "angry", "surprised", "sleepy", "winking", "worried")
PLACES = (
    "in a park", "on a beach", "in a kitchen", "in a library", "in a city at night", "in the snow",
    "in a forest", "in a desert", "on a stage", "in space", "on a ship", "in a field of flowers",
)  # fmt: skip
POSES = ("", "close-up", "from afar", "tilted")
COLOURS = {
    "red": "#e0282f", "orange": "#f5851f", "yellow": "#f8d433", "green": "#2b9a4a", "blue": "#2c6be0",
    "purple": "#8636cf", "pink": "#f77fb6", "white": "#f6f6f4", "grey": "#8b9198", "black": "#25262b",
    "brown": "#7b4a2a",
}  # fmt: skip
STYLES = ("avataaars", "toon-head", "critters")
KINDS = {
    "avataaars": ("hoodie", "sweater", "blazer", "overalls", "t-shirt"),
    "toon-head": ("shirt", "turtleneck", "jacket", "dress", "t-shirt"),
    "critters": ("scarf", "bow tie", "party hat", "cape", ""),
}
"""Kinds of clothes of each style; a critter may wear nothing (the empty string)."""

SKINS = {"fair-skinned": "#ffdcb8", "tanned": "#e3a673", "brown-skinned": "#ae6a38", "dark-skinned": "#7b5340"}
HAIR_COLOURS = {
    "black": "#221d1f", "brown": "#6f432f", "blond": "#e6c05c", "red": "#c4481c", "grey": "#a9a6a3",
    "white": "#f0eeea", "pink": "#f47fb4", "blue": "#4677dd",
}  # fmt: skip
TOPS = {
    "bigHair": "big wavy {} hair", "bob": "a {} bob", "bun": "{} hair in a bun", "curly": "big curly {} hair",
    "curvy": "long wavy {} hair", "dreads": "long {} dreadlocks", "dreads02": "frizzy {} hair",
    "frizzle": "a {} quiff", "fro": "a big {} afro", "longButNotTooLong": "shoulder-length {} hair",
    "miaWallace": "a {} bob with a fringe", "shaggy": "shaggy {} hair",
    "shavedSides": "long {} hair shaved at the sides",
    "shortCurly": "short curly {} hair", "shortFlat": "short {} hair", "shortWaved": "short wavy {} hair",
    "sides": "a bald head with {} hair at the sides", "straight02": "long straight {} hair",
    "straightAndStrand": "long {} hair with a fringe", "theCaesar": "very short {} hair",
    "hat": "a wide {} hat", "hijab": "a {} headscarf", "turban": "a {} turban", "winterHat02": "a {} woolly hat",
    "winterHat04": "a {} hat with cat ears",
}  # fmt: skip
"""Hair and headgear of avataaars, `{}` being the colour."""
HEADGEAR = ("hat", "hijab", "turban", "winterHat02", "winterHat04")
BEARDS = {"beardLight": "a stubbly beard", "beardMajestic": "a big beard", "moustacheMagnum": "a moustache"}
GLASSES = {"round": "round glasses", "prescription02": "square glasses"}
TOON_HAIRS = {
    "sideComed": "side-parted {} hair", "spiky": "spiky {} hair", "undercut": "a {} undercut",
    "bun": "{} hair in a bun",
    "sideComed longStraight": "long straight {} hair", "sideComed longWavy": "long wavy {} hair",
    "sideComed neckHigh": "neck-length {} hair", "spiky longWavy": "long wavy {} hair, spiky on top",
    "bun longStraight": "long {} hair with a bun", "spiky shoulderHigh": "shoulder-length {} hair, spiky on top",
}  # fmt: skip
"""Front hair and rear hair of toon-head, `{}` being the colour."""
TOON_BEARDS = {"fullBeard": "a full beard", "longBeard": "a long beard", "moustacheTwirl": "a curled moustache"}
BODIES = {
    "dome": "dome-shaped", "block": "square", "tower": "tall", "squat": "wide", "blob": "lumpy", "round": "round",
    "tilt": "lopsided", "peak": "pointy-headed", "bell": "bell-shaped", "wedge": "narrow-headed",
    "wedgeInv": "broad-headed", "steps": "stepped",
}  # fmt: skip
CRITTER_TOPS = {
    "horns": "{} horns", "antennae": "two {} antennae", "antenna": "one {} antenna", "earsRound": "round {} ears",
    "earsPointy": "pointed {} ears", "earsDroop": "{} rabbit ears", "spikes": "{} spikes", "fin": "a {} fin",
    "sprout": "{} leaves on top", "bobble": "a {} pompom", "": "",
}  # fmt: skip
CRITTER_COLOURS = {
    "red": "#f0625d", "orange": "#fb9a4b", "yellow": "#fbd443", "green": "#6fd08c", "blue": "#62b5f6",
    "purple": "#b48cf2", "pink": "#f9a3cd", "white": "#eef1f4", "grey": "#a9b2bd", "brown": "#b98558",
}  # fmt: skip
PATTERNS = {"": "", "dots": "{} dots", "stripes": "{} stripes", "belly": "a {} belly"}
RARE_HAIR_COLOURS = {"chestnut": "#a55728"}
RARE_TOPS = {"hornsIn": "upright {} horns"}
RARE_PATTERNS = {"pale belly": "a pale belly"}
"""For hand-chosen figures only: no random identity has them, so training never shows them."""
TRAINING_NUMBERS = 12_000
"""Numbers of identities that a training may use; beyond it held-out identities could turn up."""
CRITTER_EYES = ("round", "bigPupils")


@dataclass(frozen=True)
class Identity:
    """Everything about a figure that no picture of it changes; fields a style lacks stay empty."""

    style: str
    colour: str
    """Skin of a person (a key of `SKINS`), body of a creature (a key of `CRITTER_COLOURS`)."""
    top: str
    """Hair or headgear of a person, what grows on a creature's head."""
    top_colour: str
    beard: str = ""
    glasses: str = ""
    """For toon-head also "earrings"."""
    body: str = ""
    pattern: str = ""
    eyes: str = ""
    cheeks: str = ""
    """ "pink cheeks" or nothing; only hand-chosen creatures have them."""

    @property
    def traits(self) -> tuple[str, ...]:
        """What is visible beside the skin or body, most telling first: ("long red hair", "round glasses")."""
        if self.style == "critters":
            parts = ((CRITTER_TOPS | RARE_TOPS)[self.top], (PATTERNS | RARE_PATTERNS)[self.pattern], self.cheeks)
            return tuple(part.format(self.top_colour) for part in parts if part)
        hairs, beards = (TOPS, BEARDS) if self.style == "avataaars" else (TOON_HAIRS, TOON_BEARDS)
        parts = (hairs[self.top].format(self.top_colour), beards.get(self.beard, ""))
        return tuple(part for part in (*parts, GLASSES.get(self.glasses, self.glasses)) if part)

    @property
    def noun(self) -> str:
        """The bare figure: "a brown-skinned person", "a green round creature"."""
        if self.style == "critters":
            return f"{article(self.colour)} {self.colour} {BODIES[self.body]} creature"
        return f"a {self.colour} person"

    @property
    def words(self) -> str:
        """The figure and all its traits: "a tanned person with a red quiff and round glasses"."""
        return f"{self.noun} with {join_words(self.traits)}" if self.traits else self.noun


@dataclass(frozen=True)
class Look:
    """What varies from picture to picture; the words of a caption."""

    expression: str
    clothes: str
    """A phrase as `clothes_phrase` makes it; "" for a creature that wears nothing."""
    place: str
    pose: str = ""

    @property
    def colour(self) -> str:
        """The colour of the clothes, "" without clothes."""
        return self._colour_and_kind()[0]

    @property
    def kind(self) -> str:
        """The kind of clothes: "hoodie", "bow tie"; "" without clothes."""
        return self._colour_and_kind()[1]

    @property
    def description(self) -> str:
        """The plain caption, worded as `CharacterImage.description`."""
        worn = f"wearing {self.clothes}" if self.clothes else ""
        return ", ".join(item for item in (self.expression, self.pose, worn, self.place) if item)

    def _colour_and_kind(self) -> tuple[str, str]:
        words = self.clothes.removeprefix("an ").removeprefix("a ")
        colour, _, kind = words.partition(" ")
        return colour, kind


def article(word: str) -> str:
    """ "an" before a vowel, else "a"."""
    return "an" if word[:1] in "aeiou" else "a"


def join_words(items: tuple[str, ...]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def clothes_phrase(colour: str, kind: str) -> str:
    """The words for clothes: "an orange hoodie", "blue overalls", "" for no clothes."""
    if not kind:
        return ""
    return f"{colour} {kind}" if kind == "overalls" else f"{article(colour)} {colour} {kind}"


def random_identity(rng: random.Random, style: str = "") -> Identity:
    """Draw an identity; without `style` 45 % avataaars, 25 % toon-head, 30 % critters."""
    style = style or rng.choices(STYLES, (45, 25, 30))[0]
    if style == "critters":
        colour = rng.choice(list(CRITTER_COLOURS))
        accent = rng.choice([name for name in CRITTER_COLOURS if name != colour])
        top, pattern = rng.choice(list(CRITTER_TOPS)), rng.choice(list(PATTERNS))
        return Identity(
            style, colour, top, accent, body=rng.choice(list(BODIES)), pattern=pattern, eyes=rng.choice(CRITTER_EYES)
        )
    skin = rng.choice(list(SKINS))
    hair_colour = rng.choices(list(HAIR_COLOURS), (22, 22, 16, 12, 8, 7, 7, 6))[0]
    if style == "toon-head":
        top = rng.choice(list(TOON_HAIRS))
        beard = rng.choice(list(TOON_BEARDS)) if rng.random() < 0.35 else ""
        return Identity(style, skin, top, hair_colour, beard, rng.choice(("", "", "round", "earrings")))
    top = rng.choice(list(TOPS))
    if top in HEADGEAR:
        hair_colour = rng.choice(list(COLOURS))
    beard = rng.choice(list(BEARDS)) if rng.random() < 0.3 and top != "hijab" else ""
    return Identity(style, skin, top, hair_colour, beard, rng.choice(("", "", "", *GLASSES)))


def random_look(rng: random.Random, identity: Identity, held_out: bool = False) -> Look:
    """Draw a look for training, or with `held_out` one of the combinations that training never sees."""
    while True:
        kind = rng.choice(KINDS[identity.style])
        clothes = clothes_phrase(rng.choice(list(COLOURS)), kind)
        pose = rng.choices(POSES, (55, 18, 15, 12))[0]
        look = Look(rng.choice(EXPRESSIONS), clothes, rng.choice(PLACES), pose)
        if is_held_out_look(look) == held_out:
            return look


def identity_for(index: int) -> Identity:
    """The identity with this number, the same on every machine.

    A held-out number never gives an identity that a training number below `TRAINING_NUMBERS` gives too.
    """
    rng = random.Random(f"identity {index}")
    identity = random_identity(rng)
    while is_held_out_identity(index) and identity in _training_identities():
        identity = random_identity(rng)
    return identity


@functools.cache
def _training_identities() -> frozenset[Identity]:
    numbers = (number for number in range(TRAINING_NUMBERS) if not is_held_out_identity(number))
    return frozenset(random_identity(random.Random(f"identity {number}")) for number in numbers)


def is_held_out_identity(index: int) -> bool:
    """Whether the identity with this number is kept for testing (every twentieth is)."""
    return index % 20 == 0


def is_held_out_look(look: Look) -> bool:
    """Whether this combination of expression, kind of clothes and place is kept for testing (2 % are)."""
    words = f"{look.expression}|{look.kind}|{look.place}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % 50 == 0
