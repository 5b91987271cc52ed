"""What came of trainings, from records and object store: result files, and which checkpoint is the best.

`best_of` is what one training chose, `best_of_character` the one that people are offered first: every page and command
that marks a best or has a default asks here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.core.checkpoint_selection import FAULTS, choose_best, faults_of, preferred_by_votes
from pipelines.core.events import best_in
from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.records import Records
from pipelines.core.renamed_keys import run_result_keys
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import trusted
from pipelines.core.storage.store import Store, read
from pipelines.core.vote_counts import duels

TRAININGS = 30
"""Latest trainings of a character among which the best is looked for."""


@dataclass(frozen=True)
class BestCheckpoint:
    """A checkpoint that comes first, and what is wrong with it."""

    job: str
    name: str
    faults: tuple[str, ...] = ()
    """Keys of `checkpoint_selection.FAULTS`; with any it is only the nearest, and not called the best."""
    by: Literal["scores", "votes"] = "scores"

    @property
    def ref(self) -> str:
        """`JOB:NAME`."""
        return f"{self.job}:{self.name}"


def result_of(records: Records, store: Store, id: str) -> dict[str, Any] | None:
    """What `result.json` of a complete training holds (best checkpoint, seconds, steps); None before."""
    event = records.events.latest(id, "save")
    key = next((key for key in event.artifacts if key.startswith("runs/")), "") if event else ""
    return run_result_keys(json.loads(read(store, key))) if key else None


def best_of(records: Records, job: Job) -> BestCheckpoint | None:
    """The checkpoint that a training chose by its scorecard; None while it has not chosen.

    A training of 0.1 did not record its choice as data; the same rule is applied to the scores that were kept. Faults
    are those of the scores as they are now, so measuring again may find one.
    """
    rows = records.checkpoints.of_job(job.id)
    recorded = best_in(records.events.of_stage(job.id, "save"))
    if recorded or job.status == "succeeded":
        return _best_among(job, rows, recorded)
    return None


def best_of_character(records: Records, owner: str, character: str) -> BestCheckpoint | None:
    """The one checkpoint of a character that deserves to come first; None while nothing is measured.

    The newest training's choice without a fault, else the newest choice; while a training runs, the best of what it
    has measured. A checkpoint that people's votes clearly prefer to it takes its place, unless it has a fault itself.
    """
    choices: list[BestCheckpoint] = []
    flawless: list[str] = []
    for job in records.jobs.list(owner=owner, kind="train", character=character, limit=TRAININGS):
        rows = records.checkpoints.of_job(job.id)
        found = _best_among(job, rows, best_in(records.events.of_stage(job.id, "save")))
        if found is None:
            continue
        choices.append(found)
        base = next((row.scores for row in rows if row.name == BASE), {})
        flawless += [f"{job.id}:{row.name}" for row in eligible(rows) if not faults_of(_trusted(row), base)]
    if not choices:
        return None
    first = next((one for one in choices if not one.faults), choices[0])
    votes = records.chats.votes(owner=owner, character=character)
    preferred = preferred_by_votes(first.ref, flawless, duels(votes))
    if preferred == first.ref:
        return first
    job_id, _, name = preferred.rpartition(":")
    return BestCheckpoint(job_id, name, (), "votes")


def eligible(rows: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those that may be the best: trained, measured, and saved because the recipe wanted them."""
    return [row for row in rows if row.adapter_key and row.saved_for == "plan" and "general_perplexity" in row.scores]


def _best_among(job: Job, rows: Sequence[Checkpoint], recorded: str) -> BestCheckpoint | None:
    base = next((row for row in rows if row.name == BASE), None)
    measured = eligible(rows)
    if base is None or not measured:
        return None
    chosen = next((row for row in measured if row.name == recorded), None)
    if chosen is None:
        name = choose_best([_entry(row) for row in (base, *measured)]).name
        chosen = next(row for row in measured if row.name == name)
    wrong = faults_of(_trusted(chosen), _trusted(base))
    return BestCheckpoint(job.id, chosen.name, tuple(fault for fault in FAULTS if fault in wrong))


def _entry(row: Checkpoint) -> dict[str, Any]:
    return {"name": row.name, "scores": row.scores, "measurement": row.measurement}


def _trusted(row: Checkpoint) -> dict[str, float]:
    return trusted(row.scores, row.measurement.get("counts", {}))
