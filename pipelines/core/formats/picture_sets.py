"""Pictures with captions, as trainers of picture models keep them: kohya folders and Hugging Face image folders.

- kohya (docs/train_README of github.com/kohya-ss/sd-scripts): folders called REPEATS_IDENTIFIER CLASS, beside each
  picture a caption of the same name ending in .txt or .caption. Regularisation pictures (`reg/`, or `1_woman` beside
  `10_tola woman`) show the class, not the character. Repeats say how often a trainer shows a picture; here every
  picture counts alike. Folders with different identifiers show different people, of whom one is taken.
- Image folders: a table with their captions (`picture_tables.py`). Masks (`picture_masks.py`) show nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pipelines.core.character.character import CharacterImage
from pipelines.core.character.image_decode import require_pixels
from pipelines.core.character.names import tidy_name
from pipelines.core.formats.caption_files import PicturePlaces, assign_captions, is_caption_file, is_picture
from pipelines.core.formats.card_images import holds_card, suffix_of
from pipelines.core.formats.import_notes import Mended, RoleNeeded, notes_from, tell
from pipelines.core.formats.picture_masks import masks_among
from pipelines.core.formats.picture_tables import is_metadata, read_table
from pipelines.core.problems import Problem, changed, left_out

EVERYONE = "all of them, as one character"
"""The choice for folders of one person in different clothes, which are called like different people."""
MAX_NAMED = 6
_REPEATS = re.compile(r"\d{1,4}_(?P<label>\S.*)")
_CLASS_PICTURES = re.compile(r"reg(?:s|ulari[sz]ation)?(?:_(?:images|data|dir))?|class_images", re.IGNORECASE)
_DRAWN = re.compile(r"samples?", re.IGNORECASE)
"""Where kohya's and most other trainers put what the model draws on the way."""
_TEST_FOLDERS = ("test", "validation", "valid", "val", "eval", "dev")
_NO_CONTENT = ("thumbs.db", "desktop.ini", "readme.md", ".gitattributes")


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a set with what is said about them."""

    pictures: tuple[tuple[str, bytes], ...]
    """Path and bytes as they came, each content once."""
    captions: tuple[CharacterImage, ...]
    """What varies in each of them, by its path."""
    label: str
    """What kohya's folders call the character ("tola woman"); "" where they do not."""
    test: frozenset[str]
    """Paths of the pictures that the set itself keeps for testing."""
    notes: list[Problem]


