"""The scorecard: what training changed, measured on the held-out split with fixed prompts and seeds.

`measure` scores one model as it stands; `evaluate_run` does it for a run's checkpoints, the base first, and leaves
`scores.json` and `samples/` in each. Every model gets the same system prompt. docs/training.md says how
each number is made and how the best checkpoint is chosen.

Dimension letters: T positions, N drawn images, R held-out reference images, S the character's training images, D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, Interaction, TestSplit, TextPart
from pipelines.core.character.character_folder import image_path, read_character, read_test_split, test_image_path
from pipelines.core.character.system_prompt import system_message
from pipelines.core.events import Event, Payload, Report
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.model_identity import require_base
from pipelines.core.run_folder import (
    BASE,
    CHARACTER_FOLDER,
    RunError,
    adapters,
    checkpoint_folder,
    read_events,
    read_json,
    read_scores,
    stage_and_step,
    write_json,
)
from pipelines.data.chat_template import Rendered, render, reply, user
from pipelines.data.packing import collate, open_image, pack_in_turn
from pipelines.data.references import code_batch
from pipelines.data.replay_chat import general_eval_rows
from pipelines.evaluation.model_card import write_model_card
from pipelines.inference.engine import InferenceEngine, reference_files
from pipelines.inference.generate import GeneratedText, GenerationRequest, generate_texts, sampling_of
from pipelines.inference.generate_images import caption_prompt, contact_sheet, generate_images, to_image
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.interface import ModelSpec, UnifiedModel
from pipelines.models.presets import identity_of
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge, load_judge
from pipelines.rewards.rewards import leave_one_out_distance

ROW_TOKENS = 2048
"""Most ids of a packed row, prefix included."""
CAPTIONS, DRAWN_EACH, REPLIES = 5, 2, 4
"""Held-out captions, images drawn of each, and sampled replies."""
REPLY_TOKENS = 56
"""Most text tokens of a sampled reply; the chat's longer ones would take half of the time."""
SEED = 20
"""Seed of everything sampled for the scorecard."""
DISTRACTORS = 4
"""Right answers of other questions that are added to a question's options."""


@dataclass(frozen=True)
class EvalContext:
    """What checkpoints of one run are measured on; images are encoded once."""

    character: Character
    split: TestSplit
    references: ImageFeatures | None
    """(R, D) held-out images; None when there are none."""
    trained: ImageFeatures | None
    """(S, D) the character's training images."""
    reference_files: tuple[Path, ...] = ()
    """The character's images that whatever is drawn looks at."""


@dataclass(frozen=True)
class EvalResult:
    """The scores of one model and what they were taken from."""

    scores: dict[str, float]
    images: list[tuple[str, torch.Tensor]]
    """(label, (3, px, px) in [-1, 1]): the sample sheet."""
    replies: list[dict[str, str]]
    """Prompt, text and scene of the sampled replies."""


# ---------------------------------------------------------------- text


def dialogue_rows(
    character: Character, dialogues: Iterable[Interaction], spec: ModelSpec, tokenizer: PreTrainedTokenizerBase
) -> list[Rendered]:
    """Held-out conversations with the system prompt; the character's text and end-of-turn ids are scored.

    Scene lines and images are left out: the base model never saw the format of a scene, so they would flatter training.
    """
    system = system_message(character)
    rows = []
    for dialogue in dialogues:
        turns = [replace(turn, parts=(TextPart(turn.text),), scene="") for turn in dialogue]
        rows.append(render((system, *turns), spec, tokenizer))
    return rows


def log_likelihoods(model: UnifiedModel, rows: Sequence[Rendered]) -> list[tuple[float, int]]:
    """For each row the summed log-probability of its scored ids and their count.

    Rows are packed behind their common prefix, so the system prompt is forwarded once per packed row.
    """
    spec, device = model.spec, model.device
    likelihoods: list[tuple[float, int]] = []
    for row in pack_in_turn(rows, spec, ROW_TOKENS):
        batch = collate([row], spec)
        with torch.inference_mode():
            logps = model(**{key: value.to(device) for key, value in batch.items()}).logps[0]  # (T,)
        logps = logps.double().cpu()  # float32 sums over a thousand ids would differ between packings
        segments, scored = batch["segment_ids"][0], batch["labels"][0] != -100  # (T,)
        for number in range(1, max(row.segments) + 1):
            own = (segments == number) & scored
            likelihoods.append((float(logps[own].sum()), int(own.sum())))
    return likelihoods


def perplexity(likelihoods: Sequence[tuple[float, int]]) -> float:
    """exp of the mean cross-entropy per scored id over all rows together."""
    total, count = map(sum, zip(*likelihoods, strict=True))
    return math.exp(-total / count)


