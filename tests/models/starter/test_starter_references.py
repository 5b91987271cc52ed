"""References of the image expert: golden values of the shipped weights, and what may and may not change a drawing.

golden/golden.safetensors was computed by the program that trained the weights, in fp32; see pipelines/models/starter/
weights/CARD.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import DynamicCache

from pipelines.core.character.references import MOST_LOOKED_AT
from pipelines.core.jobs.model_specs import REFERENCE_IMAGES
from pipelines.models.decoding.multi_lora import Adapter, LoraBatch
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.loading import WEIGHTS, load_starter
from pipelines.models.starter.model import StarterModel, toy_starter
from pipelines.models.starter.references import ABSENT, EncodedReferences
from pipelines.models.starter.sampling import guidance_of_rows

GOLDEN = Path(__file__).parent / "golden" / "golden.safetensors"
GREEDY = Sampling(image_temperature=0.0)


@pytest.fixture(scope="module")
def starter() -> StarterModel:
    model, _ = load_starter()
    return model


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


def reference_codes(golden: dict[str, torch.Tensor]) -> torch.Tensor:
    return golden["reference_codes"].long().masked_fill(~golden["reference_on"][..., None], ABSENT)


@torch.inference_mode()
def test_the_reference_vectors_are_the_golden_ones(starter: StarterModel, golden: dict[str, torch.Tensor]) -> None:
    assert starter.picture.references is not None
    vectors = starter.picture.references(starter.vq.code_vectors[golden["reference_codes"].long()])
    torch.testing.assert_close(vectors, golden["reference_vectors"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("row", range(4))
@torch.inference_mode()
def test_logits_and_loss_are_the_golden_ones(starter: StarterModel, golden: dict[str, torch.Tensor], row: int) -> None:
    length = int(golden["mask"][row].sum())
    text = golden["ids"][row, :length].long()
    codes = golden["target_codes"][row].long()
    ids = torch.cat([text, starter.spec.text_vocab + codes])[None]
    labels = ids.clone()
    labels[:, :length] = -100
    hidden: list[torch.Tensor] = []
    hook = starter.picture.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    scores = starter(
        ids,
        labels=labels,
        reference_codes=reference_codes(golden)[row : row + 1],
        drop_context=golden["drop_words"][row : row + 1],
    )
    hook.remove()
    assert scores.loss is not None
    torch.testing.assert_close(scores.loss, golden["loss"][row], atol=1e-4, rtol=0)
    logits = starter.picture.head(hidden[0][0, :8])
    torch.testing.assert_close(logits, golden["logits_first_8_places"][row], atol=1e-4, rtol=0)


def toy_prompts(model: StarterModel) -> tuple[list[list[int]], torch.Tensor]:
    prompts = [[20, 21, 22, model.spec.boi_id], [23, 24, model.spec.boi_id]]
    codes = torch.arange(2 * 2 * model.spec.image_tokens).view(2, 2, -1) * 7 % model.spec.codebook
    return prompts, codes


def test_rows_without_references_are_guided_further() -> None:
    """Each row of a mixed batch is drawn as it is alone; without references 1.5 is what 3 is to the plain formula."""
    model, _ = toy_starter(seed=0)
    prompts, codes = toy_prompts(model)
    codes[1] = ABSENT

    def drawn(guidance: float, rows: slice = slice(0, 2)) -> torch.Tensor:
        sampling = Sampling(guidance_scale=guidance, image_temperature=0)
        return model.sample_images(prompts[rows], sampling, reference_codes=codes[rows]).codes

    both = drawn(1.5)
    assert torch.equal(both[0], drawn(1.5, slice(0, 1))[0]) and torch.equal(both[1], drawn(1.5, slice(1, 2))[0])
    alone = model.sample_images(prompts[1:], Sampling(guidance_scale=1.5, image_temperature=0)).codes[0]
    assert torch.equal(both[1], alone)


@pytest.mark.parametrize(
    ("present", "scale"), [([[True, False]], 1.5), ([[False, False]], 3.0), (None, 3.0), ([[True, True]], 1.5)]
)
def test_the_guidance_of_a_row(present: list[list[bool]] | None, scale: float) -> None:
    references = None if present is None else EncodedReferences(DynamicCache(), torch.tensor(present))
    found = guidance_of_rows(1.5, 1, references, torch.device("cpu"))
    assert found.tolist() == [[scale]]
    assert guidance_of_rows(1.0, 1, references, torch.device("cpu")).tolist() == [[1.0]]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_sample_has_the_log_probabilities_of_the_forward(guidance: float) -> None:
    model, _ = toy_starter()
    prompts, codes = toy_prompts(model)
    codes[1, 1] = ABSENT
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(guidance_scale=guidance)
    samples = model.sample_images(prompts, sampling, num_return_sequences=2, reference_codes=codes, generator=generator)
    for number in range(4):
        prompt = prompts[number // 2]
        ids = torch.tensor([[*prompt, *(model.spec.text_vocab + samples.codes[number]).tolist()]])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        scores = model(ids, labels=labels, reference_codes=codes[number // 2 : number // 2 + 1])
        assert scores.logps is not None
        torch.testing.assert_close(scores.logps[0, len(prompt) :], samples.logps[number], atol=1e-4, rtol=1e-4)


def test_references_change_a_drawing_and_absent_ones_do_not() -> None:
    model, _ = toy_starter()
    prompts, codes = toy_prompts(model)
    without = model.sample_images(prompts, replace(GREEDY, image_temperature=1.0), generator=_seeded()).logps
    absent = torch.full_like(codes, ABSENT)
    with_absent = model.sample_images(prompts, Sampling(), reference_codes=absent, generator=_seeded()).logps
    torch.testing.assert_close(with_absent, without)
    with_both = model.sample_images(prompts, Sampling(), reference_codes=codes, generator=_seeded()).logps
    assert not torch.allclose(with_both, without, atol=1e-4)


def test_packed_drawings_see_their_own_references_and_their_gradients_reach_the_encoder() -> None:
    model, _ = toy_starter()
    prompts, codes = toy_prompts(model)
    drawn = [(model.spec.text_vocab + codes[n, 0].flip(0)).tolist() for n in range(2)]
    alone = []
    for n in range(2):
        ids = torch.tensor([[30, *prompts[n], *drawn[n]]])
        alone.append(model(ids, labels=ids, reference_codes=codes[n : n + 1]).logps[0, -len(drawn[n]) :])
    packed = torch.tensor([[30, *prompts[0], *drawn[0], *prompts[1], *drawn[1]]])
    sizes = [len(prompts[n]) + len(drawn[n]) for n in range(2)]
    segments = torch.tensor([[0] + [1] * sizes[0] + [2] * sizes[1]])
    scores = model(packed, labels=packed, segment_ids=segments, reference_codes=codes)
    length = len(drawn[0])
    torch.testing.assert_close(scores.logps[0, 1 + sizes[0] - length : 1 + sizes[0]], alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores.logps[0, -length:], alone[1], atol=1e-5, rtol=1e-5)
    scores.loss.backward()
    assert model.picture.references is not None and model.picture.references.merge.weight.grad is not None
    assert float(model.picture.references.merge.weight.grad.abs().sum()) > 0


def test_two_adapters_in_one_batch_each_read_their_references_as_alone() -> None:
    model, _ = toy_starter()
    prompts, codes = toy_prompts(model)
    name = "picture.decoder.layers.0.self_attn.k_proj"
    generator = torch.Generator().manual_seed(1)
    adapters = [
        Adapter(label, {name: (torch.randn(32, 2, generator=generator), torch.randn(2, 32, generator=generator))})
        for label in ("one", "two")
    ]
    together = model.sample_images(prompts, GREEDY, reference_codes=codes, loras=LoraBatch(adapters))
    for n, adapter in enumerate(adapters):
        alone = model.sample_images([prompts[n]], GREEDY, reference_codes=codes[n : n + 1], loras=LoraBatch([adapter]))
        torch.testing.assert_close(together.logps[n], alone.logps[0], atol=1e-4, rtol=1e-4)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_number_that_pages_speak_of_is_the_models() -> None:
    shipped = StarterConfig.from_pretrained(WEIGHTS).references["max_images"]
    toy = toy_starter()[0].spec.max_references
    assert {"starter": shipped, "starter-toy": toy} == REFERENCE_IMAGES
    assert max(REFERENCE_IMAGES.values()) == MOST_LOOKED_AT