def belongs_to_set(path: str) -> bool:
    """Whether a file is a picture, a caption or a table, and none that a system has put beside them."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)
    return not hidden and (is_picture(path) or is_caption_file(path) or is_metadata(path))


def read_picture_set(
    files: Sequence[tuple[str, bytes]], others: Iterable[str], file: str, role: str = "", name: str = ""
) -> PictureSet:
    """The pictures among the files (path -> bytes) with their captions; `others` are paths that were not read.

    role: whom to take where the folders show several; name: what the character is called that they are for, if any.

    Raises:
        RoleNeeded: the folders show several people, and neither says which of them.
        CharacterProblems: the pictures have more pixels together than an upload may.
    """
    mended: Counter[str] = Mended()
    require_pixels((data for path, data in files if is_picture(path)), file)
    kept, spare_pictures = _pictures(files, mended)
    pictures = _of_one(kept, file, role, name, mended)
    paths = [path for path, _ in pictures]
    spare_pictures += [path for path, _ in kept if path not in paths]
    notes: list[Problem] = []
    assigned, told = assign_captions(paths, _texts(files, paths, spare_pictures))
    notes += told
    captions = [CharacterImage(path, caption=assigned.get(place, "")) for place, path in enumerate(paths)]
    for path, data in files:
        if is_metadata(path):
            read_table(path, data, captions, notes, mended)
    labels = Counter(label for path in paths if (label := _label_of(path)))
    label = next((label for label, _ in labels.most_common(1)), "")
    captions = [
        replace(image, caption=_without_label(image.caption, _label_of(image.file) or label, mended))
        for image in captions
    ]
    if label and name and not _meant({label: labels}, tidy_name(name).casefold()):
        sentence = f"pictures that their folder calls {label!r} were taken as those of {tidy_name(name)}"
        mended[changed(sentence, "Take them out if they show somebody else.")] += len(paths)
    if labels:
        mended[left_out("repeats in the names of folders were not used: every picture counts alike")] += len(labels)
    else:
        _tell_folders(paths, mended)
    spare = [path for path in others if not _is_nothing(path)]
    if any(path.lower().endswith(".parquet") for path in spare):
        mended[left_out("tables as .parquet cannot be read: save them as metadata.csv")] += 1
    else:
        for path in spare:
            tell(mended, left_out("files that are neither pictures nor captions were left out"), path)
    return PictureSet(tuple(pictures), tuple(captions), label, _test_paths(paths), notes + notes_from(mended, file))


def _texts(
    files: Iterable[tuple[str, bytes]], paths: Sequence[str], spare_pictures: Sequence[str]
) -> list[tuple[str, bytes]]:
    """The caption files, without those of pictures that were left out, about which nothing more is to be said."""
    taken, spare = PicturePlaces(paths), PicturePlaces(spare_pictures)
    return [
        (path, data)
        for path, data in files
        if is_caption_file(path)
        and not _shows_the_class(path)
        and (taken.of_caption(path) or not spare.of_caption(path))
    ]


def _without_label(caption: str, label: str, mended: Counter[str]) -> str:
    """A caption without the words that stand for the character in it ("tola woman, laughing"): they never vary."""
    for words in (label, label.split(" ")[0]):
        if words and caption.lower().startswith(f"{words.lower()},"):
            mended[left_out(f"the words {words!r} before captions were left out: they stand for the character")] += 1
            return caption[len(words) + 1 :].strip()
    return caption


def _pictures(files: Iterable[tuple[str, bytes]], mended: Counter[str]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """The pictures of people, in the order of their paths, equal ones once; paths of those that were left out."""
    found = [(path, data) for path, data in sorted(files) if is_picture(path)]
    masks = masks_among([(path, data) for path, data in found if suffix_of(data)])
    classes = _class_labels([path for path, _ in found])
    drawn = {path for path, _ in found if any(_DRAWN.fullmatch(part) for part in PurePosixPath(path).parts[:-1])}
    drawn = drawn if len(drawn) < len(found) else set()
    seen: set[str] = set()
    kept, spare = [], []
    for path, data in found:
        digest = hashlib.sha256(data).hexdigest()
        sentence = ""
        if _shows_the_class(path) or _label_of(path).casefold() in classes:
            sentence = "pictures of the class alone (regularisation) were left out: they do not show the character"
        elif path in drawn:
            sentence = "pictures that a trainer has drawn were left out"
        elif not suffix_of(data):
            sentence = "pictures that are not PNG, JPEG or WebP were left out"
        elif path in masks:
            sentence = "masks of pictures were left out: they do not show the character"
        elif digest in seen:
            sentence = "pictures that are there twice were taken once"
        if sentence:
            tell(mended, left_out(sentence), path)
            spare.append(path)
            continue
        if holds_card(data):
            told = left_out(
                "cards inside pictures were not read: only the pictures were taken",
                "A card makes a character of its own: import its file alone.",
            )
            tell(mended, told, path)
        seen.add(digest)
        kept.append((path, data))
    return kept, spare


# ---------------------------------------------------------------- who is shown


def _label_of(path: str) -> str:
    """What the folder of kohya's that a picture lies in says of it ("tola woman"); "" without one."""
    found = [match["label"] for part in PurePosixPath(path).parts[:-1] if (match := _REPEATS.fullmatch(part))]
    return found[-1].strip() if found else ""


def _same_person(label: str, other: str) -> bool:
    """Whether two labels mean the same: "tola woman" and "tola_armour", "tola woman close"; not "ohwx man" and woman.

    Their first words begin alike up to a `_` or `-`, and what stands behind them is the same as far as both say it.
    """
    (name, _, kind), (name_2, _, kind_2) = (text.casefold().partition(" ") for text in (label, other))
    return _begins(name, name_2, "_-") and (not kind or not kind_2 or _begins(kind, kind_2, " _-"))


