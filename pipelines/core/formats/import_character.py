"""Imports: any file of another program -> a character folder.

`import_file(source, folder)` takes a Character Card (PNG, JSON, CHARX), a Backyard archive, a zip of a character
folder or of cards, a RoleScape-20 folder, samples of MMRole, or pictures with captions (a folder or zip), and returns
notes on what was mended or left out. Nothing is written unless all of it could be read. Conversations alone
(`chat_formats.py`) are added to a character that is there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pipelines.core.character.character import Character, CharacterImage, Interaction, TestSplit
from pipelines.core.character.character_folder import (
    CHARACTER_FILE,
    IMAGES,
    TEST_FILE,
    TEST_IMAGES,
    write_character,
    write_test_split,
)
from pipelines.core.character.image_decode import require_pixels, without_metadata
from pipelines.core.character.serialize import character_from_entries, split_from_entries
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.command_line import as_typed
from pipelines.core.formats.card_files import read_bytes
from pipelines.core.formats.card_images import is_adapter_file, rename_images, suffix_of
from pipelines.core.formats.card_notes import lorebook_notes
from pipelines.core.formats.cards import (
    ADAPTER_FOLDER,
    CARD_FILE,
    CardImport,
    belongs_to_card,
    read_card,
    read_card_files,
)
from pipelines.core.formats.character_bundle import Bundle, Member, find_characters, listed_cards
from pipelines.core.formats.extension_limits import fit_extensions
from pipelines.core.formats.file_sources import FileSource, open_files
from pipelines.core.formats.import_conversations import add_conversations, holds_conversations
from pipelines.core.formats.import_notes import Mended, RoleNeeded, chosen_role, notes_from, refuse, tell
from pipelines.core.formats.import_pictures import import_picture_set
from pipelines.core.formats.mmrole import read_mmrole
from pipelines.core.formats.mmrole_files import MMRoleSource, find_source
from pipelines.core.formats.rolescape import is_rolescape, matching_test_dir, read_rolescape, rolescape_folders
from pipelines.core.formats.teach_lore import LoreUse, constant_entries, import_lorebook, lore_of, teach
from pipelines.core.problems import CharacterProblems, Problem, errors, left_out, nearest_file, only_kept
from pipelines.core.run_folder import REFERENCE_THUMBNAILS
from pipelines.core.upload_budget import upload_budget
from pipelines.core.yaml_text import read_yaml

MAX_NAMED = 6
"""Most missing pictures that a note names."""


@upload_budget()
def import_file(
    source: Path,
    folder: Path,
    role: str = "",
    keeps_adapter: bool = True,
    name: str = "",
    lore: LoreUse = "keep",
    takes_first: bool = False,
) -> list[Problem]:
    """Writes a character folder from a file or folder of another program; returns notes, all of them warnings.

    Into a folder that holds a character already, conversations or pictures with captions are added.
    Without `keeps_adapter` an adapter that comes with the file is left out and told: whoever calls has no place for it.
    role: whom to take of a source that holds several; name: what the file was called before it was uploaded.
    lore: what becomes of the entries of a lorebook that are always used.
    takes_first: of a zip of several character folders, the first is meant where no role is named.

    Raises:
        RoleNeeded: the source holds several characters, and none was named.
        CharacterProblems: nothing usable in the source; the folder is left as it was.
    """
    file = name or source.name
    is_one = is_rolescape(source)
    many = {} if is_one else rolescape_folders(source)
    samples = None if is_one or many else find_source(source, name)
    files = None if is_one or many or samples is not None else open_files(source, file)
    is_new = not (folder / CHARACTER_FILE).exists()
    bundle = find_characters(files) if files is not None and is_new else None
    if files is not None and bundle is not None:
        if source.is_dir() and any(one.file == CHARACTER_FILE for one in bundle.members):
            refuse(file, "is a character folder already", "Use it as it is, or copy it.")
        return _import_member(files, bundle, bundle.chosen(role, file, takes_first), folder, keeps_adapter, lore)
    pictures = import_picture_set(files, folder, role) if files is not None else None
    if pictures is not None:
        return pictures
    book = import_lorebook(source, folder, lore)
    if book is not None:
        return book
    if not is_new:
        return add_conversations(source, folder)
    if many:
        return _import_rolescape(many[_chosen(many, role, file)], folder)
    if samples is not None:
        return import_mmrole(samples, folder, role)
    if source.is_dir():
        return _import_rolescape(source, folder)
    data = read_bytes(source, file)
    cards = listed_cards(data, file)
    if cards:
        chosen = chosen_role(file, Counter(dict.fromkeys(cards, 1)), role, "characters")
        notes = _import_card(read_card(json.dumps(cards[chosen]).encode(), file), folder, file, keeps_adapter, lore)
        return notes + notes_from(_told_others([name for name in cards if name != chosen]), file)
    if holds_conversations(source, data):
        refuse(
            file,
            "holds conversations, but no character to add them to",
            "Make the character first, then add them to it (in the studio: step 3, Upload conversations).",
        )
    return _import_card(read_card(data, file), folder, file, keeps_adapter, lore)


def _import_member(
    files: FileSource, bundle: Bundle, member: Member, folder: Path, keeps_adapter: bool, lore: LoreUse
) -> list[Problem]:
    """The one that is meant of the characters of a folder or zip, with what else belongs to it."""
    file = files.file
    mended = _told_others([f"{one.name} ({one.path})" for one in (*bundle.members, *bundle.deeper) if one != member])
    for path in bundle.damaged:
        tell(mended, left_out("cards that are damaged were not read"), path)
    if member.file == CHARACTER_FILE:
        inside = member.below(files.read(lambda path: _belongs_to_folder(member.inside(path)), mended))
        return _import_zip(_in_known_folders(inside), folder, file, keeps_adapter, lore, mended)
    if member.file == CARD_FILE:
        inside = member.below(files.read(lambda path: belongs_to_card(member.inside(path)), mended))
        below = [member.inside(path) for path in files.paths]
        card = read_card_files(inside, [path for path in below if path and not belongs_to_card(path)], file)
        return _import_card(card, folder, file, keeps_adapter, lore) + notes_from(mended, file)
    card = read_card(files.read(lambda path: path == member.path, mended)[member.path], member.path)
    notes = _import_card(card, folder, member.path, keeps_adapter, lore)
    if len(bundle.members) == 1:  # what lies beside a lone card shows the same character
        try:
            notes += import_picture_set(files, folder, without=(member.path, *bundle.damaged)) or []
        except CharacterProblems as error:
            notes += [replace(item, severity="warning", outcome="left out") for item in error.problems]
    return notes + notes_from(mended, file)


def _told_others(names: Sequence[str]) -> Counter[str]:
    """The note on characters that were not the one that was taken; empty without any."""
    if not names:
        return Mended()
    sentence = f"other characters in it were not read: {', '.join(names[:MAX_NAMED])}"
    return Mended({left_out(sentence, "Each can be taken by its name (`--role` on the command line)."): len(names)})


def _import_card(card: CardImport, folder: Path, file: str, keeps_adapter: bool, lore: LoreUse) -> list[Problem]:
    mended: Counter[str] = Mended()
    taught = teach(card.character, constant_entries(card.character.extensions), lore, mended)
    character, images = _with_clean_images(taught, card.images, mended)
    character = with_clean_texts(character, mended)
    character = replace(character, extensions=fit_extensions(character.extensions, mended))
    notes = card.notes + (lorebook_notes(lore_of(character.extensions), file) if lore == "keep" else [])
    write_character(character, folder, images, file)
    _write_adapter(card.adapter_files, folder if keeps_adapter else None, mended)
    return notes + notes_from(mended, file)


def _write_adapter(files: dict[str, bytes], folder: Path | None, mended: Counter[str]) -> None:
    """Puts an adapter's files beside the character, or tells that there is no place for them; nothing without any."""
    pictures = {name: data for name, data in files.items() if is_adapter_file(name) and name.endswith(".jpg")}
    plain = {name: data for name, data in files.items() if is_adapter_file(name) and name not in pictures}
    if plain and folder is None:
        sentence = "an adapter came with it and was left out: adapters cannot be brought into the studio yet"
        mended[left_out(sentence, f"Train the character here; `{as_typed('character import')}` keeps it.")] += 1
    elif plain and folder is not None:
        plain |= _clean_images(pictures, mended)[1]
        for name, content in plain.items():
            path = folder / ADAPTER_FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        mended[only_kept(f"an adapter came with it; its files are in {ADAPTER_FOLDER}/")] += 1


