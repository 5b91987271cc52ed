"""BAGEL's linears in 4 bits: those of both experts, and nothing else, as bitsandbytes' `Linear4bit` in NF4.

Embeddings, head, norms, what takes latents in and out, time embedder, connector and vision tower stay as they are: they
are small, and the image side is sensitive to rounding. Needs a GPU and the extra `four-bit`.
"""

from __future__ import annotations

import re

import torch
from torch import nn

from pipelines.models.bagel.model import BagelModel

SETTINGS = {"compress_statistics": True, "quant_type": "nf4"}
"""Doubly quantised scales, as the memory plan counts them."""


def four_bit_names(model: BagelModel) -> list[str]:
    """The linears of both experts: seven in each layer of either."""
    both = re.compile(f"(?:{model.language_targets})|(?:{model.image_targets})")
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and both.fullmatch(name)]


def use_four_bits(model: BagelModel, dtype: torch.dtype) -> None:
    """Replace them in a model on the meta device, whose weights are still to come (`as_parameter_of`)."""
    from bitsandbytes.nn import Linear4bit

    for name in four_bit_names(model):
        parent, _, leaf = name.rpartition(".")
        plain = model.get_submodule(name)
        biased = plain.bias is not None
        made = Linear4bit(
            plain.in_features, plain.out_features, biased, compute_dtype=dtype, device=torch.device("meta"), **SETTINGS
        )
        setattr(model.get_submodule(parent), leaf, made)
    model.is_loaded_in_4bit = True  # PEFT asks for it


def as_parameter_of(owner: nn.Module, leaf: str, tensor: torch.Tensor) -> nn.Parameter:
    """A tensor as the parameter of a module, quantised on its device where the module keeps 4 bits."""
    if type(owner).__name__ == "Linear4bit" and leaf == "weight":
        from bitsandbytes.nn import Params4bit

        quantised: nn.Parameter = Params4bit(tensor, requires_grad=False, **SETTINGS).to(tensor.device)
        return quantised
    return nn.Parameter(tensor, requires_grad=getattr(owner, leaf).requires_grad)
