"""Every command: the last line with --json, the exit status, the one-line reason."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from pipelines.cli import RENAMED, main
from pipelines.commands.chat import ChatSide, live_lines
from pipelines.commands.console import bundled_slugs, scorecard
from pipelines.commands.recipe_flags import recipe_overrides
from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import read_character
from pipelines.core.command_line import as_typed
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.stage_names import STAGE_NAMES
from pipelines.train import prepare_run
from tests.core.formats.card_samples import as_charx, as_json, foreign
from tests.core.formats.mmrole_samples import write_data_set
from tests.toys import TOY_BASE, TOY_STEPS, write_toy

SETTINGS = [word for name, value in TOY_STEPS.items() for word in ("--set", f"{name}={value}")]


class Ran:
    """What one command left: status, its JSON object or None, and what it said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err
        last = out.splitlines()[-1] if out.strip() else ""
        self.answer: Any = json.loads(last) if last.startswith("{") else None


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: object) -> Ran:
        capsys.readouterr()
        status = main([str(word) for word in argv])
        caught = capsys.readouterr()
        return Ran(status, caught.out, caught.err)

    return run


def test_help_is_quick_and_light() -> None:
    """`--help` loads neither torch nor studio nor worker."""
    script = (
        "import sys\nfrom pipelines.cli import main\nstatus = main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'peft', 'trl', 'studio', 'worker', 'rich'} & set(sys.modules)\n"
        "sys.exit(status or len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("train", "chat", "evaluate", "character", "bench", "doctor", "up"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["dance"],
        ["train"],
        ["train", "ada"],
        ["train", "ada", "--out", "x", "--effort", "huge"],
        ["bench", "speed"],
        ["bench"],
        ["character"],
        ["character", "check"],
        ["chat"],
    ],
)
def test_wrong_usage_is_2(argv: list[str], cli: Any) -> None:
    assert cli(*argv).status == 2


def test_a_renamed_command_names_the_new_one(cli: Any) -> None:
    assert len(RENAMED) == 5
    for old, new in RENAMED.items():
        ran = cli(*old, "--json")
        assert ran.status == 2 and ran.err == f"understudy: `understudy {' '.join(old)}` is `understudy {new}` now\n"
        assert cli(*new.split(), "--help").status == 0


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ("sft_stepz=3", "sft_stepz"),
        ("sft_steps", "FIELD=VALUE"),
        ("sft_steps=many", "not a number"),
        ("sft_steps=1.5", "such as"),
        ('reward_weights={"beauty": 1}', "beauty"),
        ('base="x"', "FIELD=VALUE"),
    ],
)
def test_wrong_overrides_are_2_and_named(pair: str, reason: str, toy_character: Path, tmp_path: Path, cli: Any) -> None:
    ran = cli("train", toy_character, "--out", tmp_path / "run", "--set", pair)
    assert ran.status == 2 and reason in ran.err and not (tmp_path / "run").exists()


def test_overrides_keep_the_rest_of_a_table() -> None:
    found = recipe_overrides(["sft_steps=3", "temperature=1", 'reward_weights={"likeness": 0.5}'])
    assert found == {
        "sft_steps": 3,
        "temperature": 1.0,
        "reward_weights": {**Recipe().reward_weights, "likeness": 0.5},
    }
    assert isinstance(found["temperature"], float)


def test_train_with_json(toy_character: Path, tmp_path: Path, cli: Any) -> None:
    run_dir = tmp_path / "run"
    ran = cli("train", toy_character, "--out", run_dir, "--base", TOY_BASE, *SETTINGS, "--json")
    assert ran.status == 0, ran.err
    assert len(ran.out.splitlines()) == 1
    assert set(ran.answer) == {"run", "seconds", "stages", "best", "best_faults", "checkpoints"}
    assert ran.answer["run"] == str(run_dir)
    assert set(ran.answer["stages"]["sft"]) == {"seconds", "steps", "tokens"}
    first = ran.answer["checkpoints"][0]
    assert first["name"] == first["stage"] == "base" and set(first) == {
        "name",
        "stage",
        "step",
        "scores",
        "measurement",
    }
    for words in ("Learning the basics 4/4", "Practising with feedback 2/2", "Checking 5/5"):
        assert words in ran.err
    again = cli("train", toy_character, "--out", run_dir)
    assert again.status == 1 and "--resume" in again.err
    resumed = cli("train", toy_character, "--out", run_dir, "--resume", "--json")
    assert resumed.status == 0 and resumed.answer == ran.answer
    changed = cli("train", toy_character, "--out", run_dir, "--resume", "--set", "seed=1")
    assert changed.status == 2


