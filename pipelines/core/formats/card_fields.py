"""The text fields of a Character Card, both ways: card data -> `Character`, `Character` -> card data (V1, V2, V3).

Of a card of another program description and personality become the persona, `first_mes` the greeting, `mes_example`
the interactions and `extensions.sd_character_prompt` the appearance. Creator notes, tags, creator and version are never
trained on. They and everything else are kept in `Character.extensions` (extensions as they are, other fields under
`understudy_card`) and written back on export, where fields nobody changed get their original text again.
A card that was exported here carries the whole character under `extensions.understudy`; standard fields that another
program has edited since take precedence over it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.names import split_title, tidy_name
from pipelines.core.character.serialize import character_from_entries, character_to_entries
from pipelines.core.formats.ali_chat import split_description
from pipelines.core.formats.card_examples import read_blocks, write_blocks
from pipelines.core.formats.card_notes import unused_notes
from pipelines.core.formats.card_shapes import as_card
from pipelines.core.formats.card_valid import valid_data
from pipelines.core.formats.chat_logs import chat_logs
from pipelines.core.formats.import_notes import Mended, note, notes_from, refuse
from pipelines.core.formats.json_text import text_of
from pipelines.core.formats.media_marks import without_marks
from pipelines.core.formats.speaker_labels import SpeakerNames
from pipelines.core.formats.turn_fields import RawRecord
from pipelines.core.problems import Problem, errors

OWN_KEY = "understudy"
"""Key in a card's `data.extensions` under which the whole character is exported."""
KEPT_KEY = "understudy_card"
"""Key in `Character.extensions` for fields of a card that a character has no place for."""
APPEARANCE_KEY = "sd_character_prompt"
"""Extension from which SillyTavern takes the prompt of an image generator."""
MAX_EXAMPLES = 8
"""Interactions written to `mes_example`, which chat programs put into every prompt; OWN_KEY has all of them."""
V2_NOTICE = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. "
    "Please use a Character Card V3 compatible application to use this character card properly."
)
"""The words that the V3 specification prescribes for the creator notes of a V2 copy."""

V1_FIELDS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
"""The six fields of a V1 card."""
V2_DEFAULTS: dict[str, Any] = {
    "creator_notes": "",
    "system_prompt": "",
    "post_history_instructions": "",
    "alternate_greetings": [],
    "tags": [],
    "creator": "",
    "character_version": "",
    "extensions": {},
}
V3_ONLY = (
    "assets",
    "nickname",
    "creator_notes_multilingual",
    "source",
    "group_only_greetings",
    "creation_date",
    "modification_date",
)


@dataclass(frozen=True)
class CardData:
    """One card, of whatever version, as V2-like data."""

    version: int
    """1, 2 or 3."""
    data: dict[str, Any]
    notes: list[Problem]
    chats: tuple[RawRecord, ...] = ()
    """Chats with the character that came with it."""


def card_data(card: Any, file: str) -> CardData:
    """Finds version and data in a card's JSON.

    Raises:
        CharacterProblems: not a card, or a card without a name.
    """
    chats = tuple(chat_logs(card))
    card = as_card(card, file)
    if not isinstance(card, dict):
        refuse(file, "is not a Character Card: it holds no JSON object", "Export it again where it was made.")
    spec, data = card.get("spec"), card.get("data")
    notes = []
    if isinstance(data, dict) and (str(spec).startswith("chara_card_v") or "name" in data):
        version = 2 if spec == "chara_card_v2" else 3
        if spec not in ("chara_card_v2", "chara_card_v3"):
            notes.append(note(file, f"The card says it is {str(spec)[:40]!r}; it is read like a V3 card."))
        elif version == 3 and str(card.get("spec_version")) != "3.0":
            found = str(card.get("spec_version"))[:20]
            notes.append(
                note(file, f"The card is of version {found!r}; newer parts are kept, but not used.", outcome="kept")
            )
    elif "name" in card and any(key in card for key in V1_FIELDS[1:]):
        version, data = 1, {key: value for key, value in card.items() if key not in ("spec", "spec_version", "data")}
    else:
        names = ", ".join(repr(str(key)[:30]) for key in list(card)[:6])
        refuse(
            file,
            f"is not a Character Card (it has {names or 'nothing in it'})",
            "A card has a name and a description, or `spec` and `data`.",
        )
    for key in V1_FIELDS:
        if not isinstance(data.get(key, ""), str):
            if data[key] is not None:
                notes.append(note(file, f"The field {key!r} is not a text, so it is left out.", outcome="left out"))
            data = {**data, key: ""}
    if not name_of(data):
        refuse(file, "has no name", "Give the character a name in the program that made the card.")
    return CardData(version, data, notes, chats)


