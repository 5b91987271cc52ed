"""Caption files beside pictures: `01.txt` says what `01.png` shows, as kohya's and most other trainers have it.

`assign_captions` keeps them together by an id made of the whole path as the creator has it, in one Unicode form (macOS
hands out decomposed names). Names made for showing are no ids: in them different signs become the same one.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pipelines.core.decode_text import decode_text
from pipelines.core.problems import CharacterProblems, Problem

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp")
CAPTION_SUFFIXES = (".txt", ".caption")
"""Of two captions of one picture the one with the earlier ending counts: people write .txt, programs .caption."""
MAX_CAPTION_CHARS = 200
"""Longer captions are cut at a word, with a note: a picture is drawn from the last words before it."""
MAX_CAPTION_BYTES = 64_000
"""Of a caption file so much is read."""


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def is_caption_file(name: str) -> bool:
    """Whether a file's name says that it is a caption."""
    return name.lower().endswith(CAPTION_SUFFIXES)


def caption_id(name: str) -> str:
    """What a picture and its caption have in common: the path without its ending, NFC, `/` between folders."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name.replace("\\", "/")).with_suffix("")))


class PicturePlaces:
    """Finds pictures by their ids (`caption_id`): as they are written, else in letters of another case."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self._written: dict[str, list[int]] = defaultdict(list)
        self._folded: dict[str, list[int]] = defaultdict(list)
        self._bare: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(pictures):
            id = caption_id(name)
            self._written[id].append(place)
            self._folded[id.casefold()].append(place)
            self._bare[bare_id(id)].append(place)

    def called(self, id: str) -> list[int]:
        """Places of the pictures of that id; several where nobody can tell them apart."""
        return self._written.get(id) or self._folded.get(id.casefold(), [])

    def of_caption(self, name: str) -> list[int]:
        """Places of the pictures that a caption file may be about: 01.txt and 01.png.txt are about 01.png."""
        id = caption_id(name)
        return self.called(id) or (self.called(caption_id(id)) if is_picture(id) else [])

    def of_bare_name(self, name: str) -> list[int]:
        """Places of the pictures, in whatever folder, that have the bare name of a caption file."""
        return self._bare.get(bare_id(caption_id(name)), [])


def bare_id(id: str) -> str:
    """An id without its folders, as it is compared without case."""
    return PurePosixPath(id).name.casefold()


def assign_captions(
    pictures: Sequence[str], captions: Sequence[tuple[str, bytes]], show: Callable[[str], str] = str
) -> tuple[dict[int, str], list[Problem]]:
    """Caption by the place of its picture in `pictures` (names or ids), and what could not be used or was changed.

    A caption of another folder is taken where its bare name fits one picture and no other caption. `show` makes a
    name fit to be shown.
    """
    notes: list[Problem] = []
    places = PicturePlaces(pictures)
    bare_captions = Counter(bare_id(caption_id(name)) for name, _ in captions)
    assigned: dict[int, str] = {}
    for name, data in sorted(captions, key=lambda caption: _rank(caption[0])):
        found = places.of_caption(name)
        if len(found) > 1:
            stem = show(PurePosixPath(caption_id(name)).name)
            message = f"{len(found)} pictures are called {stem}, so nobody can tell which one {show(name)} is about."
            notes.append(_left_out(message, "Rename them, or write the caption below its picture."))
            continue
        if not found and bare_captions[bare_id(caption_id(name))] == 1:
            found = places.of_bare_name(name)
        if len(found) == 1:
            _assign(assigned, found[0], pictures, show(name), data, notes)
        else:
            told = _left_out(f"{show(name)} belongs to no picture.", "Give it the picture's name.")
            notes.append(replace(told, subject=show(name)))
    return assigned, notes


def _rank(name: str) -> int:
    return next((place for place, suffix in enumerate(CAPTION_SUFFIXES) if name.lower().endswith(suffix)), 0)


def _assign(
    assigned: dict[int, str], place: int, pictures: Sequence[str], name: str, data: bytes, notes: list[Problem]
) -> None:
    try:
        text, told = decode_text(data[:MAX_CAPTION_BYTES], name)
    except CharacterProblems as error:
        notes += [replace(item, field="images", severity="warning", outcome="left out") for item in error.problems]
        return
    words = " ".join(text.replace("\0", "").split())
    if place in assigned:
        if words and words != assigned[place]:
            message = f"{name} was left out: another file says what its picture shows."
            mend = f"Of two files {CAPTION_SUFFIXES[0]} counts before {CAPTION_SUFFIXES[1]}."
            notes.append(replace(_left_out(message, mend), examples=(words[:MAX_CAPTION_CHARS],), subject=name))
        return
    notes += [replace(item, field="images", files=(pictures[place],)) for item in told]
    words = fit_caption(words, name, pictures[place], notes)
    if words:
        assigned[place] = words


def fit_caption(text: str, name: str, picture: str, notes: list[Problem]) -> str:
    """A picture's caption in one line, cut at a word with a note where it is too long; `name` says where it stands."""
    words = " ".join(text.replace("\0", "").split())
    if len(words) > MAX_CAPTION_CHARS:
        cut = words[: MAX_CAPTION_CHARS + 1].rpartition(" ")[0] or words[:MAX_CAPTION_CHARS]
        message = f"The caption in {name} is {len(words)} characters long; it was cut to {len(cut)}."
        mend = f"Keep what varies: expression, clothes, place, pose; {MAX_CAPTION_CHARS} characters are the most."
        notes.append(Problem("images", message, mend, "warning", outcome="changed", files=(picture,)))
        return cut
    return words


def _left_out(message: str, mend: str) -> Problem:
    return Problem("images", message, mend, "warning", outcome="left out")
