"""Settings from the environment: the one place that reads it.

Everything has a default that works on one machine with nothing set. `Settings.from_environment()` is read where a
program starts and handed on; nothing is read at import time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Settings:
    """What may be set from outside; the name of the variable stands in each docstring."""

    home: Path
    """UNDERSTUDY_HOME: where model cache, runs and the embedded database live; `~/.understudy` unless set."""
    expand_url: str = ""
    """UNDERSTUDY_EXPAND_URL: OpenAI-compatible endpoint that writes more interactions, such as
    `http://localhost:8000/v1`; empty means that nothing is ever sent anywhere."""
    expand_key: str = ""
    """UNDERSTUDY_EXPAND_KEY: the endpoint's key; never printed or stored."""
    expand_model: str = ""
    """UNDERSTUDY_EXPAND_MODEL: the endpoint's model name; needed when the URL is set."""
    expand_timeout_s: float = 60.0
    """UNDERSTUDY_EXPAND_TIMEOUT_S: seconds to wait for one answer of the endpoint."""

    def __post_init__(self) -> None:
        if self.expand_url and urlsplit(self.expand_url).scheme not in ("http", "https"):
            raise ValueError("UNDERSTUDY_EXPAND_URL must begin with http:// or https://")
        if self.expand_url and not self.expand_model:
            raise ValueError("UNDERSTUDY_EXPAND_URL is set but UNDERSTUDY_EXPAND_MODEL is not: name the model to ask")
        if self.expand_timeout_s <= 0:
            raise ValueError("UNDERSTUDY_EXPAND_TIMEOUT_S must be above 0 seconds")

    def __repr__(self) -> str:
        # The key must not reach a log through an exception or a debugger print.
        return f"Settings(home={str(self.home)!r}, expand_url={self.expand_url!r}, expand_model={self.expand_model!r})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the variables; ValueError names the variable that is wrong."""
        values = os.environ if environment is None else environment
        home = values.get("UNDERSTUDY_HOME", "").strip() or "~/.understudy"
        timeout = values.get("UNDERSTUDY_EXPAND_TIMEOUT_S", "60")
        try:
            timeout_s = float(timeout)
        except ValueError as error:
            raise ValueError(f"UNDERSTUDY_EXPAND_TIMEOUT_S is {timeout!r}, not a number of seconds") from error
        return cls(
            home=Path(home).expanduser().resolve(),
            expand_url=values.get("UNDERSTUDY_EXPAND_URL", "").strip().rstrip("/"),
            expand_key=values.get("UNDERSTUDY_EXPAND_KEY", "").strip(),
            expand_model=values.get("UNDERSTUDY_EXPAND_MODEL", "").strip(),
            expand_timeout_s=timeout_s,
        )

    @property
    def cache_folder(self) -> Path:
        """Converted base models; may be deleted at any time."""
        return self.home / "cache"

    @property
    def runs_folder(self) -> Path:
        """Where the studio's runs go; the command line writes where it is told."""
        return self.home / "runs"


def cache_dir() -> Path:
    """The model cache of this environment, created when missing."""
    folder = Settings.from_environment().cache_folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder
