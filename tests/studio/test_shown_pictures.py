"""Pictures that users show in conversations: with the draft, in a version, and back from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.core.character.character import message
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.formats.card_export import export_card
from pipelines.core.storage.store import exists
from studio.actions import characters, create, drafts, interactions
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.studio.staged import took

BUNDLED = Path(__file__).resolve().parents[2] / "pipelines" / "core" / "bundled"


def test_they_go_all_the_way(context: AppContext, tmp_path: Path) -> None:
    quibb = read_character(BUNDLED / "quibb")
    talk = (message("user", "And this?", ["cat.png"], speaker="Ben", image_info="a cat"), message("character", "Mine."))
    images = {file.file: (BUNDLED / "quibb" / "images" / file.file).read_bytes() for file in quibb.images}
    shown = replace(quibb, input_images=("cat.png",), interactions=(talk, *quibb.interactions))
    write_character(shown, tmp_path / "quibb", images | {"cat.png": encoded(drawing(7), "PNG")})
    export_card(tmp_path / "quibb", tmp_path / "quibb.zip")
    found = took(context, "quibb.zip", (tmp_path / "quibb.zip").read_bytes())
    draft = characters.open_draft(context, found.id)
    key = draft["input_pictures"]["cat.png"]
    assert len(draft["pictures"]) == 10 and exists(context.store, key)
    first = interactions.interaction_views(draft)[0].turns[0]
    assert first.name == "Ben" and first.image == "cat.png" and not first.problems
    version = create.publish_draft(context, found.id)
    assert version.images["cat.png"] == key and version.entries["interactions"][0][0]["speaker"] == "Ben"
    characters.restore_version(context, found.id, version.version)
    again = drafts.own_character(context, found.id).draft
    assert again["input_pictures"] == {"cat.png": key} and len(again["pictures"]) == 10
