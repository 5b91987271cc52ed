"""Train the starter's picture expert and eyes behind the frozen language expert.

Both learn from the drawn pictures and their captions: the picture expert to draw codes from the hidden states of the
caption (one in ten contexts is emptied, for guidance), the eyes to name, slot by slot, the words of a canonical
caption, so that the language expert meets near-words where it looks. The language expert's own weights are never
touched, so its language is kept to the bit and plain chat needs no replay. Each part can be broken off and gone on
with; called by `build.py`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.drawn import Drawn, to_pixels
from pipelines.models.starter.looks import identity_for
from pipelines.models.starter.model import StarterModel, Words

BATCH = 16
EYES_BATCH = 64
PICTURE_RATE = 1.5e-3
EYES_RATE = 1e-3
DROP = 0.1
"""Share of contexts emptied, for classifier-free guidance."""
FACE_WEIGHT = 3.0
"""Weight of a code in the middle half of the picture, where faces are, beside one at its rim."""
LEAD_INS = (
    "Here I am.", "Look at this!", "Of course, one moment.", "This is me today.", "You asked for a picture.",
    "Well then.", "I was thinking of you.", "It is lovely here.", "Can you see me?", "That made me smile.",
    "I have had a long day.",
)
"""Words before the scene in some contexts, so that a reply in front of it does not disturb the drawing."""


def context_ids(tokenizer: PreTrainedTokenizerFast, caption: str, boi_id: int, rng: random.Random) -> list[int]:
    """Ids of the text before a picture, as a character's turn ends: words, scene line, begin-of-picture."""
    lead = rng.choice(LEAD_INS) if rng.random() < 0.4 else ""
    text = f"<|im_start|>assistant\n{lead}\n[scene] {caption}"
    return [*tokenizer(text, add_special_tokens=False).input_ids, boi_id]


