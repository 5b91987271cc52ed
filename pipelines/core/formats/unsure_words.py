"""Words inside a reply that may be somebody else's, but are not plain enough to be taken out: the notes name them.

Known are a name and a colon behind a sentence ("Since nine. Ben: Since ten!"), a name and a dash at the start of a line
("Ben - Since ten!"), a name with how it speaks ("Ben, shouting: Since ten!") and a scene in brackets ("[Scene: rain]").
"""

from __future__ import annotations

import re
from collections import Counter

from pipelines.core.character.character import Interaction
from pipelines.core.formats.label_lines import MANNER, label_key
from pipelines.core.formats.label_words import INTERJECTIONS, NARRATOR_LABELS, NOT_NAMES, OPENING_WORDS
from pipelines.core.formats.speaker_labels import SpeakerNames

_WORD = r"[^\W\d_a-z][\w'\u2019.]{0,30}"
_NAME = rf"(?P<name>{_WORD}(?: {_WORD}){{0,2}})"
_SAID = r"[ \t]+[\"\u201c'*(]?[^\W\d_a-z]"
_UNSURE = (
    re.compile(rf"(?<=[.!?\u2026\"\u201d*)~])[ \t]+{_NAME}:{_SAID}"),
    re.compile(rf"^[ \t]*{_NAME}[ \t]+[-\u2013\u2014]{_SAID}", re.MULTILINE),
    re.compile(rf"^[ \t]*{_NAME}(?i:{MANNER})[ \t]*:{_SAID}", re.MULTILINE),
)
_SCENE = re.compile(r"^[ \t]*(\[[ \t]*([^\W\d_]+)[ \t]*:[^\[\]\n]{1,300}\])[ \t]*$", re.MULTILINE)
_NOBODY = NOT_NAMES | OPENING_WORDS | INTERJECTIONS
_SCENES = NARRATOR_LABELS | {"location", "place", "event"}


def unsure_words(talks: list[Interaction], names: SpeakerNames) -> Counter[str]:
    """What such words begin with, in the character's turns of some conversations, and how often."""
    found: Counter[str] = Counter()
    for turn in (turn for talk in talks for turn in talk if turn.role == "character"):
        text = turn.text
        if ":" not in text and " -" not in text and "\u2013" not in text and "\u2014" not in text:
            continue
        for name in (match["name"] for pattern in _UNSURE for match in pattern.finditer(text)):
            words = [word.strip(".'\u2019") for word in label_key(name).split()]
            if name[0].isupper() and not _NOBODY.intersection(words) and not names.is_character(name):
                found[name] += 1
        found.update(match[1] for match in _SCENE.finditer(text) if match[2].casefold() in _SCENES)
    return found
