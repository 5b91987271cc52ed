"""What the wizard suggests from the persona: facts, and sentences that belong in another field."""

from __future__ import annotations

import pytest

from studio.actions import drafts, suggestions
from studio.actions.misplaced import is_about_looks, is_about_speech
from studio.context import AppContext
from tests.studio.speech_sentences import HELD_OUT_OTHER, HELD_OUT_SPEECH


@pytest.fixture
def id(context: AppContext) -> str:
    """An empty character."""
    return drafts.create(context)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def test_the_persona_suggests_facts_and_better_places(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "name", "Ada Moor")
    drafts.set_text(
        context,
        id,
        "persona",
        "Ada lives in a lighthouse. She has red hair. She speaks in riddles. She is afraid of geese and of silence.",
    )
    facts = suggestions.facts_in_persona(draft_of(context, id))
    assert ("Where does Ada live?", "In a lighthouse") in [(fact.question, fact.answer) for fact in facts]
    suggestions.take_fact(context, id, facts[0])
    assert facts[0] not in suggestions.facts_in_persona(draft_of(context, id))
    suggestions.move_sentences(context, id, "appearance")
    draft = draft_of(context, id)
    assert draft["appearance"] == "She has red hair." and "red hair" not in draft["persona"]
    assert [one.field for one in suggestions.misplaced_sentences(draft)] == ["style"]


def test_all_that_is_said_of_their_speech_is_found_and_moved(context: AppContext, id: str) -> None:
    persona = "Tova is a mitten who runs the lost-property office.\nShe is afraid of moths."
    speech = (
        "Short, warm, brisk sentences, like a clerk at a counter who likes you. Says 'hook and ledger' when something "
        "is settled and 'oh, loose thread' when something goes wrong. Numbers things. Asks for colour, size and last "
        "place seen. Never shouts, never uses slang,\ncalls visitors 'traveller'. Opens with \"Mm. Hold the rail.\" in "
        "trouble."
    )
    drafts.set_text(context, id, "persona", f"{persona} {speech}")
    assert len(suggestions.misplaced_sentences(draft_of(context, id))) == 6
    suggestions.move_sentences(context, id, "style")
    draft = draft_of(context, id)
    assert (draft["persona"], draft["style"]) == (persona.replace("\n", " "), speech.replace("\n", " "))


def test_speech_is_told_from_other_sentences() -> None:
    """On sentences that were written before the patterns; the patterns before these found 14 of 40, and 11 of 50."""
    found = [sum(map(is_about_speech, told)) for told in (HELD_OUT_SPEECH, HELD_OUT_OTHER)]
    assert found[0] >= 36 and found[1] <= 2
    assert not is_about_looks('It calls you "tall one".') and is_about_looks("She is tall and calls you 'love'.")


def test_what_is_written_in_other_words_is_not_suggested_again(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "name", "Ada Moor")
    said = "Ada lives in an old mill by the river. She loves gold. She fears geese. Her brother is called Tam."
    drafts.set_text(context, id, "persona", said)

    def left(*written: tuple[str, str]) -> list[str]:
        facts = [{"question": question, "answer": answer} for question, answer in written]
        drafts.change(context, id, lambda draft: draft.update(facts=facts))
        return [fact.question for fact in suggestions.facts_in_persona(draft_of(context, id))]

    everything = [
        "Where does Ada live?",
        "What does Ada love?",
        "What is Ada afraid of?",
        "Who is Ada's brother?",
    ]
    assert sorted(left()) == sorted(everything)
    assert "Where does Ada live?" not in left(("Where do you live?", "Somewhere else."))
    assert "Where does Ada live?" not in left(("What is your home?", "I live in the old mill, down by the river."))
    assert "Who is Ada's brother?" not in left(("What is your brother's name?", "Tam."))
    assert sorted(left(("What do you hate?", "Gold."), ("", ""))) == sorted(everything), "one word is not enough"


def test_a_suggested_question_has_the_verb_of_its_sentence(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "name", "Octavio Brine")
    said = "He carries the post of the harbour. He keeps a barnacle. He owns two caps. He collects old stamps."
    drafts.set_text(context, id, "persona", said)
    assert [(fact.question, fact.answer) for fact in suggestions.facts_in_persona(draft_of(context, id))] == [
        ("What does Octavio carry?", "The post of the harbour"),
        ("What does Octavio keep?", "A barnacle"),
        ("What does Octavio own?", "Two caps"),
        ("What does Octavio collect?", "Old stamps"),
    ]
