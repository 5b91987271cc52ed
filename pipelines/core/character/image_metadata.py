"""Whether a PNG, JPEG or WebP file holds nothing but its pixels, told from the file's structure.

Kinds of metadata are too many to list (EXIF, XMP, IPTC, content credentials, a phone's film behind the last byte of
the picture), so it is the other way round: what a decoder needs is listed with its size, and anything else is metadata.
Not looked for is what somebody hides in the compressed pixels of a JPEG or WebP.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pixels, palette, transparency; then colour space, density and background, which are a few numbers each. Without iCCP:
# a profile names the screen or camera it was made for.
_PNG_CHUNKS = {
    b"IHDR": 13,
    b"PLTE": 768,
    b"tRNS": 256,
    b"IDAT": 2**31,
    b"IEND": 0,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"sBIT": 4,
    b"pHYs": 9,
    b"bKGD": 6,
}
"""Most bytes of each; all but IDAT stand there once."""
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
# Adam7: first column and row of a pass, and its steps.
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 2**20
_WEBP_CHUNKS = {b"VP8 ": 2**32, b"VP8L": 2**32, b"VP8X": 10, b"ALPH": 2**32}

# JPEG markers, second byte (ITU-T T.81, table B.1).
_APP0, _APP14, _EOI, _SOS = 0xE0, 0xEE, 0xD9, 0xDA
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDD))  # Huffman, arithmetic, quantisation, restart interval
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# The next marker within entropy-coded data: 0xFF00 is a stuffed byte there, 0xFFD0 to 0xFFD7 are restarts.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def holds_only_pixels(data: bytes) -> bool:
    """Whether the file is a PNG, JPEG or WebP without any part that a decoder could do without.

    Only the structure is read; a damaged picture may pass. False for every other kind of file.
    """
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _is_bare_png(data)
        if data.startswith(b"\xff\xd8"):
            return _is_bare_jpeg(data)
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and _is_bare_webp(data)
    except (struct.error, IndexError):  # cut off
        return False


def without_text_chunks(data: bytes) -> bytes:
    """A PNG without its text chunks; any other file, and one that is cut off, as it is."""
    if not data.startswith(_PNG_SIGNATURE):
        return data
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if data[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept) if at == len(data) else data


def _is_bare_png(data: bytes) -> bool:
    at, kind = len(_PNG_SIGNATURE), b""
    pixels: list[bytes] = []
    found: Counter[bytes] = Counter()
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        found[kind] += kind != b"IDAT"
        if length > _PNG_CHUNKS.get(kind, -1) or found[kind] > 1:
            return False
        if kind == b"IDAT":
            pixels.append(data[at + 8 : at + 8 + length])
        at += 12 + length  # length, kind and checksum are 4 bytes each
    return at == len(data) and _inflates_to(b"".join(pixels), _png_bytes(data))


def _png_bytes(data: bytes) -> int:
    """Bytes of the rows of a PNG, as its header (the first chunk) says; each begins with the number of its filter."""
    width, height, depth, colour, _, _, is_interlaced = struct.unpack_from(">IIBBBBB", data, len(_PNG_SIGNATURE) + 8)
    bits = depth * _PNG_CHANNELS.get(colour, 0)
    total = 0
    for left, top, across, down in _PNG_PASSES if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-max(width - left, 0) // across), -(-max(height - top, 0) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total


def _inflates_to(packed: bytes, size: int) -> bool:
    """Whether a zlib stream holds so many bytes, and nothing stands behind it."""
    unpacker = zlib.decompressobj()
    try:
        while not unpacker.eof and size >= 0:
            piece = unpacker.decompress(packed, _INFLATED_AT_ONCE)
            packed = unpacker.unconsumed_tail
            size -= len(piece)
            if not (piece or packed or unpacker.eof):
                return False  # cut off
    except zlib.error:
        return False
    return size == 0 and not packed and not unpacker.unused_data


def _is_bare_jpeg(data: bytes) -> bool:
    # Decoders refuse tables and frames that are longer than what they hold, so their lengths need no look.
    at = 2
    while True:
        if data[at] != 0xFF:
            return False
        while data[at] == 0xFF:  # any number of them may stand before a marker
            at += 1
        marker = data[at]
        if marker == _EOI:
            return at + 1 == len(data)
        (length,) = struct.unpack_from(">H", data, at + 1)
        body = data[at + 3 : at + 1 + length]
        if marker not in _TABLES | _FRAMES | {_SOS} and not _is_colour_header(marker, body):
            return False
        at += 1 + length
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return False
            at = found.start()


def _is_colour_header(marker: int, body: bytes) -> bool:
    """JFIF's header without a thumbnail, or Adobe's: both only say how to read the colours."""
    if marker == _APP0:
        return body[:5] == b"JFIF\0" and len(body) == 14 and body[12:] == b"\0\0"
    return marker == _APP14 and body[:5] == b"Adobe" and len(body) == 12


def _is_bare_webp(data: bytes) -> bool:
    size: int = struct.unpack_from("<I", data, 4)[0]
    at = 12
    found: Counter[bytes] = Counter()
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        kind = data[at : at + 4]
        found[kind] += 1
        if length > _WEBP_CHUNKS.get(kind, -1) or found[kind] > 1:
            return False
        at += 8 + length + length % 2  # chunks are padded to an even length
    return at == len(data) == 8 + size
