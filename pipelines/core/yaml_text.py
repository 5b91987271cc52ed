"""YAML that creators write, read with guards and written to be read by people.

Every plain scalar is read as text: `answer: no` is "no" and `name: 007` is "007", never a truth value or a number.
Anchors, aliases (the "billion laughs" attack), tags, deep nesting, doubled keys and big files are refused
with a line number, and no object is ever built from a tag.
"""

from __future__ import annotations

import datetime
from typing import Any, NoReturn

import yaml

from pipelines.core.decode_text import decode_text
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.words import whole_text, whole_value

MAX_YAML_BYTES = 2 * 1024 * 1024
"""Largest yaml file read or written; a character of 1,000 conversations is about 0.5 MiB."""
MAX_ITEMS = 60_000
"""Most keys, texts, lists and groups in one file; a character of 1,000 conversations has about 40,000."""
MAX_DEPTH = 40
"""Deepest nesting of lists and entries; imported cards' extensions stay below 15."""

MAX_VALUE_CHARS = 300
"""Longest number, date or truth value; a longer one stays text. Hours and minutes (1:30:00) take quadratic time."""

# libyaml's parser is ten times as fast as the one in Python and accepts the same language.
_Loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

# What PyYAML's safe constructor raises on values it recognises but cannot build (a 13th month, an empty number).
_BUILD_ERRORS = (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class _TextLoader(_Loader):  # type: ignore[misc]
    """Resolves no plain scalar but null; every other one stays the text that was typed."""


_TextLoader.yaml_implicit_resolvers = {
    first: kept
    for first, rules in _Loader.yaml_implicit_resolvers.items()
    if (kept := [rule for rule in rules if rule[0] == "tag:yaml.org,2002:null"])
}


class _TypedLoader(_Loader):  # type: ignore[misc]
    """Resolves numbers, truth values and dates; one that cannot be built (5,000 digits, a 13th month) stays text."""


def _construct_or_text(tag: str) -> None:
    build = _Loader.yaml_constructors[tag]

    def construct(loader: Any, node: Any) -> Any:
        try:
            return build(loader, node) if len(node.value) <= MAX_VALUE_CHARS else str(node.value)
        except _BUILD_ERRORS:
            return str(node.value)

    _TypedLoader.add_constructor(tag, construct)


for _kind in ("int", "float", "timestamp", "bool"):
    _construct_or_text(f"tag:yaml.org,2002:{_kind}")


class _ReadableDumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no alias for a value that stands twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Unicode line breaks are folded by readers unless they are escaped, so such texts are double-quoted.
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_ReadableDumper.add_representer(str, _represent_text)


def read_yaml(data: bytes, file: str) -> dict[str, Any]:
    """The entries of a yaml file; words stay text, only `extensions` keeps numbers and truth values.

    Raises CharacterProblems naming `file` when the bytes are too many, not UTF-8, not yaml, not a list of
    `key: value` entries, or use something of yaml that a character never needs.
    """
    _check_size(len(data), file)
    text = _decode(data, file)
    try:
        _check_events(text, file)
        loaded = yaml.load(text, Loader=_TextLoader)  # a subclass of the safe loader
        if isinstance(loaded, dict) and "extensions" in loaded:
            # Kept for export to other programs, which tell "1" from 1.
            typed = yaml.load(text, Loader=_TypedLoader)
            loaded["extensions"] = typed["extensions"]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and _open_brackets(text, mark) > MAX_DEPTH:
            _refuse_depth(file, mark.line + 1)
        line = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        typed_line = "\n".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
        message = f"{file} cannot be read{line}: {error.problem or error.context}."
        _refuse(file, message, _mend_for_line(str(error.problem), typed_line))
    except yaml.reader.ReaderError as error:
        _refuse(
            file,
            f"{file} holds a character no text has (at position {error.position}).",
            "Open it in a text editor, delete the strange character and save as UTF-8.",
        )
    except _BUILD_ERRORS as error:
        _refuse(file, f"{file} holds a value that cannot be read: {error}.", "Put the value in quotes.")
    if loaded is None:
        _refuse(file, f"{file} is empty.", "Write at least `name:` and `persona:`; see the page on data.")
    if not isinstance(loaded, dict):
        _refuse(
            file,
            f"{file} is not a list of entries like `name: Mira`.",
            "Begin each entry at the start of a line with its key, a colon and a space.",
        )
    return {whole_text(str(key)): whole_value(value) for key, value in loaded.items()}


def write_yaml(entries: dict[str, Any], file: str) -> bytes:
    """UTF-8 yaml of the entries, in their order; read back by `read_yaml` to equal entries.

    Raises CharacterProblems when the result would be refused on reading (too big, too deep).
    """
    plain = _to_plain_types(entries, file, 0)
    _check_size(_text_bytes(plain), file)  # before writing, which takes a second for a megabyte
    # 1 << 20: long lines are not folded, so that a turn is one line in a diff.
    text = yaml.dump(plain, Dumper=_ReadableDumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    data = text.encode("utf-8")
    read_yaml(data, file)
    return data


def _check_size(size: int, file: str) -> None:
    if size > MAX_YAML_BYTES:
        _refuse(
            file,
            f"{file} is {size / 2**20:.1f} MiB; at most {MAX_YAML_BYTES >> 20} MiB are read.",
            "Take out texts that do not belong to the character; pictures go into images/, not into this file.",
        )


def _text_bytes(value: Any) -> int:
    """Bytes of all texts inside, which the file has at least."""
    if isinstance(value, dict):
        return sum(_text_bytes(key) + _text_bytes(part) for key, part in value.items())
    if isinstance(value, list):
        return sum(map(_text_bytes, value))
    return len(value.encode("utf-8", "replace")) if isinstance(value, str) else 0


def _refuse(file: str, message: str, mend: str) -> NoReturn:
    raise CharacterProblems([Problem(file, message, mend)])


def _decode(data: bytes, file: str) -> str:
    # Nobody reads notes on a file of one's own: a guess would be written back as if it were right.
    return decode_text(data, file, guess=False)[0]


def _mend_for_line(problem: str, line: str) -> str:
    if "tab" in problem or line.lstrip(" ").startswith("\t"):
        return "Indent with spaces, not with tabs."
    if "mapping values are not allowed" in problem:
        return 'A text that holds a colon must stand in quotes: answer: "It\'s simple: tea".'
    return "Look at that line and the one above: check the indentation, and put texts with : # ' \" in quotes."


def _check_events(text: str, file: str) -> None:
    """Refuse what a character never needs from the parser's events, before anything is built of them."""
    # One frame for each open collection: the keys seen so far (None in a list), and whether the next scalar is a key.
    frames: list[tuple[set[str] | None, bool]] = []
    items = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            frames.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        items += 1
        if items > MAX_ITEMS:
            _refuse(
                file,
                f"{file} holds more than {MAX_ITEMS:,} entries; line {line} is where reading stopped.",
                "Keep the best conversations and facts, some hundreds are plenty.",
            )
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            _refuse(
                file,
                f"{file} uses a yaml shortcut (& or *) at line {line}, which is not read.",
                "Write the text out, or put it in quotes if the & or * belongs to it.",
            )
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag not in (None, "!"):
            _refuse(
                file,
                f"{file} uses a yaml tag ({event.tag[:40]}) at line {line}, which is not read.",
                "Put the text in quotes if the ! belongs to it, otherwise take the tag out.",
            )
        keys, key_next = frames[-1] if frames else (None, False)
        if keys is not None:
            frames[-1] = (keys, not key_next)
            if key_next and isinstance(event, yaml.ScalarEvent):
                if event.value in keys:
                    _refuse(
                        file,
                        f"{file} says {event.value[:60]!r} twice in the same place (line {line}).",
                        "Keep one of the two, or join their texts.",
                    )
                keys.add(event.value)
        if isinstance(event, yaml.CollectionStartEvent):
            frames.append((set(), True) if isinstance(event, yaml.MappingStartEvent) else (None, False))
            if len(frames) > MAX_DEPTH:
                _refuse_depth(file, line)


def _refuse_depth(file: str, line: int) -> NoReturn:
    _refuse(
        file,
        f"{file} is nested more than {MAX_DEPTH} deep at line {line}.",
        "Check the indentation and the brackets around that line.",
    )


def _open_brackets(text: str, mark: yaml.Mark) -> int:
    """How many brackets of the mark's line are open there, quoted ones too.

    A parser reads ahead for the end of a key, on its line, and may refuse brackets (libyaml does from 1,000 on) before
    `_check_events` is given the first of them.
    """
    line = text[text.rfind("\n", 0, mark.index) + 1 : mark.index]
    return line.count("[") + line.count("{") - line.count("]") - line.count("}")


def _to_plain_types(value: object, file: str, depth: int) -> Any:
    """The value in the types that YAML has itself: text keys, lists, texts as `read_yaml` gives them back."""
    if depth > MAX_DEPTH:
        _refuse(file, f"{file} would be nested more than {MAX_DEPTH} deep.", "Take the deepest extension out.")
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {
            _to_plain_types(str(key), file, depth): _to_plain_types(item, file, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_to_plain_types(item, file, depth + 1) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)
