"""MMRole: toy samples in the published layout, in as a character and out again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character import Character, message
from pipelines.core.character.character_folder import read_character, read_test_split, write_character
from pipelines.core.character.checks import check_character
from pipelines.core.character.held_out_split import hold_out
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.chat_formats import read_conversations
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.formats.mmrole_export import export_mmrole
from pipelines.core.formats.mmrole_files import IN_DISTRIBUTION, read_items, split_of
from pipelines.core.formats.mmrole_records import is_record, parse_record, write_record
from pipelines.core.problems import CharacterProblems
from tests.core.formats.mmrole_samples import picture, prompt, sample, test_samples, train_samples, write_data_set

test_samples.__test__ = False  # type: ignore[attr-defined]  # samples of a test, no test
BOAT, JETTY = "COCO__train2017__000000000007.jpg", "The_Ferry_Tales__01.jpg"


@pytest.fixture
def tola(tmp_path: Path) -> Path:
    """The character folder of one role."""
    import_file(write_data_set(tmp_path / "MMRole_dataset"), tmp_path / "tola", "tola")
    return tmp_path / "tola"


def test_the_three_scenarios_become_conversations(tola: Path) -> None:
    character = read_character(tola)
    comment, human, other = character.interactions
    assert comment == (message("user", "What do you see?", [BOAT]), message("character", "A boat. It leaks."))
    # Three samples of one talk, each longer, are one conversation.
    assert [turn.text for turn in human] == [
        "What is that boat?",
        "Mine.\nAll of it.",
        "And the rope?",
        "Mind the rope.",
        "Does it swim?",
        "It did once.",
    ]
    # Tola begins: Ben shows the picture without a word.
    assert other[0].images == (JETTY,) and other[0].speaker == "Ben" and not other[0].text
    assert other[2] == message("user", "It was a net.", speaker="Ben")
    assert character.input_images == (BOAT, JETTY) and not character.images
    assert (tola / "images" / BOAT).read_bytes() == picture("teal")


def test_only_the_role_speaks_as_the_character(tola: Path) -> None:
    character, split = read_character(tola), read_test_split(tola)
    assert split is not None
    talks = (*character.interactions, *split.dialogues)
    said = {turn.text for talk in talks for turn in talk if turn.role == "character"}
    assert "It was a net." not in said and "Look at the moon." not in said
    # What is told about a picture stands in the user's turn, outside of its words.
    assert all("jetty" not in turn.text for talk in talks for turn in talk)
    assert "(- Character information: Ben (left).\n - Place information: the jetty.)\nBen:" in (
        character.interactions[2][0].prompt_text
    )


def test_profiles_become_texts(tola: Path) -> None:
    character = read_character(tola)
    assert character.name == "Tola"
    assert character.persona.startswith("Tola keeps the ferry") and "her brother" in character.persona
    assert character.style.startswith("Dry and patient.") and "Mind the rope" in character.style
    assert character.facts[0].answer == "Mind the rope. The river waits for nobody."
    kept: Any = character.extensions["mmrole"]
    assert kept["others"]["Ben"].startswith("### Introduction\nBen mends nets.\n\n\n### Personality")


def test_the_test_stays_apart(tola: Path) -> None:
    split = read_test_split(tola)
    assert split is not None
    assert [talk[-1].text for talk in split.dialogues] == ["A night without a ferry.", "Like a patient one."]
    assert split.input_images == ("COCO__train2017__000000000009.jpg",)
    assert (tola / "test_images" / split.input_images[0]).is_file()
    # The same question about another picture is no leak.
    assert not [item for item in check_character(tola) if item.field.startswith("test.yaml")]


def test_lines_of_the_test_are_not_learned(tmp_path: Path) -> None:
    asked = prompt("Tola", "Tell me about the night.")
    leak = sample("Tola_comment_COCO_8_1", "a/1.jpg", "Tola", asked, "A night without a ferry.")
    root = write_data_set(tmp_path / "data_set", [*train_samples(), leak])
    notes = import_file(root, tmp_path / "tola", "Tola")
    assert len(read_character(tmp_path / "tola").interactions) == 3
    assert any("line of the test" in note.message for note in notes)


def test_import_export_import_is_equal(tola: Path, tmp_path: Path) -> None:
    assert export_mmrole(tola, tmp_path / "out") == []
    for path, samples in {"data/train/train.json": train_samples(), **test_samples()}.items():
        own = [item for item in samples if item["role"] == "Tola"]
        assert not own or json.loads((tmp_path / "out" / path).read_text("utf-8")) == own
    for target in ("out", "out.zip"):
        if target.endswith(".zip"):
            export_mmrole(tola, tmp_path / target)
        import_file(tmp_path / target, tmp_path / f"again-{target}")
        assert read_character(tmp_path / f"again-{target}") == read_character(tola)
        assert read_test_split(tmp_path / f"again-{target}") == read_test_split(tola)


def test_changed_talks_go_out_too(tola: Path, tmp_path: Path) -> None:
    character = read_character(tola)
    mine = (message("user", "And this?", [BOAT]), message("character", "Still mine."))
    plain = (message("user", "Hello."), message("character", "Evening."))
    changed = Character(**{**vars(character), "interactions": (mine, plain), "style": "Loud."})
    write_character(changed, tola)
    notes = export_mmrole(tola, tmp_path / "out")
    assert [note.message for note in notes] == [
        "conversations that do not begin with a picture that somebody shows were left out."
    ]
    written = json.loads((tmp_path / "out/data/train/train.json").read_text("utf-8"))
    assert [item["image"] for item in written] == ["COCO/train2017/000000000007.jpg"]
    assert "### Personality\nLoud." in written[0]["conversations"][0]["value"]
    import_file(tmp_path / "out", tmp_path / "again")
    assert read_character(tmp_path / "again").interactions == (mine,)


def test_many_roles_ask_for_one(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data_set")
    with pytest.raises(RoleNeeded) as raised:
        import_file(root, tmp_path / "one")
    assert raised.value.roles == Counter({"Tola": 8, "Ben": 1, "船夫": 1})
    with pytest.raises(RoleNeeded, match="Tola"):
        import_file(root, tmp_path / "one", "Nobody")
    assert not (tmp_path / "one").exists()


def test_chinese_roles(tmp_path: Path) -> None:
    notes = import_file(write_data_set(tmp_path / "data_set"), tmp_path / "boatman", "船夫")
    character, split = read_character(tmp_path / "boatman"), read_test_split(tmp_path / "boatman")
    assert split is not None and split.dialogues[0][1].text == "这是月亮。"
    assert character.persona == "船夫住在河边。" and character.facts[0].answer == "河水不等人。"
    assert any("another language" in note.message for note in notes)
    assert any("no training sample" in note.message for note in notes)


def test_a_models_answers_are_never_the_roles(tmp_path: Path) -> None:
    answered = train_samples()[:1]
    answered[0]["conversations"][1]["answer"] = "As an AI I see a boat."
    (tmp_path / "answers.json").write_text(json.dumps(answered), encoding="utf-8")
    import_file(tmp_path / "answers.json", tmp_path / "tola")
    split = read_test_split(tmp_path / "tola")
    assert split is not None and not read_character(tmp_path / "tola").interactions
    assert split.dialogues[0][1].text == "A boat. It leaks."


def test_missing_pictures_are_told(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data_set")
    (root / "images/The_Ferry_Tales/01.jpg").unlink()
    notes = import_file(root, tmp_path / "tola", "Tola")
    character = read_character(tmp_path / "tola")
    # Without its picture the talk that Tola begins has no beginning.
    assert len(character.interactions) == 2
    assert any("The_Ferry_Tales/01.jpg" in note.message for note in notes)


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a" + "/b" * 5000 + ".jpg", "a\0b.jpg", "\ud800.jpg", "CON.jpg"])
def test_a_picture_that_no_file_can_be_called_is_missing(tmp_path: Path, name: str) -> None:
    samples = [{**one, "image": name} for one in train_samples() if one["role"] == "Tola"]
    (tmp_path / "train.json").write_text(json.dumps(samples), encoding="utf-8")
    notes = import_file(tmp_path / "train.json", tmp_path / "tola", "Tola")
    assert any("not in images/" in item.message for item in notes)
    assert all(len(item.message.encode("utf-8")) < 400 for item in notes)


def test_pictures_beside_an_uploaded_file_are_none_of_its_own(tmp_path: Path) -> None:
    samples = write_data_set(tmp_path / "data_set") / "data/train/train_85k.json"
    notes = import_file(samples, tmp_path / "own", "Tola")
    assert not any("not in images/" in note.message for note in notes)
    notes = import_file(samples, tmp_path / "uploaded", "Tola", name="samples.json")
    assert any("not in images/" in note.message for note in notes)
    assert not list((tmp_path / "uploaded").rglob("*.jpg"))


def test_unknown_speakers_are_somebody_else() -> None:
    history = "[human]: Who is that?\n[Ben]: Me!\n[Tola]: My brother."
    record = parse_record(
        sample("Tola_human-role-dialogue_COCO_1_3", "a.jpg", "Tola", prompt("Tola", "Ah.", history=history), "Yes.")
    )
    assert record is not None
    assert [(line.name, line.words) for line in record.history] == [
        ("", "Who is that?"),
        ("Ben", "Me!"),
        ("Tola", "My brother."),
    ]


def test_words_may_hold_blank_lines_and_look_like_parts() -> None:
    words = "Look.\n\n\nThe description of Tola is as follows:\nnothing"
    value = sample("Tola_comment_COCO_1_1", "a.jpg", "Tola", prompt("Tola", words), "Hm.")
    record = parse_record(value)
    assert record is not None and record.words == words and record.profile.startswith("### Brief")
    assert write_record(record) == value


def test_damaged_files(tmp_path: Path) -> None:
    text = json.dumps(train_samples()[:3])
    (tmp_path / "train.json").write_text(text[: len(text) // 2], encoding="utf-8")
    notes = import_file(tmp_path / "train.json", tmp_path / "tola")
    assert any("damaged" in note.message for note in notes)
    broken = train_samples()[0]
    broken["conversations"][0]["value"] = "no parts at all"
    (tmp_path / "b.json").write_text(json.dumps([broken]), encoding="utf-8")
    with pytest.raises(CharacterProblems, match="no sample"):
        import_file(tmp_path / "b.json", tmp_path / "b")


def test_lists_are_read_item_by_item() -> None:
    text = json.dumps([{"a": "x" * 50, "b": [1, {"c": "]"}]}] * 20)
    pieces = (text[at : at + 7] for at in range(0, len(text), 7))
    assert list(read_items(pieces, "x.json", Counter())) == json.loads(text)


def test_splits_are_told_by_path() -> None:
    assert split_of("data/train/train_85k.json") == ""
    assert split_of("data_test_in-distribution_inter-role_test.jsonl") == IN_DISTRIBUTION
    assert split_of("data/test/out-of-distribution/comment_test.json") == "out-of-distribution"
    assert split_of("latest.json") == ""


def test_samples_are_read_as_conversations_of_a_character_too() -> None:
    found = read_conversations(json.dumps(train_samples()), "train_85k.json", "Tola")
    replies = {turn.text for talk in found.interactions for turn in talk if turn.role == "character"}
    assert "And now?" in replies and not {"It was a net.", "Now it is a hat."} & replies
    with pytest.raises(CharacterProblems, match="test of MMRole"):
        read_conversations(json.dumps(train_samples()), "comment_test.json", "Tola")


def test_a_card_carries_the_pictures_that_others_show(tola: Path, tmp_path: Path) -> None:
    for name in ("card.json", "card.charx", "card.zip"):
        assert export_card(tola, tmp_path / name) == []
        import_file(tmp_path / name, tmp_path / f"from-{name}")
        assert read_character(tmp_path / f"from-{name}") == read_character(tola)
        assert (tmp_path / f"from-{name}" / "images" / BOAT).read_bytes() == picture("teal")


def test_held_out_talks_keep_their_pictures(tola: Path) -> None:
    character = read_character(tola)
    held = Character(**{**vars(character), "held_out": type(character.held_out)(conversations=(2,))})
    training, split = hold_out(held)
    assert split.input_images == (JETTY,) and training.input_images == (BOAT,)


def test_other_values_are_no_samples() -> None:
    for value in (None, [], {"role": "x"}, {**train_samples()[0], "conversations": [{"value": 1}, {"value": "x"}]}):
        assert not is_record(value)


@pytest.mark.parametrize("into", ["new", "there"])
def test_a_sample_without_another_role_and_a_reply_that_runs_on(tmp_path: Path, into: str) -> None:
    plain = sample("x_human-role_1", "a.jpg", "Tola", prompt("Tola", "Is it open?"), "Since nine.")
    alone = sample("y_human-role_1", "a.jpg", "Tola", prompt("Tola", "And now?"), "[Tola]: Still.")
    longer = sample(
        "z_inter-role_1", "a.jpg", "Tola", prompt("Tola", "And you?", "Ben"), "No.\n[Ben]: Why?\n[Tola]: So.", "Ben"
    )
    (tmp_path / "a.json").write_text(json.dumps([plain, alone | {"other_role": None}, longer]))
    if into == "there":
        write_character(Character("Tola", "Mends clocks."), tmp_path / "tola")
    notes = import_file(tmp_path / "a.json", tmp_path / "tola")
    talks = read_character(tmp_path / "tola").interactions
    assert [[turn.text.removeprefix("Ben: ") for turn in talk] for talk in talks] == [
        ["Is it open?", "Since nine."],
        ["And now?", "Still."],
        ["And you?", "No."],
    ]
    [told] = [note for note in notes if "somebody else inside a reply" in note.message]
    assert told.examples == ("[Ben]: Why? [Tola]: So.",) and told.outcome == "left out"


def test_a_number_of_thousands_of_digits_ends_no_file(tmp_path: Path) -> None:
    texts = [json.dumps({**item, "size": 4242}) for item in train_samples()]
    (tmp_path / "train.json").write_text("[" + ", ".join(texts).replace("4242", "9" * 5000, 1) + "]")
    notes = import_file(tmp_path / "train.json", tmp_path / "tola", "Tola")
    assert not any("damaged" in note.message for note in notes)
    assert len(read_character(tmp_path / "tola").interactions) >= 2
