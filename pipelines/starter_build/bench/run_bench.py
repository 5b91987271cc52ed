"""Run the parts of `understudy bench starter` and put their answers together.

Each part is resumable by itself: its finished cases stand in OUT/PART.jsonl. OUT/bench.json has the last answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.presets import identity_of
from pipelines.starter_build.bench.bench_context import BenchContext
from pipelines.starter_build.bench.characters_part import run_characters
from pipelines.starter_build.bench.drawings_part import run_drawings
from pipelines.starter_build.bench.fewshot_part import run_fewshot
from pipelines.starter_build.bench.own_art_part import run_own_art
from pipelines.starter_build.bench.people_part import run_people
from pipelines.starter_build.bench.readings import PartResult
from pipelines.starter_build.bench.replies_part import run_replies

PARTS: dict[str, Callable[[BenchContext], PartResult]] = {
    "drawings": run_drawings,
    "people": run_people,
    "fewshot": run_fewshot,
    "own-art": run_own_art,
    "characters": run_characters,
    "replies": run_replies,
}
"""By the name given to `--part`, in the order in which they run."""
ANSWER_FILE = "bench.json"


def run_bench(context: BenchContext, parts: Sequence[str]) -> tuple[dict[str, Any], list[PartResult]]:
    """(the answer as JSON, what each part found).

    A part whose grader is not shipped is skipped, and the answer says so.
    """
    context.out.mkdir(parents=True, exist_ok=True)
    identity = identity_of(context.base)
    answer: dict[str, Any] = {
        "name": "starter",
        "base": identity.name,
        "revision": identity.revision,
        "out": str(context.out),
        "parts": {},
        "skipped": {},
    }
    results = []
    for name in parts:
        began = time.monotonic()
        try:
            result = PARTS[name](context)
        except WeightsMissing as missing:
            context.say(f"{name}: skipped. {missing}")
            answer["skipped"][name] = str(missing)
            continue
        results.append(result)
        # Of this call: what was there already took no time.
        answer["parts"][name] = result.to_json() | {"seconds": round(time.monotonic() - began, 1)}
        text = json.dumps(answer, ensure_ascii=False, indent=1)
        (context.out / ANSWER_FILE).write_text(text + "\n", encoding="utf-8")
    return answer, results
