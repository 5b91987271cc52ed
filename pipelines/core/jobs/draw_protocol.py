"""Drawings of a character that is still being made: the request, and what its events mean.

A job of the queue `reply` with `DrawRequest.to_json()` draws one picture for each look, from the references and words
of a draft, and gives back every uploaded picture as the model's tokenizer rebuilds it. Events have stage "reply"; which
of the metrics below one carries says what it brings. `drawings_in` reads all of a job's events so far.

A job with `PromptRequest.to_json()` draws somebody's own prompts with a checkpoint; its events are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.core.events import Event
from pipelines.core.jobs.reply_protocol import LOADING

DRAW_TASK = "draw"
PROMPT_TASK = "draw_prompts"
"""`task` of the jobs' requests."""
MAX_PROMPTS = 12
PROGRESS, DRAWING, REBUILT, STYLE = "drawing_share", "drawing_s", "rebuilt_s", "style_loss"
"""Metrics of these events: the share of the codes that are sampled; seconds until a drawing, a rebuilding was there;
how badly the model foresees the pictures, in nats of a code (`inference/style_loss.py`)."""
FOREIGN_LOSS = 2.4
"""`style_loss` from which on an art is foreign to the starter: its own art has less than 2, others 3 and more."""
SHOWN_LOOKS = (
    ("happy, in the snow", "angry, in a kitchen", "surprised, close-up, on a beach", "sad, in space"),
    ("laughing, on a stage", "sad, in the rain", "winking, close-up, in a city at night", "angry, in a forest"),
    ("surprised, in a library", "happy, close-up, in a park", "sleepy, in a bedroom", "angry, in the snow"),
)
"""What is drawn, a set for each time that it is asked for: faces and places that the starter knows, and no clothes,
since those that a character always wears should be kept."""


@dataclass(frozen=True)
class DrawRequest:
    """What is to be drawn, of whom."""

    entries: dict[str, Any] = field(hash=False)
    """The character as far as it is written: name, appearance, images and references as `character.yaml` has them."""
    pictures: dict[str, str] = field(hash=False)
    """File -> object key of every picture."""
    looks: tuple[str, ...] = SHOWN_LOOKS[0]
    seed: int = 0
    base: str = "starter"
    of: dict[str, str] = field(default_factory=dict, hash=False)
    """What the asker knows the present state of the draft by; nothing here reads it."""

    def to_json(self) -> dict[str, Any]:
        """The request of the job."""
        return {"task": DRAW_TASK, **asdict(self), "looks": list(self.looks)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DrawRequest:
        """The inverse; ValueError for what cannot be read."""
        values = {key: value for key, value in data.items() if key != "task"}
        try:
            return cls(**{**values, "looks": tuple(values.get("looks", SHOWN_LOOKS[0]))})
        except TypeError as error:
            raise ValueError(f"the request cannot be read ({error}): studio and worker differ in version") from error


@dataclass(frozen=True)
class PromptRequest:
    """Somebody's own prompts, to be drawn with one checkpoint."""

    checkpoint: str
    """`JOB:NAME`."""
    looks: tuple[str, ...]
    """What each picture should show, without the character's name."""
    seed: int = 0
    """Picture n is drawn from seed + n; equal seeds let checkpoints be compared."""
    best_of: int = 1

    def __post_init__(self) -> None:
        if ":" not in self.checkpoint:
            raise ValueError(f"checkpoints are named JOB:NAME, not {self.checkpoint}")
        if not 1 <= len(self.looks) <= MAX_PROMPTS or not all(look.strip() for look in self.looks):
            raise ValueError(f"between one and {MAX_PROMPTS} prompts are drawn at once, each with words")

    def to_json(self) -> dict[str, Any]:
        """The request of the job."""
        return {"task": PROMPT_TASK, **asdict(self), "looks": list(self.looks)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PromptRequest:
        """The inverse; ValueError for what cannot be read."""
        values = {key: value for key, value in data.items() if key != "task"}
        try:
            return cls(**{**values, "looks": tuple(values.get("looks", ()))})
        except TypeError as error:
            raise ValueError(f"the request cannot be read ({error}): studio and worker differ in version") from error


@dataclass
class Drawings:
    """A job's drawings as far as they have come."""

    share: float = 0.0
    """Of the drawing that is done, 0..1."""
    drawn: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Place -> (look, object key)."""
    rebuilt: dict[str, str] = field(default_factory=dict)
    """Object key of an uploaded picture -> that of its rebuilding."""
    seconds: float = 0.0
    """Until the last drawing was there."""
    style_loss: float | None = None
    """See `FOREIGN_LOSS`; None where nobody has measured it."""
    is_loading: bool = False
    """Whether the worker still loads its model."""


def progress_event(share: float) -> Event:
    """How far the drawings are."""
    return Event("reply", metrics={PROGRESS: share})


def style_event(loss: float) -> Event:
    """How well the model knows the art of the pictures."""
    return Event("reply", metrics={STYLE: round(loss, 3)})


def drawing_event(number: int, total: int, look: str, key: str, seconds: float) -> Event:
    """A drawing is in the object store."""
    return Event("reply", number, total, {DRAWING: seconds}, look, (key,))


def rebuilt_event(number: int, total: int, picture: str, key: str, seconds: float) -> Event:
    """A picture's rebuilding is in the object store."""
    return Event("reply", number, total, {REBUILT: seconds}, artifacts=(picture, key))


def drawings_in(events: Iterable[Event]) -> Drawings:
    """All that the events of a job have told so far; a new attempt begins anew."""
    found = Drawings()
    for event in events:
        if event.stage == "prepare":
            found = Drawings()
        found.is_loading = LOADING in event.metrics
        if STYLE in event.metrics:
            found.style_loss = event.metrics[STYLE]
        elif PROGRESS in event.metrics:
            found.share = event.metrics[PROGRESS]
        elif DRAWING in event.metrics:
            found.drawn[event.step], found.share = (event.note, event.artifacts[0]), 1.0
            found.seconds = max(found.seconds, event.metrics[DRAWING])
        elif REBUILT in event.metrics:
            found.rebuilt[event.artifacts[0]] = event.artifacts[1]
    return found


def shown_entries(entries: Mapping[str, Any], pictures: Sequence[str]) -> dict[str, Any]:
    """Of a character's entries what a drawing depends on; `pictures` are the files that can be looked at."""
    images = [image for image in entries.get("images", ()) if image.get("file") in pictures]
    chosen = [file for file in entries.get("references", ()) if file in pictures]
    words = {key: entries[key] for key in ("name", "appearance") if entries.get(key)}
    return {**words, "images": images, "references": chosen}
