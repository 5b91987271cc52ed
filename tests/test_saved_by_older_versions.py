"""What people saved with the code of 0c98f3e opens, answers, resumes and exports.

`tests/fixtures/v0_1` was written by that code, `expected.json` is what it made of it (tests/fixtures/README.md). Names
of recipe keys, scores and tasks have changed since: `current` says the old ones in today's words. What is stored comes
back as it was. What is sampled or learned now differs, since replies have another form: it is held against the form.
Only toys go on, whose weights follow from a seed; a starter of another revision refuses (`model_identity.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load, load_file

from pipelines.cli import main
from pipelines.core.character.checks import check_character
from pipelines.core.formats.cards import read_card
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import replies_in
from pipelines.core.queue import submit
from pipelines.core.queue.training_results import best_of, result_of
from pipelines.core.renamed_keys import NEWER_RECIPE_KEYS, RECIPE_KEYS, REWARDS, SCORES, TASKS
from pipelines.core.run_folder import read_events, read_json
from pipelines.core.settings import Settings
from pipelines.core.storage.store import put_content, read
from pipelines.data.chat_template import user
from pipelines.inference.engine import InferenceEngine
from pipelines.train import train
from studio.actions import characters, chat_turns, downloads, training_jobs
from studio.actions.checkpoint_options import checkpoint_options
from studio.context import AppContext, open_context
from worker.job_loop import KINDS, drain_queue
from worker.worker_context import WorkerContext

SAVED = Path(__file__).with_name("fixtures") / "v0_1"
EXPECTED: dict[str, Any] = json.loads((SAVED / "expected.json").read_text(encoding="utf-8"))


def near(value: Any) -> Any:
    """Comparable to within 1e-4."""
    return pytest.approx(value, rel=1e-4, abs=1e-4)


def current(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores under the names they have now."""
    return {SCORES.get(name, name): value for name, value in scores.items()}


