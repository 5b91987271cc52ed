"""The critic at toy size: shapes and ranges. Its calibration and the shipped one: tests/starter_build."""

from __future__ import annotations

import pytest
import torch

from pipelines.rewards.starter_critic import toy_critic


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
