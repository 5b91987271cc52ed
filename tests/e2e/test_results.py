"""One best, numbers that mean one thing, and training further, in a real browser with Pim, who is not bundled.

A real worker trains the toy starter, so what the scores are means nothing: what is checked is that every page tells the
same, and that what a creator has chosen or given counts.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import submit_training
from pipelines.core.queue.training_results import best_of_character
from studio.actions import create, drafts, held_out, images, interactions
from studio.context import AppContext
from tests.e2e import own_character as pim
from tests.e2e.conftest import System
from tests.e2e.test_whole_way import ENDED as HEADING
from tests.e2e.test_whole_way import TRAINED_MS, accessible, press, refresh, settled
from tests.toys import TOY_BASE, TOY_STEPS

WHOLE_S = 1500
TALKS = 10
KEPT = ("2. What is lost on night 2?", "7. What is lost on night 7?")
"""The conversations that the creator keeps for the test, as step 4 calls them."""
BETTER = "Hail, late one. It rings on my lid."
MARKED = re.compile(r"\((best|comes closest)\)")
SLOW_STEPS = {**TOY_STEPS, "sft_steps": 4000, "sft_save_every": 2}
"""A training that saves soon and does not end by itself while the test looks."""


@pytest.fixture(scope="module")
def character(context: AppContext, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pim as a draft that may be trained: ten drawings with captions, five facts, ten conversations, consent."""
    id = drafts.create(context)
    for field, words in (
        ("name", pim.NAME),
        ("persona", pim.PERSONA),
        ("appearance", pim.APPEARANCE),
        ("style", pim.STYLE),
    ):
        drafts.set_text(context, id, field, words)
    drafts.set_facts(context, id, list(pim.FACTS))
    files = pim.write_pictures(tmp_path_factory.mktemp("pim"))
    pictures = [path for path in files if path.suffix == ".png"]
    images.add(context, id, [(path.name, path.read_bytes()) for path in pictures])
    for entry, path in zip(context.records.characters.get(id).draft["pictures"], pictures, strict=True):
        face, place = path.with_suffix(".txt").read_text(encoding="utf-8").split(", ")
        images.describe(context, id, entry["file"], "expression", face)
        images.describe(context, id, entry["file"], "place", place)
    for night in range(1, TALKS + 1):
        said = [{"user": f"What is lost on night {night}?"}, {"character": f"{night} buttons, late one."}]
        interactions.add_interaction(context, id, said)
    create.give_consent(context, id, "drawn", "Pim's maker")
    return id


def wait_for_end(context: AppContext, id: str) -> Job:
    """The job once it is over."""
    until = time.monotonic() + TRAINED_MS / 1000
    while time.monotonic() < until and context.records.jobs.get(id).status not in ENDED:
        time.sleep(1)
    return context.records.jobs.get(id)


def chosen(page: Page, label: str) -> Locator:
    """The state that stands in a list, by what stands above it; its value is what the list shows."""
    return page.get_by_role("combobox", name=label, exact=True)


def submitted(context: AppContext, character: str, **steps: int) -> Job:
    """What the button Train does, at toy size."""
    version = create.publish_draft(context, character)
    recipe = Recipe.for_effort(TOY_BASE, "quick", **steps)
    return submit_training(context.records, context.queue, context.owner, version, recipe)


@pytest.mark.timeout(WHOLE_S)
def test_results(page: Page, system: System, context: AppContext, character: str) -> None:
    _keep_for_the_test(page, system, context, character)
    job = wait_for_end(context, submitted(context, character, **TOY_STEPS).id)
    assert job.status == "succeeded", job.error
    _numbers_mean_one_thing(page, system, context, job)
    _one_best(page, system, context, job)
    _an_unmeasured_state_is_never_a_default(page, system, context, job)
    _train_further(page, system, context, job)


def _keep_for_the_test(page: Page, system: System, context: AppContext, character: str) -> None:
    """What is kept for the test is shown and chosen in step 4, and stays chosen."""
    page.goto(f"{system.url}/create?character={character}&step=4")
    page.get_by_text(re.compile("^Kept for the test: 2 conversations")).click()
    spread = [item.label for item in _kept(context, character)]
    assert len(spread) == 2 and spread != list(KEPT)
    for label in spread:
        settled(page)
        page.get_by_role("button", name=f"Remove {label}").click()
    for label in KEPT:
        settled(page)
        page.get_by_role("combobox", name=re.compile("Conversations")).fill(label)
        page.get_by_role("option", name=label).click()
        page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Spread them evenly again")).to_be_visible()
    refresh(page)
    assert tuple(item.label for item in _kept(context, character)) == KEPT
    accessible(page, "kept for the test")


def _kept(context: AppContext, character: str) -> list[held_out.Choosable]:
    """The conversations that are kept."""
    draft = context.records.characters.get(character).draft
    view = next(one for one in held_out.kinds(draft) if one.kind == "conversations")
    return [item for item in view.there if item.key in view.kept]


