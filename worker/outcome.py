"""How a job ended, in words for the person who waits for it: what happened and what to do.

A trainer that fails knows its reason only when it is one of its own errors (`exit.json`). For what libraries and the
system do to it, exit status and signal are read, and the end of its log, which is kept with the job as well.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.events import RetryCause
from pipelines.core.full_disk import full_words, says_full
from pipelines.core.jobs.job import JobStatus

COMPLETE, FAILED, USAGE, STOPPED = 0, 1, 2, 3
"""Exit statuses of `pipelines.train`."""

_MEMORY = re.compile(
    r"CUDA out of memory|OutOfMemoryError|\bMemoryError\b|Cannot allocate memory|can't allocate memory"
    r"|not enough memory|std::bad_alloc|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_HUB = re.compile(
    r"couldn't connect to|LocalEntryNotFoundError|OfflineModeIsEnabled|RepositoryNotFoundError|"
    r"is not a local folder and is not a valid model identifier|cannot find the requested files in the (?:disk|local) "
    r"cache",
    re.IGNORECASE,
)
_LAST_ERROR = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Missing|Unusable|Problems)\b.*)", re.MULTILINE)
_RESUME = "Resume the job to go on from the last checkpoint"
_LESS = (
    "Close other programs on that machine, lower grpo_group_size, grpo_prompts_per_step or sft_row_max_tokens, choose "
    "a smaller base model, or use a larger machine. " + _RESUME + "."
)


@dataclass(frozen=True)
class JobOutcome:
    """What is recorded at the end of a job."""

    status: JobStatus
    error: str = ""
    log_tail: str = ""
    cause: RetryCause | None = None
    """Why another try may get further; None when only a person can mend it."""
    place: str = ""
    """Where the trainer was, such as `sft-12`; "" before its first step."""


def failure_from_exit(
    status: int,
    reason: str,
    tail: str,
    out_of_memory: bool,
    free_disk_gb: float,
    place: str = "",
    folder: str = "the worker's machine",
) -> JobOutcome:
    """The outcome of a trainer that left with this exit status (negative: the signal) without being asked to.

    reason: what the trainer itself said in `exit.json`, or "".
    out_of_memory: whether it said so there, or the kernel has ended processes for memory meanwhile.
    folder: where it wrote to.
    """
    # A launcher or a shell reports a signal as 128 + its number.
    number = -status if status < 0 else status - 128 if status > 128 else 0
    if not reason and (says_full(tail) or (free_disk_gb < 0.05 and number)) and not out_of_memory:
        return JobOutcome("failed", disk_error(folder, "the training could not save"), tail, None, place)
    error, cause = _error_and_cause(number, status, reason, tail, out_of_memory)
    return JobOutcome("failed", error, tail, cause, place)


def disk_error(folder: str, what: str) -> str:
    """What a person reads when a job ended since a disk was full."""
    return f"{full_words(folder, what)} Free some space there, or point UNDERSTUDY_HOME at another disk. {_RESUME}."


def _error_and_cause(
    number: int, status: int, reason: str, tail: str, out_of_memory: bool
) -> tuple[str, RetryCause | None]:
    if reason:
        return " ".join(reason.split()), None
    # Libraries that a signal ends say so in the log alone.
    if out_of_memory or _MEMORY.search(tail):
        return f"The training ran out of memory. {_LESS}", "memory"
    return _error_text(number, status, tail), "killed" if number == signal.SIGKILL else "crashed" if number else None


def _error_text(number: int, status: int, tail: str) -> str:
    if _HUB.search(tail):
        return (
            "The base model could not be fetched and is not in the cache of the worker's machine. Check its "
            "connection, or fetch the model there once (see the log below for its name), and resume the job."
        )
    if number == signal.SIGKILL:
        return (
            "The training was killed from outside (signal 9). Most often that is the system running out of memory. "
            + _LESS
        )
    if number:
        return (
            f"The training was ended by the signal {_signal_name(number)}: somebody or something on the worker's "
            f"machine stopped it, or a library crashed. The log's end is kept below. {_RESUME}."
        )
    last = _LAST_ERROR.findall(tail)
    said = f": {last[-1].strip()[:500]}" if last else ""
    return f"The training ended with exit status {status}{said}. The log's end is kept below. {_RESUME} once mended."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def hang_outcome(hang_timeout_s: float, tail: str, place: str = "") -> JobOutcome:
    """The outcome of a trainer that reported no event for so long."""
    error = (
        f"The training said nothing for {_span(hang_timeout_s)} and was ended: it hung. The log's end is kept below; "
        f"where it hung stands in its last lines. {_RESUME}. On a machine this slow, set UNDERSTUDY_HANG_TIMEOUT_S "
        "higher."
    )
    return JobOutcome("failed", error, tail, "hung", place)


def missing_result(run_dir: Path, tail: str) -> JobOutcome:
    """The outcome of a trainer that left as if complete, without result.json."""
    return JobOutcome("failed", f"The training ended without leaving a result in {run_dir.name}. {_RESUME}.", tail)


def not_kept(missing: Sequence[str], host: str, why: str = "") -> str:
    """Half a sentence, and what to do, about what did not reach the object store and the records in time.

    why: what was said at the last try.
    """
    reason = why or "the object store or the records did not answer"
    return (
        f"{', '.join(missing)} could not be kept: {reason}. They are safe on the worker's machine ({host}). Once that "
        "is mended, resume the job there: only what is missing is sent."
    )


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def kernel_oom_kills() -> int:
    """Processes that the kernel has ended for memory so far, in this container or machine; 0 where it does not say."""
    events, vmstat = Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")
    for path in (events, vmstat):
        try:
            text = path.read_text(encoding="ascii")
        except OSError:
            continue
        match = re.search(r"^oom_kill (\d+)", text, re.MULTILINE)
        if match:
            return int(match[1])
    return 0
