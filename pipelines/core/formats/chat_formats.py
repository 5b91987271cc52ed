"""Conversations from other tools' data sets: ShareGPT, chat messages as JSON lines, `<START>` blocks.

Each function takes the text of a file and returns `(interactions, problems)`: what could be used, and what was mended
or left out, counted, in the creator's words. Text from which nothing can be used raises `CharacterProblems`.
Both JSON forms may come as one list or as one object a line. Pictures inside such files are only names; they are not
imported, and `<image>` marks are taken out of the words.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from pipelines.core.character.character import Interaction, Role
from pipelines.core.formats.card_examples import BlockTurn, SpeakerNames, read_blocks, settle_turns
from pipelines.core.formats.import_notes import notes_from, refuse
from pipelines.core.formats.json_text import parse_json, tidy_text
from pipelines.core.problems import Problem

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
