"""Train the starter's eyes behind the frozen language expert.

Slot by slot they learn to name the words of a canonical caption in the language expert's own embedding space, so that
it meets near-words where it looks. Once they can (`ANSWERS_FROM`), questions about the picture are answered through the
language expert as well, several behind one look, and only the eyes learn from the answers' loss.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from pipelines.data.chat_template import render, reply, user
from pipelines.data.packing import collate, packed_row
from pipelines.models.starter.model import StarterModel
from pipelines.models.starter.vocabulary import FIGURES
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import Budget, BuildPart, Progress, summary, train_for
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import questions

VOCABULARY_DRAWS = 4000
"""Identities and looks drawn to learn which words the slots may say."""
ANSWERS_FROM = 0.4
"""Share of the budget after which questions are answered: before, the eyes see too little for an answer to teach."""
CHECKED = 8
"""Held-out pictures asked about whenever the state is saved."""
QUESTIONS_EACH = 8
"""Questions put to a picture in one step; they share the look in front of them, which is what costs."""


def canonical(identity: Identity, look: Attributes) -> list[str]:
    """What the look slots should say of a picture, most asked-about first: one word for each of twelve slots."""
    colour, kind = (look.colour, look.kind.split()[-1]) if look.clothes else ("no", "clothes")
    kind_of = identity.body if identity.family == "animal" else identity.family
    extra = (identity.glasses and "glasses") or (identity.beard and "beard") or identity.pattern or "plain"
    held = look.extra.split()[-1] if look.extra else "."
    return [
        look.expression,
        colour,
        kind,
        "in",
        look.place.split()[-1],
        identity.top_colour,
        _top(identity),
        identity.colour.split("-")[0],
        kind_of,
        extra,
        look.pose.split("-")[0] or "portrait",
        held,
    ]


def _top(identity: Identity) -> str:
    """The telling word of what is on the head: "wavy" of "long wavy {} hair", "bob" of "a {} bob"."""
    words = FIGURES[identity.style].tops.get(identity.top, identity.top).replace("{article}", "").replace("{}", "")
    telling = [word for word in words.split() if word not in ("a", "an", "hair", "on", "the", "head", "two", "one")]
    return telling[0].split("-")[0] if telling else "bare"


@lru_cache(maxsize=4096)
def _first_piece(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    return int(tokenizer(" " + word, add_special_tokens=False).input_ids[0])


def slot_ids(tokenizer: PreTrainedTokenizerFast, words: list[str], slots: int) -> list[int]:
    """First word piece of each slot's word, as it reads inside a sentence."""
    ids = [_first_piece(tokenizer, word) for word in words]
    return (ids + ids[-1:] * slots)[:slots]


def slot_vocabulary(domain: Domain, tokenizer: PreTrainedTokenizerFast, slots: int) -> torch.Tensor:
    """Ids of every word that a slot may say in this domain, sorted."""
    rng, found = random.Random("slots"), set()
    for number in range(VOCABULARY_DRAWS):
        identity = domain.identity(number)
        found.update(slot_ids(tokenizer, canonical(identity, domain.look(rng, identity)), slots))
    return torch.tensor(sorted(found))


class Slots:
    """Between slot vectors and words, for one domain."""

    def __init__(self, model: StarterModel, tokenizer: PreTrainedTokenizerFast, domain: Domain) -> None:
        self.tokenizer, self.count = tokenizer, model.spec.image_input_tokens
        self.table = model.get_input_embeddings().weight.detach()  # (V, E)
        self.words = slot_vocabulary(domain, tokenizer, self.count).to(self.table.device)
        self.index = torch.zeros(len(self.table), dtype=torch.long, device=self.table.device)
        self.index[self.words] = torch.arange(len(self.words), device=self.table.device)
        self.spread = self.table.std()

    def wanted(self, drawn: DrawnDataset, rows: list[int]) -> torch.Tensor:
        """Ids (N, slots) that the pictures in `rows` should be named by."""
        named = [slot_ids(self.tokenizer, canonical(drawn.figure(row), drawn.looks[row]), self.count) for row in rows]
        return torch.tensor(named, device=self.table.device)

    def scores(self, said: torch.Tensor) -> torch.Tensor:
        """(..., E) to logits over `words`, about unit scale for vectors of a word's own length."""
        return said @ self.table[self.words].T / self.spread.square() / 24

    def named(self, said: torch.Tensor) -> torch.Tensor:
        """(..., E) to the ids of the nearest words."""
        return self.words[self.scores(said).argmax(-1)]


