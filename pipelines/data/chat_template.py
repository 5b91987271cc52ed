"""The chat template, all prompt wordings, and the one renderer of conversations to token ids and loss mask.

Training, rollouts, evaluation and chat all call `render`, so a prompt cannot drift between them. The special tokens
around a turn are the model family's own (`ModelSpec.chat_format`); for the starter it is ChatML:

    <|im_start|>system      {system_text}<|im_end|>
    <|im_start|>user        {text}<|im_end|>
    <|im_start|>assistant   {text} [scene] {name}, {description} <begin of image> {codes}

The character's turn may go on with a `[scene]` line, and the last turn may end in an image (begin-of-image id, then its
codes, nothing after). Sampling of text therefore stops at `spec.eot_id` or `spec.boi_id`, and after `spec.boi_id` the
codes are sampled. The requests and questions that training and rollouts put to the character stand here too;
`pipelines/data/samples.py` makes samples of them.
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
"""Requests for an image that name everything in it; both stages use them."""

LOOSE_REQUESTS = {
    "expression": "Show me your {expression} face.",
    "clothes": "Send me a picture of you wearing {clothes}.",
    "place": "Show me yourself {place}.",
}
"""Requests that name one field and leave the rest to the character."""

QUESTION_PREFIXES = ("Tell me: ", "Quick question. ", "I was wondering: ", "One more thing. ", "Answer briefly. ")
"""Put before a fact's question, so that it is not learned in one wording only."""

IMAGE_QUESTIONS = {
    "expression": ("How do you look in this picture?", "What does your face say here?"),
    "clothes": ("What are you wearing in this picture?", "What do you have on here?"),
    "place": ("Where are you in this picture?", "Where was this taken?"),
}
"""Questions about an input image, by the field of `CharacterImage` that answers them."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as token ids."""

    ids: list[int]
    mask: list[int]
    """1 where the id is supervised, 0 where it is context; as long as `ids`."""
    input_images: tuple[str, ...] = ()
    """Names of the images that fill the placeholders, in reading order."""
    drawn: int = 0
    """Images drawn at the end: 0 or 1."""
    weight: float = 1.0
    """Loss weight of its supervised text ids."""

    @property
    def labels(self) -> list[int]:
        """Ids where supervised, -100 elsewhere."""
        return [token if supervised else -100 for token, supervised in zip(self.ids, self.mask, strict=True)]


def scene_text(name: str, description: str) -> str:
    """The scene line of an image: who, then what the image shows."""
    return f"{name}, {description}" if description else name


def split_reply(text: str) -> tuple[str, str]:
    """(text, scene) of a sampled reply: the inverse of how `reply_ids` writes a turn."""
    spoken, _, scene = text.partition(SCENE_MARK.strip())
    return spoken.strip(), " ".join(scene.split())


def reply_ids(text: str, scene: str, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of what the character writes in a turn: text, then the scene line, either of which may be empty."""
    written = "\n".join(item for item in (text, SCENE_MARK + scene if scene else "") if item)
    return _pieces(tokenizer, spec.chat_format.lead + written, content=True) if written else []


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str, content: bool) -> list[int]:
    # content: written by people, so a special token spelled out in it must be tokenized as plain text.
    return tokenizer(text, add_special_tokens=False, split_special_tokens=content)["input_ids"] if text else []


def render(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
) -> Rendered:
    """Ids and loss mask of a conversation.

    Supervised are the character's text, scenes, end-of-turn ids, and the image of the last turn with the begin-of-image
    id before it. A scene announces an image, so the end-of-turn id after a scene whose image is left out is context.

    codes: image codes in [0, codebook) by file name; None leaves every image of the character out.
    add_reply: end with the header of the character's turn, as a prompt (nothing of the last turn is supervised).
    Raises ValueError when the last image has no codes, or for `add_reply` after a turn that cannot be answered.
    """
    ids: list[int] = []
    mask: list[int] = []
    input_images: list[str] = []

    def put(new: Sequence[int], supervised: bool = False) -> None:
        ids.extend(new)
        mask.extend([int(supervised)] * len(new))

    def pieces(text: str, content: bool) -> list[int]:
        return _pieces(tokenizer, text, content)

    chat_format, drawn = spec.chat_format, 0
    templates = {"system": chat_format.system, "user": chat_format.user, "character": chat_format.character}
    put([] if spec.start_id is None else [spec.start_id])
    for number, message in enumerate(messages):
        is_reply, template = message.role == "character", templates[message.role]
        put(pieces(template.before, content=False))
        if not is_reply:
            # Input images stand before the text, each as image_input_tokens placeholders that the model replaces by
            # embeddings of `pixel_values`.
            input_images += message.images
            for _ in message.images:
                put(pieces(chat_format.image_before, content=False))
                put([spec.image_placeholder_id] * spec.image_input_tokens)
                put(pieces(chat_format.image_after, content=False))
            put(pieces(message.text, content=True))
        else:
            put(reply_ids(message.text, message.scene, spec, tokenizer), supervised=True)
            if message.images and codes is not None and number == len(messages) - 1:
                if message.images[0] not in codes:
                    raise ValueError(f"picture {message.images[0]!r} is not among the character's images")
                image_ids = [spec.text_vocab + code for code in codes[message.images[0]]]
                put([spec.boi_id, *image_ids], supervised=True)
                drawn = 1
                break  # codes only ever stand at the end (`pipelines.models.interface`)
        put([spec.eot_id] if template.closed else [], supervised=is_reply and not message.scene)
        put(pieces(template.after, content=False))
    if add_reply:
        if drawn or not messages or messages[-1].role == "character":
            raise ValueError("a reply can only be asked for after a turn of the user")
        put(pieces(chat_format.character.before, content=False))
    return Rendered(ids, mask, tuple(input_images), drawn)


def render_truncated(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
) -> Rendered:
    """`render` within `max_tokens` ids: the earliest exchanges after the system prompt are dropped until it fits.

    Raises ValueError when even the last exchange does not fit.
    """
    system = tuple(message for message in messages[:1] if message.role == "system")
    turns = list(messages[len(system) :])
    while True:
        rendered = render((*system, *turns), spec, tokenizer, codes, add_reply)
        if len(rendered.ids) <= max_tokens:
            return rendered
        # Cut before a turn of the user, so that the rest still begins with one.
        cuts = [number for number, turn in enumerate(turns) if turn.role == "user" and number > 0]
        if not cuts:
            raise ValueError(
                f"the turn that begins {turns[0].text[:40]!r} needs {len(rendered.ids)} tokens with its reply and the "
                f"persona, but there is room for {max_tokens}: shorten it, or raise sft_row_max_tokens"
            )
        turns = turns[cuts[0] :]


def prompt(
    character: Character,
    history: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int = 1 << 30,
) -> Rendered:
    """The prompt of a reply: system prompt, conversation so far (ends with the user), header of the reply.

    Long histories lose their earliest exchanges until the prompt has at most `max_tokens` ids.
    """
    messages = (system_message(character), *history)
    return render_truncated(messages, spec, tokenizer, max_tokens, add_reply=True)


def user(text: str, *images: str) -> Message:
    """A turn of the user; images stand before the text."""
    return Message("user", (*(ImagePart(name) for name in images), TextPart(text)))


def reply(text: str, scene: str = "", image: str = "") -> Message:
    """A turn of the character."""
    parts = (*((TextPart(text),) if text else ()), *((ImagePart(image),) if image else ()))
    return Message("character", parts, scene)
