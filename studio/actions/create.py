"""Step 4, check and train: what is still wrong, how long it will take, who may use the pictures, and the start.

What a creator states about rights is stored with the SHA-256 of every picture it covers; a picture that is added or
changed afterwards is not covered, and the statement is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.core.character.amounts import GOOD_IMAGES, MAX_IMAGES, MIN_IMAGES
from pipelines.core.character.checks import check_content, check_system_prompt
from pipelines.core.character.serialize import held_out_to_entries, split_from_entries
from pipelines.core.full_disk import lacking_space
from pipelines.core.jobs.job import CharacterVersion, Job, Worker, now
from pipelines.core.jobs.memory_plan import GIB, plan_for
from pipelines.core.jobs.recipe import Effort, Recipe
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.queue import submit
from pipelines.core.seen_problems import doubt_problems
from pipelines.core.yaml_text import write_yaml
from studio.actions import drawings
from studio.actions.at_work import NOWHERE, AtWork
from studio.actions.drafts import Draft, change, character_of, entries_of, own_character, tested_character
from studio.actions.images import image_set_problems
from studio.actions.typed import long_texts
from studio.actions.votes import preferences_of
from studio.actions.workers import live_workers
from studio.context import AppContext
from studio.labels import base_title, counted

STEPS = ("Pictures", "Who they are", "How they talk", "Check and train")
STATEMENTS = {
    "drawn": "The character is invented, and I made these pictures or may use them for this.",
    "person": "The pictures show a real person, who knows of this and agreed to it.",
    "licensed": "The pictures come from somebody else, under a licence that allows this.",
}
"""What a creator may state; the words are stored as they stand here."""
_STEP_OF = {
    "images": 1,
    "references": 1,
    "style": 3,
    "interactions": 3,
    "input_images": 3,
    "held_out": 4,
    "consent": 4,
    "licence": 4,
}
"""Part of a problem's field -> the step that has this field; all others are on step 2."""


@dataclass(frozen=True)
class Preset:
    """A base model that the studio offers."""

    preset: str
    title: str
    about: str
    needs_gpu: bool = True


BASES = (
    Preset(
        "starter",
        base_title("starter"),
        "Small, comes with the project, learns on any computer. Best for drawings.",
        False,
    ),
    Preset("janus-pro-1b", base_title("janus-pro-1b"), "Larger; photographs too. Its published weights are untried."),
    Preset("janus-pro-7b", base_title("janus-pro-7b"), "Large. Its published weights are untried."),
    Preset("bagel-7b", base_title("bagel-7b"), "The largest, drawn at 512 px. Its published weights are untried."),
)
CARD_SIZES_GB = (8, 12, 16, 24, 40, 80)
"""As graphics cards are sold, in GiB."""


@dataclass(frozen=True)
class PresetChoice:
    """A base model, and whether a worker that is there could train it."""

    base: Preset
    reason: str
    """Why not now; "" when it can."""


@dataclass(frozen=True)
class Summary:
    """The size of the character, and the problems that are left."""

    lines: tuple[str, ...]
    problems: Mapping[int, tuple[Problem, ...]]
    """Step (1 to 4) -> what is wrong there."""

    @property
    def can_train(self) -> bool:
        """Whether no error is left."""
        return not any(errors(found) for found in self.problems.values())


def summary(draft: Draft, writing: AtWork = NOWHERE) -> Summary:
    """Everything that the checks of `understudy character check` find in a draft, by the step that mends it.

    What somebody is just writing, and has not finished, is none of it.
    """
    found = writing.finished(all_problems(draft))
    by_step = {step: tuple(item for item in found if step_of(item) == step) for step in range(1, len(STEPS) + 1)}
    lines = (
        counted(len(draft.get("pictures", ())), "picture"),
        counted(len(entries_of(draft).get("facts", ())), "fact"),
        counted(len(draft.get("interactions", ())), "conversation"),
    )
    return Summary(lines, by_step)


