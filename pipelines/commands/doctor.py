"""`understudy doctor`: what is missing on this machine, and the command that mends it.

    understudy doctor           look only
    understudy doctor --fetch   also fetch the starter's language expert into the cache

Exit status 1 when something that training needs is missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pipelines.commands.console import CommandResult, bundled_slugs, say
from pipelines.core.command_line import as_typed, install_as_typed
from pipelines.core.full_disk import existing, lacking_space
from pipelines.core.settings import Settings, shared_cache_dir

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "pillow")
MEMORY_GIB = 4
"""Measured upper bound of training the starter."""
DISK_GIB = 3
"""Cache (about 1 GiB) and a few runs."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    """The command or step that mends it; empty when ok."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("doctor", parents=[shared], help="what is missing here, and what mends it")
    command.add_argument("--fetch", action="store_true", help="fetch the language expert when it is missing")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run all checks and print them; exit status 0 only when all are ok."""
    settings = Settings.from_environment()
    if arguments.fetch:
        from pipelines.models.starter.language import language_folder

        language_folder(settings.cache_folder)
    findings = [
        _python(),
        *(_library(name) for name in LIBRARIES),
        _device(),
        *_bases(),
        _memory(),
        _disk(settings.home),
        _room(settings),
        _language(settings.cache_folder),
        _starter(),
        _bundled(),
        _llm_endpoint(settings),
        _records(settings),
    ]
    for finding in findings:
        say(f"{'ok ' if finding.ok else 'MEND'.ljust(3)} {finding.name}: {finding.found}")
        if finding.mend:
            say(f"      {finding.mend}")
    ok = all(finding.ok for finding in findings)
    return {"ok": ok, "findings": [asdict(finding) for finding in findings]}, 0 if ok else 1


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("python", good, platform.python_version(), "" if good else "install Python 3.11 or newer")


def _library(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", "make setup")


def _device() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("device", False, "unknown without torch", "make setup")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if torch.cuda.is_available():
        return Finding("device", True, f"{torch.cuda.get_device_name(0)} and {cores} cores")
    return Finding("device", True, f"{cores} cores, no GPU (the starter needs none)")


def _bases() -> list[Finding]:
    """How a `standard` training of each large base model would run here; one that does not fit is no failure."""
    try:
        from pipelines.models.device_memory import device_memory
    except ImportError:
        return []
    from pipelines.core.jobs.memory_plan import base_choices
    from pipelines.core.jobs.model_specs import NEEDED_PACKAGES
    from pipelines.models.hub_weights import MODELS, is_here

    name, memory = device_memory()
    plans = base_choices(memory, on_gpu=bool(name))
    where = name or "this machine without a GPU"
    findings = []
    for base, plan in plans.items():
        if base == "starter":
            continue
        package, extra = NEEDED_PACKAGES.get(base, ("", ""))
        lacking = [extra] if package and find_spec(package) is None else []
        lacking += ["four-bit"] if plan.bits == 4 and find_spec("bitsandbytes") is None else []
        weights = f"its weights ({MODELS[base].gigabytes} GB) are {'here' if is_here(base) else 'not here yet'}"
        findings.append(
            Finding(
                f"base {base}",
                True,
                f"{'on' if plan.fits else 'too large for'} {where}: {plan.words}; {weights}",
                install_as_typed(",".join(lacking)) if plan.fits and lacking else "",
            )
        )
    return findings


def _memory() -> Finding:
    # No sysconf on Windows; the starter is developed for Linux and macOS.
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    good = total >= MEMORY_GIB
    return Finding("memory", good, f"{total:.1f} GiB", "" if good else f"{MEMORY_GIB} GiB are needed: close programs")


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(existing(home)).free / 2**30
    good = free >= DISK_GIB
    mend = f"free {DISK_GIB} GiB, or point UNDERSTUDY_HOME at another disk"
    return Finding("disk", good, f"{free:.1f} GiB free for {home}", "" if good else mend)


def _room(settings: Settings) -> Finding:
    """Whether run folders, objects and records have room for one more training, wherever each of them is."""
    lacking = lacking_space(settings)
    found = " ".join(lacking) or "enough for a training, its objects and its records"
    return Finding("room", not lacking, found, "see A full disk in docs/operations.md" if lacking else "")


def _language(cache: Path) -> Finding:
    for place in (cache, shared_cache_dir()):  # as models/starter/language.py looks for it
        folder = place / "language-smollm2-135m"
        if (folder / "model.safetensors").is_file():
            of_whom = "" if place == cache else " (the default home's, which serves every home)"
            return Finding("language expert", True, f"{folder}{of_whom}")
    return Finding("language expert", False, "not in the cache", as_typed("doctor --fetch"))


def _starter() -> Finding:
    weights = Path(__file__).resolve().parent.parent / "models" / "starter" / "weights"
    files = sorted(weights.rglob("*.safetensors"))
    size = sum(path.stat().st_size for path in files) / 2**20
    if files:
        return Finding("starter weights", True, f"{len(files)} files, {size:.0f} MiB")
    return Finding("starter weights", False, "missing from this copy of the repository", "git checkout -- pipelines")


def _bundled() -> Finding:
    slugs = bundled_slugs()
    mend = "" if slugs else "git checkout -- pipelines"
    return Finding("bundled characters", bool(slugs), ", ".join(slugs) or "none", mend)


def _llm_endpoint(settings: Settings) -> Finding:
    if not settings.llm_url:
        return Finding("expansion endpoint", True, "not set, nothing is sent anywhere")
    return Finding("expansion endpoint", True, f"{settings.llm_model} at {settings.llm_url}")


def _records(settings: Settings) -> Finding:
    """Whether records and objects belong together; makes neither of them."""
    from pipelines.core.jobs.job import RecordsUnusable
    from pipelines.core.records import open_records
    from pipelines.core.records.store_check import store_alarm
    from pipelines.core.storage.installation import is_empty
    from pipelines.core.storage.open_store import open_store
    from pipelines.core.storage.store import StoreError

    mend = f"see Restore in docs/operations.md; `{as_typed('gc --adopt')}` when they do belong together"
    try:
        store = open_store(settings)
        file = settings.database_url.removeprefix("sqlite:///")
        if file != settings.database_url and not Path(file).is_file():
            missing = f"{file} is missing, but pictures and adapters are kept: the database was lost or is another one"
            return Finding("records", True, "none yet") if is_empty(store) else Finding("records", False, missing, mend)
        alarm = store_alarm(open_records(settings.database_url), store)
    except (RecordsUnusable, StoreError, OSError) as error:
        return Finding("records", False, str(error), "start the servers that the settings name")
    return Finding("records", not alarm, alarm or "they belong to the objects beside them", mend if alarm else "")
