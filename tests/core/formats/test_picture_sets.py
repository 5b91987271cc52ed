"""Sets of pictures with captions: kohya folders and zips, and Hugging Face image folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems, Problem
from tests.core.formats.card_samples import as_charx, jpeg, png

KOHYA = {
    "img/10_tola woman/a.png": png(),
    "img/10_tola woman/a.txt": b"tola woman, laughing, red apron",
    "img/10_tola woman/b.PNG": png("red"),
    "img/10_tola woman/b.caption": "in der Werkstatt, m\u00fcde".encode(),
    "img/10_tola woman/c.jfif": jpeg(),
    "img/2_tola woman close/a.png": png("blue"),
    "img/2_tola woman close/a.txt": b"a close-up",
    "img/2_tola woman close/copy.png": png(),
    "reg/1_woman/x.png": png("white"),
    "reg/1_woman/x.txt": b"a woman",
    "img/10_tola woman/a.npz": b"latents",
    "__MACOSX/img/10_tola woman/._a.png": b"x",
    "img/.DS_Store": b"x",
    "img/10_tola woman/broken.png": b"no picture",
}


def put(files: dict[str, bytes], at: Path, kind: str) -> Path:
    """The files as a zip or a folder."""
    if kind == "zip":
        path = at.with_suffix(".zip")
        path.write_bytes(as_charx(files))
        return path
    for name, data in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(data)
    return at


def captions(folder: Path) -> dict[str, str]:
    return {image.file: image.description for image in read_character(folder).images}


def told(notes: list[Problem]) -> str:
    return " ".join(note.message for note in notes)


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_kohya_set_makes_a_character_of_its_pictures(tmp_path: Path, kind: str) -> None:
    notes = import_file(put(KOHYA, tmp_path / "set", kind), tmp_path / "tola")
    assert read_character(tmp_path / "tola").name == "Tola"
    assert captions(tmp_path / "tola") == {
        "01.png": "laughing, red apron",
        "02.png": "in der Werkstatt, m\u00fcde",
        "03.jpg": "",
        "04.png": "a close-up",
    }
    words = told(notes)
    assert "the words 'tola woman' before captions were left out" in words
    assert "; the character is called Tola after it" in words and "repeats in the names of folders" in words
    assert "regularisation" in words and "there twice were taken once" in words
    assert "not PNG, JPEG or WebP were left out" in words and "neither pictures nor captions" in words


def test_pictures_are_added_to_a_character_that_is_there_once(toy_character: Path, tmp_path: Path) -> None:
    source = put(KOHYA, tmp_path / "set", "zip")
    import_file(source, tmp_path / "tola")
    before = read_character(tmp_path / "tola")
    more = put({"d.png": png("green"), "d.txt": b"asleep", "a.png": png()}, tmp_path / "more", "folder")
    notes = import_file(more, tmp_path / "tola")
    after = read_character(tmp_path / "tola")
    assert after.images[:4] == before.images and captions(tmp_path / "tola")["05.png"] == "asleep"
    assert "there already were left out" in told(notes) and len(after.images) == 5
    with pytest.raises(CharacterProblems, match="no new picture"):
        import_file(source, tmp_path / "tola")


JSONL = b"""{"file_name": "a.png", "text": "laughing", "width": 128}
{"file_name": "./sub/b.png", "text": "", "expression": "sad", "clothes": "a red apron"}
not json
{"file_name": "gone.png", "text": "x"}
"""
CSV = 'image_file_name,caption\r\na.png,"laughing, ""really"""\r\nsub/b.png,sad\r\n'.encode("utf-16")


@pytest.mark.parametrize("kind", ["zip", "folder"])
@pytest.mark.parametrize(("table", "data"), [("metadata.jsonl", JSONL), ("metadata.csv", CSV)])
def test_image_folders_have_their_captions_in_a_table(tmp_path: Path, kind: str, table: str, data: bytes) -> None:
    files = {"train/a.png": png(), "train/sub/b.png": png("red"), f"train/{table}": data, "README.md": b"x"}
    notes = import_file(put(files, tmp_path / "my_tola", kind), tmp_path / "tola")
    assert read_character(tmp_path / "tola").name == "My Tola"
    first, second = captions(tmp_path / "tola").values()
    if table.endswith("csv"):
        assert (first, second) == ('laughing, "really"', "sad")
    else:
        assert (first, second) == ("laughing", "sad, wearing a red apron")
        assert "columns of a table were not used: width" in told(notes) and "name no picture" in told(notes)
    assert "neither" not in told(notes)


def test_pictures_for_testing_are_kept_for_the_test(tmp_path: Path) -> None:
    table = b"file_name,text\nx.png,asleep\n"
    files = {"train/a.png": png(), "test/x.png": png("red"), "test/metadata.csv": table}
    import_file(put(files, tmp_path / "set", "zip"), tmp_path / "tola")
    tola = read_character(tmp_path / "tola")
    assert captions(tmp_path / "tola") == {"01.png": "asleep", "02.png": ""} and tola.held_out.images == ("01.png",)


def test_a_table_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    files = {"a.png": png(), "a.txt": b"laughing", "metadata.csv": b"\x89\xff\0\xfa\xfb", "metadata.parquet": b"PAR1"}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "tola")
    assert captions(tmp_path / "tola") == {"01.png": "laughing"}
    assert "metadata.csv is not a text file" in told(notes) and ".parquet" in told(notes)
