"""Files of strangers, dropped in a real browser: a clear message and nothing else."""

from __future__ import annotations

import http.client
import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from pipelines.core.records import open_records
from tests.core.formats.card_samples import as_json, as_png, foreign
from tests.e2e.conftest import System
from tests.e2e.test_whole_way import settled

SCRIPT = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>[a](javascript:window.broken=1)"


def bomb() -> bytes:
    """80 MB of nothing in a small zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("character.yaml", b"name: Bomb\n" + b"#" * 80_000_000)
    return out.getvalue()


@pytest.fixture
def front(page: Page, system: System) -> Page:
    """The first page with its uploader open."""
    page.goto(system.url)
    settled(page)
    if page.get_by_text("Begin with a file, or try an example").count():
        page.get_by_text("Begin with a file, or try an example").click()
    return page


def characters_of(system: System) -> int:
    """How many characters there are."""
    records = open_records(system.settings.database_url)
    count = len(records.characters.list(system.settings.owner))
    records.close()
    return count


def memory_mb(system: System) -> float:
    """What the studio holds."""
    return system.studio_process().memory_info().rss / 1e6


def test_a_file_of_200_mb_is_refused_before_it_is_read(front: Page, system: System, tmp_path: Path) -> None:
    path = tmp_path / "film.zip"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    count, before = characters_of(system), memory_mb(system)
    front.locator("input[type=file]").first.set_input_files(path)
    expect(front.get_by_text("96.0MB or smaller").or_(front.get_by_text("96MB or smaller"))).to_be_visible()
    # Nor does a program get further that does not ask the page first: it is told so before it has sent anything.
    direct = http.client.HTTPConnection("127.0.0.1", int(system.url.rpartition(":")[2]), timeout=60)
    direct.putrequest("PUT", "/_stcore/upload_file/any/any")
    direct.putheader("Content-Length", str(200 << 20))
    direct.endheaders()
    assert direct.getresponse().status >= 400
    direct.close()
    assert characters_of(system) == count and memory_mb(system) < before + 50


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("bomb.zip", bomb(), "unpacks"),
        ("setup.png", b"MZ" + b"\0" * 4000, "setup.png"),
        ("long.json", as_json(foreign(description="la " * 3_500_000)), "long.json"),
    ],
    ids=["bomb", "program", "ten megabytes"],
)
def test_what_cannot_be_used_is_said_on_the_page(
    front: Page, system: System, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    count = characters_of(system)
    front.locator("input[type=file]").first.set_input_files(tmp_path / name)
    expect(front.get_by_test_id("stAlert").filter(has_text=words).first).to_be_visible()
    expect(front.get_by_text("Traceback")).to_have_count(0)
    assert characters_of(system) == count


def test_script_in_every_field_is_shown_as_words(front: Page, system: System, tmp_path: Path) -> None:
    talk = f"<START>\n{{{{user}}}}: {SCRIPT}\n{{{{char}}}}: {SCRIPT}"
    card = foreign(
        name=SCRIPT[:80],
        description=SCRIPT,
        personality=SCRIPT,
        scenario=SCRIPT,
        first_mes=SCRIPT,
        creator_notes=SCRIPT,
        tags=[SCRIPT],
        mes_example=talk,
    )
    (tmp_path / "eve.png").write_bytes(as_png({"ccv3": card}))
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    front.on("dialog", refuse)
    front.locator("input[type=file]").first.set_input_files(tmp_path / "eve.png")
    front.get_by_role("button", name="Take it in").click()
    front.wait_for_url("**/create?character=*")
    id = front.url.split("character=")[1].split("&")[0]
    for path in (*(f"create?character={id}&step={step}" for step in range(1, 5)), f"?character={id}", "", "create"):
        front.goto(f"{system.url}/{path}")
        settled(front)
        expect(front.get_by_role("heading", level=1).first).to_be_visible()
        assert not asked and front.evaluate("window.broken === undefined"), path
        assert front.locator("a[href^='javascript']").count() == 0, path
