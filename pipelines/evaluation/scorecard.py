"""The scorecard: what training changed, measured on the held-out split with fixed prompts and seeds.

`measure` scores one model as it stands; `evaluate_run.py` does it for a run's checkpoints. Every model gets the same
system prompt. docs/training.md says how each number is made and how the best checkpoint is chosen.

Dimension letters: T positions, N drawn images.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, ImagePart, Interaction, TestSplit, TextPart
from pipelines.core.character.character_folder import image_path, test_image_path
from pipelines.core.character.system_prompt import system_message
from pipelines.core.intervals import Interval, Readings, bootstrap, wilson
from pipelines.core.jobs.case_counts import CASES, CaseCounts
from pipelines.core.reply_faults import is_wordless, leaks_prompt
from pipelines.data.chat_template import Rendered, render, reply, user
from pipelines.data.packing import NO_IMAGES, ImageBank, collate, open_image, pack_in_turn
from pipelines.data.references import code_batch
from pipelines.data.replay_chat import general_eval_rows
from pipelines.evaluation.image_scores import image_intervals, image_readings, reply_matches
from pipelines.inference.engine import reference_files
from pipelines.inference.generate import GeneratedText, GenerationRequest, generate_texts
from pipelines.inference.generate_images import caption_prompt, generate_images
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.interface import ModelSpec, UnifiedModel
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge

ROW_TOKENS = 2048
"""Most ids of a packed row, prefix included."""
CAPTIONS, REPLIES = 5, 4
"""Held-out captions that are drawn, at most, and sampled replies with an image."""
DRAWN_AT_ONCE = 32
"""Images of one batch at most, which bounds memory."""
REQUESTS = (
    "Hello! Show me where you are.",
    "What do you look like today?",
    "Show me what you are doing.",
    "Can I see your face?",
)
"""Answered with an image where there are fewer than REPLIES held-out conversations."""
TALK = (
    "Hello!",
    "Who are you?",
    "Tell me something about yourself.",
    "What are you doing here?",
    "What do you like best?",
    "How are you today?",
    "What should I know about you?",
    "Goodbye for now!",
)
"""Answered without an image, beside the held-out openings: whether there are words, and no words of the prompt."""
INTERVAL_CASES = 3
"""Fewer conversations give no interval."""
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
    input_image_files: tuple[Path, ...] = ()
    """Images that users show in the held-out conversations, which the model looks at."""


@dataclass(frozen=True)
class EvalResult:
    """The scores of one model and what they were taken from."""

    scores: dict[str, float]
    images: list[tuple[str, torch.Tensor]]
    """(label, (3, px, px) in [-1, 1]): the sample sheet."""
    replies: list[dict[str, str]]
    """Prompt, text and scene of the sampled replies with an image."""
    talk: list[dict[str, str]] = field(default_factory=list)
    """Prompt and text of the others."""
    counts: dict[str, int] = field(default_factory=dict)
    """What the scores rest on (`score_axes.LEAST` names the keys)."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """Axis of the scorecard -> 95 % interval, 0 to 1; the voice's needs the base and is made by `voice_interval`."""
    likelihoods: list[tuple[float, int]] = field(default_factory=list)
    """Of each held-out conversation, as `log_likelihoods` gives them."""


# ---------------------------------------------------------------- text


def dialogue_rows(
    character: Character,
    dialogues: Iterable[Interaction],
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    input_images: Container[str] = (),
) -> list[Rendered]:
    """Held-out conversations with the system prompt; the character's text and end-of-turn ids are scored.

    Scene lines and the character's images are left out: the base model never saw the format of a scene, so they would
    flatter training. Users' images are looked at as far as they are among `input_images`.
    """
    system = system_message(character)
    rows = []
    for dialogue in dialogues:
        turns = []
        for turn in dialogue:
            looked_at = [name for name in turn.images if turn.role == "user" and name in input_images]
            parts = (*map(ImagePart, looked_at), TextPart(turn.text))
            turns.append(replace(turn, parts=parts, scene=""))
        rows.append(render((system, *turns), spec, tokenizer))
    return rows


