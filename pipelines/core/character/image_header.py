"""What a PNG, JPEG or WebP says of itself before anything of it is decoded: its size, and of how many parts it is made.

Decoders take each part one by one, and a JPEG's every pass over all of its pixels, so small files may cost minutes:
readers ask for `is_endless` and `cost` first. Damage is left to the decoder.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

MAX_PARTS = 20_000
"""Chunks of a PNG or WebP, segments of a JPEG. A PNG of 32 MB in the usual pieces of 8 KB has 4,000."""
MAX_SCANS = 100
"""Passes in which a JPEG is stored; programs write 10, and never more than some dozens."""
USUAL_SCANS = 10
"""More passes than these count as so many more pixels."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A JPEG's markers, second byte (ITU-T T.81, table B.1).
_EOI, _SOS = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONE = (0x01, 0xD8)  # markers without a length
# 0xFF00 is a stuffed byte within pixels, 0xFFD0 to 0xFFD7 are restarts.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass
class ImageHeader:
    """What is known of a picture without decoding it."""

    width: int = 0
    """Pixels; 0 where it is not said."""
    height: int = 0
    scans: int = 1
    parts: int = 0

    @property
    def cost(self) -> int:
        """Pixels that are decoded; those of unusually many passes count more."""
        return self.width * self.height * max(1, -(-self.scans // USUAL_SCANS))

    @property
    def is_endless(self) -> bool:
        """Whether it has more parts or passes than any program writes."""
        return self.parts > MAX_PARTS or self.scans > MAX_SCANS


def read_header(data: bytes) -> ImageHeader:
    """Size, passes and parts of a PNG, JPEG or WebP, counted up to the limits; zeros for anything else."""
    header = ImageHeader()
    try:
        if data.startswith(_PNG_SIGNATURE):
            _read_png(data, header)
        elif data.startswith(b"\xff\xd8"):
            _read_jpeg(data, header)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            _read_webp(data, header)
    except (struct.error, IndexError):  # cut off
        return header
    return header


def _read_png(data: bytes, header: ImageHeader) -> None:
    header.width, header.height = struct.unpack_from(">II", data, 16)
    at = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND" and not header.is_endless:
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length  # length, kind and checksum are 4 bytes each
        header.parts += 1


def _read_jpeg(data: bytes, header: ImageHeader) -> None:
    at = 2
    header.scans = 0
    while not header.is_endless and (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.end() - 1], found.end()
        header.parts += 1
        if marker == _EOI:
            return
        if marker in _LONE:
            continue
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            header.width, header.height = max(header.width, width), max(header.height, height)
        header.scans += marker == _SOS
        (length,) = struct.unpack_from(">H", data, at)
        at += length


def _read_webp(data: bytes, header: ImageHeader) -> None:
    at = 12
    while at + 8 <= len(data) and not header.is_endless:
        kind, length, body = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0], at + 8
        width = height = 0
        if kind == b"VP8X":
            width = int.from_bytes(data[body + 4 : body + 7], "little") + 1
            height = int.from_bytes(data[body + 7 : body + 10], "little") + 1
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, body + 1)  # 14 bits each
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, body + 6))
        header.width, header.height = max(header.width, width), max(header.height, height)
        header.parts += 1
        at = body + length + length % 2  # chunks are padded to an even length
