"""Files that hold nothing but pixels keep their bytes; whatever else a file carries is taken off, known or not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipelines.core.character.image_decode import clean_image, decode_image, without_metadata
from pipelines.core.character.image_metadata import holds_only_pixels

MARK = b"SECRET"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def drawing(size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Shades in RGB."""
    return Image.merge("RGB", [Image.linear_gradient("L").resize(size).rotate(90 * turn) for turn in range(3)])


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or drawing()).save(out, kind, **options)
    return out.getvalue()


def exif() -> Image.Exif:
    """Camera and place."""
    tags = Image.Exif()
    tags[0x0110] = MARK.decode()
    tags.get_ifd(0x8825)[1] = "N"
    return tags


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(kind: bytes, body: bytes, plain: bytes = b"") -> bytes:
    """A PNG with one more chunk behind its header."""
    plain = plain or encoded("PNG")
    return plain[:33] + png_chunk(kind, body) + plain[33:]


def with_last_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its end."""
    plain = encoded("PNG")
    return plain[:-12] + png_chunk(kind, body) + plain[-12:]


def with_segment(marker: int, body: bytes, plain: bytes = b"") -> bytes:
    """A JPEG with one more segment behind JFIF's header."""
    plain = plain or encoded("JPEG")
    return plain[:20] + b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body + plain[20:]


def with_rows(more: bytes) -> bytes:
    """A PNG whose packed rows go on behind the last one."""
    plain = encoded("PNG")
    start, end = plain.index(b"IDAT") - 4, len(plain) - 12
    rows = zlib.decompress(plain[start + 8 : end - 4])
    return plain[:start] + png_chunk(b"IDAT", zlib.compress(rows + more)) + plain[end:]


def with_riff(kind: bytes, body: bytes) -> bytes:
    """A WebP with one more chunk at its end, which counts as part of the file."""
    plain = encoded("WEBP")
    body += b"\0" * (len(body) % 2)
    whole = plain[8:] + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def extended_xmp() -> bytes:
    """XMP that did not fit into one segment of a JPEG: the standard part and two of the extended one."""
    digest = b"0" * 32
    data = with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x HasExtendedXMP='" + digest + b"'/>")
    for number in range(2):
        place = struct.pack(">II", 12, 6 * number)
        data = with_segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + digest + place + MARK, data)
    return data


def with_text() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", MARK.decode())
    return encoded("PNG", pnginfo=notes)


CARRYING: dict[str, Callable[[], bytes]] = {
    "place and camera in a JPEG": lambda: encoded("JPEG", exif=exif()),
    "place and camera in a PNG": lambda: encoded("PNG", exif=exif()),
    "place and camera in a WebP": lambda: encoded("WEBP", exif=exif()),
    "XMP in a WebP": lambda: encoded("WEBP", xmp=b"<x>SECRET</x>"),
    "a program's text in a PNG": with_text,
    "a comment in a JPEG": lambda: encoded("JPEG", comment=MARK),
    "XMP in a JPEG": lambda: with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>SECRET</x>"),
    "IPTC in a JPEG": lambda: with_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\x06SECRET"),
    "content credentials in a JPEG": lambda: with_segment(0xEB, b"JP\0\x01\0\0\0\x01SECRET"),
    "content credentials in a PNG": lambda: with_chunk(b"caBX", MARK),
    "a time in a PNG": lambda: with_chunk(b"tIME", b"\x07\xeaSECRET"[:7]),
    "a thumbnail in JFIF's header": lambda: with_segment(0xE0, b"JFXX\0\x13\x01\x01SEC"),
    "a film behind a JPEG": lambda: encoded("JPEG") + b"\0\0\0\x18ftypmp42SECRET",
    "bytes behind a PNG": lambda: encoded("PNG") + MARK,
    "bytes behind a WebP": lambda: encoded("WEBP") + MARK,
    "a profile in a JPEG": lambda: encoded("JPEG", icc_profile=SRGB),
    "a profile in a PNG": lambda: encoded("PNG", icc_profile=SRGB),
    "extended XMP in a JPEG": extended_xmp,
    "a place in a private chunk": lambda: with_chunk(b"gpSd", b"48.2N 16.4E SECRET"),
    "a time in a private chunk at the end": lambda: with_last_chunk(b"orNT", b"2026:11:27 SECRET"),
    "XMP in a PNG": lambda: with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x>SECRET</x>"),
    "a palette nobody needs": lambda: with_chunk(b"sPLT", b"SECRET\0\x08\0\0\0\0\0\0"),
    "bytes in a chunk of numbers": lambda: with_chunk(b"gAMA", b"\0\0\xb1\x8f" + MARK),
    "a chunk of numbers twice": lambda: with_chunk(
        b"pHYs", b"SECRETabc", with_chunk(b"pHYs", b"\0\0\x0b\x13" * 2 + b"\1")
    ),
    "bytes behind the rows of a PNG": lambda: with_rows(MARK),
    "a chunk of pixels behind the last one": lambda: with_last_chunk(b"IDAT", MARK),
    "a private segment of a JPEG": lambda: with_segment(0xE5, MARK),
    "the last private segment of a JPEG": lambda: with_segment(0xEF, MARK),
    "bytes behind JFIF's header": lambda: with_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0SECRET"),
    "an unknown part of a WebP": lambda: with_riff(b"SEcr", MARK),
    "pixels twice in a WebP": lambda: with_riff(b"VP8 ", MARK),
    "a profile in a WebP": lambda: encoded("WEBP", icc_profile=SRGB),
    "a second frame": lambda: encoded("MPO", save_all=True, append_images=[drawing()]),
}


