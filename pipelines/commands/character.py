"""`understudy character check | import | export | augment`: character folders in and out.

Only arguments, terminal output and exit status: the work is done in `pipelines.core` and `pipelines.data.synthesize`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, bundled_slugs, character_folder, say
from pipelines.core.command_line import as_typed

if TYPE_CHECKING:
    from pipelines.core.problems import Problem

KINDS = (".png", ".json", ".charx", ".zip")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the four commands on the command line."""
    group = commands.add_parser("character", help="check, import, export or augment a character").add_subparsers(
        dest="character_command", required=True, metavar="check|import|export|augment"
    )
    check = group.add_parser("check", parents=[shared], help="report every problem of a character folder at once")
    check.add_argument("folder", metavar="DIR", help=f"character folder, or one of: {', '.join(bundled_slugs())}")
    check.add_argument(
        "--look",
        action="store_true",
        help="have the starter look at the pictures too: what it may not hold, and captions",
    )
    check.set_defaults(run=run_check)
    import_ = group.add_parser(
        "import", parents=[shared], help="a card, chat log, RoleScape-20 folder or MMRole data into a folder"
    )
    import_.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="card (PNG, JSON, CHARX), Backyard archive, RoleScape-20 or MMRole data, pictures with captions, chats",
    )
    import_.add_argument(
        "--lorebook",
        choices=("keep", "facts", "persona"),
        default="keep",
        help="entries of a lorebook that are always used: kept for export alone, or taught as facts or persona, too",
    )
    import_.add_argument("folder", metavar="DIR", type=Path, help="the new character folder")
    roles = import_.add_mutually_exclusive_group()
    roles.add_argument(
        "--role",
        default="",
        help="which character of data that holds several (MMRole, RoleScape-20, a zip of cards or of pictures)",
    )
    roles.add_argument("--all-roles", action="store_true", help="a folder for each of them, below DIR")
    import_.set_defaults(run=run_import)
    export = group.add_parser("export", parents=[shared], help="a character as a card (PNG, JSON, CHARX) or a zip")
    export.add_argument("source", metavar="RUN", help="run folder, character folder or bundled character")
    export.add_argument("file", metavar="FILE", type=Path, help="new .png, .json, .charx or .zip file")
    export.add_argument(
        "--format",
        choices=("card", "mmrole"),
        default="card",
        help="mmrole: its talks about pictures as samples of MMRole, FILE being a new folder or .zip",
    )
    export.set_defaults(run=run_export)
    augment = group.add_parser(
        "augment", parents=[shared], help="more conversations, written by the endpoint of UNDERSTUDY_LLM_URL"
    )
    augment.add_argument("source", metavar="DIR", help="character folder, or the name of a bundled one")
    augment.add_argument(
        "folder", metavar="NEW_DIR", type=Path, help="new folder: the character with the new ones added"
    )
    augment.add_argument("--count", type=int, default=20, help="conversations to add (default 20)")
    augment.add_argument("--seed", type=int, default=0, help="which examples the endpoint is shown (default 0)")
    augment.set_defaults(run=run_augment)


def run_check(arguments: argparse.Namespace) -> CommandResult:
    """Print the problems; exit status 0 only when there are none."""
    from pipelines.core.character.checks import check_report
    from pipelines.core.full_disk import lacking_space
    from pipelines.core.settings import Settings

    folder = character_folder(arguments.folder)
    report: dict[str, Any] = check_report(folder)
    if arguments.look and report["ok"]:
        report["problems"] += [problem.to_json() for problem in _seen_problems(folder)]
    for problem in report["problems"]:
        kind = "" if problem["severity"] == "error" else " (only a hint)"
        say(f"{problem['field']}: {problem['message']} {problem['mend']}{kind}")
    say("Ready to be trained." if report["ok"] else "Not ready to be trained.")
    report["room"] = lacking_space(Settings.from_environment())
    for sentence in report["room"]:
        say(sentence)
    return report, 0 if report["ok"] else 1


def _seen_problems(folder: Path) -> list[Problem]:
    """Warnings about the pictures of a character folder without errors, from what the starter sees in them."""
    from pipelines.core.character.character_folder import image_path, read_character
    from pipelines.core.jobs.reply_protocol import trusted_fields
    from pipelines.core.seen_problems import contradiction_problems, doubt_problems
    from pipelines.inference.captioning import open_reader

    images = read_character(folder).images
    reader = open_reader("starter")
    seen = [reader.read(image_path(folder, image.file)).suggestion(image.file) for image in images]
    found: list[Problem] = []
    for image, reading, fields in zip(images, seen, trusted_fields(seen), strict=True):
        found += doubt_problems(image.file, reading.doubts)
        found += contradiction_problems(image, fields)
    return found


def run_import(arguments: argparse.Namespace) -> CommandResult:
    """Write a new character folder from a file of another program."""
    from pipelines.core.formats.import_character import import_file
    from pipelines.core.formats.import_notes import RoleNeeded

    if not arguments.file.exists():
        raise CommandFailed(f"{arguments.file} does not exist")
    if arguments.all_roles:
        return _import_all_roles(arguments.file, arguments.folder)
    try:
        notes = import_file(arguments.file, arguments.folder, arguments.role, lore=arguments.lorebook, takes_first=True)
    except RoleNeeded as several:
        raise CommandFailed(f"{several} Name it with --role, or take all with --all-roles.") from several
    _print_notes(notes)
    say(f"Wrote {arguments.folder}. Next: {as_typed('character check', arguments.folder)}")
    return {"folder": str(arguments.folder), "notes": [note.to_json() for note in notes]}, 0


