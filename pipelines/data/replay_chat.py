"""General chat with no character in it: what a model could say before training, to measure and to replay.

`general_eval.jsonl` (32 exchanges) is only ever measured on, `general_replay.jsonl` (48 others) is only trained on, in
stage 2, against forgetting. Both were written for this project.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Message, TextPart
from pipelines.data.chat_template import Rendered, render, reply, user
from pipelines.data.packing import PackedRow, pack_in_turn
from pipelines.models.interface import ModelSpec

GENERAL_SYSTEM_PROMPT = "You are a helpful assistant."
REPLAY_ROW_TOKENS = 384
"""Most positions of one row of replayed chat: six or seven exchanges."""


def general_eval_rows(
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    name: Literal["general_eval", "general_replay"] = "general_eval",
) -> list[Rendered]:
    """The exchanges of one file after a general system prompt; the assistant's text is supervised."""
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    system = Message("system", (TextPart(GENERAL_SYSTEM_PROMPT),))
    pairs = [json.loads(line) for line in lines]
    return [render((system, user(it["user"]), reply(it["assistant"])), spec, tokenizer) for it in pairs]


def general_replay_rows(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[PackedRow]:
    """The chat to replay in packed rows of at most REPLAY_ROW_TOKENS, each exchange once."""
    return pack_in_turn(general_eval_rows(spec, tokenizer, "general_replay"), spec, REPLAY_ROW_TOKENS)
