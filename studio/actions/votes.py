"""The votes on a character: all of them, and as pairs for a next training.

Counting is `pipelines.core.vote_counts`.
"""

from __future__ import annotations

import json

from pipelines.core.jobs.job import Vote
from studio.context import AppContext


def votes_of(context: AppContext, character: str) -> list[Vote]:
    """All votes that were given on a character."""
    return context.records.chats.votes(owner=context.owner, character=character)


def pairs_as_lines(context: AppContext, character: str) -> str:
    """Votes with a winner as JSON lines: prompt, chosen and rejected reply, as preference training takes them."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    return "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
