"""The token estimate: ASCII by fours, everything else one by one."""

from __future__ import annotations

import pytest

from pipelines.core.token_estimate import estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("abcd", 1),
        ("abcde", 2),
        ("\u6f22\u5b57", 2),  # two Chinese characters
        ("\uce74\ud398 a", 3),  # two Korean syllables, and two ASCII characters are half a token
        ("\u043c\u0438\u0440", 3),
        ("f\u00fcr", 2),  # 2 / 4 + 1
        ("\U0001f30a", 1),  # an emoji beyond the first plane is one character in Python
    ],
)
def test_tokens_are_estimated_by_kind_of_character(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