@pytest.mark.parametrize("what", list(CARRYING))
def test_what_is_no_pixel_is_taken_off(what: str) -> None:
    data = CARRYING[what]()
    assert not holds_only_pixels(data)
    for clean in (clean_image(data), without_metadata(data)):
        assert holds_only_pixels(clean)
        assert MARK not in clean and b"SEC" not in clean and b"Exif" not in clean
        assert Image.open(io.BytesIO(clean)).size == drawing().size
        assert clean_image(clean) == without_metadata(clean) == clean


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_clean_jpeg_keeps_its_bytes(quality: int, progressive: bool) -> None:
    data = encoded("JPEG", quality=quality, progressive=progressive)
    assert clean_image(data) == without_metadata(data) == data
    restarts = encoded("JPEG", quality=quality, restart_marker_blocks=2)
    assert b"\xff\xd1" in restarts and clean_image(restarts) == restarts


def test_only_the_cleaned_form_is_the_fixed_point_of_cleaning() -> None:
    """Alpha, other modes, WebP and large pictures hold only pixels too: they keep their bytes unless cleaned."""
    clear = drawing().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for data in (
        encoded("PNG", clear),
        encoded("PNG", drawing().quantize(16), transparency=0),
        encoded("PNG", transparency=(0, 0, 0)),
        encoded("PNG", drawing().convert("L")),
        encoded("JPEG", drawing().convert("L")),
        encoded("JPEG", drawing().convert("CMYK")),
        encoded("WEBP"),
        encoded("WEBP", clear, lossless=True),
        encoded("JPEG", drawing((2100, 300))),
    ):
        assert without_metadata(data) == data
        clean = clean_image(data)
        assert clean != data and clean_image(clean) == clean
        assert Image.open(io.BytesIO(clean)).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_cut_off_is_not_taken_for_whole(kind: str) -> None:
    data = encoded(kind)
    assert holds_only_pixels(data)
    assert not any(holds_only_pixels(data[:size]) for size in range(len(data)))


@pytest.mark.parametrize("at", ["before", "after"])
def test_notes_that_are_long_or_damaged_keep_no_picture_out(at: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((128, 128), 80).convert("RGB").save(out, "PNG")
    data = out.getvalue()
    for body, crc in ((b"workflow\0\0" + zlib.compress(b"x" * 1_300_000), None), (b"prompt\0words", 7)):
        kind = b"zTXt" if crc is None else b"tEXt"
        chunk = struct.pack(">I", len(body)) + kind + body
        chunk += struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
        cut = data.index(b"IDAT") - 4 if at == "before" else len(data) - 12
        decoded = decode_image(data[:cut] + chunk + data[cut:], "a.png")
        assert decoded.pixels.tobytes() == Image.open(io.BytesIO(data)).tobytes()
        assert decoded.metadata == "notes of a program" and not decoded.is_clean
