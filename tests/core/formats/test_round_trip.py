"""Import, export, import again: equal for every format that goes both ways, whatever the character came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.import_character import import_file
from tests.core.formats.test_import_character import same_folder
from tests.core.formats.whole_inputs import whole_inputs

NO_CHARACTERS = ("picture.", "character.yaml", "test.yaml", "caption.txt", "rolescape.folder", "folder")
BOTH_WAYS = ("png", "json", "charx", "zip")


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The character that each whole input makes, by the input's name."""
    folder = tmp_path_factory.mktemp("sources")
    made = {}
    for one in whole_inputs(folder / "whole"):
        if not one.is_added and not one.name.startswith(NO_CHARACTERS) and not one.name.endswith(".folder"):
            (folder / one.name).write_bytes(one.data)
            made[one.name] = folder / f"of {one.name}"
            import_file(folder / one.name, made[one.name], role="Tola" if "mmrole" in one.name else "")
    return made


def test_every_way_in_is_tried(characters: dict[str, Path]) -> None:
    assert len(characters) >= 15 and {"backyard.byaf", "risu.png", "kohya.zip", "mmrole.zip"} <= set(characters)


@pytest.mark.parametrize("suffix", BOTH_WAYS)
def test_what_comes_in_goes_out_and_comes_in_equal(characters: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    for name, source in characters.items():
        if suffix == "png" and not read_character(source).images:
            continue  # a PNG is a picture
        folder = tmp_path / name
        export_card(source, folder / f"first.{suffix}")
        import_file(folder / f"first.{suffix}", folder / "again")
        assert read_character(folder / "again") == read_character(source), name
        assert same_folder(folder / "again", source) if read_character(source).images else True, name
        if suffix == "zip":
            assert read_test_split(folder / "again") == read_test_split(source), name
        export_card(folder / "again", folder / f"second.{suffix}")
        assert (folder / f"second.{suffix}").read_bytes() == (folder / f"first.{suffix}").read_bytes(), name