def name_of(data: Mapping[str, Any]) -> str:
    """What the character of a card's data is called: its name in one line, without a title behind it."""
    return split_title(tidy_name(text_of(data, "name")))[0]


def _names_of(data: Mapping[str, Any]) -> SpeakerNames:
    return SpeakerNames(name_of(data), tidy_name(text_of(data, "nickname")))


def _extension(data: dict[str, Any], key: str) -> dict[str, Any]:
    extensions = data.get("extensions")
    value = extensions.get(key) if isinstance(extensions, dict) else None
    return value if isinstance(value, dict) else {}


def kept_card(extensions: Mapping[str, object]) -> dict[str, Any]:
    """The fields of an imported card that a character only keeps for export; {} without any."""
    kept = extensions.get(KEPT_KEY)
    data = kept.get("data") if isinstance(kept, dict) else None
    return data if isinstance(data, dict) else {}


def nickname_of(extensions: Mapping[str, object]) -> str:
    """What the imported card calls the character in its texts; "" for none."""
    return tidy_name(text_of(kept_card(extensions), "nickname"))


# ---------------------------------------------------------------- card -> character


def character_of_card(card: CardData, file: str) -> tuple[Character, list[Problem]]:
    """The character of a card and notes on what was left out; pictures are listed only by a card exported here."""
    data = card.data
    mended: Counter[str] = Mended()
    foreign = _from_standard_fields(data, mended)
    notes = list(card.notes)
    own = _from_own_block(data)
    if own is None:
        if OWN_KEY in (data.get("extensions") or {}):
            message = "Our part of the card was damaged elsewhere; only the usual fields are read."
            notes.append(note(file, message, outcome="left out"))
        character = foreign
        title = split_title(tidy_name(text_of(data, "name")))[1]
        if title:
            message = f"The name has a title behind it, {title[:80]!r}: the character is called {foreign.name}."
            notes.append(note(file, message, "Correct the name if all of it is meant."))
        notes += notes_from(mended, file) + unused_notes(data, file)
    else:
        character = _with_edits(own, foreign, data)
    kept = _extensions_to_keep(data, character, foreign)
    return replace(character, extensions=kept), notes


def _from_standard_fields(data: dict[str, Any], mended: Counter[str]) -> Character:
    """The character as the standard fields tell it."""
    speakers = _names_of(data)
    described, told = split_description(text_of(data, "description"))
    description, personality = (
        speakers.resolve_in_description(described, mended),
        speakers.resolve_in_description(text_of(data, "personality"), mended),
    )
    texts = [description] if personality in description else [description, personality]
    examples = text_of(data, "mes_example")
    interactions, found = read_blocks(f"{told}\n<START>\n{examples}" if told.strip() else examples, speakers)
    mended.update(found)
    return Character(
        name=speakers.name,
        persona="\n\n".join(text for text in texts if text),
        appearance=speakers.resolve_in_description(text_of(_extension(data, APPEARANCE_KEY), "positive")),
        greeting=without_marks(speakers.resolve_in_speech(text_of(data, "first_mes"), mended), mended).strip(),
        scenario=speakers.resolve_in_description(text_of(data, "scenario"), mended),
        interactions=interactions,
    )


