"""Stage 2 at toy size: advantages by hand, packed log-probabilities against plain ones, a whole run and its resume."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from pipelines.core.character.character import Character
from pipelines.core.events import Event, Stopped
from pipelines.core.run_folder import checkpoint_folder, ends_stage_early
from pipelines.data.chat_template import ImageTurn, subject_of, turn_end
from pipelines.data.packing import encode_images
from pipelines.data.reply_form import WordsProcessor
from pipelines.data.samples import grpo_prompts
from pipelines.models.decoding.sampling import Sampling
from pipelines.rewards.rewards import REWARDS
from pipelines.rewards.starter_critic import toy_critic
from pipelines.training.early_stop import WINDOW
from pipelines.training.grpo import CharacterTrainer, make_trainer, run_grpo
from pipelines.training.grpo_loss import group_advantages, group_token_logps, mean_reward
from pipelines.training.grpo_replay import ReplayLoss
from pipelines.training.rollout import sample_rollouts
from tests.training.grpo_toys import RECIPE, adapted, train_grpo


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums come out the same whatever else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["starter-toy", "janus-toy", "bagel-toy"])
def toy(request: pytest.FixtureRequest) -> tuple[PeftModel, Any]:
    return adapted(request.param)


def test_group_advantages_by_hand() -> None:
    nan = float("nan")
    # Two groups of two; parts: one large, one tiny (both count alike), one without differences, one that is None.
    rewards = torch.tensor([[0.0, 0.500, 0.3, nan], [1.0, 0.502, 0.3, nan], [1.0, 0.1, 0.2, 0.4], [0.0, 0.1, 0.2, nan]])
    weights = torch.tensor([0.5, 0.25, 9.0, 1.0])
    words, codes = group_advantages(rewards, weights, 2, torch.tensor([True, False, False, False]))
    z = 0.5**0.5  # of two samples, half a deviation each side
    raw = torch.tensor([-0.75 * z, 0.75 * z, 0.5 * z, -0.5 * z])
    assert words.tolist() == pytest.approx((raw / raw.std()).tolist(), rel=2e-2)
    only = torch.tensor([-0.25 * z, 0.25 * z, 0.0, 0.0]) / raw.std()
    assert codes.tolist() == pytest.approx(only.tolist(), rel=1e-1, abs=1e-6)


def test_equal_rewards_have_no_advantage() -> None:
    words, codes = group_advantages(torch.full((4, 2), 0.7), torch.ones(2), 2, torch.tensor([False, True]))
    assert words.abs().max() == 0 and codes.abs().max() == 0


def test_mean_reward_by_hand() -> None:
    nan = float("nan")
    rewards = torch.tensor([[1.0, 0.0], [0.5, nan]])
    assert mean_reward(rewards, torch.tensor([0.25, 0.75])) == pytest.approx((0.25 + 0.5) / 2)


def test_rollout_logprobs_are_the_forwards(toy: tuple[PeftModel, Any], mira: Character, run_dir: Path) -> None:
    model, tokenizer = toy
    base = model.get_base_model().eval()
    prompts, subject = grpo_prompts(mira, 3, 0), subject_of(mira, tokenizer)
    references = encode_images(base, mira, run_dir / "character").own_reference_codes()
    assert (references is None) == (not base.spec.max_references)
    recipe = replace(RECIPE, max_new_tokens=30)
    generator = torch.Generator().manual_seed(4)
    judge = toy_critic(0)
    given: dict[str, Any] = {"subject": subject, "reference_codes": references}
    replies = sample_rollouts(base, tokenizer, judge, prompts, 8, recipe, generator, **given)
    spec = base.spec
    drew = [n for n, features in enumerate(replies.image_features) if features is not None]
    assert drew and len(drew) < len(replies.image_features), "the test needs replies with and without a picture"
    longest_prompt = max(map(len, replies.prompt_ids))
    kept = max(map(len, replies.completion_ids))
    count = len(replies.prompt_ids)
    ids = torch.full((count, longest_prompt + kept), spec.pad_id)
    mask = torch.zeros_like(ids)
    for n in range(count):
        prompt, made = replies.prompt_ids[n], replies.completion_ids[n]
        for start, part in ((longest_prompt - len(prompt), prompt), (longest_prompt, made)):
            ids[n, start : start + len(part)] = torch.tensor(part)
            mask[n, start : start + len(part)] = 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(5))  # the library shuffles a batch
    turn = ImageTurn.of(subject, spec, tokenizer)
    score = model if references is None else partial(model, reference_codes=references)
    with torch.no_grad():
        logps, entropies = group_token_logps(score, ids[order], mask[order], kept, spec, turn)
    for row, n in enumerate(order.tolist()):
        prompt, made = replies.prompt_ids[n], replies.completion_ids[n]
        sampled = torch.tensor(replies.env_mask[n]).bool()
        assert torch.allclose(logps[row, : len(made)][sampled], torch.tensor(replies.logprobs[n])[sampled], atol=1e-4)
        assert (logps[row, len(made) :] == 0).all()
        assert (entropies[row, : len(made)] > 0).all()
        # One sample alone, unpacked, is the same: its text behind the prompt, its codes behind their turn.
        words = [token for token in made if token < spec.text_vocab]
        plain = _logps_alone(model, prompt, words, None)
        if n in drew and not spec.latent_width:
            codes = made[len(words) :]
            plain = torch.cat([plain, _logps_alone(model, turn.ids(words), codes, references)])
        assert torch.allclose(logps[row, : len(made)], plain, atol=1e-4)


def _logps_alone(model: Any, prompt: list[int], made: list[int], references: torch.Tensor | None) -> torch.Tensor:
    ids = torch.tensor([prompt + made])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    with torch.no_grad():
        return model(input_ids=ids, labels=labels, reference_codes=references).logps[0, -len(made) :]


def test_rollouts_have_the_form_and_say_which_ids_were_chosen(toy: tuple[PeftModel, Any], mira: Character) -> None:
    model, tokenizer = toy
    base = model.get_base_model().eval()
    spec, subject = base.spec, subject_of(mira, tokenizer)
    processor, turn = WordsProcessor(spec, tokenizer, ["auto"], 30), ImageTurn.of(subject, spec, tokenizer)
    mark, decisive = processor.mark, processor.decisive
    recipe = replace(RECIPE, max_new_tokens=30)
    prompts = grpo_prompts(mira, 3, 0)
    generator = torch.Generator().manual_seed(5 if spec.latent_width else 4)
    made = sample_rollouts(base, tokenizer, toy_critic(0), prompts, 8, recipe, generator, subject=subject)
    kinds = set()
    for n, (ids, chosen) in enumerate(zip(made.completion_ids, made.env_mask, strict=True)):
        assert len(ids) == len(chosen) == len(made.logprobs[n])
        assert all(logp == 0 for logp, one in zip(made.logprobs[n], chosen, strict=True) if not one)
        marked, drawn = ids[: len(mark)] == mark, made.image_features[n] is not None
        kinds.add((marked, drawn, made.finished[n]))
        # What was given: the mark but for the id that decides, and for an image the head of its turn.
        given = [token for token, one in zip(ids, chosen, strict=True) if not one]
        lead, rest = mark[:decisive], mark[decisive + 1 :] if marked else []
        head = [*turn_end(spec, tokenizer)[1:], *turn.chat_head] if drawn else []
        cut = [spec.boi_id] if drawn and not made.finished[n] else []
        assert given == [*lead, *rest, *head, *cut]
        codes = [token for token in ids if token >= spec.text_vocab]
        wanted = 0 if spec.latent_width or not drawn else spec.image_tokens  # latents are no ids
        assert len(codes) == wanted and ids[len(ids) - len(codes) :] == codes
        drawing = made.drawings[n]
        assert (drawing is not None) == bool(drawn and spec.latent_width)
        assert drawing is None or (drawing.sample, drawing.turn) == (n, turn.ids(ids))
        assert spec.boi_id in ids if drawn else spec.boi_id not in ids
        assert made.scenes[n].startswith("Mira, ") if drawn else not made.scenes[n]
        assert "[" not in made.texts[n] and made.texts[n]
    assert {(True, True, False), (False, False, True)} <= kinds  # a toy's look hardly ever ends by itself


def test_each_look_is_said_behind_its_own_words(mira: Character) -> None:
    # Also where all samples of a group announce an image: they have a prompt in common, but not what they said.
    model, tokenizer = adapted("starter-toy")
    base = model.get_base_model().eval()
    asked: list[list[list[int]]] = []

    def sample_text(prompts: list[list[int]], sampling: Sampling, **settings: Any) -> Any:
        asked.append(prompts)
        processor = settings["logits_processor"]
        if isinstance(processor, WordsProcessor):
            processor.always[:] = True
        texts = type(base).sample_text(base, prompts, sampling, **settings)
        texts.ids = [[*ids[:-1], base.spec.eot_id] for ids in texts.ids] if len(asked) == 1 else texts.ids
        return texts

    base.sample_text = sample_text
    prompts = grpo_prompts(mira, 2, 0)
    made = sample_rollouts(base, tokenizer, toy_critic(0), prompts, 3, RECIPE, torch.Generator().manual_seed(4))
    words, looks = asked
    assert len(words) == 2 and len(looks) == 6
    for n, prompt in enumerate(looks):
        said = [*made.prompt_ids[n], *made.completion_ids[n]]
        assert said[: len(prompt)] == prompt


def test_a_run_learns_in_the_adapter_only_and_reports(
    toy: tuple[PeftModel, Any], mira: Character, run_dir: Path
) -> None:
    model, _ = toy
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    events: list[Event] = []
    result = train_grpo(toy, mira, run_dir, events.append)
    after = dict(model.named_parameters())
    assert after.keys() == before.keys(), "the copy for the KL term is gone"
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("lora_" in name for name in changed), "base weights are bit-equal"
    assert "forward" not in vars(model.get_base_model()), "the library's fused head is not left on the model"
    assert result.checkpoints == ("grpo-000002", "grpo-000004")
    assert result.steps == 4 and len(result.rewards) == 4 and result.tokens > 0
    steps = [event for event in events if event.metrics]
    assert [(event.stage, event.step, event.total) for event in steps] == [("grpo", n, 4) for n in range(1, 5)]
    parts = {"reward", "kl", "entropy", "seconds", *RECIPE.reward_weights}
    assert all(parts <= event.metrics.keys() for event in steps)
    assert steps[0].metrics["kl"] == pytest.approx(0.0, abs=1e-6), "the reference is the adapter this stage began with"
    assert steps[-1].metrics["kl"] > 0
    assert all(0 <= event.metrics["reward"] <= 1 for event in steps)
    artifacts = [event.artifacts for event in events if event.artifacts]
    assert artifacts == [("checkpoints/grpo-000002",), ("checkpoints/grpo-000004",)]
    files = {path.name for path in checkpoint_folder(run_dir, "grpo-000004").iterdir()}
    spec = model.get_base_model().spec
    references = {"references.safetensors", "references"} if spec.max_references else set()
    assert files == references | ({"old"} if spec.latent_width else set()) | {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.pt",
        "sha256.json",
        "ref",
        "rng_state.pth",
        "scheduler.pt",
        "trainer_state.json",
    }


def test_a_stopped_run_resumed_equals_an_unbroken_one(mira: Character, run_dir: Path, tmp_path: Path) -> None:
    unbroken = train_grpo(adapted("starter-toy"), mira, run_dir, lambda event: None)
    whole = load_file(checkpoint_folder(run_dir, "grpo-000004") / "adapter_model.safetensors")

    def stop_at_three(event: Event) -> None:
        if event.step == 3 and event.metrics:
            raise Stopped("enough")

    broken_dir = tmp_path / "broken"
    (broken_dir / "character").parent.mkdir()
    (broken_dir / "character").symlink_to(run_dir / "character")
    with pytest.raises(Stopped):
        train_grpo(adapted("starter-toy"), mira, broken_dir, stop_at_three)
    last = checkpoint_folder(broken_dir, "grpo-000003")
    assert (last / "adapter_model.safetensors").is_file(), "stopping keeps what was learned"
    resumed = train_grpo(adapted("starter-toy"), mira, broken_dir, lambda event: None, resume_from=last)
    assert resumed.rewards == pytest.approx(unbroken.rewards[3:], abs=1e-6)
    mended = load_file(checkpoint_folder(broken_dir, "grpo-000004") / "adapter_model.safetensors")
    assert all(torch.allclose(whole[name], mended[name], atol=1e-6) for name in whole)


def test_replay_keeps_what_stage_one_taught(mira: Character, run_dir: Path) -> None:
    """Loss of stage 1 on a row that was not replayed, with and without replay."""
    losses = []
    for weight in (0.0, 1.0):
        model, tokenizer = adapted("starter-toy")
        recipe = replace(RECIPE, grpo_replay_weight=weight)
        train_grpo((model, tokenizer), mira, run_dir, lambda event: None, recipe=recipe)
        base = model.get_base_model()
        images = encode_images(base, mira, run_dir / "character")
        row = ReplayLoss.of(mira, replace(recipe, seed=5), base.spec, tokenizer, images, 1)
        with torch.no_grad():
            losses.append(sum(part.item() for part in row.losses(model, 0, base.spec, torch.device("cpu"))))
        shutil.rmtree(run_dir / "checkpoints")
    assert losses[1] < losses[0] - 0.02


def test_a_step_passed_back_in_parts_is_the_whole_step(
    mira: Character, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradient of a step of two prompts, passed back together and one by one; and how often it is."""
    gradients, losses, passes = [], [], []
    for together in (2, 1):
        monkeypatch.setattr(CharacterTrainer, "prompts_per_backward", together)
        recipe = replace(RECIPE, grpo_steps=1, grpo_save_every=1)
        model, tokenizer = adapted("starter-toy")
        trainer = make_trainer(model, tokenizer, mira, recipe, run_dir, toy_critic(0), lambda event: None)
        backward, kept = trainer.accelerator.backward, {}
        count = iter(range(100))

        def counted(loss: torch.Tensor, backward: Any = backward, count: Any = count, **kwargs: Any) -> None:
            next(count)
            backward(loss, **kwargs)

        def keep(optimizer: Any, *args: Any, kept: Any = kept, model: Any = model) -> None:
            kept |= {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

        monkeypatch.setattr(trainer.accelerator, "backward", counted)
        trainer.create_optimizer().register_step_pre_hook(keep)
        run_grpo(trainer)
        gradients.append(kept)
        losses.append(trainer.state.log_history[0]["loss"])
        passes.append(next(count))
        shutil.rmtree(run_dir / "checkpoints")
    whole, parts = gradients
    assert passes == [3, 4]  # two of them replay
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert whole.keys() == parts.keys() and any(value.abs().max() > 1e-4 for value in whole.values())
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6, rtol=1e-3) for name in whole)


