"""Emoji and icons from npm packages, as characters for training: fetched, checked, selected and named.

`prepare_symbols(cache)` downloads the packages of `PACKAGES` with the npm client, compares each file with its pinned
SHA-512 (the registry's own integrity string), and writes one file of the symbols that can stand for a character. None
of it is committed or shipped; licences are in pipelines/models/starter/LICENCES.md. Flags, letters, signs, hands,
clocks, hearts and variants in skin tone are left out, and symbols that are too plain or too detailed to be recognised.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.core.durable import replace_durably

FOLDER_NAME = "symbols"
"""In the cache: the packages as downloaded and `symbols.json`."""
SVG_CHARACTERS = (250, 14_000)
"""Fewest and most characters of a symbol's SVG."""
_CATEGORIES_LEFT_OUT = {"Flags", "Symbols"}
_SKIN_TONE = re.compile(r"-(medium-light|medium-dark|light|medium|dark)(-skin-tone)?(-|$)")
_LEFT_OUT = re.compile(
    r"\b(flags?|letters?|sign|signpost|hands?|fingers?|thumbs?|fist|palm-(up|down)|palms|gesture|salute|pinching|pointing"
    r"|index|clapping|waving|hearts?|arrows?|button|keycap|squared|capital|ideograph|latin|speech|bubbles?|bust|busts"
    r"|kiss|couple|silhouette|sort|sorting|row|column|numerical|alphabetical|trademark|copyright|up|down|left|right"
    r"|symbol|facing|number|list|data|chart|grid|cell|trading|dynamic|cancel|minus|plus|checkmark|ok|rotate|expand"
    r"|collapse|text|font|ballot|script|playing-cards|no|do-not|logo|mahjong)\b"
    r"|flag|heart|clock|thirty|pointingindex|bubble|hands?$|callme|call-me|^aok|ideograph|regional|ballot|family|families"
)
"""In a symbol's name. Variants that face the other way are left out as well."""


@dataclass(frozen=True)
class Package:
    """An npm package of the Iconify collection and the integrity of its file."""

    name: str
    version: str
    sha512: str
    """Base64, as the registry gives it behind `sha512-`."""

    @property
    def file_name(self) -> str:
        """What `npm pack` calls the file: "iconify-json-noto-1.2.9.tgz"."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = (
    Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    Package(
        "@iconify-json/noto",
        "1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    ),
    Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    Package(
        "@iconify-json/flat-color-icons",
        "1.2.3",
        "KcmJ7CY0TKFv5GuBjiS4/v++jEcNXna1jfY+yq014tnw/MN/jMI2oYpoMHGuIpYtUqDu7eove+WySnOYO8nS3w==",
    ),
)


class SymbolsMissing(RuntimeError):
    """A package could not be fetched or is not the pinned one; the message says what to do."""


@dataclass(frozen=True)
class Symbol:
    """One emoji or icon."""

    package: str
    """Prefix of its collection: "noto"."""
    name: str
    noun: str
    """Its name in words, without an article: "fox face"."""
    body: str
    """SVG elements."""
    view: tuple[float, float, float, float]
    """left, top, width and height of its view box."""

    @property
    def is_held_out(self) -> bool:
        """Whether training never shows it: one noun in twenty, in all collections alike."""
        digest = hashlib.sha256(f"symbol {self.noun}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % 20 == 0


def prepare_symbols(cache: Path, packages: Sequence[Package] = PACKAGES) -> Path:
    """The file of all selected symbols in `cache`, made on the first call; raises SymbolsMissing."""
    folder = cache / FOLDER_NAME
    versions = " ".join(f"{package.name}@{package.version}" for package in packages)
    target = folder / f"symbols-{hashlib.sha256((versions + _LEFT_OUT.pattern).encode()).hexdigest()[:12]}.json"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    symbols = select_symbols(read_collection(fetch_package(package, folder)) for package in packages)
    incomplete = target.with_suffix(".part")
    incomplete.write_text(json.dumps([asdict(symbol) for symbol in symbols]), encoding="utf-8")
    replace_durably(incomplete, target)
    return target


@lru_cache(maxsize=2)
def read_symbols(file: Path) -> tuple[Symbol, ...]:
    """The symbols that `prepare_symbols` wrote."""
    stored = json.loads(file.read_text(encoding="utf-8"))
    return tuple(Symbol(**entry | {"view": tuple(entry["view"])}) for entry in stored)


def fetch_package(package: Package, folder: Path) -> Path:
    """The package's file in `folder`, downloaded when it is not there; raises SymbolsMissing."""
    file = folder / package.file_name
    wanted = f"{package.name}@{package.version}"
    if not file.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SymbolsMissing(f"{wanted} is needed and there is no npm here: put {package.file_name} into {folder}")
        command = [npm, "pack", "--silent", "--pack-destination", str(folder), wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not file.exists():
            reason = done.stderr.strip()[-300:]
            raise SymbolsMissing(f"{wanted} could not be fetched ({reason}): put {package.file_name} into {folder}")
    digest = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    if digest != package.sha512:
        raise SymbolsMissing(f"{file} is not {wanted} as it was pinned (sha512-{digest}): delete it and try again")
    return file


def read_collection(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A package's icons.json and, from its metadata.json, the category of each name."""
    with tarfile.open(file) as archive:

        def read(name: str) -> dict[str, Any]:
            member = archive.extractfile(f"package/{name}")
            if member is None:
                raise SymbolsMissing(f"{file} holds no {name}")
            found: dict[str, Any] = json.loads(member.read())
            return found

        icons, metadata = read("icons.json"), read("metadata.json")
    categories = metadata.get("categories", {})
    return icons, {name: category for category, names in categories.items() for name in names}


def select_symbols(collections: Iterable[tuple[dict[str, Any], dict[str, str]]]) -> list[Symbol]:
    """The symbols of all collections that can stand for a character, in order of collection and name."""
    read = list(collections)
    words = {word for icons, _ in read for name in icons["icons"] if "-" in name for word in name.split("-")}
    found = []
    for icons, categories in read:
        for name, icon in sorted(icons["icons"].items()):
            if icon.get("hidden") or categories.get(name) in _CATEGORIES_LEFT_OUT:
                continue
            if not SVG_CHARACTERS[0] <= len(icon["body"]) <= SVG_CHARACTERS[1]:
                continue
            # Some collections write their names without hyphens: "babychick".
            spaced = name if "-" in name else "-".join(split_words(name, words))
            if _SKIN_TONE.search(spaced) or _LEFT_OUT.search(spaced) or re.search(r"\d", spaced):
                continue
            width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
            view = (icon.get("left", 0), icon.get("top", 0), width, height)
            found.append(Symbol(icons["prefix"], name, spaced.replace("-", " "), icon["body"], view))
    return found


def split_words(name: str, words: set[str]) -> list[str]:
    """A name without hyphens as its words, the fewest that make it up; the name itself if none do."""
    best: list[list[str] | None] = [[], *([None] * len(name))]
    for end in range(1, len(name) + 1):
        for start in range(max(0, end - 14), end):
            before, word = best[start], name[start:end]
            # Words of one or two letters would fit anywhere.
            if before is None or word not in words or len(word) < 3:
                continue
            if best[end] is None or len(before) + 1 < len(best[end] or []):
                best[end] = [*before, word]
    return best[-1] or [name]
