"""Pictures: what is refused and warned of, on files really made here, and what is left after cleaning."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageEnhance, ImageFilter, PngImagePlugin

from pipelines.core.character.character import CharacterImage
from pipelines.core.character.image_check import ImageReport, check_image
from pipelines.core.character.image_decode import LONGEST_PX, MAX_IMAGE_BYTES, clean_image, image_sha256
from pipelines.core.character.image_set_check import check_image_set, check_variety, find_copies, is_copy
from pipelines.core.problems import CharacterProblems, Problem
from tests.core.drawings import drawing, encoded


def only(problems: list[Problem]) -> Problem:
    """The single problem; fails when there are more or none."""
    (problem,) = problems
    assert problem.mend
    return problem


def report_on(image: Image.Image, name: str = "a.png") -> ImageReport:
    made, _ = check_image(encoded(image), name)
    assert made is not None
    return made


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_good_picture_has_no_problem(kind: str) -> None:
    data = encoded(drawing(), kind)
    made, problems = check_image(data, "a")
    assert problems == []
    assert made is not None
    assert (made.format, made.width, made.height, made.sha256) == (kind, 400, 300, image_sha256(data))
    assert made.sha256 == check_image(data, "b")[0].sha256  # type: ignore[union-attr]


def test_a_picture_is_read_from_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(drawing()))
    assert check_image(tmp_path / "a.png", "a.png") == check_image(encoded(drawing()), "a.png")
    assert "is missing" in only(check_image(tmp_path / "b.png", "b.png")[1]).message
    assert "cannot be opened" in only(check_image(tmp_path, "c.png")[1]).message


def test_jpegs_with_a_second_frame_are_jpeg() -> None:
    data = encoded(drawing(), "MPO", save_all=True, append_images=[drawing(1)])
    made, problems = check_image(data, "phone.jpg")
    assert problems == []
    assert made is not None and made.format == "JPEG"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.95])
def test_truncated_files_are_refused(kind: str, part: float) -> None:
    noisy = Image.effect_noise((300, 300), 80).convert("RGB")
    data = encoded(noisy, kind)
    made, problems = check_image(data[: int(len(data) * part)], "cut.png")
    assert made is None
    assert "damaged or was cut off" in only(problems).message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello, I am a text", "no picture"),
        (b"<html><body>404</body></html>", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "a HEIC picture"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "an AVIF picture"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04 ...", "a zip archive"),
        (encoded(drawing(), "GIF"), "a GIF"),
        (encoded(drawing(), "BMP"), "a BMP picture"),
        (encoded(drawing(), "TIFF"), "a TIFF or raw picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "damaged"),
        (b"\xff\xd8\xff\xe0garbage", "damaged"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "damaged"),
    ],
)
def test_other_files_are_named(data: bytes, said: str) -> None:
    made, problems = check_image(data, "x.png")
    assert made is None
    assert said in only(problems).message
    assert only(problems).field == "images/x.png"


@pytest.mark.parametrize(("data", "mend"), [(b"\0\0\0\x18ftypheic", "Preview"), (b"%PDF-1.7", "screenshot")])
def test_other_files_come_with_the_way_to_a_picture(data: bytes, mend: str) -> None:
    assert mend in only(check_image(data, "x.png")[1]).mend


def test_pictures_that_show_hardly_anything_are_told() -> None:
    bright = drawing()
    spot = Image.new("RGB", (400, 400), "white")
    spot.paste(bright.resize((60, 45)), (170, 180))
    for image, words in (
        (Image.eval(bright, lambda level: level // 6), "nearly black"),
        (Image.eval(bright, lambda level: 225 + level // 9), "nearly white"),
        (spot, "nearly empty"),
    ):
        made, problems = check_image(encoded(image), "x.png")
        assert made is not None
        assert words in only(problems).message and only(problems).severity == "warning"
    assert check_image(encoded(Image.eval(bright, lambda level: level // 3)), "x.png")[1] == []


def test_a_decompression_bomb_is_not_opened() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    limit = Image.MAX_IMAGE_PIXELS
    for side in (8_100, 12_000, 60_000):  # above ours only; above Pillow's warning; above Pillow's error
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        rows = zlib.compress(bytes(1000))
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        made, problems = check_image(bomb, "bomb.png")
        assert made is None
        assert "million pixels" in only(problems).message
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    assert "larger than" in only(check_image(tmp_path / "big.png", "big.png")[1]).message


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    data = encoded(drawing(), kind, save_all=True, append_images=[drawing(1)])
    assert "animated" in only(check_image(data, "a.png")[1]).message


@pytest.mark.parametrize(
    ("size", "said", "usable"),
    [
        ((95, 300), "too small (95 x 300 px)", False),
        ((96, 96), "small (96 x 96 px)", True),
        ((192, 192), "", True),
        ((600, 299), "is long", True),
        ((1300, 300), "is a strip", False),
    ],
)
def test_sizes(size: tuple[int, int], said: str, usable: bool) -> None:
    made, problems = check_image(encoded(drawing(0, *size)), "a.png")
    assert (made is not None) == usable
    assert any(said in problem.message for problem in problems) == bool(said)
    assert all(problem.severity == "warning" for problem in problems) == usable


def test_one_flat_colour_is_refused() -> None:
    made, problems = check_image(encoded(Image.new("RGB", (300, 300), "red")), "a.png")
    assert made is None
    assert "one flat colour" in only(problems).message


def test_blur_is_warned_of_and_flat_drawings_are_not() -> None:
    rng = np.random.default_rng(0)
    grain = Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(0.5))
    few_lines = Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(few_lines).line((100, 100, 400, 390), fill="black", width=4)
    sharp = [*(drawing(seed) for seed in range(5)), grain, few_lines, drawing(1).resize((128, 96))]
    for image in sharp:
        assert not any("blurred" in problem.message for problem in check_image(encoded(image), "a.png")[1])
    soft = [image.filter(ImageFilter.GaussianBlur(1.8 * min(image.size) / 256)) for image in sharp[:6]]
    soft.append(drawing().resize((80, 60)).resize((640, 480), Image.Resampling.BICUBIC))
    for image in soft:
        assert "blurred" in only(check_image(encoded(image), "a.png")[1]).message


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_metadata_is_gone(orientation: int) -> None:
    stored = drawing(0, 300, 400)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(stored, "JPEG", quality=95, exif=exif, comment=b"SecretComment")
    made, problems = check_image(data, "a.jpg")
    assert made is not None
    assert (made.width, made.height) == ((300, 400) if orientation < 5 else (400, 300))
    assert "where it was taken, camera and time, notes of a program" in only(problems).message
    cleaned = clean_image(data)
    assert b"Secret" in data and b"Secret" not in cleaned and b"Exif" not in cleaned
    reopened = Image.open(io.BytesIO(cleaned))
    assert reopened.format == "JPEG" and not reopened.getexif()
    turns: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }
    expected = turns[orientation](np.asarray(stored).astype(float))
    assert np.abs(np.asarray(reopened).astype(float) - expected).mean() < 3
    assert check_image(cleaned, "a.jpg")[1] == []


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_orientation_counts_in_every_format(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made, _ = check_image(encoded(drawing(), kind, exif=exif), "a")
    assert made is not None and (made.width, made.height) == (300, 400)


def test_notes_in_a_png_are_stripped() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "SecretPrompt")
    notes.add_itxt("XML:com.adobe.xmp", "<x>SecretPlace</x>")
    data = encoded(drawing(), "PNG", pnginfo=notes)
    assert "notes of a program" in only(check_image(data, "a.png")[1]).message
    cleaned = clean_image(data)
    kinds, at = [], 8
    while at < len(cleaned):
        (length,) = struct.unpack(">I", cleaned[at : at + 4])
        kinds.append(cleaned[at + 4 : at + 8])
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    assert clean_image(cleaned) == cleaned
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(cleaned))), np.asarray(drawing()))


def test_broken_exif_is_no_reason_to_refuse() -> None:
    data = encoded(drawing(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff" + b"\xff" * 40)
    made, _ = check_image(data, "a.jpg")
    assert made is not None and made.width == 400


def test_alpha_is_laid_on_white() -> None:
    clear = drawing().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    cleaned = np.asarray(Image.open(io.BytesIO(clean_image(encoded(clear)))))
    assert cleaned.shape == (300, 400, 3)
    assert (cleaned[0] == 255).all()
    assert np.array_equal(cleaned[-1], np.asarray(drawing())[-1])
    palette = drawing().quantize(16)
    assert np.asarray(Image.open(io.BytesIO(clean_image(encoded(palette, transparency=0))))).shape == (300, 400, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = drawing()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    cleaned = Image.open(io.BytesIO(clean_image(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))))
    assert cleaned.mode == "RGB"
    brightness, expected = (np.asarray(shown.convert("L")).mean() for shown in (cleaned, drawing()))
    assert abs(brightness - expected) < 25  # 16 bits are scaled down, not clipped to white


def test_a_colour_profile_is_applied_then_dropped() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert b"iCCP" not in clean_image(encoded(drawing(), "PNG", icc_profile=srgb))
    assert clean_image(encoded(drawing(), "PNG", icc_profile=b"broken")) == clean_image(encoded(drawing()))


def test_cleaned_pictures_are_made_smaller_not_bigger() -> None:
    large = Image.open(io.BytesIO(clean_image(encoded(drawing(0, 3000, 1500), "JPEG"))))
    assert large.size == (LONGEST_PX, LONGEST_PX // 2)
    assert Image.open(io.BytesIO(clean_image(encoded(drawing(0, 120, 110))))).size == (120, 110)


def test_cleaning_refuses_what_cannot_be_read() -> None:
    with pytest.raises(CharacterProblems, match="no picture"):
        clean_image(b"text")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: Image.open(io.BytesIO(encoded(image, "JPEG", quality=50))),
        lambda image: image.resize((200, 150)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: image.crop((8, 6, 392, 294)),
        lambda image: image.crop((20, 15, 380, 285)),
    ],
    ids=["saved again", "scaled", "brighter", "trimmed 2 %", "trimmed 5 %"],
)
def test_changed_copies_are_recognised(change: Callable[[Image.Image], Image.Image]) -> None:
    problem = only(find_copies([report_on(drawing(3), "a.png"), report_on(change(drawing(3)), "b.png")]))
    assert (problem.field, problem.severity) == ("images/b.png", "warning")
    assert "nearly the same picture as a.png" in problem.message


def test_the_same_file_twice_is_an_error() -> None:
    assert only(find_copies([report_on(drawing(), "a.png"), report_on(drawing(), "b.png")])).severity == "error"


def test_another_face_on_the_same_figure_is_no_copy() -> None:
    smiling, crying = drawing(2), drawing(2)
    ImageDraw.Draw(smiling).arc((150, 170, 250, 220), 0, 180, fill="darkred", width=9)
    ImageDraw.Draw(crying).arc((150, 190, 250, 240), 180, 360, fill="darkred", width=9)
    ImageDraw.Draw(crying).rectangle((140, 130, 155, 200), fill="deepskyblue")
    assert not is_copy(report_on(smiling), report_on(crying))
    assert not any(is_copy(report_on(drawing(0)), report_on(drawing(seed))) for seed in range(1, 6))


@pytest.mark.parametrize(
    ("count", "said"), [(0, "no pictures"), (1, "1 picture"), (4, "4 pictures"), (16, "at most 15")]
)
def test_too_few_and_too_many(count: int, said: str) -> None:
    reports, problems = check_image_set([(f"{n}.png", encoded(drawing(n, 256, 256))) for n in range(count)])
    assert len(reports) == count
    assert said in only([problem for problem in problems if problem.field == "images"]).message


def test_a_good_set_has_no_problem() -> None:
    for count in (5, 15):
        files = [(f"{n}.png", encoded(drawing(n, 256, 256))) for n in range(count)]
        assert check_image_set(files)[1] == []


def test_a_set_reports_every_bad_file() -> None:
    files = [(f"{n}.png", encoded(drawing(n, 256, 256))) for n in range(4)]
    reports, problems = check_image_set([*files, ("bad.png", b"x"), ("again.png", files[0][1])])
    assert [made.name for made in reports] == ["0.png", "1.png", "2.png", "3.png", "again.png"]
    assert {problem.field for problem in problems} == {"images/bad.png", "images/again.png"}


def images(expressions: str, places: str = "a,b,c,d,e", clothes: str = "u,v,w,x,y") -> list[CharacterImage]:
    """Pictures with these words, comma between them; the first has the usual framing, the others are close-ups."""
    rows = zip(expressions.split(","), clothes.split(","), places.split(","), strict=True)
    return [CharacterImage(f"{n}.png", *row, "close-up" if n else "") for n, row in enumerate(rows)]


def test_what_is_missing_among_the_pictures() -> None:
    assert check_variety(images("happy,sad,angry,surprised,happy")) == []
    assert check_variety(images("a wide grin,crying,furious,shocked,calm")) == []
    moods = only(check_variety(images("happy,happy,angry,surprised,happy")))
    assert "no sad face yet" in moods.message and moods.severity == "warning"
    assert "no happy face and no surprised face yet" in only(check_variety(images("calm,sad,angry,calm,sad"))).message
    same = only(check_variety(images("happy,sad,angry,surprised,happy", "at sea,at sea,At sea,at sea,at sea")))
    assert "the same place (at sea)" in same.message
    assert (
        "the same clothes (red)"
        in only(check_variety(images("happy,sad,angry,surprised,happy", clothes="red,red,red,red,red"))).message
    )
    captioned = images("happy,sad,angry,surprised,happy")
    untold = [*captioned[:4], CharacterImage("e.png")]
    assert "Nothing says what varies in e.png" in only(check_variety(untold)).message
    untold[1] = CharacterImage("b.png", caption="Sad, at the window.")
    assert not any("sad face" in problem.message for problem in check_variety([*untold[:4], captioned[4]]))
    alone = [captioned[0], *(CharacterImage(f"{n}.png") for n in range(4))]
    assert not any("face yet" in problem.message for problem in check_variety(alone)), "others may show it"
    bare = check_variety([CharacterImage("a.png"), CharacterImage("b.png", caption="Asleep on deck.")])
    assert "Nothing says what varies in a.png" in only(bare).message


def test_poses_are_not_judged_before_anything_is_described() -> None:
    empty = [CharacterImage(f"{n}.png") for n in range(5)]
    assert {problem.message for problem in check_variety(empty)} == {
        f"Nothing says what varies in {n}.png." for n in range(5)
    }
    placed = [CharacterImage(f"{n}.png", place=f"place {n}") for n in range(5)]
    assert "All pictures show the usual pose" in only(check_variety(placed)).message
