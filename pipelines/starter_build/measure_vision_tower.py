"""What the vision tower sees: slot accuracy and answers to questions; and whether the language is still SmolLM2's.

A question is put as a user does, behind the image. It is answered twice: by the likeliest of its options, and by
greedy decoding, which must give the right answer to the letter. Captions that the model writes must name what was
rendered. Letters: T positions of a row, O options of a question.
"""

from __future__ import annotations

import random
import statistics

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from pipelines.core.settings import cache_dir
from pipelines.data.chat_template import render, user
from pipelines.data.replay_chat import general_eval_rows
from pipelines.evaluation.scorecard import log_likelihoods, perplexity
from pipelines.inference.captioning import answers_about
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, HAIR_COLOURS
from pipelines.starter_build.build_vision_tower import SLOT_NAMES, SlotVocabulary, answer_text, slot_accuracies
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.measure_context import MeasureContext

MAX_CAPTION_TOKENS = 40
Correctness = dict[str, list[bool]]
"""Attribute -> whether each of its questions was answered right."""


def questions_about(
    identity: Identity, attributes: Attributes, places: tuple[str, ...], rng: random.Random
) -> list[tuple[str, ...]]:
    """(attribute, question, right answer, options...) for one image."""
    asked = [
        ("expression", "What is the expression?", attributes.expression, *EXPRESSIONS),
        ("place", "Where is this?", attributes.place, *places),
    ]
    if attributes.clothes:
        asked.append(("clothes_colour", "What colour are the clothes?", attributes.colour, *COLOURS))
    if identity.hair_colour:
        asked.append(("hair_colour", "What colour is the hair?", identity.hair_colour, *HAIR_COLOURS))
    truth = rng.random() < 0.5
    others = [word for word in EXPRESSIONS if word != attributes.expression]
    named = attributes.expression if truth else rng.choice(others)
    asked.append(("yes_or_no", f"Are they {named}?", "yes" if truth else "no", "yes", "no"))
    return asked


def measure_vision_tower(context: MeasureContext, count: int) -> dict[str, float]:
    """Accuracy of each slot, and on `count` held-out images of answers (by attribute and in all) and captions."""
    slots = SlotVocabulary(context.model, context.tokenizer, context.held_out.domain)
    accuracies = slot_accuracies(context.model, slots, context.held_out)
    # Not strict: a model of toy size may have fewer slots than there are names.
    scores = {f"slot_{name}": value for name, value in zip(SLOT_NAMES, accuracies, strict=False)}
    rows = list(range(0, len(context.held_out), max(1, len(context.held_out) // count)))[:count]
    chosen, written = answer_correctness(context, rows)
    for prefix, correct in (("answer", chosen), ("written", written)):
        scores |= {f"{prefix}_{name}": statistics.fmean(values) for name, values in correct.items()}
    all_chosen, all_written = ([one for values in correct.values() for one in values] for correct in (chosen, written))
    scores |= {"answers": statistics.fmean(all_chosen), "written": statistics.fmean(all_written)}
    return scores | {"questions": float(len(all_chosen))} | caption_accuracies(context, rows)


@torch.no_grad()
def answer_correctness(context: MeasureContext, rows: list[int]) -> tuple[Correctness, Correctness]:
    """Whether each question about the held-out images `rows` was answered right: by likelihood, and when decoding."""
    held_out, rng = context.held_out, random.Random(4)
    chosen: Correctness = {}
    written: Correctness = {}
    for row in rows:
        pixels = to_pixels(held_out.pixels[row : row + 1])
        asked = questions_about(held_out.identity(row), held_out.attributes[row], held_out.domain.places, rng)
        questions = [question for _, question, *_ in asked]
        expanded = pixels.expand(len(asked), -1, -1, -1)
        replies = answers_about(context.model, context.tokenizer, questions, expanded)
        for (name, question, answer, *options), (reply, _) in zip(asked, replies, strict=True):
            best = int(option_scores(context, question, options, pixels).argmax())
            chosen.setdefault(name, []).append(options[best] == answer)
            written.setdefault(name, []).append(reply == answer_text(answer))
    return chosen, written


@torch.no_grad()
def caption_accuracies(context: MeasureContext, rows: list[int], batch_size: int = 20) -> dict[str, float]:
    """Shares of images whose written caption names the expression, the clothes, the place, and all three."""
    held_out = context.held_out
    correct: Correctness = {"expression": [], "clothes": [], "place": [], "whole": []}
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        prompts = ["Describe this picture."] * len(batch)
        pixels = to_pixels(held_out.pixels[batch])
        captions = answers_about(context.model, context.tokenizer, prompts, pixels, MAX_CAPTION_TOKENS)
        for row, (caption, _) in zip(batch, captions, strict=True):
            attributes = held_out.attributes[row]
            clothes = attributes.clothes
            named = {
                "expression": attributes.expression in caption.lower(),
                "clothes": clothes in caption if clothes else "wearing" not in caption,
                "place": attributes.place in caption,
            }
            for name, value in (named | {"whole": all(named.values())}).items():
                correct[name].append(value)
    return {f"caption_{name}": statistics.fmean(values) for name, values in correct.items()}


def option_scores(context: MeasureContext, question: str, options: list[str], pixels: torch.Tensor) -> torch.Tensor:
    """(O,) log-probability of each option as the answer to a question about one image (1, 3, px, px)."""
    model = context.model
    prompt = render((user(question, "picture"),), model.spec, context.tokenizer, add_reply=True).ids
    answers = [context.tokenizer(answer_text(text), add_special_tokens=False).input_ids for text in options]
    # One row: the prompt once (segment 0), every option a segment of its own that attends to the prompt and itself.
    ids = torch.tensor([prompt + [token for answer in answers for token in answer]], device=model.device)  # (1, T)
    owner = [0] * len(prompt) + [number for number, answer in enumerate(answers, start=1) for _ in answer]
    segments = torch.tensor([owner], device=model.device)  # (1, T)
    labels = ids.where(segments > 0, -100)
    logps = model(input_ids=ids, labels=labels, segment_ids=segments, pixel_values=pixels.to(model.device)).logps[0]
    return torch.stack([logps[segments[0] == number].sum() for number in range(1, len(answers) + 1)]).float().cpu()


@torch.no_grad()
def measure_language(context: MeasureContext) -> dict[str, float]:
    """Whether the language expert's weights are SmolLM2's to the bit, and both perplexities on plain chat.

    SmolLM2's is computed by the library's model, row by row; the starter's by ours, packed.
    """
    folder = language_folder(cache_dir())
    state_dict = context.model.language.state_dict()
    with safe_open(folder / "model.safetensors", "pt") as file:
        equal = [torch.equal(state_dict[name].cpu(), file.get_tensor(name)) for name in file.keys()]  # noqa: SIM118
    rows = general_eval_rows(context.model.spec, context.tokenizer)
    starter_perplexity = perplexity(log_likelihoods(context.model, rows))
    smollm2 = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(context.model.device).eval()
    sums = []  # (sum of log-probabilities, tokens) of each row
    for row in rows:
        ids = torch.tensor([row.ids], device=smollm2.device)
        logps = smollm2(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]  # (T - 1,)
        learned = torch.tensor(row.mask[1:], dtype=torch.bool, device=smollm2.device)
        sums.append((float(logps[learned].sum()), int(learned.sum())))
    return {
        "weights_equal": float(all(equal)),
        "tensors_compared": float(len(equal)),
        "perplexity_starter": starter_perplexity,
        "perplexity_smollm2": perplexity(sums),
    }