def _from_own_block(data: dict[str, Any]) -> Character | None:
    """The character under OWN_KEY; None without one, or when another program damaged it."""
    entries = _extension(data, OWN_KEY).get("character")
    if not isinstance(entries, dict):
        return None
    problems: list[Problem] = []
    character = character_from_entries(entries, problems)
    return None if errors(problems) else character


def image_hashes(data: dict[str, Any]) -> dict[str, str]:
    """File name -> SHA-256 of the pictures of a card that was exported here; {} for any other."""
    extensions = data.get("extensions")
    own = extensions.get(OWN_KEY) if isinstance(extensions, dict) else None
    hashes = own.get("image_sha256") if isinstance(own, dict) else None
    return {key: value for key, value in hashes.items() if isinstance(value, str)} if isinstance(hashes, dict) else {}


def _with_edits(own: Character, foreign: Character, data: dict[str, Any]) -> Character:
    """The exported character with the standard fields that another program has changed since."""
    texts = _v1_texts(own)
    unchanged = {key: text_of(data, key) == texts[key].strip() for key in V1_FIELDS}
    whole_persona = foreign.persona == own.persona
    resolve = _names_of(data).resolve_in_description
    visual = text_of(_extension(data, APPEARANCE_KEY), "positive")
    changed: dict[str, Any] = {} if unchanged["name"] else {"name": foreign.name}
    if not unchanged["description"] and not whole_persona:
        changed["persona"] = resolve(text_of(data, "description"))
    if not unchanged["personality"] and not whole_persona:
        changed["style"] = resolve(text_of(data, "personality"))
    if not unchanged["scenario"]:
        changed["scenario"] = foreign.scenario
    if not unchanged["first_mes"]:
        changed["greeting"] = foreign.greeting
    if visual != own.appearance:
        changed["appearance"] = foreign.appearance
    if not unchanged["mes_example"] and not _same_blocks(foreign.interactions, own.interactions):
        changed["interactions"] = foreign.interactions + own.interactions[MAX_EXAMPLES:]
    return replace(own, **changed)


def _same_blocks(left: tuple[Interaction, ...], right: tuple[Interaction, ...]) -> bool:
    return write_blocks(left) == write_blocks(right)


def _extensions_to_keep(data: dict[str, Any], character: Character, foreign: Character) -> dict[str, object]:
    """The card's extensions, and under `KEPT_KEY` every other field that is not empty."""
    data = valid_data(data)
    extensions = data.get("extensions")
    kept: dict[str, object] = {
        str(key): value
        for key, value in (extensions if isinstance(extensions, dict) else {}).items()
        if key not in (OWN_KEY, KEPT_KEY, APPEARANCE_KEY)
    }
    visual = {key: value for key, value in _extension(data, APPEARANCE_KEY).items() if key != "positive" and value}
    if visual:
        kept[APPEARANCE_KEY] = visual
    rest = {
        key: value
        for key, value in data.items()
        if key not in (*V1_FIELDS, "extensions", "assets") and value not in (None, "", [], {})
    }
    notes = rest.get("creator_notes")
    if isinstance(notes, str) and notes.startswith(V2_NOTICE):
        rest["creator_notes"] = notes.removeprefix(V2_NOTICE).strip()
        if not rest["creator_notes"]:
            del rest["creator_notes"]
    # Original texts are kept only where the character's fields would not give them again on export.
    exported = _v1_texts(character)
    original = {key: text_of(data, key) for key in V1_FIELDS if text_of(data, key) != exported[key].strip()}
    same = character.persona == foreign.persona
    original = {key: value for key, value in original.items() if same or key not in ("description", "personality")}
    card = {**({"data": rest} if rest else {}), **({"original": original} if original else {})}
    return {**kept, KEPT_KEY: card} if card else kept


# ---------------------------------------------------------------- character -> card


def _v1_texts(character: Character) -> dict[str, str]:
    """The six fields of V1, from the character alone."""
    return {
        "name": character.name,
        "description": character.persona,
        "personality": character.style,
        "scenario": character.scenario,
        "first_mes": character.greeting,
        "mes_example": write_blocks(character.interactions[:MAX_EXAMPLES]),
    }


