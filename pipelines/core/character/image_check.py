"""One picture of a creator: looked at with guards, judged, and cleaned of everything but its pixels.

`check_image` reports every problem of a file in a creator's words; `clean_image` gives the picture upright, in RGB,
without metadata. Only PNG, JPEG and WebP are ever decoded, and only after the header's size was checked.
Sets of pictures (count, duplicates, what is missing) are in `image_set_check.py`.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from pipelines.core.problems import CharacterProblems, Problem

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64_000_000
"""Most pixels that are decoded (192 MB in RGB); a 50-megapixel phone stays below."""
LONGEST_PX = 2048
"""Cleaned pictures are made no longer than this; no preset looks at more than 384 px."""
MIN_SIDE_PX = 96
"""Shorter sides are refused: the starter draws 96 px, so less has to be invented."""
GOOD_SIDE_PX = 192
"""Shorter sides are warned of: twice what the starter draws, half of what the larger presets look at (384 px)."""
MAX_ASPECT, GOOD_ASPECT = 4.0, 2.0
"""Long side / short side. Models see squares, so the sides of a panorama are lost."""
MIN_SHARPNESS = 0.3
"""See `sharpness`. Measured on 36 flat drawings of the starter (1.61-2.97 at 384 px, 1.35-3.66 at 96 px) and 14
photographs (1.35-3.93); blurred by 1.5 px at 256 px all drawings are below 0.22, all photographs below 0.25."""
THUMB_PX = 32

# Everything Pillow's decoders are known to raise on damaged files.
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

# First bytes (offset, bytes) of what people drop by mistake.
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
_OURS = ((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (8, b"WEBP"))

# EXIF orientation -> what makes the picture stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _GPS = 0x0112, 0x8825


@dataclass(frozen=True)
class ImageReport:
    """A picture that can be used, and what was measured on it."""

    name: str
    format: str
    """PNG, JPEG or WEBP."""
    width: int
    """Pixels, standing upright."""
    height: int
    sha256: str
    """Of the file's bytes."""
    phash: imagehash.ImageHash = field(repr=False, compare=False)
    """64-bit perceptual hash."""
    thumbs: tuple[npt.NDArray[np.float32], ...] = field(repr=False, compare=False)
    """(THUMB_PX, THUMB_PX, 3) each: the whole picture, then centred crops of it (`CROPS`)."""
    sharpness: float = field(compare=False, default=0.0)
    """See `sharpness`."""
    details: str = field(compare=False, default="")
    """What the file tells besides its pixels, in words; "" when nothing."""


