"""What an image shows, in words: who it is (`Identity`, never changes) and what varies (`Attributes`).

A `Domain` says which part of the vocabulary may be rendered: `FIRST` is what the shipped weights were trained on, and
gives the same images as then; `WIDE` has all styles. Whole identities and whole combinations of expression, kind of
clothes and place are held out of every training: `is_held_out_identity` and `is_held_out_combination`.
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import astuple, dataclass

from pipelines.models.starter.vocabulary import (
    ALL_STYLES,
    BEARDS,
    BODIES,
    COLOURS,
    CRITTER_COLOURS,
    CRITTER_EYES,
    CRITTER_TOPS,
    EXPRESSIONS,
    EXTRAS,
    FIGURES,
    FIRST_STYLES,
    GLASSES,
    HAIR_COLOURS,
    HEADGEAR,
    KINDS,
    PATTERNS,
    PLACES,
    POSE_WEIGHTS,
    POSES,
    RARE_TRAITS,
    SKINS,
    TOON_BEARDS,
    TOON_HAIRS,
    TOPS,
    WIDE_PLACES,
    WIDE_POSES,
    article,
    clothes_phrase,
)

TRAINING_NUMBERS = 12_000
"""Numbers below this may be trained on in the first domain; above it, identities of held-out numbers could recur."""


@dataclass(frozen=True)
class Identity:
    """Everything about a figure that is the same in all its images; fields that a style does not have stay empty."""

    style: str
    colour: str
    """Skin of a person (a key of `SKINS`), body of the others (a key of `CRITTER_COLOURS`)."""
    top: str
    """Hair or headgear of a person, what grows or stands on another's head."""
    top_colour: str
    beard: str = ""
    glasses: str = ""
    """For toon-head also "earrings"."""
    body: str = ""
    """Shape of a creature, kind of an animal."""
    pattern: str = ""
    eyes: str = ""
    cheeks: str = ""
    """In words ("pink cheeks") or nothing; among the first styles only hand-chosen creatures have them."""

    @property
    def traits(self) -> tuple[str, ...]:
        """What is visible beside the skin or body, most distinctive first: ("long red hair", "round glasses")."""
        figures = FIGURES[self.style]
        parts = (
            (figures.tops | RARE_TRAITS)[self.top],
            (figures.patterns | RARE_TRAITS)[self.pattern],
            figures.beards.get(self.beard, ""),
            GLASSES.get(self.glasses, self.glasses),
            self.cheeks,
        )
        words = article(self.top_colour)
        return tuple(part.format(self.top_colour, article=words) for part in parts if part)

    @property
    def family(self) -> str:
        """person, creature, robot, plant, smiley or animal."""
        return FIGURES[self.style].family

    @property
    def hair_colour(self) -> str:
        """The colour of a person's hair; "" if bald, under headgear, or not a person."""
        coloured = "{}" in FIGURES[self.style].tops.get(self.top, "")
        return self.top_colour if self.family == "person" and coloured and self.top not in HEADGEAR else ""

    @property
    def noun(self) -> str:
        """The bare figure: "a brown-skinned person", "a green round creature"."""
        figures = FIGURES[self.style]
        words = figures.noun.format(
            colour=self.colour, body=figures.bodies.get(self.body, ""), article=article(self.colour)
        )
        return f"{article(words)} {words}"

    @property
    def words(self) -> str:
        """The figure and all its traits: "a tanned person with a red quiff and round glasses"."""
        return f"{self.noun} with {join_words(self.traits)}" if self.traits else self.noun


@dataclass(frozen=True)
class Attributes:
    """What varies from image to image, in the words of a caption."""

    expression: str
    clothes: str
    """A phrase made by `clothes_phrase`; "" for no clothes."""
    place: str
    pose: str = ""
    extra: str = ""
    """One of `EXTRAS`, or nothing."""

    @classmethod
    def of_image(cls, expression: str, clothes: str, place: str, pose: str = "") -> Attributes:
        """From the fields of a character's image, whose pose may name what is held: "close-up, holding a cup"."""
        parts = [part for part in pose.split(", ") if part]
        held = [part for part in parts if part in EXTRAS]
        return cls(expression, clothes, place, ", ".join(part for part in parts if part not in held), ", ".join(held))

    @property
    def colour(self) -> str:
        """The colour of the clothes, "" without clothes."""
        return self._colour_and_kind()[0]

    @property
    def kind(self) -> str:
        """The kind of clothes: "hoodie", "bow tie"; "" without clothes."""
        return self._colour_and_kind()[1]

    @property
    def full_pose(self) -> str:
        """Framing and what is held, as the pose of a character's image: "close-up, holding a cup"."""
        return ", ".join(item for item in (self.pose, self.extra) if item)

    @property
    def description(self) -> str:
        """The plain caption, worded as `CharacterImage.description`."""
        worn = f"wearing {self.clothes}" if self.clothes else ""
        return ", ".join(item for item in (self.expression, self.full_pose, worn, self.place) if item)

    def _colour_and_kind(self) -> tuple[str, str]:
        words = self.clothes.removeprefix("an ").removeprefix("a ")
        colour, _, kind = words.partition(" ")
        return colour, kind


