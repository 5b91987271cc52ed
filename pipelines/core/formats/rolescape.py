"""RoleScape-20 folders: one character of the paper's data set, with its train and test split.

`read_rolescape(train_dir, test_dir)` reads `data/personalized_data/{train,test}/<dir>/` as the authors lay it out.
That data may not be passed on, so none of it is here: you point at your own copy. As published, the training split
holds lines and questions of the test split, word for word; those are dropped from training, so that the
test stays whole, and counted in the notes. Picture numbers in the text-only conversations name pictures that do not
exist, so they are ignored.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipelines.core.character.character import (
    Character,
    CharacterImage,
    Fact,
    Interaction,
    Message,
    MultipleChoice,
    TestSplit,
    TextPart,
)
from pipelines.core.character.image_decode import MAX_IMAGE_BYTES
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.card_examples import BlockTurn, settle_turns
from pipelines.core.formats.card_files import MAX_TEXT_BYTES
from pipelines.core.formats.import_notes import Mended, note, notes_from, refuse, tell
from pipelines.core.formats.imported_character import ImportedCharacter
from pipelines.core.formats.json_text import parse_json
from pipelines.core.formats.profile_titles import heads_looks, heads_speech
from pipelines.core.problems import left_out
from pipelines.core.words import cut_at_sentence

LICENCE = "Not redistributable (RoleScape-20: no licence is published; third-party pictures)"
MAX_NUMBER_DIGITS = 9
SECTION_CHARS = 600
"""Most characters taken from one section of a profile; the system prompt is short."""

_SECTION = re.compile(
    r"^\s*(?:[*\-#]*\s*\*\*(?P<title>[^*:\n]{2,60}):?\*\*:?|#{1,6}[ \t]+(?P<heading>[^#*:\n]{2,60}):?[ \t]*$)[ \t]*",
    re.MULTILINE,
)


def is_rolescape(folder: Path) -> bool:
    """Whether the folder looks like one character of the training split."""
    return (folder / "annotation.json").is_file() or any(folder.glob("*_with_image.json"))


def rolescape_folders(source: Path) -> dict[str, Path]:
    """The characters' training folders of a copy of the data set, by name; {} where it is none.

    source: the folder `train` that holds them, or one of the three above it.
    """
    for inside in ("", "train", "personalized_data/train", "data/personalized_data/train"):
        root = source / inside
        found = (
            {path.name: path for path in sorted(root.iterdir()) if path.is_dir() and is_rolescape(path)}
            if (root.is_dir())
            else {}
        )
        if found and root.name != "test":
            return found
    return {}


def matching_test_dir(train_dir: Path) -> Path | None:
    """The test folder that belongs to `.../train/<dir>`, if it is there."""
    parts = list(train_dir.resolve().parts)
    if "train" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("train")
    found = Path(*parts[:at], "test", *parts[at + 1 :])
    return found if found.is_dir() else None


def read_rolescape(train_dir: Path, test_dir: Path | None) -> ImportedCharacter:
    """One character of RoleScape-20 with both splits; without `test_dir` its pictures and their talk are missing.

    Raises:
        CharacterProblems: no RoleScape folder, or one of its files is damaged (named in the problem).
    """
    if not is_rolescape(train_dir):
        refuse(
            train_dir.name,
            "is not a RoleScape folder: it has no annotation.json and no *_with_image.json",
            "Point at data/personalized_data/train/<character>.",
        )
    mended: Counter[str] = Mended()
    with_images = _read_record(train_dir, "*_with_image.json") or _read_record(train_dir, "annotation.json")
    images, captions = _numbered_images(train_dir, mended), _read_captions(train_dir)
    test_images = _numbered_images(test_dir, mended) if test_dir else {}
    interactions = _read_scenes(with_images, images, mended)
    interactions += _read_scenes(_read_record(train_dir, "*_dialogue_text_extension_train.json"), {}, mended)
    test = TestSplit(
        dialogues=_read_scenes(_read_record(train_dir, "*_dialogue_text_extension_test.json"), {}, mended)
        + _read_scenes(_read_test_record(test_dir), test_images, mended),
        choices=_read_choices(_read_record(train_dir, "*_knowledge_qa_test.json"), mended),
        images=_with_captions(test_images, _read_captions(test_dir) if test_dir else {}),
    )
    facts = _read_facts(_read_record(train_dir, "*_knowledge_qa.json"), mended)
    images = _without_copies(images, test_images, mended)
    profile = _read_text(train_dir, "*_full_profile.txt")
    character = Character(
        name=_name(train_dir),
        persona=_text(with_images, "description") or cut_at_sentence(profile, SECTION_CHARS),
        style=_section(profile, heads_speech),
        appearance=_section(profile, heads_looks),
        greeting=_text(with_images, "opening"),
        facts=_unseen_facts(facts, test, mended),
        images=_with_captions(images, captions),
        interactions=_unseen_interactions(interactions, test, images, mended),
        licence=LICENCE,
        extensions={"rolescape": {"folder": train_dir.name, "full_profile": profile}},
    )
    if not character.persona:
        refuse(train_dir.name, "has no description and no profile", "Get the folder again; its files are incomplete.")
    notes = notes_from(mended, train_dir.name)
    if test_dir is None:
        notes.append(
            note(train_dir.name, "the test folder is missing: no held-out pictures were imported.", outcome="left out")
        )
    return ImportedCharacter(character, test, images, test_images, notes)


def letters_and_digits(text: str) -> str:
    """A text as duplicates are compared across files: letters and digits only, case folded, NFKC."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())


