"""The queue with real workers, on a file and on Redis with SeaweedFS: once and only once, whatever gets lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.core.jobs.job import ENDED, Job, new_id
from pipelines.core.queue.broker import notify_worker, task_name
from pipelines.core.run_folder import ADAPTER_FILES, adapters, checkpoint_folder
from pipelines.core.storage.store import read
from tests.services import RedisServer
from tests.toys import TOY_BASE, TOY_STEPS
from tests.worker.conftest import Deployment
from tests.worker.processes import DEALT_WITH, ROOT, Process, sweeper, wait_for, worker
from worker.sweeper import Sweeper

FAKE = "tests.worker.fake_tasks"


def status(deployment: Deployment, job: Job) -> str:
    """The job's status now."""
    return deployment.records.jobs.get(job.id).status


def ran(deployment: Deployment, job: Job) -> int:
    """How often the job's trainer ran to its end."""
    path = deployment.settings.runs_folder / job.id / "ran"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


def trainers(deployment: Deployment) -> list[psutil.Process]:
    """Trainers that work below this home now."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(str(deployment.settings.runs_folder) in word for word in words) and "worker.sweeper" not in words:
            found.append(process)
    return found


def test_fifty_messages_run_a_job_once(deployment: Deployment) -> None:
    job = deployment.training()
    for _ in range(50):
        assert notify_worker(deployment.app, job)
    with worker(deployment, app=FAKE) as process:
        wait_for(lambda: status(deployment, job) == "succeeded", what=lambda: process.said)
        last = new_id()  # everything before this message has been dealt with once it has been
        deployment.app.send_task(task_name("train"), args=(last,), queue="train")
        wait_for(lambda: process.said.count(DEALT_WITH) >= 51, what=lambda: process.said[-3000:])
    ended = deployment.records.jobs.get(job.id)
    assert (ended.attempt, ran(deployment, job)) == (1, 1)


def test_messages_that_are_lost_are_sent_again(deployment: Deployment) -> None:
    with worker(deployment, app=FAKE) as process:
        wait_for(lambda: len(deployment.records.workers.list()) == 1, what=lambda: process.said)
        jobs = [deployment.training_without_message() for _ in range(2)]
        time.sleep(1)
        assert [status(deployment, job) for job in jobs] == ["queued", "queued"]  # nobody was told
        with sweeper(deployment) as sweeping:
            wait_for(
                lambda: all(status(deployment, job) == "succeeded" for job in jobs),
                what=lambda: process.said + sweeping.said,
            )
    assert [ran(deployment, job) for job in jobs] == [1, 1]


def test_jobs_that_waited_for_a_worker_are_found_at_its_start(deployment: Deployment) -> None:
    jobs = [deployment.training_without_message() for _ in range(2)]
    assert deployment.take_messages() == 0
    with worker(deployment, app=FAKE) as process:
        wait_for(lambda: all(status(deployment, job) == "succeeded" for job in jobs), what=lambda: process.said)


def test_a_killed_worker_takes_its_trainer_with_it_and_another_goes_on(embedded: Deployment) -> None:
    job = embedded.training(sft_steps=24, sft_save_every=4)
    with worker(embedded, name="first") as first, sweeper(embedded):
        wait_for(lambda: len(embedded.records.checkpoints.of_job(job.id)) >= 1, what=lambda: first.said)
        first.kill()
        wait_for(lambda: not trainers(embedded), 10)
        kept = [item.name for item in embedded.records.checkpoints.of_job(job.id)]
        with worker(embedded, name="second") as second:
            wait_for(lambda: embedded.records.jobs.get(job.id).attempt == 2, what=lambda: second.said)
            wait_for(lambda: status(embedded, job) == "succeeded", 240, what=lambda: second.said[-3000:])
    events = embedded.records.events.after(job.id, limit=5000)
    begun = next(i for i, event in enumerate(events) if "attempt 2" in event.note)
    resumed = next(event.step for event in events[begun:] if event.stage in ("sft", "grpo"))
    assert resumed >= 4  # not from the beginning
    assert set(kept) <= {item.name for item in embedded.records.checkpoints.of_job(job.id)}
    for item in embedded.records.checkpoints.of_job(job.id):
        folder = checkpoint_folder(embedded.settings.runs_folder / job.id, item.name)
        for path, key in item.files.items():
            assert read(embedded.store, key) == (folder / path).read_bytes()


def test_another_host_goes_on_from_what_is_kept(embedded: Deployment) -> None:
    """The run folder is gone: checkpoints come from the object store, events from the records."""
    import shutil

    job = embedded.training(sft_steps=24, sft_save_every=4)
    with worker(embedded, name="first") as first:
        wait_for(lambda: len(embedded.records.checkpoints.of_job(job.id)) >= 2, what=lambda: first.said)
        assert first.stop() == 0
    assert status(embedded, job) == "queued"  # saved and given back
    kept = {item.name: item for item in embedded.records.checkpoints.of_job(job.id)}
    shutil.rmtree(embedded.settings.runs_folder)
    with worker(embedded, name="second") as second:
        wait_for(lambda: status(embedded, job) == "succeeded", 240, what=lambda: second.said[-3000:])
    now = {item.name: item for item in embedded.records.checkpoints.of_job(job.id)}
    weights = "adapter_model.safetensors"
    assert all(now[name].files[weights] == item.files[weights] for name, item in kept.items())
    events = embedded.records.events.after(job.id, limit=5000)
    steps = [event.step for event in events if event.stage == "sft" and "loss" in event.metrics]
    assert steps == list(range(1, 25))  # each step once, though the run folder was lost


def test_a_killed_trainer_goes_on_by_itself(embedded: Deployment) -> None:
    job = embedded.training()
    with worker(embedded) as process:
        wait_for(lambda: embedded.records.events.latest(job.id, "sft") is not None, what=lambda: process.said)
        [trainer] = [one for one in trainers(embedded) if "pipelines.train" in one.cmdline()]
        trainer.kill()
        wait_for(lambda: status(embedded, job) in ENDED, 180, what=lambda: process.said)
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.error, ended.attempt) == ("succeeded", "", 2)
    names = [row.name for row in embedded.records.checkpoints.of_job(job.id)]
    assert names == ["base", "sft-000002", "sft-000004", "grpo-000001", "grpo-000002"]


def test_three_lost_workers_end_a_job(embedded: Deployment) -> None:
    job = embedded.training()
    sweeping = Sweeper(embedded.settings, embedded.records, embedded.store)
    for _ in range(3):
        assert embedded.records.jobs.claim(job.id, "ghost", 0.01) is not None
        time.sleep(0.05)
        sweeping.round()
    assert status(embedded, job) == "failed"


def test_a_worker_outlives_its_redis(served: Deployment, redis_server: RedisServer) -> None:
    with worker(served, app=FAKE) as process, sweeper(served):
        wait_for(lambda: len(served.records.workers.list()) == 1, what=lambda: process.said)
        redis_server.kill()
        try:
            job = served.training()  # not nudged; kept all the same
            assert status(served, job) == "queued"
        finally:
            redis_server.start()
        wait_for(lambda: status(served, job) == "succeeded", what=lambda: process.said)


def test_an_evaluation_measures_again(embedded: Deployment, toy_run: Path) -> None:
    from pipelines.core.queue.submit import submit_evaluation
    from worker.uploads import put_checkpoint

    trained = embedded.training()
    embedded.records.jobs.request_stop(trained.id, "keep")
    put_checkpoint(embedded.records, embedded.store, trained.id, toy_run, "sft-000002")
    before = embedded.records.checkpoints.get(trained.id, "sft-000002")
    job = submit_evaluation(embedded.records, embedded.app, trained.id, ["sft-000002"])
    with worker(embedded) as process:
        wait_for(lambda: status(embedded, job) in ("succeeded", "failed"), what=lambda: process.said)
    assert status(embedded, job) == "succeeded", embedded.records.jobs.get(job.id)
    after = embedded.records.checkpoints.get(trained.id, "sft-000002")
    assert after.scores.keys() == before.scores.keys() and after.created > before.created
    assert not (embedded.settings.runs_folder / job.id).exists()


def understudy(deployment: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of ours on this deployment."""
    environment = {**os.environ, **deployment.environment, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)


