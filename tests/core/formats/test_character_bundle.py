"""Several characters in one zip or folder: each can be chosen, none goes silently into another."""

from __future__ import annotations

import base64
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character_folder import CHARACTER_FILE, read_character
from pipelines.core.formats.card_files import put_chunks
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.problems import CharacterProblems, Problem
from tests.core.formats.card_samples import as_charx, as_json, foreign, png


def card(name: str) -> dict[str, Any]:
    return foreign(name=name, nickname="", description=f"{name} mends clocks.")


def card_picture(name: str, colour: str) -> bytes:
    text = {"ccv3": base64.b64encode(as_json(card(name)))}
    return put_chunks(png(colour), text, lambda keyword: False, "x.png")


def put(files: dict[str, bytes], at: Path) -> Path:
    at.write_bytes(as_charx(files))
    return at


def told(notes: list[Problem]) -> str:
    return " ".join(f"{note.said} {' '.join(note.examples)}" for note in notes)


def test_a_zip_of_cards_offers_each_of_them(tmp_path: Path) -> None:
    files = {"set/Tola.png": card_picture("Tola", "red"), "set/b/Orla.png": card_picture("Orla", "blue")}
    files |= {"set/mira.json": as_json(card("Mira")), "set/Finn.charx": as_charx({"card.json": as_json(card("Finn"))})}
    source = put({**files, "set/readme.txt": b"four of them", "__MACOSX/set/._Tola.png": b"x"}, tmp_path / "cards.zip")
    with pytest.raises(RoleNeeded, match="holds 4 characters: Finn, Tola, Orla, Mira") as raised:
        import_file(source, tmp_path / "none")
    assert not (tmp_path / "none").exists() and set(raised.value.roles) == {"Tola", "Orla", "Mira", "Finn"}
    for name in raised.value.roles:
        notes = import_file(source, tmp_path / name, name.upper())
        found = read_character(tmp_path / name)
        assert found.name == name and found.persona.startswith(f"{name} mends clocks.")
        assert "other characters in it were not read" in told(notes)
        assert len(found.images) == (1 if name in ("Tola", "Orla") else 0)


def test_cards_of_the_same_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    files = {"a.png": card_picture("Tola", "red"), "b.png": card_picture("Tola", "blue")}
    source = put(files, tmp_path / "cards.zip")
    with pytest.raises(RoleNeeded, match=r"Tola \(a.png\), Tola \(b.png\)"):
        import_file(source, tmp_path / "none")
    import_file(source, tmp_path / "tola", "Tola (b.png)")
    assert read_character(tmp_path / "tola").name == "Tola"


def test_what_lies_beside_a_lone_card_shows_the_same_character(tmp_path: Path) -> None:
    files = {"Tola.png": card_picture("Tola", "red"), "01.png": png("blue"), "01.txt": b"laughing"}
    import_file(put(files, tmp_path / "tola.zip"), tmp_path / "tola")
    found = read_character(tmp_path / "tola")
    assert found.name == "Tola" and [image.description for image in found.images] == ["", "laughing"]


def test_a_card_in_a_folder_of_the_zip_is_found_with_its_pictures(tmp_path: Path) -> None:
    data = card("Tola")
    data["data"]["assets"] = [{"type": "icon", "name": "main", "uri": "embeded://assets/icon/1.png", "ext": "png"}]
    files = {"tola/Card.JSON": as_json(data), "tola/assets/icon/1.PNG": png(), "other/2.png": png("red")}
    import_file(put(files, tmp_path / "tola.zip"), tmp_path / "tola")
    found = read_character(tmp_path / "tola")
    assert found.name == "Tola" and len(found.images) == 1
    folder = tmp_path / "unpacked"
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    import_file(folder, tmp_path / "again")
    assert read_character(tmp_path / "again") == found


def test_two_character_folders_in_one_zip_are_asked_about(tmp_path: Path) -> None:
    files = {"a/Character.yaml": b"name: Tola\npersona: x\nimages: [{file: 01.png}]\n", "a/Images/01.PNG": png()}
    source = put({**files, "b/character.yaml": b"name: Orla\npersona: y\n"}, tmp_path / "two.zip")
    with pytest.raises(RoleNeeded, match="holds 2 characters: Tola, Orla"):
        import_file(source, tmp_path / "none")
    notes = import_file(source, tmp_path / "tola", "tola")
    assert read_character(tmp_path / "tola").images[0].file == "01.png"
    assert "other characters in it were not read: Orla (b/character.yaml)" in told(notes)


