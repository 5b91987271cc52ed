"""Suggestions: facts and looks found in the persona's own sentences, and conversations from a background job.

Nothing here changes a draft by itself: a suggestion is shown, edited if need be, and taken by a click. Facts come from
patterns of everyday English (`persona_facts.py`; looks and speech by `misplaced.py`); conversations come from the
endpoint in UNDERSTUDY_LLM_URL, and only when one is set. Captions are in `captions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.core.character.character import Fact
from pipelines.core.jobs.job import Job, RecordMissing, new_id
from pipelines.core.jobs.reply_protocol import conversations_in
from pipelines.core.queue import submit
from pipelines.core.words import comparable_words
from studio.actions.drafts import MAX_CHARS, Draft, change, character_of, entries_of, own_character
from studio.actions.interactions import Turns, add_interaction
from studio.actions.misplaced import is_about_looks, speech_sentences, whole_sentences
from studio.actions.persona_facts import FactSuggestion, facts_in
from studio.context import AppContext


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


MAX_FACTS_SHOWN = 8
MAX_MISPLACED = 12
"""Sentences of one field that are suggested to be moved at once."""
SAME_SHARE = 0.8
"""Share of an answer's words that a written fact must have to say the same."""
_QUESTION_WORDS = frozenset(("who", "what", "where", "when", "why", "how", "which", "whom", "whose"))
_FUNCTION_WORDS = _set_of(
    "a an the of in on at by to for from with and or but is are was were be been am do does did has have had i you he "
    "she it we they me him her us them my your his its our their this that there s"
)


@dataclass(frozen=True)
class MisplacedSentence:
    """A sentence of the persona that belongs into another field."""

    sentence: str
    field: str
    """ "appearance" or "style"."""


def facts_in_persona(draft: Draft) -> list[FactSuggestion]:
    """Facts that the persona states, as question and answer; those that are there already, in whatever words, are left
    out."""
    character, _ = character_of(draft)
    found = facts_in(character.persona, character.name)
    written = [fact for fact in character.facts if fact.question.strip() or fact.answer.strip()]
    return [fact for fact in found if not any(_says_the_same(fact, one, character.name) for one in written)][
        :MAX_FACTS_SHOWN
    ]


def _says_the_same(suggested: FactSuggestion, written: Fact, name: str) -> bool:
    """Whether a written fact asks what is suggested, or tells its answer."""
    names = set(comparable_words(name))
    asked, answer = (_content(text) - names for text in (suggested.question, suggested.answer))
    asked_there = _content(written.question) - names
    if asked and asked == asked_there:
        return True
    there = asked_there | _content(written.answer)
    if not answer or len(answer & there) < SAME_SHARE * len(answer):
        return False
    # One word alone says little ("Gold" may be loved or hated): then the questions must share more than who or what.
    return len(answer) > 1 or bool((asked & there) - _QUESTION_WORDS)


def _content(text: str) -> set[str]:
    """The words that carry meaning, without the s of plurals and verbs."""
    words = [word for word in comparable_words(text) if word not in _FUNCTION_WORDS]
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}


def misplaced_sentences(draft: Draft) -> list[MisplacedSentence]:
    """Sentences of the persona about looks or talk, where that field is still empty."""
    character, _ = character_of(draft)
    if len(character.persona) > 2 * MAX_CHARS["persona"]:
        return []  # a book: it takes long, and must be shortened first
    sentences = whole_sentences(character.persona)
    found: dict[str, list[MisplacedSentence]] = {"appearance": [], "style": []}
    for sentence, is_speech in zip(sentences, speech_sentences(sentences), strict=True):
        if not character.appearance.strip() and is_about_looks(sentence):
            found["appearance"].append(MisplacedSentence(sentence, "appearance"))
        elif not character.style.strip() and is_speech:
            found["style"].append(MisplacedSentence(sentence, "style"))
    return [one for field in found.values() for one in field[:MAX_MISPLACED]]


def take_fact(context: AppContext, id: str, fact: FactSuggestion) -> None:
    """Append a suggested fact to the draft."""

    def edit(draft: Draft) -> None:
        draft.setdefault("facts", []).append({"question": fact.question, "answer": fact.answer})

    change(context, id, edit)


def move_sentences(context: AppContext, id: str, field: str) -> None:
    """Move the sentences that `misplaced_sentences` found for a field out of the persona into it."""

    def edit(draft: Draft) -> None:
        moved = [one.sentence for one in misplaced_sentences(draft) if one.field == field]
        for sentence in moved:  # they are in one line
            draft["persona"] = " ".join(" ".join(draft["persona"].split()).replace(sentence, "", 1).split())
        if moved:
            draft[field] = " ".join(filter(None, [str(draft.get(field, "")).strip(), *moved]))

    change(context, id, edit)


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
