"""The page on which every import ends, in a real browser: nothing is saved before it, and cancelling leaves nothing."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.core.records import Records
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_png, foreign
from tests.core.formats.mmrole_samples import write_data_set
from tests.e2e.studio_alone import Studio
from tests.e2e.test_whole_way import accessible, press, settled

pytestmark = pytest.mark.timeout(300)
TALK = "<START>\n{{user}}: Hi\n{{char}}: Aye.\nBen: Me too.\nBen: <b>Really</b>."


def stored(studio: Studio) -> list[Path]:
    """Every object of the store."""
    return [path for path in (studio.settings.home / "objects").rglob("*") if path.is_file()]


def drop(page: Page, studio: Studio, path: Path) -> None:
    """A file dropped on the first page."""
    page.goto(studio.url)
    settled(page)
    if page.get_by_text("Begin with a file, or try an example").count():
        page.get_by_text("Begin with a file, or try an example").click()
    page.locator("input[type=file]").first.set_input_files(path)
    expect(page.get_by_role("heading", name="Look it over")).to_be_visible()


def test_an_import_is_looked_over_cancelled_and_taken_in(
    page: Page, studio: Studio, records: Records, tmp_path: Path
) -> None:
    owner = studio.settings.owner
    (tmp_path / "vilde.png").write_bytes(as_png({"ccv3": foreign(name="Vilde", mes_example=TALK)}))
    drop(page, studio, tmp_path / "vilde.png")
    left_out = page.locator("blockquote").filter(has_text="Ben: <b>Really</b>.")
    expect(left_out).to_be_visible()
    expect(page.get_by_text("training needs 5")).to_be_visible()
    accessible(page, "look it over")
    page.reload()  # the upload waits in the studio, not in the tab
    expect(left_out).to_be_visible()
    assert not records.characters.list(owner) and not stored(studio)
    press(page, "Cancel")
    expect(page.get_by_role("heading", name="Look it over")).to_have_count(0)
    assert not records.characters.list(owner) and not stored(studio)
    page.go_back()
    settled(page)
    drop(page, studio, tmp_path / "vilde.png")
    press(page, "Take it in")
    page.wait_for_url("**/create?character=*")
    [row] = records.characters.list(owner)
    assert row.name == "Vilde" and len(row.draft["interactions"]) == 1 and stored(studio)

    # Pictures with captions, on step 1.
    (tmp_path / "boat.png").write_bytes(encoded(drawing(3)))
    (tmp_path / "boat.txt").write_text("laughing on a boat")
    settled(page)
    page.locator("input[type=file]").first.set_input_files([tmp_path / "boat.png", tmp_path / "boat.txt"])
    expect(page.get_by_text("laughing on a boat").first).to_be_visible()
    press(page, "Take it in")
    expect(page.get_by_text("2 of about 10 pictures")).to_be_visible()

    # A file of conversations, on step 3.
    talk = {"messages": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "Aye aye."}]}
    (tmp_path / "talks.jsonl").write_text(f"{json.dumps(talk)}\nno record\n")
    page.goto(f"{studio.url}/create?character={row.id}&step=3")
    settled(page)
    page.get_by_text("Upload conversations").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "talks.jsonl")
    expect(page.locator("blockquote").filter(has_text="line 2: no record")).to_be_visible()
    press(page, "Take it in")
    expect(page.get_by_text("2 conversations so far")).to_be_visible()

    # A file of examples, divided by empty lines: it says so, and may be one conversation.
    (tmp_path / "talks.txt").write_text("\n\n".join(f"User: Number {n}?\nVilde: It is {n}." for n in range(20)))
    page.get_by_text("Upload conversations").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "talks.txt")
    expect(page.get_by_text("20 conversations", exact=True)).to_be_visible()
    expect(page.get_by_test_id("stToast")).to_have_count(0, timeout=20_000)  # its dialog has no name
    accessible(page, "look it over")
    page.get_by_text("1 conversation of 20 exchanges").click()
    expect(page.get_by_text("1 conversation", exact=True)).to_be_visible()
    page.get_by_text("20 conversations, divided by the empty lines").click()
    expect(page.get_by_text("20 conversations", exact=True)).to_be_visible()
    press(page, "Take it in")
    expect(page.get_by_text("22 conversations so far")).to_be_visible()


def test_data_of_many_roles_asks_for_one(page: Page, studio: Studio, records: Records, tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data_set")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))
    (tmp_path / "mmrole.zip").write_bytes(packed.getvalue())
    drop(page, studio, tmp_path / "mmrole.zip")
    expect(page.get_by_role("button", name="Take it in")).to_have_count(0)
    page.get_by_label("The file holds several characters").click()
    page.get_by_role("option", name="Tola (8)").click()
    expect(page.get_by_text("2 pictures that others show")).to_be_visible()
    press(page, "Take it in")
    page.wait_for_url("**/create?character=*")
    assert "Tola" in [row.name for row in records.characters.list(studio.settings.owner)]
