"""The worker's run folder is the one that the command line makes of the same character, whatever the way there."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.problems import CharacterProblems
from pipelines.core.queue.submit import publish_folder
from pipelines.core.run_folder import adapters, read_json
from pipelines.core.storage.store import StoreError, read
from pipelines.train import prepare_run
from tests.worker.conftest import Deployment
from worker import run_folders
from worker.run_folders import RunFolder, make_run_folder, prepare_folder, read_version
from worker.uploads import put_checkpoint


def contents(run_dir: Path) -> dict[str, object]:
    """Every file of a run folder: bytes, and `run.json` without the time at which it was made."""
    files = {path.relative_to(run_dir).as_posix(): path for path in run_dir.rglob("*") if path.is_file()}
    run = {key: value for key, value in read_json(files.pop("run.json")).items() if key != "made"}
    return {**{name: path.read_bytes() for name, path in files.items()}, "run.json": run}


@pytest.mark.parametrize("split", [True, False])
def test_published_and_from_a_folder_are_the_same(split: bool, embedded: Deployment, tmp_path: Path) -> None:
    source = tmp_path / "ada"
    shutil.copytree(embedded.character, source)
    if not split:
        (source / "test.yaml").unlink()
        shutil.rmtree(source / "test_images", ignore_errors=True)
    # Texts that plain YAML would read as something else, and one that it writes as a block.
    character = read_character(source)
    odd = replace(character, persona="yes", scenario="007", greeting="Aye: one.\n\n  - two # three\u2028four")
    write_character(odd, source)
    prepare_run(tmp_path / "run", source, embedded.recipe())
    published = publish_folder(embedded.records, embedded.store, "local", source)
    stored = embedded.records.characters.version(published.character, published.version)
    worker_run = tmp_path / "runs" / "job"
    make_run_folder(worker_run, stored, embedded.recipe(), embedded.store)
    assert contents(worker_run) == contents(tmp_path / "run")
    assert [path.name for path in worker_run.parent.iterdir()] == ["job"]


def test_stored_pictures_are_taken_as_they_are(embedded: Deployment, tmp_path: Path) -> None:
    """A JPEG that is compressed once more loses detail, so a clean one is not decoded again."""
    source = tmp_path / "ada"
    shutil.copytree(embedded.character, source)
    character = read_character(source)
    first = character.images[0].file
    with Image.open(source / "images" / first) as image:
        exif = Image.Exif()
        exif[0x0110] = "a telephone"
        image.convert("RGB").save(source / "images" / first, "JPEG", exif=exif)
    published = publish_folder(embedded.records, embedded.store, "local", source)
    run_dir = tmp_path / "run"
    make_run_folder(run_dir, published, embedded.recipe(), embedded.store)
    written = (run_dir / "character" / "images" / first).read_bytes()
    assert written == read(embedded.store, published.images[first])
    with Image.open(io.BytesIO(written)) as image:
        assert image.format == "JPEG" and not image.getexif()


def test_a_version_that_cannot_be_read_changes_nothing(embedded: Deployment, tmp_path: Path) -> None:
    published = embedded.version()
    broken = replace(published, entries={**published.entries, "name": ""})
    with pytest.raises(CharacterProblems, match="no name"):
        read_version(broken)
    kept = tmp_path / "job" / "notes"
    kept.parent.mkdir()
    kept.write_text("mine", encoding="utf-8")
    with pytest.raises(CharacterProblems):
        make_run_folder(kept.parent, broken, embedded.recipe(), embedded.store)
    assert kept.read_text(encoding="utf-8") == "mine"
    missing = dict(list(published.images.items())[1:])
    with pytest.raises(CharacterProblems, match="is not in images"):
        make_run_folder(kept.parent, replace(published, images=missing), embedded.recipe(), embedded.store)
    assert kept.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("trouble", [RecordsUnusable("away"), StoreError("away")])
def test_an_attempt_that_ends_before_it_trains_takes_nothing_away(
    trouble: Exception, embedded: Deployment, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt and could not be sent yet is on this machine alone."""
    job = embedded.training()
    folder = RunFolder(embedded.settings.runs_folder, job.id)
    shutil.copytree(toy_run, folder.path)
    folder.note_attempt(1)
    learnt = adapters(folder.path)

    def prepare(attempt: int) -> None:
        prepare_folder(folder, replace(job, attempt=attempt), embedded.records, embedded.store)

    def refuse(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(run_folders, "mend_checkpoints", refuse)
        for _ in range(2):  # a worker tries more than once
            with pytest.raises(type(trouble)):
                prepare(2)
    prepare(3)
    assert adapters(folder.path) == learnt


def test_a_folder_that_was_restored_by_half_is_made_anew(
    embedded: Deployment, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = embedded.training()
    folder = RunFolder(embedded.settings.runs_folder, job.id)
    put_checkpoint(embedded.records, embedded.store, job.id, toy_run, "sft-000002")
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    folder.note_attempt(1)  # but the folder is gone

    def refuse(*_: object) -> None:
        raise StoreError("away")

    job = replace(job, attempt=2)
    with monkeypatch.context() as patch:
        patch.setattr(run_folders, "restore_progress", refuse)
        with pytest.raises(StoreError):
            prepare_folder(folder, job, embedded.records, embedded.store)
    prepare_folder(folder, job, embedded.records, embedded.store)
    assert adapters(folder.path) == ["sft-000002"]