def _import_all_roles(source: Path, folder: Path) -> CommandResult:
    """A character folder for each one that a file or folder holds; one that cannot be read keeps no other out."""
    from pipelines.core.formats.import_character import import_file, import_mmrole
    from pipelines.core.formats.mmrole_files import find_source
    from pipelines.core.formats.mmrole_records import folder_name
    from pipelines.core.formats.rolescape import rolescape_folders
    from pipelines.core.problems import CharacterProblems

    written, notes = [], []
    with tempfile.TemporaryDirectory(prefix="understudy-roles-") as scratch:
        roles: dict[str, Callable[[Path], list[Problem]]] = {
            name: partial(import_file, path) for name, path in rolescape_folders(source).items()
        }
        samples = None if roles else find_source(source)
        if samples is not None:
            for role, own in samples.split_by_role(Path(scratch)):
                roles[role] = partial(import_mmrole, own, role=role)
        for role in [] if roles else _roles_of(source, Path(scratch)):
            roles[role] = partial(import_file, source, role=role)
        if not roles:
            raise CommandFailed(f"{source} does not hold several characters")
        for role, take in roles.items():
            target = folder / folder_name(role)
            if target.exists():
                raise CommandFailed(f"{target} is there already; name a new folder")
            try:
                found = take(target)
            except CharacterProblems as refused:
                found = list(refused.problems)
            else:
                written.append(str(target))
            notes += [replace(note, field=role) for note in found]
    _print_notes(notes)
    if not written:
        raise CommandFailed(f"no role of {source} could be read")
    say(f"Wrote {len(written)} characters below {folder}.")
    return {"folders": written, "notes": [note.to_json() for note in notes]}, 0


def _roles_of(source: Path, scratch: Path) -> list[str]:
    """Names of the characters of a zip or folder of cards or pictures; [] where it holds only one."""
    from pipelines.core.formats.import_character import import_file
    from pipelines.core.formats.import_notes import RoleNeeded

    try:
        import_file(source, scratch / "only")
    except RoleNeeded as several:
        return [name for name in several.roles if name != several.together]
    return []


def run_export(arguments: argparse.Namespace) -> CommandResult:
    """Write a card from a run's or folder's character; a CHARX or zip of a run carries its best adapter."""
    from pipelines.core.formats.card_export import export_card
    from pipelines.core.formats.mmrole_export import export_mmrole
    from pipelines.core.run_folder import CHARACTER_FOLDER, checkpoint_folder, read_json

    is_mmrole = arguments.format == "mmrole"
    if is_mmrole and arguments.file.suffix.lower() not in ("", ".zip"):
        raise WrongUsage(f"{arguments.file}: MMRole samples go into a new folder, or a .zip")
    if not is_mmrole and arguments.file.suffix.lower() not in KINDS:
        raise WrongUsage(f"{arguments.file}: the name must end in one of {', '.join(KINDS)}")
    folder, adapter = Path(arguments.source).expanduser(), None
    if (folder / CHARACTER_FOLDER).is_dir():
        carries = arguments.file.suffix.lower() in (".charx", ".zip") and not is_mmrole
        if (folder / "result.json").is_file() and carries:
            adapter = checkpoint_folder(folder, read_json(folder / "result.json")["best"])
        folder = folder / CHARACTER_FOLDER
    else:
        folder = character_folder(arguments.source)
    notes = export_mmrole(folder, arguments.file) if is_mmrole else export_card(folder, arguments.file, adapter)
    _print_notes(notes)
    say(f"Wrote {arguments.file}.")
    return {
        "file": str(arguments.file),
        "adapter": adapter.name if adapter else None,
        "notes": [note.to_json() for note in notes],
    }, 0


def run_augment(arguments: argparse.Namespace) -> CommandResult:
    """Write a copy of the character with generated conversations at the end, to be edited before training."""
    from pipelines.core.character.character_folder import (
        IMAGES,
        TEST_IMAGES,
        read_character,
        read_test_split,
        write_character,
        write_test_split,
    )
    from pipelines.core.character.text_pictures import with_clean_texts
    from pipelines.core.formats.card_export import clean_images
    from pipelines.core.settings import Settings
    from pipelines.data.synthesize import SynthesizeError, synthesize

    if arguments.count < 1:
        raise WrongUsage("--count must be at least 1")
    if arguments.folder.exists():
        raise CommandFailed(f"{arguments.folder} is there already; name a new folder")
    source = character_folder(arguments.source)
    character, split = with_clean_texts(read_character(source)), with_clean_texts(read_test_split(source))
    try:
        found = synthesize(character, split, arguments.count, Settings.from_environment(), arguments.seed)
    except SynthesizeError as error:
        raise CommandFailed(str(error)) from error
    wider = replace(character, interactions=(*character.interactions, *found.interactions))
    if split is not None:
        write_test_split(split, arguments.folder, clean_images(source / IMAGES) | clean_images(source / TEST_IMAGES))
    write_character(wider, arguments.folder, clean_images(source / IMAGES))
    left_out = "".join(f", {count} left out ({reason})" for reason, count in found.dropped.items())
    say(f"Wrote {arguments.folder} with {len(found.interactions)} new conversations{left_out}.")
    say("They stand last in its character.yaml: read and edit them before you train.")
    return {"folder": str(arguments.folder), "added": len(found.interactions), "dropped": found.dropped}, 0


def _print_notes(notes: Iterable[Problem]) -> None:
    for note in notes:
        say(f"{note.field}: {note.said} {note.mend}".rstrip())
        for example in note.examples:
            say(f"    {example}")
