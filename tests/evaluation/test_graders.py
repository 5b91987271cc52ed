"""The graders as they ship: written by the build, read again, no part of the starter's revision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipelines.evaluation.graders import (
    CLASSIFIER,
    IDENTITY,
    grader_revision,
    load_classifier,
    load_identity_encoder,
)
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.starter.loading import WEIGHTS, compute_revision
from pipelines.starter_build.export import write_graders
from pipelines.starter_build.measure_graders import main, measure_graders
from pipelines.starter_build.starter_card import with_grader_tables


def _build(out: Path) -> Path:
    for name, model in ((CLASSIFIER, load_classifier("starter-toy")), (IDENTITY, load_identity_encoder("starter-toy"))):
        model.to(torch.bfloat16).save_pretrained(out / name / "model")
    return out


def test_graders_are_packed_and_read_again(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "starter-01-of-01.safetensors").write_bytes(b"the starter's own")
    revision = compute_revision(weights)
    sizes = write_graders(_build(tmp_path / "build"), weights)
    assert set(sizes) == {f"{name}/model.safetensors" for name in (CLASSIFIER, IDENTITY)}
    assert compute_revision(weights) == revision  # adapters do not depend on who grades
    pixels = torch.rand(3, 3, 40, 40) * 2 - 1
    for load, name in ((load_classifier, CLASSIFIER), (load_identity_encoder, IDENTITY)):
        toy, shipped = load("starter-toy"), load("starter", weights / name)
        rounded = {key: v.bfloat16().float() if v.is_floating_point() else v for key, v in toy.state_dict().items()}
        assert all(torch.equal(value, rounded[key]) for key, value in shipped.state_dict().items())
        assert not shipped.training and not any(value.requires_grad for value in shipped.parameters())
        assert len(grader_revision(weights / name)) == 12
    toy_answers = load_classifier("starter-toy").bfloat16().float().classify(pixels)
    assert load_classifier("starter", weights / CLASSIFIER).classify(pixels) == toy_answers


def test_graders_that_are_not_trained_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="build classifier"):
        load_classifier("starter", tmp_path)
    with pytest.raises(WeightsMissing, match="build identity"):
        load_identity_encoder("starter", tmp_path)
    assert grader_revision(tmp_path) == "" and write_graders(tmp_path, tmp_path / "none") == {}


def test_weights_may_not_grow_over_the_limit(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "starter-01-of-01.safetensors").write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="1000 bytes are allowed"):
        write_graders(_build(tmp_path / "build"), weights, limit_bytes=1000)
    assert not (weights / CLASSIFIER).exists()


def test_the_card_gets_their_figures_once(tmp_path: Path) -> None:
    card = "# The starter\n\n## Critic\n\n| figure | value |\n"
    assert with_grader_tables(card, tmp_path) == card
    (tmp_path / "classifier.json").write_text('{"place_right": 0.5}')
    (tmp_path / "identity.json").write_text('{"verification": 0.25}')
    first = with_grader_tables(card, tmp_path)
    assert first.startswith(card) and "| place right | 0.5 |" in first and "| verification | 0.25 |" in first
    (tmp_path / "classifier.json").write_text('{"place_right": 0.75}')
    again = with_grader_tables(first, tmp_path)
    assert "0.75" in again and "| place right | 0.5 |" not in again
    assert again.count("## ") == 3 and again.count("verification") == 1
    assert with_grader_tables(again, tmp_path).count("## ") == 3


def test_graders_are_measured_on_real_drawings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = measure_graders(load_classifier("starter-toy"), load_identity_encoder("starter-toy"), count=4, figures=2)
    assert {"real_expression", "real_clothes_kind", "real_place", "real_among_2_figures"} <= set(scores)
    assert 0 <= scores["real_among_2_own_art"] <= 1 and "real_among_2_plim" in scores
    assert main(["--build", str(tmp_path)]) == 0  # which has trained neither
    assert json.loads((tmp_path / "graders.json").read_text()) == json.loads(capsys.readouterr().out) == {}


@pytest.mark.skipif(not (WEIGHTS / CLASSIFIER).is_dir(), reason="these weights ship without graders")
def test_the_shipped_graders_load() -> None:
    assert load_classifier().classify(torch.zeros(1, 3, 256, 256))["place"]
    assert load_identity_encoder().embed(torch.zeros(1, 3, 256, 256)).norm().item() == pytest.approx(1, abs=1e-4)
