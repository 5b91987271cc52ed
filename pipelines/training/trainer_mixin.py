"""What the trainers of both stages share: events instead of logs, our checkpoint folders, and stopping without loss.

`class MyTrainer(RunTrainerMixin, SFTTrainer)` with `stage` set. A checkpoint is written as `.partial-...` and renamed
when it is complete: adapter, README.md, optimizer, scheduler, random state and trainer_state.json, so transformers'
Trainer can resume from it. When `report` raises Stopped, the current step ends, a checkpoint is saved, and `stopped`
holds the exception for the caller to raise. A stage that ends before its last step (`early_stop.py`) saves the same
way; its checkpoint says that the stage is over, so a resumed run goes on with the next one.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import distributed, nn
from transformers import PrinterCallback, TrainerCallback

from pipelines.core.character.character import Character
from pipelines.core.events import EarlyEnd, Event, Payload, Report, Stage, Stopped
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import (
    CHECKPOINTS,
    SAVED_FILE,
    checkpoint_name,
    finish_checkpoint,
    partial_folder,
    write_json,
)
from pipelines.data.packing import NO_IMAGES, ImageBank, save_references
from pipelines.training.early_stop import KeptWeights, has_finite_gradients, trained_weights

ENDED_EARLY: dict[EarlyEnd, str] = {
    "not_a_number": "the gradients are no numbers any more: the stage ends here, with the last weights that gave some",
    "reward_collapsed": "the reward has collapsed: the stage ends here, with its best weights so far",
}
"""Notes for whoever reads the events."""


class RunTrainerMixin:
    """Mixin of a stage's trainer; must precede the TRL class in the bases.

    With several processes each computes its share of a step and the gradients are averaged here, once, before the
    optimizer step. A LoRA is small enough for that, and DistributedDataParallel does not support a step that runs the
    model several times and leaves parameters unused (a row without an image). So a stage computes its loss on
    `unwrap(model)`, never on the wrapper.
    """

    stage: Stage

    def __init__(
        self, *, run_dir: Path, report: Report, readme: str, images: ImageBank = NO_IMAGES, **kwargs: Any
    ) -> None:
        """`readme`: README.md of a checkpoint, CHECKPOINT where its name goes; `kwargs` are the TRL trainer's.

        images: their references go into every checkpoint.
        """
        super().__init__(**kwargs)
        # TRL patches a forward with a fused lm_head onto the instance (trl/trainer/utils.py); remove it, so that the
        # class's own forward, which returns log-probabilities, is called.
        self.model.get_base_model().__dict__.pop("forward")
        for weight in trained_weights(self.model):  # TRL casts them to bf16 for a 4-bit base: updates would round away
            weight.data = weight.data.float()
        self.images = images
        self.run_dir, self.report, self.readme = run_dir, report, readme
        self.saved: list[str] = []
        self.stopped: Stopped | None = None
        self.ended_early: EarlyEnd | None = None
        self.good_weights = KeptWeights()
        self.remove_callback(PrinterCallback)
        self.add_callback(_AroundUpdate(self))

    def unwrap(self, model: nn.Module) -> PeftModel:
        """The PEFT model inside the wrapper that accelerate puts around it for several processes."""
        return self.accelerator.unwrap_model(model)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The library's, then the mean of all processes' gradients."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        # sync_gradients is False on all but the last micro-batch of a step: one all-reduce per optimizer step.
        if self.accelerator.num_processes > 1 and self.accelerator.sync_gradients:
            average_gradients(self.unwrap(self.model), self.accelerator.num_processes)
        return loss

    def _sync_stop(self) -> None:
        # Only the main process sees `Stopped` (it alone reports); all have to stop at the same step, or the others
        # would wait for ever in the next collective operation.
        if self.accelerator.num_processes > 1:
            stopping = torch.tensor([float(self.stopped is not None)], device=self.accelerator.device)
            if float(self.accelerator.reduce(stopping, "sum")) and self.stopped is None:
                self.stopped = Stopped()
        if self.stopped is not None:
            self.control.should_save = True
            self.control.should_training_stop = True

    def end_early(self, why: EarlyEnd) -> None:
        """End the stage with this step; its checkpoint is one that the run measures."""
        self.ended_early = why
        self.control.should_save = True
        self.control.should_training_stop = True

    def refuse_update(self) -> None:
        """Before an update: if its gradients are not numbers, go back to the last weights that gave some, and end."""
        weights = trained_weights(self.unwrap(self.model))
        if has_finite_gradients(weights):
            self.good_weights.keep(weights)
            return
        self.good_weights.put_back(weights)
        for weight in weights:
            weight.grad = None  # an optimizer passes such weights over, momentum included
        self.end_early("not_a_number")

    def after_update(self) -> None:
        """Called after each optimizer step, before its checkpoint."""

    def report_metrics(
        self,
        metrics: dict[str, float],
        note: str = "",
        artifacts: tuple[str, ...] = (),
        payload: Payload | None = None,
    ) -> None:
        """Report one event from the main process; `Stopped` ends training after a checkpoint of this step."""
        if self.is_world_process_zero():
            step, total = self.state.global_step, self.state.max_steps
            try:
                self.report(Event(self.stage, step, total, metrics, note, artifacts, payload=payload or Payload()))
            except Stopped as stopped:
                self.stopped = stopped
        self._sync_stop()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Overrides transformers' Trainer, whose folder layout and rotation are not ours."""
        step = self.state.global_step
        name = checkpoint_name(self.stage, step)
        if name in self.saved:
            return
        if self.args.should_save:
            partial_folder(self.run_dir, self.stage, step)
        self.accelerator.wait_for_everyone()  # the folder exists before any process writes its random state into it
        folder = self.run_dir / CHECKPOINTS / f".partial-{name}"
        if self.args.should_save:
            # "auto" would ask the hub whether the vocabulary was resized; it never is.
            self.unwrap(model).save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").write_text(self.readme.replace("CHECKPOINT", name), encoding="utf-8")
            save_references(self.images, folder)
            if self.ended_early:
                write_json(folder / SAVED_FILE, {"saved_for": "plan", "ended_early": self.ended_early})
            elif not self._is_planned(step):
                write_json(folder / SAVED_FILE, {"saved_for": "stop"})
            self.state.save_to_json(str(folder / "trainer_state.json"))
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            finish_checkpoint(self.run_dir, self.stage, step)
        self.saved.append(name)
        if self.stopped is None:
            why = self.ended_early
            note = f"checkpoint {name}" + (f": {ENDED_EARLY[why]}" if why else "")
            self.report_metrics({}, note, (f"{CHECKPOINTS}/{name}",), self.checkpoint_payload())

    def checkpoint_payload(self) -> Payload:
        """What the event of a checkpoint says as data."""
        return Payload(ended_early=self.ended_early) if self.ended_early else Payload()

    def _is_planned(self, step: int) -> bool:
        """Whether the recipe saves at this step; only a stop saves at others."""
        return step % self.args.save_steps == 0 or step >= self.state.max_steps

    def _send_telemetry(self) -> None:
        # Nothing about a creator's run leaves the machine.
        return


