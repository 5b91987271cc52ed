"""Progress of a run on a terminal, drawn from its events.

Used by `train`, `train --queue` and `evaluate`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from pipelines.commands.console import say
from pipelines.core.events import Event, Report
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.stage_names import STAGE_NAMES


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Bars on standard error, one per stage: loss, reward parts and time left; plain lines when that is a file."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<25}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    tasks: dict[str, Any] = {}  # stage -> rich's id of its bar
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(event: Event) -> None:
            words = STAGE_NAMES[event.stage]
            numbers = "  ".join(f"{key} {value:.3g}" for key, value in shown_metrics(event.metrics).items())
            numbers = numbers or event.note
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(words, total=1, numbers="")
            completed = event.step if event.total else 0
            bars.update(tasks[event.stage], total=max(event.total, 1), completed=completed, numbers=numbers)
            if not console.is_terminal:
                step = f" {event.step}/{event.total}" if event.total else ""
                say(f"{words}{step}  {numbers}", sys.stderr)

        yield show


def shown_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics shown beside the bar: loss, reward and its parts."""
    wanted = ("loss", "reward", *Recipe().reward_weights)
    return {key: metrics[key] for key in wanted if key in metrics}
