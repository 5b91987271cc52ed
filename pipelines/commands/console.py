"""What every command needs: the two errors, tables, and the folders of bundled characters.

Nothing here imports torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pipelines.core.checkpoint_selection import FAULTS
from pipelines.core.full_disk import is_full
from pipelines.core.jobs.reply_protocol import MAX_STRENGTH, check_strength
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import scorecard as score_axes
from pipelines.core.score_names import AXIS_NAMES, SCORE_NAMES
from pipelines.core.words import COMMANDS, printable

BUNDLED = Path(__file__).resolve().parent.parent / "core" / "bundled"

CommandResult = tuple[dict[str, Any], int]
"""The JSON object of a command and its exit status."""


class CommandFailed(Exception):
    """A command that cannot do its work; the text is the one-line reason. Exit status 1."""


class WrongUsage(Exception):
    """Arguments that argparse cannot judge by itself. Exit status 2."""


def say(text: object = "", file: TextIO | None = None) -> None:
    """Print a line; names and texts of strangers in it give the terminal no commands."""
    print(printable(str(text)), file=file or sys.stdout, flush=True)


def json_line(answer: object) -> str:
    """The answer of a command as one line of JSON, without a sign that a terminal or UTF-8 does not take."""
    text = json.dumps(answer, ensure_ascii=False)
    return COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def reason_of(error: BaseException) -> str:
    """The error's text in one line; the name of its class when it has none. A full disk is called that."""
    if isinstance(error, UnicodeEncodeError):  # bytes of a command line that are no letters
        return f"{error.object[:80]!r} holds signs that no text has"
    text = " ".join(str(error).split()) or type(error).__name__
    if is_full(error) and "full" not in text:
        return f"the disk is full ({text}): what was saved before is safe; free some space and go on"
    return text


def bundled_slugs() -> list[str]:
    """Names of the characters that come with the project."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/character.yaml"))


def character_folder(given: str) -> Path:
    """A folder given by path or by the name of a bundled character; CommandFailed says what there is."""
    path = Path(given).expanduser()
    if path.is_dir():
        return path
    if given in bundled_slugs():
        return BUNDLED / given
    bundled = ", ".join(bundled_slugs()) or "none"
    raise CommandFailed(f"{given} is neither a character folder nor a bundled character (bundled: {bundled})")


def table(rows: list[list[str]]) -> str:
    """Left-aligned columns; the first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def best_words(result: Mapping[str, Any]) -> str:
    """The best checkpoint of a `result.json` in a line; where it has faults, what they are."""
    wrong = "; ".join(FAULTS[fault] for fault in result.get("best_faults", ()) if fault in FAULTS)
    if wrong:
        return f"No checkpoint is good enough to be called the best; {result.get('best')} comes closest, but {wrong}."
    return f"Best checkpoint: {result.get('best')}."


def scorecard(checkpoints: list[dict[str, Any]], best: str = "") -> str:
    """A table, one line a score and one column a checkpoint; the best is starred.

    First the five scores that the studio shows, by the same names and of 100, "too little" where one is withheld; then
    what else was measured.
    """
    base = next((item["scores"] for item in checkpoints if item["name"] == BASE), None)
    heading = ["", *(item["name"] + (" *" if item["name"] == best else "") for item in checkpoints)]
    rows = [heading]
    cards = [score_axes(item["scores"], base, item.get("measurement")) for item in checkpoints]
    for axes in zip(*cards, strict=True):
        if any(axis.value is not None or axis.withheld for axis in axes):
            rows.append([axes[0].name.lower(), *("too little" if axis.withheld else axis.shown for axis in axes)])
    for key, score in SCORE_NAMES.items():
        values = [item["scores"].get(key) for item in checkpoints]
        if key not in AXIS_NAMES and any(value is not None for value in values):
            rows.append([score.row, *("-" if value is None else score.shown(value) for value in values)])
    return table(rows)


def add_strength(command: argparse.ArgumentParser) -> None:
    """`--strength`, of what draws or answers with an adapter."""
    command.add_argument(
        "--strength",
        metavar="X",
        type=float,
        default=1.0,
        help=f"multiply what was learned by X, 0 to {MAX_STRENGTH:g} (default 1; 0 is the base model)",
    )


def check_strength_flag(strength: float) -> None:
    """WrongUsage for a strength that no adapter can have."""
    try:
        check_strength(strength)
    except ValueError as error:
        raise WrongUsage(f"--strength: {error}") from error
