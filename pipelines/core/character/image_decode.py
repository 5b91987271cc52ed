"""Picture files of a creator, opened with guards and cleaned of everything but their pixels.

Only PNG, JPEG and WebP are ever decoded, and only after the header's size was checked: a renamed program or a
decompression bomb is refused by name. `decode_image` gives the upright RGB picture, `clean_image` the bytes of it
without metadata (EXIF, GPS, notes of programs, colour profiles), `without_metadata` the file itself where it has none.
Whether a picture is good is judged in `image_check.py`.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from pipelines.core.character.image_header import MAX_PARTS, MAX_SCANS, read_header
from pipelines.core.character.image_metadata import holds_only_pixels, without_text_chunks
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_budget import require, spend

FORMATS = ("PNG", "JPEG", "WEBP")
"""What is handed to Pillow; none of its other decoders ever runs on a creator's file."""
MAX_IMAGE_BYTES = 32 * 1024 * 1024
"""Largest file that is read."""
MAX_PIXELS = 64_000_000
"""Most pixels that are decoded (192 MB in RGB); a 50-megapixel phone stays below."""
STRIP_PIXELS = 4_000_000
"""Pixels that are converted at once where a conversion takes several forms of them."""
LONGEST_PX = 2048
"""Cleaned pictures are scaled down to this longer side; no preset's vision encoder takes more than 384 px."""

# Everything that Pillow's decoders are known to raise on damaged files.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    MemoryError,
    RuntimeError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