def test_train_refuses_a_character_with_problems(tmp_path: Path, cli: Any) -> None:
    folder = write_toy(tmp_path / "ada")
    (folder / "images" / "01.png").write_bytes(b"not a picture")
    ran = cli("train", folder, "--out", tmp_path / "run", "--base", TOY_BASE)
    assert ran.status == 1 and "01.png" in ran.err and len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    missing = cli("train", tmp_path / "nobody", "--out", tmp_path / "run")
    assert missing.status == 1 and "bundled" in missing.err
    unknown = cli("train", write_toy(tmp_path / "eve"), "--out", tmp_path / "run", "--base", "gpt")
    assert unknown.status == 1 and "starter" in unknown.err


def test_chat_says_and_draws(toy_run: Path, tmp_path: Path, cli: Any) -> None:
    out = tmp_path / "new" / "a.png"
    ran = cli("chat", toy_run, "--against", f"{toy_run}:base", "--say", "Aye?", "--picture", out, "--json")
    assert ran.status == 0, ran.err
    ours, base = ran.answer["replies"]
    assert set(ours) == {"checkpoint", "text", "scene", "picture", "first_text_s", "seconds"}
    assert ours["picture"] == str(out) and base["picture"] == str(tmp_path / "new" / "a-against.png")
    for item in (ours, base):
        with Image.open(item["picture"]) as image:
            image.load()
        assert 0 < item["first_text_s"] <= item["seconds"]
        assert item["scene"].startswith("Ada") or not item["scene"]  # a trained toy may draw without saying what
    assert base["checkpoint"].endswith(":base") and not ours["checkpoint"].endswith(":base")
    words = cli("chat", toy_run, "--say", "Aye?", "--json")
    assert words.answer["replies"][0]["picture"] is None


def test_an_adapter_of_other_weights_does_not_answer(toy_run: Path, tmp_path: Path, cli: Any) -> None:
    run_dir = shutil.copytree(toy_run, tmp_path / "run")
    config = run_dir / "checkpoints" / "grpo-000002" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"revision": "0000"}), encoding="utf-8")
    ran = cli("chat", f"{run_dir}:grpo-000002", "--say", "Aye?", "--json")
    assert ran.status == 1 and "was trained on starter-toy of 0000: train again" in ran.err
    assert "Traceback" not in ran.err
    assert cli("chat", f"{run_dir}:base", "--say", "Aye?", "--json").status == 0
    exported = cli("character", "export", run_dir, tmp_path / "ada.charx", "--json")
    assert exported.status == 0, exported.err


