"""Images from prompts: drawing them, and showing them as files and sheets.

Dimension letters: P prompts, G samples of a prompt, N = P * G images, R references of a drawing, C codes of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.data.chat_template import image_turn, subject_of
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, Sampling
from pipelines.models.interface import UnifiedModel


def caption_prompt(
    model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, character: Character, description: str
) -> list[int]:
    """The prompt of an image with this description."""
    return image_turn(subject_of(character, tokenizer), description, model.spec, tokenizer)


def generate_images(
    model: UnifiedModel,
    prompts: list[list[int]],
    sampling: Sampling,
    *,
    num_return_sequences: int = 1,
    reference_codes: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1]: G images after each prompt, prompt-major; `on_step` is called after every code.

    reference_codes (P, R, C): see `UnifiedModel.sample_images`.
    """
    samples = model.sample_images(
        prompts,
        sampling,
        num_return_sequences=num_return_sequences,
        reference_codes=reference_codes,
        generator=generator,
        loras=loras,
        on_ids=None if on_step is None else lambda new_ids: on_step(),
    )
    with torch.inference_mode():
        return model.decode_images(samples.images)


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(3, px, px) in [-1, 1] to a PIL image."""
    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu()  # (px, px, 3)
    return Image.frombytes("RGB", (values.shape[1], values.shape[0]), values.contiguous().numpy().tobytes())


def contact_sheet(images: Sequence[Image.Image], labels: Sequence[str], columns: int = 5) -> Image.Image:
    """All images on one page with a label below each, cut to the image's width."""
    width, height, line = images[0].width, images[0].height, 14
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + line + 8) + 8), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = 8 + i % columns * (width + 8), 8 + i // columns * (height + line + 8)
        sheet.paste(image, (left, top))
        while label and pen.textlength(label) > width:
            label = label[:-1]
        pen.text((left, top + height + 1), label, fill="black")
    return sheet