def _import_rolescape(source: Path, folder: Path) -> list[Problem]:
    if (source / CHARACTER_FILE).exists():
        refuse(source.name, "is a character folder already", "Use it as it is, or copy it.")
    found = read_rolescape(source, matching_test_dir(source))
    mended: Counter[str] = Mended()
    character, images = _with_clean_images(found.character, found.images, mended)
    test, test_images = _with_clean_test_images(found.test, found.test_images, mended)
    write_test_split(test, folder, test_images)
    write_character(character, folder, images)
    return found.notes + notes_from(mended, source.name)


def _chosen(folders: Mapping[str, Path], role: str, file: str) -> str:
    """The one of several characters that is meant, by its folder's name or what stands behind its dash."""
    wanted = role.strip().casefold()
    same = [name for name in folders if wanted in (name.casefold(), name.rpartition("-")[2].casefold())]
    if len(folders) > 1 and len(same) != 1:
        raise RoleNeeded(file, Counter({name: len(list(path.glob("*.png"))) for name, path in folders.items()}))
    return same[0] if same else next(iter(folders))


def import_mmrole(source: MMRoleSource, folder: Path, role: str = "") -> list[Problem]:
    """Writes one role of MMRole as a character folder with its test as `test.yaml`; raises as `import_file` does."""
    found = read_mmrole(source, role)
    mended: Counter[str] = Mended()
    character, images = _with_clean_images(found.character, found.images, mended)
    if found.test.dialogues:
        test, test_images = _with_clean_test_images(found.test, found.test_images, mended)
        write_test_split(test, folder, test_images)
    write_character(character, folder, images)
    return found.notes + notes_from(mended, source.name)


