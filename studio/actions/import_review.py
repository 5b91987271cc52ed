"""Every import ends here before anything of it is saved: what it brings, what was changed, what was left out and why.

    staged = stage_character(context, name, file)      or stage_pictures, stage_talks
    take(context, staged.id) -> id of the character    or discard(context, staged.id)

Files are untrusted: a process of its own reads them (`upload_readers.py`) into a temporary folder. What was read waits
in the context, not in the records or the object store, so that cancelling leaves nothing; a restart forgets it too.
`app_pages/review.py` draws it.
"""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from pipelines.core.character.character import Character, Interaction
from pipelines.core.formats.blank_lines import NOT_PARTED, PARTED
from pipelines.core.formats.chat_formats import Conversations
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.jobs.job import RecordMissing
from pipelines.core.problems import CharacterProblems, Outcome, Problem
from pipelines.core.upload_process import read_apart
from studio.actions import images, picture_uploads, talk_uploads
from studio.actions.captions import look_after_upload
from studio.actions.card_gaps import lacking
from studio.actions.characters import draft_of_character
from studio.actions.drafts import Draft, own_character
from studio.actions.drawings import draw_after_upload
from studio.actions.import_limits import fit_imported
from studio.actions.refused_uploads import forget_refused
from studio.actions.upload_readers import CharacterUpload, PictureUpload, plain_name, read_character_upload
from studio.context import AppContext, Staged
from studio.labels import counted

MAX_IMPORT_BYTES = 96 * 2**20
"""Larger files are refused before they are opened; a card with fifteen large pictures is smaller."""
MAX_SHOWN = 12
"""Pictures that are shown; the rest is counted."""
_READ_BYTES = 1 << 20
_TURN_BYTES = 500
"""That a turn takes in memory besides its words."""

Group = Outcome | Literal["missing"]


@dataclass(frozen=True)
class StagedPicture:
    """A picture that would be taken in."""

    name: str
    """As the upload calls it."""
    caption: str
    thumb: bytes


@dataclass(frozen=True)
class Contents:
    """What an upload brings."""

    counts: tuple[str, ...] = ()
    """ "10 pictures", "3 conversations"."""
    texts: tuple[tuple[str, str], ...] = ()
    """Title and words of each text."""
    pictures: tuple[StagedPicture, ...] = ()
    talks: tuple[Interaction, ...] = ()
    more_pictures: int = 0
    """How many are not among `pictures`."""


@dataclass
class StagedUpload(Staged):
    """An upload that was read and is not saved yet."""

    name: str
    """What was uploaded, as it may be shown."""
    character: str
    """Id of the character that it goes into; "" for a new one."""
    contents: Contents
    notes: dict[Group, tuple[Problem, ...]]
    save: Callable[[AppContext], str] | None
    """Saves it and returns the character's id; None while a role must be chosen."""
    roles: Counter[str] = field(default_factory=Counter)
    """Names to choose one of, with their samples or pictures."""
    read: Callable[[str], StagedUpload] | None = None
    """Reads it again for one of the names."""
    pasted: str = ""
    """Words of the field that the upload came from, which is emptied when they are taken in."""
    readings: tuple[str, ...] = ()
    """In words, the two ways in which the file can be read: divided at empty lines, and as one conversation."""
    reading: int = 0
    """Which of `readings` this is."""
    read_otherwise: Callable[[AppContext], StagedUpload] | None = None
    """Makes the other one of it."""


def get(context: AppContext, id: str) -> StagedUpload | None:
    """The upload of that id; None when it was taken in, cancelled, or is from before a restart."""
    found = context.staged(id)
    return found if isinstance(found, StagedUpload) else None


def take(context: AppContext, id: str) -> str:
    """Save an upload; returns the character's id. What cannot be saved stays to be looked at."""
    waiting = get(context, id)
    if waiting is not None and waiting.save is None:
        raise RecordMissing("nobody has chosen a character of this upload yet")
    staged = context.unstage(id)
    if not isinstance(staged, StagedUpload) or staged.save is None:
        raise RecordMissing("this upload was taken in or cancelled already")
    try:
        character = staged.save(context)
    except BaseException:
        context.stage(staged)
        raise
    staged.discard()
    return character


def discard(context: AppContext, id: str) -> None:
    """Cancel an upload."""
    staged = context.unstage(id)
    if staged is not None:
        staged.discard()


def _grouped(found: Sequence[Problem], missing: Sequence[Problem] = ()) -> dict[Group, tuple[Problem, ...]]:
    """Notes by what became of what they are about; a fault that nobody says more of keeps it out."""
    groups: dict[Group, list[Problem]] = {"left out": [], "changed": [], "kept": [], "missing": list(missing)}
    for item in dict.fromkeys(found):
        groups[item.outcome or ("left out" if item.severity == "error" else "changed")].append(item)
    return {group: tuple(items) for group, items in groups.items()}


