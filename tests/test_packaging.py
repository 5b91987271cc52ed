"""What `make setup` installs: the packages with their data, without a word that would trouble somebody."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def test_an_editable_install_warns_of_nothing(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in ("pipelines", "studio", "worker"):
        shutil.copytree(
            REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "*.png", "__pycache__")
        )
    (tmp_path / "out").mkdir()
    build = "from setuptools.build_meta import build_editable; build_editable('out')"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert list((tmp_path / "out").glob("understudy-*.whl"))
    # pip passes on what is a warning of Python's: of folders that "may take precedence during imports".
    assert "Editable installation." not in done.stderr, done.stderr[-1000:]
