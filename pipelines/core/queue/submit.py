"""Submitting jobs, and what people do with them: stop, resume, clone, continue; publishing a character for them.

Bytes first, then rows, then the message to the workers; whatever is interrupted in between leaves nothing half done:
the bytes go with the next garbage collection, and a job without its message is found by the sweeper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from celery import Celery

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import image_path, read_character, read_test_split, test_image_path
from pipelines.core.character.held_out_split import UNTESTED, Tested, with_held_out
from pipelines.core.character.image_decode import clean_image
from pipelines.core.character.serialize import character_to_entries, split_to_entries
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.jobs.job import CharacterVersion, Checkpoint, Job, new_id
from pipelines.core.jobs.recipe import LORA_FIELDS, Recipe
from pipelines.core.jobs.reply_protocol import ReplyRequest
from pipelines.core.jobs.tested_before import tested_by
from pipelines.core.queue.broker import notify_worker
from pipelines.core.records import Records
from pipelines.core.run_folder import BASE, START, usable_files
from pipelines.core.storage.store import Store, put_content


def publish_folder(records: Records, store: Store, owner: str, folder: Path) -> CharacterVersion:
    """Keep a character folder as a version: of the owner's character of that name, or of a new one.

    The same folder again gives the same version. Raises CharacterProblems, StoreError or RecordsUnusable.
    """
    character, split = with_clean_texts(read_character(folder)), with_clean_texts(read_test_split(folder))
    files = [*(image.file for image in character.images), *character.input_images]
    images = _keep_pictures(store, {file: image_path(folder, file) for file in files})
    test_entries, test_images = None, {}
    if split is not None:
        test_entries = split_to_entries(split)
        files = [*(image.file for image in split.images), *split.input_images]
        test_images = _keep_pictures(store, {file: test_image_path(folder, file) for file in files})
    known = next((row.id for row in records.characters.list(owner) if row.name == character.name), "")
    if split is None:
        character = with_held_out(character, _tested(records, known, character, images))
    entries = character_to_entries(character)
    draft = {**entries, "image_keys": images}
    id = known or records.characters.create(owner, draft).id
    return records.characters.publish(id, entries, test_entries, images, test_images)


def _tested(records: Records, id: str, character: Character, images: Mapping[str, str]) -> Tested:
    """What the latest version of a character held out and learned; nothing where there is none."""
    if not id or not records.characters.get(id).version:
        return UNTESTED
    return tested_by(records.characters.version(id), character, images)


def _keep_pictures(store: Store, paths: Mapping[str, Path]) -> dict[str, str]:
    # Where and when a picture was taken is not kept.
    return {
        file: put_content(store, clean_image(path.read_bytes()), "pictures", Path(file).suffix.lower())
        for file, path in paths.items()
    }


def submit(records: Records, app: Celery, job: Job) -> Job:
    """Keep a new job and notify a worker; while the broker does not answer, the sweeper does it later."""
    kept = records.jobs.add(job)
    notify_worker(app, kept)
    return kept


def submit_training(
    records: Records, app: Celery, owner: str, version: CharacterVersion, recipe: Recipe, priority: int = 0
) -> Job:
    """Queue a training on a published version."""
    job = Job(new_id(), "train", owner, version.character, version.version, recipe=recipe.to_json(), priority=priority)
    return submit(records, app, job)


def clone(
    records: Records,
    app: Celery,
    id: str,
    changes: Mapping[str, Any],
    latest_version: bool = False,
    new_defaults: bool = False,
) -> Job:
    """Queue a training like an earlier one with some fields of its recipe changed.

    `latest_version` takes the character as it is published now instead of the version that the earlier one learnt,
    `new_defaults` what its effort gives today instead of the settings of then. ValueError, in words for people, when
    the changes are no recipe.
    """
    old = records.jobs.get(id)
    recipe = _changed(_recipe_of(old), changes, new_defaults)
    return submit(records, app, _derived_job(records, old, recipe, latest_version))


def continue_training(
    records: Records,
    app: Celery,
    id: str,
    checkpoint: str,
    changes: Mapping[str, Any],
    latest_version: bool = False,
    new_defaults: bool = False,
) -> Job:
    """Queue a training that goes on from a checkpoint of an earlier one, for steps of its own of either stage.

    The new job gets that checkpoint's adapter as its `start`, whatever stage made it, and counts from 0; the base that
    the earlier one measured comes along unless the character's version differs. Its settings are those of then, or with
    `new_defaults` what its effort gives today. RecordMissing when there is no such checkpoint, ValueError, in words for
    people, when it cannot go on so.
    """
    old, start = records.jobs.get(id), records.checkpoints.get(id, checkpoint)
    before = _recipe_of(old)
    recipe = _changed(before, changes, new_defaults)
    _check_continues(before, start, recipe)
    job = _derived_job(records, old, recipe, latest_version)
    records.jobs.add(replace(job, status="stopped"))  # until its checkpoints are there, no worker may take it
    base = next((row for row in records.checkpoints.of_job(id) if row.name == BASE), None)
    if base is not None and job.version == old.version:
        records.checkpoints.put(replace(base, job=job.id))
    files = usable_files(start.files)
    records.checkpoints.put(
        Checkpoint(job.id, START, START, 0, start.base, start.revision, start.adapter_key, files=files)
    )
    return resume(records, app, job.id)


def _changed(recipe: Recipe, changes: Mapping[str, Any], new_defaults: bool) -> Recipe:
    return (recipe.with_new_defaults() if new_defaults else recipe).with_changes(changes)


def _recipe_of(job: Job) -> Recipe:
    if job.kind != "train" or job.recipe is None:
        raise ValueError(f"job {job.id} is no training; only trainings can be cloned or continued")
    return Recipe.from_json(job.recipe)


def _derived_job(records: Records, old: Job, recipe: Recipe, latest_version: bool) -> Job:
    """A new training of the same owner and character; not kept yet."""
    version = records.characters.version(old.character).version if latest_version else old.version
    return Job(
        new_id(),
        "train",
        old.owner,
        old.character,
        version,
        recipe=recipe.to_json(),
        request=dict(old.request),
        priority=old.priority,
        parent=old.id,
    )


def _check_continues(old: Recipe, start: Checkpoint, recipe: Recipe) -> None:
    if not start.adapter_key:
        raise ValueError("this checkpoint has learnt nothing yet: choose a later one, or clone the training")
    for name in old.differences(recipe):
        if name in ("base", *LORA_FIELDS):
            raise ValueError(f"{name} cannot change when a training is continued: clone it instead")


def submit_evaluation(records: Records, app: Celery, id: str, checkpoints: Iterable[str] = ()) -> Job:
    """Queue measuring checkpoints of a training again, all of them when none is named."""
    trained = records.jobs.get(id)
    request = {"job": trained.id, "checkpoints": list(checkpoints)}
    job = Job(
        new_id(), "evaluate", trained.owner, trained.character, trained.version, request=request, parent=trained.id
    )
    return submit(records, app, job)


def submit_reply(records: Records, app: Celery, owner: str, request: ReplyRequest, character: str = "") -> Job:
    """Queue an answer, or two side by side; follow it with `reply_protocol.replies_in`."""
    return submit(records, app, Job(new_id(), "reply", owner, character, request=request.to_json()))


def submit_captions(
    records: Records, app: Celery, owner: str, pictures: Iterable[str], character: str = "", base: str = "starter"
) -> Job:
    """Queue a look at pictures, by object key: captions and doubts; read with `reply_protocol.captions_in`."""
    request = {"task": "captions", "pictures": list(pictures), "base": base}
    return submit(records, app, Job(new_id(), "reply", owner, character, request=request))


def stop(records: Records, id: str, how: Literal["keep", "discard"]) -> Job:
    """Ask for a stop. What a job made is thrown away at once when no worker has it, else when its worker ends it.

    A job that has ended keeps its status. Where it was stopped or failed, discarding removes its checkpoints; one that
    has succeeded stays whole.
    """
    return records.jobs.request_stop(id, how)


def resume(records: Records, app: Celery, id: str) -> Job:
    """Queue a stopped or failed job again; it goes on from its last checkpoint. ValueError when it has succeeded."""
    job = records.jobs.requeue(id)
    if job.status == "queued":
        notify_worker(app, job)
    return job
