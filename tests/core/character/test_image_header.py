"""What a picture says of itself is read without decoding it, and what would take a decoder minutes is refused."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from pipelines.core.character import image_decode
from pipelines.core.character.image_decode import clean_image, decode_image
from pipelines.core.character.image_header import MAX_PARTS, read_header
from pipelines.core.character.image_metadata import holds_only_pixels
from pipelines.core.problems import CharacterProblems
from pipelines.core.upload_budget import upload_budget
from tests.upload_bombs import canvas_webp, chunks_png, flat_png, scans_jpeg, segments_jpeg


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize((150, 100)).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (encoded("PNG"), 1),
        (encoded("JPEG"), 1),
        (encoded("JPEG", progressive=True), 10),
        (encoded("JPEG", progressive=True) + b"\xff\xda\x00\x02" * 9, 10),  # behind its end nobody reads
        (encoded("PNG") + bytes(10**6), 1),
        (encoded("WEBP"), 1),
        (encoded("WEBP", lossless=True), 1),
        (encoded("WEBP", "RGBA", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), 1),
    ],
)
def test_size_and_passes_are_known_before_decoding(data: bytes, scans: int) -> None:
    header = read_header(data)
    assert (header.width, header.height, header.scans) == (150, 100, scans)
    assert header.cost == 15_000 and not header.is_endless


@pytest.mark.parametrize("cut", [0, 4, 11, 20, 26, 60])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damage_is_left_to_the_decoder(kind: str, cut: int) -> None:
    assert not read_header(encoded(kind)[:cut]).is_endless


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (chunks_png(12 * MAX_PARTS + 100), "20,000 pieces"),
        (segments_jpeg(4 * MAX_PARTS + 100), "20,000 pieces"),
        (scans_jpeg(120, 64), "100 passes"),
        (canvas_webp(16383), "64 million pixels"),
        (flat_png(8001, 0, 1), "64 million pixels"),
    ],
)
def test_what_would_take_minutes_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(CharacterProblems, match=words):
        decode_image(data, "a.png")


def test_unusually_many_passes_cost_as_many_pixels() -> None:
    header = read_header(scans_jpeg(35, 64))
    assert header.scans == 40 and header.cost == 64 * 64 * 4
    with upload_budget():
        decode_image(encoded("JPEG", progressive=True), "a.jpg")


def test_a_run_of_fill_bytes_is_passed_over_once() -> None:
    data, began = encoded("JPEG"), time.process_time()
    # With a pattern of `\\xff+` each of them was the beginning of another try: minutes for a megabyte.
    holds_only_pixels(data[:-2] + b"\xff" * 10**6 + b"\x00" + data[-2:])
    assert time.process_time() - began < 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I"])
def test_a_picture_in_strips_is_the_picture(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.linspace(0, 65535, 150 * 100).reshape(100, 150)
    if mode.startswith("I"):
        image = Image.fromarray(grey.astype(np.uint16))
    else:
        planes = [Image.fromarray((grey / 257).astype(np.uint8)).rotate(90 * turn) for turn in range(4)]
        image = Image.merge("RGBA", planes)
        image = image.quantize(32) if mode == "P" else image.convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    whole = clean_image(out.getvalue())
    monkeypatch.setattr(image_decode, "STRIP_PIXELS", 150 * 7)
    assert clean_image(out.getvalue()) == whole
    if mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image).convert("RGB")
        assert decode_image(out.getvalue(), "a.png").pixels.tobytes() == flat.tobytes()
