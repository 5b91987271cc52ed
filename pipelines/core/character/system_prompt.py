"""The system prompt of a character: what a model is told before every conversation, and the token budget for it.

One text for training, chat, scorecard and the form's preview. Facts and conversations are not in it; they are learned.
"""

from __future__ import annotations

from pipelines.core.character.character import Character, Message, TextPart
from pipelines.core.token_estimate import estimate_tokens
from pipelines.core.words import cut_at_sentence

SYSTEM_PROMPT_TOKENS = 336
"""Most tokens of persona, style, appearance and scenario together, as `estimate_system_prompt` counts. Every training
row and every chat begins with them; what is more is cut."""

_STYLE, _LOOKS, _SCENARIO = "How you speak:", "How you look:", "Where you are:"
PROMPT_LABELS = tuple(label.lower() for label in (_STYLE, _LOOKS, _SCENARIO))
"""What stands before the parts of a system prompt; a reply that says one of them says the prompt."""


def fits_system_prompt(tokens: int) -> bool:
    """Whether an estimated count is within the budget; what fits is never cut, and what is cut does not fit."""
    return tokens <= SYSTEM_PROMPT_TOKENS


def budget_words(tokens: int) -> str:
    """An estimated count against the budget, as it is told everywhere."""
    return f"about {tokens} of {SYSTEM_PROMPT_TOKENS} tokens"


def estimate_system_prompt(character: Character) -> int:
    """The estimated tokens that count against the budget; the name and the few words around them do not."""
    return estimate_tokens("".join(_parts(character).values()))


def _parts(character: Character) -> dict[str, str]:
    """What stands in the system prompt, each in one line behind its label."""
    texts = {
        f"You are {character.name}. ": character.persona,
        f"\n{_STYLE} ": character.style,
        f"\n{_LOOKS} ": character.appearance,
        f"\n{_SCENARIO} ": character.scenario,
    }
    return {label: " ".join(text.split()) for label, text in texts.items()}


def system_message(character: Character) -> Message:
    """The system turn that every sample and every chat of a character begins with."""
    return Message("system", (TextPart(system_text(character)),))


def system_text(character: Character) -> str:
    """The words of the system prompt; over the budget, the longest part is cut at a sentence end until it fits."""
    texts = _parts(character)
    while not fits_system_prompt(tokens := estimate_tokens("".join(texts.values()))):
        over = tokens - SYSTEM_PROMPT_TOKENS
        longest = max(texts, key=lambda label: estimate_tokens(texts[label]))
        text = texts[longest]
        # At most half at a time: another part may be the longest by then.
        texts[longest] = cut_at_sentence(text, int(len(text) * max(0.5, 1 - over / estimate_tokens(text))))
    head, *sides = texts.items()
    return "".join(head).strip() + "".join(label + text for label, text in sides if text)
