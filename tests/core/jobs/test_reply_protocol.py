"""Requests of reply jobs: typed in the code, the same JSON in the queue as 0.1 wrote."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.jobs.reply_protocol import HistoryTurn, ReplyRequest, SideText

OLD = Path(__file__).parents[2] / "fixtures" / "v0_1" / "understudy.db"


def old_requests() -> list[dict[str, Any]]:
    """Every request for a reply in records of 0.1."""
    with sqlite3.connect(f"file:{OLD}?mode=ro&immutable=1", uri=True) as connection:
        requests = [json.loads(text) for (text,) in connection.execute("SELECT request FROM jobs")]
    return [request for request in requests if request.get("task") == "reply"]


def test_requests_of_an_earlier_version_are_read_and_written_alike() -> None:
    requests = old_requests()
    lines = [line for request in requests for line in request["history"]]
    assert {key for line in lines for key in line} == {"role", "text", "picture", "left", "right"}
    for request in requests:
        assert json.loads(json.dumps(ReplyRequest.from_json(request).to_json())) == request


def test_a_turn_is_read_by_each_side_with_its_own_words() -> None:
    asked = HistoryTurn("user", "Look", picture="pictures/aa/aa.png")
    said = HistoryTurn("character", left=SideText("Aye.", "Ada, happy"), right=SideText("No."))
    request = ReplyRequest(("job:base", "job:sft-000004"), (asked, said, HistoryTurn("user", "And?")))
    assert ReplyRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert asked.message_for("left").images == ("pictures/aa/aa.png",)
    assert (said.message_for("left").text, said.message_for("left").scene) == ("Aye.", "Ada, happy")
    assert (said.message_for("right").text, said.message_for("right").scene) == ("No.", "")
    alone = HistoryTurn("character", "Aye.", "Ada, sad", picture="pictures/bb/bb.png")
    assert alone.message_for("left") == alone.message_for("right")
    assert not alone.message_for("left").images, "pictures of the character are in its scene"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoints": []}, "one checkpoint answers"),
        ({"checkpoints": ["base"]}, "named JOB:NAME"),
        ({"strength": 1.6}, "choose 0 to 1.5"),
        ({"strength": float("nan")}, "choose 0 to 1.5"),
        ({"history": [{"role": "character", "text": "Aye."}]}, "must end with a turn of the user"),
        ({"history": [{"role": "user", "text": "Hi", "mood": "fine"}]}, "differ in version"),
        ({"history": [{"role": "character", "left": {"words": "Aye."}}, {"role": "user"}]}, "differ in version"),
        ({"speed": 3}, "differ in version"),
    ],
)
def test_what_cannot_be_answered_is_refused(change: dict[str, Any], words: str) -> None:
    request = {"task": "reply", "checkpoints": ["job:base"], "history": [{"role": "user", "text": "Hi"}]}
    with pytest.raises(ValueError, match=words):
        ReplyRequest.from_json({**request, **change})


def test_the_best_of_several_drawings_is_asked_for() -> None:
    request = ReplyRequest(("job:base",), (HistoryTurn("user", "Hi"),), best_of=4)
    assert ReplyRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    with pytest.raises(ValueError, match="1 to 16"):
        replace(request, best_of=17)
