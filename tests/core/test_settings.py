"""Settings: defaults, each variable, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.commands.env_file import SECRETS, environment_text
from pipelines.core.settings import (
    RENAMED_VARIABLES,
    SettingError,
    Settings,
    cache_dir,
    environment_without_secrets,
    without_password,
)

S3 = {
    "UNDERSTUDY_OBJECTS": "s3",
    "UNDERSTUDY_S3_ENDPOINT_INTERNAL": "http://minio:9000/",
    "UNDERSTUDY_S3_ACCESS_KEY": "us",
    "UNDERSTUDY_S3_SECRET_KEY": "sesame",
}


def test_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings.home == Path("~/.understudy").expanduser().resolve()
    assert (settings.llm_url, settings.llm_key, settings.llm_model) == ("", "", "")


def test_variables_are_read_and_the_key_is_not_shown(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "UNDERSTUDY_HOME": str(tmp_path),
            "UNDERSTUDY_LLM_URL": "https://a.example/v1/",
            "UNDERSTUDY_LLM_MODEL": "m",
            "UNDERSTUDY_LLM_KEY": "sesame",
            "UNDERSTUDY_LLM_TIMEOUT_S": "5",
        }
    )
    assert settings.cache_folder == tmp_path / "cache" and settings.runs_folder == tmp_path / "runs"
    assert settings.llm_url == "https://a.example/v1" and settings.llm_timeout_s == 5
    assert settings.llm_key == "sesame" and "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"UNDERSTUDY_LLM_URL": "a.example", "UNDERSTUDY_LLM_MODEL": "m"}, "UNDERSTUDY_LLM_URL"),
        ({"UNDERSTUDY_LLM_URL": "http://a.example"}, "UNDERSTUDY_LLM_MODEL"),
        ({"UNDERSTUDY_LLM_TIMEOUT_S": "soon"}, "UNDERSTUDY_LLM_TIMEOUT_S"),
        ({"UNDERSTUDY_LLM_TIMEOUT_S": "0"}, "UNDERSTUDY_LLM_TIMEOUT_S"),
        ({"UNDERSTUDY_DATABASE_URL": "mysql://u:sesame@h/x"}, "UNDERSTUDY_DATABASE_URL"),
        ({"UNDERSTUDY_DATABASE_URL": "sqlite:///:memory:"}, "several processes"),
        ({"UNDERSTUDY_BROKER_URL": "valkey://:sesame@h"}, "UNDERSTUDY_BROKER_URL.*Valkey"),
        ({**S3, "UNDERSTUDY_S3_ACCESS_KEY": " "}, "UNDERSTUDY_S3_ACCESS_KEY is not set"),
        ({"UNDERSTUDY_OBJECTS": "s3"}, "ENDPOINT_INTERNAL and UNDERSTUDY_S3_ACCESS_KEY and .* are not set"),
        ({**S3, "UNDERSTUDY_OBJECTS": ""}, "UNDERSTUDY_OBJECTS=s3"),
        ({**S3, "UNDERSTUDY_S3_ENDPOINT_INTERNAL": "minio:9000"}, "UNDERSTUDY_S3_ENDPOINT_INTERNAL"),
        ({**S3, "UNDERSTUDY_S3_ENDPOINT_PUBLIC": "https://a.example/files"}, "UNDERSTUDY_S3_ENDPOINT_PUBLIC"),
        ({**S3, "UNDERSTUDY_S3_ENDPOINT_PUBLIC": "https://u:sesame@a.example"}, "UNDERSTUDY_S3_ENDPOINT_PUBLIC"),
        ({"UNDERSTUDY_LEASE_S": "20"}, "UNDERSTUDY_HEARTBEAT_S is 10 and UNDERSTUDY_LEASE_S is 20"),
        ({"UNDERSTUDY_HANG_TIMEOUT_S": "nan"}, "UNDERSTUDY_HANG_TIMEOUT_S"),
        ({"UNDERSTUDY_STOP_GRACE_S": "-1"}, "UNDERSTUDY_STOP_GRACE_S"),
        ({"UNDERSTUDY_STUDIO_PORT": "http"}, "UNDERSTUDY_STUDIO_PORT"),
        ({"UNDERSTUDY_STUDIO_PORT": "70000"}, "UNDERSTUDY_STUDIO_PORT"),
    ],
)
def test_wrong_values_are_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        Settings.from_environment(environment)
    assert "sesame" not in str(caught.value)


def test_names_of_0_1_are_read_where_the_new_one_is_not_set() -> None:
    new = {
        "UNDERSTUDY_LLM_URL": "https://a.example/v1",
        "UNDERSTUDY_LLM_KEY": "sesame",
        "UNDERSTUDY_LLM_MODEL": "m",
        "UNDERSTUDY_LLM_TIMEOUT_S": "5",
        "UNDERSTUDY_HANG_TIMEOUT_S": "77",
    }
    assert set(new) == set(RENAMED_VARIABLES)
    settings = Settings.from_environment(new)
    assert (settings.llm_url, settings.llm_key, settings.llm_model) == ("https://a.example/v1", "sesame", "m")
    assert (settings.llm_timeout_s, settings.hang_timeout_s) == (5, 77)
    old = {RENAMED_VARIABLES[name]: value for name, value in new.items()}
    assert Settings.from_environment(old) == settings
    assert Settings.from_environment(old | dict.fromkeys(new, " ")) == settings, "empty counts as not set"
    other = dict.fromkeys(RENAMED_VARIABLES.values(), "9")
    assert Settings.from_environment(other | new) == settings, "the new name counts"


def test_an_error_names_the_old_variable_that_was_read() -> None:
    with pytest.raises(ValueError, match=r"UNDERSTUDY_LLM_MODEL is not.*UNDERSTUDY_LLM_URL was read from .*EXPAND_URL"):
        Settings.from_environment({"UNDERSTUDY_EXPAND_URL": "http://a.example"})
    with pytest.raises(ValueError, match=r"'soon'.*UNDERSTUDY_SILENCE_S"):
        Settings.from_environment({"UNDERSTUDY_SILENCE_S": "soon"})
    # The address of one holds the name of the other, and only what is wrong is named.
    with pytest.raises(SettingError, match="UNDERSTUDY_HOME_LLM_URL") as raised:
        Settings.from_environment(
            {"UNDERSTUDY_EXPAND_URL": "http://a.example", "UNDERSTUDY_EXPAND_MODEL": "m"}
            | {"UNDERSTUDY_STUDIO_PORT": "UNDERSTUDY_HOME_LLM_URL UNDERSTUDY_LLM_URL"}
        )
    assert raised.value.variables == ("UNDERSTUDY_STUDIO_PORT",) and "was read from" not in str(raised.value)


def test_places_default_to_the_home_and_empty_counts_as_not_set(tmp_path: Path) -> None:
    empty = {"UNDERSTUDY_OBJECTS": "", "UNDERSTUDY_LEASE_S": ""}
    settings = Settings.from_environment({"UNDERSTUDY_HOME": str(tmp_path), **empty})
    assert settings == Settings(tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/understudy.db"
    assert settings.broker_url == f"sqla+sqlite:///{tmp_path}/broker.db"
    assert settings.objects == str(tmp_path / "objects") and not settings.uses_s3
    assert (settings.lease_s, settings.heartbeat_s, settings.owner) == (60, 10, "local")


def test_s3_and_its_two_endpoints() -> None:
    settings = Settings.from_environment(S3)
    assert settings.uses_s3 and settings.s3_endpoint_internal == settings.s3_endpoint_public == "http://minio:9000"
    public = Settings.from_environment({**S3, "UNDERSTUDY_S3_ENDPOINT_PUBLIC": "https://files.a.example"})
    assert public.s3_endpoint_public == "https://files.a.example"
    assert public.s3_secret_key == "sesame" and "sesame" not in repr(public)


def test_passwords_in_addresses_are_not_shown(tmp_path: Path) -> None:
    settings = Settings(
        tmp_path, database_url="postgresql+psycopg://u:ses[a@me@h/x", broker_url="rediss://:sesame@h:6379/0"
    )
    assert "ses[a" not in repr(settings) and "sesame" not in repr(settings)
    assert "u:***@h/x" in repr(settings) and ":***@h:6379/0" in repr(settings)
    assert without_password("sqlite:////a/b@c.db") == "sqlite:////a/b:***@c.db"  # rather too much than too little
    assert without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_cache_dir_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / "cache" and cache_dir().is_dir()


def test_a_child_is_told_no_secret_under_any_name() -> None:
    secrets = {name: f"not-a-secret-{place}" for place, name in enumerate(SECRETS)}
    server = f"postgresql://understudy:{secrets['POSTGRES_PASSWORD']}@postgres:5432/understudy"
    other = {
        "UNDERSTUDY_HOME": "/srv/ada/.understudy",
        "UNDERSTUDY_MODELS": "/models",
        "HOME": "/srv/ada",
        "PATH": "/srv/ada/.understudy/bin:/bin",
        "HTTPS_PROXY": "http://ada:proxy-word@proxy:3128",
        "HF_TOKEN": "hf_of-the-hub",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    given = secrets | {
        "UNDERSTUDY_DATABASE_URL": server,
        "UNDERSTUDY_BROKER_URL": f"redis://:{secrets['REDIS_PASSWORD']}@redis:6379/0",
        "UNDERSTUDY_LLM_KEY": "of-the-endpoint",
        "PGPASSWORD": secrets["POSTGRES_PASSWORD"],
        "REDISCLI_AUTH": "of-the-client",
        "MY_OWN_COPY": f"--url={server}",
    }
    assert environment_without_secrets({**given, **other}) == other
    made = dict(line.split("=", 1) for line in environment_text().splitlines() if "=" in line and line[0] != "#")
    left = " ".join(f"{name}={value}" for name, value in environment_without_secrets(made).items())
    assert all(made[name] and made[name] not in left for name in SECRETS)
