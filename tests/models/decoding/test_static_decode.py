"""Decoding at static shapes, as a GPU does it, run here step by step: the same ids as with a growing cache."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.bagel.random_weights import toy_bagel
from pipelines.models.decoding import decode_text, prefill
from pipelines.models.decoding import static_decode as static_decode_module
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.decoding.static_decode import StaticDecoderState
from pipelines.models.janus import toy_janus
from pipelines.models.starter.model import toy_starter

SYSTEM = "<|im_start|>system\nYou are Mira Vale, who keeps a lighthouse.<|im_end|>\n"
TALKS = ("<|im_start|>user\nWho are you?", "<|im_start|>user\nHi", "<|im_start|>user\nDraw yourself.")


@pytest.fixture
def use_static_shapes(monkeypatch: pytest.MonkeyPatch):
    """Turns static shapes on, and collects the states that were made so."""
    made: list[StaticDecoderState] = []

    class Counted(StaticDecoderState):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            made.append(self)

    def switch_on() -> list[StaticDecoderState]:
        monkeypatch.setattr(static_decode_module, "is_faster_on", lambda device: True)
        monkeypatch.setattr(decode_text, "is_faster_on", lambda device: True)
        monkeypatch.setattr(prefill, "is_faster_on", lambda device: False)
        monkeypatch.setattr(static_decode_module, "StaticDecoderState", Counted)
        return made

    return switch_on


def test_the_starter_has_nothing_to_do_with_it_on_a_cpu() -> None:
    assert not static_decode_module.is_faster_on(torch.device("cpu")) and static_decode_module.is_faster_on(
        torch.device("cuda")
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_greedy_pictures_are_the_same(use_static_shapes, guidance: float, attention: str) -> None:
    model, tokenizer = toy_janus()
    model.set_attn_implementation(attention)
    prompts = [tokenizer(SYSTEM + talk)["input_ids"] + [model.spec.boi_id] for talk in TALKS]
    sampling = Sampling(guidance_scale=guidance, image_temperature=0.0)
    growing = model.sample_images(prompts, sampling, num_return_sequences=2)
    made = use_static_shapes()
    static = model.sample_images(prompts, sampling, num_return_sequences=2)
    assert len(made) == 1 and made[0]._mask.shape[-1] >= model.spec.image_tokens
    assert growing.codes.tolist() == static.codes.tolist()
    assert torch.allclose(growing.logps, static.logps, atol=1e-4)


@pytest.mark.parametrize("family", [toy_janus, toy_starter, toy_bagel])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_words_stop_where_they_stopped(use_static_shapes, family, penalty: float) -> None:
    model, tokenizer = family()
    prompts = [tokenizer(SYSTEM + talk)["input_ids"] for talk in TALKS]
    sampling = Sampling(max_new_tokens=20, temperature=0.0, repetition_penalty=penalty)
    free = model.sample_text(prompts, sampling).ids
    stops = (free[0][4], free[1][9])  # ids that come up, so that samples end at different places
    growing = model.sample_text(prompts, sampling, num_return_sequences=2, stop_ids=stops)
    use_static_shapes()
    heard: list[dict[int, int]] = []
    static = model.sample_text(prompts, sampling, num_return_sequences=2, stop_ids=stops, on_ids=heard.append)
    assert growing.ids == static.ids and len({len(ids) for ids in static.ids}) > 1
    for mine, other in zip(growing.logps, static.logps, strict=True):
        assert mine == pytest.approx(other, abs=1e-4)
    told = [[new[n] for new in heard if n in new] for n in range(6)]
    assert told == static.ids  # nothing is told of a sample that has ended


def test_each_prompt_keeps_its_own_generator(use_static_shapes) -> None:
    model, tokenizer = toy_janus()
    prompts = [tokenizer(SYSTEM + talk)["input_ids"] for talk in TALKS]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    sampling = Sampling(max_new_tokens=12)
    growing = model.sample_text(prompts, sampling, num_return_sequences=2, generator=generators()).ids
    use_static_shapes()
    assert model.sample_text(prompts, sampling, num_return_sequences=2, generator=generators()).ids == growing


def test_under_autocast_nothing_is_kept_between_steps(use_static_shapes) -> None:
    model, tokenizer = toy_janus()
    prompts = [tokenizer(SYSTEM)["input_ids"] + [model.spec.boi_id]]
    greedy = Sampling(image_temperature=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        growing = model.sample_images(prompts, greedy).logps
        use_static_shapes()
        assert torch.allclose(model.sample_images(prompts, greedy).logps, growing, atol=0.2)