def image_sha256(data: bytes) -> str:
    """The content hash of a picture: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Pillow's own warnings (odd EXIF, many pixels) from the terminal: what matters is said as a Problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_quiet()
def check_image(data: bytes | Path, name: str) -> tuple[ImageReport | None, list[Problem]]:
    """Everything that is wrong with one picture; the Photo is None when it cannot be used at all.

    `name` is the file's name as the creator knows it; problems have the field `images/{name}`.
    """
    try:
        data = _bytes(data, name)
        image = _opened(data, name)
        upright = _upright_rgb(image, name)
    except CharacterProblems as refused:
        return None, list(refused.problems)
    grey = _grey(upright)
    photo = ImageReport(
        name,
        _format(image),
        upright.width,
        upright.height,
        image_sha256(data),
        imagehash.phash(upright),
        _thumbs(upright),
        sharpness(grey),
        _details(image),
    )
    problems = [*_size_problems(photo), *_look_problems(photo, grey)]
    fatal = any(problem.severity == "error" for problem in problems)
    return (None if fatal else photo), problems


@_quiet()
def clean_image(data: bytes) -> bytes:
    """The picture upright, in RGB on white, at most LONGEST_PX long, with no metadata.

    A JPEG stays a JPEG (quality 95), everything else becomes a PNG; colours of a wide-gamut profile become sRGB.
    Raises CharacterProblems when it cannot be read.
    """
    image = _opened(_bytes(data, "the picture"), "the picture")
    upright = _upright_rgb(image, "the picture")
    if max(upright.size) > LONGEST_PX:
        upright.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    # A new image from bare pixels: Pillow's writers copy profiles and comments from `info`.
    bare = Image.frombytes("RGB", upright.size, upright.tobytes())
    out = io.BytesIO()
    if _format(image) == "JPEG":
        bare.save(out, "JPEG", quality=95, subsampling=0)
    else:
        bare.save(out, "PNG")
    return out.getvalue()


def sharpness(grey: npt.NDArray[np.float32]) -> float:
    """How hard the edges of a picture are: variance of the Laplacian over the energy of the gradient, on the edges.

    `grey` (H, W) in 0..255. Only the 5 % of pixels with the strongest gradient count: the usual variance over
    the whole picture calls flat drawings blurred, since most of their pixels are one colour. Dividing by the gradient
    takes the contrast out. About 2 for a sharp picture, below 0.3 for a blurred one; 0.0 when there is no edge at all.
    """
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    gradient = ((grey[2:, 1:-1] - grey[:-2, 1:-1]) / 2) ** 2 + ((grey[1:-1, 2:] - grey[1:-1, :-2]) / 2) ** 2
    edges = gradient >= max(float(np.quantile(gradient, 0.95)), 1e-6)
    if not edges.any():
        return 0.0
    return float(laplacian[edges].var() / gradient[edges].mean())


def _refused(name: str, message: str, mend: str) -> CharacterProblems:
    return CharacterProblems([Problem(f"images/{name}", message, mend)])


def _bytes(data: bytes | Path, name: str) -> bytes:
    if isinstance(data, Path):
        try:
            with data.open("rb") as stream:
                data = stream.read(MAX_IMAGE_BYTES + 1)
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


def _opened(data: bytes, name: str) -> Image.Image:
    """The image with only its header read; its size is known to be harmless."""
    if not any(data[at : at + len(magic)] == magic for at, magic in _OURS):
        kind = next((kind for at, magic, kind in _OTHER_KINDS if data[at : at + len(magic)] == magic), "")
        if not kind:
            start = data[:512].lstrip().lower()
            kind = "an SVG drawing" if b"<svg" in start else "a web page" if start.startswith(b"<") else "no picture"
        mend = "Save it as PNG or JPEG."
        if kind == "a HEIC picture":
            mend = "Export it as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)."
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
    if (isinstance(image, PngImagePlugin.PngImageFile | WebPImagePlugin.WebPImageFile)) and image.is_animated:
        raise _refused(name, f"{name} is animated.", "Save the one frame that shows the character best as a PNG.")
    return image


def _too_many_pixels(name: str) -> CharacterProblems:
    message = f"{name} claims to have more than {MAX_PIXELS // 1_000_000} million pixels, so it was not opened."
    return _refused(name, message, f"Save it smaller, {LONGEST_PX} px on the longer side is plenty.")


def _damaged(name: str) -> CharacterProblems:
    message = f"{name} is damaged or was cut off: it cannot be decoded."
    return _refused(name, message, "Copy or download the picture again, or save it anew from a photo program.")


def _format(image: Image.Image) -> str:
    # Phones store a second, smaller frame in a JPEG; Pillow calls that MPO.
    return "JPEG" if isinstance(image, JpegImagePlugin.JpegImageFile) else image.format or ""


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """The decoded picture, turned as EXIF says, alpha laid on white, colours in sRGB."""
    try:
        image.load()
        profile = image.info.get("icc_profile")
        if image.mode.startswith(("I", "F")):  # 16 bits a pixel: keep the upper eight
            deep = np.asarray(image).astype(np.float32)
            scale = 256.0 if deep.max(initial=0.0) > 255 else 1.0
            flat = Image.fromarray((deep / scale).clip(0, 255).astype(np.uint8)).convert("RGB")
        elif image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            flat = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        else:
            flat = image.convert("RGB")
        if isinstance(profile, bytes) and image.mode in ("RGB", "RGBA"):
            flat = _in_srgb(flat, profile)
        turn = _UPRIGHT.get(_exif(image).get(_ORIENTATION, 1))
        return flat if turn is None else flat.transpose(turn)
    except _DECODE_ERRORS as error:
        raise _damaged(name) from error


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


def _details(image: Image.Image) -> str:
    exif = _exif(image)
    found = ["where it was taken"] if _GPS in exif else []
    if any(tag not in (_ORIENTATION, _GPS) for tag in exif):
        found.append("camera and time")
    texts = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    if texts or any(key in image.info for key in ("comment", "xmp", "XML:com.adobe.xmp", "photoshop")):
        found.append("notes of a program")
    return ", ".join(found)


def _grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """(H, W) in 0..255 with a short side of at most 256 px: about what models look at, so only visible blur counts."""
    scale = min(1.0, 256 / min(image.size))
    size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
    return np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS), dtype=np.float32)


CROPS = (0.0, 0.02, 0.05)
"""Parts cut from each side for `ImageReport.thumbs`, so that a trimmed copy is still recognised."""


def _thumbs(image: Image.Image) -> tuple[npt.NDArray[np.float32], ...]:
    boxes = [
        (part * image.width, part * image.height, (1 - part) * image.width, (1 - part) * image.height) for part in CROPS
    ]
    small = [image.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX, box=box) for box in boxes]
    return tuple(np.asarray(thumb, dtype=np.float32) for thumb in small)


def _size_problems(photo: ImageReport) -> list[Problem]:
    where, name, size = f"images/{photo.name}", photo.name, f"{photo.width} x {photo.height} px"
    short, long = sorted((photo.width, photo.height))
    found = []
    if short < MIN_SIDE_PX:
        found.append(
            Problem(
                where,
                f"{name} is too small ({size}); the shorter side must have {MIN_SIDE_PX} px.",
                "Use the original, larger picture; making a small one bigger does not help.",
            )
        )
    elif short < GOOD_SIDE_PX:
        found.append(
            Problem(
                where,
                f"{name} is small ({size}).",
                f"{GOOD_SIDE_PX} px and more show details better; use a larger original if there is one.",
                "warning",
            )
        )
    if long > MAX_ASPECT * short:
        found.append(
            Problem(
                where,
                f"{name} is a strip ({size}): more than {MAX_ASPECT:g} times as long as wide.",
                "Crop it to the character, nearly square.",
            )
        )
    elif long > GOOD_ASPECT * short:
        found.append(
            Problem(
                where,
                f"{name} is long ({size}); models see squares, so its ends are lost.",
                "Crop it to the character, nearly square.",
                "warning",
            )
        )
    return found


def _look_problems(photo: ImageReport, grey: npt.NDArray[np.float32]) -> list[Problem]:
    where, name = f"images/{photo.name}", photo.name
    found = []
    if max(float(np.ptp(photo.thumbs[0][..., channel])) for channel in range(3)) < 8 and np.ptp(grey) < 8:
        found.append(Problem(where, f"{name} shows one flat colour and nothing else.", "Use another picture."))
    elif photo.sharpness < MIN_SHARPNESS:
        found.append(
            Problem(
                where,
                f"{name} is blurred, or was made bigger from a small picture.",
                "Use a sharp picture if there is one: blur is learned like everything else.",
                "warning",
            )
        )
    if photo.details:
        found.append(
            Problem(
                where,
                f"{name} tells more than it shows ({photo.details}).",
                "Save it again without metadata, or take it in with `understudy character import` or "
                "the studio, which strip it.",
                "warning",
            )
        )
    return found
