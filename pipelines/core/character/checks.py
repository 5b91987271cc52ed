"""The validator: everything that is wrong with a character folder, in one go and in a creator's words.

`check_character` reads the folder, judges texts, facts, conversations (`validate_dialogues.py`), pictures
(`image_check.py`, `image_set_check.py`) and the held-out split, and never raises for bad content. Errors keep a
character from being trained, warnings do not. `check_content` is the same without a folder, for forms and importers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, CharacterImage, Fact, TestSplit
from pipelines.core.character.character_folder import IMAGES, TEST_FILE, TEST_IMAGES, load_character, load_test_split
from pipelines.core.character.image_check import ImageReport, check_image
from pipelines.core.character.image_set_check import check_image_set, is_copy, what_is_missing
from pipelines.core.character.system_prompt import SYSTEM_PROMPT_TOKENS, estimate_system_prompt, fits_system_prompt
from pipelines.core.character.validate_dialogues import check_interactions, leftovers, same_words
from pipelines.core.problems import Problem, Severity, errors, nearest_file
from pipelines.core.token_estimate import estimate_tokens

REFUSED_SYSTEM_PROMPT_TOKENS = 4 * SYSTEM_PROMPT_TOKENS
"""Beyond this a training row of 2,048 tokens (`Recipe.sft_row_max_tokens`) would hold little else."""
FACT_TOKENS = 60
"""Longer answers are stories, learned better from a conversation."""
FEW_INTERACTIONS = 8
"""Below, no conversation can be held out for the scorecard (`split.held_out`)."""
SAME_LINE_WORDS = 4
"""Shorter lines ("Why?", "Tell me more.") may stand in training and in the test alike."""


def check_character(folder: Path) -> list[Problem]:
    """Every problem of a character folder, errors first; an empty list means nothing to mend."""
    character, problems = load_character(folder)
    split, split_problems = load_test_split(folder)
    broken = _broken_parts(problems)
    images = None if character is None or "images" in broken else character.images
    photos, file_problems = _check_files(folder, images)
    if character is not None:
        problems += check_content(character, None, broken)
        problems += _check_consent(character, photos)
    problems += file_problems + split_problems
    if split is not None and character is not None and not errors(split_problems):
        problems += check_split(character, split) + _check_test_files(folder, split, photos)
    # Stable: within errors and warnings the order is that of the checks.
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.severity == "warning")


def check_report(folder: Path) -> dict[str, Any]:
    """What `character check --json` prints: `{"ok", "problems": [{"field", "message", "mend", "severity"}]}`."""
    problems = check_character(folder)
    return {"ok": not errors(problems), "problems": [problem.to_json() for problem in problems]}


def check_content(
    character: Character, split: TestSplit | None = None, broken: frozenset[str] = frozenset()
) -> list[Problem]:
    """Problems of the texts, facts, conversations and picture descriptions, without looking at any file.

    Parts named in `broken` could not be read whole and are passed over.
    """
    problems = [] if "persona" in broken else _check_texts(character)
    if "facts" not in broken:
        problems += check_facts(character.facts)
    if "interactions" not in broken:
        pictures = None if "images" in broken else tuple(image.file for image in character.images)
        described = {image.file: image.description for image in character.images}
        problems += check_interactions(character.interactions, pictures, described)
        problems += _check_amount(character)
    if "images" not in broken:
        problems += what_is_missing(character.images)
    if split is not None:
        problems += check_split(character, split)
    return problems


def check_facts(facts: Sequence[Fact]) -> list[Problem]:
    """Empty facts, questions that stand twice (an error when the answers differ), answers too long to learn."""
    found = []
    seen: dict[str, tuple[int, str]] = {}
    for number, fact in enumerate(facts):
        field, what = f"facts[{number}]", f"Fact {number + 1}"
        for part, text in (("question", fact.question), ("answer", fact.answer)):
            if not text.strip():
                found.append(Problem(f"{field}.{part}", f"{what} has no {part}.", f"Write the {part}, or take it out."))
        if estimate_tokens(fact.answer) > FACT_TOKENS:
            found.append(
                Problem(
                    f"{field}.answer",
                    f"The answer of {what.lower()} is long (about {len(fact.answer.split())} words).",
                    "Shorten it to the point, and tell the rest in a conversation.",
                    "warning",
                )
            )
        question = same_words(fact.question)
        if question and question in seen:
            first, answer = seen[question]
            agrees = answer == same_words(fact.answer)
            message = f"{what} asks the same as fact {first + 1}" + ("." if agrees else " but answers differently.")
            severity: Severity = "warning" if agrees else "error"
            found.append(Problem(f"{field}.question", message, "Keep one of the two.", severity))
        elif question:
            seen[question] = (number, same_words(fact.answer))
    return found


def check_split(character: Character, split: TestSplit) -> list[Problem]:
    """Problems of the held-out split: its form, and lines or questions that training sees word for word."""
    pictures = tuple(image.file for image in (*split.images, *character.images))
    found = check_interactions(split.dialogues, pictures, {}, "dialogues", "test conversation")
    found += _check_choices(split)
    trained = {same_words(turn.text) for item in character.interactions for turn in item if turn.role == "user"}
    trained |= {same_words(fact.question) for fact in character.facts}
    replies = {same_words(turn.text) for item in character.interactions for turn in item if turn.role == "character"}
    for number, dialogue in enumerate(split.dialogues):
        for place, turn in enumerate(dialogue):
            field, what = f"dialogues[{number}][{place}]", f"test conversation {number + 1}, turn {place + 1}"
            if turn.role == "user":
                found += _seen_in_training(turn.text, trained, field, what, "error")
            elif turn.role == "character":
                found += _seen_in_training(turn.text, replies, field, what, "warning")
    for number, choice in enumerate(split.choices):
        field = f"choices[{number}].question"
        found += _seen_in_training(choice.question, trained, field, f"test question {number + 1}", "error")
    return [replace(problem, field=f"{TEST_FILE}: {problem.field}") for problem in found]


def _seen_in_training(text: str, trained: set[str], field: str, what: str, severity: Severity) -> list[Problem]:
    words = same_words(text)
    if len(words.split()) < SAME_LINE_WORDS or words not in trained:
        return []
    return [
        Problem(
            field,
            f"{what.capitalize()} stands in the training data word for word: {text[:80]!r}.",
            "Word it differently in one of the two, or the score only measures memory.",
            severity,
        )
    ]


def _broken_parts(problems: Iterable[Problem]) -> frozenset[str]:
    """The top-level keys that could not be read whole: "interactions" for `interactions[3][0].user`."""
    return frozenset(problem.field.split("[")[0].split(".")[0] for problem in errors(problems))


def _check_texts(character: Character) -> list[Problem]:
    found = []
    persona = character.persona.strip()
    if not persona:
        found.append(
            Problem(
                "persona",
                "The persona is empty.",
                "Say in a few sentences who the character is, what they want and what they know.",
            )
        )
    elif len(persona.split()) < 12:
        found.append(
            Problem(
                "persona",
                f"The persona is only {len(persona.split())} words long.",
                "A few sentences about life, wishes and habits give the voice something to hold on to.",
                "warning",
            )
        )
    if len(character.name) > 80 or "\n" in character.name:
        found.append(
            Problem(
                "name",
                "The name is longer than one short line.",
                "Write only the name; the rest belongs into the persona.",
            )
        )
    found += _check_system_prompt(character)
    if not character.style.strip():
        found.append(
            Problem(
                "style",
                "Nothing says how the character speaks.",
                "Add `style:`, for example: short sentences, dry jokes, never swears.",
                "warning",
            )
        )
    if not character.appearance.strip():
        found.append(
            Problem(
                "appearance",
                "Nothing says what never changes in the character's looks.",
                "Add `appearance:` with hair, eyes, build; clothes and places belong to the pictures.",
                "warning",
            )
        )
    if not character.licence.strip():
        found.append(
            Problem(
                "licence",
                "No licence is given.",
                "Add `licence:` to say what others may do with the texts and pictures, for example "
                'CC-BY-4.0 or "all rights reserved".',
                "warning",
            )
        )
    texts = {
        "persona": character.persona,
        "style": character.style,
        "appearance": character.appearance,
        "greeting": character.greeting,
        "scenario": character.scenario,
    }
    for field, text in texts.items():
        found += leftovers(text, field, f"The {field}")
    return found


def _check_system_prompt(character: Character) -> list[Problem]:
    """The token budget of the prompt, blamed on its longest part."""
    parts = {
        "persona": character.persona,
        "style": character.style,
        "appearance": character.appearance,
        "scenario": character.scenario,
    }
    tokens = estimate_system_prompt(character)
    if fits_system_prompt(tokens):
        return []
    longest = max(parts, key=lambda part: estimate_tokens(parts[part]))
    words = sum(len(text.split()) for text in parts.values())
    room = words * SYSTEM_PROMPT_TOKENS // tokens
    return [
        Problem(
            longest,
            f"Persona, style, appearance and scenario are about {tokens} tokens together ({words} words); "
            f"{SYSTEM_PROMPT_TOKENS} are kept for them.",
            f"Shorten them to about {max(room, 1)} words, {longest} first: what the character knows belongs into "
            "facts, how they talk into conversations.",
            "error" if tokens > REFUSED_SYSTEM_PROMPT_TOKENS else "warning",
        )
    ]


def _check_amount(character: Character) -> list[Problem]:
    count = len(character.interactions)
    if count == 0:
        return [
            Problem(
                "interactions",
                "There are no conversations, so there is no voice to learn.",
                "Write a few, or import them; 40 are good, short ones count too.",
            )
        ]
    if count < FEW_INTERACTIONS:
        return [
            Problem(
                "interactions",
                f"There are only {count} conversations; none can be kept for the scorecard.",
                f"Write at least {FEW_INTERACTIONS}; 40 are good, short ones count too.",
                "warning",
            )
        ]
    return []


def _check_choices(split: TestSplit) -> list[Problem]:
    found = []
    for number, choice in enumerate(split.choices):
        field, what = f"choices[{number}]", f"Test question {number + 1}"
        if not choice.question.strip():
            found.append(Problem(f"{field}.question", f"{what} is empty.", "Write the question, or take it out."))
        if len(choice.options) < 2 or not all(option.strip() for option in choice.options):
            found.append(Problem(f"{field}.options", f"{what} has too few options, or an empty one.", "Give it four."))
        elif len({same_words(option) for option in choice.options}) < len(choice.options):
            found.append(Problem(f"{field}.options", f"{what} has the same option twice.", "Change one of the two."))
    return found


def _check_consent(character: Character, photos: Sequence[ImageReport]) -> list[Problem]:
    consent = character.consent
    if not consent.statement.strip():
        return [
            Problem(
                "consent",
                "Nobody has stated that these pictures may be used.",
                "Add `consent:` with a statement, who gives it and when; for a real person only with their agreement.",
                "warning",
            )
        ]
    if not consent.image_sha256:
        return []
    return [
        Problem(
            "consent.image_sha256",
            f"The consent does not cover {photo.name}.",
            "Ask for it, then add the picture's SHA-256 to the list.",
            "warning",
        )
        for photo in photos
        if photo.sha256 not in consent.image_sha256
    ]


def _check_files(folder: Path, images: Sequence[CharacterImage] | None) -> tuple[list[ImageReport], list[Problem]]:
    """The usable pictures and the problems of `images/`; with `images` None every file there is looked at."""
    present = _files_in(folder / IMAGES)
    listed = list(present) if images is None else [image.file for image in images]
    found = []
    for number, name in enumerate(listed):
        if name in listed[:number]:
            found.append(Problem(f"images[{number}].file", f"{name} is listed twice.", "Take one of the two out."))
    listed = list(dict.fromkeys(listed))
    there = [name for name in listed if name in present]
    photos, photo_problems = check_image_set((name, present[name]) for name in there)
    if len(there) < len(listed):  # missing files are said by name; the count then is beside the point
        photo_problems = [problem for problem in photo_problems if problem.field != "images"]
    found += photo_problems
    spare = [name for name in present if name not in listed]
    found += [_missing(name, IMAGES, spare) for name in listed if name not in present]
    for name in spare:
        found.append(
            Problem(
                f"{IMAGES}/{name}",
                f"{name} is in images/ but is not listed, so nothing learns from it.",
                "List it under `images:` in character.yaml, or take it out.",
                "warning",
            )
        )
    return photos, found


def _missing(name: str, kind: str, spare: Sequence[str]) -> Problem:
    guess = nearest_file(name, spare)
    mend = f"Did you mean {guess}? Correct its entry." if guess else "Put it there, or take its entry out."
    return Problem(f"{kind}/{name}", f"The picture {name} is listed but is not in {kind}/.", mend)


def _files_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by name; hidden ones (.DS_Store) and Thumbs.db left out."""
    if not folder.is_dir():
        return {}
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: path for name, path in files.items() if not name.startswith(".") and name != "Thumbs.db"}


