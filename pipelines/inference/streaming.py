"""Streaming of a reply: the parts a caller gets while it is generated, and incremental detokenisation.

`VisibleText` turns ids into pieces of text: incomplete UTF-8 characters, whitespace that may turn out to be trailing,
PICTURE_MARK and special tokens are held back. All pieces joined are the reply's text, unless sampling ran out of ids in
the middle of a sentence: then `SceneReady` has the text without that sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from transformers import PreTrainedTokenizerBase

from pipelines.data.chat_template import PICTURE_MARK

_UNSURE = re.compile(r"[\s\ufffd]+\Z")
"""Whitespace, which is stripped if the text ends here, and U+FFFD, which an incomplete character decodes to."""


@dataclass(frozen=True)
class Reply:
    """One answer of a character."""

    text: str
    scene: str = ""
    """What its picture shows, in words; begins with the character's name."""
    picture: Image.Image | None = None
    first_text_s: float = 0.0
    """Seconds until the first piece of its text."""
    seconds: float = 0.0
    """Seconds until all of it, the image included."""


@dataclass(frozen=True)
class TextPiece:
    """More of a side's text, to be put behind the pieces before."""

    side: int
    """Index of the reply in its batch."""
    text: str
    """Never empty."""


@dataclass(frozen=True)
class SceneReady:
    """A side's text is complete, and this is what its image will show; sent once, before any image is drawn."""

    side: int
    text: str
    """The whole text; replaces the pieces."""
    scene: str
    """Empty when there is none."""
    drawing: bool
    """Whether an image follows."""


@dataclass(frozen=True)
class ReplyDone:
    """A side is complete; sent once, last of its side."""

    side: int
    reply: Reply


ReplyPart = TextPiece | SceneReady | ReplyDone
"""What a caller gets, in this order for each side."""


class VisibleText:
    """The text of one reply as it becomes certain."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, begun: Sequence[int] = ()) -> None:
        """begun: ids of the words that the reply goes on from."""
        self._tokenizer = tokenizer
        self._ids = list(begun)
        self.shown = tokenizer.decode(self._ids, skip_special_tokens=True).strip() if begun else ""
        """All that was returned so far, and the words that were there before."""

    def add(self, token: int) -> str:
        """New text that is certain now; often empty."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True).lstrip()
        return self._show(_certain(text))

    def finish(self, text: str) -> str:
        """What of the whole text was not returned yet."""
        return self._show(text)

    def _show(self, text: str) -> str:
        # Decoding more ids only ever appends, once the uncertain end is held back.
        if not text.startswith(self.shown):
            return ""
        piece = text[len(self.shown) :]
        self.shown = text
        return piece


def _certain(text: str) -> str:
    """The beginning of an incomplete reply that stays the same whatever follows."""
    if PICTURE_MARK.startswith(text):
        return ""  # it may become the mark
    return _UNSURE.sub("", text.removeprefix(PICTURE_MARK).lstrip())
