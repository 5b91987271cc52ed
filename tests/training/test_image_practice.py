"""Practice of images that are latents: what each kind learns, and that it goes on as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from pipelines.core.character.character import Character
from pipelines.core.events import Event, Stopped
from pipelines.core.run_folder import checkpoint_folder
from pipelines.models.bagel.random_weights import toy_bagel
from pipelines.models.decoding.sampling import Sampling
from pipelines.training.early_stop import trained_weights
from pipelines.training.image_practice import (
    OLD_ADAPTER,
    Drawing,
    ImagePractice,
    NftPractice,
    SdePractice,
    image_practice,
)
from tests.training.grpo_toys import RECIPE, adapted, train_grpo

LATENT_RECIPE = replace(RECIPE, base="bagel-toy", flow_steps=5)
IMAGES = 8


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums come out the same whatever else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def adapted_toy() -> PeftModel:
    model, _ = toy_bagel()
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=model.image_targets))


def practised(practice: ImagePractice, model: PeftModel, step: int) -> tuple[list[Drawing], torch.Tensor]:
    """Drawings of one prompt, and the mean of each."""
    base, turn = model.get_base_model(), [256, 1, 2, 3, 257, 258]
    generator = torch.Generator().manual_seed(step)
    with practice.drawing():
        made = base.sample_images(
            [turn], practice.sampling(Sampling(), step), num_return_sequences=IMAGES, generator=generator
        )
    steps = [tuple(one.select([number]) for one in made.steps) for number in range(IMAGES)]
    drawings = [Drawing(n, turn, made.latents[n], steps[n]) for n in range(IMAGES)]
    return drawings, made.latents.mean((1, 2))


@pytest.mark.parametrize("sde_steps", [0, 2])
def test_practice_raises_a_reward(sde_steps: int) -> None:
    """The reward is the mean of all numbers; NFT in 30 steps (section 8.2), stochastic steps with a larger rate."""
    model = adapted_toy()
    practice = image_practice(model, replace(LATENT_RECIPE, flow_sde_steps=sde_steps), model.get_base_model().spec)
    assert type(practice) is (SdePractice if sde_steps else NftPractice)
    optimizer = torch.optim.AdamW(trained_weights(model), lr=2e-2 if sde_steps else 1e-2)
    rewards = []
    for step in range(30):
        drawings, reward = practised(practice, model, step)
        advantages = (reward - reward.mean()) / reward.std()
        optimizer.zero_grad()
        for loss in practice.losses(drawings, advantages, step):
            loss.backward()
        if isinstance(practice, SdePractice):  # rollout and replay are one model: the ratio is 1 before the update
            assert practice.ratios == pytest.approx([1.0] * 4, abs=1e-5)
        optimizer.step()
        practice.after_update(step)
        rewards.append(reward.mean())
    tens = torch.stack(rewards).reshape(3, 10).mean(1)
    assert tens[0] < tens[1] < tens[2] and tens[2] > tens[0] + 0.05


def test_nft_draws_with_the_slow_copy_and_learns_the_other() -> None:
    model = adapted_toy()
    practice = NftPractice(model, LATENT_RECIPE, model.get_base_model().spec)
    names = dict(model.named_parameters())
    old = {name: weight for name, weight in names.items() if f".{OLD_ADAPTER}." in name}
    learned = {name.replace(".default.", f".{OLD_ADAPTER}."): names[name] for name in names if ".default." in name}
    assert old.keys() == learned.keys() and all(torch.equal(old[name], learned[name]) for name in old)
    assert not any(weight.requires_grad for weight in old.values())
    with torch.no_grad():
        for weight in learned.values():
            weight.add_(0.1)
    drawings, _ = practised(practice, model, 0)
    with torch.no_grad():
        plain = model.get_base_model().sample_images(
            [drawings[0].turn],
            Sampling(flow_steps=5),
            num_return_sequences=IMAGES,
            generator=torch.Generator().manual_seed(0),
        )
    assert not torch.allclose(plain.latents, torch.stack([one.latents for one in drawings]), atol=1e-3)
    for loss in practice.losses(drawings, torch.ones(IMAGES), 0):
        loss.backward()
    assert all(weight.grad is None for weight in old.values())
    assert any(weight.grad is not None and weight.grad.any() for weight in learned.values())
    assert all(weight.requires_grad for weight in learned.values())
    practice.after_update(100)
    for name, weight in learned.items():
        torch.testing.assert_close(old[name], weight - 0.1 * 0.1, atol=1e-6, rtol=0)


def test_the_window_is_among_the_first_steps_and_drawn_anew() -> None:
    model = adapted_toy()
    practice = SdePractice(model, replace(LATENT_RECIPE, flow_steps=10, flow_sde_steps=2), model.get_base_model().spec)
    windows = [practice.sampling(Sampling(), step).flow_window for step in range(20)]
    assert all(len(set(window)) == 2 and min(window) >= 0 and max(window) < 5 for window in windows)
    assert len(set(windows)) > 5 and windows == [practice.sampling(Sampling(), step).flow_window for step in range(20)]


@pytest.mark.parametrize("sde_steps", [0, 2])
def test_a_stopped_run_resumed_equals_an_unbroken_one(
    sde_steps: int, mira: Character, run_dir: Path, tmp_path: Path
) -> None:
    recipe = replace(LATENT_RECIPE, flow_sde_steps=sde_steps)
    losses: list[float] = []

    def note(event: Event) -> None:
        losses.extend(value for name, value in event.metrics.items() if name == "image_loss")

    unbroken = train_grpo(adapted("bagel-toy"), mira, run_dir, note, recipe=recipe)
    assert len(losses) >= 2, "the test needs steps with drawings"
    whole = load_file(checkpoint_folder(run_dir, "grpo-000004") / "adapter_model.safetensors")

    def stop_at_three(event: Event) -> None:
        if event.step == 3 and event.metrics:
            raise Stopped("enough")

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "character").symlink_to(run_dir / "character")
    with pytest.raises(Stopped):
        train_grpo(adapted("bagel-toy"), mira, broken, stop_at_three, recipe=recipe)
    last = checkpoint_folder(broken, "grpo-000003")
    assert (last / OLD_ADAPTER / "adapter_model.safetensors").is_file() == (not sde_steps)
    resumed = train_grpo(adapted("bagel-toy"), mira, broken, note, resume_from=last, recipe=recipe)
    assert resumed.rewards == pytest.approx(unbroken.rewards[3:], abs=1e-6)
    mended = load_file(checkpoint_folder(broken, "grpo-000004") / "adapter_model.safetensors")
    assert all(torch.allclose(whole[name], mended[name], atol=1e-6) for name in whole)
