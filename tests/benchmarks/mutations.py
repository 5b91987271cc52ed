"""Mutated inputs over all readers: no traceback, none over 5 s of processor time or 500 MB of memory.

    python -m tests.benchmarks.mutations RESULTS.jsonl [--count 5000] [--seed 0]

Whole inputs (`tests/core/formats/whole_inputs.py`) are damaged by seeded chance: bytes and lengths (as in
test_fuzz.py), other encodings, repeated or exchanged parts, pieces of another format; in containers also inside, with
checksums right. Each runs in a process of its own that is forked from one with everything loaded, under limits of the
system; its peak is what Linux counted for it (`VmHWM`, set back before). Results are appended a line each: started
again, it goes on where it stopped. Prints one JSON object; exit status 1 when an input breaks a limit.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.core.character.character_folder import CHARACTER_FILE, TEST_FILE, read_character
from pipelines.core.character.image_check import check_image
from pipelines.core.character.image_decode import clean_image
from pipelines.core.formats.caption_files import assign_captions
from pipelines.core.formats.card_files import put_chunks, read_chunks
from pipelines.core.formats.cards import is_card_chunk
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems, Problem
from tests.core.formats.test_fuzz import DAMAGES, Chance, use_yaml
from tests.core.formats.whole_inputs import Input, whole_inputs, write_tola

LIMIT_CPU_S = 5
LIMIT_PEAK_MB = 500
ADDRESS_SPACE = 4 * 2**30
"""Bytes that a process may map beside what it begins with, so that a runaway ends before the machine does."""
WALL_S = 300
"""Longest by the clock, for what waits without computing."""
TEXTS = (".json", ".jsonl", ".yaml", ".txt", ".csv", ".caption")


# ---------------------------------------------------------------- mutations


def reencoded(data: bytes, chance: Chance) -> bytes:
    """The same text in another encoding, with other line ends or a mark before it."""
    text = data.decode("utf-8", "replace")
    ends = chance.choice(("\n", "\r\n", "\r", "\u2028", "\x0b"))
    coding = chance.choice(("utf-16", "utf-16-be", "utf-32", "cp1252", "gbk", "shift-jis", "utf-8-sig", "utf-7"))
    return text.replace("\n", ends).encode(coding, "replace")


def repeated(data: bytes, chance: Chance) -> bytes:
    """A part of it many times over, up to about 4 MB more."""
    start = chance.randrange(len(data))
    part = data[start : start + chance.choice((1, 7, 300, 20_000))]
    times = min(chance.choice((50, 5_000, 200_000)), 4_000_000 // max(len(part), 1))
    return data[:start] + part * times + data[start:]


def swapped(data: bytes, chance: Chance) -> bytes:
    """Two parts of equal length exchanged."""
    size = chance.choice((1, 5, 40))
    left, right = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    if left + size > right:
        return data[::-1]
    middle = data[left + size : right]
    return data[:left] + data[right : right + size] + middle + data[left : left + size] + data[right + size :]


def spliced(data: bytes, other: bytes, chance: Chance) -> bytes:
    """A piece of another input in the place of a piece of this."""
    start, begin = chance.randrange(len(data)), chance.randrange(max(len(other), 1))
    size = chance.choice((20, 500, 5_000))
    return data[:start] + other[begin : begin + size] + data[start + chance.choice((0, size)) :]


def mutated(one: Input, inputs: Sequence[Input], chance: Chance) -> bytes:
    """The input with one to three mutations, outside or in one of the files it holds."""
    data = one.data
    is_folder = one.name.endswith(".folder")
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        changed = _inside(one.name, data, inputs, chance) if is_folder or chance.random() < 0.6 else b""
        data = changed or (data if is_folder else _plain(data, inputs, chance))
    return data


def _plain(data: bytes, inputs: Sequence[Input], chance: Chance) -> bytes:
    data = data or b" "
    ways: tuple[Callable[[bytes, Chance], bytes], ...] = (*DAMAGES, reencoded, repeated, swapped)
    way = chance.randrange(len(ways) + 1)
    try:
        return spliced(data, chance.choice(inputs).data, chance) if way == len(ways) else ways[way](data, chance)
    except (IndexError, ValueError, RecursionError):  # too little is left for this kind of damage
        return data[: len(data) // 2]


def _inside(name: str, data: bytes, inputs: Sequence[Input], chance: Chance) -> bytes:
    """The container with one of its files mutated; b"" when it is none, or none any more."""
    try:
        if data.startswith(b"\x89PNG"):
            texts = read_chunks(data, name)
            keyword = chance.choice([key for key in texts if is_card_chunk(key)] or ["chara"])
            card = base64.b64decode(texts.get(keyword, b""))
            whole = {key: texts[key] for key in ("ccv3", "chara") if key in texts}
            changed = base64.b64encode(_plain(card, inputs, chance))
            return put_chunks(data, {**whole, keyword: changed}, is_card_chunk, name)
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = {path: archive.read(path) for path in archive.namelist()}
            texts_in = [path for path in files if path.lower().endswith(TEXTS)]
            victim = chance.choice(texts_in * 5 + list(files))
            files[victim] = _plain(files[victim], inputs, chance)
            if chance.random() < 0.2:
                del files[chance.choice(list(files))]
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, content in files.items():
                    archive.writestr(path, content)
            return out.getvalue()
    except (CharacterProblems, ValueError, IndexError, OSError, zipfile.BadZipFile, zlib.error, EOFError):
        return b""
    except (NotImplementedError, RuntimeError):  # an earlier mutation named another packing, or a password
        return b""
    return b""


# ---------------------------------------------------------------- reading


def read_input(one: Input, data: bytes, scratch: Path) -> list[Problem]:
    """Reads an input as people bring it, and what came of it again."""
    if one.name.startswith("picture."):
        report, problems = check_image(data, one.name)
        if report is not None:
            clean_image(data)
        return problems
    if one.name in (CHARACTER_FILE, TEST_FILE):
        return use_yaml(one.name, data, scratch)
    if one.name == "caption.txt":
        return assign_captions(["caption.png"], [(one.name, data)])[1]
    source, target = scratch / one.name, scratch / "character"
    if one.name.endswith(".folder"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(source)  # our own names; only contents are mutated
    else:
        source.write_bytes(data)
    if one.is_added:
        write_tola(target)
    notes = import_file(source, target, role="Tola" if one.name.startswith("mmrole") else "", lore="facts")
    read_character(target)
    return notes


def _memory_mb(key: str) -> float:
    """A line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def _measure(one: Input, data: bytes, scratch: Path) -> dict[str, Any]:
    """What reading did: outcome, processor seconds and peak memory of this process, which has done nothing else."""
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to what is held now
    held, began, error = _memory_mb("VmRSS"), time.process_time(), ""
    try:
        problems, outcome = read_input(one, data, scratch), "read"
    except CharacterProblems as refused:
        problems, outcome = list(refused.problems), "refused"
    except BaseException:  # noqa: BLE001  # whatever it is, it is what is looked for
        problems, outcome, error = [], "traceback", traceback.format_exc()[-1500:]
    if any(not (problem.field and problem.message.endswith(".")) for problem in problems):
        error, outcome = f"no whole sentence: {problems[:3]}"[:1500], "traceback"
    return {
        "outcome": outcome,
        "notes": len(problems),
        "cpu_s": round(time.process_time() - began, 3),
        "peak_mb": round(_memory_mb("VmHWM"), 1),
        "grown_mb": round(_memory_mb("VmHWM") - held, 1),
        "error": error,
    }


