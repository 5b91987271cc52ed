"""Bytes to text, once for every file that people bring: cards, conversations, captions, profiles, `character.yaml`.

A byte order mark decides; else UTF-8; else UTF-16 by its zeros. What is left is read as Windows-1252, the usual
encoding of older Western programs, but only while its letters outside ASCII are few and apart: other scripts' encodings
(GBK, Shift-JIS, Windows-1251) would come out as nonsense, and are refused with the mend.
"""

from __future__ import annotations

import codecs
import re
from typing import NoReturn

from pipelines.core.problems import CharacterProblems, Problem

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN_RUN = re.compile(rb"[\x80-\xff]{4}")
_MEND = "Save it again as plain text with the encoding UTF-8 (Notepad: Save as, Encoding, UTF-8)."


def decode_text(data: bytes, file: str, guess: bool = True) -> tuple[str, list[Problem]]:
    """The text without byte order mark, and a note where the encoding had to be guessed; without `guess` none is.

    Raises:
        CharacterProblems: no text in any encoding that can be told; the problem names the file.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding, file).lstrip("\ufeff"), []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    zeros = [data[start::2].count(0) for start in (0, 1)]
    # Text with ASCII in it has zeros in every other byte; UTF-8 text has none at all.
    if len(data) % 2 == 0 and max(zeros) > len(data) // 5 and min(zeros) * 10 < max(zeros):
        return _decoded(data, "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", file), []
    if text or not data:
        return text, []
    foreign = sum(byte >= 0x80 for byte in data)
    if not guess or b"\0" in data or _FOREIGN_RUN.search(data) or foreign * 4 > len(data):
        line = data[: _first_bad(data)].count(b"\n") + 1
        what = "is not a text file" if b"\0" in data[:4096] else f"is not UTF-8 text (line {line})"
        _refuse(file, what)
    text = data.decode("cp1252", "replace")
    message = f"{file} is not UTF-8; it was read as Windows-1252. Look at letters such as ä, é and ñ."
    return text, [
        Problem(file, message, "If they are wrong, save the file again as UTF-8.", "warning", outcome="changed")
    ]


def _refuse(file: str, what: str) -> NoReturn:
    raise CharacterProblems([Problem(file, f"{file} {what}.", _MEND, subject=file)])


def _first_bad(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _decoded(data: bytes, encoding: str, file: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        _refuse(file, f"is damaged {encoding.upper()} text")