def facts_accuracy(model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, context: EvalContext) -> float:
    """Share of multiple-choice questions whose right option has the highest likelihood, end-of-turn included.

    An option's score is log p(option | system prompt, question), not normalised by length. Beside its own options each
    question gets the right answers of the DISTRACTORS questions after it, so that an answer cannot win by being well
    known from training.
    """
    system = system_message(context.character)
    choices = context.split.choices
    right_answers = [choice.options[choice.answer] for choice in choices]
    options = []
    for number, choice in enumerate(choices):
        others = [right_answers[(number + ahead) % len(right_answers)] for ahead in range(1, DISTRACTORS + 1)]
        options.append(list(dict.fromkeys([*choice.options, *others])))
    rows = [
        render((system, user(choice.question), reply(option)), model.spec, tokenizer)
        for choice, of_choice in zip(choices, options, strict=True)
        for option in of_choice
    ]
    scores = [total for total, _ in log_likelihoods(model, rows)]
    right = start = 0
    for choice, of_choice in zip(choices, options, strict=True):
        own = scores[start : start + len(of_choice)]
        right += own.index(max(own)) == choice.answer  # the choice's own options come first, so the index holds
        start += len(of_choice)
    return right / len(choices)


# ---------------------------------------------------------------- images


def eval_context(folder: Path, character: Character, split: TestSplit, judge: Judge) -> EvalContext:
    """Encode held-out and training images once."""

    def features_of(paths: list[Path]) -> ImageFeatures | None:
        if not paths:
            return None
        with torch.inference_mode():
            return judge.encode_images(torch.stack([open_image(path, judge.image_px) for path in paths]))

    references = features_of([test_image_path(folder, image.file) for image in split.images])
    trained = features_of([image_path(folder, image.file) for image in character.images])
    return EvalContext(character, split, references, trained, reference_files(folder, character))


def training_image_similarity(drawn: torch.Tensor, references: torch.Tensor, trained: torch.Tensor) -> float:
    """How much nearer drawn images come to one training image than unseen images of the character do.

    Features (N, D), (R, D), (S, D) of unit length. 0: no nearer than the references on average; 1: identical copies.
    """
    usual = float((references @ trained.T).amax(1).mean())
    nearest = (drawn @ trained.T).amax(1)
    return float(((nearest - usual) / max(1 - usual, 1e-6)).clamp(0, 1).mean())


def image_scores(
    image_features: ImageFeatures, descriptions: Sequence[str], context: EvalContext, judge: Judge
) -> dict[str, float]:
    """Scores of N = captions x DRAWN_EACH images, prompt-major, against the captions and the references."""
    captions = [text for text in descriptions for _ in range(DRAWN_EACH)]
    group = torch.arange(len(descriptions)).repeat_interleave(DRAWN_EACH)
    scores = {
        "caption_match": float(judge.match(image_features, captions).mean()),
        "variety": float(leave_one_out_distance(image_features.embedding(), group).mean()),
    }
    if context.references is not None:
        scores["likeness"] = float(judge.likeness(image_features, context.references).mean())
        if context.trained is not None:
            scores["training_image_similarity"] = training_image_similarity(
                image_features.embedding(), context.references.embedding(), context.trained.embedding()
            )
    return scores


def reply_image_match(
    image_features: ImageFeatures, replies: Sequence[GeneratedText], name: str, judge: Judge
) -> float:
    """How well the image of each reply fits its scene line; a reply without a scene counts 0."""
    scenes = [item.scene.removeprefix(name).lstrip(" ,") for item in replies]
    matches = judge.match(image_features, scenes)
    return float(sum(float(match) for match, scene in zip(matches, scenes, strict=True) if scene) / len(scenes))


# ---------------------------------------------------------------- one model, one run


def measure(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    context: EvalContext,
    judge: Judge,
    sampling: Sampling,
    reference_codes: Sequence[Sequence[int]] = (),
) -> EvalResult:
    """All scores of the model as it stands, drawing from those references; a score is left out when the split has
    nothing to take it from."""
    split = context.split
    scores = {"general_perplexity": perplexity(log_likelihoods(model, general_eval_rows(model.spec, tokenizer)))}
    if split.dialogues:
        rows = dialogue_rows(context.character, split.dialogues, model.spec, tokenizer)
        scores["reply_perplexity"] = perplexity(log_likelihoods(model, rows))
    if split.choices:
        scores["facts_accuracy"] = facts_accuracy(model, tokenizer, context)
    generator = torch.Generator(device=model.device).manual_seed(SEED)
    openings = [(user(talk[0].text),) for talk in split.dialogues[:REPLIES] if talk[0].role == "user"]
    openings = openings or [(user("Hello! Show me where you are."),)]
    short = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, REPLY_TOKENS))
    requests = [GenerationRequest(context.character, opening, picture="always") for opening in openings]
    texts = generate_texts(model, tokenizer, requests, short, generator=generator)
    descriptions = [image.description for image in split.images if image.description][:CAPTIONS]
    prompts = [caption_prompt(model, tokenizer, context.character, text) for text in descriptions]
    prompts = [ids for ids in prompts for _ in range(DRAWN_EACH)]
    captioned = len(prompts)
    # Captions and replies in one batch: decoding 256 codes is a long loop of small steps, whatever the batch size.
    prompts += [item.image_prompt for item in texts if item.image_prompt is not None]
    references = code_batch([reference_codes])
    references = None if references is None else references.expand(len(prompts), -1, -1)
    pixels = generate_images(
        model, prompts, sampling, reference_codes=references, generator=generator
    )  # (N, 3, px, px)
    with torch.inference_mode():
        features = judge.encode_images(pixels)
        if descriptions:
            scores |= image_scores(features[:captioned], descriptions, context, judge)
        scores["reply_image_match"] = reply_image_match(features[captioned:], texts, context.character.name, judge)
    images = [(text, pixels[i * DRAWN_EACH]) for i, text in enumerate(descriptions)]
    images += [(item.scene, image) for item, image in zip(texts, pixels[captioned:], strict=True)]
    replies = [
        {"prompt": opening[0].text, "text": item.text, "scene": item.scene}
        for opening, item in zip(openings, texts, strict=True)
    ]
    return EvalResult(scores, images, replies)


