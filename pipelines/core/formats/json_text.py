"""JSON and plain text from strangers, read with guards: size, depth, and what UTF-8 and YAML cannot hold.

Cards, data sets of conversations and RoleScape folders are all read through `parse_json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pipelines.core.formats.card_files import MAX_TEXT_BYTES
from pipelines.core.formats.import_notes import refuse
from pipelines.core.problems import left_out
from pipelines.core.words import tidy_text
from pipelines.core.yaml_text import MAX_DEPTH

MAX_JSON_DEPTH = MAX_DEPTH - 4
"""Deepest nesting that is followed, so that `character.yaml` can hold it among its own entries; real cards stay below
15."""
NOT_JSON = left_out(
    "lines that are not JSON were left out",
    "Look at those lines if they matter: each must be one whole JSON object.",
)


_MAX_DIGITS = 300


def _whole_number(digits: str) -> int | str:
    """A whole number; one too long for any use stays text, where Python would refuse the file."""
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


JSON_VALUES: dict[str, Any] = {"parse_constant": lambda _: None, "parse_int": _whole_number, "parse_float": _finite}
"""How `json` makes values of what strangers write: NaN and infinities, from an empty column of a table, are null."""


def parse_json(text: str | bytes, file: str) -> Any:
    """A JSON value, with texts tidied; NaN and infinities, which some programs write, are null.

    Raises:
        ValueError: not JSON; the message says where.
        CharacterProblems: too large, or nested deeper than `MAX_JSON_DEPTH`.
    """
    if len(text) > MAX_TEXT_BYTES:
        refuse(file, f"is larger than {MAX_TEXT_BYTES >> 20} MB", "Split it, or take the pictures out.")
    try:
        value = json.loads(text, **JSON_VALUES)
    except RecursionError:
        refuse(file, "is nested too deeply", "Save it again from the program that made it.")
    return _tidy_value(value, file, MAX_JSON_DEPTH)


def _tidy_value(value: Any, file: str, depth: int) -> Any:
    """The value with all its texts tidied, so that it can be written as UTF-8 and YAML."""
    if depth == 0:
        refuse(file, "is nested too deeply", "Save it again from the program that made it.")
    if isinstance(value, str):
        return tidy_text(value)
    if isinstance(value, list):
        return [_tidy_value(item, file, depth - 1) for item in value]
    if isinstance(value, dict):
        return {tidy_text(key): _tidy_value(item, file, depth - 1) for key, item in value.items()}
    return value


def text_of(item: Mapping[str, Any], key: str) -> str:
    """The text under a key without space around it; "" where there is none."""
    value = item.get(key)
    return value.strip() if isinstance(value, str) else ""


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
