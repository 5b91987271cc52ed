"""From pictures to a side-by-side chat and a downloaded adapter, in a real browser, with a refresh inside every step.

The base model is the toy starter with few steps, chosen the way an engineer would: by cloning a training with changes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.core.records import open_records
from tests.e2e.conftest import System
from tests.toys import TOY_BASE, TOY_STEPS, toy, write_toy

ROOT = Path(__file__).resolve().parents[2]
STUCK_MS = 60_000
"""How long a page may draw before it counts as stuck."""
TRAINED_MS = 600_000
"""How long a training or an answer may take on two busy cores."""
WHOLE_S = 1500
"""How long the test may take in all: every wait of it has its own limit, and some minutes are usual."""
HEARD_MS = 500
"""What somebody types or presses is at the studio by then; nobody refreshes sooner."""
ENDED = re.compile("Done|Trained, but")
"""The heading of a training that is over: a toy model has something that falls short."""
SERIOUS = {"serious", "critical"}
LEARNT = """
print(sum(value.abs().sum().item() for name, value in model.named_parameters() if "lora_B" in name) > 0)
"""
"""Behind the snippet that loads the adapter with PEFT: whether it holds anything."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six pictures and a caption beside each."""
    folder = write_toy(tmp_path_factory.mktemp("pictures") / "ada") / "images"
    for image in toy()[0].images:
        (folder / image.file).with_suffix(".txt").write_text(image.description, encoding="utf-8")
    return sorted(folder.iterdir())


def accessible(page: Page, name: str) -> None:
    """No serious finding of axe-core on the page as it stands."""
    found = Axe().run(page).response["violations"]
    serious = [
        f"{one['id']}: {one['help']} ({node['html'][:160]})"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]
    assert not serious, f"{name}:\n" + "\n".join(serious)


def press(page: Page, name: str) -> None:
    """Press the button of that name, once the page stands still."""
    settled(page)
    page.get_by_role("button", name=name).first.click()


def settled(page: Page) -> None:
    """Wait until the studio has heard of the last key or click, and drawn what it had to.

    Rarely the browser waits for ever for a run whose fragment a refresh has just replaced (docs/log.md). Then the page
    is loaded again, as its user would do, and the test says so.
    """
    page.wait_for_timeout(HEARD_MS)
    still = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    try:
        still.wait_for(state="attached", timeout=STUCK_MS)
    except PlaywrightTimeout:
        warnings.warn(f"the page was stuck and loaded again: {page.url}", stacklevel=2)
        page.reload()
        expect(still).to_have_count(1)


def tab_to(page: Page, target: str, most: int = 60) -> None:
    """Reach something by the Tab key alone."""
    for _ in range(most):
        if page.evaluate("target => document.activeElement.matches(target)", target):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by the Tab key")


def refresh(page: Page) -> None:
    """Refresh, as people do."""
    settled(page)
    page.reload()
    settled(page)


