"""Fixtures for the tests of the checks."""

from __future__ import annotations

import pytest

from pipelines.core.character.character import Character, TestSplit
from tests.core.character.flawless import flawless_character, flawless_split


@pytest.fixture
def ada() -> Character:
    """A character without a single problem."""
    return flawless_character()


@pytest.fixture
def split() -> TestSplit:
    """A held-out split without a single problem for `ada`."""
    return flawless_split()
