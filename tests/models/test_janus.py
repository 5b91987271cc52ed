"""Our Janus against the library's `JanusForConditionalGeneration` with the same weights, at toy size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import JanusForConditionalGeneration
from trl.trainer.utils import add_fused_lm_head

from pipelines.models import toy_tokenizer
from pipelines.models.decoding.prefill import pad_left
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.janus import toy_janus

TALK = "<|im_start|>user\nDraw yourself: happy, in the snow.<|im_end|>\n<|im_start|>assistant\n"
SHORT = "<|im_start|>user\nHi<|im_end|>\n"


@pytest.fixture(scope="module")
def ours():
    return toy_janus(seed=0)


@pytest.fixture(scope="module")
def theirs(ours) -> JanusForConditionalGeneration:
    """The library's class with our weights."""
    model = JanusForConditionalGeneration(ours[0].config)
    model.load_state_dict(ours[0].state_dict())
    model.generation_config = ours[0].generation_config
    return model.eval()


def some_images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("looked_at", [0, 2])
def test_text_logps_equal_the_library_logits(ours, theirs, looked_at: int):
    model, tokenizer = ours
    look = "<|look|>" * model.spec.image_input_tokens
    ids = torch.tensor([tokenizer(look * looked_at + TALK)["input_ids"]])
    pictures = some_images(looked_at) if looked_at else None
    labels = ids.clone()
    labels[:, 0] = -100
    with torch.no_grad():
        got = model(ids, torch.ones_like(ids), labels, pixel_values=pictures, entropies=True)
        logits = theirs(ids, pixel_values=pictures, attention_mask=torch.ones_like(ids)).logits
    expected = logits.log_softmax(-1)[:, :-1]
    assert torch.equal(got.logps[:, 1:], expected.gather(-1, ids[:, 1:, None]).squeeze(-1))
    assert torch.allclose(got.entropies[:, 1:], -(expected.exp() * expected).sum(-1), atol=1e-5)


def test_code_logps_equal_the_library_parts_run_by_hand(ours, theirs):
    model, tokenizer = ours
    words = tokenizer(TALK)["input_ids"] + [toy_tokenizer.BOI_ID]
    codes = torch.randint(64, (1, 16), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([torch.tensor([words]), codes + toy_tokenizer.TOY_VOCAB], 1)
    labels = ids.where(ids >= toy_tokenizer.TOY_VOCAB, -100)
    with torch.no_grad():
        got = model(ids, labels=labels).logps[:, len(words) :]
        spoken = theirs.get_input_embeddings()(ids[:, : len(words)])
        drawn = theirs.prepare_embeddings_for_image_generation(codes)
        hidden = theirs.model.language_model(inputs_embeds=torch.cat([spoken, drawn], 1)).last_hidden_state
        hidden = hidden[:, len(words) - 1 : -1]
        expected = theirs.model.generation_head(hidden).log_softmax(-1).gather(-1, codes[..., None]).squeeze(-1)
    assert torch.allclose(got, expected, atol=1e-5)


# The library cannot draw with guidance 1 (it doubles the batch but never merges the halves), so "off" is a hair above.
@pytest.mark.parametrize(("guidance", "theirs_guidance"), [(1.0, 1 + 1e-9), (1.5, 1.5), (5.0, 5.0)])
def test_greedy_pictures_equal_the_library_token_by_token(ours, theirs, guidance: float, theirs_guidance: float):
    model, tokenizer = ours
    prompts = [tokenizer(text)["input_ids"] + [toy_tokenizer.BOI_ID] for text in (TALK, SHORT)]
    got = model.sample_images(prompts, Sampling(guidance_scale=guidance, image_temperature=0.0)).codes
    ids, mask = pad_left(prompts, toy_tokenizer.PAD_ID, torch.device("cpu"))
    for rows in (slice(0, 1), slice(0, 2)):  # the long prompt alone, then both with padding on the left
        expected = theirs.generate(
            ids[rows],
            attention_mask=mask[rows],
            generation_mode="image",
            do_sample=False,
            guidance_scale=theirs_guidance,
            use_cache=True,
        )
        assert expected.tolist() == got[rows].tolist()
    assert len(got.unique()) > 4  # not a degenerate comparison


def test_guidance_changes_the_picture(ours):
    model, tokenizer = ours
    prompt = [tokenizer(TALK)["input_ids"] + [toy_tokenizer.BOI_ID]]
    settings = (Sampling(guidance_scale=guidance, image_temperature=0.0) for guidance in (1.0, 5.0))
    plain, guided = (model.sample_images(prompt, sampling).codes for sampling in settings)
    assert plain.tolist() != guided.tolist()


def test_greedy_text_equals_the_library(ours, theirs):
    model, tokenizer = ours
    ids = tokenizer(TALK)["input_ids"]
    greedy = Sampling(max_new_tokens=20, temperature=0.0)
    got = model.sample_text([ids], greedy, stop_ids=(toy_tokenizer.EOT_ID,)).ids[0]
    expected = theirs.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=20,
        do_sample=False,
    )
    assert got == expected[0, len(ids) :].tolist()