def _belongs_to_folder(path: str) -> bool:
    """Whether a file of a zip belongs to a character folder, by its path in it."""
    inside = PurePosixPath(path.lower())
    if inside.parent.name == REFERENCE_THUMBNAILS:
        return inside.parent.parent.name == ADAPTER_FOLDER
    is_own = inside.name in (CHARACTER_FILE, TEST_FILE)
    return is_own or inside.parent.name in (IMAGES, TEST_IMAGES, ADAPTER_FOLDER)


def _in_known_folders(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with the names of the folder's own files and folders in lower case, as they are read."""
    known = (CHARACTER_FILE, TEST_FILE, IMAGES, TEST_IMAGES, ADAPTER_FOLDER)
    split = {path: PurePosixPath(path).parts for path in files}
    return {
        "/".join([part.lower() if part.lower() in known else part for part in parts[:1]] + list(parts[1:])): files[path]
        for path, parts in split.items()
    }


def _import_zip(
    inside: dict[str, bytes], folder: Path, file: str, keeps_adapter: bool, lore: LoreUse, mended: Counter[str]
) -> list[Problem]:
    """A zipped character folder, read like one on disk."""
    problems: list[Problem] = []
    character = character_from_entries(read_yaml(inside[CHARACTER_FILE], CHARACTER_FILE), problems)
    test = None
    if TEST_FILE in inside:
        test = split_from_entries(read_yaml(inside[TEST_FILE], TEST_FILE), problems)
    if errors(problems):
        raise CharacterProblems([replace(item, field=f"{file}: {item.field}") for item in problems])
    character = teach(character, constant_entries(character.extensions), lore, mended)
    pictures = _files_under(inside, IMAGES)
    listed = [*(image.file for image in character.images), *character.input_images]
    _tell_unlisted(listed, pictures, mended)
    character, images = _with_clean_images(with_clean_texts(character, mended), pictures, mended)
    if test is not None:
        test, held = _with_clean_test_images(with_clean_texts(test, mended), _files_under(inside, TEST_IMAGES), mended)
        write_test_split(test, folder, held)
    write_character(character, folder, images)
    _write_adapter(_files_under(inside, ADAPTER_FOLDER), folder if keeps_adapter else None, mended)
    return problems + notes_from(mended, file)


def _tell_unlisted(listed: Sequence[str], pictures: dict[str, bytes], mended: Counter[str]) -> None:
    """Counts the pictures of a zip that nothing lists."""
    known = {file.casefold() for file in listed}
    spare = sorted(file for file in pictures if file.casefold() not in known)
    unused = [file for file in spare if suffix_of(pictures[file])]
    if unused:
        names = ", ".join(unused[:MAX_NAMED])
        mended[left_out(f"pictures in images/ that character.yaml does not list were left out: {names}")] += len(unused)


def _files_under(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {path.removeprefix(f"{folder}/"): data for path, data in files.items() if path.startswith(f"{folder}/")}


def _with_clean_images(
    character: Character, images: dict[str, bytes], mended: Counter[str]
) -> tuple[Character, dict[str, bytes]]:
    """The character with the pictures that can be opened, and their clean bytes."""
    shown = character.input_images
    listed, interactions, names, clean = _clean_listed(character.images, shown, character.interactions, images, mended)
    references = tuple(names[file] for file in character.references if file in names)
    shown = tuple(names[file] for file in shown if file in names)
    whole = replace(character, images=listed, references=references, input_images=shown, interactions=interactions)
    return whole, clean


def _with_clean_test_images(
    test: TestSplit, images: dict[str, bytes], mended: Counter[str]
) -> tuple[TestSplit, dict[str, bytes]]:
    listed, dialogues, names, clean = _clean_listed(test.images, test.input_images, test.dialogues, images, mended)
    shown = tuple(names[file] for file in test.input_images if file in names)
    return replace(test, images=listed, input_images=shown, dialogues=dialogues), clean


def _clean_listed(
    listed: Sequence[CharacterImage],
    shown: Sequence[str],
    conversations: Sequence[Interaction],
    images: dict[str, bytes],
    mended: Counter[str],
) -> tuple[tuple[CharacterImage, ...], tuple[Interaction, ...], dict[str, str], dict[str, bytes]]:
    """The listed pictures that can be opened, under new names in the conversations too; new names; clean bytes."""
    files = [*(image.file for image in listed), *shown]
    names, clean = _clean_images(_listed_bytes(files, images, mended), mended)
    whole = tuple(replace(image, file=names[image.file]) for image in listed if image.file in names)
    return whole, tuple(rename_images(conversation, names) for conversation in conversations), names, clean


def _listed_bytes(listed: Sequence[str], images: dict[str, bytes], mended: Counter[str]) -> dict[str, bytes]:
    """The bytes of the listed pictures that are there, names compared without case; the others are told by name."""
    same = {file.casefold(): file for file in images}
    found = {file: images[same[file.casefold()]] for file in listed if file.casefold() in same}
    missing = [file for file in listed if file not in found]
    if missing:
        names = {file.casefold() for file in listed}
        spare = [file for file in images if file.casefold() not in names]
        guesses = {file: nearest_file(file, spare) for file in missing[:MAX_NAMED]}
        told = ", ".join(f"{file} (did you mean {guess}?)" if guess else file for file, guess in guesses.items())
        sentence = f"pictures that are listed but not in it were left out: {told}"
        mended[left_out(sentence, "Correct their names under `images:`, or put the files in.")] += len(missing)
    return found


def _clean_images(images: dict[str, bytes], mended: Counter[str]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Old name -> new name and new name -> bytes of the pictures that can be opened.

    Pictures that hold more than pixels are stripped of it; all others keep their bytes.
    """
    require_pixels(images.values(), "The file")
    names: dict[str, str] = {}
    clean: dict[str, bytes] = {}
    for file, data in images.items():
        try:
            stripped = without_metadata(data)
        except CharacterProblems:
            tell(mended, left_out("pictures that cannot be opened were left out"), file)
            continue
        suffix = suffix_of(stripped)
        same = suffix_of(data) == suffix or file.lower().endswith(suffix)
        names[file] = file if same else f"{file}{suffix}"
        clean[names[file]] = stripped
    return names, clean
