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
from dataclasses import replace
from typing import Any

from pipelines.core.formats.import_notes import refuse, tell
from pipelines.core.formats.json_text import NOT_JSON, parse_json
from pipelines.core.formats.media_marks import FILMS_LEFT_OUT, MEDIA_LEFT_OUT
from pipelines.core.formats.mmrole_records import RUN_ON_LEFT_OUT, Line, is_record, parse_record
from pipelines.core.formats.prompted_names import is_proper_name
from pipelines.core.formats.sillytavern_chats import sillytavern_chats
from pipelines.core.formats.transcripts import answered, transcript
from pipelines.core.formats.turn_fields import (
    ROLES,
    SPEAKER_KEYS,
    TEXT_KEYS,
    RawRecord,
    RawTurn,
    first_filled,
    is_marked_bad,
    speaker_of,
    words_of_turn,
)
from pipelines.core.problems import left_out

CONVERSATION_KEYS = ("conversations", "conversation", "messages", "dialogue", "dialog", "turns", "chat", "contents")
ROLE_KEYS = (
    *("role", "rolename", "character", "charactername", "charname", "botname", "agentrole", "personaname", "char"),
    *("sourcecharacter", "speaker", "bot", "assistantname", "modelname"),
)
"""Keys of a record that name whom its conversation is with, as `_plain_key` makes them."""
_UNSURE_ROLES = ("speaker", "bot", "assistantname", "modelname")
"""Those that may hold a number or the name of a language model as well."""
_RECORD_PARTS = ("meta", "metadata")
PROMPT_KEYS = ("system", "system_prompt", "systemPrompt", "system_message")
"""Keys of a record that hold its system prompt."""
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
ANSWERED = "{{char}}"
"""The speaker of an answer that stands in a column of its own: the character, under whatever name."""
QUESTION_KEYS = tuple(dict.fromkeys(asked for asked, _ in PAIR_KEYS))
ANSWER_KEYS = tuple(dict.fromkeys(answered for _, answered in PAIR_KEYS))
TALK_KEYS = (
    *("conversation_id", "conversationId", "conv_id", "chat_id", "chatId", "dialogue_id", "dialog_id"),
    *("session_id", "sessionId", "thread_id"),
)
"""Keys of rows that say which conversation they belong to."""


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
    if any(isinstance(value, dict) and "mes" in value and "is_user" in value for value in values):
        return sillytavern_chats(values, mended), unread
    is_sample = [_is_sample(value) for value in values]
    samples = [value for value, is_one in zip(values, is_sample, strict=True) if is_one]
    rest = [value for value, is_one in zip(values, is_sample, strict=True) if not is_one]
    turns = [value for value in rest if isinstance(value, dict) and _is_turn(value)]
    if len(turns) * 2 > len(rest):
        for value in rest if len(turns) < len(rest) else []:
            if not isinstance(value, dict) or not _is_turn(value):
                tell(mended, left_out("lines that are no message were left out"), str(value))
        talks = [RawRecord(tuple(_turns(talk, mended))) for talk in _by_talk(turns)]
        return [*_mmrole(samples, mended), *talks], unread
    records = _mmrole(samples, mended)
    rows: dict[str, int] = {}
    for value in rest:
        record = _record(value, mended)
        if record is None:
            unread.update(map(str, value) if isinstance(value, dict) else [])
            tell(mended, left_out("records without a conversation were left out"), str(value))
            continue
        talk = _talk_id(value) if isinstance(value, dict) and not _listed_turns(value) else ""
        if talk and talk in rows:
            before = records[rows[talk]]
            records[rows[talk]] = replace(before, turns=_judged(before) + _judged(record), is_good=True)
            continue
        if talk:
            rows[talk] = len(records)
        records.append(record)
    return records, unread


def _is_sample(value: Any) -> bool:
    """Whether a value is a sample of MMRole; one that names no other role must read like one."""
    return is_record(value) and (isinstance(value["other_role"], str) or parse_record(value) is not None)


def _judged(record: RawRecord) -> tuple[RawTurn, ...]:
    """The turns of a record whose last answer knows that the record is a bad one."""
    *first, last = record.turns
    return (*first, replace(last, is_good=last.is_good and record.is_good))


