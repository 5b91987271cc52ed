"""Rewards of Character-GRPO: plain functions in TRL's signature (completions and named columns in, floats out).

`REWARDS` lists them. Each entry is called once with a `RewardContext` (character, judge, references encoded once) and
returns the function that scores whole batches; `docs/rewards.md` has the formulas and the flaws of the paper that they
mend. A value is 0..1, or None where the reward does not apply (no image was requested). Nothing is caught here:
a reward that fails stops the run.

Columns, one entry per sample, samples of a group adjacent: `texts`, `scenes`, `image_features` (the judge's, of the
drawn image, or None), `grpo_prompts`, `finished` (it stopped by itself), `group` (int).
Dimension letters: N samples, M of them drew an image, R references, D the judge's width, E of `embedding()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pipelines.data.samples import GrpoPrompt
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge
from pipelines.rewards.reward_context import Reward, RewardContext
from pipelines.rewards.semantic import semantic_match
from pipelines.rewards.style import StyleStats, content_stems, ending

REQUESTED_FIELDS = ("expression", "clothes", "place")
"""What the questions about an image are about; fields of `GrpoPrompt`."""

REPLY_PARTS = {"style": 0.35, "answer": 0.2, "length": 0.15, "non_repetition": 0.1, "ending": 0.1, "scene": 0.1}
"""Weights inside the `reply` reward; where no image was requested, the others share the scene's."""

SILENT_REPLY_SCORE = 0.6
"""What an image without text scores in the parts about text: about what spoken replies get after stage 1, so that
neither speaking nor silence pays by itself. Stage 1 teaches both."""

TEXT_ONLY = frozenset({"reply", "semantic_match"})
"""Rewards that are settled before the image is drawn: they give image codes no advantage."""


def gather(image_features: list[ImageFeatures | None]) -> tuple[list[int], ImageFeatures]:
    """(which of the N samples drew an image, their features (M, D)); M must be at least 1."""
    drawn = [n for n, features in enumerate(image_features) if features is not None]
    present = [features for features in image_features if features is not None]
    return drawn, type(present[0]).stack(present)


def scatter(values: torch.Tensor, drawn: list[int], grpo_prompts: list[GrpoPrompt]) -> list[float | None]:
    """(M,) back to N: 0 where an image was requested and none drawn, None where neither."""
    column: list[float | None] = [0.0 if prompt.wants_image else None for prompt in grpo_prompts]
    for n, value in zip(drawn, values.tolist(), strict=True):
        column[n] = value
    return column


def image_vqa(context: RewardContext) -> Reward:
    """Do questions about the image get the requested answers, each chosen from the prompt's options by likelihood?

    0: the judge is sure of wrong ones, or nothing was drawn; 1: it is sure of all that was requested.
    """

    def image_vqa(
        *, image_features: list[ImageFeatures | None], grpo_prompts: list[GrpoPrompt], **_: Any
    ) -> list[float | None]:
        if not any(features is not None for features in image_features):
            return scatter(torch.zeros(0), [], grpo_prompts)
        drawn, features = gather(image_features)
        column = scatter(torch.zeros(len(drawn)), drawn, grpo_prompts)
        probs = {field: _option_probs(context.judge, features, field, grpo_prompts) for field in REQUESTED_FIELDS}
        for m, n in enumerate(drawn):
            options = grpo_prompts[n].options or {}
            right = [
                _renormalised(probs[field][m], options[field], _requested(grpo_prompts[n], field)) for field in options
            ]
            column[n] = sum(right) / len(right) if right else None
        return column

    return image_vqa


def caption_match(context: RewardContext) -> Reward:
    """Does the image show the scene that the reply wrote before drawing it?

    0: surely another scene, or no scene, or no image; 1: surely this one; 0.5: as likely right as wrong.
    """
    name = context.character.name.lower()

    def caption_match(
        *, image_features: list[ImageFeatures | None], scenes: list[str], grpo_prompts: list[GrpoPrompt], **_: Any
    ) -> list[float | None]:
        if not any(features is not None for features in image_features):
            return scatter(torch.zeros(0), [], grpo_prompts)
        drawn, features = gather(image_features)
        # The judge knows captions, not names: "Mira, laughing, on a beach" is compared without "Mira, ".
        captions = [scenes[n].strip() for n in drawn]
        captions = [text[len(name) :].lstrip(" ,:") if text.lower().startswith(name) else text for text in captions]
        matches = context.judge.match(features, captions).float().cpu()  # (M,)
        return scatter(matches * torch.tensor([float(bool(text)) for text in captions]), drawn, grpo_prompts)

    return caption_match


