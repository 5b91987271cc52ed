"""What the studio holds of uploads before they are read: so many bytes, and no longer than needed.

    held_uploads.apply()                                       before the first session begins
    files, refused = held_uploads.take(new_uploads(...))       what came, which Streamlit holds no more

Streamlit (1.67) keeps every file that comes in memory until its session ends, two minutes after the tab was closed:
25 files of 90 MB were 3 GB, and each file that was refused stayed. Here all sessions together hold `MAX_HELD_BYTES`; a
file for which there is no room is told by name, and what was taken is let go.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from pipelines.core.problems import Problem
from studio.actions.upload_readers import plain_name

MAX_HELD_BYTES = 512 * 2**20
_NO_ROOM = "application/x-no-room"
"""Type of a file that came when there was no room; it is kept without its bytes."""


@functools.cache
def apply() -> None:
    """Limit what Streamlit holds; a second call changes nothing."""
    keep = MemoryUploadedFileManager.add_file

    def add_file(self: MemoryUploadedFileManager, session_id: str, file: UploadedFileRec) -> None:
        if self._total_bytes + len(file.data) > MAX_HELD_BYTES:
            file = file._replace(data=b"", type=_NO_ROOM)
        keep(self, session_id, file)

    MemoryUploadedFileManager.add_file = add_file  # type: ignore[method-assign]


def take(uploads: Sequence[UploadedFile]) -> tuple[list[tuple[str, bytes]], list[Problem]]:
    """Name and bytes of uploads, which only the caller holds from now on, and what is to be told of the others."""
    context = get_script_run_ctx()
    taken: list[tuple[str, bytes]] = []
    refused: list[Problem] = []
    for upload in uploads:
        if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
            context.uploaded_file_mgr.remove_file(context.session_id, upload.file_id)
        if upload.type != _NO_ROOM:
            taken.append((upload.name, upload.getvalue()))
            continue
        name = plain_name(upload.name)
        message = f"{name} found no room: {MAX_HELD_BYTES >> 20} MB are taken at once."
        refused.append(Problem(f"images/{name}", message, "Drop it in again by itself.", subject=name))
    return taken, refused
