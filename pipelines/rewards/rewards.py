"""Rewards of Character-GRPO: plain functions in TRL's signature (completions and named columns in, floats out).

`REWARDS` lists them. Each entry is called once with a `RewardContext` (character, critic, references looked at once) and
returns the function that scores whole batches; `docs/rewards.md` has the formulas and the flaws of the paper that they
mend. A value is 0..1, or None where the part does not apply (no picture was asked for). Nothing is caught here:
a reward that fails stops the run.

Columns, one entry a sample, samples of a group side by side: `words`, `scene` (text), `sight` (the critic's look at the
drawn picture, or None), `asked` (the PracticePrompt), `finished` (it stopped by itself), `group` (int).
Letters: N samples, M of them drew a picture, R references, K reward parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.core.character.character import Character
from pipelines.data.samples import GrpoPrompt
from pipelines.rewards.semantic import semantic_match
from pipelines.rewards.starter_critic import ImageFeatures, StarterCritic
from pipelines.rewards.style import StyleStats, content_stems, ending

Reward = Callable[..., list[float | None]]

ASKED_FIELDS = ("expression", "clothes", "place")
"""What the questions about a picture are about."""

REPLY_PARTS = {"style": 0.35, "answer": 0.2, "length": 0.15, "non_repetition": 0.1, "ending": 0.1, "scene": 0.1}
"""Weights inside the `reply` reward; without a scene asked for, the others share its part."""

SILENT = 0.6
"""What the words of a reply count for that is a picture alone: about what spoken replies get after stage 1, so that
neither speaking nor silence pays by itself. Stage 1 teaches both."""

WORDS_ONLY = frozenset({"reply", "semantic_match"})
"""Rewards that are settled before the picture is drawn: they never credit picture codes."""


@dataclass(frozen=True)
class RewardContext:
    """What rewards are made from; built once a run."""

    character: Character
    critic: StarterCritic
    references: ImageFeatures
    """(R, D): the character's own pictures."""

    @classmethod
    def of(cls, character: Character, critic: StarterCritic, pixels: torch.Tensor) -> RewardContext:
        """Look at the references (R, 3, px, px) once."""
        with torch.no_grad():
            return cls(character, critic, critic.look(pixels))


def stack(sights: list[ImageFeatures | None]) -> tuple[list[int], ImageFeatures]:
    """(which of the N samples drew a picture, their looks (M, D)); M must be at least 1."""
    drawn = [n for n, sight in enumerate(sights) if sight is not None]
    seen = [sight for sight in sights if sight is not None]
    return drawn, type(seen[0]).joined(seen)


def spread(values: torch.Tensor, drawn: list[int], asked: list[GrpoPrompt]) -> list[float | None]:
    """(M,) back to N: 0 where a picture was asked for and none drawn, None where neither."""
    found: list[float | None] = [0.0 if prompt.wants_image else None for prompt in asked]
    for n, value in zip(drawn, values.tolist(), strict=True):
        found[n] = value
    return found


def image_vqa(judge: RewardContext) -> Reward:
    """Do questions about the picture get the asked answers, each chosen from the prompt's options by likelihood?

    0: the critic is sure of wrong ones, or nothing was drawn; 1: it is sure of all that was asked for.
    """

    def image_vqa(*, sight: list[ImageFeatures | None], asked: list[GrpoPrompt], **_: Any) -> list[float | None]:
        if not any(one is not None for one in sight):
            return spread(torch.zeros(0), [], asked)
        drawn, seen = stack(sight)
        answered = spread(torch.zeros(len(drawn)), drawn, asked)
        chances = {field: _chances(judge.critic, seen, field, asked) for field in ASKED_FIELDS}
        for m, n in enumerate(drawn):
            options = asked[n].options or {}
            right = [_share(chances[field][m], options[field], _right(asked[n], field)) for field in options]
            answered[n] = sum(right) / len(right) if right else None
        return answered

    return image_vqa


