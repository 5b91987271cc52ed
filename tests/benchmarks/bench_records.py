"""How long the records take with 10,000 jobs and 1,000,000 events, in an SQLite file and on a PostgreSQL server.

    python -m tests.benchmarks.bench_records [--jobs N] [--events N] [--queued N] [--rounds N] [--only sqlite|postgres]

Fills both in bulk, then times single calls and prints their medians and 95th percentiles in milliseconds; the last line
is the same as one JSON object. The server runs without fsync, so its writes are quicker than those of a real one.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, JobKind, JobStatus
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.records import Records, open_records
from pipelines.core.records.database import later
from pipelines.core.records.row_mapping import to_row
from pipelines.core.records.tables import CHARACTERS, JOBS
from tests.services import PostgresServer, running

OWNERS = 200
CHARACTERS_EACH = 2
LONG_JOBS, LONG_EVENTS = 20, 10_000
"""Some jobs have long logs; the others share the remaining events evenly."""
START = "2026-01-01T00:00:00.000000+00:00"
LIMIT_MS = 20.0


def jobs(count: int, queued: int, rng: random.Random) -> Iterator[Job]:
    """Old ones ended, the newest `queued` in the queue, a few of the others running."""
    for n in range(count):
        owner = int(min(rng.expovariate(4 / OWNERS), OWNERS - 1))  # few people do most
        when = later(START, 60.0 * n)
        status: JobStatus = "queued" if n >= count - queued else "running" if n >= count - queued - 8 else "succeeded"
        kind: JobKind = "train" if n % 10 or status == "queued" else "reply"
        yield Job(
            f"{n:032x}",
            kind,
            f"owner-{owner}",
            f"{owner}-{n % CHARACTERS_EACH}",
            0,
            Recipe().to_json(),
            status=status,
            priority=int(rng.random() < 0.05),
            attempt=1,
            worker="" if status == "queued" else "worker",
            lease_until="9999",
            log_tail="" if status == "queued" else "a line of the log\n" * 100,
            created=when,
            queued=when,
        )


def event_rows(job_count: int, event_count: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the events table, in the order of its columns."""
    short = max(0, event_count - LONG_JOBS * LONG_EVENTS) // (job_count - LONG_JOBS)
    body = json.dumps(
        {
            "step": 12,
            "total": 28,
            "metrics": {"loss": 1.2345678, "learning_rate": 0.0015, "grad_norm": 0.98},
            "note": "",
            "artifacts": [],
            "time": START,
        },
        separators=(",", ":"),
    )
    for n in range(job_count):
        for step in range(LONG_EVENTS if n % (job_count // LONG_JOBS) == 0 else short):
            yield f"{n:032x}", step, 1, step, "prepare" if step == 0 else "sft", body


def fill(records: Records, counts: argparse.Namespace) -> None:
    """Everything in a few large transactions, past the methods that take one at a time."""
    database = records._database
    draft: dict[str, Any] = {"draft": {}, "name": "", "version": 0, "published": "", "created": START, "changed": START}
    owned = [(f"owner-{owner}", f"{owner}-{n}") for owner in range(OWNERS) for n in range(CHARACTERS_EACH)]
    with database.write() as connection:
        connection.execute(insert(CHARACTERS), [{"id": id, "owner": owner, **draft} for owner, id in owned])
        made = jobs(counts.jobs, counts.queued, random.Random(1))
        rows = [{**to_row(job, JOBS), "nudged": START, "losses": 0} for job in made]
        connection.execute(insert(JOBS), rows)
    columns = "job, sequence, attempt, number, stage, body"
    with closing(database._engine.raw_connection()) as raw:
        cursor = raw.cursor()
        if database.is_sqlite:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany(
                f"INSERT INTO events ({columns}) VALUES (?, ?, ?, ?, ?, ?)", event_rows(counts.jobs, counts.events)
            )
            cursor.execute("COMMIT")
            cursor.execute("ANALYZE")
        else:
            with cursor.copy(f"COPY events ({columns}) FROM STDIN") as copy:  # type: ignore[attr-defined]
                for row in event_rows(counts.jobs, counts.events):
                    copy.write_row(row)
            raw.commit()
            cursor.execute("ANALYZE")
            raw.commit()


def calls(records: Records, counts: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Name -> what is timed, each time with another job."""
    rng = random.Random(2)
    one = records.jobs
    queued = [job.id for job in one.list(statuses=["queued"], limit=counts.jobs)]
    serial = iter(range(10**9))

    def anyone() -> str:
        return f"{rng.randrange(counts.jobs):032x}"

    def long() -> str:
        return f"{rng.randrange(LONG_JOBS) * (counts.jobs // LONG_JOBS):032x}"

    def append(size: int) -> object:
        events = [Event("sft", 1, 28, {"loss": 1.0}, sequence=next(serial)) for _ in range(size)]
        return records.events.append(anyone(), 2, events)

    return {
        "jobs.list(owner)": lambda: one.list(owner=f"owner-{rng.randrange(OWNERS)}"),
        "jobs.list()": lambda: one.list(),
        "jobs.list(character)": lambda: one.list(character=f"{rng.randrange(OWNERS)}-0"),
        "jobs.list(busiest owner, running)": lambda: one.list(owner="owner-0", statuses=["running"]),
        "jobs.list(before a page)": lambda: one.list(before=anyone()),
        "jobs.get": lambda: one.get(anyone()),
        "jobs.position": lambda: one.position(rng.choice(queued)),
        "jobs.waiting": lambda: one.waiting(60, limit=50),
        "events.after(last 5)": lambda: records.events.after(long(), LONG_EVENTS - 6),
        "events.after(page of 500)": lambda: records.events.after(long(), rng.randrange(LONG_EVENTS - 600)),
        "events.latest": lambda: records.events.latest(anyone()),
        "events.latest(stage)": lambda: records.events.latest(long(), "prepare"),
        "events.count": lambda: records.events.count(long()),
        "events.append(1)": lambda: append(1),
        "events.append(20)": lambda: append(20),
        "jobs.claim_next + heartbeat": lambda: one.heartbeat(one.claim_next("train", "bench", 60).id, "bench", 60),  # type: ignore[union-attr]
    }


def measure(url: str, counts: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Name -> median and 95th percentile (ms)."""
    with closing(open_records(url)) as records:
        started = time.perf_counter()
        fill(records, counts)
        print(f"filled in {time.perf_counter() - started:.0f} s")
        found = {}
        for name, call in calls(records, counts).items():
            call()
            times = []
            for _ in range(counts.rounds):
                before = time.perf_counter()
                call()
                times.append((time.perf_counter() - before) * 1000)
            median, p95 = statistics.median(times), sorted(times)[-(len(times) // 20) - 1]
            found[name] = {"median_ms": round(median, 2), "p95_ms": round(p95, 2)}
            print(f"{name:36} {median:9.2f} {p95:9.2f}{' over the limit' if median > LIMIT_MS else ''}")
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--queued", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    counts = parser.parse_args()
    results: dict[str, Any] = {}
    if counts.only != "postgres":
        print(f"SQLite: {'':28} {'median':>9} {'p95':>9}")
        with tempfile.TemporaryDirectory() as folder:
            results["sqlite"] = measure(f"sqlite:///{folder}/understudy.db", counts)
            results["sqlite_bytes"] = (Path(folder) / "understudy.db").stat().st_size
    if counts.only != "sqlite":
        print(f"PostgreSQL: {'':24} {'median':>9} {'p95':>9}")
        with running(PostgresServer) as server, server.database("bench") as url:
            results["postgres"] = measure(url, counts)
    print(json.dumps({"jobs": counts.jobs, "events": counts.events, "queued": counts.queued, **results}))


if __name__ == "__main__":
    main()
