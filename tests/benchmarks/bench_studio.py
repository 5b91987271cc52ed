"""How long the training page takes while fifty browser sessions follow one job and the records hold 200 characters.

    python -m tests.benchmarks.bench_studio [--sessions N] [--characters N] [--seconds S]

Starts the studio on a home of its own and opens websocket sessions that behave as a browser does: one full run of the
page, then every fragment again at the interval that the server asked for; every tenth poll is a full rerun. Meanwhile
new events arrive twice a second. Told are the script's own time, taken in the server around each run, the processor
time of its thread in that, and the time from a session's request to "finished", which also holds the waiting for
others. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from pipelines.core.events import Event
from pipelines.core.settings import Settings
from studio.context import AppContext, open_context
from tests.services import free_ports

LIMIT_MS = 300.0
FULL_EVERY = 10
APP = Path(__file__).resolve().parents[2] / "studio" / "app.py"


def serve(port: str, times: Path) -> None:
    """The studio itself, with a clock around every script run."""
    from streamlit.runtime.scriptrunner import script_runner
    from streamlit.web import cli

    inner = script_runner.ScriptRunner._run_script

    def timed(self: Any, rerun_data: Any) -> Any:
        begun, worked = time.perf_counter(), time.thread_time()
        try:
            return inner(self, rerun_data)
        finally:
            part = "fragment" if rerun_data.fragment_id or rerun_data.fragment_id_queue else "page"
            took, busy = time.perf_counter() - begun, time.thread_time() - worked
            with times.open("a") as file:
                file.write(f"{time.time()} {part} {took} {busy}\n")

    script_runner.ScriptRunner._run_script = timed  # type: ignore[method-assign]
    cli.main(["run", str(APP), "--server.address", "127.0.0.1", "--server.port", port], standalone_mode=False)


class Session:
    """One browser session on a page."""

    def __init__(self, url: str, query: str) -> None:
        self.url, self.query = url, query
        self.times: dict[str, list[float]] = {"page": [], "fragment": []}
        self._polls: dict[str, float] = {}
        """Fragment -> seconds between two of its runs."""

    async def live(self, until: float) -> None:
        """Load the page, then poll as the server asked for."""
        async with connect(self.url, max_size=2**26, subprotocols=["streamlit"]) as socket:  # type: ignore[list-item]
            await self._run(socket, "")
            self.times["page"].clear()  # the first one also pays for imports
            due = {fragment: time.monotonic() + random.uniform(0, wait) for fragment, wait in self._polls.items()}
            polls = 0
            while time.monotonic() < until:
                fragment = min(due, key=due.__getitem__)
                await asyncio.sleep(max(0.0, due[fragment] - time.monotonic()))
                polls += 1
                full, begun = polls % FULL_EVERY == 0, time.monotonic()
                await self._run(socket, "" if full else fragment)
                if full:  # fragments are counted anew
                    due = {one: begun + wait for one, wait in self._polls.items()}
                else:  # as the browser's timer: a late answer does not move the next question
                    due[fragment] += self._polls[fragment]

    async def _run(self, socket: ClientConnection, fragment: str) -> None:
        """Ask for a run and read until it is finished."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        asked = BackMsg()
        asked.rerun_script.query_string = self.query
        asked.rerun_script.page_name = "training"
        asked.rerun_script.fragment_id = fragment
        asked.rerun_script.is_auto_rerun = bool(fragment)
        begun = time.perf_counter()
        await socket.send(asked.SerializeToString())
        if not fragment:
            self._polls = {}
        while True:
            said = ForwardMsg()
            said.ParseFromString(await socket.recv(decode=False))
            kind = said.WhichOneof("type")
            if kind == "auto_rerun":
                self._polls[said.auto_rerun.fragment_id] = said.auto_rerun.interval
            elif kind == "script_finished":
                break
        if not self._polls:
            raise SystemExit("the page asked for no polls: this is not the training page")
        self.times["fragment" if fragment else "page"].append(time.perf_counter() - begun)


