"""Chat as people chat, and words for people from SillyTavern, in a real browser with somebody who is not bundled.

The model is the toy starter after a toy training: its words mean nothing, so what is checked is what the page does.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import ReplyRequest
from pipelines.core.queue.submit import submit_training
from studio.actions import chat_turns
from studio.context import AppContext
from tests.core.formats.card_samples import as_png, foreign
from tests.e2e.conftest import System
from tests.e2e.screenshots import studio
from tests.e2e.test_whole_way import TRAINED_MS, accessible, press, refresh, settled
from tests.studio import staged
from tests.toys import TOY_BASE, TOY_STEPS

WHOLE_S = 1500
SAID = "*waves* Where are **you**? <b>here</b> [map](https://example.org/map)"


@pytest.fixture(scope="module")
def trained(context: AppContext, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Marit, drawn for this test, after a training of seconds."""
    character = staged.published(context, tmp_path_factory.mktemp("marit"), name="Marit")
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    version = context.records.characters.version(character, 1)
    job = submit_training(context.records, context.queue, context.owner, version, recipe)
    until = time.monotonic() + TRAINED_MS / 1000
    while time.monotonic() < until and context.records.jobs.get(job.id).status in ("queued", "running"):
        time.sleep(1)
    ended = context.records.jobs.get(job.id)
    assert ended.status == "succeeded", ended.error
    return ended


def say(page: Page, words: str) -> None:
    """Type a message as people do, and send it."""
    settled(page)
    page.get_by_test_id("stChatInputTextArea").press_sequentially(words, delay=15)
    page.keyboard.press("Enter")


def answered(page: Page) -> None:
    """Wait until the last answer is whole."""
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=TRAINED_MS)
    settled(page)


def speeches(page: Page) -> Locator:
    """What was said, greeting first."""
    return page.locator(".u-speech")


@pytest.mark.timeout(WHOLE_S)
def test_people_chat(page: Page, system: System, context: AppContext, trained: Job) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{system.url}/chat?character={trained.character}")
    expect(speeches(page)).to_have_text(["Aye?"])
    settled(page)
    page.get_by_role("button", name="Pictures, strength and seed").click()
    page.get_by_text("always", exact=True).click()
    page.get_by_text("Best of 4").click()
    settled(page)
    for _ in range(4):
        page.get_by_role("slider", name="Strength").press("ArrowLeft")
    settled(page)
    page.keyboard.press("Escape")
    say(page, SAID)
    page.wait_for_url(re.compile("conversation="))
    answered(page)
    expect(speeches(page).nth(1).locator("em")).to_have_text("waves")
    expect(speeches(page).nth(1)).to_contain_text("<b>here</b> [map](https://example.org/map)")
    refresh(page)
    expect(speeches(page)).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("Marit"))).to_be_visible()
    assert not any("example.org" in url for url in asked)
    first = context.records.chats.conversation(page.url.split("conversation=")[1])
    [turn] = chat_turns.turns(context, first)
    request = ReplyRequest.from_json(context.records.jobs.get(turn.question.job).request)
    assert (request.best_of, request.picture, first.right) == (4, "always", "") and turn.answers[0].picture_key
    assert request.strength == pytest.approx(0.8)
    best = context.records.jobs.get(trained.id)
    assert first.left.startswith(f"{best.id}:") and not first.left.endswith(":base")
    accessible(page, "chat")
    _continue_edit_and_branch(page, context, first.id)
    _pictures(page, system, trained)


def _continue_edit_and_branch(page: Page, context: AppContext, id: str) -> None:
    talk = context.records.chats.conversation(id)
    before = chat_turns.turns(context, talk)[0].answers[0]
    press(page, "Continue")
    expect(page.get_by_text("The answer is being written")).to_have_count(0)
    answered(page)
    after = chat_turns.turns(context, talk)[0].answers[0]
    assert after.text.startswith(before.text) and len(after.text) > len(before.text)
    assert after.picture_key == before.picture_key
    press(page, "Edit answer")
    page.get_by_role("textbox", name="Their answer").fill("*points north* Up there.")
    press(page, "Keep these words")
    expect(speeches(page).nth(2).locator("em")).to_have_text("points north")
    say(page, "And then?")
    answered(page)
    expect(speeches(page)).to_have_count(5)
    press(page, "Edit message")
    page.get_by_role("textbox", name="Your message").fill("Who are you?")
    press(page, "Say this instead")
    page.wait_for_function("id => !location.href.includes(id)", arg=id)
    answered(page)
    expect(speeches(page).nth(1)).to_have_text("Who are you?")
    assert len(chat_turns.turns(context, talk)) == 2  # the first one stays as it was
    edited = page.url
    press(page, "Branch")
    page.wait_for_function("url => location.href !== url", arg=edited)
    expect(speeches(page)).to_have_count(3)
    press(page, "New chat")
    press(page, "Earlier chats")
    expect(page.get_by_role("button", name=re.compile("Who are you"))).to_have_count(2)


