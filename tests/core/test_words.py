"""Words and sentences in scripts with and without spaces."""

from __future__ import annotations

import tracemalloc
import unicodedata

import pytest

from pipelines.core.words import comparable_words, count_words, normalized_words, sentences_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't! It's 12, naïve_Mira.", ["don't", "it's", "12", "naïve", "mira"]),
        ("九時から。", ["九", "時", "か", "ら"]),
        ("カッター", ["カ", "ッ", "ター"]),
        ("我修钟 since 9点", ["我", "修", "钟", "since", "9", "点"]),
        ("한국어 문장이다.", ["한국어", "문장이다"]),
        ("กิ่ง เก่ง", ["กิ่", "ง", "เก่", "ง"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("السَّلام عليكم؟", ["السَّلام", "عليكم"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == [unicodedata.normalize("NFC", word) for word in words]
    assert words_of(unicodedata.normalize("NFD", text)) == words_of(text)


def test_duplicates_are_compared_without_case_and_marks_of_punctuation() -> None:
    assert normalized_words("  It's — OK, Mira\u2019s! ") == "its ok miras"
    assert normalized_words("กิน") != normalized_words("กัน")  # a vowel is no punctuation
    assert normalized_words("開いてますか？") == normalized_words("開いて、ますか")  # noqa: RUF001


def test_counts_tell_words_and_not_letters() -> None:
    assert count_words("one two, three's four") == 4
    assert count_words("橋の下のお店は今日も開いていますか") == 9
    assert count_words("") == 0


def test_letters_are_compared_in_pairs() -> None:
    assert comparable_words("時計店 open") == ["時計", "計店", "open"]
    assert comparable_words("字 and word") == ["字", "and", "word"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two? “Three!” Four", ["One.", "Two?", "“Three!”", "Four"]),
        ("開いてますか？「はい。」九時から。", ["開いてますか？", "「はい。」九時から。"]),  # noqa: RUF001
        ("نعم؟ لا.", ["نعم؟", "لا."]),
        ("पहला। दूसरा", ["पहला।", "दूसरा"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


def test_a_word_of_a_million_letters_takes_no_memory_for_each() -> None:
    tracemalloc.start()
    try:
        for read in (normalized_words, words_of, count_words):
            tracemalloc.reset_peak()
            read("s" * 1_000_000)
            assert tracemalloc.get_traced_memory()[1] < 20e6, read.__name__
    finally:
        tracemalloc.stop()
