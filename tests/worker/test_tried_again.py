"""A trainer that is killed is tried again from its last checkpoint, without a person: real toy trainings."""

from __future__ import annotations

import sys

from pipelines.core.jobs.job import Job, RecordsUnusable
from pipelines.core.run_folder import BASE, adapters, read_json
from tests.worker.conftest import Deployment
from worker.job_loop import drain_queue
from worker.runner import TrainerCommand, run_training
from worker.worker_context import WorkerContext


def ailing(how: str) -> TrainerCommand:
    """The command of the real trainer with that ailment."""
    return lambda run_dir, gpus: [sys.executable, "-m", "tests.worker.ailing_trainer", how, str(run_dir)]


def train(deployment: Deployment, context: WorkerContext, how: str) -> tuple[Job, int]:
    """A toy training to its end; how often it was taken up."""
    job = deployment.training()
    command = ailing(how)
    done = drain_queue(context, ("train",), {"train": lambda *arguments: run_training(*arguments, command=command)})
    return deployment.records.jobs.get(job.id), done


def causes(deployment: Deployment, job: Job) -> list[str]:
    """Why it was tried again, as the events say."""
    return [event.payload["failed"] for event in deployment.records.events.after(job.id) if "failed" in event.payload]


def test_a_killed_trainer_goes_on_from_its_last_checkpoint(embedded: Deployment, context: WorkerContext) -> None:
    job, taken = train(embedded, context, "kill-once-3")
    assert (job.status, job.error, job.attempt, taken) == ("succeeded", "", 2, 2)
    assert causes(embedded, job) == ["killed"]
    events = embedded.records.events.after(job.id)
    steps = [event.step for event in events if event.stage == "sft" and "loss" in event.metrics]
    assert steps == [1, 2, 3, 3, 4], "the third step again, from sft-000002"
    kept = [row.name for row in embedded.records.checkpoints.of_job(job.id)]
    assert kept == [BASE, *adapters(embedded.settings.runs_folder / job.id)]
    assert [event.sequence for event in events] == list(range(len(events)))


def test_twice_at_the_same_step_ends_it(embedded: Deployment, context: WorkerContext) -> None:
    job, taken = train(embedded, context, "kill-always-3")
    assert (job.status, taken) == ("failed", 2)
    assert "killed from outside (signal 9)" in job.error and "twice at the same step" in job.error
    assert job.log_tail is not None and causes(embedded, job) == ["killed"]
    assert [row.name for row in embedded.records.checkpoints.of_job(job.id)] == ["sft-000002"], "what it learnt is kept"


def test_out_of_memory_takes_smaller_steps(embedded: Deployment, context: WorkerContext) -> None:
    job, taken = train(embedded, context, "memory")
    assert (job.status, job.error, taken, job.savings) == ("succeeded", "", 2, 1)
    assert causes(embedded, job) == ["memory"]
    run_dir = embedded.settings.runs_folder / job.id
    assert read_json(run_dir / "run.json")["savings"] == 1
    state = read_json(run_dir / "checkpoints" / "sft-000004" / "trainer_state.json")
    assert state["global_step"] == 4


def test_records_that_cannot_be_used_are_tried_again_and_then_told(
    embedded: Deployment, context: WorkerContext
) -> None:
    """A worker that is there and says what it met is not one that disappeared."""
    job, tries = embedded.training(), []

    def refuse(*_: object) -> None:
        tries.append(1)
        raise RecordsUnusable("the records at x cannot be used (a page is unreadable): restore the last backup")

    assert drain_queue(context, ("train",), {"train": refuse}) == len(tries) == 3
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and "(a page is unreadable): restore the last backup" in ended.error
    assert "tried again 2 times" in ended.error and causes(embedded, job) == ["records", "records"]
