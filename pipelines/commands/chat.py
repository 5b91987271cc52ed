"""`understudy chat`: talk with a run's character, one checkpoint alone or two side by side.

    understudy chat RUN                              interactive, the best checkpoint
    understudy chat RUN --say "Hello" --picture a.png
    understudy chat RUN --against RUN:base           two checkpoints reply to the same words, in one batch

On a terminal text appears as it is sampled; elsewhere each reply is printed when it is complete.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, add_strength, check_strength_flag, say
from pipelines.core.jobs.reply_protocol import MAX_BEST_OF
from pipelines.core.words import printable, tidy_text

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
    command.add_argument(
        "--best-of",
        metavar="N",
        type=int,
        help="draw each picture N times and keep the best (default: 4 with a GPU, where it costs little, else 1)",
    )
    add_strength(command)
    command.set_defaults(run=run)


@dataclass
class ChatSide:
    """One checkpoint in the conversation, with a history of its own: each side sees only its own replies."""

    label: str
    """RUN:CHECKPOINT as shown."""
    engine: InferenceEngine
    name: str
    """Adapter name inside `engine`."""
    run_dir: Path
    character: Character
    references: tuple[Path, ...] = ()
    """Pictures of the character for the base to look at; an adapter brings its own."""
    strength: float = 1.0
    """What the adapter adds is multiplied by this."""
    history: Interaction = ()
    lines: list[str] = field(default_factory=list)
    """Lines shown of the present reply: text, scene, path of the picture."""


def run(arguments: argparse.Namespace) -> CommandResult:
    """Reply once with `--say`, else until an empty line or Ctrl-D."""
    if arguments.json and arguments.say is None:
        raise CommandFailed("--json needs --say TEXT: an interactive chat has no last line")
    best_of: int | None = arguments.best_of
    if best_of is not None and not 1 <= best_of <= MAX_BEST_OF:
        raise WrongUsage(f"--best-of {best_of}: 1 to {MAX_BEST_OF} drawings can be chosen from")
    check_strength_flag(arguments.strength)
    names = [arguments.run_name, *([arguments.against] if arguments.against else [])]
    sides = _load_sides(names, arguments.strength)
    if arguments.say is not None:
        outputs = _image_paths(arguments.picture, len(sides))
        return {"replies": _answer(sides, tidy_text(arguments.say), outputs, arguments.seed, best_of)}, 0
    replies: list[dict[str, Any]] = []
    greeting = sides[0].character.greeting
    say(f"{greeting}\n(an empty line ends the chat)" if greeting else "(an empty line ends the chat)")
    while line := _read_line():
        turn = len(replies) // len(sides)
        folder = arguments.picture.parent if arguments.picture else sides[0].run_dir / "chat"
        folder.mkdir(parents=True, exist_ok=True)
        turn_paths = [folder / f"{turn + 1:03d}{end}.png" for end in ("", "-against")[: len(sides)]]
        wanted = arguments.picture is not None
        replies += _answer(sides, line, turn_paths, arguments.seed + turn, best_of, wanted)
    return {"replies": replies}, 0


def _read_line() -> str:
    if isinstance(sys.stdin, io.TextIOWrapper) and sys.stdin.errors != "replace":
        sys.stdin.reconfigure(errors="replace")  # a line in another encoding is no reason to end a chat
    try:
        return tidy_text(input("you: ")).strip()
    except EOFError:
        say()
        return ""


def _image_paths(picture: Path | None, count: int) -> Sequence[Path | None]:
    """OUT.png for the first checkpoint, OUT-against.png for the second."""
    if picture is None:
        return [None] * count
    if picture.suffix.lower() != ".png":
        raise CommandFailed(f"--picture {picture}: pictures are written as PNG, name a file that ends in .png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    return [picture, picture.with_name(f"{picture.stem}-against.png")][:count]


def _load_sides(names: list[str], strength: float) -> list[ChatSide]:
    """Load each base model once, with every adapter that is asked for."""
    from pipelines.inference.engine import find_checkpoint, load_engine

    checkpoints = [find_checkpoint(text) for text in names]
    return [
        ChatSide(
            f"{checkpoint.run_dir.name}:{checkpoint.name}",
            engine,
            key,
            checkpoint.run_dir,
            checkpoint.character,
            checkpoint.references if checkpoint.adapter is None else (),
            strength,
        )
        for checkpoint, (engine, key) in zip(checkpoints, load_engine(checkpoints), strict=True)
    ]


def _answer(
    sides: list[ChatSide],
    text: str,
    image_paths: Sequence[Path | None],
    seed: int,
    best_of: int | None,
    wanted: bool = True,
) -> list[dict[str, Any]]:
    """One reply of every side, shown as it is generated; a picture is written where `image_paths` names a file."""
    from rich.console import Console

    from pipelines.core.character.character import Message, TextPart
    from pipelines.inference.generate import GenerationRequest
    from pipelines.inference.streaming import SceneReady, TextPiece

    requests = []
    for side, image_path in zip(sides, image_paths, strict=True):
        side.history = (*side.history, Message("user", (TextPart(text),)))
        side.lines = [f"{side.label}: "]
        image_mode = "always" if image_path and wanted else "auto" if image_path else "never"
        requests.append(
            GenerationRequest(
                side.character,
                side.history,
                side.name,
                seed,
                image_mode,
                references=side.references,
                strength=side.strength,
            )
        )
    replies: dict[int, dict[str, Any]] = {}
    with live_lines(sides, Console()) as refresh:
        for number, part in _reply_parts(sides, requests, best_of):
            side, image_path = sides[number], image_paths[number]
            if isinstance(part, TextPiece):
                side.lines[0] += part.text
            elif isinstance(part, SceneReady):
                side.lines[0] = f"{side.label}: {part.text}"
                side.lines += [f"  [scene] {part.scene}"] if part.scene else []
            else:
                reply = part.reply
                side.history = (*side.history, Message("character", (TextPart(reply.text),), scene=reply.scene))
                if reply.picture is not None and image_path is not None:
                    reply.picture.save(image_path)
                    side.lines.append(f"  [picture] {image_path}")
                replies[number] = _reply_json(side, reply, image_path)
            refresh()
    for number in range(len(sides)):
        first_text_s, seconds = replies[number]["first_text_s"], replies[number]["seconds"]
        say(f"  ({first_text_s:.1f} s to the first words, {seconds:.1f} s in all)", sys.stderr)
    return [replies[number] for number in range(len(sides))]


def _reply_parts(sides: list[ChatSide], requests: list[Any], best_of: int | None) -> Iterator[tuple[int, ReplyPart]]:
    """(side, part) of all replies: those of one base model in one batch, different base models one after the other."""
    for engine in dict.fromkeys(side.engine for side in sides):
        numbers = [number for number, side in enumerate(sides) if side.engine is engine]
        wanted = [requests[number] for number in numbers]
        for part in engine.replies(wanted, best_of=best_of or engine.default_best_of):
            yield numbers[part.side], part


def _reply_json(side: ChatSide, reply: Reply, image_path: Path | None) -> dict[str, Any]:
    return {
        "checkpoint": side.label,
        "text": reply.text,
        "scene": reply.scene,
        "picture": str(image_path) if reply.picture is not None and image_path is not None else None,
        "first_text_s": round(reply.first_text_s, 3),
        "seconds": round(reply.seconds, 3),
    }


@contextlib.contextmanager
def live_lines(sides: list[ChatSide], console: Console) -> Iterator[Any]:
    """Show the sides' lines; yields a function to call when they have changed. At the end all of them are printed."""
    from rich.live import Live
    from rich.text import Text

    def text() -> str:
        return printable("\n".join(line for side in sides for line in side.lines))

    if not console.is_terminal:  # a file or a pipe: no control codes, no folded lines
        yield lambda: None
        say(text())
        return
    with Live(console=console, vertical_overflow="visible", refresh_per_second=12) as live:
        yield lambda: live.update(Text(text()))  # drawn at the next refresh
