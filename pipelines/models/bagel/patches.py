"""Images as tokens and back: patches of latents and of pixels, their grid ids, and the sin-cos table of positions.

A token of latents holds a 2 x 2 patch, one of pixels a 14 x 14 patch, both with the channel fastest, then the column.

Dimension letters: C channels, h and w tokens along an image's sides, p side of a patch, D width.
"""

from __future__ import annotations

import torch

from pipelines.models.bagel.config import LATENT_PATCH


def to_patches(image: torch.Tensor, patch: int) -> torch.Tensor:
    """(C, h * p, w * p) to (h * w, p * p * C)."""
    channels, height, width = image.shape
    grid = image.reshape(channels, height // patch, patch, width // patch, patch)
    return grid.permute(1, 3, 2, 4, 0).reshape(-1, patch * patch * channels)


def from_patches(tokens: torch.Tensor, grid: tuple[int, int], patch: int = LATENT_PATCH) -> torch.Tensor:
    """(h * w, p * p * C) of a grid (h, w) back to (C, h * p, w * p)."""
    rows, columns = grid
    parts = tokens.reshape(rows, columns, patch, patch, -1)
    return parts.permute(4, 0, 2, 1, 3).reshape(-1, rows * patch, columns * patch)


def grid_ids(grid: tuple[int, int], side: int) -> torch.Tensor:
    """(h * w,) places in a table of `side` columns, counted from its upper left corner, whatever the image's width."""
    rows, columns = grid
    if rows > side or columns > side:
        raise ValueError(
            f"an image of {rows} x {columns} tokens is larger than the {side} x {side} that the model knows"
        )
    return (torch.arange(rows)[:, None] * side + torch.arange(columns)).flatten()


def position_table(side: int, width: int) -> torch.Tensor:
    """(side * side, D) float32: the first half of the numbers says the column, the second the row.

    Each half is sin(p * w_i), then cos(p * w_i), with w_i = 10000^(-i / (D / 4)).
    """
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies  # (side, D / 4)
    along = torch.cat([angles.sin(), angles.cos()], 1)  # (side, D / 2) of one coordinate
    of_columns, of_rows = along.repeat(side, 1), along.repeat_interleave(side, 0)
    return torch.cat([of_columns, of_rows], 1).float()