def all_problems(draft: Draft) -> list[Problem]:
    """Problems of the whole draft: texts, facts, conversations, pictures one by one and together, and the consent."""
    character, unread = character_of(draft)
    unreadable: list[Problem] = []
    split = split_from_entries(draft["test"], unreadable) if draft.get("test") else None
    content = [item for item in check_content(character, split) if not item.field.startswith("images")]
    if not character.name.strip():
        unread = [item for item in unread if item.field != "name"]
        content.insert(0, Problem("name", "The character has no name.", "Give them one.", is_unfinished=True))
    pictures = [
        Problem(
            "images",
            item["message"].replace("This picture", f"Picture {entry['file'].partition('.')[0]}"),
            item["mend"],
            item["severity"],
        )
        for entry in draft.get("pictures", [])
        for item in entry["problems"]
    ]
    seen = draft.get("seen", {})
    pictures += [
        replace(item, field="images", message=f"Picture {entry['file'].partition('.')[0]}: {item.message}")
        for entry in draft.get("pictures", [])
        for item in doubt_problems(entry["file"], seen.get(entry["key"], {}).get("doubts", ()))
    ]
    long = long_texts(draft)
    found = [*unread, *content, *long, *image_set_problems(draft), *pictures, *_consent_problems(draft)]
    # Problems of the held-out split came with the file; a creator cannot mend them in the forms.
    # The checks tell people who write character.yaml by hand which line to add; here it is a field on the page.
    return [
        replace(item, mend=item.form_mend or item.mend)
        for item in dict.fromkeys(found)
        if not item.field.startswith("test.yaml")
    ]


def step_of(problem: Problem) -> int:
    """The step of the wizard where a problem is mended."""
    return _STEP_OF.get(problem.field.split("[")[0].split(".")[0], 2)


def prompt_problems(draft: Draft) -> list[Problem]:
    """That the system prompt is too long and so is cut; steps 2, 3 and 4 say it, whichever text is blamed."""
    return check_system_prompt(character_of(draft)[0])


def problems_beside(draft: Draft, step: int, found: Summary) -> list[Problem]:
    """What stands beside the fields of step 2 or 3, both of which have texts of the system prompt."""
    return list(dict.fromkeys([*prompt_problems(draft), *found.problems[step]]))


def states(found: Summary) -> dict[int, str]:
    """Step -> "error", "warning" or "" for the marks on the wizard's steps."""
    return {step: "error" if errors(items) else "warning" if items else "" for step, items in found.problems.items()}


# ---------------------------------------------------------------- consent


def give_consent(context: AppContext, id: str, kind: str, given_by: str) -> None:
    """Keep the statement with who makes it, when, and the hashes of the pictures as they are now."""
    if kind not in STATEMENTS:
        raise ValueError(f"{kind!r} is none of {', '.join(STATEMENTS)}")
    if not given_by.strip():
        raise CharacterProblems([Problem("consent", "Nobody is named.", "Write your name, or that of your studio.")])

    def edit(draft: Draft) -> None:
        draft["consent"] = {
            "statement": STATEMENTS[kind],
            "given_by": given_by.strip()[:200],
            "given_at": now(),
            "image_sha256": sorted(entry["sha256"] for entry in draft.get("pictures", [])),
        }

    change(context, id, edit)


def withdraw_consent(context: AppContext, id: str) -> None:
    """Take the statement back; nothing can be trained until it is made again."""
    change(context, id, lambda draft: draft.pop("consent", None))


def consent_covers(draft: Draft) -> bool:
    """Whether a statement stands that covers every picture of the draft."""
    consent = draft.get("consent") or {}
    covered = set(consent.get("image_sha256", ()))
    pictures = {entry["sha256"] for entry in draft.get("pictures", [])}
    return bool(consent.get("statement")) and pictures <= covered


