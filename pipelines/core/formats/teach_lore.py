"""What a character learns of its lorebook, on the creator's choice: facts, part of the persona, or nothing.

The lorebook itself stays as it was, kept for export among the extensions; the studio shows all of it in step 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pipelines.core.character.character import Character, Fact
from pipelines.core.character.character_folder import CHARACTER_FILE, read_character, write_character
from pipelines.core.character.checks import LONG_FACT_TOKENS
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.card_fields import KEPT_KEY, kept_card, nickname_of, without_stale_originals
from pipelines.core.formats.card_files import MAX_TEXT_BYTES, read_bytes
from pipelines.core.formats.extension_limits import fit_extensions
from pipelines.core.formats.import_notes import notes_from
from pipelines.core.formats.json_text import parse_json
from pipelines.core.formats.lorebook import LoreEntry, is_lorebook, read_entries
from pipelines.core.formats.speaker_labels import SpeakerNames
from pipelines.core.problems import CharacterProblems, Problem, only_kept
from pipelines.core.token_estimate import estimate_tokens
from pipelines.core.words import sentences_of

LoreUse = Literal["keep", "facts", "persona"]
LORE_USES: tuple[LoreUse, ...] = ("keep", "facts", "persona")
"""What becomes of the constant entries of a lorebook."""


def lore_of(extensions: Mapping[str, object]) -> list[LoreEntry]:
    """The lorebook that came with a character's card, or was added to it; entries without words are left out."""
    return read_entries(kept_card(extensions).get("character_book"))


def constant_entries(extensions: Mapping[str, object]) -> list[LoreEntry]:
    """The entries that are in every prompt of the program that made them."""
    return [entry for entry in lore_of(extensions) if entry.constant and entry.enabled]


def teach(character: Character, entries: Sequence[LoreEntry], use: LoreUse, mended: Counter[str]) -> Character:
    """The character with these entries as facts or as part of its persona; the lorebook itself stays as it was.

    A fact is a short answer, so of a long entry the first sentences are taken; `mended` counts that. What is known
    already is not added again.
    """
    names = SpeakerNames(character.name, nickname_of(character.extensions))
    if use == "keep" or not entries:
        return character
    for entry in entries:
        text = names.resolve_in_description(entry.content, mended)
        if use == "persona":
            if text and text not in character.persona:
                persona = f"{character.persona}\n\n{text}".strip()
                character = replace(character, persona=persona)
                mended["entries of the lorebook became part of the persona"] += 1
            continue
        fact = _fact(entry, names.resolve_in_description(entry.topic), text, character.facts, mended)
        if fact is not None:
            character = replace(character, facts=(*character.facts, fact))
            mended["entries of the lorebook became facts"] += 1
    return without_stale_originals(character)


def lore_words(character: Character, entry: LoreEntry) -> str:
    """What an entry says, with the names behind its macros."""
    return SpeakerNames(character.name, nickname_of(character.extensions)).resolve_in_description(entry.content)


def taught_as(character: Character, entry: LoreEntry) -> LoreUse:
    """Whether the character has learned an entry already: "persona", "facts", or "keep" for neither."""
    text = lore_words(character, entry)
    if text and text in character.persona:
        return "persona"
    answer = _short(text)
    return "facts" if any(fact.answer == answer for fact in character.facts) else "keep"


def _fact(entry: LoreEntry, topic: str, text: str, known: Sequence[Fact], mended: Counter[str]) -> Fact | None:
    """A question about the entry and its answer; None for one that is known."""
    answer = _short(text)
    if not answer or any(fact.answer == answer for fact in known):
        return None
    if answer != text:
        mended["long entries became facts with their first sentences alone"] += 1
    questions = {fact.question for fact in known}
    question = f"What do you know about {topic[:80]}?" if topic else "What should I know about you?"
    number = 2
    while question in questions:  # one question has one answer
        question = f"What else do you know about {topic[:80] or 'yourself'}? ({number})"
        number += 1
    return Fact(question, answer)


def _short(text: str) -> str:
    """The first sentences that fit into a fact's answer; at least one."""
    taken: list[str] = []
    for sentence in sentences_of(" ".join(text.split())):
        if taken and estimate_tokens(" ".join([*taken, sentence])) > LONG_FACT_TOKENS:
            break
        taken.append(sentence)
    whole = " ".join(text.split())
    return text if " ".join(taken) == whole else " ".join(taken)


def add_book(extensions: Mapping[str, object], book: Mapping[str, Any]) -> tuple[dict[str, object], int]:
    """The extensions with the entries of another lorebook behind those that are there; how many were new."""
    there = lore_of(extensions)
    fresh = [entry for entry in read_entries(book) if entry not in there]
    kept = extensions.get(KEPT_KEY)
    card = dict(kept) if isinstance(kept, dict) else {}
    data = dict(kept_card(extensions))
    old = data.get("character_book")
    whole = dict(old) if isinstance(old, dict) else {"extensions": {}}
    listed = whole.get("entries")
    values = list(listed.values()) if isinstance(listed, dict) else listed if isinstance(listed, list) else []
    more = [_as_card_entry(entry, len(values) + number) for number, entry in enumerate(fresh)]
    data["character_book"] = {**whole, "entries": [*values, *more]}
    return {**extensions, KEPT_KEY: {**card, "data": data}}, len(fresh)


def _as_card_entry(entry: LoreEntry, order: int) -> dict[str, Any]:
    """The entry as V2 and V3 have it."""
    return {
        "keys": list(entry.keys),
        "content": entry.content,
        "extensions": {},
        "enabled": entry.enabled,
        "insertion_order": order,
        "use_regex": False,
        "constant": entry.constant,
        "name": entry.title,
        "comment": entry.title,
    }


def import_lorebook(source: Path, folder: Path, use: LoreUse = "keep") -> list[Problem] | None:
    """Adds a lorebook of its own to the character of a folder; None when the source is none, or nobody is there."""
    if source.suffix.lower() != ".json" or not source.is_file() or not (folder / CHARACTER_FILE).exists():
        return None
    try:
        text, _ = decode_text(read_bytes(source, source.name)[:MAX_TEXT_BYTES], source.name)
        book = parse_json(text, source.name)
    except (CharacterProblems, ValueError):
        return None  # whoever reads it next says what is wrong
    if not is_lorebook(book):
        return None
    mended: Counter[str] = Counter()
    character, added = added_book(read_character(folder), with_clean_texts(book, mended), use, mended)
    if added:
        write_character(character, folder)
    return notes_from(mended, source.name)


def added_book(
    character: Character, book: Mapping[str, Any], use: LoreUse, mended: Counter[str]
) -> tuple[Character, int]:
    """The character with a lorebook of its own, constant entries taught as chosen; how many entries were new."""
    extensions, added = add_book(character.extensions, book)
    mended[only_kept("entries of the lorebook were added; what is not taught is kept for export")] += added
    constant = [entry for entry in read_entries(book) if entry.constant and entry.enabled]
    character = replace(character, extensions=fit_extensions(extensions, mended))
    return teach(character, constant, use, mended), added
