"""Suggestions: facts and looks found in the persona's own sentences, and conversations from a background job.

Nothing here changes a draft by itself: a suggestion is shown, edited if need be, and taken by a click. Facts come from
patterns of everyday English (`persona_facts.py`); conversations come from the endpoint in UNDERSTUDY_LLM_URL, and
only when one is set. Captions are in `captions.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipelines.core.jobs.job import Job, RecordMissing, new_id
from pipelines.core.jobs.reply_protocol import conversations_in
from pipelines.core.queue import submit
from pipelines.core.words import normalized_words, sentences_of
from studio.actions.drafts import Draft, change, character_of, entries_of, own_character
from studio.actions.interactions import Turns, add_interaction
from studio.actions.persona_facts import FactSuggestion, facts_in
from studio.context import AppContext

MAX_FACTS_SHOWN = 8

_LOOKS = re.compile(
    r"\b(?:hair|eyes?|beard|moustache|mustache|skin|freckles|scar|glasses|tall|wears?|fur|horns|tail)\b", re.IGNORECASE
)
_TALK = re.compile(
    r"\b(?:speaks?|talks?|says?|voice|swears?|accent|whispers?|jokes?|sentences|calls? (?:you|everyone))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MisplacedSentence:
    """A sentence of the persona that belongs into another field."""

    sentence: str
    field: str
    """ "appearance" or "style"."""


def facts_in_persona(draft: Draft) -> list[FactSuggestion]:
    """Facts that the persona states, as question and answer; those that are there already are left out."""
    character, _ = character_of(draft)
    asked = {normalized_words(fact.question) for fact in character.facts}
    found = facts_in(character.persona, character.name)
    return [fact for fact in found if normalized_words(fact.question) not in asked][:MAX_FACTS_SHOWN]


def misplaced_sentences(draft: Draft) -> list[MisplacedSentence]:
    """Sentences of the persona about looks or talk, where that field is still empty."""
    character, _ = character_of(draft)
    found = []
    for sentence in _sentences(character.persona):
        if not character.appearance.strip() and _LOOKS.search(sentence):
            found.append(MisplacedSentence(sentence, "appearance"))
        elif not character.style.strip() and _TALK.search(sentence):
            found.append(MisplacedSentence(sentence, "style"))
    return found[:4]


def take_fact(context: AppContext, id: str, fact: FactSuggestion) -> None:
    """Append a suggested fact to the draft."""

    def edit(draft: Draft) -> None:
        draft.setdefault("facts", []).append({"question": fact.question, "answer": fact.answer})

    change(context, id, edit)


def move_sentences(context: AppContext, id: str, field: str) -> None:
    """Move the sentences that `misplaced_sentences` found for a field out of the persona into it."""

    def edit(draft: Draft) -> None:
        moved = [one.sentence for one in misplaced_sentences(draft) if one.field == field]
        for sentence in moved:
            draft["persona"] = " ".join(draft["persona"].replace(sentence, "", 1).split())
        if moved:
            draft[field] = " ".join(filter(None, [str(draft.get(field, "")).strip(), *moved]))

    change(context, id, edit)


def _sentences(text: str) -> list[str]:
    return sentences_of(" ".join(text.split()))


# ---------------------------------------------------------------- conversations


def has_llm(context: AppContext) -> bool:
    """Whether an endpoint is set that may write conversations."""
    return bool(context.settings.llm_url)


def request_interactions(context: AppContext, id: str, wanted: int) -> Job:
    """Queue a job that asks the endpoint for more conversations; the draft keeps its id. Pictures are never sent."""
    draft = own_character(context, id).draft
    entries = {key: value for key, value in entries_of(draft).items() if key not in ("images", "consent", "extensions")}
    request = {"task": "expand", "entries": entries, "test": draft.get("test"), "wanted": wanted}
    job = submit.submit(context.records, context.queue, Job(new_id(), "reply", context.owner, id, request=request))
    change(context, id, lambda draft: draft.update(expand_job=job.id, expand_done=[]))
    return job


def interaction_suggestions(context: AppContext, draft: Draft) -> tuple[Job | None, list[tuple[int, Turns]]]:
    """The latest job of this kind and what it wrote that is neither taken nor left out yet, numbered."""
    job = _job(context, draft.get("expand_job", ""))
    if job is None:
        return None, []
    written = conversations_in(context.records.events.after(job.id, limit=5000))
    done = set(draft.get("expand_done", ()))
    return job, [(number, turns) for number, turns in enumerate(written) if number not in done]


def take_interaction(context: AppContext, id: str, number: int, turns: list[dict[str, Any]] | None) -> None:
    """Add a suggested conversation as it was edited, or leave it out (None); it is not shown again."""
    if turns is not None:
        add_interaction(context, id, turns)

    def edit(draft: Draft) -> None:
        draft["expand_done"] = sorted({*draft.get("expand_done", ()), number})

    change(context, id, edit)


def _job(context: AppContext, id: str) -> Job | None:
    try:
        return context.records.jobs.get(id) if id else None
    except RecordMissing:
        return None
