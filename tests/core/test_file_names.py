"""Names of files that some system cannot store, and what becomes of them on the ways in and out."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.character.character import Character, CharacterImage, is_file_name, message
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.file_names import MAX_NAME_BYTES, is_storable, storable
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.mmrole_export import export_mmrole
from pipelines.core.formats.mmrole_records import folder_name
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_charx, as_json, foreign, png
from tests.core.formats.mmrole_samples import train_samples

ODD = (
    "CON.png",
    "nul",
    "aux.tar.gz",
    "com1.png",
    "LPT\u00b2.png",
    "a.png.",
    "a.png ",
    ".png",
    "a\x1b[2J.png",
    "a\x9b.png",
    "a\0.png",
    "a\ud800.png",
    "\U0001f600" * 61 + ".png",
    "\u732b" * 100 + ".png",
    "x" * 300 + ".png",
    "a:b.png",
    "..",
    "",
)
PLAIN = ("01.png", "Contact.png", "console.png", "com.png", "\u732b.png", "a b (1).jpg", "nulla.png")


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_some_system_refuses_is_told_and_has_a_spare_one(name: str) -> None:
    assert not is_file_name(name)
    assert is_storable(storable(name, "spare"))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_stays(name: str) -> None:
    assert is_file_name(name) and storable(name, "spare") == name


@pytest.mark.parametrize("role", ["CON", "nul.", "\U0001f600" * 90, "a\x1b]0;x\x07", "\ud800", "../../etc", " . "])
def test_a_role_has_a_folder_on_every_system(role: str) -> None:
    name = folder_name(role)
    assert is_storable(name) and len(name.encode()) <= MAX_NAME_BYTES and "/" not in name


def zipped(tmp_path: Path, name: str) -> Path:
    """An export whose picture somebody has called so."""
    write_character(Character("Ada", "Mends clocks.", images=(CharacterImage("01.png"),)), tmp_path, {"01.png": png()})
    yaml = (
        (tmp_path / "character.yaml").read_text().replace("01.png", repr(name) if name.isprintable() else '"x\\ey.png"')
    )
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr("character.yaml", yaml)
        archive.writestr(f"images/{name}", png())
    return tmp_path / "ada.zip"


@pytest.mark.parametrize("name", ["CON.png", "x" * 300 + ".png", "\u732b" * 100 + ".png", "x\x1by.png"])
def test_a_zip_with_such_a_name_is_refused_by_name_with_the_mend(tmp_path: Path, name: str) -> None:
    with pytest.raises(CharacterProblems, match=r"(?i)rename the picture"):
        import_file(zipped(tmp_path, name), tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_sets_cards_and_archives_with_such_names_are_taken_in_under_others(tmp_path: Path) -> None:
    names = ["CON.png", "y" * 250 + ".png", "\u732b" * 80 + ".png", "a\x1b[2J.png"]
    pictures = {name: png(colour) for name, colour in zip(names, ("red", "blue", "teal", "tan"), strict=True)}
    (tmp_path / "set.zip").write_bytes(as_charx({f"10_tola woman/{name}": data for name, data in pictures.items()}))
    inside = {f"assets/{name}": data for name, data in pictures.items()}
    assets = [{"type": "emotion", "name": name, "ext": "png", "uri": f"embeded://assets/{name}"} for name in names]
    (tmp_path / "ada.charx").write_bytes(as_charx({"card.json": as_json(foreign(assets=assets)), **inside}))
    sample = {**train_samples()[0], "image": f"{names[2]}"}
    mmrole = {"data/train/train.json": as_json([sample]), f"images/{names[2]}": png()}
    (tmp_path / "mmrole.zip").write_bytes(as_charx(mmrole))
    for source in ("set.zip", "ada.charx", "mmrole.zip"):
        import_file(tmp_path / source, tmp_path / f"in {source}", role="Tola" if source == "mmrole.zip" else "")
        character = read_character(tmp_path / f"in {source}")
        files = [*(image.file for image in character.images), *character.input_images]
        assert files and all(map(is_file_name, files)), source
        assert all((tmp_path / f"in {source}" / "images" / file).is_file() for file in files)


def test_what_a_stranger_kept_of_a_path_leads_out_of_no_export(tmp_path: Path) -> None:
    (tmp_path / "mmrole.zip").write_bytes(
        as_charx(
            {"data/train/train.json": as_json([train_samples()[0]]), f"images/{train_samples()[0]['image']}": png()}
        )
    )
    import_file(tmp_path / "mmrole.zip", tmp_path / "tola", role="Tola")
    tola = read_character(tmp_path / "tola")
    kept = repr(dict(tola.extensions))
    assert train_samples()[0]["image"] in kept
    led = eval(kept.replace(train_samples()[0]["image"], "../../../stolen/bashrc"))
    write_character(replace(tola, extensions=led), tmp_path / "tola")
    export_mmrole(tmp_path / "tola", tmp_path / "a" / "b" / "c" / "out")
    assert not (tmp_path / "a" / "stolen").exists() and not (tmp_path / "a" / "b" / "stolen").exists()
    exported = [path for path in (tmp_path / "a" / "b" / "c" / "out" / "images").rglob("*") if path.is_file()]
    assert len(exported) == 1 and exported[0].read_bytes() == png()


def test_a_name_that_spells_a_path_leads_out_of_no_export(tmp_path: Path) -> None:
    name = "a__..__..__..__b.png"
    talk = (message("user", "What is it?", [name]), message("character", "Rain."))
    ada = Character("Ada", "Mends clocks.", interactions=(talk,), input_images=(name,))
    write_character(ada, tmp_path / "ada", {name: png()})
    export_mmrole(tmp_path / "ada", tmp_path / "deep" / "out")
    assert [path.name for path in (tmp_path / "deep").rglob("*.png")] == [name]
    assert (tmp_path / "deep" / "out" / "images" / name).is_file() and not (tmp_path / "b.png").exists()
