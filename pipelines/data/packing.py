"""From samples to training rows: pictures encoded once, many samples packed behind one shared prefix.

All samples of a character begin with the same persona prompt. A row holds that prefix once and then many segments;
`segment_ids` (0 the prefix, 1.. the segments) tell the model to let each segment see the prefix and itself only, with
positions that go on from the prefix, so a packed row has exactly the losses of its samples alone.
The plan of rows is a pure function of samples, sizes and seed: row n is the same after a resume.

Letters: B rows of a batch, T positions, N pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.data.chat_template import Rendered, render_truncated
from pipelines.data.samples import Sample
from pipelines.models.interface import ModelSpec, UnifiedModel

LOOKAHEAD = 8
"""Samples that may wait for a later row while a row is being filled."""


@dataclass(frozen=True)
class ImageBank:
    """A character's pictures as the model needs them, by file name."""

    codes: dict[str, list[int]]
    """Codes in [0, codebook), `image_tokens` of them."""
    pixels: dict[str, torch.Tensor]
    """(3, px, px) float32 in [-1, 1]."""


@dataclass(frozen=True)
class PackedRow:
    """One row: the shared prefix, then segments."""

    ids: list[int]
    labels: list[int]
    segments: list[int]
    """0 for the prefix, 1.. for the segments."""
    input_images: tuple[str, ...]
    drawn: int
    """Pictures drawn in this row."""
    weights: tuple[float, ...] = ()
    """What each id counts for among the learned words; empty: 1 each."""


