"""How chat assistants speak and characters do not: one list, for the checks of conversations and for the rewards.

The checks warn of `MODEL_PHRASES` in a character's turns. The reward `no_assistant_markup` (`pipelines.rewards.style`)
counts all of `ASSISTANT_PHRASES` but those that the character's own turns hold.
"""

from __future__ import annotations

import re

MODEL_PHRASES = (
    "as an ai",
    "as an artificial intelligence",
    "as a language model",
    "as a large language model",
    "ai language model",
    "i'm an ai",
    "i am an ai",
    "i'm just an ai",
    "i am just an ai",
    "i'm a language model",
    "i am a language model",
    "i'm just a language model",
    "i am just a language model",
    "i can't assist",
    "i cannot assist",
    "i am unable to assist",
    "i'm unable to assist",
    "how can i help you today",
    "how may i help you today",
    "how can i assist you today",
    "how may i assist you today",
)
"""Lower case, straight apostrophes. Said by chat models only: in a character's turn one is almost surely a slip."""

ASSISTANT_PHRASES = (
    *MODEL_PHRASES,
    "ai assistant",
    "virtual assistant",
    "i'm an assistant",
    "i am an assistant",
    "how can i assist",
    "how may i assist",
    "how can i help you",
    "how may i help you",
    "i'm here to help",
    "i am here to help",
    "here to assist",
    "feel free to ask",
    "feel free to reach",
    "is there anything else",
    "let me know if you",
    "i hope this helps",
    "i don't have personal",
    "i do not have personal",
    "i apologize for",
    "i'm sorry, but i can",
    "i'm sorry, but i can't",
    "i'm sorry, but i cannot",
    "my training data",
    "my knowledge cutoff",
)
"""Also the politeness of a service desk, which a character may well have: an innkeeper asks how she can help."""

_PATTERNS = {phrase: re.compile(rf"\b{re.escape(phrase)}\b") for phrase in ASSISTANT_PHRASES}


def find_assistant_phrases(text: str, phrases: tuple[str, ...] = ASSISTANT_PHRASES) -> tuple[str, ...]:
    """Those of the phrases that the text holds as whole words ("as an aide" is none), in the order of the list."""
    lowered = text.lower().replace("\u2019", "'")
    return tuple(phrase for phrase in phrases if _PATTERNS[phrase].search(lowered))
