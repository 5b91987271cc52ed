"""Preferences of a character: to and from entries of `character.yaml`, and which of them are learned.

    preferences:
    - prompt: Where are you?
      chosen: {text: "Up the tower, where else."}
      rejected: {text: "I am a lighthouse keeper and I am in my lighthouse today."}

A reply is `text`, and `scene` where it had a picture. Imported data may bring more, as pairs of plain texts among the
extensions (`REJECTED_KEY`).
"""

from __future__ import annotations

from typing import Any

from pipelines.core.character.character import Character, Message, Preference, message
from pipelines.core.character.field_values import read_mapping, read_text
from pipelines.core.problems import Problem

REJECTED_KEY = "understudy_rejected"
"""Key in `Character.extensions` for answers that a source did not choose: `{"prompt", "chosen", "rejected"}`."""
HOLD_OUT_EVERY = 5
"""Every so many preferences one is kept back, to see whether the model agrees with what it did not learn."""
MAX_PREFERENCES = 2000
"""The newest that are taken."""
REPLY_KEYS = ("text", "scene")


def preference_of(prompt: str, chosen: tuple[str, str], rejected: tuple[str, str]) -> Preference | None:
    """A preference of two replies, each its words and its scene ("" for none); None for one that teaches nothing."""
    better, worse = (message("character", text, scene=scene) for text, scene in (chosen, rejected))
    if not prompt or better == worse or not any(chosen) or not any(rejected):
        return None
    return Preference(prompt, better, worse)


def preference_to_entries(preference: Preference) -> dict[str, Any]:
    """One entry of `preferences`; an empty scene is left out."""
    return {
        "prompt": preference.prompt,
        "chosen": _reply_to_entries(preference.chosen),
        "rejected": _reply_to_entries(preference.rejected),
    }


def read_preference(value: object, field: str, what: str, problems: list[Problem]) -> Preference | None:
    """The inverse, as `read_list` wants it; None for one that teaches nothing (no message, or two equal replies)."""
    entries = read_mapping(value, field, what, ("prompt", "chosen", "rejected"), problems)
    if not entries:
        return None
    prompt = read_text(entries.get("prompt"), f"{field}.prompt", f"The message of {what}", problems)
    chosen, rejected = (
        _read_reply(entries.get(key), f"{field}.{key}", f"The {key} reply of {what}", problems)
        for key in ("chosen", "rejected")
    )
    return preference_of(prompt, chosen, rejected)


def split_preferences(character: Character) -> tuple[tuple[Preference, ...], tuple[Preference, ...]]:
    """(learned, held out): of the newest MAX_PREFERENCES, every HOLD_OUT_EVERY-th is held out; imported ones count as
    the oldest."""
    kept = character.extensions.get(REJECTED_KEY)
    imported = [read_preference(one, "", "", []) for one in (kept if isinstance(kept, list) else [])]
    taken = (*(one for one in imported if one is not None), *character.preferences)[-MAX_PREFERENCES:]
    held_out = taken[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    return tuple(one for n, one in enumerate(taken, 1) if n % HOLD_OUT_EVERY), held_out


def _reply_to_entries(reply: Message) -> dict[str, Any]:
    return {"text": reply.text, **({"scene": reply.scene} if reply.scene else {})}


def _read_reply(value: object, field: str, what: str, problems: list[Problem]) -> tuple[str, str]:
    entries = read_mapping({"text": value} if isinstance(value, str) else value, field, what, REPLY_KEYS, problems)
    text, scene = (
        read_text(entries.get(key), f"{field}.{key}", f"The {key} of {what}", problems) for key in REPLY_KEYS
    )
    return text, scene