def test_pictures_are_decoded_as_in_the_library_and_cut_to_range(ours, theirs):
    model, _ = ours
    codes = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.decode_image_tokens(codes).permute(0, 3, 1, 2)
    assert torch.equal(model.decode_images(codes), expected.clamp(-1, 1))


def test_pictures_are_encoded_on_the_sphere_as_in_the_original(ours, theirs):
    model, _ = ours
    pictures = some_images(3)
    vq = theirs.model.vqmodel
    codebook = vq.quantize.embedding.weight.detach()
    with torch.no_grad():
        latents = vq.quant_conv(vq.encoder(pictures)).permute(0, 2, 3, 1).reshape(-1, codebook.shape[1])
        # DeepSeek's rule: smallest distance after both sides are normalised.
        nearest = torch.cdist(F.normalize(latents, dim=-1), F.normalize(codebook, dim=-1)).argmin(-1)
        assert model.encode_images(pictures).flatten().tolist() == nearest.tolist()
        # The library leaves the norms in; on a codebook of unit vectors both rules agree.
        vq.quantize.embedding.weight.copy_(F.normalize(codebook, dim=-1))
        library = vq.encode(pictures).image_tokens
        vq.quantize.embedding.weight.copy_(codebook)
    assert library.tolist() == nearest.tolist()


def test_packed_rows_are_the_same_under_eager_attention(ours):
    model, tokenizer = ours
    eager, _ = toy_janus(seed=0)
    eager.set_attn_implementation("eager")
    ids = torch.tensor([tokenizer(SHORT + TALK + TALK)["input_ids"]])
    first, second = len(tokenizer(SHORT)["input_ids"]), len(tokenizer(TALK)["input_ids"])
    segments = torch.tensor([[0] * first + [1] * second + [2] * second])
    with torch.no_grad():
        rows = [m(ids, labels=ids, segment_ids=segments).logps for m in (model, eager)]
    assert torch.allclose(rows[0], rows[1], atol=1e-4)
    part = rows[0][0, first:]
    assert torch.allclose(part[:second], part[second:], atol=1e-4)  # equal segments, equal scores


def test_sampling_leaves_the_mode_as_it_was(ours):
    model, tokenizer = toy_janus(seed=0)
    model.activation_checkpointing_enable()
    model.train()
    prompt = [tokenizer(SHORT)["input_ids"] + [toy_tokenizer.BOI_ID]]
    greedy = Sampling(image_temperature=0.0)
    drawn = model.sample_images(prompt, greedy)
    assert model.training and model.model.language_model.training
    assert drawn.codes.tolist() == ours[0].sample_images(prompt, greedy).codes.tolist()


def test_a_fused_head_is_refused_and_its_wrapper_does_no_harm(ours):
    model, tokenizer = toy_janus(seed=0)
    ids = torch.tensor([tokenizer(SHORT)["input_ids"] + [toy_tokenizer.BOI_ID, toy_tokenizer.TOY_VOCAB + 3]])
    expected = model(ids, labels=ids).logps
    add_fused_lm_head(model)  # what TRL's trainers do to every model
    assert torch.equal(model(input_ids=ids, labels=ids).logps, expected)
    with pytest.raises(RuntimeError, match="knows no picture codes"):
        model(input_ids=ids, labels=ids, fused_lm_head=True)


def test_a_checkpoint_that_does_not_name_its_image_piece_is_explained():
    model, _ = toy_janus(seed=0)
    del model.generation_config.generation_kwargs
    with pytest.raises(ValueError, match=r"generation_config.json: generation_kwargs.boi_token_id"):
        _ = model.spec


def test_peft_wraps_it_as_a_causal_language_model():
    model, tokenizer = toy_janus(seed=0)
    ids = torch.tensor([tokenizer(TALK)["input_ids"]])
    expected = model(ids, labels=ids).loss
    settings = LoraConfig(r=2, target_modules=model.language_targets, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    assert torch.equal(adapted(input_ids=ids, labels=ids).loss, expected)  # a new adapter changes nothing
    assert adapted.get_base_model() is model