def variety(context: RewardContext) -> Reward:
    """How far is this image from the others of its own group? Leave-one-out, so it differs inside the group.

    0: the same as all others, or alone; 1: nothing in common with any (mean cosine 0 or below).
    """

    def variety(
        *,
        image_features: list[ImageFeatures | None],
        group: list[int],
        grpo_prompts: list[GrpoPrompt],
        **_: Any,
    ) -> list[float | None]:
        if not any(features is not None for features in image_features):
            return scatter(torch.zeros(0), [], grpo_prompts)
        drawn, features = gather(image_features)
        distances = leave_one_out_distance(features.embedding(), torch.tensor([group[n] for n in drawn]))
        return scatter(distances, drawn, grpo_prompts)

    return variety


def likeness(context: RewardContext) -> Reward:
    """Does the image look like the character without copying a training image? A band.

    0: somebody else, or an exact copy of one training image; 1: as like the references as they are like each other,
    and no nearer to any one of them than two of them are to each other.
    """
    judge, references = context.judge, context.references
    among_references = judge.likeness(references, references).float().cpu()  # (R, R)
    embedding = references.embedding()  # (R, E)
    low, high = band(among_references, embedding @ embedding.T)

    def likeness(
        *, image_features: list[ImageFeatures | None], grpo_prompts: list[GrpoPrompt], **_: Any
    ) -> list[float | None]:
        if not any(features is not None for features in image_features):
            return scatter(torch.zeros(0), [], grpo_prompts)
        drawn, features = gather(image_features)
        alike = judge.likeness(features, references).float().cpu().mean(1)  # (M,)
        nearest = (features.embedding() @ embedding.T).amax(1)  # (M,)
        return scatter(band_score(alike, nearest, low, high), drawn, grpo_prompts)

    return likeness