def test_a_file_that_is_twice_in_a_zip_is_told(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (b"Tola", b"Orla"):
            archive.writestr("a/character.yaml", b"name: " + name + b"\npersona: x\n")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    notes = import_file(tmp_path / "a.zip", tmp_path / "a")
    assert read_character(tmp_path / "a").name == "Orla"
    assert "twice in the archive were read once, the last of them. a/character.yaml" in told(notes)


def broken(files: dict[str, bytes], name: str) -> bytes:
    """A stored zip with one wrong byte in one file."""
    data = bytearray(as_charx(files))
    data[data.find(files[name]) + len(files[name]) // 2] ^= 255
    return bytes(data)


def test_one_damaged_picture_of_a_zip_keeps_no_other_out(tmp_path: Path) -> None:
    files = {"01.png": png(), "02.png": png("red"), "02.txt": b"sad"}
    (tmp_path / "a.zip").write_bytes(broken(files, "01.png"))
    notes = import_file(tmp_path / "a.zip", tmp_path / "a")
    assert [image.description for image in read_character(tmp_path / "a").images] == ["sad"]
    assert "files that are damaged in the archive were left out. 01.png" in told(notes)
    yaml = b"name: Tola\npersona: x\nimages: [{file: 01.png}, {file: 02.png}]\n"
    whole = {"character.yaml": yaml, "images/01.png": png(), "images/02.png": png("red")}
    (tmp_path / "b.zip").write_bytes(broken(whole, "images/02.png"))
    notes = import_file(tmp_path / "b.zip", tmp_path / "b")
    assert [image.file for image in read_character(tmp_path / "b").images] == ["01.png"]
    assert "damaged in the archive were left out. images/02.png" in told(notes)


@pytest.mark.parametrize("file", [CHARACTER_FILE, "card.json"])
def test_a_damaged_character_in_a_zip_is_refused_by_name(tmp_path: Path, file: str) -> None:
    (tmp_path / "a.zip").write_bytes(broken({f"a/{file}": b"name: Tola and more", "a/01.png": png()}, f"a/{file}"))
    with pytest.raises(CharacterProblems, match=f"is damaged: 'a/{file}' in it cannot be unpacked"):
        import_file(tmp_path / "a.zip", tmp_path / "a")


def test_an_encrypted_zip_is_refused_in_one_clear_sentence(tmp_path: Path) -> None:
    data = bytearray(as_charx({"01.png": png()}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + at] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CharacterProblems, match=r"a\.zip is encrypted\. Save it again without a password\.") as raised:
        import_file(tmp_path / "a.zip", tmp_path / "a")
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize("kind", ["list.json", "lines.jsonl"])
def test_a_file_of_several_cards_offers_each_of_them(tmp_path: Path, kind: str) -> None:
    cards = [card("Tola"), card("Orla"), card("Orla")]
    source = tmp_path / kind
    text = json.dumps(cards) if kind == "list.json" else "\n".join(map(json.dumps, cards))
    source.write_text("\ufeff" + text, "utf-8")
    with pytest.raises(RoleNeeded, match=r"holds 3 characters: Tola, Orla \(card 2\), Orla \(card 3\)"):
        import_file(source, tmp_path / "none")
    notes = import_file(source, tmp_path / "tola", "tola")
    assert read_character(tmp_path / "tola").name == "Tola"
    assert "other characters in it were not read: Orla (card 2), Orla (card 3)" in told(notes)


def test_a_damaged_card_keeps_no_other_out_and_is_told(tmp_path: Path) -> None:
    bad = bytearray(card_picture("Orla", "blue"))
    bad[bad.find(b"tEXt") + 40] ^= 1
    files = {"Tola.png": card_picture("Tola", "red"), "Orla.png": bytes(bad)}
    notes = import_file(put(files, tmp_path / "a.zip"), tmp_path / "a")
    assert read_character(tmp_path / "a").name == "Tola" and len(read_character(tmp_path / "a").images) == 1
    assert "cards that are damaged were not read. Orla.png" in told(notes)
    notes = import_file(put({"Orla.png": bytes(bad), "1.png": png()}, tmp_path / "b.zip"), tmp_path / "b")
    assert "cards inside pictures were not read: only the pictures were taken. Orla.png" in told(notes)


def test_a_folder_file_with_another_ending_is_read(tmp_path: Path) -> None:
    files = {"tola/character.yml": b"name: Tola\npersona: x\n", "tola/images/01.png": png()}
    import_file(put(files, tmp_path / "a.zip"), tmp_path / "a")
    assert read_character(tmp_path / "a").name == "Tola"


@pytest.mark.parametrize(
    ("begins", "kind"), [(b"Rar!\x1a\x07\x01\0", "RAR"), (b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"\x1f\x8b\x08\0", "gzip")]
)
@pytest.mark.parametrize("suffix", [".zip", ".rar", ""])
def test_archives_that_are_no_zip_are_refused_by_what_they_are(
    tmp_path: Path, begins: bytes, kind: str, suffix: str
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(begins + b"x" * 300)
    with pytest.raises(CharacterProblems, match=f"is a {kind} archive, which cannot be opened"):
        import_file(tmp_path / f"a{suffix}", tmp_path / "a-folder")


def test_an_archive_without_any_character_says_so(tmp_path: Path) -> None:
    inner = as_charx({"character.yaml": b"name: Tola\npersona: x\n"})
    with pytest.raises(CharacterProblems, match="archives inside it are not opened"):
        import_file(put({"inner.zip": inner}, tmp_path / "a.zip"), tmp_path / "a")
