"""Which checkpoint of a run is the best, by scores alone."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.core.checkpoint_selection import best_checkpoint, selection_score
from pipelines.core.run_folder import RunError


def entry(name: str, **scores: float) -> dict[str, Any]:
    base = {"general_perplexity": 10.0, "reply_perplexity": 50.0, "likeness": 0.5, "training_image_similarity": 0.1}
    return {"name": name, "scores": base | scores}


def test_best_checkpoint_rule() -> None:
    base = entry("base")
    assert selection_score(entry("x", reply_perplexity=25.0, likeness=0.7)["scores"], base["scores"]) == pytest.approx(
        0.6
    )
    assert selection_score(entry("x", reply_perplexity=99.0)["scores"], base["scores"]) == pytest.approx(0.25)
    good, better = entry("sft-000002", likeness=0.6), entry("sft-000004", likeness=0.7)
    assert best_checkpoint([base, good, better]) == "sft-000004"
    assert best_checkpoint([base, better, entry("grpo-000001", likeness=0.7)]) == "grpo-000001"  # of equals the later
    forgot = entry("grpo-000001", likeness=0.9, general_perplexity=10.6)
    assert best_checkpoint([base, good, forgot]) == "sft-000002"
    copied = entry("grpo-000001", likeness=0.9, training_image_similarity=0.6)
    assert best_checkpoint([base, good, copied]) == "sft-000002"
    by_heart = entry("grpo-000001", likeness=0.9, reply_perplexity=51.0)
    assert best_checkpoint([base, good, by_heart]) == "sft-000002"
    assert best_checkpoint([base, forgot, entry("grpo-000002", general_perplexity=11.0)]) == "grpo-000001"
    with pytest.raises(RunError):
        best_checkpoint([base])
