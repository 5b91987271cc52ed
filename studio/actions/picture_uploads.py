"""Pictures that are uploaded with their captions, or as sets of them: unpacked and cleaned, nothing saved yet.

`images.add_read` puts them into a draft; `import_review.py` shows them before, where they are more than pictures.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from pipelines.core.character.image_decode import MAX_IMAGE_BYTES, clean_image
from pipelines.core.formats.caption_files import assign_captions, caption_id, is_caption_file, is_picture
from pipelines.core.formats.card_files import read_archive
from pipelines.core.formats.import_notes import MAX_EXAMPLES, Mended, notes_from
from pipelines.core.formats.picture_masks import looks_like_mask
from pipelines.core.formats.picture_sets import belongs_to_set, read_picture_set
from pipelines.core.formats.picture_tables import is_metadata
from pipelines.core.problems import CharacterProblems, Problem
from studio.actions.drafts import MAX_DRAFT_IMAGES, Draft
from studio.labels import counted

MAX_SET_BYTES = 96 * 2**20  # of an upload, which may be a zip; one picture is at most MAX_IMAGE_BYTES


@dataclass(frozen=True)
class PictureUpload:
    """Pictures and captions as they were read; nothing of them is saved yet."""

    pictures: tuple[tuple[str, bytes], ...]
    """Name and clean bytes."""
    captions: tuple[tuple[str, bytes], ...]
    """Caption files."""
    described: dict[str, dict[str, str]]
    """Fields of captions by name of the picture, from a set's table."""
    refused: tuple[Problem, ...]
    """What could not be used or was changed."""


def read_uploads(files: Sequence[tuple[str, bytes]], name: str = "", role: str = "") -> PictureUpload:
    """What of the files can be used, cleaned.

    name: what the character is called that they are for; role: whom to take where they show several.

    Raises:
        RoleNeeded: the folders of a set show several people, and neither says which of them.
    """
    files, described, refused = _unpacked(files, name, role)
    taken: list[tuple[str, bytes]] = []
    captions = [(name, data) for name, data in files if is_caption_file(name)]
    for name, data in files:
        if is_caption_file(name):
            continue
        try:
            taken.append((name, _cleaned(data, plain_name(name))))
        except CharacterProblems as error:
            refused += error.problems
    return PictureUpload(tuple(taken), tuple(captions), described, tuple(refused))


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


def _unpacked(
    files: Sequence[tuple[str, bytes]], character: str, role: str
) -> tuple[Sequence[tuple[str, bytes]], dict[str, dict[str, str]], list[Problem]]:
    """The files with those of zips in place of the zips, captions of tables by picture, and what was left out."""
    zips = [name for name, data in files if data.startswith(b"PK")]
    if not zips and not any(is_metadata(name) or looks_like_mask(name) for name, _ in files):
        return files, {}, []
    mended = Mended()
    inside: list[tuple[str, bytes]] = []
    others: list[str] = []
    refused: list[Problem] = []
    for name, data in files:
        if not data.startswith(b"PK"):
            inside.append((name, data))
            continue
        try:
            unpacked, left = read_archive(data, plain_name(name), belongs_to_set, mended)
        except CharacterProblems as error:
            refused += error.problems
            zips.remove(name)
            continue
        inside += unpacked.items()
        others += left
    called = plain_name(zips[0]) if zips else "The upload"
    found = read_picture_set(inside, others, called, role, character)
    refused += notes_from(mended, called)
    if zips and not found.pictures:
        message = f"{plain_name(zips[0])} holds no picture that can be used."
        refused.append(Problem("images", message, "Put PNG, JPEG or WebP pictures into it."))
    described = {
        image.file: {key: words for key, words in asdict(image).items() if words and key != "file"}
        for image in found.captions
    }
    loose = [
        (name, data) for name, data in inside if not (is_picture(name) or is_metadata(name) or is_caption_file(name))
    ]
    return [*found.pictures, *loose], described, refused + found.notes


def _cleaned(data: bytes, name: str) -> bytes:
    if len(data) > MAX_IMAGE_BYTES:
        message = f"{name} is larger than {MAX_IMAGE_BYTES >> 20} MB."
        raise CharacterProblems(
            [Problem(f"images/{name}", message, "Save it smaller; 1024 px is plenty.", subject=name)]
        )
    return clean_image(data, name)


def plain_name(name: str) -> str:
    """An untrusted file name as it may be shown: no folders, no control or markup characters, at most 80 long."""
    base = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    return "".join(letter if _is_shown(letter) else "_" for letter in base)[-80:].strip() or "picture"


def _is_shown(letter: str) -> bool:
    """Whether a sign of a file's name may be shown: vowels of Thai and emoji tell names apart as letters do."""
    return re.match(r"[\w .()-]", letter) is not None or unicodedata.category(letter) in ("Mn", "Mc", "So")
