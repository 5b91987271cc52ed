"""What small files of strangers cost when they are read: archives, texts in pictures, macros, numbers in YAML."""

from __future__ import annotations

import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from pipelines.core.character.macros import MAX_NAME_CHARS, resolve_macros
from pipelines.core.formats import card_files
from pipelines.core.formats.card_files import list_archive, read_archive
from pipelines.core.formats.cards import read_card
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems
from pipelines.core.upload_budget import upload_budget
from pipelines.core.yaml_text import read_yaml
from tests.core.formats.card_samples import as_charx, as_json, foreign
from tests.upload_bombs import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, liar, many_entries, overlapping, pictures_zip


@pytest.mark.parametrize("method", [ZIP_BZIP2, ZIP_LZMA])
def test_only_stored_and_deflated_files_are_unpacked(method: int) -> None:
    with pytest.raises(CharacterProblems, match="packed in a way that cannot be read"):
        read_card(liar(2**20, method, b"card.json"), "a.charx")
    spare = as_charx({"card.json": as_json(foreign())})
    assert read_card(spare, "a.charx").character.name


def test_a_file_that_is_not_wanted_may_be_packed_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "a.charx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("card.json", as_json(foreign()))
        archive.writestr("notes.doc", b"x" * 1000, zipfile.ZIP_LZMA)
    assert read_card(path).character.name == "Haruhi Vale"


def test_unpacking_stops_at_the_claimed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    def noted(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        nonlocal largest
        data = unpacked(archive, member)
        largest = max(largest, len(data))
        return data

    unpacked = card_files._unpacked
    monkeypatch.setattr(card_files, "_unpacked", noted)
    with pytest.raises(CharacterProblems, match="damaged"):
        read_card(liar(32 * 2**20, ZIP_DEFLATED, b"card.json"), "a.charx")
    assert largest <= 3 * 2**20


def test_a_list_of_files_is_measured_before_it_is_read() -> None:
    data = many_entries(200_000)
    began = time.process_time()
    with pytest.raises(CharacterProblems, match="more than 4000 files"):
        list_archive(data, "a.zip")
    assert time.process_time() - began < 0.1


def test_what_many_files_unpack_to_is_one_sum() -> None:
    with pytest.raises(CharacterProblems, match="more than 512 MB"):
        read_archive(overlapping(200, 4 * 2**20), "a.zip", lambda path: True, Counter())
    with upload_budget(), pytest.raises(CharacterProblems, match=r"b\.zip lists more than 40,000 files"):
        for _ in range(11):
            list_archive(many_entries(4000), "b.zip")


def test_pictures_together_are_counted_before_any_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(pictures_zip(30, 8000))
    began = time.process_time()
    with pytest.raises(CharacterProblems, match=r"a\.zip has pictures of more than 1,500 million pixels"):
        import_file(path, tmp_path / "character")
    assert time.process_time() - began < 1 and not (tmp_path / "character").exists()


def test_a_long_name_does_not_multiply_a_text() -> None:
    assert resolve_macros("{{char}}!", "M" * 1000, "you") == "M" * MAX_NAME_CHARS + "!"
    with upload_budget(), pytest.raises(CharacterProblems, match="names so often"):
        for _ in range(20):
            resolve_macros("{char}" * 20_000, "M" * 200, "you")


def test_choices_inside_choices_end() -> None:
    assert resolve_macros("{{random:{{random:a,b}},c}}", "Mira", "you") == "a"
    began = time.process_time()
    deep = "{{random:" * 30_000 + "}}" * 30_000
    assert resolve_macros(deep, "Mira", "you").startswith("{{random:") and time.process_time() - began < 5


def test_long_numbers_of_yaml_stay_text() -> None:
    sixty = "1" + ":0" * 200_000
    began = time.process_time()
    read = read_yaml(f"name: Mira\nextensions:\n  a: {sixty}\n  b: 1:30:00\n".encode(), "character.yaml")
    assert read["extensions"] == {"a": sixty, "b": 5400} and time.process_time() - began < 3


def test_a_file_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.charx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("card.json", as_json(foreign()))
        archive.writestr(zipfile.ZipInfo(""), b"nobody knows")
    assert read_card(path).character.name == "Haruhi Vale"
    _, others = read_archive(path.read_bytes(), "a.charx", lambda name: name.endswith(".json"), Counter())
    assert others == [card_files.NAMELESS]