def evaluate_run(
    run_dir: Path, names: Sequence[str], report: Report, again: bool = False, engine: InferenceEngine | None = None
) -> list[dict[str, Any]]:
    """Scores of the named checkpoints (all when none is named), each `{"name", "stage", "step", "scores"}`.

    A checkpoint that has `scores.json` is not measured again unless `again`. Events count what is measured, of all
    that the run will have. Raises RunError for an unknown name, or one that was trained on other weights of the base.
    """
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    there = [BASE, *adapters(run_dir)]
    unknown = [name for name in names if name not in there]
    if unknown:
        raise RunError(f"{run_dir} has no checkpoint {', '.join(unknown)}; it has {', '.join(there)}")
    chosen = [name for name in there if not names or name in names]
    files = {name: checkpoint_folder(run_dir, name) / "scores.json" for name in chosen}
    todo = [name for name in chosen if again or not files[name].is_file()]
    if todo:
        require_base(run_dir, [name for name in todo if name != BASE], identity_of(recipe.base))
        folder = run_dir / CHARACTER_FOLDER
        judge = load_judge(recipe.base, recipe.effort)
        context = eval_context(folder, read_character(folder), read_test_split(folder) or TestSplit(), judge)
        engine = engine or InferenceEngine(recipe.base)
    total = len(chosen) if again else max(recipe.checkpoint_count, len(chosen))
    for number, name in enumerate(todo, start=1 + len(chosen) - len(todo)):
        assert engine is not None
        adapter = checkpoint_folder(run_dir, name)
        if name != BASE:
            engine.add(name, adapter)
        with engine.using(name) as model:
            codes = engine.encode_references(context.reference_files)
            result = measure(model, engine.tokenizer, context, judge, sampling_of(recipe), codes)
        stage, step = stage_and_step(name)
        reward = mean_step_reward(run_dir, name)
        scores = result.scores | ({} if reward is None else {"reward": reward})
        artifacts = _save_samples(adapter / "samples", result)
        entry = {"name": name, "stage": stage, "step": step, "scores": scores}
        write_json(files[name], entry | {"replies": result.replies})
        if name != BASE:
            write_model_card(run_dir, entry)
            engine.drop(name)
        relative = tuple(str(path.relative_to(run_dir)) for path in [*artifacts, files[name]])
        report(
            Event(
                "evaluate",
                number,
                total,
                metrics=scores,
                note=name,
                artifacts=relative,
                payload=Payload(checkpoint=name),
            )
        )
    keys = ("name", "stage", "step", "scores")
    entries = [read_scores(run_dir, name) or {} for name in chosen]
    return [{key: value for key, value in entry.items() if key in keys} for entry in entries]


def _save_samples(folder: Path, result: EvalResult) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    images = [to_image(pixels) for _, pixels in result.images]
    paths = [folder / f"{number:02d}.png" for number in range(1, len(images) + 1)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    sheet = folder / "sheet.png"
    contact_sheet(images, [label for label, _ in result.images]).save(sheet)
    return [*paths, sheet]


def mean_step_reward(run_dir: Path, name: str) -> float | None:
    """Mean reward of the GRPO steps between the checkpoint before and this one; None for other stages."""
    stage, step = stage_and_step(name)
    if stage != "grpo":
        return None
    earlier = [s for s in (stage_and_step(other)[1] for other in adapters(run_dir, "grpo")) if s < step]
    after = max(earlier, default=0)
    # A resumed run repeats steps: the last event of a step counts.
    rewards = {e.step: e.metrics["reward"] for e in read_events(run_dir) if e.stage == "grpo" and "reward" in e.metrics}
    own = [value for at, value in rewards.items() if after < at <= step]
    return sum(own) / len(own) if own else None
