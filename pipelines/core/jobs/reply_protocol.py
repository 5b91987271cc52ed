"""What the events of a reply job mean: words as they are written, then the scene, then the picture, for each side.

A reply job's request is `ReplyRequest.to_json()`. Its events have stage "reply", `step` is the side (0 left, 1 right)
and `total` how many sides there are; which of the metrics below an event carries says what it brings. A page that
draws a chat calls `replies_in` with all events of the job so far. Captions (request with task "captions") come as one
event for each picture, read by `captions_in`; conversations that an endpoint writes (task "expand") in one event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.core.character.character import Character, Interaction, Message, message
from pipelines.core.character.serialize import character_to_entries
from pipelines.core.events import Event

ReplySide = Literal["left", "right"]
SIDES: tuple[ReplySide, ReplySide] = ("left", "right")
"""In the order of a request's checkpoints; an event's `step` is the index."""

TEXT, SCENE, PICTURE, DONE, CAPTION = "text_s", "scene_s", "picture_s", "done_s", "caption_s"
CONVERSATIONS = "conversations_s"
"""Metrics of these events: seconds from the start of the work until this was there."""
LOADING = "loading"
"""Metric of the event that says that the model is loaded first."""
HARD_TO_DRAW, SEVERAL_FIGURES, SMALL_DETAILS = "hard_to_draw", "several_figures", "small_details"
DOUBTS = (HARD_TO_DRAW, SEVERAL_FIGURES, SMALL_DETAILS)
"""What a picture may be, for the model that looks at it: a photograph or an art that it cannot hold, of several, or one
whose small details, the eyes among them, are too small for it."""
FAMILIAR_SHARE = 0.6
"""Share of a character's pictures that must be read as familiar for its art to be."""
BEST_OF, MAX_BEST_OF = 4, 16
"""How many drawings a picture is chosen from where that is wanted, and the most that may be asked for."""
MAX_STRENGTH = 1.5
"""Most that an adapter is multiplied by; above it replies and drawings fall apart before they gain."""


@dataclass(frozen=True)
class SideText:
    """What one side said in a turn."""

    text: str = ""
    scene: str = ""


@dataclass(frozen=True)
class HistoryTurn:
    """One turn of a chat with one checkpoint or two: the `Message` before it is known which side reads it.

    Its JSON has only what there is: `{"role", "text", "picture"?}` of the user, `{"role", "text", "scene"?}` of the
    character, or `{"role", "left": {"text", "scene"}, "right": ...}` where the two sides said different things.
    """

    role: Literal["user", "character"]
    text: str = ""
    scene: str = ""
    picture: str = ""
    """Object key of a picture that the user showed, or that a reply which is to be continued has."""
    left: SideText | None = None
    right: SideText | None = None

    def message_for(self, side: ReplySide) -> Message:
        """The turn as this side's model reads it: with its own words only."""
        said = (self.left if side == "left" else self.right) or SideText(self.text, self.scene)
        pictures = [self.picture] if self.picture and self.role == "user" else []
        return message(self.role, said.text, pictures, said.scene)

    def to_json(self) -> dict[str, Any]:
        """A line of the request's history."""
        given = {key: value for key, value in asdict(self).items() if value}
        return given if self.left or self.right else {"role": self.role, "text": self.text} | given

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HistoryTurn:
        """The inverse; an unknown key raises TypeError."""
        sides: dict[str, SideText] = {side: SideText(**data[side]) for side in SIDES if side in data}
        return cls(**{**data, **sides})


