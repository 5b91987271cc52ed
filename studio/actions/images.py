"""Step 1, pictures: upload, check, edit and caption them.

Every upload is cleaned: turned upright, stripped of metadata, and decoded with the guards of `image_check.py`, so a
renamed program or a decompression bomb is refused by name. The checks run again after every edit and their results are
stored in the draft, so that drawing the page decodes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

from PIL import Image

from pipelines.core.character.caption_lint import check_captions
from pipelines.core.character.character import CharacterImage
from pipelines.core.character.image_set_check import check_image_count, check_variety
from pipelines.core.formats.caption_files import caption_id
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.storage.store import StoreError, put_content
from pipelines.core.storage.stored_images import read_image
from pipelines.core.upload_process import read_apart
from studio.actions.draft_image_check import Fix, check_images
from studio.actions.drafts import Draft, caption_entry, change, image_entry, own_character
from studio.actions.picture_uploads import captions_of, read_uploads, room_for_pictures, too_many
from studio.actions.refused_uploads import keep_refused
from studio.actions.surplus import untick_surplus
from studio.actions.upload_readers import (
    PictureUpload,
    SmallImage,
    Square,
    is_small,
    open_clean,
    plain_name,
    redrawn,
    small_image,
    square_preview,
)
from studio.context import AppContext

Result = TypeVar("Result")
PREVIEW_PX = 480
Rating = Literal["green", "amber", "red"]
CAPTION_FIELDS = ("expression", "clothes", "place", "pose")


@dataclass(frozen=True)
class ImageView:
    """One picture as the page shows it."""

    file: str
    original: str
    """File name of the upload."""
    thumb: bytes
    rating: Rating
    problems: tuple[Problem, ...]
    fixes: tuple[Fix, ...]
    """Edits of one click that would solve a problem."""
    caption: CharacterImage
    is_portrait: bool


def image_views(context: AppContext, draft: Draft) -> list[ImageView]:
    """The pictures of a draft in their order; the first one is the portrait."""
    captions = {entry["file"]: entry for entry in draft.get("images", [])}
    shown = []
    for number, entry in enumerate(draft.get("pictures", [])):
        found = tuple(Problem.from_json(item) for item in entry["problems"])
        rating: Rating = "red" if errors(found) else "amber" if found else "green"
        words = {key: str(captions.get(entry["file"], {}).get(key, "")) for key in (*CAPTION_FIELDS, "caption")}
        shown.append(
            ImageView(
                entry["file"],
                entry["original"],
                context.image(entry["thumb_key"]),
                rating,
                found,
                tuple(entry["fixes"]),
                CharacterImage(entry["file"], **words),
                number == 0,
            )
        )
    return shown


def portrait(context: AppContext, draft: Draft) -> bytes | None:
    """The small first picture of a draft; None when there is none, or its bytes are gone."""
    entries = draft.get("pictures") or []
    key = entries[0].get("thumb_key", "") if entries else next(iter(draft.get("image_keys", {}).values()), "")
    if not key:
        return None
    try:
        return context.image(key)
    except StoreError:
        return None


def image_set_problems(draft: Draft) -> list[Problem]:
    """What is wrong with, or missing among, the pictures together; empty captions are counted in one line."""
    count = len(draft.get("pictures", []))
    found = check_image_count(count)
    images = [CharacterImage(entry["file"], **_caption(entry)) for entry in draft.get("images", [])]
    missing = check_variety(images)
    bare = [problem for problem in missing if problem.field != "images"]
    if bare and count:
        noun = "picture" if len(bare) == 1 else "pictures"
        found.append(
            Problem(
                "images",
                f"Nothing says what varies in {len(bare)} {noun} yet.",
                "Write face, clothes, place and pose below them.",
                "warning",
            )
        )
    told = check_captions(images, str(draft.get("appearance", "")), lambda file: f"picture {file.partition('.')[0]}")
    return found + [problem for problem in missing if problem.field == "images"] + told


def _caption(entry: dict[str, Any]) -> dict[str, str]:
    return {key: str(entry.get(key, "")) for key in (*CAPTION_FIELDS, "caption")}


def add(
    context: AppContext, id: str, files: Sequence[tuple[str, bytes]], refused: Sequence[Problem] = ()
) -> list[Problem]:
    """Add pictures to a draft, and captions: a text file with a picture's name is its caption.

    Sets of pictures (`picture_sets.py`: kohya zips, the table of an image folder) are unpacked. Returns what could not
    be used, after what was refused before; the others are kept.
    """
    upload = read_uploads(files)
    return add_read(context, id, replace(upload, refused=(*refused, *upload.refused)))


def add_read(context: AppContext, id: str, upload: PictureUpload) -> list[Problem]:
    """Add what was read to a draft; returns what could not be used."""
    with context.editing:
        before = own_character(context, id).draft
        refused = [*upload.refused, *too_many(before, upload)]
        taken = upload.pictures[: room_for_pictures(before)]
        entries = [
            (name, _stored(context, data, small)) for (name, data), small in zip(taken, upload.small, strict=False)
        ]
        notes: list[Problem] = []

        def edit(draft: Draft) -> None:
            assigned, told = captions_of(draft, upload)
            notes.extend(told)
            listed = draft.setdefault("pictures", [])
            ticked = {picture["file"] for picture in listed}
            for name, entry in entries:
                file = _free_name(draft, entry["key"])
                caption_entry(draft, file).update(upload.described.get(name, {}))
                listed.append({"file": file, "original": plain_name(name), "source": caption_id(name), **entry})
            for place, words in assigned.items():
                caption_entry(draft, listed[place]["file"])["caption"] = words
            check_images(context, draft)
            untick_surplus(context, draft, ticked)
            keep_refused(draft, [*refused, *notes])

        change(context, id, edit)
    return refused + notes


def store_images(
    context: AppContext, images: dict[str, bytes], small: dict[str, SmallImage] | None = None
) -> list[dict[str, Any]]:
    """Entries of `pictures` for pictures that an import has cleaned already, by file name; `small` are thumbnails."""
    known = small or {}
    return [
        {"file": file, "original": file, **_stored(context, data, known.get(file))} for file, data in images.items()
    ]


def remove(context: AppContext, id: str, file: str) -> None:
    """Remove a picture; conversations that show it keep their words and scene."""

    def edit(draft: Draft) -> None:
        image_entry(draft, file)
        for part in ("pictures", "images"):
            draft[part] = [entry for entry in draft.get(part, []) if entry["file"] != file]
        draft["references"] = [name for name in draft.get("references", []) if name != file]
        for talk in draft.get("interactions", []):
            for turn in talk:
                if turn.get("image") == file:
                    del turn["image"]
        check_images(context, draft)

    change(context, id, edit)


def rotate(context: AppContext, id: str, file: str) -> None:
    """Rotate a picture by 90 degrees clockwise."""
    _redraw(context, id, file, None)


def crop(context: AppContext, id: str, file: str, zoom: float, across: float, down: float) -> None:
    """Cut a picture to a square; see `crop_preview`."""
    _redraw(context, id, file, Square(zoom, across, down))


def crop_preview(context: AppContext, draft: Draft, file: str, zoom: float, across: float, down: float) -> bytes:
    """How the square would look, as a small JPEG.

    `zoom` 0 to 1 makes the square smaller, `across` and `down` 0 to 1 move it from the left and from the top.
    """
    data = read_image(context.store, image_entry(draft, file)["key"], file)
    return _opened(square_preview, data, file, Square(zoom, across, down), PREVIEW_PX, file=file)


def make_portrait(context: AppContext, id: str, file: str) -> None:
    """Put a picture first: the first one stands for the character in lists and on its card."""

    def edit(draft: Draft) -> None:
        first = image_entry(draft, file)
        draft["pictures"] = [first, *(entry for entry in draft["pictures"] if entry["file"] != file)]
        caption = caption_entry(draft, file)
        draft["images"] = [caption, *(entry for entry in draft["images"] if entry["file"] != file)]

    change(context, id, edit)


def describe(context: AppContext, id: str, file: str, field: str, words: str) -> None:
    """Set one field of a caption: expression, clothes, place, pose, or `caption`, which replaces the four."""
    if field not in (*CAPTION_FIELDS, "caption"):
        raise ValueError(f"{field!r} is nothing a caption has")

    def edit(draft: Draft) -> None:
        image_entry(draft, file)
        entry = caption_entry(draft, file)
        entry[field] = words

    change(context, id, edit)


# ---------------------------------------------------------------- bytes


def _stored(context: AppContext, data: bytes, small: SmallImage | None = None) -> dict[str, Any]:
    """Put a clean picture and its thumbnail into the object store; returns its entry of `pictures`."""
    small = small or _opened(small_image, data, file="the picture")
    key = put_content(context.store, data, "pictures", ".jpg" if data.startswith(b"\xff\xd8") else _suffix(data))
    return {
        "key": key,
        "thumb_key": put_content(context.store, small.thumb, "pictures", ".jpg"),
        "sha256": PurePosixPath(key).stem,
        "width": small.width,
        "height": small.height,
        "problems": [],
        "fixes": [],
        "copy_of": "",
    }


def _suffix(data: bytes) -> str:
    return ".webp" if data[8:12] == b"WEBP" else ".png"


def _opened(reader: Callable[..., Result], data: bytes, *arguments: object, file: str) -> Result:
    """What a reader makes of a stored picture: here of one of the usual size, else in a process of its own."""
    return reader(data, *arguments) if is_small(data) else read_apart(reader, data, *arguments, file=file)


def _redraw(context: AppContext, id: str, file: str, square: Square | None) -> None:
    key = image_entry(own_character(context, id).draft, file)["key"]
    made = _stored(context, *_opened(redrawn, read_image(context.store, key, file), file, square, file=file))

    def edit(draft: Draft) -> None:
        entry = image_entry(draft, file)
        if entry["key"] != key:
            message = f"The picture {file} was changed meanwhile."
            raise CharacterProblems([Problem("images", message, "Look at it, and try again.")])
        entry.update(made)
        check_images(context, draft)

    change(context, id, edit)


def _free_name(draft: Draft, key: str) -> str:
    """A file name that is not taken, in the order pictures came: 01.png, 02.jpg, ..."""
    taken = {PurePosixPath(entry["file"]).stem for part in ("pictures", "aside") for entry in draft.get(part, [])}
    number = next(number for number in range(1, len(taken) + 2) if f"{number:02d}" not in taken)
    return f"{number:02d}{PurePosixPath(key).suffix}"


def face(portrait: bytes) -> Image.Image:
    """A portrait as a small square, for the round avatar beside what a character says."""
    with open_clean(portrait) as image:
        square = Square(0.0, 0.5, 0.3).cut(image.convert("RGB"))
    square.thumbnail((96, 96), Image.Resampling.LANCZOS)
    return square
