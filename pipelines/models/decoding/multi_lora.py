"""Several LoRA adapters in one batch on one unchanged base model: each row is computed with its own adapter.

`read_adapter` reads a LoRA that PEFT wrote; `LoraBatch` says which one each prompt is answered with; inside
`apply_loras(model, loras)` the model's Linears add them. A LoRA adds B(A(x)) * alpha / rank to the output of a Linear.
The A's of all adapters of a batch are stacked side by side and their B's below each other, so two small products serve
all of them; between the two a mask keeps for each row only the ranks of its own adapter. (PEFT's
`_mixed_batch_forward` gathers, multiplies and scatters once for each adapter in each Linear.) The weights are never
written to and no module is replaced, so an adapter can be read while another generates.

Dimension letters: P prompts, N rows, T positions, K adapters, R the sum of their ranks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.core.model_identity import why_refused
from pipelines.core.run_folder import REFERENCES_FILE
from pipelines.models.decoding.small_batch_linear import fast_linears, override_forward, small_batch_matmul

if TYPE_CHECKING:
    from pipelines.models.decoding.prefix_cache import PrefixCache

PEFT_PREFIX = "base_model.model."
REFERENCES_KEY = "codes"
"""In REFERENCES_FILE: the codes (R, C) of the images that an adapter's image expert looks at."""
UNSUPPORTED_LORA_OPTIONS = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "layer_replication",
    "fan_in_fan_out",
)
"""Settings of PEFT that our training never uses and `read_adapter` refuses."""


class AdapterError(ValueError):
    """A folder that holds no adapter for this base model; the message names the folder and what to do."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """One LoRA in memory; without weights it is the base model as it is."""

    source: str
    """The folder it came from, or what it is called; for messages."""
    weights: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """Linear's name in the base model -> A (in, r) and B (r, out), transposed, with alpha / rank multiplied into B."""
    reference_codes: tuple[tuple[int, ...], ...] = ()
    """Codes of the character's references, which travel with its adapter; none in adapters that were made without."""

    def scaled(self, strength: float) -> Adapter:
        """The same LoRA, what it adds multiplied by `strength`; its references stay. As PEFT's `scale_layer`."""
        weights = {name: (down, up * strength) for name, (down, up) in self.weights.items()}
        return Adapter(self.source, weights, self.reference_codes)


def read_adapter(folder: Path, model: nn.Module) -> Adapter:
    """The LoRA that PEFT wrote to `folder`, on the device of the `UnifiedModel`, which is not changed.

    Raises AdapterError when files are missing or damaged, made for another base model or another revision of it, or
    with settings we do not know.
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
    unsupported = [name for name in UNSUPPORTED_LORA_OPTIONS if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unsupported:
        raise AdapterError(
            f"{folder}/adapter_config.json: only a plain LoRA can be used here, this one is "
            f"{config.get('peft_type')} with {', '.join(unsupported) or 'bias'}"
        )
    if why := why_refused(config, model.identity):
        raise AdapterError(f"{folder} {why}")
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
        scale = alpha_of(name, config) / (rank**0.5 if config.get("use_rslora") else rank)
        # Transposed once, here: with that layout products of few rows are up to 1.7 times faster.
        parts[name] = (down.float().t().contiguous().to(device), (up.float() * scale).t().contiguous().to(device))
    if 2 * len(parts) != len(weights):
        raise AdapterError(
            f"{folder}/adapter_model.safetensors holds more than a LoRA of Linears; such an adapter cannot be used here"
        )
    return Adapter(str(folder), parts, read_references(folder))


def write_references(folder: Path, codes: Sequence[Sequence[int]]) -> None:
    """Put the codes (R, C) of a character's references beside its adapter; nothing when it has none."""
    if codes:
        save_file({REFERENCES_KEY: torch.tensor(codes, dtype=torch.int32)}, folder / REFERENCES_FILE)


def read_references(folder: Path) -> tuple[tuple[int, ...], ...]:
    """The inverse of `write_references`; AdapterError when the file is damaged."""
    if not (folder / REFERENCES_FILE).exists():
        return ()
    try:
        codes = load_file(folder / REFERENCES_FILE)[REFERENCES_KEY].tolist()
    except (OSError, KeyError, SafetensorError) as error:
        raise AdapterError(
            f"{folder / REFERENCES_FILE} cannot be read ({error}); fetch the checkpoint again"
        ) from error
    return tuple(map(tuple, codes))


def alpha_of(name: str, config: Mapping[str, Any]) -> float:
    """The alpha of a Linear: PEFT's patterns are regular expressions for the end of its name."""
    patterns = config.get("alpha_pattern") or {}
    found = [alpha for pattern, alpha in patterns.items() if re.match(rf"(.*\.)?({pattern})$", name)]
    return float(found[0] if found else config["lora_alpha"])


@dataclass(frozen=True)
class StackedLora:
    """What all adapters of a batch add to one Linear."""

    down: torch.Tensor
    """(in, R)"""
    up: torch.Tensor
    """(R, out)"""
    ranks: tuple[tuple[int, int], ...]
    """(adapter, its rank), in the order of stacking."""


