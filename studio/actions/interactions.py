"""Step 3, how they talk: the example conversations (interactions), edited turn by turn or imported, and checked.

A conversation is a list of turns as `character.yaml` has them: `{"user": words}` or `{"character": words, "scene": ...,
"image": file}`, with an `id` (`drafts.name_places`). Changes name a turn by its id and a conversation by those of its
turns: their places may have changed in another tab since the page was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.core.character.amounts import GOOD_INTERACTIONS, MORE_INTERACTIONS, TESTED_INTERACTIONS
from pipelines.core.character.character import Character, Role
from pipelines.core.character.held_out_split import hold_out
from pipelines.core.character.serialize import ROLES
from pipelines.core.character.system_prompt import estimate_system_prompt
from pipelines.core.character.validate_dialogues import check_interactions
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.token_estimate import estimate_tokens
from studio.actions.at_work import NOWHERE, AtWork
from studio.actions.drafts import (
    MAX_INTERACTIONS,
    MAX_TURN_CHARS,
    Draft,
    change,
    character_of,
    gone,
    image_entry,
    refuse_long,
    short_id,
    tested_character,
)
from studio.actions.held_out import TestView, draft_test
from studio.context import AppContext
from studio.labels import counted

Speaker = Literal["user", "character"]
Turns = list[dict[str, Any]]


@dataclass(frozen=True)
class TurnView:
    """One turn as the editor shows it."""

    speaker: Speaker
    words: str
    scene: str
    image: str
    problems: tuple[Problem, ...]
    id: str = ""
    name: str = ""
    """Who says a user's turn, when it is another figure."""


@dataclass(frozen=True)
class InteractionView:
    """One conversation as the editor shows it."""

    number: int
    opening: str
    """Its first words, for the list."""
    turns: tuple[TurnView, ...]
    problems: tuple[Problem, ...]
    """Of the conversation as a whole."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of its turns."""
        return tuple(turn.id for turn in self.turns)

    @property
    def worst(self) -> str:
        """ "error", "warning" or "" over the conversation and its turns."""
        found = [*self.problems, *(problem for turn in self.turns for problem in turn.problems)]
        return "error" if errors(found) else "warning" if found else ""


@dataclass(frozen=True)
class Learned:
    """How much of the character is learned, prompted or held out, in numbers."""

    replies: int
    """Replies that the loss counts."""
    reply_tokens: int
    """About how many tokens these are."""
    facts: int
    pictures: int
    test: TestView
    """What the scorecard is measured on; training sees neither its conversations nor its pictures."""
    prompt_tokens: int
    """About how many tokens stand before every conversation as the system prompt; they are not learned."""


def interaction_views(draft: Draft, writing: AtWork = NOWHERE) -> list[InteractionView]:
    """All conversations with what is wrong in them, in their order.

    Nothing is wrong yet where nothing was typed, and nothing is missing yet where somebody is writing.
    """
    listed: list[Turns] = draft.get("interactions", [])
    lints = lint(draft, writing)
    shown = []
    for number, turns in enumerate(listed):
        found = {} if is_untouched(turns) else lints
        views = tuple(
            _view(turn, found.get(f"interactions[{number}][{place}]", ())) for place, turn in enumerate(turns)
        )
        opening = next((view.words for view in views if view.words), "") or "An empty conversation"
        shown.append(
            InteractionView(
                number, " ".join(opening.split())[:80], views, tuple(found.get(f"interactions[{number}]", ()))
            )
        )
    return shown


def is_untouched(turns: Turns) -> bool:
    """Whether a conversation holds nothing yet: what is missing in it is no fault before somebody began to type."""
    held = ("user", "character", "scene", "image")
    return not any(str(turn.get(name) or "").strip() for turn in turns for name in held)


def lint(draft: Draft, writing: AtWork = NOWHERE) -> dict[str, tuple[Problem, ...]]:
    """Place (`interactions[2]`, `interactions[2][1]`) -> what is wrong there."""
    character, unread = character_of(draft)
    places: dict[str, tuple[Problem, ...]] = {}
    unread = [problem for problem in unread if problem.field.startswith("interactions")]
    for problem in writing.finished([*unread, *_checked(character)]):
        place = problem.field
        while place and not place.endswith("]"):  # interactions[2][1].scene belongs to its turn
            place = place.rpartition(".")[0]
        places[place] = (*places.get(place, ()), problem)
    return places


def _checked(character: Character) -> list[Problem]:
    files = [image.file for image in character.images]
    described = {image.file: image.description for image in character.images}
    return check_interactions(character.interactions, files, described, input_images=character.input_images)


def learned(draft: Draft) -> Learned:
    """How much is learned, how much is only prompted, and how much is held out."""
    character, _ = character_of(draft)
    training = character if draft.get("test") else hold_out(tested_character(draft))[0]
    replies = [turn for interaction in training.interactions for turn in interaction if turn.role == "character"]
    return Learned(
        len(replies),
        sum(estimate_tokens(turn.text) for turn in replies),
        len(character.facts),
        sum(bool(image.description) for image in training.images),
        draft_test(draft),
        estimate_system_prompt(character),
    )


def how_many_more(draft: Draft) -> str:
    """What more conversations would bring, in a sentence; "" when there are enough."""
    count = len(draft.get("interactions", ()))
    if count >= GOOD_INTERACTIONS:
        return ""
    if count < TESTED_INTERACTIONS:
        return f"{counted(count, 'conversation')} so far: {MORE_INTERACTIONS}."
    test, so_far = draft_test(draft), f"{counted(count, 'conversation')} so far"
    if test.is_own:
        told = "."
    elif test.wanted_voice:
        told = f", with too few answers to test how they sound. {test.wanted_voice}"
    else:
        told = f"; {len(test.conversations)} of them are kept for the test."
    return f"{so_far}{told} About {GOOD_INTERACTIONS} are good."


