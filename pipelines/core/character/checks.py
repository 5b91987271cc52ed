"""The validator: everything that is wrong with a character folder, in one go and in a creator's words.

`check_character` reads the folder and checks texts, facts, conversations (`validate_dialogues.py`), picture files
(`folder_image_check.py`) and the held-out split (`held_out_check.py`); it never raises for bad content. Errors keep a
character from being trained, warnings do not. `check_content` is the same without files, for forms and importers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.core.character.amounts import (
    GOOD_INTERACTIONS,
    MIN_INTERACTIONS,
    MORE_INTERACTIONS,
    TESTED_INTERACTIONS,
)
from pipelines.core.character.caption_lint import check_captions
from pipelines.core.character.character import Character, Fact, TestSplit
from pipelines.core.character.character_folder import load_character, load_test_split
from pipelines.core.character.folder_image_check import check_image_files, check_test_image_files
from pipelines.core.character.held_out_check import check_held_out, check_split
from pipelines.core.character.held_out_conversations import answers_of, kept_conversations, what_is_wanted
from pipelines.core.character.image_check import ImageReport
from pipelines.core.character.image_set_check import check_variety
from pipelines.core.character.references import check_references
from pipelines.core.character.system_prompt import (
    SYSTEM_PROMPT_TOKENS,
    budget_words,
    estimate_system_prompt,
    fits_system_prompt,
)
from pipelines.core.character.validate_dialogues import check_interactions, check_placeholders
from pipelines.core.problems import Problem, Severity, errors, missing_entry
from pipelines.core.token_estimate import estimate_tokens
from pipelines.core.words import count_words, normalized_words

REFUSED_SYSTEM_PROMPT_TOKENS = 1280
"""Beyond this a training row of 2,048 tokens (`Recipe.sft_row_max_tokens`) would hold little else."""
SHORT_PERSONA_WORDS = 12
"""Shorter personas are warned of."""
MAX_NAME_CHARACTERS = 80
"""Longer names are refused; a name stands on one line."""
LONG_FACT_TOKENS = 60
"""Longer answers are warned of: they are stories, learned better from a conversation."""


def check_character(folder: Path) -> list[Problem]:
    """Every problem of a character folder, errors first; an empty list means nothing to mend."""
    character, problems = load_character(folder)
    split, split_problems = load_test_split(folder)
    broken = _broken_parts(problems)
    images = None if character is None or "images" in broken else character.images
    shown = () if character is None else character.input_images
    reports, file_problems = check_image_files(folder, images, shown)
    if character is not None:
        problems += check_content(character, None, broken | {"references"})
        if not broken & {"images", "references"}:
            problems += check_references(character, split)
        problems += _check_consent(character, reports)
    problems += file_problems + split_problems
    if split is not None and character is not None and not errors(split_problems):
        problems += check_split(character, split) + check_test_image_files(folder, split, reports)
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
        known_images = None if "images" in broken else tuple(image.file for image in character.images)
        described = {image.file: image.description for image in character.images}
        problems += check_interactions(
            character.interactions, known_images, described, input_images=character.input_images
        )
        problems += _check_amount(character, split)
    if "images" not in broken:
        problems += [*check_variety(character.images), *check_captions(character.images, character.appearance)]
        problems += [] if "references" in broken else check_references(character, split)
    if split is None and not broken & {"held_out", "images", "interactions", "facts"}:
        problems += check_held_out(character)
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
                mend = f"Write the {part}, or take it out."
                found.append(Problem(f"{field}.{part}", f"{what} has no {part}.", mend, is_unfinished=True))
        if estimate_tokens(fact.answer) > LONG_FACT_TOKENS:
            found.append(
                Problem(
                    f"{field}.answer",
                    f"The answer of {what.lower()} is long (about {count_words(fact.answer)} words).",
                    "Shorten it to the point, and tell the rest in a conversation.",
                    "warning",
                )
            )
        question = normalized_words(fact.question)
        if question and question in seen:
            first, answer = seen[question]
            agrees = answer == normalized_words(fact.answer)
            message = f"{what} asks the same as fact {first + 1}" + ("." if agrees else " but answers differently.")
            severity: Severity = "warning" if agrees else "error"
            mend = "Keep one of the two."
            found.append(Problem(f"{field}.question", message, mend, severity, is_unfinished=True))
        elif question:
            seen[question] = (number, normalized_words(fact.answer))
    return found


def _broken_parts(problems: Iterable[Problem]) -> frozenset[str]:
    """The top-level keys that could not be read whole: "interactions" for `interactions[3][0].user`."""
    return frozenset(problem.field.split("[")[0].split(".")[0] for problem in errors(problems))


def _check_texts(character: Character) -> list[Problem]:
    found = _check_persona(character.persona)
    if len(character.name) > MAX_NAME_CHARACTERS or "\n" in character.name:
        message = "The name is longer than one short line."
        found.append(Problem("name", message, "Write only the name; the rest belongs into the persona."))
    found += check_system_prompt(character)
    wanted = (
        (
            "style",
            character.style,
            "Nothing says how the character speaks.",
            ", for example: short sentences, dry jokes, never swears.",
        ),
        (
            "appearance",
            character.appearance,
            "Nothing says what never changes in the character's looks.",
            " with hair, eyes, build; clothes and places belong to the pictures.",
        ),
        (
            "licence",
            character.licence,
            "No licence is given.",
            ' to say what others may do with the texts and pictures, for example CC-BY-4.0 or "all rights reserved".',
        ),
    )
    found += [missing_entry(field, message, field, how) for field, text, message, how in wanted if not text.strip()]
    texts = {
        "persona": character.persona,
        "style": character.style,
        "appearance": character.appearance,
        "greeting": character.greeting,
        "scenario": character.scenario,
    }
    for field, text in texts.items():
        found += check_placeholders(text, field, f"The {field}")
    return found


def _check_persona(persona: str) -> list[Problem]:
    words = count_words(persona)
    if not persona.strip():
        mend = "Say in a few sentences who the character is, what they want and what they know."
        return [Problem("persona", "The persona is empty.", mend, is_unfinished=True)]
    if words < SHORT_PERSONA_WORDS:
        message = f"The persona is only {words} words long."
        mend = "A few sentences about life, wishes and habits give the voice something to hold on to."
        return [Problem("persona", message, mend, "warning", is_unfinished=True)]
    return []


def check_system_prompt(character: Character) -> list[Problem]:
    """The token budget of the prompt, blamed on its longest part; the one judgement of it, told wherever it matters."""
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
    words = sum(count_words(text) for text in parts.values())
    room = words * SYSTEM_PROMPT_TOKENS // tokens
    return [
        Problem(
            longest,
            f"Persona, style, appearance and scenario are {budget_words(tokens)} together ({words} words); what is "
            "more is cut.",
            f"Shorten them to about {max(room, 1)} words, {longest} first: what the character knows belongs into "
            "facts, how they talk into conversations.",
            "error" if tokens > REFUSED_SYSTEM_PROMPT_TOKENS else "warning",
        )
    ]


def _check_amount(character: Character, split: TestSplit | None) -> list[Problem]:
    count = len(character.interactions)
    if count < MIN_INTERACTIONS:
        return [
            Problem(
                "interactions",
                "There are no conversations, so there is no voice to learn.",
                f"Write one to begin with, or import them; {MORE_INTERACTIONS}.",
            )
        ]
    spoken = any(turn.text.strip() for talk in character.interactions for turn in talk if turn.role == "character")
    if not spoken and not character.greeting.strip():
        return [
            Problem(
                "interactions",
                "The character never speaks: its replies are pictures without words, so there is no voice to learn.",
                "Give its replies words, or write a greeting; "
                f"about {GOOD_INTERACTIONS} conversations are good, short ones count too.",
            )
        ]
    if count < TESTED_INTERACTIONS:
        return [
            Problem(
                "interactions",
                f"There {'is only 1 conversation' if count == 1 else f'are only {count} conversations'}; none can be "
                "kept for the scorecard.",
                f"Write more: {MORE_INTERACTIONS}.",
                "warning",
            )
        ]
    wanted = what_is_wanted(answers_of(character), kept_conversations(answers_of(character)))
    if wanted and split is None and character.held_out.conversations is None:
        message = "The conversations that can be kept for the test have too few answers to tell how they sound."
        return [Problem("interactions", message, wanted, "warning")]
    return []


def _check_consent(character: Character, reports: Sequence[ImageReport]) -> list[Problem]:
    consent = character.consent
    if not consent.statement.strip():
        return [
            missing_entry(
                "consent",
                "Nobody has stated that these pictures may be used.",
                "consent",
                " with a statement, who gives it and when; for a real person only with their agreement.",
            )
        ]
    if not consent.image_sha256:
        return []
    return [
        Problem(
            "consent.image_sha256",
            f"The consent does not cover {report.name}.",
            "Ask for it, then add the picture's SHA-256 to the list.",
            "warning",
        )
        for report in reports
        if report.sha256 not in consent.image_sha256
    ]
