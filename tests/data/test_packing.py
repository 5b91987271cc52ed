"""Packed rows score exactly like their samples alone, and no sample is lost."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import Rendered
from pipelines.data.packing import (
    PackedRow,
    collate,
    encode_images,
    open_image,
    pack_rows,
    render_samples,
    shared_prefix,
    tokens_after_prefix,
)
from pipelines.data.samples import sample_order, training_samples
from pipelines.models.interface import ModelSpec
from pipelines.models.janus import toy_janus
from pipelines.models.starter.model import toy_starter
from pipelines.models.toy_tokenizer import BOI_ID, EOT_ID, IMAGE_PLACEHOLDER_ID, PAD_ID, TOY_VOCAB, toy_tokenizer

SHAPE = ModelSpec(TOY_VOCAB, 32, 4, 32, 3, BOI_ID, IMAGE_PLACEHOLDER_ID, EOT_ID, PAD_ID)


def rendered_of(length: int, pictures: int = 0) -> Rendered:
    return Rendered([1, 2, 3, *range(10, 10 + length)], [0] * 5 + [1] * (length - 2), drawn=pictures)


def test_rows_are_full_keep_the_caps_and_lose_nothing() -> None:
    samples = [rendered_of(6 + n % 5, pictures=int(n % 3 == 0)) for n in range(30)]
    order = [n % 30 for n in range(3000)]
    rows = pack_rows(samples, iter(order), SHAPE, max_tokens=60, max_images=3, rows=40)
    assert all(len(row.ids) <= 60 and row.drawn <= 3 for row in rows)
    assert sum(len(row.ids) for row in rows) > 0.85 * 40 * 60
    segments = [max(row.segments) for row in rows]
    drawn = Counter(n for n in order[: sum(segments)])
    # Waiting samples come later but come: at most LOOKAHEAD of those drawn are not in the rows yet.
    packed = Counter(tuple(ids) for row in rows for ids in _split(row))
    wanted = Counter(tuple(samples[n].ids[4:]) for n in drawn.elements())
    assert sum((wanted - packed).values()) <= 8


def _split(row: PackedRow) -> list[list[int]]:
    prefix = row.segments.count(0)
    assert row.segments[:prefix] == [0] * prefix and row.labels[:prefix] == [-100] * prefix
    found: dict[int, list[int]] = {}
    for token, segment in zip(row.ids[prefix:], row.segments[prefix:], strict=True):
        found.setdefault(segment, []).append(token)
    return list(found.values())


def test_prefix_stops_before_the_place_that_predicts_a_learned_id() -> None:
    assert shared_prefix([rendered_of(6), rendered_of(9)], SHAPE) == 4  # ids 0-4 are equal context, 4 predicts 5


@pytest.mark.parametrize(("tokens", "pictures", "field"), [(9, 2, "sft_row_max_tokens"), (60, 0, "sft_row_max_images")])
def test_a_sample_that_never_fits_is_refused(tokens: int, pictures: int, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        pack_rows([rendered_of(8, pictures=1)], iter([0] * 9), SHAPE, tokens, pictures, rows=1)


@pytest.mark.parametrize("make", [toy_starter, toy_janus])
def test_packing_equals_samples_alone(make, mira: Character, run_dir: Path) -> None:
    model, tokenizer = make(seed=0)
    model.eval()
    pictures = encode_images(model, mira, run_dir / "character")
    samples = training_samples(mira)
    rendered = render_samples(samples, model.spec, tokenizer, pictures, max_tokens=1200)
    order = list(islice(sample_order(samples, tokens_after_prefix(rendered, model.spec), Recipe().task_shares), 400))
    rows = pack_rows(rendered, iter(order), model.spec, max_tokens=1200, max_images=6, rows=3)
    batch = collate(rows, model.spec, pictures.pixels)  # different lengths: padding is tried as well
    assert any(row.drawn for row in rows) and "pixel_values" in batch
    with torch.no_grad():
        packed = model(**batch).logps
        alone = {}
        for number in set(order):
            item = rendered[number]
            row = PackedRow(item.ids, item.labels, [0] * len(item.ids), item.input_images, item.drawn)
            batch_of_one = collate([row], model.spec, pictures.pixels)
            del batch_of_one["segment_ids"]
            alone[tuple(item.ids), item.input_images] = model(**batch_of_one).logps[0]
    prefix = shared_prefix(rendered, model.spec)
    compared = 0
    for place, row in enumerate(rows):
        looked = list(row.input_images)
        for segment in range(1, max(row.segments) + 1):
            at = [t for t, own in enumerate(row.segments) if own == segment]
            ids = row.ids[:prefix] + [row.ids[t] for t in at]
            shown = ids.count(model.spec.image_placeholder_id) // model.spec.image_input_tokens
            expected = alone[tuple(ids), tuple(looked.pop(0) for _ in range(shown))]
            torch.testing.assert_close(packed[place, at], expected[prefix:], atol=2e-5, rtol=1e-4)
            compared += 1
    assert compared >= 12


def test_pictures_are_opened_upright_square_and_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 80), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 80 // 4))  # the top is transparent
    image.save(tmp_path / "a.png")
    pixels = open_image(tmp_path / "a.png", 8)
    assert pixels.shape == (3, 8, 8) and pixels.dtype == torch.float32
    # The square begins at 0.3 * (80 - 40) = 12 of 80: rows 12-19 are white, the rest red.
    torch.testing.assert_close(pixels[:, 0, 4], torch.ones(3))
    torch.testing.assert_close(pixels[:, -1, 4], torch.tensor([1.0, -1.0, -1.0]))
    turned = Image.new("RGB", (16, 8), "blue")
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert open_image(tmp_path / "b.jpg", 8).shape == (3, 8, 8)


def test_toy_tokenizer_ids_fit_the_shape() -> None:
    assert len(toy_tokenizer()) == SHAPE.text_vocab
