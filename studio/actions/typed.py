"""What somebody types into a form, kept as it is typed: no text replaces one that its writer has not seen.

A field is named by the key of its widget (`PLACES` has the forms). With its text comes the text it was edited from
(`base`), and the browser tab that it was typed in. It is kept when the draft still holds the base, or holds what the
same tab wrote last. Otherwise two people, or one person in two tabs, wrote different texts: the one in the draft stays,
the other is kept beside it in `draft["clashes"]` until the creator chooses. Nothing is cut: a text over its limit is
kept whole, and `over_limit` says by how much it is too long to be trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.core.formats.caption_files import MAX_CAPTION_CHARS
from pipelines.core.jobs.job import now
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.words import tidy_text
from studio.actions.drafts import (
    MAX_CHARS,
    MAX_FACTS,
    MAX_TURN_CHARS,
    Draft,
    caption_entry,
    change,
    gone,
    image_entry,
)
from studio.actions.images import CAPTION_FIELDS
from studio.context import AppContext

State = Literal["kept", "clash", "gone"]
MAX_TYPED_CHARS = 1_000_000
"""Most characters that one field is kept with; what is longer stays in the page and is explained there."""
MAX_WRITTEN = 400
"""Fields of which the last writer is remembered; the oldest are forgotten, which can only make a clash of an edit."""
NOTES = ("stated_by", "pasted")
"""Texts of the wizard that are no part of a character."""
MAX_SCENE_CHARS = 400
FACT_PARTS = ("question", "answer")
ID = "([0-9a-f]{32})"
PLACES = {
    "text": "([a-z_]+)",
    "caption": f"([0-9]+)[.-](png|jpg|jpeg|webp)-({'|'.join((*CAPTION_FIELDS, 'caption'))})",
    "words": "([0-9a-f]+)",
    "scene": "([0-9a-f]+)",
    "fact": "([0-9a-f]+)-(question|answer)",
}
"""What stands behind `KIND-CHARACTER-` in a key. In a page, a key's dots have become dashes."""


@dataclass(frozen=True)
class Typed:
    """One field as it was typed."""

    key: str
    text: str
    base: str
    """What the field held when this edit of it began."""
    tab: str
    """The browser tab, as the studio has named it (`widgets.tab`)."""
    number: int = 0
    """Grows with every text that a tab sends; 0 from a page's own run, which has no count."""


@dataclass(frozen=True)
class Place:
    """One text of a draft."""

    character: str
    kind: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name inside the draft."""
        return "-".join((self.kind, *self.parts))


@dataclass(frozen=True)
class Clash:
    """A text that was written elsewhere over one that has changed since."""

    place: Place
    title: str
    """The field in the creator's words."""
    stands: str | None
    """The text in the draft; None when its place was taken out."""
    text: str
    """The other text."""
    tab: str
    at: str


def place_of(key: str) -> Place | None:
    """The place that a key names; None for a key that is none of ours."""
    for kind, rest in PLACES.items():
        if (found := re.fullmatch(f"{kind}-{ID}-{rest}", key)) is not None:
            id, *parts = found.groups()
            if kind == "text" and parts[0] not in (*MAX_CHARS, *NOTES):
                return None
            return Place(id, kind, tuple(parts))
    return None


def limit_of(place: Place) -> int:
    """Most characters that can be trained on."""
    if place.kind == "text":
        return MAX_CHARS.get(place.parts[0], MAX_TYPED_CHARS if place.parts[0] == "pasted" else 200)
    return {"caption": MAX_CAPTION_CHARS, "scene": MAX_SCENE_CHARS}.get(place.kind, MAX_TURN_CHARS)


def over_limit(text: str, most: int) -> str:
    """How much of a text is too much, in a sentence; "" when it fits."""
    if len(text) <= most:
        return ""
    more = len(text) - most
    return (
        f"{len(text):,} characters, {more:,} more than the {most:,} that can be used. "
        "All of it is kept; shorten it before you train."
    )


# ---------------------------------------------------------------- reading and writing a place


def read(draft: Mapping[str, Any], place: Place) -> str | None:
    """The text that stands there; None when the place was taken out."""
    if place.kind == "text":
        return str(draft.get(place.parts[0]) or "")
    if place.kind == "fact":
        entry = _by_id(draft.get("facts", ()), place.parts[0])
        return str((entry or {}).get(place.parts[1]) or "")  # a row begins with its first key
    if place.kind == "caption":
        file = f"{place.parts[0]}.{place.parts[1]}"
        if all(entry["file"] != file for entry in draft.get("pictures", ())):
            return None
        entry = next((entry for entry in draft.get("images", ()) if entry["file"] == file), None)
        return str((entry or {}).get(place.parts[2]) or "")
    turn = _by_id(_turns(draft), place.parts[0])
    if turn is None:
        return None
    return str(turn.get("scene" if place.kind == "scene" else _speaker(turn)) or "")