def run_alone(one: Input, data: bytes, scratch: Path) -> dict[str, Any]:
    """`_measure` in a process of its own under limits; how the system ended it where it did not come back."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CPU, (2 * LIMIT_CPU_S, 2 * LIMIT_CPU_S))
            most = int(_memory_mb("VmSize") * 2**20) + ADDRESS_SPACE
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            signal.alarm(WALL_S)
            os.write(writer, json.dumps(_measure(one, data, scratch)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if told:
        found: dict[str, Any] = json.loads(told)
        return found
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no answer"
    return {"outcome": "killed", "notes": 0, "cpu_s": 2.0 * LIMIT_CPU_S, "peak_mb": 0, "grown_mb": 0, "error": ended}


# ---------------------------------------------------------------- the run


def run(results: Path, count: int, seed: int) -> dict[str, Any]:
    """All cases that are not in the results yet; returns the summary of all."""
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    known = {line["case"] for line in done}
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        inputs = whole_inputs(Path(folder) / "whole")
        for one in inputs:  # everything loads once, in the process that is forked
            scratch = Path(folder) / "loaded" / one.name
            scratch.mkdir(parents=True)
            read_input(one, one.data, scratch)
        with results.open("a", encoding="utf-8") as file:
            for case in sorted(set(range(count)) - known):
                one = inputs[case % len(inputs)]
                data = mutated(one, inputs, random.Random(f"{seed} {one.name} {case}"))
                scratch = Path(folder) / "case"
                scratch.mkdir()
                line = {"case": case, "input": one.name, "bytes": len(data), **run_alone(one, data, scratch)}
                shutil.rmtree(scratch)
                file.write(json.dumps(line) + "\n")
                file.flush()
                done.append(line)
    return summary([line for line in done if line["case"] < count], len(inputs))


def broken(line: dict[str, Any]) -> bool:
    """Whether an input broke a limit."""
    slow = line["cpu_s"] > LIMIT_CPU_S
    return line["outcome"] in ("traceback", "killed") or slow or line["peak_mb"] > LIMIT_PEAK_MB


def summary(lines: Sequence[dict[str, Any]], inputs: int) -> dict[str, Any]:
    """Counts, the slowest and the largest, and every input that broke a limit."""
    slowest, largest = max(lines, key=lambda one: one["cpu_s"]), max(lines, key=lambda one: one["peak_mb"])
    shown = ("case", "input", "cpu_s", "peak_mb", "grown_mb")
    return {
        "cases": len(lines),
        "inputs": inputs,
        "outcomes": dict(Counter(line["outcome"] for line in lines)),
        "cpu_s": round(sum(line["cpu_s"] for line in lines), 1),
        "median_cpu_s": statistics.median(line["cpu_s"] for line in lines),
        "slowest": {key: slowest[key] for key in shown},
        "largest": {key: largest[key] for key in shown},
        "broken": [line for line in lines if broken(line)],
    }


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    found = run(chosen.results, chosen.count, chosen.seed)
    print(json.dumps(found, indent=2))
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
