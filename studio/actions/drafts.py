"""The draft of a character: what the wizard's forms hold, complete or not, saved in the records at every change.

A draft is the entries of `character.yaml` (`serialize.character_to_entries`), and beside them

    pictures       [{"file", "original", "key", "thumb_key", "sha256", "width", "height", "problems", "fixes",
                   "copy_of"}]
    input_pictures file name -> object key of the pictures that only users show (`Character.input_images`)
    aside          pictures that are not ticked, where there are too many (`surplus.py`)
    refused        what was uploaded last and could not be used (`refused_uploads.py`)
    test           entries of `test.yaml`, when the character came with a held-out split
    test_pictures  file name -> object key of the pictures of that split
    held_out, tested   what the creator chose to be kept for the test (`held_out.py`); what versions kept and learned
    corrected, corrections   answers corrected in a chat: hashes of their conversations, preferences (`feedback.py`)
    effort, base   effort and base model chosen in the last step
    drawings, drawings_job   how the model sees the character now (`drawings.py`)
    written, clashes   who typed what last, and second versions of a text (`typed.py`)
    stated_by, pasted  what stands in fields of the wizard that are no part of a character

Facts and turns of conversations have an `id` here, so that a text finds its place after others were moved or removed.
`images` says what varies in a picture (the captions), `pictures` where its bytes are; both have it in the same order.
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.core.character.character import Character, HeldOut
from pipelines.core.character.checks import MAX_NAME_CHARACTERS
from pipelines.core.character.held_out_split import Tested, with_held_out
from pipelines.core.character.serialize import CHARACTER_KEYS, character_from_entries, held_out_to_entries
from pipelines.core.jobs.job import CharacterRow, RecordMissing
from pipelines.core.jobs.tested_before import tested_by
from pipelines.core.problems import CharacterProblems, Problem
from studio.context import AppContext

Draft = dict[str, Any]

MAX_CHARS = {
    "name": MAX_NAME_CHARACTERS,
    "persona": 8000,
    "style": 4000,
    "appearance": 4000,
    "greeting": 4000,
    "scenario": 4000,
    "licence": 400,
}
"""Most characters of a text that can be trained on; the token budget of the system prompt is far smaller. The forms
take longer ones, and say so."""
HELD_OUT_KINDS = {"conversations": "interactions", "facts": "facts"}
"""What is chosen for the test by place -> the list of the draft that it is a place in."""
MAX_TURN_CHARS = 8000
MAX_DRAFT_IMAGES = 200
"""Pictures that a draft holds while somebody chooses among them, ticked or not."""
MAX_INTERACTIONS = 2000
MAX_FACTS = 1000


def own_character(context: AppContext, id: str) -> CharacterRow:
    """A character of this context's owner, its draft with `tested`; RecordMissing for anybody else's."""
    row = context.records.characters.get(id)
    if row.owner != context.owner:
        raise RecordMissing(f"there is no character {id}: it was deleted, or the id is wrong")
    return _with_tested(context, row)


def create(context: AppContext) -> str:
    """A new, empty character; returns its id."""
    return context.records.characters.create(context.owner, {"name": "", "persona": ""}).id


def change(context: AppContext, id: str, edit: Callable[[Draft], None]) -> Draft:
    """Read the draft, let `edit` change it, and save it, atomically in this process; returns it as saved."""
    with context.editing:
        row = own_character(context, id)
        draft = copy.deepcopy(row.draft)
        before = {kind: _counted(draft, kind) for kind in HELD_OUT_KINDS.values()}
        edit(draft)
        _follow_held_out(draft, before)
        if draft != row.draft:
            context.records.characters.save_draft(id, draft)
        return draft


def _follow_held_out(draft: Draft, before: Mapping[str, list[Any]]) -> None:
    """Let the places in `held_out` name the conversations and facts that they named before an edit moved them."""
    tested = draft.get("tested", {})
    for chosen in (draft.get("held_out", {}), tested.get("kept", {}), tested.get("learned", {})):
        for key, kind in HELD_OUT_KINDS.items():
            if key in chosen:
                chosen[key] = moved_places(before[kind], _counted(draft, kind), chosen[key])
        if "images" in chosen:
            files = {entry["file"] for entry in draft.get("images", [])}
            chosen["images"] = [file for file in chosen["images"] if file in files]


def _with_tested(context: AppContext, row: CharacterRow) -> CharacterRow:
    """The row, its draft with what the versions kept for the test and learned that it does not tell of yet.

    Right after a version was made the draft is the same, so its things are found; from then on `change` follows them.
    """
    tested = row.draft.get("tested", {"version": 0})
    if tested["version"] >= row.version or "pictures" not in row.draft or row.draft.get("test"):
        return row
    character, _ = character_of(row.draft)
    keys = {entry["file"]: entry["key"] for entry in row.draft["pictures"]}
    learned = {key: set(found) for key, found in tested.get("learned", {}).items()}
    kept: dict[str, Any] = {}
    for number in range(tested["version"] + 1, row.version + 1):
        found = tested_by(context.records.characters.version(row.id, number), character, keys)
        kept = held_out_to_entries(found.kept)
        for key, more in held_out_to_entries(found.learned).items():
            learned[key] = learned.get(key, set()) | set(more)
    tested = {"version": row.version, "kept": kept, "learned": {key: sorted(all) for key, all in learned.items()}}
    return replace(row, draft={**row.draft, "tested": tested})


def tested_character(draft: Mapping[str, Any]) -> Character:
    """The character of a draft, with everything named that the next training keeps for the test."""
    tested: Mapping[str, Mapping[str, Any]] = draft.get("tested", {})
    kept, learned = (
        HeldOut(*(tuple(part.get(key, ())) for key in ("conversations", "facts", "images")))
        for part in (tested.get("kept", {}), tested.get("learned", {}))
    )
    return with_held_out(character_of(draft)[0], Tested(kept, learned))


def _counted(draft: Draft, kind: str) -> list[Any]:
    """The items that places count: a fact of which nothing is written yet is none of the character's."""
    items: list[Any] = draft.get(kind, [])
    if kind != "facts":
        return list(items)
    return [item for item in items if is_written(item)]


