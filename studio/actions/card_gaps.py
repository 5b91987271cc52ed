"""What a file of another program cannot bring along and a training needs, said as soon as it was read.

Cards of SillyTavern and its kin hold one picture and often no conversation; a training needs more of both.
"""

from __future__ import annotations

from pipelines.core.character.amounts import GOOD_IMAGES, MIN_IMAGES
from pipelines.core.problems import Problem
from studio.actions.drafts import Draft
from studio.labels import counted


def lacking(draft: Draft) -> list[Problem]:
    """Too few pictures (a Character Card has one) and no conversations; empty when nothing is missing."""
    have = len(draft.get("pictures", ()))
    found = []
    if have < MIN_IMAGES:
        found.append(
            Problem(
                "images",
                f"The file brought {counted(have, 'picture')}; training needs {MIN_IMAGES}, "
                f"and about {GOOD_IMAGES} are best.",
                "Add more in step 1: other faces, clothes and places. Everything else in the file is kept.",
                "warning",
            )
        )
    if not draft.get("interactions"):
        found.append(
            Problem(
                "interactions",
                "The file brought no example conversations.",
                "Write some in step 3, or paste a chat there: the voice is learned from them.",
                "warning",
            )
        )
    return found