def log_likelihoods(
    model: UnifiedModel, rows: Sequence[Rendered], images: ImageBank = NO_IMAGES
) -> list[tuple[float, int]]:
    """For each row the summed log-probability of its scored ids and their count; `images` are looked at.

    Rows are packed behind their common prefix, so the system prompt is forwarded once per packed row.
    """
    spec, device = model.spec, model.device
    likelihoods: list[tuple[float, int]] = []
    for row in pack_in_turn(rows, spec, ROW_TOKENS):
        batch = collate([row], spec, images)
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


def voice_interval(own: Sequence[tuple[float, int]], base: Sequence[tuple[float, int]]) -> Interval | None:
    """95 % interval of 1 - perplexity / the base's, the conversations drawn anew; None for fewer than INTERVAL_CASES.

    own, base: log-likelihoods of the same held-out conversations.
    """
    if len(own) != len(base) or len(own) < INTERVAL_CASES:
        return None
    gains = [(mine - theirs, count) for (mine, count), (theirs, _) in zip(own, base, strict=True)]

    def voice(rows: Readings) -> float:
        gain, count = rows.reshape(-1, 2).sum(0)
        return max(0.0, 1 - math.exp(-gain / count))

    return bootstrap(gains, voice)


def _dialogue_likelihoods(
    model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, context: EvalContext
) -> list[tuple[float, int]]:
    shown = input_image_bank(context, model.spec.image_px)
    rows = dialogue_rows(context.character, context.split.dialogues, model.spec, tokenizer, shown.pixels)
    return log_likelihoods(model, rows, shown)


