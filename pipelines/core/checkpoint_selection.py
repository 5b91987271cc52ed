"""Which checkpoint of a run is the best: the rule of docs/training.md, on scores alone.

The trainer applies it at the end of a run; whoever shows an older run that did not record its choice applies it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.core.run_folder import BASE, RunError
from pipelines.core.score_names import GENERAL_PERPLEXITY_LIMIT, TRAINING_IMAGE_SIMILARITY_LIMIT


def best_checkpoint(checkpoints: Sequence[Mapping[str, Any]]) -> str:
    """The name of the best trained checkpoint; each of them is `{"name", "scores", ...}`, in the order of training.

    Among those within GENERAL_PERPLEXITY_LIMIT of the base's perplexity on general chat, with a similarity to training
    pictures of at most TRAINING_IMAGE_SIMILARITY_LIMIT, and no worse than the base at the character's own words, the
    highest `selection_score`; of equals the later. When none is within all limits, the one with the lowest perplexity
    on general chat. RunError when nothing was trained.
    """
    base = next(item["scores"] for item in checkpoints if item["name"] == BASE)
    trained = [item for item in checkpoints if item["name"] != BASE]
    if not trained:
        raise RunError("there is no trained checkpoint to choose from")
    kept = [
        item
        for item in trained
        if item["scores"]["general_perplexity"] <= GENERAL_PERPLEXITY_LIMIT * base["general_perplexity"]
        and item["scores"].get("training_image_similarity", 0.0) <= TRAINING_IMAGE_SIMILARITY_LIMIT
        and item["scores"].get("reply_perplexity", 0.0) <= base.get("reply_perplexity", float("inf"))
    ]
    if not kept:
        return str(min(trained, key=lambda item: item["scores"]["general_perplexity"])["name"])
    return str(max(reversed(kept), key=lambda item: selection_score(item["scores"], base))["name"])


def selection_score(scores: Mapping[str, float], base: Mapping[str, float]) -> float:
    """Mean of what there is of facts, likeness, both matches of picture and words, and 1 - perplexity / the base's."""
    parts = [
        scores[key] for key in ("facts_accuracy", "likeness", "caption_match", "reply_image_match") if key in scores
    ]
    if "reply_perplexity" in scores and "reply_perplexity" in base:
        parts.append(max(0.0, 1 - scores["reply_perplexity"] / base["reply_perplexity"]))
    return sum(parts) / len(parts)
