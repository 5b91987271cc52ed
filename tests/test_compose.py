"""The compose files and Dockerfiles, read as Compose reads them: schema, pins, variables, commands, rights, health."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from pipelines.cli import parser
from pipelines.commands.env_file import SECRETS, environment_text
from pipelines.core.settings import RENAMED_VARIABLES, Settings

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docker-compose.yml", "docker-compose.cpu.yml")
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ONE_SHOT = {"minio-volume", "minio-bucket"}
OURS = {"studio", "worker-train", "worker-reply", "sweeper"}


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's tags, which say how files are merged."""


ComposeLoader.add_constructor("!reset", lambda loader, node: None)
ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_object(node))


def load(name: str) -> dict[str, Any]:
    return yaml.load((ROOT / name).read_text(encoding="utf-8"), ComposeLoader)


def schema() -> dict[str, Any]:
    """The compose specification's own schema (Apache-2.0), from the package that carries it for pre-commit checks."""
    vendored = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    return json.loads((vendored / "compose-spec.json").read_text(encoding="utf-8"))


def variables(text: str) -> dict[str, str]:
    """A .env file as Compose reads it: later lines may use the variables of earlier ones."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name] = interpolated(value, found)
    return found


def interpolated(text: str, values: dict[str, str]) -> str:
    """`${A}`, `${A:-default}`, `${A:-${B:-default}}` and `${A:?why}` replaced; KeyError when a variable that must be
    there is not."""

    def put(match: re.Match[str]) -> str:
        name, default, must = match["name"], match["default"], match["must"]
        if values.get(name):
            return values[name]
        if must is not None:
            raise KeyError(f"{name}: {must}")
        return interpolated(default or "", values)

    default = r"(?P<default>(?:[^{}]|\$\{[^{}]*\})*)"
    return re.sub(rf"\$\{{(?P<name>\w+)(?::-{default}|:\?(?P<must>[^}}]*))?\}}", put, text)


def filled_in(tree: Any, values: dict[str, str]) -> Any:
    """The same tree with the variables put in, as Compose does it: after reading the YAML, in every text."""
    if isinstance(tree, dict):
        return {key: filled_in(item, values) for key, item in tree.items()}
    if isinstance(tree, list):
        return [filled_in(item, values) for item in tree]
    return interpolated(tree, values) if isinstance(tree, str) else tree


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return load("docker-compose.yml")["services"]


@pytest.fixture(scope="module")
def filled() -> dict[str, Any]:
    """The services with a fresh .env put in."""
    return filled_in(load("docker-compose.yml")["services"], variables(environment_text()))


@pytest.mark.parametrize("name", FILES)
def test_files_keep_to_the_specification(name: str) -> None:
    jsonschema.validate(load(name), schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": 5},
        {"comand": ["up"]},
        {"depends_on": {"redis": {"condition": "well"}}},
        {"healthcheck": {"every": "1s"}},
    ],
)
def test_the_schema_knows_right_from_wrong(wrong: dict[str, Any], services: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"redis": {**services["redis"], **wrong}}}, schema())


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    bases = set(re.findall(r"^FROM (\S+)", "\n".join(path.read_text() for path in DOCKERFILES), flags=re.MULTILINE))
    images = {service["image"] for service in services.values()}
    assert len(DOCKERFILES) == 2 and bases and len(images) == 6
    # PostgreSQL's versions have two numbers.
    exact = r"\d+\.\d+\.\d+(-[a-z]+)*|\d+\.\d+-alpine|RELEASE\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
    for image in bases | images:
        name, _, digest = image.partition("@")
        tag = name.rpartition(":")[2]
        assert re.fullmatch(exact, tag), image
        built_here = image.startswith("understudy-")
        assert built_here or re.fullmatch(r"sha256:[0-9a-f]{64}", digest), f"{image}: a tag may be moved, a digest not"
        if "minio" in image:
            assert image.startswith("quay.io/"), "Docker Hub has no MinIO any more"
        if image.startswith("understudy-"):
            assert tag == ours, f"pyproject.toml says {ours}"


def test_every_variable_is_in_the_example_and_every_one_there_is_used(services: dict[str, Any]) -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in FILES)
    example = variables((ROOT / ".env.example").read_text(encoding="utf-8"))
    used = set(re.findall(r"\$\{(\w+)", text))
    old_names = set(RENAMED_VARIABLES.values())
    assert used == set(example) | old_names and not old_names & set(example)
    assert {name for name in used - old_names if name.startswith("UNDERSTUDY_")} <= {
        f"UNDERSTUDY_{field.upper()}" for field in Settings.__dataclass_fields__
    }


def test_an_old_env_file_gives_the_same_settings_under_the_new_names() -> None:
    compose = load("docker-compose.yml")["services"]
    current = variables(environment_text()) | {name: str(place) for place, name in enumerate(RENAMED_VARIABLES, 1)}
    old = {RENAMED_VARIABLES.get(name, name): value for name, value in current.items()}
    both = old | dict.fromkeys(RENAMED_VARIABLES.values(), "9") | current
    wanted = filled_in(compose, current)
    assert wanted["worker-train"]["environment"]["UNDERSTUDY_HANG_TIMEOUT_S"] == current["UNDERSTUDY_HANG_TIMEOUT_S"]
    assert filled_in(compose, old) == filled_in(compose, both) == wanted
    assert set(RENAMED_VARIABLES) <= set(wanted["sweeper"]["environment"])


def test_the_env_of_0_1_gives_the_settings_it_gave() -> None:
    old = variables((ROOT / "tests" / "fixtures" / "v0_1" / "env").read_text(encoding="utf-8"))
    worker = filled_in(load("docker-compose.yml")["services"], old)["worker-train"]["environment"]
    settings = Settings.from_environment({name: str(value) for name, value in worker.items()})
    assert (settings.llm_url, settings.llm_model) == (old["UNDERSTUDY_EXPAND_URL"], old["UNDERSTUDY_EXPAND_MODEL"])
    assert (settings.llm_key, settings.llm_timeout_s) == (old["UNDERSTUDY_EXPAND_KEY"], 45)
    assert (settings.hang_timeout_s, settings.stop_grace_s, settings.lease_s) == (1200, 150, 90)
    assert settings.database_url == "postgresql://understudy:not-a-secret-1@postgres:5432/understudy"
    # The same without Compose: a shell that sources the file and starts the programs by hand.
    by_hand = Settings.from_environment({**old, "UNDERSTUDY_HOME": str(settings.home), "UNDERSTUDY_OBJECTS": "s3"})
    assert by_hand == settings


def test_it_does_not_start_without_secrets(services: dict[str, Any]) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for name in SECRETS:
        assert re.search(rf"^{name}=$", example, flags=re.MULTILINE), f"{name} has a value in .env.example"
        assert f"${{{name}:-" not in text, f"{name} has a default in docker-compose.yml"
        assert re.search(rf"\${{{name}:\?", text), f"docker-compose.yml starts without {name}"
    with pytest.raises(KeyError, match="understudy init-env"):
        filled_in(load("docker-compose.yml"), variables(example))


def test_filled_in_settings_are_right_and_no_service_shares_too_much(filled: dict[str, Any]) -> None:
    for name in OURS:
        environment = filled[name]["environment"]
        assert all(isinstance(value, str | int) for value in environment.values())
        settings = Settings.from_environment({key: str(value) for key, value in environment.items()})
        assert settings.uses_s3 and settings.s3_endpoint_internal == "http://minio:9000"
        assert settings.s3_access_key == filled["minio-bucket"]["environment"]["ACCESS_KEY"]
        assert settings.s3_access_key != filled["minio"]["environment"]["MINIO_ROOT_USER"]
        assert f":{filled['postgres']['environment']['POSTGRES_PASSWORD']}@postgres:" in settings.database_url
        assert settings.broker_url == f"redis://:{filled['redis']['environment']['REDISCLI_AUTH']}@redis:6379/0"
        assert not set(environment) & {"MINIO_ROOT_PASSWORD", "POSTGRES_PASSWORD"}
    assert filled["studio"]["environment"]["UNDERSTUDY_STUDIO_ADDRESS"] == "0.0.0.0"


def test_every_command_exists(services: dict[str, Any]) -> None:
    asked = [services[name]["command"] for name in OURS]
    asked += [test[2:] for name in OURS if (test := services[name]["healthcheck"]["test"])[:2] == ["CMD", "understudy"]]
    for words in asked:
        parser().parse_args(words)  # exits on what it does not know
    assert len(asked) == 7
    for path in DOCKERFILES:
        text = path.read_text(encoding="utf-8")
        assert 'ENTRYPOINT ["understudy"]' in text
        parser().parse_args(json.loads(re.findall(r"^CMD (.+)$", text, flags=re.MULTILINE)[0]))


def test_dockerfiles_install_what_there_is() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for path in DOCKERFILES:
        text = path.read_text(encoding="utf-8")
        lines = re.findall(r"^COPY (?!--from)(.+)$", text, flags=re.MULTILINE)
        copied = [word for line in lines for word in line.split()[:-1]]
        assert copied and all((ROOT / name).exists() and f"!{name.split('/')[0]}" in ignored for name in copied)
        assert "USER 10001:10001" in text
        for torch in re.findall(r"torch==\S+", text):
            assert f"TORCH ?= {torch}" in makefile
    assert "torch" not in "".join(re.findall(r"^RUN.*$", (ROOT / "docker/studio.Dockerfile").read_text(), flags=re.M))


def test_files_that_are_no_code_are_installed_too() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    installed = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pipelines", "studio", "worker"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    there = {ROOT / name for name in files if not name.endswith(".py") and (ROOT / name).is_file()}
    left_out = sorted(str(path.relative_to(ROOT)) for path in there - installed)
    assert not left_out, f"not in package-data of pyproject.toml, so an image would lack them: {left_out}"


def test_nobody_is_root_and_nobody_gains_rights(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service and "docker.sock" not in str(service)
        if name == "minio-volume":  # gives a new volume away; no network, one right, ends at once
            assert service["user"] == "0:0" and service["network_mode"] == "none" and service["cap_add"] == ["CHOWN"]
        else:
            assert service["user"] in ("10001:10001", "redis", "postgres") and "cap_add" not in service, name


def test_pinning_anew_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "docker buildx imagetools inspect" in page and "docker compose config --lock-image-digests" in page


def test_no_image_is_written_to_and_nobody_takes_everything(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert "mem_limit" in service and service["pids_limit"] > 0, name
        memory = interpolated(str(service["mem_limit"]), {})
        assert re.fullmatch(r"\d+[mg]", memory), name
        for place in service.get("tmpfs", []):
            assert re.fullmatch(r"/[a-z/]+:size=\d+[mg],mode=1777(,exec)?", place), f"{name}: {place} has no size"
        written = [volume.split(":")[1] for volume in service.get("volumes", []) if not volume.endswith(":ro")]
        assert name == "minio-volume" or any(place.startswith("/tmp:") for place in service["tmpfs"]), name
        if name in OURS:
            home = service["environment"]["UNDERSTUDY_HOME"]
            assert home in written, f"{name} writes to its home"
            assert service["environment"].get("TMPDIR", home).startswith(home)
    assert "/var/run/postgresql" in str(services["postgres"]["tmpfs"])
    studio = (ROOT / "docker" / "studio.Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o 10001 -g 10001 {services['studio']['environment']['TMPDIR']}" in studio


def test_records_messages_and_objects_do_not_see_each_other(services: dict[str, Any]) -> None:
    networks = {name: set(service.get("networks", ())) for name, service in services.items()}
    assert set.union(*networks.values()) == set(load("docker-compose.yml")["networks"])
    assert networks["minio-volume"] == set() and services["minio-volume"]["network_mode"] == "none"
    kept = {"postgres": "records", "redis": "queue", "minio": "objects"}
    assert all(network in networks[name] for name, network in kept.items())
    for one, other in itertools.combinations(kept, 2):
        assert not networks[one] & networks[other], f"{one} sees {other}"
    assert networks["minio-bucket"] == {"objects"}
    for name in OURS:
        assert set(kept.values()) <= networks[name]
    at_the_front = {name for name, names in networks.items() if "front" in names}
    assert at_the_front == {"studio", "minio"}, "what outsiders reach"


def test_health_and_order_of_start(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert "restart" not in service
            continue
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"]), name
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == wanted, f"{name} needs {needed}"
    for name in OURS:
        assert set(services[name]["depends_on"]) == {"postgres", "redis", "minio", "minio-bucket"}


def seconds(duration: str) -> float:
    """A Compose duration such as `1m30s`."""
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


def test_stopping_leaves_time_for_a_checkpoint(services: dict[str, Any], filled: dict[str, Any]) -> None:
    grace = float(filled["worker-train"]["environment"]["UNDERSTUDY_STOP_GRACE_S"])
    assert grace == Settings(Path("/nowhere")).stop_grace_s
    assert seconds(services["worker-train"]["stop_grace_period"]) >= 1.5 * grace


def test_what_is_kept_is_in_named_volumes(services: dict[str, Any]) -> None:
    declared = set(load("docker-compose.yml")["volumes"])
    mounted = {volume for service in services.values() for volume in service.get("volumes", [])}
    bound = {volume for volume in mounted if volume.startswith(".")}
    assert {volume.split(":")[0] for volume in mounted - bound} == declared
    assert all(volume.endswith(":ro") and (ROOT / volume.split(":")[0]).is_file() for volume in bound)


def test_redis_keeps_what_it_was_told(services: dict[str, Any]) -> None:
    words = services["redis"]["command"]
    pairs = dict(zip(words[1::2], words[2::2], strict=True))
    assert pairs["--appendonly"] == "yes" and pairs["--maxmemory-policy"] == "noeviction" and "--requirepass" in pairs


def test_gpus_are_reserved_and_taken_away_again(services: dict[str, Any]) -> None:
    cpu = load("docker-compose.cpu.yml")["services"]
    for name in ("worker-train", "worker-reply"):
        [device] = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"] and device["driver"] == "nvidia"
    assert set(cpu) == {name for name, service in services.items() if "deploy" in service}
    assert all(service == {"deploy": None} for service in cpu.values())


def test_only_the_studio_and_downloads_are_published(filled: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in filled.items() if "ports" in service}
    assert set(published) == {"studio", "minio", "redis", "postgres"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_bucket_job_gives_as_little_as_the_store_needs(tmp_path: Path) -> None:
    script = ROOT / "docker" / "objects.sh"
    asked = tmp_path / "asked.txt"
    stand_in = tmp_path / "mc"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n'
        'case "$*" in\n'
        '*"policy create"*) cp "$6" "$0.policy";;\n'
        '*"policy attach"*) echo "mc: <ERROR> The specified policy change is already in effect." >&2; exit 1;;\nesac\n'
    )
    stand_in.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        "ENDPOINT": "http://minio:9000",
        "ROOT_USER": "root",
        "ROOT_PASSWORD": "x",
        "BUCKET": "understudy",
        "ACCESS_KEY": "us",
        "SECRET_KEY": "sesame",
    }
    done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    policy = json.loads((tmp_path / "mc.policy").read_text())
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert actions == {
        "s3:GetBucketLocation",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    }
    places = {place for statement in policy["Statement"] for place in statement["Resource"]}
    assert places == {"arn:aws:s3:::understudy", "arn:aws:s3:::understudy/*"}
    lines = asked.read_text().splitlines()
    assert "anonymous set none objects/understudy" in lines and lines[-1] == "ls key/understudy"
    stand_in.write_text(stand_in.read_text().replace("already in effect", "refused"))
    refused = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "refused" in refused.stderr
