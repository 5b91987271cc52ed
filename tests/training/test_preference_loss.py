"""DPO on votes and corrections inside stage 2, at toy size: by hand, through a whole stage, resumed, counted."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model

from pipelines.core.character.character import Character, Preference, message
from pipelines.core.character.preferences import HOLD_OUT_EVERY
from pipelines.core.character.system_prompt import system_message
from pipelines.core.events import Event
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import checkpoint_folder
from pipelines.data.chat_template import render, subject_of, user
from pipelines.models.presets import load
from pipelines.rewards.starter_critic import toy_critic
from pipelines.training.grpo import make_trainer, run_grpo
from pipelines.training.preference_loss import PreferenceLoss
from pipelines.training.sft_loss import lora_config

RECIPE = Recipe(
    base="starter-toy",
    grpo_steps=4,
    grpo_save_every=2,
    grpo_group_size=2,
    grpo_learning_rate=1e-2,
    grpo_replay_weight=0.0,
    max_new_tokens=8,
    lora_rank=2,
    lora_alpha=4,
    preference_weight=20.0,
)
QUESTIONS = ("Where are you?", "Who are you?", "Are you well?", "What now?", "Is it late?", "Any news?", "Why?", "And?")


def pair(question: str, scene: str = "") -> Preference:
    """Short is liked better than long."""
    long = message("character", "I am here, and here, dear.", scene=scene)
    return Preference(question, message("character", "Here."), long)


@pytest.fixture
def ada(mira: Character) -> Character:
    return replace(mira, preferences=tuple(pair(question, "smiling" * (n % 2)) for n, question in enumerate(QUESTIONS)))


def adapted(preset: str = "starter-toy") -> tuple[PeftModel, Any]:
    """A toy with an adapter that does something, as after stage 1."""
    model, tokenizer = load(preset)
    torch.manual_seed(3)
    adapted_model = get_peft_model(model, lora_config(model, RECIPE))
    with torch.no_grad():
        for name, weight in adapted_model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02)
    return adapted_model, tokenizer


def plain_margin(model: PeftModel, tokenizer: Any, character: Character, preference: Preference) -> float:
    """log p(chosen) - log p(rejected), each reply in a row of its own."""
    sums = []
    for reply in (preference.chosen, preference.rejected):
        rendered = render(
            (system_message(character), user(preference.prompt), reply),
            model.get_base_model().spec,
            tokenizer,
            subject=subject_of(character, tokenizer),
        )
        ids, labels = torch.tensor([rendered.ids]), torch.tensor([rendered.labels])
        with torch.no_grad():
            logps = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).logps
        sums.append(float(logps[labels != -100].sum()))
    return sums[0] - sums[1]


@pytest.mark.parametrize("preset", ["starter-toy", "bagel-toy"])
def test_a_pair_in_one_row_is_worth_what_its_replies_are_alone(ada: Character, preset: str) -> None:
    model, tokenizer = adapted(preset)
    loss = PreferenceLoss.of(ada, RECIPE, model.get_base_model().spec, tokenizer)
    assert loss is not None
    learned = [one for n, one in enumerate(ada.preferences, 1) if n % HOLD_OUT_EVERY]
    assert (len(loss.learned), len(loss.held_out)) == (7, 1)
    model.eval()
    for packed, preference in zip(loss.learned[:2], learned[:2], strict=True):
        with model.disable_adapter():
            before = plain_margin(model, tokenizer, ada, preference)
        margin = plain_margin(model, tokenizer, ada, preference)
        assert abs(margin - before) > 1e-3
        only = replace(loss, learned=[packed], per_step=1)
        [told] = only.losses(model, 0)  # without "ref" the base is the reference
        assert float(told) == pytest.approx(math.log1p(math.exp(-RECIPE.preference_beta * (margin - before))), abs=1e-4)


def test_every_preference_is_seen_as_often_as_the_recipe_says(ada: Character) -> None:
    model, tokenizer = load("starter-toy")
    loss = PreferenceLoss.of(ada, RECIPE, model.spec, tokenizer)
    assert loss is not None
    assert loss.per_step * RECIPE.grpo_steps >= RECIPE.preference_epochs * len(loss.learned)
    assert PreferenceLoss.of(ada, replace(RECIPE, preference_weight=0.0), model.spec, tokenizer) is None
    assert PreferenceLoss.of(replace(ada, preferences=()), RECIPE, model.spec, tokenizer) is None


def trained(character: Character, run_dir: Path, resumes: bool = False) -> tuple[PeftModel, Any, list[Event]]:
    """A whole stage 2; `resumes`: ended after its first checkpoint, and taken up again."""
    events: list[Event] = []
    model, tokenizer = adapted()
    run_grpo(make_trainer(model, tokenizer, character, RECIPE, run_dir, toy_critic(0), events.append))
    if resumes:
        shutil.rmtree(checkpoint_folder(run_dir, "grpo-000004"))
        model, tokenizer = adapted()
        trainer = make_trainer(model, tokenizer, character, RECIPE, run_dir, toy_critic(0), events.append)
        run_grpo(trainer, checkpoint_folder(run_dir, "grpo-000002"))
    return model.eval(), tokenizer, events


def test_a_stage_learns_what_was_preferred_and_says_so(ada: Character, new_run_dir: Callable[[], Path]) -> None:
    model, tokenizer = adapted()
    before = [plain_margin(model.eval(), tokenizer, ada, one) for one in ada.preferences]
    model, tokenizer, events = trained(ada, new_run_dir())
    after = [plain_margin(model, tokenizer, ada, one) for one in ada.preferences]
    assert all(later > earlier + 0.5 for earlier, later in zip(before, after, strict=True))
    told = [event.payload["preferences"] for event in events if "preferences" in event.payload]
    assert told == [{"learned": 7, "held_out": 1, "agreed": 1}] * 2

    model, tokenizer, events = trained(replace(ada, preferences=()), new_run_dir())
    without = [plain_margin(model, tokenizer, ada, one) for one in ada.preferences]
    assert sum(without) < sum(after) - 4
    assert not any("preferences" in event.payload for event in events)

    model, tokenizer, _ = trained(ada, new_run_dir(), resumes=True)
    resumed = [plain_margin(model, tokenizer, ada, one) for one in ada.preferences]
    assert resumed == pytest.approx(after, abs=1e-3)
