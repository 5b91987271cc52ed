"""What may be seen of a reply while it is sampled, one id at a time."""

from __future__ import annotations

import random

import pytest

from pipelines.data.chat_template import PICTURE_MARK
from pipelines.inference.streaming import VisibleText
from pipelines.models.presets import load
from tests.toys import TOY_BASE


@pytest.fixture(scope="module")
def tokenizer():
    """One id for each byte, so every character beyond ASCII comes in parts."""
    return load(TOY_BASE)[1]


def whole_text(tokenizer, ids: list[int]) -> str:
    """The words of a reply, as `generate_texts` takes them."""
    return tokenizer.decode(ids, skip_special_tokens=True).lstrip().removeprefix(PICTURE_MARK).strip()


def pieces(tokenizer, ids: list[int], whole: str | None = None) -> list[str]:
    """What is handed out after each id, and at the end."""
    seen = VisibleText(tokenizer)
    found = [seen.add(token) for token in ids]
    return [*found, seen.finish(whole_text(tokenizer, ids) if whole is None else whole)]


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_plain_words_are_seen_at_once(tokenizer) -> None:
    assert pieces(tokenizer, ids_of(tokenizer, "Aye aye")) == ["A", "y", "e", "", " a", "y", "e", ""]


def test_half_a_character_is_never_seen(tokenizer) -> None:
    found = pieces(tokenizer, ids_of(tokenizer, "né 🦊!"))
    assert [piece for piece in found if piece] == ["n", "é", " 🦊", "!"]
    cut = ids_of(tokenizer, "a🦊")[:-1]  # sampling ran out of room inside a character
    assert "".join(pieces(tokenizer, cut)) == tokenizer.decode(cut) == "a\ufffd"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[picture] Hello.", "Hello."),
        (" [picture]  Hello. ", "Hello."),
        ("[picture]", ""),
        ("[pict", "[pict"),
        ("[pin] Hello", "[pin] Hello"),
        ("See [this] one", "See [this] one"),
        ("See [picture] one", "See [picture] one"),
        ("<|im_start|>Hi<|im_end|>", "Hi"),
        ("one\n\ntwo \n", "one\n\ntwo"),
    ],
)
def test_the_mark_blanks_and_special_pieces_are_hidden(tokenizer, text: str, seen: str) -> None:
    found = pieces(tokenizer, ids_of(tokenizer, text))
    assert "".join(found) == seen
    if text.lstrip().startswith(PICTURE_MARK):
        assert not any("[" in piece or "picture" in piece for piece in found)


def test_a_half_sentence_that_was_seen_is_not_taken_back(tokenizer) -> None:
    # The whole text, which `SceneReady` has, replaces the pieces.
    found = pieces(tokenizer, ids_of(tokenizer, "Aye. And th"), whole="Aye.")
    assert "".join(found) == "Aye. And th" and found[-1] == ""


def test_pieces_always_add_up_to_the_words(tokenizer) -> None:
    dice = random.Random(0)
    parts = ["[picture]", "[pic", " ", "\n", "é", "🦊", "a", "\ufffd", "Ada, ", "]", "e"]
    for _ in range(200):
        ids = ids_of(tokenizer, "".join(dice.choices(parts, k=8)))
        ids = [dice.randrange(len(tokenizer)) if dice.random() < 0.1 else token for token in ids]
        assert "".join(pieces(tokenizer, ids)) == whole_text(tokenizer, ids)
