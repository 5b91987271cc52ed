"""Events: the one way a run speaks. Durable and replayable, one JSON object a line in `events.jsonl`.

What an event is and the outlet's type, no more: reading and writing the file is in `run_folder.py` and `pipelines.train`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.core.renamed_keys import METRICS, renamed

Stage = Literal["prepare", "sft", "grpo", "evaluate", "save", "reply"]
STAGES: tuple[Stage, ...] = ("prepare", "sft", "grpo", "evaluate", "save")
"""The stages of a run; a reply job's events are of stage "reply" alone (`reply_protocol.py` says what they mean)."""


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run."""

    stage: Stage
    step: int = 0
    total: int = 0
    metrics: dict[str, float] = field(default_factory=dict, hash=False)
    note: str = ""
    artifacts: tuple[str, ...] = ()
    """Paths relative to the run folder."""
    job: str = ""
    sequence: int = 0
    time: str = ""
    """UTC, ISO 8601; filled in by whoever records the event, like `job` and `sequence`."""

    def to_line(self) -> str:
        """The event as one line of JSON, newline included."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Event:
        """The inverse of `to_line`; lines of earlier versions are read too."""
        return cls.from_json(json.loads(line))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """An event from its fields as JSON has them, metrics under today's names; an unknown field raises TypeError."""
        metrics = renamed(data.get("metrics", {}), METRICS)
        return cls(**{**data, "metrics": metrics, "artifacts": tuple(data.get("artifacts", ()))})


Report = Callable[[Event], None]
"""The one outlet of a pipeline. It raises `Stopped` to cancel the run."""


class Stopped(Exception):
    """Raised by a report when the run must stop; everything complete so far is kept."""
