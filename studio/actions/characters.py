"""The gallery: which characters there are, how to begin one, their versions, and deleting all of one.

A character begins empty, as a copy of a bundled one, or from a file of another program (`import_review.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.character_folder import image_path, read_character, read_test_split, test_image_path
from pipelines.core.character.image_decode import clean_image
from pipelines.core.character.serialize import character_to_entries, split_to_entries
from pipelines.core.jobs.job import ENDED, CharacterRow, Job, RecordMissing
from pipelines.core.queue.training_results import best_of_character
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import overall
from pipelines.core.storage.store import MARKER, put_content
from pipelines.core.storage.stored_images import read_image
from pipelines.core.upload_process import UploadReader
from studio.actions.draft_image_check import check_images
from studio.actions.drafts import Draft, change, name_places, own_character
from studio.actions.images import portrait, store_images
from studio.actions.import_limits import fit_imported
from studio.actions.surplus import untick_surplus
from studio.actions.upload_readers import SmallImage
from studio.actions.verdict import shortfall
from studio.context import AppContext
from studio.labels import counted

MAX_JOBS = 500
"""Latest trainings that are read for the status of the characters."""


@dataclass(frozen=True)
class Tile:
    """One character in the gallery."""

    id: str
    name: str
    portrait: bytes | None
    about: str
    """The beginning of the persona."""
    version: int
    is_changed: bool
    """The draft has moved on since the version was made."""
    changed: str
    """When it was last edited."""
    job: Job | None
    """Its latest training."""
    shortfall: str
    """Why that training is not good yet; "" where it is, and before its end."""
    score: float | None
    """Mean of the scores, 0 to 1, of its best checkpoint."""


@dataclass(frozen=True)
class Bundled:
    """A character that comes with the project."""

    slug: str
    name: str
    about: str
    portrait: bytes


@dataclass(frozen=True)
class VersionView:
    """One published version."""

    number: int
    created: str
    contents: str
    """ "10 pictures, 43 conversations, 40 facts"."""
    jobs: tuple[Job, ...]
    """Trainings on it, newest first."""
    shortfalls: tuple[str, ...]
    """Of each of them, why it is not good yet, or ""."""


def gallery(context: AppContext, search: str = "", start: int = 0, count: int = 24) -> tuple[list[Tile], int]:
    """Some of the owner's characters, the one edited last first, and how many match the search in all."""
    wanted = search.strip().casefold()
    rows = [row for row in context.records.characters.list(context.owner) if wanted in row.name.casefold()]
    latest: dict[str, Job] = {}
    for job in context.records.jobs.list(owner=context.owner, kind="train", limit=MAX_JOBS):
        latest.setdefault(job.character, job)
    return [_tile(context, row, latest.get(row.id)) for row in rows[start : start + count]], len(rows)


def _tile(context: AppContext, row: CharacterRow, job: Job | None) -> Tile:
    persona = str(row.draft.get("persona", ""))
    return Tile(
        row.id,
        row.name or "A character without a name",
        portrait(context, row.draft),
        beginning(persona),
        row.version,
        bool(row.version) and row.changed > row.published,
        row.changed,
        job,
        shortfall(context, job) if job else "",
        best_score(context, row.id) if job else None,
    )


def best_score(context: AppContext, character: str) -> float | None:
    """Mean of the scores of a character's best checkpoint, 0 to 1; None while none deserves the name."""
    best = best_of_character(context.records, context.owner, character)
    if best is None or best.faults:
        return None
    rows = {row.name: row for row in context.records.checkpoints.of_job(best.job)}
    row = rows[best.name]
    return overall(row.scores, rows[BASE].scores if BASE in rows else None, row.measurement)


