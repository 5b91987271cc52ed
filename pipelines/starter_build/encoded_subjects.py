"""What the image expert's rendering processes do: draw a subject of the broad domain, word and tokenise its captions.

No torch here, so that the processes start quickly; `code_store.py` encodes the pictures.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from pipelines.starter_build.broad_domain import CAPTIONS, SubjectJob, render_subject
from pipelines.starter_build.image_contexts import tokenise_contexts
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY


@dataclass(frozen=True)
class EncodedSubject:
    """What a worker sends: one subject's pictures, n = `IMAGES_PER_IDENTITY`."""

    pixels: np.ndarray
    """(n, px, px, 3) uint8."""
    figure: np.ndarray
    """(n, C) bool."""
    ids: np.ndarray
    """(n, `CAPTIONS`, T) int32."""
    lengths: np.ndarray
    """(n, `CAPTIONS`) int16."""


_tokenizer: list[tuple[Tokenizer, int, int]] = []
"""In a worker: tokenizer, begin-of-image id and context length."""


def start_tokenizer(serialised: str, boi_id: int, context_tokens: int) -> None:
    """Initialiser of a worker; `serialised` is the JSON of a `tokenizers.Tokenizer`."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # every core has a worker already
    _tokenizer[:] = [(Tokenizer.from_str(serialised), boi_id, context_tokens)]


def render_encoded(job: SubjectJob) -> EncodedSubject:
    """In a worker: draw a subject, word and tokenise its captions, all in one call."""
    tokenizer, boi_id, length = _tokenizer[0]
    subject = render_subject(job)
    rng = random.Random(f"contexts {job.seed} {job.position}")
    captions = [text for texts in subject.captions for text in texts]
    ids, lengths = tokenise_contexts(tokenizer, captions, boi_id, length, rng)
    shape = (IMAGES_PER_IDENTITY, CAPTIONS)
    return EncodedSubject(subject.pixels, subject.figure, ids.reshape(*shape, length), lengths.reshape(shape))