def caption_match(judge: RewardContext) -> Reward:
    """Does the picture show the scene that the reply wrote before drawing it?

    0: surely another scene, or no scene, or no picture; 1: surely this one; 0.5: as likely right as wrong.
    """
    name = judge.character.name.lower()

    def caption_match(
        *, sight: list[ImageFeatures | None], scene: list[str], asked: list[GrpoPrompt], **_: Any
    ) -> list[float | None]:
        if not any(one is not None for one in sight):
            return spread(torch.zeros(0), [], asked)
        drawn, seen = stack(sight)
        # The critic knows captions, not names: "Mira, laughing, on a beach" is read without "Mira, ".
        texts = [scene[n].strip() for n in drawn]
        texts = [text[len(name) :].lstrip(" ,:") if text.lower().startswith(name) else text for text in texts]
        matches = judge.critic.match(seen, texts).float().cpu()
        return spread(matches * torch.tensor([float(bool(text)) for text in texts]), drawn, asked)

    return caption_match


def variety(judge: RewardContext) -> Reward:
    """How far is this picture from the others of its own group (never one number shared by the group)?

    0: the same as all others, or alone; 1: nothing in common with any (mean cosine 0 or below).
    """

    def variety(
        *, sight: list[ImageFeatures | None], group: list[int], asked: list[GrpoPrompt], **_: Any
    ) -> list[float | None]:
        if not any(one is not None for one in sight):
            return spread(torch.zeros(0), [], asked)
        drawn, seen = stack(sight)
        return spread(leave_one_out_distance(seen.whole(), torch.tensor([group[n] for n in drawn])), drawn, asked)

    return variety


def likeness(judge: RewardContext) -> Reward:
    """Does the picture look like the character without copying a training picture? A band.

    0: somebody else, or an exact copy of one training picture; 1: as like the references as they are like each other,
    and no nearer to any one of them than two of them are to each other.
    """
    own = judge.critic.likeness(judge.references, judge.references).float().cpu()  # (R, R)
    whole = judge.references.whole()  # (R, 2D)
    low, high = band(own, whole @ whole.T)

    def likeness(*, sight: list[ImageFeatures | None], asked: list[GrpoPrompt], **_: Any) -> list[float | None]:
        if not any(one is not None for one in sight):
            return spread(torch.zeros(0), [], asked)
        drawn, seen = stack(sight)
        alike = judge.critic.likeness(seen, judge.references).float().cpu().mean(1)  # (M,)
        nearest = (seen.whole() @ whole.T).amax(1)  # (M,)
        return spread(band_score(alike, nearest, low, high), drawn, asked)

    return likeness


