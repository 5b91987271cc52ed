"""Some bombs and fuzzed uploads on the real fields; `python -m tests.benchmarks.upload_page` drops all of them."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import FilePayload, Page

from studio.context import open_context
from tests.benchmarks.upload_page import faults, listed, run_one, summary
from tests.e2e.studio_alone import Studio
from tests.e2e.test_whole_way import settled
from tests.studio_watch import StudioWatch

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="what is watched is counted by Linux"),
]


def test_the_page_has_words_for_each_upload_and_the_studio_answers_meanwhile(
    page: Page, studio: Studio, tmp_path: Path
) -> None:
    context = open_context(studio.settings)
    lines = []
    with StudioWatch(studio) as watch:
        for _, make in listed(6, 4, True, tmp_path):
            lines.append(run_one(page, studio, context, make(), watch))
            assert not faults(lines[-1]), lines[-1]
    context.records.close()
    found = summary(lines)
    assert found["bombs"] >= 4 and found["uploads"] == found["bombs"] + 6 and not found["faults"]
    assert found["most_memory_mb"] > 100 and found["health_asked"] > 20


def test_an_upload_that_is_broken_off_is_no_fault_of_the_studio(page: Page, studio: Studio) -> None:
    page.goto(studio.url)
    settled(page)
    small = FilePayload(name="a.json", mimeType="application/json", buffer=b"{}")
    with page.expect_request("**/_stcore/upload_file/**") as sent:
        page.locator("input[type=file]").first.set_input_files(small)
    settled(page)
    before = studio.log.stat().st_size
    address = urlsplit(sent.value.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.putrequest("PUT", address.path, skip_host=True)
    headers = sent.value.all_headers()
    for name, value in headers.items():
        if not name.startswith(":") and name != "content-length":
            connection.putheader(name, value)
    connection.putheader("Content-Length", str(2**20))
    connection.endheaders()
    boundary = headers["content-type"].partition("boundary=")[2]
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="a"; filename="a.json"\r\n\r\nthe beginning'
    connection.send(part.encode())
    time.sleep(1)
    connection.close()  # as a refresh does in the middle of a large file
    time.sleep(2)
    assert b"Traceback" not in studio.log.read_bytes()[before:]


def test_a_studio_that_stands_still_is_seen(studio: Studio) -> None:
    with StudioWatch(studio) as watch:
        mark = watch.mark()
        assert not watch.since(mark)["late"]
        mark = watch.mark()
        os.kill(watch.server.pid, signal.SIGSTOP)
        time.sleep(1.7)
        os.kill(watch.server.pid, signal.SIGCONT)
        time.sleep(0.5)
        seen = watch.since(mark)
    assert seen["late_own"] >= 1 and seen["slowest_own_s"] > 1.2 and not seen["unanswered"], seen