def _check_test_files(folder: Path, split: TestSplit, photos: Sequence[ImageReport]) -> list[Problem]:
    """Problems of `test_images/`, and test pictures that are copies of training pictures."""
    present = _files_in(folder / TEST_IMAGES)
    found = []
    for image in split.images:
        where = f"{TEST_IMAGES}/{image.file}"
        if not image.description:
            found.append(
                Problem(
                    where,
                    f"Nothing says what the test picture {image.file} shows.",
                    "Add its expression, clothes, place and pose, or a caption.",
                    "warning",
                )
            )
        if image.file not in present:
            found.append(_missing(image.file, TEST_IMAGES, list(present)))
            continue
        photo, problems = check_image(present[image.file], image.file)
        found += [replace(problem, field=where) for problem in problems]
        if photo is not None:
            found += _copied_from_training(photo, photos, where)
    return found


def _copied_from_training(photo: ImageReport, photos: Sequence[ImageReport], where: str) -> list[Problem]:
    found = []
    for trained in photos:
        if photo.sha256 == trained.sha256:
            found.append(
                Problem(
                    where,
                    f"The test picture {photo.name} is also the training picture {trained.name}.",
                    "Take it out of one of the two.",
                )
            )
        elif is_copy(photo, trained):
            found.append(
                Problem(
                    where,
                    f"The test picture {photo.name} is nearly the training picture {trained.name}.",
                    "Use another one, or the score only measures memory.",
                    "warning",
                )
            )
    return found
