"""Replies that say the system prompt instead of answering."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.character.character import Character
from pipelines.core.reply_faults import leaks_prompt
from pipelines.data.chat_template import reply, user

MIRA = Character(
    "Mira",
    "A lighthouse keeper who has kept the lamp on the northern rock for thirty years and trusts nobody from the town.",
    style="Short sentences, dry, never a question; says lass and lad.",
    appearance="Grey braid, a scar over the left brow.",
    interactions=((user("Who?"), reply("I have kept the lamp on the northern rock for thirty years, lad.")),),
)


@pytest.mark.parametrize(
    "text",
    [
        "How you speak: Short sentences, dry.",
        "Aye. how you  LOOK: Grey braid",
        "Where you are: here",
        "I am who has kept the lamp on the northern rock for thirty years and trusts nobody.",
    ],
)
def test_a_leak(text: str) -> None:
    assert leaks_prompt(text, MIRA)


@pytest.mark.parametrize(
    "text",
    ["", "Aye, lad.", "I have kept the lamp on the northern rock for thirty years, lad.", "You speak of the town?"],
)
def test_an_answer(text: str) -> None:
    assert not leaks_prompt(text, MIRA)


def test_what_the_character_says_themselves_is_no_leak() -> None:
    asks = replace(MIRA, greeting="How you speak: that is what I asked, lad.")
    assert not leaks_prompt("How you speak: that is what I asked, lad.", asks)
