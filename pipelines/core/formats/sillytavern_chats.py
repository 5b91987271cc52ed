"""SillyTavern's chat files: a line of metadata, then a message a line, with the swipes that were made in its place.

The names in them say who speaks, in chats of a group too. Swipes that were not chosen are kept beside the chosen one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.core.formats.import_notes import tell
from pipelines.core.formats.turn_fields import RawRecord, RawTurn, is_true, words_of_turn
from pipelines.core.problems import left_out


def sillytavern_chats(values: Sequence[Any], mended: Counter[str]) -> list[RawRecord]:
    """The chats of a SillyTavern file; a line with the chat's metadata begins one."""
    chats: list[list[RawTurn]] = [[]]
    for value in values:
        if not isinstance(value, dict) or "mes" not in value:
            if isinstance(value, dict) and ("user_name" in value or "chat_metadata" in value):
                chats.append([])
            else:
                tell(mended, left_out("lines that are no message were left out"), str(value))
            continue
        chats[-1].append(_turn(value, mended))
    return [RawRecord(tuple(chat)) for chat in chats if chat]


def _turn(value: Mapping[str, Any], mended: Counter[str]) -> RawTurn:
    """A line of a chat. A reply that was hidden is no narration: its question has no answer without it."""
    extra = value.get("extra")
    name = value["name"].strip() if isinstance(value.get("name"), str) else ""
    is_user, is_hidden = is_true(value.get("is_user")), is_true(value.get("is_system"))
    told = (isinstance(extra, dict) and extra.get("type") == "narrator") or (is_hidden and is_user)
    listed = value.get("swipes") if not is_user else None
    swipes = [swipe for swipe in listed if isinstance(swipe, str)] if isinstance(listed, list) else []
    number = value.get("swipe_id")
    text = words_of_turn({"mes": value["mes"]}, mended)
    if not text.strip() and isinstance(number, int) and 0 <= number < len(swipes):
        text = swipes[number]
    others = tuple(dict.fromkeys(swipe for swipe in swipes if swipe not in (text, "")))
    speaker = "narrator" if told else "user" if is_user else name
    called = name if is_user and not told else ""
    is_name = not told and not is_user
    return RawTurn(speaker, text, is_good=not is_hidden or told, rejected=others, is_name=is_name, name=called)
