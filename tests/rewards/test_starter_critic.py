"""The critic at toy size: shapes, ranges, calibration by hand, and the shipped one on real drawings."""

from __future__ import annotations

import random

import pytest
import torch

from pipelines.rewards.starter_critic import toy_critic
from pipelines.starter_build.build_critic import equal_error


@pytest.fixture
def critic():
    return toy_critic(seed=1)


def test_image_and_text_embeddings_are_unit_vectors_of_one_space(critic):
    features, texts = (
        critic.encode_images(torch.rand(3, 3, 48, 40) * 2 - 1),
        critic.encode_texts(["a red hat", "", "x" * 500]),
    )
    for vectors, width in ((features.caption, 16), (features.identity, 16), (texts, 16), (features.embedding(), 32)):
        assert vectors.shape == (3, width)
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(3), atol=1e-5)


def test_padding_does_not_change_an_embedding(critic):
    assert torch.allclose(
        critic.encode_texts(["blue"])[0], critic.encode_texts(["blue", "a much longer line of words"])[0], atol=1e-5
    )


def test_choices_are_probabilities_and_scores_lie_between_0_and_1(critic):
    features = critic.encode_images(torch.rand(4, 3, 32, 32) * 2 - 1)
    chosen = critic.caption_probs(features, ["sad", "happy", "angry"])
    assert torch.allclose(chosen.sum(-1), torch.ones(4), atol=1e-5)
    likeness = critic.likeness(features, features[:2])
    assert likeness.shape == (4, 2)
    assert likeness[0, 0] == likeness.max()  # nothing is more like a picture than itself
    match = critic.match(features, ["a", "b", "c", "d"])
    assert match.shape == (4,) and match.min() >= 0 and match.max() <= 1


def test_without_words_reading_says_what_to_do(critic):
    critic.table = None
    with pytest.raises(RuntimeError, match="attach_words"):
        critic.encode_texts(["x"])


def test_the_threshold_lies_where_both_errors_are_equal():
    right, wrong = torch.linspace(0.4, 1.0, 61), torch.linspace(0.0, 0.6, 61)
    slope, threshold = equal_error(right, wrong)
    assert threshold == pytest.approx(0.5, abs=0.011)  # symmetric about 0.5 by construction
    # the medians 0.7 and 0.3 are 0.4 apart: 2 * 2.2 / 0.4 puts them at sigmoid(+-2.2) = 0.9 and 0.1
    assert slope == pytest.approx(11.0, rel=0.02)


def test_the_shipped_critic_tells_faces_places_and_figures_apart():
    pytest.importorskip("dicebear", reason="drawing needs the build extra; the other tests do not")
    import numpy as np

    from pipelines.models.starter.vocabulary import PLACES
    from pipelines.rewards.judge import load_starter_critic
    from pipelines.starter_build.dataset import to_pixels
    from pipelines.starter_build.drawings.attributes import FIRST, identity_for
    from pipelines.starter_build.drawings.render_svg import render_image

    critic, rng = load_starter_critic(), random.Random(0)
    looks = [
        (number, FIRST.sample_attributes(rng, identity_for(number))) for number in range(0, 400, 20) for _ in range(2)
    ]
    images = np.stack([np.asarray(render_image(identity_for(n), look)) for n, look in looks])
    features = critic.encode_images(to_pixels(images))
    places = critic.caption_probs(features, list(PLACES)).argmax(1).tolist()
    assert sum(PLACES[found] == look.place for found, (_, look) in zip(places, looks, strict=True)) >= 36  # of 40
    likeness = critic.likeness(features[0::2], features[1::2])
    assert (likeness.argmax(1) == torch.arange(20)).float().mean() >= 0.6