def open_image(path: Path, px: int) -> torch.Tensor:
    """(3, px, px) float32 in [-1, 1]: upright, transparency on white, the square that shows the head, resized."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    # Faces are in the upper part of a portrait, hence 0.3 and not the middle.
    square = ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (px, px), centering=(0.5, 0.3))
    pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8)  # (px * px * 3,)
    return pixels.view(px, px, 3).permute(2, 0, 1).float() / 127.5 - 1


@torch.no_grad()
def encode_images(model: UnifiedModel, character: Character, folder: Path) -> ImageBank:
    """Open and encode every picture of the character once, from `folder`/images."""
    names = [image.file for image in character.images]
    if not names:
        return ImageBank({}, {})
    stacked = torch.stack([open_image(folder / "images" / name, model.spec.image_px) for name in names])
    device = next(model.parameters()).device
    codes = model.encode_images(stacked.to(device)).tolist()  # (N, image_tokens)
    return ImageBank(dict(zip(names, codes, strict=True)), dict(zip(names, stacked, strict=True)))


def render_samples(
    samples: Sequence[Sample],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    pictures: ImageBank,
    room: int,
    weights: Mapping[str, float] | None = None,
) -> list[Rendered]:
    """Each sample's ids and mask, at most `room` ids each; only the picture tasks draw.

    weights: task -> what its learned words count for, 1 unless named.

    Raises ValueError, naming the turn, when a sample does not fit.
    """
    rendered = []
    for sample in samples:
        codes = pictures.codes if sample.task in ("reply_with_image", "text_to_image") else None
        item = render_truncated(sample.messages, spec, tokenizer, room, codes=codes)
        rendered.append(replace(item, weight=(weights or {}).get(sample.task, 1.0)))
    return rendered


def shared_prefix(rendered: Sequence[Rendered], spec: ModelSpec) -> int:
    """How many ids all samples begin with, short of the first learned id, of one id before it, and of any picture.

    One id before the first learned one stays in each segment: it is the place that predicts the learned id.
    """
    length = min(item.mask.index(1) - 1 for item in rendered)
    for item in rendered:
        if item.input_images:
            length = min(length, item.ids.index(spec.image_placeholder_id))
        length = next((i for i in range(length) if item.ids[i] != rendered[0].ids[i]), length)
    return length


def tokens_after_prefix(rendered: Sequence[Rendered], spec: ModelSpec) -> list[int]:
    """What each sample costs in a row: its ids behind the shared prefix."""
    prefix = shared_prefix(rendered, spec)
    return [len(item.ids) - prefix for item in rendered]


def pack_rows(
    rendered: Sequence[Rendered],
    order: Iterator[int],
    spec: ModelSpec,
    step_tokens: int,
    step_pictures: int,
    rows: int,
) -> list[PackedRow]:
    """Fill `rows` rows with samples in `order`, first come first packed.

    step_tokens: most ids of a row, prefix included; step_pictures: most pictures drawn or looked at in it.
    A sample that does not fit waits, at most LOOKAHEAD at a time, and goes first into the next row.
    Raises ValueError when a sample would not fit even into an empty row.
    """
    if max(len(item.ids) for item in rendered) > step_tokens:
        raise ValueError(f"sft_row_max_tokens is {step_tokens}, too little for one sample of the character")
    if max(item.drawn + len(item.input_images) for item in rendered) > step_pictures:
        raise ValueError(f"sft_row_max_images is {step_pictures}, too little for one sample of the character")
    prefix = shared_prefix(rendered, spec)
    packed: list[PackedRow] = []
    waiting: list[int] = []
    while len(packed) < rows:
        chosen: list[int] = []
        used, seen = prefix, 0
        tried, waiting = waiting, []
        while len(waiting) < LOOKAHEAD and used < step_tokens:
            number = tried.pop(0) if tried else next(order)
            item = rendered[number]
            size, shown = len(item.ids) - prefix, item.drawn + len(item.input_images)
            if used + size <= step_tokens and seen + shown <= step_pictures:
                chosen.append(number)
                used, seen = used + size, seen + shown
            else:
                waiting.append(number)
        waiting += tried
        packed.append(packed_row([rendered[number] for number in chosen], prefix))
    return packed


def packed_row(items: Sequence[Rendered], prefix: int) -> PackedRow:
    """One row: the first `prefix` ids, which all items begin with, then what each has behind them."""
    ids, labels, segments = items[0].ids[:prefix], [-100] * prefix, [0] * prefix
    for number, item in enumerate(items, start=1):
        ids += item.ids[prefix:]
        labels += item.labels[prefix:]
        segments += [number] * (len(item.ids) - prefix)
    looked = tuple(name for item in items for name in item.input_images)
    weights: tuple[float, ...] = ()
    if any(item.weight != 1.0 for item in items):
        weights = (1.0,) * prefix + tuple(item.weight for item in items for _ in item.ids[prefix:])
    return PackedRow(ids, labels, segments, looked, sum(item.drawn for item in items), weights)


def pack_in_turn(rendered: Sequence[Rendered], spec: ModelSpec, step_tokens: int) -> list[PackedRow]:
    """All samples once, in order, in rows of at most `step_tokens` ids (more for a sample that is longer itself)."""
    prefix = shared_prefix(rendered, spec)
    chunks: list[list[Rendered]] = []
    used = step_tokens
    for item in rendered:
        size = len(item.ids) - prefix
        if used + size > step_tokens or not chunks:
            chunks.append([])
            used = prefix
        chunks[-1].append(item)
        used += size
    return [packed_row(chunk, prefix) for chunk in chunks]


def collate(rows: Sequence[PackedRow], spec: ModelSpec, pixels: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What `forward` takes: input_ids, attention_mask, labels, segment_ids (B, T), padded right; pixel_values if looked at.

    Padding has a segment of its own, since segment 0 would count as prefix. Rows with weights add `loss_weights`
    (B, T), which the loss takes out again.
    """
    length = max(len(row.ids) for row in rows)

    def padded(lists: Sequence[Sequence[float]], fill: int) -> torch.Tensor:
        return torch.tensor([[*values, *[fill] * (length - len(values))] for values in lists])  # (B, T)

    batch: dict[str, Any] = {
        "input_ids": padded([row.ids for row in rows], spec.pad_id),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], -100),
        "segment_ids": padded([row.segments for row in rows], 1 + max(max(row.segments) for row in rows)),
    }
    if any(row.weights for row in rows):
        batch["loss_weights"] = padded([row.weights or (1.0,) * len(row.ids) for row in rows], 0)
    looked = [pixels[name] for row in rows for name in row.input_images]
    if looked:
        batch["pixel_values"] = torch.stack(looked)  # (N, 3, px, px)
    return batch
