"""The critic's calibration by hand, and the shipped critic on rendered images of held-out identities."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.models.starter.vocabulary import PLACES
from pipelines.rewards.judge import load_starter_critic
from pipelines.starter_build.build_config import SIZES, BuildConfig
from pipelines.starter_build.build_critic import equal_error, require_identities
from pipelines.starter_build.build_parts import Options, check_window
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import FIRST
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.render_dataset import render_images


def test_the_threshold_lies_where_both_errors_are_equal() -> None:
    positive, negative = torch.linspace(0.4, 1.0, 61), torch.linspace(0.0, 0.6, 61)
    slope, threshold = equal_error(positive, negative)
    assert threshold == pytest.approx(0.5, abs=0.011)  # symmetric about 0.5 by construction
    # the medians 0.7 and 0.3 are 0.4 apart: 2 * 2.2 / 0.4 puts them at sigmoid(+-2.2) = 0.9 and 0.1
    assert slope == pytest.approx(11.0, rel=0.02)


def test_the_shipped_critic_tells_faces_places_and_figures_apart() -> None:
    critic, rng = load_starter_critic(), random.Random(0)
    identities = [FIRST.identity(number) for number in range(0, 400, 20) for _ in range(2)]  # all held out
    shown = [(identity, FIRST.sample_attributes(rng, identity)) for identity in identities]
    images = np.stack([np.asarray(render_image(identity, attributes)) for identity, attributes in shown])
    features = critic.encode_images(to_pixels(images))
    places = critic.caption_probs(features, list(PLACES)).argmax(1).tolist()
    assert sum(PLACES[best] == one.place for best, (_, one) in zip(places, shown, strict=True)) >= 36  # of 40
    likeness = critic.likeness(features[0::2], features[1::2])
    assert (likeness.argmax(1) == torch.arange(20)).float().mean() >= 0.6


def test_a_window_with_too_few_identities_is_refused_before_anything_is_drawn(tmp_path) -> None:
    small = replace(SIZES["gpu"], stream_window=600)
    with pytest.raises(ValueError, match="64 identities, a window of 600 images 60"):
        check_window("critic", small, streams=True)
    check_window("critic", small, streams=False)
    check_window("critic", SIZES["gpu"], streams=True)
    options = Options(tmp_path, BuildConfig("gpu", "wide", True), "cpu", 0, 0, 1, 0, False, None, False, None, 96, 600)
    of_critic, of_eyes = options.size_for("critic"), options.size_for("eyes")
    assert (of_critic.batch_sizes["identities"], of_critic.stream_window) == (16, 600)
    assert of_eyes.batch_sizes["eyes"] == 96 and of_eyes.batch_sizes["identities"] == 64
    render_images(tmp_path, 20, px=16, processes=1)
    with pytest.raises(ValueError, match="only 2 are at hand"):
        require_identities(DrawnDataset.load(tmp_path, "train"), 4)
