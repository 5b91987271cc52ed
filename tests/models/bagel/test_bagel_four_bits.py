"""BAGEL's linears in 4 bits: which they are, and what a model with them says beside the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import get_peft_model

from pipelines.core.jobs.recipe import Recipe
from pipelines.models.bagel import loading
from pipelines.models.bagel.four_bits import four_bit_names
from pipelines.models.bagel.layout import config_7b, empty_model
from pipelines.models.bagel.random_weights import TOY_AUTOENCODER, write_layout
from pipelines.training.sft_loss import lora_config


def test_the_linears_of_both_experts_and_nothing_else() -> None:
    model = empty_model(config_7b())
    names = four_bit_names(model)
    assert len(names) == 392 == 28 * 7 * 2
    assert sum(model.get_submodule(name).weight.numel() for name in names) == 13_050_576_896
    assert not [name for name in names if not name.startswith("language_model.model.layers.")]


def test_without_a_gpu_they_are_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="in 4 bits needs a GPU"):
        loading.load_folder(tmp_path, "bagel-7b", bits=4)
    with pytest.raises(ValueError, match="bits is 8"):
        loading.load_bagel(bits=8)


def test_a_model_in_four_bits_learns_and_says_about_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(loading, "check_bits", lambda name, bits: None)  # the package can on a processor too
    write_layout(tmp_path / "toy")
    whole, tokenizer = loading.load_folder(tmp_path / "toy", "toy", torch.float32, TOY_AUTOENCODER)
    small, _ = loading.load_folder(tmp_path / "toy", "toy", torch.float32, TOY_AUTOENCODER, bits=4)
    ids = torch.tensor([tokenizer("<|im_start|>Good evening.<|im_end|>")["input_ids"]], device=whole.device)
    # With gradients: the package's product without them takes widths of whole blocks only, which a toy's are not.
    apart = (whole(ids, labels=ids).logps - small(ids, labels=ids).logps).abs().mean()
    assert 0 < apart < 0.5
    student = get_peft_model(small, lora_config(small, Recipe.for_effort("bagel-toy", "quick")))
    student(input_ids=ids, labels=ids).loss.backward()
    learned = [weight for weight in student.parameters() if weight.grad is not None and weight.grad.any()]
    assert learned and all(weight.dtype == torch.float32 for weight in learned)
