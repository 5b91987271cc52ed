"""More pictures than a character can have: which of them are used is chosen by ticking, and none is lost.

    aside   pictures of the draft that are not ticked: [{an entry of `pictures`, "caption": its entry of `images`,
            "turns": ids of the turns that showed it}]

So whatever reads `pictures` and `images` sees only what is ticked. Where somebody brings too many, those are ticked
that differ most from each other (`image_set_check.most_varied`).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.amounts import MAX_IMAGES
from pipelines.core.character.image_set_check import most_varied
from studio.actions.draft_image_check import check_images, image_report
from studio.actions.drafts import Draft, caption_entry, change, gone, image_entry, name_places
from studio.context import AppContext


@dataclass(frozen=True)
class Choice:
    """One picture among too many, as the page shows it."""

    file: str
    thumb: bytes
    is_used: bool
    is_unusable: bool
    """By its own faults, or because it is there twice."""


def choices(context: AppContext, draft: Draft) -> list[Choice]:
    """All pictures in the order they came, where there are more than a character can have; else none."""
    used, aside = draft.get("pictures", []), draft.get("aside", [])
    if len(used) + len(aside) <= MAX_IMAGES and not aside:
        return []
    entries = [(entry, True) for entry in used] + [(entry, False) for entry in aside]
    return [
        Choice(entry["file"], context.image(entry["thumb_key"]), is_used, _is_unusable(entry))
        for entry, is_used in sorted(entries, key=lambda item: place_of_file(item[0]["file"]))
    ]


def place_of_file(file: str) -> tuple[int, str]:
    """Sorts `02.png` before `100.png`, and names of an import behind both."""
    stem = file.partition(".")[0]
    return (int(stem) if stem.isdecimal() else 10**9, file)


def use(context: AppContext, id: str, file: str, is_used: bool) -> None:
    """Tick a picture or take its tick away; caption, and its places in conversations, come back with it."""

    def edit(draft: Draft) -> None:
        if is_used:
            _take_back(draft, file)
        elif any(entry["file"] == file for entry in draft.get("pictures", [])):
            _put_aside(draft, {file})
        check_images(context, draft)

    change(context, id, edit)


def drop_unused(context: AppContext, id: str) -> None:
    """Take out every picture that is not ticked."""
    change(context, id, lambda draft: draft.pop("aside", None))


def untick_surplus(context: AppContext, draft: Draft, before: Set[str] = frozenset()) -> None:
    """Leave as many ticked as a character can have: those of `before` and in conversations, then the most varied."""
    entries = draft.get("pictures", [])
    if len(entries) <= MAX_IMAGES:
        return
    usable = [entry for entry in entries if not _is_unusable(entry)] or entries
    reports = [image_report(context, entry["key"]) for entry in usable]
    spoken = {turn["image"] for talk in draft.get("interactions", []) for turn in talk if turn.get("image")}
    first = [place for place, entry in enumerate(usable) if entry["file"] in spoken | before]
    chosen = {usable[place]["file"] for place in most_varied(reports, MAX_IMAGES, first)}
    # A picture of before keeps its tick, whatever is wrong with it.
    _put_aside(draft, {entry["file"] for entry in entries} - chosen - before)
    check_images(context, draft)


def _is_unusable(entry: dict[str, Any]) -> bool:
    return bool(entry.get("copy_of")) or any(problem["severity"] == "error" for problem in entry.get("problems", ()))


def _put_aside(draft: Draft, files: set[str]) -> None:
    name_places(draft)  # an import has no ids yet
    turns = [turn for talk in draft.get("interactions", []) for turn in talk if turn.get("image") in files]
    for file in sorted(files, key=place_of_file):
        shown_in = [turn["id"] for turn in turns if turn["image"] == file and "id" in turn]
        caption = dict(caption_entry(draft, file))
        draft.setdefault("aside", []).append({**image_entry(draft, file), "caption": caption, "turns": shown_in})
    for turn in turns:
        del turn["image"]
    for part in ("pictures", "images"):
        draft[part] = [entry for entry in draft[part] if entry["file"] not in files]
    if "references" in draft:
        draft["references"] = [file for file in draft["references"] if file not in files]


def _take_back(draft: Draft, file: str) -> None:
    found = next((entry for entry in draft.get("aside", []) if entry["file"] == file), None)
    if found is None:
        if any(entry["file"] == file for entry in draft.get("pictures", [])):
            return  # another tab has ticked it
        raise gone(f"The picture {file}")
    draft["aside"] = [entry for entry in draft["aside"] if entry["file"] != file]
    entry = {key: value for key, value in found.items() if key not in ("caption", "turns")}
    draft.setdefault("pictures", []).append(entry)
    draft.setdefault("images", []).append(dict(found["caption"]))
    for talk in draft.get("interactions", []):
        for turn in talk:
            if turn.get("id") in found["turns"] and "image" not in turn:
                turn["image"] = file