# (offset, first bytes, name) of files that people choose by mistake; the first that fits counts.
_OTHER_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyp", "a film"),
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\x00", "a TIFF or raw picture"),
    (0, b"MM\x00*", "a TIFF or raw picture"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\x00\x00\x00\x0cJXL", "a JPEG XL picture"),
    (0, b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture"),
    (0, b"gimp xcf", "a GIMP file"),
    (8, b"AVI ", "a film"),
    (0, b"\x1aE\xdf\xa3", "a film"),
    (0, b"ID3", "a sound file"),
    (8, b"WAVE", "a sound file"),
)
# Kind -> how to make a picture of it, in words of programs that people have; anything else is saved as PNG or JPEG.
_MENDS = {
    "a HEIC picture": "Make a JPEG of it. On a Mac: Preview, File, Export. In Windows: Photos, Save as. On the iPhone: "
    "Settings, Camera, Formats, Most Compatible, and new photos are JPEG.",
    "an AVIF picture": "Make a PNG of it: open it in a browser and take a screenshot, or use Preview, File, Export.",
    "a PDF": "A PDF has pages and is no picture. Open it and save the page as PNG (on a Mac: Preview, File, Export), "
    "or take a screenshot of the picture in it.",
    "a GIF": "Save the frame that shows the character best as PNG, or take a screenshot of it.",
    "a film": "Stop it where the character is seen best and take a screenshot.",
    "an SVG drawing": "Open it in a browser and take a screenshot, or export it as PNG, 512 px or larger.",
    "a zip archive": "Unpack it, and drop in the pictures that are inside.",
    "a web page": "Open the page, click on the picture with the right button, and save the image.",
    "a Photoshop file": "Open it in your program and export it as PNG.",
    "a GIMP file": "Open it in GIMP and export it as PNG.",
    "a sound file": "Only pictures can be used here.",
}
# (offset, first bytes) of the formats that are read.
_SIGNATURES = ((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (8, b"WEBP"))

# EXIF orientation (1 is upright) -> what makes the picture stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG, _GPS_TAG = 0x0112, 0x8825  # of EXIF 2.3


def image_sha256(data: bytes) -> str:
    """The content hash of a picture: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _no_pillow_warnings() -> Iterator[None]:
    """Keeps Pillow's warnings (odd EXIF, many pixels) from the terminal: what matters becomes a Problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class DecodedImage:
    """A creator's file, decoded."""

    data: bytes
    """The file as it was given."""
    format: str
    """PNG, JPEG or WEBP."""
    pixels: Image.Image
    """RGB, upright, alpha laid on white, colours in sRGB."""
    metadata: str
    """What the file tells besides its pixels, in words; "" for nothing that a person would read."""
    is_clean: bool
    """Whether it already is as `clean_image` writes pictures."""


@_no_pillow_warnings()
def decode_image(data: bytes | Path, name: str) -> DecodedImage:
    """Opens a file that may be anything; CharacterProblems, with the field `images/{name}`, when it cannot be used."""
    data = _read(data, name)
    _refuse_costly(data, name)
    try:
        image = _open_header(data, name)
        pixels = _upright_rgb(image, name)
        metadata = _metadata(image)
    except CharacterProblems:
        # Notes of a program that are long or damaged say nothing about the pixels; browsers show such files.
        plain = without_text_chunks(data)
        if plain == data:
            raise
        image = _open_header(plain, name)
        pixels = _upright_rgb(image, name)
        metadata = "notes of a program"
    is_clean = (
        _format(image) != "WEBP"
        and image.mode == "RGB"
        and not image.has_transparency_data
        and max(image.size) <= LONGEST_PX
        and holds_only_pixels(data)
    )
    return DecodedImage(data, _format(image), pixels, metadata, is_clean)


def clean_image(data: bytes, name: str = "the picture") -> bytes:
    """The picture upright, in RGB on white, its longer side at most LONGEST_PX, with no metadata.

    A JPEG stays a JPEG (quality 95), everything else becomes a PNG; colours of a wide-gamut profile become sRGB. What
    is like that already comes back byte for byte: compressed once more, a JPEG would lose detail and its hash change.
    Raises CharacterProblems when it cannot be read.
    """
    decoded = decode_image(data, name)
    return data if decoded.is_clean else _encode_clean(decoded)


def without_metadata(data: bytes, name: str = "the picture") -> bytes:
    """The file itself when it holds nothing but pixels, of any mode, size and format; otherwise `clean_image` of it.

    Raises CharacterProblems, with the field `images/{name}`, when it cannot be read.
    """
    decoded = decode_image(data, name)
    return data if holds_only_pixels(data) else _encode_clean(decoded)


def _encode_clean(decoded: DecodedImage) -> bytes:
    upright = decoded.pixels
    if max(upright.size) > LONGEST_PX:
        upright.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    # A new image from bare pixels: Pillow's writers copy profiles and comments from `info`.
    bare = Image.frombytes("RGB", upright.size, upright.tobytes())
    out = io.BytesIO()
    if decoded.format == "JPEG":
        bare.save(out, "JPEG", quality=95, subsampling=0)
    else:
        bare.save(out, "PNG")
    return out.getvalue()


def _refused(name: str, message: str, mend: str) -> CharacterProblems:
    """Why a picture cannot be used; `message` begins with its name."""
    return CharacterProblems([Problem(f"images/{name}", message, mend, subject=name)])


def _read(data: bytes | Path, name: str) -> bytes:
    if isinstance(data, Path):
        try:
            with data.open("rb") as stream:
                data = stream.read(MAX_IMAGE_BYTES + 1)  # one byte more, so that too large is noticed
        except FileNotFoundError as error:
            mend = "Put the picture into images/, or take its entry out."
            raise _refused(name, f"{name} is missing.", mend) from error
        except OSError as error:
            message = f"{name} cannot be opened: {error.strerror or error}."
            raise _refused(name, message, "Check that it is an ordinary file and that you may read it.") from error
    if not data:
        raise _refused(name, f"{name} is empty (0 bytes).", "Copy or download the picture again.")
    if len(data) > MAX_IMAGE_BYTES:
        raise _refused(
            name,
            f"{name} is larger than {MAX_IMAGE_BYTES >> 20} MiB.",
            f"Save it smaller, {LONGEST_PX} px on the longer side is plenty.",
        )
    return data


def _refuse_costly(data: bytes, name: str) -> None:
    """Refuses, before a decoder sees it, what would take it minutes or what the upload's budget does not pay for."""
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if header.is_endless:
        parts = f"{MAX_PARTS:,} pieces" if header.parts > MAX_PARTS else f"{MAX_SCANS} passes"
        message = f"{name} is stored in more than {parts}, so it was not opened."
        raise _refused(name, message, "Save it again as PNG or JPEG from a photo program.")
    spend("scans", header.scans, name)
    spend("pixels", header.cost, name)


def require_pixels(pictures: Iterable[bytes], name: str) -> None:
    """Refuses pictures together, before any is decoded, that the upload's budget cannot pay for; `name` holds them."""
    headers = [read_header(data) for data in pictures]
    readable = [header for header in headers if header.width * header.height <= MAX_PIXELS and not header.is_endless]
    require("pixels", sum(header.cost for header in readable), name)
    require("scans", sum(header.scans for header in readable), name)


def _open_header(data: bytes, name: str) -> Image.Image:
    """The image with only its header read: one of FORMATS, one frame, at most MAX_PIXELS."""
    if not any(data[at : at + len(magic)] == magic for at, magic in _SIGNATURES):
        kind = next((kind for at, magic, kind in _OTHER_KINDS if data[at : at + len(magic)] == magic), "")
        if not kind:
            start = data[:512].lstrip().lower()
            kind = "an SVG drawing" if b"<svg" in start else "a web page" if start.startswith(b"<") else "no picture"
        mend = _MENDS.get(kind, "Save it as PNG or JPEG.")
        raise _refused(name, f"{name} is {kind}; PNG, JPEG and WebP can be read.", mend)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name) from error
    except _DECODE_ERRORS as error:
        raise _damaged(name) from error
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if isinstance(image, PngImagePlugin.PngImageFile | WebPImagePlugin.WebPImageFile) and image.is_animated:
        raise _refused(name, f"{name} is animated.", "Save the one frame that shows the character best as a PNG.")
    return image


def _too_many_pixels(name: str) -> CharacterProblems:
    message = f"{name} claims to have more than {MAX_PIXELS // 1_000_000} million pixels, so it was not opened."
    return _refused(name, message, f"Save it smaller, {LONGEST_PX} px on the longer side is plenty.")


def _damaged(name: str) -> CharacterProblems:
    message = f"{name} is damaged or was cut off: it cannot be decoded."
    return _refused(name, message, "Copy or download the picture again, or save it anew from a photo program.")


def _format(image: Image.Image) -> str:
    # Phones store a second, smaller frame in a JPEG; Pillow calls that MPO, whose class is JPEG's child.
    return "JPEG" if isinstance(image, JpegImagePlugin.JpegImageFile) else image.format or ""


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """The pixels of `DecodedImage`; decodes, so a damaged file is noticed here."""
    try:
        image.load()
        profile = image.info.get("icc_profile")
        if image.mode.startswith(("I", "F")):
            flat = _in_eight_bits(image)
        elif image.has_transparency_data:
            flat = _on_white(image)
        else:
            flat = image.convert("RGB")
        if isinstance(profile, bytes) and image.mode in ("RGB", "RGBA"):
            flat = _in_srgb(flat, profile)
        turn = _UPRIGHT.get(_exif(image).get(_ORIENTATION_TAG, 1))
        return flat if turn is None else flat.transpose(turn)
    except _DECODE_ERRORS as error:
        raise _damaged(name) from error


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Top and pixels of each strip of the picture: a large one is not held in memory in three forms at once."""
    rows = max(1, STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with transparency on white, in RGB."""
    flat = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        white = Image.new("RGBA", strip.size, "white")
        flat.paste(Image.alpha_composite(white, strip.convert("RGBA")).convert("RGB"), (0, top))
    return flat


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey in RGB: the upper 8 bits are kept."""
    peak = max(float(np.asarray(strip).max(initial=0)) for _, strip in _strips(image))
    scale = 256.0 if peak > 255 else 1.0
    flat = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        levels = (np.asarray(strip).astype(np.float32) / scale).clip(0, 255).astype(np.uint8)
        flat.paste(Image.fromarray(levels).convert("RGB"), (0, top))
    return flat


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours of a wide-gamut photograph (most phones) in sRGB; unchanged when the profile is unusable."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted


def _exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF; empty when there is none or it is broken."""
    try:
        exif = image.getexif()
        dict(exif)
    except _DECODE_ERRORS:
        return Image.Exif()
    return exif


def _metadata(image: Image.Image) -> str:
    """The words of `DecodedImage.metadata`."""
    exif = _exif(image)
    found = ["where it was taken"] if _GPS_TAG in exif else []
    if any(tag not in (_ORIENTATION_TAG, _GPS_TAG) for tag in exif):
        found.append("camera and time")
    texts = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    if texts or any(key in image.info for key in ("comment", "xmp", "XML:com.adobe.xmp", "photoshop")):
        found.append("notes of a program")
    return ", ".join(found)
