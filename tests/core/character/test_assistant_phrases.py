"""Assistant phrases: found as whole words in any case; the checks take only those that no character says."""

from __future__ import annotations

import pytest

from pipelines.core.character.assistant_phrases import ASSISTANT_PHRASES, MODEL_PHRASES, find_assistant_phrases


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("As an AI language model, I cannot.", ("as an ai", "ai language model")),
        ("I\u2019m just an AI.", ("i'm just an ai",)),
        ("He came as an aide and left as an aim.", ()),
        ("How can I help you?", ("how can i help you",)),
        ("I'm sorry, but I cannot.", ("i'm sorry, but i cannot",)),
        ("The gulls are loud.", ()),
    ],
)
def test_phrases_are_whole_words_in_any_case(text: str, found: tuple[str, ...]) -> None:
    assert find_assistant_phrases(text) == found


def test_the_checks_take_only_what_no_character_says() -> None:
    assert set(MODEL_PHRASES) < set(ASSISTANT_PHRASES)
    assert all(phrase == phrase.lower() and "\u2019" not in phrase for phrase in ASSISTANT_PHRASES)
    assert len(set(ASSISTANT_PHRASES)) == len(ASSISTANT_PHRASES)
    assert find_assistant_phrases("How can I help you?", MODEL_PHRASES) == ()
    assert find_assistant_phrases("How can I help you today?", MODEL_PHRASES) == ("how can i help you today",)
