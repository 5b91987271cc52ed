"""Conversations from other tools' data sets: ShareGPT, chat messages as JSON lines, `<START>` blocks.

Each function takes the text of a file and returns `(interactions, problems)`: what could be used, and what was mended
or left out, counted, in the creator's words. Text from which nothing can be used raises `CharacterProblems`.
Both JSON forms may come as one list or as one object a line. Pictures inside such files are only names; they are not
imported, and `<image>` marks are taken out of the words.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from pipelines.core.character.character import Interaction, Role
from pipelines.core.formats.card_files import MAX_TEXT_BYTES, refuse
from pipelines.core.formats.start_blocks import BlockTurn, SpeakerNames, read_blocks, settle_turns
from pipelines.core.problems import Problem

MAX_DEPTH = 36
"""Deepest nesting of lists and objects that is followed, so that yaml (40) can hold it; real cards stay below 15."""

_IMAGE_MARK = re.compile(r"[ \t]*<image>[ \t]*\n?", re.IGNORECASE)
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter", "you"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "character", "char", "machine", "ai"), "character"),
    **dict.fromkeys(("system", "developer", "tool", "function", "function_call", "observation"), "system"),
}


def interactions_from_sharegpt(text: str, file: str = "the data") -> tuple[tuple[Interaction, ...], list[Problem]]:
    """Conversations of `{"conversations": [{"from": "human", "value": ...}, ...]}` records."""
    turns = '[{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]'
    return _read_interactions(text, file, f'{{"conversations": {turns}}}')


def interactions_from_messages_jsonl(
    text: str, file: str = "the data"
) -> tuple[tuple[Interaction, ...], list[Problem]]:
    """Conversations of `{"messages": [{"role": "user", "content": ...}, ...]}` records."""
    turns = '[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
    return _read_interactions(text, file, f'{{"messages": {turns}}}')


def interactions_from_start_blocks(
    text: str, name: str, nickname: str = "", file: str = "the examples"
) -> tuple[tuple[Interaction, ...], list[Problem]]:
    """Conversations of `<START>` blocks with `{{user}}:` and `{{char}}:` (or the name) before each turn."""
    interactions, mended = read_blocks(tidy_text(text), SpeakerNames(name, nickname))
    if not interactions:
        refuse(file, "holds no conversation", "Begin each with <START>, and each turn with {{user}}: or {{char}}:.")
    return interactions, notes_from(mended, file)


def _read_interactions(text: str, file: str, example: str) -> tuple[tuple[Interaction, ...], list[Problem]]:
    mended: Counter[str] = Counter()
    interactions = []
    columns: Counter[str] = Counter()
    for record in _read_records(text, file, mended):
        turns = _read_turns(record, mended)
        if turns is None:
            columns.update(list(record) if isinstance(record, dict) else [])
            mended["records without a conversation were left out"] += 1
            continue
        settled = settle_turns(turns, mended)
        if settled:
            interactions.append(settled)
    if not interactions:
        names = ", ".join(repr(name[:40]) for name, _ in columns.most_common(6))
        found = f" (it has the columns {names})" if names else ""
        refuse(file, f"holds no conversation that can be read{found}", f"Each record must look like {example}.")
    return tuple(interactions), notes_from(mended, file)


def _read_records(text: str, file: str, mended: Counter[str]) -> list[Any]:
    """The records of a JSON list, of one JSON object, or of JSON lines."""
    text = text.lstrip("\ufeff").strip()
    try:
        return _as_list(parse_json(text, file))
    except ValueError as first:
        # Not one JSON value: then it must be one value a line.
        lines = [line for line in text.splitlines() if line.strip()]
        records = []
        for line in lines:
            try:
                records += _as_list(parse_json(line, file))
            except ValueError:
                mended["lines that are not JSON were left out"] += 1
        if not records:
            refuse(file, f"is not JSON ({first})", "Send a JSON list, or one JSON object a line.")
        return records


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _read_turns(record: Any, mended: Counter[str]) -> list[BlockTurn] | None:
    """The turns of one record; None when it has no conversation."""
    if not isinstance(record, dict):
        return None
    listed = next((record[key] for key in ("conversations", "conversation", "messages") if key in record), None)
    if not isinstance(listed, list):
        return None
    turns = []
    for turn in listed:
        if not isinstance(turn, dict):
            mended["turns that are not objects were left out"] += 1
            continue
        speaker = turn.get("from", turn.get("role"))
        role = _ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
        if role is None:
            mended["turns of an unknown speaker were left out (known: user, assistant, human, gpt, system)"] += 1
            continue
        turns.append(BlockTurn(role, _read_content(turn.get("value", turn.get("content")), mended)))
    return turns


def _read_content(content: Any, mended: Counter[str]) -> str:
    """The text of a turn: a string, or the text parts of an OpenAI content list; `<image>` marks are taken out."""
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if len(texts) < len(content):
            mended["pictures named in the data were left out: add them to the character's images"] += 1
        content = "\n".join(texts)
    if not isinstance(content, str):
        return ""
    text, marks = _IMAGE_MARK.subn("", content)
    if marks:
        mended["pictures named in the data were left out: add them to the character's images"] += 1
    return text


def notes_from(mended: Counter[str], file: str) -> list[Problem]:
    """One warning for each kind of mending, with its count."""
    mend = "Nothing to do, unless it matters to you."
    return [Problem(file, f"{sentence} ({count} x).", mend, "warning") for sentence, count in mended.items()]


def parse_json(text: str | bytes, file: str) -> Any:
    """A JSON value, with texts tidied.

    Raises:
        ValueError: not JSON; the message says where.
        CharacterProblems: too large, nested deeper than `MAX_DEPTH`, or a number that JSON does not have.
    """
    if len(text) > MAX_TEXT_BYTES:
        refuse(file, f"is larger than {MAX_TEXT_BYTES >> 20} MB", "Split it, or take the pictures out.")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        refuse(file, "is nested too deeply", "Save it again from the program that made it.")
    return _tidy(value, file, MAX_DEPTH)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _tidy(value: Any, file: str, depth: int) -> Any:
    """The value with all its texts tidied, so that it can be written as UTF-8 and YAML."""
    if depth == 0:
        refuse(file, "is nested too deeply", "Save it again from the program that made it.")
    if isinstance(value, str):
        return tidy_text(value)
    if isinstance(value, list):
        return [_tidy(item, file, depth - 1) for item in value]
    if isinstance(value, dict):
        return {tidy_text(key): _tidy(item, file, depth - 1) for key, item in value.items()}
    return value


def tidy_text(text: str) -> str:
    """The text with Unix line ends, without NUL and with half surrogates replaced."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
