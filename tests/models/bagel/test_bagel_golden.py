"""BAGEL in fp32 against the numbers of its authors' program, and what a single mistake does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from pipelines.models.bagel import decoder, embeddings, flow, rows, sampling
from pipelines.models.bagel.autoencoder import decode_latents, latents_of
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import grid_ids, position_table, to_patches
from tests.models.bagel.golden_numbers import (
    INPUTS,
    RUNS,
    TOLERANCE,
    deviation,
    golden_model,
    greedy,
    numbers,
    sampling_deviations,
    training_deviations,
)


@pytest.fixture(scope="module")
def model() -> BagelModel:
    return golden_model()


@torch.no_grad()
def part_deviations(model: BagelModel) -> dict[str, float]:
    """Of autoencoder, vision tower and time embedder by themselves."""
    known = numbers()
    moments = model.moments_of(known["ae.image"])
    patches = to_patches(known["vit.image"], 14)
    found = {
        "ae.moments": moments,
        "ae.mean_scaled": latents_of(moments),
        "ae.decoded": decode_latents(model.autoencoder, known["ae.mean_scaled"]),
        "vit.patches": patches,
        "vit.ids": grid_ids((2, 3), 4),
        "vit.hidden": model.vit_model(patches, known["vit.ids"], [len(patches)]),
        "time.emb": model.time_embedder(known["time.t"]),
        "text.greedy": greedy(model),
    }
    return {key: deviation(key, value) for key, value in found.items()}


def test_all_golden_numbers(model: BagelModel) -> None:
    found = training_deviations(model) | part_deviations(model)
    for run in RUNS:
        found |= sampling_deviations(model, run)
    assert set(found) | INPUTS == set(numbers())
    wrong = {key: value for key, value in found.items() if not value <= TOLERANCE}
    assert not wrong


def test_the_position_tables_follow_their_formula(model: BagelModel) -> None:
    for table, side in ((model.latent_pos_embed, 8), (model.vit_pos_embed, 4)):
        torch.testing.assert_close(table.pos_embed, position_table(side, 64), atol=1e-6, rtol=0)


Planted = Callable[[pytest.MonkeyPatch, BagelModel], None]


def time_times_1000(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = embeddings.time_features
    patch.setattr(embeddings, "time_features", lambda t: right(1000 * t))


def sines_before_cosines(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = embeddings.time_features
    patch.setattr(embeddings, "time_features", lambda t: right(t).roll(128, 1))


def marks_through_the_generation_expert(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = decoder.Routing.__init__

    def wrong(self: decoder.Routing, is_latent: torch.Tensor) -> None:
        wide = is_latent.clone()
        wide[1:] |= is_latent[:-1]
        wide[:-1] |= is_latent[1:]
        right(self, wide)

    patch.setattr(decoder.Routing, "__init__", wrong)


def no_time_on_clean_latents(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = embeddings.TimeEmbedder.forward
    patch.setattr(embeddings.TimeEmbedder, "forward", lambda self, t: right(self, t) * (t > 0)[:, None])


def channels_first_in_a_patch(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    def wrong(image: torch.Tensor, side: int) -> torch.Tensor:
        return to_patches(image, side).unflatten(1, (side * side, -1)).transpose(1, 2).flatten(1)

    patch.setattr(rows, "to_patches", wrong)


def ids_of_the_images_own_width(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    for module in (rows, sampling):
        patch.setattr(module, "grid_ids", lambda grid, side: torch.arange(grid[0] * grid[1]))


def rotary_in_pairs(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        cos, sin = (half[..., : half.shape[-1] // 2].repeat_interleave(2, -1)[:, None] for half in (cos, sin))
        return x * cos + torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2) * sin

    patch.setattr(decoder, "apply_rotary_pos_emb", lambda q, k, cos, sin: (rotated(q, cos, sin), rotated(k, cos, sin)))


def shared(patch: pytest.MonkeyPatch, one: str) -> None:
    """Both experts through one module."""
    right = decoder.through
    patch.setattr(
        decoder,
        "through",
        lambda module, name, hidden, routing: right(module, name, hidden, None if name == one else routing),
    )


def one_query_norm(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    shared(patch, "q_norm")


def one_last_norm(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    shared(patch, "norm")


def noised_latents_are_seen(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = rows.visibility
    patch.setattr(
        "pipelines.models.bagel.model.visibility",
        lambda row: right(replace(row, noise=torch.zeros_like(row.noise))),
    )


def a_noised_image_takes_a_position(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    patch.setattr(rows, "positions_taken", lambda segment: 1)


def noised_images_are_causal(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = rows.visibility
    patch.setattr(
        "pipelines.models.bagel.model.visibility", lambda row: right(replace(row, full=row.full & ~row.noise))
    )


def exact_gelu(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    patch.setitem(model.connector._modules, "activation", nn.GELU())


def no_positions_of_looked_at_patches(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    patch.setitem(model.vit_pos_embed._parameters, "pos_embed", torch.zeros(16, 64))


def no_last_norm_in_the_tower(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    patch.setitem(model.vit_model.vision_model._modules, "post_layernorm", nn.Identity())


def renorm_by_token(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = flow._renormed
    patch.setattr(flow, "_renormed", lambda guided, plain, over, least: right(guided, plain, (-1,), least))


def no_guidance_at_the_start(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = flow.FlowSampling.guided_at
    patch.setattr(flow.FlowSampling, "guided_at", lambda self, t: right(self, t) and t < 1)


def all_branches_at_one_position(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = sampling.drawing_contexts

    def wrong(model: BagelModel, prompts: list[list[rows.Segment]]) -> list[sampling.DrawingContexts]:
        made = right(model, prompts)
        return [replace(one, without_text=replace(one.without_text, position=one.full.position)) for one in made]

    patch.setattr(sampling, "drawing_contexts", wrong)


def a_step_for_each_point(patch: pytest.MonkeyPatch, model: BagelModel) -> None:
    right = flow.noise_levels
    patch.setattr(sampling, "noise_levels", lambda points, shift: right(points + 1, shift))


MISTAKES: dict[Planted, set[str]] = {
    time_times_1000: {"train.hidden", "train.mse", "sample.t2i_global.v"},
    sines_before_cosines: {"train.hidden", "train.ce", "sample.t2i_global.v"},
    marks_through_the_generation_expert: {"train.hidden", "train.ce", "sample.t2i_global.v"},
    no_time_on_clean_latents: {"train.hidden", "train.ce", "sample.edit_textchannel.v"},
    channels_first_in_a_patch: {"train.hidden", "train.mse", "train.packed_vit_tokens"},
    ids_of_the_images_own_width: {"train.hidden", "train.packed_latent_position_ids", "sample.t2i_global.v"},
    rotary_in_pairs: {"train.hidden", "train.ce", "sample.edit_textchannel.v"},
    one_query_norm: {"train.hidden", "train.ce", "train.mse"},
    one_last_norm: {"train.hidden", "train.mse", "sample.t2i_global.v"},
    noised_latents_are_seen: {"train.hidden", "train.ce"},
    a_noised_image_takes_a_position: {"train.hidden", "train.packed_position_ids"},
    noised_images_are_causal: {"train.hidden", "train.mse"},
    exact_gelu: {"train.hidden", "train.mse"},
    no_positions_of_looked_at_patches: {"train.hidden", "train.ce", "sample.edit_textchannel.v"},
    no_last_norm_in_the_tower: {"train.hidden", "train.ce", "sample.edit_textchannel.v"},
    renorm_by_token: {"sample.t2i_global.v", "sample.edit_global.v"},
    no_guidance_at_the_start: {"sample.t2i_global.v", "sample.edit_textchannel.v"},
    all_branches_at_one_position: {"sample.edit_textchannel.v", "sample.edit_global.v"},
    a_step_for_each_point: {"sample.t2i_global.t", "sample.t2i_global.latent", "sample.edit_global.latent"},
}
"""Single mistakes that an implementation can make -> golden numbers that must show each."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_single_mistake_shows(mistake: Planted, model: BagelModel, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake(monkeypatch, model)
    found = training_deviations(model, gradients=False)
    for run in ("t2i_global", "edit_textchannel", "edit_global"):
        found |= sampling_deviations(model, run)
    hidden = {key for key in MISTAKES[mistake] if found[key] <= TOLERANCE}
    assert not hidden, f"does not show in {hidden}"
