"""What is typed or piped into a chat: bytes that are no UTF-8 end no chat."""

from __future__ import annotations

import io
import sys

import pytest

from pipelines.commands.chat import _read_line
from pipelines.core.formats.json_text import tidy_text


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_signs_of_another_encoding_are_replaced(monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    piped = io.TextIOWrapper(io.BytesIO(b"Gr\xfc\xdf dich\n"), encoding="utf-8", errors=errors)
    monkeypatch.setattr(sys, "stdin", piped)
    assert _read_line() == "Gr\ufffd\ufffd dich"
    assert _read_line() == ""


def test_words_of_the_command_line_are_text() -> None:
    assert tidy_text(b"Gr\xfc\xdf".decode("utf-8", "surrogateescape")) == "Gr\ufffd\ufffd"
