"""Which weights a base model is, and why an adapter that was trained on others cannot be used with it. No torch.

An adapter is a small difference to the weights it was trained on; added to others it draws and says nonsense without
any error. So every `adapter_config.json` names them (PEFT's fields `base_model_name_or_path` and `revision`), from the
first time it is saved, and whoever loads one asks `why_refused` first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.run_folder import RunError, checkpoint_folder, read_json

LOCAL_REVISION = "local"
"""Published weights in a folder of the user's own, which does not say what commit they are."""
TOY_REVISION = "toy-1"
"""Of the models for tests, whose weights follow from a seed."""


@dataclass(frozen=True)
class ModelIdentity:
    """Weights by name and revision."""

    name: str
    """As adapters name it: `understudy/starter`, or the repository on the Hugging Face hub."""
    revision: str
    """A hash or a commit; empty where nobody knows, as while new weights are being made."""

    @property
    def title(self) -> str:
        """The name in a sentence."""
        short = self.name.rpartition("/")[2]
        return "the starter" if short == "starter" else short


UNKNOWN_MODEL = ModelIdentity("", "")
"""Weights that no adapter which is kept was trained on."""


def identity_in(config: Mapping[str, Any]) -> ModelIdentity:
    """What an `adapter_config.json` says; empty where it says nothing."""
    return ModelIdentity(str(config.get("base_model_name_or_path") or ""), str(config.get("revision") or ""))


def why_refused(config: Mapping[str, Any], base: ModelIdentity) -> str:
    """Why the adapter with this `adapter_config.json` cannot be used with that base, to go on a sentence; "" if it can.

    Toys take adapters that do not say their revision, as version 0.1 saved them. A local folder of published weights
    is taken for what it should be.
    """
    trained_on = identity_in(config)
    if not base.revision or trained_on == base:
        return ""
    if trained_on.revision and trained_on.name != base.name:
        return f"was trained on {trained_on.title}, not on {base.title}: choose one of {base.title}, or train again"
    if LOCAL_REVISION in (trained_on.revision, base.revision):
        return ""
    if not trained_on.revision:
        old = f"was trained on {base.title} of a revision that it does not name: train again"
        return "" if base.revision == TOY_REVISION else f"{old} (the one here is {base.revision})"
    return f"was trained on {base.title} of {trained_on.revision}: train again (the one here is {base.revision})"


def require_base(run_dir: Path, names: Sequence[str], base: ModelIdentity) -> None:
    """Raise RunError when one of these checkpoints of a run was trained on other weights than those of the base."""
    for name in names:
        why = why_refused(read_json(checkpoint_folder(run_dir, name) / "adapter_config.json"), base)
        if why:
            raise RunError(f"checkpoint {name} {why}")