def beginning(text: str, most: int = 140) -> str:
    """The first so many characters, cut between two words."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"


# ---------------------------------------------------------------- new characters


@lru_cache(maxsize=1)
def bundled() -> tuple[Bundled, ...]:
    """The characters that come with the project, ready to try; read once, since reading takes a moment."""
    found = []
    with resources.as_file(resources.files("pipelines.core") / "bundled") as root:
        for folder in sorted(path for path in root.iterdir() if (path / "character.yaml").is_file()):
            character = read_character(folder)
            image = image_path(folder, character.images[0].file)
            found.append(Bundled(folder.name, character.name, beginning(character.persona, 180), image.read_bytes()))
    return tuple(found)


def try_bundled(context: AppContext, slug: str) -> str:
    """The owner's copy of a bundled character, made when there is none yet; returns its id."""
    for row in context.records.characters.list(context.owner):
        if row.draft.get("origin") == f"bundled:{slug}":
            return row.id
    with resources.as_file(resources.files("pipelines.core") / "bundled") as root:
        # A slug comes from an address or a button; it must be one of ours.
        if slug not in {path.name for path in root.iterdir()}:
            raise RecordMissing(f"no character called {slug} comes with the project")
        draft = draft_of_folder(context, root / slug)
    return context.records.characters.create(context.owner, {**draft, "origin": f"bundled:{slug}"}).id


def draft_of_folder(context: AppContext, folder: Path) -> Draft:
    """The draft of a character folder, its pictures put into the object store; CharacterProblems as when reading it."""
    return draft_of_character(context, fit_imported(read_character(folder), "the folder")[0], folder)


def draft_of_character(
    context: AppContext, character: Character, folder: Path, small: dict[str, SmallImage] | None = None
) -> Draft:
    """The draft of a character whose pictures and held-out split lie in a folder; `small` are pictures' thumbnails."""
    split = read_test_split(folder)
    entries = json.loads(json.dumps(character_to_entries(character)))
    draft: Draft = {**entries, "pictures": store_images(context, _bytes_of(folder, character.images), small)}
    if character.input_images:
        paths = {file: image_path(folder, file) for file in character.input_images}
        draft["input_pictures"] = _stored_clean(context, paths)
    if split is not None:
        draft["test"] = json.loads(json.dumps(split_to_entries(split)))
        files = [*(image.file for image in split.images), *split.input_images]
        draft["test_pictures"] = _stored_clean(context, {file: test_image_path(folder, file) for file in files})
    check_images(context, draft)
    untick_surplus(context, draft)
    return draft


def _stored_clean(context: AppContext, paths: dict[str, Path]) -> dict[str, str]:
    """Object key by file name of pictures that are not edited in the wizard, without metadata."""
    stored = {}
    with UploadReader() as process:
        for file, path in paths.items():
            clean = process.read(clean_image, path.read_bytes(), file=file)
            stored[file] = put_content(context.store, clean, "pictures", PurePosixPath(file).suffix.lower())
    return stored


def _bytes_of(folder: Path, images: tuple[CharacterImage, ...]) -> dict[str, bytes]:
    return {image.file: image_path(folder, image.file).read_bytes() for image in images}


# ---------------------------------------------------------------- versions


def versions(context: AppContext, id: str) -> list[VersionView]:
    """The published versions of a character, newest first."""
    row = own_character(context, id)
    jobs = context.records.jobs.list(owner=context.owner, kind="train", character=id, limit=MAX_JOBS)
    shown = []
    for number in range(row.version, 0, -1):
        version = context.records.characters.version(id, number)
        entries: dict[str, Any] = version.entries
        contents = ", ".join(
            (
                counted(len(entries.get("images", ())), "picture"),
                counted(len(entries.get("interactions", ())), "conversation"),
                counted(len(entries.get("facts", ())), "fact"),
            )
        )
        trained = tuple(job for job in jobs if job.version == number)
        falls = tuple(shortfall(context, job) for job in trained)
        shown.append(VersionView(number, version.created, contents, trained, falls))
    return shown


def restore_version(context: AppContext, id: str, number: int) -> None:
    """Make a published version the draft again; the versions themselves stay as they are."""
    own_character(context, id)
    version = context.records.characters.version(id, number)
    shown = {file: version.images[file] for file in version.entries.get("input_images", ())}
    images = {file: read_image(context.store, key, file) for file, key in version.images.items() if file not in shown}

    def edit(draft: Draft) -> None:
        kept: Draft = {key: draft[key] for key in ("origin", "effort", "base") if key in draft}
        aside = [entry for entry in draft.get("aside", []) if entry["file"] not in images]
        draft.clear()
        draft.update({**version.entries, **kept, "pictures": store_images(context, images)})
        draft.update({"input_pictures": shown} if shown else {})
        if aside:
            draft["aside"] = aside
        draft.pop("held_out", None)  # a version names all of it; the draft only what somebody chose
        if version.test_entries is not None:
            draft.update(test=version.test_entries, test_pictures=dict(version.test_images))
        check_images(context, draft)

    change(context, id, edit)