def _pictures(page: Page, system: System, trained: Job) -> None:
    """Own prompts in the grid, and the keyboard through the saved states."""
    page.goto(f"{system.url}/compare?character={trained.character}&view=Pictures")
    settled(page)
    page.get_by_role("textbox", name="Draw something of your own").fill("happy, on a ship")
    press(page, "With this state only")
    expect(page.get_by_role("img", name=re.compile("happy, on a ship"))).to_be_visible(timeout=TRAINED_MS)
    settled(page)
    thumb = page.get_by_role("slider")
    thumb.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Draw it here too")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name=re.compile("happy, on a ship"))).to_be_visible()
    accessible(page, "picture grid")


def test_a_card_says_what_it_lacks_and_sillytavern_comes_first(
    page: Page, system: System, trained: Job, tmp_path: Path
) -> None:
    (tmp_path / "vilde.png").write_bytes(as_png({"ccv3": foreign(name="Vilde")}))
    page.goto(system.url)
    settled(page)
    if page.get_by_text("Begin with a file, or try an example").count():
        page.get_by_text("Begin with a file, or try an example").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "vilde.png")
    expect(page.get_by_text("The file brought 1 picture; training needs 5")).to_be_visible()
    press(page, "Take it in")
    page.wait_for_url("**/create?character=*")
    page.goto(f"{page.url.split('&')[0]}&step=4")
    press(page, "Before training: Pictures")
    page.wait_for_url("**step=1*")
    page.goto(f"{system.url}/compare?character={trained.character}&view=Download")
    settled(page)
    kinds = page.locator("[class*=st-key-take-]")
    expect(kinds.first).to_contain_text("SillyTavern")
    expect(page.get_by_text("from pipelines").first).to_be_hidden()  # Python is folded away
    kinds.first.get_by_role("button", name="Prepare").click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download now").click()
    assert coming.value.suggested_filename == "marit.png"


def test_no_stage_codes_and_a_menu_that_closes(page: Page, system: System, trained: Job) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    of = f"character={trained.character}"
    paths = (
        f"chat?{of}",
        f"compare?{of}&view=Pictures",
        f"compare?{of}&view=Scorecards",
        f"compare?{of}&view=Download",
    )
    for path in (*paths, f"?{of}", f"training?job={trained.id}"):
        page.goto(f"{system.url}/{path}")
        settled(page)
        shown = page.locator("[data-testid=stMainBlockContainer]").inner_text()
        assert not re.search(r"\b(sft|grpo)\b|sft-|grpo-|safetensors|\.json", shown), f"{path}: {shown}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNavLink").filter(has_text="System").click()
    page.wait_for_url("**/system")
    expect(page.get_by_test_id("stExpandSidebarButton")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNavLink").first).not_to_be_in_viewport()


STREAMLITS_DIALOG = """() => {
  const box = document.createElement("div");
  box.dataset.testid = "stDialog";
  box.textContent = "Connection error";
  document.body.append(box);
}"""
"""What Streamlit's page shows after some tries, with a command that nobody here types; when depends on the browser."""


def test_a_studio_that_stopped_says_so(browser: Browser, tmp_path: Path) -> None:
    """Over the open page, and after a refresh in place of the browser's own error."""
    expect.set_options(timeout=120_000)
    window = browser.new_context()
    page = window.new_page()
    with studio(tmp_path) as url:
        page.goto(f"{url}/system")
        settled(page)
        page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
        for process in psutil.Process().children(recursive=True):
            if any("streamlit" in word for word in process.cmdline()) and str(tmp_path) in str(process.environ()):
                process.kill()
        expect(page.get_by_role("alertdialog")).to_contain_text("The studio is stopped")
        page.get_by_role("button", name="Look at the page meanwhile").click()
        page.evaluate(STREAMLITS_DIALOG)
        expect(page.get_by_text("Connection error")).to_be_hidden()
        page.reload()
        expect(page.get_by_role("heading", name="The studio is stopped")).to_be_visible()
    window.close()
