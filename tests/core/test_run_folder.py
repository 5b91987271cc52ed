"""The run folder: names, complete checkpoints, whole files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.core.checkpoint_sums import SUMS_FILE
from pipelines.core.events import Event
from pipelines.core.run_folder import (
    ADAPTER_FILES,
    RunError,
    adapters,
    checkpoint_name,
    finish_checkpoint,
    partial_folder,
    read_events,
    read_json,
    repair_event_log,
    stage_and_step,
    write_json,
)


def save(run_dir: Path, stage: str, step: int, files: tuple[str, ...] = ADAPTER_FILES) -> None:
    folder = partial_folder(run_dir, stage, step)
    for name in files:
        (folder / name).touch()
    finish_checkpoint(run_dir, stage, step)


def test_names_and_back() -> None:
    assert checkpoint_name("sft", 60) == "sft-000060"
    assert stage_and_step("grpo-000008") == ("grpo", 8) and stage_and_step("base") == ("base", 0)
    with pytest.raises(ValueError, match="sft-60"):
        stage_and_step("sft-60")


def test_only_complete_checkpoints_count_in_order(tmp_path: Path) -> None:
    assert adapters(tmp_path) == []
    for stage, step in (("grpo", 4), ("sft", 60), ("sft", 30)):
        save(tmp_path, stage, step)
    partial_folder(tmp_path, "sft", 90)
    save(tmp_path, "sft", 91, ADAPTER_FILES[:1])  # somebody deleted the weights
    (tmp_path / "checkpoints" / "base").mkdir()
    assert adapters(tmp_path) == ["sft-000030", "sft-000060", "grpo-000004"]
    assert adapters(tmp_path, "grpo") == ["grpo-000004"]


def test_a_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    save(tmp_path, "sft", 1, (*ADAPTER_FILES, "old"))
    save(tmp_path, "sft", 1)
    there = sorted(path.name for path in (tmp_path / "checkpoints" / "sft-000001").iterdir())
    assert there == sorted((*ADAPTER_FILES, SUMS_FILE))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["sft-000001"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["sft-000001"]


def test_json_is_named_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json does not exist"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text('{"half')
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RunError, match="JSON object"):
        read_json(tmp_path / "run.json")
    write_json(tmp_path / "run.json", {"name": "Zoë"})
    assert read_json(tmp_path / "run.json") == {"name": "Zoë"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_line_cut_off_is_left_out_and_mended(tmp_path: Path) -> None:
    assert repair_event_log(tmp_path) == 0
    whole = Event("sft", 1, 2, {"loss": 1.5}, "ü", ("a",))
    (tmp_path / "events.jsonl").write_text(whole.to_line() + json.dumps({"stage": "sft"})[:9], encoding="utf-8")
    assert read_events(tmp_path) == [whole]
    assert repair_event_log(tmp_path) == 1
    assert (tmp_path / "events.jsonl").read_text(encoding="utf-8") == whole.to_line()
