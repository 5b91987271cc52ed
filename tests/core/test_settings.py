"""Settings: defaults, each variable, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.settings import Settings, cache_dir


def test_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings.home == Path("~/.understudy").expanduser().resolve()
    assert (settings.expand_url, settings.expand_key, settings.expand_model) == ("", "", "")


def test_variables_are_read_and_the_key_is_not_shown(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "UNDERSTUDY_HOME": str(tmp_path),
            "UNDERSTUDY_EXPAND_URL": "https://a.example/v1/",
            "UNDERSTUDY_EXPAND_MODEL": "m",
            "UNDERSTUDY_EXPAND_KEY": "sesame",
            "UNDERSTUDY_EXPAND_TIMEOUT_S": "5",
        }
    )
    assert settings.cache_folder == tmp_path / "cache" and settings.runs_folder == tmp_path / "runs"
    assert settings.expand_url == "https://a.example/v1" and settings.expand_timeout_s == 5
    assert settings.expand_key == "sesame" and "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"UNDERSTUDY_EXPAND_URL": "a.example", "UNDERSTUDY_EXPAND_MODEL": "m"}, "UNDERSTUDY_EXPAND_URL"),
        ({"UNDERSTUDY_EXPAND_URL": "http://a.example"}, "UNDERSTUDY_EXPAND_MODEL"),
        ({"UNDERSTUDY_EXPAND_TIMEOUT_S": "soon"}, "UNDERSTUDY_EXPAND_TIMEOUT_S"),
        ({"UNDERSTUDY_EXPAND_TIMEOUT_S": "0"}, "UNDERSTUDY_EXPAND_TIMEOUT_S"),
    ],
)
def test_wrong_values_are_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Settings.from_environment(environment)


def test_cache_dir_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / "cache" and cache_dir().is_dir()
