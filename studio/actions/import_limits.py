"""What of an imported character a draft can hold: one part too long or too many never refuses the file.

Texts stay whole, since the forms show longer ones than can be trained on; of lists the first items are taken.
"""

from __future__ import annotations

from dataclasses import replace

from pipelines.core.character.character import Character, HeldOut
from pipelines.core.character.serialize import character_to_entries
from pipelines.core.formats.card_images import rename_images
from pipelines.core.problems import Problem
from studio.actions.drafts import MAX_CHARS, MAX_DRAFT_IMAGES, MAX_FACTS, MAX_INTERACTIONS, MAX_TURN_CHARS


def fit_imported(character: Character, file: str) -> tuple[Character, list[Problem]]:
    """An imported character as a draft can hold it, and notes: long texts stay whole, what is too many is left out.

    No single part refuses the whole: the forms show longer texts than can be trained on, and say by how much.
    """
    notes = []
    entries = character_to_entries(character)
    for field, most in MAX_CHARS.items():
        size = len(str(entries.get(field, "")))
        if size > most:
            notes.append(_too_long(f"The {field} in {file} is {size:,} characters long; {most:,} can be used."))
    longest = max((len(turn.text) for talk in character.interactions for turn in talk), default=0)
    if longest > MAX_TURN_CHARS:
        notes.append(
            _too_long(f"The longest turn in {file} has {longest:,} characters; {MAX_TURN_CHARS:,} can be used.")
        )
    for key, noun, most in (
        ("interactions", "conversations", MAX_INTERACTIONS),
        ("facts", "facts", MAX_FACTS),
        ("images", "pictures", MAX_DRAFT_IMAGES),
    ):
        count = len(entries.get(key, ()))
        if count > most:
            message = f"{file} holds {count:,} {noun}; the first {most:,} were taken."
            mend = "Take some out of the file if others matter more."
            notes.append(Problem(file, message, mend, "warning", outcome="left out"))
    character = replace(
        character,
        interactions=character.interactions[:MAX_INTERACTIONS],
        facts=character.facts[:MAX_FACTS],
        images=character.images[:MAX_DRAFT_IMAGES],
    )
    return _without_gone(character), notes


def _too_long(message: str) -> Problem:
    mend = "All of it is kept. Shorten it before you train; details belong into facts and conversations."
    return Problem("text", message, mend, "warning", outcome="changed")


def _without_gone(character: Character) -> Character:
    """The character without mentions of pictures, conversations and facts that it no longer lists."""
    listed = [*(image.file for image in character.images), *character.input_images]
    files = {file: file for file in listed}
    chosen = character.held_out
    held = HeldOut(
        _within(chosen.conversations, len(character.interactions)),
        _within(chosen.facts, len(character.facts)),
        None if chosen.images is None else tuple(file for file in chosen.images if file in files),
    )
    return replace(
        character,
        interactions=tuple(rename_images(talk, files) for talk in character.interactions),
        references=tuple(file for file in character.references if file in files),
        held_out=held,
    )


def _within(places: tuple[int, ...] | None, count: int) -> tuple[int, ...] | None:
    return None if places is None else tuple(place for place in places if place < count)
