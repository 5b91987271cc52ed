"""What a person does in the fields of the wizard: typing at their end, and pressing at once, whatever the page does."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page

from pipelines.core.records import Records
from studio.actions.drafts import entries_of
from tests.e2e.studio_alone import Studio

PERSON_MS, ROBOT_MS = 80, 2
"""Between two keys."""


def field(page: Page, label: str) -> Locator:
    """A field by its whole label."""
    return page.get_by_label(label, exact=True)


def write(page: Page, label: str, text: str, delay_ms: float) -> None:
    """Click a field and type at its end."""
    field(page, label).click()
    page.keyboard.press("Control+End")
    page.keyboard.type(text, delay=delay_ms)


def press(page: Page, key: str) -> None:
    """Press a button at once, whatever the page does."""
    page.locator(f".st-key-{key} button").click()


def new_character(page: Page, studio: Studio, step: int = 2) -> str:
    """A character of one's own with nothing in it; returns its address at a step."""
    page.goto(f"{studio.url}/create")
    page.get_by_role("button", name="New character").click()
    page.wait_for_url(re.compile("character="))
    address = page.url.partition("&")[0] + f"&step={step}"
    page.goto(address)
    return address


def draft(records: Records, page: Page) -> dict[str, object]:
    """What the character of this page has in the database, as `character.yaml` would."""
    return entries_of(raw(records, page))


def raw(records: Records, page: Page) -> dict[str, object]:
    """The draft as it is stored."""
    found = re.search("character=([0-9a-f]{32})", page.url)
    assert found, page.url
    return dict(records.characters.get(found[1]).draft)
