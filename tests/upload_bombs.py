"""Uploads that are small and cost a lot: zip and picture bombs, texts that grow, patterns that never end.

`bombs(whole)` lists forty and one; without `whole` they are a tenth as large, so that making them takes seconds. Each
was once read by the studio for minutes or into gigabytes.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

from PIL import Image

Way = Literal["character", "pictures", "talks", "lore"]
"""Where in the studio it is dropped."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA = 0, 8, 12, 14


@dataclass(frozen=True)
class Bomb:
    """One upload."""

    kind: str
    way: Way
    file: str
    make: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.kind}-{self.way}-{self.file}".replace(" ", "_")


# ---------------------------------------------------------------- zips


@cache
def _packed(size: int, method: int) -> bytes:
    """Spaces, packed as a member of a zip is."""
    piece = b" " * 2**20
    pack = {
        ZIP_DEFLATED: zlib.compressobj(9, zlib.DEFLATED, -15),
        ZIP_BZIP2: bz2.BZ2Compressor(9),
        ZIP_LZMA: lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "preset": 0}]),
    }[method]
    out = b"".join([*(pack.compress(piece) for _ in range(size // 2**20)), pack.flush()])
    if method == ZIP_LZMA:  # zip puts version and properties before the stream
        out = b"\x09\x04\x05\x00" + b"\x5d" + struct.pack("<I", 1 << 18) + out
    return out


def _zip(members: Iterator[tuple[bytes, bytes, int, int]]) -> bytes:
    """A zip of (name, packed bytes, method, claimed size); checksums are left at 0."""
    out, directory, count = io.BytesIO(), io.BytesIO(), 0
    for name, packed, method, claimed in members:
        offset, count = out.tell(), count + 1
        head = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, 0, len(packed), claimed, len(name), 0)
        out.write(b"PK\x03\x04" + head + name + packed)
        directory.write(b"PK\x01\x02" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name)
    listed = directory.getvalue()
    few = min(count, 0xFFFF)
    end = struct.pack("<HHHHIIH", 0, 0, few, few, len(listed), out.tell(), 0)
    return out.getvalue() + listed + b"PK\x05\x06" + end


def liar(size: int, method: int, name: bytes, claimed: int = 3 * 2**20) -> bytes:
    """A zip with a card that claims 3 MB and unpacks to `size`."""
    return _zip(iter([(name, _packed(size, method), method, claimed)]))


@cache
def many_entries(count: int) -> bytes:
    """A zip that lists that many empty files."""
    return _zip((b"%x.png" % number, b"", ZIP_STORED, 0) for number in range(count))


def overlapping(count: int, size: int) -> bytes:
    """A zip of many names for the same few packed bytes, which claims all that it unpacks to."""
    packed = _packed(size, ZIP_DEFLATED)
    return _zip((b"%d.json" % number, packed if number == 0 else b"", ZIP_DEFLATED, size) for number in range(count))


def zipped(files: dict[str, bytes]) -> bytes:
    """An honest zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


# ---------------------------------------------------------------- pictures


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@cache
def flat_png(side: int, colour_type: int = 2, depth: int = 8, chunks: bytes = b"", behind: bytes = b"") -> bytes:
    """A picture of one colour, packed; `chunks` stand before its pixels, `behind` after them."""
    channels = {0: 1, 2: 3, 6: 4}[colour_type]
    row = bytes(1 + (side * channels * depth + 7) // 8)
    pack = zlib.compressobj(9)
    pixels = b"".join([*(pack.compress(row) for _ in range(side)), pack.flush()])
    header = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, 0)
    body = _chunk(b"IHDR", header) + chunks + _chunk(b"IDAT", pixels) + behind
    return SIGNATURE + body + _chunk(b"IEND", b"")


@cache
def _packed_text(size: int) -> bytes:
    return zlib.compress(b" " * size, 9)


def texts_png(count: int, size: int, keyword: bytes = b"chara-ext-asset_:%d") -> bytes:
    """A picture with that many packed texts of `size`."""
    packed = _packed_text(size)
    names = (keyword % number if b"%d" in keyword else keyword for number in range(count))
    return flat_png(128, chunks=b"".join(_chunk(b"zTXt", name + b"\0\0" + packed) for name in names))


def chunks_png(size: int, kind: bytes = b"prVt", behind: bool = False) -> bytes:
    """A picture with `size` bytes of chunks that hold nothing."""
    chunks = _chunk(kind, b"") * (size // 12)
    return flat_png(128, behind=chunks) if behind else flat_png(128, chunks=chunks)


@cache
def pictures_zip(count: int, side: int) -> bytes:
    """A zip of that many pictures, all alike but for a byte, and each packed twice."""
    text = (_chunk(b"tEXt", b"n\0%d" % number) for number in range(count))
    plain = flat_png(side, 0, 1)
    head, tail = plain[:33], plain[33:]
    return zipped({f"{number}.png": head + note + tail for number, note in enumerate(text)})


@cache
def scans_jpeg(count: int, side: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    out = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).save(out, "JPEG", progressive=True, quality=1)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def segments_jpeg(size: int) -> bytes:
    """A JPEG with `size` bytes of comments that hold nothing."""
    out = io.BytesIO()
    Image.new("RGB", (128, 128), "teal").save(out, "JPEG")
    data = out.getvalue()
    return data[:2] + b"\xff\xfe\x00\x02" * (size // 4) + data[2:]


def canvas_webp(side: int) -> bytes:
    """A WebP that claims a canvas of side x side."""
    out = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(out, "WEBP", lossless=True)
    inner = out.getvalue()[12:]
    inner = inner[18:] if inner.startswith(b"VP8X") else inner
    size = struct.pack("<I", side - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


# ---------------------------------------------------------------- texts


def card(**fields: object) -> bytes:
    """A V2 card as JSON."""
    data = {"name": "Mira", "description": "A baker.", "first_mes": "Hello."} | fields
    return json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}).encode()


def named_card(names: int, letters: int, macro: str = "{{char}}", field: str = "description") -> bytes:
    """A card that says a long name very often."""
    return card(**{"name": "M" * letters, field: macro * names})


def yaml_of(value: bytes, character: bytes = b"name: Mira\npersona: A baker.\n") -> bytes:
    """A zipped character folder whose extensions hold a value."""
    return zipped({"character.yaml": character + b"extensions:\n  x: " + value + b"\n"})


def near_names(count: int) -> bytes:
    """A zipped character folder in which every picture is listed under a name that is nearly right."""
    listed = "".join(f"  - file: portrait-of-mira-{number:05d}-a.png\n" for number in range(count))
    picture = flat_png(128)
    files = {f"images/portrait-of-mira-{number:05d}-b.png": picture for number in range(count)}
    return zipped({"character.yaml": f"name: Mira\npersona: A baker.\nimages:\n{listed}".encode(), **files})


def near_captions(count: int) -> bytes:
    """A zip of pictures beside captions and a table whose names are nearly right."""
    picture = flat_png(128)
    files = {f"portrait-of-mira-{number:05d}-b.png": picture for number in range(count)}
    lines = "".join(f"portrait-of-mira-{number:05d}-a.png,smiling\n" for number in range(count))
    return zipped({**files, "metadata.csv": b"file_name,text\n" + lines.encode()})


def near_keys(count: int) -> bytes:
    """A zipped character whose keys are nearly right."""
    lines = "".join(f"personaa{number}: x\n" for number in range(count))
    return zipped({"character.yaml": b"name: Mira\npersona: A baker.\n" + lines.encode()})


def talk(line: str, size: int) -> bytes:
    """`size` bytes of the same line."""
    return (line * (size // len(line) + 1)).encode()[:size]


def records(text: str) -> bytes:
    """A conversation of one exchange as JSON."""
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": text}]
    return json.dumps([{"messages": turns}]).encode()


def book(text: str, entries: int = 1) -> bytes:
    """A lorebook as JSON."""
    listed = {str(n): {"uid": n, "key": ["tea"], "content": text, "constant": True} for n in range(entries)}
    return json.dumps({"entries": listed}).encode()


# ---------------------------------------------------------------- all of them


def bombs(whole: bool) -> list[Bomb]:
    """The forty; `whole` in the sizes of the report, else a tenth of it."""
    return [*_zips(whole), *_pictures(whole), *_texts(whole)]


def _zips(whole: bool) -> list[Bomb]:
    large = 2**30 if whole else 64 * 2**20
    deflated = 200 * 2**20 if whole else 32 * 2**20
    entries = 1_500_000 if whole else 100_000
    yaml = b"character.yaml"
    found: list[tuple[str, Way, str, Callable[[], bytes]]] = [
        ("lying zip", "character", "bzip2.charx", partial(liar, large, ZIP_BZIP2, b"card.json")),
        ("lying zip", "character", "lzma.charx", partial(liar, large, ZIP_LZMA, b"card.json")),
        ("lying zip", "character", "bzip2.zip", partial(liar, large, ZIP_BZIP2, yaml)),
        ("lying zip", "character", "lzma.byaf", partial(liar, large, ZIP_LZMA, b"manifest.json")),
        ("lying zip", "pictures", "bzip2.zip", partial(liar, large, ZIP_BZIP2, b"01.png")),
        ("lying zip", "pictures", "lzma.zip", partial(liar, large, ZIP_LZMA, b"01.txt")),
        ("lying deflate", "character", "deflated.charx", partial(liar, deflated, ZIP_DEFLATED, b"card.json")),
        ("lying deflate", "character", "deflated.zip", partial(liar, deflated, ZIP_DEFLATED, yaml)),
        ("lying deflate", "pictures", "deflated.zip", partial(liar, deflated, ZIP_DEFLATED, b"01.png")),
        ("many entries", "character", "entries.charx", partial(many_entries, entries)),
        ("many entries", "pictures", "entries.zip", partial(many_entries, entries)),
        ("many entries", "character", "overlap.zip", partial(overlapping, 4000, 4 * 2**20)),
    ]
    return [Bomb(*one) for one in found]


def _pictures(whole: bool) -> list[Bomb]:
    texts, chunks = (100, 90 * 2**20) if whole else (20, 9 * 2**20)
    size = 63 * 2**20
    count, scans = (3000, 20_000) if whole else (300, 2_000)
    alpha = partial(flat_png, 7999, 6)
    found: list[tuple[str, Way, str, Callable[[], bytes]]] = [
        ("packed texts", "character", "assets.png", partial(texts_png, texts, size)),
        ("packed texts", "character", "card.png", partial(texts_png, texts, size, b"ccv3")),
        ("packed texts", "character", "notes.zip", lambda: zipped({"a.png": texts_png(100, size, b"chara")})),
        ("empty chunks", "character", "chunks.png", partial(chunks_png, chunks)),
        ("empty chunks", "character", "behind.png", partial(chunks_png, chunks, b"prVt", True)),
        ("empty chunks", "pictures", "chunks.png", partial(chunks_png, min(chunks, 31 * 2**20))),
        ("empty chunks", "pictures", "segments.jpg", partial(segments_jpeg, min(chunks, 31 * 2**20))),
        ("megapixels", "pictures", "pictures.zip", partial(pictures_zip, count, 8000)),
        ("megapixels", "character", "pictures.zip", partial(pictures_zip, count, 8000)),
        ("megapixels", "pictures", "canvas.webp", partial(canvas_webp, 16383)),
        ("scans", "pictures", "scans.jpg", partial(scans_jpeg, scans, 2000)),
        ("scans", "character", "scans.zip", lambda: zipped({"01.jpg": scans_jpeg(scans, 2000)})),
        ("alpha", "pictures", "alpha.zip", lambda: zipped({f"{n}.png": alpha() + b"%d" % n for n in range(50)})),
        ("one alpha", "pictures", "alpha.png", alpha),
    ]
    return [Bomb(*one) for one in found]


def _texts(whole: bool) -> list[Bomb]:
    size = 10 if whole else 1
    spaces = " " * (30_000 * size)
    sixty = b"1" + b":0" * (100_000 * size)
    near = 300 * size
    found: list[tuple[str, Way, str, Callable[[], bytes]]] = [
        ("long name", "character", "name.json", partial(named_card, 16_000, 125_000)),
        ("long name", "character", "bot.json", partial(named_card, 16_000, 125_000, "<BOT>", "personality")),
        ("spaces", "character", "spaces.json", lambda: card(description=f"a{spaces}b", mes_example=f"x:{spaces}y")),
        ("spaces", "talks", "spaces.txt", lambda: f"Mira:{spaces}a\nYou:{spaces}b\n".encode()),
        ("spaces", "talks", "spaces.json", lambda: records(f"a{spaces}b")),
        ("spaces", "lore", "spaces.json", lambda: book(f"a{spaces}b")),
        ("numbers", "character", "sixty.zip", partial(yaml_of, sixty)),
        ("numbers", "character", "digits.zip", partial(yaml_of, b"9" * (100_000 * size))),
        (
            "numbers",
            "character",
            "digits.json",
            lambda: card(depth=1).replace(b'"depth": 1', b'"depth": ' + b"9" * 10**6),
        ),
        ("near names", "character", "near.zip", partial(near_names, near)),
        ("near names", "pictures", "near.zip", partial(near_captions, near)),
        ("near names", "character", "keys.zip", partial(near_keys, near)),
        ("one speaker", "talks", "speaker.txt", partial(talk, "Mira: a\n", 8_000_000)),
        ("one speaker", "talks", "labels.txt", lambda: "".join(f"N{n}: a\n" for n in range(800_000)).encode()),
        ("one speaker", "character", "speaker.json", lambda: card(mes_example="{{char}}: a\n" * 800_000)),
    ]
    return [Bomb(*one) for one in found]
