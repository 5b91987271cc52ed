"""A look at a saved state while its training goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.queue import ENDED
from studio.actions import compare, peeks
from studio.desk import Desk
from tests.studio import staged


def test_a_look_is_asked_for_and_found_again(desk: Desk, tmp_path: Path) -> None:
    job = staged.claimed(desk, staged.queued(desk, staged.published(desk, tmp_path / "ada")))
    for name in ("base", "sft-000004"):
        staged.checkpoint(desk, job, name)
    assert peeks.peeks(desk, job) == {}
    with pytest.raises(ValueError, match="learnt nothing"):
        peeks.peek(desk, job.id, "base")
    asked = peeks.peek(desk, job.id, "sft-000004")
    compare.begin(desk, job.character, f"{job.id}:sft-000004", f"{job.id}:base", blind=False)  # a warm-up is no look
    look = peeks.peeks(desk, job)["sft-000004"]
    assert look.is_working and not look.said.picture_key
    reply = desk.records.jobs.claim(asked.id, staged.WORKER, 600)
    assert reply is not None and reply.request["picture"] == "always"
    staged.showed(desk, reply, "Aye.")
    look = peeks.peeks(desk, job)["sft-000004"]
    assert not look.is_working and look.said.text == "Aye." and look.said.picture_key
    assert desk.records.jobs.get(asked.id).status in ENDED
