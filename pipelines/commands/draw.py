"""`understudy draw`: pictures of a character, before any training or from a checkpoint.

    understudy draw quibb --say "laughing, in the snow"           a character folder: as the model sees them now
    understudy draw RUN --say "on a ship" --count 3 --out a.png   a run's best checkpoint: a.png, a-2.png, a-3.png
    understudy draw RUN:base --say "sad" --best-of 4              drawn four times, the best one kept

Before training a drawing comes from the character's reference pictures and from the words of `appearance`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.console import (
    CommandFailed,
    CommandResult,
    WrongUsage,
    add_strength,
    character_folder,
    check_strength_flag,
    say,
)
from pipelines.core.character.character_folder import CHARACTER_FILE, read_character
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import MAX_BEST_OF
from pipelines.core.run_folder import BASE, read_json
from pipelines.core.words import tidy_text

if TYPE_CHECKING:
    from pipelines.core.character.character import Character
    from pipelines.inference.engine import InferenceEngine
    from pipelines.models.decoding.sampling import Sampling

MOST = 16
"""Most pictures of one call."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("draw", parents=[shared], help="draw a character, trained or not")
    command.add_argument(
        "who", metavar="CHARACTER", help="character folder, name of a bundled character, or RUN[:CHECKPOINT]"
    )
    command.add_argument("--say", metavar="TEXT", required=True, help='what to draw: "laughing, in the snow"')
    command.add_argument("--out", metavar="FILE", type=Path, default=Path("drawing.png"), help="default: drawing.png")
    command.add_argument("--count", type=int, default=1, help=f"how many pictures, 1 to {MOST} (default 1)")
    command.add_argument("--seed", type=int, default=0, help="seed of the first picture; the next ones count up")
    command.add_argument("--best-of", type=int, default=1, help="draw each picture so many times and keep the best")
    command.add_argument("--base", default="starter", help="base model for a character folder (default: starter)")
    add_strength(command)
    command.set_defaults(run=run)


@dataclass(frozen=True)
class Drawn:
    """Who is drawn, with what."""

    engine: InferenceEngine
    name: str
    """Of the adapter in the engine."""
    checkpoint: str
    """As the command's answer names it; "" before training."""
    character: Character
    references: tuple[Path, ...]
    sampling: Sampling


def run(arguments: argparse.Namespace) -> CommandResult:
    """Draw, and write the files."""
    text = " ".join(tidy_text(arguments.say).split()).rstrip(".")
    if not text:
        raise WrongUsage('--say needs words for the picture, such as --say "laughing, in the snow"')
    if not 1 <= arguments.best_of <= MAX_BEST_OF:
        raise WrongUsage(f"--best-of {arguments.best_of}: 1 to {MAX_BEST_OF} drawings can be chosen from")
    check_strength_flag(arguments.strength)
    if not 1 <= arguments.count <= MOST:
        raise WrongUsage(f"--count {arguments.count}: 1 to {MOST} pictures can be drawn at once")
    out: Path = arguments.out
    if out.suffix.lower() != ".png":
        raise WrongUsage(f"--out {out}: pictures are written as PNG, name a file that ends in .png")
    began = time.monotonic()
    with _bar(arguments.count) as loaded:
        drawn = _open(arguments.who, arguments.base)
        advance = loaded(drawn.engine.model.spec.drawing_steps)
        pictures = drawn.engine.draw(
            drawn.name,
            drawn.character,
            [text] * arguments.count,
            references=drawn.references,
            seed=arguments.seed,
            sampling=drawn.sampling,
            best_of=arguments.best_of,
            strength=arguments.strength,
            on_step=advance,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    files = [out if n == 1 else out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(1, len(pictures) + 1)]
    for file, picture in zip(files, pictures, strict=True):
        picture.save(file)
        say(file)
    seconds = round(time.monotonic() - began, 2)
    return {
        "character": drawn.character.name,
        "checkpoint": drawn.checkpoint,
        "say": text,
        "best_of": arguments.best_of,
        "pictures": [{"file": str(file), "seed": arguments.seed + n} for n, file in enumerate(files)],
        "seconds": seconds,
    }, 0


def _open(given: str, base: str) -> Drawn:
    """A character folder with the base model, or a run's checkpoint."""
    from pipelines.inference.engine import InferenceEngine, find_checkpoint, load_engine, reference_files
    from pipelines.inference.generate import CHAT_SAMPLING, sampling_of

    if not _is_run(given):
        folder = character_folder(given)
        if not (folder / CHARACTER_FILE).is_file():
            raise CommandFailed(f"{given} is neither a character folder ({CHARACTER_FILE}) nor a run (run.json)")
        character = read_character(folder)
        references = _pictures_there(character, reference_files(folder, character))
        return Drawn(InferenceEngine(base), BASE, "", character, references, CHAT_SAMPLING)
    checkpoint = find_checkpoint(given)
    [(engine, name)] = load_engine([checkpoint])
    sampling = sampling_of(Recipe.from_json(read_json(checkpoint.run_dir / "run.json")["recipe"]))
    references = checkpoint.references if checkpoint.adapter is None else ()
    return Drawn(engine, name, checkpoint.name, checkpoint.character, references, sampling)


def _is_run(given: str) -> bool:
    paths = (Path(given).expanduser(), Path(given.rpartition(":")[0] or given).expanduser())
    return any((path / "run.json").is_file() for path in paths)


def _pictures_there(character: Character, references: tuple[Path, ...]) -> tuple[Path, ...]:
    """The character's pictures; CommandFailed where one is missing, or where nothing says what they look like."""
    missing = [path.name for path in references if not path.is_file()]
    if missing:
        raise CommandFailed(f"{missing[0]} is listed in {CHARACTER_FILE} but is not in images/: put it there")
    if not references and not character.appearance.strip():
        raise CommandFailed(
            f"nothing says what {character.name} looks like: put pictures into images/, or write `appearance:`"
        )
    return references


@contextmanager
def _bar(count: int) -> Iterator[Callable[[int], Callable[[], None]]]:
    """A bar on standard error while that is a terminal. Yields what starts it, given the steps of a picture."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("Loading the model", total=None)

        def start(steps: int) -> Callable[[], None]:
            bars.update(task, description=f"Drawing {count}" if count > 1 else "Drawing", total=steps)
            return lambda: bars.advance(task)

        yield start
