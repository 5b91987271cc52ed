"""A real full disk under the studio: uploads and exports are refused in words, and with room they go."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.full_disk import is_full
from pipelines.core.settings import Settings
from pipelines.core.storage.store import StoreError, read
from studio.actions import downloads, images, import_review
from studio.context import AppContext, open_context
from tests.small_disk import SmallDisk, small_disk
from tests.studio import staged
from tests.studio.test_pages_work import APP, TIMEOUT_S, Open, open_page, words

__all__ = ["open_page"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small", 24) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppContext]:
    """A studio whose objects are on the small disk."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNDERSTUDY_OBJECTS", str(disk.folder / "objects"))
    opened = open_context(Settings.from_environment())
    yield opened
    opened.records.close()


def test_pictures_are_taken_once_there_is_room(context: AppContext, disk: SmallDisk) -> None:
    id = context.records.characters.create(context.owner, {"name": "Ada"}).id
    images.add(context, id, [("first.png", staged.png("teal", 400))])
    disk.fill()
    with pytest.raises(StoreError, match=rf"the disk of {disk.folder}/objects is full: free space there"):
        images.add(context, id, [("second.png", staged.png("gold", 400)), ("third.png", staged.png("navy", 400))])
    draft = context.records.characters.get(id).draft
    assert [one["original"] for one in draft["pictures"]] == ["first.png"]
    assert read(context.store, draft["pictures"][0]["key"]), "what was saved before stays readable"
    disk.make_room()
    images.add(context, id, [("second.png", staged.png("gold", 400)), ("third.png", staged.png("navy", 400))])
    draft = context.records.characters.get(id).draft
    assert [one["original"] for one in draft["pictures"]] == ["first.png", "second.png", "third.png"]


@pytest.mark.parametrize("full", ["objects", "temporary files"])
def test_an_export_is_made_once_there_is_room(
    full: str, context: AppContext, disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    character = staged.published(context, tmp_path / "ada")
    job = staged.trained(context, character)
    ref = f"{job.id}:sft-000004"
    before = sorted(item.key for item in context.store.keys(""))
    if full == "temporary files":
        (disk.folder / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(disk.folder / "tmp"))
    disk.fill()
    with pytest.raises((StoreError, OSError)) as refused:
        downloads.adapter_zip(context, ref)
    assert is_full(refused.value) and str(disk.folder) in str(refused.value)
    assert sorted(item.key for item in context.store.keys("")) == before and not list(disk.folder.glob("tmp/*"))
    disk.make_room()
    assert read(context.store, downloads.adapter_zip(context, ref).key).startswith(b"PK")


def test_a_card_that_finds_no_room_is_refused_in_words(
    context: AppContext, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`attempt` stands behind every button; what it catches is told on the page."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    disk.fill()

    def press() -> None:
        import io

        from studio import widgets
        from studio.actions import import_review

        widgets.attempt(import_review.stage_character, widgets.app_context(), "ada.png", io.BytesIO(b"x" * 100_000))
        widgets.show_problems()

    shown = AppTest.from_function(press, default_timeout=60).run()
    assert not shown.exception
    assert f"The disk of {disk.folder}" in shown.error[0].value.replace("\\", "")
    assert "Free some space there and try again" in shown.error[0].value.replace("\\", "")
    disk.make_room()
    assert import_review.get(context, "nothing") is None and not list(disk.folder.glob("understudy-import-*"))


def test_too_little_room_is_said_before_training(context: AppContext, tmp_path: Path, open_page: Open) -> None:
    character = staged.published(context, tmp_path / "ada")
    shown = words(open_page("create", character=character, step="4"))
    assert "There is too little room for a training" in shown.replace("\\", "")


def test_a_page_that_cannot_write_says_it(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(type(context.records.characters), "list", refuse)
    page = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).run()
    assert "The disk is full" in words(page) and "Free some space there" in words(page).replace("\\", "")