def _bare(item: Any) -> Any:
    """A fact or a conversation without ids."""
    return [without_id(turn) for turn in item] if isinstance(item, list) else without_id(item)


def moved_places(before: list[Any], after: list[Any], places: list[int]) -> list[int]:
    """Where the items at these places are after an edit: the same object, else an equal one, else one that was changed
    at the same place of a list of the same length. What is gone is left out."""
    objects = {id(one): at for at, one in enumerate(after)}
    equals: dict[str, int] = {}
    if any(id(before[place]) not in objects for place in places if place < len(before)):
        equals = {content_hash(_bare(one)): at for at, one in reversed(list(enumerate(after)))}
    found = set()
    for place in places:
        if place >= len(before):
            continue
        at = objects.get(id(before[place]))
        if at is None:
            at = equals.get(content_hash(_bare(before[place])), place if len(after) == len(before) else None)
        if at is not None:
            found.add(at)
    return sorted(found)


def set_text(context: AppContext, id: str, field: str, text: str) -> None:
    """Keep one of the text fields, however long it is."""
    if field not in MAX_CHARS:
        raise ValueError(f"{field!r} is no text field of a character: {', '.join(MAX_CHARS)}")

    def edit(draft: Draft) -> None:
        draft[field] = text

    change(context, id, edit)


def set_facts(context: AppContext, id: str, facts: list[tuple[str, str]]) -> None:
    """Keep the facts, (question, answer) each; rows that are empty on both sides are left out."""
    filled = [(question.strip(), answer.strip()) for question, answer in facts if question.strip() or answer.strip()]
    if len(filled) > MAX_FACTS:
        raise CharacterProblems([Problem("facts", f"These are {len(filled)} facts.", f"{MAX_FACTS} are the most.")])

    def edit(draft: Draft) -> None:
        draft["facts"] = [{"question": question, "answer": answer} for question, answer in filled]

    change(context, id, edit)


def short_id() -> str:
    """A new id of a fact or a turn, unlike all others of its character."""
    return secrets.token_hex(4)


def name_places(draft: Draft) -> bool:
    """Give an id to the facts and turns that have none; says whether any had none."""
    turns = [turn for interaction in draft.get("interactions", []) for turn in interaction]
    bare = [entry for entry in (*draft.get("facts", []), *turns) if "id" not in entry]
    for entry in bare:
        entry["id"] = short_id()
    return bool(bare)


def content_hash(value: object) -> str:
    """A short hash of a value's JSON: equal content, equal hash."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def refuse_long(text: str, most: int, what: str) -> None:
    """CharacterProblems when a text has more characters than `most`."""
    if len(text) > most:
        message = f"The {what} is {len(text):,} characters long; {most:,} are the most."
        raise CharacterProblems([Problem(what, message, "Keep the essence; details belong into facts and talks.")])


def entries_of(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a draft that is a character's: without ids, and without facts of which nothing is written."""
    entries = {key: draft[key] for key in CHARACTER_KEYS if draft.get(key)}
    facts = [without_id(fact) for fact in entries.pop("facts", ()) if is_written(fact)]
    talks = [[without_id(turn) for turn in interaction] for interaction in entries.pop("interactions", ())]
    return entries | ({"facts": facts} if facts else {}) | ({"interactions": talks} if talks else {})


def without_id(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A fact or a turn as `character.yaml` has it."""
    return {key: value for key, value in entry.items() if key != "id"}


def is_written(fact: Mapping[str, Any]) -> bool:
    """Whether a fact has a question or an answer."""
    return bool(str(fact.get("question", "")).strip() or str(fact.get("answer", "")).strip())


def character_of(draft: Mapping[str, Any]) -> tuple[Character, list[Problem]]:
    """The character that a draft describes so far, and what in it could not be read."""
    problems: list[Problem] = []
    return character_from_entries(entries_of(draft), problems), problems


def image_entry(draft: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The entry of one picture in `pictures`; CharacterProblems when it was taken out meanwhile."""
    for entry in draft.get("pictures", []):
        if entry["file"] == file:
            found: dict[str, Any] = entry
            return found
    raise gone(f"The picture {file}")


def caption_entry(draft: Draft, file: str) -> dict[str, Any]:
    """The entry of one picture in `images`; made when it is missing."""
    for entry in draft.setdefault("images", []):
        if entry["file"] == file:
            found: dict[str, Any] = entry
            return found
    draft["images"].append({"file": file})
    made: dict[str, Any] = draft["images"][-1]
    return made


def gone(what: str) -> CharacterProblems:
    """What is raised when another tab has taken something out."""
    return CharacterProblems([Problem("draft", f"{what} is no longer there.", "Another tab took it out; look again.")])
