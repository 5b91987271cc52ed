"""Codes of references as a batch; which images are references is in tests/core/character."""

from __future__ import annotations

from pipelines.data.references import code_batch, reference_batch


def test_missing_references_are_filled_with_no_code() -> None:
    codes = {"a.png": [1, 2], "b.png": [3, 4]}
    batch = reference_batch([("a.png", "b.png"), ("b.png",), ()], codes)
    assert batch is not None
    assert batch.tolist() == [[[1, 2], [3, 4]], [[3, 4], [-1, -1]], [[-1, -1], [-1, -1]]]
    assert code_batch([]) is None and code_batch([(), ()]) is None
