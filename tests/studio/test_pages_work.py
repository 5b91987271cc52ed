"""The training, compare and system pages, drawn for real over made-up trainings: what they show, what buttons do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from studio.actions import chat_turns, compare, feedback
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
TIMEOUT_S = 120
"""A busy machine draws slowly; the time itself is measured elsewhere."""
Open = Callable[..., AppTest]


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    return staged.published(context, tmp_path / "ada")


@pytest.fixture
def open_page(context: AppContext) -> Open:
    """Draw a page with ids in its address."""

    def opened(name: str, **params: str) -> AppTest:
        test = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).switch_page(f"app_pages/{name}.py")
        for key, value in params.items():
            test.query_params[key] = value
        test.run()
        assert not test.exception, test.exception
        return test

    return opened


def words(test: AppTest) -> str:
    """Everything that is to be read on the page."""
    kinds: list[Any] = [test.markdown, test.title, test.subheader, test.info, test.warning, test.error, test.caption]
    kinds += [test.get("html"), test.get("progress"), test.get("badge"), test.code]
    return "\n".join(str(element.proto) for kind in kinds for element in kind)


def button(test: AppTest, label: str) -> Any:
    """The first button of that label."""
    return next(one for one in test.button if one.label == label)


def labels(test: AppTest) -> list[str]:
    return [one.label for one in test.button]


# ---------------------------------------------------------------- training


def test_training_without_anything_leads_on(open_page: Open) -> None:
    assert "Nothing has been trained yet" in words(open_page("training"))


def test_the_list_of_trainings(context: AppContext, character: str, open_page: Open) -> None:
    staged.queued(context, character)
    running = staged.claimed(context, staged.queued(context, character))
    staged.told(context, running, staged.run_events(2, 0))
    shown = open_page("training")
    assert labels(shown).count("Open") == 2
    assert "Waiting" in words(shown) and "Learning the basics" in words(shown) and "Ada" in words(shown)


def test_a_running_job_and_its_end(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.claimed(context, staged.queued(context, character))
    staged.told(context, job, staged.run_events(4, 1))
    shown = open_page("training", job=job.id)
    text = words(shown)
    assert "Practising with feedback" in text and "1 of 2" in text and "done" in text
    assert "Stop" in labels(shown) and "Resume" not in labels(shown)
    assert len(shown.get("vega_lite_chart") + shown.get("arrow_vega_lite_chart")) == 2
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed", error="The disk is full.")
    shown.run()
    assert "The disk is full." in words(shown) and "Resume" in labels(shown) and "Stop" not in labels(shown)


def test_stopping_asks_first_and_resuming_does_not(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.queued(context, character)
    shown = open_page("training", job=job.id)
    button(shown, "Stop").click().run()
    assert context.records.jobs.get(job.id).status == "queued"
    button(shown, "Stop and keep what is learnt").click().run()
    assert context.records.jobs.get(job.id).status == "stopped"
    button(shown, "Resume").click().run()
    assert context.records.jobs.get(job.id).status == "queued"


def test_a_finished_job_shows_its_sample_strip(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    shown = open_page("training", job=job.id)
    text = words(shown)
    assert "Before training" in text and "Practice, step 2 (best)" in text
    assert len(shown.get("image") + shown.get("imgs")) == 10  # the portrait among them
    shown.selectbox(key="strip-prompt").select("Will it rain on day 1?").run()
    assert len(shown.get("image") + shown.get("imgs")) == 4 and "Aye, says grpo-000002." in words(shown)


def test_warnings_stand_on_the_page(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.claimed(context, staged.queued(context, character))
    copied = {**staged.SCORES["grpo-000002"], "training_image_similarity": 0.9}
    staged.told(
        context,
        job,
        [*staged.run_events(), staged.Event("evaluate", 1, 3, copied, payload={"checkpoint": "grpo-000002"})],
    )
    assert "draws its training pictures again" in words(open_page("training", job=job.id))


def test_cloning_and_training_further(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    shown = open_page("training", job=job.id)
    button(shown, "Clone with changes").click().run()
    shown.number_input(key="clone-seed").set_value(7)
    button(shown, "Start").click().run()
    newest = context.records.jobs.list(owner=context.owner, kind="train")[0]
    assert newest.parent == job.id and newest.recipe is not None and newest.recipe["seed"] == 7
    assert shown.query_params["job"] in ([newest.id], newest.id)  # and there it leads
    again = open_page("training", job=job.id)
    button(again, "Train further").click().run()
    assert "Nothing is new since this training" in words(again) and "sft_steps 4 then, 84 today" in words(again)
    again.radio(key="further-settings").set_value("As they were then")
    button(again, "Start").click().run()
    newest = context.records.jobs.list(owner=context.owner, kind="train")[0]
    assert newest.recipe is not None and (newest.recipe["sft_steps"], newest.recipe["grpo_steps"]) == (0, 3)
    assert newest.recipe["max_new_tokens"] == 24, "as it was then"
    assert [row.name for row in context.records.checkpoints.of_job(newest.id)] == ["base", "start"]


# ---------------------------------------------------------------- compare


def test_compare_without_a_trained_character_leads_on(context: AppContext, open_page: Open, tmp_path: Path) -> None:
    assert "nobody to talk with" in words(open_page("compare"))
    character = staged.published(context, tmp_path / "ada")
    assert "train it first" in words(open_page("compare", character=character))


def test_choosing_two(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    shown = open_page("compare", character=character)
    boxes = {box.label: box for box in shown.selectbox}
    assert boxes["One"].value == f"{job.id}:grpo-000002" and boxes["The other"].value == f"{job.id}:base"
    boxes["The other"].select(boxes["One"].value).run()
    button(shown, "Start talking").click().run()
    assert "Choose two different ones" in words(shown)


def test_a_talk_from_question_to_vote(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    talk = compare.start_conversation(context, character, f"{job.id}:grpo-000002", f"{job.id}:base", blind=False)
    shown = open_page("compare", conversation=talk.id)
    shown.toggle(key="talk-best").set_value(True).run()
    shown.chat_input[0].set_value("Where is *she*?").run()
    [turn] = chat_turns.turns(context, talk)
    assert context.records.jobs.get(turn.question.job).request["best_of"] == 4
    assert turn.question.text == "Where is *she*?" and "Waiting for a worker" in words(shown)
    staged.answered(context, turn.question.job, ("Aye, <script>here</script>.", "I am a model."))
    shown.run()
    assert "I am a model" in words(shown) and not shown.get("iframe")
    button(shown, "Left is better").click().run()
    assert chat_turns.turns(context, talk)[0].vote is not None
    button(shown, "Show me how it should answer").click().run()
    shown.text_area(key="mend-words").set_value("Aye, by the bell.")
    button(shown, "Keep it for the next training").click().run()
    draft = context.records.characters.get(character).draft
    assert draft["interactions"][-1][-1]["character"] == "Aye, by the bell."


def test_blind_hides_the_names_until_the_vote(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    talk = compare.start_conversation(context, character, f"{job.id}:grpo-000002", f"{job.id}:base", blind=True)
    staged.answered(context, compare.send_message(context, talk.id, "Hello?").job, ("Aye.", "Hi."))
    shown = open_page("compare", conversation=talk.id)
    assert "Before training" not in words(shown) and "Practice, step 2" not in words(shown)
    feedback.vote(context, talk.id, 1, "tie")
    shown.run()
    assert "Before training" in words(shown) and "Practice, step 2" in words(shown)


def test_scorecards_votes_and_downloads(context: AppContext, character: str, open_page: Open) -> None:
    job = staged.trained(context, character)
    scores = open_page("compare", character=character, view="Scorecards")
    assert "Sounds like them" in words(scores) and "<b>70</b>" in words(scores)
    talk = compare.start_conversation(context, character, f"{job.id}:grpo-000002", f"{job.id}:base", blind=True)
    staged.answered(context, compare.send_message(context, talk.id, "Hello?").job, ("Aye.", "Hi."))
    feedback.vote(context, talk.id, 1, "left")
    assert "100% of 1 choice" in words(open_page("compare", character=character, view="Votes"))
    load = open_page("compare", character=character, view="Download")
    takes = [one.key.split("-")[1] for one in load.button if one.label == "Prepare"]
    assert takes == ["card", "charx", "report", "zip", "adapter"]  # SillyTavern first, Python last
    button(load, "Prepare").click().run()
    assert not load.exception and "Download now" in words(load) and "ada.png" in words(load)


# ---------------------------------------------------------------- system


def test_system_with_and_without_a_worker(context: AppContext, character: str, open_page: Open) -> None:
    assert "No worker is running" in words(open_page("system"))
    job = staged.claimed(context, staged.queued(context, character))
    staged.alive(context, job=job.id)
    shown = open_page("system")
    assert "Trains Ada" in words(shown) and "shed" in words(shown) and "UNDERSTUDY" in words(shown)
    shown.toggle(key="count").set_value(True).run()
    assert not shown.exception and "Nothing would be removed" in words(shown)


def test_addresses_that_lead_nowhere_say_so(open_page: Open) -> None:
    assert "There is no job no-such" in words(open_page("training", job="no-such")).replace("\\", "")
    assert "There is no conversation" in words(open_page("compare", conversation="no-such"))
