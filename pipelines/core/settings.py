"""Settings from environment variables, read in one place.

Everything has a default that works on one machine with nothing set. `Settings.from_environment()` is called where a
program starts and the result handed on; nothing is read at import time. A variable that is set but empty counts as not
set, as compose files write it. Values that contradict each other raise SettingError with the
names of the variables.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_HOME = "~/.understudy"
MAX_SECONDS = 30 * 24 * 3600
"""No time of a setting is longer; days that no calendar has stop every clock."""
HEARTBEATS_PER_LEASE = 3
"""Fewest heartbeats in a lease: two may be lost to a slow disk or network before a job is given to another worker."""
RENAMED_VARIABLES = {
    "UNDERSTUDY_LLM_URL": "UNDERSTUDY_EXPAND_URL",
    "UNDERSTUDY_LLM_KEY": "UNDERSTUDY_EXPAND_KEY",
    "UNDERSTUDY_LLM_MODEL": "UNDERSTUDY_EXPAND_MODEL",
    "UNDERSTUDY_LLM_TIMEOUT_S": "UNDERSTUDY_EXPAND_TIMEOUT_S",
    "UNDERSTUDY_HANG_TIMEOUT_S": "UNDERSTUDY_SILENCE_S",
}
"""Name -> name in 0.1. The old one is still read, so that a .env of then starts the same services; where both are set
the new one counts."""


class SettingError(ValueError):
    """A value that cannot be used, or several that contradict each other; `variables` are what they are called."""

    def __init__(self, message: str, *variables: str) -> None:
        super().__init__(message)
        self.variables = variables


@dataclass(frozen=True)
class Settings:
    """Every setting; the docstring of each begins with its variable."""

    home: Path
    """UNDERSTUDY_HOME: where model cache, runs and the embedded database live; `~/.understudy` unless set."""
    models: str = ""
    """UNDERSTUDY_MODELS: folder with published weights in folders of their own, such as `Janus-Pro-1B`; looked at
    before the hub. Empty: the hub's cache, then the hub."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """UNDERSTUDY_REVISIONS: other revisions of published weights, such as `janus-pro-7b=COMMIT,dinov2=COMMIT`."""
    llm_url: str = ""
    """UNDERSTUDY_LLM_URL: OpenAI-compatible endpoint that writes more interactions, such as
    `http://localhost:8000/v1`; empty means that nothing is ever sent anywhere."""
    llm_key: str = ""
    """UNDERSTUDY_LLM_KEY: the endpoint's key; never printed or stored."""
    llm_model: str = ""
    """UNDERSTUDY_LLM_MODEL: the endpoint's model name; needed when the URL is set."""
    llm_timeout_s: float = 60.0
    """UNDERSTUDY_LLM_TIMEOUT_S: seconds to wait for one answer of the endpoint."""
    database_url: str = ""
    """UNDERSTUDY_DATABASE_URL: where the records are, `sqlite:///FILE` or `postgresql://...`; the file `understudy.db`
    in the home unless set."""
    broker_url: str = ""
    """UNDERSTUDY_BROKER_URL: the message broker that wakes workers, `redis://...` or `sqla+sqlite:///FILE`; the file
    `broker.db` in the home unless set."""
    objects: str = ""
    """UNDERSTUDY_OBJECTS: folder of pictures, adapters, samples and exports, or the word `s3`; `objects` in the home
    unless set."""
    s3_endpoint_internal: str = ""
    """UNDERSTUDY_S3_ENDPOINT_INTERNAL: the S3 server as these programs reach it, such as `http://minio:9000`."""
    s3_endpoint_public: str = ""
    """UNDERSTUDY_S3_ENDPOINT_PUBLIC: the same server as a browser reaches it; download links are signed for this
    host, so it cannot be rewritten afterwards. The internal one unless set."""
    s3_bucket: str = "understudy"
    """UNDERSTUDY_S3_BUCKET: the private bucket; it must exist."""
    s3_access_key: str = ""
    """UNDERSTUDY_S3_ACCESS_KEY: the access key id for the S3 server."""
    s3_secret_key: str = ""
    """UNDERSTUDY_S3_SECRET_KEY: the secret that belongs to it; never printed or stored."""
    s3_region: str = "us-east-1"
    """UNDERSTUDY_S3_REGION: part of every signature; has a default, so that no client asks the server for it."""
    lease_s: float = 60.0
    """UNDERSTUDY_LEASE_S: seconds without a heartbeat after which a job is given to another worker."""
    heartbeat_s: float = 10.0
    """UNDERSTUDY_HEARTBEAT_S: seconds between a worker's heartbeats; at most a third of the lease."""
    hang_timeout_s: float = 900.0
    """UNDERSTUDY_HANG_TIMEOUT_S: seconds without an event after which a trainer counts as hung and is ended."""
    stop_grace_s: float = 120.0
    """UNDERSTUDY_STOP_GRACE_S: seconds a trainer has to save after it was asked to stop, before it is killed."""
    studio_address: str = "127.0.0.1"
    """UNDERSTUDY_STUDIO_ADDRESS: network address the web program listens on; only this machine unless set. `0.0.0.0`
    is for a container, whose ports are published by hand."""
    studio_port: int = 8501
    """UNDERSTUDY_STUDIO_PORT: TCP port of the web program."""
    owner: str = "local"
    """UNDERSTUDY_OWNER: whose characters and jobs these are where nobody has logged in."""

    def __post_init__(self) -> None:
        # Defaults that lie in the home can only be named once the home is known.
        defaults = {
            "database_url": f"sqlite:///{self.home / 'understudy.db'}",
            "broker_url": f"sqla+sqlite:///{self.home / 'broker.db'}",
            "objects": str(self.home / "objects"),
            "s3_endpoint_public": self.s3_endpoint_internal,
        }
        given = vars(self)
        for name, default in defaults.items():
            if not given[name]:
                object.__setattr__(self, name, default)  # the dataclass is frozen
        self._check_llm()
        self._check_addresses()
        self._check_times()
        if not self.owner:
            raise SettingError("UNDERSTUDY_OWNER is empty: name somebody, such as local", "UNDERSTUDY_OWNER")
        if not 1 <= self.studio_port <= 65535:
            raise SettingError(
                f"UNDERSTUDY_STUDIO_PORT is {self.studio_port}: a port is between 1 and 65535", "UNDERSTUDY_STUDIO_PORT"
            )

    def _check_llm(self) -> None:
        if self.llm_url and urlsplit(self.llm_url).scheme not in ("http", "https"):
            raise SettingError("UNDERSTUDY_LLM_URL must begin with http:// or https://", "UNDERSTUDY_LLM_URL")
        if self.llm_url and not self.llm_model:
            raise SettingError(
                "UNDERSTUDY_LLM_URL is set but UNDERSTUDY_LLM_MODEL is not: name the model to ask",
                "UNDERSTUDY_LLM_URL",
                "UNDERSTUDY_LLM_MODEL",
            )

    def _check_addresses(self) -> None:
        # Passwords stand in these addresses, so an error never shows one.
        if not self.database_url.startswith(("sqlite:///", "postgresql+psycopg://", "postgresql://", "postgres://")):
            raise SettingError(
                "UNDERSTUDY_DATABASE_URL must begin with sqlite:/// or postgresql://", "UNDERSTUDY_DATABASE_URL"
            )
        if self.database_url in ("sqlite:///", "sqlite:///:memory:"):
            raise SettingError(
                "UNDERSTUDY_DATABASE_URL must name a file: several processes share the records",
                "UNDERSTUDY_DATABASE_URL",
            )
        if not self.broker_url.startswith(("redis://", "rediss://", "sqla+sqlite:///")):
            raise SettingError(
                "UNDERSTUDY_BROKER_URL must begin with redis:// or rediss:// (Valkey too), or sqla+sqlite:///",
                "UNDERSTUDY_BROKER_URL",
            )
        if not self.uses_s3:
            if self.s3_endpoint_internal:
                raise SettingError(
                    "UNDERSTUDY_S3_ENDPOINT_INTERNAL is set but UNDERSTUDY_OBJECTS is a folder: "
                    "set UNDERSTUDY_OBJECTS=s3, or take the endpoint away",
                    "UNDERSTUDY_S3_ENDPOINT_INTERNAL",
                    "UNDERSTUDY_OBJECTS",
                )
            return
        needed = {
            "UNDERSTUDY_S3_ENDPOINT_INTERNAL": self.s3_endpoint_internal,
            "UNDERSTUDY_S3_BUCKET": self.s3_bucket,
            "UNDERSTUDY_S3_ACCESS_KEY": self.s3_access_key,
            "UNDERSTUDY_S3_SECRET_KEY": self.s3_secret_key,
            "UNDERSTUDY_S3_REGION": self.s3_region,
        }
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise SettingError(
                f"UNDERSTUDY_OBJECTS is s3 but {' and '.join(missing)} {_is_are(missing)} not set",
                "UNDERSTUDY_OBJECTS",
                *missing,
            )
        _check_endpoint("UNDERSTUDY_S3_ENDPOINT_INTERNAL", self.s3_endpoint_internal)
        _check_endpoint("UNDERSTUDY_S3_ENDPOINT_PUBLIC", self.s3_endpoint_public)

    def _check_times(self) -> None:
        times = {
            "UNDERSTUDY_LEASE_S": self.lease_s,
            "UNDERSTUDY_HEARTBEAT_S": self.heartbeat_s,
            "UNDERSTUDY_HANG_TIMEOUT_S": self.hang_timeout_s,
            "UNDERSTUDY_STOP_GRACE_S": self.stop_grace_s,
            "UNDERSTUDY_LLM_TIMEOUT_S": self.llm_timeout_s,
        }
        for name, seconds in times.items():
            if not 0 < seconds <= MAX_SECONDS:  # also refuses nan
                told = f"it must be above 0 seconds, and at most {MAX_SECONDS:,}"
                raise SettingError(f"{name} is {seconds:g}: {told}", name)
        if self.heartbeat_s * HEARTBEATS_PER_LEASE > self.lease_s:
            raise SettingError(
                f"UNDERSTUDY_HEARTBEAT_S is {self.heartbeat_s:g} and UNDERSTUDY_LEASE_S is {self.lease_s:g}: "
                "a heartbeat may be at most a third of the lease, or one slow moment loses the job",
                "UNDERSTUDY_HEARTBEAT_S",
                "UNDERSTUDY_LEASE_S",
            )

    def __repr__(self) -> str:
        # No key or password may reach a log through an exception or a debugger print.
        secret = {"llm_key", "s3_access_key", "s3_secret_key"}
        shown = (f"{name}={without_password(str(value))!r}" for name, value in vars(self).items() if name not in secret)
        return f"Settings({', '.join(shown)})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the variables; ValueError names the variable that is wrong."""
        given = os.environ if environment is None else environment
        values = {name: text.strip() for name, text in given.items() if name.startswith("UNDERSTUDY_")}
        odd = next((name for name, text in values.items() if any(map(_is_odd, text))), "")
        if odd:
            raise SettingError(f"{odd} holds a sign that no setting has: a control character, or no UTF-8", odd)
        from_old = {new: old for new, old in RENAMED_VARIABLES.items() if not values.get(new) and values.get(old)}
        try:
            return cls._from_values(values | {new: values[old] for new, old in from_old.items()})
        except SettingError as error:
            # It names the variables as they are called today, which an old .env does not hold.
            old_names = [f"{new} was read from {old}" for new, old in from_old.items() if new in error.variables]
            if not old_names:
                raise
            raise SettingError(f"{error} ({', '.join(old_names)})", *error.variables) from error

    @classmethod
    def _from_values(cls, values: Mapping[str, str]) -> Settings:
        def text(name: str, default: str = "") -> str:
            return values.get(f"UNDERSTUDY_{name}", "") or default

        def seconds(name: str, default: float) -> float:
            given = text(name, str(default))
            try:
                return float(given)
            except ValueError as error:
                raise SettingError(
                    f"UNDERSTUDY_{name} is {given!r}, not a number of seconds", f"UNDERSTUDY_{name}"
                ) from error

        port = text("STUDIO_PORT", str(cls.studio_port))
        if not port.isdecimal():
            raise SettingError(
                f"UNDERSTUDY_STUDIO_PORT is {port!r}, not a port number such as {cls.studio_port}",
                "UNDERSTUDY_STUDIO_PORT",
            )
        objects = text("OBJECTS")
        return cls(
            home=Path(text("HOME", DEFAULT_HOME)).expanduser().resolve(),
            models=str(Path(text("MODELS")).expanduser().resolve()) if text("MODELS") else "",
            revisions=_revisions(text("REVISIONS")),
            llm_url=text("LLM_URL").rstrip("/"),
            llm_key=text("LLM_KEY"),
            llm_model=text("LLM_MODEL"),
            llm_timeout_s=seconds("LLM_TIMEOUT_S", cls.llm_timeout_s),
            database_url=text("DATABASE_URL"),
            broker_url=text("BROKER_URL"),
            objects=objects if objects in ("", "s3") else str(Path(objects).expanduser().resolve()),
            s3_endpoint_internal=text("S3_ENDPOINT_INTERNAL").rstrip("/"),
            s3_endpoint_public=text("S3_ENDPOINT_PUBLIC").rstrip("/"),
            s3_bucket=text("S3_BUCKET", cls.s3_bucket),
            s3_access_key=text("S3_ACCESS_KEY"),
            s3_secret_key=text("S3_SECRET_KEY"),
            s3_region=text("S3_REGION", cls.s3_region),
            lease_s=seconds("LEASE_S", cls.lease_s),
            heartbeat_s=seconds("HEARTBEAT_S", cls.heartbeat_s),
            hang_timeout_s=seconds("HANG_TIMEOUT_S", cls.hang_timeout_s),
            stop_grace_s=seconds("STOP_GRACE_S", cls.stop_grace_s),
            studio_address=text("STUDIO_ADDRESS", cls.studio_address),
            studio_port=int(port),
            owner=text("OWNER", cls.owner),
        )

    @property
    def worker_alive_s(self) -> float:
        """A worker whose last heartbeat is at most so many seconds old counts as running."""
        return HEARTBEATS_PER_LEASE * self.heartbeat_s

    @property
    def uses_s3(self) -> bool:
        """Whether bytes are kept on an S3 server rather than in a folder."""
        return self.objects == "s3"

    @property
    def cache_folder(self) -> Path:
        """Base models made ready for loading; may be deleted at any time."""
        return self.home / "cache"

    @property
    def runs_folder(self) -> Path:
        """Run folders of jobs; `understudy train` writes to its `--out`."""
        return self.home / "runs"