def _v1_texts_or_original(character: Character, kept: dict[str, Any]) -> dict[str, str]:
    """The six fields; the imported card's original text where the character still says the same."""
    texts = _v1_texts(character)
    original = kept.get("original")
    if not isinstance(original, dict):
        return texts
    card = {**texts, "personality": "", **original, "nickname": nickname_of({KEPT_KEY: kept})}
    meant = _from_standard_fields(card, Counter())
    if meant.name == character.name:
        texts["name"] = text_of(card, "name")
    if meant.persona == character.persona and not character.style:
        texts |= {"description": text_of(card, "description"), "personality": text_of(card, "personality")}
    if meant.scenario == character.scenario:
        texts["scenario"] = text_of(card, "scenario")
    if meant.greeting == character.greeting:
        texts["first_mes"] = text_of(card, "first_mes")
    if _same_blocks(meant.interactions, character.interactions):
        texts["mes_example"] = text_of(card, "mes_example")
    return texts


def without_stale_originals(character: Character) -> Character:
    """The character without those original texts of its card that it no longer says, as a new import would leave it."""
    kept = character.extensions.get(KEPT_KEY)
    original = kept.get("original") if isinstance(kept, dict) else None
    if not isinstance(kept, dict) or not isinstance(original, dict):
        return character
    used = _v1_texts_or_original(character, kept)
    left = {key: text for key, text in original.items() if used.get(key) == text}
    card = {key: value for key, value in {**kept, "original": left}.items() if value}
    extensions = {key: value for key, value in character.extensions.items() if key != KEPT_KEY}
    return replace(character, extensions={**extensions, KEPT_KEY: card} if card else extensions)


def data_of_character(character: Character, image_sha256: dict[str, str]) -> dict[str, Any]:
    """The `data` of a V3 card, without assets; `image_sha256` lets an import find each picture again by its hash."""
    kept = character.extensions.get(KEPT_KEY)
    kept = kept if isinstance(kept, dict) else {}
    rest = kept_card(character.extensions)
    extensions = {key: value for key, value in character.extensions.items() if key != KEPT_KEY}
    visual = extensions.get(APPEARANCE_KEY)
    if character.appearance or visual:
        extensions[APPEARANCE_KEY] = {
            "positive": character.appearance,
            "negative": "",
            **(visual if isinstance(visual, dict) else {}),
        }
    entries = {key: value for key, value in character_to_entries(character).items() if key != "extensions"}
    extensions[OWN_KEY] = {"version": 1, "character": entries, "image_sha256": image_sha256}
    texts = _v1_texts_or_original(character, kept)
    # Whoever wrote character.yaml by hand may have put anything there.
    data = valid_data({**rest, **texts, "extensions": extensions})
    return {**V2_DEFAULTS, "group_only_greetings": [], **data}


def card_of_data(data: dict[str, Any], version: int, backfill: bool = False) -> dict[str, Any]:
    """The card's JSON object for version 1, 2 or 3; `backfill` marks a V2 copy that stands beside a V3 card."""
    if version == 3:
        return {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}
    if version == 1:
        return {key: data[key] for key in V1_FIELDS}
    older = {key: value for key, value in data.items() if key not in V3_ONLY}
    if isinstance(older.get("character_book"), dict):
        older["character_book"] = _plain_book(older["character_book"])
    if backfill:
        older["creator_notes"] = f"{V2_NOTICE}\n\n{data['creator_notes']}".strip()
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": older}


def _plain_book(book: dict[str, Any]) -> dict[str, Any]:
    """A lorebook without V3's `@@decorators`, which older programs would show as text."""
    entries = book.get("entries")
    if not isinstance(entries, list):
        return book
    return {**book, "entries": [_plain_entry(entry) for entry in entries]}


def _plain_entry(entry: Any) -> Any:
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(content, str):
        return entry
    lines = [line for line in content.split("\n") if not line.startswith("@@")]
    return {**entry, "content": "\n".join(lines).strip("\n")}
