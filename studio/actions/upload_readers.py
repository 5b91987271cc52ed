"""What runs in the process of its own in which uploads are read (`pipelines/core/upload_process.py`).

    read_apart(read_pictures, files, name, role, file=...)      likewise read_character_upload, read_talks, read_book

Arguments and results are data. Nothing here opens records or the store, and little is imported: the process starts
anew for each upload.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import image_path, read_character, read_test_split
from pipelines.core.character.image_decode import LONGEST_PX, MAX_IMAGE_BYTES, clean_image, decode_image
from pipelines.core.character.image_header import read_header
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.caption_files import MAX_CAPTION_BYTES, is_caption_file, is_picture
from pipelines.core.formats.card_files import read_archive
from pipelines.core.formats.chat_formats import Conversations, read_conversations
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_conversations import refuse_endless
from pipelines.core.formats.import_notes import Mended, notes_from
from pipelines.core.formats.json_text import parse_json
from pipelines.core.formats.lorebook import is_lorebook
from pipelines.core.formats.picture_masks import looks_like_mask
from pipelines.core.formats.picture_sets import belongs_to_set, read_picture_set
from pipelines.core.formats.picture_tables import is_metadata
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_budget import upload_budget

if TYPE_CHECKING:
    from pipelines.core.character.image_check import ImageReport

THUMB_PX = 256
"""Side of the square that a thumbnail fits into; lists and grids show thumbnails."""
MAX_CLEAN_BYTES = 256 * 2**20
"""Pictures of one upload together, cleaned: a small WebP becomes a large PNG."""


@dataclass(frozen=True)
class SmallImage:
    """What is shown and known of a picture without decoding it again."""

    thumb: bytes
    """A JPEG of at most `THUMB_PX`."""
    width: int
    """Of the picture, in pixels."""
    height: int


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
    small: tuple[SmallImage, ...] = ()
    """Of each of `pictures`."""


@dataclass(frozen=True)
class CharacterUpload:
    """A character that was read; its files are in the folder that was named."""

    character: Character
    notes: list[Problem]
    test_dialogues: int | None
    """Conversations of its test; None without one."""
    small: dict[str, SmallImage] = field(default_factory=dict)
    """Of the pictures that it lists, by file."""


def plain_name(name: str) -> str:
    """An untrusted file name as it may be shown: no folders, no control or markup characters, at most 80 long."""
    base = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    return "".join(letter if _is_shown(letter) else "_" for letter in base)[-80:].strip() or "picture"


def _is_shown(letter: str) -> bool:
    """Whether a sign of a file's name may be shown: vowels of Thai and emoji tell names apart as letters do."""
    return re.match(r"[\w .()-]", letter) is not None or unicodedata.category(letter) in ("Mn", "Mc", "So")


def open_clean(data: bytes) -> Image.Image:
    """A picture that was cleaned."""
    return Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))


def as_jpeg(image: Image.Image, side_px: int) -> bytes:
    """A picture as a small JPEG that fits into a square."""
    small = image.convert("RGB")
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def small_image(data: bytes) -> SmallImage:
    """The thumbnail and the size of a picture that was cleaned."""
    with open_clean(data) as image:
        return SmallImage(as_jpeg(image, THUMB_PX), *image.size)


def is_small(data: bytes) -> bool:
    """Whether a picture that was cleaned has no more pixels than cleaning leaves: 13 MB in RGB, decoded in 0.1 s.

    The studio opens such ones itself; imports keep larger ones, which are opened in a process of their own.
    """
    return 0 < read_header(data).cost <= LONGEST_PX**2


@dataclass(frozen=True)
class Square:
    """What is cut out of a picture."""

    zoom: float
    """0 to 1 makes it smaller."""
    across: float
    """0 to 1 moves it from the left."""
    down: float
    """0 to 1 moves it from the top."""

    def cut(self, image: Image.Image) -> Image.Image:
        """That square of the picture."""
        side = max(1, round(min(image.size) * (1 - 0.7 * min(max(self.zoom, 0.0), 1.0))))
        left = round((image.width - side) * min(max(self.across, 0.0), 1.0))
        top = round((image.height - side) * min(max(self.down, 0.0), 1.0))
        return image.crop((left, top, left + side, top + side))


def redrawn(data: bytes, name: str, square: Square | None) -> tuple[bytes, SmallImage]:
    """A picture cut to a square, without one turned by 90 degrees clockwise; and its thumbnail."""
    decoded = decode_image(data, name)
    turned = square.cut(decoded.pixels) if square else decoded.pixels.transpose(Image.Transpose.ROTATE_270)
    out = io.BytesIO()
    if decoded.format == "JPEG":
        turned.save(out, "JPEG", quality=95, subsampling=0)
    else:
        turned.save(out, "PNG")
    return out.getvalue(), SmallImage(as_jpeg(turned, THUMB_PX), *turned.size)


def square_preview(data: bytes, name: str, square: Square, side_px: int) -> bytes:
    """How a square of a picture would look, as a small JPEG."""
    return as_jpeg(square.cut(decode_image(data, name).pixels), side_px)


