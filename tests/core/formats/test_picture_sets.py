"""Sets of pictures with captions: kohya folders and zips, and Hugging Face image folders."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.formats.picture_sets import EVERYONE
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


PEOPLE = {
    "10_tola woman/1.png": png("red"),
    "10_tola woman/1.txt": b"tola woman, laughing",
    "2_tola_armour/2.png": png("blue"),
    "5_orla man/1.png": png("green"),
    "5_orla man/1.txt": b"orla man, angry",
    "1_woman/x.png": png("white"),
    "1_woman/x.txt": b"a woman",
}


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_two_people_of_kohya_are_never_mixed(tmp_path: Path, kind: str) -> None:
    source = put(PEOPLE, tmp_path / "set", kind)
    with pytest.raises(RoleNeeded, match=r"holds 2 people, by the names of its folders: tola woman \(2\), orla man"):
        import_file(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for role, shown in (("tola woman", ["laughing", ""]), ("Orla", ["angry"]), (EVERYONE, ["laughing", "", "angry"])):
        notes = import_file(source, tmp_path / role, role)
        assert list(captions(tmp_path / role).values()) == shown
        assert "pictures of the class alone" in told(notes) and "belongs to no picture" not in told(notes)
        assert ("pictures of other people were left out" in told(notes)) == (role != EVERYONE)
    assert read_character(tmp_path / "Orla").name == "Orla"


@pytest.mark.parametrize(
    ("labels", "people"),
    [
        (["tola woman", "Tola woman close"], 1),
        (["tola", "tola_armour", "tola-dress woman"], 1),
        (["sks_tola woman", "sks_orla woman"], 2),
        (["ohwx man", "ohwx woman"], 2),
        (["tola woman", "tolana woman"], 2),
        (["armour", "casual"], 2),
        (["a x", "b x", "c x"], 3),
    ],
)
def test_labels_tell_how_many_people_there_are(tmp_path: Path, labels: list[str], people: int) -> None:
    colours = ("red", "blue", "green")
    files = {f"{n}_{label}/1.png": png(colours[n]) for n, label in enumerate(labels)}
    source = put(files, tmp_path / "set", "zip")
    if people == 1:
        import_file(source, tmp_path / "one")
        assert len(captions(tmp_path / "one")) == len(labels)
        return
    with pytest.raises(RoleNeeded) as raised:
        import_file(source, tmp_path / "one")
    assert len(raised.value.roles) == people + 1
    for name in list(raised.value.roles)[:-1]:
        import_file(source, tmp_path / name, name)
        assert len(captions(tmp_path / name)) == 1


def test_people_are_added_to_the_character_of_their_name(tmp_path: Path) -> None:
    import_file(put({"a.png": png()}, tmp_path / "tola", "zip"), tmp_path / "there")
    notes = import_file(put(PEOPLE, tmp_path / "set", "zip"), tmp_path / "there")
    assert list(captions(tmp_path / "there").values()) == ["", "laughing", ""]
    assert "pictures of other people were left out: orla man" in told(notes)


@pytest.mark.parametrize(("name", "is_told"), [("Tola Brask", False), ("Mira", True)])
def test_pictures_that_are_called_otherwise_are_told(tmp_path: Path, name: str, is_told: bool) -> None:
    write_character(Character(name, "x"), tmp_path / "there")
    files = {"10_tola woman/1.png": png("red"), "2_tola woman close/2.png": png("blue")}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "there")
    said = f"pictures that their folder calls 'tola woman' were taken as those of {name}"
    assert (said in told(notes)) == is_told and len(captions(tmp_path / "there")) == 2


def test_plain_folders_that_become_one_character_are_told(tmp_path: Path) -> None:
    files = {"set/tola/1.png": png("red"), "set/orla/1.png": png("blue")}
    notes = import_file(put(files, tmp_path / "two", "zip"), tmp_path / "two")
    assert "pictures of several folders were taken as those of one character: orla, tola" in told(notes)
    quiet = {"set/train/1.png": png("red"), "set/test/1.png": png("blue")}
    assert "several folders" not in told(import_file(put(quiet, tmp_path / "one", "zip"), tmp_path / "one"))


def blob(light: str = "white") -> bytes:
    image = Image.new("RGB", (128, 128), "black")
    ImageDraw.Draw(image).ellipse((30, 30, 100, 100), fill=light)
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(2)).save(out, "PNG")
    return out.getvalue()


def ink() -> bytes:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((30, 30, 100, 100), outline="black", width=2)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("mask", "data"),
    [
        ("01-masklabel.png", png("white")),
        ("masks/01.png", png("white")),
        ("img_masks/01.png", blob()),
        ("masks/other.png", blob()),
        ("01_mask.png", blob()),
        ("01.mask.PNG", blob()),
        ("conditioning_data/01.png", blob()),
        ("alpha/01.png", blob()),
    ],
)
def test_masks_are_no_pictures_of_the_character(tmp_path: Path, mask: str, data: bytes) -> None:
    files = {"01.png": png("red"), "01.txt": b"sad", "02.png": png("blue"), mask: data, f"{mask[:-4]}.txt": b"sad"}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    assert sorted(captions(tmp_path / "set").values()) == ["", "sad"]
    assert "masks of pictures were left out" in told(notes)


@pytest.mark.parametrize(
    "files",
    [
        {"01.png": png("red"), "02.png": png("blue"), "tola_mask.png": png("green")},  # she wears one
        {"01.png": png("red"), "01_mask.png": ink()},
        {"a/01.png": blob(), "b/01.png": blob("#f0f0f0")},
        {"masks/01.png": blob(), "masks/02.png": blob("#f0f0f0")},
    ],
)
def test_pictures_of_masks_and_in_ink_stay(tmp_path: Path, files: dict[str, bytes]) -> None:
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    assert len(captions(tmp_path / "set")) == len({*files.values()})
    assert "masks" not in told(notes)


def test_one_picture_with_two_caption_files(tmp_path: Path) -> None:
    files = {f"{name}.png": png(colour) for name, colour in zip("abcd", ("red", "blue", "green", "black"), strict=True)}
    files |= {"a.caption": b"a woman", "a.txt": b"laughing, red apron", "b.png.txt": b"angry", "C.TXT": b"sad"}
    files |= {"d.txt": b" ", "d.caption": b"asleep", "B.caption": b"angry"}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    assert list(captions(tmp_path / "set").values()) == ["laughing, red apron", "angry", "sad", "asleep"]
    assert told(notes).count("was left out: another file says") == 1 and "a.caption was left out" in told(notes)


TABLES = {
    "semicolons": ("metadata.csv", "\ufefffile_name;text\r\n0.PNG;laughing\r\n1.png;sad, in tears\r\n"),
    "tabs": ("metadata.csv", "file_name\ttext\n0.png\tlaughing\n1.png\tsad, in tears\n"),
    "commas without quotes": ("metadata.csv", "File_Name, Text,\n0.png,laughing,\n1.png,sad, in tears,\n"),
    "another case": ("metadata.csv", 'file_name,text\nIMAGES/0.png,laughing\nImages/1.PNG,"sad, in tears"\n'),
    "without endings": ("metadata.csv", "image;caption\n0;laughing\n1;sad, in tears\n"),
    "lines with commas": (
        "metadata.jsonl",
        '\ufeff{"file_name": "images/0.png", "text": "laughing",},\n{"file_name": "1.png", "text": "sad, in tears"},\n',
    ),
    "a list": (
        "metadata.jsonl",
        '[\n {"file_name": "0.png",\n  "text": "laughing"},\n {"file_name": "1.png", "text": "sad, in tears"}\n]\n',
    ),
    "a list of lines": (
        "metadata.jsonl",
        '[\n{"file_name": "0.png", "text": "laughing"},\n{"file_name": "1.png", "text": "sad, in tears"},\n]\n',
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_read_as_spreadsheets_and_people_write_them(tmp_path: Path, table: str) -> None:
    name, text = TABLES[table]
    files = {"images/0.PNG": png("red"), "images/1.png": png("blue"), name: text.encode()}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    assert list(captions(tmp_path / "set").values()) == ["laughing", "sad, in tears"]
    assert len(notes) == 1, told(notes)


def test_a_table_without_the_names_of_pictures_says_what_it_needs(tmp_path: Path) -> None:
    files = {"0.png": png("red"), "metadata.csv": b"number,text\n0,laughing\n"}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    note = next(note for note in notes if "name no picture" in note.message)
    assert note.examples == ("metadata.csv: number: 0, text: laughing",) and "`file_name`" in note.mend


def test_what_a_trainer_has_drawn_is_no_picture_of_the_character(tmp_path: Path) -> None:
    files = {"img/10_tola/1.png": png("red"), "model/sample/tola_000100.png": png("blue"), "log/1.gif": b"GIF89a"}
    notes = import_file(put(files, tmp_path / "set", "zip"), tmp_path / "set")
    assert len(captions(tmp_path / "set")) == 1
    examples = {note.message: note.examples for note in notes}
    assert examples["pictures that a trainer has drawn were left out."] == ("model/sample/tola_000100.png",)
    assert examples["files that are neither pictures nor captions were left out."] == ("log/1.gif",)
    import_file(put({"samples/1.png": png("red")}, tmp_path / "own", "zip"), tmp_path / "own")
    assert len(captions(tmp_path / "own")) == 1
