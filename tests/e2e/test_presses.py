"""No press is lost: at bad moments of the page, and while messages between page and studio are late."""

from __future__ import annotations

import random
import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from pipelines.core.jobs.job import Checkpoint
from pipelines.core.records import Records
from studio.actions import characters
from studio.context import open_context
from tests.e2e import staging
from tests.e2e.studio_alone import Studio
from tests.e2e.wizard_fields import field, new_character, press, raw

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("impatient")]


@pytest.fixture(scope="module")
def training(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A training at work, so that its page looks again by itself every few seconds."""
    context = open_context(studio.settings)
    staging.workers(context)
    job = staging.half_way(context, characters.try_bundled(context, "quibb"), None)
    staging.workers(context, job.id)
    context.records.close()
    return job.id


def test_buttons_work_while_the_page_looks_again_by_itself(page: Page, studio: Studio, training: str) -> None:
    page.goto(f"{studio.url}/training?job={training}")
    stop = page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    wait = random.Random(1)
    for _ in range(10):
        page.wait_for_timeout(wait.randrange(50, 2500))
        stop.click(delay=wait.choice((0, 80, 400)))
        expect(page.get_by_role("dialog")).to_be_visible(timeout=10_000)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_press_that_saves_a_field_and_moves_the_button_counts(page: Page, studio: Studio, records: Records) -> None:
    page.set_viewport_size({"width": 1280, "height": 1800})  # nothing scrolls
    new_character(page, studio)
    field(page, "Who they are").click()
    page.keyboard.type("Pim is a teapot.")
    box = page.locator(".st-key-step-next button").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()  # the field is left: the page is drawn anew
    page.wait_for_timeout(900)
    page.evaluate("document.querySelector('.st-key-facts').style.paddingBottom = '90px'")  # what stands below moves
    page.mouse.up()
    expect(field(page, "How they speak")).to_be_visible()
    assert raw(records, page)["persona"] == "Pim is a teapot."


def test_a_step_is_not_taken_back_by_a_request_that_left_before_the_new_address(page: Page, studio: Studio) -> None:
    held: list[tuple[WebSocketRoute, str | bytes]] = []
    holds: list[bool] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def from_server(message: str | bytes) -> None:
            if holds and kind_of(message) == "page_info_changed":
                held.append((socket, message))
            else:
                socket.send(message)

        server.on_message(from_server)

    page.route_web_socket(re.compile("_stcore/stream"), between)
    new_character(page, studio)
    expect(field(page, "Who they are")).to_be_visible()
    holds.append(True)
    press(page, "step-next")
    expect(field(page, "How they speak")).to_be_visible()
    press_look_again(page)  # with the address of before
    expect(field(page, "Who they are")).to_be_visible()
    for socket, message in held:
        socket.send(message)
    expect(field(page, "How they speak")).to_be_visible()
    assert "step=3" in page.url


def test_the_page_does_not_ask_on_its_own_while_a_press_is_on_its_way(page: Page, studio: Studio) -> None:
    told: list[str] = []
    holds: list[bool] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(lambda message: (told.append("asked"), server.send(message)))
        server.on_message(lambda message: None if holds else socket.send(message))

    page.route_web_socket(re.compile("_stcore/stream"), between)
    new_character(page, studio)
    expect(field(page, "Who they are")).to_be_visible()
    page.wait_for_timeout(1000)
    come_back = "document.dispatchEvent(new Event('visibilitychange'))"
    told.clear()
    page.evaluate(come_back)
    page.wait_for_timeout(500)
    assert told, "a look goes to the studio while nothing is pressed"
    page.wait_for_timeout(1000)
    holds.append(True)
    told.clear()
    press(page, "step-next")
    page.wait_for_timeout(100)  # the press is on its way, and the page has heard nothing
    page.evaluate(come_back)
    page.wait_for_timeout(1000)
    assert len(told) == 1, told


def kind_of(message: str | bytes) -> str | None:
    """What a message of the studio to the page tells."""
    return parsed(message).WhichOneof("type")


def parsed(message: str | bytes) -> ForwardMsg:
    """A message of the studio to the page."""
    said = ForwardMsg()
    said.ParseFromString(message if isinstance(message, bytes) else message.encode())
    return said


def press_look_again(page: Page) -> None:
    """The button by which the page asks to be drawn anew; nobody sees it."""
    page.evaluate("document.querySelector('.st-key-look-again button').click()")


def test_a_page_that_never_hears_of_the_end_of_its_run_mends_itself(page: Page, studio: Studio) -> None:
    lost: list[bool] = []
    told: list[str | bytes] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def from_server(message: str | bytes) -> None:
            if lost and kind_of(message) in ("script_finished", "session_status_changed") and not is_begin(message):
                return
            socket.send(message)

        socket.on_message(lambda message: (told.append(message), server.send(message)))
        server.on_message(from_server)

    page.route_web_socket(re.compile("_stcore/stream"), between)
    new_character(page, studio)
    field(page, "Name").fill("Pim")
    lost.append(True)
    page.keyboard.press("Tab")
    still = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(still).to_have_count(0)
    page.wait_for_timeout(1000)
    told.clear()
    page.route("**/keep", lambda route: route.fulfill(json={"at_work": True}))  # as while an upload is read
    page.wait_for_timeout(22_000)
    assert not told, "a run at work is left to its work"
    page.unroute("**/keep")
    lost.clear()
    expect(still).to_have_count(1, timeout=60_000)
    expect(field(page, "Name")).to_have_value("Pim")


def is_begin(message: str | bytes) -> bool:
    """Whether a message tells that a run begins."""
    return kind_of(message) == "session_status_changed" and parsed(message).session_status_changed.script_is_running


def test_a_dialog_stays_open_while_a_training_goes_on(page: Page, studio: Studio, training: str) -> None:
    page.goto(f"{studio.url}/training?job={training}")
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    news = page.locator("[data-news]")
    expect(news).to_have_count(0)
    context = open_context(studio.settings)
    context.records.checkpoints.put(Checkpoint(training, "base", "base", 0, "starter"))  # saved just now
    context.records.close()
    expect(news).to_have_count(1)  # the page looks every two seconds
    page.wait_for_timeout(3000)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(news).to_have_count(0)


def test_a_dialog_stays_open_when_somebody_comes_back_to_the_tab(page: Page, studio: Studio, training: str) -> None:
    page.goto(f"{studio.url}/training?job={training}")
    stop = page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    for wait_ms in (0, 100, 400):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(wait_ms)
        stop.click()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.wait_for_timeout(3000)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
