"""What can be taken home of a checkpoint: one zip with everything, or a CHARX card that carries the adapter.

Files go from the object store through a temporary folder on disk into the store again, never whole through memory, and
are handed out as a link (S3) or a path (folder). They are named after their content, so asking twice keeps one; they
go with the next cleaning, since no record refers to them.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.cards import export_card
from pipelines.core.folder import write_character
from pipelines.core.mapping import character_from_entries
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.queue import Checkpoint, Job
from pipelines.core.runs import ADAPTER_FILES, BASE
from pipelines.core.store import fetch, link, put_content
from studio.actions.compare import NotNow, checkpoint_of
from studio.actions.scores import checkpoint_title, scorecard
from studio.desk import Desk

LINK_S = 3600
"""Seconds that a download link is good for."""
ADAPTER = (*ADAPTER_FILES, "README.md")
"""Files of a checkpoint that make its adapter; the rest only serves to go on training."""
README = "README.md"


@dataclass(frozen=True)
class Download:
    """A file that is ready to be taken."""

    filename: str
    place: str | Path
    """An address for the browser, or the path of a file."""


def adapter_zip(desk: Desk, ref: str) -> Download:
    """One zip: `adapter/`, the character's card, scores, sample sheet, a report to read offline and a manifest.

    RecordMissing when the checkpoint is gone, NotNow when it has no adapter, StoreError when its files cannot be had.
    """
    job, checkpoint = _with_adapter(desk, ref)
    name = _file_name(desk, job, checkpoint)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        folder = Path(made) / name
        _fetch_adapter(desk, checkpoint, folder / "adapter")
        for path, target in (("scores.json", "scores.json"), ("samples/sheet.png", "samples.png")):
            if path in checkpoint.files:
                fetch(desk.store, checkpoint.files[path], folder / target)
        notes = _put_card(desk, job, Path(made), folder / "card.png", None)
        (folder / "manifest.json").write_text(json.dumps(_manifest(job, checkpoint, notes), indent=1), encoding="utf-8")
        (folder / "report.html").write_text(_report(desk, job, checkpoint), encoding="utf-8")
        (folder / README).write_text(_readme(checkpoint), encoding="utf-8")
        archive = Path(made) / f"{name}.zip"
        _zip(folder, archive)
        return _handed_out(desk, archive)


def charx(desk: Desk, ref: str) -> Download:
    """The character as a CHARX card with its pictures and the adapter inside; raises like `adapter_zip`."""
    job, checkpoint = _with_adapter(desk, ref)
    with tempfile.TemporaryDirectory(prefix="understudy-export-") as made:
        _fetch_adapter(desk, checkpoint, Path(made) / "adapter")
        card = Path(made) / f"{_file_name(desk, job, checkpoint)}.charx"
        _put_card(desk, job, Path(made), card, Path(made) / "adapter")
        return _handed_out(desk, card)


def _with_adapter(desk: Desk, ref: str) -> tuple[Job, Checkpoint]:
    job, checkpoint = checkpoint_of(desk, ref)
    if checkpoint.name == BASE or not set(ADAPTER_FILES) <= set(checkpoint.files):
        raise NotNow(f"“{checkpoint_title(checkpoint.name)}” has no adapter to download: choose a trained state.")
    return job, checkpoint


def _fetch_adapter(desk: Desk, checkpoint: Checkpoint, folder: Path) -> None:
    for name in ADAPTER:
        if name in checkpoint.files:
            fetch(desk.store, checkpoint.files[name], folder / name)


def _put_card(desk: Desk, job: Job, made: Path, target: Path, adapter: Path | None) -> list[str]:
    """Write the character that the job learnt as a card; returns what could not go into it."""
    version = desk.records.characters.version(job.character, job.version)
    problems: list[Problem] = []
    character = character_from_entries(version.entries, problems)
    folder = made / "character"
    for image in character.images:
        if image.file not in version.images:
            return [f"no card: the picture {image.file} is missing"]
        fetch(desk.store, version.images[image.file], folder / "images" / image.file)
    try:
        write_character(character, folder)
        return [note.message for note in export_card(folder, target, adapter)]
    except CharacterProblems as refused:
        if adapter is not None:
            raise
        return [f"no card: {refused.problems[0].message}"]  # a character without pictures has no PNG card


def _handed_out(desk: Desk, path: Path) -> Download:
    key = put_content(desk.store, path, "exports", path.suffix)
    return Download(path.name, link(desk.store, key, LINK_S, path.name))


def _zip(folder: Path, target: Path) -> None:
    """Equal files give equal bytes, whatever the day; weights are not squeezed, since they do not shrink."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            member = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            member.external_attr = 0o644 << 16
            stored = path.suffix in (".safetensors", ".png")
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(member, "w") as into:
                shutil.copyfileobj(source, into, 1 << 20)


def _file_name(desk: Desk, job: Job, checkpoint: Checkpoint) -> str:
    name = str(desk.records.characters.version(job.character, job.version).entries.get("name", ""))
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:40] or 'character'}-{checkpoint.name}"


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


def _readme(checkpoint: Checkpoint) -> str:
    return f"""# {checkpoint_title(checkpoint.name)}

`adapter/` is a PEFT adapter for the base model preset `{checkpoint.base}` of Understudy. Its own README.md says how
it was made, and what it scores. `card.png` is a character card for role-play programs,
`report.html` opens in any browser.

With Understudy and its training libraries installed:

```python
from peft import PeftModel
from pipelines.models import load

model, tokenizer = load("{checkpoint.base}")
model = PeftModel.from_pretrained(model, "adapter")
```
"""


def _report(desk: Desk, job: Job, checkpoint: Checkpoint) -> str:
    """One page with the scores before and after; beside it lies the sample sheet, which it shows."""
    everything = {one.name: one for one in desk.records.checkpoints.of_job(job.id)}
    before = dict(everything[BASE].scores) if BASE in everything else None
    cards = (scorecard(before or {}, before), scorecard(checkpoint.scores, before))
    rows = "".join(
        f"<tr><th scope=row>{html.escape(after.name)}</th><td>{_number(start.value)}</td>"
        f"<td>{_number(after.value)}</td><td>{html.escape(after.help)}</td></tr>"
        for start, after in zip(*cards, strict=True)
    )
    name = html.escape(str(desk.records.characters.version(job.character, job.version).entries.get("name", "")))
    picture = '<img src="samples.png" alt="Pictures of the fixed prompts">'
    sheet = picture if "samples/sheet.png" in checkpoint.files else ""
    heads = "".join(f"<th scope=col>{words}</th>" for words in ("Score (0 to 1)", "Before", "After", "What it is"))
    title = f"{name}: {html.escape(checkpoint_title(checkpoint.name))}"
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
td,th{{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top}}img{{max-width:100%}}</style>
<h1>{title}</h1><p>Base model {html.escape(checkpoint.base)} {html.escape(checkpoint.revision)}</p>
<table><tr>{heads}</tr>
{rows}</table>{sheet}</html>
"""


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"
