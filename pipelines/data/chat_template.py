"""The chat template, all prompt wordings, and the one renderer of conversations to token ids and loss mask.

Training, rollouts, evaluation and chat all call `render`, so a prompt cannot drift between them. The special tokens
around a turn are the model family's own (`ModelSpec.chat_format`); for the starter it is ChatML:

    <|im_start|>system      {system_text}<|im_end|>
    <|im_start|>user        {text}<|im_end|>
    <|im_start|>assistant   [picture] {text}<|im_end|>
    <|im_start|>assistant   [scene] {name}, {look} <begin of image>

    <|im_start|>assistant   [scene] {name}, {appearance}, {look} <begin of image> {codes}

A reply has words, and perhaps an image. Its first ids say which: `[picture]` announces an image, so whether there will
be one is settled before anything else is written, by the ids right behind the request. Then a turn says in words what
the image will show, its look (expression, clothes, place), behind a head that no sampler chooses. The image itself is
drawn from that turn alone (the last line above, `image_turn`), to which the words are added that say what never changes
in the character's looks: all that an image must show stands there, and no conversation, however long, comes between.
Later turns keep the look in words.
The requests and questions that training and rollouts put to the character stand here too;
`pipelines/data/samples.py` makes samples of them, and `pipelines/data/reply_form.py` keeps sampling to this form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, ImagePart, Message, TextPart
from pipelines.core.character.system_prompt import system_message
from pipelines.core.words import sentences_of
from pipelines.models.interface import ModelSpec

PICTURE_MARK = "[picture]"
"""Begins the words of a reply that has an image."""
SCENE_MARK = "[scene]"
"""Begins the turn of the image."""
APPEARANCE_TOKENS = 30
"""Most tokens of the appearance in front of an image: with name and look it must fit into the words that the starter's
image expert reads (`StarterConfig.context_tokens`)."""

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
    drawn_image: str = ""
    """Name of the image that is drawn at the end; empty when there is none."""
    image_ids: tuple[int, ...] = ()
    """The turn that it is drawn from, alone, and its codes, which are all that is supervised in it."""
    image_turn_length: int = 0
    """Ids in front of the codes."""
    weight: float = 1.0
    """Loss weight of its supervised text ids."""

    @property
    def drawn(self) -> int:
        """Images drawn at the end: 0 or 1."""
        return int(bool(self.drawn_image))

    @property
    def labels(self) -> list[int]:
        """Ids where supervised, -100 elsewhere."""
        return [token if supervised else -100 for token, supervised in zip(self.ids, self.mask, strict=True)]


@dataclass(frozen=True)
class Subject:
    """Who an image shows: what the head of its turn says."""

    name: str = ""
    appearance: str = ""
    """What never changes in their looks, in the words of a caption."""


NOBODY = Subject()


def subject_of(character: Character, tokenizer: PreTrainedTokenizerBase) -> Subject:
    """The character's name and appearance, the latter cut at a comma or a word to APPEARANCE_TOKENS.

    "Quibb is a smooth violet creature. It has two horns." becomes "a smooth violet creature, two horns", which is how
    captions are worded.
    """
    names = "|".join(re.escape(name) for name in (character.name, *character.name.split()))
    opening = rf"^(?:(?:{names}|he|she|it|they)\s+)?(?:(?:is|are|has|have|wears|wear)\s+)?"
    sentences = [part.strip(" .!\u3002") for part in sentences_of(" ".join(character.appearance.split()))]
    phrases = [re.sub(opening, "", part, flags=re.IGNORECASE) for part in sentences if part]
    words = ", ".join(phrases)
    while len(_pieces(tokenizer, words, content=True)) > APPEARANCE_TOKENS:
        words = words[: words.rfind(",")] if "," in words[:-1] else words.rpartition(" ")[0]
    words = words.strip(" ,")
    if words.startswith(("A ", "An ", "The ")):
        words = words[0].lower() + words[1:]
    return Subject(character.name, words)


def scene_text(name: str, description: str) -> str:
    """The scene of an image as people read it: who, then what the image shows."""
    return f"{name}, {description}" if description else name


def look_of(scene: str, name: str) -> str:
    """What a scene says beside the name that it may begin with: the inverse of `scene_text`."""
    return " ".join((scene.removeprefix(name) if name else scene).split()).lstrip(" ,")


def words_ids(text: str, has_image: bool, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of a reply's words, behind PICTURE_MARK when an image follows; without the end of the turn."""
    if not has_image:
        return _pieces(tokenizer, spec.chat_format.lead + text, content=True) if text else []
    return [*picture_mark_ids(spec, tokenizer), *_pieces(tokenizer, f" {text}" if text else "", content=True)]


