"""What is handed out of a checkpoint: whole, readable again, and nothing of this machine in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pipelines.core.formats.cards import read_card
from pipelines.core.settings import Settings
from pipelines.core.storage.store import link
from studio import download_route
from studio.actions import downloads
from studio.actions.compare import NotPossible
from studio.context import AppContext, open_context
from tests.studio import staged


def place(context: AppContext, made: downloads.Download) -> Path:
    found = link(context.store, made.key, 60, made.filename)
    assert isinstance(found, Path)
    return found


def test_the_zip_has_adapter_card_scores_report_and_manifest(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    made = downloads.adapter_zip(context, f"{job.id}:grpo-000002")
    assert made.filename == "ada-practice-step-2.zip"
    with zipfile.ZipFile(place(context, made)) as archive:
        files = {name.removeprefix("ada-practice-step-2/"): archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        "README.md",
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/references.safetensors",
        "adapter/references/01.jpg",
        "adapter/references/02.jpg",
        "card.png",
        "manifest.json",
        "report.html",
        "samples.png",
        "scores.json",
    }
    assert files["adapter/adapter_model.safetensors"] == b"weights of grpo-000002"
    readme = files["README.md"].decode()
    assert "pictures of the character (2)" in readme and "`adapter/references.safetensors`" in readme
    assert 'read_references(Path("adapter"))' in readme
    manifest = json.loads(files["manifest.json"])
    assert manifest["base_model"] == "starter-toy" and manifest["scores"]["likeness"] == 0.5
    assert read_card(files["card.png"], "card.png").character.name == "Ada"
    report = files["report.html"].decode()
    assert "<td>70</td>" in report and "Ada" in report and "data:image/png;base64," in report  # voice: 1 - 30 / 100
    assert 'src="samples' not in report and "http" not in report  # everything is inside
    assert not any(str(context.settings.home).encode() in data for data in files.values())
    assert downloads.adapter_zip(context, f"{job.id}:grpo-000002") == made  # the same bytes are kept once


def test_a_charx_carries_the_adapter(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada", name="Ada Ünd <Co>"))
    made = downloads.charx(context, f"{job.id}:sft-000004")
    assert made.filename == "ada-und-co-basics-step-4.charx"
    card = read_card(place(context, made).read_bytes(), made.filename)
    assert card.character.name == "Ada Ünd <Co>" and len(card.images) == 6
    assert card.adapter_files["adapter_model.safetensors"] == b"weights of sft-000004"
    assert {"references.safetensors", "references/01.jpg"} <= set(card.adapter_files)


def test_the_adapter_alone_and_the_report_alone(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada", name="<script>alert(1)</script>"))
    alone = downloads.adapter_alone(context, f"{job.id}:sft-000004")
    with zipfile.ZipFile(place(context, alone)) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    adapter = {"README.md", "adapter_config.json", "adapter_model.safetensors", "references.safetensors"}
    assert names == adapter | {"references/01.jpg", "references/02.jpg"}
    page = place(context, downloads.report_alone(context, f"{job.id}:sft-000004")).read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "Will it rain on day 1?" in page


def test_an_adapter_of_another_strength_says_so_in_its_alpha(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    ref = f"{job.id}:sft-000004"
    for make in (downloads.adapter_alone, downloads.adapter_zip, downloads.charx):
        made = make(context, ref, 0.8)
        assert "basics-step-4-strength-80" in made.filename and made.key != make(context, ref).key
        with zipfile.ZipFile(place(context, made)) as archive:
            (config,) = [name for name in archive.namelist() if name.endswith("adapter_config.json")]
            assert json.loads(archive.read(config))["lora_alpha"] == pytest.approx(12.8)
            told = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("/manifest.json")]
            assert all(manifest["strength"] == 0.8 for manifest in told)


def test_the_route_hands_out_what_was_signed_and_nothing_else(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    made = downloads.adapter_alone(context, f"{job.id}:sft-000004")
    browser = TestClient(Starlette(routes=[download_route.ROUTE]))
    address = downloads.address(context, made)
    answer = browser.get(f"/{address}")
    assert answer.status_code == 200 and answer.content == place(context, made).read_bytes()
    assert answer.headers["content-disposition"] == f'attachment; filename="{made.filename}"'
    _, ticket, name = address.split("/")
    key = context.records.checkpoints.get(job.id, "sft-000004").files["scores.json"]
    forged = download_route.address(key, name, 60).split("/")[1].split(".")[0] + "." + ticket.split(".")[1]
    late = download_route.address(made.key, name, -1).split("/")[1]
    for wrong in (forged, late, ticket[:-1], "x", f"{ticket}0", "ä.ö"):
        refused = browser.get(f"/files/{wrong}/{name}")
        assert refused.status_code == 404 and "prepare the download again" in refused.text


def test_the_base_has_nothing_to_download(context: AppContext, tmp_path: Path) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    with pytest.raises(NotPossible, match="no adapter"):
        downloads.adapter_zip(context, f"{job.id}:base")


def test_from_s3_it_is_a_link(s3_settings: Settings, tmp_path: Path) -> None:
    context = open_context(s3_settings)
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    at = downloads.address(context, downloads.adapter_zip(context, f"{job.id}:grpo-000002"))
    assert at.startswith(s3_settings.s3_endpoint_public) and "X-Amz-Signature" in at
    context.records.close()
