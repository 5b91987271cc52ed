"""Reading of values that a person or another program wrote: text, list or mapping, with a problem in place of a raise.

Each function is given the `field` that a problem names, `what` the creator would call the thing, and the list that
problems are added to, so that one reading finds all of them. Used by `serialize.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, TypeVar

from pipelines.core.problems import Problem, unknown_keys

T = TypeVar("T")


def kind_of(value: object) -> str:
    """The kind of a value in a creator's words."""
    if isinstance(value, dict):
        return "a group of entries"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else "a text"


def read_text(value: object, field: str, what: str, problems: list[Problem]) -> str:
    """A text without the space around it, numbers and dates as they were typed; "" for none."""
    if value is None:
        return ""
    if isinstance(value, (str, int, float, datetime.date)):
        return str(value).strip()
    mend = "Write it as one text; put it in quotes if it holds a colon."
    problems.append(Problem(field, f"{what} is {kind_of(value)} where a text is expected.", mend))
    return ""


def read_list(
    value: object,
    field: str,
    what: str,
    problems: list[Problem],
    read: Callable[[object, str, str, list[Problem]], T | None],
) -> tuple[T, ...]:
    """Every item of a list through `read(item, field, what, problems)`, which gives None for an unusable one."""
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)):
        mend = f"Begin each {what} on its own line with a dash and a space."
        problems.append(Problem(field, f"{field!r} is {kind_of(value)} where a list is expected.", mend))
        return ()
    read_items = (read(item, f"{field}[{n}]", f"{what} {n + 1}", problems) for n, item in enumerate(value))
    return tuple(item for item in read_items if item is not None)


def read_mapping(
    value: object, field: str, what: str, known: tuple[str, ...], problems: list[Problem]
) -> dict[str, Any]:
    """The entries of a mapping with text keys; {} and a problem when it is something else."""
    if not isinstance(value, dict):
        mend = f"Write it as lines like `{known[-1]}: ...`; known here: {', '.join(known)}."
        problems.append(Problem(field, f"{what.capitalize()} is {kind_of(value)} where entries are expected.", mend))
        return {}
    entries = {str(key): item for key, item in value.items()}
    problems += unknown_keys(entries, known, what.capitalize(), f"{field}.")
    return entries


def to_json(value: object) -> object:
    """The value as JSON can hold it: keys and dates become text, tuples become lists."""
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
