"""The studio without workers, on a home of its own: enough for what is typed and pressed, and there in seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.settings import Settings
from tests.services import free_ports

START_S = 300.0
"""Until the studio answers; a busy machine takes its time to import."""


def wait_for_studio(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the studio answers; RuntimeError with its log when it does not."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"`understudy up` does not answer:\n{log.read_text(errors='replace')[-3000:]}")


@dataclass
class Studio:
    """A running studio; `stop` and `start` are what happens to it on a bad day."""

    url: str
    settings: Settings
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", "up", "--only", "studio"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_studio(self.url, self.process, self.log)

    def stop(self) -> None:
        """Kill it, with whatever it was doing."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def started(folder: Path) -> Iterator[Studio]:
    """A studio whose records and objects lie in this folder; a second start there finds them again."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    port = free_ports(1)[0]
    own = {"UNDERSTUDY_HOME": str(home), "UNDERSTUDY_STUDIO_PORT": str(port), "OMP_NUM_THREADS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    studio = Studio(f"http://127.0.0.1:{port}", Settings.from_environment(own), kept | own, home / "studio.log")
    try:
        studio.start()
        yield studio
    finally:
        studio.stop()