class _AroundUpdate(TrainerCallback):
    # First called when all gradients of an optimizer step are there, averaged over processes and clipped: a value that
    # is not a number in one of them has made the norm, and so all of them, not a number on every process.
    def __init__(self, trainer: RunTrainerMixin) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.refuse_update()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.after_update()


def average_gradients(model: nn.Module, processes: int) -> None:
    """Give every process the mean of all processes' gradients; a weight that one did not use counts 0 there."""
    trained = trained_weights(model)
    for weight in trained:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    # One all-reduce of one flat tensor instead of one per weight: a LoRA has hundreds of small matrices.
    flat = torch.cat([weight.grad.flatten() for weight in trained])
    distributed.all_reduce(flat)
    flat /= processes
    start = 0
    for weight in trained:
        weight.grad.copy_(flat[start : start + weight.numel()].view_as(weight))
        start += weight.numel()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Suppress two notices to developers while a trainer is made and run: transformers' that special token ids were
    aligned, TRL's that `rollout_func` may change (its version is pinned)."""
    logger = logging.getLogger("transformers.trainer_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def checkpoint_readme(character: Character, recipe: Recipe, method: str) -> str:
    """README.md of a checkpoint made by `method`; CHECKPOINT is replaced by its name."""
    return f"""---
library_name: peft
license: other
license_name: {(character.licence or "not stated").splitlines()[0]!r}
base_model: {recipe.base}
tags: [understudy, lora]
---

# {character.name}: CHECKPOINT

A LoRA adapter (rank {recipe.lora_rank}) that teaches the base model `{recipe.base}` to answer as {character.name} and
to draw them. Made by Understudy with {method}, seed {recipe.seed}. Licence of the character's text and
pictures: {character.licence or "not stated"}.

Talk to it: `understudy chat RUN:CHECKPOINT`. The other files in this folder let the run go on from here.
"""
