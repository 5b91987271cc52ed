"""The whole recipe on BAGEL's classes at toy size: both stages, scorecard, adapters and chat, in well under 90 s."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

import pipelines.models.presets
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import adapters, checkpoint_folder, read_events, read_json
from pipelines.data.chat_template import user
from pipelines.evaluation.model_card import base_licence
from pipelines.inference.engine import InferenceEngine, find_checkpoint, load_engine
from pipelines.inference.generate import GenerationRequest
from pipelines.inference.streaming import ReplyDone, SceneReady
from pipelines.models.decoding.sampling import Sampling
from pipelines.train import prepare_run, train
from pipelines.training.image_practice import OLD_ADAPTER
from tests.toys import TOY_STEPS
from tests.training.grpo_toys import eager_to_draw

MOST_SECONDS = 90
BASE_PRESET = "bagel-toy"


@pytest.fixture(scope="module")
def run(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run whose rollouts have pictures: random weights announce hardly any by themselves."""
    run_dir, before = tmp_path_factory.mktemp("runs") / "bagel", torch.get_num_threads()
    changes = {**TOY_STEPS, "grpo_group_size": 4, "flow_steps": 3, "max_new_tokens": 32}
    prepare_run(run_dir, toy_character, Recipe.for_effort(BASE_PRESET, "quick", **changes))
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.models.presets, "load", lambda preset, bits=16: eager_to_draw(preset, ending=4.0))
        started = time.monotonic()
        train(run_dir)
    assert time.monotonic() - started < MOST_SECONDS
    torch.set_num_threads(before)
    return run_dir


def metrics(run_dir: Path, stage: str, name: str) -> list[float]:
    return [event.metrics[name] for event in read_events(run_dir) if event.stage == stage and name in event.metrics]


def test_both_stages_are_learned_and_measured(run: Path) -> None:
    assert adapters(run) == ["sft-000002", "sft-000004", "grpo-000001", "grpo-000002"]
    assert len(metrics(run, "sft", "loss")) == 4 and len(metrics(run, "grpo", "reward")) == 2
    # Rows of pictures have no words, and rows of talk announce pictures only.
    assert metrics(run, "sft", "loss_codes") and metrics(run, "sft", "loss_words")
    assert metrics(run, "grpo", "image_loss"), "practice has drawn"
    likeness = metrics(run, "evaluate", "likeness")
    assert len(likeness) == 5 and all(0 <= one <= 1 for one in likeness)
    result = read_json(run / "result.json")
    assert result["best"] in ["base", *adapters(run)]
    last = checkpoint_folder(run, "grpo-000002")
    assert (last / OLD_ADAPTER).is_dir() and (last / "samples" / "sheet.png").is_file()
    config = read_json(last / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["r"]) == ("understudy/bagel-toy", 16)
    card = (last / "README.md").read_text(encoding="utf-8")
    assert "`understudy/bagel-toy` at revision `toy-" in card and base_licence("understudy/bagel-toy") in card
    assert base_licence("ByteDance-Seed/BAGEL-7B-MoT") == "The base model's: Apache-2.0."


@pytest.fixture(scope="module")
def engine(run: Path) -> tuple[InferenceEngine, str]:
    [found] = load_engine([find_checkpoint(f"{run}:grpo-000002")])
    return found


def test_it_chats_and_draws(run: Path, engine: tuple[InferenceEngine, str]) -> None:
    made, name = engine
    character = find_checkpoint(f"{run}:base").character
    shown = {"seen.png": run / "character" / "images" / "01.png"}
    asked = (user("Who is this? Draw yourself on a beach.", "seen.png"),)
    requests = [
        GenerationRequest(character, asked, who, seed=3, picture="always", shown=shown) for who in (name, "base")
    ]
    sampling = Sampling(max_new_tokens=24, guidance_scale=3.0)
    parts = list(made.replies(requests, sampling=sampling, best_of=2))
    replies: dict[int, Any] = {part.side: part.reply for part in parts if isinstance(part, ReplyDone)}
    assert sorted(replies) == [0, 1] and all(one.picture.size == (32, 32) and one.text for one in replies.values())
    assert replies[0].picture.tobytes() != replies[1].picture.tobytes()
    assert [part.side for part in parts if isinstance(part, SceneReady)] == [0, 1]
    # The same seed gives the same reply, whatever else is in the batch.
    alone = made.replies(requests[:1], sampling=sampling, best_of=2)
    again = next(part.reply for part in alone if isinstance(part, ReplyDone))
    assert (again.text, again.scene) == (replies[0].text, replies[0].scene)
    steps: list[None] = []
    drawn = made.draw(name, character, ["happy, in the snow", "sad"], seed=1, on_step=lambda: steps.append(None))
    assert len(drawn) == 2 and len(steps) == made.model.spec.drawing_steps
    assert made.rebuild(shown["seen.png"]).size == (32, 32)
