"""Chats as chat programs export them whole, each in a container of its own, as plain records of turns.

Known: Character.AI histories (`histories.histories[].msgs[]`, as SillyTavern's src/endpoints/chats.js reads them),
RisuAI (`type: risuChat`, its src/ts/characters.ts), Backyard scenarios (schemas/v1/byaf-scenario.schema.json of
ahoylabs/byaf) and its older exports (`Chat[].ChatItems[]`), Agnai (`messages[].msg`). What was not chosen among several
answers is kept beside the chosen one. Everything else is read by `chat_records.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.core.formats.json_text import dicts_of
from pipelines.core.formats.turn_fields import RawRecord, RawTurn


def chat_logs(value: Any) -> list[RawRecord]:
    """The chats of one exported value; [] when it is none of these containers, or holds no words."""
    if not isinstance(value, dict):
        return []
    for read in (_character_ai, _risuai, _backyard_export, _agnai):
        records = [RawRecord(tuple(turns)) for turns in read(value) if any(turn.text.strip() for turn in turns)]
        if records:
            return records
    return []


def _words(item: Mapping[str, Any], *keys: str) -> str:
    """The first text under these keys; "" without one."""
    return next((item[key] for key in keys if isinstance(item.get(key), str) and item[key].strip()), "")


def _character_ai(value: Mapping[str, Any]) -> list[list[RawTurn]]:
    histories = value.get("histories")
    listed = histories.get("histories") if isinstance(histories, dict) else histories
    chats = []
    for history in dicts_of(listed):
        turns = []
        for said in dicts_of(history.get("msgs")):
            source = said.get("src")
            who = source if isinstance(source, dict) else {}
            name = "user" if who.get("is_human") is True else _words(who, "name") or "assistant"
            turns.append(RawTurn(name, _words(said, "text"), is_name=who.get("is_human") is not True))
        chats.append(_one_character(turns))
    return chats


def _one_character(turns: list[RawTurn]) -> list[RawTurn]:
    """Where one alone answers the user, it is the character, whatever it is called; in rooms names tell."""
    if len({turn.speaker for turn in turns if turn.is_name}) > 1:
        return turns
    return [replace(turn, speaker="assistant", is_name=False) if turn.is_name else turn for turn in turns]


def _risuai(value: Mapping[str, Any]) -> list[list[RawTurn]]:
    if value.get("type") not in ("risuChat", "risuAllChats"):
        return []
    chats = value.get("data")
    return [
        _named(
            [(_words(said, "role"), _words(said, "data"), _words(said, "saying")) for said in dicts_of(chat["message"])]
        )
        for chat in dicts_of(chats if isinstance(chats, list) else [chats])
        if "message" in chat
    ]


def _named(said: Iterable[tuple[str, str, str]]) -> list[RawTurn]:
    """Turns of role, words and who says them; an id of one alone is no name to tell it apart by."""
    listed = list(said)
    names = {name for role, _, name in listed if role == "char"} - {""}
    roles = {"user": "user", "char": "assistant"}
    return [
        RawTurn(roles.get(role, "system"), words, name=name if role == "char" and len(names) > 1 else "")
        for role, words, name in listed
    ]


def _backyard_export(value: Mapping[str, Any]) -> list[list[RawTurn]]:
    """Older exports of Backyard (Faraday): pairs of what was asked and answered, with the answers made before."""
    character = value.get("character")
    chats = []
    for chat in dicts_of(character.get("Chat")) if isinstance(character, dict) else []:
        turns = []
        for item in dicts_of(chat.get("ChatItems")):
            answer = _words(item, "output")
            turns += [RawTurn("user", _words(item, "input"))] if _words(item, "input") else []
            turns.append(RawTurn("assistant", answer, rejected=_others(answer, dicts_of(item.get("RegenSwipes")))))
        chats.append(turns)
    return chats


def scenario_chat(messages: Any) -> RawRecord:
    """The chat of a Backyard scenario: in the order of time, of several answers the one that was active last."""
    listed = [(_time_of(said), said) for said in dicts_of(messages)]
    if all(at for at, _ in listed):  # older programs wrote all that people said first
        listed.sort(key=lambda item: item[0])
    turns = []
    for _, said in listed:
        if said.get("type") == "human":
            turns.append(RawTurn("user", _words(said, "text")))
            continue
        outputs = dicts_of(said.get("outputs"))
        active = max(outputs, key=lambda output: _words(output, "activeTimestamp"), default={})
        answer = _words(active, "text")
        turns.append(RawTurn("assistant", answer, rejected=_others(answer, outputs)))
    return RawRecord(tuple(turns))


def _time_of(said: Mapping[str, Any]) -> str:
    """When something was first said, ISO 8601; "" when the file does not say."""
    times = [_words(output, "createdAt") for output in dicts_of(said.get("outputs"))]
    return _words(said, "createdAt") or min(times, default="")


def _others(answer: str, made: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    texts = (_words(one, "text") for one in made)
    return tuple(dict.fromkeys(text for text in texts if text and text != answer))


def _agnai(value: Mapping[str, Any]) -> list[list[RawTurn]]:
    said = value.get("messages")
    if not isinstance(said, list) or not said or not all(isinstance(one, dict) and "msg" in one for one in said):
        return []
    return [
        _named(
            ("user" if _words(one, "userId") else "char", _words(one, "msg"), _words(one, "handle", "characterId"))
            for one in said
        )
    ]
