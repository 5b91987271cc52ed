"""How the model sees a character that is not trained yet: references, four drawings, and every picture rebuilt.

The drawings come from a worker (`worker/drawings.py`), as captions do; what it drew is kept in the draft:

    drawings_job   the latest job, until what it drew is taken into the draft
    drawings       {"drawn": [[look, key], ...], "rebuilt": {key of a picture: key}, "of": what they were drawn from,
                   "count": how many times it was drawn, "style_loss": how badly the model foresees the pictures}

Which pictures are references is the creator's choice (`references` of the draft), or the captions' (`references.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.core.character.held_out_split import hold_out
from pipelines.core.character.references import ranked_references
from pipelines.core.jobs.draw_protocol import (
    DRAW_TASK,
    FOREIGN_LOSS,
    SHOWN_LOOKS,
    Drawings,
    DrawRequest,
    drawings_in,
    shown_entries,
)
from pipelines.core.jobs.durations import working_seconds
from pipelines.core.jobs.job import ENDED, Job, RecordMissing, new_id
from pipelines.core.jobs.model_specs import REFERENCE_IMAGES, STARTER_PRESETS
from pipelines.core.queue import submit
from pipelines.core.storage.store import StoreError
from studio.actions.drafts import Draft, change, character_of, entries_of, image_entry, own_character, tested_character
from studio.actions.workers import is_training_beside, live_workers
from studio.context import AppContext

USED = REFERENCE_IMAGES["starter"]
"""How many references are looked at."""
RECENT_REPLIES = 100
"""Latest jobs of the reply queue among which drawings are looked for."""
State = Literal["none", "waiting", "drawing", "done", "failed"]


@dataclass(frozen=True)
class DrawingsView:
    """What a page shows of the drawings."""

    state: State
    drawn: tuple[tuple[str, bytes], ...] = ()
    """(look, PNG) of each drawing; those of the time before while new ones are made."""
    rebuilt: Mapping[str, bytes] = field(default_factory=dict)
    """File of a picture -> PNG of its rebuilding."""
    share: float = 0.0
    """Of the drawing that is done, 0..1."""
    is_stale: bool = False
    """Pictures, references, name or appearance have changed since."""
    error: str = ""
    is_foreign: bool | None = None
    """Whether the model does not know the art of the pictures; None where nobody has measured it."""
    is_loading: bool = False
    """The worker loads the model first."""
    is_put_off: bool = False
    """It was stopped before it was done, since a training began."""


# ---------------------------------------------------------------- references


def used_references(draft: Draft) -> tuple[str, ...]:
    """Files of the pictures that are looked at wherever the character is drawn."""
    return _ranked(draft)[:USED]


def _ranked(draft: Draft) -> tuple[str, ...]:
    # The same split as a training will make: what it holds out, it will not look at.
    ranked = ranked_references(character_of(draft)[0] if draft.get("test") else hold_out(tested_character(draft))[0])
    unusable = {entry["file"] for entry in draft.get("pictures", []) if _is_unusable(entry)}
    return tuple(sorted(ranked, key=lambda file: file in unusable))  # such as the same picture twice


def _is_unusable(entry: Mapping[str, Any]) -> bool:
    return any(problem["severity"] == "error" for problem in entry.get("problems", ()))


def use_reference(context: AppContext, id: str, file: str, use: bool) -> None:
    """Use a picture as a reference, in the place of the one chosen longest ago, or leave that to the next best.

    One that was to be kept for the test is no longer kept.
    """

    def edit(draft: Draft) -> None:
        image_entry(draft, file)
        others = [name for name in _ranked(draft) if name != file]
        draft["references"] = [file, *others][:USED] if use else others[:USED]
        kept = draft.get("held_out", {}).get("images", [])
        if use and file in kept:
            kept.remove(file)

    change(context, id, edit)


def forget_references(context: AppContext, id: str) -> None:
    """Leave the choice to the captions again."""
    change(context, id, lambda draft: draft.pop("references", None))


# ---------------------------------------------------------------- drawings


def can_draw(context: AppContext) -> bool:
    """Whether a worker is running that would draw at once."""
    return bool(live_workers(context, "reply"))


def last_took_s(context: AppContext) -> float:
    """Seconds that the latest drawings of any character took here, loading and rebuilding included; 0 without any."""
    jobs = context.records.jobs.list(kind="reply", statuses=["succeeded"], limit=RECENT_REPLIES)
    latest = next((job for job in jobs if job.request.get("task") == DRAW_TASK and job.started and job.ended), None)
    return working_seconds(latest.started, latest.ended) if latest else 0.0


def warm(context: AppContext) -> None:
    """Have a worker load the model while somebody looks for pictures, so that the drawings come sooner."""
    if can_draw(context):
        request = {"task": "warm", "base": "starter"}
        submit.submit(context.records, context.queue, Job(new_id(), "reply", context.owner, request=request))


def request_drawings(context: AppContext, id: str) -> Job:
    """Queue four drawings and every picture's rebuilding; an earlier request that still waits is taken back."""
    draft = own_character(context, id).draft
    before = _job(context, draft)
    if before is not None and before.status not in ENDED:
        submit.stop(context.records, before.id, "keep")
    pictures = {entry["file"]: entry["key"] for entry in draft.get("pictures", [])}
    entries = shown_entries({**entries_of(draft), "references": _ranked(draft)}, list(pictures))
    count = draft.get("drawings", {}).get("count", 0)
    looks = SHOWN_LOOKS[count % len(SHOWN_LOOKS)]
    # Other base models read no references, and would draw somebody else.
    base = draft.get("base") if draft.get("base") in STARTER_PRESETS else "starter"
    request = DrawRequest(entries, pictures, looks, count, str(base), _fingerprint(draft))
    job = Job(new_id(), "reply", context.owner, id, request=request.to_json())
    kept = submit.submit(context.records, context.queue, job)
    change(context, id, lambda draft: draft.update(drawings_job=kept.id))
    return kept