def pad_right(rows: list[list[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and bool mask (B, T)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


@torch.no_grad()
def read_contexts(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (N, K, E) and mask (N, K) of captions, through the first layers of the language expert."""
    rows = [context_ids(tokenizer, text, model.shape.boi_id, rng) for text in texts]
    ids, mask = pad_right(rows, str(model.device))
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    words = Words(ids, mask, None, places, places)
    _, middle = model.read(words, None, need_words=False)
    return model.gather_context(words, middle, torch.arange(len(rows), device=ids.device), mask.sum(1) - 1)


def picture_loss(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], codes: torch.Tensor, rng: random.Random,
    drop: float = DROP, face_weight: float = 1.0,
) -> torch.Tensor:
    """Weighted mean cross-entropy per code (nats) of codes (N, C) given their captions."""
    hidden, mask = read_contexts(model, tokenizer, texts, rng)
    empty = torch.tensor([rng.random() < drop for _ in texts], device=codes.device)
    context, mask = model.picture.context(hidden, mask, empty)
    logits = model.picture.head(model.picture(context, mask, codes))  # (N, C, codebook)
    losses = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
    weights = face_weights(codes.shape[1], face_weight).to(losses)
    return (losses * weights).mean() / weights.mean()


def face_weights(count: int, weight: float) -> torch.Tensor:
    """(count,) `weight` for codes in the middle half of a square picture in reading order, 1 elsewhere."""
    side = math.isqrt(count)
    middle = torch.ones(side, side)
    middle[side // 4 : side - side // 4, side // 4 : side - side // 4] = weight
    return middle.flatten()


def train_for(
    name: str, parameters: list[torch.nn.Parameter], rate: float, loss_of: Callable[[], torch.Tensor], out: Path,
    modules: dict[str, torch.nn.Module], seconds: float, check: Callable[[], str],
) -> dict[str, float]:
    """Run AdamW on `loss_of` until the time budget is spent; state is kept every minute and read at the start."""
    optimiser = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.95), weight_decay=0.05)
    out.mkdir(parents=True, exist_ok=True)
    state, step, spent, mean = out / f"{name}.pt", 0, 0.0, 0.0
    if state.exists():
        saved = torch.load(state, map_location=parameters[0].device)
        for key, module in modules.items():
            module.load_state_dict(saved[key])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent, mean = saved["step"], saved["spent"], saved["mean"]

    def save() -> None:
        parts = {key: module.state_dict() for key, module in modules.items()}
        counted = {"step": step, "spent": spent, "mean": mean}
        torch.save({**parts, "optimiser": optimiser.state_dict(), **counted}, state)

    began = last_save = time.monotonic()
    start = spent
    while spent < seconds:
        spent = start + time.monotonic() - began
        # Warm-up over 100 steps, then flat until 60 % of the budget, then down to a twentieth.
        fall = min(1.0, max(0.05, (1 - spent / seconds) / 0.4))
        for part in optimiser.param_groups:
            part["lr"] = rate * min(1.0, (step + 1) / 100) * fall
        loss = loss_of()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 20 == 0:
            print(f"{name} step {step} seconds {spent:.0f} loss {mean:.4f}", flush=True)
        if time.monotonic() - last_save > 120:
            save()
            print(f"{name} check {check()}", flush=True)
            last_save = time.monotonic()
    save()
    return {"steps": step, "seconds": round(spent), "loss": mean}


def epochs(count: int, batch: int, rng: random.Random) -> Iterator[np.ndarray]:
    """Batches of row numbers, every row once before any twice."""
    while True:
        order = list(range(count))
        rng.shuffle(order)
        for start in range(0, count - batch + 1, batch):
            yield np.array(order[start : start + batch])


@torch.no_grad()
def encode_all(model: StarterModel, drawn: Drawn, cache: Path) -> torch.Tensor:
    """Codes (N, C) of every drawn picture; kept in `cache` because they never change."""
    if cache.exists():
        return torch.from_numpy(np.load(cache).astype(np.int64))
    parts = [model.encode_pictures(to_pixels(drawn.pixels[i : i + 128], model.device)).cpu()
             for i in range(0, len(drawn.pixels), 128)]
    codes = torch.cat(parts)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, codes.numpy().astype(np.int16))
    return codes


def train_picture(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, data: Path, out: Path, seconds: float, seed: int = 0
) -> dict[str, float]:
    """Train the picture expert; returns steps, seconds, the running loss and the held-out loss (nats a code)."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    drawn, held_out = Drawn.load(data, "train"), Drawn.load(data, "held_out")
    codes = encode_all(model, drawn, out / "codes_train.npy").to(model.device)
    held_codes = encode_all(model, held_out, out / "codes_held_out.npy").to(model.device)
    model.requires_grad_(False)
    model.picture.requires_grad_(True)
    model.picture.train()
    rows = epochs(len(codes), BATCH, rng)

    def loss_of() -> torch.Tensor:
        batch = next(rows)
        texts = [drawn.caption(row, rng) for row in batch]
        return picture_loss(model, tokenizer, texts, codes[batch], rng, face_weight=FACE_WEIGHT)

    def held_out_loss() -> float:
        quiet, total = random.Random(5), []
        some = list(range(0, len(held_codes), max(1, len(held_codes) // 96)))[:96]
        with torch.no_grad():
            for start in range(0, len(some), 32):
                batch = some[start : start + 32]
                texts = [held_out.caption(row, quiet) for row in batch]
                total.append(picture_loss(model, tokenizer, texts, held_codes[batch], quiet, drop=0.0).item())
        return sum(total) / len(total)

    scores = train_for("picture", list(model.picture.parameters()), PICTURE_RATE, loss_of, out,
                       {"picture": model.picture}, seconds, lambda: f"held-out loss {held_out_loss():.4f}")
    return scores | {"held_out_loss": held_out_loss()}


def canonical(drawn: Drawn, row: int) -> list[str]:
    """What the look slots should say of a picture, most asked-about first: one word for each slot."""
    identity, look = identity_for(int(drawn.identity[row])), drawn.looks[row]
    colour, kind = (look.colour, look.kind.split()[-1]) if look.clothes else ("no", "clothes")
    place = look.place.split()[-1]
    kind_of = {"avataaars": "person", "toon-head": "person", "critters": "creature"}[identity.style]
    extra = (identity.glasses and "glasses") or (identity.beard and "beard") or identity.pattern or "plain"
    return [look.expression, colour, kind, "in", place, identity.top_colour, (identity.top.split() or ["bare"])[-1],
            identity.colour.split("-")[0], kind_of, extra, look.pose.split("-")[0] or "portrait", "."]


def slot_ids(tokenizer: PreTrainedTokenizerFast, words: list[str], slots: int) -> list[int]:
    """First word piece of each slot's word, as it reads inside a sentence."""
    ids = [tokenizer(" " + word, add_special_tokens=False).input_ids[0] for word in words]
    return (ids + ids[-1:] * slots)[:slots]


def train_eyes(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, data: Path, out: Path, seconds: float, seed: int = 0
) -> dict[str, float]:
    """Train the eyes; returns steps, seconds, loss and the share of slots named right on unseen identities."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    drawn, held_out = Drawn.load(data, "train"), Drawn.load(data, "held_out")
    table = model.get_input_embeddings().weight.detach()  # (V, E)
    slots = model.shape.look_tokens

    def targets(split: Drawn) -> torch.Tensor:
        return torch.tensor([slot_ids(tokenizer, canonical(split, row), slots) for row in range(len(split.looks))])

    wanted, held_wanted = targets(drawn).to(model.device), targets(held_out).to(model.device)
    words = wanted.unique()  # every word a slot may say
    index = torch.zeros(len(table), dtype=torch.long, device=model.device)
    index[words] = torch.arange(len(words), device=model.device)
    choices = table[words]  # (w, E)
    spread = table.std()
    model.requires_grad_(False)
    model.eyes.requires_grad_(True)
    rows = epochs(len(wanted), EYES_BATCH, rng)

    def scores_of(said: torch.Tensor) -> torch.Tensor:
        return said @ choices.T / spread.square() / 24  # about unit scale for vectors of a word's own length

    def loss_of() -> torch.Tensor:
        batch = next(rows)
        shift = (rng.randint(-3, 3), rng.randint(-3, 3))  # px, down and right
        pixels = torch.roll(to_pixels(drawn.pixels[batch], model.device), shift, (2, 3))
        said = model.eyes(pixels)  # (B, slots, E)
        target = wanted[batch]
        named = F.cross_entropy(scores_of(said).flatten(0, 1), index[target].flatten())
        return named + F.mse_loss(said / spread, table[target] / spread)

    @torch.no_grad()
    def share_right() -> list[float]:
        said = torch.cat([model.eyes(to_pixels(held_out.pixels[i : i + 100], model.device))
                          for i in range(0, len(held_wanted), 100)])
        right = words[scores_of(said).argmax(-1)] == held_wanted
        return [round(value, 3) for value in right.float().mean(0).tolist()]

    scores: dict[str, Any] = train_for("eyes", list(model.eyes.parameters()), EYES_RATE, loss_of, out,
                                       {"eyes": model.eyes}, seconds, lambda: f"slots right {share_right()}")
    return scores | {f"slot_{place}": value for place, value in enumerate(share_right())}
