"""Pictures that are uploaded with their captions, or as sets of them: unpacked and cleaned, nothing saved yet.

`images.add_read` puts them into a draft; `import_review.py` shows them before, where they are more than pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.core.formats.caption_files import assign_captions, caption_id, is_caption_file
from pipelines.core.formats.import_notes import MAX_EXAMPLES
from pipelines.core.formats.picture_tables import is_metadata
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_process import UploadReader, read_apart
from studio.actions.drafts import MAX_DRAFT_IMAGES, Draft
from studio.actions.upload_readers import (
    MAX_CLEAN_BYTES,
    PictureUpload,
    is_set,
    no_room,
    plain_name,
    read_pictures,
)
from studio.labels import counted

MAX_SET_BYTES = 96 * 2**20  # of an upload, which may be a zip; one picture is at most MAX_IMAGE_BYTES


def read_uploads(files: Sequence[tuple[str, bytes]], name: str = "", role: str = "") -> PictureUpload:
    """What of the files can be used, cleaned.

    name: what the character is called that they are for; role: whom to take where they show several.

    Raises:
        RoleNeeded: the folders of a set show several people, and neither says which of them.
    """
    if is_set(files):
        return read_apart(read_pictures, files, name, role, file=plain_name(files[0][0]))
    parts: list[PictureUpload] = []
    size = 0
    with UploadReader() as process:  # each file by itself, so that one that breaks it takes no other along
        for file in files:
            try:
                part = process.read(read_pictures, (file,), file=plain_name(file[0]))
            except CharacterProblems as error:
                part = PictureUpload((), (), {}, error.problems)
            size += sum(len(data) for _, data in part.pictures)
            if part.pictures and size > MAX_CLEAN_BYTES:
                part = PictureUpload((), (), {}, (no_room(plain_name(file[0])),))
            parts.append(part)
    return PictureUpload(
        tuple(one for part in parts for one in part.pictures),
        tuple(one for part in parts for one in part.captions),
        {},
        tuple(one for part in parts for one in part.refused),
        tuple(one for part in parts for one in part.small),
    )


def needs_review(names: Iterable[str]) -> bool:
    """Whether an upload is more than files of their own, each of which is judged on the step itself: captions, a set, a
    table."""
    return any(is_caption_file(name) or is_metadata(name) or name.lower().endswith(".zip") for name in names)


def captions_of(draft: Draft, upload: PictureUpload) -> tuple[dict[int, str], list[Problem]]:
    """Captions of an upload's files by the place of their picture: those of the draft first, then the upload's."""
    # Captions may be uploaded after their pictures, so all of them are looked at.
    listed = draft.get("pictures", [])
    sources = [picture.get("source") or caption_id(picture["original"]) for picture in listed]
    pictures = [f"{source}.png" for source in sources]
    pictures += [name for name, _ in upload.pictures[: room_for_pictures(draft)]]
    return assign_captions(pictures, upload.captions, plain_name)


def room_for_pictures(draft: Draft) -> int:
    """How many pictures the draft can still take, ticked or not."""
    return max(MAX_DRAFT_IMAGES - len(draft.get("pictures", [])) - len(draft.get("aside", [])), 0)


def too_many(draft: Draft, upload: PictureUpload) -> list[Problem]:
    """What does not fit into the draft any more."""
    spare = len(upload.pictures) - room_for_pictures(draft)
    if spare <= 0:
        return []
    names = tuple(plain_name(name) for name, _ in upload.pictures[-spare:][:MAX_EXAMPLES])
    message = f"{counted(spare, 'picture')} found no room: {MAX_DRAFT_IMAGES} are kept at once."
    mend = "Take out what is not ticked, then drop them in again."
    return [Problem("images", message, mend, examples=names, outcome="left out")]
