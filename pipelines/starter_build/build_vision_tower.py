"""Train the starter's vision tower behind the frozen language expert.

It turns an image into a few vectors among the word embeddings ("slots"). First each slot is trained to be the embedding
of one word of a canonical caption, so that the language expert is given vectors close to words. After `VQA_FROM` of the
budget, questions about the image are answered through the frozen language expert as well, several packed behind one
image, and the answers' loss trains the vision tower only.
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
from pipelines.data.packing import ImageBank, collate, packed_row
from pipelines.models.starter.model import StarterModel
from pipelines.models.starter.vocabulary import FIGURES
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    progress_scores,
    train_for,
)
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import questions

VOCABULARY_SAMPLES = 4000
"""Identities sampled to find the words that the slots may stand for."""
VQA_FROM = 0.4
"""Fraction of the budget after which questions are answered: before, the slots hold too little to learn from."""
CHECKED_IMAGES = 8
"""Held-out images of the periodic evaluation."""
QUESTIONS_PER_IMAGE = 8
"""Questions per image and step; they share the image's tokens in front of them, which are the costly part."""
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
"""What `slot_words` puts into each slot."""


def slot_words(identity: Identity, attributes: Attributes) -> list[str]:
    """The canonical caption: one word for each slot of `SLOT_NAMES`, most asked-about first."""
    colour, kind = (attributes.colour, attributes.kind.split()[-1]) if attributes.clothes else ("no", "clothes")
    figure = identity.body if identity.family == "animal" else identity.family
    extra = (identity.glasses and "glasses") or (identity.beard and "beard") or identity.pattern or "plain"
    held = attributes.extra.split()[-1] if attributes.extra else "."
    return [
        attributes.expression,
        colour,
        kind,
        "in",
        attributes.place.split()[-1],
        identity.top_colour,
        _top_word(identity),
        identity.colour.split("-")[0],
        figure,
        extra,
        attributes.pose.split("-")[0] or "portrait",
        held,
    ]


def _top_word(identity: Identity) -> str:
    """The distinctive word of what is on the head: "wavy" of "long wavy {} hair", "bob" of "a {} bob"."""
    words = FIGURES[identity.style].tops.get(identity.top, identity.top).replace("{article}", "").replace("{}", "")
    distinctive = [word for word in words.split() if word not in ("a", "an", "hair", "on", "the", "head", "two", "one")]
    return distinctive[0].split("-")[0] if distinctive else "bare"


