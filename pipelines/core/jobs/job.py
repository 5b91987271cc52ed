"""What is queued and what comes of it: jobs, checkpoints, characters as rows, workers, chats and votes.

Frozen values, JSON in and out; where they are kept is in `pipelines.core.records`, and how a job moves from status to
status too. What a run is told is in `recipe.py`, what it reports in `core/events.py`. All times are UTC, ISO 8601
with microseconds, so that text order is time order; "" means not yet. Object keys are names in `store.py`.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

JobKind = Literal["train", "reply", "evaluate"]
JobStatus = Literal["queued", "running", "stopping", "succeeded", "stopped", "failed"]
Cancel = Literal["", "keep", "discard"]
SavedFor = Literal["plan", "stop"]
Side = Literal["", "left", "right"]
VoteChoice = Literal["left", "right", "tie", "both_bad"]
VoteAbout = Literal["both", "words", "picture"]
"""What made a reply the better one."""

ENDED: tuple[JobStatus, ...] = ("succeeded", "stopped", "failed")
"""A job in one of these does nothing more unless somebody queues it again."""
OWNED: tuple[JobStatus, ...] = ("running", "stopping")
"""A job in one of these belongs to a worker for as long as its lease lasts."""


class RecordMissing(KeyError):
    """No row of that id, or no longer; the text names what was looked for."""

    def __str__(self) -> str:
        # KeyError would show the text in quotes.
        return str(self.args[0]) if self.args else ""


class LeaseLost(Exception):
    """The job is another worker's or attempt's by now, has ended, or is gone: whoever gets this stops working on it."""


class RecordsUnusable(Exception):
    """The records cannot be read or written just now; the text says why in plain words, and what to do."""


def new_id() -> str:
    """32 hexadecimal digits that nobody else will make."""
    return uuid.uuid4().hex


def now() -> str:
    """The time on this machine's clock: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class JsonRecord:
    """JSON in and out for the values below."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; tuples become lists once it is written as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`, also after a trip through JSON text; an unknown key raises TypeError."""
        # No field is a list, so a list was a tuple.
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


@dataclass(frozen=True)
class Job(JsonRecord):
    """One piece of work for a worker. The row is the truth; a message in the broker only says that it is there."""

    id: str
    kind: JobKind
    owner: str
    character: str = ""
    """Character id; "" when the job needs none."""
    version: int = 0
    """The published version it works on, so that later edits do not reach it; 0 for none."""
    recipe: dict[str, Any] | None = None
    """`Recipe.to_json()` of a training job."""
    request: dict[str, Any] = field(default_factory=dict)
    """What a reply or evaluation is asked for."""
    status: JobStatus = "queued"
    priority: int = 0
    """Higher goes first."""
    attempt: int = 0
    """How many times a worker has taken it; the number that an ending must name."""
    worker: str = ""
    """Who has it, or had it last."""
    lease_until: str = ""
    heartbeat: str = ""
    """When the worker was last heard of."""
    cancel: Cancel = ""
    """What a person asked: stop and keep what is complete, or stop and throw it away."""
    error: str = ""
    """Plain words: what happened and what to do."""
    log_tail: str = ""
    """The last lines that the trainer printed."""
    parent: str = ""
    """The job that this one trains further or is a clone of."""
    created: str = ""
    queued: str = ""
    """When a person last queued it; a job whose worker was lost keeps its place."""
    started: str = ""
    """When the latest attempt began."""
    ended: str = ""
    savings: int = 0
    """By how many steps its memory plan is smaller than planned, since it ran out of memory."""


