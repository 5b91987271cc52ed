"""The records of a file of conversations, whatever program wrote it, as plain turns: who speaks and what is said.

Shapes that are known: ShareGPT and chat messages (also under other keys, as one list or a list of lists), Alpaca and
other pairs of columns, preference data (DPO, KTO), SillyTavern's chat files with swipes, and the history of
text-generation-webui. Who is who is decided in `chat_formats.py`. A key that is there but empty never hides
one that is filled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.core.formats.import_notes import refuse, tell
from pipelines.core.formats.json_text import NOT_JSON, parse_json
from pipelines.core.formats.media_marks import MEDIA_LEFT_OUT
from pipelines.core.formats.mmrole_records import RUN_ON_LEFT_OUT, Line, is_record, parse_record
from pipelines.core.problems import left_out

CONVERSATION_KEYS = ("conversations", "conversation", "messages", "dialogue", "dialog", "turns", "chat")
SPEAKER_KEYS = ("from", "role", "speaker", "author", "sender", "name")
TEXT_KEYS = ("value", "content", "text", "message", "mes", "msg")
ROLE_KEYS = ("role", "role_name", "character", "character_name", "char_name", "bot_name")
"""Keys of a record that name whom its conversation is with."""
PAIR_KEYS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
    ("user", "assistant"),
)
BAD_LABELS = frozenset(("false", "0", "0.0", "-1", "bad", "rejected", "undesirable", "negative"))


@dataclass(frozen=True)
class RawTurn:
    """One turn of a record."""

    speaker: str
    """As the file has it: a role, or a name."""
    text: str
    is_good: bool = True
    """False for what the file marks as not to be learned."""
    rejected: tuple[str, ...] = ()
    """Other answers in the same place that were not chosen."""
    is_name: bool = False
    """The file says by itself that the speaker is not the user."""


@dataclass(frozen=True)
class RawRecord:
    """One conversation of a file."""

    turns: tuple[RawTurn, ...]
    role: str = ""
    """Whom it is with, where the record says so."""
    is_good: bool = True
    """False where the record says that its answer is a bad one."""


def read_values(text: str, file: str, mended: Counter[str]) -> list[Any]:
    """The values of a JSON list, of one JSON value, or of JSON lines."""
    text = text.lstrip("\ufeff").strip()
    try:
        value = parse_json(text, file)
    except ValueError as first:
        # Not one JSON value: then it must be one value a line. Only line feeds end a line: a text may hold U+2028.
        values = []
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
            if line.strip():
                try:
                    values.append(parse_json(line, file))
                except ValueError:
                    tell(mended, NOT_JSON, f"line {number}: {line}")
        if not values:
            refuse(file, f"is not JSON ({first})", "Send a JSON list, or one JSON object a line.")
        return [item for value in values for item in (value if _is_list_of_records(value) else [value])]
    return value if isinstance(value, list) else [value]


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) and not _is_turn(item) for item in value)


def records_of(values: Sequence[Any], mended: Counter[str]) -> tuple[list[RawRecord], Counter[str]]:
    """The conversations of the values, and the columns of those that hold none."""
    unread: Counter[str] = Counter()
    if values and all(is_record(value) for value in values):
        return _mmrole(values, mended), unread
    if any(isinstance(value, dict) and "mes" in value and "is_user" in value for value in values):
        return _sillytavern(values, mended), unread
    if values and all(isinstance(value, dict) and _is_turn(value) for value in values):
        return [RawRecord(tuple(_turns(values, mended)))], unread
    records = []
    for value in values:
        record = _record(value, mended)
        if record is None:
            unread.update(map(str, value) if isinstance(value, dict) else [])
            tell(mended, left_out("records without a conversation were left out"), str(value))
        else:
            records.append(record)
    return records, unread


def first_filled(record: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The first value that is neither missing nor empty; None without one."""
    return next((record[key] for key in keys if record.get(key) not in (None, "", [], {})), None)


def _is_turn(value: dict[str, Any]) -> bool:
    """Whether an object is one turn of a conversation, and no record with a conversation in it."""
    speaker = first_filled(value, SPEAKER_KEYS)
    listed = any(isinstance(value.get(key), list) for key in CONVERSATION_KEYS)
    return isinstance(speaker, str) and any(key in value for key in TEXT_KEYS) and not listed