# ---------------------------------------------------------------- changes


def add_interaction(context: AppContext, id: str, turns: Sequence[dict[str, Any]]) -> int:
    """Append a conversation; returns its place. CharacterProblems when a turn is too long."""
    whole = [_turn(turn) for turn in turns]

    def edit(draft: Draft) -> None:
        if len(draft.setdefault("interactions", [])) >= MAX_INTERACTIONS:
            message = f"There are {MAX_INTERACTIONS} conversations already."
            raise CharacterProblems([Problem("interactions", message, "Take some out first.")])
        draft["interactions"].append(whole)

    return len(change(context, id, edit)["interactions"]) - 1


def remove_interaction(context: AppContext, id: str, turns: Sequence[str]) -> None:
    """Remove the conversation of these turns."""
    change(context, id, lambda draft: draft["interactions"].pop(_number(draft, turns)))


def move_interaction(context: AppContext, id: str, turns: Sequence[str], by: int) -> int:
    """Move a conversation up (-1) or down (1) in the list; returns its new place."""
    place = 0

    def edit(draft: Draft) -> None:
        nonlocal place
        number = _number(draft, turns)
        place = _moved(draft["interactions"], number, by)

    change(context, id, edit)
    return place


def add_turn(context: AppContext, id: str, turns: Sequence[str], speaker: Speaker, words: str = "") -> None:
    """Append a turn to a conversation."""
    turn = _turn({speaker: words})
    change(context, id, lambda draft: draft["interactions"][_number(draft, turns)].append(turn))


def set_words(context: AppContext, id: str, turn: str, words: str) -> None:
    """Change what is said in a turn."""

    def edit(draft: Draft) -> None:
        entry = _place(draft, turn)
        entry[speaker_of(entry)] = words

    change(context, id, edit)


def set_image(context: AppContext, id: str, turn: str, image: str, scene: str) -> None:
    """Let a reply show one of the pictures ("" for none), with the line that says what is seen in it."""

    def edit(draft: Draft) -> None:
        entry = _place(draft, turn)
        if image:
            image_entry(draft, image)
        for key, value in (("image", image), ("scene", scene.strip())):
            if value:
                entry[key] = value
            else:
                entry.pop(key, None)

    change(context, id, edit)


def scene_for(draft: Draft, image: str) -> str:
    """The scene line that fits a picture: the name, then what its caption says."""
    character, _ = character_of(draft)
    words = next((item.description for item in character.images if item.file == image), "")
    return f"{character.name}, {words}" if words else character.name


def switch_speaker(context: AppContext, id: str, turn: str) -> None:
    """Give a turn to the other speaker; a user's turn keeps no scene."""

    def edit(draft: Draft) -> None:
        entry = _place(draft, turn)
        speaker = speaker_of(entry)
        other = "user" if speaker == "character" else "character"
        kept = {key: value for key, value in entry.items() if key not in (speaker, "scene", "speaker", "image_info")}
        words = entry[speaker]
        entry.clear()
        entry.update({other: words, **kept})

    change(context, id, edit)


def remove_turn(context: AppContext, id: str, turn: str) -> None:
    """Remove a turn; the conversation goes with its last one."""

    def edit(draft: Draft) -> None:
        number = _number(draft, [turn])
        interaction = draft["interactions"][number]
        interaction.remove(_place(draft, turn))
        if not interaction:
            del draft["interactions"][number]

    change(context, id, edit)


def move_turn(context: AppContext, id: str, turn: str, by: int) -> None:
    """Move a turn up (-1) or down (1)."""

    def edit(draft: Draft) -> None:
        interaction = draft["interactions"][_number(draft, [turn])]
        _moved(interaction, interaction.index(_place(draft, turn)), by)

    change(context, id, edit)


# ---------------------------------------------------------------- places


def _view(turn: dict[str, Any], found: Sequence[Problem]) -> TurnView:
    role = speaker_of(turn)
    # Instructions (system) are shown as the user's; the checks ask to take them out.
    speaker: Speaker = "character" if role == "character" else "user"
    image = turn.get("image", "")
    return TurnView(
        speaker,
        str(turn[role] or ""),
        str(turn.get("scene", "")),
        image if isinstance(image, str) else next(iter(image), ""),
        tuple(found),
        str(turn.get("id", "")),
        str(turn.get("speaker", "")),
    )


def speaker_of(turn: dict[str, Any]) -> Role:
    """Whose turn it is."""
    return next((role for role in ROLES if role in turn), "user")


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    speaker = speaker_of(turn)
    refuse_long(str(turn.get(speaker, "")), MAX_TURN_CHARS, "turn")
    kept = {key: str(turn[key]) for key in ("speaker", "image_info", "scene", "image") if turn.get(key)}
    return {speaker: str(turn.get(speaker, "")), **kept, "id": short_id()}


def _number(draft: Draft, turns: Sequence[str]) -> int:
    """The place of the conversation that any of these turns is in."""
    listed: list[Turns] = draft.get("interactions", [])
    for number, interaction in enumerate(listed):
        if any(turn.get("id") in turns for turn in interaction):
            return number
    raise gone("This conversation")


def _place(draft: Draft, turn: str) -> dict[str, Any]:
    interaction: Turns = draft.get("interactions", [])[_number(draft, [turn])]
    return next(entry for entry in interaction if entry.get("id") == turn)


def _moved(items: list[Any], place: int, by: int) -> int:
    target = min(max(place + by, 0), len(items) - 1)
    items.insert(target, items.pop(place))
    return target
