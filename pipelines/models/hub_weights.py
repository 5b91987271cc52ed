"""Where published weights come from, pinned, and how they are found: a local folder, the hub's cache, or the hub.

    found = fetch(MODELS["janus-pro-1b"])      found.folder, found.revision (a commit, or what the folder is)

Imports no torch. Whatever goes wrong raises `WeightsMissing`, which says what is missing and what to do about it; the
hub client's exception is its cause.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.core.model_identity import LOCAL_REVISION
from pipelines.core.settings import Settings

WEIGHT_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
"""Files of a checkpoint that are fetched: never pickles, never code."""
UNCONFIRMED = ""
_COMMIT = re.compile(r"[0-9a-f]{40}")


class WeightsMissing(FileNotFoundError):
    """Weights, published or shipped, that are not there or not whole; the message says why and what to do."""


@dataclass(frozen=True)
class HubModel:
    """Where a checkpoint is published."""

    name: str
    """What we call it."""
    repository: str
    """Owner and name on the Hugging Face hub."""
    revision: str
    """A full commit; UNCONFIRMED where none could be established, so that a setting must name one."""
    files: tuple[str, ...] = ()
    """What a whole checkpoint has, where it is not `config.json` and the files of its index."""
    licence: str = ""
    """Of its weights, as its page says; empty where that is more than a name."""
    gigabytes: float = 0.0
    """What its files take, in units of 10^9 bytes; 0 for a small one."""


@dataclass(frozen=True)
class WeightsFolder:
    """A checkpoint on this machine."""

    folder: Path
    revision: str
    """The commit; LOCAL_REVISION for a folder under `UNDERSTUDY_MODELS`."""


MODELS: dict[str, HubModel] = {
    model.name: model
    for model in (
        # Named by three public projects that fetched it, one with the weights' size (4,153,396,574 bytes) and SHA-256
        # (9d1a416f...cb942); the size is that of our class's 964 tensors in bf16 and a header.
        HubModel(
            "janus-pro-1b", "deepseek-community/Janus-Pro-1B", "1655280bb75959cc1cb85529a2a8b26e7016072e", gigabytes=4.2
        ),
        # Nobody whom we could read names a commit of the large one.
        HubModel("janus-pro-7b", "deepseek-community/Janus-Pro-7B", UNCONFIRMED, gigabytes=14.8),
        # The one commit that was seen in a public cache; not confirmed against the hub.
        HubModel(
            "bagel-7b",
            "ByteDance-Seed/BAGEL-7B-MoT",
            "570026eca23479ee7df5a6ce9fb50a835530da30",
            ("llm_config.json", "vit_config.json", "tokenizer.json", "ema.safetensors", "ae.safetensors"),
            "Apache-2.0",
            29.6,
        ),
        # Each named by many public projects that pin it; `blip-vqa-base` also as the hub's `main` of 2026-09-14.
        HubModel("dinov2", "facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415"),
        HubModel("clip", "openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41"),
        HubModel("vqa", "Salesforce/blip-vqa-base", "787b3d35d57e49572baabd22884b3d5a05acf072"),
        HubModel("minilm", "sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"),
    )
}
"""Base models and reward models by name. `UNDERSTUDY_REVISIONS` sets another revision."""


def pinned(name: str, settings: Settings | None = None) -> HubModel:
    """A checkpoint at the revision to use: that of the settings or the pinned one. KeyError for an unknown name."""
    settings = settings or Settings.from_environment()
    model = MODELS[name]
    return replace(model, revision=settings.revisions.get(name, model.revision))


def fetch(name: str, settings: Settings | None = None, only_here: bool = False) -> WeightsFolder:
    """Find a checkpoint: in `UNDERSTUDY_MODELS`, else in the hub's cache, else (not `only_here`) on the hub.

    Raises WeightsMissing when it cannot be found, is not complete, or no revision of it has been confirmed.
    """
    settings = settings or Settings.from_environment()
    model = pinned(name, settings)
    if settings.models:
        own = Path(settings.models) / model.repository.split("/")[1]
        if own.is_dir():
            check_whole(own, f"{model.name} in {own}", "copy the folder again", model.files)
            return WeightsFolder(own, LOCAL_REVISION)
    if model.revision == UNCONFIRMED:
        raise WeightsMissing(unconfirmed(model))
    folder = _from_hub(model, settings, only_here)
    again = f"run `hf download {model.repository} --revision {model.revision}` again where there is a connection"
    check_whole(folder, f"{model.name} ({model.repository}) in the cache {folder}", again, model.files)
    return WeightsFolder(folder, folder.name if _COMMIT.fullmatch(folder.name) else model.revision)


def unconfirmed(model: HubModel) -> str:
    """What to do about a checkpoint of which no commit could be established."""
    own = model.repository.split("/")[1]
    return (
        f"{model.name} ({model.repository}): no revision of it is pinned here, so which one to use has to be confirmed "
        f"once. Take a commit from huggingface.co/{model.repository}/commits/main and set "
        f"UNDERSTUDY_REVISIONS={model.name}=COMMIT where workers run ({model.name}=main for whatever is newest), "
        f"or put its files into a folder {own} in the folder that UNDERSTUDY_MODELS names."
    )


def is_here(name: str, settings: Settings | None = None) -> bool:
    """Whether a checkpoint is on this machine, whole; asks nobody."""
    try:
        fetch(name, settings, only_here=True)
    except WeightsMissing:
        return False
    return True


def _from_hub(model: HubModel, settings: Settings, only_here: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"{model.name} ({model.repository}, revision {model.revision})"
    page = f"huggingface.co/{model.repository}"
    own = f"or put its files into a folder {model.repository.split('/')[1]} in the folder that UNDERSTUDY_MODELS names"
    try:
        folder = snapshot_download(
            model.repository,
            revision=model.revision,
            allow_patterns=list(WEIGHT_PATTERNS),
            local_files_only=only_here,
        )
        return Path(folder)
    except GatedRepoError as error:
        raise WeightsMissing(
            f"{name} asks you to accept its terms: open {page}, accept, then run `hf auth login`, {own}."
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsMissing(
            f"{name}: the hub has no such revision; take {model.name} out of UNDERSTUDY_REVISIONS, or set it there to "
            f"one of {page}/commits/main."
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsMissing(
            f"{name}: the hub has no such model, or it is private; run `hf auth login` if it is yours, {own}."
        ) from error
    except LocalEntryNotFoundError as error:
        # The client tells a download that broke off apart only by the exception's class, and older ones not at all.
        if type(error).__name__ == "IncompleteSnapshotError":
            raise WeightsMissing(
                f"{name} is only half downloaded, and huggingface.co could not be reached. Connect "
                "and try again: what is there is kept."
            ) from error
        raise WeightsMissing(
            f"{name} is not on this machine and huggingface.co could not be reached. Connect and try again, or run `hf "
            f"download {model.repository} --revision {model.revision}` where there is a connection and copy the cache, "
            f"{own}; the base model 'starter' needs no download."
        ) from error
    except HfHubHTTPError as error:
        raise WeightsMissing(
            f"{name} could not be fetched, the hub answered with an error ({error}). Try again later, {own}."
        ) from error
    except OSError as error:
        raise WeightsMissing(
            f"{name} could not be fetched ({error}). Check the connection and the disk of the cache, "
            f"then try again, {own}."
        ) from error


def check_whole(folder: Path, name: str, mend: str, files: tuple[str, ...] = ()) -> None:
    """Raise WeightsMissing when files of a checkpoint are missing or shorter than they say they are.

    files: as in `HubModel`.
    """
    index = folder / "model.safetensors.index.json"
    wanted = files or ("config.json", "model.safetensors")
    if not files and index.is_file():
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        wanted = ("config.json", *sorted(set(weight_map.values())))
    missing = [file for file in wanted if not (folder / file).is_file()]
    if missing:
        raise WeightsMissing(f"{name} is not whole: {', '.join(missing)} is missing; {mend}.")
    for file in wanted:
        if file.endswith(".safetensors"):
            tensor_shapes(folder / file, name, mend)


def tensor_shapes(path: Path, name: str, mend: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of a whole file, from its header alone; WeightsMissing when it is damaged or cut."""
    # A safetensors file begins with the length of its header, and the header says where the last tensor ends.
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= size else b""
    try:
        tensors = {key: entry for key, entry in json.loads(header).items() if key != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        shapes = {key: tuple(entry["shape"]) for key, entry in tensors.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsMissing(f"{name}: {path.name} is damaged; {mend}.") from error
    if size != 8 + length + max(ends, default=0):
        raise WeightsMissing(f"{name}: {path.name} has {size} of {8 + length + max(ends, default=0)} bytes; {mend}.")
    return shapes


def tensor_names(folder: Path) -> set[str]:
    """Names of all tensors of a whole checkpoint."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    with (folder / "model.safetensors").open("rb") as file:
        return set(json.loads(file.read(int.from_bytes(file.read(8), "little")))) - {"__metadata__"}
