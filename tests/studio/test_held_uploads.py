"""Files that were uploaded are held as long as they are needed, and no more of them than there is room for."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.testing.v1 import AppTest

from pipelines.core.problems import Problem
from studio import held_uploads
from studio.actions import drafts, images, picture_uploads
from studio.context import AppContext
from tests.core.drawings import drawing, encoded


def file(id: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(id, f"{id}.png", "image/png", bytes(size))


def test_all_sessions_together_hold_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    held_uploads.apply()
    monkeypatch.setattr(held_uploads, "MAX_HELD_BYTES", 100)
    manager = MemoryUploadedFileManager("")
    manager.add_file("a", file("one", 60))
    manager.add_file("b", file("two", 60))
    [one], [two] = manager.get_files("a", ["one"]), manager.get_files("b", ["two"])
    assert len(one.data) == 60 and not two.data and two.name == "two.png"
    manager.remove_file("a", "one")
    manager.add_file("b", file("three", 100))
    assert len(manager.get_files("b", ["three"])[0].data) == 100


def page() -> None:
    """Two files come, of which one has room; then they are asked for again."""
    import streamlit as st
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.scriptrunner import get_script_run_ctx
    from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

    from studio import held_uploads

    context = get_script_run_ctx()
    assert context is not None
    manager = context.uploaded_file_mgr = MemoryUploadedFileManager("")
    for name in ("one", "<b>two"):
        manager.add_file(context.session_id, UploadedFileRec(name, f"{name}.png", "image/png", b"x" * 60))
    held = manager.get_files(context.session_id, ["one", "<b>two"])
    taken, refused = held_uploads.take([UploadedFile(each, None) for each in held])  # type: ignore[arg-type]
    left = manager.get_files(context.session_id, ["one", "<b>two"])
    st.text([taken == [("one.png", b"x" * 60)], len(left), manager._total_bytes])
    st.text([one.message for one in refused])


def test_what_was_taken_is_let_go_and_what_had_no_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    held_uploads.apply()
    monkeypatch.setattr(held_uploads, "MAX_HELD_BYTES", 100)
    shown = AppTest.from_function(page).run()
    assert not shown.exception and shown.text[0].value == "[True, 0, 0]"
    assert "_b_two.png found no room" in shown.text[1].value


def test_what_had_no_room_stays_on_the_page_beside_the_pictures(context: AppContext) -> None:
    id = drafts.create(context)
    refused = Problem("images/b.png", "b.png found no room: 512 MB are taken at once.", "Drop it in.", subject="b.png")
    assert images.add(context, id, [("a.png", encoded(drawing(1)))], [refused]) == [refused]
    assert images.add(context, id, [], [refused]) == [refused]
    draft = drafts.own_character(context, id).draft
    assert len(draft["pictures"]) == 1 and [one["name"] for one in draft["refused"]] == ["b.png"]


def test_single_pictures_together_are_as_large_as_those_of_a_zip_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = [(f"{number}.png", encoded(drawing(number))) for number in range(3)]
    all_of_them = picture_uploads.read_uploads(files)
    assert len(all_of_them.pictures) == 3 and not all_of_them.refused
    monkeypatch.setattr(picture_uploads, "MAX_CLEAN_BYTES", sum(len(data) for _, data in all_of_them.pictures) - 1)
    some = picture_uploads.read_uploads(files)
    assert some.pictures == all_of_them.pictures[:2] and len(some.small) == 2
    assert [problem.subject for problem in some.refused] == ["2.png"] and "found no room" in some.refused[0].message
