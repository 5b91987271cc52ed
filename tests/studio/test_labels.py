"""Words of a list: no two of its lines may read the same."""

from __future__ import annotations

from studio.labels import told_apart


def test_equal_labels_are_told_apart() -> None:
    labels = {"a": "Ada", "b": "Ada", "c": "Ada (2)", "d": "Bo", "e": "Ada"}
    found = told_apart(labels)
    assert list(found) == list(labels) and len(set(found.values())) == len(labels)
    assert found["a"] == "Ada" and found["b"] == "Ada (2)" and found["d"] == "Bo"
