"""The one training loop of the build: a time budget, a rate that follows it, a state to go on from.

`train_for` runs any part (picture tokenizer, critic, classifier, eyes, picture expert): the part brings its modules,
its loss and its rate, the loop brings optimiser, clipping, mixed precision on a GPU, logging and the state file. The
budget is the schedule, so any budget ends with a small rate; what checks and saving cost is not counted. A state holds
the modules under their names, the optimiser, `step`, `spent` (seconds), `mean` (running loss) and what the part adds in
`more`. A state without an optimiser (as `ship.py` makes, to travel) starts with a fresh one.
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

LOG_EVERY_S = 15.0
SAVE_EVERY_S = 120.0
WARM_STEPS = 100
"""Steps of linear warm-up of a new optimiser."""


@dataclass(frozen=True)
class Budget:
    """How long a part may train."""

    seconds: float
    """In all, earlier calls counted in; the learning rate falls along it."""
    stop_after: float = math.inf
    """Seconds of this call alone: a longer budget can be spent in several calls of a few minutes."""


@dataclass
class Progress:
    """Where a part stands; saved with its state."""

    step: int = 0
    spent: float = 0.0
    """Seconds trained, stops, checks and saving left out."""
    mean: float = 0.0
    """Running mean of the loss."""
    share: float = 0.0
    """Of the budget, 0 to 1."""
    more: dict[str, Any] = field(default_factory=dict)
    """What the part itself must remember (tensors and plain values)."""


def busy_seconds() -> float:
    """This process's seconds on the processor, by thread: on a shared machine waiting for a core spends no budget."""
    return time.process_time() / torch.get_num_threads()


def linear(share: float) -> float:
    """Falls in a straight line to a fiftieth."""
    return max(0.02, 1 - share)


def cosine(share: float) -> float:
    """Falls as a cosine to a fiftieth."""
    return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, share))) / 2


def late(share: float) -> float:
    """Flat for 60 % of the budget, then straight down to a twentieth."""
    return min(1.0, max(0.05, (1 - share) / 0.4))


@dataclass
class BuildPart:
    """One thing to train."""

    name: str
    modules: dict[str, nn.Module]
    """Name in the state -> module; all their parameters are the optimiser's."""
    loss_of: Callable[[Progress], torch.Tensor]
    """The loss of the next batch; called once a step."""
    state: Path
    """The state file; read at the start when it is there."""
    rate: float
    """Peak learning rate of AdamW."""
    fall: Callable[[float], float] = late
    """Share of the budget -> factor of the rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    after: Callable[[Progress], None] | None = None
    """Called after each optimiser step."""
    check: Callable[[], str] | None = None
    """Words to print whenever the state is saved; the first check is at the end of the first stretch."""


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A saved state, {} when there is none. States of the tokenizer from before this loop are put into its form."""
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
    """Train until the budget or this call's time is spent; the state is saved every two minutes and at the end."""
    parameters = [value for module in part.modules.values() for value in module.parameters()]
    device = parameters[0].device
    optimiser = torch.optim.AdamW(parameters, part.rate, betas=part.betas, weight_decay=part.weight_decay)
    progress = _restore(part, optimiser, device)
    cold = 0 if optimiser.state else progress.step  # a fresh optimiser warms up, whatever was learned before
    trained = [value for value in parameters if value.requires_grad]
    clock = busy_seconds if device.type == "cpu" else time.monotonic
    began, before = clock(), progress.spent
    logged = saved = time.monotonic()
    running = torch.tensor(progress.mean, device=device)
    while progress.spent < budget.seconds and progress.spent - before < budget.stop_after:
        progress.share = progress.spent / budget.seconds
        for group in optimiser.param_groups:
            group["lr"] = part.rate * min(1.0, (progress.step - cold + 1) / WARM_STEPS) * part.fall(progress.share)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = part.loss_of(progress)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        if part.after is not None:
            part.after(progress)
        # Stays on the device: asking a GPU for the number every step would wait for it.
        running = running.lerp(loss.detach().float(), 0.02 if progress.step else 1.0)
        progress.step += 1
        now = time.monotonic()
        progress.spent = before + clock() - began
        if now - logged > LOG_EVERY_S or progress.step == 1 or progress.spent >= budget.seconds:
            progress.mean = running.item()
            print(f"{part.name} step {progress.step} seconds {progress.spent:.0f} loss {progress.mean:.4f}", flush=True)
            logged = now
        if now - saved > SAVE_EVERY_S:
            progress.mean = running.item()
            _save(part, optimiser, progress)
            if part.check is not None:
                print(f"{part.name} check {part.check()}", flush=True)
            saved = time.monotonic()
            began = clock() + before - progress.spent  # what this cost is not counted as training
    progress.share, progress.mean = min(1.0, progress.spent / max(budget.seconds, 1e-9)), running.item()
    _save(part, optimiser, progress)
    return progress


def _restore(part: BuildPart, optimiser: torch.optim.Optimizer, device: torch.device) -> Progress:
    saved = read_state(part.state, device)
    if not saved:
        return Progress()
    for name, module in part.modules.items():
        module.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in saved[name].items()}
        )
    if "optimiser" in saved:
        optimiser.load_state_dict(saved["optimiser"])
    return Progress(saved["step"], saved["spent"], saved.get("mean", 0.0), more=saved.get("more", {}))


def _save(part: BuildPart, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the state; the old one stays until the new one is whole."""
    part.state.parent.mkdir(parents=True, exist_ok=True)
    half = part.state.with_suffix(".half")
    modules = {name: module.state_dict() for name, module in part.modules.items()}
    counted = {"step": progress.step, "spent": progress.spent, "mean": progress.mean, "more": progress.more}
    torch.save({**modules, "optimiser": optimiser.state_dict(), **counted}, half)
    half.replace(part.state)


def epochs(count: int, batch: int, seed: int) -> Iterator[torch.Tensor]:
    """Batches of row numbers (batch,), every row once before any twice; at least one batch of all when few."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: max(1, count // batch) * batch].split(batch)


def summary(progress: Progress) -> dict[str, float]:
    """Steps, seconds and loss, for the part's JSON."""
    return {"steps": progress.step, "seconds": round(progress.spent), "loss": round(progress.mean, 4)}


def keep_scores(path: Path, scores: dict[str, float]) -> dict[str, float]:
    """Write a part's scores beside its state and hand them on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores
