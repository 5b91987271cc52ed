"""BAGEL's published folder: names, shapes and bytes at full size, and the strict loader at toy size."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.models.bagel.autoencoder import latents_of
from pipelines.models.bagel.decoder import TWIN
from pipelines.models.bagel.flow import EDITING
from pipelines.models.bagel.layout import config_7b, empty_model, published_tensors
from pipelines.models.bagel.loading import load_folder
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.random_weights import (
    BROKEN_CONFIG,
    TOY_AUTOENCODER,
    full_size_config,
    random_bagel,
    toy_config,
    write_layout,
)
from pipelines.models.bagel.rows import Clean, Drawn, LookedAt, Text, pack
from pipelines.models.bagel.sampling import draw, drawing_contexts, latents_from, write
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.hub_weights import WeightsMissing
from tests.models.bagel.golden_numbers import FOLDER


@pytest.fixture(scope="module")
def full_size() -> BagelModel:
    return empty_model(config_7b())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layout") / "BAGEL-toy"
    write_layout(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "BAGEL-toy"))


def test_names_shapes_and_bytes_are_the_published_ones(full_size: BagelModel) -> None:
    known = json.loads((FOLDER / "published_layout.json").read_text(encoding="utf-8"))
    found = published_tensors(full_size)
    assert set(found) == set(known)
    numbers = {}
    for file, names in found.items():
        assert names == {name: tuple(shape) for name, shape in known[file]["tensors"].items()}
        weights = sum(torch.Size(shape).numel() for shape in names.values())
        numbers[file] = len(names), weights, weights * {"BF16": 2, "F32": 4}[known[file]["dtype"]]
    assert numbers == {
        "ema.safetensors": (1223, 14_607_260_128, 29_214_520_256),
        "ae.safetensors": (244, 83_819_683, 335_278_732),
    }


def test_adapters_and_four_bits_reach_the_linears_of_both_experts_alone(full_size: BagelModel) -> None:
    for targets, twin in ((BagelModel.language_targets, False), (BagelModel.image_targets, True)):
        found = [name for name, _ in full_size.named_modules() if re.fullmatch(targets, name)]
        assert len(found) == 28 * 7 and all((TWIN in name) == twin for name in found)
        linears = [full_size.get_submodule(name) for name in found]
        assert all(isinstance(one, torch.nn.Linear) for one in linears)
        assert sum(one.weight.numel() for one in linears) == 6_525_288_448
        assert sum(one.in_features + one.out_features for one in linears) == 2_523_136  # a LoRA of rank 1


def test_a_published_folder_loads(folder: Path) -> None:
    assert (folder / "config.json").read_text(encoding="utf-8") == BROKEN_CONFIG
    with pytest.raises(ValueError):
        json.loads(BROKEN_CONFIG)
    model, tokenizer = load_folder(folder, "bagel-toy", autoencoder=TOY_AUTOENCODER)
    assert not model.training and model.config.latent_side == 8 and model.config.vision_side == 4
    assert model.config.ids == toy_config().ids
    assert not [name for name, one in [*model.named_parameters(), *model.named_buffers()] if one.is_meta]
    stored = load_file(folder / "ema.safetensors")
    for name, weight in model.state_dict().items():
        if not name.startswith("autoencoder."):
            assert torch.equal(weight, stored[name].float()), name
    assert not model.latent_pos_embed.pos_embed.requires_grad and model.llm2vae.weight.requires_grad
    ids = tokenizer("Hm, déjà vu?<|im_end|>")["input_ids"]
    assert ids[-1] == model.config.ids.text_end and tokenizer.decode(ids[:-1]) == "Hm, déjà vu?"
    # As a model that was built in memory: nothing stays uninitialised.
    twin = BagelModel(toy_config()).eval()
    twin.load_state_dict(model.state_dict())
    row = pack([[Text(ids[:-1], learned=True)]], model.config)
    assert torch.equal(model.score_row(row).ce, twin.score_row(row).ce)


def test_it_runs_in_bf16_as_on_a_gpu(written: Path) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model, _ = load_folder(written, "bagel-toy", dtype, TOY_AUTOENCODER)
        assert model.llm2vae.weight.dtype == dtype and model.autoencoder.dtype == torch.float32
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(1, 3, 28, 42, generator=generator) * 2 - 1
        clean = latents_of(model.moments_of(torch.rand(1, 3, 32, 48, generator=generator) * 2 - 1))[0]
        noise = torch.randn(1, 6, 64, generator=generator)
        segments = [Clean(clean), LookedAt(pixels[0]), Text((5, 6, 7))]
        scores = model.score_row(
            pack([[*segments, Text((8, 9), learned=True), Drawn(clean, 0.7, noise[0])]], model.config)
        )
        scores.loss.backward()
        contexts = drawing_contexts(model, [segments])
        drawn = draw(model, contexts, (2, 3), noise, replace(EDITING, points=4))
        assert drawn.dtype == torch.float32 and model.pixels_of(latents_from(drawn, (2, 3))).shape == (1, 3, 32, 48)
        assert len(write(model, [contexts[0].full], Sampling(max_new_tokens=3)).ids[0]) > 0
        found.append((scores.velocity, drawn))
    for exact, rounded in zip(*found, strict=True):
        assert (exact - rounded).abs().mean() < 0.05 * exact.abs().mean()


def test_random_weights_are_made_where_they_stay(written: Path) -> None:
    model, tokenizer = random_bagel(toy_config(), torch.device("cpu"), torch.bfloat16)
    read, _ = load_folder(written, "bagel-toy", torch.bfloat16, TOY_AUTOENCODER)
    wanted = {name: (one.shape, one.dtype, one.requires_grad) for name, one in read.named_parameters()}
    assert wanted == {name: (one.shape, one.dtype, one.requires_grad) for name, one in model.named_parameters()}
    assert torch.equal(model.latent_pos_embed.pos_embed, read.latent_pos_embed.pos_embed)
    ids = torch.tensor([tokenizer("<|im_start|>Hm?<|im_end|>")["input_ids"]])
    assert model(ids, labels=ids).logps.isfinite().all()
    full = full_size_config()
    assert full.ids == toy_config().ids and empty_model(full).spec.image_tokens == 1024


def cut(folder: Path) -> None:
    path = folder / "ema.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_twins(folder: Path) -> None:
    _rewrite(folder, lambda name: TWIN not in name)


def one_twin_missing(folder: Path) -> None:
    _rewrite(folder, lambda name: name != "language_model.model.layers.1.mlp_moe_gen.up_proj.weight")


def no_tower(folder: Path) -> None:
    _rewrite(folder, lambda name: not name.startswith("vit_model."))


def no_tables(folder: Path) -> None:
    _rewrite(folder, lambda name: "pos_embed" not in name)


def a_tensor_too_many(folder: Path) -> None:
    _rewrite(folder, lambda name: True, {"ema.decay": torch.zeros(1)})


def no_square(folder: Path) -> None:
    _rewrite(folder, lambda name: True, {"latent_pos_embed.pos_embed": torch.zeros(63, 64)})


def no_autoencoder(folder: Path) -> None:
    (folder / "ae.safetensors").unlink()


def a_layer_less(folder: Path) -> None:
    _edit(folder, "llm_config.json", num_hidden_layers=1)


def another_width(folder: Path) -> None:
    _edit(folder, "llm_config.json", intermediate_size=128)


def heads_that_do_not_divide(folder: Path) -> None:
    _edit(folder, "llm_config.json", num_attention_heads=5)


def no_heads(folder: Path) -> None:
    _edit(folder, "vit_config.json", num_attention_heads=None)


def an_unreadable_configuration(folder: Path) -> None:
    (folder / "llm_config.json").write_text(BROKEN_CONFIG, encoding="utf-8")


def the_layers_of_the_tower_already_cut(folder: Path) -> None:
    _edit(folder, "vit_config.json", num_hidden_layers=2)


def another_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<|vision_start|>", "<|picture|>"), encoding="utf-8")


def _rewrite(folder: Path, kept: Callable[[str], bool], more: dict[str, torch.Tensor] | None = None) -> None:
    path = folder / "ema.safetensors"
    weights = load_file(path)
    path.unlink()
    save_file({name: one for name, one in weights.items() if kept(name)} | (more or {}), path)


def _edit(folder: Path, file: str, **changes: object) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut, r"ema\.safetensors has \d+ of \d+ bytes; copy or download it again"),
        (no_twins, r"ema\.safetensors: 29 tensors \(.* and 26 more\) of the expert that draws are missing"),
        (
            one_twin_missing,
            r"1 tensors \(language_model\.model\.layers\.1\.mlp_moe_gen\.up_proj\.weight\) of the expert",
        ),
        (no_tower, r"tensors \(vit_model.* are missing; copy or download it again"),
        (no_tables, r"no latent_pos_embed\.pos_embed: not a BAGEL checkpoint"),
        (a_tensor_too_many, r"1 tensors \(ema\.decay\) are of another model, or the configuration beside it is"),
        (no_square, r"latent_pos_embed\.pos_embed has 63 rows, which is no square"),
        (no_autoencoder, r"ae\.safetensors is missing; copy or download it again"),
        (a_layer_less, r"28 tensors \(language_model\.model\.layers\.1\..* are of another model, or the configuration"),
        (another_width, r"mlp\.gate_proj\.weight is 96 x 64 and the configuration beside it asks for 128 x 64"),
        (heads_that_do_not_divide, r"llm_config\.json: num_attention_heads 5 does not divide hidden_size 64"),
        (no_heads, r"vit_config\.json has no number for num_attention_heads"),
        (an_unreadable_configuration, r"llm_config\.json is not JSON"),
        (the_layers_of_the_tower_already_cut, r"16 tensors \(vit_model.*layers\.1\..* are of another model"),
        (another_tokenizer, r"tokenizer\.json is of another model \(it lacks <\|vision_start\|>\)"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_folder_that_is_not_whole_is_refused(folder: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(folder)
    with pytest.raises(WeightsMissing, match=says) as refused:
        load_folder(folder, "bagel-toy", autoencoder=TOY_AUTOENCODER)
    assert str(folder) in str(refused.value)
