"""What came of a training that is over, in plain words: whether it is good, what falls short, and what to do about it.

A pure function of the best checkpoint's scores beside those of the model before training, and of how much the
character gave it. "Done" is only said when nothing falls short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.amounts import GOOD_IMAGES, GOOD_INTERACTIONS
from pipelines.core.checkpoint_selection import FAULTS
from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.queue.training_results import BestCheckpoint, best_of
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import ScoreAxis, scorecard
from pipelines.core.score_names import LIKENESS_LEAST
from studio.actions.held_out import job_test
from studio.actions.scores import checkpoint_title
from studio.context import AppContext
from studio.labels import counted

VOICE_LEAST, FACTS_LEAST = 0.1, 0.5
"""Below these the character is not heard, and knows less than every second fact."""
FITTING_LEFT = 0.5
"""Share of how well pictures fitted the words before training, below which less of what is asked is drawn; only where
there are no intervals to tell."""
MENDS: Mapping[str, str] = {
    "does_not_speak": "Write more conversations with short, whole answers, and train again.",
    "leaks_prompt": "Shorten who they are and how they speak, write more conversations, and train again.",
    "copies": "Add pictures that differ more from each other, or train for a shorter time.",
    "forgets": "Train for a shorter time, or add more and more varied conversations.",
    "loses_voice": "Add conversations: it knows the few there are by heart. Or train for a shorter time.",
}
"""Fault of a checkpoint -> what a creator can do."""


@dataclass(frozen=True)
class Finding:
    """One thing that falls short."""

    kind: str
    """A key for programs and tests: an axis of the scorecard, or a fault."""
    short: str
    """The end of "Trained, but ..."."""
    text: str
    """What was measured."""
    mend: str
    """What to do about it."""


@dataclass(frozen=True)
class Verdict:
    """What came of a training."""

    findings: tuple[Finding, ...]
    """What falls short, the most serious first; empty when it is good."""
    unknown: tuple[str, ...]
    """What nobody can tell, and what would make it possible."""
    shows_pictures: bool
    """Whether the pictures of before and after belong beside it."""
    best: str = ""
    """Name of the checkpoint that was judged."""

    @property
    def headline(self) -> str:
        """ "Done", or what falls short most."""
        return f"Trained, but {self.findings[0].short}" if self.findings else "Done"


def verdict_of(context: AppContext, job: Job) -> Verdict | None:
    """The verdict on a training that has succeeded; None for any other, and where nothing was measured."""
    if job.status != "succeeded" or not job.character:
        return None
    test = job_test(context, job)
    return _judged(context, job, test.wanted_voice if test else "")


def shortfall(context: AppContext, job: Job) -> str:
    """The headline of a training that has succeeded and falls short, for lists; "" for any other."""
    if job.status != "succeeded" or not job.character:
        return ""
    found = _judged(context, job)
    return found.headline if found and found.findings else ""


def _judged(context: AppContext, job: Job, wanted_voice: str = "") -> Verdict | None:
    best = best_of(context.records, job)
    if best is None:
        return None
    rows = {row.name: row for row in context.records.checkpoints.of_job(job.id)}
    entries = context.records.characters.version(job.character, job.version).entries
    return verdict(best, rows[best.name], rows.get(BASE), entries, job.recipe or {}, wanted_voice)


def verdict(
    best: BestCheckpoint,
    after: Checkpoint,
    before: Checkpoint | None,
    entries: Mapping[str, Any],
    recipe: Mapping[str, Any],
    wanted_voice: str = "",
) -> Verdict:
    """The verdict on a checkpoint beside the one before training; `entries` are the character's as it was trained, and
    `wanted_voice` what would let it be tested how this very character sounds."""
    base = before.scores if before else None
    card = {axis.key: axis for axis in scorecard(after.scores, base, after.measurement)}
    start = {axis.key: axis for axis in scorecard(base or {}, base, before.measurement if before else None)}
    findings = [_fault(fault, best.name) for fault in best.faults]
    findings += [
        finding
        for finding in (
            _likeness(card["likeness"], start["likeness"], entries, recipe),
            _voice(card["voice"], entries),
            _facts(card["facts_accuracy"]),
            _fitting(card["image_text_match"], start["image_text_match"]),
        )
        if finding
    ]
    wanted = {"voice": wanted_voice} if wanted_voice else {}
    unknown = tuple(
        f"{axis.name}: too little to tell. {wanted.get(key, axis.withheld)}"
        for key, axis in card.items()
        if axis.withheld
    )
    shows = any(finding.kind in ("likeness", "copies") for finding in findings)
    return Verdict(tuple(findings), unknown, shows, best.name)


def _fault(fault: str, name: str) -> Finding:
    return Finding(
        fault,
        "no saved state is good enough to be called the best",
        f"“{checkpoint_title(name)}” comes closest, but {FAULTS[fault]}.",
        MENDS[fault],
    )


def _likeness(
    after: ScoreAxis, before: ScoreAxis, entries: Mapping[str, Any], recipe: Mapping[str, Any]
) -> Finding | None:
    if after.value is None or after.value >= LIKENESS_LEAST:
        return None
    was = f", {before.shown} before training" if before.value is not None else ""
    text = f"“{after.name}” is {after.shown} of 100{was}. From {100 * LIKENESS_LEAST:.0f} on they pass for the same."
    return Finding("likeness", "it does not look like them yet", text, _more_likeness(entries, recipe))


def _more_likeness(entries: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    images: Sequence[Any] = entries.get("images", ())
    ways = []
    if len(images) < GOOD_IMAGES:
        ways.append(f"Add pictures of them: there are {len(images)}, about {GOOD_IMAGES} in different faces are good.")
    ways.append("Choose two clear pictures of the face as references in step 1, and see there how it draws them.")
    if recipe.get("effort") != "thorough":
        ways.append("Then train again with more effort.")
    if recipe.get("base") in STARTER_PRESETS:
        ways.append("The starter draws; photographs and painted detail need a larger base model.")
    return " ".join(ways)


def _voice(after: ScoreAxis, entries: Mapping[str, Any]) -> Finding | None:
    if after.value is None or after.value >= VOICE_LEAST:
        return None
    there = len(entries.get("interactions", ()))
    more = "Look over the conversations: do the answers sound like one person?"
    if there < GOOD_INTERACTIONS:
        more = f"Write more: {counted(there, 'conversation')} so far, about {GOOD_INTERACTIONS} are good."
    text = f"“{after.name}” is {after.shown} of 100: their unseen lines surprise it as much as before training."
    return Finding("voice", "it does not sound like them yet", text, more)


def _facts(after: ScoreAxis) -> Finding | None:
    if after.value is None or after.value >= FACTS_LEAST:
        return None
    text = f"“{after.name}” is {after.shown} of 100: so many questions about them are answered rightly."
    return Finding("facts_accuracy", "it does not know its facts yet", text, "Train further, or shorten the answers.")


def _fitting(after: ScoreAxis, before: ScoreAxis) -> Finding | None:
    """Pictures that show less of what was asked for than they did before training, beyond what chance explains."""
    if after.value is None or before.value is None:
        return None
    if after.interval and before.interval:
        is_less = after.interval[1] < before.interval[0]
    else:
        is_less = after.value < FITTING_LEFT * before.value
    if not is_less:
        return None
    return Finding(
        "image_text_match",
        "its pictures show less of what is asked for",
        f"“{after.name}” is {after.shown} of 100, {before.shown} before training: faces, places and things come less "
        "often as they were asked for.",
        "Say in each caption which face, clothes and place it shows, add pictures in other places, and train again.",
    )
