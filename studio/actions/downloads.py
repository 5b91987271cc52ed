"""Downloads of a checkpoint: a character card (PNG, or CHARX with the adapter), a report, one zip, the adapter alone.

Files go from the object store through a temporary folder on disk into the store again, never whole through memory, and
are handed out by a link that expires. They are named after their content, so asking twice keeps one; they go with the
next cleaning, since no record refers to them.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.character.character_folder import write_character
from pipelines.core.character.serialize import character_from_entries
from pipelines.core.file_names import storable
from pipelines.core.formats.card_export import export_card
from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.jobs.training_extent import TrainingExtent, training_extents
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.run_folder import (
    ADAPTER_FILES,
    BASE,
    REFERENCE_THUMBNAILS,
    REFERENCES_FILE,
    scale_adapter,
    usable_files,
)
from pipelines.core.storage.store import fetch, fetch_files, link, put_content
from pipelines.core.storage.stored_images import fetch_images
from studio import download_route
from studio.actions.checkpoint_options import checkpoint_of
from studio.actions.compare import NotPossible
from studio.actions.report import report
from studio.actions.scores import checkpoint_title
from studio.context import AppContext
from studio.labels import extent_words, listed

LINK_S = 3600
"""Seconds that a download link is good for."""
README = "README.md"
CARD = "card.png"
README_FILES = {
    CARD: f"`{CARD}` is a character card for role-play programs",
    "report.html": "`report.html` opens in any browser",
    "samples.png": "`samples.png` shows what it draws",
    "scores.json": "`scores.json` has what was measured",
}
"""Name of a file of the zip -> what its README says of it, where it is there."""

SNIPPETS = {
    "Talk with it, picture included": """from pathlib import Path

from pipelines.core.formats.cards import read_card
from pipelines.data.chat_template import user
from pipelines.inference.engine import InferenceEngine

character = read_card(Path("card.png").read_bytes(), "card.png").character
engine = InferenceEngine("{base}")
engine.add("mine", Path("adapter"))
reply = engine.reply("mine", character, (user("Who are you?"),), picture="always")
print(reply.text)
reply.picture.save("reply.png")""",
    "The model and its adapter, for code of your own": """from peft import PeftModel
from pipelines.models.presets import load

model, tokenizer = load("{base}")
model = PeftModel.from_pretrained(model, "adapter"){references}""",
    "The character as a folder, to train it again": """understudy character import card.png my-character""",
}
"""Title -> Python, or a command line."""
REFERENCES = """

# The pictures that the model looks at while it draws, for `reference_codes` of its `sample_images` and `forward`.
import torch
from pathlib import Path
from pipelines.models.decoding.multi_lora import read_references

