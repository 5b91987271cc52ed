"""The character: what a creator writes down, and the folder it is kept in.

A character folder holds `character.yaml` and `images/`; a held-out split, which training never sees, lies beside them
as `test.yaml` and `test_images/`. One `Message` type serves forms, loss, rewards and chat. Equal content means equal
value: there are no ids and no storage keys here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pipelines.core.file_names import is_storable

Role = Literal["system", "user", "character"]

MAX_FILE_NAME = 120
"""Most characters of a picture's file name."""


@dataclass(frozen=True)
class TextPart:
    """Words inside a message."""

    text: str


@dataclass(frozen=True)
class ImagePart:
    """A picture inside a message."""

    image: str
    """File name of one of the character's images, or an object key."""


MessagePart = TextPart | ImagePart


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    A character's turn may carry a scene (what its picture shows, in words) and one picture,
    always after the words.
    """

    role: Role
    parts: tuple[MessagePart, ...]
    scene: str = ""
    speaker: str = ""
    """Who says a user's turn, when it is another figure and not the user."""
    image_info: str = ""
    """What is told about the pictures of a user's turn beside its words, such as who is on them."""

    @property
    def text(self) -> str:
        """The words of the message, pictures left out."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[str, ...]:
        """File names or object keys of the pictures, in order."""
        return tuple(part.image for part in self.parts if isinstance(part, ImagePart))

    @property
    def prompt_text(self) -> str:
        """A user's words as the model reads them: what is told about the pictures, then who speaks and what."""
        told = f"({self.image_info})\n" if self.image_info else ""
        return told + (f"{self.speaker}: {self.text}".rstrip() if self.speaker else self.text)


def message(
    role: Role,
    text: str = "",
    images: Iterable[str] = (),
    scene: str = "",
    speaker: str = "",
    image_info: str = "",
) -> Message:
    """A turn with its parts in their usual order: a character's pictures after the words, a user's before them."""
    spoken: tuple[MessagePart, ...] = (TextPart(text),) if text else ()
    shown: tuple[MessagePart, ...] = tuple(ImagePart(image) for image in images)
    return Message(role, spoken + shown if role == "character" else shown + spoken, scene, speaker, image_info)


Interaction = tuple[Message, ...]
"""A conversation: user and character in turn, ending with the character."""


@dataclass(frozen=True)
class Fact:
    """Something the character knows about itself, as a question and its short answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Preference:
    """Which of two replies to one message somebody liked better: a vote, or an answer and its correction."""

    prompt: str
    """What the user said."""
    chosen: Message
    """The character's turn, without a picture: words, and a scene where it had one."""
    rejected: Message


@dataclass(frozen=True)
class CharacterImage:
    """One uploaded picture and what varies in it (never what stays the same)."""

    file: str
    """File name inside `images/`."""
    expression: str = ""
    """The face: "laughing", "sad"."""
    clothes: str = ""
    """What is worn: "a red hoodie"."""
    place: str = ""
    """Where: "on the beach"."""
    pose: str = ""
    """How the picture is framed or the body held: "close-up", "waving"."""
    caption: str = ""
    """The creator's own words; when empty the four fields above are joined."""

    @property
    def description(self) -> str:
        """The caption in words, from the creator or from the fields."""
        if self.caption:
            return self.caption
        worn = f"wearing {self.clothes}" if self.clothes else ""
        return ", ".join(item for item in (self.expression, self.pose, worn, self.place) if item)


def is_file_name(name: str) -> bool:
    """Whether `name` is one plain file name (`CharacterImage.file`), safe to join to a folder on every system."""
    return len(name) <= MAX_FILE_NAME and is_storable(name)


@dataclass(frozen=True)
class Consent:
    """The creator's statement that they may use these pictures."""

    statement: str = ""
    given_by: str = ""
    given_at: str = ""
    """UTC, ISO 8601."""
    image_sha256: tuple[str, ...] = ()
    """Hashes of the pictures that the statement covers."""


@dataclass(frozen=True)
class MultipleChoice:
    """A multiple-choice question of the held-out split."""

    question: str
    options: tuple[str, ...]
    answer: int
    """Index into `options`."""


@dataclass(frozen=True)
class HeldOut:
    """What of a character is kept for the test, as somebody chose it; None leaves that kind to `held_out_split`."""

    conversations: tuple[int, ...] | None = None
    """Places in `interactions`, counted from 0; training never sees them."""
    facts: tuple[int, ...] | None = None
    """Places in `facts` that the test asks about. They are learned all the same: the test asks whether they were."""
    images: tuple[str, ...] | None = None
    """Files of `images`; training never sees them."""


@dataclass(frozen=True)
class Character:
    """Everything that a creator has written about one character."""

    name: str
    persona: str
    """Who they are."""
    style: str = ""
    """How they speak."""
    appearance: str = ""
    """What never changes in their looks."""
    greeting: str = ""
    scenario: str = ""
    facts: tuple[Fact, ...] = ()
    images: tuple[CharacterImage, ...] = ()
    references: tuple[str, ...] = ()
    """Files of the images that are looked at wherever the character is drawn, as the creator chose them, best first;
    empty leaves the choice to `references.ranked_references`."""
    input_images: tuple[str, ...] = ()
    """Files inside `images/` that only users show in conversations; the character is not learned from them."""
    interactions: tuple[Interaction, ...] = ()
    preferences: tuple[Preference, ...] = ()
    """Oldest first; stage 2 learns from them."""
    held_out: HeldOut = field(default_factory=HeldOut)
    """Counts only where no held-out split lies beside the character."""
    consent: Consent = field(default_factory=Consent)
    licence: str = ""
    """SPDX name or plain words; covers text and pictures."""
    extensions: dict[str, object] = field(default_factory=dict, hash=False)
    """Unknown keys of an imported card, kept for export."""


@dataclass(frozen=True)
class TestSplit:
    """What the scorecard is measured on; never trained on."""

    __test__ = False  # not a pytest class

    dialogues: tuple[Interaction, ...] = ()
    choices: tuple[MultipleChoice, ...] = ()
    images: tuple[CharacterImage, ...] = ()
    """Files inside `test_images/`."""
    input_images: tuple[str, ...] = ()
    """Files inside `test_images/` that users show in the dialogues."""