# ---------------------------------------------------------------- a character


def stage_character(context: AppContext, name: str, source: BinaryIO) -> StagedUpload:
    """Reads an uploaded file that holds a character; CharacterProblems says why it cannot be used."""
    name = plain_name(name)
    folder = tempfile.TemporaryDirectory(prefix="understudy-import-")
    try:
        # The importer needs the ending; the name itself never becomes a path.
        path = Path(folder.name) / f"upload{_plain_suffix(name)}"
        _receive(source, path, name)
        staged = _read_into(folder, path, name)
    except BaseException:
        folder.cleanup()
        raise
    context.stage(staged)
    return staged


def choose_role(context: AppContext, id: str, role: str) -> None:
    """Read the one that was chosen of an upload that holds several."""
    staged = get(context, id)
    if staged is None or staged.read is None:
        raise RecordMissing("this upload was taken in or cancelled already")
    context.stage(replace(staged.read(role), id=id, roles=staged.roles, read=staged.read))


def choose_reading(context: AppContext, id: str, reading: int) -> None:
    """Take the file divided at empty lines (0), or as one conversation (1)."""
    staged = get(context, id)
    if staged is None or staged.read_otherwise is None:
        raise RecordMissing("this upload was taken in or cancelled already")
    if staged.reading != reading:
        context.stage(replace(staged.read_otherwise(context), id=id))


def _receive(source: BinaryIO, path: Path, name: str) -> None:
    size = 0
    with path.open("wb") as file:
        while piece := source.read(_READ_BYTES):
            size += len(piece)
            if size > MAX_IMPORT_BYTES:
                message = f"{name} is larger than {MAX_IMPORT_BYTES >> 20} MB."
                raise CharacterProblems([Problem(name, message, "Leave out pictures that are not needed.")])
            file.write(piece)


def _read_into(folder: tempfile.TemporaryDirectory[str], path: Path, name: str, role: str = "") -> StagedUpload:
    """The upload read into a folder of its own beside it."""
    target = Path(folder.name) / f"character-{secrets.token_hex(4)}"
    try:
        read = read_apart(read_character_upload, str(path), str(target), role, name, file=name)
    except RoleNeeded as several:
        return StagedUpload(
            name,
            "",
            Contents(),
            _grouped([]),
            None,
            several.roles,
            partial(_read_into, folder, path, name),
            folder=folder,
        )
    character, limits = fit_imported(read.character, name)

    def save(context: AppContext) -> str:
        draft = draft_of_character(context, character, target, read.small)
        return context.records.characters.create(context.owner, {**draft, "origin": name}).id

    entries: Draft = {"pictures": character.images, "interactions": character.interactions}
    grouped = _grouped([*limits, *read.notes], lacking(entries))
    return StagedUpload(name, "", _contents(character, read), grouped, save, folder=folder)


def _contents(character: Character, read: CharacterUpload) -> Contents:
    counts = [
        counted(len(character.images), "picture"),
        counted(len(character.interactions), "conversation"),
        counted(len(character.facts), "fact"),
    ]
    if character.input_images:
        counts.append(counted(len(character.input_images), "picture") + " that others show")
    if read.test_dialogues is not None:
        counts.append(f"a test of {counted(read.test_dialogues, 'conversation')}")
    shown = [(image.file, image.description) for image in character.images]
    shown += [(file, "somebody shows it") for file in character.input_images]
    texts = {
        "Name": character.name,
        "Who they are": character.persona,
        "How they speak": character.style,
        "What never changes in their looks": character.appearance,
        "Greeting": character.greeting,
        "Scenario": character.scenario,
        "Facts": "\n".join(f"{fact.question} {fact.answer}" for fact in character.facts),
        "Licence": character.licence,
    }
    return Contents(
        tuple(counts),
        tuple((title, words) for title, words in texts.items() if words),
        tuple(StagedPicture(file, caption, read.small[file].thumb) for file, caption in shown[:MAX_SHOWN]),
        character.interactions,
        max(len(shown) - MAX_SHOWN, 0),
    )


def _plain_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) < 8 else ""


# ---------------------------------------------------------------- into a character that is there


def stage_pictures(context: AppContext, id: str, files: Sequence[tuple[str, bytes]]) -> StagedUpload:
    """Reads pictures with their captions, or a set of them, for a character that is there."""
    staged = _read_pictures(context, id, files)
    context.stage(staged)
    return staged