@lru_cache(maxsize=4096)
def _first_piece(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    return int(tokenizer(" " + word, add_special_tokens=False).input_ids[0])


def slot_ids(tokenizer: PreTrainedTokenizerFast, words: list[str], slots: int) -> list[int]:
    """First token of each slot's word, as it is tokenised inside a sentence; the last word fills spare slots."""
    ids = [_first_piece(tokenizer, word) for word in words]
    return (ids + ids[-1:] * slots)[:slots]


def slot_vocabulary(domain: Domain, tokenizer: PreTrainedTokenizerFast, slots: int) -> torch.Tensor:
    """Sorted ids of every word that a slot may stand for in this domain."""
    rng, found = random.Random("slots"), set()
    for number in range(VOCABULARY_SAMPLES):
        identity = domain.identity(number)
        words = slot_words(identity, domain.sample_attributes(rng, identity))
        found.update(slot_ids(tokenizer, words, slots))
    return torch.tensor(sorted(found))


class SlotVocabulary:
    """Maps between slot vectors and the words of one domain."""

    def __init__(self, model: StarterModel, tokenizer: PreTrainedTokenizerFast, domain: Domain) -> None:
        self.tokenizer, self.count = tokenizer, model.spec.image_input_tokens
        self.table = model.get_input_embeddings().weight.detach()  # (V, E)
        self.words = slot_vocabulary(domain, tokenizer, self.count).to(self.table.device)  # (W,) token ids
        # (V,) token id -> its place in `words`
        self.index = torch.zeros(len(self.table), dtype=torch.long, device=self.table.device)
        self.index[self.words] = torch.arange(len(self.words), device=self.table.device)
        self.spread = self.table.std()

    def targets(self, dataset: DrawnDataset, rows: list[int]) -> torch.Tensor:
        """Ids (N, slots) of the words that the images in `rows` should give."""
        words = [slot_words(dataset.identity(row), dataset.attributes[row]) for row in rows]
        ids = [slot_ids(self.tokenizer, row_words, self.count) for row_words in words]
        return torch.tensor(ids, device=self.table.device)

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        """(..., E) to logits (..., W) over `words`, about unit scale for vectors of a word embedding's length."""
        return vectors @ self.table[self.words].T / self.spread.square() / 24  # 24 = sqrt(576), SmolLM2's width

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """(..., E) to the ids of the nearest words."""
        return self.words[self.logits(vectors).argmax(-1)]


def answer_text(answer: str) -> str:
    """A short answer as a reply says it: "Happy."."""
    return answer[:1].upper() + answer[1:] + "."


def vqa_loss(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, dataset: DrawnDataset, rows: list[int], rng: random.Random
) -> torch.Tensor:
    """Mean cross-entropy (nats per token) of short answers about images, `QUESTIONS_PER_IMAGE` for each."""
    items = []
    for position, row in enumerate(rows):
        pairs = questions(dataset.identity(row), dataset.attributes[row], rng)[:QUESTIONS_PER_IMAGE]
        turns = [(user(question, str(position)), reply(answer_text(answer))) for question, answer in pairs]
        rendered = [render(turn, model.spec, tokenizer) for turn in turns]
        # Segment 0 is the beginning of the turn with the image, shared; each question with its answer is a segment.
        shared = rendered[0].ids.index(model.spec.image_placeholder_id) + model.spec.image_input_tokens
        items.append(replace(packed_row(rendered, shared), input_images=(str(position),)))
    pixels = {str(position): image for position, image in enumerate(to_pixels(dataset.pixels[rows]))}
    batch = {key: value.to(model.device) for key, value in collate(items, model.spec, ImageBank({}, pixels)).items()}
    loss: torch.Tensor = model(**batch).loss
    return loss


def train_vision_tower(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    train_set: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
) -> dict[str, float]:
    """Train the vision tower; returns steps, seconds, loss and each slot's accuracy on unseen identities."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    slots = SlotVocabulary(model, tokenizer, train_set.domain)
    model.requires_grad_(False)  # answers are learned through the language expert, not by it
    model.eyes.requires_grad_(True)
    batches = train_set.batches(size.batch_sizes["eyes"], seed)
    vqa_images = size.vqa_images
    # On a machine that was sent the first layers alone (`transfer.py --layers`) there is no output to learn from.
    if vqa_images and model.config.language["num_hidden_layers"] <= model.config.context_layer:
        print("eyes: the language expert here has its first layers only, so no questions are answered", flush=True)
        vqa_images = 0

    def compute_loss(progress: Progress) -> torch.Tensor:
        train_set.refresh()
        progress.part_state[STREAM_POSITION] = train_set.position
        rows = next(batches)
        shift = (rng.randint(-3, 3), rng.randint(-3, 3))  # px, down and right
        pixels = torch.roll(to_pixels(train_set.pixels[rows], model.device), shift, (2, 3))
        vectors = model.eyes(pixels)  # (B, slots, E)
        targets = slots.targets(train_set, rows.tolist())  # (B, slots)
        # Nearest among the vocabulary (classification), and close to it in length as well (regression).
        slot_loss = F.cross_entropy(slots.logits(vectors).flatten(0, 1), slots.index[targets].flatten())
        loss = slot_loss + F.mse_loss(vectors / slots.spread, slots.table[targets] / slots.spread)
        # Unshifted and only a few: a pass through the language expert costs far more than the vision tower.
        if vqa_images and progress.fraction >= VQA_FROM:
            loss = loss + vqa_loss(model, tokenizer, train_set, rows[:vqa_images].tolist(), rng)
        return loss

    def evaluate() -> str:
        accuracies = f"slots right {slot_accuracies(model, slots, held_out)}"
        if not vqa_images:
            return accuracies
        return f"{accuracies}, answers {held_out_vqa_loss(model, tokenizer, held_out):.4f}"

    learning_rate = size.learning_rates["eyes"]
    part = BuildPart("eyes", {"eyes": model.eyes}, compute_loss, out / "eyes.pt", learning_rate, evaluate=evaluate)
    scores = progress_scores(train_for(part, budget))
    if vqa_images:
        scores["answers_held_out_loss"] = held_out_vqa_loss(model, tokenizer, held_out)
    accuracies = slot_accuracies(model, slots, held_out)
    return scores | {f"slot_{number}": value for number, value in enumerate(accuracies)}


@torch.no_grad()
def held_out_vqa_loss(model: StarterModel, tokenizer: PreTrainedTokenizerFast, held_out: DrawnDataset) -> float:
    """`vqa_loss` on `CHECKED_IMAGES` held-out images, the same questions each time."""
    rows = list(range(0, len(held_out), max(1, len(held_out) // CHECKED_IMAGES)))[:CHECKED_IMAGES]
    return vqa_loss(model, tokenizer, held_out, rows, random.Random(5)).item()


@torch.no_grad()
def slot_accuracies(model: StarterModel, slots: SlotVocabulary, held_out: DrawnDataset) -> list[float]:
    """For each slot, the share of held-out images for which its nearest word is the right one."""
    correct = []
    for start in range(0, len(held_out), 100):
        rows = list(range(start, min(start + 100, len(held_out))))
        vectors = model.eyes(to_pixels(held_out.pixels[rows], model.device))
        correct.append(slots.nearest(vectors) == slots.targets(held_out, rows))
    return [round(value, 3) for value in torch.cat(correct).float().mean(0).tolist()]
