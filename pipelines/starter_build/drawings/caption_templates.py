"""Templates of captions in varied wording, and of questions with short answers, for the training images.

The plainest caption equals `Attributes.description`, the wording of a character's own images; the others are tags and
sentences, with or without a name or the figure's traits.
"""

from __future__ import annotations

import random

from pipelines.models.starter.vocabulary import (
    COLOURS,
    EXPRESSIONS,
    GLASSES,
    HEADGEAR,
    KINDS,
    PLACES,
    article,
    clothes_phrase,
)
from pipelines.starter_build.drawings.attributes import Attributes, Identity

_STARTS = (
    "Ar",
    "Be",
    "Cor",
    "Da",
    "El",
    "Fen",
    "Gil",
    "Ha",
    "Iv",
    "Jo",
    "Ka",
    "Li",
    "Mo",
    "Ne",
    "Os",
    "Pi",
    "Ro",
    "Sa",
    "To",
    "Ul",
    "Vi",
    "Wen",
    "Ya",
    "Zu",
)
_ENDS = ("", "a", "ban", "co", "da", "dric", "la", "lin", "mo", "na", "ni", "ric", "sha", "ta", "ver", "wyn")
_POSES = {
    "": ("", "a picture of", "portrait of"),
    "close-up": ("a close-up of", "a close view of"),
    "from afar": ("from afar,", "seen from afar,"),
    "tilted": ("head tilted,", "a tilted picture of"),
    "on the left": ("on the left,", "on the left of the picture,"),
    "on the right": ("on the right,", "on the right of the picture,"),
}
_FEELINGS = {
    "happy": ("smiling", "with a smile", "looking happy"),
    "laughing": ("laughing", "laughing out loud", "in fits of laughter"),
    "sad": ("sad", "with a tear", "looking sad"),
    "angry": ("angry", "looking angry", "in a rage"),
    "surprised": ("surprised", "wide-eyed with surprise", "looking surprised"),
    "sleepy": ("sleepy", "eyes closed, sleepy", "falling asleep"),
    "winking": ("winking", "giving a wink", "with a wink"),
    "worried": ("worried", "looking worried", "anxious"),
}


_QUESTIONS = {
    "expression": (
        "How do they look?",
        "What is the expression?",
        "What mood is this?",
        "How do you look in this picture?",
    ),
    "place": ("Where is this?", "Where are they?", "What place is this?", "Where are you in this picture?"),
    "clothes": ("What are they wearing?", "What clothes are these?", "What are you wearing in this picture?"),
    "whole": ("Describe this picture.", "What does the picture show?", "What do you see?"),
}
"""Wordings of each question; those with "you" are what a character is asked about an image of itself."""


def made_up_name(rng: random.Random) -> str:
    """A proper name without meaning: "Tomo"."""
    return rng.choice(_STARTS) + rng.choice(_ENDS)


CAPTION_SHARES = (26, 4, 10, 18, 12, 8, 4, 4, 3, 3, 2, 3, 3)
"""Sampling weights: name, figure and attributes in front; then each wording of `captions` in order.

Most name the figure, so that the image expert learns to draw the figure from words.
"""


def captions(identity: Identity, attributes: Attributes, rng: random.Random, name: str = "") -> list[str]:
    """Twelve captions of one image, from plain tags to sentences.

    1. the plain description, 2. the same behind a name, 3. tags with the figure in words, 4. a sentence with all
    traits, 5. a sentence with the name, 6. tags in another order, 7. the figure speaking; these name all that varies.
    8. a few tags alone, 9. and 10. the figure speaking at more length, 11. two sentences about the one with the name,
    12. figure and mood in one phrase.
    """
    name = name or made_up_name(rng)
    worn = f"wearing {attributes.clothes}" if attributes.clothes else rng.choice(("wearing nothing", "without clothes"))
    dressed = (
        rng.choice((f"in {attributes.clothes}", worn, f"dressed in {attributes.clothes}"))
        if attributes.clothes
        else worn
    )
    if attributes.extra:
        worn, dressed = (
            f"{attributes.extra}, {worn}",
            rng.choice((f"{dressed}, {attributes.extra}", f"{attributes.extra}, {dressed}")),
        )
    feeling = rng.choice(_FEELINGS[attributes.expression])
    start = rng.choice(_POSES[attributes.pose])
    pose = [attributes.pose] if attributes.pose else []
    loose = [attributes.expression, worn, attributes.place, *pose]
    rng.shuffle(loose)
    if loose[0] == attributes.expression:
        loose.reverse()  # never the order of the plain description
    some = [attributes.expression, attributes.place, *([attributes.clothes] if attributes.clothes else [])]
    much = "" if attributes.expression in ("winking", "laughing") else rng.choice(("", "so ", "very "))
    mine = f"I am {much}{attributes.expression}"
    return [
        attributes.description,
        f"{name}, {attributes.description}",
        ", ".join((identity.words, attributes.expression, *pose, worn, attributes.place)),
        _sentence(f"{start} {identity.words}, {feeling}, {dressed}, {attributes.place}"),
        _sentence(
            f"{start} {name}, {rng.choice((identity.noun, identity.words))}, {feeling}, {attributes.place}, {dressed}"
        ),
        ", ".join(loose),
        _sentence(f"{mine}, {worn}, {attributes.place}"),
        ", ".join(rng.sample(some, len(some) - 1)),
        *_spoken(attributes, rng, mine),
        _sentence(f"{name} is {attributes.place} and is {attributes.expression}")
        + " "
        + _sentence(f"{name} is {dressed}"),
        _sentence(f"{_with_mood(identity, attributes.expression)} {dressed}, {attributes.place}"),
    ]


