"""What a worker sees in the pictures of a draft: captions to take or to decline, contradictions, and doubts.

The starter looks at every picture once, right after the upload where a worker is there. What it saw is kept:

    captions_job   the latest job, until what it saw is taken into the draft
    seen           {object key of a picture: what a `CaptionSuggestion` has}
    declined       {object key: [field, ...]} what somebody has said no to: not suggested, and not held against them

Nothing is written below a picture but by a click, and never over words that stand there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.core.character.caption_lint import contradicted_fields
from pipelines.core.character.character import CharacterImage
from pipelines.core.formats.caption_files import MAX_CAPTION_CHARS
from pipelines.core.jobs.job import ENDED, Job, RecordMissing
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.reply_protocol import LOADING, CaptionSuggestion, captions_in, guessed_fields, trusted_fields
from pipelines.core.problems import Problem
from pipelines.core.queue import submit
from pipelines.core.seen_problems import doubt_problems
from studio.actions.drafts import Draft, caption_entry, change, image_entry, own_character
from studio.actions.images import CAPTION_FIELDS
from studio.actions.workers import live_workers
from studio.context import AppContext


@dataclass(frozen=True)
class CaptionsView:
    """What a worker saw so far."""

    suggested: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """File -> suggested fields, where nothing stands yet and nobody has declined it."""
    guessed: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """File -> fields to be asked about, in an art that the model does not know; not among `suggested`."""
    contradicted: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """File -> fields whose words speak against what is seen, with what is seen."""
    doubts: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    """File -> warnings."""
    is_working: bool = False
    waits: bool = False
    """For a worker."""
    is_loading: bool = False
    """The worker loads the model first."""
    looked_at: int = 0
    asked: int = 0
    """Pictures of the job that runs: looked at so far, and all."""
    unseen: int = 0
    """Pictures that nobody has looked at or looks at."""
    error: str = ""


def can_look(context: AppContext) -> bool:
    """Whether a worker is running that would look at once."""
    return bool(live_workers(context, "reply"))


def request_captions(context: AppContext, id: str) -> Job | None:
    """Queue a look at the pictures that were not looked at yet; None when there are none."""
    draft = own_character(context, id).draft
    seen = draft.get("seen", {})
    keys = list(dict.fromkeys(entry["key"] for entry in draft.get("pictures", []) if entry["key"] not in seen))
    if not keys:
        return None
    before = _job(context, draft)
    if before is not None and before.status not in ENDED:
        submit.stop(context.records, before.id, "keep")
    base = draft.get("base") if draft.get("base") in STARTER_PRESETS else "starter"
    job = submit.submit_captions(context.records, context.queue, context.owner, keys, id, str(base))
    change(context, id, lambda draft: draft.update(captions_job=job.id))
    return job


def look_after_upload(context: AppContext, id: str) -> None:
    """Right after pictures came in: look at them, if a worker is there."""
    if can_look(context):
        request_captions(context, id)


def captions_view(context: AppContext, id: str) -> CaptionsView:
    """What was seen; what a finished job saw is taken into the draft."""
    draft = own_character(context, id).draft
    job = _job(context, draft)
    found: list[CaptionSuggestion] = []
    is_loading = False
    if job is not None:
        events = context.records.events.after(job.id, limit=5000)
        found = captions_in(events)
        is_loading = not found and any(LOADING in event.metrics for event in events)
        if job.status == "succeeded":
            draft = change(context, id, lambda draft: _take(draft, job, found))
    seen = {**draft.get("seen", {}), **{item.picture: _kept(item) for item in found}}
    is_working = job is not None and job.status not in ENDED
    asked: Sequence[str] = job.request.get("pictures", ()) if job is not None and is_working else ()
    entries = draft.get("pictures", [])
    failed = job is not None and job.status == "failed"
    # Whether the art is familiar is known when all pictures were looked at.
    trusted, guessed = ({}, {}) if is_working else _readings(draft, seen)
    return CaptionsView(
        _for_files(draft, trusted, suggested_fields),
        _for_files(draft, guessed, suggested_fields),
        _for_files(draft, trusted, contradicted),
        {
            entry["file"]: doubts
            for entry in entries
            if (doubts := tuple(doubt_problems(entry["file"], seen.get(entry["key"], {}).get("doubts", ()))))
        },
        is_working,
        job is not None and job.status == "queued",
        is_working and is_loading,
        len(found) if is_working else 0,
        len(asked),
        sum(entry["key"] not in seen and entry["key"] not in asked for entry in entries),
        job.error if job is not None and failed else "",
    )


def suggested_fields(draft: Draft, entry: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """Of the trusted fields of one picture of `pictures` those that may be suggested."""
    caption = _caption(draft, entry["file"])
    if caption.get("caption"):
        return {}
    declined = draft.get("declined", {}).get(entry["key"], ())
    return {
        name: fields[name]
        for name in CAPTION_FIELDS
        if fields.get(name) and not str(caption.get(name, "")).strip() and name not in declined
    }


def contradicted(draft: Draft, entry: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """Of the trusted fields of one picture those that its words speak against, unless somebody has upheld them."""
    caption = _caption(draft, entry["file"])
    image = CharacterImage(entry["file"], **{name: str(caption.get(name, "")) for name in (*CAPTION_FIELDS, "caption")})
    declined = draft.get("declined", {}).get(entry["key"], ())
    found = contradicted_fields(image, fields)
    return {name: words for name, words in found.items() if name not in declined}


def take_captions(context: AppContext, id: str, file: str = "") -> int:
    """Write what is suggested below all pictures, or below one what is suggested or asked; returns for how many."""
    found = _offered(context, id, file)
    files = [name for name in found if file in ("", name)]

    def edit(draft: Draft) -> None:
        for name in files:
            image_entry(draft, name)
            entry = caption_entry(draft, name)
            entry.update({key: words for key, words in found[name].items() if not str(entry.get(key, "")).strip()})

    change(context, id, edit)
    return len(files)


def decline_captions(context: AppContext, id: str, file: str = "") -> None:
    """Say no to what is suggested for all pictures, or for one to what is suggested or asked; it does not come back."""
    found = _offered(context, id, file)
    _decline(context, id, {name: tuple(fields) for name, fields in found.items() if file in ("", name)})


def uphold_caption(context: AppContext, id: str, file: str) -> None:
    """Say that one's own words about a picture are right; what is seen is not held against them any more."""
    _decline(context, id, {file: tuple(captions_view(context, id).contradicted.get(file, ()))})


