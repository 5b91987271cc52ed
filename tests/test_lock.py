"""The locks in requirements/: whole, hashed, without torch, and what `make setup` and the images install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipelines.core.jobs.memory_plan import GIB, plan_for
from pipelines.core.jobs.model_specs import LARGE, NEEDED_PACKAGES
from pipelines.core.jobs.recipe import Effort, Recipe
from studio.actions.create import CARD_SIZES_GB

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {
    "studio": {"studio", "postgres"},
    "worker": {"train", "bagel", "four-bit", "postgres"},
    "dev": {"train", "dev"},
}
"""File in requirements/ -> the extras it holds, as requirements/lock.sh says it too."""
UNTESTED = "four-bit"
"""The extra of the worker's image that needs a GPU to do anything, so that the tests run without it."""
PYTHONS = ("3.11.15", "3.12.11", "3.13.7")
NEVER = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
HOLES = {
    "starlette": "1.3.1",
    "pillow": "13.0.0",
    "urllib3": "2.8.0",
    "torch": "2.13.0",
    "accelerate": "1.15.0",
    "pip": "26.2",
    "setuptools": "83.0.0",
    "pytest": "9.0.3",
}
"""Package -> the first version without a hole that is known; docs/dependencies.md says which."""
INSTALL = "pip install (?:--quiet )?--no-deps --require-hashes --requirement"


def project() -> dict[str, Any]:
    """All of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def asked(extras: set[str]) -> list[Requirement]:
    """What the project asks for with these extras, and what builds it."""
    settings = project()
    lines = settings["project"]["dependencies"] + settings["build-system"]["requires"]
    for extra in extras:
        for line in settings["project"]["optional-dependencies"][extra]:
            found = Requirement(line)
            lines += [str(one) for one in asked(found.extras)] if found.name == "understudy" else [line]
    return [Requirement(line) for line in lines]


def locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """Packages of a lock with their hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            words, *hashes = line.split(" --hash=")
            found.append((Requirement(words), [one.strip() for one in hashes]))
    return found


def version_for(packages: list[tuple[Requirement, list[str]]], name: str, python: str) -> str:
    """The version of a package that Linux gets under that Python; "" for none."""
    here = default_environment() | {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = [
        str(one.specifier).removeprefix("==")
        for one, _ in packages
        if canonicalize_name(one.name) == canonicalize_name(name) and (not one.marker or one.marker.evaluate(here))
    ]
    assert len(found) <= 1, f"{name} is locked as {found} under Python {python}"
    return found[0] if found else ""


@pytest.mark.parametrize("name", LOCKS)
def test_each_line_is_one_version_with_its_hashes(name: str) -> None:
    packages = locked(name)
    assert len(packages) > 50
    for one, hashes in packages:
        assert re.fullmatch(r"==[^*,]+", str(one.specifier)) and one.url is None, one
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", word) for word in hashes), one
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text and not re.search(r"^\s*--(?!hash)", text, flags=re.MULTILINE), "a registry is named"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_what_the_project_asks_for_is_locked(name: str, python: str) -> None:
    packages = locked(name)
    for wanted in asked(LOCKS[name]):
        if wanted.name == "torch":
            continue
        version = version_for(packages, wanted.name, python)
        assert version, f"make lock: {wanted} is not in requirements/{name}.txt"
        assert wanted.specifier.contains(version), f"make lock: {wanted}, and {name}.txt has {version}"


def test_no_version_with_a_known_hole_may_be_installed() -> None:
    extras = set(project()["project"]["optional-dependencies"])
    bounds = {one.name: one.specifier for one in asked(extras)}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    for name, first in HOLES.items():
        [lowest] = [Version(one.version) for one in bounds[name] if one.operator == ">="]
        assert lowest >= Version(first), f"{name} {lowest} is allowed, {first} is the first without a known hole"
        assert f"| `{name}` | {first} |" in page
    for name, specifier in bounds.items():
        assert specifier or name == "types-PyYAML", f"{name} has no lower bound"


def test_torch_is_installed_by_name_and_the_studio_loads_no_model() -> None:
    for name in LOCKS:
        assert not [one.name for one, _ in locked(name) if NEVER.fullmatch(one.name)]
    [torch] = re.findall(r"^TORCH \?= torch==(\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    [wanted] = [one for one in asked({"train"}) if one.name == "torch"]
    assert wanted.specifier.contains(torch)
    heavy = {one.name for one in asked({"train"})} - {one.name for one in asked(set())}
    assert {"transformers", "trl", "peft"} <= heavy
    assert not heavy & {one.name for one, _ in locked("studio")} - {one.name for one in asked(LOCKS["studio"])}


def test_the_images_take_what_the_tests_ran_with() -> None:
    files = {name: {(one.name, str(one.specifier), *hashes) for one, hashes in locked(name)} for name in LOCKS}
    more = {name for name, *_ in files["worker"] - files["dev"]}
    assert files["studio"] <= files["dev"] and more == {one.name for one in asked({UNTESTED})} - {
        one.name for one in asked(set())
    }


def test_the_worker_image_can_do_every_way_that_the_wizard_offers() -> None:
    ways = {
        plan_for(base, Recipe.for_effort(base, effort), gigabytes * GIB, replying=replying).bits
        for base in LARGE
        for effort in get_args(Effort)
        for gigabytes in CARD_SIZES_GB
        for replying in (False, True)
    }
    assert ways == {16, 4}, "some card takes 4 bits, so the image must be able to"
    lock = {one.name for one, _ in locked("worker")}
    assert {one.name for one in asked({"four-bit"})} - {one.name for one in asked(set())} == {"bitsandbytes"} <= lock
    assert {package for base in LARGE for package, _ in [NEEDED_PACKAGES.get(base, ("", ""))] if package} <= lock
    script = (ROOT / "requirements" / "lock.sh").read_text(encoding="utf-8")
    for name, extras in LOCKS.items():
        [line] = re.findall(rf"^lock {name} .*$", script, flags=re.MULTILINE)
        assert set(re.findall(r"--extra (\S+)", line)) == extras


def test_setup_and_images_install_the_lock_and_nothing_else() -> None:
    files = {"studio": "docker/studio.Dockerfile", "worker": "docker/worker.Dockerfile", "dev": "Makefile"}
    for name, file in files.items():
        text = (ROOT / file).read_text(encoding="utf-8").replace("$(LOCK)", "requirements/dev.txt")
        text = text.replace("$(PIP_QUIET)", "--quiet")  # where no terminal shows pip's progress
        installs = re.findall(r"pip install.*", text)
        torch = [line for line in installs if "TORCH" in line]
        assert bool(torch) == (name != "studio") and installs[: len(torch)] == torch, f"{file}: torch comes first"
        lock, ours = installs[len(torch) :]
        assert re.fullmatch(rf"{INSTALL} requirements/{name}\.txt", lock), file
        assert re.fullmatch(r"pip install (--quiet )?--no-deps --no-build-isolation (--editable )?\.", ours), file
    assert "LOCK := requirements/dev.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")
