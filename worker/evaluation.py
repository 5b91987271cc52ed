"""Measuring checkpoints of a finished training again: an evaluation job, and the subprocess that does it.

    python -m worker.evaluation RUN [NAME ...] --events      scores of these checkpoints, events as JSON lines

The checkpoints are fetched into a run folder of the job's own, so a training that continues meanwhile is not touched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.core.events import Event, Report
from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import RunError
from worker.capacity import refusal_reason
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import COMPLETE, JobOutcome, failure_from_exit, hang_outcome, kernel_oom_kills
from worker.run_folders import RunFolder, make_run_folder, restore_progress
from worker.supervisor import TrainerSupervisor
from worker.trainer_process import TrainerProcess, note_trainer
from worker.uploads import put_checkpoint
from worker.worker_context import WorkerContext


def evaluation_command(run_dir: Path, names: Sequence[str]) -> list[str]:
    """The command line of an evaluation."""
    return [sys.executable, "-m", "worker.evaluation", str(run_dir), *names, "--events"]


def run_evaluation(context: WorkerContext, job: Job, lease: Lease) -> JobOutcome | None:
    """Measure what `request` names (`{"job": ID, "checkpoints": [NAME, ...]}`) and keep scores and samples.

    None: the job is not ours any more, or goes back to the queue.
    """
    trained = context.records.jobs.get(str(job.request.get("job", "")))
    names = [str(name) for name in job.request.get("checkpoints", [])]
    if trained.recipe is None:
        raise RunError(f"job {trained.id} is no training: there is nothing to measure")
    recipe = Recipe.from_json(trained.recipe)
    folder = RunFolder(context.settings.runs_folder, job.id)
    refusal = refusal_reason(recipe.base, False, context.settings)
    if refusal:
        return JobOutcome("failed", refusal)
    forwarder = EventForwarder(context.records, job.id, job.attempt)
    with folder.locked(context.settings.lease_s, lambda: not lease.lost) as lock:
        version = context.records.characters.version(trained.character, trained.version)
        make_run_folder(folder.path, version, recipe, context.store)
        lost = restore_progress(folder.path, trained.id, context.records, context.store).stepped_over
        if set(lost) & set(names or lost):
            raise RunError(f"{', '.join(lost)} cannot be measured: the object store does not have it whole")
        kills = kernel_oom_kills()
        measured: set[str] = set()
        with TrainerProcess(evaluation_command(folder.path, names), lock) as trainer:
            note_trainer(folder.pid_path, trainer.pid)
            supervisor = TrainerSupervisor(context, lease, trainer)

            def note_measured(event: Event) -> None:
                if event.stage == "evaluate":
                    measured.add(event.payload["checkpoint"])

            supervisor.follow(forwarder, note_measured)
            end = supervisor.end(folder.path, kills)
        if end.reason == "lost":
            return None
        if end.reason != "discard":
            # A training may have been discarded since: what was removed does not come back.
            kept = {checkpoint.name for checkpoint in context.records.checkpoints.of_job(trained.id)}
            for name in sorted(measured & kept):
                put_checkpoint(
                    context.records, context.store, trained.id, folder.path, name, may_write=lambda: not lease.lost
                )
        forwarder.finish(lambda: not lease.lost)
        folder.remove()
    if end.reason == "hung":
        return hang_outcome(context.settings.hang_timeout_s, end.log_tail, end.place)
    if end.status == COMPLETE:
        return JobOutcome("succeeded")
    if end.reason:
        return None if end.reason == "shutdown" else JobOutcome("stopped")
    where = f"{folder.path} on {context.host}"
    return failure_from_exit(end.status, end.error, end.log_tail, end.out_of_memory, float("inf"), end.place, where)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure in a run folder; returns an exit status as `pipelines.train` does."""
    parser = argparse.ArgumentParser(prog="python -m worker.evaluation", description="Measure checkpoints of a run.")
    parser.add_argument("run_dir", metavar="RUN", type=Path)
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--events", action="store_true", help="print each event as a line of JSON on standard output")
    arguments = parser.parse_args(argv)
    from pipelines.evaluation.evaluate_run import evaluate_run
    from pipelines.train import recorder, run_as_process

    def measure(report: Report) -> None:
        record = recorder(arguments.run_dir, report)
        record(Event("prepare", note="reading the checkpoints and the model"))
        evaluate_run(arguments.run_dir, tuple(arguments.names), record, again=True)

    status: int = run_as_process(arguments.run_dir, arguments.events, measure)
    return status


if __name__ == "__main__":
    sys.exit(main())
