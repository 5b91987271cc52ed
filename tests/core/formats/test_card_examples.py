"""`<START>` blocks and logs of `Name: words`: whose words they are, in every way in which people write it."""

from __future__ import annotations

import time

import pytest

from pipelines.core.character.macros import resolve_macros
from pipelines.core.formats.card_examples import TOO_MANY, read_blocks
from pipelines.core.formats.chat_formats import interactions_from_start_blocks
from pipelines.core.formats.speaker_labels import SpeakerNames
from pipelines.core.problems import CharacterProblems
from tests.core.formats.talks import lines, read, said

SHOP, BELL = ["u:Is the shop open?", "c:Open since nine."], ["u:And the bell?", "c:It lies."]


def blocks(text: str, name: str = "Tola Brask") -> list[list[str]]:
    return lines(read_blocks(text, SpeakerNames(name))[0])


def talk(user: str, character: str) -> str:
    return f"{user}: Is the shop open?\n{character}: Open since nine.\n{user}: And the bell?\n{character}: It lies."


def test_of_too_many_conversations_the_first_are_taken_and_the_rest_is_counted() -> None:
    block = "<START>\n{{user}}: Rain?\n{{char}}: Always.\n"
    began = time.process_time()
    interactions, mended = read_blocks(block * 60_000, SpeakerNames("Tola"))
    assert (len(interactions), mended[TOO_MANY]) == (5_000, 55_000) and time.process_time() - began < 5
    [long], mended = read_blocks("{{user}}: Rain?\n{{char}}: Always.\n" * 20_000, SpeakerNames("Tola"))
    assert (len(long), long[-1].role, mended[TOO_MANY]) == (10_000, "character", 1)


def test_start_blocks_with_names_macros_and_long_turns() -> None:
    text = """ignored words
<START>
{{user}}: Who are you?
MIRA VALE: I am {{char}}.
Bob: is what they call me, <USER>.

Really.
Mira: Twice.
<start>
<USER>: Tea?
<BOT>: For {{user}}'s throat?
<START>
no speaker here
"""
    found, problems = interactions_from_start_blocks(text, "Mira Vale", nickname="Mi")
    assert lines(found) == [
        ["u:Who are you?", "c:I am Mi.\nBob: is what they call me, you.\n\nReally.\nTwice."],
        ["u:Tea?", "c:For your throat?"],
    ]
    assert [problem.said for problem in problems] == [
        "left out: no line begins with a speaker and a colon, like {{user}}: or {{char}}: (2 x).",
        "turns of the same speaker in a row were joined.",
        "lines were taken as part of a reply: those that begin with 'Bob'.",
    ]
    with pytest.raises(CharacterProblems, match="holds no conversation"):
        interactions_from_start_blocks("", "Mira")


def test_names_with_signs_of_patterns_are_taken_literally() -> None:
    found, _ = interactions_from_start_blocks("<START>\nYou: a\nM.(I)+ [x]: b", "M.(I)+ [x]")
    assert lines(found) == [["u:a", "c:b"]]


@pytest.mark.parametrize(
    ("user", "character"),
    [
        ("{{random_user_1}}", "{{char}}"),
        ("{{ user }}", "{{ Char }}"),
        ("**{{user}}**", "**{{char}}**"),
        ("#{{user}}", "#{{char}}"),
        ("__You__", "_Tola_"),
        ("User", "Brask"),
        ("[Human]", "[tola brask]"),
        ("Anna", "Tola Brask"),
        ("Anna Maria", "{{char}}"),
    ],
)
def test_speakers_are_known_however_they_are_written(user: str, character: str) -> None:
    assert blocks("<START>\n" + talk(user, character)) == [SHOP + BELL]


def test_bold_with_the_colon_inside() -> None:
    assert blocks(talk("**{{user}}", "**{{char}}").replace(":", ":**")) == [SHOP + BELL]
    assert blocks("{{user}}: Hi\n{{char}}:*nods* Ho") == [["u:Hi", "c:*nods* Ho"]]


