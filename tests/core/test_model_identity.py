"""An adapter is used with the weights it was trained on, and with no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.model_identity import (
    LOCAL_REVISION,
    TOY_REVISION,
    UNKNOWN_MODEL,
    ModelIdentity,
    identity_in,
    require_base,
    why_refused,
)
from pipelines.core.run_folder import RunError

STARTER = ModelIdentity("understudy/starter", "aaaa")
JANUS = ModelIdentity("deepseek-community/Janus-Pro-1B", "c0ffee")
TOY = ModelIdentity("understudy/starter-toy", TOY_REVISION)


def config(name: str | None, revision: str | None) -> dict[str, Any]:
    """As PEFT writes it."""
    return {"peft_type": "LORA", "base_model_name_or_path": name, "revision": revision}


@pytest.mark.parametrize(
    ("trained_on", "base"),
    [
        (config(STARTER.name, "aaaa"), STARTER),
        (config(JANUS.name, "c0ffee"), JANUS),
        (config(JANUS.name, LOCAL_REVISION), JANUS),  # a folder of the user's own does not say what commit it is
        (config(JANUS.name, "c0ffee"), ModelIdentity(JANUS.name, LOCAL_REVISION)),
        (config(TOY.name, TOY_REVISION), TOY),
        (config(TOY.name, None), TOY),  # version 0.1
        (config(None, None), TOY),  # version 0.1, before the checkpoint was measured
        (config(STARTER.name, "bbbb"), UNKNOWN_MODEL),  # a model that is being made
    ],
)
def test_the_same_weights_are_taken(trained_on: dict[str, Any], base: ModelIdentity) -> None:
    assert why_refused(trained_on, base) == ""


@pytest.mark.parametrize(
    ("trained_on", "base", "why"),
    [
        (
            config(STARTER.name, "bbbb"),
            STARTER,
            "was trained on the starter of bbbb: train again (the one here is aaaa)",
        ),
        (
            config(JANUS.name, "main"),
            JANUS,
            "was trained on Janus-Pro-1B of main: train again (the one here is c0ffee)",
        ),
        (config(STARTER.name, None), STARTER, "was trained on the starter of a revision that it does not name"),
        (config("some/where/janus", None), JANUS, "was trained on Janus-Pro-1B of a revision that it does not name"),
        (config(TOY.name, "toy-0"), TOY, "was trained on starter-toy of toy-0: train again (the one here is toy-1)"),
        (config(TOY.name, TOY_REVISION), STARTER, "was trained on starter-toy, not on the starter"),
        (config(JANUS.name, LOCAL_REVISION), STARTER, "was trained on Janus-Pro-1B, not on the starter"),
        ({}, STARTER, "train again"),
    ],
)
def test_other_weights_are_refused_in_plain_words(trained_on: dict[str, Any], base: ModelIdentity, why: str) -> None:
    assert why in why_refused(trained_on, base)


def test_what_a_config_says() -> None:
    assert identity_in(config(STARTER.name, "aaaa")) == STARTER
    assert identity_in(config(None, None)) == identity_in({}) == UNKNOWN_MODEL


def test_a_runs_checkpoints_are_checked_by_name(tmp_path: Path) -> None:
    for name, revision in (("sft-000002", "aaaa"), ("sft-000004", "bbbb")):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(config(STARTER.name, revision)))
    require_base(tmp_path, ["sft-000002"], STARTER)
    with pytest.raises(RunError, match=r"checkpoint sft-000004 was trained on the starter of bbbb: train again"):
        require_base(tmp_path, ["sft-000002", "sft-000004"], STARTER)
