"""RoleScape-20 folders: a small synthetic character in exactly the published layout."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character import Fact, MultipleChoice, message
from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.character.image_decode import MAX_IMAGE_BYTES
from pipelines.core.formats.import_character import import_file
from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.formats.rolescape import (
    letters_and_digits,
    matching_test_dir,
    read_rolescape,
    rolescape_folders,
)
from pipelines.core.problems import CharacterProblems

HEAD = {"description": "Tock is a brass clockwork owl who keeps a library.", "opening": "Tick."}
PROFILE = """### **Character Profile: Tock**

*   **Breed:** Clockwork owl
*   **Appearance:** Brass feathers, one green glass eye.
*   **Linguistic Habits:** Ticks between sentences. Counts everything.
*   **Personality:** Patient.
"""


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((240, 240), 20 + number).convert("RGB").save(out, "PNG")
    return out.getvalue()


def scene(user: str, machine: str, image: str | None = None, instruction: str = "") -> list[dict[str, str]]:
    answer = {"role": "machine", "text": machine}
    if image is not None:
        answer["image"] = image
    if instruction:
        answer |= {"thinking_process": "The image effectively captures it.", "generation_instruction": instruction}
    return [{"role": "user", "text": user}, answer]


def write(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(HEAD | entries), encoding="utf-8")


def write_questions(train: Path) -> None:
    """Facts and multiple-choice questions, some of them doubled or broken."""
    write(
        train / "Tock_knowledge_qa.json",
        qa_items=[
            {"id": "qa_001", "question": "What is Tock made of?", "answer": "Brass", "type": "fact"},
            {"id": "qa_002", "question": "what is Tock made of", "answer": "Brass."},
            {"id": "qa_003", "question": "How many eyes are glass?", "answer": "One"},
            {"id": "qa_004", "question": "Where does Tock live?", "answer": "In a library"},
            {"id": "qa_005", "question": "?"},
        ],
    )
    write(
        train / "Tock_knowledge_qa_test.json",
        mcq_items=[
            {
                "id": "mcq_001",
                "question": "How many eyes are glass?",
                "answer_key": "B",
                "options": {"A": "None", "B": "One", "C": "Two", "D": "Three"},
            },
            {"id": "mcq_002", "question": "Broken?", "answer_key": "E", "options": {"A": "x", "B": "y"}},
        ],
    )


@pytest.fixture
def tock(tmp_path: Path) -> Path:
    """The training folder; the test folder lies beside it as in the published data."""
    train = tmp_path / "personalized_data" / "train" / "Owls-Tock"
    test = tmp_path / "personalized_data" / "test" / "Owls-Tock"
    for folder in (train, test):
        folder.mkdir(parents=True)
    pictures = {f"{number}.png": picture(number) for number in range(11)}
    for name, data in pictures.items():
        (train / name).write_bytes(data)
    with_image = [scene(f"Where are you, {n}?", f"Shelf {n}.", str(n), f"Tock on shelf {n}, happy") for n in range(11)]
    write(train / "annotation.json", scenes=[scene("unused", "unused", "0")])
    write(train / "Tock_with_image.json", scenes=with_image)
    write(
        train / "Tock_dialogue_text_extension_train.json",
        scenes=[
            scene("What time is it?", "Ten, tick.", "24"),
            scene("What  TIME is it", "Always ten."),
            scene("Do you sleep?", "Never."),
            scene("", ""),
            scene("Leaky?", "No fresh line."),
            scene("Fine?", "Yes.", "1"),
        ],
    )
    write(
        train / "Tock_dialogue_text_extension_test.json",
        scenes=[
            scene("What time is it?", "Nine."),
            scene("Why brass?", "no   fresh line"),
        ],
    )
    write_questions(train)
    write(
        train / "Tock_t2i_instruction.json",
        t2i_instructions=[{"image_id": str(n), "t2i_instruction": f"Tock, shelf {n}"} for n in range(11)],
    )
    write(train / "Tock_memorization_test.json", test_questions=["Who are you?"])
    (train / "Tock_full_profile.txt").write_text(PROFILE)
    for name, data in {"0.png": picture(20), "1.png": pictures["3.png"]}.items():
        (test / name).write_bytes(data)
    write(test / "annotation.json", scenes=[scene("Night?", "Dark, tick.", "0")])
    write(test / "Tock_with_image.json", scenes=[scene("Night?", "Dark, tick.", "0", "Tock at night")])
    write(test / "Tock_t2i_instruction.json", t2i_instructions=[{"image_id": "0", "t2i_instruction": "Tock, night"}])
    return train


def test_words_pictures_and_captions(tock: Path) -> None:
    character, _, images, _, _ = read_rolescape(tock, matching_test_dir(tock))
    assert (character.name, character.persona, character.greeting) == ("Tock", HEAD["description"], "Tick.")
    assert character.appearance == "Brass feathers, one green glass eye."
    assert character.style == "Ticks between sentences. Counts everything."
    assert list(images) == [f"{n}.png" for n in range(11) if n != 3]  # by number, not by letter
    assert [image.caption for image in character.images][:3] == ["Tock, shelf 0", "Tock, shelf 1", "Tock, shelf 2"]
    first = character.interactions[0]
    assert first[1] == message("character", "Shelf 0.", ["0.png"], "Tock on shelf 0, happy")
    assert "not redistributable" in character.licence.lower()


def test_split_is_whole(tock: Path) -> None:
    _, test, _, test_images, _ = read_rolescape(tock, matching_test_dir(tock))
    assert [talk[0].text for talk in test.dialogues] == ["What time is it?", "Why brass?", "Night?"]
    assert test.dialogues[2][1].images == ("0.png",) and test.dialogues[2][1].scene == "Tock at night"
    assert test.choices == (MultipleChoice("How many eyes are glass?", ("None", "One", "Two", "Three"), 1),)
    assert [(image.file, image.caption) for image in test.images] == [("0.png", "Tock, night"), ("1.png", "")]
    assert set(test_images) == {"0.png", "1.png"}


def test_what_the_test_asks_is_dropped_from_training_and_counted(tock: Path) -> None:
    character, test, images, test_images, notes = read_rolescape(tock, matching_test_dir(tock))
    users = [talk[0].text for talk in character.interactions]
    assert users[11:] == ["Do you sleep?", "Fine?"]
    trained = {letters_and_digits(turn.text) for talk in character.interactions for turn in talk}
    assert not trained & {letters_and_digits(turn.text) for talk in test.dialogues for turn in talk}
    assert character.facts == (Fact("What is Tock made of?", "Brass"), Fact("Where does Tock live?", "In a library"))
    assert not set(images.values()) & set(test_images.values())
    # A conversation about the dropped picture stays, without it.
    assert [talk[1].images for talk in character.interactions[2:5]] == [("2.png",), (), ("4.png",)]
    said = {note.said for note in notes}
    assert said >= {
        "conversations with a line of the test were dropped from training (3 x).",
        "facts that the test asks for were dropped from training.",
        "facts asked twice were left out.",
        "pictures of the test were dropped from training.",
        "references to pictures that do not exist were left out (2 x).",
        "incomplete multiple-choice questions were left out.",
        "facts without a question or an answer were left out.",
    }


def test_numbers_in_text_conversations_name_no_pictures(tock: Path) -> None:
    character = read_rolescape(tock, None).character
    fine = next(talk for talk in character.interactions if talk[0].text == "Fine?")
    assert fine[1].images == ()  # although 1.png exists


def test_without_the_test_folder(tock: Path) -> None:
    found = read_rolescape(tock, None)
    assert len(found.images) == 11 and found.test_images == {} and len(found.test.dialogues) == 2
    assert any("test folder is missing" in note.message for note in found.notes)


def test_annotation_serves_without_with_image(tock: Path) -> None:
    (tock / "Tock_with_image.json").unlink()
    assert read_rolescape(tock, None).character.interactions[0][0].text == "unused"


def test_import_writes_a_character_folder_with_its_split(tock: Path, tmp_path: Path) -> None:
    notes = import_file(tock, tmp_path / "tock")
    found = read_rolescape(tock, matching_test_dir(tock))
    assert read_character(tmp_path / "tock") == found.character
    assert read_test_split(tmp_path / "tock") == found.test
    assert {path.name for path in (tmp_path / "tock" / "test_images").iterdir()} == {"0.png", "1.png"}
    assert [note for note in notes if note in found.notes] == found.notes


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xff", b'{"scenes": 3}', b'{"scenes": [[3], {"a": 1}]}'])
def test_damaged_files_are_named_or_skipped(tock: Path, damage: bytes) -> None:
    for name in ("Tock_with_image.json", "Tock_knowledge_qa.json", "Tock_knowledge_qa_test.json"):
        whole = (tock / name).read_bytes()
        (tock / name).write_bytes(damage)
        try:
            read_rolescape(tock, None)
        except CharacterProblems as problems:
            assert name in str(problems) or "no description" in str(problems)
        (tock / name).write_bytes(whole)


def test_a_picture_that_is_too_large_is_left_out(tock: Path) -> None:
    with (tock / "2.png").open("r+b") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    found = read_rolescape(tock, None)
    assert "2.png" not in found.images and "2.png" not in {image.file for image in found.character.images}
    assert any("pictures larger than 32 MB were left out" in note.message for note in found.notes)


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CharacterProblems, match="not a RoleScape folder"):
        read_rolescape(tmp_path, None)


@pytest.mark.parametrize(
    ("profile", "style", "appearance"),
    [
        ("Tock keeps time. He speaks in short sentences.", "", ""),
        ("# Tock\n## Speaking style\nShort, dry.\n## Appearance\nBrass hands.\n", "Short, dry.", "Brass hands."),
        (
            "* **Voice Actor:** J. Example\n* **Milestones:** One.\n* **Linguistic Habits:** Dry.",
            "Dry.",
            "",
        ),
        (
            "* **Outlooks:** Late.\n* **Appearance:** Brass hands.\n* **Body language:** Still.\n* **Speech:** Dry.",
            "Dry.",
            "Brass hands.",
        ),
        (
            "**First Appearance:** Episode 1, Late\n**English Voice:** J. Example\n**Original Language:** Dutch\n"
            "**Physical Appearance:** Brass hands.\n**Speech Style:** Short, dry sentences.\n",
            "Short, dry sentences.",
            "Brass hands.",
        ),
        (
            "**Voice Cast:** J. Example\n**Love Language:** gifts\n**Public Appearances:** the fair of 1902\n"
            "**Famous Speech:** the one at the bridge\n**How he speaks:** Short.\n**Looks up to:** his aunt\n",
            "Short.",
            "",
        ),
        (
            "**Language:** Dutch\n**Voice:** J. Example\n**Last Appearance:** Episode 9\n**Looks like:** his aunt\n",
            "",
            "",
        ),
        (
            "## 3. Tock's Linguistic Features\nDry.\n## 4) Appearance and Clothing\nBrass hands.\n",
            "Dry.",
            "Brass hands.",
        ),
        (
            "**Voice:** low, hoarse and never quite awake\n**外貌:** 銅の手。\n",
            "low, hoarse and never quite awake",
            "銅の手。",
        ),
    ],
)
def test_titles_of_a_profile_are_matched_whole(tock: Path, profile: str, style: str, appearance: str) -> None:
    next(tock.glob("*_full_profile.txt")).write_text(profile)
    found = read_rolescape(tock, matching_test_dir(tock)).character
    assert (found.style, found.appearance) == (style, appearance)


@pytest.mark.parametrize(
    ("sentence", "count"),
    [("銀色の巻き毛、緑の前掛け。", 46), ("He is late! ", 50), ("Is it? ", 85), ("वह देर से आता है। ", 33)],
)
def test_long_sections_are_cut_at_a_sentence_of_any_script(tock: Path, sentence: str, count: int) -> None:
    next(tock.glob("*_full_profile.txt")).write_text(f"**Appearance**\n{sentence * 200}\n", "utf-8")
    found = read_rolescape(tock, matching_test_dir(tock)).character
    assert found.appearance == (sentence * count).strip()
    next(tock.glob("*_full_profile.txt")).write_text("**Appearance**\n" + "long " * 200, "utf-8")
    assert read_rolescape(tock, None).character.appearance == ("long " * 120).strip()


def test_pictures_with_endings_in_capitals_are_found(tock: Path) -> None:
    before = read_rolescape(tock, matching_test_dir(tock))
    for path in sorted(tock.glob("*.png")):
        path.rename(path.with_suffix(".PNG"))
    after = read_rolescape(tock, matching_test_dir(tock))
    assert (after.images, after.character) == (before.images, before.character) and after.images


HUMANS = ("Adrien Brody", "Coco", "Friends-Chandler", "Friends-Joey", "Gao Qiqiang", "Harry Potter-Hermione")
HUMANS += ("Leonardo", "Will In Vietnam", "Wukong")
ANIMALS = ("Bo", "Butin", "Mam", "Mydieu")
SOUL = ("Ichihime", "Miki Nikaidou", "Rin Tohsaka", "Saber", "YuiYagi")
DRAWN = ("Genshin-Furina", "Pokemon-Pikachu", *(f"Mahjong Soul-{name}" for name in SOUL))
TWENTY = (*HUMANS, *ANIMALS, *DRAWN)


def write_twenty(root: Path) -> Path:
    """The published folders by name, each with its files at toy content."""
    for place, folder in enumerate(TWENTY):
        name = folder.rpartition("-")[2]
        train, test = (root / "data/personalized_data" / split / folder for split in ("train", "test"))
        for split, count in ((train, 2), (test, 1)):
            split.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (100, 100), (place * 12, number * 90, 40 * len(split.parent.name))).save(
                    split / f"{number}.png"
                )
            talk = [scene(f"{split.parent.name} {name}?", f"{name} {split.parent.name}.", "0", f"{name}, happy")]
            write(split / "annotation.json", opening="", scenes=talk)
            write(split / f"{name}_with_image.json", opening="", scenes=talk)
            instructions = [{"image_id": "0", "t2i_instruction": f"{name}, {split.parent.name}"}]
            write(split / f"{name}_t2i_instruction.json", t2i_instructions=instructions)
        write(train / f"{name}_dialogue_text_extension_train.json", scenes=[scene("Well?", f"I am {name}.")])
        write(train / f"{name}_dialogue_text_extension_test.json", scenes=[scene("And?", f"Still {name}.")])
        (train / f"{name}_full_profile.txt").write_text("" if name == "Joey" else PROFILE)
        (train / "prompts").mkdir()
        (train / "prompts" / f"{name}_knowledge_qa_prompt.txt").write_text("You are a helpful assistant.")
    return root


def test_all_twenty_are_read_with_their_test(tmp_path: Path) -> None:
    root = write_twenty(tmp_path / "UniCharacter")
    assert len(TWENTY) == 20
    for above in ("", "data", "data/personalized_data", "data/personalized_data/train"):
        if above != "data":
            assert sorted(rolescape_folders(root / above)) == sorted(TWENTY)
    for folder in TWENTY:
        import_file(root, tmp_path / folder, folder)
        character, test = read_character(tmp_path / folder), read_test_split(tmp_path / folder)
        name = folder.rpartition("-")[2]
        assert (character.name, character.persona) == (name, HEAD["description"])
        assert bool(character.style) == (name != "Joey")
        assert len(character.interactions) == 2 and character.interactions[0][1].images == ("0.png",)
        assert test is not None and len(test.dialogues) == 2 and len(test.images) == 1


def test_a_folder_of_many_asks_for_one(tmp_path: Path) -> None:
    root = write_twenty(tmp_path / "UniCharacter")
    with pytest.raises(RoleNeeded, match="Friends-Joey"):
        import_file(root, tmp_path / "x")
    import_file(root, tmp_path / "x", "miki nikaidou")
    assert read_character(tmp_path / "x").name == "Miki Nikaidou"
