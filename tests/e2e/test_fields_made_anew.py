"""Fields that the page takes away under the cursor, and a page that takes everything away: no key is lost."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from pipelines.core.records import Records
from tests.e2e.studio_alone import Studio
from tests.e2e.wizard_fields import draft, field, new_character

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("impatient")]

TAKE_AWAY = """() => {
  const box = document.querySelector("[class*=st-key-text-][class*=-persona]");
  window.place = box.parentElement;
  window.box = box;
  box.remove();
}"""
"""As when a container is made anew: the field goes in one step of the page and comes back in a later one."""


def test_keys_that_come_while_there_is_no_field_are_added(page: Page, studio: Studio, records: Records) -> None:
    new_character(page, studio)
    persona = field(page, "Who they are")
    persona.click()
    page.keyboard.type("Pim is a pot")
    expect(page.get_by_text("Press Ctrl+Enter to apply")).to_have_count(1)
    expect(page.get_by_text("Press Ctrl+Enter to apply")).to_be_hidden()  # it is kept without
    page.evaluate(TAKE_AWAY)
    page.keyboard.type("z")
    page.keyboard.press("Backspace")
    page.keyboard.type(" of TEA")
    assert page.evaluate("document.activeElement === document.body")
    page.evaluate("window.place.append(window.box)")
    page.keyboard.type(", and old.")
    expect(persona).to_be_focused()
    expect(persona).to_have_value("Pim is a pot of TEA, and old.")
    page.keyboard.press("Tab")
    page.reload()
    expect(persona).to_have_value("Pim is a pot of TEA, and old.")
    assert draft(records, page)["persona"] == "Pim is a pot of TEA, and old."


def test_a_field_that_goes_before_its_first_key_takes_it(page: Page, studio: Studio) -> None:
    new_character(page, studio)
    persona = field(page, "Who they are")
    persona.click()
    page.keyboard.type("Pim.")
    page.keyboard.press("Tab")
    persona.click()
    page.evaluate(TAKE_AWAY)
    page.keyboard.press("Control+a")
    page.keyboard.type("A")
    page.evaluate("window.place.append(window.box)")
    page.keyboard.type(" pot.")
    expect(persona).to_have_value("A pot.")


def test_a_field_that_was_left_does_not_take_the_cursor_back(page: Page, studio: Studio) -> None:
    new_character(page, studio)
    persona = field(page, "Who they are")
    persona.click()
    page.keyboard.type("Pim")
    page.evaluate(TAKE_AWAY)
    page.mouse.click(5, 5)
    page.keyboard.type("lost")
    page.evaluate("window.place.append(window.box)")
    page.wait_for_timeout(300)
    expect(persona).not_to_be_focused()
    expect(persona).to_have_value("Pim")


def test_a_white_page_is_loaded_anew_with_what_was_typed(page: Page, studio: Studio) -> None:
    new_character(page, studio)
    field(page, "Who they are").click()
    page.keyboard.type("Pim is a teapot.")
    page.evaluate("document.getElementById('root').replaceChildren()")  # what React does when a fault reaches its root
    expect(field(page, "Who they are")).to_have_value("Pim is a teapot.", timeout=10_000)