class LoraBatch:
    """The adapter of each prompt; samplers tell it when rows are repeated, doubled or dropped."""

    def __init__(self, adapters: Sequence[Adapter], prefix_cache: PrefixCache | None = None) -> None:
        """One adapter for each prompt; prompts may share one. `prefix_cache` keeps prompts for the next reply."""
        self.prefix_cache = prefix_cache
        self.adapters = list(dict.fromkeys(adapters))
        self._prompts = [self.adapters.index(adapter) for adapter in adapters]
        self._stacked: dict[str, StackedLora | None] = {}
        self._rows: list[int] = []  # (N,) the adapter of each row, as an index into `adapters`
        self._masks: dict[tuple[tuple[tuple[int, int], ...], int], torch.Tensor] = {}
        self.start()

    def select(self, prompts: Sequence[int]) -> LoraBatch:
        """The same for some of the prompts, in that order."""
        if list(prompts) == list(range(len(self._prompts))):
            return self  # with what is stacked already
        return LoraBatch([self.adapters[self._prompts[prompt]] for prompt in prompts], self.prefix_cache)

    @property
    def is_uniform(self) -> bool:
        """Whether all prompts have the same adapter; then rows need not be told apart."""
        return len(self.adapters) == 1

    def adapter_of_row(self, row: int) -> Adapter:
        """The adapter of a row of the running batch."""
        return self.adapters[self._rows[row]]

    def start(self, branches: int = 1) -> None:
        """A batch begins: one row for each prompt, all of them once for each branch of guidance."""
        self._set_rows(self._prompts * branches)

    def repeat(self, group: int) -> None:
        """Every row `group` times, copies side by side."""
        self._set_rows([row for row in self._rows for _ in range(group)])

    def double(self) -> None:
        """All rows once more behind themselves: the unconditional branch of guidance."""
        self._set_rows(self._rows * 2)

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows only; indices into the present ones."""
        self._set_rows([self._rows[row] for row in rows])

    @contextmanager
    def expanded(self, counts: Sequence[int]) -> Iterator[None]:
        """Inside, row i stands for counts[i] rows: a prompt's looked-at images pass the model as rows of their own."""
        before = self._rows
        self._set_rows([row for row, count in zip(before, counts, strict=True) for _ in range(count)])
        try:
            yield
        finally:
            self._set_rows(before)

    def _set_rows(self, rows: list[int]) -> None:
        self._rows = rows
        self._masks.clear()

    def stacked(self, name: str) -> StackedLora | None:
        """What the adapters add to the Linear of that name; None when none of them adapts it."""
        if name not in self._stacked:
            found = [(k, *adapter.weights[name]) for k, adapter in enumerate(self.adapters) if name in adapter.weights]
            self._stacked[name] = (
                StackedLora(
                    torch.cat([down for _, down, _ in found], 1) if len(found) > 1 else found[0][1],
                    torch.cat([up for _, _, up in found]) if len(found) > 1 else found[0][2],
                    tuple((k, len(up)) for k, _, up in found),
                )
                if found
                else None
            )
        return self._stacked[name]

    def rank_mask(
        self, ranks: tuple[tuple[int, int], ...], positions: int, device: torch.device
    ) -> torch.Tensor | None:
        """(N * T, R) 1 where a rank belongs to the row's adapter, else 0; None when all rows have the same adapter.

        positions: T, how many each row has.
        """
        if self.is_uniform:
            return None
        # Most Linears have the same ranks, so one mask serves a whole forward pass, and all steps of the same rows.
        key = (ranks, positions)
        if key not in self._masks:
            rows = torch.tensor(self._rows, device=device).repeat_interleave(positions)[:, None]  # (N * T, 1)
            self._masks[key] = torch.cat([(rows == k).float().expand(-1, rank) for k, rank in ranks], 1)
        return self._masks[key]


@contextmanager
def apply_loras(model: nn.Module, loras: LoraBatch | None) -> Iterator[None]:
    """Inside, the model's Linears add `loras`; one thread at a time. None: no adapter, only `fast_linears`.

    With different adapters the rows of every forward pass must be those that `loras` was told of; with one, any pass
    is right. Raises RuntimeError when adapters are applied to the model already.
    """
    if loras is None:
        with fast_linears(model):
            yield
        return
    linears = [(name, module) for name, module in model.named_modules() if _is_linear(module)]
    if any("forward" in vars(module) for _, module in linears):
        raise RuntimeError("this model is generating already; wait until it is done, or load it a second time")
    with override_forward({module: partial(_lora_linear, module, name, loras) for name, module in linears}):
        yield


def _is_linear(module: nn.Module) -> bool:
    # bitsandbytes' class is known by name: it is only installed with the extra `four-bit`.
    return type(module) is nn.Linear or type(module).__name__ == "Linear4bit"


def _lora_linear(module: nn.Linear, name: str, loras: LoraBatch, inputs: torch.Tensor) -> torch.Tensor:
    """The forward of a Linear with its stacked LoRA: inputs (N, in) or (N, T, in)."""
    flat = inputs.reshape(-1, inputs.shape[-1])  # (N * T, in): a product of three dimensions has twice the overhead
    plain = type(module) is nn.Linear
    output = small_batch_matmul(flat, module.weight, module.bias) if plain else type(module).forward(module, flat)
    stacked = loras.stacked(name)
    if stacked is not None:
        middle = flat.to(stacked.down.dtype) @ stacked.down  # (N * T, R)
        mask = loras.rank_mask(stacked.ranks, inputs.shape[1] if inputs.ndim == 3 else 1, inputs.device)
        if mask is not None:
            middle *= mask
        if output.dtype == middle.dtype:
            output = torch.addmm(output, middle, stacked.up)
        else:
            output = output + (middle @ stacked.up).to(output.dtype)
    return output.view(*inputs.shape[:-1], -1)