def _talk_id(row: Mapping[str, Any]) -> str:
    found = first_filled(row, TALK_KEYS)
    return str(found) if isinstance(found, (str, int)) else ""


def _by_talk(turns: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Lines of one turn each by the conversation that they name; those without stay together."""
    talks: dict[str, list[dict[str, Any]]] = {}
    for turn in turns:
        talks.setdefault(_talk_id(turn), []).append(turn)
    return list(talks.values())


def _is_turn(value: dict[str, Any]) -> bool:
    """Whether an object is one turn of a conversation, and no record with a conversation in it."""
    listed = any(isinstance(value.get(key), list) for key in CONVERSATION_KEYS)
    return not listed and any(key in value for key in TEXT_KEYS) and bool(speaker_of(value)[0])


def _listed_turns(record: Mapping[str, Any]) -> list[Any]:
    """The turns of a record under the first key that holds any; [] without one."""
    lists = [listed for key in CONVERSATION_KEYS if key in record and (listed := _list_in(record[key]))]
    return next(
        (listed for listed in lists if any(isinstance(turn, dict) for turn in listed)), lists[0] if lists else []
    )


def _list_in(value: Any) -> list[Any]:
    """A list, also one that a table holds as JSON in a text; [] when it is none."""
    if isinstance(value, str) and re.match(r"\s*\[\s*[\[{]", value):
        try:
            value = parse_json(value, "a column")
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def _record(value: Any, mended: Counter[str]) -> RawRecord | None:
    if isinstance(value, list):
        return _of_list(value, mended)
    if not isinstance(value, dict):
        return None
    prompt = next((text for key in PROMPT_KEYS if isinstance(text := value.get(key), str) and text.strip()), "")
    if prompt:
        mended[left_out("system instructions were left out: persona and scenario take their place")] += 1
    listed = _listed_turns(value)
    spoken = (_pairs(listed) or _turns(listed, mended)) if listed else _history(value)
    turns = _with_answers(value, spoken, mended) if spoken else _pair(value, mended) or _in_one_text(value)
    if not turns:
        return None
    return RawRecord(tuple(turns), _role_of(value), not is_marked_bad(value), prompt)


def _role_of(record: Mapping[str, Any]) -> str:
    """Whom a record says that its conversation is with, itself or in its metadata; "" where it does not."""
    for part in (record, *(record[key] for key in _RECORD_PARTS if isinstance(record.get(key), dict))):
        whole = {key: first_filled(one, ("name",)) if isinstance(one, dict) else one for key, one in part.items()}
        named = {_plain_key(key): text.strip() for key, text in whole.items() if isinstance(text, str)}
        for key in ROLE_KEYS:
            role = named.get(key, "")
            if role and role.casefold() not in ROLES and (key not in _UNSURE_ROLES or is_proper_name(role)):
                return role
    return ""


def _plain_key(key: Any) -> str:
    """A key as keys are compared: "agent_role", "agentRole" and "Agent-Role" are one."""
    return re.sub(r"[\s_-]", "", str(key)).casefold()


def _in_one_text(record: Mapping[str, Any]) -> list[RawTurn]:
    """The turns of a column that holds a whole conversation as one text."""
    texts = (record[key] for key in (*CONVERSATION_KEYS, "text") if isinstance(record.get(key), str))
    return next((turns for text in texts if (turns := answered(text))), [])


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
        speaker, name = speaker_of(turn)
        before = mended[MEDIA_LEFT_OUT] + mended[FILMS_LEFT_OUT]
        text = words_of_turn(turn, mended)
        is_shown = mended[MEDIA_LEFT_OUT] + mended[FILMS_LEFT_OUT] > before
        if not text.strip() and not speaker:
            continue  # something that a program did, no message
        if not text.strip() and (other := [key for key in turn if key not in (*SPEAKER_KEYS, *TEXT_KEYS)]):
            named = ", ".join(repr(str(key)[:30]) for key in other[:4])
            sentence = f"turns without words: they have the keys {named}"
            mended[left_out(sentence, "Put the words under `content`.")] += 1
        if text.strip() and not speaker:
            keys = ", ".join(repr(str(key)[:30]) for key in list(turn)[:6])
            sentence = f"turns that do not say who speaks were left out: they have the keys {keys}"
            mended[left_out(sentence, f"Who speaks is read under {', '.join(SPEAKER_KEYS)} or is_human.")] += 1
        turns.append(RawTurn(speaker, text, not is_marked_bad(turn), is_shown=is_shown, name=name))
    return turns


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
    if isinstance(record.get("chosen"), str) and (talk := answered(record["chosen"])):
        other = answered(record["rejected"]) if isinstance(record.get("rejected"), str) else []
        return [*talk[:-1], replace(talk[-1], rejected=tuple(turn.text for turn in other[-1:]))]
    filled = [(asked, replied) for asked, replied in PAIR_KEYS if record.get(replied) and record.get(asked)]
    asked, replied = filled[0] if filled else ("", "")
    question = first_filled(record, (asked,)) if asked else first_filled(record, QUESTION_KEYS)
    answer = first_filled(record, (replied,)) if replied else first_filled(record, ANSWER_KEYS)
    if not any(key in record for key in QUESTION_KEYS) or not isinstance(answer, (str, list)):
        return None
    if isinstance(answer, list) and all(isinstance(one, str) for one in answer):
        if len(answer) > 1:
            mended["of several answers to one question the first was taken"] += 1
        answer = answer[0]
    earlier = record.get("history")
    turns = _pairs(earlier) if isinstance(earlier, list) else []
    asked_turns = _as_turns(question or "", "user", mended)
    more = record.get("input") if asked == "instruction" else None
    if asked_turns and isinstance(more, str) and more.strip():
        asked_turns[-1] = replace(asked_turns[-1], text=f"{asked_turns[-1].text}\n{more}")
    return _without_rejected(record, [*turns, *asked_turns, *_as_turns(answer, ANSWERED, mended)])


def _as_turns(value: Any, speaker: str, mended: Counter[str]) -> list[RawTurn]:
    """The turns of a value that is words, one turn, or a list of turns."""
    if isinstance(value, str):
        return transcript(value) or [RawTurn(speaker, value)]
    if isinstance(value, dict):
        return _turns([value], mended)
    return _turns(value, mended) if isinstance(value, list) else []


def _with_answers(record: Mapping[str, Any], turns: list[RawTurn], mended: Counter[str]) -> list[RawTurn]:
    """The turns with the chosen answer of preference data behind them, which knows the rejected one.

    An answer that the turns end with already makes room for the chosen one.
    """
    chosen = _as_turns(record.get("chosen"), "assistant", mended) if record.get("chosen") else []
    if not chosen:
        return _without_rejected(record, turns)
    rejected = _as_turns(record.get("rejected"), "assistant", Counter())
    whole = len(chosen) > 1  # holds the question too
    while turns and ROLES.get(turns[-1].speaker.casefold()) == "character":
        turns = turns[:-1]
    turns = _without_rejected(record, turns) if len(turns) > 1 else turns
    last = replace(chosen[-1], rejected=tuple(turn.text for turn in rejected[-1:]))
    if not last.name and ROLES.get(last.speaker.casefold()) == "character":
        last = replace(last, speaker=ANSWERED)  # whatever its role is called: what is chosen is the character's
    return [*([] if whole else turns), *chosen[:-1], last]


def _without_rejected(record: Mapping[str, Any], turns: list[RawTurn]) -> list[RawTurn]:
    """The turns, of which those are bad that say what the record calls rejected."""
    if not record.get("rejected"):
        return turns
    rejected = {turn.text.strip() for turn in _as_turns(record.get("rejected"), "assistant", Counter())[-1:]} - {""}
    return [replace(turn, is_good=False) if turn.text.strip() in rejected else turn for turn in turns]


def _mmrole(values: Sequence[Any], mended: Counter[str]) -> list[RawRecord]:
    """Samples of MMRole: the lines of each talk with their names; everything else of a sample is no talk."""
    records = []
    for value in values:
        sample = parse_record(value)
        if sample is None:
            sentence = (
                "samples of MMRole were left out whose profile, talk and question are not parted as in published ones"
            )
            mended[left_out(sentence)] += 1
            records.append(RawRecord((), str(value["role"])))
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
    if any(record.turns for record in records):
        sentence = "pictures and profiles of MMRole were left out: import the data as a character to have them"
        mended[left_out(sentence)] += len(records)
    return records