def draw_after_upload(context: AppContext, id: str) -> None:
    """Right after pictures came in: draw, if a worker is there and it would look at other pictures than before.

    Not beside a training on the same processor: that takes minutes, and takes them from the training.
    """
    draft = own_character(context, id).draft
    if not draft.get("pictures") or not can_draw(context) or is_training_beside(context):
        return
    job = _job(context, draft)
    before = job.request.get("of") if job is not None else draft.get("drawings", {}).get("of")
    if before is None or before["references"] != _fingerprint(draft)["references"]:
        request_drawings(context, id)


def put_off(context: AppContext, id: str) -> None:
    """Stop drawings of a character that wait or are being made, since its training begins and needs the processor.

    Where a worker has a GPU they take seconds, and may go on.
    """
    job = _job(context, own_character(context, id).draft)
    if job is None or job.status in ENDED or any(worker.gpu for worker in live_workers(context, "reply")):
        return
    submit.stop(context.records, job.id, "keep")


def drawings_view(context: AppContext, id: str) -> DrawingsView:
    """The drawings as they stand; what a finished job drew is taken into the draft."""
    draft = own_character(context, id).draft
    job, found = _job(context, draft), Drawings()
    state: State = "done" if draft.get("drawings") else "none"
    if job is not None:
        found = drawings_in(context.records.events.after(job.id, limit=5000))
        is_over = job.status == "stopping" or job.status in ENDED
        state = "failed" if is_over else "waiting" if job.status == "queued" else "drawing"
        if job.status == "succeeded":
            draft = change(context, id, lambda draft: _take(draft, job, found))
            state = "done"
    kept = draft.get("drawings", {})
    drawn = [found.drawn[place] for place in sorted(found.drawn)] or kept.get("drawn", [])
    rebuilt = {**kept.get("rebuilt", {}), **found.rebuilt}
    entries = draft.get("pictures", [])
    loss = found.style_loss if found.style_loss is not None else kept.get("style_loss")
    return DrawingsView(
        state,
        tuple((look, picture) for look, key in drawn if (picture := _image(context, key))),
        {
            entry["file"]: picture
            for entry in entries
            if entry["key"] in rebuilt and (picture := _image(context, rebuilt[entry["key"]]))
        },
        found.share if state == "drawing" else 0.0,
        state == "done" and kept.get("of") != _fingerprint(draft),
        job.error if job is not None and state == "failed" else "",
        None if loss is None else loss > FOREIGN_LOSS,
        state == "drawing" and found.is_loading,
        job is not None and job.status in ("stopping", "stopped"),
    )


def _take(draft: Draft, job: Job, found: Drawings) -> None:
    if draft.get("drawings_job") != job.id:  # another tab has taken it, or asked for more
        return
    del draft["drawings_job"]
    draft["drawings"] = {
        "drawn": [list(found.drawn[place]) for place in sorted(found.drawn)],
        "rebuilt": found.rebuilt,
        "of": job.request["of"],
        "count": draft.get("drawings", {}).get("count", 0) + 1,
        "style_loss": found.style_loss,
    }


def _fingerprint(draft: Draft) -> dict[str, str]:
    """What the drawings depend on: the references by their content, and everything else that is read or shown."""
    keys = {entry["file"]: entry["key"] for entry in draft.get("pictures", [])}
    words = [str(draft.get(key, "")).strip() for key in ("name", "appearance")]
    return {
        "references": _digest([keys[file] for file in used_references(draft) if file in keys]),
        "rest": _digest([*words, *sorted(keys.values())]),
    }


def _digest(words: list[str]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def _job(context: AppContext, draft: Draft) -> Job | None:
    try:
        return context.records.jobs.get(draft["drawings_job"]) if draft.get("drawings_job") else None
    except RecordMissing:
        return None


def _image(context: AppContext, key: str) -> bytes | None:
    try:
        return context.image(key)
    except StoreError:
        return None
