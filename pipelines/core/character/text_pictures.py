"""Pictures that stand in texts as base64, cleaned like any other: in addresses (`data:image/png;base64,...`) or alone.

Cards keep some: RisuAI's faces, pictures in the notes of whoever made the card, in greetings and lorebooks.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from pipelines.core.character.image_decode import without_metadata
from pipelines.core.problems import CharacterProblems, changed, left_out

MAX_TEXT_PICTURES = 200
"""Most that are opened; cards of RisuAI have some dozens."""
_SHORTEST = 60
_LINES = r"(?:\s{1,4}[A-Za-z0-9+/]{60,})*(?:\s{1,4}[A-Za-z0-9+/]*={1,2})?"
"""More lines of base64, as mail programs break it; the last one is told by its padding."""
_PICTURE = re.compile(
    rf"(?P<address>(?i:data:image/[\w.+-]{{1,40}}(?:;[\w.=-]{{1,40}}){{0,3}};base64,))[A-Za-z0-9+/=_%-]*{_LINES}"
    rf"|(?<![A-Za-z0-9+/])(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD)[A-Za-z0-9+/]{{40,}}={{0,2}}{_LINES}"
)
"""An address of a picture, or base64 that begins as a PNG, JPEG, WebP or GIF does."""
CLEANED = changed("pictures in its texts were taken without what they told besides")
LEFT_OUT = left_out("pictures in its texts that cannot be opened, or are too many, were left out")

Value = TypeVar("Value")


def with_clean_texts(value: Value, mended: Counter[str] | None = None) -> Value:
    """A character, or a value of JSON, whose texts hold pictures without metadata only.

    A picture that cannot be opened is left out. What was done is counted in `mended`.
    """
    return cast(Value, _Cleaner(Counter() if mended is None else mended).cleaned(value))


class _Cleaner:
    """Cleans texts one after the other, up to `MAX_TEXT_PICTURES` pictures."""

    def __init__(self, mended: Counter[str]) -> None:
        self._mended = mended
        self._opened = 0

    def cleaned(self, value: Any) -> Any:
        """The same value with clean texts."""
        if isinstance(value, str):
            return _PICTURE.sub(self._picture, value) if len(value) > _SHORTEST else value
        if isinstance(value, Mapping):
            return {key: self.cleaned(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.cleaned, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{name: self.cleaned(item) for name, item in vars(value).items()})
        return value

    def _picture(self, found: re.Match[str]) -> str:
        address = found["address"] or ""
        self._opened += 1
        try:
            if self._opened > MAX_TEXT_PICTURES:
                raise CharacterProblems([])
            packed = "".join(unquote(found.group().removeprefix(address)).split())
            data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
            clean = without_metadata(data)
        except (CharacterProblems, binascii.Error, ValueError):  # ValueError: letters that are not ASCII
            self._mended[LEFT_OUT] += 1
            return ""
        if clean == data:
            return found.group()
        self._mended[CLEANED] += 1
        kind = "jpeg" if clean.startswith(b"\xff\xd8") else "png"
        return (f"data:image/{kind};base64," if address else "") + base64.b64encode(clean).decode()
