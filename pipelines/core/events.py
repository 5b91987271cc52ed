"""Events: the one way a run reports. Durable and replayable, one JSON object a line in `events.jsonl`.

What an event is and the type of the outlet, no more: the file is read and written by `run_folder.py` and
`pipelines.train`. Programs act on `stage`, `step`, `total`, `metrics`, `artifacts` and `payload`; `note` is for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

from pipelines.core.renamed_keys import METRICS, renamed

Stage = Literal["prepare", "sft", "grpo", "evaluate", "save", "reply"]
STAGES: tuple[Stage, ...] = ("prepare", "sft", "grpo", "evaluate", "save")
"""The stages of a run; a reply job's events are of stage "reply" alone (`reply_protocol.py` says what they mean)."""


EarlyEnd = Literal["not_a_number", "reward_collapsed"]
"""Why a stage ended before its last step (`pipelines/training/early_stop.py`)."""


RetryCause = Literal["memory", "killed", "crashed", "hung", "unkept", "records"]
"""Why an attempt ended of which another may get further: its trainer was out of memory, ended by SIGKILL or another
signal, or silent, checkpoints could not be sent, or the records could not be used."""


class PreferenceCounts(TypedDict):
    """Preferences (`pipelines/core/character/preferences.py`) in one checkpoint of stage 2."""

    learned: int
    """That the stage learns from."""
    held_out: int
    """That it does not."""
    agreed: int
    """Of those held out, how many chosen replies have gained on the rejected ones since before the stage."""


class Payload(TypedDict, total=False):
    """What an event says beside its numbers, as data; a key is there only where it applies."""

    checkpoint: str
    """`evaluate`: name of the checkpoint whose scores are the metrics."""
    attempt: int
    """`prepare`: noted by a worker that takes the job up, before the run itself begins."""
    failed: RetryCause
    """`prepare`: why the trainer of this attempt ended, noted by its worker when the job was queued again by itself."""
    fetched_again: list[str]
    """`prepare`: checkpoints that were damaged on the worker's disk and came from the object store instead."""
    stepped_over: list[str]
    """`prepare`: damaged checkpoints that nobody had whole; the run goes on from the ones before."""
    best: str
    """`save`: name of the best checkpoint by its scorecard."""
    best_faults: list[str]
    """`save`: what is wrong with it, keys of `checkpoint_selection.FAULTS`; [] when it deserves the name."""
    preferences: PreferenceCounts
    """`grpo`: with a checkpoint, what it has learned from votes and corrections."""
    ended_early: EarlyEnd
    """`sft`, `grpo`: with its last checkpoint, the stage ended here and not at its last step."""


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
    payload: Payload = field(default_factory=Payload, hash=False)

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
        values = {**data, "artifacts": tuple(data.get("artifacts", ()))}
        values["metrics"] = renamed(data.get("metrics", {}), METRICS)
        if "payload" not in data and data.get("stage") == "evaluate" and data.get("note"):
            # 0.1 had no payload; the note of a measured checkpoint was its name and nothing else.
            values["payload"] = Payload(checkpoint=data["note"])
        return cls(**values)


def best_in(events: Iterable[Event]) -> str:
    """The checkpoint that the run itself named the best, in its latest event that names one; "" before."""
    named = [event.payload["best"] for event in events if "best" in event.payload]
    return named[-1] if named else ""


Report = Callable[[Event], None]
"""The one outlet of a pipeline. It raises `Stopped` to cancel the run."""


class Stopped(Exception):
    """Raised by a report when the run must stop; everything complete so far is kept."""


def leaves_unsaved(event: Event) -> bool:
    """Whether steps are under way that no checkpoint holds: a step is reported, then its checkpoint with its folder."""
    return event.stage in ("sft", "grpo") and not event.artifacts
