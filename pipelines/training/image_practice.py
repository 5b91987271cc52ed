"""How images that are latents are practised: beside the token policy of the words, in the same step of stage 2.

Codes are ids, and GRPO's loss on token log-probabilities trains them with the words. Latents have none, so each image
of a rollout goes to an `ImagePractice`, with the advantage that its codes would have had. `NftPractice` (DiffusionNFT)
is the default: it needs the image alone, however it was drawn. `SdePractice` (Flow-GRPO in a window, with
GRPO-Guard's normalised ratios) draws some steps of each image by chance and learns from their probabilities.

Both score images through `UnifiedModel.forward`, each behind its own turn alone in packed rows, as stage 1 does.

Dimension letters: N images of a step, M images of a packed row, C latents of an image, W numbers of one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from peft import PeftModel

from pipelines.core.jobs.memory_plan import ROW_IMAGES
from pipelines.core.jobs.recipe import Recipe
from pipelines.models.bagel.flow import FlowSampling, noise_levels, sde_step
from pipelines.models.decoding.sampling import FlowStep, Sampling, joined_steps
from pipelines.models.interface import ModelSpec, Scores
from pipelines.models.segments import FIRST_ALONE
from pipelines.training.early_stop import trained_weights
from pipelines.training.flow_loss import guarded_ratio_loss, nft_loss, update_old

OLD_ADAPTER = "old"
"""The slow copy of the adapter that `NftPractice` draws images with; it lies beside the adapter in checkpoints."""
LEVELS = 2
"""Noise levels at which each image is learned."""
NOISY_SHARE = 0.7
"""They are drawn from this share of the sampler's levels, the noisier ones."""
SDE_NOISE = 1.0
"""Strength of the noise of stochastic steps (Tencent's UniRL on BAGEL)."""
SDE_SHARE = 0.5
"""Stochastic steps are among this share of a drawing's steps, the first ones, which settle what is where."""
CLIP = 2e-6
"""Of the normalised ratios (GRPO-Guard): log-probabilities are means over an image's numbers."""


@dataclass(frozen=True)
class Drawing:
    """An image of a rollout."""

    sample: int
    """Which of the step's replies it belongs to."""
    turn: list[int]
    """The ids that it was drawn from, alone; the last is begin-of-image."""
    latents: torch.Tensor
    """(C, W)."""
    steps: tuple[FlowStep, ...] = ()
    """Its stochastic steps, of this image alone."""


class ImagePractice(Protocol):
    """What stage 2 does with images that are latents."""

    def sampling(self, sampling: Sampling, step: int) -> Sampling:
        """How the images of rollouts are drawn in this step."""
        ...

    def drawing(self) -> AbstractContextManager[None]:
        """Inside, the weights are those that draw."""
        ...

    def losses(self, drawings: Sequence[Drawing], advantages: torch.Tensor, step: int) -> Iterator[torch.Tensor]:
        """Parts of the step's loss, one after the other, so that a backward pass frees each before the next.

        advantages (N,): of each drawing.
        """
        ...

    def after_update(self, step: int) -> None:
        """After the optimizer's step of that number, from 0."""
        ...


