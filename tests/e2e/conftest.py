"""A whole system as `understudy up` starts it, and a real browser before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipelines.core.records import Records, open_records
from pipelines.core.settings import Settings
from studio.context import AppContext, open_context
from tests.e2e.studio_alone import Studio, started, wait_for_studio
from tests.services import absent, find_program, free_ports

PATIENCE_MS = 120_000
"""Until something appears in the browser."""
STUDIO_MS = 60_000
"""The same where nothing waits for a model."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@dataclass(frozen=True)
class System:
    """A running system."""

    url: str
    settings: Settings
    process: subprocess.Popen[bytes]

    def studio_process(self) -> psutil.Process:
        """The process that serves the pages."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next(one for one in family if any("streamlit" in word for word in one.cmdline()))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`understudy up` on the embedded default, in a home of its own; the model cache is the usual one."""
    home = tmp_path_factory.mktemp("system") / "home"
    home.mkdir()
    cache = Settings.from_environment().cache_folder
    if cache.is_dir():
        (home / "cache").symlink_to(cache)
    port = free_ports(1)[0]
    own = {"UNDERSTUDY_HOME": str(home), "UNDERSTUDY_STUDIO_PORT": str(port), "OMP_NUM_THREADS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    log = (home / "up.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "up"], env=kept | own, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_studio(url, process, home / "up.log")
        yield System(url, Settings.from_environment(own), process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


@pytest.fixture(scope="module")
def context(system: System) -> Iterator[AppContext]:
    """The records of the running system."""
    opened = open_context(system.settings)
    yield opened
    opened.records.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The studio alone, for the tests of one file that wait for no model."""
    with started(tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture
def records(studio: Studio) -> Iterator[Records]:
    """What the studio alone has kept, read beside it."""
    opened = open_records(studio.settings.database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of this machine; without one the test is left out, and fails where the environment says CI."""
    found = next((path for name in CHROMIUM if (path := find_program(name))), "")
    if not found:
        absent("chromium is not installed: make services")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab as a laptop shows it."""
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    yield tab
    context.close()


@pytest.fixture
def impatient(page: Page) -> None:
    """For tests that wait for no model."""
    expect.set_options(timeout=STUDIO_MS)
    page.context.set_default_timeout(STUDIO_MS)