def reply(judge: RewardContext) -> Reward:
    """Is the text the character's, an answer, whole, and of its length? No judge model; see `pipelines.rewards.style`.

    0: assistant-speak, leaked markup, or nothing of the below; 1: its style, takes up what was said, its length,
    nothing repeated or copied, properly ended, and a scene line that names what was asked for.
    """
    voice = StyleStats.of(judge.character)

    def reply(
        *,
        words: list[str],
        scene: list[str],
        asked: list[GrpoPrompt],
        finished: list[bool],
        sight: list[ImageFeatures | None],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        scores: list[float | None] = []
        for said, shown, prompt, stopped, drawn in zip(words, scene, asked, finished, sight, strict=True):
            if prompt.wants_image and drawn is not None and not said.strip():
                parts = {part: SILENT for part in REPLY_PARTS if part != "scene"}
            else:
                parts = {
                    "style": voice.style(said),
                    "answer": voice.answer(prompt.messages[-1].text, said),
                    "length": voice.length(said),
                    "non_repetition": voice.non_repetition(said) if said.strip() else 0.0,
                    "ending": ending(said, stopped),
                }
            if prompt.wants_image:
                parts["scene"] = scene_named(shown, prompt)
            weight = sum(REPLY_PARTS[part] for part in parts)
            scores.append(
                voice.no_assistant_markup(said)
                * sum(REPLY_PARTS[part] * value for part, value in parts.items())
                / weight
            )
            if log_metric is not None:
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
"""Every reward part, by the name it has in `Recipe.reward_weights` and in the metrics."""


def make_rewards(judge: RewardContext, weights: dict[str, float]) -> tuple[list[Reward], list[float]]:
    """The functions and weights of the parts that weigh more than 0; ValueError for a name that does not exist."""
    unknown = sorted(set(weights) - set(REWARDS))
    if unknown:
        raise ValueError(f"reward_weights: {', '.join(unknown)} is not one of {', '.join(REWARDS)}")
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    if not kept:
        raise ValueError("reward_weights: every weight is 0, so there is nothing to practise for")
    return [REWARDS[name](judge) for name in kept], list(kept.values())


def scene_named(scene: str, prompt: GrpoPrompt) -> float:
    """Share of the asked expression, clothes and place whose words stand in the scene line; 0 without a line."""
    if not scene.strip():
        return 0.0
    written = content_stems(scene)
    wanted = [content_stems(value) for value in (prompt.expression, prompt.clothes, prompt.place)]
    shares = [len(stems & written) / len(stems) for stems in wanted if stems]
    return sum(shares) / len(shares) if shares else 1.0


def leave_one_out_distance(features_MD: torch.Tensor, group_M: torch.Tensor) -> torch.Tensor:
    """(M,) mean of 1 - cosine to the other pictures of the same group, clipped to 0..1; 0 for one alone."""
    distance = (1.0 - features_MD @ features_MD.T).clamp(0.0, 1.0)
    mates = (group_M[:, None] == group_M[None]).float()
    mates.fill_diagonal_(0.0)
    return (distance * mates).sum(1) / mates.sum(1).clamp(min=1.0)


def band(own_RR: torch.Tensor, whole_RR: torch.Tensor) -> tuple[float, float]:
    """(low, high) of the likeness band from the references' leave-one-out similarities.

    low: the median reference's mean likeness to the others. high: the cosine of the two most alike references, at most
    0.98 so that a picture given twice leaves room. One reference alone: (0.5, 0.98).
    """
    count = len(own_RR)
    if count < 2:
        return 0.5, 0.98
    others = ~torch.eye(count, dtype=torch.bool)
    low = float((own_RR * others).sum(1).div(count - 1).median())
    return low, min(0.98, float(whole_RR[others].max()))


def band_score(alike_M: torch.Tensor, nearest_M: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """(M,) rises to 1 as mean likeness reaches `low` (drifting away below it), falls to 0 as the cosine to one
    training picture goes from `high` to 1 (copying)."""
    near = (alike_M / max(low, 1e-6)).clamp(0.0, 1.0)
    copied = ((nearest_M - high) / (1.0 - high)).clamp(0.0, 1.0)
    return near * (1.0 - copied)


def _worded(field: str, value: str) -> str:
    # One field in the words of a caption: "wearing a red hoodie".
    return f"wearing {value}" if field == "clothes" else value


def _right(prompt: GrpoPrompt, field: str) -> str:
    return {"expression": prompt.expression, "clothes": prompt.clothes, "place": prompt.place}[field]


def _chances(critic: StarterCritic, seen: ImageFeatures, field: str, asked: list[GrpoPrompt]) -> list[dict[str, float]]:
    # For each of M pictures: the chance of every option of this field in the batch; all are read once.
    options = sorted({option for prompt in asked for option in (prompt.options or {}).get(field, ())})
    if not options:
        return [{} for _ in range(len(seen.caption))]
    chances = critic.answer(seen, field, options, [_worded(field, option) for option in options]).float().tolist()
    return [dict(zip(options, row, strict=True)) for row in chances]


def _share(chances: dict[str, float], options: tuple[str, ...], right: str) -> float:
    # The softmax over some options is the softmax over all of them, scaled to sum to 1.
    return chances[right] / max(sum(chances[option] for option in options), 1e-12)