def write(draft: Draft, place: Place, text: str) -> None:
    """Put a text there. CharacterProblems when the place was taken out, or there are too many facts."""
    if place.kind == "text":
        draft[place.parts[0]] = text
    elif place.kind == "fact":
        entry = _by_id(draft.setdefault("facts", []), place.parts[0])
        if entry is None:
            if len(draft["facts"]) >= MAX_FACTS:
                raise CharacterProblems(
                    [Problem("facts", f"{MAX_FACTS:,} facts are the most.", "Take some out first.")]
                )
            entry = {"question": "", "answer": "", "id": place.parts[0]}
            draft["facts"].append(entry)
        entry[place.parts[1]] = text
    elif place.kind == "caption":
        file = f"{place.parts[0]}.{place.parts[1]}"
        image_entry(draft, file)
        caption_entry(draft, file)[place.parts[2]] = text
    else:
        turn = _by_id(_turns(draft), place.parts[0])
        if turn is None:
            raise gone("This line")
        if place.kind == "words":
            turn[_speaker(turn)] = text
        elif text.strip():
            turn["scene"] = text
        else:
            turn.pop("scene", None)


def _turns(draft: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for interaction in draft.get("interactions", ()):
        yield from interaction


def _by_id(entries: Any, id: str) -> dict[str, Any] | None:
    return next((entry for entry in entries if entry.get("id") == id), None)


def _speaker(turn: Mapping[str, Any]) -> str:
    return next((role for role in ("system", "user", "character") if role in turn), "user")


# ---------------------------------------------------------------- keeping


def keep(context: AppContext, typed: Typed) -> State:
    """Keep a text that was typed; says what became of it.

    "gone": its place was taken out, so it stands among the clashes. RecordMissing for a character that is deleted,
    CharacterProblems for a text that is too long to be kept, ValueError for a key that is none of ours.
    """
    place = place_of(typed.key)
    if place is None:
        raise ValueError(f"{typed.key!r} names no field")
    typed = replace(typed, text=tidy_text(typed.text), base=tidy_text(typed.base))
    if len(typed.text) > MAX_TYPED_CHARS:
        message = f"{len(typed.text):,} characters are more than can be kept; {MAX_TYPED_CHARS:,} are the most."
        raise CharacterProblems([Problem(place.name, message, "It stays in the field until you leave this page.")])
    state: State = "kept"

    def edit(draft: Draft) -> None:
        nonlocal state
        state = _edit(draft, place, typed)

    digest = _digest(typed.text)
    with context.editing:
        sent = context.sent_by(typed.tab, place.character, place.name)
        if digest == sent.used:
            return "kept"
        # A field that the browser draws anew begins empty or with an older text, and Streamlit tells that as a change.
        # Somebody who empties a field or types the older text again is heard through the script.
        is_old = not typed.text or digest in sent.shown
        if not typed.number and is_old and context.has_script(typed.tab):
            return "kept"
        # A page's own run comes after the browser's messages: what these have told before may be older than the draft.
        if typed.number <= sent.number if typed.number else digest in sent.digests:
            return "kept"
        change(context, place.character, edit)
        if typed.number:  # only now: what failed is sent again with the same number
            sent.number = typed.number
            sent.digests.append(digest)
    return state


def note_shown(context: AppContext, key: str, text: str, tab: str) -> None:
    """A page shows that text in that field."""
    place, digest = place_of(key), _digest(text)
    if place is None:
        raise ValueError(f"{key!r} names no field")
    with context.editing:
        shown = context.sent_by(tab, place.character, place.name).shown
        if digest not in shown:
            shown.append(digest)


def _edit(draft: Draft, place: Place, typed: Typed) -> State:
    stands = read(draft, place)
    if stands is None:
        _add_clash(draft, place, typed)
        return "gone"
    if stands == typed.text:
        return "kept"
    is_own = bool(typed.tab) and written_by(draft, place, stands) == typed.tab
    if not is_own and not _is_same(stands, typed.base):
        if _is_same(stands, typed.text):
            return "kept"
        _add_clash(draft, place, typed)
        return "clash"
    write(draft, place, typed.text)
    written = draft.setdefault("written", {})
    written.pop(place.name, None)
    written[place.name] = {"tab": typed.tab, "digest": _digest(typed.text)}
    for name in list(written)[:-MAX_WRITTEN]:
        del written[name]
    return "kept"


def written_by(draft: Mapping[str, Any], place: Place, text: str) -> str:
    """The tab that typed the text which stands there; "" when nobody did, or something else has changed it since."""
    last = draft.get("written", {}).get(place.name, {})
    return str(last.get("tab", "")) if last.get("digest") == _digest(text) else ""


def _digest(text: str) -> str:
    return hashlib.sha256(tidy_text(text).encode()).hexdigest()[:16]


def _is_same(one: str, other: str) -> bool:
    """Whether two texts say the same: a browser's field changes line ends, and a field of one line has none."""
    return one == other or tidy_text(one).split() == tidy_text(other).split()


# ---------------------------------------------------------------- clashes


def _add_clash(draft: Draft, place: Place, typed: Typed) -> None:
    clashes = draft.setdefault("clashes", [])
    entry = next((one for one in clashes if (one["place"], one["tab"]) == (place.name, typed.tab)), None)
    if entry is None:
        known = any(one["place"] == place.name and _is_same(one["text"], typed.text) for one in clashes)
        if known or not typed.text.strip():
            return
        entry = {"place": place.name, "tab": typed.tab}
        clashes.append(entry)
    entry.update(text=typed.text, at=now())


def clashes(id: str, draft: Mapping[str, Any]) -> list[Clash]:
    """The texts that were written over others, oldest first."""
    found = []
    for entry in draft.get("clashes", ()):
        kind, _, rest = entry["place"].partition("-")
        place = place_of(f"{kind}-{id}-{rest}")
        if place is not None:
            found.append(
                Clash(place, title_of(draft, place), read(draft, place), entry["text"], entry["tab"], entry["at"])
            )
    return found


def settle(context: AppContext, clash: Clash, takes_it: bool) -> None:
    """Let the other text stand in the field, or leave it out; either way the question is answered."""

    def edit(draft: Draft) -> None:
        listed = draft.get("clashes", [])
        draft["clashes"] = [
            one
            for one in listed
            if (one["place"], one["tab"], one["text"]) != (clash.place.name, clash.tab, clash.text)
        ]
        if not draft["clashes"]:
            del draft["clashes"]
        if takes_it and len(draft.get("clashes", ())) < len(listed):
            write(draft, clash.place, clash.text)

    change(context, clash.place.character, edit)


TITLES = {
    "name": "Name",
    "persona": "Who they are",
    "style": "How they speak",
    "appearance": "What never changes in their looks",
    "greeting": "Their first words",
    "scenario": "Where a conversation takes place",
    "licence": "What may others do with it?",
    "stated_by": "Who states this?",
    "pasted": "Blocks as Character Cards write them",
}
"""Texts of the wizard in the creator's words."""


def title_of(draft: Mapping[str, Any], place: Place) -> str:
    """A field in the creator's words: "the answer of fact 3"."""
    if place.kind == "text":
        return TITLES[place.parts[0]]
    if place.kind == "fact":
        ids = [fact.get("id") for fact in draft.get("facts", ())]
        number = f" {ids.index(place.parts[0]) + 1}" if place.parts[0] in ids else ""
        return f"The {place.parts[1]} of fact{number}"
    if place.kind == "caption":
        return f"The words for picture {place.parts[0]} ({place.parts[2]})"
    what = "What the picture shows" if place.kind == "scene" else "A line"
    for talk, interaction in enumerate(draft.get("interactions", ()), 1):
        for at, turn in enumerate(interaction, 1):
            if turn.get("id") == place.parts[0]:
                return f"{what}, conversation {talk}, turn {at}"
    return f"{what} of a conversation"


def long_texts(draft: Mapping[str, Any]) -> list[Problem]:
    """Texts that are kept whole but too long to be trained on."""
    named: list[tuple[str, ...]] = [
        ("text", field) for field in MAX_CHARS if field != "name"
    ]  # the name has a check of its own
    named += [("fact", fact["id"], part) for fact in draft.get("facts", ()) if "id" in fact for part in FACT_PARTS]
    named += [(kind, turn["id"]) for turn in _turns(draft) if "id" in turn for kind in ("words", "scene")]
    for entry in draft.get("images", ()):
        named += [("caption", *entry["file"].rsplit(".", 1), field) for field in (*CAPTION_FIELDS, "caption")]
    found = []
    for kind, *parts in named:
        place = Place("", kind, tuple(parts))
        told = over_limit(read(draft, place) or "", limit_of(place))
        if told:
            field = {"text": parts[0], "fact": "facts", "caption": "images"}.get(kind, "interactions")
            found.append(Problem(field, f"{title_of(draft, place)}: {told}", ""))
    return found


def is_new_row(draft: Mapping[str, Any], place: Place) -> bool:
    """Whether a fact's row has nothing in the draft yet."""
    return _by_id(draft.get("facts", ()), place.parts[0]) is None


def remove_fact(context: AppContext, id: str, row: str) -> None:
    """Take a fact out."""

    def edit(draft: Draft) -> None:
        draft["facts"] = [fact for fact in draft.get("facts", []) if fact.get("id") != row]

    change(context, id, edit)


def use_up(context: AppContext, key: str, text: str, tab: str) -> None:
    """Empty a field whose text was used; when the browser sends that text once more, it stays empty."""
    place = place_of(key)
    if place is None:
        raise ValueError(f"{key!r} names no field")
    with context.editing:
        context.sent_by(tab, place.character, place.name).used = _digest(text)
        change(context, place.character, lambda draft: write(draft, place, ""))
