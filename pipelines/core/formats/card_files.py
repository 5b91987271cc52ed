"""The containers of Character Cards: text chunks of a PNG, and zip archives (CHARX), with guards.

`read_chunks` and `put_chunks` know PNG chunks and nothing of cards; `read_archive` and `write_archive` know zip files
and nothing of cards. Whatever arrives here was made by a stranger: every size is limited before it is
unpacked, every checksum is compared, and every fault raises `CharacterProblems` naming the file.
"""

from __future__ import annotations

import base64
import binascii
import io
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from pipelines.core.character.image_header import MAX_PARTS, read_header
from pipelines.core.formats.import_notes import refuse, tell
from pipelines.core.problems import changed, left_out
from pipelines.core.upload_budget import spend

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_FILE_BYTES = 512 * 2**20
"""Largest card, archive or data file that is opened."""
MAX_TEXT_BYTES = 64 * 2**20
"""Largest card text or data file once unpacked; pictures may be inside it."""
MAX_MEMBERS = 4000
"""Most files in an archive."""
MAX_DIRECTORY_BYTES = 4 * 2**20
"""Largest list of files at the end of an archive: a kilobyte for each. It is checked before the list is read."""
MAX_RATIO = 200
"""Most times a file of an archive may grow; pictures and texts stay below 50, bombs reach 1000."""
RATIO_FREE_BYTES = 4 * 2**20
"""Below this size the ratio is not looked at."""

NAMELESS = "a file without a name"
"""What a file is called whose name the archive does not give."""
_PIECE_BYTES = 2**18
"""Unpacked at once, so that no more than was claimed is ever held."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How files in an archive may be packed. Unpackers of bzip2 and LZMA give all that they hold at once."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, struct.error)
_OTHER_ARCHIVES = (
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
)
_PACK_AGAIN = "Download it again, or pack it again as a plain zip."
_SPARE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".txt", ".caption")
"""Pictures and captions: what is read beside them does not hang on one."""

Chunk = tuple[bytes, bytes]
"""Type and data of one PNG chunk."""


def read_bytes(path: Path, file: str) -> bytes:
    """A file's bytes; raises `CharacterProblems` when it cannot be opened or is larger than `MAX_FILE_BYTES`."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)  # one more than is allowed, so that too large is noticed
    except OSError as error:
        refuse(file, f"cannot be opened ({error.strerror or error})", "Check the path and that you may read it.")


def chunks_of(data: bytes, file: str) -> Iterator[Chunk]:
    """Type and data of every chunk of a PNG, in order; checksums of text chunks are compared.

    Raises:
        CharacterProblems: not a PNG, cut short, or a damaged text chunk.
    """
    if not data.startswith(PNG_SIGNATURE):
        refuse(file, "is not a PNG picture", "Save it again as PNG, or send the JSON file of the card.")
    if read_header(data).is_endless:
        refuse(file, f"is made of more than {MAX_PARTS:,} pieces", "Save the picture again from a photo program.")
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length  # of the data; the 4 bytes after it are its checksum
        if end + 4 > len(data):
            break
        body = data[position + 8 : end]
        if kind.endswith(b"Xt") and zlib.crc32(kind + body) != struct.unpack_from(">I", data, end)[0]:
            refuse(
                file,
                "is damaged: the text inside the picture does not match its checksum",
                "Download it again; if it stays so, ask for the JSON file of the card.",
            )
        yield kind, body
        position = end + 4
        if kind == b"IEND":
            return
    refuse(file, "is damaged: the picture is cut short", "Download it again, or send the JSON file of the card.")


def read_chunks(data: bytes, file: str) -> dict[str, bytes]:
    """Text chunks of a PNG (tEXt, zTXt, iTXt): keyword in lower case -> decoded text as bytes.

    Of equal keywords the first one counts, as in SillyTavern.
    """
    texts: dict[str, bytes] = {}
    room = MAX_TEXT_BYTES  # for all that is packed
    for kind, body in chunks_of(data, file):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text, is_packed = _text(kind, body, file, room)
            room -= len(text) if is_packed else 0
            texts.setdefault(keyword, text)
    return texts


def _text(kind: bytes, body: bytes, file: str, room: int) -> tuple[str, bytes, bool]:
    """Keyword (lower case) and text of one text chunk, and whether it was packed; `room` is for what is unpacked."""
    keyword, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]  # compression method, always 0
    elif kind == b"iTXt":
        packed = rest[:1] == b"\x01"
        rest = rest[2:].split(b"\0", 2)[-1]  # after flag and method: language, translated keyword, text
    return keyword.decode("latin-1").lower(), _inflated(rest, file, room) if packed else rest, packed


def _inflated(data: bytes, file: str, room: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, max(room, 1))  # 0 would be no limit
        spend("bytes", len(text), file)
    except zlib.error:
        refuse(file, "is damaged: the text inside the picture cannot be unpacked", "Download it again.")
    if unpacker.unconsumed_tail:
        refuse(file, f"holds more than {MAX_TEXT_BYTES >> 20} MB of text", "Take the pictures out of the card's text.")
    return text


def decode_base64(text: bytes, file: str, what: str) -> bytes:
    """The bytes behind base64; white space and missing padding are forgiven, anything else is not."""
    compact = b"".join(text.split())
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        refuse(file, f"is damaged: {what} is not valid base64", "Download it again, or send the JSON file of the card.")


