"""Own prompts in the picture grid: what somebody wants to see, drawn with one saved state or with all of them.

Each state that draws is a job of the queue `reply` (`pipelines/core/jobs/draw_protocol.py`), found again by its
request, so a refresh or a second tab shows the same. All states draw a prompt from one seed, so they can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.jobs.draw_protocol import PROMPT_TASK, PromptRequest, drawings_in
from pipelines.core.jobs.job import ENDED, Job, new_id
from pipelines.core.queue import submit
from studio.actions.compare import NotPossible
from studio.actions.drafts import own_character
from studio.context import AppContext

SEED = 7
MAX_PROMPT_CHARS = 160
"""About as much as the image expert reads of a prompt."""
RECENT_JOBS = 200
"""Latest reply jobs of a character among which prompts are searched."""
MAX_SHOWN_PROMPTS = 8


@dataclass(frozen=True)
class PromptPicture:
    """A prompt as one state draws it, as far as it has come."""

    key: str = ""
    """Object key; "" before it is there."""
    share: float = 0.0
    """Of the drawing that is done."""
    is_working: bool = False
    error: str = ""


def draw_prompt(context: AppContext, character: str, refs: Sequence[str], prompt: str, best_of: int = 1) -> int:
    """Queue the prompt for each of these states (`JOB:NAME`) that has not drawn it; returns how many were queued."""
    own_character(context, character)
    prompt = " ".join(prompt.split())
    if not prompt:
        raise NotPossible("Say what the picture should show first.")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise NotPossible(f"That is {len(prompt)} characters; about {MAX_PROMPT_CHARS} can be read for a picture.")
    there = prompt_pictures(context, character).get(prompt, {})
    wanted = [ref for ref in refs if ref not in there or there[ref].error]
    for ref in wanted:
        request = PromptRequest(ref, (prompt,), SEED, best_of).to_json()
        job = Job(new_id(), "reply", context.owner, character, request=request)
        submit.submit(context.records, context.queue, job)
    return len(wanted)


def prompt_pictures(context: AppContext, character: str) -> dict[str, dict[str, PromptPicture]]:
    """Prompt -> state (`JOB:NAME`) -> its picture; the newest prompt first."""
    found: dict[str, dict[str, PromptPicture]] = {}
    for job in context.records.jobs.list(owner=context.owner, kind="reply", character=character, limit=RECENT_JOBS):
        if job.request.get("task") != PROMPT_TASK:
            continue
        request = PromptRequest.from_json(job.request)
        [prompt] = request.looks[:1]
        if prompt not in found and len(found) >= MAX_SHOWN_PROMPTS:
            continue
        states = found.setdefault(prompt, {})
        if request.checkpoint not in states:
            states[request.checkpoint] = _picture(context, job)
    return found


def _picture(context: AppContext, job: Job) -> PromptPicture:
    drawn = drawings_in(context.records.events.after(job.id, limit=2000))
    key = drawn.drawn[0][1] if 0 in drawn.drawn else ""
    error = "" if key or job.status not in ENDED else job.error or "The drawing was broken off."
    return PromptPicture(key, drawn.share, job.status not in ENDED, error)