@dataclass(frozen=True)
class ReplyRequest:
    """What a reply job is asked for."""

    checkpoints: tuple[str, ...]
    """`JOB:NAME` of one checkpoint, or of two that answer side by side; of one base model."""
    history: tuple[HistoryTurn, ...] = ()
    """The chat so far; the last turn is the user's."""
    conversation: str = ""
    """Where the replies are kept as messages; "" when nowhere."""
    number: int = -1
    """The replies' place in that conversation; -1 for behind the last message."""
    picture: Literal["auto", "always", "never"] = "auto"
    seed: int = 0
    best_of: int = 1
    """How many drawings each picture is chosen from."""
    begun: HistoryTurn | None = None
    """A reply of the one checkpoint that is to be continued, with its picture; the new one begins with its words."""
    strength: float = 1.0
    """What the adapters add to the base model is multiplied by this: 0 is the base, 1 what training made."""

    def __post_init__(self) -> None:
        if not 1 <= self.best_of <= MAX_BEST_OF:
            raise ValueError(f"the best of {self.best_of} drawings cannot be kept: ask for 1 to {MAX_BEST_OF}")
        check_strength(self.strength)
        if not 1 <= len(self.checkpoints) <= 2:
            raise ValueError(f"one checkpoint answers, or two side by side, not {len(self.checkpoints)}")
        if any(":" not in name for name in self.checkpoints):
            raise ValueError(f"checkpoints are named JOB:NAME, not {', '.join(self.checkpoints)}")
        if self.begun is not None and (len(self.checkpoints) > 1 or not self.begun.text.strip()):
            raise ValueError("one checkpoint alone continues a reply, and only one that has words")
        if not self.history or self.history[-1].role != "user":
            raise ValueError("history must end with a turn of the user: that is what is answered")

    def to_json(self) -> dict[str, Any]:
        """The request of the job."""
        given = {"task": "reply", **asdict(self), "history": [turn.to_json() for turn in self.history]}
        if self.best_of == 1:  # a worker of version 0.1 refuses what it does not know
            del given["best_of"]
        if self.strength == 1.0:
            del given["strength"]
        if self.begun is None:
            del given["begun"]
        else:
            given["begun"] = self.begun.to_json()
        return given

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReplyRequest:
        """The inverse; ValueError for what cannot be answered."""
        values: dict[str, Any] = {key: value for key, value in data.items() if key != "task"}
        try:
            values["checkpoints"] = tuple(values.get("checkpoints", ()))
            values["history"] = tuple(HistoryTurn.from_json(turn) for turn in values.get("history", ()))
            if values.get("begun"):
                values["begun"] = HistoryTurn.from_json(values["begun"])
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"the request cannot be read ({error}): studio and worker differ in version") from error


def check_strength(strength: float) -> None:
    """ValueError for a strength that no adapter can have."""
    if not 0 <= strength <= MAX_STRENGTH:  # also refuses nan
        raise ValueError(f"an adapter of strength {strength:g} cannot be used: choose 0 to {MAX_STRENGTH:g}")


@dataclass
class SideReply:
    """One side's answer as far as it has come."""

    text: str = ""
    scene: str = ""
    picture_key: str = ""
    done: bool = False
    first_text_s: float | None = None
    """Seconds until the first words; None before."""
    seconds: float = 0.0
    """Seconds until everything was there."""


@dataclass(frozen=True)
class CaptionSuggestion:
    """What varies in one picture, as far as it could be told."""

    picture: str
    """Object key."""
    fields: dict[str, str] = field(default_factory=dict)
    """Some of expression, clothes, place, pose; to be trusted as `trusted_fields` says."""
    description: str = ""
    """The same in one line."""
    sure: tuple[str, ...] = ()
    """Those of the fields that are worth a question whatever the art."""
    is_familiar: bool = True
    """Whether it is read as drawings of the starter's own styles are."""
    doubts: tuple[str, ...] = ()
    """Of `DOUBTS`: what may be wrong with the picture."""


def is_known_art(suggestions: Sequence[CaptionSuggestion]) -> bool:
    """Whether most pictures of one character are read as those of the starter's own styles are."""
    looked_at = [item for item in suggestions if HARD_TO_DRAW not in item.doubts]
    return sum(item.is_familiar for item in looked_at) >= FAMILIAR_SHARE * max(1, len(looked_at))


def trusted_fields(suggestions: Sequence[CaptionSuggestion]) -> list[dict[str, str]]:
    """Of the pictures of one character, in order, what may be suggested for each.

    All pictures of a character are of one art: where it is known all that is seen is trusted, else nothing. Numbers in
    docs/log.md (2026-11-27).
    """
    is_known = is_known_art(suggestions)
    return [dict(item.fields) if is_known else {} for item in suggestions]


