"""The votes on a character: all of them, as pairs for other programs, and as preferences for the next training.

Counting is `pipelines.core.vote_counts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.core.character.preferences import preference_of, preference_to_entries
from pipelines.core.jobs.job import Vote
from studio.context import AppContext


def votes_of(context: AppContext, character: str) -> list[Vote]:
    """All votes that were given on a character."""
    return context.records.chats.votes(owner=context.owner, character=character)


def pairs_as_lines(context: AppContext, character: str) -> str:
    """Votes with a winner as JSON lines: prompt, chosen and rejected reply, as preference training takes them."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    return "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)


def preferences_of(context: AppContext, character: str, draft: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of `preferences`, oldest first: those that came with the character, corrections whose conversation still
    stands among the examples, and the votes that chose one of two, but for those on the picture alone."""
    told = [*draft.get("preferences", ()), *(one for one in draft.get("corrections", ()) if _stands(draft, one))]
    return told + [one for one in voted(context, character) if one not in told]


def _stands(draft: Mapping[str, Any], correction: Mapping[str, Any]) -> bool:
    said = correction["chosen"]["text"]
    return any(turn.get("character") == said for talk in draft.get("interactions", ()) for turn in talk)


def voted(context: AppContext, character: str) -> list[dict[str, Any]]:
    """Entries of `preferences` from votes alone."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    told = (
        preference_of(pair["prompt"], _said(pair["chosen"]), _said(pair["rejected"]))
        for pair in pairs
        if pair["about"] != "picture"
    )
    return [preference_to_entries(one) for one in told if one is not None]


def _said(reply: Mapping[str, Any]) -> tuple[str, str]:
    return reply.get("text", ""), reply.get("scene", "")