def image_practice(model: PeftModel, recipe: Recipe, spec: ModelSpec, parts: int = 1) -> ImagePractice | None:
    """Of a model that draws latents; None for one whose images are codes. parts: as in `StepStrategy`."""
    if not spec.latent_width:
        return None
    kind = SdePractice if recipe.flow_sde_steps else NftPractice
    return kind(model, recipe, spec, max(1, ROW_IMAGES // parts))


@dataclass
class NftPractice:
    """DiffusionNFT (arXiv 2509.16117): images are noised again, and the velocity is pulled towards the better ones."""

    model: PeftModel
    recipe: Recipe
    spec: ModelSpec
    row_images: int = ROW_IMAGES
    """Images of one packed row at most."""

    def __post_init__(self) -> None:
        if OLD_ADAPTER not in self.model.peft_config:
            self.model.add_adapter(OLD_ADAPTER, replace(self.model.peft_config["default"]))
        for weight in self._old():
            weight.requires_grad_(False)
        update_old(self._old(), trained_weights(self.model), step=0)

    def _old(self) -> list[torch.nn.Parameter]:
        """The slow copy's weights, in the order of those that learn."""
        names = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        weights = dict(self.model.named_parameters())
        return [weights[name.replace(".default.", f".{OLD_ADAPTER}.")] for name in weights if name in names]

    def sampling(self, sampling: Sampling, step: int) -> Sampling:
        """See `ImagePractice.sampling`."""
        return replace(sampling, flow_steps=self.recipe.flow_steps)

    def drawing(self) -> AbstractContextManager[None]:
        """See `ImagePractice.drawing`."""
        return using_adapter(self.model, OLD_ADAPTER)

    def losses(self, drawings: Sequence[Drawing], advantages: torch.Tensor, step: int) -> Iterator[torch.Tensor]:
        """See `ImagePractice.losses`."""
        rng = random.Random(f"levels {self.recipe.seed} {step}")
        generator = torch.Generator().manual_seed(rng.getrandbits(48))
        levels = noise_levels(self.recipe.flow_steps + 1, FlowSampling.shift)[:-1]
        levels = levels[: max(1, round(NOISY_SHARE * len(levels)))]
        for some, own in _in_rows(drawings, advantages, self.row_images):
            x0 = torch.stack([one.latents for one in some]).float().cpu()  # (M, C, W)
            for _ in range(LEVELS):
                t = levels[torch.randint(len(levels), (len(some),), generator=generator)]  # (M,)
                noise = torch.randn(x0.shape, generator=generator)
                with torch.no_grad(), using_adapter(self.model, OLD_ADAPTER):
                    old = score_drawings(self.model, self.spec, some, x0, noise, t)
                velocity = score_drawings(self.model, self.spec, some, x0, noise, t)
                drawn, put, level, praise = (one.to(velocity.device) for one in (x0, noise, t, own))
                loss = nft_loss(velocity, old, drawn, put, level, praise)
                yield loss * len(some) / (len(drawings) * LEVELS)

    def after_update(self, step: int) -> None:
        """See `ImagePractice.after_update`."""
        update_old(self._old(), trained_weights(self.model), step)


@dataclass
class SdePractice:
    """Flow-GRPO (arXiv 2505.05470) on a few stochastic steps, with the ratios of GRPO-Guard (arXiv 2510.22319)."""

    model: PeftModel
    recipe: Recipe
    spec: ModelSpec
    row_images: int = ROW_IMAGES
    """Images of one packed row at most."""
    ratios: list[float] = field(default_factory=list)
    """Mean ratio of each part of the last step: 1 before the update, or rollout and replay differ."""

    def sampling(self, sampling: Sampling, step: int) -> Sampling:
        """The window is drawn anew for every step, the same for all of its images."""
        first = range(max(self.recipe.flow_sde_steps, round(SDE_SHARE * self.recipe.flow_steps)))
        rng = random.Random(f"window {self.recipe.seed} {step}")
        window = tuple(sorted(rng.sample(first, self.recipe.flow_sde_steps)))
        return replace(sampling, flow_steps=self.recipe.flow_steps, flow_window=window, flow_noise=SDE_NOISE)

    def drawing(self) -> AbstractContextManager[None]:
        """The weights that learn draw."""
        return nullcontext()

    def losses(self, drawings: Sequence[Drawing], advantages: torch.Tensor, step: int) -> Iterator[torch.Tensor]:
        """See `ImagePractice.losses`."""
        self.ratios = []
        for some, own in _in_rows(drawings, advantages, self.row_images):
            for number, known in enumerate(some[0].steps):
                taken = joined_steps([one.steps[number] for one in some])  # (M, C, W)
                t = torch.full((len(some),), known.t)
                # At level t an image of zeros with noise x / t on it is x.
                nothing, noise = torch.zeros_like(taken.x), taken.x / known.t
                velocity = score_drawings(self.model, self.spec, some, nothing, noise, t)
                now = sde_step(taken.x, velocity, known.t, known.t_next, SDE_NOISE, known.first_t)
                logps = now.log_prob(taken.x_next)
                drift = (now.mean - taken.mean).square().flatten(1).mean(1) / (2 * now.std**2)
                self.ratios.append(float((logps.detach() - taken.logps).exp().mean()))
                dt, weight = known.t - known.t_next, len(some) / (len(drawings) * len(some[0].steps))
                own = own.to(velocity.device)
                yield weight * guarded_ratio_loss(logps, taken.logps, drift, now.std, dt, own, CLIP)

    def after_update(self, step: int) -> None:
        """Nothing is kept."""


@contextmanager
def using_adapter(model: PeftModel, name: str) -> Iterator[None]:
    """Inside, the model has that adapter; as TRL's `use_adapter`, but rollouts need no TRL."""
    before = model.active_adapter
    model.set_adapter(name)
    try:
        yield
    finally:
        model.set_adapter(before)


def _in_rows(
    drawings: Sequence[Drawing], advantages: torch.Tensor, size: int
) -> Iterator[tuple[Sequence[Drawing], torch.Tensor]]:
    for start in range(0, len(drawings), size):
        yield drawings[start : start + size], advantages[start : start + size]


def score_drawings(
    model: PeftModel,
    spec: ModelSpec,
    drawings: Sequence[Drawing],
    latents: torch.Tensor,
    noise: torch.Tensor,
    levels: torch.Tensor,
) -> torch.Tensor:
    """Velocities (M, C, W) of these latents (M, C, W), noised, in one row, each behind the turn of its drawing."""
    ids: list[int] = []
    segments: list[int] = []
    for number, one in enumerate(drawings):
        own = [*one.turn, *[spec.text_vocab] * spec.image_tokens]
        ids += own
        segments += [FIRST_ALONE - number] * len(own)
    device = next(model.parameters()).device
    scores: Scores = model(
        input_ids=torch.tensor([ids], device=device),
        segment_ids=torch.tensor([segments], device=device),
        latents=latents,
        noise=noise,
        noise_levels=levels,
    )
    if scores.velocity is None:
        raise ValueError("this model's images are codes, which practice scores as ids")
    return scores.velocity
