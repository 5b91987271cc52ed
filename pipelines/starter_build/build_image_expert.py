"""Train the starter's image expert behind the frozen language expert, with reference pictures.

It learns to generate a picture's codes from the hidden states of its caption and from other pictures of the same
subject; the rows of a batch lack one, the other or both in the shares that `code_store.py` gives. Half of the captions
do not say who it is, so only the references do. The language expert's weights are not trained, so its language stays
SmolLM2's to the bit and no replay of plain chat is needed. On a GPU the loss is compiled, and a step reads nothing from
the processor but its launch.
"""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.model import StarterModel
from pipelines.starter_build.broad_domain import BroadDomain
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    hold_half_then_decay,
    progress_scores,
    read_state,
    train_for,
)
from pipelines.starter_build.code_store import CodeBatch, CodeStore, CodeStream, subject_jobs
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY

FOREGROUND_WEIGHT = 2.0
"""Loss weight of a code where the figure is, relative to one of the background."""
WARMUP_STEPS = 150
CAPTION_WITHOUT_IDENTITY = 2
"""Place among a picture's captions of "NAME, LOOK"."""


def caption_context(model: StarterModel, batch: CodeBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder inputs (B, K, D) of the contexts and their mask (B, K), in fixed shapes and without synchronising.

    The same values as `StarterModel.gather_context` and `ImageExpert.context` give, uncut.
    """
    with torch.no_grad():  # the language expert is frozen
        stack = model.language.model
        hidden = model.get_input_embeddings()(
            torch.where(batch.ids == model.spec.boi_id, model.config.boi_embedding_id, batch.ids)
        )
        positions = torch.arange(batch.ids.shape[1], device=batch.ids.device)[None]
        rotary = stack.rotary_emb(hidden, positions)
        # Rows are padded on the right, so a plain causal mask lets no real position see padding.
        for layer in stack.layers[: model.config.context_layer]:
            hidden = layer(hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary)
        # Context column k of K is the text position that ends it, begin-of-image, less K - 1 - k.
        width = model.config.context_tokens
        columns = batch.lengths[:, None] - width + torch.arange(width, device=batch.ids.device)
        mask = columns >= 0
        hidden = hidden.gather(1, columns.clamp(min=0)[..., None].expand(-1, -1, hidden.shape[2]))
    embeds = model.picture.connector(hidden)
    last_only = torch.arange(width, device=mask.device) == width - 1
    embeds = torch.where(batch.drop_words[:, None, None], model.picture.nothing.to(embeds.dtype), embeds)
    return embeds, torch.where(batch.drop_words[:, None], last_only, mask)


def code_losses(model: StarterModel, batch: CodeBatch) -> torch.Tensor:
    """(B, C) cross-entropy (nats) of each code."""
    context, mask = caption_context(model, batch)
    references = None
    if batch.reference_codes.shape[1]:
        references = model.picture.encode_references(model.vq.code_vectors[batch.reference_codes], batch.present)
    logits = model.picture.head(model.picture(context, mask, batch.codes, references))  # (B, C, codebook)
    return F.cross_entropy(logits.flatten(0, 1), batch.codes.flatten(), reduction="none").view_as(batch.codes)


def weighted_loss(model: StarterModel, batch: CodeBatch) -> torch.Tensor:
    """Mean of `code_losses`, the figure's codes weighing `FOREGROUND_WEIGHT` times the background's."""
    losses = code_losses(model, batch)
    weights = torch.where(batch.figure, FOREGROUND_WEIGHT, 1.0)
    return (losses * weights).sum() / weights.sum()  # divided so that the weight does not change the step size


def reference_places(step: int, most: int) -> int:
    """Places for references in the batch of this step: mostly two, every third time as many as there may be.

    Each number of places is a graph of its own when compiled, and costs 64 positions a place.
    """
    return most if step % 3 == 2 else min(2, most)


def train_image_expert(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    domain: BroadDomain,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    processes: int | None = None,
    held_out_images: int = 400,
) -> dict[str, float]:
    """Train the image expert; returns steps, seconds, the running loss and held-out losses (nats per code).

    domain: what is drawn; held-out subjects have the same shares of figures, symbols and turned hues. seed: of drawing;
    a resumed call goes on with the subjects that the last one did not use.
    """
    state_file = out / "picture.pt"
    before = read_state(state_file)
    torch.manual_seed(seed + before.get("step", 0))
    device, tokens = model.device, model.config.context_tokens
    generator = torch.Generator(device).manual_seed(seed + before.get("step", 0))
    model.requires_grad_(False)  # the language expert stays SmolLM2's
    model.picture.requires_grad_(True)
    model.picture.train()
    loss_of = torch.compile(weighted_loss, dynamic=False) if device.type == "cuda" else weighted_loss
    first = before.get("more", {}).get(STREAM_POSITION, 0)
    unseen = -(-held_out_images // IMAGES_PER_IDENTITY)
    held_out = CodeStore(unseen * IMAGES_PER_IDENTITY, model.spec.image_tokens, tokens, device)
    store = CodeStore(size.stored_images, model.spec.image_tokens, tokens, device)
    # The held-out subjects come first, out of the same processes.
    jobs = chain(
        islice(subject_jobs(domain, model, seed, held_out=True), unseen), subject_jobs(domain, model, seed, first)
    )
    stream = CodeStream(model, tokenizer, jobs, processes)

    def compute_loss(progress: Progress) -> torch.Tensor:
        stream.refresh(store, size.max_new_images)
        progress.part_state[STREAM_POSITION] = first + store.added // IMAGES_PER_IDENTITY
        places = reference_places(progress.step, model.spec.max_references)
        loss: torch.Tensor = loss_of(model, store.batch(size.batch_sizes["picture"], places, generator))
        return loss

    part = BuildPart("picture", {"picture": model.picture}, compute_loss, state_file, size.learning_rates["picture"])
    part.schedule, part.warmup_steps = hold_half_then_decay, WARMUP_STEPS
    part.evaluate = lambda: f"held-out {held_out_losses(model, held_out)}, pictures {store.added}"
    try:
        stream.fill(held_out, held_out_images)
        stream.fill(store, min(size.stream_window, store.capacity))
        progress = train_for(part, budget)
    finally:
        stream.close()  # the workers must not outlive a failure
    return (
        progress_scores(progress)
        | held_out_losses(model, held_out)
        | {"drawn": float(IMAGES_PER_IDENTITY * first + store.added)}
    )


@torch.no_grad()
def held_out_losses(model: StarterModel, store: CodeStore, rows_at_once: int = 32) -> dict[str, float]:
    """Mean loss (nats per code) of every third held-out picture: from words that say who it is alone, with one, two or
    the most references besides, and from two references with words that do not say it. The same ones each time.
    """
    most = model.spec.max_references
    settings = {"held_out_loss": (0, 0)}  # (caption, references)
    settings |= {f"held_out_{count}_references": (0, count) for count in {min(1, most), min(2, most), most} - {0}}
    if most:
        settings["held_out_references_alone"] = (CAPTION_WITHOUT_IDENTITY, min(2, most))
    rows = torch.arange(0, store.filled, 3, device=model.device)
    order = torch.rand(len(rows), 10, generator=torch.Generator().manual_seed(5)).to(model.device)
    others = store.other_rows(rows, most, order)
    found = {}
    for name, (caption, count) in settings.items():
        sums = []
        for start in range(0, len(rows), rows_at_once):
            chosen = rows[start : start + rows_at_once]
            filled = torch.full_like(chosen, caption), torch.full_like(chosen, count)
            references = others[start : start + rows_at_once]
            drop = torch.zeros_like(chosen, dtype=torch.bool)
            sums.append(code_losses(model, store.gather(chosen, filled[0], references, filled[1], drop)).mean(1))
        found[name] = round(torch.cat(sums).mean().item(), 4)
    return found
