"""Several adapters in one batch write and draw what each does alone, in both families at toy size."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from pipelines.models.decoding.multi_lora import Adapter, AdapterError, LoraBatch, apply_loras, read_adapter
from pipelines.models.decoding.prefix_cache import PrefixCache
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from tests.models.families import noised

SYSTEM = "<|im_start|>system\nYou are Mira Vale, who keeps a lighthouse.<|im_end|>\n"
TALKS = ("Who are you?", "Hi", "Draw yourself: happy, in the snow.")
GREEDY = Sampling(max_new_tokens=12, temperature=0.0, repetition_penalty=1e6, image_temperature=0.0)
BASE = Adapter("base", {})


def write_adapters(model: Any, folder: Path) -> list[Path]:
    """Two LoRAs of different ranks and scales, far from doing nothing; the second on the words' Linears alone."""
    paths = []
    both = f"(?:{model.language_targets})|(?:{model.image_targets})"
    for seed, targets in enumerate((both, model.language_targets)):
        torch.manual_seed(seed)
        config = LoraConfig(
            r=4 + 2 * seed, lora_alpha=6, use_rslora=bool(seed), init_lora_weights=False, target_modules=targets
        )
        adapted = get_peft_model(model, config)
        adapted.save_pretrained(folder / str(seed), save_embedding_layers=False)
        adapted.unload()
        paths.append(folder / str(seed))
    return paths


