"""The part `fewshot`: unseen people learned from ten pictures each by the real stage 1, then drawn in unseen looks.

What is learned is what `quick` learns from pictures: rows of four own drawings and two of other figures
(`pipelines/data/image_rows.py`), behind one row of conversations. The critic says whether the identity is kept (mean
cosine to the ten at least its threshold) and whether the prompt is followed (expression, clothes, place).
"""

from __future__ import annotations

from typing import Any

from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER
from pipelines.data.packing import encode_images
from pipelines.inference.generate import CHAT_SAMPLING
from pipelines.models.presets import load
from pipelines.starter_build.bench.bench_context import CRITIC, BenchContext, sampling_settings
from pipelines.starter_build.bench.drawn_pictures import label, open_pictures, rendered, to_images
from pipelines.starter_build.bench.readings import PartResult, Score, mean, share
from pipelines.starter_build.bench.sheets import save_sheets
from pipelines.starter_build.bench.trained_runs import run_folder
from pipelines.starter_build.fewshot import (
    FewShotCase,
    case_scores,
    generate_case,
    learn_case,
    sample_cases,
)
from pipelines.starter_build.measure_images import image_features

PART = "fewshot"
KEPT_GOAL, FOLLOWED_GOAL, SECONDS_GOAL = 0.96, 0.94, 150.0
READINGS = ("kept", "likeness", "followed", "followed_expression", "followed_clothes", "followed_place", "copying")


def fewshot_recipe(base: str, steps: int, **changes: Any) -> Recipe:
    """`quick` without conversations: the first row has words, all others are drawings."""
    settings = {"sft_steps": steps, "sft_save_every": steps, "grpo_steps": 0, "sft_image_rows": steps}
    return Recipe.for_effort(base, "quick", **{**settings, **changes})


def run_fewshot(context: BenchContext) -> PartResult:
    """Learn, draw and score; goes on where an earlier call stopped, a person who was learned is not learned again."""
    counts = context.counts
    recipe = fewshot_recipe(context.base, counts.fewshot_steps)
    settings = {
        **sampling_settings(),
        "recipe": recipe.to_json(),
        "drawings": counts.fewshot_prompts,
        "domain": list(context.domain.styles),
    }
    people = counts.fewshot_people
    cases = sample_cases(context.domain, people, people * counts.fewshot_prompts)
    log = context.log(PART, (CRITIC,), settings)
    context.release()
    model: Any = None
    for (place,) in context.todo(log, range(people), _name, 1):
        if model is None:
            model, tokenizer = load(context.base)
        model, record = _learn(context, model.eval(), tokenizer, cases[place], place, recipe)
        log.add(_name(place), **record)
    records = [log.records[_name(place)] for place in range(people)]
    del model  # the sheets need the size of a drawing, and so a base model without adapters
    sheets = _sheets(context, cases)
    note = f"a person is learned in {counts.fewshot_steps} steps"
    return PartResult(PART, people, _scores(records, counts.fewshot_prompts), sheets, (note,), settings)


def _learn(
    context: BenchContext, model: Any, tokenizer: Any, case: FewShotCase, place: int, recipe: Recipe
) -> tuple[Any, dict[str, Any]]:
    """(the model without its adapter, the record of the case)."""
    run = run_folder(context, f"person-{_name(place)}", recipe, case.identity.words)
    character = case.character(run / CHARACTER_FOLDER)
    references = encode_images(model, character, run / CHARACTER_FOLDER).own_reference_codes()
    tuned, seconds = learn_case(model, tokenizer, character, recipe, run)
    drawn = generate_case(tuned.get_base_model(), tokenizer, case, character, references, CHAT_SAMPLING, recipe.seed)
    for number, pixels in enumerate(drawn):
        context.keep(PART, f"{_name(place)}-{number}", pixels)
    train, test = (
        rendered([(case.identity, one) for one in wanted], model.spec.image_px)
        for wanted in (case.train_attributes, case.test_attributes)
    )
    features = [image_features(context.critic, pixels) for pixels in (train, test)]
    record: dict[str, Any] = {
        side: case_scores(context.critic, pixels, case, *features)
        for side, pixels in (("drawn", drawn), ("real", test))
    }
    return tuned.unload(), record | {"seconds": seconds}


def _scores(records: list[dict[str, Any]], drawings: int) -> dict[str, Score]:
    """Identity by drawing, the rest as means over people."""
    goals = {"followed": FOLLOWED_GOAL}
    scores = {}
    for name in READINGS:
        drawn, real = ([[record[side][name]] for record in records] for side in ("drawn", "real"))
        if name == "kept":
            hits = [[_hits(share_kept, drawings) for (share_kept,) in side] for side in (drawn, real)]
            scores["identity kept"] = share(*hits, KEPT_GOAL)
        else:
            scores[name.replace("_", " ")] = mean(drawn, real, goals.get(name))
    seconds = [[record["seconds"]] for record in records if record["seconds"] is not None]
    if seconds:
        scores["seconds of learning"] = mean(seconds, goal=SECONDS_GOAL, at_most=True)
    return scores


def _hits(share_kept: float, count: int) -> list[bool]:
    """One reading a drawing, of a share of them."""
    hits = round(share_kept * count)
    return [True] * hits + [False] * (count - hits)


def _sheets(context: BenchContext, cases: list[FewShotCase]) -> tuple[str, ...]:
    """Two rows for each person: the renderings of what was asked for, and the drawings."""
    images, labels = [], []
    for place, case in enumerate(cases):
        asked = [(case.identity, one) for one in case.test_attributes]
        images += to_images(rendered(asked, context.px))
        images += open_pictures([context.picture(PART, f"{_name(place)}-{number}") for number in range(len(asked))])
        labels += [label(*one) for one in asked] + [f"{case.name}, learned"] * len(asked)
    return save_sheets(context.out, PART, images, labels, context.counts.fewshot_prompts)


def _name(place: int) -> str:
    return f"{place:04d}"
