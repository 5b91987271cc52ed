"""What a reader of a data set hands over: one character with its held-out split, nothing of it written yet.

RoleScape-20 and MMRole are read into it; `import_character.py` writes it as a character folder.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelines.core.character.character import Character, TestSplit
from pipelines.core.problems import Problem


class ImportedCharacter(NamedTuple):
    """One character of a data set; pictures are bytes by file name."""

    character: Character
    test: TestSplit
    images: dict[str, bytes]
    test_images: dict[str, bytes]
    notes: list[Problem]