def _consent_problems(draft: Draft) -> list[Problem]:
    if consent_covers(draft):
        return []
    if (draft.get("consent") or {}).get("statement"):
        return [
            Problem(
                "consent",
                "Pictures were added or changed after the statement about rights.",
                "State again that you may use them.",
            )
        ]
    return [
        Problem(
            "consent",
            "Nobody has stated that these pictures may be used.",
            "Choose what is true under “Rights and likeness”.",
        )
    ]


# ---------------------------------------------------------------- time and workers


def preset_choices(context: AppContext) -> list[PresetChoice]:
    """The base models, those that no worker could train with their reason."""
    workers = live_workers(context, "train")
    return [PresetChoice(base, _refusal_reason(base, workers)) for base in BASES]


def _refusal_reason(base: Preset, workers: list[Worker]) -> str:
    if not base.needs_gpu:
        return ""  # anything can train it; without a worker the job waits, which the page says
    recipe = Recipe.for_effort(base.preset, "standard")
    least = next((size for size in CARD_SIZES_GB if plan_for(base.preset, recipe, size * GIB).fits), CARD_SIZES_GB[-1])
    if not workers:
        return f"It needs a graphics card of {least} GB, and no worker is running that could tell whether it has one."
    cards = [worker.memory_gb for worker in workers if worker.gpu]
    if any(plan_for(base.preset, recipe, memory * 1e9).fits for memory in cards):
        return ""
    have = f"the largest here has {max(cards):.0f} GB" if cards else "no worker here has one"
    return f"It needs a graphics card of {least} GB; {have}."


def has_training_worker(context: AppContext) -> bool:
    """Whether a worker that trains is running."""
    return bool(live_workers(context, "train"))


def room_warnings(context: AppContext) -> list[str]:
    """Disks of this machine that have too little room for a training; none where the workers are other machines."""
    embedded = context.settings.database_url.startswith("sqlite:///")
    return lacking_space(context.settings) if embedded else []


# ---------------------------------------------------------------- start


def set_effort(context: AppContext, id: str, effort: Effort, base: str) -> None:
    """Keep the chosen effort and base model in the draft."""
    change(context, id, lambda draft: draft.update(effort=effort, base=base))


def start(context: AppContext, id: str, effort: Effort, base: str) -> Job:
    """Publish the draft as a version, queue a training on it, and tell a worker. Drawings of step 1 are put off.

    Raises CharacterProblems with everything that keeps the character from being trained.
    """
    version = publish_draft(context, id)
    drawings.put_off(context, id)
    return submit.submit_training(
        context.records, context.queue, context.owner, version, Recipe.for_effort(base, effort)
    )


def publish_draft(context: AppContext, id: str) -> CharacterVersion:
    """The draft as a version, the latest one where nothing has changed since.

    Raises CharacterProblems with everything that keeps the character from being trained.
    """
    with context.editing:
        draft = own_character(context, id).draft
        wrong = errors(all_problems(draft))
        if wrong:
            raise CharacterProblems(wrong)
        entries = published_entries(draft)
        preferences = preferences_of(context, id, draft)
        if preferences:
            entries["preferences"] = preferences
        write_yaml(entries, "This character")  # too much for a character folder is refused here, not by a worker
        images = {entry["file"]: entry["key"] for entry in draft["pictures"]} | draft.get("input_pictures", {})
        return context.records.characters.publish(
            id, entries, draft.get("test"), images, draft.get("test_pictures") or None
        )


def published_entries(draft: Draft) -> dict[str, Any]:
    """The entries of a version: the draft's, with everything named that is kept for the test."""
    entries = entries_of(draft)
    if draft.get("test"):
        return entries  # a split came with the character
    return {**entries, "held_out": held_out_to_entries(tested_character(draft).held_out)}


def image_count_words(draft: Draft) -> str:
    """How many pictures there are against how many are wanted."""
    count = len(draft.get("pictures", ()))
    if count > GOOD_IMAGES:
        return f"{count} pictures ({MIN_IMAGES} to {MAX_IMAGES} can be used)"
    return f"{count} of about {GOOD_IMAGES} pictures ({MIN_IMAGES} to {MAX_IMAGES} can be used)"