def _record(value: Any, mended: Counter[str]) -> RawRecord | None:
    if isinstance(value, list):
        return _of_list(value, mended)
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("system"), str) and value["system"].strip():
        mended[left_out("system instructions were left out: persona and scenario take their place")] += 1
    listed = next((value[key] for key in CONVERSATION_KEYS if isinstance(value.get(key), list) and value[key]), None)
    spoken = _turns(listed, mended) if listed is not None else _history(value)
    turns = _with_answers(value, spoken, mended) if spoken else _pair(value, mended)
    if turns is None:
        return None
    role = first_filled(value, ROLE_KEYS)
    mark = first_filled(
        {key: str(value[key]) for key in ("label", "kto_tag") if value.get(key) is not None}, ("label", "kto_tag")
    )
    return RawRecord(tuple(turns), role if isinstance(role, str) else "", str(mark).lower() not in BAD_LABELS)


def _of_list(values: list[Any], mended: Counter[str]) -> RawRecord | None:
    """A list of turns, or of pairs of words."""
    if values and all(isinstance(value, dict) and _is_turn(value) for value in values):
        return RawRecord(tuple(_turns(values, mended)))
    pairs = _pairs(values)
    return RawRecord(tuple(pairs)) if pairs else None


def _turns(listed: Iterable[Any], mended: Counter[str]) -> list[RawTurn]:
    turns = []
    for turn in listed:
        if not isinstance(turn, dict):
            tell(mended, left_out("turns that are not objects were left out"), str(turn))
            continue
        speaker = next((turn[key] for key in SPEAKER_KEYS if isinstance(turn.get(key), str) and turn[key].strip()), "")
        is_good = not any(
            turn.get(key) in (0, False) and key in turn for key in ("weight", "train", "loss", "trainable")
        )
        text = words_of_turn(turn, mended)
        if not text.strip() and (keys := [key for key in turn if key not in (*SPEAKER_KEYS, *TEXT_KEYS)]):
            named = ", ".join(repr(str(key)[:30]) for key in keys[:4])
            sentence = f"turns without words: they have the keys {named}"
            mended[left_out(sentence, "Put the words under `content`.")] += 1
        turns.append(RawTurn(speaker.strip(), text, is_good))
    return turns


def words_of_turn(turn: Mapping[str, Any], mended: Counter[str]) -> str:
    """The words of a turn: a string, or the text parts of a content list."""
    content = first_filled(turn, TEXT_KEYS)
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else []:
        words = (
            part if isinstance(part, str) else first_filled(part, ("text", "value")) if isinstance(part, dict) else None
        )
        kind = str(part.get("type", "text")) if isinstance(part, dict) else "text"
        if isinstance(words, str) and kind in ("text", "input_text", "output_text"):
            texts.append(words)
        else:
            mended[MEDIA_LEFT_OUT] += 1
    return "\n".join(texts)


def _pairs(values: Iterable[Any]) -> list[RawTurn]:
    """Turns of [user's words, character's words]; [] when the values are something else."""
    turns = []
    for value in values:
        if not (
            isinstance(value, list) and len(value) == 2 and all(isinstance(item, (str, type(None))) for item in value)
        ):
            return []
        asked, answered = value
        if asked and asked != "<|BEGIN-VISIBLE-CHAT|>":  # text-generation-webui's sign for the greeting
            turns.append(RawTurn("user", asked))
        turns.append(RawTurn("assistant", answered or ""))
    return turns


def _history(record: Mapping[str, Any]) -> list[RawTurn]:
    """The history of text-generation-webui; `visible` holds HTML, so it counts second."""
    keys = ("internal", "data", "visible")
    listed: list[Any] = next((record[key] for key in keys if isinstance(record.get(key), list)), [])
    return _pairs(listed)


