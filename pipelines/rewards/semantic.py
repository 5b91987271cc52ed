"""The reward that compares meanings: does a reply answer what was said, and would this character say it?

It needs a judge with a sentence encoder (`Judge.compares_texts`); without one the reward does not apply (None).
docs/rewards.md has the formula. Dimension letters: I exchanges of the character's interactions, N samples.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import torch

from pipelines.data.samples import GrpoPrompt
from pipelines.rewards.reward_context import Reward, RewardContext
from pipelines.rewards.style import exchanges


def semantic_match(context: RewardContext) -> Reward:
    """Is the reply as near to what it answers, and to what the character says, as the character's own turns are?

    0: as near as unrelated sentences; 1: as near as its own turns on the median.
    """
    judge = context.judge
    pairs = [(user_text, own_text) for user_text, own_text in exchanges(context.character) if user_text]
    own_turns = [own_text for _, own_text in pairs]
    applies = judge.compares_texts and len(pairs) > 1
    if applies:
        to_user = judge.text_similarity([user_text for user_text, _ in pairs], own_turns)  # (I, I)
        to_own = judge.text_similarity(own_turns, own_turns)  # (I, I)
        off_diagonal = ~torch.eye(len(pairs), dtype=torch.bool)
        # 0 of the scale: what unrelated sentences have, a question and the answers to other questions.
        unrelated = median(to_user[off_diagonal].tolist())
        # 1 of the scale: a question and its own answer; an own turn and the most similar other one.
        typical_answer = median(to_user.diagonal().tolist())
        typical_turn = median(to_own.masked_fill(~off_diagonal, -1).amax(1).tolist())

    def semantic_match(*, texts: list[str], grpo_prompts: list[GrpoPrompt], **_: Any) -> list[float | None]:
        if not applies:
            return [None] * len(texts)
        replies = [text or " " for text in texts]
        asked = [prompt.messages[-1].text for prompt in grpo_prompts]
        answers = judge.text_similarity(asked, replies).diagonal()  # (N,)
        nearest = judge.text_similarity(replies, own_turns).amax(1)  # (N,)
        values = (_scale(answers, unrelated, typical_answer) + _scale(nearest, unrelated, typical_turn)) / 2
        return [value if text.strip() else 0.0 for value, text in zip(values.tolist(), texts, strict=True)]

    return semantic_match


def _scale(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    # Linear from 0 at low to 1 at high, which are at least a hundredth apart.
    return ((values - low) / max(high - low, 0.01)).clamp(0, 1)
