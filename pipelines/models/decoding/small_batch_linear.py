"""Products of few rows on a CPU, the faster way round.

A step of sampling multiplies a handful of rows with every weight of the model. The library puts the rows on the left;
with the weight on the left the same product reads it better: 16 rows through the starter 1.25 times as fast, 8 rows 1.5
times, 2 rows 2.4 times (two cores, torch 2.13). On a GPU, and with many rows, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

MAX_SMALL_BATCH = 32
"""More rows than this are a prompt that is read, where the library's way is as good."""
MIN_WEIGHT_NUMEL = 2**17
"""Weights smaller than this stay in the processor's cache and are not worth turning round."""


def small_batch_matmul(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.linear` of (rows, in), with the weight as the left factor where that is faster."""
    if inputs.device.type != "cpu" or not 1 < len(inputs) <= MAX_SMALL_BATCH or weight.numel() < MIN_WEIGHT_NUMEL:
        return F.linear(inputs, weight, bias)
    # Contiguous on both sides: rows that come column by column take four times as long.
    made = torch.mm(weight, inputs.contiguous().t()).t().contiguous()  # (rows, out)
    return made if bias is None else made + bias


@contextmanager
def fast_linears(model: nn.Module) -> Iterator[None]:
    """Inside, the large Linears of a model on a CPU multiply few rows the faster way round."""
    with override_forward({module: partial(_turned, module) for module in model.modules() if _is_faster(module)}):
        yield


@contextmanager
def override_forward(forwards: Mapping[nn.Module, Callable[..., torch.Tensor]]) -> Iterator[None]:
    """Inside, these modules run the given functions as their forward; one thread at a time."""
    # An attribute of the object stands before the class's method; a hook could add, but not change the product.
    for module, forward in forwards.items():
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module in forwards:
            del vars(module)["forward"]


def _is_faster(module: nn.Module) -> bool:
    if type(module) is not nn.Linear or "forward" in vars(module):
        return False
    return module.weight.device.type == "cpu" and module.weight.numel() >= MIN_WEIGHT_NUMEL


def _turned(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    # Flat, since a product of three dimensions costs twice the overhead.
    flat = inputs.reshape(-1, inputs.shape[-1])
    return small_batch_matmul(flat, module.weight, module.bias).view(*inputs.shape[:-1], -1)
