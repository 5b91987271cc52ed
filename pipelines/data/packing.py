"""From samples to training rows: images encoded once, many samples packed behind one shared prefix.

All samples of a character begin with the same system prompt. A packed row holds that prefix once and then many
segments: [prefix | segment 1 | segment 2 | ...]. `segment_ids` (0 the prefix, 1.. the segments) make each segment
attend to the prefix and itself only, with positions that continue from the prefix (`pipelines.models.segments`), so a
packed row has exactly the losses of its samples alone. An image stands in a segment of its own, without the prefix
(`Rendered.image_ids`). TRL's packing (trl/data_utils.py, `pack_dataset`) repeats the prefix in every sample. Which
samples a row holds is a pure function of samples, sizes and seed: row n is the same after a resume.

Dimension letters: B rows of a batch, T positions, N images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.character.references import ranked_references, references_of
from pipelines.core.run_folder import REFERENCE_THUMBNAILS
from pipelines.data.chat_template import NOBODY, Rendered, Subject, render_truncated
from pipelines.data.latent_images import noised_images
from pipelines.data.references import reference_batch
from pipelines.data.samples import LEARNED_WORDS, Sample
from pipelines.models.decoding.multi_lora import write_references
from pipelines.models.interface import ModelSpec, UnifiedModel
from pipelines.models.segments import FIRST_ALONE

THUMBNAIL_PX = 128
LOOKAHEAD = 8
"""Most samples that may wait for a later row while a row is filled."""


@dataclass(frozen=True)
class ImageBank:
    """A character's images as training needs them, decoded and encoded once per stage; by file name."""

    codes: dict[str, list[int]]
    """Codes in [0, codebook), `image_tokens` of them."""
    pixels: dict[str, torch.Tensor]
    """(3, px, px) float32 in [-1, 1]."""
    references: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The references of each image when it is drawn; empty for a family that reads none."""
    own_references: tuple[str, ...] = ()
    """The references of anything new that is drawn of the character."""
    variants: dict[str, list[list[int]]] = field(default_factory=dict)
    """Codes of crops of each image (`pipelines/data/image_rows.py`)."""
    latents: dict[str, torch.Tensor] = field(default_factory=dict)
    """Means and deviations (C, 2 W) of the latents of each image and of its crops, where images are latents; their
    codes only hold their places."""

    def reference_codes(self, rows: Sequence[PackedRow]) -> torch.Tensor | None:
        """(N, R, C) codes of the references of all images that the rows draw, as the model's forward takes them."""
        sets = [names for row in rows for names in row.references]
        if not sets:
            sets = [self.references.get(name, ()) for row in rows for name in row.drawn_images]
        return reference_batch(sets, self.codes)

    def own_reference_codes(self) -> torch.Tensor | None:
        """(1, R, C) codes of the character's references; None without any."""
        return reference_batch([self.own_references], self.codes)


NO_IMAGES = ImageBank({}, {})


@dataclass(frozen=True)
class PackedRow:
    """One row: the shared prefix, then segments."""

    ids: list[int]
    labels: list[int]
    segments: list[int]
    """0 for the prefix, 1.. for the segments."""
    input_images: tuple[str, ...]
    drawn_images: tuple[str, ...]
    """Images drawn in this row, in reading order."""
    weights: tuple[float, ...] = ()
    """Loss weight of each id, for supervised text; empty: 1 each."""
    references: tuple[tuple[str, ...], ...] = ()
    """The references of each drawn image, where they are not those of `ImageBank.references`."""
    noise_seed: int = 0
    """Of what is sampled to learn images that are latents."""

    @property
    def drawn(self) -> int:
        """How many images are drawn in this row."""
        return len(self.drawn_images)


def open_image(path: Path, px: int) -> torch.Tensor:
    """(3, px, px) float32 in [-1, 1]: upright, transparency on white, the square that shows the head, resized."""
    return pixels_of(upright_square(path, px))


