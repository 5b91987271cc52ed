"""Exports are valid by the published specifications, whatever an imported card held."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.card_fields import KEPT_KEY
from pipelines.core.formats.card_files import read_chunks
from pipelines.core.formats.card_valid import UNFIT_KEY, valid_data
from pipelines.core.formats.cards import read_card, write_card
from tests.core.formats.card_samples import as_json, foreign, png
from tests.core.formats.card_schemas import errors_of

BROKEN: dict[str, Any] = {
    "creator_notes": 7,
    "creator": ["Ann", "Ben"],
    "character_version": 1.2,
    "system_prompt": {"text": "x"},
    "tags": "owl, brass",
    "alternate_greetings": "Oi, you.",
    "group_only_greetings": None,
    "source": "https://example.org/1,2",
    "nickname": None,
    "creation_date": "1700000000",
    "modification_date": "yesterday",
    "creator_notes_multilingual": {"english": "x"},
    "extensions": [],
    "character_book": {
        "name": 5,
        "scan_depth": "4",
        "token_budget": "many",
        "recursive_scanning": "false",
        "entries": {
            "0": {
                "key": ["tea"],
                "keysecondary": [],
                "content": "Green.",
                "order": 100,
                "disable": False,
                "position": 0,
            },
            "1": {
                "keys": "cup, pot",
                "content": None,
                "enabled": 1,
                "extensions": None,
                "use_regex": "yes",
                "id": None,
            },
            "2": "no entry",
        },
    },
}


def cards_in(path: Path) -> list[tuple[int, Any]]:
    """Version and card of everything that a file holds."""
    data = path.read_bytes()
    if path.suffix == ".png":
        chunks = read_chunks(data, path.name)
        versions = {"chara": 2, "ccv3": 3}
        return [(versions[key], json.loads(base64.b64decode(text))) for key, text in chunks.items()]
    if path.suffix == ".charx":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            card = json.loads(archive.read("card.json"))
            inside = {f"embeded://{name}" for name in archive.namelist()}
        assert {asset["uri"] for asset in card["data"]["assets"]} <= inside
        return [(3, card)]
    return [(3, json.loads(data))]


def written(character: Character, images: dict[str, bytes], folder: Path) -> list[tuple[int, Any]]:
    """Every card of a character: PNG (with its V2 copy, and V2 alone), JSON, V2 JSON, CHARX with an adapter."""
    found = []
    for suffix in ("png", "json", "charx"):
        adapter = {"adapter_model.safetensors": b"x"} if suffix == "charx" else None
        write_card(character, images, folder / f"x.{suffix}", adapter_files=adapter)
        found += cards_in(folder / f"x.{suffix}")
    for suffix in ("png", "json"):
        write_card(character, images, folder / f"x2.{suffix}", version=2)
    found += cards_in(folder / "x2.png")
    return [*found, (2, json.loads((folder / "x2.json").read_bytes()))]


@pytest.mark.parametrize("name", ["quibb", "nella-tarn", "ambrose-fell"])
def test_bundled_characters_hold_to_the_letter(name: str, tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[3] / "pipelines" / "core" / "bundled" / name
    character = read_character(folder)
    images = {image.file: (folder / "images" / image.file).read_bytes() for image in character.images}
    for version, card in written(character, images, tmp_path):
        assert errors_of(card, version, is_own=True) == []


def test_a_foreign_card_stays_valid_with_all_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(as_json(foreign()))
    character = replace(read_card(tmp_path / "a.json").character, images=(CharacterImage("01.png"),))
    for version, card in written(character, {"01.png": png()}, tmp_path):
        assert errors_of(card, version) == []
    ((_, card),) = cards_in(tmp_path / "x.json")
    assert card["data"]["character_book"] == foreign()["data"]["character_book"]
    assert card["data"]["from_the_future"] == {"kept": True}


@pytest.mark.parametrize("version", [2, 3])
def test_what_other_programs_break_is_mended_and_nothing_is_lost(tmp_path: Path, version: int) -> None:
    broken = foreign(**BROKEN)
    if version == 2:
        broken |= {"spec": "chara_card_v2", "spec_version": "2.0"}
    (tmp_path / "a.json").write_bytes(as_json(broken))
    assert len(errors_of(broken, version)) > 5
    first = read_card(tmp_path / "a.json")
    for target, kind in ((tmp_path / "b.json", 3), (tmp_path / "c.json", 2)):
        write_card(first.character, {}, target, version=kind)
        assert errors_of(json.loads(target.read_bytes()), kind) == []
    ((_, card),) = cards_in(tmp_path / "b.json")
    data = card["data"]
    assert data["tags"] and data["creation_date"] == 1700000000 and data["character_version"] == "1.2"
    assert data["extensions"][UNFIT_KEY]["modification_date"] == "yesterday"
    tea, cup = data["character_book"]["entries"]
    assert tea["keys"] == ["tea"] and tea["insertion_order"] == 100 and tea["enabled"] is True
    assert tea["extensions"][UNFIT_KEY] == {"position": 0}
    assert cup["keys"] == ["cup", "pot"] and cup["extensions"][UNFIT_KEY] == {"use_regex": "yes"}
    second = read_card(tmp_path / "b.json")
    assert second.character == first.character


def test_hands_in_the_yaml_break_no_export(tmp_path: Path) -> None:
    kept: dict[str, object] = {"data": {"tags": 5, "character_book": [], "creator": {"x": 1}}}
    character = Character("Ada", "A sailor.", extensions={KEPT_KEY: kept})
    write_card(character, {}, tmp_path / "a.json")
    ((_, card),) = cards_in(tmp_path / "a.json")
    assert errors_of(card, 3, is_own=True) == []


def test_making_valid_twice_changes_nothing() -> None:
    once = valid_data(foreign(**BROKEN)["data"])
    assert valid_data(once) == once
