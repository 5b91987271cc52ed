"""Direct preference optimisation (DPO, arXiv 2305.18290) on votes and corrections, beside every step of stage 2.

For a preference with a chosen reply c and a rejected one r, of the sums of their tokens' log-probabilities:

    loss = -log sigmoid(beta * ((policy(c) - policy(r)) - (reference(c) - reference(r))))

The reference is the adapter that stage 1 left: TRL's copy for the KL term ("ref"), or the base where there is none.
`trl.DPOTrainer` is not used: its forward reads logits of a text vocabulary, and it would be a stage of its own, which
forgets what the rewards ask for. Both replies and their prompt stand in one packed row (`group_token_logps`). Only
words are learned: the mark that announces a picture, the reply and its scene, not the picture's codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import logsigmoid
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import use_adapter

from pipelines.core.character.character import Character, Message, Preference
from pipelines.core.character.preferences import split_preferences
from pipelines.core.character.system_prompt import system_message
from pipelines.core.events import PreferenceCounts
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import ImageTurn, render, subject_of, user
from pipelines.models.interface import ModelSpec
from pipelines.training.grpo_loss import group_token_logps

MAX_PER_STEP = 8
"""Most preferences that a step learns from, over all processes: about what a step's own samples cost."""
REFERENCE_ADAPTER = "ref"
"""TRL's name for its copy of the adapter before the stage (`trl/trainer/grpo_trainer.py`)."""


@dataclass(frozen=True)
class TokenPair:
    """A preference in ids. C: the longer of the two replies."""

    input_ids: torch.Tensor
    """(2, prompt + C): chosen, rejected; padded right."""
    attention_mask: torch.Tensor
    """(2, prompt + C)."""
    scored: torch.Tensor
    """(2, C) bool: ids that a model chooses; heads of scenes belong to the form."""


@dataclass(frozen=True)
class PreferenceLoss:
    """The preferences of one character, and how many of them a step learns from."""

    learned: Sequence[TokenPair]
    held_out: Sequence[TokenPair]
    per_step: int
    """Of one process."""
    beta: float
    spec: ModelSpec
    image_turn: ImageTurn

    @classmethod
    def of(
        cls,
        character: Character,
        recipe: Recipe,
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerBase,
        processes: int = 1,
    ) -> PreferenceLoss | None:
        """None where there is nothing to learn. Preferences longer than a row of stage 1 are left out."""
        if not recipe.preference_weight or not recipe.grpo_steps:
            return None
        pair_of = partial(_token_pair, character=character, recipe=recipe, spec=spec, tokenizer=tokenizer)
        learned, held_out = (
            [pair for one in part if (pair := pair_of(one)) is not None] for part in split_preferences(character)
        )
        if not learned:
            return None
        wanted = -(-len(learned) * recipe.preference_epochs // recipe.grpo_steps)
        per_step = -(-min(wanted, MAX_PER_STEP) // processes)
        image_turn = ImageTurn.of(subject_of(character, tokenizer), spec, tokenizer)
        return cls(learned, held_out, per_step, recipe.preference_beta, spec, image_turn)

    def losses(self, model: PeftModel, number: int) -> Iterator[torch.Tensor]:
        """The losses of the preferences of step `number` (of step and process), their mean being the step's loss.

        One after the other, so that the caller's backward pass frees the activations of each before the next.
        """
        for place in range(number * self.per_step, (number + 1) * self.per_step):
            pair = self.learned[place % len(self.learned)]
            before = self._before(model, pair)
            yield -logsigmoid(self.beta * (self._margin(model, pair) - before)) / self.per_step

    @torch.no_grad()
    def counts(self, model: PeftModel) -> PreferenceCounts:
        """How many preferences are learned, and with how many of those held out the model agrees more than before."""
        training = model.training
        model.eval()
        agreed = sum(bool(self._margin(model, pair) > self._before(model, pair)) for pair in self.held_out)
        model.train(training)
        return {"learned": len(self.learned), "held_out": len(self.held_out), "agreed": agreed}

    @torch.no_grad()
    def _before(self, model: PeftModel, pair: TokenPair) -> torch.Tensor:
        with use_adapter(model, REFERENCE_ADAPTER if REFERENCE_ADAPTER in model.peft_config else None):
            return self._margin(model, pair)

    def _margin(self, model: PeftModel, pair: TokenPair) -> torch.Tensor:
        # log p(chosen) - log p(rejected), nats, a scalar.
        ids, mask, scored = (part.to(model.device) for part in (pair.input_ids, pair.attention_mask, pair.scored))
        logps, _ = group_token_logps(model, ids, mask, scored.shape[1], self.spec, self.image_turn)
        chosen, rejected = (logps * scored).sum(1)
        return chosen - rejected


def _token_pair(
    preference: Preference, character: Character, recipe: Recipe, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase
) -> TokenPair | None:
    subject = subject_of(character, tokenizer)
    asked: tuple[Message, ...] = (system_message(character), user(preference.prompt))
    prompt = render(asked, spec, tokenizer, add_reply=True, subject=subject).ids
    both = [
        render((*asked, reply), spec, tokenizer, subject=subject) for reply in (preference.chosen, preference.rejected)
    ]
    replies = [(one.ids[len(prompt) :], one.mask[len(prompt) :]) for one in both]
    if sum(len(ids) for ids, _ in replies) + len(prompt) > recipe.sft_row_max_tokens:
        return None
    width = max(len(ids) for ids, _ in replies)
    input_ids = torch.full((2, len(prompt) + width), spec.pad_id)
    attention_mask, scored = torch.zeros_like(input_ids), torch.zeros(2, width, dtype=torch.bool)
    for row, (ids, mask) in enumerate(replies):
        end = len(prompt) + len(ids)
        input_ids[row, :end] = torch.tensor([*prompt, *ids])
        attention_mask[row, :end] = 1
        scored[row, : len(ids)] = torch.tensor(mask, dtype=torch.bool)
    return TokenPair(input_ids, attention_mask, scored)
