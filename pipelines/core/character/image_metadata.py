"""Whether a PNG, JPEG or WebP file holds nothing but its pixels, told from the file's structure.

Kinds of metadata are too many to list (EXIF, XMP, IPTC, content credentials, a phone's film behind the last byte of
the picture), so it is the other way round: what a decoder needs is listed, and anything else is metadata.
"""

from __future__ import annotations

import re
import struct

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pixels, palette, transparency; then colour space, density and background, which are a few numbers each. Without iCCP:
# a profile names the screen or camera it was made for.
_PNG_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"bKGD")
)
_WEBP_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH"))

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
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind not in _PNG_CHUNKS:
            return False
        at += 12 + length  # length, kind and checksum are 4 bytes each
    return at == len(data)


def _is_bare_jpeg(data: bytes) -> bool:
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
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        if data[at : at + 4] not in _WEBP_CHUNKS:
            return False
        at += 8 + length + length % 2  # chunks are padded to an even length
    return at == len(data) == 8 + size
