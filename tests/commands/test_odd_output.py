"""Whatever stands in a file or its name: the terminal gets no commands, and `--json` one line that can be read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands.processes import Programs
from pipelines.core.words import printable
from tests.core.formats.card_samples import as_charx, as_json, foreign, png

CLEAR = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202e"
"""Clears the screen, names the window, turns red, goes back to the line's start, turns the letters around."""
COMMAND = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def run(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """The status of a command, and what it wrote."""
    status = main([str(one) for one in arguments])
    told = capfd.readouterr()
    assert not COMMAND.search(told.out) and not COMMAND.search(told.err), (arguments, told)
    assert "Traceback" not in told.err and told.out + told.err
    if "--json" in arguments and status == 0:
        json.loads(told.out.splitlines()[-1])
    return status, told.out + told.err


def odd_folder(folder: Path) -> Path:
    """A character whose texts, keys and file names hold commands, as YAML spells them."""
    odd = '"x\\e[2J\\e]0;y\\a\\x9b31m\\r\\u202e\\ud800"'
    lines = [f"name: {odd}", f"persona: {odd}", f"{odd}: 1", "facts:", f"  - {odd}", "images:", f"  - {odd}"]
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a\x1b[2J.png").write_bytes(png())
    (folder / "character.yaml").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_commands_on_a_character_full_of_commands(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    folder = odd_folder(tmp_path / f"ada{CLEAR}")
    assert run(capfd, "character", "check", folder, *flags)[0] == 1
    assert run(capfd, "character", "export", folder, tmp_path / f"a{CLEAR}.json", *flags)[0] == 1
    assert run(capfd, "train", folder, "--out", tmp_path / f"run{CLEAR}", *flags)[0] == 1
    assert run(capfd, "evaluate", tmp_path / f"run{CLEAR}", *flags)[0] == 1
    assert run(capfd, "jobs", "show", CLEAR, *flags)[0] == 1
    assert run(capfd, "train", "quibb", "--set", f"x{CLEAR}=1", *flags)[0] == 2
    assert run(capfd, "jobs", f"list{CLEAR}")[0] == 2
    assert run(capfd, "jobs", "list", f"--{CLEAR}")[0] == 2
    deep = run(capfd, "train", "quibb", "--set", "sft_steps=" + "[" * 100_000)
    assert deep[0] == 2 and "recursion" not in deep[1]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_imports_of_files_full_of_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: list[str]) -> None:
    card = as_json(
        foreign(name=f"Ada{CLEAR}", **{f"key{CLEAR}": CLEAR, "mes_example": f"{CLEAR}\n<START>\n{CLEAR}: x"})
    )
    table = f"file_name,text\n{CLEAR}.png,{CLEAR}\n".encode()
    files = {
        "ada.json": card,
        "set.zip": as_charx({f"10_to{CLEAR}la/a{CLEAR}.png": png(), f"b{CLEAR}.txt": b"x", "metadata.csv": table}),
        "ada.charx": as_charx({"card.json": card, f"assets/{CLEAR}.png": png()}),
        "broken.png": b"\x89PNG\r\n\x1a\n" + CLEAR.encode(),
        "talk.jsonl": json.dumps({"messages": [{"role": CLEAR, "content": CLEAR}]}).encode(),
    }
    for number, (name, data) in enumerate(files.items()):
        source = tmp_path / f"{CLEAR}{name}"
        source.write_bytes(data)
        run(capfd, "character", "import", source, tmp_path / f"in{number}{CLEAR}", *flags)
    assert (tmp_path / f"in0{CLEAR}" / "character.yaml").is_file()


def test_bytes_that_are_no_text_are_told_without_a_traceback(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe.json")
    (tmp_path / odd).write_bytes(as_json(foreign()))
    for words, status in (
        (["character", "import", odd, os.fsdecode(b"in\xff"), "--json"], 0),
        (["character", "check", os.fsdecode(b"no\xff")], 1),
        (["jobs", "show", os.fsdecode(b"\xff")], 1),
    ):
        environment = {**os.environ, "UNDERSTUDY_HOME": str(tmp_path / "home"), "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-m", "pipelines.cli", *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert ended.returncode == status and b"Traceback" not in ended.stderr, ended
        ended.stdout.decode("utf-8")
        ended.stderr.decode("utf-8")


def test_lines_of_programs_and_of_the_trainer_are_shown_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    programs = Programs({"worker": ["true"]}, {}, {"worker": 1.0})
    programs._relay("worker", iter([f"\x1b[31mred\x1b[0m {CLEAR}end\n".encode(), b"10 %\r20 %\n"]))  # type: ignore[arg-type]
    told = capfd.readouterr().err
    assert not COMMAND.search(told) and "end" in told and "20 %" in told and "10 %" not in told
    assert printable("plain\ttext\nof two lines") == "plain\ttext\nof two lines"
