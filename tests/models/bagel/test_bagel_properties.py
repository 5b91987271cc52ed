"""What must hold of BAGEL whatever its weights: experts, isolation of noise, packing, adapters, text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from torch.nn.attention.flex_attention import create_mask
from transformers import Qwen3ForCausalLM, SiglipVisionModel

from pipelines.models.bagel import row_blocks
from pipelines.models.bagel.contexts import Context
from pipelines.models.bagel.decoder import TWIN
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import grid_ids, to_patches
from pipelines.models.bagel.rows import (
    Clean,
    Drawn,
    Dropped,
    PackedRow,
    Sample,
    Segment,
    Text,
    pack,
    sees,
    visibility,
    with_dropped_conditions,
)
from pipelines.models.bagel.sampling import write
from pipelines.models.decoding.sampling import Sampling
from tests.models.bagel.golden_numbers import golden_model, numbers, training_samples
from tests.models.bagel.segments_of_noise import WORDS, drawn, latents, look, row_of, some

# Experts


def test_text_and_looked_at_images_never_pass_the_generation_expert() -> None:
    model = golden_model()
    row = row_of(model, [look(), WORDS, Text((8, 9), learned=True)])
    before = model.hidden_states(row)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if TWIN in name or name.startswith(("vae2llm", "llm2vae", "time_embedder")):
                weight.add_(some(*weight.shape))
    assert torch.equal(before, model.hidden_states(row))


def test_with_equal_experts_the_decoder_is_the_librarys_under_the_same_mask() -> None:
    model = golden_model()
    decoder = model.language_model.model
    with torch.no_grad():
        for name, weight in decoder.named_parameters():
            if TWIN in name:
                weight.copy_(decoder.get_parameter(name.replace(TWIN, "")))
    row = row_of(model, *training_samples())
    library = library_decoder(model)
    with torch.no_grad():
        wanted = library.model(
            inputs_embeds=model.embed_row(row)[None],
            attention_mask=visibility(row)[None, None],
            position_ids=row.positions[None],
        ).last_hidden_state[0]
    torch.testing.assert_close(model.hidden_states(row), wanted, atol=1e-5, rtol=0)


def library_decoder(model: BagelModel) -> Qwen3ForCausalLM:
    """The understanding expert as transformers' Qwen3; its output projection has a bias more, which is zero."""
    library = Qwen3ForCausalLM(model.config.decoder_config()).eval()
    own = {name: one for name, one in model.language_model.state_dict().items() if TWIN not in name}
    missing, extra = library.load_state_dict(own, strict=False)
    assert not extra and all(name.endswith("o_proj.bias") for name in missing)
    for layer in library.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.bias)
    return library


def test_text_alone_is_the_librarys_decoder(model: BagelModel) -> None:
    row = row_of(model, [Text(tuple(range(5, 40)), learned=True)])
    with torch.no_grad():
        logits = library_decoder(model)(input_ids=row.text_ids[None]).logits[0]
    wanted = -logits.log_softmax(-1)[row.label_places].gather(1, row.label_ids[:, None])[:, 0]
    torch.testing.assert_close(model.score_row(row).ce, wanted, atol=1e-5, rtol=0)


def test_a_whole_square_image_is_seen_as_by_the_librarys_tower(model: BagelModel) -> None:
    library = SiglipVisionModel(model.config.tower_config()).eval()
    state = {}
    for name, weight in model.vit_model.vision_model.state_dict().items():
        conv = weight.reshape(-1, 14, 14, 3).permute(0, 3, 1, 2) if name.endswith("patch_embedding.weight") else weight
        state[name] = conv
    missing, extra = library.load_state_dict(state, strict=False)
    assert not extra and all(name.startswith("head.") for name in missing)
    pixels = some(2, 3, 56, 56)
    with torch.no_grad():
        wanted = library(pixels).last_hidden_state.flatten(0, 1)
        patches = torch.cat([to_patches(one, 14) for one in pixels])
        found = model.vit_model(patches, grid_ids((4, 4), 4).repeat(2), [16, 16])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


# Isolation of noise, packing


def test_noise_reaches_nobody_else(model: BagelModel) -> None:
    text = Text((19, 20), learned=True)

    def hidden(t: float, noise: torch.Tensor) -> tuple[torch.Tensor, PackedRow]:
        row = row_of(model, [WORDS, Drawn(latents(), t, noise), Clean(latents()), text, drawn(seed=3)])
        return model.hidden_states(row), row

    (first, row), (second, _) = hidden(0.6, some(6, 64)), hidden(0.3, some(6, 64, seed=1))
    own = row.split == 1
    assert torch.equal(first[~own], second[~own])
    # The marks are part of the noised image: all of it changes, and nothing before it.
    assert (first[own] != second[own]).any(1).all()
    noise = some(6, 64).requires_grad_()
    row = row_of(model, [WORDS, Drawn(latents(), 0.6, noise), text])
    scores = model.score_row(row)
    gradient = torch.autograd.grad(scores.ce.sum(), noise, allow_unused=True, retain_graph=True)[0]
    assert gradient is None or not gradient.any()
    assert torch.autograd.grad(scores.velocity.sum(), noise)[0].any()


