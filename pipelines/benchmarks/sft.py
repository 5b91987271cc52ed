"""`bench_sft`: learned positions a second in Unified-SFT, packed against one padded sample a row.

Both train the same adapter on the same model and samples, in the same order, with the library's trainer, our loss
and the same settings. Ours packs a row behind one shared prefix; plain pads as `SFTTrainer` does: a batch of as many
samples as ours has in a row, each with its own copy of the persona, filled up to the longest. Rendering and
picture codes are made before the clock starts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from pipelines.benchmarks.bench_character import bench_character
from pipelines.benchmarks.paired_timing import compare
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER
from pipelines.data.packing import (
    PackedRow,
    collate,
    encode_images,
    pack_rows,
    packed_row,
    render_samples,
    tokens_after_prefix,
)
from pipelines.data.samples import sample_order, training_samples
from pipelines.models.presets import load
from pipelines.training.sft import PackedTrainer, sft_arguments
from pipelines.training.sft_loss import lora_config
from pipelines.training.trainer_mixin import quiet_libraries

STEPS = 2
"""Optimiser steps in one measurement."""


def bench_sft(base: str = "starter", repeats: int = 3) -> dict[str, Any]:
    """Learned positions (words and codes) a second, ours and plain, alternating on one machine."""
    recipe = Recipe(base=base, sft_steps=STEPS, sft_save_every=STEPS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        character = bench_character(folder)
        model, tokenizer = load(base)
        spec = model.spec
        # The toys' byte tokenizer makes four times as many ids; the persona and a few samples must still fit.
        tokens = recipe.sft_row_max_tokens * (4 if base.endswith("-toy") else 1)
        pictures = encode_images(model, character, folder / CHARACTER_FOLDER)
        samples = training_samples(character, recipe.seed)
        rendered = render_samples(samples, spec, tokenizer, pictures, tokens)
        # Rows of conversations, as stage 1 has them: images are drawn in rows of their own, which have no plain form.
        rendered = [replace(item, image_ids=(), image_turn_length=0, drawn_image="") for item in rendered]
        order = list(
            islice(sample_order(samples, tokens_after_prefix(rendered, spec), recipe.task_shares), 200 * STEPS)
        )
        packed = pack_rows(rendered, iter(order), spec, tokens, recipe.sft_row_max_images, STEPS)
        batch = round(sum(max(row.segments) for row in packed) / STEPS)
        alone = []
        for number in order[: batch * STEPS]:
            item = rendered[number]
            alone.append(packed_row([item], 0))

        def measured(rows: list[PackedRow], batch_rows: int, segmented: bool) -> Callable[[], float]:
            def collated(items: list[dict[str, int]]) -> dict[str, Any]:
                made = collate([rows[item["row"]] for item in items], spec, pictures)
                return made if segmented else {key: made[key] for key in made if key != "segment_ids"}

            def run() -> float:
                trainer = PackedTrainer(
                    spec=spec,
                    run_dir=folder,
                    report=lambda event: None,
                    readme="",
                    model=model,
                    args=replace(sft_arguments(recipe, folder, batch_rows), save_strategy="no"),
                    data_collator=collated,
                    train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
                    processing_class=tokenizer,
                    peft_config=lora_config(model, recipe),
                )
                result = trainer.train()
                trainer.model.unload()
                return trainer.tokens / result.metrics["train_runtime"]

            return run

        with quiet_libraries():
            return compare(
                "sft",
                "learned tokens a second",
                ours=measured(packed, 1, segmented=True),
                plain=measured(alone, batch, segmented=False),
                repeats=repeats,
            )