reference_codes = torch.tensor([read_references(Path("adapter"))])"""
"""In a snippet, where the adapter has references."""


@dataclass(frozen=True)
class Download:
    """A file that is ready to be downloaded."""

    filename: str
    key: str
    """Where it is in the object store."""


def adapter_zip(context: AppContext, ref: str, strength: float = 1.0) -> Download:
    """One zip: `adapter/`, the character's card, scores, sample sheet, a report to read offline and a manifest.

    strength: what the adapter adds is multiplied by it, whatever program loads it.
    RecordMissing when the checkpoint is gone, NotPossible without an adapter, StoreError when its files cannot be had.
    """
    job, checkpoint = _with_adapter(context, ref)
    extent = training_extents(job, context.records.checkpoints.of_job(job.id)).get(checkpoint.name)
    name = _file_name(context, job, checkpoint, strength)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        folder = Path(made) / name
        _fetch_adapter(context, checkpoint, folder / "adapter", strength)
        for path, target in (("scores.json", "scores.json"), ("samples/sheet.png", "samples.png")):
            if path in checkpoint.files:
                fetch(context.store, checkpoint.files[path], folder / target)
        notes = _put_card(context, job, Path(made), folder / CARD, None)
        manifest = _manifest(job, checkpoint, notes) | {"strength": strength}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        (folder / "report.html").write_text(report(context, job, checkpoint), encoding="utf-8")
        contents = frozenset(path.name for path in folder.iterdir())
        (folder / README).write_text(_readme(checkpoint, contents, extent), encoding="utf-8")
        archive = Path(made) / f"{name}.zip"
        _zip(folder, archive)
        return _stored(context, archive)


def charx(context: AppContext, ref: str, strength: float = 1.0) -> Download:
    """The character as a CHARX card with its pictures and the adapter inside; raises like `adapter_zip`."""
    job, checkpoint = _with_adapter(context, ref)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        _fetch_adapter(context, checkpoint, Path(made) / "adapter", strength)
        card = Path(made) / f"{_file_name(context, job, checkpoint, strength)}.charx"
        _put_card(context, job, Path(made), card, Path(made) / "adapter")
        return _stored(context, card)


def card_alone(context: AppContext, ref: str) -> Download:
    """The character as that training learnt it, as a PNG card for role-play programs.

    RecordMissing when the checkpoint is gone, CharacterProblems for a character that has no picture.
    """
    job, _ = checkpoint_of(context, ref)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        card = Path(made) / f"{_plain_name(context, job)}.png"
        _put_card(context, job, Path(made), card, None)
        if not card.is_file():
            raise NotPossible("A card needs a picture of the character, and this version has none.")
        return _stored(context, card)


def adapter_alone(context: AppContext, ref: str, strength: float = 1.0) -> Download:
    """The PEFT folder as a zip and nothing else; raises like `adapter_zip`."""
    job, checkpoint = _with_adapter(context, ref)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        folder = Path(made) / f"{_file_name(context, job, checkpoint, strength)}-adapter"
        _fetch_adapter(context, checkpoint, folder, strength)
        archive = Path(made) / f"{folder.name}.zip"
        _zip(folder, archive)
        return _stored(context, archive)


def report_alone(context: AppContext, ref: str) -> Download:
    """The report as one HTML file with its pictures inside, for any browser without a network; raises likewise."""
    job, checkpoint = _with_adapter(context, ref)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        page = Path(made) / f"{_file_name(context, job, checkpoint)}-report.html"
        page.write_text(report(context, job, checkpoint), encoding="utf-8")
        return _stored(context, page)


def _with_adapter(context: AppContext, ref: str) -> tuple[Job, Checkpoint]:
    job, checkpoint = checkpoint_of(context, ref)
    if checkpoint.name == BASE or not set(ADAPTER_FILES) <= set(checkpoint.files):
        raise NotPossible(f"“{checkpoint_title(checkpoint.name)}” has no adapter to download: choose a trained state.")
    return job, checkpoint


def _fetch_adapter(context: AppContext, checkpoint: Checkpoint, folder: Path, strength: float) -> None:
    fetch_files(context.store, usable_files(checkpoint.files), folder)
    if strength != 1.0:
        scale_adapter(folder, strength)


def _put_card(context: AppContext, job: Job, made: Path, target: Path, adapter: Path | None) -> list[str]:
    """Write the character that the job learnt as a card; returns what could not go into it."""
    version = context.records.characters.version(job.character, job.version)
    problems: list[Problem] = []
    character = character_from_entries(version.entries, problems)
    folder = made / "character"
    files = [*(image.file for image in character.images), *character.input_images]
    for file in files:
        if file not in version.images:
            return [f"no card: the picture {file} is missing"]
    try:
        listed = {file: version.images[file] for file in files}
        fetch_images(context.store, listed, folder / "images")
        write_character(character, folder)
        return [note.said for note in export_card(folder, target, adapter)]
    except CharacterProblems as refused:
        if adapter is not None:
            raise
        return [f"no card: {refused.problems[0].message}"]  # a character without pictures has no PNG card


def address(context: AppContext, made: Download) -> str:
    """Where the browser gets it, for an hour: a link to the S3 server, or to our own route (`download_route.py`)."""
    place = link(context.store, made.key, LINK_S, made.filename)
    return download_route.address(made.key, made.filename, LINK_S) if isinstance(place, Path) else place


def _stored(context: AppContext, path: Path) -> Download:
    return Download(path.name, put_content(context.store, path, "exports", path.suffix))


def _zip(folder: Path, target: Path) -> None:
    """A reproducible zip: fixed times and order. Weights and pictures are stored, since deflate gains nothing there."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            member = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            member.external_attr = 0o644 << 16
            stored = path.suffix in (".safetensors", ".png", ".jpg")
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(member, "w") as into:
                shutil.copyfileobj(source, into, 1 << 20)


