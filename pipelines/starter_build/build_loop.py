"""The training loop that every part of the build shares: time budget, learning-rate schedule, resumable state.

`train_for` trains any part (image tokenizer, critic, classifier, vision tower, image expert). The part brings modules,
loss and peak learning rate; the loop brings AdamW, gradient clipping, bf16 autocast on a GPU, logging and the state
file. The schedule runs along the time budget, so any budget ends at a small learning rate; evaluation and saving do
not count. A state file is a dict: the modules' state dicts by name, `optimiser`, `step`, `spent` (seconds), `mean`
(running loss) and `more` (what the part itself must remember). A state without `optimiser`, as `transfer.py` writes it,
starts with a new one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.core.durable import replace_durably

LOG_EVERY_S = 15.0
SAVE_EVERY_S = 120.0
STREAM_POSITION = "place"
"""Key of a part's own state: identities of the stream used so far. Part of the file format, so the name stays."""


@dataclass(frozen=True)
class Budget:
    """How long a part may train."""

    seconds: float
    """In all, earlier calls counted in; the learning-rate schedule runs along it."""
    stop_after: float = math.inf
    """Seconds of this call alone: a longer budget can be spent in several calls of a few minutes."""


@dataclass
class Progress:
    """How far a part's training is; saved with its state."""

    step: int = 0
    seconds: float = 0.0
    """Seconds trained, without evaluation, saving and the time between calls."""
    mean_loss: float = 0.0
    """Exponential moving average of the loss."""
    fraction: float = 0.0
    """Of the budget, 0 to 1."""
    part_state: dict[str, Any] = field(default_factory=dict)
    """What the part itself must remember (tensors and plain values)."""


def busy_seconds() -> float:
    """This process's CPU time per thread: on a shared machine, waiting for a core does not use up the budget."""
    return time.process_time() / torch.get_num_threads()


def linear_decay(fraction: float) -> float:
    """Linear decay to 2 %."""
    return max(0.02, 1 - fraction)


def cosine_decay(fraction: float) -> float:
    """Cosine decay to 2 %."""
    return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, fraction))) / 2


def hold_then_decay(fraction: float) -> float:
    """Constant for 60 % of the budget, then linear decay to 5 %."""
    return min(1.0, max(0.05, (1 - fraction) / 0.4))


def hold_half_then_decay(fraction: float) -> float:
    """Constant for half of the budget, then linear decay to 2 %."""
    return min(1.0, max(0.02, (1 - fraction) / 0.5))


