"""The codes of reference images as a model's forward and samplers take them.

Which images are references is decided in `pipelines/core/character/references.py`.

Dimension letters: N drawings, R references of one, C codes of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch


def code_batch(sets: Sequence[Sequence[Sequence[int]]]) -> torch.Tensor | None:
    """(N, R, C) codes of each drawing's references, -1 where it has fewer than the others; None when none has any."""
    most = max(map(len, sets), default=0)
    if not most:
        return None
    absent = [-1] * len(next(codes for references in sets for codes in references))
    return torch.tensor([[*map(list, references), *[absent] * (most - len(references))] for references in sets])


def reference_batch(sets: Sequence[Sequence[str]], codes: Mapping[str, Sequence[int]]) -> torch.Tensor | None:
    """`code_batch` of references given by name."""
    return code_batch([[codes[name] for name in names] for names in sets])
