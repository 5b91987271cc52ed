"""The character folder: what is written is read back equal, and everything bad in a file is said at once."""

import datetime
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.character.character import (
    Character,
    CharacterImage,
    Consent,
    Fact,
    ImagePart,
    Message,
    MultipleChoice,
    TestSplit,
    TextPart,
    is_file_name,
    message,
)
from pipelines.core.character.character_folder import (
    CharacterProblems,
    Problem,
    image_path,
    load_character,
    read_character,
    read_test_split,
    test_image_path,
    write_character,
    write_test_split,
)
from pipelines.core.yaml_text import MAX_DEPTH, MAX_YAML_BYTES, read_yaml, write_yaml

MIRA = Character(
    name="Mira Vale",
    persona="Keeps the lighthouse.\nHates gulls: all of them.",
    style="Short sentences, 'quotes' and \"more quotes\".",
    appearance="Grey eyes — a scar",
    greeting="no",
    scenario="null",
    facts=(Fact("How old?", "007"), Fact("Do you like tea?", "Yes"), Fact("When?", "2026-01-01")),
    images=(
        CharacterImage("01.png", "happy", "a red hoodie", "on a beach", "close-up"),
        CharacterImage("two words.jpg", caption="at home\nby the fire"),
    ),
    interactions=(
        (message("user", "Hi: who?"), message("character", "Mira.\n\n  I keep the light.", ["01.png"], "Mira, happy")),
        (message("user", "# look", ["two words.jpg"]), message("character", "- a list?\n- no!", scene="Mira, sad")),
    ),
    consent=Consent("I drew these.", "Ann", "2026-11-21T10:00:00Z", ("ab" * 32,)),
    licence="CC0-1.0",
    extensions={"depth": {"list": [1, 2.5, True, None, "1", "yes", " x\n y ", "tab\tand\r\n", "\u2028\x85"]}},
)
PICTURES = {"01.png": b"first", "two words.jpg": b"second"}
SPLIT = TestSplit(
    dialogues=((message("user", "Where is home?"), message("character", "Up the stairs.")),),
    choices=(MultipleChoice("Favourite drink?", ("Tea", "Rum", "Milk", "4"), 0),),
    images=(CharacterImage("t1.png", "sad"),),
)


def problems_of(folder: Path, data: bytes | str) -> dict[str, Problem]:
    """What reading `data` as character.yaml complains of, by field."""
    folder.mkdir(exist_ok=True)
    (folder / "character.yaml").write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(CharacterProblems) as raised:
        read_character(folder)
    assert all(problem.mend and problem.message and problem.field for problem in raised.value.problems)
    return {problem.field: problem for problem in raised.value.problems}


def test_a_character_is_read_back_equal(tmp_path: Path) -> None:
    write_character(MIRA, tmp_path, PICTURES)
    assert read_character(tmp_path) == MIRA
    assert image_path(tmp_path, "01.png").read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path)) == ["character.yaml", "images"]


def test_a_split_is_read_back_equal(tmp_path: Path) -> None:
    write_test_split(SPLIT, tmp_path, {"t1.png": b"test"})
    assert read_test_split(tmp_path) == SPLIT
    assert test_image_path(tmp_path, "t1.png").read_bytes() == b"test"
    assert test_image_path(tmp_path, "01.png") == image_path(tmp_path, "01.png")  # a derived split's pictures


def test_a_folder_without_a_split_has_none(tmp_path: Path) -> None:
    write_character(MIRA, tmp_path, PICTURES)
    assert read_test_split(tmp_path) is None


def test_a_folder_is_copied_with_its_pictures(tmp_path: Path) -> None:
    write_character(MIRA, tmp_path / "a", PICTURES)
    write_character(MIRA, tmp_path / "b", tmp_path / "a")
    write_character(replace(MIRA, name="Else"), tmp_path / "b")  # pictures stay in place
    assert image_path(tmp_path / "b", "two words.jpg").read_bytes() == b"second"
    assert read_character(tmp_path / "b").name == "Else"


def test_nothing_is_written_when_a_picture_is_not_given(tmp_path: Path) -> None:
    with pytest.raises(CharacterProblems, match=r"two words\.jpg is listed but was not given"):
        write_character(MIRA, tmp_path / "new", {"01.png": b"first"})
    assert not (tmp_path / "new").exists()
    with pytest.raises(CharacterProblems, match="not a plain file name"):
        write_character(replace(MIRA, images=(CharacterImage("../x.png"),)), tmp_path / "new", PICTURES)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        (f"a_portrait_{'in_soft_light_' * 9}.png", "longer than 120 characters: rename"),
        ("Tola: laughing?.png", "without ':' and '?'"),
        ("images/03.png", "write only its name"),
    ],
    ids=["long", "signs", "folder"],
)
def test_a_name_that_is_not_plain_is_refused_with_its_reason(tmp_path: Path, name: str, mend: str) -> None:
    (tmp_path / "character.yaml").write_text(f'name: Tola\npersona: She mends clocks.\nimages: [{{file: "{name}"}}]\n')
    with pytest.raises(CharacterProblems, match="not a plain file name") as refused:
        read_character(tmp_path)
    assert mend in refused.value.problems[0].mend


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_character(MIRA, tmp_path, PICTURES)
    (tmp_path / "character.yaml.new").mkdir()  # the new file cannot be opened
    with pytest.raises(OSError):
        write_character(replace(MIRA, name="Else"), tmp_path)
    assert read_character(tmp_path) == MIRA