@dataclass
class BuildPart:
    """One part of the starter to train."""

    name: str
    modules: dict[str, nn.Module]
    """Name in the state file -> module; the optimiser gets all their parameters."""
    compute_loss: Callable[[Progress], torch.Tensor]
    """The loss of the next batch; called once a step."""
    state_file: Path
    """Read at the start if it exists."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    schedule: Callable[[float], float] = hold_then_decay
    """Fraction of the budget -> factor of the learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    warmup_steps: int = 100
    """Steps of linear warm-up of a new optimiser."""
    after_step: Callable[[Progress], None] | None = None
    """Called after each optimiser step."""
    evaluate: Callable[[], str] | None = None
    """Called after each periodic save; what it returns is printed."""


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A state file's dict, {} if there is none. The older layout of the tokenizer's state is converted."""
    if not path.exists():
        return {}
    saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    if "optimizer" in saved:
        old = saved.pop("state")
        saved |= {
            "optimiser": saved.pop("optimizer"),
            "step": old.pop("step"),
            "spent": old.pop("elapsed"),
            "more": old,
        }
    return saved


def train_for(part: BuildPart, budget: Budget) -> Progress:
    """Train until the budget or this call's time is used up; the state is saved every two minutes and at the end."""
    parameters = [value for module in part.modules.values() for value in module.parameters()]
    device = parameters[0].device
    optimiser = torch.optim.AdamW(
        parameters,
        part.learning_rate,
        betas=part.betas,
        weight_decay=part.weight_decay,
        fused=device.type == "cuda",  # one kernel for all parameters
    )
    progress = _restore(part, optimiser, device)
    warmup_from = 0 if optimiser.state else progress.step  # a new optimiser warms up even when training is resumed
    trainable = [value for value in parameters if value.requires_grad]
    clock = busy_seconds if device.type == "cpu" else time.monotonic
    began, before = clock(), progress.seconds
    logged = saved = time.monotonic()
    running = torch.tensor(progress.mean_loss, device=device)
    while progress.seconds < budget.seconds and progress.seconds - before < budget.stop_after:
        progress.fraction = progress.seconds / budget.seconds
        warmup = min(1.0, (progress.step - warmup_from + 1) / part.warmup_steps)
        for group in optimiser.param_groups:
            group["lr"] = part.learning_rate * warmup * part.schedule(progress.fraction)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = part.compute_loss(progress)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step()
        if part.after_step is not None:
            part.after_step(progress)
        # Kept on the device: reading the number every step would synchronise with the GPU.
        running = running.lerp(loss.detach().float(), 0.02 if progress.step else 1.0)
        progress.step += 1
        now = time.monotonic()
        progress.seconds = before + clock() - began
        if now - logged > LOG_EVERY_S or progress.step == 1 or progress.seconds >= budget.seconds:
            progress.mean_loss = running.item()
            figures = f"step {progress.step} seconds {progress.seconds:.0f} loss {progress.mean_loss:.4f}"
            print(f"{part.name} {figures}", flush=True)
            logged = now
        if now - saved > SAVE_EVERY_S:
            progress.mean_loss = running.item()
            _save(part, optimiser, progress)
            if part.evaluate is not None:
                print(f"{part.name} check {part.evaluate()}", flush=True)
            saved = time.monotonic()
            began = clock() + before - progress.seconds  # saving and evaluation do not count as training
    progress.fraction, progress.mean_loss = min(1.0, progress.seconds / max(budget.seconds, 1e-9)), running.item()
    _save(part, optimiser, progress)
    return progress


def _restore(part: BuildPart, optimiser: torch.optim.Optimizer, device: torch.device) -> Progress:
    saved = read_state(part.state_file, device)
    if not saved:
        return Progress()
    known = {name: module for name, module in part.modules.items() if name in saved}
    for name, module in known.items():
        # States that were transferred between machines hold bf16 weights; training is in fp32.
        module.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in saved[name].items()}
        )
    # A module that the state does not know yet starts anew, and so does the optimiser, which has no figures for it.
    if "optimiser" in saved and len(known) == len(part.modules):
        optimiser.load_state_dict(saved["optimiser"])
    return Progress(saved["step"], saved["spent"], saved.get("mean", 0.0), part_state=saved.get("more", {}))


def _save(part: BuildPart, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the state file; the old one stays until the new one is complete."""
    part.state_file.parent.mkdir(parents=True, exist_ok=True)
    incomplete = part.state_file.with_suffix(".half")
    modules = {name: module.state_dict() for name, module in part.modules.items()}
    figures = {
        "step": progress.step,
        "spent": progress.seconds,
        "mean": progress.mean_loss,
        "more": progress.part_state,
    }
    torch.save({**modules, "optimiser": optimiser.state_dict(), **figures}, incomplete)
    replace_durably(incomplete, part.state_file)


def shuffled_batches(count: int, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    """Endless batches of row numbers (batch_size,), every row once per epoch; incomplete last batches are dropped."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: max(1, count // batch_size) * batch_size].split(batch_size)


def progress_scores(progress: Progress) -> dict[str, float]:
    """Steps, seconds and loss, for the part's JSON."""
    return {"steps": progress.step, "seconds": round(progress.seconds), "loss": round(progress.mean_loss, 4)}


def write_scores(path: Path, scores: dict[str, float]) -> dict[str, float]:
    """Write a part's scores beside its state and return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores
