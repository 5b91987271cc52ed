"""What the eyes see: slots named right, questions answered right; and whether the language is still SmolLM2's.

A question is put as a user does, behind the picture; an option's score is its log-probability with the picture minus
that with a grey one, so that no option wins by being common. Letters: T positions of a row, O options of a question.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from pipelines.core.settings import cache_dir
from pipelines.evaluate import log_likelihoods, perplexity
from pipelines.models.starter.build_eyes import Slots, slots_right
from pipelines.models.starter.drawn import Drawn, to_pixels
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.looks import Identity, Look
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, HAIR_COLOURS
from pipelines.plain import plain_rows
from pipelines.render import render, user

if TYPE_CHECKING:
    from pipelines.models.starter.measure import Measured

SLOT_NAMES = ("expression", "clothes_colour", "clothes_kind", "in", "place", "top_colour", "top", "colour", "figure",
              "extra", "pose", "held")  # fmt: skip


def questions_about(
    identity: Identity, look: Look, places: tuple[str, ...], rng: random.Random
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


def measure_eyes(what: Measured, count: int) -> dict[str, float]:
    """Share of slots named right, by slot, and of questions answered right, by attribute and in all."""
    slots = Slots(what.model, what.tokenizer, what.held_out.domain)
    named = slots_right(what.model, slots, what.held_out)
    scores = {f"slot_{name}": share for name, share in zip(SLOT_NAMES, named, strict=False)}
    right = answers_right(what, what.held_out, count)
    scores |= {f"answer_{name}": sum(found) / len(found) for name, found in right.items()}
    found = [one for several in right.values() for one in several]
    return scores | {"answers": sum(found) / max(1, len(found)), "questions": float(len(found))}


@torch.no_grad()
def answers_right(what: Measured, held_out: Drawn, count: int) -> dict[str, list[bool]]:
    """Attribute -> whether each question was answered right."""
    rng, right = random.Random(4), {}
    rows = list(range(0, len(held_out), max(1, len(held_out) // count)))[:count]
    grey: dict[tuple[str, ...], torch.Tensor] = {}
    nothing = torch.zeros(1, 3, what.model.shape.picture_px, what.model.shape.picture_px)
    for row in rows:
        asked = questions_about(held_out.figure(row), held_out.looks[row], held_out.domain.places, rng)
        for name, question, answer, *options in asked:
            key = (question, *options)
            if key not in grey:
                grey[key] = option_scores(what, question, options, nothing)
            found = option_scores(what, question, options, to_pixels(held_out.pixels[row : row + 1])) - grey[key]
            right.setdefault(name, []).append(options[int(found.argmax())] == answer)
    return right


def option_scores(what: Measured, question: str, options: list[str], pixels: torch.Tensor) -> torch.Tensor:
    """(O,) log-probability of each option as the answer to a question about one picture (1, 3, px, px)."""
    model = what.model
    prompt = render((user(question, "picture"),), model.shape, what.tokenizer, add_reply=True).ids
    tails = [what.tokenizer(text[:1].upper() + text[1:] + ".", add_special_tokens=False).input_ids for text in options]
    # One row: the prompt once (segment 0), every option a segment of its own that sees the prompt and itself.
    ids = torch.tensor([prompt + [piece for tail in tails for piece in tail]], device=model.device)
    owner = [0] * len(prompt) + [place for place, tail in enumerate(tails, start=1) for _ in tail]
    segments = torch.tensor([owner], device=model.device)
    labels = ids.where(segments > 0, -100)
    logps = model(input_ids=ids, labels=labels, segment_ids=segments, pictures=pixels.to(model.device)).logps[0]
    return torch.stack([logps[segments[0] == place].sum() for place in range(1, len(tails) + 1)]).float().cpu()


@torch.no_grad()
def measure_language(what: Measured) -> dict[str, float]:
    """Whether the language expert's weights are SmolLM2's to the bit, and both perplexities on plain chat.

    The plain model is the library's, row by row; the starter's is ours, packed.
    """
    folder = language_folder(cache_dir())
    own = what.model.language.state_dict()
    with safe_open(folder / "model.safetensors", "pt") as file:
        equal = [torch.equal(own[name].cpu(), file.get_tensor(name)) for name in file.keys()]  # noqa: SIM118
    rows = plain_rows(what.model.shape, what.tokenizer)
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
