"""The validator: a good folder has nothing to mend; each kind of damage is named with its mend, all at once."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.core.character.character import (
    Character,
    CharacterImage,
    Consent,
    Fact,
    ImagePart,
    Interaction,
    Message,
    MultipleChoice,
    TestSplit,
    TextPart,
    message,
)
from pipelines.core.character.character_folder import read_character, write_character, write_test_split
from pipelines.core.character.checks import check_character, check_content, check_report
from pipelines.core.character.image_decode import image_sha256
from pipelines.core.character.system_prompt import SYSTEM_PROMPT_TOKENS
from pipelines.core.character.validate_dialogues import normalized_words
from pipelines.core.problems import Problem, errors
from pipelines.core.token_estimate import estimate_tokens
from tests.core.drawings import drawing, encoded

LOOKS = (
    ("happy", "a red hoodie", "on a beach", "close-up"),
    ("sad", "a blue coat", "in the snow", ""),
    ("angry", "a red hoodie", "in a forest", ""),
    ("surprised", "a green scarf", "in a park", "from afar"),
    ("sleepy", "a blue coat", "on a ship", ""),
    ("winking", "a red hoodie", "in space", "tilted"),
)
PICTURES = {f"{n}.png": encoded(drawing(n, 256, 256)) for n in range(9)}


def talk(number: int, *more: Message) -> Interaction:
    return (
        message("user", f"Tell me about night {number} on the water, please."),
        message("character", f"Night {number}? The bell rang {number} times and nobody drowned."),
        *more,
    )


@pytest.fixture
def ada() -> Character:
    """A character without a single problem."""
    shown = (message("user", "Where are you now?"), message("character", "By the sea.", ["0.png"], "Ada, happy"))
    return Character(
        name="Ada",
        persona="Ada has steered the night ferry for thirty years and knows each bell of the harbour by its voice.",
        style="Short sentences. Says aye. Never swears.",
        appearance="A round face with a scar on the chin.",
        facts=tuple(
            Fact(f"What is bell number {n} made of?", f"{metal}")
            for n, metal in enumerate(("tin", "iron", "glass", "brass", "silver", "clay"))
        ),
        images=tuple(CharacterImage(f"{n}.png", *look) for n, look in enumerate(LOOKS)),
        interactions=(*(talk(n) for n in range(9)), shown),
        consent=Consent("Drawn for this test.", "Ann", "2026-11-21", tuple(map(image_sha256, PICTURES.values()))),
        licence="CC0-1.0",
    )


@pytest.fixture
def split() -> TestSplit:
    """A held-out split without a single problem for `ada`."""
    return TestSplit(
        dialogues=((message("user", "Will it rain on the way over?"), message("character", "Aye, before four.")),),
        choices=(MultipleChoice("Which metal is the third bell?", ("Tin", "Glass", "Clay", "Iron"), 1),),
        images=(CharacterImage("t.png", "sad", "a red hoodie", "on a ship"),),
    )


def with_talk(ada: Character, *turns: Message) -> Character:
    """`ada` with one more conversation, number 11 (interactions[10])."""
    return replace(ada, interactions=(*ada.interactions, turns))


def new_problem(character: Character, split: TestSplit | None = None) -> Problem:
    """The only problem of a character."""
    (problem,) = check_content(character, split)
    assert problem.mend.endswith((".", "?"))
    return problem


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


USER, REPLY = message("user", "Do you like the gulls at all?"), message("character", "Not one of them.")
LONG = "many words follow here "


@pytest.mark.parametrize(
    ("turns", "place", "said", "mend", "severity"),
    [
        ((), "", "has no turns", "take it out", "error"),
        ((USER, message("character")), "[1]", "is empty", "Write its words", "error"),
        ((message("user"), REPLY), "[0]", "is empty", "Write its words", "error"),
        ((USER, USER, REPLY), "[1]", "user speaks twice in a row", "Join", "error"),
        ((USER, REPLY, message("character", "And so on.")), "[2]", "character speaks twice", "Join", "error"),
        ((USER, REPLY, message("user", "Why?")), "[2]", "does not end with the character", "reply", "error"),
        ((USER,), "[0]", "does not end with the character", "reply", "error"),
        ((REPLY,), "", "Nobody speaks to the character", "user's line", "warning"),
        ((USER, message("system", "Be rude."), REPLY), "[1]", "in the middle", "Take it out", "error"),
        ((message("system", "Be rude."), USER, REPLY), "[0]", "begins with instructions", "persona", "warning"),
        ((USER, message("character", LONG * 60)), "[1]", "is long", "split", "warning"),
        ((USER, message("character", LONG * 200)), "[1]", "too long", "Cut it", "error"),
        ((message("user", LONG * 200), REPLY), "[0]", "too long", "Cut it", "error"),
        (
            (USER, message("character", "Aye.", ["00.PNG"], "Ada, sad")),
            "[1].image",
            "not one of the",
            "mean 0.png",
            "error",
        ),
        ((USER, message("character", "Aye.", ["9.png"], "Ada, sad")), "[1].image", "not one of the", "Add it", "error"),
        ((USER, message("character", "Aye.", ["harbour.jpg"], "Ada")), "[1].image", "harbour.jpg", "Add it", "error"),
        (
            (USER, message("character", "Aye.", ["0.png", "1.png"], "Ada")),
            "[1].image",
            "2 pictures",
            "Keep one",
            "error",
        ),
        (
            (USER, message("character", "Aye.", ["0.png"])),
            "[1].scene",
            "no scene in words",
            "happy, close-up, wearing",
            "warning",
        ),
        ((message("user", "Hi there.", scene="Ada, sad"), REPLY), "[0].scene", "is the user's", "Move it", "warning"),
        ((USER, message("character", "As an AI language model I cannot.")), "[1]", "assistant", "itself", "warning"),
        ((USER, message("character", "Ask {{user}} about it.")), "[1]", "{{user}}", "placeholders", "warning"),
    ],
)
def test_conversations(ada: Character, turns: Interaction, place: str, said: str, mend: str, severity: str) -> None:
    problem = new_problem(with_talk(ada, *turns))
    assert problem.field == f"interactions[10]{place}"
    assert said in problem.message
    assert mend in problem.mend
    assert problem.severity == severity
    assert "onversation 11" in problem.message


@pytest.mark.parametrize(
    "turns",
    [
        (USER, message("character", "Aye, cold.", scene="Ada, sad, in the snow")),  # a scene without a picture
        (USER, message("character", "", ["1.png"], "Ada, sad")),  # a picture without words
        (message("user", "", ["1.png"]), REPLY),
        (message("character", "Evening."), USER, REPLY),  # the character greets first
        (message("user", "Why?"), REPLY, message("user", "Why?"), message("character", "Because.")),
    ],
)
def test_conversations_that_are_fine(ada: Character, turns: Interaction) -> None:
    assert check_content(with_talk(ada, *turns)) == []


def test_doubled_conversations_and_replies(ada: Character) -> None:
    again = check_content(with_talk(ada, *talk(3)))
    assert [(problem.field, problem.severity) for problem in again] == [
        ("interactions[10]", "warning"),
        ("interactions[10][1]", "warning"),
    ]
    assert "same as conversation 4" in again[0].message
    parrot = new_problem(
        with_talk(
            ada, USER, replace(talk(3)[1], parts=(TextPart("NIGHT 3! The bell rang 3 times - and nobody drowned"),))
        )
    )
    assert "stands 2 times, first in conversation 4, turn 2" in parrot.message


def test_a_long_conversation_is_warned_of(ada: Character) -> None:
    turns = [message(role, f"{role} {n} {LONG * 20}") for n in range(9) for role in ("user", "character")]
    assert "longer than about 1500 tokens" in new_problem(with_talk(ada, *turns)).message


@pytest.mark.parametrize(
    ("changes", "field", "said", "severity"),
    [
        ({"persona": " "}, "persona", "is empty", "error"),
        ({"persona": "A ferry pilot."}, "persona", "only 3 words", "warning"),
        ({"persona": LONG * 80}, "persona", f"{SYSTEM_PROMPT_TOKENS} are kept", "warning"),
        ({"persona": LONG * 400}, "persona", f"{SYSTEM_PROMPT_TOKENS} are kept", "error"),
        ({"scenario": LONG * 80}, "scenario", f"{SYSTEM_PROMPT_TOKENS} are kept", "warning"),
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


@pytest.mark.parametrize(
    ("changes", "field", "said", "severity"),
    [
        ({"dialogues": ((talk(4)[0], REPLY),)}, "dialogues[0][0]", "word for word", "error"),
        (
            {"dialogues": ((message("user", "what is bell number 4 MADE of..."), REPLY),)},
            "dialogues[0][0]",
            "word for word",
            "error",
        ),
        ({"dialogues": ((USER, talk(4)[1]),)}, "dialogues[0][1]", "word for word", "warning"),
        ({"dialogues": ((USER,),)}, "dialogues[0][0]", "Test conversation 1 does not end", "error"),
        (
            {"choices": (MultipleChoice("What is bell number 4 made of?", ("a", "b", "c", "d"), 0),)},
            "choices[0].question",
            "word for word",
            "error",
        ),
        ({"choices": (MultipleChoice(" ", ("a", "b", "c", "d"), 0),)}, "choices[0].question", "is empty", "error"),
        ({"choices": (MultipleChoice("Where to?", ("a",), 0),)}, "choices[0].options", "too few", "error"),
        (
            {"choices": (MultipleChoice("Where to?", ("a", "", "c", "d"), 0),)},
            "choices[0].options",
            "empty one",
            "error",
        ),
        ({"choices": (MultipleChoice("Where to?", ("a", "b", "A.", "d"), 0),)}, "choices[0].options", "twice", "error"),
    ],
)
def test_splits(
    ada: Character, split: TestSplit, changes: dict[str, object], field: str, said: str, severity: str
) -> None:
    problem = new_problem(ada, replace(split, **changes))  # type: ignore[arg-type]
    assert (problem.field, problem.severity) == (f"test.yaml: {field}", severity)
    assert said in problem.message


def test_small_talk_may_stand_in_both(ada: Character, split: TestSplit) -> None:
    chat = (message("user", "Tell me more."), REPLY)
    tested = replace(split, dialogues=((chat[0], message("character", "No.")),))
    assert check_content(with_talk(ada, *chat), tested) == []


@pytest.mark.parametrize(
    ("damage", "field", "said", "mend", "severity"),
    [
        (lambda at: (at / "images/3.png").unlink(), "images/3.png", "is not in images/", "Put it there", "error"),
        (
            lambda at: (at / "images/3.png").rename(at / "images/3.PNG"),
            "images/3.png",
            "is not in images/",
            "Did you mean 3.PNG",
            "error",
        ),
        (lambda at: (at / "images/x.png").write_bytes(b"x"), "images/x.png", "not listed", "List it", "warning"),
        (lambda at: (at / "images/3.png").write_bytes(b"x"), "images/3.png", "no picture", "Save it", "error"),
        (
            lambda at: (at / "images/3.png").write_bytes(PICTURES["2.png"]),
            "images/3.png",
            "same file as 2.png",
            "Take one",
            "error",
        ),
        (
            lambda at: (at / "images/3.png").write_bytes(PICTURES["8.png"][:500]),
            "images/3.png",
            "damaged",
            "again",
            "error",
        ),
        (
            lambda at: (at / "test_images/t.png").unlink(),
            "test_images/t.png",
            "is not in test_images/",
            "Put it",
            "error",
        ),
        (lambda at: (at / "test_images/t.png").write_bytes(b""), "test_images/t.png", "is empty", "Copy", "error"),
        (
            lambda at: (at / "test_images/t.png").write_bytes(PICTURES["2.png"]),
            "test_images/t.png",
            "also the training picture 2.png",
            "Take it out",
            "error",
        ),
        (
            lambda at: (at / "test_images/t.png").write_bytes(encoded(drawing(2, 256, 256).resize((300, 300)))),
            "test_images/t.png",
            "nearly the training picture 2.png",
            "Use another",
            "warning",
        ),
        (lambda at: (at / "test.yaml").write_text("choices: [a"), "test.yaml", "cannot be read", "line", "error"),
        (lambda at: (at / "character.yaml").unlink(), "character.yaml", "no character.yaml", "Make", "error"),
    ],
)
def test_files(
    tmp_path: Path,
    ada: Character,
    split: TestSplit,
    damage: Callable[[Path], object],
    field: str,
    said: str,
    mend: str,
    severity: str,
) -> None:
    write_character(ada, tmp_path, PICTURES)
    write_test_split(split, tmp_path, {"t.png": PICTURES["7.png"]})
    damage(tmp_path)
    found = {problem.field: problem for problem in check_character(tmp_path)}
    assert said in found[field].message
    assert mend in found[field].mend
    assert found[field].severity == severity
    assert check_report(tmp_path)["ok"] is (severity == "warning")


def test_consent_is_asked_for(tmp_path: Path, ada: Character) -> None:
    write_character(replace(ada, consent=Consent()), tmp_path, PICTURES)
    (problem,) = check_character(tmp_path)
    assert (problem.field, problem.severity) == ("consent", "warning")
    write_character(replace(ada, consent=replace(ada.consent, image_sha256=ada.consent.image_sha256[1:])), tmp_path)
    (problem,) = check_character(tmp_path)
    assert "does not cover 0.png" in problem.message and problem.severity == "warning"


def test_files_that_systems_leave_behind_are_passed_over(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "images" / name).write_bytes(b"x")
    assert check_character(tmp_path) == []


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


def test_lengths_are_estimated() -> None:
    assert [estimate_tokens(text) for text in ("", "abcd", "abcde", "漢字")] == [0, 1, 2, 2]
    assert normalized_words(" Don\u2019t, STOP-it!\n") == normalized_words("dont stop it") == "dont stop it"


def test_metadata_and_size_reach_the_report(tmp_path: Path, ada: Character) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    out = io.BytesIO()
    drawing(0, 150, 150).save(out, "JPEG", exif=exif)
    write_character(
        replace(ada, consent=replace(ada.consent, image_sha256=())), tmp_path, {**PICTURES, "0.png": out.getvalue()}
    )
    messages = [problem.message for problem in check_character(tmp_path)]
    assert messages == ["0.png is small (150 x 150 px).", "0.png tells more than it shows (camera and time)."]


def test_what_was_checked_is_what_was_read(tmp_path: Path, ada: Character) -> None:
    write_character(ada, tmp_path, PICTURES)
    assert read_character(tmp_path) == ada
    assert ada.interactions[-1][1].parts[-1] == ImagePart("0.png")
