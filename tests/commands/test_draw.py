"""`understudy draw` on the toy: from a folder, from a checkpoint, the best of several, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pipelines.cli import main
from pipelines.core.character.character_folder import read_character
from pipelines.core.run_folder import read_json
from pipelines.inference.engine import reference_files
from tests.toys import TOY_BASE

Capture = pytest.CaptureFixture[str]


def drawn(capsys: Capture, *words: object) -> dict[str, object]:
    """The command's answer; it must succeed."""
    capsys.readouterr()
    status = main(["draw", *map(str, words), "--json"])
    caught = capsys.readouterr()
    assert status == 0, caught.err
    answer: dict[str, object] = json.loads(caught.out.splitlines()[-1])
    return answer


def failed(capsys: Capture, *words: object) -> tuple[int, str]:
    """Status and reason of a call that does not succeed."""
    capsys.readouterr()
    status = main(["draw", *map(str, words)])
    return status, capsys.readouterr().err


def test_a_folder_is_drawn_before_any_training(toy_character: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "ada.png"
    said = ("--say", "Ada,  laughing in the snow.", "--base", TOY_BASE, "--count", 2, "--seed", 7)
    answer = drawn(capsys, toy_character, *said, "--out", out)
    second = out.with_name("ada-2.png")
    assert answer["pictures"] == [{"file": str(out), "seed": 7}, {"file": str(second), "seed": 8}]
    assert (answer["character"], answer["checkpoint"], answer["best_of"]) == ("Ada", "", 1)
    assert answer["say"] == "Ada, laughing in the snow"
    # A picture depends on its seed and not on how many are drawn; the name in front of the words changes nothing.
    again = ("--say", "laughing in the snow", "--base", TOY_BASE, "--seed", 8)
    drawn(capsys, toy_character, *again, "--out", tmp_path / "again.png")
    assert _pixels(second) == _pixels(tmp_path / "again.png") != _pixels(out)


def test_the_chosen_references_are_looked_at_first(toy_character: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_character, tmp_path / "ada")
    with (folder / "character.yaml").open("a") as yaml:
        yaml.write("references: [05.png, 02.png]\n")
    files = reference_files(folder, read_character(folder))
    assert [file.name for file in files[:3]] == ["05.png", "02.png", "01.png"] and len(files) == 6


def test_a_checkpoint_is_drawn_with_its_adapter(toy_run: Path, tmp_path: Path, capsys: Capture) -> None:
    seen = set()
    for name in ("base", "sft-000004"):
        out = tmp_path / f"{name}.png"
        answer = drawn(capsys, f"{toy_run}:{name}", "--say", "happy", "--out", out)
        assert answer["checkpoint"] == name
        seen.add(_pixels(out))
    assert len(seen) == 2
    best = drawn(capsys, toy_run, "--say", "happy", "--best-of", 3, "--out", tmp_path / "best.png")
    assert best["best_of"] == 3 and best["checkpoint"] == read_json(toy_run / "result.json")["best"]


def test_chat_keeps_the_best_of_several_too(toy_run: Path, tmp_path: Path, capsys: Capture) -> None:
    said = ["chat", str(toy_run), "--say", "Show me.", "--picture", str(tmp_path / "a.png")]
    assert main([*said, "--best-of", "3", "--json"]) == 0
    [reply] = json.loads(capsys.readouterr().out.splitlines()[-1])["replies"]
    assert reply["picture"] == str(tmp_path / "a.png") and (tmp_path / "a.png").is_file()
    assert main([*said, "--best-of", "0"]) == 2 and "1 to 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["--say", " "], 2, "--say needs words"),
        (["--say", "sad", "--count", "0"], 2, "1 to 16"),
        (["--say", "sad", "--out", "a.jpg"], 2, "ends in .png"),
        (["--say", "sad", "--best-of", "99"], 2, "1 to 16"),
        (["--say", "sad", "--strength", "2"], 2, "choose 0 to 1.5"),
        (["--say", "very " * 90 + "sad"], 1, "too long for one picture"),
    ],
)
def test_what_it_refuses(words: list[str], status: int, reason: str, toy_character: Path, capsys: Capture) -> None:
    got = failed(capsys, toy_character, "--base", TOY_BASE, *words)
    assert got[0] == status and reason in got[1]


def test_what_is_missing_is_named(toy_character: Path, tmp_path: Path, capsys: Capture) -> None:
    said = ("--say", "sad", "--base", TOY_BASE)
    assert "neither a character folder nor a bundled" in failed(capsys, tmp_path / "gone", *said)[1]
    assert "(character.yaml) nor a run (run.json)" in failed(capsys, tmp_path, *said)[1]
    folder = shutil.copytree(toy_character, tmp_path / "ada")
    (folder / "images" / "06.png").unlink()
    assert "06.png is listed in character.yaml but is not in images/" in failed(capsys, folder, *said)[1]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "character.yaml").write_text("name: Ada\npersona: A pilot.\n")
    assert "nothing says what Ada looks like" in failed(capsys, tmp_path / "bare", *said)[1]


def _pixels(file: Path) -> bytes:
    with Image.open(file) as image:
        return image.tobytes()
