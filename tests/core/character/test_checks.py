"""The validator: a good folder has nothing to mend; texts, facts, consent; everything is said at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.character.character import (
    Character,
    Consent,
    Fact,
    ImagePart,
    TestSplit,
    message,
)
from pipelines.core.character.character_folder import read_character, write_character, write_test_split
from pipelines.core.character.checks import check_character, check_content, check_report
from pipelines.core.character.system_prompt import SYSTEM_PROMPT_TOKENS
from pipelines.core.problems import errors
from tests.core.character.flawless import LONG, PICTURES, USER, new_problem, talk, with_talk


def test_a_good_folder_has_nothing_to_mend(tmp_path: Path, ada: Character, split: TestSplit) -> None:
    write_character(ada, tmp_path, PICTURES)
    write_test_split(split, tmp_path, {"t.png": PICTURES["7.png"]})
    assert check_character(tmp_path) == []
    assert check_report(tmp_path) == {"ok": True, "problems": []}


def test_warnings_do_not_make_a_folder_bad(tmp_path: Path, ada: Character) -> None:
    write_character(replace(ada, licence=""), tmp_path, PICTURES)
    report = check_report(tmp_path)
    assert report["ok"] is True
    assert [problem["field"] for problem in report["problems"]] == ["licence"]
    json.dumps(report)


@pytest.mark.parametrize(
    ("changes", "field", "said", "severity"),
    [
        ({"persona": " "}, "persona", "is empty", "error"),
        ({"persona": "A ferry pilot."}, "persona", "only 3 words", "warning"),
        ({"persona": LONG * 80}, "persona", f"of {SYSTEM_PROMPT_TOKENS} tokens together", "warning"),
        ({"persona": LONG * 400}, "persona", f"of {SYSTEM_PROMPT_TOKENS} tokens together", "error"),
        ({"scenario": LONG * 80}, "scenario", f"of {SYSTEM_PROMPT_TOKENS} tokens together", "warning"),
        ({"greeting": "Hello {{user}}!"}, "greeting", "{{user}}", "warning"),
        ({"name": "Ada\nof the ferry"}, "name", "longer than one short line", "error"),
        ({"style": ""}, "style", "how the character speaks", "warning"),
        ({"appearance": ""}, "appearance", "never changes", "warning"),
        ({"licence": ""}, "licence", "No licence", "warning"),
        ({"interactions": ()}, "interactions", "no conversations", "error"),
        ({"interactions": (talk(1),)}, "interactions", "only 1", "warning"),
    ],
)
def test_texts(ada: Character, changes: dict[str, object], field: str, said: str, severity: str) -> None:
    problem = new_problem(replace(ada, **changes))  # type: ignore[arg-type]
    assert (problem.field, problem.severity) == (field, severity)
    assert said in problem.message


@pytest.mark.parametrize(
    ("fact", "field", "said", "severity"),
    [
        (Fact("", "x"), "facts[6].question", "no question", "error"),
        (Fact("Is it late?", " "), "facts[6].answer", "no answer", "error"),
        (Fact("what is BELL number 2 made of", "Glass."), "facts[6].question", "same as fact 3.", "warning"),
        (Fact("What is bell number 2 made of?", "Gold"), "facts[6].question", "answers differently", "error"),
        (Fact("Is it late?", LONG * 20), "facts[6].answer", "is long", "warning"),
    ],
)
def test_facts(ada: Character, fact: Fact, field: str, said: str, severity: str) -> None:
    problem = new_problem(replace(ada, facts=(*ada.facts, fact)))
    assert (problem.field, problem.severity) == (field, severity)
    assert said in problem.message


def test_consent_is_asked_for(tmp_path: Path, ada: Character) -> None:
    write_character(replace(ada, consent=Consent()), tmp_path, PICTURES)
    (problem,) = check_character(tmp_path)
    assert (problem.field, problem.severity) == ("consent", "warning")
    write_character(replace(ada, consent=replace(ada.consent, image_sha256=ada.consent.image_sha256[1:])), tmp_path)
    (problem,) = check_character(tmp_path)
    assert "does not cover 0.png" in problem.message and problem.severity == "warning"


def test_everything_is_said_at_once_and_errors_first(tmp_path: Path, ada: Character) -> None:
    broken = replace(ada, persona="", style="", facts=(Fact("", ""),), images=ada.images[:3])
    write_character(with_talk(broken, USER), tmp_path, PICTURES)
    (tmp_path / "images/1.png").write_bytes(b"x")
    (tmp_path / "images/3.png").write_bytes(b"x")
    (tmp_path / "test.yaml").write_text("dialogues: 3")
    problems = check_character(tmp_path)
    fields = [problem.field for problem in problems if problem.severity == "error"]
    assert set(fields) == {
        "persona",
        "facts[0].question",
        "facts[0].answer",
        "interactions[10][0]",
        "images",
        "images/1.png",
        "test.yaml: dialogues",
    }
    assert problems[: len(fields)] == errors(problems)
    assert {"style", "images/3.png"} < {problem.field for problem in problems}  # of the warnings


def test_pictures_are_looked_at_even_when_the_text_cannot_be_read(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    (tmp_path / "character.yaml").write_bytes(b"\xff\x00")
    (tmp_path / "images/3.png").write_bytes(b"x")
    assert {problem.field for problem in check_character(tmp_path)} == {"character.yaml", "images/3.png"}


def test_parts_that_cannot_be_read_are_not_judged(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    text = (tmp_path / "character.yaml").read_text().replace("- - user: Where are you now?", "- - nobody: Where?")
    (tmp_path / "character.yaml").write_text(text)
    assert [problem.field for problem in errors(check_character(tmp_path))] == ["interactions[9][0]"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    report = check_report(tmp_path / "gone")
    assert report["ok"] is False
    assert "There is no folder 'gone'" in report["problems"][0]["message"]


def test_what_was_checked_is_what_was_read(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    assert read_character(tmp_path) == ada
    assert ada.interactions[-1][1].parts[-1] == ImagePart("0.png")


def test_a_character_of_pictures_alone_is_refused_before_training(ada: Character) -> None:
    silent = tuple(
        tuple(
            message(turn.role, "" if turn.role == "character" else turn.text, turn.images, turn.scene or "Ada")
            for turn in talk
        )
        for talk in ada.interactions
    )
    found = errors(check_content(replace(ada, greeting="", interactions=silent)))
    assert any("never speaks" in problem.message for problem in found)
    greeted = check_content(replace(ada, greeting="Come in.", interactions=silent))
    assert not any("never speaks" in problem.message for problem in greeted)


@pytest.mark.parametrize("text", ["It is {{time}}.", "{{random:Yes,No}}.", "{{#if x}}a", "{{ char }}", "<BOT> nods."])
def test_every_macro_that_is_left_is_warned_of(ada: Character, text: str) -> None:
    found = [problem.field for problem in check_content(replace(ada, persona=f"{ada.persona} {text}", greeting=text))]
    assert found.count("persona") == 1 and found.count("greeting") == 1


def test_a_persona_in_a_script_without_spaces_is_not_one_word(ada: Character) -> None:
    text = "時任ミラは鉄道橋の下の小さな店で時計を直している。歩くたびに歩数を数え、壊れた鍵を集めている。"
    assert not any("words long" in problem.message for problem in check_content(replace(ada, persona=text)))
