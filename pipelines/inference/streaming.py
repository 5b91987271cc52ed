"""A reply while it is being made: which of its sampled ids may be seen already, and the parts a caller is told.

`VisibleText` turns ids into pieces of text that never have to be taken back: half a character, blanks that may turn out
to be the end, the `[scene]` line and special pieces are held back. All pieces together are the reply's words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image
from transformers import PreTrainedTokenizerBase

from pipelines.data.chat_template import SCENE_MARK

_UNSURE = re.compile(r"[\s\ufffd]+\Z")
"""Blanks, which go when the words end here, and what half a character looks like."""


@dataclass(frozen=True)
class Reply:
    """One answer of a character."""

    text: str
    scene: str = ""
    """What its picture shows, in words; begins with the character's name."""
    picture: Image.Image | None = None
    first_text_s: float = 0.0
    """Seconds until the first of its words could be read."""
    seconds: float = 0.0
    """Seconds until all of it was there, the picture too."""


@dataclass(frozen=True)
class TextPiece:
    """More of a side's words; the pieces in order, put together, are its reply's text."""

    side: int
    """Which of the replies that are made together, from 0."""
    text: str
    """Never empty."""


@dataclass(frozen=True)
class SceneReady:
    """A side's words are complete, and this is what its picture will show; sent once, before any picture is drawn."""

    side: int
    text: str
    """All its words."""
    scene: str
    """Empty when there is none."""
    drawing: bool
    """Whether a picture follows."""


@dataclass(frozen=True)
class ReplyDone:
    """A side is done; sent once, last of its side."""

    side: int
    reply: Reply


ReplyPart = TextPiece | SceneReady | ReplyDone
"""What a caller hears of a reply, in this order for each side."""


class VisibleText:
    """The words of one reply as they become certain."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self.shown = ""
        """All that was handed out."""

    def add(self, token: int) -> str:
        """What may be seen now that was not before; often empty."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True).lstrip()
        return self._show(_certain(text))

    def finish(self, words: str) -> str:
        """What is missing of the whole words."""
        return self._show(words)

    def _show(self, text: str) -> str:
        # Decoding more ids only ever adds at the end, once the unsure end is left out.
        if not text.startswith(self.shown):
            return ""
        piece = text[len(self.shown) :]
        self.shown = text
        return piece


def _certain(text: str) -> str:
    """The start of a half-written reply that stays whatever follows."""
    mark = SCENE_MARK.strip()
    words, found, _ = text.partition(mark)
    words = _UNSURE.sub("", words)
    if found:
        return words
    begun = next((size for size in range(len(mark) - 1, 0, -1) if words.endswith(mark[:size])), 0)
    return _UNSURE.sub("", words[: len(words) - begun])
