"""The model with the golden weights."""

from __future__ import annotations

import pytest

from pipelines.models.bagel.model import BagelModel
from tests.models.bagel.golden_numbers import golden_model


@pytest.fixture(scope="module")
def shared_model() -> BagelModel:
    return golden_model()


@pytest.fixture
def model(shared_model: BagelModel) -> BagelModel:
    shared_model.zero_grad()
    return shared_model
