"""Nothing typed is lost: a character of their own in a real browser, typed by a person and by a robot, in two tabs.

The studio runs with its real database and store, without workers: nothing here waits for a model.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.core.records import Records
from studio.actions import chat_turns, compare
from studio.context import open_context
from tests.e2e import own_character as pim
from tests.e2e.studio_alone import Studio
from tests.e2e.test_whole_way import accessible
from tests.e2e.wizard_fields import PERSON_MS, ROBOT_MS, draft, field, new_character, press, raw, write
from tests.studio import staged

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("impatient")]


# ---------------------------------------------------------------- one tab, every step


@pytest.mark.parametrize("delay_ms", [ROBOT_MS, pytest.param(PERSON_MS, marks=pytest.mark.slow)])
def test_a_character_of_ones_own_is_typed_with_back_and_refresh_at_every_step(
    page: Page, studio: Studio, records: Records, tmp_path: Path, delay_ms: float
) -> None:
    new_character(page, studio, step=1)
    page.locator("input[type=file]").first.set_input_files(
        [path for path in pim.write_pictures(tmp_path / "pim") if path.suffix == ".png"]
    )
    expect(field(page, "Face in picture 10")).to_be_visible()
    write(page, "Face in picture 01", "happy", delay_ms)
    write(page, "Place in picture 02", "in the snow", delay_ms)
    press(page, "step-next")
    write(page, "Name", pim.NAME, delay_ms)
    write(page, "Who they are", pim.PERSONA, delay_ms)
    for number, (question, answer) in enumerate(pim.FACTS, 1):
        write(page, f"Question {number}", question, delay_ms)
        page.keyboard.press("Tab")
        page.keyboard.type(answer, delay=delay_ms)
    press(page, "step-next")
    write(page, "How they speak", pim.STYLE, delay_ms)
    page.go_back()  # straight from the field
    page.go_forward()
    expect(field(page, "How they speak")).to_have_value(pim.STYLE)
    press(page, "step-back")
    for number, (question, answer) in enumerate(pim.FACTS, 1):
        expect(field(page, f"Question {number}")).to_have_value(question)
        expect(field(page, f"Answer {number}")).to_have_value(answer)
    write(page, "What never changes in their looks", pim.APPEARANCE, delay_ms)
    page.reload()  # in the middle of a field
    expect(field(page, "What never changes in their looks")).to_have_value(pim.APPEARANCE)
    press(page, "step-next")
    expect(field(page, "How they speak")).to_have_value(pim.STYLE)
    page.get_by_role("button", name="New conversation").click()
    write(page, "Somebody says, turn 1", "Are you still open?", delay_ms)
    write(page, f"{pim.NAME} says, turn 2", "Always, late one.", delay_ms)
    page.get_by_role("button", name="New conversation").click()  # at once
    # Both conversations have such a field, and for a moment both stand on the page: wait for the new one's alone.
    said = "[...document.querySelectorAll('textarea[aria-label=\"Somebody says, turn 1\"]')].map(one => one.value)"
    page.wait_for_function(f"JSON.stringify({said}) === '[\"\"]'")
    write(page, "Somebody says, turn 1", "Is it raining?", delay_ms)
    page.reload()
    expect(field(page, "Somebody says, turn 1")).to_have_value("Is it raining?")
    press(page, "step-next")
    page.get_by_text("The character is invented").click()
    write(page, "What may others do with it?", "CC-BY-4.0", delay_ms)
    write(page, "Who states this?", "Pim's aunt", delay_ms)
    page.get_by_role("button", name="I state this").click()  # at once
    expect(page.get_by_text("Stated by Pim's aunt")).to_be_visible()
    kept = draft(records, page)
    assert [(fact["question"], fact["answer"]) for fact in kept["facts"]] == list(pim.FACTS)
    typed = [pim.NAME, pim.PERSONA, pim.APPEARANCE, pim.STYLE, "CC-BY-4.0"]
    assert [kept[name] for name in ("name", "persona", "appearance", "style", "licence")] == typed
    assert kept["interactions"] == [
        [{"user": "Are you still open?"}, {"character": "Always, late one."}],
        [{"user": "Is it raining?"}, {"character": ""}],
    ]
    images = {str(entry["file"]): entry for entry in kept["images"]}  # type: ignore[attr-defined]
    assert images["01.png"]["expression"] == "happy" and images["02.png"]["place"] == "in the snow"
    assert "clashes" not in raw(records, page)


def test_a_fact_is_taken_out_and_the_rows_stay_numbered(page: Page, studio: Studio, records: Records) -> None:
    new_character(page, studio)
    for number, (question, _) in enumerate(pim.FACTS, 1):
        write(page, f"Question {number}", question, ROBOT_MS)
    page.get_by_role("button", name="Take out fact 2").click()
    left = [pim.FACTS[at][0] for at in (0, 2, 3, 4)]
    shown = "[...document.querySelectorAll('.st-key-facts input')].filter((_, at) => at % 2 == 0).map(one => one.value)"
    page.wait_for_function(f"left => JSON.stringify({shown}) === JSON.stringify([...left, '', '', ''])", arg=left)
    expect(field(page, "Question 4")).to_have_value(left[-1])
    assert [fact["question"] for fact in draft(records, page)["facts"]] == left  # type: ignore[attr-defined]


def test_a_fact_is_no_error_while_its_answer_is_typed(page: Page, studio: Studio) -> None:
    new_character(page, studio)
    write(page, "Name", pim.NAME, ROBOT_MS)
    write(page, "Who they are", pim.PERSONA, ROBOT_MS)
    write(page, "Question 1", "Where do you work?", PERSON_MS)
    expect(field(page, "Question 4")).to_be_visible()  # drawn anew: the row was kept
    page.keyboard.press("Tab")
    page.keyboard.type("In the shop", delay=PERSON_MS)
    fault = page.get_by_text("Fact 1 has no answer")
    write(page, "Question 2", "Where?", ROBOT_MS)
    page.keyboard.press("Tab")
    expect(field(page, "Question 5")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_text("has no answer")).to_have_count(0)
    write(page, "Who they are", " Pim waits.", ROBOT_MS)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Fact 2 has no answer").first).to_be_visible()
    expect(fault).to_have_count(0)


# ---------------------------------------------------------------- too long


def test_a_text_over_its_limit_is_taken_counted_and_explained(page: Page, studio: Studio, records: Records) -> None:
    new_character(page, studio)
    for label, length, limit in (("Name", 95, 80), ("Who they are", 8123, 8000)):
        page.keyboard.press("Escape")
        field(page, label).fill("y" * length)
        page.keyboard.press("Tab")
        told = f"{length:,} characters, {length - limit:,} more than the {limit:,} that can be used"
        expect(page.get_by_text(re.compile(told)).first).to_be_visible()
        expect(field(page, label)).to_have_value("y" * length)
    page.reload()
    expect(field(page, "Who they are")).to_have_value("y" * 8123)
    press(page, "step-next")
    page.goto(page.url.partition("&")[0] + "&step=4")
    expect(page.get_by_text("123 more than the 8,000").first).to_be_visible()
    assert len(str(draft(records, page)["name"])) == 95


def test_a_message_that_is_too_long_stays_in_its_field(page: Page, studio: Studio, tmp_path: Path) -> None:
    context = open_context(studio.settings)
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    talk = compare.start_conversation(context, job.character, f"{job.id}:grpo-000002", f"{job.id}:base", blind=False)
    page.goto(f"{studio.url}/compare?conversation={talk.id}")
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill("z" * 2345)
    page.keyboard.press("Enter")
    expect(page.get_by_text("These are 2,345 characters, 345 more than the 2,000").first).to_be_visible()
    expect(box).to_have_value("z" * 2345)
    box.fill("")
    box.press_sequentially("Are you", delay=ROBOT_MS)
    page.reload()
    expect(box).to_have_value("Are you")
    box.press_sequentially(" still open?", delay=ROBOT_MS)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Are you still open?").first).to_be_visible()
    expect(box).to_have_value("")
    page.reload()
    expect(box).to_have_value("")
    [turn] = chat_turns.turns(context, talk)
    assert turn.question.text == "Are you still open?"
    context.records.close()


def test_a_first_message_that_was_sent_does_not_come_back(page: Page, studio: Studio, tmp_path: Path) -> None:
    context = open_context(studio.settings)
    staged.published(context, tmp_path / "another")  # of the same name: a chat must stay with whom it is with
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    box = page.get_by_test_id("stChatInputTextArea")
    for _ in range(3):
        page.goto(f"{studio.url}/chat?character={job.character}")
        expect(box).to_be_enabled()
        page.wait_for_timeout(1000)  # what is kept comes back a moment after the field
        expect(box).to_have_value("")
        box.press_sequentially("Good morning.", delay=ROBOT_MS)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("conversation="))
        expect(page.get_by_text("Good morning.").first).to_be_visible()
    page.goto(f"{studio.url}/chat?character={job.character}")
    expect(box).to_be_enabled()
    box.press_sequentially("Not sent yet", delay=ROBOT_MS)
    page.goto(f"{studio.url}/system")
    page.goto(f"{studio.url}/chat?character={job.character}")
    expect(box).to_have_value("Not sent yet")
    context.records.close()


# ---------------------------------------------------------------- two tabs


def test_closing_a_stale_tab_leaves_newer_words_alone(page: Page, studio: Studio, records: Records) -> None:
    address = new_character(page, studio)
    write(page, "Who they are", "Old words.", ROBOT_MS)
    page.keyboard.press("Tab")
    stale = page.context.new_page()
    stale.goto(address)
    expect(field(stale, "Who they are")).to_have_value("Old words.")
    field(stale, "Who they are").click()  # looked at, not edited
    field(page, "Who they are").fill("Newer words.")
    page.keyboard.press("Tab")
    stale.close(run_before_unload=True)
    page.wait_for_timeout(1000)
    stored = raw(records, page)
    assert stored["persona"] == "Newer words." and "clashes" not in stored


def test_two_texts_for_one_field_are_both_kept_and_shown(page: Page, studio: Studio, records: Records) -> None:
    address = new_character(page, studio)
    write(page, "Who they are", "Pim.", ROBOT_MS)
    page.keyboard.press("Tab")
    other = page.context.new_page()
    other.goto(address)
    expect(field(other, "Who they are")).to_have_value("Pim.")
    write(page, "Who they are", " Pim hums.", ROBOT_MS)
    page.keyboard.press("Tab")
    write(other, "Who they are", " Pim whistles.", PERSON_MS)
    write(other, "What never changes in their looks", "Teal.", ROBOT_MS)  # another field is no clash
    other.locator(".st-key-step-next button").click()
    expect(other.get_by_text("Who they are: there are two texts")).to_be_visible()
    for text in ("Pim. Pim hums.", "Pim. Pim whistles."):
        expect(other.locator(".st-key-clash-0").get_by_text(text, exact=True)).to_be_visible()
    accessible(other, "two texts")
    assert raw(records, page)["persona"] == "Pim. Pim hums." and raw(records, page)["appearance"] == "Teal."
    other.close()
    page.reload()
    page.get_by_role("button", name="Use the other text").click()
    expect(field(page, "Who they are")).to_have_value("Pim. Pim whistles.")
    expect(page.get_by_text("there are two texts")).to_have_count(0)
    assert "clashes" not in raw(records, page)


def test_words_for_what_another_tab_took_out_are_kept(page: Page, studio: Studio, records: Records) -> None:
    address = new_character(page, studio, step=3)
    page.get_by_role("button", name="New conversation").click()
    write(page, "Somebody says, turn 1", "Hello?", ROBOT_MS)
    page.keyboard.press("Tab")
    other = page.context.new_page()
    other.goto(address)
    expect(field(other, "Somebody says, turn 1")).to_have_value("Hello?")
    page.get_by_role("button", name="Delete this conversation").click()
    expect(field(page, "Somebody says, turn 1")).to_have_count(0)
    write(other, "Somebody says, turn 1", " Anybody?", ROBOT_MS)
    other.keyboard.press("Tab")
    expect(other.get_by_text("after its place had been taken out in another tab")).to_be_visible()
    expect(other.get_by_text("Hello? Anybody?", exact=True)).to_be_visible()


# ---------------------------------------------------------------- bad moments


def test_what_is_typed_while_the_studio_is_away_comes_later(
    page: Page, records: Records, tmp_path: Path, studio: Studio
) -> None:
    address = new_character(page, studio)
    write(page, "Name", "Pim", ROBOT_MS)
    page.wait_for_timeout(1000)
    page.route("**/keep", lambda route: route.abort())
    write(page, "Who they are", "Typed while nobody listened.", ROBOT_MS)
    page.reload()  # the text is in the browser alone
    page.unroute("**/keep")
    page.goto(address)
    expect(field(page, "Who they are")).to_have_value("Typed while nobody listened.")
    assert raw(records, page)["persona"] == "Typed while nobody listened."