def _numbers_mean_one_thing(page: Page, system: System, context: AppContext, job: Job) -> None:
    """The same names and numbers on the training page and the scorecards; too little is withheld and says why."""
    page.goto(f"{system.url}/training?job={job.id}")
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    best = best_of_character(context.records, context.owner, job.character)
    assert best is not None
    strip = page.locator("p, small, span").filter(has_text=re.compile("^Of 100: "))
    measured = [one for one in context.records.checkpoints.of_job(job.id) if one.scores]
    expect(strip).to_have_count(len(measured))
    told = strip.all_inner_texts()
    withheld = page.get_by_text("Eight facts or more make it possible").first
    expect(withheld).to_be_visible()  # five facts are too few to ask about
    page.goto(f"{system.url}/compare?character={job.character}&view=Scorecards&one={job.id}:{best.name}")
    rows = page.locator(".u-scores dt")
    expect(rows.first).to_be_visible()
    names = rows.all_inner_texts()
    bars = page.locator(".u-scores dd").all()
    card = {name.lower(): bar.locator("b").first.inner_text() for name, bar in zip(names, bars, strict=True)}
    assert "too little" in card.values()
    line = " · ".join(f"{name} {value}" for name, value in card.items() if value not in ("too little", "not measured"))
    assert f"Of 100: {line}" in told, f"{line!r} is not among {told}"
    expect(page.get_by_text(re.compile("^Tested on 2 conversations"))).to_contain_text("What is lost on night 2?")
    accessible(page, "scorecards")


def _one_best(page: Page, system: System, context: AppContext, job: Job) -> None:
    """One state is marked and stands there by itself wherever one is chosen; another that is chosen stays."""
    best = best_of_character(context.records, context.owner, job.character)
    assert best is not None
    trained = [one.name for one in context.records.checkpoints.of_job(job.id) if one.adapter_key]
    assert best.name in trained and len(trained) > 1
    for path, label in (
        ("chat", "Who answers"),
        ("compare", "One"),
        ("compare&view=Scorecards", "One"),
        ("compare&view=Download", "Which state"),
    ):
        name, _, view = path.partition("&")
        page.goto(f"{system.url}/{name}?character={job.character}&{view}")
        expect(chosen(page, label)).to_have_value(MARKED)
    page.goto(f"{system.url}/training?job={job.id}")
    expect(page.locator("strong").filter(has_text=MARKED)).to_have_count(1)
    page.goto(f"{system.url}/compare?character={job.character}&view=Download")
    settled(page)
    chosen(page, "Which state").click()
    page.get_by_role("option").filter(has_not_text=MARKED).first.click()
    settled(page)
    expect(chosen(page, "Which state")).not_to_have_value(MARKED)
    refresh(page)
    expect(chosen(page, "Which state")).not_to_have_value(MARKED)


def _an_unmeasured_state_is_never_a_default(page: Page, system: System, context: AppContext, job: Job) -> None:
    """A second training saves states; the first one's marked state stays what answers, during it and after a stop."""
    running = submitted(context, job.character, **SLOW_STEPS)
    until = time.monotonic() + TRAINED_MS / 1000
    while time.monotonic() < until and not any(
        one.adapter_key for one in context.records.checkpoints.of_job(running.id)
    ):
        time.sleep(0.5)
    assert context.records.jobs.get(running.id).status == "running"
    page.goto(f"{system.url}/chat?character={job.character}")
    expect(chosen(page, "Who answers")).to_have_value(MARKED)
    page.goto(f"{system.url}/training?job={running.id}")
    press(page, "Stop")
    press(page, "Stop and keep what is learnt")
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=TRAINED_MS)
    page.goto(f"{system.url}/chat?character={job.character}")
    expect(chosen(page, "Who answers")).to_have_value(MARKED)
    first = best_of_character(context.records, context.owner, job.character)
    assert first is not None and first.job == job.id


def _train_further(page: Page, system: System, context: AppContext, job: Job) -> None:
    """A corrected answer is told as new, is what the next training learns, and its steps are its own."""
    page.goto(f"{system.url}/chat?character={job.character}")
    settled(page)
    page.get_by_test_id("stChatInputTextArea").press_sequentially("What are you afraid of?", delay=15)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("conversation="))
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=TRAINED_MS)
    press(page, "Show how it should answer")
    page.get_by_role("textbox", name="A better answer").fill(BETTER)
    press(page, "Keep it for the next training")
    expect(page.get_by_text("the next training learns from them")).to_be_visible()
    page.goto(f"{system.url}/training?job={job.id}")
    press(page, "Train further")
    expect(page.get_by_text("New since this training: 1 corrected answer.")).to_be_visible()
    page.get_by_role("spinbutton", name="Steps of practising with feedback").fill("1")
    before = page.url
    press(page, "Start")
    page.wait_for_function("before => location.href !== before", arg=before)
    expect(page.get_by_text("counts its own steps")).to_be_visible()
    further = wait_for_end(context, page.url.split("job=")[1])
    assert further.status == "succeeded", further.error
    learned = context.records.characters.version(further.character, further.version).entries["interactions"]
    assert [{"user": "What are you afraid of?"}, {"character": BETTER}] in [list(talk) for talk in learned]
    steps = [event for event in context.records.events.of_stage(further.id, "sft") if event.step]
    assert steps and steps[-1].step == steps[-1].total == further.recipe["sft_steps"]
    refresh(page)
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    expect(page.get_by_text(re.compile("learned from", re.IGNORECASE)).first).to_be_visible()
