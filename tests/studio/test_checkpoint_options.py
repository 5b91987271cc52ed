"""Which state comes first on every page: the default, its mark, and that a chosen one stays chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Conversation, Job, Vote, new_id
from pipelines.core.queue.training_results import best_of_character
from studio.actions.characters import best_score
from studio.actions.checkpoint_options import checkpoint_options, default_of, first_in_words, marks_of
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    return staged.published(context, tmp_path / "ada")


def page(**params: str) -> AppTest:
    """The compare page at an address."""
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/compare.py")
    for key, value in params.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception
    return test


def chosen(test: AppTest) -> dict[str, Any]:
    """Label of each list -> what is chosen in it."""
    return {box.label: box.value for box in test.selectbox}


def rescored(context: AppContext, job: Job, name: str, **scores: float) -> None:
    """A checkpoint with some scores changed, or with none at all when none is named."""
    row = context.records.checkpoints.get(job.id, name)
    context.records.checkpoints.put(replace(row, scores={**row.scores, **scores} if scores else {}))


def voted(context: AppContext, character: str, winner: str, loser: str, count: int) -> None:
    """So many votes for one of two."""
    talk = context.records.chats.add_conversation(Conversation(new_id(), context.owner, character, winner, loser))
    for number in range(count):
        context.records.chats.add_vote(Vote(new_id(), talk.id, number, winner, loser, "left", True))


def test_an_unmeasured_state_of_a_running_training_is_no_default(context: AppContext, character: str) -> None:
    job = staged.claimed(context, staged.queued(context, character))
    staged.told(context, job, staged.run_events(4, 0))
    for name in ("base", "sft-000004"):
        staged.checkpoint(context, job, name)
        rescored(context, job, name)
    options = checkpoint_options(context, character)
    assert [one.ref for one in options] == [f"{job.id}:sft-000004", f"{job.id}:base"] and default_of(options) == ""
    assert chosen(page(character=character))["One"] is None
    assert next(button for button in page(character=character).button if button.label == "Start talking").disabled
    assert "Which state" in chosen(page(character=character, view="Download"))
    # What it has measured may come first, but is not yet what the training chose.
    for name in ("base", "sft-000004"):
        rescored(context, job, name, **staged.SCORES[name])
    assert default_of(checkpoint_options(context, character)) == f"{job.id}:sft-000004"


def test_an_earlier_best_stays_the_default_while_another_training_runs(context: AppContext, character: str) -> None:
    done = staged.trained(context, character)
    running = staged.claimed(context, staged.queued(context, character))
    staged.checkpoint(context, running, "sft-000004")
    rescored(context, running, "sft-000004")
    assert default_of(checkpoint_options(context, character)) == f"{done.id}:grpo-000002"


def test_what_a_stop_saved_is_not_the_best_but_can_be_chosen(context: AppContext, character: str) -> None:
    job = staged.trained(context, character)
    row = context.records.checkpoints.get(job.id, "grpo-000002")
    better = {**row.scores, "likeness": 0.99}
    context.records.checkpoints.put(replace(row, name="grpo-000001", step=1, scores=better, saved_for="stop"))
    options = checkpoint_options(context, character)
    assert default_of(options) == f"{job.id}:grpo-000002"
    assert "saved when it was stopped" in next(one.label for one in options if one.ref.endswith("grpo-000001"))


def test_a_fault_takes_the_name_away(context: AppContext, character: str) -> None:
    job = staged.trained(context, character)
    assert best_score(context, character) is not None and first_in_words(context, character) == ""
    for name in ("sft-000004", "grpo-000002"):
        rescored(context, job, name, prompt_leaking=0.25)
    options = checkpoint_options(context, character)
    assert not any(one.is_best for one in options) and default_of(options) == f"{job.id}:grpo-000002"
    assert marks_of(context, job) == {"grpo-000002": "comes closest"} and best_score(context, character) is None
    assert "comes closest, but it says its own description" in first_in_words(context, character)
    shown = "\n".join(str(element.proto) for element in page(character=character).html)
    assert "No state is good enough yet to be called the best" in shown


def test_the_newest_without_a_fault_comes_first(context: AppContext, character: str) -> None:
    older, newer = staged.trained(context, character), staged.trained(context, character)
    assert marks_of(context, newer) == {"grpo-000002": "best"}
    assert marks_of(context, older) == {"grpo-000002": "best of this training"}
    for name in ("sft-000004", "grpo-000002"):
        rescored(context, newer, name, speaking=0.5)
    assert marks_of(context, older) == {"grpo-000002": "best"}
    assert marks_of(context, newer) == {"grpo-000002": "comes closest"}


def test_votes_count_and_a_fault_outweighs_them(context: AppContext, character: str) -> None:
    job = staged.trained(context, character)
    first, other = f"{job.id}:grpo-000002", f"{job.id}:sft-000004"
    voted(context, character, other, first, 3)
    assert default_of(checkpoint_options(context, character)) == first, "three votes could be chance"
    voted(context, character, other, first, 3)
    found = best_of_character(context.records, context.owner, character)
    assert found is not None and (found.ref, found.by) == (other, "votes")
    assert marks_of(context, job) == {"sft-000004": "best"}
    assert "your votes clearly prefer it" in first_in_words(context, character)
    rescored(context, job, "sft-000004", speaking=0.5)
    assert default_of(checkpoint_options(context, character)) == first


@pytest.mark.parametrize(("view", "label", "name"), [("Talk", "One", "one"), ("Download", "Which state", "state")])
def test_a_chosen_state_stays_chosen(context: AppContext, character: str, view: str, label: str, name: str) -> None:
    job = staged.trained(context, character)
    test = page(character=character, view=view)
    ref = f"{job.id}:sft-000004"
    next(box for box in test.selectbox if box.label == label).set_value(ref).run()
    assert chosen(test)[label] == ref and test.query_params[name] in (ref, [ref])
    newer = staged.trained(context, character)  # new checkpoints, and another best
    test.run()
    assert chosen(test)[label] == ref
    again = page(character=character, view=view, **{name: ref})  # a refresh
    assert chosen(again)[label] == ref
    assert chosen(page(character=character, view=view))[label] == f"{newer.id}:grpo-000002"
    gone = page(character=character, view=view, **{name: f"{job.id}:sft-000999"})
    assert chosen(gone)[label] == f"{newer.id}:grpo-000002"


def test_an_interrupted_choice_is_made_again_by_the_same_rule(context: AppContext, character: str) -> None:
    # Succeeded, but the event that names the best never arrived.
    job = staged.claimed(context, staged.queued(context, character))
    staged.told(context, job, [*staged.run_events(evaluated=tuple(staged.SCORES)), Event("save", 1, 1)])
    for name in staged.SCORES:
        staged.checkpoint(context, job, name)
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "succeeded")
    assert default_of(checkpoint_options(context, character)) == f"{job.id}:grpo-000002"
