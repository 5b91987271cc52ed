"""Names of files that strangers give, as every system can store them: Windows' devices, long and odd names are told.

is_storable("CON.png")        False: on Windows it names a device, with any ending
storable("aux", "character")  "character-aux"; cut to what a file system takes
"""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_BYTES = 240
"""Most bytes of a name; file systems take 255, and endings such as `.new` are put behind it."""
_DEVICE = re.compile(r"(?:con|prn|aux|nul|con(?:in|out)\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?", re.I)
"""Names that Windows keeps for its devices."""
_REFUSED = frozenset('\\/:*?"<>|')
"""Signs that some system refuses in a name."""


def is_device(name: str) -> bool:
    """Whether Windows takes the name for a device, whatever its ending."""
    return _DEVICE.fullmatch(name) is not None


def name_bytes(name: str) -> int:
    """Bytes of a name as most systems store it."""
    return len(name.encode("utf-8", "surrogatepass"))


def is_storable(name: str) -> bool:
    """Whether the name can be given to a file on every system."""
    odd = any(sign in _REFUSED or unicodedata.category(sign) in ("Cc", "Cs") for sign in name)
    whole = bool(name) and not name.startswith(".") and not name.endswith((".", " "))
    return whole and not odd and not is_device(name) and name_bytes(name) <= MAX_NAME_BYTES


def storable(name: str, spare: str) -> str:
    """The name as every system can store it; `spare` where nothing is left of it, or before a device's name."""
    signs = ("_" if sign in _REFUSED or unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in name)
    plain = "".join(signs).strip(" .").encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    if is_device(plain):
        return f"{spare}-{plain}"
    return plain or spare
