"""`understudy chat`: talk with a run's character, one checkpoint alone or two side by side.

understudy chat RUN                              interactive, the best checkpoint
understudy chat RUN --say "Hello" --picture a.png
understudy chat RUN --against RUN:base           the same words to two checkpoints
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.terminal import Answer, CommandFailed

if TYPE_CHECKING:
    from pipelines.core.characters import Interaction
    from pipelines.preview import Reply, Speakers


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("chat", parents=[shared], help="talk with a trained character")
    command.add_argument("run_name", metavar="RUN[:CHECKPOINT]", help="run folder; its best checkpoint unless named")
    command.add_argument("--against", metavar="RUN[:CHECKPOINT]", help="a second checkpoint answers as well")
    command.add_argument("--say", metavar="TEXT", help="say one thing and leave; without it the chat is interactive")
    command.add_argument("--picture", metavar="OUT.png", type=Path, help="ask for a picture and write it here")
    command.add_argument("--seed", type=int, default=0, help="seed of the sampling (default 0)")
    command.set_defaults(run=run)


@dataclass
class Seat:
    """One checkpoint in the conversation, with its own history: each sees only its own answers."""

    label: str
    """RUN:CHECKPOINT as shown."""
    speakers: Speakers
    name: str
    """Adapter name inside `speakers`."""
    run_dir: Path
    history: Interaction = ()


def run(arguments: argparse.Namespace) -> Answer:
    """Answer once with `--say`, or until an empty line or Ctrl-D."""
    if arguments.json and arguments.say is None:
        raise CommandFailed("--json needs --say TEXT: an interactive chat has no last line")
    given = [arguments.run_name, *([arguments.against] if arguments.against else [])]
    seats = _seats(given)
    if arguments.say is not None:
        outputs = _outputs(arguments.picture, len(seats))
        return {
            "replies": [
                _answer(seat, arguments.say, out, arguments.seed) for seat, out in zip(seats, outputs, strict=True)
            ]
        }, 0
    replies: list[dict[str, Any]] = []
    greeting = seats[0].speakers.character_of(seats[0].run_dir).greeting
    print(f"{greeting}\n(an empty line ends the chat)" if greeting else "(an empty line ends the chat)")
    while line := _ask():
        turn = len(replies) // len(seats)
        folder = arguments.picture.parent if arguments.picture else seats[0].run_dir / "chat"
        folder.mkdir(parents=True, exist_ok=True)
        for number, seat in enumerate(seats):
            out = folder / f"{turn + 1:03d}{'' if number == 0 else '-against'}.png"
            replies.append(_answer(seat, line, out, arguments.seed + turn, wanted=arguments.picture is not None))
    return {"replies": replies}, 0


def _ask() -> str:
    try:
        return input("you: ").strip()
    except EOFError:
        print()
        return ""


def _outputs(picture: Path | None, count: int) -> list[Path | None]:
    """OUT.png for the first checkpoint, OUT-against.png for the second."""
    if picture is None:
        return [None] * count
    if picture.suffix.lower() != ".png":
        raise CommandFailed(f"--picture {picture}: pictures are written as PNG, name a file that ends in .png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    return [picture, picture.with_name(f"{picture.stem}-against.png")][:count]


def _seats(given: list[str]) -> list[Seat]:
    """Load each base model once, with every adapter that is asked for."""
    from pipelines.preview import find_checkpoint, load_speakers

    places = [find_checkpoint(text) for text in given]
    return [
        Seat(f"{place.run_dir.name}:{place.name}", speakers, key, place.run_dir)
        for place, (speakers, key) in zip(places, load_speakers(places), strict=True)
    ]


def _answer(seat: Seat, words: str, out: Path | None, seed: int, wanted: bool = True) -> dict[str, Any]:
    """One reply, printed as it comes; its picture written to `out` when there is one."""
    from pipelines.core.characters import Message, Text

    seat.history = (*seat.history, Message("user", (Text(words),)))

    def show(text: str) -> None:
        print(f"{seat.label}: {text}", flush=True)

    character = seat.speakers.character_of(seat.run_dir)
    reply: Reply = seat.speakers.reply(
        seat.name,
        character,
        seat.history,
        picture="always" if out and wanted else "auto" if out else "never",
        seed=seed,
        on_text=show,
    )
    seat.history = (*seat.history, Message("character", (Text(reply.text),), scene=reply.scene))
    if reply.scene:
        print(f"  [scene] {reply.scene}")
    saved = None
    if reply.picture is not None and out is not None:
        reply.picture.save(out)
        saved = str(out)
        print(f"  [picture] {out}")
    print(f"  ({reply.first_text_s:.1f} s to the words, {reply.seconds:.1f} s in all)", file=sys.stderr)
    return {
        "checkpoint": seat.label,
        "text": reply.text,
        "scene": reply.scene,
        "picture": saved,
        "first_text_s": round(reply.first_text_s, 3),
        "seconds": round(reply.seconds, 3),
    }