def _read_pictures(context: AppContext, id: str, files: Sequence[tuple[str, bytes]], role: str = "") -> StagedUpload:
    name = plain_name(files[0][0]) if len(files) == 1 else counted(len(files), "file")
    draft = own_character(context, id).draft
    try:
        upload = picture_uploads.read_uploads(files, str(draft.get("name", "")), role)
    except RoleNeeded as several:
        return StagedUpload(
            name,
            id,
            Contents(),
            _grouped([]),
            None,
            several.roles,
            partial(_read_pictures, context, id, files),
            held_bytes=_size(files),
        )
    captions, told = picture_uploads.captions_of(draft, upload)
    notes = [*upload.refused, *picture_uploads.too_many(draft, upload), *told]
    notes = [replace(item, files=tuple(map(plain_name, item.files))) for item in notes]  # as the pictures are shown
    if not upload.pictures and not captions:
        raise CharacterProblems(notes or [Problem("images", "There is nothing to take in.", "Drop in pictures.")])

    def save(context: AppContext) -> str:
        images.add_read(context, id, upload)
        forget_refused(context, id)  # it was read here
        look_after_upload(context, id)
        draw_after_upload(context, id)
        return id

    contents = _picture_contents(draft, upload, captions)
    held = _size(upload.pictures) + _size(upload.captions)
    return StagedUpload(name, id, contents, _grouped(notes), save, held_bytes=held)


def _size(files: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(data) for _, data in files)


def _picture_contents(draft: Draft, upload: PictureUpload, captions: dict[int, str]) -> Contents:
    there = draft.get("pictures", [])
    taken = upload.pictures[: picture_uploads.room_for_pictures(draft)]
    shown = []
    for place, ((name, _), small) in enumerate(zip(taken[:MAX_SHOWN], upload.small, strict=False), start=len(there)):
        fields = upload.described.get(name, {})
        caption = captions.get(place) or fields.get("caption") or ", ".join(fields.values())
        shown.append(StagedPicture(plain_name(name), caption, small.thumb))
    described = sum(
        bool(captions.get(place) or upload.described.get(name))
        for place, (name, _) in enumerate(taken, start=len(there))
    )
    older = [place for place in captions if place < len(there)]
    counts = [counted(len(taken), "picture"), counted(described, "caption")]
    if older:
        counts.append(f"{counted(len(older), 'caption')} for pictures that are there")
    texts = [(f"Caption of {there[place]['original']}", captions[place]) for place in older[:MAX_SHOWN]]
    return Contents(tuple(counts), tuple(texts), tuple(shown), more_pictures=max(len(taken) - MAX_SHOWN, 0))


def stage_talks(context: AppContext, id: str, found: Conversations, source: str, pasted: str = "") -> StagedUpload:
    """Conversations that were read for a character that is there; `pasted` is the text of a field that held them.

    Raises:
        CharacterProblems: all of them are there already.
    """
    staged = _read_talks(id, found, source, pasted, context)
    context.stage(staged)
    return staged


def _read_talks(id: str, found: Conversations, source: str, pasted: str, context: AppContext) -> StagedUpload:
    fresh, notes = talk_uploads.fresh_of(own_character(context, id).draft, found, source)
    if not fresh and not found.rejected:
        raise CharacterProblems(notes)

    def save(context: AppContext) -> str:
        talk_uploads.add_read(context, id, found, source)
        return id

    known = talk_uploads.taken_of(found, fresh)
    counts = [counted(len(fresh), "conversation")]
    if found.rejected:
        counts.append(f"{counted(len(found.rejected), 'answer')} that were not chosen")
    held = sum(_TURN_BYTES + len(turn.text) for talk in found.interactions for turn in talk)
    contents = Contents(tuple(counts), talks=known)
    staged = StagedUpload(source, id, contents, _grouped(notes), save, pasted=pasted, held_bytes=held)
    if found.otherwise is None:
        return staged
    notes = [item for item in notes if item.message.removesuffix(".") not in (PARTED, NOT_PARTED)]  # asked above
    other = replace(found.otherwise, otherwise=replace(found, otherwise=None))
    both = (found, other) if found.is_parted else (other, found)
    return replace(
        staged,
        notes=_grouped(notes),
        held_bytes=2 * held,
        readings=tuple(map(_reading, both)),
        reading=both.index(found),
        read_otherwise=partial(_read_talks, id, other, source, pasted),
    )


def _reading(found: Conversations) -> str:
    """How many conversations a file holds, in words."""
    exchanges = sum(turn.role == "character" for talk in found.interactions for turn in talk)
    count = counted(len(found.interactions), "conversation")
    return f"{count}, divided by the empty lines" if found.is_parted else f"{count} of {counted(exchanges, 'exchange')}"
