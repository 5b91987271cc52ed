"""Which of a character's images are references: the ones that an image expert looks at wherever it draws.

References carry who the character is, so they should show a whole, plain face, in two framings. The creator's own
choice (`Character.references`) comes first, in its order; the rest is ranked by what the captions say. A picture is
never its own reference: where one of the references itself is learned, the next in order takes its place. Held-out
pictures are none of `Character.images`, and `held_out_split.hold_out` takes none that is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.core.character.character import Character, CharacterImage, TestSplit
from pipelines.core.problems import Problem, nearest_file

PLAIN_EXPRESSIONS = ("", "neutral", "calm", "happy", "smiling")
"""Faces whose features are all where they usually are."""
PARTIAL_POSES = ("from afar", "from behind", "tilted", "in profile", "on the left", "on the right")
"""Framings in which a face is small, turned or off the middle."""
CLOSE_UP = "close-up"
MOST_LOOKED_AT = 2
"""References that a base model looks at, at most (`model_specs.REFERENCE_IMAGES`; a test compares)."""


def ranked_references(character: Character) -> tuple[str, ...]:
    """The files of all images, best reference first: those the creator chose, then by what their captions say.

    Of the latter first comes a plain face in an ordinary framing, second a close-up if there is one whose face is
    as plain as that of the next of the others, then these.
    """

    def flaws(image: CharacterImage) -> int:
        return 2 * (image.pose in PARTIAL_POSES) + (image.expression not in PLAIN_EXPRESSIONS)

    ordered = sorted(character.images, key=flaws)  # stable: of equals the creator's first
    wide = [image for image in ordered if image.pose != CLOSE_UP]
    close = [image for image in ordered if image.pose == CLOSE_UP]
    second = close[:1] if close and (len(wide) < 2 or flaws(close[0]) <= flaws(wide[1])) else []
    ranked = list(dict.fromkeys(image.file for image in (*wide[:1], *second, *wide[1:], *close)))
    chosen = [file for file in character.references if file in ranked]
    return tuple(dict.fromkeys([*chosen, *ranked]))


def references_of(ranked: Sequence[str], count: int, drawn: str = "") -> tuple[str, ...]:
    """The `count` best that are not the drawn image itself."""
    return tuple(name for name in ranked if name != drawn)[:count]


def check_references(character: Character, split: TestSplit | None = None) -> list[Problem]:
    """Chosen references that are none of the character's pictures, or are listed twice."""
    files = [image.file for image in character.images]
    held_out = {image.file for image in split.images} if split else set()
    found = []
    for number, name in enumerate(character.references):
        field = f"references[{number}]"
        if name in character.references[:number]:
            found.append(
                Problem(field, f"The reference {name} is listed twice.", "Take one of the two out.", "warning")
            )
        elif name not in files and name in held_out:
            message = f"The reference {name} is a held-out picture, which the drawings are measured against."
            found.append(Problem(field, message, "Choose one of the pictures in images/, or take the line out."))
        elif name not in files:
            guess = nearest_file(name, files)
            mend = f"Did you mean {guess}? Write that" if guess else f"Choose from {', '.join(files) or 'no pictures'}"
            message = f"The reference {name} is none of the character's pictures."
            found.append(Problem(field, message, f"{mend}, or take the line out."))
    return found