def test_chat_is_interactive(toy_run: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["Aye?", "And then?", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    ran = cli("chat", f"{toy_run}:sft-000002", "--picture", tmp_path / "pictures" / "x.png")
    assert ran.status == 0, ran.err
    assert ran.out.count("sft-000002: ") == 2
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"001.png", "002.png"}


@pytest.mark.parametrize("terminal", [True, False])
def test_chat_shows_words_as_they_come(terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    sides = [ChatSide(label, None, "", Path(), Character("Ada", "")) for label in ("one", "two")]
    with live_lines(sides, Console(file=screen, force_terminal=terminal, width=40)) as refresh:
        for word in ("[scene] and [b]marks[/b] " * 3, "last"):
            sides[0].lines, sides[1].lines = [f"one: {word}"], ["two: "]
            refresh()
            deadline = time.monotonic() + 20
            while terminal and word.split()[-1] not in screen.getvalue() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert terminal == (word.split()[-1] in screen.getvalue())
    assert capsys.readouterr().out == ("" if terminal else "one: last\ntwo: \n")


def test_chat_failures(toy_run: Path, tmp_path: Path, cli: Any) -> None:
    for argv, reason in (
        ((tmp_path, "--say", "x"), "run.json"),
        ((f"{toy_run}:sft-999999", "--say", "x"), "sft-000004"),
        ((toy_run, "--json"), "--say"),
        ((toy_run, "--say", "x", "--picture", tmp_path / "a.jpg"), ".png"),
    ):
        ran = cli("chat", *argv)
        assert ran.status in (1, 2) and reason in ran.err and len(ran.err.strip().splitlines()) == 1


def test_evaluate(toy_run: Path, tmp_path: Path, cli: Any) -> None:
    import shutil

    run_dir = tmp_path / "run"
    shutil.copytree(toy_run, run_dir)
    ran = cli("evaluate", run_dir, "--checkpoint", "sft-000004", "--json")
    assert ran.status == 0, ran.err
    [item] = ran.answer["checkpoints"]
    assert item["name"] == "sft-000004" and "likeness" in item["scores"]
    assert "Checking 1/1" in ran.err
    assert cli("evaluate", run_dir, "--checkpoint", "sft-7").status == 1
    assert cli("evaluate", tmp_path).status == 1


def test_character_check(toy_character: Path, tmp_path: Path, cli: Any) -> None:
    good = cli("character", "check", toy_character, "--json")
    assert good.status == 0 and good.answer["ok"] is True
    folder = write_toy(tmp_path / "ada")
    text = (folder / "character.yaml").read_text(encoding="utf-8")
    (folder / "character.yaml").write_text(text.replace("name: Ada", "name: ''"), encoding="utf-8")
    bad = cli("character", "check", folder, "--json")
    assert bad.status == 1 and bad.answer["ok"] is False
    assert {"field", "message", "mend"} <= set(bad.answer["problems"][0])
    assert cli("character", "check", tmp_path / "nobody").status == 1


def test_character_check_looks_at_the_pictures(tmp_path: Path, cli: Any) -> None:
    """The real starter: a face that the caption gets wrong, and a picture that is like a photograph."""
    folder = tmp_path / "nella"
    shutil.copytree(Path(__file__).parents[1] / "pipelines" / "core" / "bundled" / "nella-tarn", folder)
    text = (folder / "character.yaml").read_text(encoding="utf-8")
    wrong = text.replace("expression: happy", "expression: furious", 1)
    assert wrong != text
    (folder / "character.yaml").write_text(wrong, encoding="utf-8")
    grain = Image.effect_noise((256, 256), 70).convert("RGB")
    Image.blend(grain, Image.linear_gradient("L").convert("RGB"), 0.4).save(folder / "images" / "02.png")
    said = cli("character", "check", folder, "--look", "--json").answer
    found = {(item["field"], item["message"].partition(":")[0]) for item in said["problems"]}
    assert ("images/01.png", "The caption says something else") in found
    assert any(field == "images/02.png" and message.startswith("This may be a photograph") for field, message in found)
    assert said["ok"] is True and not any(message.startswith("There may be") for _, message in found)


def test_character_export_and_import(toy_run: Path, tmp_path: Path, cli: Any) -> None:
    card = tmp_path / "ada.png"
    assert cli("character", "export", toy_run, card, "--json").answer["file"] == str(card)
    ran = cli("character", "import", card, tmp_path / "ada", "--json")
    assert ran.status == 0 and (tmp_path / "ada" / "character.yaml").is_file()
    whole = cli("character", "export", toy_run, tmp_path / "ada.charx", "--json")
    assert whole.answer["adapter"].startswith(("sft", "grpo"))
    assert cli("character", "export", toy_run, tmp_path / "ada.doc").status == 2
    (tmp_path / "broken.png").write_bytes(card.read_bytes()[:100])
    broken = cli("character", "import", tmp_path / "broken.png", tmp_path / "other")
    assert broken.status == 1 and "Traceback" not in broken.err and not (tmp_path / "other").exists()


def test_roles_of_mmrole(tmp_path: Path, cli: Any) -> None:
    root = write_data_set(tmp_path / "data_set")
    several = cli("character", "import", root, tmp_path / "one")
    assert several.status == 1 and "Tola (8)" in several.err and "--role" in several.err
    one = cli("character", "import", root, tmp_path / "tola", "--role", "Tola", "--json")
    assert one.status == 0 and one.answer["notes"]
    every = cli("character", "import", root, tmp_path / "all", "--all-roles", "--json")
    assert [Path(folder).name for folder in every.answer["folders"]] == ["Tola", "船夫", "Ben"]
    assert read_character(tmp_path / "all" / "Tola") == read_character(tmp_path / "tola")
    out = cli("character", "export", tmp_path / "tola", tmp_path / "out", "--format", "mmrole")
    assert out.status == 0 and (tmp_path / "out/data/train/train.json").is_file()
    assert cli("character", "export", tmp_path / "tola", tmp_path / "x.png", "--format", "mmrole").status == 2


def test_a_zip_of_cards_gives_one_or_all_of_them(tmp_path: Path, cli: Any) -> None:
    cards = {f"{name}.json": as_json(foreign(name=name, nickname="")) for name in ("Tola", "Orla")}
    (tmp_path / "cards.zip").write_bytes(as_charx(cards))
    several = cli("character", "import", tmp_path / "cards.zip", tmp_path / "one")
    assert several.status == 1 and "holds 2 characters: Orla, Tola" in several.err and "--all-roles" in several.err
    assert cli("character", "import", tmp_path / "cards.zip", tmp_path / "one", "--role", "tola").status == 0
    every = cli("character", "import", tmp_path / "cards.zip", tmp_path / "all", "--all-roles", "--json")
    assert [Path(folder).name for folder in every.answer["folders"]] == ["Orla", "Tola"]
    assert read_character(tmp_path / "all" / "Tola") == read_character(tmp_path / "one")
    folders = {f"{name}/character.yaml": f"name: {name}\npersona: x\n".encode() for name in ("Tola", "Orla")}
    (tmp_path / "folders.zip").write_bytes(as_charx(folders))
    first = cli("character", "import", tmp_path / "folders.zip", tmp_path / "first", "--json")
    assert read_character(tmp_path / "first").name == "Orla"
    assert any("not read: Tola (Tola/character.yaml)" in note["message"] for note in first.answer["notes"])
    both = cli("character", "import", tmp_path / "folders.zip", tmp_path / "both", "--all-roles", "--json")
    assert len(both.answer["folders"]) == 2


def test_doctor_names_what_is_missing(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))  # the default home's cache is looked into as well
    monkeypatch.setenv("UNDERSTUDY_LLM_URL", "http://localhost:9/v1")
    monkeypatch.setenv("UNDERSTUDY_LLM_MODEL", "m")
    monkeypatch.setenv("UNDERSTUDY_LLM_KEY", "sesame")
    ran = cli("doctor", "--json")
    findings = {item["name"]: item for item in ran.answer["findings"]}
    assert ran.status == 1 and ran.answer["ok"] is False
    assert findings["torch"]["ok"] and findings["python"]["ok"]
    assert findings["language expert"] == {
        "name": "language expert",
        "ok": False,
        "found": "not in the cache",
        "mend": as_typed("doctor --fetch"),
    }
    assert "sesame" not in ran.out + ran.err
    shared = tmp_path / ".understudy" / "cache" / "language-smollm2-135m"
    shared.mkdir(parents=True)
    (shared / "model.safetensors").touch()
    found = {item["name"]: item for item in cli("doctor", "--json").answer["findings"]}["language expert"]
    assert found["ok"] and found["found"] == f"{shared} (the default home's, which serves every home)"
    monkeypatch.setenv("UNDERSTUDY_LLM_URL", "localhost")
    wrong = cli("doctor")
    assert wrong.status == 1 and "UNDERSTUDY_LLM_URL" in wrong.err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"run\.json"):
        main(["chat", str(tmp_path), "--say", "x", "--debug"])


