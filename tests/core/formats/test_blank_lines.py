"""Empty lines as the ends of conversations: where a file of examples is meant, and where a chat is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.formats.chat_formats import Conversations, read_conversations
from tests.core.formats.talks import said

PAIRS = [("Is the shop open?", "Open since nine."), ("And the bell?", "It lies."), ("Rain?", "Always.")]
LOG = "\n\n".join(f"User: {asked}\nTola: {answer}" for asked, answer in PAIRS) + "\n"
"""Three exchanges as people write a file of examples."""


def read(text: str, parts_at_blank: bool | None = None) -> Conversations:
    return read_conversations(text, "talks.txt", "Tola Brask", "", parts_at_blank)


def lengths(found: Conversations) -> list[int]:
    return [len(talk) for talk in found.interactions]


@pytest.mark.parametrize(
    ("user", "character", "more"),
    [
        ("User:", "Tola:", {}),
        ("{{user}}:", "{{char}}:", {}),
        ("**Anna:**", "**Tola Brask:**", {}),
        ("[10:15] Anna:", "[10:16] Tola:", {}),
        ("### Human:", "### Assistant:", {}),
        ("<|im_start|>user\n", "<|im_start|>assistant\n", {}),
        ("User:", "Tola:", {"\n\n": "\n \n\n"}),
        ("User:", "Tola:", {"nine.": "nine.\n\nMind the bell.", "It lies.": "It lies.\n\n*She nods.*"}),
        ("User:", "Tola:", {"\n\n": "\n\nNarrator: Rain falls.\n"}),
    ],
)
def test_blocks_that_begin_with_the_user_are_conversations(user: str, character: str, more: dict[str, str]) -> None:
    text = LOG
    for before, after in {**more, "User:": user, "Tola:": character}.items():
        text = text.replace(before, after)
    found = read(text)
    assert lengths(found) == [2, 2, 2] and found.is_parted is True
    assert "empty lines were taken as the ends of conversations (2 x)" in said(found) and "<START>" in said(found)
    found = read(text, False)
    assert lengths(found) == [6] and found.is_parted is False


def test_blocks_of_several_exchanges_stay_together() -> None:
    found = read(f"{LOG.rstrip()}\nUser: Snow?\nTola: Never.\n")
    assert lengths(found) == [2, 2, 4] and found.is_parted


@pytest.mark.parametrize(
    "text",
    [
        LOG.replace("\n\n", "\n"),
        LOG.replace("\nTola", "\n\nTola"),  # a chat with an empty line between all its lines
        LOG.replace("\nTola", "\n\nTola")
        .replace("User:", "<|im_start|>user\n")
        .replace("Tola:", "<|im_start|>assistant\n"),
        "User: Rain?\nTola: Always.\n\nMore of it.\nUser: Snow?\nTola: Never.",
        "Anna: Rain?\n\nAnna: Snow?\nTola: Both.\n\nAnna: When?\nTola: Now.",  # asked twice, answered once
    ],
)
def test_a_chat_stays_one_and_nothing_is_to_be_chosen(text: str) -> None:
    found = read(text)
    assert len(found.interactions) == 1 and found.is_parted is None and "empty lines" not in said(found)


@pytest.mark.parametrize("before", ["Tola: Careful. That one bites.\n\n", "<START>\n"])
def test_what_opens_as_a_chat_or_is_marked_stays_one_and_may_be_divided(before: str) -> None:
    found = read(before + LOG)
    assert lengths(found) == [6] and found.is_parted is False
    assert "empty lines before the user's lines were taken as part of one conversation" in said(found)
    assert lengths(read(before + LOG, True))[-3:] == [2, 2, 2]


def test_other_marks_count_before_empty_lines() -> None:
    two = LOG + "<START>\n" + LOG.replace("Rain", "Snow")
    assert lengths(read(two)) == [6, 6] and read(two).is_parted is None
    starred = LOG + "***\n" + LOG.replace("Rain", "Snow")
    assert lengths(read(starred)) == [6, 6] and read(starred).is_parted is None


def test_one_of_twenty_may_be_out_of_order() -> None:
    many = "\n\n".join(f"User: {number}?\nTola: {number}." for number in range(20))
    assert len(read(many.replace("\nTola: 7.", "\n\nTola: 7.")).interactions) == 20
    assert len(read(many.replace("\nTola: 7.", "")).interactions) == 19
    assert len(read(many.replace("\n\nUser: 7", "\nUser: 7")).interactions) == 19


@pytest.mark.parametrize("title", ["Conversation {}", "## At the pier, {}", "**Example {}:**", "Dialogue {}."])
def test_titles_between_conversations_part_them_and_are_nobodys_words(title: str) -> None:
    text = "\n\n".join(f"{title.format(n)}\n\n{block}" for n, block in enumerate(LOG.split("\n\n"), 1))
    found = read(text)
    assert lengths(found) == [2, 2, 2]
    assert [talk[-1].text for talk in found.interactions] == [answer for _, answer in PAIRS]
    assert "titles between conversations were left out (2 x)" in said(found) and "part of a reply" not in said(found)


@pytest.mark.parametrize("name", ["talks.txt", "talks.md", "talks.log"])
def test_the_command_line_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write_character(Character("Tola Brask", "Mends clocks."), tmp_path / "tola", {})
    (tmp_path / name).write_text(LOG)
    assert main(["character", "import", str(tmp_path / name), str(tmp_path / "tola")]) == 0
    assert len(read_character(tmp_path / "tola").interactions) == 3
    shown = capsys.readouterr()
    assert "empty lines were taken as the ends of conversations" in shown.out + shown.err
