"""`make gpu-pack` at a small size: cut, carried call by call in any order, checked and put together again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.benchmarks.gpu_pack import THERE, locked, main, pack
from pipelines.benchmarks.gpu_unpack import WEIGHTS_FOLDER

SIZE = 1000


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A small repository, packed: (tmp_path / "root"), (tmp_path / "pack")."""
    root = tmp_path / "root"
    weights = root / WEIGHTS_FOLDER
    weights.mkdir(parents=True)
    (weights / "starter.safetensors").write_bytes(bytes(range(256)) * 10)
    (root / "program.py").write_text("print('here')\n", encoding="utf-8")
    (root / "left-out.txt").write_text("not committed\n", encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "program.py", str(WEIGHTS_FOLDER)]):
        subprocess.run(["git", *words], cwd=root, check=True)
    pack(tmp_path / "pack", SIZE, root, packages=[])
    return tmp_path / "pack"


def unpack(call: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What is run in a call: with nothing of ours on the path."""
    command = [sys.executable, "-I", str(call / "unpack.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_pack_is_carried_in_calls_and_put_together(packed: Path, tmp_path: Path) -> None:
    calls, there = sorted(packed.glob("call-*")), tmp_path / "there"
    assert len(calls) > 2
    for call in calls:
        carried = [path for path in call.iterdir() if re.search(r"\.\d{3}$", path.name)]
        assert carried and sum(path.stat().st_size for path in carried) <= SIZE
    *first, last = reversed(calls)
    for call in (*first, first[0]):  # in any order, one of them twice
        done = unpack(call, there)
        assert done.returncode == 3 and "still missing" in done.stdout
    done = unpack(last, there)
    assert done.returncode == 0 and "gpu_check --minutes 8" in done.stdout, done.stderr
    tree, root = there / "tree", tmp_path / "root"
    for name in ("program.py", WEIGHTS_FOLDER / "starter.safetensors"):
        assert (tree / name).read_bytes() == (root / name).read_bytes()
    assert not (tree / "left-out.txt").exists() and not list((there / "pieces").iterdir())


def test_a_damaged_piece_is_named_and_not_used(packed: Path, tmp_path: Path) -> None:
    [piece] = packed.rglob("weights.tar.001")
    piece.write_bytes(b"x" * piece.stat().st_size)
    done = unpack(piece.parent, tmp_path / "there")
    assert done.returncode == 1 and "weights.tar.001 is damaged" in done.stderr
    assert not (tmp_path / "there" / "tree").exists()


def test_another_folder_is_not_overwritten(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no pack"):
        main(["--out", str(tmp_path / "root")])
    assert (tmp_path / "root" / "program.py").is_file()


def test_the_packages_are_the_locked_ones_for_the_other_machine() -> None:
    found = locked(["worker", "dev"])
    names = {line.partition("==")[0] for line in found}
    assert {"transformers", "peft", "trl", "celery", "bitsandbytes", "gguf"} <= names
    assert "sqlalchemy" in {name.lower() for name in names}
    assert not names & {"torch", "colorama", "streamlit", "playwright", *THERE}
    assert all(re.fullmatch(r"[\w.-]+==[^=*]+", line) for line in found)