def test_train_through_the_queue_from_the_command_line(served: Deployment) -> None:
    """A bundled character over Redis and SeaweedFS: the bucket has what the run folder has, byte for byte."""
    steps = {**TOY_STEPS, "sft_save_every": 4, "grpo_steps": 1}  # fewer checkpoints to measure
    settings = [word for name, value in steps.items() for word in ("--set", f"{name}={value}")]
    with worker(served) as process:
        done = understudy(served, "train", "quibb", "--queue", "--base", TOY_BASE, *settings, "--json")
    assert done.returncode == 0, done.stderr + process.said
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert answer["best"] in [item["name"] for item in answer["checkpoints"]]
    assert "Learning the basics 4/4" in done.stderr and "Checking" in done.stderr
    run_dir = served.settings.runs_folder / answer["job"]
    assert adapters(run_dir) == ["sft-000004", "grpo-000001"]
    for name in adapters(run_dir):
        row = served.records.checkpoints.get(answer["job"], name)
        for file in ADAPTER_FILES:
            assert read(served.store, row.files[file]) == (checkpoint_folder(run_dir, name) / file).read_bytes()
    listed = understudy(served, "jobs", "--json")
    assert json.loads(listed.stdout.splitlines()[-1])["jobs"][0]["status"] == "succeeded"
    shown = understudy(served, "jobs", "show", answer["job"][:6])
    assert shown.returncode == 0 and "succeeded" in shown.stdout
    again = understudy(served, "jobs", "resume", answer["job"])
    assert again.returncode == 1 and "has succeeded" in again.stderr


def test_ctrl_c_leaves_a_followed_job_alone_and_jobs_stop_ends_it(embedded: Deployment) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "train", str(embedded.character), "--queue", "--base", TOY_BASE]
    following = Process(command, embedded, embedded.settings.home.parent / "follow.log")
    wait_for(lambda: bool(embedded.records.jobs.list("local")), what=lambda: following.said)
    wait_for(lambda: "No training worker is running" in following.said)
    time.sleep(1)
    os.killpg(following.process.pid, signal.SIGINT)
    assert following.process.wait(30) == 1
    assert "goes on without this window" in following.said
    [job] = embedded.records.jobs.list("local")
    assert job.status == "queued"
    stopped = understudy(embedded, "jobs", "stop", job.id[:8])
    assert stopped.returncode == 0 and status(embedded, job) == "stopped"


@pytest.mark.parametrize("words", [("jobs", "show"), ("jobs", "stop", "nobody")])
def test_jobs_that_are_not_there(words: tuple[str, ...], embedded: Deployment) -> None:
    done = understudy(embedded, *words)
    assert done.returncode == 1 and "understudy jobs" in done.stderr
