"""What a character was given since a training: the draft beside the version that it learnt, in numbers and words.

And how many steps of the basics it takes until everything, the new included, has come up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.character import Character
from pipelines.core.character.held_out_split import hold_out
from pipelines.core.character.serialize import TEXT_KEYS
from pipelines.core.character.system_prompt import estimate_system_prompt
from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.token_estimate import estimate_tokens
from studio.actions.drafts import Draft, character_of, content_hash, entries_of, tested_character
from studio.actions.votes import voted
from studio.context import AppContext
from studio.labels import counted, listed

TURN_TOKENS = 8
"""About what a chat format writes around a turn."""
TEXT_NAMES = {
    "name": "the name",
    "persona": "who they are",
    "style": "how they speak",
    "appearance": "how they look",
    "scenario": "where they are",
}
"""Texts that training reads -> what they are called on the page."""


@dataclass(frozen=True)
class NewMaterial:
    """What the draft has that a training did not learn."""

    corrections: int
    """Corrected answers from a chat."""
    conversations: int
    """Other conversations, new or changed."""
    pictures: int
    captions: int
    """Pictures of before whose captions say something else now."""
    facts: int
    votes: int
    """That choose one of two answers."""
    texts: tuple[str, ...]
    """Which texts were changed, as TEXT_NAMES calls them."""
    references: bool
    """Whether the creator chose other pictures to draw from."""
    share: float
    """Of what there is to learn, how much is new, 0 to 1: the largest share of conversations, pictures and facts."""

    @property
    def is_anything(self) -> bool:
        """Whether anything is new."""
        return bool(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """ "2 corrected answers", "1 picture", ..."""
        found = (
            (self.corrections, "corrected answer"),
            (self.conversations, "conversation"),
            (self.pictures, "picture"),
            (self.captions, "changed caption"),
            (self.facts, "fact"),
            (self.votes, "vote"),
        )
        told = [counted(count, noun) for count, noun in found if count]
        told += [f"a change of {text}" for text in self.texts]
        return (*told, "other pictures to draw from") if self.references else tuple(told)

    @property
    def words(self) -> str:
        """What is new, in a sentence."""
        if not self.is_anything:
            return "Nothing is new since this training."
        return f"New since this training: {listed(list(self.lines))}."


def new_material(context: AppContext, job: Job) -> NewMaterial:
    """What is new in a character's draft since the version that a training learnt."""
    draft = context.records.characters.get(job.character).draft
    learnt = context.records.characters.version(job.character, job.version).entries
    return compared(learnt, draft, voted(context, job.character))


def compared(learnt: Mapping[str, Any], draft: Draft, votes: Iterable[Mapping[str, Any]] = ()) -> NewMaterial:
    """What the draft and today's votes (`votes.voted`) have that the entries of a version have not."""
    corrected = set(draft.get("corrected", ()))
    draft = entries_of(draft)
    talks = _new(draft.get("interactions", ()), learnt.get("interactions", ()))
    corrections = sum(content_hash(talk) in corrected for talk in talks)
    before = {image["file"]: image for image in learnt.get("images", ())}
    images = draft.get("images", ())
    pictures = [image for image in images if image["file"] not in before]
    captions = [
        image for image in images if image["file"] in before and _caption(image) != _caption(before[image["file"]])
    ]
    facts = _new(draft.get("facts", ()), learnt.get("facts", ()))
    texts = tuple(
        TEXT_NAMES[key] for key in TEXT_KEYS if key in TEXT_NAMES and _plain(draft.get(key)) != _plain(learnt.get(key))
    )
    shares = (
        len(talks) / max(1, len(draft.get("interactions", ()))),
        (len(pictures) + len(captions)) / max(1, len(images)),
        len(facts) / max(1, len(draft.get("facts", ()))),
    )
    return NewMaterial(
        corrections,
        len(talks) - corrections,
        len(pictures),
        len(captions),
        len(facts),
        len(_new(votes, learnt.get("preferences", ()))),
        texts,
        list(draft.get("references", ())) != list(learnt.get("references", ())),
        max(shares),
    )


def further_steps(material: NewMaterial, draft: Draft, recipe: Recipe) -> int:
    """Steps of the basics that a further training should have: none where nothing is new, else as many as the new share
    of a whole training, and at least one pass over all of the character."""
    if not material.is_anything:
        return 0
    training = character_of(draft)[0] if draft.get("test") else hold_out(tested_character(draft))[0]
    cycle = 1 + recipe.sft_image_rows
    rows = max(one_pass_rows(training, recipe), round(material.share * recipe.sft_steps / cycle))
    return min(max(1, rows) * cycle, max(recipe.sft_steps, cycle))


def one_pass_rows(character: Character, recipe: Recipe) -> int:
    """About how many rows of conversations it takes until every conversation has come up once."""
    talks = sum(
        estimate_tokens(turn.text) + TURN_TOKENS for interaction in character.interactions for turn in interaction
    )
    room = recipe.sft_row_max_tokens - estimate_system_prompt(character)
    share = recipe.task_shares.get("dialogue", 0.0) / (sum(recipe.task_shares.values()) or 1.0)
    return -(-talks // max(1, round(share * room))) if talks else 1


def _new(items: Iterable[Any], before: Iterable[Any]) -> list[Any]:
    """Those that were not there before, word for word."""
    known = {content_hash(item) for item in before}
    return [item for item in items if content_hash(item) not in known]


def _caption(image: Mapping[str, Any]) -> dict[str, str]:
    return {key: _plain(value) for key, value in image.items() if key != "file" and _plain(value)}


def _plain(value: object) -> str:
    return " ".join(str(value or "").split())
