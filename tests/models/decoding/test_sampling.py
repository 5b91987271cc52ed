"""From logits to the next id: temperature, top-k and nucleus, by hand-computed numbers."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.decoding.sampling import next_ids

FOUR = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def frequencies(**settings: float) -> list[float]:
    """How often each of the four ids is drawn, of 20,000 draws."""
    drawn = next_ids(FOUR.expand(20_000, 4), generator=torch.Generator().manual_seed(0), **settings)
    return (drawn.bincount(minlength=4) / 20_000).tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temperature": 1.0}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0.5}, [0.6849, 0.2466, 0.0616, 0.0068]),  # squares, divided by their sum 0.365
        ({"temperature": 1.0, "top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"temperature": 1.0, "top_k": 9}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 1.0, "top_p": 0.6}, [0.625, 0.375, 0, 0]),  # the second crosses 0.6 and stays
        ({"temperature": 1.0, "top_p": 0.45}, [1, 0, 0, 0]),
        ({"temperature": 1.0, "top_p": 0.9}, [0.5263, 0.3158, 0.1579, 0]),
        ({"temperature": 1.0, "top_p": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 1.0, "top_k": 2, "top_p": 0.6}, [1, 0, 0, 0]),  # 0.625 of what top-k left
        ({"temperature": 0.0, "top_k": 3, "top_p": 0.9}, [1, 0, 0, 0]),
    ],
)
def test_next_ids_draws_from_the_filtered_distribution(settings: dict[str, float], expected: list[float]):
    assert frequencies(**settings) == pytest.approx(expected, abs=0.012)


def test_next_ids_filters_each_row_by_itself_and_keeps_places():
    logits = torch.stack([FOUR, FOUR.flip(0)])
    generator = torch.Generator().manual_seed(0)
    assert next_ids(logits, 1.0, top_p=0.3, generator=generator).tolist() == [0, 3]
    assert next_ids(logits, 1.0, top_k=1, generator=generator).tolist() == [0, 3]
