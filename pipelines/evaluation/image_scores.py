"""The scores that are taken from drawn images: one reading each, their means, and how sure these are.

`scorecard.py` draws the images. Dimension letters: N drawn images, R held-out reference images, S training images, D
width of the judge's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.core.intervals import Interval, mean_of_means_interval
from pipelines.inference.generate import GeneratedText
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge
from pipelines.rewards.rewards import leave_one_out_distance

INTERVAL_CASES = 3
"""Fewer captions or replies give no interval of their own."""


def training_image_similarity(drawn: torch.Tensor, references: torch.Tensor, trained: torch.Tensor) -> float:
    """How much nearer drawn images come to one training image than unseen images of the character do.

    Features (N, D), (R, D), (S, D) of unit length. 0: no nearer than the references on average; 1: identical copies.
    """
    usual = float((references @ trained.T).amax(1).mean())
    nearest = (drawn @ trained.T).amax(1)
    return float(((nearest - usual) / max(1 - usual, 1e-6)).clamp(0, 1).mean())


@dataclass(frozen=True)
class ImageReadings:
    """What each image drawn of a caption scored, (N,) each, N = captions x drawn each, prompt-major."""

    caption_match: torch.Tensor
    variety: torch.Tensor
    likeness: torch.Tensor | None = None
    training_image_similarity: float | None = None

    def scores(self) -> dict[str, float]:
        """Their means, as `scores.json` has them."""
        means = {"caption_match": float(self.caption_match.mean()), "variety": float(self.variety.mean())}
        if self.likeness is not None:
            means["likeness"] = float(self.likeness.mean())
        if self.training_image_similarity is not None:
            means["training_image_similarity"] = self.training_image_similarity
        return means


def image_readings(
    image_features: ImageFeatures,
    descriptions: Sequence[str],
    each: int,
    references: ImageFeatures | None,
    trained: ImageFeatures | None,
    judge: Judge,
) -> ImageReadings:
    """Readings of captions x `each` images, prompt-major, against the captions and the references.

    references: (R, D) held-out images; trained: (S, D) the character's training images; None without any.
    """
    captions = [text for text in descriptions for _ in range(each)]
    group = torch.arange(len(descriptions)).repeat_interleave(each)
    likeness, similarity = None, None
    if references is not None:
        likeness = judge.likeness(image_features, references).float().cpu()
        if trained is not None:
            similarity = training_image_similarity(
                image_features.embedding(), references.embedding(), trained.embedding()
            )
    return ImageReadings(
        judge.match(image_features, captions).float().cpu(),
        leave_one_out_distance(image_features.embedding(), group).float().cpu(),
        likeness,
        similarity,
    )


def reply_matches(
    image_features: ImageFeatures, replies: Sequence[GeneratedText], name: str, judge: Judge
) -> list[float]:
    """How well the image of each reply fits its scene line; a reply without a scene counts 0."""
    scenes = [item.scene.removeprefix(name).lstrip(" ,") for item in replies]
    matches = judge.match(image_features, scenes)
    return [float(match) if scene else 0.0 for match, scene in zip(matches, scenes, strict=True)]


def image_intervals(readings: ImageReadings | None, matches: Sequence[float], each: int) -> dict[str, Interval]:
    """Intervals of the axes that rest on images: captions are drawn anew, or single images where captions are few."""
    found: dict[str, Interval] = {}
    answered = [[value] for value in matches]
    if readings is None:
        return {"image_text_match": mean_of_means_interval([answered])} if len(answered) >= INTERVAL_CASES else {}

    def cases(values: torch.Tensor) -> list[list[float]]:
        rows: list[list[float]] = values.view(-1, each).tolist()
        return rows if len(rows) >= INTERVAL_CASES else [[value] for row in rows for value in row]

    if readings.likeness is not None:
        found["likeness"] = mean_of_means_interval([cases(readings.likeness)])
    found["variety"] = mean_of_means_interval([cases(readings.variety)])
    found["image_text_match"] = mean_of_means_interval([cases(readings.caption_match), answered])
    return found