@dataclass(frozen=True)
class Checkpoint(JsonRecord):
    """One state of a trained adapter; its row appears after its bytes."""

    job: str
    name: str
    """As in the run folder: base, sft-000060, grpo-000008."""
    stage: str
    step: int
    base: str
    """Preset of the base model."""
    revision: str = ""
    """The base model's exact revision."""
    adapter_key: str = ""
    """Where the adapter's files are in the object store; "" for the base."""
    scores: dict[str, Any] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    """Object keys of its sample pictures."""
    files: dict[str, str] = field(default_factory=dict)
    """Path inside the checkpoint folder -> object key."""
    created: str = ""
    measurement: dict[str, Any] = field(default_factory=dict)
    """What the scores rest on (`counts`) and how sure they are (`intervals`); empty while unmeasured, and where an
    earlier version measured."""
    saved_for: SavedFor = "plan"
    """"stop" where somebody's stop made it, at a step at which the recipe saves nothing."""


@dataclass(frozen=True)
class CharacterRow(JsonRecord):
    """A character as somebody works on it: the draft, and how many versions are published."""

    id: str
    owner: str
    name: str = ""
    """The draft's name, for lists."""
    version: int = 0
    """The latest published version; 0 when there is only the draft."""
    draft: dict[str, Any] = field(default_factory=dict)
    """What the forms hold, complete or not; its pictures are named by object key."""
    published: str = ""
    """When the latest version was made; earlier than `changed` when the draft has moved on."""
    created: str = ""
    changed: str = ""
    """When the draft was last saved."""


@dataclass(frozen=True)
class CharacterVersion(JsonRecord):
    """What was published, never changed again: the snapshot that jobs train on."""

    character: str
    version: int
    """1, 2, ... for each character."""
    entries: dict[str, Any]
    """The entries of `character.yaml`."""
    test_entries: dict[str, Any] | None = None
    """The entries of `test.yaml`; None when the held-out split is to be derived."""
    images: dict[str, str] = field(default_factory=dict)
    """File name -> object key."""
    test_images: dict[str, str] = field(default_factory=dict)
    created: str = ""


@dataclass(frozen=True)
class Worker(JsonRecord):
    """One process that takes jobs, as the system page shows it."""

    id: str
    host: str
    queues: tuple[str, ...] = ()
    gpu: str = ""
    """The device's name; "" without one."""
    memory_gb: float = 0.0
    """Memory of that device, or of the machine without one, in units of 10^9 bytes."""
    versions: dict[str, str] = field(default_factory=dict)
    """Library -> version."""
    job: str = ""
    """What it works on now."""
    seen: str = ""
    started: str = ""
    cores: int = 0
    """Processor cores that it may use; 0 when it has not said."""


@dataclass(frozen=True)
class Conversation(JsonRecord):
    """A chat with one checkpoint, or with two side by side."""

    id: str
    owner: str
    character: str = ""
    left: str = ""
    """`JOB:NAME` of a checkpoint."""
    right: str = ""
    """The other one; "" when there is only one."""
    blind: bool = False
    """Whether the names are hidden until a vote."""
    title: str = ""
    created: str = ""


@dataclass(frozen=True)
class ChatMessage(JsonRecord):
    """One line of a conversation. For the model it becomes a `Message`; this is where it stands and what made it."""

    id: str
    conversation: str
    number: int = -1
    """Its place, from 0; the two replies to one message share a number. -1: behind the last one, when added."""
    role: str = "user"
    side: Side = ""
    text: str = ""
    scene: str = ""
    """What the picture shows, in words."""
    picture_key: str = ""
    seed: int = 0
    job: str = ""
    """The reply job that made it."""
    created: str = ""


@dataclass(frozen=True)
class Vote(JsonRecord):
    """Which of two replies somebody liked better; a snapshot, so it outlives edits to the conversation."""

    id: str
    conversation: str
    message: int
    """Number of the two replies in the conversation."""
    left: str
    """`JOB:NAME` of the checkpoint that wrote the left reply."""
    right: str
    choice: VoteChoice
    blind: bool = False
    prompt: str = ""
    """What was answered."""
    left_reply: dict[str, Any] = field(default_factory=dict)
    """`text`, `scene` and `picture_key`."""
    right_reply: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    about: VoteAbout = "both"
