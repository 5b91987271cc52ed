"""Voices: which adapter each row of a batch speaks with, any number of adapters on one untouched base model.

`read_adapter` reads a LoRA that PEFT wrote; `LoraBatch` says which one each prompt is answered with; inside
`apply_loras(model, voices)` the model's Linears add them. A LoRA adds B(A(x)) * alpha / rank to what a Linear gives. The
A's of all adapters of a batch stand side by side and their B's below each other, so two small products serve all
of them; between the two a gate keeps to each row what its own adapter gave. (PEFT's `_mixed_batch_forward` gathers,
multiplies and scatters once for each adapter in each Linear.) The weights are never written to and no module is
exchanged, so an adapter can be read while another is speaking.

Letters: P prompts, N rows, T positions, K adapters, R all their ranks side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pipelines.models.decoding.small_batch_linear import fast_linears, override_forward, small_batch_matmul

if TYPE_CHECKING:
    from pipelines.models.decoding.prefix_cache import PrefixCache

PEFT_PREFIX = "base_model.model."
UNSUPPORTED_LORA_OPTIONS = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "alpha_pattern",
    "layer_replication",
    "fan_in_fan_out",
)
"""Settings of PEFT that our training never makes and `read_adapter` refuses."""


class AdapterError(ValueError):
    """A folder that holds no adapter for this base model; the text names the folder and the mend."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """One LoRA in memory; without parts it is the base model's own voice."""

    source: str
    """The folder it came from, or what it is called; for messages."""
    parts: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """Linear's name in the base model -> A (in, r) and B (r, out), transposed, alpha / rank multiplied into B."""


