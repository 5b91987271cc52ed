"""Drawing for many prompts in parts that fit into memory, as if all were drawn at once.

Images do not depend on each other, so parts change no number; what is told of progress is spread over them.

Dimension letters: P prompts, G images of a prompt, N latents of an image, W numbers of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pipelines.core.jobs.memory_plan import DRAWN_ROWS
from pipelines.models.bagel.flow import FlowSampling
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.sampling import DrawingContexts, Window, draw
from pipelines.models.decoding.multi_lora import Adapter
from pipelines.models.decoding.sampling import FlowStep, Generators, joined_steps


@dataclass(frozen=True)
class PromptDrawings:
    """What is drawn: G images behind the contexts of each of P prompts."""

    contexts: Sequence[DrawingContexts]
    group: int
    noise: torch.Tensor
    """(P * G, N, W), prompt-major."""
    grid: tuple[int, int]
    generator: Generators
    """Of stochastic steps; one, or one for each prompt."""
    adapters: Sequence[Adapter] | None
    """Of each prompt."""

    def apart(self) -> PromptDrawings:
        """Each image as the only one of a prompt, so that a group can be divided; without stochastic steps."""
        contexts = [one for one in self.contexts for _ in range(self.group)]
        adapters = None if self.adapters is None else [one for one in self.adapters for _ in range(self.group)]
        return PromptDrawings(contexts, 1, self.noise, self.grid, None, adapters)

    def part(self, start: int, stop: int) -> PromptDrawings:
        """Those of prompts `start` to `stop`."""
        some = slice(start, stop)
        shared = self.generator is None or isinstance(self.generator, torch.Generator)
        return PromptDrawings(
            self.contexts[some],
            self.group,
            self.noise[start * self.group : stop * self.group],
            self.grid,
            self.generator if shared else self.generator[some],
            None if self.adapters is None else self.adapters[some],
        )


def draw_prompts(
    model: BagelModel,
    wanted: PromptDrawings,
    sampling: FlowSampling,
    window: Sequence[int] = (),
    noise_strength: float = 1.0,
    on_step: Callable[[], None] | None = None,
) -> tuple[torch.Tensor, list[FlowStep]]:
    """Latents (P * G, N, W), and the stochastic steps of `window`, at most DRAWN_ROWS rows of a pass at once.

    on_step is called as often as one drawing has steps, whatever the parts. With a window a prompt's images are never
    divided: its generator draws for all of them at each step.
    """
    wanted = wanted if window else wanted.apart()
    branches = 2 if sampling.text_guidance > 1 else 1
    prompts = max(1, DRAWN_ROWS // (branches * wanted.group))
    starts = range(0, len(wanted.contexts), prompts)
    done = 0

    def step(_: object) -> None:
        nonlocal done
        done += 1
        if on_step is not None and done % len(starts) == 0:
            on_step()

    latents, steps = [], []
    for start in starts:
        part = wanted.part(start, start + prompts)
        taken = Window(frozenset(window), noise_strength, part.generator)
        adapters = None if part.adapters is None else [one for one in part.adapters for _ in range(part.group)]
        contexts = [one for one in part.contexts for _ in range(part.group)]
        latents.append(
            draw(model, contexts, part.grid, part.noise, sampling, adapters=adapters, on_step=step, window=taken)
        )
        steps.append(taken.taken)
    return torch.cat(latents), [joined_steps(same) for same in zip(*steps, strict=True)]
