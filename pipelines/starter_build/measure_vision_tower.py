"""What the eyes see: slots named right, questions answered right; and whether the language is still SmolLM2's.

A question is put as a user does, behind the picture. It is answered twice: by the likeliest of its options, and in the
model's own words, which must be the right answer to the letter; the captions it writes must name what was drawn.
Letters: T positions of a row, O options of a question.
"""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING

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
from pipelines.starter_build.build_vision_tower import Slots, answer_text, slots_right
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Identity

if TYPE_CHECKING:
    from pipelines.starter_build.measure import BuildScores

CAPTION_IDS = 40
"""Most ids of a written caption."""
Right = dict[str, list[bool]]
SLOT_NAMES = (
    "expression",
    "clothes_colour",
    "clothes_kind",
    "in",
    "place",
    "top_colour",
    "top",
    "colour",
    "figure",
    "extra",
    "pose",
    "held",
)


def questions_about(
    identity: Identity, look: Attributes, places: tuple[str, ...], rng: random.Random
) -> list[tuple[str, ...]]:
    """(attribute, question, right answer, options...) for one picture."""
    asked = [
        ("expression", "What is the expression?", look.expression, *EXPRESSIONS),
        ("place", "Where is this?", look.place, *places),
    ]
    if look.clothes:
        asked.append(("clothes_colour", "What colour are the clothes?", look.colour, *COLOURS))
    if identity.hair_colour:
        asked.append(("hair_colour", "What colour is the hair?", identity.hair_colour, *HAIR_COLOURS))
    truth = rng.random() < 0.5
    shown = look.expression if truth else rng.choice([word for word in EXPRESSIONS if word != look.expression])
    asked.append(("yes_or_no", f"Are they {shown}?", "yes" if truth else "no", "yes", "no"))
    return asked


def measure_vision_tower(what: BuildScores, count: int) -> dict[str, float]:
    """Share of slots named right, by slot, and of questions answered right, by attribute and in all."""
    slots = Slots(what.model, what.tokenizer, what.held_out.domain)
    named = slots_right(what.model, slots, what.held_out)
    scores = {f"slot_{name}": share for name, share in zip(SLOT_NAMES, named, strict=False)}
    rows = list(range(0, len(what.held_out), max(1, len(what.held_out) // count)))[:count]
    chosen, written = answers_right(what, what.held_out, rows)
    for prefix, right in (("answer", chosen), ("written", written)):
        scores |= {f"{prefix}_{name}": sum(found) / len(found) for name, found in right.items()}
    together = [[one for several in right.values() for one in several] for right in (chosen, written)]
    scores |= {"answers": statistics.fmean(together[0]), "written": statistics.fmean(together[1])}
    return scores | {"questions": float(len(together[0]))} | captions_right(what, what.held_out, rows)


@torch.no_grad()
def answers_right(what: BuildScores, held_out: DrawnDataset, rows: list[int]) -> tuple[Right, Right]:
    """Attribute -> whether each question was answered right: chosen among the options, and written."""
    rng = random.Random(4)
    chosen: Right = {}
    written: Right = {}
    for row in rows:
        pixels = to_pixels(held_out.pixels[row : row + 1])
        asked = questions_about(held_out.figure(row), held_out.looks[row], held_out.domain.places, rng)
        questions = [question for _, question, *_ in asked]
        replies = answers_about(what.model, what.tokenizer, questions, pixels.expand(len(asked), -1, -1, -1))
        for (name, question, answer, *options), (said, _) in zip(asked, replies, strict=True):
            best = int(option_scores(what, question, options, pixels).argmax())
            chosen.setdefault(name, []).append(options[best] == answer)
            written.setdefault(name, []).append(said == answer_text(answer))
    return chosen, written


@torch.no_grad()
def captions_right(what: BuildScores, held_out: DrawnDataset, rows: list[int], batch: int = 20) -> dict[str, float]:
    """Shares of pictures whose written caption names the expression, the clothes, the place, and all three."""
    found: dict[str, list[bool]] = {"expression": [], "clothes": [], "place": [], "whole": []}
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        asked = ["Describe this picture."] * len(some)
        captions = answers_about(what.model, what.tokenizer, asked, to_pixels(held_out.pixels[some]), CAPTION_IDS)
        for row, (caption, _) in zip(some, captions, strict=True):
            look = held_out.looks[row]
            named = {
                "expression": look.expression in caption.lower(),
                "clothes": look.clothes in caption if look.clothes else "wearing" not in caption,
                "place": look.place in caption,
            }
            for name, right in (named | {"whole": all(named.values())}).items():
                found[name].append(right)
    return {f"caption_{name}": statistics.fmean(right) for name, right in found.items()}


def option_scores(what: BuildScores, question: str, options: list[str], pixels: torch.Tensor) -> torch.Tensor:
    """(O,) log-probability of each option as the answer to a question about one picture (1, 3, px, px)."""
    model = what.model
    prompt = render((user(question, "picture"),), model.spec, what.tokenizer, add_reply=True).ids
    tails = [what.tokenizer(answer_text(text), add_special_tokens=False).input_ids for text in options]
    # One row: the prompt once (segment 0), every option a segment of its own that sees the prompt and itself.
    ids = torch.tensor([prompt + [piece for tail in tails for piece in tail]], device=model.device)
    owner = [0] * len(prompt) + [place for place, tail in enumerate(tails, start=1) for _ in tail]
    segments = torch.tensor([owner], device=model.device)
    labels = ids.where(segments > 0, -100)
    logps = model(input_ids=ids, labels=labels, segment_ids=segments, pixel_values=pixels.to(model.device)).logps[0]
    return torch.stack([logps[segments[0] == place].sum() for place in range(1, len(tails) + 1)]).float().cpu()


@torch.no_grad()
def measure_language(what: BuildScores) -> dict[str, float]:
    """Whether the language expert's weights are SmolLM2's to the bit, and both perplexities on plain chat.

    The plain model is the library's, row by row; the starter's is ours, packed.
    """
    folder = language_folder(cache_dir())
    own = what.model.language.state_dict()
    with safe_open(folder / "model.safetensors", "pt") as file:
        equal = [torch.equal(own[name].cpu(), file.get_tensor(name)) for name in file.keys()]  # noqa: SIM118
    rows = general_eval_rows(what.model.spec, what.tokenizer)
    ours = perplexity(log_likelihoods(what.model, rows))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(what.model.device).eval()
    found = []
    for row in rows:
        ids = torch.tensor([row.ids], device=plain.device)
        logps = plain(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]  # (T - 1,)
        learned = torch.tensor(row.mask[1:], dtype=torch.bool, device=plain.device)
        found.append((float(logps[learned].sum()), int(learned.sum())))
    return {
        "weights_equal": float(all(equal)),
        "tensors_compared": float(len(equal)),
        "perplexity_starter": ours,
        "perplexity_smollm2": perplexity(found),
    }
