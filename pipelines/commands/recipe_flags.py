"""`--set FIELD=VALUE`, the flag that overrides fields of a recipe.

Used by `train`, `jobs clone` and `jobs continue`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipelines.commands.console import WrongUsage
from pipelines.core.formats.json_text import parse_json
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems


def add_set_flag(command: argparse.ArgumentParser, help: str) -> None:
    """Give a command the repeatable flag; its pairs arrive as `arguments.overrides`."""
    command.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], dest="overrides", help=help)


def recipe_overrides(pairs: list[str], recipe: Recipe | None = None) -> dict[str, Any]:
    """`["sft_steps=30"]` to values of the right type; WrongUsage names the field and what it takes.

    A field that is a table, such as `reward_weights`, may be given in part; the rest is taken from `recipe`, or from
    the default recipe.
    """
    known = (recipe or Recipe()).to_json()
    defaults = {name: value for name, value in known.items() if name not in ("base", "effort")}
    overrides: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or name not in defaults:
            raise WrongUsage(f"--set {pair}: write FIELD=VALUE with one of {', '.join(defaults)}")
        default = defaults[name]
        try:
            value = parse_json(text, name)
        except (ValueError, CharacterProblems) as error:
            raise WrongUsage(f"--set {pair}: {text[:80]!r} is not a number or a JSON object") from error
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise WrongUsage(f"--set {pair}: {name} takes a value such as {json.dumps(default)}")
        if isinstance(default, dict):
            unknown = sorted(set(value) - set(default))
            if unknown:
                raise WrongUsage(f"--set {pair}: {name} has no {', '.join(unknown)}, only {', '.join(default)}")
            value = {**default, **value}
        overrides[name] = value
    return overrides
