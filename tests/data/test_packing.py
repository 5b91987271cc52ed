"""Packed rows score exactly like their samples alone, and no sample is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.core.character.character import Character, message
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import Rendered, subject_of
from pipelines.data.packing import (
    ImageBank,
    PackedRow,
    collate,
    encode_images,
    open_image,
    pack_rows,
    packed_row,
    render_samples,
    save_references,
    shared_prefix,
    tokens_after_prefix,
)
from pipelines.data.samples import sample_order, training_samples
from pipelines.models.decoding.multi_lora import AdapterError, read_references
from pipelines.models.interface import ModelSpec
from pipelines.models.janus import toy_janus
from pipelines.models.segments import FIRST_ALONE
from pipelines.models.starter.model import toy_starter
from pipelines.models.toy_tokenizer import BOI_ID, EOT_ID, IMAGE_PLACEHOLDER_ID, PAD_ID, TOY_VOCAB, toy_tokenizer

SHAPE = ModelSpec(TOY_VOCAB, 32, 4, 32, 3, BOI_ID, IMAGE_PLACEHOLDER_ID, EOT_ID, PAD_ID)
CODES = range(TOY_VOCAB, TOY_VOCAB + 4)


def rendered_of(length: int, drawn: bool = False) -> Rendered:
    """`length` ids behind a common start, and with an image its turn of one id and four codes."""
    image = (BOI_ID, *CODES) if drawn else ()
    ids = [1, 2, 3, *range(10, 10 + length)]
    return Rendered(ids, [0] * 5 + [1] * (length - 2), (), "a.png" if drawn else "", image, int(drawn))


def test_rows_are_full_keep_the_caps_and_lose_nothing() -> None:
    samples = [rendered_of(6 + n % 5, drawn=n % 3 == 0) for n in range(30)]
    order = [n % 30 for n in range(3000)]
    rows = pack_rows(samples, iter(order), SHAPE, max_tokens=60, max_images=3, rows=40)
    assert all(len(row.ids) <= 60 and row.drawn <= 3 for row in rows)
    assert sum(len(row.ids) for row in rows) > 0.85 * 40 * 60
    segments = [max(row.segments) for row in rows]
    drawn = Counter(n for n in order[: sum(segments)])
    # Waiting samples come later but come: at most LOOKAHEAD of those drawn are not in the rows yet.
    packed = Counter(tuple(ids) for row in rows for number, ids in _split(row).items() if number > 0)
    wanted = Counter(tuple(samples[n].ids[4:]) for n in drawn.elements())
    assert sum((wanted - packed).values()) <= 8


def _split(row: PackedRow) -> dict[int, list[int]]:
    """The ids of each segment but the prefix, by its number."""
    prefix = row.segments.count(0)
    assert row.segments[:prefix] == [0] * prefix and row.labels[:prefix] == [-100] * prefix
    found: dict[int, list[int]] = {}
    for token, segment in zip(row.ids[prefix:], row.segments[prefix:], strict=True):
        found.setdefault(segment, []).append(token)
    return found


def test_an_image_stands_behind_its_sample_in_a_segment_of_its_own() -> None:
    row = packed_row([rendered_of(6), replace(rendered_of(7, drawn=True), weight=3.0)], prefix=4)
    assert _split(row) == {1: [11, 12, 13, 14, 15], 2: [11, 12, 13, 14, 15, 16], FIRST_ALONE - 2: [BOI_ID, *CODES]}
    assert row.labels[-5:] == [-100, *CODES]  # the image's own turn is context
    assert row.drawn_images == ("a.png",) and row.weights == (1.0,) * 9 + (3.0,) * 11


def test_prefix_stops_before_the_place_that_predicts_a_learned_id() -> None:
    assert shared_prefix([rendered_of(6), rendered_of(9)], SHAPE) == 4  # ids 0-4 are equal context, 4 predicts 5


@pytest.mark.parametrize(("tokens", "pictures", "field"), [(9, 2, "sft_row_max_tokens"), (60, 0, "sft_row_max_images")])
def test_a_sample_that_never_fits_is_refused(tokens: int, pictures: int, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        pack_rows([rendered_of(8, drawn=True)], iter([0] * 9), SHAPE, tokens, pictures, rows=1)


@pytest.mark.parametrize("make", [toy_starter, toy_janus])
def test_packing_equals_samples_alone(make, mira: Character, run_dir: Path) -> None:
    model, tokenizer = make(seed=0)
    model.eval()
    images = encode_images(model, mira, run_dir / "character")
    samples = training_samples(mira)
    rendered = render_samples(
        samples, model.spec, tokenizer, images, max_tokens=1200, subject=subject_of(mira, tokenizer)
    )
    order = list(islice(sample_order(samples, tokens_after_prefix(rendered, model.spec), Recipe().task_shares), 400))
    rows = pack_rows(rendered, iter(order), model.spec, max_tokens=1200, max_images=6, rows=3)
    batch = collate(rows, model.spec, images)  # different lengths: padding is tried as well
    assert any(row.drawn > 1 for row in rows) and "pixel_values" in batch
    assert ("reference_codes" in batch) == bool(model.spec.max_references)
    with torch.no_grad():
        packed = model(**batch).logps
        alone = {}
        for item in (rendered[number] for number in set(order)):
            alone[tuple(item.ids), item.input_images] = _alone(model, images, item.ids, item.labels, item)
            if item.drawn:
                turn = [-100] * item.image_turn_length
                labels = turn + list(item.image_ids[len(turn) :])
                alone[item.image_ids, ()] = _alone(model, images, list(item.image_ids), labels, item)
    prefix = shared_prefix(rendered, model.spec)
    compared = drawn = 0
    for place, row in enumerate(rows):
        looked = list(row.input_images)
        for segment in dict.fromkeys(row.segments[prefix:]):
            at = [t for t, own in enumerate(row.segments) if own == segment]
            start = prefix if segment > 0 else 0
            ids = row.ids[:start] + [row.ids[t] for t in at]
            shown = ids.count(model.spec.image_placeholder_id) // model.spec.image_input_tokens
            expected = alone[tuple(ids), tuple(looked.pop(0) for _ in range(shown))]
            torch.testing.assert_close(packed[place, at], expected[start:], atol=2e-5, rtol=1e-4)
            compared, drawn = compared + 1, drawn + (segment <= FIRST_ALONE)
    assert compared >= 12 and drawn >= 3


def test_images_that_users_show_are_looked_at_and_never_drawn(mira: Character, run_dir: Path) -> None:
    model, tokenizer = toy_starter(seed=0)
    Image.new("RGB", (80, 60), "olive").save(run_dir / "character" / "images" / "cat.png")
    asked = message("user", "And this?", ["cat.png"], speaker="Ben", image_info="a cat")
    shown = replace(mira, input_images=("cat.png",), interactions=((asked, message("character", "Not mine.")),))
    images = encode_images(model, shown, run_dir / "character")
    assert "cat.png" in images.pixels and "cat.png" not in images.codes
    samples = training_samples(shown)
    rendered = render_samples(samples, model.spec, tokenizer, images, max_tokens=1200)
    talk = next(item for sample, item in zip(samples, rendered, strict=True) if sample.task == "dialogue")
    assert talk.input_images == ("cat.png",)
    assert "(a cat)\nBen: And this?" in tokenizer.decode(talk.ids)
    learned = [token for token, mask in zip(talk.ids, talk.mask, strict=True) if mask]
    assert tokenizer.decode(learned).startswith("Not mine.")
    assert not [item for item in rendered if item.drawn_image == "cat.png"]


def _alone(model: Any, images: ImageBank, ids: list[int], labels: list[int], item: Rendered) -> torch.Tensor:
    """(T,) log-probabilities of one row as it stands, with the item's images."""
    row = PackedRow(ids, labels, [0] * len(ids), item.input_images, (item.drawn_image,) if item.drawn else ())
    batch = collate([row], model.spec, images)
    del batch["segment_ids"]
    return model(**batch).logps[0]