def stage(context: AppContext, count: int) -> str:
    """So many characters, and one training at work; returns its id."""
    from studio.actions import characters
    from tests.e2e import staging  # knows the toys, hence torch; the process that serves must not

    staging.workers(context)
    staging.crowd(context, count - 1)
    return staging.half_way(context, characters.try_bundled(context, "quibb"), None, 0.5).id


def feed(context: AppContext, job: str, until: float) -> None:
    """New events twice a second, as a trainer tells them."""
    step = context.records.events.count(job)
    while time.monotonic() < until:
        metrics = {"loss": 3.0 + random.random(), "seconds": 0.5, "tokens": 1000.0}
        time_ = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000+00:00"
        context.records.events.append(job, 1, [Event("sft", min(step, 28), 28, metrics, sequence=step, time=time_)])
        step += 1
        time.sleep(0.5)


async def crowd(url: str, query: str, count: int, until: float) -> list[Session]:
    """All sessions at once, opened one after the other."""
    sessions = [Session(url, query) for _ in range(count)]
    tasks = []
    for session in sessions:
        tasks.append(asyncio.create_task(session.live(until)))
        await asyncio.sleep(0.2)
    await asyncio.gather(*tasks)
    return sessions


def told(seconds: Sequence[float]) -> dict[str, float]:
    """Count, median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {"runs": 0}
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    median = statistics.median(ordered)
    return {"runs": len(ordered), "median_ms": round(1000 * median, 1), "p95_ms": round(1000 * p95, 1)}


def wait_for(url: str) -> None:
    """Until the studio answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("the studio does not answer")


def measure(count: int, people: int, seconds: float) -> dict[str, Any]:
    """Start, follow, count."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-", ignore_cleanup_errors=True) as home:
        context = open_context(Settings.from_environment({"UNDERSTUDY_HOME": home}))
        job = stage(context, people)
        port, times = str(free_ports(1)[0]), Path(home) / "times.txt"
        command = [sys.executable, "-m", "tests.benchmarks.bench_studio", "--serve", port, "--times", str(times)]
        own = os.environ | {"UNDERSTUDY_HOME": home, "OMP_NUM_THREADS": "1"}
        studio = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}")
            opening = 0.2 * count + 2
            until = time.monotonic() + opening + seconds
            threading.Thread(target=feed, args=(context, job, until), daemon=True).start()
            settled = time.time() + opening
            sessions = asyncio.run(crowd(f"ws://127.0.0.1:{port}/_stcore/stream", f"job={job}", count, until))
            maps = Path(f"/proc/{studio.pid}/maps")
            torch = maps.exists() and "libtorch" in maps.read_text()
        finally:
            studio.terminate()
            studio.wait(30)
        server: dict[str, list[float]] = {"page": [], "fragment": []}
        busy: dict[str, list[float]] = {"page": [], "fragment": []}
        for line in times.read_text().splitlines():
            at, part, took, worked = line.split()
            if float(at) > settled:
                server[part].append(float(took))
                busy[part].append(float(worked))
        context.records.close()
    asked = {part: [one for session in sessions for one in session.times[part]] for part in ("page", "fragment")}
    return {
        "name": "studio",
        "sessions": count,
        "characters": people,
        "seconds": seconds,
        "torch_in_the_studio": torch,
        "load_before": os.getloadavg()[0],
        "limit_ms": LIMIT_MS,
        "script": {part: told(took) for part, took in server.items()},
        "processor": {part: told(took) for part, took in busy.items()},
        "request": {part: told(took) for part, took in asked.items()},
    }


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--characters", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.times)
        return
    found = measure(given.sessions, given.characters, given.seconds)
    for where in ("script", "processor", "request"):
        for part, numbers in found[where].items():
            print(f"{where:8} {part:9} {numbers}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
