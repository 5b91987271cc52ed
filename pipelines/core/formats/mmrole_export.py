"""MMRole out: a character's conversations about pictures as samples in the published layout.

    data/train/train.json                            one sample for each reply of the character
    data/test/<distribution>/<scenario>_test.json    one sample for each held-out conversation, its last reply
    images/...                                       the pictures, under the paths they came from

Only conversations that begin with a picture that somebody shows are samples. Samples that nobody changed since their
import keep their ids and sentences; `profile` is the imported one while persona and style still say the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.character_folder import image_path, read_character, read_test_split, test_image_path
from pipelines.core.character.image_decode import without_metadata
from pipelines.core.file_names import is_storable
from pipelines.core.formats.card_files import read_bytes, write_archive
from pipelines.core.formats.import_notes import notes_from, refuse
from pipelines.core.formats.mmrole import digest, kept_of, texts_of
from pipelines.core.formats.mmrole_files import IN_DISTRIBUTION, OUT_OF_DISTRIBUTION
from pipelines.core.formats.mmrole_records import SCENARIOS, Line, MMRoleRecord, Scenario, write_record
from pipelines.core.problems import Problem, left_out

TRAIN_FILE = "data/train/train.json"


def export_mmrole(folder: Path, target: Path) -> list[Problem]:
    """Writes a character folder as MMRole samples into a new folder, or a `.zip`; returns notes.

    Raises:
        CharacterProblems: no conversation about a picture, or the target is there already.
    """
    if target.exists():
        refuse(target.name, "is there already", "Name a new folder, or a new .zip.")
    character, split = read_character(folder), read_test_split(folder)
    mended: Counter[str] = Counter()
    train = _train_samples(character, mended)
    tests = _test_samples(character, split.dialogues if split else (), mended)
    if not train and not tests:
        refuse(
            character.name,
            "has no conversation that begins with a picture that somebody shows",
            "MMRole samples are talks about a picture; export a card or a zip instead.",
        )
    listed = {TRAIN_FILE: train, **tests}
    files = {path: _dump(samples) for path, samples in listed.items() if samples}
    wanted = {sample["image"] for samples in listed.values() for sample in samples}
    for place, talks in ((image_path, character.interactions), (test_image_path, split.dialogues if split else ())):
        for talk in talks:
            image = _image_of(character, talk)
            if image in wanted and f"images/{image}" not in files:
                path = place(folder, talk[0].images[0])
                files[f"images/{image}"] = without_metadata(read_bytes(path, path.name), path.name)
    _write(files, target)
    if character.images:
        sentence = "pictures of the character are not in it: MMRole's pictures are what they talk about"
        mended[left_out(sentence)] += len(character.images)
    return notes_from(mended, target.name)


def _write(files: Mapping[str, bytes], target: Path) -> None:
    if target.suffix.lower() == ".zip":
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(write_archive(dict(files)))
        return
    for path, data in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)


def _dump(samples: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps(samples, ensure_ascii=False, indent=4).encode()


def _image_of(character: Character, interaction: Interaction) -> str:
    """The path below `images/` of the picture that a conversation begins with; "" without one."""
    files = interaction[0].images if interaction else ()
    named = [_kept(character, interaction).get("image", ""), *(file.replace("__", "/") for file in files[:1])]
    # Others may have written the card that a path was kept from: none leads out of the folder.
    plain = (path for path in named if all(map(is_storable, path.split("/"))))
    return next(plain, files[0] if files else "")


def _train_samples(character: Character, mended: Counter[str]) -> list[dict[str, Any]]:
    samples = []
    for number, interaction in enumerate(character.interactions):
        whole = _record(character, interaction, number, mended)
        if whole is None:
            continue
        lines = [*whole.history, *([Line(whole.other, whole.words)] if whole.words else [])]
        lines.append(Line(character.name, whole.reply))
        for place, line in enumerate(lines):
            if line.name == character.name:
                before = lines[:place]
                asked = before[-1].words if before else ""
                part = replace(
                    whole,
                    id=f"{whole.id}_{place}",
                    history=tuple(before[:-1]),
                    words=asked,
                    reply=line.words,
                )
                samples.append(write_record(part))
    return samples


def _test_samples(
    character: Character, dialogues: Sequence[Interaction], mended: Counter[str]
) -> dict[str, list[dict[str, Any]]]:
    """Samples by the path of their file, one for each held-out conversation."""
    samples: dict[str, list[dict[str, Any]]] = {
        f"data/test/{split}/{scenario}_test.json": []
        for split in (IN_DISTRIBUTION, OUT_OF_DISTRIBUTION)
        for scenario in SCENARIOS
    }
    for number, interaction in enumerate(dialogues):
        record = _record(character, interaction, number, mended)
        if record is None:
            continue
        split = _kept(character, interaction).get("split", IN_DISTRIBUTION)
        path = f"data/test/{split}/{record.scenario}_test.json"
        samples.get(path, samples[f"data/test/{IN_DISTRIBUTION}/{record.scenario}_test.json"]).append(
            write_record(record)
        )
    return samples


def _kept(character: Character, interaction: Interaction) -> Mapping[str, str]:
    samples = kept_of(character).get("samples")
    found = samples.get(digest(interaction)) if isinstance(samples, dict) else None
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _record(character: Character, interaction: Interaction, number: int, mended: Counter[str]) -> MMRoleRecord | None:
    """The sample of a whole conversation, its last reply as the sample's; None where it is none."""
    turns = [turn for turn in interaction if turn.role != "system"]
    if len(turns) < 2 or turns[0].role != "user" or not turns[0].images or turns[-1].role != "character":
        mended[left_out("conversations that do not begin with a picture that somebody shows were left out")] += 1
        return None
    drawn = sum(bool(turn.scene or turn.images) for turn in turns if turn.role == "character")
    if drawn:
        mended[left_out("scenes and pictures of replies were left out: MMRole's replies are words")] += drawn
    kept, about = _kept(character, interaction), kept_of(character)
    other = next((turn.speaker for turn in turns if turn.speaker), "")
    lines = [
        Line(character.name if turn.role == "character" else turn.speaker, turn.text)
        for turn in turns[:-1]
        if turn.text or turn is not turns[0]
    ]
    # What a role says first has nothing before it; else the last line before the reply is the other's.
    words = lines[-1].words if lines else ""
    scenario = _scenario(kept.get("scenario", ""), other)
    wording = about.get("wording")
    found = wording.get(scenario) if isinstance(wording, dict) else None
    return MMRoleRecord(
        id=kept.get("id") or f"{character.name.replace(' ', '_')}_{scenario}_own_{number}",
        role=character.name,
        script=_text(about, "script"),
        other=other,
        scenario=scenario,
        image=_image_of(character, interaction),
        profile=_profile(character, about),
        other_profile=_text(about.get("others", {}), other),
        image_info=turns[0].image_info,
        history=tuple(lines[:-1]),
        words=words,
        reply=turns[-1].text,
        language=kept.get("language", "English"),
        system=_text(about, "system"),
        wording={key: text for key, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {},
    )


def _scenario(kept: str, other: str) -> Scenario:
    for scenario in SCENARIOS:
        if kept == scenario:
            return scenario
    return "inter-role" if other else "human-role"


def _profile(character: Character, about: Mapping[str, Any]) -> str:
    profile = _text(about, "profile")
    if profile and texts_of(profile) == (character.persona, character.style):
        return profile
    parts = [("Introduction", character.persona), ("Personality", character.style)]
    return "\n".join(f"### {title}\n{text}" for title, text in parts if text)


def _text(entries: Any, key: str) -> str:
    value = entries.get(key) if isinstance(entries, dict) else None
    return value if isinstance(value, str) else ""
