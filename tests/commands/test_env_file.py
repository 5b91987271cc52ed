"""`understudy init-env`: fresh each time, private, never over an old file, and the example is what it starts from."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands.env_file import EXAMPLE, SECRETS

ROOT = Path(__file__).resolve().parents[2]


def values(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_secrets_are_new_and_long(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        assert main(["init-env"]) == 0
        found.append(values(capsys.readouterr().out))
    assert set(found[0]) == set(values(EXAMPLE)) and set(SECRETS) <= set(found[0])
    for name in SECRETS:
        assert found[0][name] != found[1][name] and len(found[0][name]) >= 13
        assert found[0][name].replace("root-", "").isalnum()  # may stand in an address, a shell and YAML
    assert {name for name in found[0] if found[0][name] != values(EXAMPLE)[name]} == set(SECRETS)


def test_the_file_is_private_and_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / ".env"
    assert main(["init-env", "--out", str(out), "--json"]) == 0
    text = out.read_text()
    said = capsys.readouterr()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not [name for name in SECRETS if values(text)[name] in said.out + said.err]
    assert main(["init-env", "--out", str(out)]) == 1
    assert "move it away" in capsys.readouterr().err and out.read_text() == text
    assert main(["init-env", "--json"]) == 2


def test_the_example_in_the_repository_is_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-env", "--example"]) == 0
    assert capsys.readouterr().out == (ROOT / ".env.example").read_text(encoding="utf-8")