def test_several_noised_images_behind_one_prefix_are_each_alone(model: BagelModel) -> None:
    images = [drawn(0.9, seed=1), drawn(0.4, 3, 2, seed=2), drawn(0.4, seed=3, noise_seed=4)]
    alone = [model.score_row(row_of(model, [WORDS, one])).velocity for one in images]
    for order in ([0, 1, 2], [2, 0, 1]):
        row = row_of(model, [WORDS, *(images[place] for place in order)])
        packed = model.score_row(row).velocity
        for number, place in enumerate(order):
            torch.testing.assert_close(packed[row.drawn_image == number], alone[place], atol=1e-6, rtol=1e-6)


def test_samples_of_a_row_are_each_alone(model: BagelModel) -> None:
    row = row_of(model, *training_samples())
    parts = [model.hidden_states(row_of(model, one)) for one in training_samples()]
    torch.testing.assert_close(model.hidden_states(row), torch.cat(parts), atol=5e-6, rtol=0)


def test_the_mask_is_the_rule_and_flex_attention_can_take_it(model: BagelModel) -> None:
    choice = random.Random(0)
    for _ in range(5):
        samples = [_random_segments(choice) for _ in range(choice.randint(1, 4))]
        row = row_of(model, *samples)
        wanted, seen = _mask_by_hand(samples), visibility(row)
        assert torch.equal(seen, wanted)
        size = len(seen)
        mask_mod = _mask_mod(row)
        assert torch.equal(create_mask(mask_mod, 1, 1, size, size, device="cpu")[0, 0], wanted)


def _mask_mod(row: PackedRow):
    return lambda batch, head, query, key: sees(row, query, key)


def _random_segments(choice: random.Random) -> list[Segment]:
    makers = [lambda: Text((1,) * choice.randint(1, 5)), look, lambda: Clean(latents()), drawn, Dropped]
    return [choice.choice(makers)() for _ in range(choice.randint(1, 6))]


def _mask_by_hand(samples: list[list[Segment]]) -> torch.Tensor:
    """From segments, place by place."""
    owner = []  # (sample, segment, number) of each position
    for number, segments in enumerate(samples):
        for place, segment in enumerate(segments):
            size = {Text: lambda s: len(s.ids) + 2, Dropped: lambda s: 0}.get(type(segment), lambda s: 8)(segment)
            owner += [(number, place, segment)] * size
    seen = torch.zeros(len(owner), len(owner), dtype=torch.bool)
    for query, (sample, place, segment) in enumerate(owner):
        for key, (other, key_place, key_segment) in enumerate(owner):
            if sample != other:
                continue
            if place == key_place:
                seen[query, key] = key <= query or not isinstance(segment, Text)
            else:
                seen[query, key] = key_place < place and not isinstance(key_segment, Drawn)
    return seen


def test_branches_share_what_stands_before_them_and_are_each_alone(model: BagelModel) -> None:
    shared = [Text((17, 18)), look()]
    branches: list[list[Segment]] = [
        [Text((5,)), Text((10, 11, 12), learned=True)],
        [WORDS, drawn(0.9), drawn(0.2, seed=3)],
        [Clean(latents(seed=4)), Text((8, 9)), drawn(0.5, 3, 2, seed=5), Text((6,), learned=True)],
    ]
    row = row_of(model, training_samples()[0], Sample(shared, branches), [WORDS, drawn(0.3)])
    alone = [training_samples()[0], *([*shared, *branch] for branch in branches), [WORDS, drawn(0.3)]]
    apart = [model.score_row(row_of(model, segments)) for segments in alone]
    together = model.score_row(row)
    for name in ("ce", "mse", "velocity"):
        wanted = torch.cat([getattr(one, name) for one in apart])
        torch.testing.assert_close(getattr(together, name), wanted, atol=3e-5, rtol=0)
    lengths = [len(row_of(model, segments).positions) for segments in alone]
    prefix = len(row_of(model, shared).positions)
    assert len(row.positions) == sum(lengths) - 2 * prefix  # the prefix stands once, not three times


def test_conditions_are_dropped_by_chance(model: BagelModel) -> None:
    segments = [WORDS, Clean(latents()), look(), Text((8,), learned=True), drawn()]
    generator = torch.Generator().manual_seed(0)
    many = [with_dropped_conditions(segments, generator) for _ in range(1000)]
    words, images = sum(WORDS not in one for one in many), sum(isinstance(s, Dropped) for one in many for s in one)
    assert 70 < words < 130 and 540 < images < 660
    assert all(one[-2:] == segments[-2:] for one in many)
    without = with_dropped_conditions(segments, generator, text=1.0, image=1.0)
    row = row_of(model, without)
    assert [type(one) for one in without] == [Dropped, Dropped, Text, Drawn]
    assert int(row.positions[0]) == 2  # the images keep their numbers, the text does not
    assert with_dropped_conditions(segments, generator, text=0.0, image=0.0) == segments