def right_answers(
    model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, context: EvalContext, most: int
) -> list[bool]:
    """Of each multiple-choice question whether its right option has the highest likelihood, end-of-turn included.

    An option's score is log p(option | system prompt, question), not normalised by length. Beside its own options each
    question gets the right answers of the DISTRACTORS questions after it, so that an answer cannot win by being well
    known from training. `most`: questions asked.
    """
    system = system_message(context.character)
    known = context.split.choices
    choices = [known[number * len(known) // most] for number in range(most)] if len(known) > most else known
    answers = [choice.options[choice.answer] for choice in choices]
    options = []
    for number, choice in enumerate(choices):
        others = [answers[(number + ahead) % len(answers)] for ahead in range(1, DISTRACTORS + 1)]
        options.append(list(dict.fromkeys([*choice.options, *others])))
    rows = [
        render((system, user(choice.question), reply(option)), model.spec, tokenizer)
        for choice, of_choice in zip(choices, options, strict=True)
        for option in of_choice
    ]
    scores = [total for total, _ in log_likelihoods(model, rows)]
    right, start = [], 0
    for choice, of_choice in zip(choices, options, strict=True):
        own = scores[start : start + len(of_choice)]
        right.append(own.index(max(own)) == choice.answer)  # the choice's own options come first, so the index holds
        start += len(of_choice)
    return right


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
    shown = tuple(test_image_path(folder, name) for name in split.input_images)
    return EvalContext(character, split, references, trained, reference_files(folder, character), shown)


def input_image_bank(context: EvalContext, px: int) -> ImageBank:
    """The images that users show in the held-out conversations, as a model of `px` pixels looks at them."""
    return ImageBank({}, {path.name: open_image(path, px) for path in context.input_image_files})


# ---------------------------------------------------------------- one model


def measure(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    context: EvalContext,
    judge: Judge,
    sampling: Sampling,
    reference_codes: Sequence[Sequence[int]] = (),
    cases: CaseCounts = CASES["quick"],
) -> EvalResult:
    """All scores of the model as it stands, drawing from those references; a score is left out when the split has
    nothing to take it from."""
    split = context.split
    scores = {"general_perplexity": perplexity(log_likelihoods(model, general_eval_rows(model.spec, tokenizer)))}
    likelihoods: list[tuple[float, int]] = []
    intervals: dict[str, Interval] = {}
    if split.dialogues:
        likelihoods = _dialogue_likelihoods(model, tokenizer, context)
        scores["reply_perplexity"] = perplexity(likelihoods)
    if split.choices:
        right = right_answers(model, tokenizer, context, cases.questions)
        scores["facts_accuracy"] = sum(right) / len(right)
        intervals["facts_accuracy"] = wilson(sum(right), len(right))
    generator = torch.Generator(device=model.device).manual_seed(SEED)
    openings = [(user(talk[0].text),) for talk in split.dialogues[:REPLIES] if talk[0].role == "user" and talk[0].text]
    openings += [(user(words),) for words in REQUESTS[: REPLIES - len(openings)]]
    said = _sampled_texts(model, tokenizer, context.character, openings, sampling, generator)
    scores["speaking"] = sum(not is_wordless(item.text) for item in said) / len(said)
    scores["prompt_leaking"] = sum(leaks_prompt(item.text, context.character) for item in said) / len(said)
    texts, talked = said[: len(openings)], said[len(openings) :]
    descriptions = [image.description for image in split.images if image.description][:CAPTIONS]
    each = -(-cases.drawings // max(1, len(descriptions)))
    pixels = _drawn(model, tokenizer, context.character, descriptions, each, texts, sampling, reference_codes)
    captioned = each * len(descriptions)
    with torch.inference_mode():
        features = judge.encode_images(pixels)
        readings = None
        if descriptions:
            readings = image_readings(
                features[:captioned], descriptions, each, context.references, context.trained, judge
            )
        matches = reply_matches(features[captioned:], texts, context.character.name, judge)
    scores |= readings.scores() if readings else {}
    scores["reply_image_match"] = sum(matches) / len(matches)
    intervals |= image_intervals(readings, matches, each)
    images = [(text, pixels[i * each]) for i, text in enumerate(descriptions)]
    images += [(item.scene, image) for item, image in zip(texts, pixels[captioned:], strict=True)]
    replies = [
        {"prompt": opening[0].text, "text": item.text, "scene": item.scene}
        for opening, item in zip(openings, texts, strict=True)
    ]
    talk = [{"prompt": words, "text": item.text} for words, item in zip(TALK, talked, strict=True)]
    counts = {
        **_split_counts(split),
        "questions": min(len(split.choices), cases.questions),
        "captioned_drawings": captioned,
        "sampled_replies": len(texts),
        "spoken_replies": len(said),
    }
    return EvalResult(scores, images, replies, talk, counts, intervals, likelihoods)


def _split_counts(split: TestSplit) -> dict[str, int]:
    return {
        "held_out_conversations": len(split.dialogues),
        "held_out_replies": sum(turn.role == "character" for dialogue in split.dialogues for turn in dialogue),
        "held_out_images": len(split.images),
    }


def _sampled_texts(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    openings: Sequence[Interaction],
    sampling: Sampling,
    generator: torch.Generator,
) -> list[GeneratedText]:
    """Replies to the openings, each with an image, then to TALK without; in one batch."""
    requests = [GenerationRequest(character, opening, picture="always") for opening in openings]
    requests += [GenerationRequest(character, (user(words),), picture="never") for words in TALK]
    short = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, REPLY_TOKENS))
    return generate_texts(model, tokenizer, requests, short, generator=generator)


def _drawn(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    descriptions: Sequence[str],
    each: int,
    texts: Sequence[GeneratedText],
    sampling: Sampling,
    reference_codes: Sequence[Sequence[int]],
) -> torch.Tensor:
    """(N, 3, px, px): `each` images of every caption, prompt-major, then those of the replies.

    Every image has a seed of its own, so that two checkpoints draw a caption from the same noise, whatever they said.
    """
    prompts = [caption_prompt(model, tokenizer, character, text) for text in descriptions for _ in range(each)]
    prompts += [item.image_prompt for item in texts if item.image_prompt is not None]
    codes = code_batch([reference_codes])
    pixels = []
    # Captions and replies in one batch: decoding 256 codes is a long loop of small steps, whatever the batch size.
    for start in range(0, len(prompts), DRAWN_AT_ONCE):
        batch = prompts[start : start + DRAWN_AT_ONCE]
        seeds = range(SEED + start, SEED + start + len(batch))
        generators = [torch.Generator(device=model.device).manual_seed(seed) for seed in seeds]
        references = None if codes is None else codes.expand(len(batch), -1, -1)
        pixels.append(generate_images(model, batch, sampling, reference_codes=references, generator=generators))
    return torch.cat(pixels)
