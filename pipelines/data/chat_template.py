"""Every template, and the one renderer of conversations to ids and loss mask.

Training, practice, evaluation and chat all call `render`, so a prompt cannot drift between them. What stands around the
words of a turn is the model family's own (`ModelSpec.chat_format`). The character's turn may go on with `[scene] ...`; the last
turn may end in a picture (begin-of-image id, then its codes, nothing after). Sampling words therefore stops at
`spec.eot_id` or `spec.boi_id`, and after `spec.boi_id` a picture is drawn. The requests and questions that training
and practice put to the character stand here too; `pipelines/data/samples.py` makes samples of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, ImagePart, Message, TextPart
from pipelines.core.character.system_prompt import system_message
from pipelines.models.interface import ModelSpec

SCENE_MARK = "[scene] "

IMAGE_REQUESTS = (
    "Draw yourself: {description}.",
    "Show me a picture of you: {description}.",
    "Can you send me a photo of yourself, {description}?",
    "I would like to see you {description}.",
    "What do you look like {description}?",
)
"""Ways to ask for a picture that names everything in it; training and practice share them."""

LOOSE_REQUESTS = {
    "expression": "Show me your {expression} face.",
    "clothes": "Send me a picture of you wearing {clothes}.",
    "place": "Show me yourself {place}.",
}
"""Ways to ask that name one thing and leave the rest to the character."""

QUESTION_PREFIXES = ("Tell me: ", "Quick question. ", "I was wondering: ", "One more thing. ", "Answer briefly. ")
"""Put before a fact's question, so that it is not learned in one wording only."""

IMAGE_QUESTIONS = {
    "expression": ("How do you look in this picture?", "What does your face say here?"),
    "clothes": ("What are you wearing in this picture?", "What do you have on here?"),
    "place": ("Where are you in this picture?", "Where was this taken?"),
}
"""Questions about a picture the user shows, by the field of `CharacterImage` that answers them."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it."""

    ids: list[int]
    mask: list[int]
    """1 where the id is learned, 0 where it is context; as long as `ids`."""
    input_images: tuple[str, ...] = ()
    """Pictures that fill the look placeholders, in reading order."""
    drawn: int = 0
    """Pictures drawn at the end: 0 or 1."""
    weight: float = 1.0
    """What one learned word of it counts for in the loss."""

    @property
    def labels(self) -> list[int]:
        """Ids where learned, -100 elsewhere."""
        return [token if learned else -100 for token, learned in zip(self.ids, self.mask, strict=True)]


def scene_text(name: str, description: str) -> str:
    """The scene line of a picture: who, then what the picture shows."""
    return f"{name}, {description}" if description else name


def split_reply(text: str) -> tuple[str, str]:
    """A sampled reply's words and scene, the inverse of how a character's turn is written."""
    words, _, scene = text.partition(SCENE_MARK.strip())
    return words.strip(), " ".join(scene.split())


def reply_ids(text: str, scene: str, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the character itself writes in a turn: words, then the scene line, either of which may be empty."""
    written = "\n".join(item for item in (text, SCENE_MARK + scene if scene else "") if item)
    return _pieces(tokenizer, spec.chat_format.lead + written, content=True) if written else []


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str, content: bool) -> list[int]:
    # Content is written by people: an end mark inside it must stay words.
    return tokenizer(text, add_special_tokens=False, split_special_tokens=content)["input_ids"] if text else []


def render(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
) -> Rendered:
    """Ids and loss mask of a conversation.

    Learned are the character's words, scenes, end marks, and the picture of the last turn with the begin-of-image id
    before it. A scene announces a picture, so the end mark after a scene whose picture is left out is context only.

    codes: picture codes in [0, codebook) by file name; None leaves every picture of the character out.
    add_reply: end where the character's reply begins (nothing is learned from a prompt's last turn).
    Raises ValueError when the last picture has no codes or when a turn follows that cannot be answered.
    """
    ids: list[int] = []
    mask: list[int] = []
    input_images: list[str] = []

    def put(new: Sequence[int], learned: bool = False) -> None:
        ids.extend(new)
        mask.extend([int(learned)] * len(new))

    def pieces(text: str, content: bool) -> list[int]:
        return _pieces(tokenizer, text, content)

    marks, drawn = spec.chat_format, 0
    turns = {"system": marks.system, "user": marks.user, "character": marks.character}
    put([] if spec.start_id is None else [spec.start_id])
    for place, message in enumerate(messages):
        speaks, turn = message.role == "character", turns[message.role]
        put(pieces(turn.before, content=False))
        if not speaks:
            input_images += message.images
            for _ in message.images:
                put(pieces(marks.image_before, content=False))
                put([spec.image_placeholder_id] * spec.image_input_tokens)
                put(pieces(marks.image_after, content=False))
            put(pieces(message.text, content=True))
        else:
            put(reply_ids(message.text, message.scene, spec, tokenizer), learned=True)
            if message.images and codes is not None and place == len(messages) - 1:
                if message.images[0] not in codes:
                    raise ValueError(f"picture {message.images[0]!r} is not among the character's images")
                codes_of_picture = codes[message.images[0]]
                put([spec.boi_id, *(spec.text_vocab + code for code in codes_of_picture)], learned=True)
                drawn = 1
                break
        put([spec.eot_id] if turn.closed else [], learned=speaks and not message.scene)
        put(pieces(turn.after, content=False))
    if add_reply:
        if drawn or not messages or messages[-1].role == "character":
            raise ValueError("a reply can only be asked for after a turn of the user")
        put(pieces(marks.character.before, content=False))
    return Rendered(ids, mask, tuple(input_images), drawn)


def render_truncated(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    room: int,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
) -> Rendered:
    """`render` within `room` ids: the earliest exchanges after the system prompt are left out until it fits.

    Raises ValueError when even the last exchange does not fit.
    """
    head = tuple(message for message in messages[:1] if message.role == "system")
    turns = list(messages[len(head) :])
    while True:
        rendered = render((*head, *turns), spec, tokenizer, codes, add_reply)
        if len(rendered.ids) <= room:
            return rendered
        later = [place for place, turn in enumerate(turns) if turn.role == "user" and place > 0]
        if not later:
            raise ValueError(
                f"the turn that begins {turns[0].text[:40]!r} needs {len(rendered.ids)} tokens with its reply and the "
                f"persona, but there is room for {room}: shorten it, or raise sft_row_max_tokens"
            )
        turns = turns[later[0] :]


def prompt(
    character: Character,
    history: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    room: int = 1 << 30,
) -> Rendered:
    """What the model reads before it answers: persona, conversation so far (ends with the user), reply header.

    Long histories lose their earliest exchanges until the prompt has at most `room` ids.
    """
    messages = (system_message(character), *history)
    return render_truncated(messages, spec, tokenizer, room, add_reply=True)


def user(text: str, *pictures: str) -> Message:
    """A turn of the user; pictures stand before the words."""
    return Message("user", (*(ImagePart(name) for name in pictures), TextPart(text)))


def reply(text: str, scene: str = "", picture: str = "") -> Message:
    """A turn of the character."""
    parts = (*((TextPart(text),) if text else ()), *((ImagePart(picture),) if picture else ()))
    return Message("character", parts, scene)
