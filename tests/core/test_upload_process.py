"""Uploads are read in a process of their own: what it answers, and how it ends at a limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.core import upload_process
from pipelines.core.character.character import Character
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_budget import spend
from pipelines.core.upload_process import ReadLimits, UploadReader, read_apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")


# ---------------------------------------------------------------- what runs in the process


def about(name: str, data: bytes) -> tuple[Character, int, int]:
    print("what libraries print is no answer")
    return Character(name, "x", extensions={"a": [1, None]}), len(data), os.getsid(0)


def refused(name: str) -> None:
    raise CharacterProblems([Problem("images/a.png", f"{name} is odd.", "Save it again.", subject=name)])


def several() -> None:
    raise RoleNeeded("a.zip", Counter({"Mira": 2, "Tola": 1}), "people", "all of them")


def hungry(size: int) -> int:
    return len(bytearray(size))


def endless(pids: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(pids).write_text(f"{os.getpid()} {child.pid}", encoding="ascii")
    while True:
        pass


def asleep() -> None:
    time.sleep(60)


def broken(status: int) -> None:
    os.kill(os.getpid(), status)


def its_environment() -> dict[str, str]:
    return dict(os.environ)


def odd() -> None:
    raise KeyError("SECRET")


def code() -> object:
    return signal.Signals.SIGTERM


def spent(amount: int) -> None:
    spend("pixels", amount, "a.png")


# ---------------------------------------------------------------- what comes back


def told(error: pytest.ExceptionInfo[CharacterProblems]) -> str:
    (problem,) = error.value.problems
    assert problem.message.startswith("mira.png ") and problem.mend and problem.subject == "mira.png"
    return problem.message


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


def test_results_and_problems_come_back_as_they_are() -> None:
    data = os.urandom(3 * 2**20)
    with UploadReader() as process:
        character, size, session = process.read(about, "Mira", data, file="mira.png")
        assert character == Character("Mira", "x", extensions={"a": [1, None]}) and size == len(data)
        assert session != os.getsid(0)
        with pytest.raises(CharacterProblems) as caught:
            process.read(refused, "a.png", file="mira.png")
        assert caught.value.problems == (Problem("images/a.png", "a.png is odd.", "Save it again.", subject="a.png"),)
        with pytest.raises(RoleNeeded) as choice:
            process.read(several, file="mira.png")
        assert choice.value.together == "all of them" and choice.value.roles["Mira"] == 2
        assert process.read(about, "Mira", b"", file="mira.png")[2] == session  # one process for all of an upload


def test_one_budget_for_all_files_of_an_upload() -> None:
    with UploadReader() as process:
        process.read(spent, 10**9, file="a.png")
        with pytest.raises(CharacterProblems, match="1,500 million pixels"):
            process.read(spent, 10**9, file="b.png")
    read_apart(spent, 10**9, file="a.png")


def test_it_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql://understudy:sesame-of-the-records@postgres/understudy")
    monkeypatch.setenv("UNDERSTUDY_S3_SECRET_KEY", "sesame-of-s3")
    upload_process._SPARE.end()  # one that waits was started before
    environment = read_apart(its_environment, file="mira.png")
    assert "sesame" not in str(environment) and environment["OMP_NUM_THREADS"] == "1"


def test_memory_has_a_limit() -> None:
    assert read_apart(hungry, 10**9, file="mira.png") == 10**9
    with pytest.raises(CharacterProblems) as caught:
        read_apart(hungry, 16 * 10**8, file="mira.png")
    assert "more than 1.5 GB of memory" in told(caught)


def test_time_has_a_limit_and_all_that_it_started_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    with UploadReader(ReadLimits(file_s=1)) as process, pytest.raises(CharacterProblems) as caught:
        process.read(endless, str(tmp_path / "pids"), file="mira.png")
    assert "longer than 1 s" in told(caught) and time.monotonic() - began < 20
    pids = [int(pid) for pid in (tmp_path / "pids").read_text(encoding="ascii").split()]
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_the_clock_is_a_limit_too_and_the_next_file_is_read() -> None:
    with UploadReader(ReadLimits(clock_s=3)) as process:
        with pytest.raises(CharacterProblems) as caught:
            process.read(asleep, file="mira.png")
        assert "longer than" in told(caught)
        assert process.read(hungry, 5, file="b.png") == 5


@pytest.mark.parametrize("status", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_what_breaks_the_process_is_refused_by_name(status: int) -> None:
    with pytest.raises(CharacterProblems) as caught:
        read_apart(broken, int(status), file="mira.png")
    assert "memory" in told(caught) if status == signal.SIGKILL else "could not be read" in told(caught)


@pytest.mark.parametrize("reader", [odd, code])
def test_neither_exceptions_nor_foreign_classes_come_out_of_it(reader: object) -> None:
    with pytest.raises(CharacterProblems) as caught:
        read_apart(reader, file="mira.png")  # type: ignore[arg-type]
    assert "could not be read" in told(caught) and "SECRET" not in told(caught)


def test_an_answer_has_a_size() -> None:
    with pytest.raises(CharacterProblems) as caught, UploadReader(ReadLimits(result_bytes=1000)) as process:
        process.read(bytes, 10**6, file="mira.png")
    assert "could not be read" in told(caught)


def test_a_process_that_waits_is_taken_and_ends_with_its_parent() -> None:
    upload_process.keep_spare()
    waiting = upload_process._SPARE._waiting
    assert waiting is not None
    try:
        with UploadReader() as process:
            assert process.read(os.getpid, file="mira.png") == waiting.pid
    finally:
        upload_process._SPARE.end()
    script = (
        "from pipelines.core import upload_process as up\n"
        "up.keep_spare(); print(up._SPARE._waiting.pid, flush=True)\n"
        "import os; os.kill(os.getpid(), 9)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout
    deadline = time.monotonic() + 10
    while alive(int(printed)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(printed))