def answer_text(answer: str) -> str:
    """A short answer as the turn that says it: "Happy."."""
    return answer[:1].upper() + answer[1:] + "."


def answer_loss(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, drawn: DrawnDataset, rows: list[int], rng: random.Random
) -> torch.Tensor:
    """Mean cross-entropy (nats a word piece) of short answers about the pictures, `QUESTIONS_EACH` to a picture."""
    items = []
    for place, row in enumerate(rows):
        asked = questions(drawn.figure(row), drawn.looks[row], rng)[:QUESTIONS_EACH]
        turns = [(user(question, str(place)), reply(answer_text(answer))) for question, answer in asked]
        rendered = [render(turn, model.spec, tokenizer) for turn in turns]
        # Segment 0 is the turn's beginning with the picture, every question with its answer a segment behind it.
        seen = rendered[0].ids.index(model.spec.image_placeholder_id) + model.spec.image_input_tokens
        items.append(replace(packed_row(rendered, seen), input_images=(str(place),)))
    pixels = {str(place): picture for place, picture in enumerate(to_pixels(drawn.pixels[rows]))}
    batch = {key: value.to(model.device) for key, value in collate(items, model.spec, pixels).items()}
    loss: torch.Tensor = model(**batch).loss
    return loss


def train_vision_tower(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    drawn: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
) -> dict[str, float]:
    """Train the eyes; returns steps, seconds, loss and the share of slots named right on unseen identities."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    slots = Slots(model, tokenizer, drawn.domain)
    model.requires_grad_(False)
    model.eyes.requires_grad_(True)
    rows = drawn.batches(size.batches["eyes"], seed)
    answers = size.eye_answers  # pictures of a step that questions are put to
    if answers and model.config.language["num_hidden_layers"] <= model.config.context_layer:
        print("eyes: the language expert here has its first layers only, so no questions are answered", flush=True)
        answers = 0

    def loss_of(progress: Progress) -> torch.Tensor:
        drawn.refresh()
        progress.more["place"] = drawn.place
        batch = next(rows)
        shift = (rng.randint(-3, 3), rng.randint(-3, 3))  # px, down and right
        said = model.eyes(torch.roll(to_pixels(drawn.pixels[batch], model.device), shift, (2, 3)))  # (B, slots, E)
        target = slots.wanted(drawn, batch.tolist())
        named = F.cross_entropy(slots.scores(said).flatten(0, 1), slots.index[target].flatten())
        loss = named + F.mse_loss(said / slots.spread, slots.table[target] / slots.spread)
        if answers and progress.share >= ANSWERS_FROM:
            loss = loss + answer_loss(model, tokenizer, drawn, batch[:answers].tolist(), rng)
        return loss

    def checked() -> str:
        words = f"slots right {slots_right(model, slots, held_out)}"
        return f"{words}, answers {held_out_answers(model, tokenizer, held_out):.4f}" if answers else words

    progress = train_for(
        BuildPart("eyes", {"eyes": model.eyes}, loss_of, out / "eyes.pt", size.rates["eyes"], check=checked),
        budget,
    )
    scores = summary(progress)
    if answers:
        scores["answers_held_out_loss"] = held_out_answers(model, tokenizer, held_out)
    right = slots_right(model, slots, held_out)
    return scores | {f"slot_{place}": value for place, value in enumerate(right)}


@torch.no_grad()
def held_out_answers(model: StarterModel, tokenizer: PreTrainedTokenizerFast, held_out: DrawnDataset) -> float:
    """`answer_loss` on `CHECKED` held-out pictures, the same questions each time."""
    rows = list(range(0, len(held_out), max(1, len(held_out) // CHECKED)))[:CHECKED]
    return answer_loss(model, tokenizer, held_out, rows, random.Random(5)).item()


@torch.no_grad()
def slots_right(model: StarterModel, slots: Slots, held_out: DrawnDataset) -> list[float]:
    """Share of held-out pictures of which each slot says the right word."""
    right = []
    for start in range(0, len(held_out), 100):
        rows = list(range(start, min(start + 100, len(held_out))))
        said = model.eyes(to_pixels(held_out.pixels[rows], model.device))
        right.append(slots.named(said) == slots.wanted(held_out, rows))
    return [round(value, 3) for value in torch.cat(right).float().mean(0).tolist()]
