"""Each model family in turn."""

from __future__ import annotations

import pytest

from tests.models.families import FAMILIES


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request):
    """(model, tokenizer); tests that change weights build their own."""
    return FAMILIES[request.param](seed=0)


@pytest.fixture(params=list(FAMILIES))
def fresh(request):
    """(model, tokenizer) that a test may change."""
    return FAMILIES[request.param](seed=0)
