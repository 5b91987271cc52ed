"""What is handed out of a checkpoint: whole, readable again, and nothing of this machine in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from pipelines.core.cards import read_card
from pipelines.core.settings import Settings
from studio.actions import downloads
from studio.actions.compare import NotNow
from studio.desk import Desk, open_desk
from tests.studio import staged


def test_the_zip_has_adapter_card_scores_report_and_manifest(desk: Desk, tmp_path: Path) -> None:
    job = staged.trained(desk, staged.published(desk, tmp_path / "ada"))
    made = downloads.adapter_zip(desk, f"{job.id}:grpo-000002")
    assert made.filename == "ada-grpo-000002.zip" and isinstance(made.place, Path)
    with zipfile.ZipFile(made.place) as archive:
        files = {name.removeprefix("ada-grpo-000002/"): archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        "README.md", "adapter/README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
        "card.png", "manifest.json", "report.html", "samples.png", "scores.json",
    }  # fmt: skip
    assert files["adapter/adapter_model.safetensors"] == b"weights of grpo-000002"
    manifest = json.loads(files["manifest.json"])
    assert manifest["base_model"] == "starter-toy" and manifest["scores"]["likeness"] == 0.5
    assert read_card(files["card.png"], "card.png").character.name == "Ada"
    assert b"0.70" in files["report.html"] and b"Ada" in files["report.html"]  # the voice: 1 - 30 / 100
    assert not any(str(desk.settings.home).encode() in data for data in files.values())
    assert downloads.adapter_zip(desk, f"{job.id}:grpo-000002") == made  # the same bytes are kept once


def test_a_charx_carries_the_adapter(desk: Desk, tmp_path: Path) -> None:
    job = staged.trained(desk, staged.published(desk, tmp_path / "ada", name="Ada Ünd <Co>"))
    made = downloads.charx(desk, f"{job.id}:sft-000004")
    assert made.filename == "ada-und-co-sft-000004.charx" and isinstance(made.place, Path)
    card = read_card(made.place.read_bytes(), made.filename)
    assert card.character.name == "Ada Ünd <Co>" and len(card.images) == 6
    assert card.adapter_files["adapter_model.safetensors"] == b"weights of sft-000004"


def test_the_base_has_nothing_to_download(desk: Desk, tmp_path: Path) -> None:
    job = staged.trained(desk, staged.published(desk, tmp_path / "ada"))
    with pytest.raises(NotNow, match="no adapter"):
        downloads.adapter_zip(desk, f"{job.id}:base")


def test_from_s3_it_is_a_link(s3_settings: Settings, tmp_path: Path) -> None:
    desk = open_desk(s3_settings)
    job = staged.trained(desk, staged.published(desk, tmp_path / "ada"))
    place = downloads.adapter_zip(desk, f"{job.id}:grpo-000002").place
    assert isinstance(place, str) and place.startswith(s3_settings.s3_endpoint_public) and "X-Amz-Signature" in place
    desk.records.close()
