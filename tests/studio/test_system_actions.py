"""Actions of the system page, without Streamlit: workers, queues, health, disk use, settings without secrets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, Worker, new_id
from pipelines.core.jobs.reply_protocol import scene_event, text_event
from pipelines.core.settings import Settings
from pipelines.core.storage.installation import claim_store
from pipelines.core.storage.store import put_content
from studio.actions import system
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


def test_workers_and_what_they_do(context: AppContext, tmp_path: Path) -> None:
    character = staged.published(context, tmp_path / "ada")
    job = staged.claimed(context, staged.queued(context, character))
    staged.alive(context, job=job.id)
    context.records.workers.register(Worker("worker-2", "attic", ("reply",)))
    lines = system.workers(context)
    assert [(line.worker.host, line.doing, line.is_alive) for line in lines] == [
        ("attic", "", True),
        ("shed", "Trains Ada", True),
    ]


def test_what_a_reply_job_does_is_told_by_its_task_and_how_far_it_is(context: AppContext, tmp_path: Path) -> None:
    character = staged.published(context, tmp_path / "ada")

    def doing(request: dict[str, object], *events: Event) -> str:
        job = context.records.jobs.add(Job(new_id(), "reply", context.owner, character, request=request))
        job = staged.claimed(context, job)
        staged.told(context, job, list(events))
        staged.alive(context, job=job.id)
        return system.workers(context)[0].doing

    assert doing({"task": "draw"}) == doing({"task": "draw_prompts"}) == "Draws Ada"
    assert doing({"task": "captions"}) == "Looks at pictures of Ada"
    assert doing({"task": "warm", "base": "starter"}) == "Loads its model"
    assert doing({"task": "warm", "checkpoints": ["a:base"]}) == "Gets ready to answer as Ada"
    assert doing({"task": "reply"}, text_event(0, 1, "Aye", 0.1)) == "Answers as Ada"
    assert doing({"task": "reply"}, scene_event(0, 1, "Aye.", "", 0.2)) == "Answers as Ada"
    assert doing({"task": "reply"}, scene_event(0, 1, "Aye.", "Ada, in the snow", 0.2)) == "Draws Ada"
    assert doing({"task": "of a later version"}) == "Answers as Ada"


def test_a_job_of_somebody_else_is_not_named(context: AppContext, tmp_path: Path) -> None:
    job = staged.queued(context, staged.published(context, tmp_path / "ada"))
    staged.alive(context, job=job.id)
    context.owner = "somebody else"
    assert system.workers(context)[0].doing == "Trains a character"


def test_queue_depths(context: AppContext, tmp_path: Path) -> None:
    character = staged.published(context, tmp_path / "ada")
    staged.queued(context, character)
    staged.claimed(context, staged.queued(context, character))
    assert system.queue_depths(context) == {"Training and measuring": 1, "Answers and drawings": 0}


def test_health_of_what_answers_and_of_what_does_not(context: AppContext) -> None:
    assert [(one.name, one.is_well) for one in system.health(context)] == [
        ("Records", True),
        ("Pictures and adapters", True),
        ("Queue", True),
    ]
    context.settings = replace(context.settings, broker_url="redis://:hidden@127.0.0.1:1/0")
    queue = system.health(context)[2]
    # The queue of this context was opened before, and is a file; a fresh one asks the address that is not there.
    assert queue.is_well
    fresh = AppContext(context.settings, context.records, context.store)
    queue = system.health(fresh)[2]
    assert not queue.is_well and queue.answer and "hidden" not in queue.place + queue.answer


def test_disk_use_and_garbage(context: AppContext, tmp_path: Path) -> None:
    staged.trained(context, staged.published(context, tmp_path / "ada"))
    put_content(context.store, b"nobody refers to this", "exports", ".txt")
    used = {one.kind: one for one in system.disk_use(context)}
    assert set(used) == {"Pictures", "Sample pictures", "Trained adapters", "Files made for download"}
    assert (used["Files made for download"].count, used["Files made for download"].size) == (1, 21)
    assert system.garbage(context) == []  # too young to be taken


def test_settings_show_no_secret() -> None:
    settings = Settings(
        Path("/home-of-nobody"),
        llm_key="hush",
        database_url="postgresql+psycopg://me:hush@db/understudy",
        broker_url="redis://:hush@redis/0",
        objects="s3",
        s3_endpoint_internal="http://minio:9000",
        s3_access_key="hush",
        s3_secret_key="hush",
    )
    shown = system.settings_in_force(settings)
    assert "hush" not in str(shown)
    assert shown["UNDERSTUDY_S3_SECRET_KEY"] == "set" and shown["UNDERSTUDY_LLM_URL"] == "not set"
    assert shown["UNDERSTUDY_DATABASE_URL"] == "postgresql+psycopg://me:***@db/understudy"
    assert set(shown) == {f"UNDERSTUDY_{name.upper()}" for name in vars(settings)}


def test_versions_and_sizes() -> None:
    assert {"python", "streamlit", "celery"} <= set(system.versions())
    assert [system.size_words(size) for size in (0, 999, 1500, 123_456_789, 5_600_000_000)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "123 MB",
        "5.6 GB",
    ]


def test_records_that_are_not_those_of_the_objects_are_an_alarm(context: AppContext, tmp_path: Path) -> None:
    """A lost database beside a full store is no fresh start."""
    put_content(context.store, b"picture", "pictures", ".png")
    claim_store(context.store, "the installation whose database was lost")
    assert "The records are empty, but pictures" in system.alarm(context)
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/system.py").run()
    assert not page.exception and "the database was lost" in page.error[0].value
    trainings = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/training.py").run()
    assert not trainings.exception and "the database was lost" in trainings.error[0].value
    assert "Nothing has been trained yet" not in str([one.proto for one in trainings.html])
    claim_store(context.store, context.records.installation())
    assert system.alarm(context) == "" and not page.run().error
