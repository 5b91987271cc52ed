"""Fuzzed uploads through the studio's own actions and the process that reads uploads.

    python -m tests.benchmarks.upload_fuzz [--inputs 20000] [--seed 0] [--out FILE.jsonl]

`tests/fuzzed_uploads.py` makes them. Each goes through the action of its field (a character, pictures, conversations,
a lorebook) on records and a store of its own, one in four characters is taken in as well. What the studio reads in a
process of its own is read in one here; `EACH` uploads share a process, else its start would be most of the time, and
one that comes to a limit there is read again in a process for it alone. An exception on either side, a process that
breaks and words that are no sentence are faults. Measured are processor time and peak of the reading process and the
processor time of the studio's side. Results are appended to FILE a line each: started again, it goes on where it
stopped; an upload that found a fault is kept beside it. Prints one JSON object; exit status 1 when there is a fault.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from pipelines.core import upload_process
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.settings import Settings
from pipelines.core.upload_process import UploadReader
from studio.actions import characters, images, import_review, lore, picture_uploads, talk_uploads
from studio.actions import draft_image_check as image_check
from studio.actions.import_review import StagedUpload
from studio.context import AppContext, open_context
from tests.core.formats.whole_inputs import whole_inputs
from tests.fuzzed_uploads import WHO, Upload, fuzzed
from tests.read_bombs import measure_self

EACH = 20
"""Uploads that share a reading process."""
MEMORY_MB = 2000
STUDIO_S = 1.0
"""Most processor time of the studio's side for one upload: it answers others meanwhile."""
TAKEN_SHARE = 0.25
LIMITS = {
    "killed": ("longer than", "of memory to be read"),
    "budget": (" in all.",),
    "traceback": ("could not be read: ",),
}
"""Outcome -> how its words are told from other refusals (`upload_process.py`, `upload_budget.py`)."""


# ---------------------------------------------------------------- one reading process for several uploads


class SharedReader:
    """Stands for `UploadReader` and `read_apart`, with one process for many uploads."""

    def __init__(self) -> None:
        self._process = UploadReader()
        self.is_broken = False

    def __enter__(self) -> SharedReader:
        return self

    def __exit__(self, *ended: object) -> None:
        return None

    def read(self, reader: Callable[..., Any], *arguments: object, file: str, limits: object = None) -> Any:
        """As both have it."""
        return self._process.read(reader, *arguments, file=file)

    def used(self) -> tuple[float, int]:
        """`measure_self` there."""
        return self._process.read(measure_self, file="measure")

    @contextmanager
    def in_place(self) -> Iterator[SharedReader]:
        """In the place of a process for each upload."""
        with ExitStack() as stack:
            stack.enter_context(self._process)
            for module in (import_review, talk_uploads, lore, picture_uploads, image_check):
                stack.enter_context(mock.patch.object(module, "read_apart", self.read))
            for module in (picture_uploads, characters):
                stack.enter_context(mock.patch.object(module, "UploadReader", lambda: self))
            self.used()
            yield self