def test_random_texts_are_read_back_equal() -> None:
    pieces = [
        "a",
        " ",
        "\n",
        "  ",
        ":",
        "#",
        "- ",
        "'",
        '"',
        "\t",
        "é",
        "漢",
        "😀",
        "|",
        ">",
        "%",
        "&x",
        "*x",
        "!t",
        "no",
        "1",
        "{",
        "]",
        ",",
        "?",
        "\\",
        "\r",
        "\x07",
        "\u2028",
        "\ufeff",
        "---",
        "...",
    ]
    rng = random.Random(0)
    for _ in range(100):
        text = "".join(rng.choices(pieces, k=rng.randrange(12)))
        entries = {"name": "x", "facts": [{"question": text, "answer": "z"}], "extensions": {"k": [text, {"j": text}]}}
        assert read_yaml(write_yaml(entries, "x.yaml"), "x.yaml") == entries


def test_words_stay_words(tmp_path: Path) -> None:
    text = "name: 007\npersona: off\nstyle: ~\ngreeting: 1e3\nfacts:\n- {question: no, answer: 12:30}\n"
    (tmp_path / "character.yaml").write_text(text)
    character = read_character(tmp_path)
    assert (character.name, character.persona, character.style, character.greeting) == ("007", "off", "", "1e3")
    assert character.facts == (Fact("no", "12:30"),)


def test_a_byte_order_mark_and_space_around_texts_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "character.yaml").write_bytes(b"\xef\xbb\xbfname: Mira\r\npersona: |\r\n  One.\r\n  Two.\r\n")
    assert read_character(tmp_path) == Character("Mira", "One.\nTwo.")


def test_half_characters_are_replaced_on_writing(tmp_path: Path) -> None:
    write_character(Character("M\ud83d", "x"), tmp_path)
    assert read_character(tmp_path).name == "M\ufffd"


@pytest.mark.parametrize(
    ("data", "said", "mend"),
    [
        (b"", "is empty", "name"),
        (b"- a\n- b\n", "not a list of entries", "colon"),
        (b"just words", "not a list of entries", "colon"),
        (b"name: a: b", "line 1", "quotes"),
        (b"name: a\n\tpersona: b", "line 2", "tabs"),
        (b"name: [a", "cannot be read", "line"),
        (b"name: a\nname: b", "'name' twice", "Keep one"),
        (b"facts:\n- {question: a, question: b}", "'question' twice", "Keep one"),
        (b"name: \xe9t\xe9", "not UTF-8 text (line 1)", "UTF-8"),
        ("name: Jörg Weiß".encode("cp1252"), "not UTF-8", "UTF-8"),
        ("name: 米拉".encode("gbk"), "not UTF-8", "UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text file", "UTF-8"),
        (b"name: a\x07b", "a character no text has", "delete"),
        (b"name: &a x\nstyle: *a", "shortcut", "quotes"),
        (b"name: !!python/object/apply:os.system ['true']", "tag", "quotes"),
        (b"name: !secret x", "tag", "quotes"),
        (b"name: a\n---\nname: b", "line 2", "indentation"),
        (b"? [a]\n: b", "line 1", "indentation"),
        (b'name: "\\ud800"', "line 1", "quotes"),
        (b"[" * 100_000, f"more than {MAX_DEPTH} deep", "brackets"),
        (b"name: a\nfacts:\n- " + b"[" * 3_000, f"more than {MAX_DEPTH} deep at line 3", "brackets"),
        (b"a: {" * 5_000, f"more than {MAX_DEPTH} deep", "brackets"),
        (b"name: a\nfacts:\n" + b"- {question: a, answer: b}\n" * 20_000, "more than 60,000 entries", "best"),
        (b"name: a\nx: " + b"y" * MAX_YAML_BYTES, "2.0 MiB", "images/"),
    ],
)
def test_unreadable_yaml_is_one_clear_problem(tmp_path: Path, data: bytes, said: str, mend: str) -> None:
    (problem,) = problems_of(tmp_path, data).values()
    assert problem.field == "character.yaml"
    assert said in problem.message
    assert mend in problem.mend