# ---------------------------------------------------------------- deletion


@dataclass(frozen=True)
class DeletionSummary:
    """What deleting a character takes away."""

    name: str
    lines: tuple[str, ...]
    is_training: bool
    """A job of it waits or runs; it stops."""


def deletion_summary(context: AppContext, id: str) -> DeletionSummary:
    """What is deleted with a character, counted, for the question before it."""
    row = own_character(context, id)
    jobs = context.records.jobs.list(owner=context.owner, kind="train", character=id, limit=MAX_JOBS)
    adapters = sum(len([one for one in context.records.checkpoints.of_job(job.id) if one.adapter_key]) for job in jobs)
    chats = context.records.chats.conversations(context.owner, id, limit=MAX_JOBS)
    lines = (
        counted(len(row.draft.get("pictures", ())) + len(row.draft.get("aside", ())), "picture"),
        counted(len(row.draft.get("interactions", ())), "example conversation"),
        counted(row.version, "published version"),
        counted(len(jobs), "training"),
        counted(adapters, "trained adapter"),
        counted(len(chats), "chat") + " with their votes",
    )
    return DeletionSummary(row.name, lines, any(job.status not in ENDED for job in jobs))


def delete(context: AppContext, id: str) -> None:
    """Delete a character and everything of it: no page and no worker finds any of it from then on.

    The bytes lie under names made of their content, which another character or an upload on its way may share, so they
    go with the daily cleaning, which looks who still refers to them. Trees of adapters are nobody else's: they go now.
    """
    own_character(context, id)
    with context.editing:
        keys, trees = _keys_of(context, id)
        context.records.characters.delete(id)
    for tree in sorted(trees):
        context.store.delete(f"{tree}/{MARKER}")
    context.forget_images(keys)


def _keys_of(context: AppContext, id: str) -> tuple[set[str], set[str]]:
    """Object keys of everything of a character, and the prefixes of its adapter trees."""
    row = own_character(context, id)
    entries = [*row.draft.get("pictures", ()), *row.draft.get("aside", ())]
    keys = {entry[name] for entry in entries for name in ("key", "thumb_key")}
    for part in ("image_keys", "input_pictures", "test_pictures"):
        keys |= set(row.draft.get(part, {}).values())
    trees: set[str] = set()
    for number in range(1, row.version + 1):
        version = context.records.characters.version(id, number)
        keys |= set(version.images.values()) | set(version.test_images.values())
    for job in context.records.jobs.list(owner=context.owner, character=id, limit=10 * MAX_JOBS):
        for checkpoint in context.records.checkpoints.of_job(job.id):
            keys |= set(checkpoint.files.values()) | set(checkpoint.samples)
            trees.add(checkpoint.adapter_key.rstrip("/"))
    for chat in context.records.chats.conversations(context.owner, id, limit=10 * MAX_JOBS):
        keys |= {line.picture_key for line in context.records.chats.messages(chat.id) if line.picture_key}
    return {key for key in keys if key}, trees - {""}


def open_draft(context: AppContext, id: str) -> Draft:
    """The draft for the wizard: facts and turns have ids, and a character of the command line gets its thumbnails."""
    draft = own_character(context, id).draft
    named: dict[str, str] = draft.get("image_keys", {})
    if not named and not name_places(draft):
        return draft
    shown = {file: named[file] for file in draft.get("input_images", ()) if file in named}
    images = {file: read_image(context.store, key, file) for file, key in named.items() if file not in shown}

    def edit(draft: Draft) -> None:
        name_places(draft)
        if draft.pop("image_keys", None) is not None and not draft.get("pictures"):
            draft["pictures"] = store_images(context, images)
            draft.update({"input_pictures": shown} if shown else {})
            check_images(context, draft)

    return change(context, id, edit)