def _is_odd(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cs")


NEEDED_BY_CHILDREN = ("UNDERSTUDY_HOME", "UNDERSTUDY_MODELS", "UNDERSTUDY_REVISIONS")
"""What a process that trains, or reads an upload, needs of our settings."""
SECRET_CHARACTERS = 8
"""A shorter value is not looked for inside of others."""
_OF_SERVERS = re.compile(
    r"UNDERSTUDY_.*|(POSTGRES|REDIS|REDISCLI|MINIO|AWS|S3|CELERY|DATABASE|BROKER)_.*"
    r"|PG(PASSWORD|PASSFILE|USER|HOST|PORT|DATABASE|SERVICE|SERVICEFILE)|.*(PASSWORD|SECRET).*"
)
_SECRET = re.compile(r".*(PASSWORD|SECRET|ACCESS_KEY|LLM_KEY|EXPAND_KEY|AUTH).*")
_PASSWORD_IN_URL = re.compile(r"\w://[^:/@\s]*:([^@\s]+)@")


def shared_cache_dir() -> Path:
    """The model cache of the default home, which other homes look into before they fetch; it need not exist."""
    return Path(os.path.expanduser(DEFAULT_HOME)) / "cache"  # unlike Path's, it never raises: a container has no home


def cache_dir() -> Path:
    """The model cache of this environment, created when missing."""
    folder = Settings.from_environment().cache_folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def environment_without_secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that needs no server: of our settings only NEEDED_BY_CHILDREN, no address, key or
    password of records, broker or objects under any name, whether set for us or for the servers themselves."""
    given = dict(os.environ if environment is None else environment)
    ours = {name: text for name, text in given.items() if _OF_SERVERS.fullmatch(name)}
    secrets = {text for name, text in ours.items() if _SECRET.fullmatch(name)}
    secrets |= {password for text in ours.values() for password in _PASSWORD_IN_URL.findall(text)}
    hidden = [text for text in secrets if len(text) >= SECRET_CHARACTERS]
    return {
        name: text
        for name, text in given.items()
        if name in NEEDED_BY_CHILDREN or not (name in ours or any(secret in text for secret in hidden))
    }


def without_password(url: str) -> str:
    """An address that may be shown: `redis://:secret@host/0` -> `redis://:***@host/0`; other text stays as it is."""
    # Not urlsplit, which raises on some passwords. Up to the last @, so that an @ in a password does not end it early.
    match = re.fullmatch(r"([A-Za-z0-9+.-]+://)(.*)@([^@]*)", url, flags=re.DOTALL)
    if match is None:
        return url
    scheme, credentials, rest = match.groups()
    return f"{scheme}{credentials.partition(':')[0]}:***@{rest}"


def _revisions(given: str) -> dict[str, str]:
    """`a=1,b=2` as a dict."""
    pairs = [word.partition("=") for word in given.split(",") if word.strip()]
    wrong = [name for name, _, revision in pairs if not name.strip() or not revision.strip()]
    if wrong:
        raise SettingError(
            f"UNDERSTUDY_REVISIONS: {wrong[0]!r} names no revision; write it like janus-pro-7b=COMMIT",
            "UNDERSTUDY_REVISIONS",
        )
    return {name.strip(): revision.strip() for name, _, revision in pairs}


def _check_endpoint(name: str, endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"{name} must be like http://minio:9000 or https://objects.example.org", name)
    if parts.path or parts.query or "@" in parts.netloc:
        raise SettingError(f"{name} must be only http:// or https://, a host and a port: no path and no password", name)


def _is_are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
