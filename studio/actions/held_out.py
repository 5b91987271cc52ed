"""What is kept for the test: shown, and chosen by the creator where the even spread does not please.

Conversations and pictures that are kept are not learned; facts are learned all the same, and asked about. A character
that came with a held-out split of its own keeps that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.core.character.character import Character, TestSplit
from pipelines.core.character.held_out_conversations import answers_of, what_is_wanted
from pipelines.core.character.held_out_split import held_places, hold_out
from pipelines.core.character.serialize import character_from_entries, held_out_to_entries, split_from_entries
from pipelines.core.jobs.job import CharacterVersion, Job
from pipelines.core.problems import Problem
from pipelines.core.score_axes import will_be_withheld
from studio.actions.drafts import Draft, change, character_of, tested_character
from studio.context import AppContext
from studio.labels import counted, listed

Kind = Literal["conversations", "facts", "images"]
OPENING_CHARS = 70


@dataclass(frozen=True)
class Choosable:
    """One thing that may be kept for the test."""

    key: str
    """Its place as text, or its file name."""
    label: str


@dataclass(frozen=True)
class KindView:
    """What there is of a kind, and what of it is kept."""

    kind: Kind
    there: tuple[Choosable, ...]
    kept: tuple[str, ...]
    """Keys."""
    is_chosen: bool
    """By the creator; else it is spread over what there is."""


@dataclass(frozen=True)
class TestView:
    """What a split holds, to be shown."""

    __test__ = False  # not a pytest class

    conversations: tuple[str, ...]
    """The first words of each."""
    questions: tuple[str, ...]
    images: tuple[tuple[str, str], ...]
    """File name and caption."""
    replies: int = 0
    """Answers in the conversations."""
    wanted_voice: str = ""
    """What would let it be tested how they sound; "" where it can be."""
    is_own: bool = False
    """Whether it came with the character: then its pictures are none of those of step 1, whatever they are called."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The scores that rest on too little, each with what would make it possible."""
        described = sum(bool(caption) for _, caption in self.images)
        return will_be_withheld(
            len(self.conversations), self.replies, len(self.questions), described, self.wanted_voice
        )

    @property
    def words(self) -> str:
        """ "2 conversations, 12 questions and 1 picture (07 of step 1)"; "5 pictures of its own"."""
        files = ", ".join(file.partition(".")[0] for file, _ in self.images)
        pictures = counted(len(self.images), "picture") + (f" ({files} of step 1)" if files else "")
        if self.is_own:
            pictures = counted(len(self.images), "picture of its own", "pictures of its own")
        questions = counted(len(self.questions), "question")
        return listed([counted(len(self.conversations), "conversation"), questions, pictures])


def kinds(draft: Draft) -> tuple[KindView, ...]:
    """Everything that may be kept, by kind; empty for a character that came with a split of its own."""
    if draft.get("test"):
        return ()
    character, _ = character_of(draft)
    whole = held_out_to_entries(tested_character(draft).held_out)
    chosen: Mapping[str, Any] = draft.get("held_out", {})
    conversations = tuple(
        Choosable(str(place), f"{place + 1}. {opening(talk)}") for place, talk in enumerate(character.interactions)
    )
    facts = tuple(
        Choosable(str(place), f"{place + 1}. {fact.question}")
        for place, fact in enumerate(character.facts)
        if fact.question.strip() and fact.answer.strip()
    )
    images = tuple(
        Choosable(image.file, f"{image.file.partition('.')[0]}  {image.description}".strip())
        for image in character.images
        if image.file not in character.references
    )
    listed_kinds: tuple[tuple[Kind, tuple[Choosable, ...]], ...] = (
        ("conversations", conversations),
        ("facts", facts),
        ("images", images),
    )
    views = []
    for kind, there in listed_kinds:
        keys = {item.key for item in there}
        kept = tuple(str(one) for one in whole[kind] if str(one) in keys)
        views.append(KindView(kind, there, kept, kind in chosen))
    return tuple(views)


def choose(context: AppContext, id: str, kind: Kind, keys: Sequence[str] | None) -> None:
    """Keep these for the test; None keeps what the last version kept, and spreads the rest evenly."""

    def edit(draft: Draft) -> None:
        held_out = draft.setdefault("held_out", {})
        if keys is None:
            held_out.pop(kind, None)
        else:
            held_out[kind] = sorted(keys) if kind == "images" else sorted(int(key) for key in keys)
        if not held_out:
            del draft["held_out"]

    change(context, id, edit)


def draft_test(draft: Draft) -> TestView:
    """What the next training will be measured on."""
    if draft.get("test"):
        return _view(split_from_entries(draft["test"], []), True)
    return _view_of(tested_character(draft))


def job_test(context: AppContext, job: Job) -> TestView | None:
    """What a training was measured on; None where no version is known."""
    if not job.character or not job.version:
        return None
    version = context.records.characters.version(job.character, job.version)
    if version.test_entries is not None:
        return _view(split_of(version), True)
    return _view_of(character_from_entries(version.entries, []))


def split_of(version: CharacterVersion) -> TestSplit:
    """The held-out split of a version, as the trainer finds it."""
    problems: list[Problem] = []  # a published version has none that matter here
    if version.test_entries is not None:
        return split_from_entries(version.test_entries, problems)
    return hold_out(character_from_entries(version.entries, problems))[1]


def opening(talk: Sequence[Any]) -> str:
    """The first words of a conversation."""
    words = " ".join(next((turn.text for turn in talk if turn.text), "").split()) or "An empty conversation"
    return words if len(words) <= OPENING_CHARS else words[:OPENING_CHARS].rsplit(" ", 1)[0] + " …"


def _view_of(character: Character) -> TestView:
    kept = held_places(character).conversations or ()
    answers = answers_of(character)
    return replace(
        _view(hold_out(character)[1]), wanted_voice=what_is_wanted(answers, [n for n in kept if n < len(answers)])
    )


def _view(split: TestSplit, is_own: bool = False) -> TestView:
    return TestView(
        tuple(opening(talk) for talk in split.dialogues),
        tuple(choice.question for choice in split.choices),
        tuple((image.file, image.description) for image in split.images),
        sum(turn.role == "character" for talk in split.dialogues for turn in talk),
        is_own=is_own,
    )