def test_values_that_no_program_can_hold_stay_text_in_extensions() -> None:
    digits = "9" * 5000
    text = f"name: 2026-13-45\nextensions: {{when: 2026-13-45, id: {digits}, size: 1.5, since: 2026-01-02, old: true}}"
    entries = read_yaml(text.encode(), "character.yaml")
    assert entries["name"] == "2026-13-45"
    kept = {"when": "2026-13-45", "id": digits, "size": 1.5, "since": datetime.date(2026, 1, 2), "old": True}
    assert entries["extensions"] == kept


def test_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    problem = problems_of(tmp_path, "a0: &a0 lol\n" + "\n".join(rows))["character.yaml"]
    assert "shortcut" in problem.message


def test_ten_megabytes_are_refused_before_they_are_written() -> None:
    began = time.process_time()
    with pytest.raises(CharacterProblems, match=r"character.yaml is 10.0 MiB; at most 2 MiB are read"):
        write_yaml({"persona": "la " * 3_500_000}, "character.yaml")
    assert time.process_time() - began < 1, "writing them takes ten seconds"


def test_every_problem_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        """
        persona: [a, list]
        style: {a: b}
        personna: x
        facts: tea
        images:
        - {file: ../../etc/passwd}
        - {expression: happy}
        - {file: [1]}
        - {file: 03.png, colour: red}
        interactions:
        - {user: hi}
        - - {user: hi, character: ho}
          - just words
          - {assistant: hello}
          - {character: {a: b}}
          - {character: fine, image: /root/x.png, scen: x}
          - {scene: nobody}
        - conversation
        consent: {given_by: [x], image_sha256: none}
        extensions: [x]
    """,
    )
    assert {field for field, problem in found.items() if problem.severity == "error"} == {
        "name",
        "persona",
        "style",
        "facts",
        "images[0].file",
        "images[1].file",
        "images[2].file",
        "interactions[0]",
        "interactions[1][0]",
        "interactions[1][1]",
        "interactions[1][2]",
        "interactions[1][3].character",
        "interactions[1][4].image",
        "interactions[1][5]",
        "interactions[2]",
        "consent.given_by",
        "consent.image_sha256",
        "extensions",
    }
    warned = {field: problem.mend for field, problem in found.items() if problem.severity == "warning"}
    assert set(warned) == {"personna", "images[3].colour", "interactions[1][4].scen"}
    assert "'persona'" in warned["personna"]
    assert "'scene'" in warned["interactions[1][4].scen"]
    assert "`character:`" in found["interactions[1][2]"].mend


def test_unknown_keys_alone_do_not_stop_reading(tmp_path: Path) -> None:
    (tmp_path / "character.yaml").write_text("name: Mira\npersona: x\nlicense: MIT\n")
    character, problems = load_character(tmp_path)
    assert character == read_character(tmp_path) == Character("Mira", "x")
    assert [(problem.field, problem.severity) for problem in problems] == [("license", "warning")]
    assert "'licence'" in problems[0].mend


def test_many_unknown_keys_are_counted(tmp_path: Path) -> None:
    (tmp_path / "character.yaml").write_text("name: Mira\n" + "".join(f"key{n}: x\n" for n in range(100)))
    problems = load_character(tmp_path)[1]
    assert len(problems) == 21
    assert "80 more entries" in problems[-1].message


def test_missing_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(CharacterProblems, match="There is no folder 'gone'"):
        read_character(tmp_path / "gone")
    with pytest.raises(CharacterProblems, match=r"has no character\.yaml"):
        read_character(tmp_path)
    (tmp_path / "character.yaml").mkdir()
    with pytest.raises(CharacterProblems, match="cannot be opened"):
        read_character(tmp_path)


@pytest.mark.parametrize("answer", ["4", "-1", "Tea", "1.5", "", "[1]", "99999999999999999999"])
def test_an_answer_must_be_the_number_of_an_option(tmp_path: Path, answer: str) -> None:
    (tmp_path / "test.yaml").write_text(f"choices:\n- {{question: q, options: [a, b, c, d], answer: {answer}}}\n")
    with pytest.raises(CharacterProblems) as raised:
        read_test_split(tmp_path)
    fields = {problem.field for problem in raised.value.problems}
    assert fields == {"test.yaml: choices[0].answer"}


def test_pictures_stand_in_their_usual_place() -> None:
    assert message("character", "hi", ["a.png"]).parts == (TextPart("hi"), ImagePart("a.png"))
    assert message("user", "hi", ["a.png"]).parts == (ImagePart("a.png"), TextPart("hi"))
    assert message("character", scene="x") == Message("character", (), "x")


@pytest.mark.parametrize("name", ["", ".", "..", ".h", "a/b", "a\\b", "/a", "C:a", "a\x00b", "x" * 200, "a.", "a "])
def test_names_that_leave_the_folder_are_no_file_names(name: str) -> None:
    assert not is_file_name(name)
    assert is_file_name("ok 01.png")


def test_a_problem_is_json() -> None:
    assert Problem("name", "No.", "Add.").to_json() == {
        "field": "name",
        "message": "No.",
        "mend": "Add.",
        "severity": "error",
    }
