"""Which characters a folder or a zip holds: Character Cards side by side, unpacked CHARX, character folders.

What lies least deep counts: a `character.yaml` or `card.json` with everything below its folder, else cards beside each
other, as PNG, JPEG, WebP, CHARX or JSON. Several of the same depth are for the creator to choose from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipelines.core.character.character_folder import CHARACTER_FILE
from pipelines.core.character.names import tidy_name
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.caption_files import is_picture
from pipelines.core.formats.card_fields import card_data, name_of
from pipelines.core.formats.card_files import MAX_TEXT_BYTES
from pipelines.core.formats.card_images import holds_card
from pipelines.core.formats.cards import CARD_FILE, read_card
from pipelines.core.formats.file_sources import FileSource
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.formats.json_text import parse_json
from pipelines.core.problems import CharacterProblems
from pipelines.core.yaml_text import read_yaml

_CARD_KEYS = {"spec", "char_name", "first_mes", "aiPersona", "char_persona"}
_ROOT_FILES = {CHARACTER_FILE: CHARACTER_FILE, "character.yml": CHARACTER_FILE, CARD_FILE: CARD_FILE}
"""Names of files, in lower case, that make their folder a character, and what they are called here."""


@dataclass(frozen=True)
class Member:
    """One of the characters."""

    path: str
    """Of its `character.yaml`, its `card.json`, or its card."""
    name: str

    @property
    def file(self) -> str:
        """`character.yaml` or `card.json`, however it is written; another name for a card that is one file."""
        name = PurePosixPath(self.path).name
        return _ROOT_FILES.get(name.lower(), name)

    def inside(self, path: str) -> str:
        """A path of the bundle as seen from this character's folder; "" outside of it."""
        root = PurePosixPath(self.path).parent
        place = PurePosixPath(path)
        if path == self.path:
            return self.file
        return str(place.relative_to(root)) if place.is_relative_to(root) else ""

    def below(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files in this character's folder, by their path in it."""
        return {inside: data for path, data in files.items() if (inside := self.inside(path))}


@dataclass(frozen=True)
class Bundle:
    """The characters of a folder or zip, and those that lie deeper than they."""

    members: tuple[Member, ...]
    deeper: tuple[Member, ...]
    damaged: tuple[str, ...] = ()
    """Paths of cards that cannot be read."""

    def chosen(self, role: str, file: str, takes_first: bool = False) -> Member:
        """The only one, or the one that is called so; RoleNeeded where nobody said which of several.

        takes_first: of several character folders the first is meant where nobody said which; of cards none is.
        """
        first = self.members[0]
        if len(self.members) == 1 or (takes_first and not role and first.file == CHARACTER_FILE):
            return first
        names = self.names()
        wanted = role.strip().casefold()
        for name, member in names.items():
            if wanted in (name.casefold(), member.path.casefold()):
                return member
        raise RoleNeeded(file, Counter(dict.fromkeys(names, 1)), "characters")

    def names(self) -> dict[str, Member]:
        """The members by name; where two have the same one, by name and path."""
        called = Counter(member.name.casefold() for member in self.members)
        return {
            member.name if called[member.name.casefold()] == 1 else f"{member.name} ({member.path})": member
            for member in self.members
        }


def find_characters(source: FileSource) -> Bundle | None:
    """The characters in a folder or zip; None where there is none, or where another reader knows the whole better."""
    paths = [path for path in source.paths if not _is_hidden(path)]
    if "manifest.json" in paths:  # Backyard
        return None
    roots = [path for path in paths if PurePosixPath(path).name.lower() in _ROOT_FILES]
    if roots:
        depth = min(map(_depth, roots))
        files = source.read(lambda path: path in roots, Counter())
        found = [Member(path, _name_in(files[path], path) or _spare_name(path)) for path in sorted(roots)]
        return Bundle(
            tuple(member for member in found if _depth(member.path) == depth),
            tuple(member for member in found if _depth(member.path) > depth),
        )
    files = source.read(lambda path: not _is_hidden(path) and _may_be_card(path), Counter())
    cards = [path for path in sorted(files) if _is_card(files[path], path)]
    named = {path: _name_in(files[path], path) for path in cards}
    members = tuple(Member(path, name) for path, name in named.items() if name)
    return Bundle(members, (), tuple(path for path in cards if not named[path])) if members else None


def listed_cards(data: bytes, file: str) -> dict[str, dict[str, Any]]:
    """The cards of a file that is a list of several, or has one a line, by the names to choose from; {} otherwise.

    Raises:
        CharacterProblems: too large, or nested too deeply.
    """
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")):
        return {}
    try:
        text, _ = decode_text(data, file)
        listed = _json_values(text, file)
    except CharacterProblems:
        return {}
    cards = [value for value in listed if isinstance(value, dict) and _CARD_KEYS & value.keys()]
    if len(cards) < 2 or len(cards) < len(listed):
        return {}
    names = [_listed_name(card, f"{file}, card {number}") for number, card in enumerate(cards, start=1)]
    twice = Counter(name.casefold() for name in names)
    return {
        name if twice[name.casefold()] == 1 else f"{name} (card {number})": card
        for number, (name, card) in enumerate(zip(names, cards, strict=True), start=1)
    }


def _json_values(text: str, file: str) -> list[Any]:
    """The items of a JSON list, or of one value a line."""
    try:
        value = parse_json(text, file)
        return value if isinstance(value, list) else [value]
    except ValueError:
        pass
    values = []
    for line in text.splitlines():
        if line.strip():
            try:
                values.append(parse_json(line, file))
            except ValueError:
                return []
    return values


def _listed_name(card: dict[str, Any], spare: str) -> str:
    try:
        return name_of(card_data(card, spare).data)[:60]
    except CharacterProblems:
        return spare


def _depth(path: str) -> int:
    return len(PurePosixPath(path).parts)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def _may_be_card(path: str) -> bool:
    return is_picture(path) or path.lower().endswith((".json", ".charx"))


def _is_card(data: bytes, path: str) -> bool:
    if is_picture(path):
        return holds_card(data)
    return data.startswith(b"PK") or isinstance(_card(data, path), dict)


def _card(data: bytes, path: str) -> Any:
    """The object in a JSON file that has the keys of a card; None for any other file."""
    if len(data) > MAX_TEXT_BYTES:
        return None
    try:
        value = parse_json(decode_text(data, path)[0], path)
    except (ValueError, CharacterProblems):
        return None
    return value if isinstance(value, dict) and _CARD_KEYS & value.keys() else None


def _name_in(data: bytes, path: str) -> str:
    """What a character calls itself; "" where it cannot be read."""
    try:
        if _ROOT_FILES.get(PurePosixPath(path).name.lower()) == CHARACTER_FILE:
            name = read_yaml(data, path).get("name")
        elif is_picture(path) or data.startswith(b"PK"):
            name = read_card(data, path).character.name
        else:
            name = name_of(card_data(parse_json(decode_text(data, path)[0], path), path).data)
    except (ValueError, CharacterProblems):
        return ""
    return tidy_name(name)[:60] if isinstance(name, str) else ""


def _spare_name(path: str) -> str:
    return PurePosixPath(path).parent.name or path
