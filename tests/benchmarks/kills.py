"""Random kills: SIGKILL to trainer, worker, Redis, object store and records while toy trainings go through the queue.

    python -m tests.benchmarks.kills [--kills 300] [--seed 0] [--out FILE] [--piece 50] [--workers 2]
                                     [--victims trainer,...] [--pauses 5,20]

In pieces, each with a deployment of its own (`kill_piece.py`): equally many kills of each victim in a random order.
Every job must end, and succeed or be given up since it was killed more often than it could save anything; none may run
twice at once or be lost (what was given up must succeed when a person resumes it), and no checkpoint row may name bytes
that are not there. Of the jobs that were worked on when something was killed at least 90 % must have succeeded by
themselves, and of those whose trainer was killed too. Pauses between two kills are measured in trainings (`PAUSES` in
`kill_piece.py`); `--pauses` gives them in seconds.

FILE gets a line for each finished piece, with the commit; the same command goes on behind the last one, and refuses
when commit or settings differ. The tree must stand still: no uncommitted changes, the same commit at the end of a
piece. Prints one JSON object over all pieces; exit status 1 when something does not hold, 2 when it may not begin, 130
when it was interrupted; nothing it started is alive afterwards. `make test` runs a few kills.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.core.intervals import wilson
from tests.benchmarks.kill_piece import VICTIMS, kill_piece
from tests.benchmarks.scratch import ROOT, scratch_folder

BY_THEMSELVES = 0.9
"""Least share of the jobs that must succeed without a person."""
PROMISES = (
    "failed_otherwise",
    "not_ended",
    "lost",
    "ran_twice_at_once",
    "objects_missing_or_damaged",
    "event_logs_with_gaps",
    "succeeded_but_not_whole",
)
"""What must never be."""
SUMS = (
    *PROMISES,
    "jobs",
    "jobs_worked_on_at_a_kill",
    "of_them_by_themselves",
    "jobs_with_a_killed_trainer",
    "of_these_by_themselves",
    "given_up",
    "checkpoint_rows",
    "looks",
)
SHARES = {
    "share_by_themselves": ("of_them_by_themselves", "jobs_worked_on_at_a_kill"),
    "share_with_a_killed_trainer": ("of_these_by_themselves", "jobs_with_a_killed_trainer"),
}


class Refused(Exception):
    """Why pieces may not be put together, with the mend."""


def summary(pieces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All pieces as one, shares with their 95 % intervals."""
    found: dict[str, Any] = {"pieces": len(pieces), "commit": pieces[0]["commit"] if pieces else ""}
    for name in ("kills", "statuses", "attempts", "reasons"):
        found[name] = dict(sum((Counter(piece[name]) for piece in pieces), Counter()))
    found |= {name: sum(piece[name] for piece in pieces) for name in SUMS}
    for name, (part, whole) in SHARES.items():
        if found[whole]:
            interval = wilson(found[part], found[whole])
            found[name] = round(found[part] / found[whole], 3)
            found[f"{name}_interval"] = [round(end, 3) for end in interval]
    found["minutes"] = [round(piece["seconds"] / 60, 1) for piece in pieces]
    found["load"] = [piece["load"] for piece in pieces]
    return found


def broken(found: dict[str, Any]) -> list[str]:
    """What does not hold."""
    too_few = [name for name in SHARES if found.get(name, 1.0) < BY_THEMSELVES]
    return [name for name in PROMISES if found[name]] + too_few


def standing_commit() -> str:
    """The commit of this tree; Refused when it has changes besides."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"git does not know the commit of {ROOT}: take a clone ({done.stderr.strip()})")
        return done.stdout.strip()

    if changes := git("status", "--porcelain", "--untracked-files=no"):
        changed = ", ".join(line[3:] for line in changes.splitlines())
        raise Refused(f"{ROOT} has changes without a commit, so nobody could say what was measured: commit {changed}")
    return git("rev-parse", "HEAD")


def read_pieces(out: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The finished pieces in a file; half a last line is cut off. Refused when they are of another tree or settings."""
    if not out.exists():
        return []
    text = out.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(out, len(whole))
    pieces = [json.loads(line) for line in whole.splitlines()]
    for piece in pieces:
        differing = [name for name, value in settings.items() if piece[name] != value]
        if differing:
            told = ", ".join(f"{name} {piece[name]}, now {settings[name]}" for name in differing)
            raise Refused(f"piece {piece['piece']} of {out} differs ({told}): name another file, or go back to that")
    return pieces


def append(out: Path, piece: dict[str, Any]) -> None:
    """One whole line, on the disk."""
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(piece) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All pieces, those that are in the file already among them."""
    out: Path | None = arguments.out
    commit = standing_commit() if out else ""
    settings = {name: getattr(arguments, name) for name in ("seed", "workers", "victims", "pauses")}
    settings |= {"commit": commit, "size": arguments.piece}
    pieces = read_pieces(out, settings) if out else []
    while (left := arguments.kills - sum(sum(piece["kills"].values()) for piece in pieces)) > 0:
        number = len(pieces)
        with scratch_folder("kills") as folder:
            found = kill_piece(
                min(arguments.piece, left),
                arguments.workers,
                f"{arguments.seed} {number}",
                folder / "deployment",
                victims=arguments.victims.split(","),
                pauses_s=_pauses(arguments.pauses),
            )
        pieces.append({"piece": number, **settings, **found})
        print(json.dumps(pieces[-1]), file=sys.stderr, flush=True)
        if out:
            if standing_commit() != commit:
                raise Refused(
                    f"{ROOT} was at {commit} when piece {number} began and is not any more: run it again there"
                )
            append(out, pieces[-1])
    return pieces


def _pauses(words: str) -> tuple[float, float] | None:
    if not words:
        return None
    least, most = map(float, words.split(","))
    return least, most


def main(words: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kills")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of the finished pieces; goes on behind the last one")
    parser.add_argument("--piece", type=int, default=50, help="kills in one deployment")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--pauses", default="", help="least and most seconds between two kills")
    try:
        found = summary(run(parser.parse_args(words)))
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ended; what is in the file is whole, and the same command goes on behind it", file=sys.stderr)
        return 130
    print(json.dumps(found))
    return int(bool(broken(found)))


if __name__ == "__main__":
    sys.exit(main())
