"""Bytes to text: byte order marks, UTF-16 without one, Windows-1252 with a note, and what is no text."""

from __future__ import annotations

import pytest

from pipelines.core.decode_text import decode_text
from pipelines.core.problems import CharacterProblems

WORDS = "Grüß dich, señor.\nOpen since nine."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_that_can_be_told_are_read_without_a_word(encoding: str) -> None:
    assert decode_text(WORDS.encode(encoding), "a.txt") == (WORDS, [])


def test_older_western_text_is_read_with_a_note() -> None:
    text, notes = decode_text(WORDS.encode("cp1252"), "a.txt")
    assert text == WORDS and [note.severity for note in notes] == ["warning"] and "Windows-1252" in notes[0].message


@pytest.mark.parametrize(
    "data", ["米拉修理时钟".encode("gbk"), "Мира чинит часы".encode("cp1251"), "時計店".encode("shift-jis")]
)
def test_other_encodings_and_other_files_are_refused_by_name(data: bytes) -> None:
    for bad, words in (
        (b"Yes\n" + data, "a.txt is not UTF-8 text (line 2)"),
        (b"\x89\0\xff\0\0", "is not a text file"),
    ):
        with pytest.raises(CharacterProblems) as caught:
            decode_text(bad, "a.txt")
        assert words in str(caught.value) and "UTF-8" in str(caught.value)


def test_nothing_is_no_words() -> None:
    assert decode_text(b"", "a.txt") == ("", [])