def put_chunks(data: bytes, texts: dict[str, bytes], drop: Callable[[str], bool], file: str) -> bytes:
    """The PNG with new tEXt chunks (keyword -> text) before its end, and every text chunk that `drop` names left out.

    Pixels are not touched: leaving out what was put in gives the same bytes again.
    """
    out = [PNG_SIGNATURE]
    for kind, body in chunks_of(data, file):
        keyword = body.partition(b"\0")[0].decode("latin-1").lower()
        if kind in (b"tEXt", b"zTXt", b"iTXt") and drop(keyword):
            continue
        if kind == b"IEND":
            out += [_chunk(b"tEXt", name.encode("latin-1") + b"\0" + text) for name, text in texts.items()]
        out.append(_chunk(kind, body))
    return b"".join(out)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def list_archive(data: bytes, file: str) -> list[str]:
    """The paths of the files in a zip archive; raises as `read_archive` does."""
    return read_archive(data, file, lambda path: False, Counter())[1]


def read_archive(
    data: bytes, file: str, wanted: Callable[[str], bool], mended: Counter[str]
) -> tuple[dict[str, bytes], list[str]]:
    """Files of a zip archive that `wanted` names (path -> bytes), and the paths of the others.

    A damaged picture or caption is left out and told in `mended`; of files with the same path the last one counts.

    Raises:
        CharacterProblems: damaged as a whole or in another file, encrypted, too many files, a path that leaves the
            archive, too large when unpacked.
    """
    refuse_other_archive(data, file)
    with _refused_by_name(file), zipfile.ZipFile(_ListedFirst(data, file)) as archive:
        members = _members(archive, file)
        chosen = [member for member in members if wanted(member.filename)]
        _check_chosen(chosen, file)
        files: dict[str, bytes] = {}
        damaged = set()
        for member in chosen:
            if member.filename in files:
                sentence = "files that are twice in the archive were read once, the last of them"
                tell(mended, changed(sentence), member.filename)
            try:
                files[member.filename] = _unpacked(archive, member)
            except _DAMAGE:
                if not member.filename.lower().endswith(_SPARE_SUFFIXES):
                    refuse(file, f"is damaged: {member.filename[:80]!r} in it cannot be unpacked", _PACK_AGAIN)
                sentence = "files that are damaged in the archive were left out"
                tell(mended, left_out(sentence, "Put them into it again if they matter."), member.filename)
                damaged.add(member.filename)
    taken = files.keys() | damaged
    return files, [member.filename for member in members if member.filename not in taken]


class _ListedFirst(io.BytesIO):
    """An archive whose list of files is refused when it is too long; `zipfile` reads it in one go before all else."""

    def __init__(self, data: bytes, file: str) -> None:
        super().__init__(data)
        self.file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """The bytes; no other part of an archive is read in so large a piece."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            _refuse_many(self.file)
        return super().read(size)


def _refuse_many(file: str) -> NoReturn:
    refuse(file, f"holds more than {MAX_MEMBERS} files", "Leave out what is not needed.")


def _members(archive: zipfile.ZipFile, file: str) -> list[zipfile.ZipInfo]:
    """The files that an archive lists, checked."""
    for member in archive.infolist():
        member.filename = member.filename or NAMELESS  # a damaged list: `is_dir` looks at the last letter
    members = [member for member in archive.infolist() if not member.is_dir()]
    spend("entries", len(members), file)
    for member in members:  # programs on Windows write backslashes between folders
        member.filename = member.filename.replace("\\", "/")
    _check_members(members, file)
    return members


def _check_chosen(members: list[zipfile.ZipInfo], file: str) -> None:
    """Refuses what is not to be unpacked, by what the archive says of it."""
    size = sum(member.file_size for member in members)
    if size > MAX_FILE_BYTES:
        refuse(file, f"unpacks to more than {MAX_FILE_BYTES >> 20} MB", "Leave out what is not needed.")
    if any(member.compress_type not in _METHODS for member in members):
        raise NotImplementedError("neither stored nor deflated")
    spend("bytes", size, file)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a file, at most as many as it claims; those of one that holds more or fewer raise as damaged."""
    pieces = []
    with archive.open(member) as stream:
        while piece := stream.read(_PIECE_BYTES):
            pieces.append(piece)
    return b"".join(pieces)


def refuse_other_archive(data: bytes, file: str) -> None:
    """Refuses by its name an archive that is no zip."""
    kind = next((name for mark, name in _OTHER_ARCHIVES if data.startswith(mark)), "")
    if kind:
        refuse(file, f"is {kind}, which cannot be opened", "Unpack it, and pack the files again as a zip.")


@contextmanager
def _refused_by_name(file: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE:
        refuse(file, "is a damaged archive", _PACK_AGAIN)
    except (NotImplementedError, RuntimeError):
        refuse(file, "is packed in a way that cannot be read", "Pack it again as a plain zip without a password.")


def _check_members(members: list[zipfile.ZipInfo], file: str) -> None:
    if len(members) > MAX_MEMBERS:
        _refuse_many(file)
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in member.filename or ":" in parts[0]:
            refuse(file, f"holds an unsafe path ({member.filename[:80]!r})", "Pack it again from its folder.")
        if member.flag_bits & 0x1:
            refuse(file, "is encrypted", "Save it again without a password.")
        grown = member.file_size > MAX_RATIO * max(member.compress_size, 1)
        if member.file_size > RATIO_FREE_BYTES and grown:
            refuse(
                file,
                f"holds a file that unpacks to {member.file_size >> 20} MB from almost nothing "
                f"({member.filename[:80]!r})",
                "Pack it again without that file.",
            )


def write_archive(files: dict[str, bytes]) -> bytes:
    """A zip archive of path -> bytes; equal files give equal bytes, whatever the day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path)  # dated 1980 for equal bytes
            if path.endswith((".json", ".yaml", ".md")):  # pictures and weights do not shrink
                member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()