@dataclass(frozen=True)
class Domain:
    """Which figures and attributes may be rendered."""

    styles: tuple[str, ...] = FIRST_STYLES
    extras: float = 0.0
    """Probability that something besides clothes is held or worn."""
    places: tuple[str, ...] = PLACES
    poses: tuple[str, ...] = POSES

    def __post_init__(self) -> None:
        unknown = [style for style in self.styles if style not in ALL_STYLES]
        if unknown or not self.styles:
            raise ValueError(f"style {', '.join(unknown) or 'list is empty'}: choose of {', '.join(ALL_STYLES)}")

    @classmethod
    def named(cls, words: str) -> Domain:
        """`first`, `wide`, or styles with commas between them (with the wide places, poses and held objects)."""
        if words in ("first", "wide"):
            return FIRST if words == "first" else WIDE
        return cls(tuple(word.strip() for word in words.split(",")), WIDE.extras, WIDE.places, WIDE.poses)

    def identity(self, index: int) -> Identity:
        """The identity with this number, the same on every machine; every twentieth is a held-out one.

        In any domain but the first, whether an identity is held out follows from its traits, so that no training,
        however long, meets one under another number.
        """
        return identity_for(index) if self == FIRST else _wide_identity_for(self.styles, index)

    def sample_attributes(self, rng: random.Random, identity: Identity, held_out: bool = False) -> Attributes:
        """Random attributes for training, or with `held_out` one of the combinations that training never sees."""
        while True:
            kind = rng.choice(KINDS[identity.style])
            clothes = clothes_phrase(rng.choice(list(COLOURS)), kind)
            pose = rng.choices(self.poses, POSE_WEIGHTS[: len(self.poses)])[0]
            expression, place = rng.choice(EXPRESSIONS), rng.choice(self.places)
            extra = rng.choice(EXTRAS) if self.extras and rng.random() < self.extras else ""
            attributes = Attributes(expression, clothes, place, pose, extra)
            if is_held_out_combination(attributes) == held_out:
                return attributes


FIRST = Domain()
WIDE = Domain(ALL_STYLES, 0.3, WIDE_PLACES, WIDE_POSES)


def join_words(items: tuple[str, ...]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def random_identity(rng: random.Random, style: str = "") -> Identity:
    """A random identity; without `style` of a first style: 45 % avataaars, 25 % toon-head, 30 % critters."""
    style = style or rng.choices(FIRST_STYLES, (45, 25, 30))[0]
    if style == "critters":
        colour = rng.choice(list(CRITTER_COLOURS))
        accent = rng.choice([name for name in CRITTER_COLOURS if name != colour])
        top, pattern = rng.choice(list(CRITTER_TOPS)), rng.choice(list(PATTERNS))
        return Identity(
            style, colour, top, accent, body=rng.choice(list(BODIES)), pattern=pattern, eyes=rng.choice(CRITTER_EYES)
        )
    if style not in FIRST_STYLES:
        return _wide_identity(rng, style)
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


def _wide_identity(rng: random.Random, style: str) -> Identity:
    """A random identity of one of the later styles: every trait evenly, a beard in three of ten."""
    figures = FIGURES[style]
    colour = rng.choice(figures.colours)
    beards = [beard for beard in figures.beards if beard]
    return Identity(
        style,
        colour,
        rng.choice(list(figures.tops)),
        rng.choice([name for name in figures.top_colours if name != colour]),
        beard=rng.choice(beards) if beards and rng.random() < 0.3 else "",
        glasses=rng.choice(figures.glasses),
        body=rng.choice(list(figures.bodies)),
        pattern=rng.choice(list(figures.patterns)),
        cheeks=rng.choice(figures.cheeks),
    )


def identity_for(index: int) -> Identity:
    """The identity of the first domain with this number, the same on every machine.

    A held-out number never gives an identity that a training number below `TRAINING_NUMBERS` gives too.
    """
    rng = random.Random(f"identity {index}")
    identity = random_identity(rng)
    while is_held_out_identity(index) and identity in _training_identities():
        identity = random_identity(rng)
    return identity


@functools.lru_cache(maxsize=100_000)
def _wide_identity_for(styles: tuple[str, ...], index: int) -> Identity:
    rng, held_out = random.Random(f"identity {index} of {' '.join(styles)}"), is_held_out_identity(index)
    while True:
        identity = random_identity(rng, rng.choice(styles))
        if is_held_out_by_traits(identity) == held_out:
            return identity


@functools.cache
def _training_identities() -> frozenset[Identity]:
    numbers = (number for number in range(TRAINING_NUMBERS) if not is_held_out_identity(number))
    return frozenset(random_identity(random.Random(f"identity {number}")) for number in numbers)


def is_held_out_identity(index: int) -> bool:
    """Whether the identity with this number is held out (every twentieth is)."""
    return index % 20 == 0


def is_held_out_by_traits(identity: Identity) -> bool:
    """Whether domains other than the first hold this identity out: one in twenty, none that the first trains on."""
    digest = hashlib.sha256("|".join(astuple(identity)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 20 == 0 and identity not in _training_identities()


def is_held_out_combination(attributes: Attributes) -> bool:
    """Whether this combination of expression, kind of clothes and place is held out (2 % are)."""
    words = f"{attributes.expression}|{attributes.kind}|{attributes.place}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % 50 == 0