def reply(context: RewardContext) -> Reward:
    """Is the text in character, an answer, whole, and of its usual length? Counted, see `pipelines.rewards.style`.

    0: assistant-speak, leaked markup, or nothing of the below; 1: its style, takes up what was said, its length,
    nothing repeated or copied, properly ended, and a scene line that names what was requested.
    """
    stats = StyleStats.of(context.character)

    def reply(
        *,
        texts: list[str],
        scenes: list[str],
        grpo_prompts: list[GrpoPrompt],
        finished: list[bool],
        image_features: list[ImageFeatures | None],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        scores: list[float | None] = []
        for text, scene, prompt, stopped, features in zip(
            texts, scenes, grpo_prompts, finished, image_features, strict=True
        ):
            if prompt.wants_image and features is not None and not text.strip():
                parts = {part: SILENT_REPLY_SCORE for part in REPLY_PARTS if part != "scene"}
            else:
                parts = {
                    "style": stats.style(text),
                    "answer": stats.answer(prompt.messages[-1].text, text),
                    "length": stats.length(text),
                    "non_repetition": stats.non_repetition(text) if text.strip() else 0.0,
                    "ending": ending(text, stopped),
                }
            if prompt.wants_image:
                parts["scene"] = scene_named(scene, prompt)
            weight = sum(REPLY_PARTS[part] for part in parts)
            weighted = sum(REPLY_PARTS[part] * value for part, value in parts.items())
            scores.append(stats.no_assistant_markup(text) * weighted / weight)
            if log_metric is not None:  # TRL's: means over the step appear in its logs under this name
                for part, value in parts.items():
                    log_metric(f"reply/{part}", value)
        return scores

    return reply


REWARDS: dict[str, Callable[[RewardContext], Reward]] = {
    "image_vqa": image_vqa,
    "caption_match": caption_match,
    "variety": variety,
    "likeness": likeness,
    "reply": reply,
    "semantic_match": semantic_match,
}
"""Every reward, by the name it has in `Recipe.reward_weights` and in the metrics."""


def make_rewards(context: RewardContext, weights: dict[str, float]) -> tuple[list[Reward], list[float]]:
    """The functions and weights of the rewards that weigh more than 0; ValueError for a name that does not exist."""
    unknown = sorted(set(weights) - set(REWARDS))
    if unknown:
        raise ValueError(f"reward_weights: {', '.join(unknown)} is not one of {', '.join(REWARDS)}")
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    if not kept:
        raise ValueError("reward_weights: every weight is 0, so there is nothing to train for")
    return [REWARDS[name](context) for name in kept], list(kept.values())


def scene_named(scene: str, prompt: GrpoPrompt) -> float:
    """Mean share of the words of the requested expression, clothes and place that the scene line has; 0 without one."""
    if not scene.strip():
        return 0.0
    scene_stems = content_stems(scene)
    wanted = [content_stems(value) for value in (prompt.expression, prompt.clothes, prompt.place)]
    shares = [len(stems & scene_stems) / len(stems) for stems in wanted if stems]
    return sum(shares) / len(shares) if shares else 1.0


def leave_one_out_distance(embedding_ME: torch.Tensor, group_M: torch.Tensor) -> torch.Tensor:
    """(M,) mean of 1 - cosine to the other images of the same group, clipped to 0..1; 0 for one alone."""
    distance_MM = (1.0 - embedding_ME @ embedding_ME.T).clamp(0.0, 1.0)
    same_group_MM = (group_M[:, None] == group_M[None]).float()
    same_group_MM.fill_diagonal_(0.0)
    return (distance_MM * same_group_MM).sum(1) / same_group_MM.sum(1).clamp(min=1.0)


def band(likeness_RR: torch.Tensor, cosine_RR: torch.Tensor) -> tuple[float, float]:
    """(low, high) of the likeness band from the references' leave-one-out similarities.

    low: the median reference's mean likeness to the others. high: the cosine of the two most alike references, at most
    0.98 so that an image given twice leaves room. One reference alone: (0.5, 0.98).
    """
    count = len(likeness_RR)
    if count < 2:
        return 0.5, 0.98
    others = ~torch.eye(count, dtype=torch.bool)
    low = float((likeness_RR * others).sum(1).div(count - 1).median())
    return low, min(0.98, float(cosine_RR[others].max()))


def band_score(alike_M: torch.Tensor, nearest_M: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """(M,) rises to 1 as mean likeness reaches `low` (drifting away below it), falls to 0 as the cosine to one
    training image goes from `high` to 1 (copying)."""
    near = (alike_M / max(low, 1e-6)).clamp(0.0, 1.0)
    copied = ((nearest_M - high) / (1.0 - high)).clamp(0.0, 1.0)
    return near * (1.0 - copied)


def _as_caption(field: str, value: str) -> str:
    # One field in the words of a caption: "wearing a red hoodie".
    return f"wearing {value}" if field == "clothes" else value


def _requested(prompt: GrpoPrompt, field: str) -> str:
    return {"expression": prompt.expression, "clothes": prompt.clothes, "place": prompt.place}[field]


def _option_probs(
    judge: Judge, features: ImageFeatures, field: str, grpo_prompts: list[GrpoPrompt]
) -> list[dict[str, float]]:
    # For each of M images the probability of every option of this field in the batch: one call for all prompts.
    options = sorted({option for prompt in grpo_prompts for option in (prompt.options or {}).get(field, ())})
    if not options:
        return [{} for _ in range(len(features.caption))]
    captions = [_as_caption(field, option) for option in options]
    probs = judge.answer_probs(features, field, options, captions).float().tolist()  # (M, O)
    return [dict(zip(options, row, strict=True)) for row in probs]


def _renormalised(probs: dict[str, float], options: tuple[str, ...], right: str) -> float:
    # A softmax over some options is the softmax over all of them, scaled to sum to 1.
    return probs[right] / max(sum(probs[option] for option in options), 1e-12)
