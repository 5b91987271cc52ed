"""Before training, honest about the pictures: what the starter sees, says and draws, in a real browser.

Pim is drawn for the tests in an art of his own; the figure of the second test is drawn as the starter's are, so that
captions can be suggested. The worker has the real starter.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from pipelines.core.records import open_records
from pipelines.starter_build.drawings.attributes import WIDE
from pipelines.starter_build.drawings.render_svg import render_image
from tests.e2e import own_character as pim
from tests.e2e.conftest import System
from tests.e2e.test_whole_way import accessible, press, refresh, settled

pytestmark = pytest.mark.timeout(1200)
LOOKED_MS = 300_000
"""Until a worker on two busy cores has loaded the starter, looked and drawn."""
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


def begin(page: Page, system: System, files: list[Path]) -> None:
    """A new character with these files."""
    page.goto(f"{system.url}/create")
    press(page, "New character")
    page.wait_for_url("**character=*")
    drop(page, files)


def drop(page: Page, files: list[Path]) -> None:
    """Drop files in, and wait until they were taken."""
    settled(page)
    page.locator("input[type=file]").first.set_input_files(files)
    settled(page)


def tile(page: Page, number: int) -> Locator:
    """One picture with its fields."""
    return page.locator(f"[class*='st-key-tile-{number:02d}-']")


def draft(system: System, page: Page) -> dict[str, list[dict[str, object]]]:
    """The draft as it is stored."""
    found = re.search("character=([0-9a-f]{32})", page.url)
    assert found
    records = open_records(system.settings.database_url)
    try:
        return dict(records.characters.get(found[1]).draft)
    finally:
        records.close()


def pim_with_faults(folder: Path) -> list[Path]:
    """Six drawings of Pim, one that is nearly black, one like a photograph, and two files that are no pictures."""
    files = []
    for number in range(6):
        pim.drawing(number).save(folder / f"pim-{number}.png")
        files.append(folder / f"pim-{number}.png")
    Image.eval(pim.drawing(7), lambda level: level // 7).save(folder / "night.png")
    rng = np.random.default_rng(0)
    sides = (3, 12, 48, 128, 256)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((256, 256)), float)
        for side in sides
    ]
    Image.fromarray((sum(layers) / len(sides)).astype(np.uint8)).save(folder / "photo.png")
    (folder / "IMG_4711.HEIC").write_bytes(HEIC)
    (folder / "sheet.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    return [*files, *(folder / name for name in ("night.png", "photo.png", "IMG_4711.HEIC", "sheet.pdf"))]


def test_pictures_are_told_honestly(page: Page, system: System, tmp_path: Path) -> None:
    begin(page, system, pim_with_faults(tmp_path))
    refused = page.locator(".st-key-refused")
    expect(refused).to_contain_text("2 files could not be used. Everything else was taken in.")
    expect(refused).to_contain_text("IMG_4711.HEIC is a HEIC picture")
    expect(refused).to_contain_text("Make a JPEG of it")
    expect(refused).to_contain_text("sheet.pdf is a PDF")
    refresh(page)
    expect(refused).to_contain_text("take a screenshot")  # the reason is still there
    press(page, "I have read this")
    expect(refused).to_have_count(0)
    expect(tile(page, 7)).to_contain_text("nearly black")
    _is_written_on_while_the_pictures_are_looked_at(page, system)
    # How the model sees each picture, whom it would draw from them, and what it cannot hold.
    expect(page.get_by_role("img", name=re.compile("as the model can draw it"))).to_have_count(8, timeout=LOOKED_MS)
    expect(page.get_by_role("img", name=re.compile("^Drawing: "))).to_have_count(4)
    expect(page.locator(".st-key-drawings")).to_contain_text("This art is new to me")
    expect(tile(page, 8)).to_contain_text("This may be a photograph")
    for number in range(1, 7):
        expect(tile(page, number)).not_to_contain_text("may be")
    accessible(page, "pictures with doubts")
    _captions_are_linted(page)
    _too_many_are_ticked(page, system, tmp_path)


def _is_written_on_while_the_pictures_are_looked_at(page: Page, system: System) -> None:
    """Somebody types without a pause in one caption until the rebuilt pictures stand there, and on."""
    field = page.get_by_label("Place in picture 03")
    field.click()
    element = field.element_handle()
    rebuilt = page.get_by_role("img", name=re.compile("as the model can draw it"))
    written, end = "", time.monotonic() + LOOKED_MS / 1000
    keys, left = itertools.cycle("under the old lamp "), 40
    while left and time.monotonic() < end:
        key = next(keys)
        page.keyboard.type(key)
        written += key
        page.wait_for_timeout(20)
        left -= rebuilt.count() == 8
        if left == 40 and len(written) > 150:
            page.keyboard.press("Control+a")
            written = ""
    assert not left, "the pictures were not looked at"
    assert element is not None and element.evaluate("one => one.isConnected"), "the field was made anew"
    expect(field).to_be_focused()
    expect(field).to_have_value(written)
    page.keyboard.press("Tab")
    settled(page)
    kept = next(one for one in draft(system, page)["images"] if str(one["file"]).startswith("03"))
    assert str(kept["place"]).strip() == written.strip()
    field.fill("")


def _captions_are_linted(page: Page) -> None:
    settled(page)
    for number, face in enumerate(("happy", "sad", "angry", "calm"), 1):
        tile(page, number).get_by_role("button", name="Change").click()
        field = page.get_by_label(f"In your own words, picture {number:02d}")
        field.fill(f"a round teal teapot, {face}")
        field.press("Tab")
        page.keyboard.press("Escape")
        settled(page)
        expect(tile(page, number)).to_contain_text("Stands in place of face, clothes, place and pose")
    expect(page.get_by_text("4 of 4 captions say")).to_be_visible()


def _too_many_are_ticked(page: Page, system: System, folder: Path) -> None:
    more = []
    for number in range(10):
        path = folder / f"more-{number}.png"
        pim.drawing(number).rotate(15 * number, fillcolor="#bfe3f2").save(path)
        more.append(path)
    drop(page, more)
    surplus = page.locator(".st-key-surplus")
    expect(surplus).to_contain_text("Choose up to 15 of your 18 pictures")
    boxes = surplus.get_by_role("checkbox")
    expect(boxes).to_have_count(18)
    assert [box.is_checked() for box in boxes.all()].count(True) == 15
    assert all(box.is_checked() for box in boxes.all()[:8])  # what was there keeps its tick
    free = next(number for number, box in enumerate(boxes.all()) if not box.is_checked())
    settled(page)
    surplus.get_by_text("Use 07", exact=True).click()
    settled(page)
    surplus.get_by_text(f"Use {free + 1:02d}", exact=True).click()
    settled(page)
    refresh(page)
    assert not boxes.nth(6).is_checked() and boxes.nth(free).is_checked()
    kept = draft(system, page)
    assert len(kept["pictures"]) == len(kept["images"]) == 15 and len(kept["aside"]) == 3
    accessible(page, "too many pictures")


def test_captions_are_suggested_taken_and_declined(page: Page, system: System, tmp_path: Path) -> None:
    identity, rng = WIDE.identity(20 * 4242), random.Random(11)
    looks, files = [], []
    for number in range(5):
        looks.append(WIDE.sample_attributes(rng, identity, held_out=True))
        render_image(identity, looks[-1], 256).save(tmp_path / f"{number}.png")
        files.append(tmp_path / f"{number}.png")
    begin(page, system, files)
    box = page.locator(".st-key-suggested")
    expect(box).to_be_visible(timeout=LOOKED_MS)
    offered = [number for number in range(1, 6) if page.locator(f"[class*='st-key-take-{number:02d}-']").count()]
    assert len(offered) >= 3
    first, second = offered[0], offered[1]
    face = looks[first - 1].expression
    expect(tile(page, first)).to_contain_text(f"I see: {face}")
    settled(page)
    page.locator(f"[class*='st-key-take-{first:02d}-'] button").first.click()
    expect(page.get_by_label(f"Face in picture {first:02d}")).to_have_value(face)
    settled(page)
    page.locator(f"[class*='st-key-decline-{second:02d}-'] button").first.click()
    settled(page)
    refresh(page)
    expect(page.locator(f"[class*='st-key-take-{second:02d}-']")).to_have_count(0)
    expect(page.get_by_label(f"Face in picture {second:02d}")).to_have_value("")
    # A word that speaks against the picture is told, until somebody insists.
    wrong = "sad" if face in ("happy", "laughing", "winking") else "laughing"
    page.get_by_label(f"Face in picture {first:02d}").fill(wrong)
    page.keyboard.press("Tab")
    expect(tile(page, first)).to_contain_text(f"I see “{face}”")
    expect(page.locator(".st-key-drawings")).to_contain_text("I know this kind of drawing", timeout=LOOKED_MS)
    accessible(page, "captions")
    press(page, "My words are right")
    expect(page.get_by_text("The caption says something else")).to_have_count(0)
    press(page, "Take all")
    expect(box).to_have_count(0)
    expect(page.get_by_label(f"Face in picture {first:02d}")).to_have_value(wrong)  # what stands there stays