# ---------------------------------------------------------------- pictures


@upload_budget()
def read_pictures(files: Sequence[tuple[str, bytes]], name: str = "", role: str = "") -> PictureUpload:
    """What of the files can be used, cleaned.

    name: what the character is called that they are for; role: whom to take where they show several.

    Raises:
        RoleNeeded: the folders of a set show several people, and neither says which of them.
    """
    files, described, refused = _unpacked(files, name, role)
    taken: list[tuple[str, bytes]] = []
    small: list[SmallImage] = []
    captions = [(name, data[:MAX_CAPTION_BYTES]) for name, data in files if is_caption_file(name)]
    size = 0
    for name, data in files:
        if is_caption_file(name):
            continue
        try:
            clean = _cleaned(data, plain_name(name))
        except CharacterProblems as error:
            refused += error.problems
            continue
        size += len(clean)
        if size > MAX_CLEAN_BYTES:
            refused.append(no_room(plain_name(name)))
            continue
        taken.append((name, clean))
        small.append(small_image(clean))
    return PictureUpload(tuple(taken), tuple(captions), described, tuple(refused), tuple(small))


def no_room(name: str) -> Problem:
    """What is told of a picture when those before it took all the room; `name` as it may be shown."""
    message = f"{name} found no room: {MAX_CLEAN_BYTES >> 20} MB of pictures are taken at once."
    return Problem(f"images/{name}", message, "Drop it in again with the next ones.", subject=name)


def is_set(files: Sequence[tuple[str, bytes]]) -> bool:
    """Whether files are to be read together: a zip, a table, masks."""
    zips = any(data.startswith(b"PK") for _, data in files)
    return zips or any(is_metadata(name) or looks_like_mask(name) for name, _ in files)


def _unpacked(
    files: Sequence[tuple[str, bytes]], character: str, role: str
) -> tuple[Sequence[tuple[str, bytes]], dict[str, dict[str, str]], list[Problem]]:
    """The files with those of zips in place of the zips, captions of tables by picture, and what was left out."""
    if not is_set(files):
        return files, {}, []
    zips = [name for name, data in files if data.startswith(b"PK")]
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


def read_report(data: bytes, name: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """What is measured on a picture that is kept as large as it came, in plain values (`report_of`), and its faults."""
    from pipelines.core.character.image_check import check_image  # hashes of pictures take long to import

    report, problems = check_image(data, name)
    if report is None:
        return None, problems
    values = {one.name: vars(report)[one.name] for one in fields(report)}
    thumbs = [(thumb.shape, thumb.tobytes()) for thumb in report.thumbs]
    return {**values, "phash": str(report.phash), "thumbs": thumbs}, problems


def report_of(values: dict[str, Any]) -> ImageReport:
    """The report of those values."""
    import imagehash

    from pipelines.core.character.image_check import ImageReport

    thumbs = tuple(np.frombuffer(thumb, np.float32).reshape(shape) for shape, thumb in values["thumbs"])
    return ImageReport(**{**values, "phash": imagehash.hex_to_hash(values["phash"]), "thumbs": thumbs})


# ---------------------------------------------------------------- characters, conversations, lorebooks


def read_character_upload(path: str, folder: str, role: str, name: str) -> CharacterUpload:
    """A file that holds a character, into a folder; raises as `import_file` does."""
    target = Path(folder)
    notes = import_file(Path(path), target, role, keeps_adapter=False, name=name)
    character, split = read_character(target), read_test_split(target)
    files = [*(image.file for image in character.images), *character.input_images]
    small = {file: small_image(image_path(target, file).read_bytes()) for file in files}
    return CharacterUpload(character, notes, None if split is None else len(split.dialogues), small)


@upload_budget()
def read_talks(data: bytes | str, source: str, name: str, nickname: str) -> Conversations:
    """The conversations of a file of any known form, or of a text, in both ways where it may be read in two.

    CharacterProblems for none.
    """
    text, notes = (data, []) if isinstance(data, str) else decode_text(data, source)
    refuse_endless(text, source)
    ways = [read_conversations(text, source, name, nickname)]
    if ways[0].is_parted is not None:
        ways.append(read_conversations(text, source, name, nickname, not ways[0].is_parted))
    found, *otherwise = (replace(with_clean_texts(one), notes=notes + one.notes) for one in ways)
    return replace(found, otherwise=next(iter(otherwise), None))


def read_book(data: bytes, name: str) -> tuple[dict[str, Any], list[Problem]]:
    """The lorebook of a file, and notes; CharacterProblems for anything else."""
    text, notes = decode_text(data, name)
    try:
        book = parse_json(text, name)
    except ValueError as error:
        mend = "Export the lorebook again as JSON."
        raise CharacterProblems([Problem(name, f"{name} is not JSON ({error}).", mend)]) from error
    if not is_lorebook(book):
        mend = "Characters begin on the page Characters, conversations are added in step 3."
        raise CharacterProblems([Problem(name, f"{name} is no lorebook.", mend)])
    mended = Mended()
    return with_clean_texts(book, mended), notes + notes_from(mended, name)
