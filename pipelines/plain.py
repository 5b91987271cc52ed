"""Plain chat with no character in it: what a model could say before it was taught, to measure and to keep.

`plain_chat.jsonl` (32 exchanges) is only ever measured on, `kept_chat.jsonl` (48 others) only learned from, beside
practice. Both were written for this project.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pipelines.core.characters import Message, Text
from pipelines.models.family import Shape
from pipelines.packing import PackedRow, pack_in_turn
from pipelines.render import Rendered, render, reply, user

PLAIN_SYSTEM = "You are a helpful assistant."
KEPT_TOKENS = 384
"""Positions of one row of kept chat: six or seven exchanges."""


def plain_rows(
    shape: Shape, tokenizer: Any, name: Literal["plain_chat", "kept_chat"] = "plain_chat"
) -> list[Rendered]:
    """The exchanges of one file behind a plain system prompt; the assistant's words are scored."""
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    system = Message("system", (Text(PLAIN_SYSTEM),))
    pairs = [json.loads(line) for line in lines]
    return [render((system, user(it["user"]), reply(it["assistant"])), shape, tokenizer) for it in pairs]


def kept_rows(shape: Shape, tokenizer: Any) -> list[PackedRow]:
    """The kept chat in packed rows of at most KEPT_TOKENS, each exchange once."""
    return pack_in_turn(plain_rows(shape, tokenizer, "kept_chat"), shape, KEPT_TOKENS)