def _begins(text: str, other: str, marks: str) -> bool:
    """Whether the shorter of two texts begins the longer one, up to one of the marks."""
    short, long = sorted((text, other), key=len)
    return long.startswith(short) and (len(long) == len(short) or long[len(short)] in marks)


def _people(labels: Counter[str]) -> list[Counter[str]]:
    """The labels by whom they mean, shortest first."""
    people: list[Counter[str]] = []
    for label in sorted(labels, key=len):
        known = next((person for person in people if any(_same_person(label, one) for one in person)), None)
        if known is None:
            people.append(Counter({label: labels[label]}))
        else:
            known[label] = labels[label]
    return people


def _class_labels(paths: Iterable[str]) -> set[str]:
    """Labels that only say the class of another one: "woman" beside "tola woman"."""
    labels = {_label_of(path).casefold() for path in paths} - {""}
    return labels & {label.partition(" ")[2] for label in labels}


def _of_one(
    pictures: list[tuple[str, bytes]], file: str, role: str, name: str, mended: Counter[str]
) -> list[tuple[str, bytes]]:
    """The pictures of one person; those in no folder of kohya's are taken with whomever is chosen."""
    labels = Counter(label for path, _ in pictures if (label := _label_of(path)))
    people = {person.most_common(1)[0][0]: person for person in _people(labels)}
    if len(people) < 2:
        return pictures
    roles = Counter({label: person.total() for label, person in people.items()})
    wanted = role.strip().casefold()
    if wanted == EVERYONE.casefold():
        return pictures
    chosen = _meant(people, wanted) if wanted else _meant(people, tidy_name(name).casefold())
    if not chosen:
        raise RoleNeeded(file, roles, "people, by the names of its folders", EVERYONE)
    meant = [(path, data) for path, data in pictures if not (label := _label_of(path)) or label in people[chosen]]
    others = ", ".join([label for label in people if label != chosen][:MAX_NAMED])
    mended[left_out(f"pictures of other people were left out: {others}")] += len(pictures) - len(meant)
    return meant


def _meant(people: Mapping[str, Counter[str]], wanted: str) -> str:
    """The one whose label is the wanted name, or begins like it ("tola woman" for Tola Brask); "" for none or two."""
    exact = [person for person, labels in people.items() if wanted in {label.casefold() for label in labels}]
    first = wanted.partition(" ")[0]
    alike = [person for person in people if first and _begins(person.casefold().partition(" ")[0], first, "_-")]
    found = exact or alike
    return found[0] if len(found) == 1 else ""


def _tell_folders(paths: Sequence[str], mended: Counter[str]) -> None:
    """Says when pictures of several folders become one character: a folder each is how people part what they have."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    folders = [tuple(part for part in parts if part.lower() not in (*_TEST_FOLDERS, "train")) for parts in folders]
    shared = 0
    while len({parts[: shared + 1] for parts in folders}) == 1 and folders and len(folders[0]) > shared:
        shared += 1
    first = list(dict.fromkeys(parts[shared] for parts in folders if len(parts) > shared))
    if len(first) > 1:
        named = ", ".join(first[:MAX_NAMED]) + (", ..." if len(first) > MAX_NAMED else "")
        sentence = f"pictures of several folders were taken as those of one character: {named}"
        mended[changed(sentence, "Take out those that show somebody else.")] += 1


def _shows_the_class(path: str) -> bool:
    return any(_CLASS_PICTURES.fullmatch(part) for part in PurePosixPath(path).parts[:-1])


def _is_nothing(path: str) -> bool:
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in _NO_CONTENT


def _test_paths(paths: Sequence[str]) -> frozenset[str]:
    """Paths in a folder that is called like a test, unless all of them are."""
    held = frozenset(
        path for path in paths if {part.lower() for part in PurePosixPath(path).parts[:-1]} & {*_TEST_FOLDERS}
    )
    return held if len(held) < len(paths) else frozenset()
