"""Which checkpoint is the best: the rules of docs/training.md, on scores and votes alone.

The trainer applies `choose_best` at the end of a run; whoever shows runs puts people's votes on top
(`preferred_by_votes`). A checkpoint with a fault of `faults_of` never deserves the name: where all have one, the
nearest is named together with what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.core.run_folder import BASE, RunError
from pipelines.core.score_axes import trusted
from pipelines.core.score_names import (
    GENERAL_PERPLEXITY_LIMIT,
    PROMPT_LEAKING_LIMIT,
    SPEAKING_LEAST,
    TRAINING_IMAGE_SIMILARITY_LIMIT,
)
from pipelines.core.vote_counts import tally_pair

FAULTS: Mapping[str, str] = {
    "does_not_speak": "it often answers without words",
    "leaks_prompt": "it says its own description instead of answering",
    "copies": "it draws its training pictures again instead of new ones",
    "forgets": "it has become worse at plain conversation than the model was before training",
    "loses_voice": "it finds the character's own lines less likely than the model did before training",
}
"""What keeps a checkpoint from being the best -> the same in words, as the end of "...: it ..."."""
UNUSABLE = ("does_not_speak", "leaks_prompt")
"""Faults that weigh more than any number of the others: nobody can talk with such a checkpoint."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint that comes first, and what is wrong with it: no fault, and it deserves to be called the best."""

    name: str
    faults: tuple[str, ...] = ()
    """Keys of FAULTS."""


def faults_of(scores: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """What is wrong with a checkpoint: key of FAULTS -> how far it is beyond the limit, as a share of it.

    Only of what was measured: a score that is not there is no fault.
    """
    found: dict[str, float] = {}
    if (share := scores.get("speaking", 1.0)) < SPEAKING_LEAST:
        found["does_not_speak"] = 1 - share / SPEAKING_LEAST
    if (share := scores.get("prompt_leaking", 0.0)) > PROMPT_LEAKING_LIMIT:
        found["leaks_prompt"] = share - PROMPT_LEAKING_LIMIT
    if (share := scores.get("training_image_similarity", 0.0)) > TRAINING_IMAGE_SIMILARITY_LIMIT:
        found["copies"] = share / TRAINING_IMAGE_SIMILARITY_LIMIT - 1
    if (ratio := _ratio(scores, base, "general_perplexity")) > GENERAL_PERPLEXITY_LIMIT:
        found["forgets"] = ratio / GENERAL_PERPLEXITY_LIMIT - 1
    if (ratio := _ratio(scores, base, "reply_perplexity")) > 1:
        found["loses_voice"] = ratio - 1
    return found


def _ratio(scores: Mapping[str, float], base: Mapping[str, float], key: str) -> float:
    return scores[key] / base[key] if scores.get(key) and base.get(key) else 0.0


def choose_best(checkpoints: Sequence[Mapping[str, Any]]) -> Choice:
    """The best trained checkpoint; each of them is `{"name", "scores", "measurement"}`, in the order of training.

    Of those without a fault the highest `selection_score`, of equals the later. Where all have one: the fewest that
    are UNUSABLE, then the one that is least beyond its limits in all. Scores that rest on too little decide nothing.
    RunError when nothing was trained.
    """
    kept = [
        (str(item["name"]), trusted(item["scores"], (item.get("measurement") or {}).get("counts", {})))
        for item in checkpoints
    ]
    base = next((scores for name, scores in kept if name == BASE), {})
    trained = [(name, scores, faults_of(scores, base)) for name, scores in kept if name != BASE]
    if not trained:
        raise RunError("there is no trained checkpoint to choose from")
    name, _, faults = max(
        reversed(trained),  # of equals the later
        key=lambda one: (
            not one[2],
            -sum(fault in UNUSABLE for fault in one[2]),
            -sum(one[2].values()),
            selection_score(one[1], base),
        ),
    )
    return Choice(name, tuple(fault for fault in FAULTS if fault in faults))


def selection_score(scores: Mapping[str, float], base: Mapping[str, float]) -> float:
    """Mean of what there is of facts, likeness, both matches of picture and words, and 1 - perplexity / the base's.

    0 when there is none of them.
    """
    parts = [
        scores[key] for key in ("facts_accuracy", "likeness", "caption_match", "reply_image_match") if key in scores
    ]
    if "reply_perplexity" in scores and "reply_perplexity" in base:
        parts.append(max(0.0, 1 - scores["reply_perplexity"] / base["reply_perplexity"]))
    return sum(parts) / len(parts) if parts else 0.0


def preferred_by_votes(start: str, eligible: Collection[str], duels: Iterable[tuple[str, str]]) -> str:
    """The checkpoint that votes put in the place of `start`; `start` itself where they do not clearly disagree.

    duels: (winner, loser) of each vote that chose one of two. Whoever is clearly preferred (the 95 % interval of its
    share above one half) to the one that is first takes its place, and so on; nobody comes first twice.
    """
    pairs = list(duels)
    first, seen = start, {start}
    while True:
        better = [
            (tally.low, other)
            for other in eligible
            if other not in seen and (tally := tally_pair(other, first, pairs)).low > 0.5
        ]
        if not better:
            return first
        first = max(better)[1]
        seen.add(first)