def _file_name(context: AppContext, job: Job, checkpoint: Checkpoint, strength: float = 1.0) -> str:
    """ "ada-practice-step-12": as the pages call this state; "...-strength-80" where it is not 1."""
    at = "" if strength == 1.0 else f"-strength-{100 * strength:.0f}"
    return f"{_plain_name(context, job)}-{_plain(checkpoint_title(checkpoint.name))}{at}"


def _plain_name(context: AppContext, job: Job) -> str:
    name = str(context.records.characters.version(job.character, job.version).entries.get("name", ""))
    return storable(_plain(name), "character")


def _plain(text: str) -> str:
    """Words as they may stand in a file's name anywhere: at most 40 letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-")


def _manifest(job: Job, checkpoint: Checkpoint, notes: Iterable[str]) -> dict[str, Any]:
    return {
        "made_by": "understudy",
        "checkpoint": checkpoint.name,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "base_model": checkpoint.base,
        "base_revision": checkpoint.revision,
        "recipe": job.recipe,
        "scores": checkpoint.scores,
        "notes": list(notes),
    }


def snippets(checkpoint: Checkpoint) -> dict[str, str]:
    """Code that uses the contents of the zip, run inside its folder; the end-to-end test runs it."""
    references = REFERENCES if REFERENCES_FILE in checkpoint.files else ""
    return {
        title: text.replace("{base}", checkpoint.base).replace("{references}", references)
        for title, text in SNIPPETS.items()
    }


def _readme(checkpoint: Checkpoint, contents: Collection[str], extent: TrainingExtent | None) -> str:
    """What is in the zip and how it is used. contents: names of the files and folders beside it; no other is named."""
    ways = "\n".join(
        f"{title}:\n\n```{'sh' if text.startswith('understudy') else 'python'}\n{text}\n```\n"
        for title, text in snippets(checkpoint).items()
        if CARD in contents or CARD not in text
    )
    revision = f" at revision `{checkpoint.revision}`" if checkpoint.revision else ""
    own = "Its own README.md says how it was made, and what it scores. " if checkpoint.scores else ""
    others = [words for name, words in README_FILES.items() if name in contents]
    little = "" if checkpoint.scores else "This state was not measured: there are no scores and no sample pictures.\n"
    little += f"{extent_words(extent)}\n" if extent else ""
    return f"""# {checkpoint_title(checkpoint.name)}

`adapter/` is a PEFT adapter for the base model preset `{checkpoint.base}` of Understudy{revision}.
{own}With another revision of the base it has to be trained again.
{_about_references(checkpoint)}
{little}
{listed(others)}. Where Understudy and its training libraries are installed, in this folder:

{ways}"""


def _about_references(checkpoint: Checkpoint) -> str:
    count = sum(name.startswith(f"{REFERENCE_THUMBNAILS}/") for name in checkpoint.files)
    if not count:
        return ""
    return f"""
The base model looks at pictures of the character ({count}) while it draws: `adapter/{REFERENCES_FILE}` holds them as
codes, `adapter/{REFERENCE_THUMBNAILS}/` small, for people. Keep the codes beside the adapter.
"""
