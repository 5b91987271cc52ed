"""The votes on a character: all of them, as pairs for other programs, and as preferences for the next training.

Counting is `pipelines.core.vote_counts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.core.jobs.job import Vote
from studio.context import AppContext


def votes_of(context: AppContext, character: str) -> list[Vote]:
    """All votes that were given on a character."""
    return context.records.chats.votes(owner=context.owner, character=character)


def pairs_as_lines(context: AppContext, character: str) -> str:
    """Votes with a winner as JSON lines: prompt, chosen and rejected reply, as preference training takes them."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    return "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)


def preferences_of(context: AppContext, character: str) -> list[dict[str, Any]]:
    """Entries of `preferences`, oldest first: those that came with the character, corrections whose conversation still
    stands among the examples, and the votes that chose one of two, but for those on the picture alone."""
    draft = context.records.characters.get(character).draft
    told = [*draft.get("preferences", ()), *(one for one in draft.get("corrections", ()) if _stands(draft, one))]
    return told + [one for one in voted(context, character) if one not in told]


def _stands(draft: Mapping[str, Any], correction: Mapping[str, Any]) -> bool:
    said = correction["chosen"]["text"]
    return any(turn.get("character") == said for talk in draft.get("interactions", ()) for turn in talk)


def voted(context: AppContext, character: str) -> list[dict[str, Any]]:
    """Entries of `preferences` from votes alone."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    told = (
        {"prompt": pair["prompt"], "chosen": _words(pair["chosen"]), "rejected": _words(pair["rejected"])}
        for pair in pairs
        if pair["about"] != "picture"
    )
    return [one for one in told if one["prompt"] and one["chosen"] != one["rejected"]]


def _words(reply: dict[str, Any]) -> dict[str, str]:
    return {key: reply[key] for key in ("text", "scene") if reply.get(key)}