def _unseen_interactions(
    interactions: tuple[Interaction, ...], test: TestSplit, images: dict[str, bytes], mended: Counter[str]
) -> tuple[Interaction, ...]:
    """Conversations none of whose lines stands in the test; references to dropped pictures are taken out."""
    tested = _lines(test.dialogues)
    unseen = []
    for interaction in interactions:
        if tested & _lines([interaction]):
            sentence = left_out("conversations with a line of the test were dropped from training")
            tell(mended, sentence, interaction[0].text)
        else:
            unseen.append(tuple(_without_dropped_images(message, images) for message in interaction))
    return tuple(unseen)


def _without_dropped_images(message: Message, images: dict[str, bytes]) -> Message:
    if all(picture in images for picture in message.images):
        return message
    return Message(message.role, (TextPart(message.text),), message.scene)


def _lines(interactions: Iterable[Interaction]) -> set[str]:
    return {letters_and_digits(message.text) for interaction in interactions for message in interaction} - {""}


def _unseen_facts(facts: tuple[Fact, ...], test: TestSplit, mended: Counter[str]) -> tuple[Fact, ...]:
    """Facts asked once, none of them a question of the test."""
    tested = {letters_and_digits(choice.question) for choice in test.choices}
    asked: set[str] = set()
    unseen = []
    for fact in facts:
        question = letters_and_digits(fact.question)
        if question in tested:
            tell(mended, left_out("facts that the test asks for were dropped from training"), fact.question)
        elif question in asked:
            tell(mended, left_out("facts asked twice were left out"), fact.question)
        else:
            asked.add(question)
            unseen.append(fact)
    return tuple(unseen)


def _without_copies(images: dict[str, bytes], test_images: dict[str, bytes], mended: Counter[str]) -> dict[str, bytes]:
    """The training pictures that are not byte for byte a picture of the test."""
    tested = {hashlib.sha256(data).digest() for data in test_images.values()}
    kept = {file: data for file, data in images.items() if hashlib.sha256(data).digest() not in tested}
    if len(kept) < len(images):
        mended[left_out("pictures of the test were dropped from training")] += len(images) - len(kept)
    return kept


def _read_record(folder: Path, pattern: str) -> dict[str, Any]:
    """The JSON object in the first file that fits; {} without one. A damaged file raises `CharacterProblems`."""
    path = next(iter(sorted(folder.glob(pattern))), None)
    if path is None:
        return {}
    where = f"{folder.name}/{path.name}"
    try:
        value = parse_json(decode_text(_text_bytes(path), where)[0], where)
    except ValueError as error:
        refuse(where, f"is not valid JSON ({error})", "Get the file again.")
    if not isinstance(value, dict):
        refuse(where, "does not hold one JSON object", "Get the file again.")
    return value


def _read_test_record(test_dir: Path | None) -> dict[str, Any]:
    if test_dir is None:
        return {}
    return _read_record(test_dir, "*_with_image.json") or _read_record(test_dir, "annotation.json")


def _read_scenes(record: dict[str, Any], images: dict[str, bytes], mended: Counter[str]) -> tuple[Interaction, ...]:
    interactions = []
    for scene in _dicts_or_lists(record, "scenes"):
        turns = [turn for item in scene if isinstance(item, dict) for turn in [_read_turn(item, images, mended)]]
        settled = settle_turns(turns, mended)
        if settled:
            interactions.append(settled)
    return tuple(interactions)


