"""The second identity encoder at toy size: it learns, is calibrated, and names whose picture it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.evaluation.identity_encoder import IdentityEncoder, IdentityEncoderConfig
from pipelines.starter_build.broad_domain import BroadDomain
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_identity_encoder import augment, train_identity_encoder
from pipelines.starter_build.build_loop import Budget
from pipelines.starter_build.streaming_dataset import BroadStream
from tests.starter_build.toy_symbols import toy_symbols_file


def test_it_learns_from_the_broad_domain_and_is_saved(tmp_path: Path) -> None:
    domain = BroadDomain(symbols_file=toy_symbols_file(tmp_path))
    stream = BroadStream(domain, px=32, window=80, processes=1)
    try:
        scores = train_identity_encoder(stream, domain, tmp_path, Budget(3.0), SIZES["toy"], held_out_subjects=4)
        with pytest.raises(ValueError, match="the window holds 2"):
            stream.groups = 2
            train_identity_encoder(stream, domain, tmp_path, Budget(3.0), SIZES["toy"])
    finally:
        stream.close()
    assert {"among_4_figures", "among_4_turned_figures", "among_4_symbols", "verification", "steps"} <= set(scores)
    model = IdentityEncoder.from_pretrained(tmp_path / "model").float().eval()
    assert model.config.threshold != 0.5 and model.embed(torch.zeros(3, 3, 50, 50)).shape == (3, 8)


def test_the_nearest_gallery_is_that_of_the_most_alike() -> None:
    model = IdentityEncoder(IdentityEncoderConfig(32, (8, 8), 4, slope=10.0, threshold=0.5))
    east, north = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1.0, 0, 0])
    galleries = [torch.stack([north, north]), torch.stack([east, east, north])]
    assert model.nearest_gallery(torch.stack([east, north]), galleries).tolist() == [1, 0]
    same = model.same_character(east[None], torch.stack([east, north]))
    assert same[0, 0] > 0.99 > 0.01 > same[0, 1]


def test_changed_pictures_stay_pictures() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(6, 3, 32, 32) * 2 - 1
    changed = augment(pixels)
    assert changed.shape == pixels.shape and changed.abs().max() <= 1 and not torch.equal(changed, pixels)
