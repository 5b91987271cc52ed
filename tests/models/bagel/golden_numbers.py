"""The golden numbers of `golden/`, and the model that they were made with."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipelines.models.bagel import rows, sampling
from pipelines.models.bagel.autoencoder import published_name
from pipelines.models.bagel.config import BagelConfig
from pipelines.models.bagel.flow import EDITING, FlowSampling
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.rows import Clean, Drawn, LookedAt, Segment, Text
from pipelines.models.decoding.sampling import Sampling

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 3e-5
RUNS = {
    "t2i_nocfg": FlowSampling(6, text_guidance=1.0),
    "t2i_global": FlowSampling(6),
    "t2i_channel": FlowSampling(6, interval=(0.0, 1.0), renorm="channel", renorm_min=0.2),
    "edit_textchannel": replace(EDITING, points=6),
    "edit_global": FlowSampling(6, image_guidance=1.5, interval=(0.0, 1.0)),
}
"""Of `sample.*`; drawn from words, or from an image and words."""
ROW_NAMES = {
    "packed_text_ids": "text_ids",
    "packed_text_indexes": "text_places",
    "packed_position_ids": "positions",
    "packed_vit_tokens": "patches",
    "packed_vit_token_indexes": "patch_places",
    "packed_vit_position_ids": "patch_ids",
    "packed_latent_position_ids": "latent_ids",
    "packed_vae_token_indexes": "latent_places",
    "packed_label_ids": "label_ids",
    "ce_loss_indexes": "label_places",
    "ce_loss_weights": "label_weights",
    "mse_loss_indexes": "drawn_places",
}
"""Key of `train.*` -> field of `PackedRow`."""
INPUTS = (
    {"train.latents", "train.noise", "train.t_logit", "train.latent_shapes"}
    | {f"sample.{name}" for name in ("edit.vae_latent", "edit.vit_image", *(f"{run}.noise" for run in RUNS))}
    | {"ae.image", "vit.image", "time.t"}
)
"""Keys that are given rather than computed."""


@cache
def numbers() -> dict[str, torch.Tensor]:
    """`golden.safetensors`."""
    return load_file(FOLDER / "golden.safetensors")


def toy_config() -> BagelConfig:
    """The configuration that the golden numbers belong to."""
    stored: dict[str, Any] = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    ids = stored["tokens"]
    return BagelConfig(
        text=stored["llm"],
        vision=stored["vit"],
        autoencoder=stored["ae"],
        latent_side=stored["max_latent_size"],
        vision_side=stored["vit_max_num_patch_per_side"],
        special_ids={
            "text_start": ids["bos_token_id"],
            "text_end": ids["eos_token_id"],
            "image_start": ids["start_of_image"],
            "image_end": ids["end_of_image"],
            "pad": 0,
        },
    )


def golden_model() -> BagelModel:
    """The model with the golden weights, every one of them."""
    model = BagelModel(toy_config())
    weights = load_file(FOLDER / "weights.safetensors")
    levels = len(model.config.autoencoder["ch_mult"])
    state = {}
    for name, like in model.state_dict().items():
        own = name.removeprefix("autoencoder.")
        published = f"ema.{name}" if own == name else f"ae.{published_name(own, levels)}"
        state[name] = weights.pop(published).reshape(like.shape)
    assert not weights
    model.load_state_dict(state)
    return model.eval()


def deviation(key: str, found: torch.Tensor) -> float:
    """Largest difference from the golden number; infinite where shapes differ."""
    known = numbers()[key]
    if known.shape != found.shape:
        return float("inf")
    return (known.double() - found.detach().double()).abs().max().item()


def training_deviations(model: BagelModel, gradients: bool = True) -> dict[str, float]:
    """Of `train.*`: packing, mask, hidden states, losses and gradients."""
    row = rows.pack(training_samples(), model.config)
    found = {name: getattr(row, own) for name, own in ROW_NAMES.items()}
    found["visible"] = rows.visibility(row)
    found["sample_lens"], found["vit_token_seqlens"] = torch.tensor(row.sample_lengths), torch.tensor(row.patch_lengths)
    scores = model.score_row(row)
    found |= {"hidden": scores.hidden, "ce": scores.ce, "mse": scores.mse}
    if gradients:
        model.zero_grad()
        scores.loss.backward()
        parameters = dict(model.named_parameters())
        known = [key.removeprefix("train.grad.") for key in numbers() if key.startswith("train.grad.")]
        found |= {f"grad.{name}": parameters[name].grad for name in known}
    return {f"train.{name}": deviation(f"train.{name}", value) for name, value in found.items()}


def prompt(editing: bool) -> list[Segment]:
    """What `sample.*` is drawn from."""
    known = numbers()
    if not editing:
        return [Text((5, 6, 7))]
    image = [Clean(known["sample.edit.vae_latent"][0]), LookedAt(known["sample.edit.vit_image"])]
    return [*image, Text((14, 15, 16))]


def sampling_deviations(model: BagelModel, run: str) -> dict[str, float]:
    """Of one run of `sample.*`: x, t and guided velocity at every step, and the last latents."""
    steps: list[sampling.DrawingStep] = []
    contexts = sampling.drawing_contexts(model, [prompt(run.startswith("edit"))])
    noise = numbers()[f"sample.{run}.noise"][None]
    latent = sampling.draw(model, contexts, (2, 3), noise, RUNS[run], on_step=steps.append)[0]
    found = {
        "x": torch.cat([one.x for one in steps]),
        "v": torch.cat([one.velocity for one in steps]),
        "t": torch.tensor([one.t for one in steps]),
        "latent": latent,
    }
    return {f"sample.{run}.{name}": deviation(f"sample.{run}.{name}", value) for name, value in found.items()}


def greedy(model: BagelModel) -> torch.Tensor:
    """Of `text.greedy`: the start mark and seven ids."""
    context = model.read([[LookedAt(numbers()["sample.edit.vit_image"]), Text((8, 9))]])
    ids = sampling.write(model, context, Sampling(max_new_tokens=7, temperature=0)).ids[0]
    return torch.tensor([model.config.ids.text_start, *ids])


def training_samples() -> list[list[Segment]]:
    """The four samples of `train.*`, as section 8.1 of the description lists them."""
    known, place = numbers(), 0
    times = torch.sigmoid(known["train.t_logit"])

    def latents(image: int, height: int, width: int) -> torch.Tensor:
        return known["train.latents"][image, :, : height // 8, : width // 8]

    def drawn(image: int, height: int, width: int) -> Drawn:
        nonlocal place
        count = height * width // 256
        part = slice(place, place + count)
        place += count
        return Drawn(latents(image, height, width), float(times[part][0]), known["train.noise"][part])

    def clean(image: int, height: int, width: int) -> Clean:
        nonlocal place
        place += height * width // 256
        return Clean(latents(image, height, width))

    looked = iter(known["train.packed_vit_tokens"].split(known["train.vit_token_seqlens"].tolist()))

    def look(height: int, width: int) -> LookedAt:
        rows, columns = height // 14, width // 14
        patches = next(looked).reshape(rows, columns, 14, 14, 3)
        return LookedAt(patches.permute(4, 0, 2, 1, 3).reshape(3, height, width))

    return [
        [Text((5, 6, 7)), drawn(0, 32, 32)],
        [look(28, 42), Text((8, 9)), Text((10, 11, 12, 13), learned=True)],
        [clean(1, 32, 48), look(28, 42), Text((14, 15, 16)), drawn(2, 32, 48)],
        [
            Text((17, 18)),
            drawn(3, 32, 32),
            clean(4, 32, 32),
            look(28, 28),
            Text((19, 20, 21), learned=True),
            drawn(5, 48, 32),
        ],
    ]
