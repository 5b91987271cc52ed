"""Checks of a draft's pictures, run after every edit: their results are stored in the draft.

So drawing a page decodes nothing. What is checked is in `pipelines/core/character/image_check.py` and
`image_set_check.py`; here it becomes the `problems` and `fixes` of each entry of `pictures` (`drafts.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from pipelines.core.character.image_check import GOOD_ASPECT, ImageReport, check_image
from pipelines.core.character.image_set_check import is_copy
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.storage.store import read
from pipelines.core.upload_process import read_apart
from studio.actions.drafts import Draft
from studio.actions.upload_readers import is_small, read_report, report_of
from studio.context import AppContext

Fix = Literal["crop", "drop"]
"""Edits of one click that would solve a problem."""

NAME = "This picture"


@lru_cache(maxsize=512)
def _image_report(context: AppContext, key: str) -> tuple[ImageReport | None, tuple[Problem, ...]]:
    # Keys are content addresses, so a result never goes stale.
    data = read(context.store, key)
    if is_small(data):
        report, found = check_image(data, NAME)
        return report, tuple(found)
    try:
        values, problems = read_apart(read_report, data, NAME, file=NAME)
    except CharacterProblems as refused:
        return None, refused.problems
    return (None if values is None else report_of(values)), tuple(problems)


def image_report(context: AppContext, key: str) -> ImageReport | None:
    """What was measured on a stored picture; None for one that cannot be used."""
    return _image_report(context, key)[0]


def check_images(context: AppContext, draft: Draft) -> None:
    """Check every picture of a draft: problems, near copies, and the edits that would help."""
    seen: list[tuple[str, ImageReport]] = []
    for entry in draft.get("pictures", []):
        report, found = _image_report(context, entry["key"])
        first = next((file for file, other in seen if report and _alike(report, other)), "")
        problems = [Problem(entry["file"], item.message, item.mend, item.severity) for item in found]
        if first:
            same = any(one["file"] == first and one["sha256"] == entry["sha256"] for one in draft["pictures"])
            problems.append(
                Problem(
                    entry["file"],
                    f"This picture is {'' if same else 'nearly '}the same as {first[:2]}.",
                    "Keep the better one of the two.",
                    "error" if same else "warning",
                )
            )
        elif report:
            seen.append((entry["file"], report))
        short, long = sorted((entry["width"], entry["height"]))
        fixes: list[Fix] = ["crop"] if long > GOOD_ASPECT * short else []
        fixes += ["drop"] if first or (report is None and not fixes) else []
        entry.update(problems=[item.to_json() for item in problems], fixes=fixes, copy_of=first)


def _alike(report: ImageReport, other: ImageReport) -> bool:
    return report.sha256 == other.sha256 or is_copy(report, other)
