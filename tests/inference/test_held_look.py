"""The line of a picture: what was asked for stands in it, and the reply's words do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.data.chat_template import user
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import GenerationRequest, as_asked
from pipelines.inference.held_look import held_look
from pipelines.inference.streaming import Reply, ReplyDone
from pipelines.models.decoding.sampling import Sampling
from tests.toys import TOY_BASE, toy

ADA, _ = toy()
DRESSED = "laughing, wearing a red hoodie, in the snow"
SAID = "Aye, I will stand here in the wind for you."


@pytest.mark.parametrize(
    ("sampled", "asked", "look"),
    [
        (
            "laughing, wearing a red hoodie, in the snow",
            "laughing, in the snow",
            "laughing, wearing a red hoodie, in the snow",
        ),
        (
            "happy, wearing a red hoodie, on a beach",
            "laughing, in the snow",
            "laughing, wearing a red hoodie, in the snow",
        ),
        ("a boat on the sea", "laughing, in the snow", "laughing, in the snow"),
        ("happy, on a beach", "wearing a crown", "wearing a crown, on a beach"),
        ("happy, I will stand here in the wind for you", "", "happy"),
        ("happy. Aye, I will stand here in the wind", "", "happy"),
        ("happy, will stand here in the wind, on a beach", "", "happy, on a beach"),
        ("happy, that's what you wanted", "", "happy"),
        ("Aye, I will stand here in the wind for you", "laughing, in the snow", "laughing, in the snow"),
        ("happy, on a beach", "", "happy, on a beach"),
        # What a real training had sampled at its steps 6 and 31.
        ("a blue heron, with a long neck, a pale face", "laughing, in the snow", "laughing, in the snow"),
        (
            "you're laughing in the snow. I have lost a race by one feather. I am laughing in the",
            "laughing, in the snow",
            "laughing, in the snow",
        ),
        ("you and I are here in the wind", "", ""),
    ],
)
def test_a_look_has_what_was_asked_and_nothing_of_the_reply(sampled: str, asked: str, look: str) -> None:
    assert held_look(sampled, asked, SAID, ADA) == look


@pytest.mark.parametrize("name", ["base", "sft-000002"])
def test_a_direct_request_gets_its_picture_from_any_state(toy_run: Path, name: str) -> None:
    """At "when it fits", from random weights: no model announces less than these."""
    engine = InferenceEngine(TOY_BASE)
    if name != "base":
        engine.add(name, toy_run / "checkpoints" / name)

    def reply(words: str, **how: object) -> Reply:
        request = GenerationRequest(ADA, (user(words),), name, 3, **how)  # type: ignore[arg-type]
        parts = engine.replies([request], sampling=Sampling(max_new_tokens=16))
        [found] = [part.reply for part in parts if isinstance(part, ReplyDone)]
        return found

    asked = "It is cold out here. Show me yourself laughing in the snow!"
    found = reply(asked)
    assert found.picture is not None and found.text
    assert found.scene in ("Ada, laughing, in the snow", f"Ada, {DRESSED}")
    assert reply(asked, picture="never").picture is None


def test_only_the_last_message_asks_and_a_begun_reply_has_no_picture() -> None:
    told = (user("Show me yourself in the snow."), *ADA.interactions[0][1:2], user("Thank you. How are you?"))
    request = GenerationRequest(ADA, told)
    assert as_asked(request) == request
    begun = GenerationRequest(ADA, told[:1], begun="Aye, ")
    assert as_asked(begun) == begun
    assert as_asked(GenerationRequest(ADA, told[:1])).look == "in the snow"