def test_ctrl_c_keeps_a_resumable_run(toy_character: Path, tmp_path: Path) -> None:
    """SIGINT: status 1, one line that says how to go on, no traceback."""
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **{**TOY_STEPS, "sft_steps": 60}))
    command = [sys.executable, "-m", "pipelines.cli", "train", str(toy_character), "--out", str(run_dir), "--resume"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Learning the basics 2/"):
            break
    process.send_signal(2)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "Traceback" not in rest
    assert as_typed("train --resume", toy_character, "--out", run_dir) in rest
    assert list((run_dir / "checkpoints").glob("sft-*"))


def test_a_training_prints_its_progress_and_no_library_s_notices(toy_character: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
    command = [sys.executable, "-m", "pipelines.cli", "train", str(toy_character), "--out", str(run_dir), "--resume"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    stages = tuple(STAGE_NAMES.values())
    assert [line for line in done.stderr.splitlines() if not line.startswith(stages)] == []


def test_bundled_characters_are_found_by_name() -> None:
    assert len(bundled_slugs()) >= 3


def test_scorecard_stars_the_best() -> None:
    rows = scorecard(
        [
            {"name": "base", "scores": {"likeness": 0.25}},
            {"name": "sft-000002", "scores": {"likeness": 0.5, "reward": 0.1}},
        ],
        "sft-000002",
    ).splitlines()
    assert rows[0].split() == ["base", "sft-000002", "*"]
    assert rows[1].startswith("looks like them") and rows[1].split()[-2:] == ["25", "50"]
    assert rows[2].split()[-2:] == ["-", "10"]


def test_bench_of_a_build_that_is_not_there(tmp_path: Path, cli: Any) -> None:
    ran = cli("bench", "starter", "--build", tmp_path / "none")
    assert ran.status == 1 and "there is no such folder" in ran.err
