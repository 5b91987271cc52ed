"""The text before a training image, as a character's turn ends: reply, scene line, begin-of-image.

No torch here: the rendering processes word and tokenise the contexts of what they draw.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LEAD_INS = (
    "Here I am.",
    "Look at this!",
    "Of course, one moment.",
    "This is me today.",
    "You asked for a picture.",
    "Well then.",
    "I was thinking of you.",
    "It is lovely here.",
    "Can you see me?",
    "That made me smile.",
    "I have had a long day.",
)
"""Text before the scene line in some contexts, so that a reply in front of it does not change the image."""


def context_text(caption: str, rng: random.Random) -> str:
    """The end of a turn with this scene, before the begin-of-image id."""
    lead_in = rng.choice(LEAD_INS) if rng.random() < 0.4 else ""
    return f"<|im_start|>assistant\n{lead_in}\n[scene] {caption}"


def context_ids(tokenizer: PreTrainedTokenizerFast, caption: str, boi_id: int, rng: random.Random) -> list[int]:
    """Ids of the text before an image."""
    return [*tokenizer(context_text(caption, rng), add_special_tokens=False).input_ids, boi_id]


def tokenise_contexts(
    tokenizer: Tokenizer, captions: Sequence[str], boi_id: int, length: int, rng: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    """Context ids (N, length) int32, padded with 0 on the right, and how many are real (N,) int16.

    One call for all captions, several times faster than one by one. A longer context loses its beginning.
    """
    encoded = tokenizer.encode_batch([context_text(caption, rng) for caption in captions], add_special_tokens=False)
    ids = np.zeros((len(captions), length), dtype=np.int32)
    lengths = np.zeros(len(captions), dtype=np.int16)
    for row, found in enumerate(encoded):
        kept = [*found.ids, boi_id][-length:]
        ids[row, : len(kept)] = kept
        lengths[row] = len(kept)
    return ids, lengths
