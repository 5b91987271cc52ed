"""Which of a character's images are references: the ones that its image expert looks at wherever it draws.

References carry who the character is, so they should show a whole, plain face, in two framings. A picture is never its
own reference: where one of the references itself is learned, the next in order takes its place.

Dimension letters: N drawings, R references of one, C codes of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pipelines.core.character.character import Character, CharacterImage

PLAIN_EXPRESSIONS = ("", "neutral", "calm", "happy", "smiling")
"""Faces whose features are all where they usually are."""
PARTIAL_POSES = ("from afar", "from behind", "tilted", "in profile", "on the left", "on the right")
"""Framings in which a face is small, turned or off the middle."""
CLOSE_UP = "close-up"


def ranked_references(character: Character) -> tuple[str, ...]:
    """The files of all images, best reference first, judged by what their captions say they show.

    First comes a plain face in an ordinary framing, second a close-up if there is one, then the others.
    """

    def flaws(image: CharacterImage) -> int:
        return 2 * (image.pose in PARTIAL_POSES) + (image.expression not in PLAIN_EXPRESSIONS)

    ordered = sorted(character.images, key=flaws)  # stable: of equals the creator's first
    wide = [image for image in ordered if image.pose != CLOSE_UP]
    close = [image for image in ordered if image.pose == CLOSE_UP]
    ranked = [*wide[:1], *close[:1], *wide[1:], *close[1:]]
    return tuple(image.file for image in ranked)


def references_of(ranked: Sequence[str], count: int, drawn: str = "") -> tuple[str, ...]:
    """The `count` best that are not the drawn image itself."""
    return tuple(name for name in ranked if name != drawn)[:count]


def code_batch(sets: Sequence[Sequence[Sequence[int]]]) -> torch.Tensor | None:
    """(N, R, C) codes of each drawing's references, -1 where it has fewer than the others; None when none has any."""
    most = max(map(len, sets), default=0)
    if not most:
        return None
    absent = [-1] * len(next(codes for references in sets for codes in references))
    return torch.tensor([[*map(list, references), *[absent] * (most - len(references))] for references in sets])


def reference_batch(sets: Sequence[Sequence[str]], codes: Mapping[str, Sequence[int]]) -> torch.Tensor | None:
    """`code_batch` of references given by name."""
    return code_batch([[codes[name] for name in names] for names in sets])