def upright_square(path: Path, px: int = 0) -> Image.Image:
    """The image upright, transparency on white, cut to the square that shows the head; resized if `px` is given."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    side = px or min(image.size)
    # Faces are in the upper part of a portrait, hence 0.3 and not the middle.
    return ImageOps.fit(Image.alpha_composite(white, image).convert("RGB"), (side, side), centering=(0.5, 0.3))


def pixels_of(square: Image.Image) -> torch.Tensor:
    """(3, px, px) float32 in [-1, 1] of a square RGB image."""
    pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8)  # (px * px * 3,)
    return pixels.view(square.height, square.width, 3).permute(2, 0, 1).float() / 127.5 - 1


@torch.no_grad()
def encode_images(model: UnifiedModel, character: Character, folder: Path) -> ImageBank:
    """Decode every image of the character from `folder`/images, and encode it to codes.

    Images that only users show are decoded alone: nobody draws them.
    """
    names = [image.file for image in character.images]
    shown = {name: open_image(folder / "images" / name, model.spec.image_px) for name in character.input_images}
    if not names:
        return ImageBank({}, shown)
    stacked = torch.stack([open_image(folder / "images" / name, model.spec.image_px) for name in names])
    device = next(model.parameters()).device
    encoded = model.encode_images(stacked.to(device))
    latents: dict[str, torch.Tensor] = {}
    if model.spec.latent_width:
        latents = dict(zip(names, encoded.cpu(), strict=True))
        encoded = encoded.new_zeros(len(names), model.spec.image_tokens, dtype=torch.long)
    codes = encoded.tolist()  # (N, image_tokens)
    ranked, count = ranked_references(character), model.spec.max_references
    return ImageBank(
        dict(zip(names, codes, strict=True)),
        shown | dict(zip(names, stacked, strict=True)),
        {name: references_of(ranked, count, name) for name in names} if count else {},
        references_of(ranked, count),
        latents=latents,
    )


def save_references(images: ImageBank, folder: Path) -> None:
    """Put the character's references into a checkpoint's folder: codes, and thumbnails for people under references/.

    So a downloaded adapter works alone; PEFT ignores both.
    """
    write_references(folder, [images.codes[name] for name in images.own_references])
    for number, name in enumerate(images.own_references, start=1):
        (folder / REFERENCE_THUMBNAILS).mkdir(exist_ok=True)
        values = ((images.pixels[name] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous()
        thumbnail = Image.frombytes("RGB", (values.shape[1], values.shape[0]), values.numpy().tobytes())
        thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        thumbnail.save(folder / REFERENCE_THUMBNAILS / f"{number:02d}.jpg", quality=90)


def render_samples(
    samples: Sequence[Sample],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    images: ImageBank,
    max_tokens: int,
    weights: Mapping[str, float] | None = None,
    subject: Subject = NOBODY,
) -> list[Rendered]:
    """Each sample's ids and mask, at most `max_tokens` ids each; only the tasks that draw have image codes.

    weights: task -> loss weight of its supervised text, 1 unless named.
    Raises ValueError, naming the turn, when a sample does not fit.
    """
    rendered = []
    for sample in samples:
        learn = LEARNED_WORDS[sample.task]
        codes = images.codes if sample.task in ("reply_with_image", "text_to_image") else None
        item = render_truncated(sample.messages, spec, tokenizer, max_tokens, codes, subject=subject, learn_words=learn)
        rendered.append(replace(item, weight=(weights or {}).get(sample.task, 1.0)))
    return rendered


def shared_prefix(rendered: Sequence[Rendered], spec: ModelSpec) -> int:
    """Length of the common prefix of all samples, short of the first supervised id, of one id before it, and of images.

    The one id stays in each segment because its position predicts the first supervised id, in each segment another.
    Image placeholders stay out because each sample fills them with its own image, and the mark before them where an
    image stands outside of its turn: there both see each other.
    """
    length = min(item.mask.index(1) - 1 for item in rendered)
    for item in rendered:
        if item.input_images:
            first = item.ids.index(spec.image_placeholder_id)
            length = min(length, first - 1 if spec.chat_format.image_outside else first)
        length = next((i for i in range(length) if item.ids[i] != rendered[0].ids[i]), length)
    return length


def tokens_after_prefix(rendered: Sequence[Rendered], spec: ModelSpec) -> list[int]:
    """What each sample costs in a row."""
    prefix = shared_prefix(rendered, spec)
    return [cost(item, prefix) for item in rendered]


def cost(item: Rendered, prefix: int) -> int:
    """Positions of a sample in a row: its ids after the prefix, and its image's turn."""
    return len(item.ids) - prefix + len(item.image_ids)