def read_adapter(folder: Path, model: nn.Module) -> Adapter:
    """The LoRA that PEFT wrote to `folder`, on the model's device; the model is looked at, not changed.

    Raises AdapterError when files are missing or damaged, made for another base model or with settings we do not know.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
    except FileNotFoundError as error:
        raise AdapterError(
            f"{error.filename or folder} does not exist: {folder} is not a whole adapter, choose another checkpoint"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise AdapterError(f"{folder} cannot be read ({error}); fetch the checkpoint again or train anew") from error
    strange = [name for name in UNSUPPORTED_LORA_OPTIONS if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or strange:
        raise AdapterError(
            f"{folder}/adapter_config.json: only a plain LoRA can speak here, this one is "
            f"{config.get('peft_type')} with {', '.join(strange) or 'bias'}"
        )
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    device = next(model.parameters()).device
    parts: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for key in sorted(weights):
        name, _, which = key.removeprefix(PEFT_PREFIX).rpartition(".lora_")
        if which != "A.weight":
            continue
        down, up = weights[key], weights.get(key.replace(".lora_A.", ".lora_B."))
        linear = linears.get(name)
        if linear is None or up is None or (len(up), down.shape[1]) != (linear.out_features, linear.in_features):
            raise AdapterError(
                f"{folder} was made for another base model: {name} does not fit; choose a checkpoint of "
                "this base model, or train again with it"
            )
        rank = len(down)
        scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
        # Transposed for good: products of few rows are up to 1.7 times faster so.
        parts[name] = (down.float().t().contiguous().to(device), (up.float() * scale).t().contiguous().to(device))
    if 2 * len(parts) != len(weights):
        raise AdapterError(
            f"{folder}/adapter_model.safetensors holds more than a LoRA of Linears; such an adapter cannot speak here"
        )
    return Adapter(str(folder), parts)


@dataclass(frozen=True)
class StackedLora:
    """What all adapters of a batch do to one Linear."""

    down: torch.Tensor
    """(in, R)"""
    up: torch.Tensor
    """(R, out)"""
    ranks: tuple[tuple[int, int], ...]
    """(adapter, its rank), in the order they stand side by side."""


class LoraBatch:
    """The adapter of each prompt, followed by the samplers through repeating, doubling and leaving rows."""

    def __init__(self, adapters: Sequence[Adapter], memory: PrefixCache | None = None) -> None:
        """One adapter for each prompt; prompts may share one. `memory` keeps what was read for the next reply."""
        self.memory = memory
        self.adapters = list(dict.fromkeys(adapters))
        self._prompts = [self.adapters.index(adapter) for adapter in adapters]
        self._joined: dict[str, StackedLora | None] = {}
        self._rows: list[int] = []
        self._gates: dict[tuple[tuple[tuple[int, int], ...], int], torch.Tensor] = {}
        self.start()

    def pick(self, prompts: Sequence[int]) -> LoraBatch:
        """The voices of some of the prompts, in that order."""
        if list(prompts) == list(range(len(self._prompts))):
            return self  # with what was put side by side already
        return LoraBatch([self.adapters[self._prompts[prompt]] for prompt in prompts], self.memory)

    @property
    def alike(self) -> bool:
        """Whether all prompts are answered with the same adapter; then rows need not be told apart."""
        return len(self.adapters) == 1

    def of_row(self, row: int) -> Adapter:
        """The adapter that a row of the running batch speaks with."""
        return self.adapters[self._rows[row]]

    def start(self, branches: int = 1) -> None:
        """A batch begins: one row for each prompt, all of them once for each branch."""
        self._set(self._prompts * branches)

    def repeat(self, group: int) -> None:
        """Every row `group` times, copies side by side."""
        self._set([row for row in self._rows for _ in range(group)])

    def double(self) -> None:
        """All rows once more behind themselves (the empty branch of guidance)."""
        self._set(self._rows * 2)

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        self._set([self._rows[row] for row in rows])

    @contextmanager
    def aside(self, counts: Sequence[int]) -> Iterator[None]:
        """Inside, row i stands for counts[i] rows: the pictures that a prompt looks at."""
        before = self._rows
        self._set([row for row, count in zip(before, counts, strict=True) for _ in range(count)])
        try:
            yield
        finally:
            self._set(before)

    def _set(self, rows: list[int]) -> None:
        self._rows = rows
        self._gates.clear()

    def joined(self, name: str) -> StackedLora | None:
        """What the adapters do to the Linear of that name; None when none of them touches it."""
        if name not in self._joined:
            found = [(k, *adapter.parts[name]) for k, adapter in enumerate(self.adapters) if name in adapter.parts]
            self._joined[name] = (
                StackedLora(
                    torch.cat([down for _, down, _ in found], 1) if len(found) > 1 else found[0][1],
                    torch.cat([up for _, _, up in found]) if len(found) > 1 else found[0][2],
                    tuple((k, len(up)) for k, _, up in found),
                )
                if found
                else None
            )
        return self._joined[name]

    def gate(self, ranks: tuple[tuple[int, int], ...], positions: int, device: torch.device) -> torch.Tensor | None:
        """(N * T, R) 1 where a rank belongs to the row's adapter, else 0; None when all rows speak with the same.

        positions: T, how many each row has.
        """
        if self.alike:
            return None
        key = (ranks, positions)
        if key not in self._gates:
            rows = torch.tensor(self._rows, device=device).repeat_interleave(positions)[:, None]  # (N * T, 1)
            self._gates[key] = torch.cat([(rows == k).float().expand(-1, rank) for k, rank in ranks], 1)
        return self._gates[key]


@contextmanager
def apply_loras(model: nn.Module, loras: LoraBatch | None) -> Iterator[None]:
    """Inside, the model speaks with `voices`; one thread at a time. Without voices it is only faster (`small_batch_linear.py`).

    With different adapters every pass must go through rows that `voices` knows; with one, any pass is right.
    Raises RuntimeError when the model is speaking already.
    """
    if loras is None:
        with fast_linears(model):
            yield
        return
    linears = [(name, module) for name, module in model.named_modules() if _speaks(module)]
    if any("forward" in vars(module) for _, module in linears):
        raise RuntimeError("this model is speaking already; wait until it is done, or load it a second time")
    with override_forward({module: partial(_spoken, module, name, loras) for name, module in linears}):
        yield


def _speaks(module: nn.Module) -> bool:
    # bitsandbytes' class is known by name: it is only there with the extra `four-bit`.
    return type(module) is nn.Linear or type(module).__name__ == "Linear4bit"


def _spoken(module: nn.Linear, name: str, loras: LoraBatch, inputs: torch.Tensor) -> torch.Tensor:
    # inputs (N, in) or (N, T, in); flat from here on, since a product of three dimensions costs twice the overhead
    flat = inputs.reshape(-1, inputs.shape[-1])  # (N * T, in)
    plain = type(module) is nn.Linear
    said = small_batch_matmul(flat, module.weight, module.bias) if plain else type(module).forward(module, flat)
    joined = loras.joined(name)
    if joined is not None:
        middle = flat.to(joined.down.dtype) @ joined.down  # (N * T, R)
        gate = loras.gate(joined.ranks, inputs.shape[1] if inputs.ndim == 3 else 1, inputs.device)
        if gate is not None:
            middle *= gate
        if said.dtype == middle.dtype:
            said = torch.addmm(said, middle, joined.up)
        else:
            said = said + (middle @ joined.up).to(said.dtype)
    return said.view(*inputs.shape[:-1], -1)
