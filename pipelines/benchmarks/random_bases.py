"""Base models whose checkpoint is made on the spot with random weights, in the published layout; imports no torch.

Speed and memory do not depend on the values of weights. `machine.Bench` writes and loads them.
"""

from __future__ import annotations

RANDOM_BASES = {
    "random-toy": "janus-toy",
    "random-1b": "janus-pro-1b",
    "random-7b": "janus-pro-7b",
    "random-bagel": "bagel-7b",
}
"""Checkpoints made on the spot -> the preset whose recipe and plan they follow."""
