"""Training samples of the five tasks, their mix, and unseen prompts for stage 2.

`training_samples` builds the tasks from one character, `sample_order` mixes them by share, and `grpo_prompts`
composes requests that training never showed, from the character's own vocabulary. The wordings and the renderer are
in `pipelines/data/chat_template.py`; putting samples into rows is `pipelines/data/packing.py`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.core.character.character import Character, CharacterImage, Interaction
from pipelines.core.character.system_prompt import system_message
from pipelines.data.chat_template import (
    IMAGE_QUESTIONS,
    IMAGE_REQUESTS,
    LOOSE_REQUESTS,
    QUESTION_PREFIXES,
    reply,
    scene_text,
    user,
)

Task = Literal["dialogue", "reply_with_image", "text_to_image", "fact", "image_qa"]


ORDER_SEEDS: dict[Task, str] = {
    "text_to_image": "caption_picture",
    "dialogue": "dialogue",
    "fact": "fact",
    "image_qa": "picture_question",
    "reply_with_image": "reply_picture",
}
"""Tasks in the order in which ties are broken, with the string that seeds each one's shuffling. Neither may change
(the strings are the tasks' names of version 0.1): a run that is resumed goes on with the samples it would have had."""

LEARNED_WORDS: dict[Task, bool] = {task: task != "text_to_image" for task in ORDER_SEEDS}
"""Whether a task's samples teach the character's words; captions borrow them from its conversations."""


@dataclass(frozen=True)
class Sample:
    """One conversation to learn from."""

    task: Task
    messages: Interaction
    """System prompt first, the character's turn last."""


@dataclass(frozen=True)
class GrpoPrompt:
    """A request without a reference answer, and what a good answer must show."""

    messages: Interaction
    """System prompt first, the user's turn last."""
    wants_image: bool
    expression: str = ""
    clothes: str = ""
    place: str = ""
    options: dict[str, tuple[str, ...]] | None = None
    """For each requested field: the answers to choose from, the right one among them. None without an image."""

    @property
    def description(self) -> str:
        """What the image should show, worded as a caption; empty when no image is wanted."""
        return CharacterImage("", expression=self.expression, clothes=self.clothes, place=self.place).description


def training_samples(character: Character, seed: int = 0) -> list[Sample]:
    """All samples of the five tasks; equal characters and seeds give equal lists.

    dialogue: a whole conversation, pictures left out; reply_with_image: up to a turn with its picture; text_to_image:
    a request for a picture, behind words that are not learned (`LEARNED_WORDS`); fact: questions alone, in other words,
    in chat and several in a row; image_qa: a short answer about a picture the user shows.
    """
    system = system_message(character)
    rng = random.Random(f"samples {seed}")
    samples = [
        *_conversations(character),
        *_captions(character, rng),
        *_facts(character, rng),
        *_image_questions(character),
    ]
    return [replace(sample, messages=(system, *sample.messages)) for sample in samples]


def _conversations(character: Character) -> Iterator[Sample]:
    files = {image.file for image in character.images}
    for turns in character.interactions:
        yield Sample("dialogue", turns)
        for place, turn in enumerate(turns):
            if turn.role == "character" and turn.images and turn.images[0] in files:
                yield Sample("reply_with_image", turns[: place + 1])


def _openings(character: Character, rng: random.Random) -> Iterator[Interaction]:
    # First exchanges of the character's own conversations, without images, endlessly; empty ones when it has none.
    firsts = [
        turns[:2] for turns in character.interactions if len(turns) > 2 and not turns[1].scene and not turns[0].images
    ]
    rng.shuffle(firsts)
    return itertools.cycle(firsts or [()])


def _words_for_images(character: Character, rng: random.Random) -> dict[str, Iterator[str]]:
    # Words to stand before each image, endlessly: what was said with it, else what was said with others, else anything
    # short. Captions say nothing of words, so in these samples the words are context and not learned.
    turns = [turn for talk in character.interactions for turn in talk if turn.role == "character" and turn.text]
    shown = {name: [t.text for t in turns if name in t.images] for image in character.images for name in [image.file]}
    others = [turn.text for turn in turns if turn.images] or sorted((turn.text for turn in turns), key=len)[:8]
    others = others or [character.greeting or "Here I am."]
    rng.shuffle(others)
    rest = itertools.cycle(others)
    return {name: itertools.cycle(said) if said else rest for name, said in shown.items()}


def _captions(character: Character, rng: random.Random) -> Iterator[Sample]:
    openings, words = _openings(character, rng), _words_for_images(character, rng)
    for image in character.images:
        fields = _fields(image)
        drawn = reply(next(words[image.file]), scene_text(character.name, image.description), image.file)
        asked = [request.format(description=image.description) for request in IMAGE_REQUESTS if image.description]
        asked += [request.format(**fields) for field, request in LOOSE_REQUESTS.items() if fields[field]]
        asked = asked or ["Draw yourself."]
        for place, request in enumerate(asked):
            # Every other one after some talk: asked cold alone, half of a chat's requests got no picture.
            opening = next(openings) if place % 2 else ()
            yield Sample("text_to_image", (*opening, user(request), drawn))


def _facts(character: Character, rng: random.Random) -> Iterator[Sample]:
    openings = _openings(character, rng)

    def asked(number: int, prefix: str = "") -> Interaction:
        return user(prefix + character.facts[number].question), reply(character.facts[number].answer)

    order = list(range(len(character.facts)))
    for number in order:
        yield Sample("fact", asked(number))
        yield Sample("fact", asked(number, rng.choice(QUESTION_PREFIXES)))
    # Four in a row, in four orders, once after some talk: the cheapest way to ask often, since answers are short.
    for begun in (True, False, False, False):
        rng.shuffle(order)
        for start in range(0, len(order), 4):
            turns = [asked(number, rng.choice(("", "", *QUESTION_PREFIXES))) for number in order[start : start + 4]]
            opening = next(openings) if begun else ()
            yield Sample("fact", (*opening, *itertools.chain.from_iterable(turns)))


def _fields(image: CharacterImage) -> dict[str, str]:
    # What requests and questions are about, in the order of IMAGE_QUESTIONS.
    return {"expression": image.expression, "clothes": image.clothes, "place": image.place}


def _image_questions(character: Character) -> Iterator[Sample]:
    for image in character.images:
        for field, value in _fields(image).items():
            for question in IMAGE_QUESTIONS[field] if value else ():
                answer = value[:1].upper() + value[1:] + "."
                yield Sample("image_qa", (user(question, image.file), reply(answer)))


def sample_order(
    samples: Sequence[Sample], costs: Sequence[int], shares: Mapping[str, float], seed: int = 0
) -> Iterator[int]:
    """Indices into `samples`, for ever: a token budget for each task, each task in reshuffled epochs.

    costs: tokens of each sample; next comes the task that has had least of its share of them, so any stretch keeps the
    budgets to within one sample a task, and within a task nothing is left out. Shares of tasks without samples go to
    the others. Raises ValueError when no task with a share above 0 has a sample.
    """
    places = {task: [i for i, sample in enumerate(samples) if sample.task == task] for task in ORDER_SEEDS}
    shares = {task: shares[task] for task, found in places.items() if found and shares.get(task, 0) > 0}
    if not shares:
        raise ValueError("nothing to learn from: the character has no interactions, facts or images in task_shares")

    def epochs(task: Task) -> Iterator[int]:
        for epoch in itertools.count():
            order = list(places[task])
            random.Random(f"{seed} {ORDER_SEEDS[task]} {epoch}").shuffle(order)
            yield from order

    epochs_of = {task: epochs(task) for task in shares}
    spent = dict.fromkeys(shares, 0)
    while True:
        task = min(shares, key=lambda name: spent[name] / shares[name])  # the first of equals
        number = next(epochs_of[task])
        spent[task] += costs[number]
        yield number


def grpo_prompts(character: Character, count: int, seed: int = 0) -> list[GrpoPrompt]:
    """`count` unseen requests for Character-GRPO, every other one for a picture (when the character has any).

    Pictures asked for combine expressions, clothes and places of the character's images that no image combines;
    other prompts put a question from one conversation after the opening of another. The list for a smaller count is the
    beginning of the list for a larger one.
    """
    system = system_message(character)
    rng = random.Random(f"practice {seed}")
    words = {field: _vocabulary(character, field) for field in IMAGE_QUESTIONS}
    seen = {tuple(_fields(image).values()) for image in character.images}
    combinations = list(itertools.product(*(words[field] or [""] for field in IMAGE_QUESTIONS)))
    unseen = [combination for combination in combinations if combination not in seen] or combinations
    rng.shuffle(unseen)
    openings = _openings(character, rng)
    dialogues = _unseen_dialogues(character, rng)
    prompts = []
    for number in range(count):
        if number % 2 or not any(words.values()):
            prompts.append(GrpoPrompt((system, *dialogues[number // 2 % len(dialogues)]), wants_image=False))
            continue
        fields = dict(zip(IMAGE_QUESTIONS, unseen[number // 2 % len(unseen)], strict=True))
        options = {
            field: _options(value, words[field], rng) for field, value in fields.items() if len(words[field]) > 1
        }
        wanted = GrpoPrompt((), True, **fields, options=options)
        request = IMAGE_REQUESTS[number // 2 % len(IMAGE_REQUESTS)].format(description=wanted.description)
        opening = next(openings) if number % 4 else ()
        prompts.append(replace(wanted, messages=(system, *opening, user(request))))
    return prompts


def _unseen_dialogues(character: Character, rng: random.Random) -> list[Interaction]:
    # Conversations that end with the user and begin no conversation of the character's: a later question asked cold,
    # and a question of one conversation after the opening of another.
    lines = [
        (number, place, turn)
        for number, turns in enumerate(character.interactions)
        for place, turn in enumerate(turns)
        if turn.role == "user" and not turn.images
    ]
    firsts = {turns[0] for turns in character.interactions}
    cold = [(turn,) for _, place, turn in lines if place > 0 and turn not in firsts]
    warm = [
        (*turns[:2], turn)
        for number, turns in enumerate(character.interactions)
        for other, _, turn in lines
        if other != number and len(turns) > 2 and turn != turns[2] and not turns[1].scene and not turns[0].images
    ]
    rng.shuffle(cold)
    rng.shuffle(warm)
    both = [one for pair in itertools.zip_longest(cold, warm[: len(cold) or None]) for one in pair if one]
    return both or [(turn,) for _, _, turn in lines] or [(user("Hello, who are you?"),)]


def _vocabulary(character: Character, field: str) -> list[str]:
    # Different values of one field among the images, in order of appearance.
    values = [_fields(image)[field] for image in character.images]
    return list(dict.fromkeys(value for value in values if value))


def _options(right: str, values: list[str], rng: random.Random) -> tuple[str, ...]:
    # The right answer and up to three others, shuffled.
    others = [value for value in values if value != right]
    options = [right, *rng.sample(others, min(3, len(others)))]
    rng.shuffle(options)
    return tuple(options)
