"""Caption files beside pictures: `01.txt` says what `01.png` shows, as kohya's and most other trainers have it.

`assign_captions` keeps them together by an id made of the whole path as the creator has it, in one Unicode form (macOS
hands out decomposed names). Names made for showing are no ids: in them different signs become the same one.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pipelines.core.decode_text import decode_text
from pipelines.core.problems import CharacterProblems, Problem

CAPTION_SUFFIXES = (".txt", ".caption")
MAX_CAPTION_CHARS = 200
"""Longer captions are cut at a word, with a note: a picture is drawn from the last words before it."""
_MAX_BYTES = 64_000


def is_caption_file(name: str) -> bool:
    """Whether a file's name says that it is a caption."""
    return name.lower().endswith(CAPTION_SUFFIXES)


def caption_id(name: str) -> str:
    """What a picture and its caption have in common: the path without its ending, NFC, `/` between folders."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name.replace("\\", "/")).with_suffix("")))


def assign_captions(
    pictures: Sequence[str], captions: Sequence[tuple[str, bytes]], show: Callable[[str], str] = str
) -> tuple[dict[int, str], list[Problem]]:
    """Caption by the place of its picture in `pictures` (names or ids), and what could not be used or was changed.

    A caption of another folder is taken where its bare name fits one picture and no other caption. `show` makes a
    name fit to be shown.
    """
    notes: list[Problem] = []
    ids = [caption_id(name) for name in pictures]
    bare = [PurePosixPath(id).name for id in ids]
    twice = {id for id, count in Counter(ids).items() if count > 1}
    bare_captions = Counter(PurePosixPath(caption_id(name)).name for name, _ in captions)
    assigned: dict[int, str] = {}
    for name, data in captions:
        id = caption_id(name)
        stem = PurePosixPath(id).name
        if id in twice:
            message = (
                f"{ids.count(id)} pictures are called {show(stem)}, so nobody can tell which one {show(name)} is about."
            )
            notes.append(_left_out(message, "Rename them, or write the caption below its picture."))
        elif id in ids:
            _assign(assigned, ids.index(id), pictures, show(name), data, notes)
        elif bare.count(stem) == 1 and bare_captions[stem] == 1:
            _assign(assigned, bare.index(stem), pictures, show(name), data, notes)
        else:
            told = _left_out(f"{show(name)} belongs to no picture.", "Give it the picture's name.")
            notes.append(replace(told, subject=show(name)))
    return assigned, notes


def _assign(
    assigned: dict[int, str], place: int, pictures: Sequence[str], name: str, data: bytes, notes: list[Problem]
) -> None:
    try:
        text, told = decode_text(data[:_MAX_BYTES], name)
    except CharacterProblems as error:
        notes += [replace(item, field="images", severity="warning", outcome="left out") for item in error.problems]
        return
    notes += [replace(item, field="images", files=(pictures[place],)) for item in told]
    words = fit_caption(text, name, pictures[place], notes)
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
