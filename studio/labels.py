"""Words a creator reads, in one place: what a status, a stage or a score is called, and how time is told.

Nothing here draws and nothing decides; pages and actions share it. Engineers' terms do not belong here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from pipelines.core.jobs.job import JobStatus
from pipelines.core.jobs.training_extent import TrainingExtent

STATUS: dict[JobStatus, str] = {
    "queued": "Waiting",
    "running": "Learning",
    "stopping": "Stopping",
    "succeeded": "Trained",
    "stopped": "Stopped",
    "failed": "Failed",
}
"""What a training job's status is called."""

EFFORTS = {
    "quick": "Quick",
    "standard": "Standard",
    "thorough": "Thorough",
}
"""The one dial."""
BASE_TITLES = {
    "starter": "Starter",
    "janus-pro-1b": "Janus-Pro 1B",
    "janus-pro-7b": "Janus-Pro 7B",
    "bagel-7b": "BAGEL 7B",
}
"""What base models are called; one that is not here, by its preset."""


def base_title(preset: str) -> str:
    """What a base model is called."""
    return BASE_TITLES.get(preset, preset)


def extent_words(extent: TrainingExtent) -> str:
    """What somebody should know before they choose a state that has had so little training."""
    at = f"Step {extent.step} of {extent.planned}"
    if extent.is_hardly_trained:
        return f"{at}: hardly trained yet, they may not look or talk like themselves."
    return f"{at} of the basics, and never measured: nobody knows yet how much they look and talk like themselves."


NOT_CHECKED = (
    "Its training still runs and has not checked this state yet: "
    "nobody knows how much they look and talk like themselves."
)
"""What somebody should know before they choose a state that a running training has saved and not measured."""


def ago(time: str, clock: datetime | None = None) -> str:
    """How long ago a moment of the records (UTC, ISO 8601) was: "5 minutes ago"; "" for no time."""
    if not time:
        return ""
    seconds = ((clock or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
    if seconds < 60:
        return "just now"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // size)
        if count:
            return f"{counted(count, unit)} ago"
    return "just now"


def minutes(seconds: float) -> str:
    """A length of time in the words that fit it: "40 seconds", "12 minutes", "3 hours"."""
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"


def time_range(low: float, high: float) -> str:
    """From so many seconds to so many, "6 to 9 minutes", in one unit where both fit it."""
    low, high = min(low, high), max(low, high)
    if minutes(low) == minutes(high):
        return f"about {minutes(high)}"
    first, first_unit = minutes(low).split()
    _, last_unit = minutes(high).split()
    same = first_unit.rstrip("s") == last_unit.rstrip("s")
    return f"{first} to {minutes(high)}" if same else f"{minutes(low)} to {minutes(high)}"


def told_apart(labels: Mapping[str, str]) -> dict[str, str]:
    """The same labels, those that stand there more than once numbered: "Ada", "Ada (2)".

    Streamlit tells what was chosen in a list by its label alone, so of two equal ones only the first could be chosen.
    """
    seen: Counter[str] = Counter()
    found: dict[str, str] = {}
    for key, label in labels.items():
        seen[label] += 1
        mine = label if seen[label] == 1 else f"{label} ({seen[label]})"
        while mine in found.values():
            seen[label] += 1
            mine = f"{label} ({seen[label]})"
        found[key] = mine
    return found


def counted(count: int, noun: str, plural: str = "") -> str:
    """The number with its noun: "1 picture", "10 pictures", "no pictures"."""
    many = plural or f"{noun}s"
    return f"no {many}" if count == 0 else f"1 {noun}" if count == 1 else f"{count:,} {many}"


def listed(items: list[str]) -> str:
    """Items as a sentence has them: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