def test_a_collapsed_reward_ends_the_stage_with_its_best_weights(mira: Character, run_dir: Path) -> None:
    weights: dict[int, dict[str, torch.Tensor]] = {}  # by how many steps were done

    class Spoiled(CharacterTrainer):
        """What is rewarded is nearly worth nothing from the seventh step on."""

        def _calculate_rewards(self, *args: Any) -> torch.Tensor:
            done = self.state.global_step
            weights[done] = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
            self.rewards_NK = super()._calculate_rewards(*args) * (0.05 if done > 6 else 1.0)
            return self.rewards_NK

    recipe = replace(RECIPE, grpo_steps=30, grpo_save_every=30, grpo_replay_weight=0.0, grpo_beta=0.0)
    model, tokenizer = adapted("starter-toy")
    events: list[Event] = []
    trainer = make_trainer(model, tokenizer, mira, recipe, run_dir, toy_critic(0), events.append, trainer_class=Spoiled)
    result = run_grpo(trainer)
    assert WINDOW < result.steps < 30
    ends = [(event.payload["ended_early"], event.step) for event in events if "ended_early" in event.payload]
    assert ends == [("reward_collapsed", result.steps)]
    assert ends_stage_early(run_dir, result.checkpoints[-1])
    means = [fmean(result.rewards[at - WINDOW : at]) for at in range(WINDOW, result.steps + 1)]
    best = WINDOW + means.index(max(means))  # steps done at the end of the best window
    kept = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert kept and all(torch.equal(weight, weights[best][name]) for name, weight in kept.items())
    assert any(not torch.equal(weight, weights[result.steps - 1][name]) for name, weight in kept.items())


def test_a_failing_reward_stops_the_run(mira: Character, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(context: Any) -> Any:
        def reply(**columns: Any) -> list[float]:
            assert {"texts", "scenes", "image_features", "grpo_prompts", "finished", "group"} <= columns.keys()
            raise ZeroDivisionError("a reward failed")

        return reply

    monkeypatch.setitem(REWARDS, "reply", broken)
    with pytest.raises(ZeroDivisionError, match="a reward failed"):
        train_grpo(adapted("starter-toy"), mira, run_dir, lambda event: None)
