"""What a device can do at best, to say how much of it a step used: bf16 arithmetic of dense matrices, by GPU name.

From the makers' data sheets, without sparsity. A name that is not listed gives no share rather than a wrong one.
"""

from __future__ import annotations

import resource
import sys

import torch

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 6000 Ada": 364e12,
    "RTX A6000": 155e12,
    "RTX 5090": 210e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "T4": 65e12,
}
"""Part of the GPU's name -> operations a second; the more special names come first."""


def peak_of(name: str) -> float | None:
    """Operations a second of a GPU by the name it gives itself; None for one that is not listed."""
    words = f"{name.replace('-', ' ')} "
    return next((peak for known, peak in PEAKS.items() if f" {known} " in f" {words}"), None)


def wait(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Most bytes that were taken: of the GPU since `forget_peak`, or of this process in its life."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: torch.device) -> None:
    """Begin to count anew; a process on a CPU cannot."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
