"""The benchmark of votes at toy size: what it writes, and that a second call goes on after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import preferences


def test_votes_are_simulated_learned_from_and_measured(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "votes.jsonl"
    command = ["preferences", str(toy_run), "--votes", "6", "--questions", "4", "--seeds", "1", "--out", str(out)]
    for _ in range(2):
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit):
            preferences.main()
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        [line] = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert len(line["without"]) == len(line["with"]) == 4 and line["votes"] == told["votes"][0] <= 6
        assert told["interval"][0] <= told["difference"] <= told["interval"][1]


def test_the_shorter_answer_is_voted_for() -> None:
    [only] = preferences.votes(["One?", "Two?"], ["Yes, dear.", "No no."], ["Yes.", "Oh no!"])
    assert (only.prompt, only.chosen.text, only.rejected.text) == ("One?", "Yes.", "Yes, dear.")