def test_a_log_without_macros_tells_who_was_taken_as_the_user() -> None:
    log = "Tola Brask: Careful, Anna.\n\n" + talk("Anna", "Tola Brask").replace("\n", "\n\n")
    found = read(log)
    assert lines(found.interactions) == [SHOP + BELL]
    assert "the lines of 'Anna' were taken as the user's" in said(found) and "opening words" in said(found)


def test_narrators_and_others_never_speak_for_the_character() -> None:
    text = (
        talk("{{user}}", "{{char}}").replace("nine.\n", "nine.\nNarrator: Rain falls.\n") + "\nSystem: end of example"
    )
    found, mended = read_blocks(text, SpeakerNames("Tola"))
    assert lines(found) == [SHOP + BELL] and mended["lines of a narrator or of the program were left out"] == 2
    assert blocks("{{user}}: Open?\nTola: Since nine.\nBen: Since ten!", "Tola & Ben") == [["u:Open?", "c:Since nine."]]
    group = "{{user}}: Open?\nBen: Since ten!\nTola: Since nine.\nBen: Ten.\n{{user}}: Rain?\nTola: Always."
    assert blocks(group) == [["u:Open?\nBen: Since ten!", "c:Since nine.", "u:Rain?", "c:Always."]]


def test_a_line_with_a_colon_inside_a_reply_stays_there() -> None:
    text = (
        "{{user}}: Open?\n{{char}}: Read.\nClosed: come back late.\nMood: dry\n{{user}}: Why?\n{{char}}: So.\nMood: w"
    )
    found, mended = read_blocks(text, SpeakerNames("Tola"))
    assert lines(found) == [["u:Open?", "c:Read.\nClosed: come back late.\nMood: dry", "u:Why?", "c:So.\nMood: w"]]
    assert any("'Closed', 'Mood'" in sentence for sentence in mended)


@pytest.mark.parametrize("separator", ["***", "---", "* * *", "=====", "END_OF_DIALOG", "<END>"])
def test_lines_of_stars_part_conversations(separator: str) -> None:
    text = f"\n{separator}\n".join(["{{user}}: Is the shop open?\n{{char}}: Open since nine."] * 2) + f"\n{separator}"
    assert blocks(text) == [SHOP, SHOP]


def test_stars_inside_a_reply_and_between_all_turns_part_nothing() -> None:
    assert blocks("{{user}}: Hi\n{{char}}: One.\n***\nTwo.") == [["u:Hi", "c:One.\n***\nTwo."]]
    assert blocks(talk("{{user}}", "{{char}}").replace("\n", "\n---\n")) == [SHOP + BELL]


def test_names_in_other_scripts() -> None:
    text = "<START>\n{{user}}：開いてますか。\n{{char}}：九時から。\n<START>\nユーザー：この音は？\nミラ：けんかです。"  # noqa: RUF001
    assert blocks(text, "時任ミラ") == [["u:開いてますか。", "c:九時から。"], ["u:この音は？", "c:けんかです。"]]  # noqa: RUF001
    assert blocks("ผู้ใช้: สวัสดี\nกิ่ง: ค่ะ", "กิ่ง") == [["u:สวัสดี", "c:ค่ะ"]]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("{{// hidden}}{{noop}}{{comment: x}}a", "a"),
        ("{{random:Yes,No}}. {{pick::Come in::Wait}}.", "Yes. Come in."),
        ("{{#if {{equal::{{getvar::x}}::1}}}}Hello{{/if}}you", "you"),
        ("{{user}}'s and {{ USER }}, {{Char}}{{newline}}<BOT>", "your and you, Tola\nTola"),
        ("{{time}} {{getvar::x}}", "{{time}} {{getvar::x}}"),
        ("{{#if x}} never closed", "{{#if x}} never closed"),
        ("{{" * 50_000, "{{" * 50_000),
    ],
)
def test_macros(text: str, right: str) -> None:
    assert resolve_macros(text, "Tola", "you") == right
