"""The reward that reads meanings: does a reply answer what was said, and is it something this character would say?

It needs a critic that reads (`reads_meaning`, the published reward models); the starter's does not, and then the part
does not apply. docs/rewards.md has the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from pipelines.data.samples import GrpoPrompt

if TYPE_CHECKING:
    from pipelines.rewards.rewards import RewardContext


def semantic_match(judge: RewardContext) -> Callable[..., list[float | None]]:
    """Is the reply as near to what it answers, and to what the character says, as the character's own turns are?

    0: as near as unrelated sentences; 1: as near as its own turns on the median.
    """
    pairs = []
    for talk in judge.character.interactions:
        heard = ""
        for message in talk:
            if message.role == "character" and message.text and heard:
                pairs.append((heard, message.text))
            heard = message.text if message.role == "user" else heard
    critic = judge.critic
    able = critic.reads_meaning and len(pairs) > 1
    turns = [said for _, said in pairs]
    if able:
        answered, own = critic.closeness([heard for heard, _ in pairs], turns), critic.closeness(turns, turns)
        others = ~torch.eye(len(pairs), dtype=torch.bool)
        # What unrelated sentences have: a question and the answers to the other ones.
        floor = median(answered[others].tolist())
        typical = median(answered.diagonal().tolist())
        usual = median(own.masked_fill(~others, -1).amax(1).tolist())

    def semantic_match(*, words: list[str], asked: list[GrpoPrompt], **_: Any) -> list[float | None]:
        if not able:
            return [None] * len(words)
        said = [text or " " for text in words]
        heard = critic.closeness([prompt.messages[-1].text for prompt in asked], said).diagonal()
        nearest = critic.closeness(said, turns).amax(1)
        values = (_line(heard, floor, typical) + _line(nearest, floor, usual)) / 2
        return [value if text.strip() else 0.0 for value, text in zip(values.tolist(), words, strict=True)]

    return semantic_match


def _line(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    # From 0 at low to 1 at high, at least a hundredth apart.
    return ((values - low) / max(high - low, 0.01)).clamp(0, 1)