class Told(logging.Handler):
    """Keeps what `upload_process` logs of readers that failed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self.lines.append(record.getMessage())


# ---------------------------------------------------------------- one upload


def bring(context: AppContext, id: str, upload: Upload, is_taken: bool) -> list[Problem]:
    """What the page of its field does with an upload; what is told of it. `id` is an empty character."""
    file, data = upload.file, upload.data
    if upload.way == "lore":
        return lore.upload(context, id, file, data)
    staged: StagedUpload
    if upload.way == "character":
        staged = import_review.stage_character(context, file, io.BytesIO(data))
    elif upload.way == "talks":
        found = talk_uploads.read_file(context, id, file, data)
        staged = import_review.stage_talks(context, id, found, file)
    elif picture_uploads.needs_review([file]):
        staged = import_review.stage_pictures(context, id, [(file, data)])
    else:
        return images.add(context, id, [(file, data)])
    told = [item for group in staged.notes.values() for item in group]
    if staged.roles:
        import_review.choose_role(context, staged.id, next(iter(staged.roles)))
        chosen = import_review.get(context, staged.id)
        assert chosen is not None
        told += [item for group in chosen.notes.values() for item in group]
    if is_taken:
        into = import_review.take(context, staged.id)
        if into != id:
            characters.delete(context, into)
    else:
        import_review.discard(context, staged.id)
    return told


def run_one(context: AppContext, reader: SharedReader, upload: Upload, is_taken: bool, told: Told) -> dict[str, Any]:
    """What came of one upload."""
    told.lines.clear()
    id = context.records.characters.create(context.owner, WHO).id
    error, problems = "", list[Problem]()
    wall, own = time.monotonic(), time.process_time()
    before, _ = reader.used()
    try:
        problems, outcome = bring(context, id, upload, is_taken), "read"
    except CharacterProblems as refused:
        problems, outcome = list(refused.problems), "refused"
    except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
        error, outcome = traceback.format_exc()[-1500:], "traceback"
    wall, own = time.monotonic() - wall, time.process_time() - own
    context.records.characters.delete(id)
    words = " ".join(problem.message for problem in problems)
    outcome = next((name for name, marks in LIMITS.items() if any(mark in words for mark in marks)), outcome)
    odd = [problem for problem in problems if not (problem.field and problem.message.endswith((".", "!", "?")))]
    if odd and outcome != "traceback":
        outcome, error = "traceback", f"no whole sentence: {odd[:3]}"[:1500]
    after, peak = reader.used()
    return {
        "outcome": outcome,
        "notes": len(problems),
        "cpu_s": round(max(after - before, 0.0), 3),  # a process that was started anew has used less
        "studio_s": round(own, 3),
        "wall_s": round(wall, 3),
        "peak_mb": peak,
        "error": error or (" ".join(told.lines)[:500] if outcome in LIMITS else ""),
        "words": words[:200] if outcome != "read" else "",
    }


# ---------------------------------------------------------------- all of them


def run(count: int, seed: int, home: Path, out: Path | None) -> dict[str, Any]:
    """Those that `out` does not hold yet, and the sums over all of them."""
    done = [json.loads(line) for line in out.read_text().splitlines()] if out and out.exists() else []
    done = [line for line in done if line["seed"] == seed and line["input"] < count]
    left = sorted(set(range(count)) - {line["input"] for line in done})
    samples = whole_inputs(home / "samples")
    settings = Settings.from_environment({"UNDERSTUDY_HOME": str(home / "home")})
    context, told = open_context(settings), Told()
    logger = logging.getLogger(upload_process.__name__)
    logger.addHandler(told)
    upload_process.keep_spare()
    try:
        for start in range(0, len(left), EACH):
            batch = [(number, fuzzed(samples, number, seed)) for number in left[start : start + EACH]]
            lines = [{"input": number, "seed": seed, **line} for number, line in run_batch(context, batch, seed, told)]
            for (_, upload), line in zip(batch, lines, strict=True):
                keep(line, upload, out)
            done += lines
            shutil.rmtree(home / "home" / "objects", ignore_errors=True)
    finally:
        logger.removeHandler(told)
        context.records.close()
    return summary(done)


def run_batch(
    context: AppContext, batch: Sequence[tuple[int, Upload]], seed: int, told: Told
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each upload in one process for all, and again in one for it alone where it came to a limit."""
    lines: dict[int, dict[str, Any]] = {}
    again: list[int] = []
    for number, upload in batch:
        lines[number] = {"way": upload.way, "source": upload.source, "bytes": len(upload.data)}
    for shared in (True, False):
        todo = [one for one in batch if shared or one[0] in again]
        for group in [todo] if shared else [[one] for one in todo]:
            with SharedReader().in_place() as reader:
                for number, upload in group:
                    is_taken = random.Random(f"{seed} taken {number}").random() < TAKEN_SHARE
                    found = run_one(context, reader, upload, is_taken, told)
                    lines[number] |= found
                    if shared and found["outcome"] in LIMITS:
                        again.append(number)
    yield from lines.items()


def keep(line: dict[str, Any], upload: Upload, out: Path | None) -> None:
    """Append the line to the results, and keep the upload itself where it shows a fault."""
    if out is None:
        return
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    if is_fault(line):
        folder = out.with_suffix(".found")
        folder.mkdir(exist_ok=True)
        (folder / f"{line['seed']}-{line['input']}").write_bytes(upload.data)


def is_fault(line: dict[str, Any]) -> bool:
    """Whether an upload did what none may do."""
    return line["outcome"] == "traceback" or line["peak_mb"] > MEMORY_MB or line["studio_s"] > STUDIO_S


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts, the slowest and the largest, and every upload that shows a fault."""
    shown = ("input", "way", "source", "bytes", "outcome", "cpu_s", "studio_s", "peak_mb", "words")

    def most(key: str) -> dict[str, Any]:
        line = max(lines, key=lambda one: one[key])
        return {name: line[name] for name in shown}

    return {
        "inputs": len(lines),
        "outcomes": dict(Counter(line["outcome"] for line in lines)),
        "ways": dict(Counter(line["way"] for line in lines)),
        "made_anew": sum(line["source"].startswith("made ") for line in lines),
        "seconds": round(sum(line["wall_s"] for line in lines), 1),
        "median_cpu_s": statistics.median(line["cpu_s"] for line in lines),
        "slowest": most("cpu_s"),
        "largest": most("peak_mb"),
        "slowest_in_the_studio": most("studio_s"),
        "at_a_limit": [line for line in lines if line["outcome"] in ("killed", "budget")],
        "faults": [line for line in lines if is_fault(line)],
    }


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of results, one a line; a second call goes on after them")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="understudy-fuzz-") as folder:
        found = run(given.inputs, given.seed, Path(folder), given.out)
    print(json.dumps(found, indent=2))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
