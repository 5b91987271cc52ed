"""Fuzzed uploads and bombs, dropped on the fields of a running studio in a real browser.

    python -m tests.benchmarks.upload_page [--inputs 200] [--seed 0] [--out FILE.jsonl] [--small]

A real studio with its real database and store, and Chromium. Each of the seeded uploads (`tests/fuzzed_uploads.py`)
and every bomb of `tests/upload_bombs.py` (in the sizes of the report; `--small`: some of a tenth) is dropped where such
a file belongs: the first page, pictures of step 1, the lorebook of step 2, conversations of step 3. The page must
answer each with words in `BOUND_S`, a refusal or the page "Look it over", which is cancelled. All the while the studio
is watched (`tests/studio_watch.py`): its health within 1 s, less than 2 GB with all its processes, no traceback.

Results are appended to FILE a line each: started again, it goes on where it stopped. The last line on standard output
is one JSON object; exit status 1 when anything does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import FilePayload, Page, expect, sync_playwright

from studio.context import AppContext, open_context
from tests.core.formats.whole_inputs import whole_inputs
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.studio_alone import Studio, started
from tests.e2e.test_whole_way import settled
from tests.fuzzed_uploads import WHO, fuzzed
from tests.services import find_program
from tests.studio_watch import StudioWatch
from tests.upload_bombs import Way, bombs

MEMORY_MB = 2000
BOUND_S = 120.0
"""Until the page has words for an upload: reading may take 45 s by the clock, and the file comes and is cleaned."""
STEPS: dict[Way, int] = {"pictures": 1, "lore": 2, "talks": 3}
FOLDS: dict[Way, str] = {"lore": ".st-key-lore summary", "talks": "summary:has-text('Upload conversations')"}
"""What the field is folded into."""
FIELDS: dict[Way, str] = {"lore": ".st-key-lore input[type=file]", "talks": "details input[type=file]"}
TOLD = """() => {
  const chips = [...document.querySelectorAll('[data-testid=stFileChipIconError]')].map(
    icon => icon.closest('[data-testid=stFileChip]'));
  const parts = document.querySelectorAll(
    '[data-testid=stAlert], [data-testid=stException], [data-testid=stToast], .st-key-refused, .st-key-lore summary');
  const review = [...document.querySelectorAll('h1')].filter(title => title.innerText.trim() === 'Look it over');
  return [...parts, ...chips, ...review].map(part => part.innerText.trim()).filter(words => words);
}"""
"""Words that a page may have about an upload."""


@dataclass(frozen=True)
class Dropped:
    """What is dropped, and what it is called in the results."""

    name: str
    kind: str
    way: Way
    file: Path | FilePayload


def listed(inputs: int, seed: int, small: bool, folder: Path) -> list[tuple[str, Callable[[], Dropped]]]:
    """Name -> how it is made, for all that are dropped."""
    samples = whole_inputs(folder / "samples")

    def made(number: int) -> Dropped:
        upload = fuzzed(samples, number, seed)
        payload = FilePayload(name=upload.file, mimeType="application/octet-stream", buffer=upload.data)
        return Dropped(f"fuzzed {seed} {number}", upload.source, upload.way, payload)

    all_bombs = bombs(whole=not small)
    chosen = all_bombs[:: len(all_bombs) // 4] if small else all_bombs

    def dropped(number: int) -> Dropped:
        bomb = chosen[number]
        path = folder / str(number) / bomb.file
        path.parent.mkdir()
        path.write_bytes(bomb.make())
        return Dropped(f"bomb {bomb}", bomb.kind, bomb.way, path)

    todo: list[tuple[str, Callable[[], Dropped]]] = []
    for number, bomb in enumerate(chosen):
        todo.append((f"bomb {bomb}", lambda number=number: dropped(number)))  # type: ignore[misc]
    for number in range(inputs):
        todo.append((f"fuzzed {seed} {number}", lambda number=number: made(number)))  # type: ignore[misc]
    return todo


# ---------------------------------------------------------------- one upload


def open_field(page: Page, studio: Studio, way: Way, id: str) -> None:
    """The page with the field, unfolded."""
    address = studio.url if way == "character" else f"{studio.url}/create?character={id}&step={STEPS[way]}"
    page.goto(address)
    settled(page)
    fold = FOLDS.get(way, "summary:has-text('Begin with a file, or try an example')" if way == "character" else "")
    if fold and page.locator(fold).count():
        page.locator(fold).first.click()


def drop(page: Page, dropped: Dropped) -> tuple[str, float]:
    """What the page says of an upload in the end, and after how many seconds; "" when it says nothing."""
    field = page.locator(FIELDS.get(dropped.way, "input[type=file]")).first
    field.wait_for(state="attached")
    settled(page)
    before = Counter(page.evaluate(TOLD))
    field.set_input_files(dropped.file)
    began = time.monotonic()
    while time.monotonic() - began < BOUND_S:
        told = list((Counter(page.evaluate(TOLD)) - before).elements())
        if told:
            return " | ".join(told), time.monotonic() - began
        page.wait_for_timeout(100)
    return "", time.monotonic() - began


def run_one(page: Page, studio: Studio, context: AppContext, dropped: Dropped, watch: StudioWatch) -> dict[str, Any]:
    """One upload on its field, and what was seen meanwhile."""
    mark, dialogs, error, words, seconds = watch.mark(), 0, "", "", 0.0

    def dismiss(dialog: Any) -> None:
        nonlocal dialogs
        dialogs += 1
        dialog.dismiss()

    page.on("dialog", dismiss)
    id = context.records.characters.create(context.owner, WHO).id
    try:
        open_field(page, studio, dropped.way, id)
        words, seconds = drop(page, dropped)
        if "Look it over" in words:
            settled(page)
            page.get_by_role("button", name="Cancel").first.click()
            expect(page.get_by_role("heading", name="Look it over")).to_have_count(0, timeout=BOUND_S * 1000)
        settled(page)
        exceptions = page.locator("[data-testid=stException]").count() + page.get_by_text("Traceback").count()
    except (PlaywrightError, AssertionError) as broken:
        error, exceptions = str(broken)[:500], 0
    finally:
        page.remove_listener("dialog", dismiss)
        context.records.characters.delete(id)
    return {
        "name": dropped.name,
        "kind": dropped.kind,
        "way": dropped.way,
        "words": words[:300],
        "seconds": round(seconds, 2),
        "exceptions": exceptions + dialogs,
        "error": error,
        **watch.since(mark),
    }


# ---------------------------------------------------------------- all of them


def run(
    todo: Sequence[tuple[str, Callable[[], Dropped]]], home: Path, out: Path | None, done: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Drops all that are not done yet, on one studio."""
    # Before the studio is watched: making the bombs takes two minutes of a processor.
    ready = [make() for _, make in todo]
    program = next(path for name in CHROMIUM if (path := find_program(name)))
    with started(home) as studio, sync_playwright() as playwright:
        context = open_context(studio.settings)
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = chromium.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        page.set_default_timeout(BOUND_S * 1000)
        page.goto(studio.url)  # scripts and fonts are fetched once
        settled(page)
        with StudioWatch(studio) as watch:
            for dropped in ready:
                found = run_one(page, studio, context, dropped, watch)
                done.append(found)
                print(json.dumps(found), file=sys.stderr, flush=True)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
        chromium.close()
        context.records.close()
    return done