def check_scores(found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Checkpoint -> scores, as then."""
    assert list(found) == list(expected)
    for name, scores in expected.items():
        assert found[name] == near(current(scores)), name


def check_tensors(found: Mapping[str, Any], expected: Mapping[str, tuple[float, float]]) -> None:
    """Sum and sum of absolute values of every tensor of an adapter, as then."""
    assert sorted(found) == sorted(expected)
    sums = {name: [float(value.double().sum()), float(value.double().abs().sum())] for name, value in found.items()}
    for name, values in expected.items():
        assert sums[name] == near(values), name


def pixels_sha256(data: bytes | Path) -> str:
    """SHA-256 of a picture's RGB bytes."""
    return hashlib.sha256(
        Image.open(io.BytesIO(data) if isinstance(data, bytes) else data).convert("RGB").tobytes()
    ).hexdigest()


def check_steps(run_dir: Path, expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Every step of both stages was done, and gave a loss."""
    found: dict[str, dict[str, float]] = {"sft": {}, "grpo": {}}
    for event in read_events(run_dir):
        if event.stage in found and "loss" in event.metrics:
            found[event.stage][str(event.step)] = event.metrics["loss"]
    for stage, steps in expected.items():
        assert list(found[stage]) == list(steps)
        assert all(math.isfinite(loss) for loss in found[stage].values())


def check_measured(found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Checkpoint -> scores: all that were taken then, and what has been looked for since."""
    newer = {"speaking", "prompt_leaking"}
    assert {name: set(scores) - newer for name, scores in found.items()} == {
        name: set(current(scores)) for name, scores in expected.items()
    }
    assert all(math.isfinite(value) for scores in found.values() for value in scores.values())


def cli_answer(capsys: pytest.CaptureFixture[str], *argv: object) -> Any:
    """The JSON object of a command that must end well."""
    capsys.readouterr()
    assert main([*map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def saved_run(tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(SAVED / "run", tmp_path / "run"))


def test_a_finished_run_answers(saved_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked in EXPECTED["run"]["replies"]:
        drawn = tmp_path / "drawn.png"
        more = ("--picture", drawn) if asked["picture"] else ()
        where = f"{saved_run}:{asked['checkpoint']}"
        [reply] = cli_answer(capsys, "chat", where, "--say", asked["say"], "--seed", asked["seed"], *more)["replies"]
        assert reply["text"], where
        assert bool(reply["scene"]) is bool(asked["picture"]), where
        if asked["picture"]:
            with Image.open(drawn) as image:
                image.load()
    [reply] = cli_answer(capsys, "chat", saved_run, "--say", "Will it rain?")["replies"]
    assert reply["checkpoint"].endswith(f":{EXPECTED['run']['best']}") != reply["checkpoint"].endswith("grpo-000003")


def test_a_finished_run_keeps_its_scores_and_is_measured_again(
    saved_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(saved_run)  # complete: only read
    check_scores({item["name"]: item["scores"] for item in result["checkpoints"]}, EXPECTED["run"]["scores"])
    assert result["best"] == EXPECTED["run"]["best"]
    asked = EXPECTED["run"]["evaluated_again"]
    [found] = cli_answer(capsys, "evaluate", saved_run, "--checkpoint", asked["checkpoint"])["checkpoints"]
    [expected] = asked["answer"]["checkpoints"]
    check_measured({found["name"]: found["scores"]}, {expected["name"]: expected["scores"]})


def test_a_run_without_its_last_checkpoint_comes_to_the_same_end(saved_run: Path) -> None:
    shutil.rmtree(saved_run / "checkpoints" / "grpo-000003")
    (saved_run / "result.json").unlink()
    result = train(saved_run)
    scores = {item["name"]: item["scores"] for item in result["checkpoints"]}
    expected = dict(EXPECTED["run"]["scores"])
    check_measured({"grpo-000003": scores.pop("grpo-000003")}, {"grpo-000003": expected.pop("grpo-000003")})
    check_scores(scores, expected)
    assert result["best"] in EXPECTED["run"]["scores"]
    check_steps(saved_run, EXPECTED["run"]["steps"])
    for name, tensors in EXPECTED["run"]["adapter_tensors"].items():
        weights = load_file(saved_run / "checkpoints" / name / "adapter_model.safetensors")
        if name == "grpo-000003":
            assert sorted(weights) == sorted(tensors)
        else:
            check_tensors(weights, tensors)


def test_an_unfinished_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(SAVED / "unfinished_run", tmp_path / "run"))
    before = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert before == EXPECTED["unfinished_run"]["checkpoints_before"]
    expected = EXPECTED["unfinished_run"]["resumed"]
    result = train(run_dir)
    check_measured({item["name"]: item["scores"] for item in result["checkpoints"]}, expected["scores"])
    assert result["best"] in expected["scores"]
    check_steps(run_dir, expected["steps"])
    for name, tensors in expected["adapter_tensors"].items():
        weights = load_file(run_dir / "checkpoints" / name / "adapter_model.safetensors")
        assert sorted(weights) == sorted(tensors)


def test_every_key_of_an_old_recipe_is_read() -> None:
    old = read_json(SAVED / "run" / "run.json")["recipe"]
    recipe = Recipe.from_json(old).to_json()
    kept = {RECIPE_KEYS.get(name, name): value for name, value in old.items()}
    for table, names in (("task_shares", TASKS), ("reward_weights", REWARDS)):
        kept[table] = {names.get(name, name): value for name, value in kept[table].items()}
    assert {name: recipe[name] for name in kept} == kept
    # Beside a count of 0, without latents, and without preferences, which no earlier run had; a clone learns from the
    # votes since.
    says_nothing = {"sft_row_images", "preference_weight", "preference_beta", "preference_epochs"}
    says_nothing |= {"flow_steps", "flow_sde_steps"}
    assert recipe["preference_weight"] > 0
    assert recipe.keys() - kept.keys() == {"image_lora_rank", *says_nothing, *NEWER_RECIPE_KEYS}


@pytest.fixture
def saved_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppContext]:
    """The studio on a copy of an embedded home."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("understudy.db", "broker.db"):
        shutil.copy(SAVED / name, home / name)
    shutil.copytree(SAVED / "objects", home / "objects")
    monkeypatch.setenv("UNDERSTUDY_HOME", str(home))
    context = open_context(Settings.from_environment())
    yield context
    context.records.close()


def replies_of(context: AppContext, job: str) -> list[tuple[str, str, str | None]]:
    """Text, scene and the picture's hash of each side."""
    return [
        (side.text, side.scene, pixels_sha256(read(context.store, side.picture_key)) if side.picture_key else None)
        for side in replies_in(context.records.events.after(job, limit=5000))
    ]


def expected_replies(said: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """The same, from `expected.json`."""
    return [(one["text"], one["scene"], one["picture"]["sha256_rgb"] if one["picture"] else None) for one in said]


def test_old_records_open_and_show_what_they_hold(saved_home: AppContext) -> None:
    expected, records = EXPECTED["records"], saved_home.records
    ids = expected["ids"]
    jobs = {job.id: (job.kind, job.status) for job in records.jobs.list(owner="local", limit=100)}
    assert jobs == {job["id"]: (job["kind"], job["status"]) for job in expected["jobs"]}
    for id in jobs:
        job = records.jobs.get(id)
        assert (job.recipe is not None) is (job.kind == "train")
        # Migrated to today's keys; what is younger is added when it is read.
        assert job.recipe is None or Recipe.from_json(job.recipe).to_json().items() >= job.recipe.items()
    found = {one.name: one.scores for one in records.checkpoints.of_job(ids["trained"])}
    check_scores(found, expected["trained"]["scores"])
    assert [one.ref for one in checkpoint_options(saved_home, ids["character"])] == expected["candidates"]
    for which in ("blind_conversation", "named_conversation"):
        stored = expected["conversations"][which]
        conversation = records.chats.conversation(ids[which])
        turns = chat_turns.turns(saved_home, conversation)
        assert [turn.question.text for turn in turns] == [turn["said"] for turn in stored["turns"]]
        assert [[one.text for one in turn.answers] for turn in turns] == [
            [one["text"] for one in turn["answers"]] for turn in stored["turns"]
        ]


def test_the_best_of_an_old_training_is_known(saved_home: AppContext) -> None:
    ids = EXPECTED["records"]["ids"]
    assert ids["best"] != ids["newest"]
    chosen = best_of(saved_home.records, saved_home.records.jobs.get(ids["trained"]))
    assert chosen is not None and chosen.name == ids["best"]


def test_old_checkpoints_answer_and_are_downloaded(saved_home: AppContext) -> None:
    expected, records = EXPECTED["records"], saved_home.records
    ids = expected["ids"]
    replier = WorkerContext(saved_home.settings, ("reply",))
    try:
        assert drain_queue(replier, KINDS["reply"]) == 1  # the one that was queued then
    finally:
        replier.close()
    answered = replies_of(saved_home, ids["queued_reply"])
    assert len(answered) == len(expected["queued_reply_done"]) and all(text for text, _, _ in answered)
    assert replies_of(saved_home, expected["reply_given"]["job"]) == expected_replies(expected["reply_given"]["said"])
    where = f"{ids['trained']}:{ids['best']}"
    for made, name in (
        (downloads.adapter_zip(saved_home, where), "export.zip"),
        (downloads.charx(saved_home, where), "character.charx"),
    ):
        with zipfile.ZipFile(io.BytesIO(read(saved_home.store, made.key))) as archive:
            # A zip's own folder is named in the words of the pages since; what is in it is the same.
            members = [member.replace("ada-basics-step-6/", "ada-sft-000006/") for member in archive.namelist()]
            assert members == expected["downloads"][name]["members"]
            adapters = [member for member in archive.namelist() if member.endswith("adapter_model.safetensors")]
            check_tensors(load(archive.read(adapters[0])), expected["trained"]["adapter_tensors"][ids["best"]])
    records.close()


def test_old_trainings_are_taken_up_cloned_and_continued(saved_home: AppContext) -> None:
    expected, records = EXPECTED["records"], saved_home.records
    ids = expected["ids"]
    training_jobs.resume(saved_home, ids["stopped"])
    trainer = WorkerContext(saved_home.settings, ("train",))
    try:
        assert drain_queue(trainer, KINDS["train"]) == 2  # the stopped one, and the one that was queued then
    finally:
        trainer.close()
    for which, part in (("stopped", "stopped_resumed"), ("queued", "queued_done")):
        assert records.jobs.get(ids[which]).status == expected[part]["status"] == "succeeded"
        names = [one.name for one in records.checkpoints.of_job(ids[which])]
        assert result_of(records, saved_home.store, ids[which])["best"] in names
    done = {one.name: one.scores for one in records.checkpoints.of_job(ids["queued"])}
    check_measured(done, expected["queued_done"]["scores"])
    cloned = submit.clone(records, saved_home.queue, ids["trained"], {"seed": 5})
    assert cloned.recipe is not None and Recipe.from_json(cloned.recipe).seed == 5


def photo_with_place(picture: bytes) -> bytes:
    """The picture as a telephone writes it: where it was taken (EXIF), and a second of film behind its last byte."""
    exif = Image.Exif()
    exif[0x0110] = "SECRET telephone"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 3.0, 7.0)})
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue() + b"\0\0\0\x18ftypmp42SECRET film"


def store_photos(context: AppContext, character: str) -> None:
    """Put photos with place and film where a version's first picture and first held-out one were."""
    version = context.records.characters.version(character, 1)
    changed = {}
    for column, keys in (("images", version.images), ("test_images", version.test_images)):
        first = next(iter(keys))
        key = put_content(context.store, photo_with_place(read(context.store, keys[first])), "pictures", ".jpg")
        changed[column] = json.dumps({**keys, first: key})
    with contextlib.closing(sqlite3.connect(context.settings.home / "understudy.db")) as records, records:
        records.execute(
            "UPDATE character_versions SET images = ?, test_images = ? WHERE character = ?",
            (changed["images"], changed["test_images"], character),
        )


def check_nothing_told(files: Mapping[str, bytes]) -> None:
    """No place, camera or film in any of the files, and pictures among them."""
    assert any(name.endswith(".png") for name in files)
    for name, data in files.items():
        assert b"SECRET" not in data and b"Exif" not in data, name


def test_metadata_that_the_old_store_holds_stays_there(saved_home: AppContext, tmp_path: Path) -> None:
    """Version 0.1 kept more of a photo than its pixels and cleaned again before it trained."""
    ids, records = EXPECTED["records"]["ids"], saved_home.records
    bea = records.jobs.get(ids["queued"]).character
    for character in (ids["character"], bea):
        store_photos(saved_home, character)
    trainer = WorkerContext(saved_home.settings, ("train",))
    try:
        assert drain_queue(trainer, KINDS["train"]) == 1
    finally:
        trainer.close()
    assert records.jobs.get(ids["queued"]).status == "succeeded"
    run_dir = saved_home.settings.runs_folder / ids["queued"]
    check_nothing_told({str(path): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()})
    held_out = records.characters.version(bea, 1).test_images
    for file, key in held_out.items():  # what was clean keeps its bytes
        written, stored = (run_dir / "character" / "test_images" / file).read_bytes(), read(saved_home.store, key)
        assert (written == stored) is (b"SECRET" not in stored)
        assert Image.open(io.BytesIO(written)).size == Image.open(io.BytesIO(stored)).size
    where = f"{ids['trained']}:{ids['best']}"
    with zipfile.ZipFile(io.BytesIO(read(saved_home.store, downloads.charx(saved_home, where).key))) as archive:
        check_nothing_told({name: archive.read(name) for name in archive.namelist()})
    with zipfile.ZipFile(io.BytesIO(read(saved_home.store, downloads.adapter_zip(saved_home, where).key))) as archive:
        [card] = [archive.read(name) for name in archive.namelist() if name.endswith("card.png")]
    check_nothing_told(read_card(card, "card.png").images)
    characters.restore_version(saved_home, ids["character"], 1)
    restored = characters.own_character(saved_home, ids["character"]).draft["pictures"]
    check_nothing_told({entry["file"]: read(saved_home.store, entry["key"]) for entry in restored})


def test_old_downloads_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = EXPECTED["downloads_read"]
    taken = tmp_path / "taken"
    cli_answer(capsys, "character", "import", SAVED / "character.charx", taken)
    assert not [problem for problem in check_character(taken) if problem.severity == "error"]
    assert len(list((taken / "images").iterdir())) == expected["character.charx"]["images"]
    assert sorted(path.name for path in (taken / "adapter").iterdir()) == expected["character.charx"]["adapter_files"]
    with zipfile.ZipFile(SAVED / "export.zip") as archive:
        archive.extractall(tmp_path / "zip")
    [folder] = (tmp_path / "zip").iterdir()
    shown, asked = read_json(folder / "manifest.json"), expected["export.zip"]
    character = read_card((folder / "card.png").read_bytes(), "card.png").character
    engine = InferenceEngine(shown["base_model"])
    engine.add("mine", folder / "adapter")
    reply = engine.reply("mine", character, (user(asked["say"]),), picture="always", seed=asked["seed"])
    assert reply.text and reply.scene.startswith(character.name) and reply.picture is not None
