"""What came of a training, from records and object store: its result file, and which of its checkpoints is the best.

The studio marks the best one by `best_of`; the command line prints the result file.
"""

from __future__ import annotations

import json
from typing import Any

from pipelines.core.checkpoint_selection import best_checkpoint
from pipelines.core.events import best_in
from pipelines.core.jobs.job import Job
from pipelines.core.records import Records
from pipelines.core.renamed_keys import run_result_keys
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import Store, read


def result_of(records: Records, store: Store, id: str) -> dict[str, Any] | None:
    """What `result.json` of a complete training holds (best checkpoint, seconds, steps); None before."""
    event = records.events.latest(id, "save")
    key = next((key for key in event.artifacts if key.startswith("runs/")), "") if event else ""
    return run_result_keys(json.loads(read(store, key))) if key else None


def best_of(records: Records, job: Job) -> str:
    """The checkpoint that a training chose by its scorecard; "" while it has not chosen.

    A training of 0.1 did not record its choice as data; the same rule is applied to the scores that were kept.
    """
    best = best_in(records.events.of_stage(job.id, "save"))
    if best or job.status != "succeeded":
        return best
    measured = [
        {"name": row.name, "scores": row.scores}
        for row in records.checkpoints.of_job(job.id)
        if "general_perplexity" in row.scores
    ]
    can_tell = len(measured) > 1 and measured[0]["name"] == BASE
    return best_checkpoint(measured) if can_tell else ""