@pytest.fixture(scope="module", params=["starter-toy", "janus-toy", "bagel-toy"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(model, tokenizer, folders of two adapters)"""
    model, tokenizer = load(request.param)
    return model.eval(), tokenizer, write_adapters(model, tmp_path_factory.mktemp(request.param))


def prompts_of(tokenizer: Any) -> list[list[int]]:
    turns = [f"{SYSTEM}<|im_start|>user\n{talk}<|im_end|>\n<|im_start|>assistant\n" for talk in TALKS]
    return [tokenizer(turn)["input_ids"] for turn in turns]


def alone_with_peft(model: Any, folder: Path | None, work: Any) -> Any:
    """What `work()` gives with PEFT's own switching of one adapter."""
    if folder is None:
        return work()
    wrapped = PeftModel.from_pretrained(model, str(folder))
    try:
        return work()
    finally:
        wrapped.unload()


@pytest.mark.parametrize("remembered", [False, True])
def test_mixed_words_equal_each_adapter_alone(family: Any, remembered: bool) -> None:
    model, tokenizer, folders = family
    prefix_cache = PrefixCache() if remembered else None
    prompts = prompts_of(tokenizer)
    free = alone_with_peft(model, folders[0], lambda: model.sample_text(prompts[:1], GREEDY)).ids[0]
    settings = {"sampling": GREEDY, "stop_ids": (free[3],)}  # so that the first leaves the batch early
    alone = [
        alone_with_peft(model, folder, lambda prompt=prompt: model.sample_text([prompt], **settings))
        for folder, prompt in zip((*folders, None), prompts, strict=True)
    ]
    adapters = [*(read_adapter(folder, model) for folder in folders), BASE]
    assert len({tuple(sample.ids[0]) for sample in alone}) == 3
    for _ in range(2):  # the second time everything but the last id is remembered
        mixed = model.sample_text(prompts, num_return_sequences=2, loras=LoraBatch(adapters, prefix_cache), **settings)
        for row in range(6):
            assert mixed.ids[row] == alone[row // 2].ids[0]
            assert mixed.logps[row] == pytest.approx(alone[row // 2].logps[0], abs=1e-4)
    if prefix_cache is not None:
        assert len(prefix_cache) >= 3


def noise(prompts: int) -> list[torch.Generator]:
    """The same of each prompt; greedy codes need none."""
    return [torch.Generator().manual_seed(0) for _ in range(prompts)]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_mixed_pictures_equal_each_adapter_alone(family: Any, guidance: float) -> None:
    model, tokenizer, folders = family
    prompts = [[*prompt, model.spec.boi_id] for prompt in prompts_of(tokenizer)]
    settings = {"sampling": replace(GREEDY, guidance_scale=guidance)}
    alone = [
        alone_with_peft(
            model,
            folder,
            lambda prompt=prompt: model.sample_images([prompt], num_return_sequences=2, generator=noise(1), **settings),
        )
        for folder, prompt in zip((*folders, None), prompts, strict=True)
    ]
    assert not torch.equal(alone[0].images, alone[2].images)
    loras = LoraBatch([*(read_adapter(folder, model) for folder in folders), BASE], PrefixCache())
    mixed = model.sample_images(prompts, num_return_sequences=2, generator=noise(3), loras=loras, **settings)
    for row in range(6):
        own = alone[row // 2]
        assert mixed.codes[row].tolist() == own.codes[row % 2].tolist()
        assert torch.allclose(mixed.logps[row], own.logps[row % 2], atol=1e-4)
        assert torch.allclose(mixed.images[row], own.images[row % 2], atol=1e-4)


def test_looked_at_pictures_go_through_their_own_adapter(family: Any) -> None:
    model, tokenizer, folders = family
    spec, px = model.spec, model.spec.image_px
    pictures = torch.rand(3, 3, px, px, generator=torch.Generator().manual_seed(1)) * 2 - 1
    look = [spec.image_placeholder_id] * spec.image_input_tokens
    start, end = tokenizer(SYSTEM)["input_ids"], tokenizer("What is it?")["input_ids"]
    prompts = [start + look + end, start + look + look + end]  # the second looks at two
    alone = [
        alone_with_peft(
            model, folder, lambda i=i, seen=seen: model.sample_text([prompts[i]], GREEDY, pixel_values=seen)
        )
        for i, (folder, seen) in enumerate(zip(folders, (pictures[:1], pictures[1:]), strict=True))
    ]
    adapters = [read_adapter(folder, model) for folder in folders]
    prefix_cache = PrefixCache()
    for shown in (pictures, pictures.flip(3)):  # other pictures behind the same ids are not remembered
        mixed = model.sample_text(prompts, GREEDY, pixel_values=shown, loras=LoraBatch(adapters, prefix_cache))
        equal = [mixed.logps[i] == pytest.approx(alone[i].logps[0], abs=1e-4) for i in range(2)]
        assert equal == [shown is pictures] * 2


def test_one_adapter_for_all_equals_peft_and_leaves_nothing_behind(family: Any) -> None:
    model, tokenizer, folders = family
    codes = [model.spec.text_vocab + code for code in range(model.spec.image_tokens)]
    ids = torch.tensor([[*prompts_of(tokenizer)[2], model.spec.boi_id, *codes]])
    labels = ids.clone()
    labels[:, 0] = -100

    def scored() -> torch.Tensor:
        with torch.no_grad():
            scores = model(ids, labels=labels, **noised(model, ids))
        return scores.logps if scores.velocity is None else scores.velocity

    before = scored()
    for folder in folders:
        expected = alone_with_peft(model, folder, scored)
        with apply_loras(model, LoraBatch([read_adapter(folder, model)])):
            assert torch.allclose(scored(), expected, atol=1e-4) and not torch.allclose(scored(), before, atol=1e-2)
            with pytest.raises(RuntimeError, match="generating already"), apply_loras(model, LoraBatch([BASE])):
                pass
    assert torch.equal(scored(), before)


def test_a_prompts_own_generator_makes_it_independent_of_the_others(family: Any) -> None:
    model, tokenizer, _ = family
    prompts = prompts_of(tokenizer)
    pictures = [[*prompt, model.spec.boi_id] for prompt in prompts]

    def generators(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    sampling = Sampling(max_new_tokens=8, temperature=1.3, top_p=0.99, guidance_scale=2.0)
    together = model.sample_text(prompts, sampling, num_return_sequences=2, generator=generators(5, 6, 7)).ids
    drawn = model.sample_images(pictures, sampling, generator=generators(5, 6, 7)).images
    for i, seed in enumerate((5, 6, 7)):
        [one] = generators(seed)
        alone = model.sample_text([prompts[i]], sampling, num_return_sequences=2, generator=one)
        assert alone.ids == together[2 * i : 2 * i + 2]
        own = model.sample_images([pictures[i]], sampling, generator=generators(seed))
        assert torch.allclose(own.images[0], drawn[i], atol=0 if own.latents is None else 1e-4)
    assert together[0] != together[1]


def test_new_ids_are_heard_at_every_step(family: Any) -> None:
    model, tokenizer, _ = family
    prompts = prompts_of(tokenizer)
    settings = {"sampling": Sampling(max_new_tokens=20, temperature=2.0), "stop_ids": tuple(range(5, 60))}
    heard: list[dict[int, int]] = []
    loud = model.sample_text(prompts, generator=torch.Generator().manual_seed(0), on_ids=heard.append, **settings).ids
    quiet = model.sample_text(prompts, generator=torch.Generator().manual_seed(0), **settings).ids
    assert loud == quiet and len(heard) == max(map(len, loud)) > min(map(len, loud))
    assert [[step[i] for step in heard if i in step] for i in range(3)] == loud
    codes: list[dict[int, int]] = []
    drawn = model.sample_images(
        [[*prompts[0], model.spec.boi_id]], Sampling(guidance_scale=2.0), on_ids=codes.append
    ).codes
    assert [step[0] for step in codes] == drawn[0].tolist()

    def stop(new: dict[int, int]) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        model.sample_text(prompts, on_ids=stop, loras=LoraBatch([BASE] * 3))
    assert model.sample_text(prompts, generator=torch.Generator().manual_seed(0), **settings).ids == quiet


def test_adapters_that_cannot_be_applied_are_refused_in_words(family: Any, tmp_path: Path) -> None:
    model, _, folders = family
    with pytest.raises(AdapterError, match=r"adapter_config\.json does not exist.*choose another checkpoint"):
        read_adapter(tmp_path, model)
    other = load("janus-toy" if model.config.model_type.startswith("understudy") else "starter-toy")[0]
    with pytest.raises(AdapterError, match="made for another base model"):
        read_adapter(folders[0], other)
    config, weights = (folders[0] / name for name in ("adapter_config.json", "adapter_model.safetensors"))
    for change in ({"use_dora": True}, {"peft_type": "LOHA"}, {"bias": "all"}):
        shutil.copytree(folders[0], tmp_path / "a", dirs_exist_ok=True)
        (tmp_path / "a" / config.name).write_text(json.dumps(json.loads(config.read_text()) | change))
        with pytest.raises(AdapterError, match="only a plain LoRA can be used"):
            read_adapter(tmp_path / "a", model)
    shutil.copytree(folders[0], tmp_path / "b")
    (tmp_path / "b" / weights.name).write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(AdapterError, match="cannot be read"):
        read_adapter(tmp_path / "b", model)
    save_file(load_file(weights) | {"base_model.model.extra.weight": torch.ones(1)}, tmp_path / "b" / weights.name)
    with pytest.raises(AdapterError, match="more than a LoRA"):
        read_adapter(tmp_path / "b", model)
