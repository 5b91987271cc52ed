"""Captions beside pictures: each goes to its own picture, whatever the two are called."""

from __future__ import annotations

import unicodedata

import pytest

from pipelines.core.formats.caption_files import assign_captions

HAPPY, SAD = b"happy face", b"sad face"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("\U0001f642", "\U0001f621"),
        ("\u0e01\u0e34", "\u0e01\u0e35"),
        ("happy/01", "sad/01"),
        ("a" * 90 + "1", "b" + "a" * 89 + "1"),
    ],
)
def test_names_that_look_alike_when_shown_keep_their_captions(first: str, second: str) -> None:
    captions = [(f"{second}.txt", SAD), (f"{first}.txt", HAPPY)]
    assert assign_captions([f"{first}.png", f"{second}.jpg"], captions) == ({0: "happy face", 1: "sad face"}, [])


def test_names_of_another_unicode_form_or_folder_fit() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Näherin") for form in ("NFC", "NFD"))
    assert assign_captions([f"{decomposed}.png"], [(f"{composed}.txt", HAPPY)])[0] == {0: "happy face"}
    assert assign_captions(["images/01.png"], [("captions\\01.txt", HAPPY)])[0] == {0: "happy face"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_words(encoding: str) -> None:
    assert assign_captions(["01.png"], [("01.caption", "laughing\n".encode(encoding))]) == ({0: "laughing"}, [])


def test_what_is_cut_or_not_used_is_told() -> None:
    words = "who leans over a brass clock " * 11
    captions = [("01.txt", words.encode()), ("02.txt", b"\xb0\xb1\xb2\xb3\xb4"), ("09.txt", SAD), ("03.txt", HAPPY)]
    found, notes = assign_captions(["01.png", "02.png", "03.png", "03.png"], captions)
    assert list(found) == [0] and words.startswith(found[0]) and len(found[0]) <= 200
    told = [note.message for note in notes]
    assert "318 characters long; it was cut to" in told[0] and "02.txt is not UTF-8" in told[1]
    assert told[2] == "09.txt belongs to no picture." and told[3].startswith("2 pictures are called 03")
    assert all(note.severity == "warning" for note in notes)