def test_positions_count_images_once_and_drawn_ones_not_at_all(model: BagelModel) -> None:
    row = row_of(model, [WORDS, drawn(), Clean(latents()), Dropped(), look(), Text((8,))])
    first = [int(row.positions[row.split == split][0]) for split in range(5)]
    assert first == [0, 5, 5, 7, 8]
    assert row.positions[row.split == 4].tolist() == [8, 9, 10]


# Blocks


def random_row(rng: random.Random, model: BagelModel) -> PackedRow:
    """A sample with branches, then samples without: texts, looked-at images, drawn ones."""

    def some_segments() -> list[Segment]:
        texts = [Text(tuple(rng.choices(range(50), k=rng.randint(1, 30))), learned=rng.random() < 0.5)]
        texts += [look(rng.randrange(9))] if rng.random() < 0.4 else []
        images = [drawn(rng.random(), rng.randint(1, 4), rng.randint(1, 4)) for _ in range(rng.randrange(3))]
        return [*texts, *images]

    first = Sample(some_segments(), [some_segments() for _ in range(rng.randrange(5))])
    return pack([first, *[some_segments() for _ in range(rng.randrange(5))]], model.config)


def test_blocks_give_the_numbers_and_gradients_of_the_masked_square(
    model: BagelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, used = random.Random(0), []
    right = row_blocks.blocks_of
    monkeypatch.setattr(row_blocks, "BLOCK", 1)  # as small as runs allow
    for _ in range(12):
        row = random_row(rng, model)
        found = []
        for blocks in (lambda row, mask: used.append(right(row, mask)) or used[-1], lambda row, mask: None):
            monkeypatch.setattr("pipelines.models.bagel.model.blocks_of", blocks)
            scores = model.score_row(row)
            weight = model.language_model.model.layers[0].self_attn.q_proj.weight
            gradient = torch.autograd.grad(scores.loss, weight) if scores.loss.requires_grad else (torch.zeros(1),)
            found.append((scores.hidden, gradient[0]))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=0)
        pairs = sum(block.mask.numel() for block in used[-1])
        assert pairs <= len(row.positions) ** 2
    assert all(used) and max(map(len, used)) > 2
    several = pack([Sample([WORDS], [[WORDS], [WORDS]])] * 2, model.config)
    assert right(several, visibility(several)) is None


# Adapters


def test_an_adapter_of_the_generation_expert_leaves_text_alone(tmp_path: Path) -> None:
    model = golden_model()
    text, image = row_of(model, [look(), WORDS]), row_of(model, [WORDS, drawn()])
    with torch.no_grad():
        before = model.hidden_states(text), model.score_row(image).velocity
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=BagelModel.image_targets))
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.copy_(0.3 * some(*weight.shape))
        learned = model.score_row(image).velocity
        assert torch.equal(model.hidden_states(text), before[0]) and not torch.equal(learned, before[1])
        with adapted.disable_adapter():
            assert torch.equal(model.score_row(image).velocity, before[1])
        adapted.save_pretrained(tmp_path)
        with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
            names = list(file.keys())
        assert len(names) == 2 * 14 and all(TWIN in name for name in names)
        merged = adapted.merge_and_unload()
        torch.testing.assert_close(merged.score_row(image).velocity, learned, atol=1e-5, rtol=0)


def test_activation_checkpointing_changes_no_gradient() -> None:
    row = pack(training_samples(), golden_model().config)
    gradients = []
    for checkpointing in (False, True):
        model = golden_model()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.train()
        model.score_row(row).loss.backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 100
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, atol=1e-7, rtol=1e-5)


# Text


def test_labels_are_every_id_and_the_end_mark(model: BagelModel) -> None:
    row = row_of(model, [WORDS, Text((10, 11), learned=True)])
    assert row.text_ids.tolist() == [60, 5, 6, 7, 61, 60, 10, 11, 61]
    assert row.label_places.tolist() == [5, 6, 7] and row.label_ids.tolist() == [10, 11, 61]


def test_sampled_text_scores_as_it_was_sampled(model: BagelModel) -> None:
    prompts: list[list[Segment]] = [[look(), WORDS], [WORDS], []]
    contexts = [*model.read(prompts[:2]), Context()]
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    samples = write(model, contexts, Sampling(max_new_tokens=12), num_return_sequences=2, generator=generators)
    assert len(samples.ids) == 6
    for number, (ids, logps) in enumerate(zip(samples.ids, samples.logps, strict=True)):
        ended = ids[-1] == model.config.ids.text_end
        row = row_of(model, [*prompts[number // 2], Text(ids[:-1] if ended else ids, learned=True)])
        again = -model.score_row(row).ce[: len(ids)]
        torch.testing.assert_close(again, torch.tensor(logps), atol=1e-4, rtol=0)


def test_training_losses_are_means_with_weights(model: BagelModel) -> None:
    row = row_of(model, *training_samples())
    scores = model.score_row(row, ce_weight=0.25, mse_weight=2.0)
    torch.testing.assert_close(scores.loss, 0.25 * scores.ce.mean() + 2 * scores.mse.mean())
    assert numbers()["train.ce"].shape == scores.ce.shape
    assert model.score_row(row_of(model, [WORDS])).loss == 0