def _spoken(attributes: Attributes, rng: random.Random, mine: str) -> tuple[str, str]:
    """Two wordings in which the figure speaks of its image."""
    bare = attributes.clothes.removeprefix("an ").removeprefix("a ")
    mine_on = f"with my {bare} on" if bare else rng.choice(("with nothing on", "as I am, without clothes"))
    have = f"I have my {bare} on" if bare else "I wear nothing at all"
    too = f", {attributes.extra}" if attributes.extra else ""
    here = rng.choice(("Here I am", "This is me", "Look, it is me", "A picture of me"))
    seen = rng.choice(("You see me", "Here you see me", "I show myself"))
    return (
        f"{here} {attributes.place}, {attributes.expression}, {mine_on}{too}.",
        f"{seen} {attributes.place}{too}. {mine}. {have}.",
    )


def _with_mood(identity: Identity, expression: str) -> str:
    """ "a happy tanned person with a red quiff"."""
    figure = identity.words.removeprefix("an ").removeprefix("a ")
    return f"{article(expression)} {expression} {figure}"


def questions(identity: Identity, attributes: Attributes, rng: random.Random) -> list[tuple[str, str]]:
    """(question, short answer) pairs: attributes, traits, and yes or no to true and false statements."""
    place = attributes.place
    a_family = f"{article(identity.family)} {identity.family}"
    kind = f"{article(identity.body)} {identity.body}" if identity.family == "animal" else a_family
    pairs = [
        (rng.choice(_QUESTIONS["expression"]), attributes.expression),
        (rng.choice(_QUESTIONS["place"]), place),
        (rng.choice(_QUESTIONS["clothes"]), attributes.clothes or "nothing"),
        (rng.choice(_QUESTIONS["whole"]), attributes.description),
        (rng.choice(("Is this a person or a creature?", "What kind of figure is this?")), kind),
    ]
    if attributes.clothes:
        worn = (
            f"What colour is the {attributes.kind}?"
            if attributes.kind != "overalls"
            else "What colour are the overalls?"
        )
        pairs.append((rng.choice((worn, "What colour are the clothes?")), attributes.colour))
    if identity.family != "person":
        pairs.append((f"What colour is the {_thing(identity)}?", identity.colour))
    elif identity.top in HEADGEAR:
        pairs.append(("What is on the head?", identity.traits[0]))
    else:
        pairs.append(("What is the hair like?", identity.traits[0]))
        if identity.hair_colour:
            pairs.append(("What colour is the hair?", identity.hair_colour))
    if identity.family == "person":
        pairs.append(("Do they wear glasses?", "yes" if identity.glasses in GLASSES else "no"))
        pairs.append(("Is there a beard or a moustache?", "yes" if identity.beard else "no"))
    if attributes.extra:
        held = attributes.extra.removeprefix("holding ").removeprefix("with ")
        asked = "What do they wear besides?" if held == "a gold medal" else "What are they holding?"
        pairs.append((asked, held))
    # Two true and two false: comparing is harder to learn than naming.
    pairs += [_yes_or_no(identity, attributes, rng, truth) for truth in (True, False, True, False)]
    rng.shuffle(pairs)
    return pairs


def _thing(identity: Identity) -> str:
    """The bare word for a figure that is no person: "creature", "cat", "pot" of a plant."""
    return {"animal": identity.body, "plant": "pot"}.get(identity.family, identity.family)


def _yes_or_no(identity: Identity, attributes: Attributes, rng: random.Random, truth: bool) -> tuple[str, str]:
    """One statement as a question, true or made false by another word of the vocabulary."""
    subject = rng.choice(("expression", "place", "clothes"))
    if subject == "expression":
        word = (
            attributes.expression
            if truth
            else rng.choice([item for item in EXPRESSIONS if item != attributes.expression])
        )
        question = f"Are they {word}?"
    elif subject == "place":
        word = attributes.place if truth else rng.choice([item for item in PLACES if item != attributes.place])
        question = f"Is this {word}?"
    else:
        clothes = attributes.clothes if truth else _other_clothes(identity, attributes, rng)
        question = f"Are they wearing {clothes or 'nothing'}?"
    return question, "yes" if truth else "no"


def _other_clothes(identity: Identity, attributes: Attributes, rng: random.Random) -> str:
    """Clothes of the style that are not those worn: another colour or another kind."""
    while True:
        clothes = clothes_phrase(rng.choice(list(COLOURS)), rng.choice(KINDS[identity.style]))
        if clothes != attributes.clothes:
            return clothes


def _sentence(words: str) -> str:
    words = words.strip()
    return f"{words[0].upper()}{words[1:]}."
