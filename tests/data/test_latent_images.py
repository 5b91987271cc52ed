"""Rows of a character for a family that draws latents: what is sampled for them, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import image_turn, render, reply, subject_of, user
from pipelines.data.image_rows import CROP, with_variants
from pipelines.data.latent_images import noised_images
from pipelines.data.packing import ImageBank, PackedRow, collate, encode_images, packed_row, shared_prefix
from pipelines.models.bagel.random_weights import toy_bagel
from pipelines.models.segments import FIRST_ALONE, stands_alone
from pipelines.training.sft_loss import packed_sft_rows, sft_loss

RECIPE = Recipe.for_effort("bagel-toy", "quick", sft_row_max_tokens=900)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def toy():
    return toy_bagel()


def bank(toy, mira: Character, run_dir: Path) -> ImageBank:
    model, folder = toy[0], run_dir / "character"
    return with_variants(encode_images(model, mira, folder), model, mira, folder, 0)


def rows_of(toy, mira: Character, images: ImageBank, count: int, **changes: int) -> list[PackedRow]:
    model, tokenizer = toy
    return packed_sft_rows(mira, replace(RECIPE, **changes), model.spec, tokenizer, images, count)


def test_latents_are_sampled_from_what_the_autoencoder_said() -> None:
    encoded = torch.cat([torch.full((4, 64), 2.0), torch.full((4, 64), 0.5)], -1)
    found = noised_images([([encoded] * 40, 1), ([], 2), ([encoded] * 2, 3)])
    assert found["latents"].shape == found["noise"].shape == (42, 4, 64) and found["noise_levels"].shape == (42,)
    latents, noise, levels = found["latents"], found["noise"], found["noise_levels"]
    assert latents.mean() == pytest.approx(2.0, abs=0.03) and latents.std() == pytest.approx(0.5, abs=0.03)
    assert noise.std() == pytest.approx(1.0, abs=0.03) and not torch.equal(noise[0], noise[1])
    assert levels.min() > 0 and levels.max() < 1 and levels.mean() == pytest.approx(0.5, abs=0.12)
    again = noised_images([([encoded] * 2, 3)])
    assert all(torch.equal(again[name], found[name][40:]) for name in again)
    assert noised_images([([], 1)]) == {}


@pytest.mark.parametrize("image_rows", [0, 2])
def test_rows_of_a_character_are_learned_by_both_losses(toy, mira: Character, run_dir: Path, image_rows: int) -> None:
    model, _ = toy
    images = bank(toy, mira, run_dir)
    rows = rows_of(toy, mira, images, 12, sft_image_rows=image_rows)
    assert rows == rows_of(toy, mira, images, 12, sft_image_rows=image_rows)  # also after a resume
    assert len({row.noise_seed for row in rows}) == 12
    names = [name for row in rows for name in row.drawn_images]
    assert any(name.startswith(CROP) for name in names) and any(not name.startswith(CROP) for name in names)
    row = next(row for row in rows if row.drawn)
    batch = collate([row], model.spec, images)
    assert len(batch["latents"]) == row.drawn
    weights = batch.pop("loss_weights", None)
    loss = sft_loss(model(**batch), batch["labels"], model.spec.text_vocab, weights)
    assert loss.codes > 0 and bool(loss.words) == (image_rows == 0)
    assert loss.loss.item() == pytest.approx(loss.words + loss.codes, rel=1e-5)


def test_a_tenth_of_the_drawings_has_no_text(toy, mira: Character, run_dir: Path) -> None:
    spec = toy[0].spec
    rows = rows_of(toy, mira, bank(toy, mira, run_dir), 120, sft_image_rows=2)
    lengths = []
    for row in rows:
        numbers = torch.tensor(row.segments)
        assert len(row.ids) == len(row.labels) == len(row.segments)
        for number in numbers[stands_alone(numbers)].unique():
            own = [token for token, segment in zip(row.ids, row.segments, strict=True) if segment == number]
            assert own[-spec.image_tokens :] == [spec.text_vocab] * spec.image_tokens
            assert own[-spec.image_tokens - 1] == spec.boi_id
            lengths.append(len(own) - spec.image_tokens - 1)
    assert sum(row.drawn for row in rows) == len(lengths) > 200
    assert 0.05 < lengths.count(0) / len(lengths) < 0.16
    assert min(length for length in lengths if length) > 10


def test_packed_behind_a_prefix_is_each_alone_where_images_are_looked_at(toy, mira: Character, run_dir: Path) -> None:
    model, tokenizer = toy
    images = bank(toy, mira, run_dir)
    name = next(iter(images.pixels))
    talks = [
        (user("Who?", name), reply("Me.")),
        (user("Who are you?"), reply("I am.")),
        (user("Hm", name), reply("No.")),
    ]
    rendered = [render(talk, model.spec, tokenizer) for talk in talks]
    prefix = shared_prefix(rendered, model.spec)
    row = packed_row(rendered, prefix)
    batch = collate([row], model.spec, images)
    with torch.no_grad():
        packed = model(**batch).logps[batch["labels"] != -100]
        alone = []
        for one in rendered:
            single = collate([packed_row([one], 0)], model.spec, images)
            alone.append(model(**single).logps[single["labels"] != -100])
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-4, rtol=0)


def test_images_stand_outside_of_texts(toy, mira: Character, run_dir: Path) -> None:
    model, tokenizer = toy
    subject = subject_of(mira, tokenizer)
    turn = image_turn(subject, "happy", model.spec, tokenizer)
    assert tokenizer.decode(turn).startswith("<|im_start|>[scene] Mira,")
    assert tokenizer.decode(turn).endswith(" happy<|im_end|><|vision_start|>")
    asked = render((user("Who?", "a.png"),), model.spec, tokenizer, add_reply=True).ids
    look = "<|image_pad|>" * model.spec.image_input_tokens
    assert tokenizer.decode(asked) == f"<|vision_start|>{look}<|vision_end|><|im_start|>Who?<|im_end|><|im_start|>"
    images = encode_images(model, mira, run_dir / "character")
    name = mira.images[0].file
    talk = (user("Draw"), reply("Here.", "Mira, happy", name))
    item = render(talk, model.spec, tokenizer, images.codes, subject=subject)
    assert item.ids[-1] == model.spec.boi_id and item.mask[-1] == 1  # how the chat ends a look
    assert tuple(item.image_ids[: item.image_turn_length]) == tuple(turn)
    row = packed_row([item], 0)
    assert row.segments[-1] == FIRST_ALONE - 1 and row.drawn_images == (name,)
