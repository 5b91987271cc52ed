"""Words for a drawing: captions in varied natural wording, and questions with short answers.

The plainest caption equals `Look.description`, the wording of a character's own pictures; the others
are tags and sentences, with or without a name or what the figure looks like.
"""

from __future__ import annotations

import random

from pipelines.models.starter.looks import (
    COLOURS,
    EXPRESSIONS,
    HEADGEAR,
    KINDS,
    PLACES,
    Identity,
    Look,
    clothes_phrase,
)

_STARTS = ("Ar", "Be", "Cor", "Da", "El", "Fen", "Gil", "Ha", "Iv", "Jo", "Ka", "Li", "Mo", "Ne", "Os", "Pi", "Ro",
           "Sa", "To", "Ul", "Vi", "Wen", "Ya", "Zu")  # fmt: skip
_ENDS = ("", "a", "ban", "co", "da", "dric", "la", "lin", "mo", "na", "ni", "ric", "sha", "ta", "ver", "wyn")
_POSES = {
    "": ("", "a picture of", "portrait of"),
    "close-up": ("a close-up of", "a close view of"),
    "from afar": ("from afar,", "seen from afar,"),
    "tilted": ("head tilted,", "a tilted picture of"),
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


def made_up_name(rng: random.Random) -> str:
    """A proper name without meaning: "Tomo"."""
    return rng.choice(_STARTS) + rng.choice(_ENDS)


def captions(identity: Identity, look: Look, rng: random.Random, name: str = "") -> list[str]:
    """Seven captions of one drawing, from plain tags to sentences; each names expression, clothes and place.

    1. the plain description, 2. the same behind a name, 3. tags with the figure in words, 4. a sentence with all
    traits, 5. a sentence with the name, 6. tags in another order, 7. the figure speaking.
    """
    name = name or made_up_name(rng)
    worn = f"wearing {look.clothes}" if look.clothes else rng.choice(("wearing nothing", "without clothes"))
    dressed = rng.choice((f"in {look.clothes}", worn, f"dressed in {look.clothes}")) if look.clothes else worn
    feeling = rng.choice(_FEELINGS[look.expression])
    start = rng.choice(_POSES[look.pose])
    pose = [look.pose] if look.pose else []
    loose = [look.expression, worn, look.place, *pose]
    rng.shuffle(loose)
    if loose[0] == look.expression:
        loose.reverse()  # never the order of the plain description
    much = "" if look.expression in ("winking", "laughing") else rng.choice(("", "so ", "very "))
    mine = f"I am {much}{look.expression}"
    return [
        look.description,
        f"{name}, {look.description}",
        ", ".join((identity.words, look.expression, *pose, worn, look.place)),
        _sentence(f"{start} {identity.words}, {feeling}, {dressed}, {look.place}"),
        _sentence(f"{start} {name}, {rng.choice((identity.noun, identity.words))}, {feeling}, {look.place}, {dressed}"),
        ", ".join(loose),
        _sentence(f"{mine}, {worn}, {look.place}"),
    ]


def questions(identity: Identity, look: Look, rng: random.Random) -> list[tuple[str, str]]:
    """Questions about the drawing with short answers: look, traits, and yes or no to true and false statements."""
    place = look.place
    pairs = [
        (rng.choice(("How do they look?", "What is the expression?", "What mood is this?")), look.expression),
        (rng.choice(("Where is this?", "Where are they?", "What place is this?")), place),
        (rng.choice(("What are they wearing?", "What clothes are these?")), look.clothes or "nothing"),
        ("Is this a person or a creature?", "a creature" if identity.style == "critters" else "a person"),
    ]
    if look.clothes:
        pairs.append((f"What colour is the {look.kind}?" if look.kind != "overalls" else
                      "What colour are the overalls?", look.colour))  # fmt: skip
    if identity.style == "critters":
        pairs.append(("What colour is the creature?", identity.colour))
    elif identity.top in HEADGEAR:
        pairs.append(("What is on the head?", identity.traits[0]))
    else:
        pairs += [("What is the hair like?", identity.traits[0]), ("What colour is the hair?", identity.top_colour)]
    if identity.style != "critters":
        pairs.append(("Do they wear glasses?", "yes" if identity.glasses in ("round", "prescription02") else "no"))
        pairs.append(("Is there a beard or a moustache?", "yes" if identity.beard else "no"))
    pairs += [_yes_or_no(identity, look, rng, truth) for truth in (True, False)]
    rng.shuffle(pairs)
    return pairs


def _yes_or_no(identity: Identity, look: Look, rng: random.Random, truth: bool) -> tuple[str, str]:
    """One statement as a question, true or made false by another word of the vocabulary."""
    subject = rng.choice(("expression", "place", "clothes"))
    if subject == "expression":
        word = look.expression if truth else rng.choice([item for item in EXPRESSIONS if item != look.expression])
        question = f"Are they {word}?"
    elif subject == "place":
        word = look.place if truth else rng.choice([item for item in PLACES if item != look.place])
        question = f"Is this {word}?"
    else:
        clothes = look.clothes if truth else _other_clothes(identity, look, rng)
        question = f"Are they wearing {clothes or 'nothing'}?"
    return question, "yes" if truth else "no"


def _other_clothes(identity: Identity, look: Look, rng: random.Random) -> str:
    """Clothes of the style that are not those worn: another colour or another kind."""
    while True:
        clothes = clothes_phrase(rng.choice(list(COLOURS)), rng.choice(KINDS[identity.style]))
        if clothes != look.clothes:
            return clothes


def _sentence(words: str) -> str:
    words = words.strip()
    return f"{words[0].upper()}{words[1:]}."