def pack_rows(
    rendered: Sequence[Rendered],
    order: Iterator[int],
    spec: ModelSpec,
    max_tokens: int,
    max_images: int,
    rows: int,
) -> list[PackedRow]:
    """Fill `rows` rows with samples in `order`, first come first packed.

    max_tokens: most ids of a row, prefix included; max_images: most images in it, drawn and input together.
    A sample that does not fit waits, at most LOOKAHEAD at a time, and goes first into the next row.
    Raises ValueError when a sample would not fit even into an empty row.
    """
    if max(len(item.ids) + len(item.image_ids) for item in rendered) > max_tokens:
        raise ValueError(f"sft_row_max_tokens is {max_tokens}, too little for one sample of the character")
    if max(item.drawn + len(item.input_images) for item in rendered) > max_images:
        raise ValueError(f"sft_row_max_images is {max_images}, too little for one sample of the character")
    prefix = shared_prefix(rendered, spec)
    packed: list[PackedRow] = []
    waiting: list[int] = []
    while len(packed) < rows:
        chosen: list[int] = []
        used, images = prefix, 0
        tried, waiting = waiting, []
        # Samples that waited come first; a sample that does not fit waits. With LOOKAHEAD waiting, the row is full
        # enough: reading on would bend the order, and with it the shares of the tasks.
        while len(waiting) < LOOKAHEAD and used < max_tokens:
            number = tried.pop(0) if tried else next(order)
            item = rendered[number]
            size, item_images = cost(item, prefix), item.drawn + len(item.input_images)
            if used + size <= max_tokens and images + item_images <= max_images:
                chosen.append(number)
                used, images = used + size, images + item_images
            else:
                waiting.append(number)
        waiting += tried
        packed.append(packed_row([rendered[number] for number in chosen], prefix))
    return packed


def packed_row(items: Sequence[Rendered], prefix: int) -> PackedRow:
    """One row: the first `prefix` ids, which all items begin with, then the rest of each as a segment.

    An item's image stands right behind it, in a segment that does not see the prefix.
    """
    ids, labels, segments = items[0].ids[:prefix], [-100] * prefix, [0] * prefix
    for number, item in enumerate(items, start=1):
        ids += item.ids[prefix:]
        labels += item.labels[prefix:]
        segments += [number] * (len(item.ids) - prefix)
        turn = item.image_ids
        ids += turn
        labels += [-100] * item.image_turn_length + list(turn[item.image_turn_length :])
        segments += [FIRST_ALONE - number] * len(turn)
    input_images = tuple(name for item in items for name in item.input_images)
    drawn_images = tuple(item.drawn_image for item in items if item.drawn)
    weights: tuple[float, ...] = ()
    if any(item.weight != 1.0 for item in items):
        weights = (1.0,) * prefix + tuple(item.weight for item in items for _ in range(cost(item, prefix)))
    return PackedRow(ids, labels, segments, input_images, drawn_images, weights)


def pack_in_turn(rendered: Sequence[Rendered], spec: ModelSpec, max_tokens: int) -> list[PackedRow]:
    """All samples once, in order, in rows of at most `max_tokens` ids (more for a sample that is longer itself)."""
    prefix = shared_prefix(rendered, spec)
    chunks: list[list[Rendered]] = []
    used = max_tokens
    for item in rendered:
        size = cost(item, prefix)
        if used + size > max_tokens or not chunks:
            chunks.append([])
            used = prefix
        chunks[-1].append(item)
        used += size
    return [packed_row(chunk, prefix) for chunk in chunks]


def collate(rows: Sequence[PackedRow], spec: ModelSpec, images: ImageBank = NO_IMAGES) -> dict[str, torch.Tensor]:
    """The model's input: input_ids, attention_mask, labels, segment_ids (B, T), padded right.

    With images to look at also pixel_values, with images to draw reference_codes, where the bank has any, or latents
    with noise on them. Padding has a segment of its own, since segment 0 would count as prefix. Rows with weights add
    `loss_weights` (B, T), which the loss pops before the forward.
    """
    length = max(len(row.ids) for row in rows)

    def padded(lists: Sequence[Sequence[float]], fill: int) -> torch.Tensor:
        return torch.tensor([[*values, *[fill] * (length - len(values))] for values in lists])  # (B, T)

    batch = {
        "input_ids": padded([row.ids for row in rows], spec.pad_id),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], -100),
        "segment_ids": padded([row.segments for row in rows], 1 + max(max(row.segments) for row in rows)),
    }
    if any(row.weights for row in rows):
        batch["loss_weights"] = padded([row.weights or (1.0,) * len(row.ids) for row in rows], 0)
    input_images = [images.pixels[name] for row in rows for name in row.input_images]
    if input_images:
        batch["pixel_values"] = torch.stack(input_images)  # (N, 3, px, px)
    references = images.reference_codes(rows)
    if references is not None:
        batch["reference_codes"] = references  # (N, R, C)
    if images.latents:
        batch |= noised_images([([images.latents[name] for name in row.drawn_images], row.noise_seed) for row in rows])
    return batch
