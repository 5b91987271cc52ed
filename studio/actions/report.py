"""The report of a checkpoint: one self-contained HTML page that needs no network.

Scores before and after, the sample sheets of both, how it was made, and what the character said when it was measured.
Everything that a person wrote is escaped; there is no script in it.
"""

from __future__ import annotations

import base64
import html
import json
from typing import Any

from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import ScoreAxis, scorecard
from pipelines.core.storage.store import StoreError, read
from studio.actions.scores import checkpoint_title
from studio.context import AppContext
from studio.labels import EFFORTS

STYLE = """body{font:16px/1.55 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#26211d;
background:#fdfcfa}h1,h2{font-family:Georgia,serif}table{border-collapse:collapse;width:100%}td,th{text-align:left;
padding:.35rem .8rem .35rem 0;vertical-align:top;border-bottom:1px solid #d9d1c6}img{max-width:100%;border-radius:.5rem}
blockquote{margin:.4rem 0 1rem;padding:.1rem 1rem;border-left:3px solid #8c2f55;white-space:pre-wrap}
@media(prefers-color-scheme:dark){body{color:#ece6e3;background:#191619}td,th{border-color:#453c44}}"""
MAX_SHEET_BYTES = 4 << 20


def report(context: AppContext, job: Job, checkpoint: Checkpoint) -> str:
    """The page as HTML, its pictures as data URLs."""
    everything = {one.name: one for one in context.records.checkpoints.of_job(job.id)}
    before = everything.get(BASE)
    name = str(context.records.characters.version(job.character, job.version).entries.get("name", ""))
    title = html.escape(f"{name}: {checkpoint_title(checkpoint.name)}")
    recipe = job.recipe or {}
    made = " · ".join(
        filter(
            None,
            [
                f"Base model {checkpoint.base}{f' ({checkpoint.revision})' if checkpoint.revision else ''}",
                EFFORTS.get(str(recipe.get("effort", "")), ""),
                f"trained {job.ended[:10]}" if job.ended else "",
                f"seed {recipe['seed']}" if "seed" in recipe else "",
            ],
        )
    )
    parts = [
        f"<h1>{title}</h1><p>{html.escape(made)}</p><h2>Scores</h2>",
        _scores(checkpoint, before),
        "<h2>Pictures</h2>",
        _sheet(context, checkpoint, "After"),
        _sheet(context, before, "Before") if before else "",
        _said(context, checkpoint),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    head += f"<style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _scores(checkpoint: Checkpoint, before: Checkpoint | None) -> str:
    base = dict(before.scores) if before else None
    cards = (
        scorecard(base or {}, base, before.measurement if before else None),
        scorecard(checkpoint.scores, base, checkpoint.measurement),
    )
    rows = "".join(
        f"<tr><th scope=row>{html.escape(after.name)}</th><td>{_number(start)}</td>"
        f"<td>{_number(after)}</td><td>{html.escape(after.help)}</td></tr>"
        for start, after in zip(*cards, strict=True)
    )
    heads = "".join(f"<th scope=col>{words}</th>" for words in ("Of 100", "Before", "After", "What it is"))
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _sheet(context: AppContext, checkpoint: Checkpoint, words: str) -> str:
    """The sample sheet inside the page; nothing where there is none."""
    key = checkpoint.files.get("samples/sheet.png", "")
    try:
        data = read(context.store, key) if key else b""
    except StoreError:
        return ""
    if not data or len(data) > MAX_SHEET_BYTES:
        return ""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<h3>{words}</h3><img src="{source}" alt="{words} training: pictures of the fixed prompts">'


def _said(context: AppContext, checkpoint: Checkpoint) -> str:
    lines: list[dict[str, Any]] = replies(context, checkpoint)
    talk = "".join(
        f"<p><b>{html.escape(str(one.get('prompt', '')))}</b></p><blockquote>{html.escape(str(one.get('text', '')))}"
        "</blockquote>"
        for one in lines
    )
    return f"<h2>What they said when they were measured</h2>{talk}" if talk else ""


def replies(context: AppContext, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What the checkpoint said when it was measured; its pictures come last among the samples."""
    key = checkpoint.files.get("scores.json")
    if key is None:
        return []
    try:
        said = json.loads(read(context.store, key)).get("replies", [])
    except (StoreError, ValueError):
        return []  # the page leaves the section out
    return [item for item in said if isinstance(item, dict)] if isinstance(said, list) else []


def _number(axis: ScoreAxis) -> str:
    if axis.value is None:
        return f"too little to tell: {html.escape(axis.withheld)}" if axis.withheld else "not measured"
    return axis.shown
