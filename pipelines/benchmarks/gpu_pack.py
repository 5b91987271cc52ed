"""`make gpu-pack`: what `gpu_check` needs on a machine without a network, in pieces small enough to be carried.

    python -m pipelines.benchmarks.gpu_pack --out runs/gpu-pack

Writes OUT/call-01, call-02, ...: each has at most `--mib` MiB of pieces, the manifest with all sums and `unpack.py`
(`gpu_unpack.py`), which is run in every call and puts everything together in the last. Packed are the tree as it is
committed without the starter's weights, these weights, and wheels of the locked packages that a machine with PyTorch
does not have anyway, the language expert's among them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipelines.benchmarks.gpu_unpack import MANIFEST, TREE, WEIGHTS, WEIGHTS_FOLDER, WHEELS, sha256_of
from pipelines.models.starter.language import PACKAGE

ROOT = Path(__file__).resolve().parents[2]
CALL_MIB = 48
"""A carrier that takes 64 MiB a call has room for the pieces and for what else travels."""
PIECES_OF_CALL = 4
"""A call is filled with smaller pieces, so that none goes half empty."""
PYTHON, MACHINE = "3.12", "x86_64"
PLATFORMS = (*(f"manylinux_2_{minor}_{MACHINE}" for minor in (39, 34, 31, 28, 27, 24, 17)), f"manylinux2014_{MACHINE}")
TEST_PACKAGES = ("pytest", "pytest-timeout", "iniconfig", "pluggy")
THERE = frozenset(
    (
        *(
            "aiohappyeyeballs",
            "aiohttp",
            "aiosignal",
            "annotated-doc",
            "anyio",
            "attrs",
            "certifi",
            "click",
            "filelock",
        ),
        *("frozenlist", "fsspec", "h11", "hf-xet", "idna", "iniconfig", "jinja2", "markdown-it-py", "markupsafe"),
        *("mdurl", "mpmath", "multidict", "networkx", "numpy", "packaging", "pandas", "pillow", "pip", "pluggy"),
        *("propcache", "psutil", "pyarrow", "pygments", "pytest", "pytest-timeout", "python-dateutil", "pyyaml"),
        *("regex", "requests", "rich", "scipy", "setuptools", "six", "sympy", "tqdm", "typing-extensions", "urllib3"),
        "yarl",
    )
)
"""What a machine that is lent with PyTorch has as well, in versions that ours get along with: not packed."""


def locked(names: Sequence[str]) -> list[str]:
    """NAME==VERSION of all packages in requirements/NAME.txt, as Linux gets them under PYTHON, but for THERE's."""
    here = default_environment() | {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.3",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": MACHINE,
        "os_name": "posix",
    }
    found: dict[str, str] = {}
    for name in names:
        for line in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            if "==" not in line or line.startswith((" ", "#")):
                continue
            one = Requirement(line.removesuffix("\\").strip())
            key = canonicalize_name(one.name)
            wanted = name != "dev" or key in TEST_PACKAGES
            if wanted and key not in THERE and (not one.marker or one.marker.evaluate(here)):
                found[key] = f"{one.name}{one.specifier}"
    return sorted(found.values())


def fetch_wheels(packages: Sequence[str], folder: Path) -> None:
    """Have pip fetch exactly these packages for the other machine, from the registry that it is set up for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *packages], check=True)


def archive(path: Path, root: Path, names: Sequence[str]) -> None:
    """A tar file of these files below `root`, compressed when its name says so."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as target:
        for name in names:
            target.add(root / name, arcname=name, recursive=False)


def committed_files(root: Path) -> list[str]:
    """Files that git knows and that are there, without the starter's weights."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    weights = f"{WEIGHTS_FOLDER.as_posix()}/"
    return [name for name in listed.split("\0") if name and not name.startswith(weights) and (root / name).is_file()]


def pieces_of(whole: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, `size` at a time."""
    with whole.open("rb") as file:
        while piece := file.read(size):
            yield piece


def write_calls(wholes: Sequence[Path], out: Path, size: int) -> dict[str, Any]:
    """Cut the wholes into pieces and spread these over the folders of the calls; gives the manifest."""
    described, call, used = [], 0, size
    for whole in wholes:
        pieces = []
        for number, content in enumerate(pieces_of(whole, size // PIECES_OF_CALL)):
            if used + len(content) > size:
                call, used = call + 1, 0
            folder = out / f"call-{call:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{whole.name}.{number:03d}"
            path.write_bytes(content)
            used += len(content)
            pieces.append({"name": path.name, "sha256": sha256_of(path), "bytes": len(content)})
        sizes = {"sha256": sha256_of(whole), "bytes": whole.stat().st_size}
        described.append({"name": whole.name, **sizes, "pieces": pieces})
    manifest = {"wholes": described, "calls": call}
    for folder in sorted(out.glob("call-*")):
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        shutil.copyfile(Path(__file__).with_name("gpu_unpack.py"), folder / "unpack.py")
    return manifest


def pack(out: Path, size: int, root: Path = ROOT, packages: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the calls of a pack into `out`, which is made anew; packages: those of the locks unless given."""
    if out.exists() and not (out / "call-01" / MANIFEST).is_file():
        raise SystemExit(f"{out} is there and is no pack; name another folder")
    shutil.rmtree(out, ignore_errors=True)
    packages = [*locked(["worker", "dev"]), PACKAGE] if packages is None else packages
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = root / WEIGHTS_FOLDER
        archive(work / TREE, root, committed_files(root))
        kept = [str(path.relative_to(weights)) for path in sorted(weights.rglob("*")) if path.is_file()]
        archive(work / WEIGHTS, weights, kept)
        (work / "wheels").mkdir()
        if packages:
            fetch_wheels(packages, work / "wheels")
        archive(work / WHEELS, work / "wheels", sorted(path.name for path in (work / "wheels").iterdir()))
        return write_calls([work / TREE, work / WEIGHTS, work / WHEELS], out, size)


def main(argv: list[str] | None = None) -> int:
    """Make the pack and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.benchmarks.gpu_pack")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-pack"), help="folder of the calls, made anew")
    parser.add_argument("--mib", type=float, default=CALL_MIB, help=f"most MiB of pieces in a call ({CALL_MIB})")
    arguments = parser.parse_args(argv)
    manifest = pack(arguments.out, int(arguments.mib * 2**20))
    for whole in manifest["wholes"]:
        print(f"{whole['name']}: {whole['bytes'] / 2**20:.1f} MiB in {len(whole['pieces'])} pieces")
    print(f"{manifest['calls']} calls in {arguments.out}; in each: python3 call-NN/unpack.py FOLDER")
    return 0


if __name__ == "__main__":
    sys.exit(main())
