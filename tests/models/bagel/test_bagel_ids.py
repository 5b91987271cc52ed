"""BAGEL behind the contract: rows of ids are the rows of segments that the golden numbers prove."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.bagel import draw_in_parts, id_reader
from pipelines.models.bagel.flow import FlowSampling
from pipelines.models.bagel.id_rows import resized
from pipelines.models.bagel.patches import from_patches, to_patches
from pipelines.models.bagel.random_weights import toy_bagel
from pipelines.models.bagel.rows import Drawn, LookedAt, Sample, Text, pack
from pipelines.models.bagel.sampling import draw, drawing_contexts, write
from pipelines.models.bagel.unified import UnifiedBagel
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.segments import FIRST_ALONE
from tests.models.bagel.segments_of_noise import some


@pytest.fixture(scope="module")
def model() -> UnifiedBagel:
    return toy_bagel()[0]


def text(model: UnifiedBagel, *words: int) -> list[int]:
    ids = model.config.ids
    return [ids.text_start, *words, ids.text_end]


def look(model: UnifiedBagel) -> list[int]:
    ids, spec = model.config.ids, model.spec
    return [ids.image_start, *[spec.image_placeholder_id] * spec.image_input_tokens, ids.image_end]


def drawn_ids(model: UnifiedBagel) -> list[int]:
    return [model.spec.boi_id, *[model.spec.text_vocab] * model.spec.image_tokens]


def test_a_row_of_ids_is_the_row_of_its_segments(model: UnifiedBagel) -> None:
    """A prefix, two replies behind it (one looks), and two images drawn from their own turns alone."""
    pixels, (latents, other), (noise, more) = some(1, 3, 32, 32).clamp(-1, 1), some(2, 4, 64), some(2, 4, 64, seed=1)
    seen = LookedAt(resized(pixels, model.config.look_px)[0])
    first, second = Text((7, 8), learned=True), Text((9, 10, 11), learned=True)
    images = [
        Drawn(from_patches(one, (2, 2)), level, own) for one, level, own in ((latents, 0.3, noise), (other, 0.8, more))
    ]
    row = pack(
        [
            Sample([Text((1, 2, 3))], [[Text((4,)), first], [seen, Text((5, 6)), second]]),
            Sample([Text((20, 21)), images[0]]),
            Sample([images[1]]),  # its text was dropped
        ],
        model.config,
    )
    wanted = model.score_row(row)
    parts = [
        (0, text(model, 1, 2, 3)),
        (1, text(model, 4) + text(model, 7, 8)),
        (FIRST_ALONE - 1, text(model, 20, 21) + drawn_ids(model)),
        (2, look(model) + text(model, 5, 6) + text(model, 9, 10, 11)),
        (FIRST_ALONE - 2, drawn_ids(model)),
    ]
    ids = torch.tensor([[token for _, part in parts for token in part]])
    segments = torch.tensor([[number for number, part in parts for _ in part]])
    labels = torch.full_like(ids, -100)
    for words in ((7, 8, model.spec.eot_id), (9, 10, 11, model.spec.eot_id)):
        start = ids[0].tolist().index(words[0])
        labels[0, start : start + len(words)] = torch.tensor(words)
    scores = model(
        ids,
        labels=labels,
        segment_ids=segments,
        pixel_values=pixels,
        latents=torch.stack([latents, other]),
        noise=torch.stack([noise, more]),
        noise_levels=torch.tensor([0.3, 0.8]),
    )
    torch.testing.assert_close(-scores.logps[labels != -100], wanted.ce, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.velocity.flatten(0, 1), wanted.velocity, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.flow, wanted.mse.view(2, -1).mean(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.loss, wanted.loss, atol=1e-5, rtol=0)


def test_a_prompt_of_ids_is_written_and_drawn_from_as_its_segments(model: UnifiedBagel) -> None:
    pixels = some(1, 3, 32, 32).clamp(-1, 1)
    segments = [Text((1, 2)), LookedAt(resized(pixels, model.config.look_px)[0]), Text((5, 6))]
    prompt = text(model, 1, 2) + look(model) + text(model, 5, 6)
    greedy = Sampling(max_new_tokens=5, temperature=0.0)
    begun = [*prompt, model.config.ids.text_start]
    wanted = write(model, [model.read([segments])[0]], greedy)
    found = model.sample_text([begun], greedy, pixel_values=pixels, stop_ids=(model.spec.eot_id,))
    assert found.ids == wanted.ids and found.logps[0] == pytest.approx(wanted.logps[0], abs=1e-4)
    noise = torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(2))
    settings = FlowSampling(points=6, text_guidance=3.0)
    context = drawing_contexts(model, [segments])[0]
    steps = Sampling(guidance_scale=3.0, flow_steps=5)
    image = model.sample_images(
        [[*prompt, model.spec.boi_id]], steps, pixel_values=pixels, generator=torch.Generator().manual_seed(2)
    )
    torch.testing.assert_close(image.latents, draw(model, [context], (2, 2), noise, settings), atol=1e-4, rtol=0)
    # Guidance compares with what stands before the last text: the image that is looked at stays.
    changed = model.sample_images(
        [[*prompt, model.spec.boi_id]], steps, pixel_values=-pixels, generator=torch.Generator().manual_seed(2)
    )
    assert not torch.allclose(changed.latents, image.latents, atol=1e-3)


def test_prompts_are_read_in_parts_as_in_one(model: UnifiedBagel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all begin with is read once, the rest in rows of limited length; also right before an image."""
    start, pixels = text(model, *range(20)), some(2, 3, 32, 32).clamp(-1, 1)
    seen = [[*start, *look(model), *text(model, number)] for number in (1, 2)]
    for prompts, shown in (([[*start, *text(model, number)] for number in (1, 2, 3)], None), (seen, pixels)):
        greedy = Sampling(max_new_tokens=4, temperature=0.0)
        alone = [
            model.sample_text([prompt], greedy, pixel_values=None if shown is None else shown[number : number + 1])
            for number, prompt in enumerate(prompts)
        ]
        for most in (4096, 5):
            monkeypatch.setattr(id_reader, "READ_POSITIONS", most)
            together = model.sample_text(prompts, greedy, pixel_values=shown)
            assert together.ids == [one.ids[0] for one in alone]
            for logps, one in zip(together.logps, alone, strict=True):
                assert logps == pytest.approx(one.logps[0], abs=1e-4)


