"""Linear layers for small batches give the library's numbers and leave nothing behind on the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipelines.models.decoding import small_batch_linear
from pipelines.models.decoding.small_batch_linear import (
    MAX_SMALL_BATCH,
    MIN_WEIGHT_NUMEL,
    fast_linears,
    small_batch_matmul,
)

WIDTH = 512


@pytest.mark.parametrize("rows", [1, 2, MAX_SMALL_BATCH, MAX_SMALL_BATCH + 1])
@pytest.mark.parametrize("bias", [None, torch.randn(MIN_WEIGHT_NUMEL // WIDTH)])
def test_a_product_is_that_of_the_library(rows: int, bias: torch.Tensor | None) -> None:
    weight, inputs = torch.randn(MIN_WEIGHT_NUMEL // WIDTH, WIDTH), torch.randn(rows, WIDTH)
    product = small_batch_matmul(inputs, weight, bias)
    assert torch.allclose(product, nn.functional.linear(inputs, weight, bias), atol=1e-4)
    assert product.is_contiguous()


def test_inside_large_linears_are_replaced_and_outside_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4), nn.GELU())
    inputs = torch.randn(2, 3, WIDTH)
    before = model(inputs)
    shapes: list[tuple[int, ...]] = []

    def recorded(flat: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(flat.shape))
        return small_batch_matmul(flat, *rest)

    monkeypatch.setattr(small_batch_linear, "small_batch_matmul", recorded)
    with torch.no_grad(), pytest.raises(RuntimeError, match="stop"), fast_linears(model):
        assert torch.allclose(model(inputs), before, atol=1e-5)
        with fast_linears(model):  # a call inside a call leaves the outer one's work
            pass
        assert "forward" in vars(model[0]) and "forward" not in vars(model[1])
        raise RuntimeError("stop")
    assert shapes == [(6, WIDTH)]
    assert all("forward" not in vars(module) for module in model)
