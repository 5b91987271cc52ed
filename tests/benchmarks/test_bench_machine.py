"""The benchmarks of large models run at toy size on a CPU, without trl, and keep their shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.benchmarks.janus import bench_janus
from pipelines.benchmarks.machine import bench_machine
from pipelines.benchmarks.peak_memory import peak_of

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"name", "ours", "plain", "unit", "ratio_median", "ratios"}


def test_peaks_are_found_by_the_names_that_gpus_give_themselves() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12 and peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA A100-SXM4-40GB") == 312e12 and peak_of("NVIDIA GeForce RTX 4090") == 165e12
    assert peak_of("NVIDIA L40S") == 362e12 and peak_of("NVIDIA L4") == 121e12 and peak_of("Tesla T4") == 65e12
    assert peak_of("NVIDIA GeForce GTX 1080") is None


@pytest.mark.parametrize("base", ["random-toy", "bagel-toy"])
def test_the_machine_is_measured_at_toy_size(base: str) -> None:
    answer = bench_machine(base, repeats=1, words=6)
    assert answer.keys() >= KEYS and answer["name"] == "gpu" and answer["base"] == base
    rates = ("sft_tokens_per_s", "words_per_s", "pictures_per_s", "plain_pictures_per_s", "plain_sft_tokens_per_s")
    for key in (
        *rates,
        "sft_tflops_per_s",
        "learn_tflops_per_s",
        "sft_step_s",
        "grpo_step_s",
        "learn_s",
        "standard_minutes",
        "peak_memory_gb",
    ):
        assert answer[key] > 0, key
    assert ("draw_tflops_per_s" in answer) == (base == "bagel-toy")
    assert answer["device"] == "cpu" or torch.cuda.is_available()


def test_a_whole_janus_loads_learns_and_draws_at_toy_size() -> None:
    answer = bench_janus("random-toy", steps=2)
    assert answer.keys() >= KEYS and answer["learnt"] and answer["picture"] == [1, 3, 32, 32]
    assert {"load", "sft 2", "grpo 2", "picture"} <= answer["seconds"].keys()


@pytest.mark.gpu
def test_a_recorded_step_draws_what_single_steps_draw() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    from pipelines.models.decoding import static_decode
    from pipelines.models.decoding.sampling import Sampling
    from pipelines.models.janus import toy_janus

    model, tokenizer = toy_janus()
    model = model.to("cuda")
    prompts = [tokenizer("Draw yourself.")["input_ids"] + [model.spec.boi_id]]
    sampling = Sampling(guidance_scale=5.0, image_temperature=0.0)
    recorded = model.sample_images(prompts, sampling, num_return_sequences=4).codes
    pays, static_decode.is_faster_on = static_decode.is_faster_on, lambda device: False
    try:
        single = model.sample_images(prompts, sampling, num_return_sequences=4).codes
        assert recorded.tolist() == single.tolist()
    finally:
        static_decode.is_faster_on = pays


def test_models_losses_sampling_and_these_benchmarks_need_no_trl() -> None:
    modules = [
        "pipelines.benchmarks.machine",
        "pipelines.benchmarks.janus",
        "pipelines.benchmarks.library_baselines",
        "pipelines.training.sft_loss",
        "pipelines.training.grpo_loss",
        "pipelines.training.rollout",
        "pipelines.rewards.pretrained_judges",
    ]
    code = (
        "import sys\nsys.modules['trl'] = None\nimport importlib\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