def test_images_and_their_places_must_fit(model: UnifiedBagel) -> None:
    prompt, one = text(model, 1), {"noise": some(1, 4, 64), "noise_levels": torch.tensor([0.5])}
    with pytest.raises(ValueError, match="no latents of them were given"):
        model(torch.tensor([prompt + drawn_ids(model)]))
    with pytest.raises(ValueError, match="more latents were given"):
        model(torch.tensor([prompt]), latents=some(1, 4, 64), **one)
    with pytest.raises(ValueError, match="must stand behind the id that begins one"):
        model(torch.tensor([prompt + drawn_ids(model)[1:]]), latents=some(1, 4, 64), **one)
    with pytest.raises(ValueError, match="an image has 4 places, the text ends after 3"):
        model(torch.tensor([prompt + drawn_ids(model)[:-1]]), latents=some(1, 4, 64), **one)


def test_noise_reaches_nothing_but_its_own_image(model: UnifiedBagel) -> None:
    ids = torch.tensor([text(model, 1, 2) + drawn_ids(model) + text(model, 3)])
    segments = torch.tensor([[FIRST_ALONE] * 9 + [1] * 3])
    labels = ids.where(ids < model.spec.text_vocab, -100)
    found = []
    for seed, level in ((1, 0.2), (2, 0.9)):
        noise = some(1, 4, 64, seed=seed).requires_grad_()
        images = {"latents": some(1, 4, 64), "noise": noise, "noise_levels": torch.tensor([level])}
        scores = model(ids, labels=labels, segment_ids=segments, **images)
        found.append(scores.logps)
        (gradient,) = torch.autograd.grad(scores.logps.sum(), noise, allow_unused=True)
        assert gradient is None or not gradient.any()
    assert torch.equal(*found)


def test_stochastic_steps_are_told_and_depend_on_their_own_generator(model: UnifiedBagel) -> None:
    prompts = [[*text(model, number), model.spec.boi_id] for number in (1, 2)]
    sampling = Sampling(flow_steps=5, flow_window=(0, 2), flow_noise=0.8)

    def drawn(*seeds: int):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return model.sample_images(prompts[: len(seeds)], sampling, num_return_sequences=2, generator=generators)

    both, alone = drawn(3, 4), drawn(3)
    assert [step.t for step in both.steps] == [1.0, pytest.approx(0.818, abs=1e-3)]
    assert len(both.latents) == 4 and torch.allclose(both.latents[:2], alone.latents, atol=1e-4)
    for step in both.steps:
        one = step.select([3])
        assert (
            torch.equal(one.x[0], step.x[3])
            and one.logps.shape == (1,)
            and one.first_t == pytest.approx(0.923, abs=1e-3)
        )
    assert not model.sample_images(prompts, Sampling(flow_steps=5)).steps


@pytest.mark.parametrize("window", [(), (1,)])
def test_drawings_in_parts_are_those_of_one_pass(
    model: UnifiedBagel, monkeypatch: pytest.MonkeyPatch, window: tuple[int, ...]
) -> None:
    prompts = [[*text(model, number), model.spec.boi_id] for number in range(5)]
    sampling = Sampling(guidance_scale=2.0, flow_steps=4, flow_window=window)
    found, told, passes = [], [], []
    right = draw_in_parts.draw
    monkeypatch.setattr(draw_in_parts, "draw", lambda *given, **more: passes.append(given) or right(*given, **more))
    for most in (64, 3):  # all at once; then an image with its two branches, or a prompt where its steps are stochastic
        monkeypatch.setattr(draw_in_parts, "DRAWN_ROWS", most)
        generators = [torch.Generator().manual_seed(number) for number in range(5)]
        heard: list[dict[int, int]] = []
        settings = {"num_return_sequences": 2, "generator": generators, "on_ids": heard.append}
        found.append(model.sample_images(prompts, sampling, **settings))
        told.append(heard)
    whole, parts = found
    assert len(passes) == 1 + (5 if window else 10)
    assert told[0] == told[1] and len(told[0]) == 4
    torch.testing.assert_close(parts.latents, whole.latents, atol=1e-4, rtol=0)
    assert len(whole.steps) == len(parts.steps) == len(window)
    for one, other in zip(whole.steps, parts.steps, strict=True):
        torch.testing.assert_close(other.x_next, one.x_next, atol=1e-4, rtol=0)
        torch.testing.assert_close(other.logps, one.logps, atol=1e-4, rtol=0)


def test_an_image_is_cut_into_latents_and_deviations(model: UnifiedBagel) -> None:
    pixels = some(2, 3, 32, 32).clamp(-1, 1)
    encoded = model.encode_images(pixels)
    moments = model.moments_of(pixels)
    mean = 0.3611 * (moments[1, :16] - 0.1159)
    torch.testing.assert_close(encoded[1, :, :64], to_patches(mean, 2))
    torch.testing.assert_close(encoded[1, :, 64:], to_patches(0.3611 * (moments[1, 16:] / 2).exp(), 2))
