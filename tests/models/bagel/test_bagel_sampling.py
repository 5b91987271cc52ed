"""BAGEL's contexts, schedule, guidance and drawing: what must hold whatever the weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops

from pipelines.models.bagel import sampling as sampling_module
from pipelines.models.bagel.contexts import ContextBatch
from pipelines.models.bagel.flow import FlowSampling, guide, noise_levels
from pipelines.models.bagel.images import FOR_LATENTS, FOR_LOOKING, SizeRule, picture_of, pixels_of
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import from_patches, grid_ids, to_patches
from pipelines.models.bagel.rows import (
    Clean,
    Segment,
    Text,
)
from pipelines.models.bagel.sampling import Window, draw, drawing_contexts, velocities, write
from pipelines.models.decoding.multi_lora import Adapter
from pipelines.models.decoding.sampling import Sampling
from tests.benchmarks import bagel_first_look
from tests.models.bagel.golden_numbers import golden_model, prompt
from tests.models.bagel.segments_of_noise import WORDS, drawn, latents, look, row_of, some

# Contexts


def test_a_context_and_a_query_are_one_pass(model: BagelModel) -> None:
    for segments in ([WORDS], [Clean(latents(seed=5)), look(), WORDS]):
        image = drawn()
        row = row_of(model, [*segments, image])
        wanted = model.score_row(row).velocity
        context = model.read([segments])[0]
        assert context.position == int(row.positions[-1]) and len(context) == int((row.split < len(segments)).sum())
        x_t = row.latents[-6:][None]
        batch = ContextBatch([context], 8, 2, x_t.device)
        torch.testing.assert_close(velocities(model, batch, x_t, image.t, (2, 3))[0], wanted, atol=1e-5, rtol=0)
        # Read in two goes, and among other samples.
        rest = model.read([segments[-1:]], after=model.read([segments[:-1]])[0])[0]
        packed = model.read([[Text((1, 2))], segments])[1]
        for other in (rest, packed):
            assert other.position == context.position
            for (keys, values), (other_keys, other_values) in zip(context.layers, other.layers, strict=True):
                torch.testing.assert_close(keys, other_keys, atol=1e-5, rtol=0)
                torch.testing.assert_close(values, other_values, atol=1e-5, rtol=0)


def test_guidance_compares_with_what_was_before_the_last_text(model: BagelModel) -> None:
    pictures = [Clean(latents(seed=5)), look()]
    for segments, before, words in (
        ([WORDS], [], [WORDS]),
        ([*pictures, WORDS], pictures, [WORDS]),
        ([Text((1,)), *pictures, WORDS], [Text((1,)), *pictures], [Text((1,)), WORDS]),
    ):
        found = drawing_contexts(model, [segments])[0]
        for context, wanted in ((found.full, segments), (found.without_text, before), (found.without_images, words)):
            alone = model.read([wanted])[0]
            assert (len(context), context.position) == (len(alone), alone.position)
            for (keys, _), (other, _) in zip(context.layers, alone.layers, strict=True):
                torch.testing.assert_close(keys, other, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="the last segment of a prompt must be one"):
        drawing_contexts(model, [pictures])
    with pytest.raises(ValueError, match="holds no noised image"):
        model.read([[WORDS, drawn()]])


# Patches, schedule, guidance


def test_patches_and_their_places() -> None:
    image = some(16, 6, 4)
    tokens = to_patches(image, 2)
    assert tokens.shape == (6, 64) and torch.equal(from_patches(tokens, (3, 2)), image)
    assert tokens[1, (1 * 2 + 0) * 16 + 5] == image[5, 1, 2]
    assert grid_ids((3, 2), 64).tolist() == [0, 1, 64, 65, 128, 129]
    with pytest.raises(ValueError, match="9 x 2 tokens is larger than the 8 x 8"):
        grid_ids((9, 2), 8)


def test_the_schedule() -> None:
    torch.testing.assert_close(
        noise_levels(6, 3.0), torch.tensor([1, 0.9231, 0.8182, 0.6667, 0.4286, 0]), atol=1e-4, rtol=0
    )
    assert torch.equal(noise_levels(5, 1.0), torch.tensor([1, 0.75, 0.5, 0.25, 0]))
    with pytest.raises(ValueError, match="two noise levels"):
        FlowSampling(points=1)
    with pytest.raises(ValueError, match="renorm is 'both'"):
        FlowSampling(renorm="both")


def test_guidance_runs_only_where_it_is_on(model: BagelModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right, rows = velocities, []

    def counted(model: BagelModel, batch: ContextBatch, x: torch.Tensor, t: float, grid: tuple[int, int]):
        rows.append(len(x))
        return right(model, batch, x, t, grid)

    monkeypatch.setattr(sampling_module, "velocities", counted)
    contexts = drawing_contexts(model, [prompt(editing=True)] * 2)
    noise = some(2, 6, 64)
    for settings, wanted in (
        (FlowSampling(6, text_guidance=1.0, image_guidance=2.0), [2] * 5),
        (FlowSampling(6), [4] * 5),  # 0.4286 is still inside, 0 is no step
        (FlowSampling(6, interval=(0.5, 0.95)), [2, 4, 4, 4, 2]),
        (FlowSampling(6, image_guidance=2.0, interval=(0.6667, 1.0)), [6, 6, 6, 2, 2]),
    ):
        rows.clear()
        draw(model, contexts, (2, 3), noise, settings)
        assert rows == wanted


def test_an_image_does_not_depend_on_the_others_of_its_batch(model: BagelModel) -> None:
    contexts = drawing_contexts(model, [[WORDS], prompt(editing=True), [Text((9,) * 7)]])
    noise = some(3, 6, 64)
    settings = FlowSampling(6, image_guidance=1.5, interval=(0.0, 1.0))
    together = draw(model, contexts, (2, 3), noise, settings)
    for number, context in enumerate(contexts):
        alone = draw(model, [context], (2, 3), noise[number : number + 1], settings)
        torch.testing.assert_close(together[number], alone[0], atol=1e-4, rtol=0)
    first, second, third = (some(2, 6, 64, seed=seed) for seed in range(3))
    for renorm in ("global", "channel", "text_channel"):
        settings = FlowSampling(renorm=renorm)
        both = guide(first, second, third, settings)
        parts = [guide(*(one[n : n + 1] for one in (first, second, third)), settings) for n in range(2)]
        torch.testing.assert_close(both, torch.cat(parts))
    whole = guide(first, second, third, FlowSampling(renorm_min=1.0, image_guidance=2.0))
    torch.testing.assert_close(whole, third + 2 * (second + 4 * (first - second) - third))


def test_a_drawing_tells_its_steps_and_can_be_broken_off(model: BagelModel) -> None:
    steps = []
    drawn_image = draw(model, drawing_contexts(model, [[WORDS]]), (2, 3), some(1, 6, 64), on_step=steps.append)
    assert [one.step for one in steps] == list(range(49)) and steps[0].steps == 49
    torch.testing.assert_close(steps[-1].estimate, drawn_image, atol=1e-5, rtol=0)

    def stop(step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(model, drawing_contexts(model, [[WORDS]]), (2, 3), some(1, 6, 64), on_step=stop)
    assert sampling_module.latents_from(drawn_image, (2, 3)).shape == (1, 16, 4, 6)


def test_a_window_of_stochastic_steps_can_be_scored_again(model: BagelModel) -> None:
    window = Window(frozenset({0, 2}), eta=0.7, generator=torch.Generator().manual_seed(0))
    contexts = drawing_contexts(model, [[WORDS], [Text((8, 9))]])
    settings = FlowSampling(6, text_guidance=1.0)
    found = draw(model, contexts, (2, 3), some(2, 6, 64), settings, window=window)
    assert [one.t for one in window.taken] == [1.0, pytest.approx(0.8182, abs=1e-4)]
    again = Window(frozenset({0, 2}), eta=0.7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(model, contexts, (2, 3), some(2, 6, 64), settings, window=again), found)
    # Same packing: the ratio is one before the first update.
    batch = ContextBatch([one.full for one in contexts], 8, 2, found.device)
    levels = noise_levels(6, 3.0).tolist()
    for one in window.taken:
        with torch.no_grad():
            velocity = velocities(model, batch, one.x, one.t, (2, 3))
        step = sampling_module.sde_step(one.x, velocity, one.t, one.t_next, window.eta, levels[1])
        assert torch.equal(step.log_prob(one.x_next), one.logps)


def some_adapter(model: BagelModel, targets: str, seed: int) -> Adapter:
    """A LoRA of rank 2 of these linears."""
    weights = {
        name: (0.3 * some(one.in_features, 2, seed=seed), 0.3 * some(2, one.out_features, seed=seed + 1))
        for name, one in model.named_modules()
        if re.fullmatch(targets, name)
    }
    return Adapter(f"adapter {seed}", weights)


def merged(adapter: Adapter) -> BagelModel:
    """A model with the adapter in its weights."""
    model = golden_model()
    with torch.no_grad():
        for name, (down, up) in adapter.weights.items():
            model.get_submodule(name).weight.add_((down @ up).T)
    return model


def test_each_image_and_each_text_of_a_batch_has_its_own_adapter() -> None:
    model = golden_model()
    both = f"(?:{model.language_targets})|(?:{model.image_targets})"
    adapters = [some_adapter(model, both, 1), Adapter("base", {}), some_adapter(model, model.image_targets, 5)]
    prompts: list[list[Segment]] = [[WORDS], prompt(editing=True), [Text((9, 8))]]
    settings, noise = FlowSampling(5, image_guidance=1.5, interval=(0.5, 1.0)), some(3, 6, 64)
    contexts = drawing_contexts(model, prompts, adapters)
    together = draw(model, contexts, (2, 3), noise, settings, adapters=adapters)
    greedy = Sampling(max_new_tokens=5, temperature=0)
    texts = write(model, [one.full for one in contexts], greedy, num_return_sequences=2, adapters=adapters)
    for number, adapter in enumerate(adapters):
        own = merged(adapter)
        alone = drawing_contexts(own, [prompts[number]])
        wanted = draw(own, alone, (2, 3), noise[number : number + 1], settings)[0]
        torch.testing.assert_close(together[number], wanted, atol=1e-4, rtol=0)
        assert texts.ids[2 * number : 2 * number + 2] == write(own, [alone[0].full], greedy).ids * 2
    assert (together - draw(model, drawing_contexts(model, prompts), (2, 3), noise, settings)).abs().amax((1, 2))[
        0
    ] > 0.1


# Pictures


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        (FOR_LATENTS, (1024, 1024), (1024, 1024)),
        (FOR_LATENTS, (3000, 2000), (1024, 688)),
        (FOR_LATENTS, (300, 200), (768, 512)),
        (FOR_LATENTS, (4000, 500), (1024, 128)),
        (FOR_LOOKING, (100, 100), (224, 224)),
        (FOR_LOOKING, (1920, 1080), (980, 546)),
        (SizeRule(2000, 100, 10, 250_000), (1000, 1000), (250, 250)),
    ],
)
def test_pictures_are_resized_as_the_model_was_trained(
    rule: SizeRule, before: tuple[int, int], after: tuple[int, int]
) -> None:
    assert rule.fit(*before) == after
    pixels = pixels_of(Image.new("RGBA", (before[0] // 10, before[1] // 10), (0, 0, 0, 0)), rule)
    assert pixels.min() == pixels.max() == 1  # transparent is white
    assert pixels.shape[1] % rule.stride == 0 and pixels.shape[2] % rule.stride == 0


def test_a_picture_comes_back_from_its_pixels() -> None:
    picture = Image.effect_mandelbrot((512, 528), (-2, -1, 1, 1), 40).convert("RGB")
    again = picture_of(pixels_of(picture, FOR_LATENTS))  # numbers are cut, not rounded, as the authors do
    assert max(high for _, high in ImageChops.difference(again, picture).getextrema()) <= 1


def test_the_first_look_at_published_weights_runs_on_a_toy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bagel_first_look.main(["--out", str(tmp_path), "--folder", "toy", "--points", "4", "--images", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "first_look.json").read_text(encoding="utf-8"))
    assert found["finite"] and found["answer_ids"] > 0 and found["peak_memory_gb"] > 0
    with Image.open(tmp_path / "drawn.png") as drawn_picture:
        assert drawn_picture.size == (64, 64)
