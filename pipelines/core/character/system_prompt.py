"""The system prompt of a character: what a model is told before every conversation, and the token budget for it.

One text for training, chat, scorecard and the form's preview. Facts and conversations are not in it; they are learned.
"""

from __future__ import annotations

from pipelines.core.character.character import Character, Message, TextPart
from pipelines.core.token_estimate import estimate_tokens
from pipelines.core.words import cut_at_sentence

SYSTEM_PROMPT_TOKENS = 320
"""Budget of name, persona, style, appearance and scenario together, as `estimate_tokens` counts. Every training row and
every chat begins with them."""
SYSTEM_PROMPT_TOLERANCE = 1.05
"""Estimates up to this factor over the budget pass: for English personas the estimate is good to 4 %."""

_STYLE, _LOOKS, _SCENARIO = "How you speak:", "How you look:", "Where you are:"
PROMPT_LABELS = tuple(label.lower() for label in (_STYLE, _LOOKS, _SCENARIO))
"""What stands before the parts of a system prompt; a reply that says one of them says the prompt."""


def fits_system_prompt(tokens: int) -> bool:
    """Whether an estimated count is within the budget and its tolerance."""
    return tokens <= SYSTEM_PROMPT_TOLERANCE * SYSTEM_PROMPT_TOKENS


def estimate_system_prompt(character: Character) -> int:
    """The estimated tokens that count against the budget; the few words around them do not."""
    texts = (character.name, character.persona, character.style, character.appearance, character.scenario)
    return sum(estimate_tokens(text) for text in texts)


def system_message(character: Character) -> Message:
    """The system turn that every sample and every chat of a character begins with."""
    return Message("system", (TextPart(system_text(character)),))


def system_text(character: Character) -> str:
    """The words of the system prompt; over the budget, the longest part is cut at a sentence end until it fits."""
    texts = {
        f"You are {character.name}. ": character.persona,
        f"\n{_STYLE} ": character.style,
        f"\n{_LOOKS} ": character.appearance,
        f"\n{_SCENARIO} ": character.scenario,
    }
    texts = {label: " ".join(text.split()) for label, text in texts.items()}
    # Without the name, and rounded up once: never more than `estimate_system_prompt`, so what the checks let pass
    # stays whole.
    while not fits_system_prompt(tokens := estimate_tokens("".join(texts.values()))):
        over = tokens - SYSTEM_PROMPT_TOLERANCE * SYSTEM_PROMPT_TOKENS
        longest = max(texts, key=lambda label: estimate_tokens(texts[label]))
        text = texts[longest]
        # At most half at a time: another part may be the longest by then.
        texts[longest] = cut_at_sentence(text, int(len(text) * max(0.5, 1 - over / estimate_tokens(text))))
    head, *sides = texts.items()
    return "".join(head).strip() + "".join(label + text for label, text in sides if text)
