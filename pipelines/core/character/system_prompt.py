"""What a model is told about a character before every conversation: one text for training, chat and the form's preview.

Facts and conversations are not in it; they are learned.
"""

from __future__ import annotations

import re

from pipelines.core.character.character import Character
from pipelines.core.character.validate_dialogues import estimate_tokens

SYSTEM_TOKENS = 320
"""Most tokens of the system prompt, as the checks estimate them (5 % over is let through); longer ones are cut."""


def system_text(character: Character) -> str:
    """The persona prompt that every sample of a character begins with; facts are not in it, they are learned.

    While it is too long, the longest of persona, style, appearance and scenario is cut at a sentence end.
    """
    texts = {
        f"You are {character.name}. ": character.persona,
        "\nHow you speak: ": character.style,
        "\nHow you look: ": character.appearance,
        "\nWhere you are: ": character.scenario,
    }
    texts = {label: " ".join(text.split()) for label, text in texts.items()}
    while (over := estimate_tokens("".join(texts.values())) - 1.05 * SYSTEM_TOKENS) > 0:
        longest = max(texts, key=lambda label: estimate_tokens(texts[label]))
        text = texts[longest]
        texts[longest] = _cut(text, int(len(text) * max(0.5, 1 - over / estimate_tokens(text))))
    head, *sides = texts.items()
    return "".join(head).strip() + "".join(label + text for label, text in sides if text)


def _cut(text: str, limit: int) -> str:
    # Whole sentences up to `limit` characters; a longer first sentence is cut at a word.
    kept = ""
    for sentence in re.split(r"(?<=[.!?…])\s+", text):
        if len(kept) + len(sentence) + 1 > limit:
            break
        kept = f"{kept} {sentence}".strip()
    return kept or text[:limit].rsplit(" ", 1)[0]
