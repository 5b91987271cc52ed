"""Pictures that an import kept larger than cleaning leaves: nothing of them is decoded in the studio's own process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.character_folder import write_character
from pipelines.core.character.image_decode import LONGEST_PX
from pipelines.core.problems import CharacterProblems
from studio.actions import characters, drafts, images
from studio.actions.upload_readers import is_small
from studio.context import AppContext


def png(width: int, height: int) -> bytes:
    """A picture with transparency, which an import keeps as it is."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGBA").save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_a_large_picture_is_turned_and_cut_in_a_process_of_its_own(
    context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Character("Ada", "Mends clocks.", images=(CharacterImage("01.png"),))
    write_character(ada, tmp_path, {"01.png": png(2_200, 2_400)})

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a large picture is opened in the studio")

    monkeypatch.setattr(Image, "open", refuse)
    draft = characters.draft_of_folder(context, tmp_path)
    id = context.records.characters.create(context.owner, draft).id
    images.rotate(context, id, "01.png")
    entry = drafts.image_entry(drafts.own_character(context, id).draft, "01.png")
    assert (entry["width"], entry["height"]) == (2_400, 2_200) and entry["problems"] != []
    draft = drafts.own_character(context, id).draft
    assert images.crop_preview(context, draft, "01.png", 0.0, 0.5, 0.5).startswith(b"\xff\xd8")
    context.records.characters.publish(id, drafts.entries_of(draft), None, {"01.png": entry["key"]}, {})
    characters.restore_version(context, id, 1)
    images.crop(context, id, "01.png", 0.0, 0.5, 0.5)
    entry = drafts.image_entry(drafts.own_character(context, id).draft, "01.png")
    assert entry["width"] == entry["height"] == 2_200


def test_what_is_opened_in_the_studio_is_no_larger_than_cleaning_leaves() -> None:
    assert is_small(png(400, 300)) and not is_small(png(LONGEST_PX + 1, LONGEST_PX))
    assert not is_small(b"no picture") and not is_small(b"")


def test_of_two_tabs_that_turn_a_picture_one_is_told(
    context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Character("Ada", "Mends clocks.", images=(CharacterImage("01.png"),))
    write_character(ada, tmp_path, {"01.png": png(400, 300)})
    draft = characters.draft_of_folder(context, tmp_path)
    id = context.records.characters.create(context.owner, draft).id
    redrawn = images.redrawn

    def slow(*arguments: object) -> object:
        monkeypatch.setattr(images, "redrawn", redrawn)
        images.rotate(context, id, "01.png")  # the other tab, meanwhile
        return redrawn(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "redrawn", slow)
    with pytest.raises(CharacterProblems, match="changed meanwhile"):
        images.rotate(context, id, "01.png")
    entry = drafts.image_entry(drafts.own_character(context, id).draft, "01.png")
    assert (entry["width"], entry["height"]) == (300, 400)