def _read_turn(item: dict[str, Any], images: dict[str, bytes], mended: Counter[str]) -> BlockTurn:
    text = _text(item, "text")
    if item.get("role") != "machine":
        return BlockTurn("user" if item.get("role") == "user" else "system", text)
    image = f"{item.get('image', '')}.png"
    if "image" in item and image not in images:
        mended[left_out("references to pictures that do not exist were left out")] += 1
    return BlockTurn("character", text, _text(item, "generation_instruction"), image if image in images else "")


def _read_facts(record: dict[str, Any], mended: Counter[str]) -> tuple[Fact, ...]:
    facts = [
        Fact(_text(item, "question"), _text(item, "answer"))
        for item in _dicts_or_lists(record, "qa_items")
        if isinstance(item, dict)
    ]
    whole = tuple(fact for fact in facts if fact.question and fact.answer)
    if len(whole) < len(facts):
        mended[left_out("facts without a question or an answer were left out")] += len(facts) - len(whole)
    return whole


def _read_choices(record: dict[str, Any], mended: Counter[str]) -> tuple[MultipleChoice, ...]:
    choices = []
    for item in _dicts_or_lists(record, "mcq_items"):
        options = item.get("options") if isinstance(item, dict) else None
        texts = {key: _text(options, key) for key in sorted(options)} if isinstance(options, dict) else {}
        key = _text(item, "answer_key") if isinstance(item, dict) else ""
        if key not in texts or not all(texts.values()) or not _text(item, "question"):
            mended[left_out("incomplete multiple-choice questions were left out")] += 1
            continue
        choices.append(MultipleChoice(_text(item, "question"), tuple(texts.values()), list(texts).index(key)))
    return tuple(choices)


def _read_captions(folder: Path) -> dict[str, str]:
    """File name -> caption, from the picture instructions."""
    items = _dicts_or_lists(_read_record(folder, "*_t2i_instruction.json"), "t2i_instructions")
    known = (item for item in items if isinstance(item, dict))
    return {f"{item.get('image_id', '')}.png": _text(item, "t2i_instruction") for item in known}


def _with_captions(images: dict[str, bytes], captions: dict[str, str]) -> tuple[CharacterImage, ...]:
    return tuple(CharacterImage(file, caption=captions.get(file, "")) for file in images)


def _numbered_images(folder: Path, mended: Counter[str]) -> dict[str, bytes]:
    """The numbered pictures of a folder, in the order of their numbers; those too large to be used are left out."""
    paths = [path for path in folder.iterdir() if _is_numbered(path)]
    small = [path for path in paths if path.stat().st_size <= MAX_IMAGE_BYTES]
    if len(small) < len(paths):
        mended[left_out(f"pictures larger than {MAX_IMAGE_BYTES >> 20} MB were left out")] += len(paths) - len(small)
    numbers = {path.with_suffix(".png").name: path for path in sorted(small, key=lambda path: int(path.stem))}
    return {file: path.read_bytes() for file, path in numbers.items()}


def _is_numbered(path: Path) -> bool:
    is_number = path.stem.isdecimal() and len(path.stem) < MAX_NUMBER_DIGITS
    return is_number and path.suffix.lower() == ".png" and path.is_file()


def _text_bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_TEXT_BYTES:
        refuse(f"{path.parent.name}/{path.name}", f"is larger than {MAX_TEXT_BYTES >> 20} MB", "Get the file again.")
    return path.read_bytes()


def _read_text(folder: Path, pattern: str) -> str:
    path = next(iter(sorted(folder.glob(pattern))), None)
    return decode_text(_text_bytes(path), f"{folder.name}/{path.name}")[0].strip() if path else ""


def _section(profile: str, is_meant: Callable[[str, str], bool]) -> str:
    """The first section of a profile whose title, bold or behind `#`, fits, cut at a sentence end; "" without one."""
    titles = list(_SECTION.finditer(profile))
    for number, found in enumerate(titles):
        following = titles[number + 1] if number + 1 < len(titles) else None
        text = profile[found.end() : following.start() if following else len(profile)].strip()
        if is_meant(found["title"] or found["heading"], text):
            return text if len(text) <= SECTION_CHARS else cut_at_sentence(text, SECTION_CHARS)
    return ""


def _name(train_dir: Path) -> str:
    """The character's short name, which begins its file names; the folder's name without one."""
    for suffix in ("_with_image.json", "_dialogue_text_extension_train.json", "_knowledge_qa.json"):
        path = next(iter(sorted(train_dir.glob(f"*{suffix}"))), None)
        if path:
            return path.name.removesuffix(suffix)
    return train_dir.name


def _text(record: Any, key: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _dicts_or_lists(record: dict[str, Any], key: str) -> list[Any]:
    value = record.get(key, [])
    return [item for item in value if isinstance(item, (dict, list))] if isinstance(value, list) else []