def _decline(context: AppContext, id: str, fields: Mapping[str, tuple[str, ...]]) -> None:
    def edit(draft: Draft) -> None:
        declined = draft.setdefault("declined", {})
        for file, names in fields.items():
            key = image_entry(draft, file)["key"]
            declined[key] = sorted({*declined.get(key, ()), *names})

    change(context, id, edit)


def _offered(context: AppContext, id: str, file: str) -> Mapping[str, dict[str, str]]:
    """Guesses are for one picture at a time: somebody has to look at it."""
    view = captions_view(context, id)
    return {**view.guessed, **view.suggested} if file else view.suggested


def _readings(draft: Draft, seen: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Object key of a picture -> the fields that may be trusted, and those that may be asked about."""
    there = {entry["key"]: seen[entry["key"]] for entry in draft.get("pictures", []) if entry["key"] in seen}
    found = [
        CaptionSuggestion(key, kept["fields"], "", tuple(kept["sure"]), kept["is_familiar"], tuple(kept["doubts"]))
        for key, kept in there.items()
    ]
    trusted, guessed = trusted_fields(found), guessed_fields(found)
    return dict(zip(there, trusted, strict=True)), dict(zip(there, guessed, strict=True))


def _for_files(draft: Draft, seen: Mapping[str, Any], of: Any) -> dict[str, dict[str, str]]:
    return {
        entry["file"]: fields
        for entry in draft.get("pictures", [])
        if entry["key"] in seen and (fields := of(draft, entry, seen[entry["key"]]))
    }


def _caption(draft: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    return next((entry for entry in draft.get("images", []) if entry["file"] == file), {})


def _kept(item: CaptionSuggestion) -> dict[str, Any]:
    fields = {
        name: words[:MAX_CAPTION_CHARS] for name, words in item.fields.items() if name in CAPTION_FIELDS and words
    }
    return {"fields": fields, "sure": list(item.sure), "is_familiar": item.is_familiar, "doubts": list(item.doubts)}


def _take(draft: Draft, job: Job, found: list[CaptionSuggestion]) -> None:
    if draft.get("captions_job") != job.id:  # another tab has taken it, or asked for more
        return
    del draft["captions_job"]
    there = {entry["key"] for part in ("pictures", "aside") for entry in draft.get(part, [])}
    kept = {key: reading for key, reading in draft.get("seen", {}).items() if key in there}
    draft["seen"] = {**kept, **{item.picture: _kept(item) for item in found}}
    if "declined" in draft:
        draft["declined"] = {key: fields for key, fields in draft["declined"].items() if key in there}


def _job(context: AppContext, draft: Mapping[str, Any]) -> Job | None:
    try:
        return context.records.jobs.get(draft["captions_job"]) if draft.get("captions_job") else None
    except RecordMissing:
        return None