def faults(line: dict[str, Any]) -> list[str]:
    """What does not hold for one upload."""
    checks = {
        "no words": not line["words"],
        "the browser failed": bool(line["error"]),
        "an exception on the page": bool(line["exceptions"]),
        "a traceback in the log": bool(line["tracebacks"]),
        "no answer": bool(line["unanswered"]),
        "a late answer": bool(line["late_own"]),
        "memory": line["memory_mb"] > MEMORY_MB,
    }
    return [name for name, is_so in checks.items() if is_so]


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums over all uploads, and every one for which something does not hold."""
    outcomes = Counter("look it over" if "Look it over" in line["words"] else "said" for line in lines if line["words"])
    slowest = max(lines, key=lambda line: line["seconds"])
    return {
        "uploads": len(lines),
        "bombs": sum(line["name"].startswith("bomb") for line in lines),
        "ways": dict(Counter(line["way"] for line in lines)),
        "outcomes": dict(outcomes),
        "slowest_upload": {key: slowest[key] for key in ("name", "seconds", "words")},
        "health_asked": sum(line["asked"] for line in lines),
        "health_late": sum(line["late"] for line in lines),
        "health_late_own": sum(line["late_own"] for line in lines),
        **{
            f"most_{key}": max(line[key] for line in lines)
            for key in ("slowest_s", "slowest_own_s", "overslept_s", "memory_mb", "peaks_mb")
        },
        "tracebacks": sum(line["tracebacks"] for line in lines),
        "faults": [line | {"faults": faults(line)} for line in lines if faults(line)],
    }


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="four bombs of a tenth of their size")
    parser.add_argument("--out", type=Path, help="file of results, one a line; a second call goes on after them")
    given = parser.parse_args(arguments)
    out: Path | None = given.out
    done = [json.loads(line) for line in out.read_text().splitlines()] if out and out.exists() else []
    with tempfile.TemporaryDirectory(prefix="understudy-page-") as folder:
        todo = listed(given.inputs, given.seed, given.small, Path(folder))
        names = {name for name, _ in todo}
        done = [line for line in done if line["name"] in names]
        left = [one for one in todo if one[0] not in {line["name"] for line in done}]
        if left:
            done = run(left, Path(folder) / "studio", out, done)
    found = summary(done)
    print(json.dumps(found))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
