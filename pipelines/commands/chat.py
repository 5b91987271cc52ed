"""`understudy chat`: talk with a run's character, one checkpoint alone or two side by side.

understudy chat RUN                              interactive, the best checkpoint
understudy chat RUN --say "Hello" --picture a.png
understudy chat RUN --against RUN:base           the same words to two checkpoints, answered together

On a terminal the words appear as they are sampled; elsewhere each reply is printed when it is whole.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.console import CommandFailed, CommandResult

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.core.character.character import Character, Interaction
    from pipelines.inference.engine import InferenceEngine
    from pipelines.inference.streaming import Reply, ReplyPart


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
class ChatSide:
    """One checkpoint in the conversation, with its own history: each sees only its own answers."""

    label: str
    """RUN:CHECKPOINT as shown."""
    speakers: InferenceEngine
    name: str
    """Adapter name inside `speakers`."""
    run_dir: Path
    character: Character
    history: Interaction = ()
    lines: list[str] = field(default_factory=list)
    """What is shown of the reply at hand: words, scene, picture."""


def run(arguments: argparse.Namespace) -> CommandResult:
    """Answer once with `--say`, or until an empty line or Ctrl-D."""
    if arguments.json and arguments.say is None:
        raise CommandFailed("--json needs --say TEXT: an interactive chat has no last line")
    given = [arguments.run_name, *([arguments.against] if arguments.against else [])]
    seats = _seats(given)
    if arguments.say is not None:
        outputs = _outputs(arguments.picture, len(seats))
        return {"replies": _answer(seats, arguments.say, outputs, arguments.seed)}, 0
    replies: list[dict[str, Any]] = []
    greeting = seats[0].character.greeting
    print(f"{greeting}\n(an empty line ends the chat)" if greeting else "(an empty line ends the chat)")
    while line := _ask():
        turn = len(replies) // len(seats)
        folder = arguments.picture.parent if arguments.picture else seats[0].run_dir / "chat"
        folder.mkdir(parents=True, exist_ok=True)
        outs: list[Path | None] = [folder / f"{turn + 1:03d}{end}.png" for end in ("", "-against")[: len(seats)]]
        replies += _answer(seats, line, outs, arguments.seed + turn, wanted=arguments.picture is not None)
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


def _seats(given: list[str]) -> list[ChatSide]:
    """Load each base model once, with every adapter that is asked for."""
    from pipelines.inference.engine import find_checkpoint, load_engine

    places = [find_checkpoint(text) for text in given]
    return [
        ChatSide(f"{place.run_dir.name}:{place.name}", speakers, key, place.run_dir, place.character)
        for place, (speakers, key) in zip(places, load_engine(places), strict=True)
    ]


def _answer(
    seats: list[ChatSide], words: str, outs: list[Path | None], seed: int, wanted: bool = True
) -> list[dict[str, Any]]:
    """One reply of every seat, shown as it comes; pictures written to `outs` where there is one."""
    from rich.console import Console

    from pipelines.core.character.character import Message, TextPart
    from pipelines.inference.generate import GenerationRequest
    from pipelines.inference.streaming import SceneReady, TextPiece

    asks = []
    for seat, out in zip(seats, outs, strict=True):
        seat.history = (*seat.history, Message("user", (TextPart(words),)))
        seat.lines = [f"{seat.label}: "]
        wish = "always" if out and wanted else "auto" if out else "never"
        asks.append(GenerationRequest(seat.character, seat.history, seat.name, seed, wish))
    replies: dict[int, dict[str, Any]] = {}
    with shown(seats, Console()) as refresh:
        for number, part in _parts(seats, asks):
            seat, out = seats[number], outs[number]
            if isinstance(part, TextPiece):
                seat.lines[0] += part.text
            elif isinstance(part, SceneReady):
                seat.lines += [f"  [scene] {part.scene}"] if part.scene else []
            else:
                reply = part.reply
                seat.history = (*seat.history, Message("character", (TextPart(reply.text),), scene=reply.scene))
                if reply.picture is not None and out is not None:
                    reply.picture.save(out)
                    seat.lines.append(f"  [picture] {out}")
                replies[number] = _report(seat, reply, out)
            refresh()
    for number in range(len(seats)):
        first_text_s, seconds = replies[number]["first_text_s"], replies[number]["seconds"]
        print(f"  ({first_text_s:.1f} s to the first words, {seconds:.1f} s in all)", file=sys.stderr)
    return [replies[number] for number in range(len(seats))]


def _parts(seats: list[ChatSide], asks: list[Any]) -> Iterator[tuple[int, ReplyPart]]:
    """(seat, part) of all replies: those of one base model in one batch, different base models one after the other."""
    for speakers in dict.fromkeys(seat.speakers for seat in seats):
        numbers = [number for number, seat in enumerate(seats) if seat.speakers is speakers]
        for part in speakers.replies([asks[number] for number in numbers]):
            yield numbers[part.side], part


def _report(seat: ChatSide, reply: Reply, out: Path | None) -> dict[str, Any]:
    return {
        "checkpoint": seat.label,
        "text": reply.text,
        "scene": reply.scene,
        "picture": str(out) if reply.picture is not None and out is not None else None,
        "first_text_s": round(reply.first_text_s, 3),
        "seconds": round(reply.seconds, 3),
    }


@contextlib.contextmanager
def shown(seats: list[ChatSide], console: Console) -> Iterator[Any]:
    """Inside, what is given is called when lines of a seat have changed; at the end all of them stand there."""
    from rich.live import Live
    from rich.text import Text

    def text() -> str:
        return "\n".join(line for seat in seats for line in seat.lines)

    if not console.is_terminal:  # a file or a pipe: no control codes, no folded lines
        yield lambda: None
        print(text(), flush=True)
        return
    with Live(console=console, vertical_overflow="visible", refresh_per_second=12) as live:
        yield lambda: live.update(Text(text()))  # drawn at the next refresh
