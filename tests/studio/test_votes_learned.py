"""Votes of the studio are learned from: from the button to a training by the real worker, and what its page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.recipe import Recipe
from studio.actions import chat_turns, compare, create, feedback
from studio.context import AppContext
from tests.studio import staged
from tests.toys import TOY_BASE, TOY_STEPS

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
QUESTIONS = ("Who are you?", "Where are you?", "Is it late?", "Any news?", "And the gulls?", "Why?")


@pytest.fixture
def talk(context: AppContext, tmp_path: Path) -> Any:
    """A conversation with a vote on each of six messages: the left answer, the last one for its picture alone."""
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    conversation = compare.start_conversation(context, job.character, f"{job.id}:grpo-000002", f"{job.id}:base", False)
    for question in QUESTIONS:
        message = compare.send_message(context, conversation.id, question, seed=5)
        staged.answered(context, message.job, (f"Aye, {question}", "I am a model."))
        feedback.vote(context, conversation.id, message.number + 1, "left")
    feedback.vote(context, conversation.id, message.number + 1, "left", "picture")
    assert chat_turns.turns(context, conversation)[-1].vote.about == "picture"  # type: ignore[union-attr]
    return conversation


def test_a_training_learns_from_the_votes_and_its_page_says_so(context: AppContext, talk: Any) -> None:
    version = create.publish_draft(context, talk.character)
    job = staged.trained_by_worker(context, version, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
    told = [
        event.payload["preferences"] for event in context.records.events.after(job.id) if "preferences" in event.payload
    ]
    assert told and all((one["learned"], one["held_out"]) == (4, 1) for one in told)
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/training.py")
    page.query_params["job"] = job.id
    page.run()
    assert not page.exception
    shown = "\n".join(str(element.proto) for element in page.get("html"))
    assert "Learned from 4 votes and corrections; of 1 that were kept back" in shown
