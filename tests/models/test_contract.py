"""The contract of `pipelines.models.interface`, one test body for every family at toy size (the real classes, random
weights). A new family joins by one line in `families.FAMILIES`."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.models.decoding.multi_lora import Adapter, LoraBatch
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.segments import FIRST_ALONE
from tests.models.families import (
    SYSTEM,
    TALKS,
    noised,
    prompts_for_pictures,
    readings,
    scored,
    seeds,
    some_codes,
    some_images,
)


def test_shape_fits_the_tokenizer(family):
    model, tokenizer = family
    spec = model.spec
    assert len(tokenizer) <= spec.text_vocab
    special = {spec.boi_id, spec.image_placeholder_id, spec.eot_id, spec.pad_id}
    assert len(special) == 4 and max(special) < spec.text_vocab
    assert tokenizer("<|im_end|>")["input_ids"] == [spec.eot_id]


def test_loss_is_the_mean_over_labelled_ids_and_unlabelled_ones_are_zero(family):
    model, tokenizer = family
    words = tokenizer(SYSTEM + TALKS[0])["input_ids"]
    ids = torch.tensor([words + [model.spec.boi_id] + some_codes(model, 1)[0]])
    labels = ids.clone()
    labels[:, : len(words)] = -100
    scores = model(ids, labels=labels, entropies=True, **noised(model, ids))
    assert scores.logps.shape == ids.shape
    assert not scores.logps[labels == -100].any()
    if model.spec.latent_width:
        words_loss = -scores.logps[0, len(words)].item()
        assert words_loss > 0 and scores.loss.item() == pytest.approx(words_loss + scores.flow.mean().item(), rel=1e-5)
        assert scores.flow.shape == (1,) and not scores.logps[0, len(words) + 1 :].any()
        return
    assert (scores.logps[labels != -100] < 0).all()
    assert scores.loss.item() == pytest.approx(-scores.logps[labels != -100].mean().item(), rel=1e-5)
    spread = scores.entropies[labels != -100]
    assert (spread > 0).all() and not scores.entropies.requires_grad
    assert spread[0] <= math.log(model.spec.text_vocab) + 1e-4
    assert (spread[1:] <= math.log(model.spec.codebook) + 1e-4).all()


def test_packed_rows_equal_the_same_samples_scored_separately(family):
    model, tokenizer = family
    prefix = tokenizer(SYSTEM)["input_ids"]
    parts = [tokenizer(talk + "Hello, I am Mira.")["input_ids"] for talk in TALKS]
    parts[1] = [*parts[1], model.spec.boi_id, *some_codes(model, 2)[0]]
    parts[2] = [*parts[2], model.spec.boi_id, *some_codes(model, 2)[1]]
    ids = prefix + [token for part in parts for token in part]
    segments = [0] * len(prefix) + [place + 1 for place, part in enumerate(parts) for _ in part]
    padding = 5
    row = torch.tensor([ids + [model.spec.pad_id] * padding])
    labels = row.clone()
    labels[:, 0], labels[:, len(ids) :] = -100, -100
    mask = (torch.arange(row.shape[1]) < len(ids)).long()[None]
    with torch.no_grad():
        for filler in (0, len(parts)):  # whatever segment padding is said to belong to
            segment_ids = torch.tensor([segments + [filler] * padding])
            packed = readings(model, row, mask, labels, segment_ids)[0]
            start = len(prefix)
            assert torch.allclose(packed[:start], scored(model, prefix), atol=1e-4)
            for part in parts:
                alone = scored(model, prefix + part)[len(prefix) :]
                assert (alone != 0).all()
                assert torch.allclose(packed[start : start + len(part)], alone, atol=1e-4)
                start += len(part)


def test_a_segment_that_stands_alone_is_scored_as_a_row_of_its_own(family):
    model, tokenizer = family
    prefix = tokenizer(SYSTEM)["input_ids"]
    talk = tokenizer(TALKS[1])["input_ids"]
    image = [*tokenizer(TALKS[2])["input_ids"], model.spec.boi_id, *some_codes(model, 1)[0]]
    parts = [(0, prefix), (1, talk), (FIRST_ALONE - 1, image), (2, talk)]
    row = torch.tensor([[token for _, ids in parts for token in ids]])
    segments = torch.tensor([[number for number, ids in parts for _ in ids]])
    labels = row.where(row >= model.spec.text_vocab, -100)
    with torch.no_grad():
        packed = readings(model, row, labels=labels, segments=segments)
    codes = model.spec.image_tokens
    assert torch.allclose(packed[labels != -100], scored(model, image)[-codes:], atol=1e-4)
    assert not torch.allclose(scored(model, image)[-codes:], scored(model, prefix + image)[-codes:], atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(family, side: str):
    model, tokenizer = family
    ids = [*tokenizer(SYSTEM)["input_ids"], model.spec.boi_id, *some_codes(model, 1)[0]]
    filler = [model.spec.pad_id] * 7
    row = torch.tensor([filler + ids if side == "left" else ids + filler])
    keep = slice(7, None) if side == "left" else slice(0, len(ids))
    labels, mask = torch.full_like(row, -100), torch.zeros_like(row)
    labels[:, keep], mask[:, keep] = row[:, keep], 1
    with torch.no_grad():
        padded = readings(model, row, mask, labels)[0, keep]
    assert torch.allclose(padded, scored(model, ids), atol=1e-4)


def test_a_looked_at_picture_changes_what_is_said(family):
    model, tokenizer = family
    spec = model.spec
    ids = (
        [spec.eot_id]
        + [spec.image_placeholder_id] * spec.image_input_tokens
        + tokenizer("What do you see?")["input_ids"]
    )
    one, other = some_images(model, 2).split(1)
    first, second = (scored(model, ids, pixel_values=picture) for picture in (one, other))
    assert not torch.allclose(first[-8:], second[-8:], atol=1e-4)
    with pytest.raises(ValueError, match="no pictures were given"):
        scored(model, ids)
    with pytest.raises(ValueError, match="2 pictures fill"):
        scored(model, ids, pixel_values=some_images(model, 2))


def test_text_groups_equal_each_sample_alone(family):
    model, tokenizer = family
    prompts = [tokenizer(SYSTEM + talk)["input_ids"] for talk in TALKS]
    sampling = Sampling(max_new_tokens=12, temperature=0.0, repetition_penalty=1e6)
    free = model.sample_text(prompts, sampling).ids
    stops = (free[0][2], free[1][5])  # so that some samples end while others go on
    together = model.sample_text(prompts, sampling, num_return_sequences=2, stop_ids=stops)
    assert len(together.ids) == len(together.logps) == 6
    assert len(together.ids[0]) <= 3 and max(map(len, together.ids)) > min(map(len, together.ids))
    for place, prompt in enumerate(prompts):
        alone = model.sample_text([prompt], sampling, stop_ids=stops)
        for sample in (2 * place, 2 * place + 1):
            assert together.ids[sample] == alone.ids[0]
            assert together.logps[sample] == pytest.approx(alone.logps[0], abs=1e-4)


def test_text_groups_look_at_their_own_pictures(family):
    model, tokenizer = family
    spec, pictures = model.spec, some_images(model, 2)
    look = [spec.image_placeholder_id] * spec.image_input_tokens
    start = tokenizer(SYSTEM)["input_ids"]
    prompts = [start + look + tokenizer(talk)["input_ids"] for talk in TALKS[:2]]
    greedy = Sampling(max_new_tokens=6, temperature=0.0)
    together = model.sample_text(prompts, greedy, num_return_sequences=2, pixel_values=pictures)
    for place, prompt in enumerate(prompts):
        alone = model.sample_text([prompt], greedy, pixel_values=pictures[place : place + 1])
        assert together.ids[2 * place] == together.ids[2 * place + 1] == alone.ids[0]
        assert together.logps[2 * place] == pytest.approx(alone.logps[0], abs=1e-4)


def test_text_samples_know_their_log_probabilities(family):
    model, tokenizer = family
    prompts = [tokenizer(SYSTEM + talk)["input_ids"] for talk in TALKS]
    samples = model.sample_text(
        prompts,
        Sampling(max_new_tokens=10, temperature=0.7, top_p=0.8, repetition_penalty=1.3),
        num_return_sequences=2,
        generator=torch.Generator().manual_seed(0),
    )
    for place, (ids, logps) in enumerate(zip(samples.ids, samples.logps, strict=True)):
        forward = scored(model, prompts[place // 2] + ids)[-len(ids) :]
        assert logps == pytest.approx(forward.tolist(), abs=1e-4)


def test_sampled_text_is_text_and_each_sample_stops_by_itself(family):
    model, tokenizer = family
    stops = (model.spec.eot_id, model.spec.boi_id, *range(5, 25))
    samples = model.sample_text(
        [tokenizer(talk)["input_ids"] for talk in TALKS],
        Sampling(max_new_tokens=40, temperature=3.0, top_p=1.0),
        num_return_sequences=8,
        stop_ids=stops,
        generator=torch.Generator().manual_seed(0),
    )
    assert len({len(ids) for ids in samples.ids}) > 3  # they did not all stop together
    for ids, logps in zip(samples.ids, samples.logps, strict=True):
        assert len(ids) == len(logps) <= 40
        assert all(0 <= token < model.spec.text_vocab and token != model.spec.image_placeholder_id for token in ids)
        assert not set(ids[:-1]) & set(stops)
        assert ids[-1] in stops or len(ids) == 40


def test_a_large_repetition_penalty_forbids_repeating(family):
    model, tokenizer = family
    prompt = tokenizer(TALKS[0])["input_ids"]
    sampling = Sampling(max_new_tokens=30, temperature=0.0, repetition_penalty=1e6)
    sample = model.sample_text([prompt], sampling).ids[0]
    assert len(set(sample)) == len(sample) == 30


def test_picture_groups_equal_each_sample_alone(family):
    model, tokenizer = family
    prompts = prompts_for_pictures(model, tokenizer)
    for guidance in (1.0, 3.0):
        sampling = Sampling(guidance_scale=guidance, image_temperature=0.0)
        together = model.sample_images(prompts, sampling, num_return_sequences=2, generator=seeds(3))
        assert together.codes.shape == together.logps.shape == (6, model.spec.image_tokens)
        for place, prompt in enumerate(prompts):
            alone = model.sample_images([prompt], sampling, num_return_sequences=2, generator=seeds(3)[place])
            for sample, own in ((2 * place, 0), (2 * place + 1, 1)):
                assert together.codes[sample].tolist() == alone.codes[own].tolist()
                assert torch.allclose(together.logps[sample], alone.logps[own], atol=1e-4)
                assert torch.allclose(together.images[sample], alone.images[own], atol=1e-4)


def test_an_adapter_that_adds_nothing_draws_what_the_model_draws(family):
    model, tokenizer = family
    prompts = prompts_for_pictures(model, tokenizer)
    sampling = Sampling(guidance_scale=2.0)
    loras = LoraBatch([Adapter("one", {}), Adapter("other", {}), Adapter("one", {})])
    for some in (None, loras):
        drawn = model.sample_images(prompts, sampling, num_return_sequences=2, generator=seeds(3), loras=some)
        said = model.sample_text(prompts, Sampling(max_new_tokens=4, temperature=0.0), loras=some)
        if some is None:
            plain, words = drawn, said
    assert torch.allclose(drawn.images.float(), plain.images.float(), atol=1e-4) and said.ids == words.ids


def test_progress_is_told_as_often_as_the_spec_says(family):
    model, tokenizer = family
    steps = []
    prompts = prompts_for_pictures(model, tokenizer)
    model.sample_images(prompts, num_return_sequences=2, on_ids=lambda ids: steps.append(sorted(ids)))
    assert steps == [[*range(6)]] * model.spec.drawing_steps


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_picture_samples_know_their_log_probabilities_under_the_plain_model(family, guidance: float):
    model, tokenizer = family
    if model.spec.latent_width:
        pytest.skip("an image of latents has no log-probability; its steps are in the tests of the family")
    prompts = prompts_for_pictures(model, tokenizer)
    samples = model.sample_images(
        prompts,
        Sampling(guidance_scale=guidance, image_temperature=0.8, image_top_k=20),
        num_return_sequences=2,
        generator=torch.Generator().manual_seed(0),
    )
    assert samples.codes.min() >= 0 and samples.codes.max() < model.spec.codebook
    for place in range(6):
        ids = prompts[place // 2] + (samples.codes[place] + model.spec.text_vocab).tolist()
        forward = scored(model, ids)[-model.spec.image_tokens :]
        assert torch.allclose(samples.logps[place], forward, atol=1e-4)


def test_a_picture_prompt_must_end_in_the_announcing_id(family):
    model, tokenizer = family
    with pytest.raises(ValueError, match="must end in"):
        model.sample_images([tokenizer(TALKS[0])["input_ids"]])


def test_the_generator_decides(family):
    model, tokenizer = family
    words = [tokenizer(TALKS[0])["input_ids"]]
    pictures = prompts_for_pictures(model, tokenizer)[:1]

    def draw(seed: int) -> tuple[list[list[int]], list[list[int]]]:
        generator = torch.Generator().manual_seed(seed)
        text = model.sample_text(words, Sampling(max_new_tokens=8), num_return_sequences=2, generator=generator)
        drawn = model.sample_images(pictures, num_return_sequences=2, generator=generator)
        return text.ids, drawn.images.tolist()

    assert draw(0) == draw(0)
    assert draw(0)[0] != draw(1)[0] and draw(0)[1] != draw(1)[1]
    assert draw(0)[0][0] != draw(0)[0][1]  # the samples of a group differ


def test_pictures_go_to_codes_and_back_in_range(family):
    model, _ = family
    spec = model.spec
    codes = model.encode_images(some_images(model, 2))
    if spec.latent_width:
        assert codes.shape == (2, spec.image_tokens, 2 * spec.latent_width) and codes.dtype == torch.float32
        means, deviations = codes.chunk(2, -1)
        assert (deviations > 0).all() and torch.equal(model.decode_images(means), model.decode_images(codes))
    else:
        assert codes.shape == (2, spec.image_tokens) and codes.dtype == torch.int64
        assert codes.min() >= 0 and codes.max() < spec.codebook
    pixels = model.decode_images(codes)
    assert pixels.shape == (2, 3, spec.image_px, spec.image_px) and pixels.dtype == torch.float32
    assert pixels.abs().max() <= 1 and pixels.std() > 0
    assert not torch.equal(pixels[0], pixels[1])