def _pair(record: Mapping[str, Any], mended: Counter[str]) -> list[RawTurn] | None:
    """The turns of a record of columns: a question and its answer, perhaps with earlier ones and a rejected one."""
    prompt = first_filled(record, ("instruction", "prompt", "question", "query"))
    if record.get("chosen") and (prompt is not None or isinstance(record["chosen"], list)):
        return _with_answers(record, _as_turns(prompt, "user", mended), mended)
    for asked, answered in PAIR_KEYS:
        answer = record.get(answered)
        question = first_filled(record, (asked,)) or ""
        if asked in record and isinstance(answer, (str, list)):
            earlier = record.get("history")
            turns = _pairs(earlier) if isinstance(earlier, list) else []
            asked_turns = _as_turns(question, "user", mended)
            more = record.get("input") if asked == "instruction" else None
            if asked_turns and isinstance(more, str) and more.strip():
                asked_turns[-1] = replace(asked_turns[-1], text=f"{asked_turns[-1].text}\n{more}")
            return [*turns, *asked_turns, *_as_turns(answer, "assistant", mended)]
    return None


def _as_turns(value: Any, speaker: str, mended: Counter[str]) -> list[RawTurn]:
    """The turns of a value that is words, one turn, or a list of turns."""
    if isinstance(value, str):
        return [RawTurn(speaker, value)]
    if isinstance(value, dict):
        return _turns([value], mended)
    return _turns(value, mended) if isinstance(value, list) else []


def _with_answers(record: Mapping[str, Any], turns: list[RawTurn], mended: Counter[str]) -> list[RawTurn]:
    """The turns with the chosen answer of preference data behind them, which knows the rejected one."""
    chosen = _as_turns(record.get("chosen"), "assistant", mended)
    if not chosen:
        return turns
    rejected = _as_turns(record.get("rejected"), "assistant", Counter())
    whole = len(chosen) > 1  # holds the question too
    last = replace(chosen[-1], rejected=tuple(turn.text for turn in rejected[-1:]))
    return [*([] if whole else turns), *chosen[:-1], last]


def _mmrole(values: Sequence[Any], mended: Counter[str]) -> list[RawRecord]:
    """Samples of MMRole: the lines of each talk with their names; everything else of a sample is no talk."""
    records = []
    for value in values:
        sample = parse_record(value)
        if sample is None:
            mended[left_out("samples whose parts cannot be told apart were left out")] += 1
            continue
        if sample.has_answer:
            mended[left_out("samples of a test were left out: a test is never learned")] += 1
            continue
        if sample.run_on:
            tell(mended, RUN_ON_LEFT_OUT, sample.run_on)
        turns = [
            RawTurn("assistant", line.words) if line.name == sample.role else RawTurn(line.name or "user", line.words)
            for line in (*sample.history, Line(sample.other, sample.words), Line(sample.role, sample.reply))
            if line.words
        ]
        records.append(RawRecord(tuple(turns), sample.role))
    if records:
        sentence = "pictures and profiles of MMRole were left out: import the data as a character to have them"
        mended[left_out(sentence)] += len(records)
    return records


def _sillytavern(values: Sequence[Any], mended: Counter[str]) -> list[RawRecord]:
    """The chats of a SillyTavern file; a line with the chat's metadata begins one."""
    chats: list[list[RawTurn]] = [[]]
    for value in values:
        if not isinstance(value, dict) or "mes" not in value:
            if isinstance(value, dict) and ("user_name" in value or "chat_metadata" in value):
                chats.append([])
            else:
                tell(mended, left_out("lines that are no message were left out"), str(value))
            continue
        extra = value.get("extra")
        told = value.get("is_system") or (isinstance(extra, dict) and extra.get("type") == "narrator")
        name = value.get("name") if isinstance(value.get("name"), str) else ""
        speaker = "narrator" if told else "user" if value.get("is_user") else name
        text = value["mes"] if isinstance(value["mes"], str) else ""
        swipes = value.get("swipes") if isinstance(value.get("swipes"), list) and not value.get("is_user") else []
        others = tuple(
            dict.fromkeys(swipe for swipe in swipes or [] if isinstance(swipe, str) and swipe not in (text, ""))
        )
        chats[-1].append(RawTurn(speaker or "", text, rejected=others, is_name=speaker == name))
    return [RawRecord(tuple(chat)) for chat in chats if chat]