def test_saved_references_are_codes_and_thumbnails(mira: Character, run_dir: Path, tmp_path: Path) -> None:
    model, _ = toy_starter(seed=0)
    images = encode_images(model, mira, run_dir / "character")
    assert images.own_references == ("01.png", "03.png")  # a plain face, then the close-up
    assert images.references["01.png"] == ("03.png", "02.png")  # never itself
    save_references(images, tmp_path)
    assert read_references(tmp_path) == tuple(tuple(images.codes[name]) for name in ("01.png", "03.png"))
    assert sorted(path.name for path in (tmp_path / "references").iterdir()) == ["01.jpg", "02.jpg"]
    (tmp_path / "references.safetensors").write_bytes(b"damaged")
    with pytest.raises(AdapterError, match=r"references\.safetensors cannot be read"):
        read_references(tmp_path)


def test_a_family_that_reads_no_references_saves_none(mira: Character, run_dir: Path, tmp_path: Path) -> None:
    model, _ = toy_janus(seed=0)
    images = encode_images(model, mira, run_dir / "character")
    row = PackedRow([], [], [], (), ("01.png",))
    assert images.reference_codes([row]) is None and images.own_reference_codes() is None
    save_references(images, tmp_path)
    assert list(tmp_path.iterdir()) == [] and read_references(tmp_path) == ()


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