def guessed_fields(suggestions: Sequence[CaptionSuggestion]) -> list[dict[str, str]]:
    """What is worth a question in an art that is not known: three in ten of these are wrong, however sure it was."""
    is_known = is_known_art(suggestions)
    return [
        {} if is_known else {name: words for name, words in item.fields.items() if name in item.sure}
        for item in suggestions
    ]


def loading_event() -> Event:
    """The worker loads its model first, which takes a while."""
    return Event("reply", metrics={LOADING: 1.0}, note="loading the model")


def text_event(side: int, sides: int, piece: str, seconds: float) -> Event:
    """More words of one side, to be put behind those before."""
    return Event("reply", side, sides, {TEXT: seconds}, piece)


def scene_event(side: int, sides: int, text: str, scene: str, seconds: float) -> Event:
    """The words are complete, as they will be kept, and this is what the picture will show; "" for no picture."""
    return Event("reply", side, sides, {SCENE: seconds}, json.dumps({"text": text, "scene": scene}, ensure_ascii=False))


def picture_event(side: int, sides: int, key: str, seconds: float) -> Event:
    """The picture is in the object store."""
    return Event("reply", side, sides, {PICTURE: seconds}, artifacts=(key,))


def done_event(side: int, sides: int, seconds: float) -> Event:
    """Nothing more comes on this side."""
    return Event("reply", side, sides, {DONE: seconds})


def caption_event(number: int, total: int, suggestion: CaptionSuggestion, seconds: float) -> Event:
    """One picture described."""
    told = {key: value for key, value in asdict(suggestion).items() if key != "picture"}
    note = json.dumps(told, ensure_ascii=False)
    return Event("reply", number, total, {CAPTION: seconds}, note, (suggestion.picture,))


def conversations_event(interactions: Sequence[Interaction], seconds: float) -> Event:
    """Conversations that an endpoint wrote, as `character.yaml` has them."""
    entries = character_to_entries(Character("", "", interactions=tuple(interactions)))["interactions"]
    return Event("reply", 0, 1, {CONVERSATIONS: seconds}, json.dumps(entries, ensure_ascii=False))


def replies_in(events: Iterable[Event]) -> list[SideReply]:
    """Each side as far as it has come, left first; empty before the first event. A new attempt begins anew."""
    sides: list[SideReply] = []
    for event in events:
        if event.stage == "prepare":
            sides = []
        if event.stage != "reply" or CAPTION in event.metrics or CONVERSATIONS in event.metrics:
            continue
        while len(sides) < event.total:
            sides.append(SideReply())
        side = sides[event.step]
        if TEXT in event.metrics:
            side.text += event.note
            side.first_text_s = event.metrics[TEXT] if side.first_text_s is None else side.first_text_s
        elif SCENE in event.metrics:
            whole = json.loads(event.note)
            side.text, side.scene = whole["text"], whole["scene"]
        elif PICTURE in event.metrics:
            side.picture_key = event.artifacts[0]
        elif DONE in event.metrics:
            side.done, side.seconds = True, event.metrics[DONE]
    return sides


def captions_in(events: Iterable[Event]) -> list[CaptionSuggestion]:
    """The suggestions so far, in the order of the request's pictures."""
    found = {}
    for event in events:
        if event.stage == "reply" and CAPTION in event.metrics:
            note = json.loads(event.note)
            note |= {key: tuple(note.get(key, ())) for key in ("sure", "doubts")}  # workers of before told none
            found[event.step] = CaptionSuggestion(event.artifacts[0], **note)
    return [found[number] for number in sorted(found)]


def conversations_in(events: Iterable[Event]) -> list[list[dict[str, Any]]]:
    """The conversations that an endpoint wrote, each as `character.yaml` has it."""
    written: list[list[dict[str, Any]]] = []
    for event in events:
        if event.stage == "reply" and CONVERSATIONS in event.metrics:
            written += json.loads(event.note)
    return written
