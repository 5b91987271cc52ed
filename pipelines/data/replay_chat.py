"""Plain chat with no character in it: what a model could say before it was taught, to measure and to keep.

`general_eval.jsonl` (32 exchanges) is only ever measured on, `general_replay.jsonl` (48 others) only learned from, beside
practice. Both were written for this project.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pipelines.core.character.character import Message, TextPart
from pipelines.data.chat_template import Rendered, render, reply, user
from pipelines.data.packing import PackedRow, pack_in_turn
from pipelines.models.interface import ModelSpec

GENERAL_SYSTEM_PROMPT = "You are a helpful assistant."
KEPT_TOKENS = 384
"""Positions of one row of kept chat: six or seven exchanges."""


def general_eval_rows(
    spec: ModelSpec, tokenizer: Any, name: Literal["general_eval", "general_replay"] = "general_eval"
) -> list[Rendered]:
    """The exchanges of one file behind a plain system prompt; the assistant's words are scored."""
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    system = Message("system", (TextPart(GENERAL_SYSTEM_PROMPT),))
    pairs = [json.loads(line) for line in lines]
    return [render((system, user(it["user"]), reply(it["assistant"])), spec, tokenizer) for it in pairs]


def general_replay_rows(spec: ModelSpec, tokenizer: Any) -> list[PackedRow]:
    """The kept chat in packed rows of at most KEPT_TOKENS, each exchange once."""
    return pack_in_turn(general_eval_rows(spec, tokenizer, "general_replay"), spec, KEPT_TOKENS)
