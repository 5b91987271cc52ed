"""What both stages' trainers share: events in place of logs, our checkpoint folders, stopping with everything kept.

`class MyTrainer(RunTrainer, SFTTrainer)` with `stage` set. A checkpoint is written as `.partial-...` and renamed when
it is complete: adapter, README.md, optimiser, scheduler, random state and trainer_state.json, so the library resumes
from it. When `report` raises Stopped, the step ends, a checkpoint is saved, and `stopped` holds the exception.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PrinterCallback

from pipelines.core.characters import Character
from pipelines.core.events import Event, Report, Stage, Stopped
from pipelines.core.jobs import Recipe
from pipelines.core.runs import CHECKPOINTS, checkpoint_name, finish_checkpoint, partial_folder


class RunTrainer:
    """Stands before a trainer of TRL in the bases of a stage's trainer."""

    stage: Stage

    def __init__(self, *, run_dir: Path, report: Report, card: str, **kwargs: Any) -> None:
        """`card`: README.md of a checkpoint, CHECKPOINT where its name goes; `kwargs` are the library's."""
        super().__init__(**kwargs)
        # TRL has put a forward with a fused head of its own on the instance; the class's forward is ours.
        self.model.get_base_model().__dict__.pop("forward")
        self.run_dir, self.report, self.card = run_dir, report, card
        self.saved: list[str] = []
        self.stopped: Stopped | None = None
        self.remove_callback(PrinterCallback)

    def tell(self, metrics: dict[str, float], note: str = "", artifacts: tuple[str, ...] = ()) -> None:
        """Report one event from the main process; `Stopped` ends training after a checkpoint of this step."""
        if not self.is_world_process_zero():
            return
        try:
            self.report(Event(self.stage, self.state.global_step, self.state.max_steps, metrics, note, artifacts))
        except Stopped as stopped:
            self.stopped = stopped
            self.control.should_save = True
            self.control.should_training_stop = True

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        name = checkpoint_name(self.stage, step)
        if name in self.saved:
            return
        if self.args.should_save:
            partial_folder(self.run_dir, self.stage, step)
        self.accelerator.wait_for_everyone()
        folder = self.run_dir / CHECKPOINTS / f".partial-{name}"
        if self.args.should_save:
            # "auto" would ask the hub whether the vocabulary was resized; it never is.
            self.accelerator.unwrap_model(model).save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").write_text(self.card.replace("CHECKPOINT", name), encoding="utf-8")
            self.state.save_to_json(str(folder / "trainer_state.json"))
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            finish_checkpoint(self.run_dir, self.stage, step)
        self.saved.append(name)
        if self.stopped is None:
            self.tell({}, f"checkpoint {name}", (f"{CHECKPOINTS}/{name}",))

    def _send_telemetry(self) -> None:
        # Nothing about a creator's run leaves the machine.
        return


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps back what the trainers say to developers: future renames, and that special ids were aligned."""
    logger = logging.getLogger("transformers.trainer_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def card(character: Character, recipe: Recipe, method: str) -> str:
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
