"""Names of characters: in one line, without what nobody sees, and without the title that card sites put behind them.

Every reader of a character passes its name through `tidy_name`; what of a name is a title is for cards alone.
"""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Zero-width signs that Indic and Persian words and emoji need."""
# A bar, in its forms for Western and East Asian texts; "Tola | The Clock Mender".
_BAR = re.compile(r"[ \t]*[|\uff5c\u2502\u2503\u00a6][ \t]*")


def tidy_name(text: str) -> str:
    """The name in one line with single spaces, without control and other invisible characters."""
    seen = (
        " " if sign.isspace() else "" if unicodedata.category(sign) in ("Cc", "Cf") and sign not in _JOINERS else sign
        for sign in text
    )
    return " ".join("".join(seen).split())


def split_title(name: str) -> tuple[str, str]:
    """The name before a bar and the title behind it, as card sites write them; the whole name and "" without one."""
    parts = [part for part in _BAR.split(name) if part.strip()]
    first = next((part for part in parts if any(sign.isalnum() for sign in part)), "")
    if len(parts) < 2 or not first:
        return (first or name), ""
    return first, " | ".join(part for part in parts if part is not first)
