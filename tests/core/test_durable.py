"""A rename that a power cut cannot undo: bytes, then the name, then the folder's list of names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.core.durable import replace_durably
from pipelines.core.run_folder import finish_checkpoint, partial_folder, write_json


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was written through to the disk and what was renamed, in order; the real calls are made."""
    calls: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.replace

    def note_fsync(number: int) -> None:
        calls.append(("sync", Path(f"/proc/self/fd/{number}").resolve().name))
        fsync(number)

    def note_rename(source: Path, target: Path) -> None:
        calls.append(("rename", Path(target).name))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_rename)
    return calls


def test_a_file_is_on_the_disk_before_it_has_its_name(done: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "fresh").write_text("new", encoding="utf-8")
    (tmp_path / "kept").write_text("old", encoding="utf-8")
    replace_durably(tmp_path / "fresh", tmp_path / "kept")
    assert done == [("sync", "fresh"), ("rename", "kept"), ("sync", tmp_path.name)]
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "new" and not (tmp_path / "fresh").exists()
    done.clear()
    write_json(tmp_path / "run.json", {"a": 1})
    assert done == [("sync", ".run.json.new"), ("rename", "run.json"), ("sync", tmp_path.name)]


def test_all_of_a_checkpoint_is_on_the_disk_before_it_has_its_name(done: list[tuple[str, str]], tmp_path: Path) -> None:
    folder = partial_folder(tmp_path, "sft", 4)
    (folder / "references").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "references/01.jpg"):
        (folder / name).write_bytes(b"data")
    finish_checkpoint(tmp_path, "sft", 4)
    named = done.index(("rename", "sft-000004"))
    before = {name for what, name in done[:named] if what == "sync"}
    assert before == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "sha256.json",
        "01.jpg",
        "references",
        ".partial-sft-000004",
    }
    assert done[named + 1 :] == [("sync", "checkpoints")]