@pytest.mark.timeout(WHOLE_S)
def test_from_pictures_to_a_chat_and_an_adapter(
    page: Page, system: System, pictures: list[Path], tmp_path: Path
) -> None:
    create(page, system, pictures)
    train(page)
    talk(page)
    download(page, tmp_path)
    look_around(page, system)
    maps = Path(f"/proc/{system.studio_process().pid}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text(), "the studio has loaded torch"


def create(page: Page, system: System, pictures: list[Path]) -> None:
    """The wizard, four steps."""
    page.goto(f"{system.url}/create")
    press(page, "New character")
    page.locator("input[type=file]").first.set_input_files(pictures)
    press(page, "Take it in")  # captions came with them
    expect(page.get_by_label("In your own words, picture 06")).to_be_visible()
    refresh(page)
    expect(page.get_by_label("In your own words, picture 06")).to_be_visible()
    accessible(page, "pictures")
    drawings(page)
    page.locator(".st-key-step-next button").click()
    character = toy()[0]
    settled(page)
    page.get_by_label("Name").fill("Ada")
    settled(page)
    page.keyboard.press("Tab")  # from here on by keyboard alone
    page.keyboard.type(character.persona)
    page.keyboard.press("Tab")
    page.keyboard.type(character.appearance)
    page.reload()  # in the middle of a field, at once
    settled(page)
    expect(page.get_by_label("Name")).to_have_value("Ada")
    expect(page.get_by_label("What never changes in their looks")).to_have_value(character.appearance)
    accessible(page, "who they are")
    tab_to(page, ".st-key-step-next button")
    page.keyboard.press("Enter")
    page.get_by_text("Paste conversations").click()
    blocks = [
        "\n".join(f"{{{{{'char' if turn.role == 'character' else 'user'}}}}}: {turn.text}" for turn in one)
        for one in character.interactions
    ]
    page.get_by_label("Blocks as Character Cards write them").fill("".join(f"<START>\n{one}\n" for one in blocks))
    press(page, "Read them")
    accessible(page, "look it over")
    press(page, "Take it in")
    settled(page)
    refresh(page)
    accessible(page, "how they talk")
    page.locator(".st-key-step-next button").click()
    page.get_by_text("The character is invented").click()
    page.get_by_label("Who states this?").fill("Ada's maker")
    page.keyboard.press("Tab")
    press(page, "I state this")
    refresh(page)
    expect(page.get_by_text(re.compile("Stated by"))).to_be_visible()
    accessible(page, "check and train")
    press(page, "Train")
    page.wait_for_url(re.compile(r"/training\?job="))


def drawings(page: Page) -> None:
    """How the model sees them before any training: drawn by themselves after the upload, kept, and drawn again."""
    drawn = page.get_by_role("img", name=re.compile("^Drawing: "))
    expect(page.get_by_text("This is how I see them now")).to_be_visible()
    expect(page.get_by_role("button", name="Draw again")).to_be_visible(timeout=TRAINED_MS)
    refresh(page)
    expect(drawn).to_have_count(4)
    expect(page.get_by_role("img", name=re.compile("as the model can draw it"))).to_have_count(6)
    accessible(page, "drawings")
    # The key ends with the file's name; before it stands a random id, which may hold the same digits.
    page.locator("[class*=st-key-reference-][class*='-03-png']").get_by_text("Reference").click()
    expect(page.get_by_text("have changed since these were drawn")).to_be_visible()
    press(page, "Draw again")
    expect(page.get_by_role("button", name="Draw again")).to_be_hidden()
    expect(drawn).to_have_count(4)  # the earlier ones, until new ones are there
    refresh(page)


def train(page: Page) -> None:
    """Stop what the wizard began, clone it at toy size, follow it to its end, and have it measured again."""
    press(page, "Stop")
    press(page, "Stop and throw it away")
    expect(page.get_by_role("button", name="Clone with changes")).to_be_visible()
    first = page.url
    press(page, "Clone with changes")
    page.get_by_text("For engineers: any setting of the recipe").click()
    page.get_by_role("textbox", name="Settings as JSON").fill(json.dumps({"base": TOY_BASE, **TOY_STEPS}))
    press(page, "Start")
    page.wait_for_function("before => location.href !== before", arg=first)
    refresh(page)
    # Nothing on the way is waited for: a toy's steps may all be over between two looks of the page.
    expect(page.get_by_role("button", name="Talk and compare")).to_be_visible(timeout=TRAINED_MS)
    expect(page.get_by_role("heading", name=ENDED)).to_be_visible(timeout=TRAINED_MS)
    refresh(page)
    expect(page.get_by_text("Before training").first).to_be_visible()
    second = page.context.new_page()  # a second tab shows the same
    second.goto(page.url)
    expect(second.get_by_role("heading", name=ENDED)).to_be_visible()
    second.close()
    accessible(page, "training")
    press(page, "Measure again")
    press(page, "Measure them all")
    expect(page.get_by_text(re.compile("Measured again")).first).to_be_visible(timeout=TRAINED_MS)


def talk(page: Page) -> None:
    """One message, two answers, a vote; blind, and refreshed in the middle."""
    press(page, "Talk and compare")
    page.get_by_text("Blind: hide the names").click()
    press(page, "Start talking")
    page.wait_for_url(re.compile("conversation="))
    page.get_by_test_id("stChatInputTextArea").fill("Where are you?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Where are you?").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Left is better")).to_be_visible(timeout=TRAINED_MS)
    expect(page.get_by_text("Before training")).to_have_count(0)
    press(page, "Left is better")
    expect(page.get_by_text(re.compile("Before training")).first).to_be_visible()
    refresh(page)
    expect(page.get_by_text(re.compile("Before training")).first).to_be_visible()
    accessible(page, "talk")


def download(page: Page, tmp_path: Path) -> None:
    """The zip, and its adapter in a fresh process."""
    page.get_by_role("radio", name="Download").or_(page.get_by_role("button", name="Download")).first.click()
    settled(page)
    page.locator(".st-key-take-zip").get_by_role("button", name="Prepare").click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download now").click()
    coming.value.save_as(tmp_path / "ada.zip")
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        archive.extractall(tmp_path / "taken")
    [folder] = (tmp_path / "taken").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["base_model"] == TOY_BASE
    [talk, load] = re.findall(r"```python\n(.+?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    [command] = re.findall(r"```sh\nunderstudy (.+?)\n```", (folder / "README.md").read_text(encoding="utf-8"))
    for words in (["-c", talk], ["-c", load + LEARNT], ["-m", "pipelines.cli", *command.split()]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        assert words[1] != load + LEARNT or done.stdout.strip().endswith("True")
    assert (folder / "reply.png").is_file() and (folder / "my-character" / "character.yaml").is_file()


def look_around(page: Page, system: System) -> None:
    """Every page in the dark and on a phone, and what is kept of all this."""
    records = open_records(system.settings.database_url)
    owner = system.settings.owner
    [vote] = records.chats.votes(owner=owner)
    assert vote.blind and vote.choice == "left" and vote.prompt == "Where are you?"
    job = records.jobs.list(owner=owner, kind="train", statuses=["succeeded"])[0]
    of = f"character={job.character}"
    paths = [
        "",
        f"?{of}",
        "create",
        f"create?{of}&step=1",
        f"create?{of}&step=3",
        "training",
        f"training?job={job.id}",
        "chat",
        f"chat?{of}",
        f"compare?{of}&view=Pictures",
        "compare",
        f"compare?conversation={vote.conversation}",
        f"compare?{of}&view=Scorecards",
        f"compare?{of}&view=Votes",
        f"compare?{of}&view=Download",
        f"create?{of}&step=2",
        f"create?{of}&step=4",
        "system",
    ]
    records.close()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in paths:
        page.goto(f"{system.url}/{path}")
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        settled(page)
        accessible(page, f"{path or 'characters'} in the dark")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path or 'characters'} is {wide} px wide on a phone"
