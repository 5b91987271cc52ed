"""Checks of example conversations: order of roles, empty and doubled turns, scenes and pictures, length, leftovers.

Also slips into the manner of an assistant, and placeholders of other programs. Lengths are estimates
(`token_estimate.py`). Conversations and turns are counted from 1 in messages and from 0 in fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pipelines.core.character.assistant_phrases import MODEL_PHRASES, find_assistant_phrases
from pipelines.core.character.character import Interaction, Message
from pipelines.core.character.macros import PLACEHOLDER
from pipelines.core.problems import Problem, missing_entry, nearest_file
from pipelines.core.token_estimate import estimate_tokens
from pipelines.core.words import CONTROL, count_words, normalized_words, visible

LONG_REPLY_TOKENS = 200
"""Longer replies are warned of: rollouts of GRPO end after about 100 tokens, so their ends are never trained there."""
MAX_TURN_TOKENS = 1000
"""Longer turns are refused: with the persona in front they would fill a training row of 2,048 tokens."""
LONG_INTERACTION_TOKENS = 1500
"""Longer conversations are warned of: they do not fit into a training row behind the persona."""


def check_placeholders(text: str, field: str, what: str) -> list[Problem]:
    """A warning for placeholders of another program, like `{{char}}`, and one for characters that nobody sees."""
    problems = []
    if CONTROL.search(text):
        mend = "Write the text again, or import it: an import takes them out."
        problems.append(Problem(field, f"{what} holds control characters, which are learned too.", mend, "warning"))
    found = PLACEHOLDER.search(text)
    if not found:
        return problems
    return [
        *problems,
        Problem(
            field,
            f"{what} holds the placeholder {found.group()[:60]}.",
            'Write the name, or "you"; placeholders are learned as they stand.',
            "warning",
        ),
    ]


def check_interactions(
    interactions: Sequence[Interaction],
    known_images: Sequence[str] | None,
    described: Mapping[str, str],
    field: str = "interactions",
    noun: str = "conversation",
    input_images: Sequence[str] = (),
) -> list[Problem]:
    """Every problem of a list of conversations.

    `known_images` are the files that turns may name (None: not known, so not checked), `described` what they show;
    `input_images` those that a user's turns may name beside them; `field` and `noun` are used to name places.
    """
    found: list[Problem] = []
    seen: dict[str, int] = {}
    for number, interaction in enumerate(interactions):
        where, what = f"{field}[{number}]", f"{noun} {number + 1}"
        if not interaction:
            found.append(Problem(where, f"{what.capitalize()} has no turns.", "Write its turns, or take it out."))
            continue
        found += _check_order(interaction, where, what)
        for index, turn in enumerate(interaction):
            known = known_images
            if known is not None and turn.role == "user":
                known = (*known, *input_images)
            found += _check_turn(turn, f"{where}[{index}]", f"{what}, turn {index + 1}", known, described)
        if sum(estimate_tokens(turn.text + turn.scene) for turn in interaction) > LONG_INTERACTION_TOKENS:
            found.append(
                Problem(
                    where,
                    f"{what.capitalize()} is longer than about {LONG_INTERACTION_TOKENS} tokens.",
                    "Split it into two where the subject changes.",
                    "warning",
                )
            )
        words = "\n".join(f"{turn.role}: {normalized_words(turn.text)}" for turn in interaction)
        if words in seen:
            found.append(
                Problem(
                    where,
                    f"{what.capitalize()} is the same as {noun} {seen[words] + 1}.",
                    "Take one of the two out: it counts double otherwise.",
                    "warning",
                )
            )
        seen.setdefault(words, number)
    return found + _doubled_replies(interactions, field, noun)


def _check_order(interaction: Interaction, where: str, what: str) -> list[Problem]:
    """Roles: user and character in turn, ending with the character; a system turn only at the start."""
    found = []
    turns = list(enumerate(interaction))
    if interaction[0].role == "system":
        found.append(
            Problem(
                f"{where}[0]",
                f"{what.capitalize()} begins with instructions (system).",
                "Put what they say into persona, style or scenario; they stand before every conversation.",
                "warning",
            )
        )
        turns = turns[1:]
    for (_, before), (index, turn) in pairwise(turns):
        if turn.role == "system":
            continue
        if turn.role == before.role:
            message = f"In {what} the {turn.role} speaks twice in a row (turns {index} and {index + 1})."
            mend = "Join the two turns, write the missing one between them, or correct who speaks."
            found.append(Problem(f"{where}[{index}]", message, mend))
    for index, turn in turns:
        if turn.role == "system":
            message = f"In {what}, turn {index + 1} is an instruction (system) in the middle."
            found.append(Problem(f"{where}[{index}]", message, "Take it out; only user and character speak."))
    if interaction[-1].role == "user":
        message = f"{what.capitalize()} does not end with the character."
        mend = "Write the character's reply, or take the last line out."
        found.append(Problem(f"{where}[{len(interaction) - 1}]", message, mend, is_unfinished=True))
    elif not any(turn.role == "user" for turn in interaction):
        found.append(
            Problem(
                where,
                f"Nobody speaks to the character in {what}.",
                "Put a user's line before the reply, so that it answers something.",
                "warning",
                is_unfinished=True,
            )
        )
    return found


def _check_turn(
    turn: Message, where: str, what: str, known_images: Sequence[str] | None, described: Mapping[str, str]
) -> list[Problem]:
    found = []
    name = what.capitalize()
    shows = bool(turn.images) or (turn.role == "character" and bool(turn.scene.strip()))
    if not visible(turn.text) and not shows:
        mend = "Write its words, or take the turn out."
        found.append(Problem(where, f"{name} is empty.", mend, is_unfinished=True))
    tokens = estimate_tokens(turn.prompt_text)
    if tokens > MAX_TURN_TOKENS:
        found.append(
            Problem(
                where,
                f"{name} is too long (about {count_words(turn.text)} words).",
                f"Cut it to its best part; about {MAX_TURN_TOKENS * 3 // 4} words are the most.",
            )
        )
    elif tokens > LONG_REPLY_TOKENS and turn.role == "character":
        found.append(
            Problem(
                where,
                f"{name} is long (about {count_words(turn.text)} words).",
                "Replies of one to five sentences are learned best; split it over two turns.",
                "warning",
            )
        )
    if turn.role == "character":
        phrases = find_assistant_phrases(turn.text, MODEL_PHRASES)
        if phrases:
            found.append(
                Problem(
                    where,
                    f"{name} sounds like an assistant ({phrases[0]!r}).",
                    "Let the character answer as itself.",
                    "warning",
                )
            )
    found += check_placeholders(turn.text + "\n" + turn.scene, where, name)
    return found + _check_images(turn, where, what, known_images, described)


def _check_images(
    turn: Message, where: str, what: str, known_images: Sequence[str] | None, described: Mapping[str, str]
) -> list[Problem]:
    found = []
    name = what.capitalize()
    for file in turn.images:
        if known_images is not None and file not in known_images:
            guess = nearest_file(file, known_images)
            mend = f"Did you mean {guess}?" if guess else "Add it to the pictures, or take it out of the turn."
            found.append(Problem(f"{where}.image", f"{name} shows {file}, which is not one of the pictures.", mend))
    if turn.role != "character":
        if turn.scene.strip():
            found.append(
                Problem(
                    f"{where}.scene",
                    f"{name} is the user's but has a scene, which is left out.",
                    "Move it to the character's reply.",
                    "warning",
                    outcome="left out",
                )
            )
        return found
    if len(turn.images) > 1:
        found.append(
            Problem(
                f"{where}.image",
                f"{name} shows {len(turn.images)} pictures; a reply draws one.",
                "Keep one, and put the others into replies of their own.",
            )
        )
    if turn.images and not turn.scene.strip():
        shown = described.get(turn.images[0], "")
        how = f" with what {turn.images[0]} shows" + (f", for example: {shown}." if shown else ".")
        found.append(
            missing_entry(f"{where}.scene", f"{name} shows a picture but has no scene in words.", "scene", how)
        )
    return found


def _doubled_replies(interactions: Sequence[Interaction], field: str, noun: str) -> list[Problem]:
    """One warning for each reply of four words or more that the character gives word for word more than once."""
    places: dict[str, list[tuple[int, int]]] = {}
    for number, interaction in enumerate(interactions):
        for index, turn in enumerate(interaction):
            words = normalized_words(turn.text)
            if turn.role == "character" and count_words(words) >= 4:
                places.setdefault(words, []).append((number, index))
    found = []
    for at in places.values():
        (first, first_turn), *others = at
        if not others:
            continue
        number, index = others[0]
        text = interactions[number][index].text
        found.append(
            Problem(
                f"{field}[{number}][{index}]",
                f"The reply {text[:60]!r} stands {len(at)} times, first in {noun} {first + 1}, turn {first_turn + 1}.",
                "Vary its words: what is repeated is learned by heart and said too often.",
                "warning",
            )
        )
    return found