def picture_mark_ids(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that announce an image."""
    return _pieces(tokenizer, spec.chat_format.lead + PICTURE_MARK, content=True)


def scene_head(subject: Subject, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """From the beginning of an image's turn to where its look begins. The look's own text begins with a blank."""
    said = "".join(f" {part}," for part in (subject.name, subject.appearance) if part)
    template = spec.chat_format.character
    return [
        *_pieces(tokenizer, template.before, content=False),
        *_pieces(tokenizer, spec.chat_format.lead + SCENE_MARK + said, content=True),
    ]


def look_ids(look: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of a look behind `scene_head`."""
    return _pieces(tokenizer, f" {look}" if look else "", content=True)


def image_turn(subject: Subject, look: str, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The turn that an image is drawn from, alone, in words that the family knows; ends in begin-of-image."""
    known = look_ids(spec.in_known_words(look), tokenizer)
    return [*_image_head(subject, spec, tokenizer), *known, *_before_image(spec), spec.boi_id]


def _before_image(spec: ModelSpec) -> list[int]:
    """What ends the text that an image is drawn from, where the image stands outside of it."""
    return [spec.eot_id] if spec.chat_format.image_outside else []


def _image_head(subject: Subject, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    start = [] if spec.start_id is None else [spec.start_id]
    known = Subject(subject.name, spec.in_known_words(subject.appearance))
    return [*start, *scene_head(known, spec, tokenizer)]


@dataclass(frozen=True)
class ImageTurn:
    """From a reply with an image to the turn that the image is drawn from, in ids."""

    chat_head: list[int]
    """`scene_head` in the conversation."""
    image_head: list[int]
    """`scene_head` in front of the image, with the appearance."""
    spec: ModelSpec
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def of(cls, subject: Subject, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> ImageTurn:
        """Those of one character."""
        chat_head = scene_head(Subject(subject.name), spec, tokenizer)
        return cls(chat_head, _image_head(subject, spec, tokenizer), spec, tokenizer)

    def ids(self, reply: Sequence[int]) -> list[int]:
        """The image's turn of a reply's text ids, which end in begin-of-image. ValueError if they have no scene."""
        size = len(self.chat_head)
        for end in range(len(reply), size - 1, -1):  # no sampler writes a head, so the last one is the scene's
            if list(reply[end - size : end]) == self.chat_head:
                known = self._known(reply[end:])
                return [*self.image_head, *known[:-1], *_before_image(self.spec), *known[-1:]]
        raise ValueError("the reply announces an image and has no scene")

    def _known(self, look: Sequence[int]) -> Sequence[int]:
        """A look's ids with begin-of-image behind them, in words that the family knows; the same where it knows all."""
        text = self.tokenizer.decode(look[:-1])
        known = self.spec.in_known_words(text)
        return look if known == text else [*look_ids(known.strip(), self.tokenizer), *look[-1:]]


def turn_end(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What a family writes behind the text of a character's turn, the end-of-turn id included."""
    template = spec.chat_format.character
    return [*([spec.eot_id] if template.closed else []), *_pieces(tokenizer, template.after, content=False)]


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str, content: bool) -> list[int]:
    # content: written by people, so a special token spelled out in it must be tokenized as plain text.
    return tokenizer(text, add_special_tokens=False, split_special_tokens=content)["input_ids"] if text else []


def render(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
    subject: Subject = NOBODY,
    learn_words: bool = True,
) -> Rendered:
    """Ids and loss mask of a conversation.

    Supervised are the character's words with their end-of-turn id, and looks; of the last turn's image also the
    begin-of-image id and, in `image_ids`, its codes. Heads of scenes are context, and so is the end of a turn whose
    image is left out.

    codes: image codes in [0, codebook) by file name; None leaves every image of the character out.
    add_reply: end with the header of the character's turn, as a prompt (nothing of the last turn is supervised).
    subject: who the character's images show. learn_words: False leaves words before an image as context, but for the
    first FIRST_WORDS ids: how a reply begins behind PICTURE_MARK must be learned where the mark is.
    Raises ValueError when the last image has no codes, or for `add_reply` after a turn that cannot be answered.
    """
    writer = _Writer(spec, tokenizer)
    writer.put([] if spec.start_id is None else [spec.start_id])
    drawn_image, image_ids, turn_length = "", [], 0
    for number, message in enumerate(messages):
        if message.role != "character":
            writer.put_request(message)
            continue
        image = message.images[0] if message.images and codes is not None and number == len(messages) - 1 else ""
        writer.put_words(message, learn_words)
        if message.scene or image:
            look = writer.put_look(message, subject, drawn=bool(image))
            if image:
                if codes is None or image not in codes:
                    raise ValueError(f"picture {image!r} is not among the character's images")
                turn = image_turn(subject, look, spec, tokenizer)
                image_ids, turn_length = turn + [spec.text_vocab + code for code in codes[image]], len(turn)
                drawn_image = image
    if add_reply:
        if drawn_image or not messages or messages[-1].role == "character":
            raise ValueError("a reply can only be asked for after a turn of the user")
        writer.put_text(spec.chat_format.character.before)
    return Rendered(writer.ids, writer.mask, tuple(writer.input_images), drawn_image, tuple(image_ids), turn_length)


FIRST_WORDS = 6
"""Ids of a reply's words that are always learned. Without them the words behind the mark began as the mark does
("picture: ...", docs/log.md)."""


class _Writer:
    # Ids and mask of a conversation as far as it is written.
    def __init__(self, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> None:
        self.spec, self.tokenizer = spec, tokenizer
        self.ids: list[int] = []
        self.mask: list[int] = []
        self.input_images: list[str] = []

    def put(self, new: Sequence[int], supervised: bool = False) -> None:
        self.ids.extend(new)
        self.mask.extend([int(supervised)] * len(new))

    def put_text(self, text: str, content: bool = False) -> None:
        self.put(_pieces(self.tokenizer, text, content))

    def put_request(self, message: Message) -> None:
        # Input images stand before the text, each as image_input_tokens placeholders that the model replaces by
        # embeddings of `pixel_values`.
        chat_format = self.spec.chat_format
        template = chat_format.system if message.role == "system" else chat_format.user
        if not chat_format.image_outside:
            self.put_text(template.before)
        self.input_images += message.images
        for _ in message.images:
            self.put_text(chat_format.image_before)
            self.put([self.spec.image_placeholder_id] * self.spec.image_input_tokens)
            self.put_text(chat_format.image_after)
        if chat_format.image_outside:
            self.put_text(template.before)
        self.put_text(message.prompt_text, content=True)
        self.put([self.spec.eot_id] if template.closed else [])
        self.put_text(template.after)

    def put_words(self, message: Message, learn: bool) -> None:
        has_image = bool(message.scene or message.images)
        mark = picture_mark_ids(self.spec, self.tokenizer) if has_image else []
        ids = words_ids(message.text, has_image, self.spec, self.tokenizer)
        # A turn that has a picture and no words teaches that there is a picture, but not that there are no words.
        learn = not has_image or (learn and bool(message.text))
        self.put_text(self.spec.chat_format.character.before)
        learned = len(ids) if learn else len(mark) + FIRST_WORDS
        self.put(ids[:learned], supervised=True)
        self.put(ids[learned:])
        closed = self.spec.chat_format.character.closed
        end = turn_end(self.spec, self.tokenizer)
        self.put(end[:1], supervised=closed and learn)
        self.put(end[1:])

    def put_look(self, message: Message, subject: Subject, drawn: bool) -> str:
        # Without the appearance, which only the image needs.
        look = look_of(message.scene, subject.name)
        self.put(scene_head(Subject(subject.name), self.spec, self.tokenizer))
        self.put(look_ids(look, self.tokenizer), supervised=True)
        if drawn:
            self.put([self.spec.boi_id], supervised=True)
        else:
            self.put(turn_end(self.spec, self.tokenizer))
        return look


def render_truncated(
    messages: Sequence[Message],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    codes: Mapping[str, Sequence[int]] | None = None,
    add_reply: bool = False,
    subject: Subject = NOBODY,
    learn_words: bool = True,
) -> Rendered:
    """`render` within `max_tokens` ids: the earliest exchanges after the system prompt are dropped until it fits.

    Raises ValueError when even the last exchange does not fit.
    """
    system = tuple(message for message in messages[:1] if message.role == "system")
    turns = list(messages[len(system) :])
    while True:
        rendered = render((*system, *turns), spec, tokenizer, codes, add_reply, subject, learn_words)
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
    return render_truncated(messages, spec, tokenizer, max_tokens, add_reply=True, subject=Subject(character.name))


def user(text: str, *images: str) -> Message:
    """A turn of the user; images stand before the text."""
    return Message("user", (*(ImagePart(name) for name in images), TextPart(text)))


def reply(text: str, scene: str = "", image: str = "") -> Message:
    """A turn of the character."""
    parts = (*((TextPart(text),) if text else ()), *((ImagePart(image),) if image else ()))
    return Message("character", parts, scene)
