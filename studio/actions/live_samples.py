"""A look at a saved state while its training goes on: one reply with a picture, drawn by the worker that answers.

The trainer measures its saved states after each of its two stages. Whoever does not want to wait asks for a look: a
reply job on that state alone, found again by what it was asked for, so a refresh or a second tab shows the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.core.jobs.job import ENDED, Checkpoint, Job
from pipelines.core.jobs.reply_protocol import HistoryTurn, ReplyRequest, SideReply, replies_in
from pipelines.core.queue import submit
from studio.actions.training_jobs import own_job
from studio.context import AppContext

PROMPT = "Show me yourself."
SEED = 7
"""The same words and the same seed for every state, so that the looks can be compared."""
RECENT_REPLIES = 60
"""Latest replies of a character among which looks are searched."""


@dataclass(frozen=True)
class LiveSample:
    """What a state has shown so far."""

    said: SideReply
    is_working: bool
    error: str = ""


def live_samples(context: AppContext, job: Job) -> dict[str, LiveSample]:
    """Name of a saved state -> its latest look."""
    found: dict[str, LiveSample] = {}
    for reply in context.records.jobs.list(
        owner=context.owner, kind="reply", character=job.character, limit=RECENT_REPLIES
    ):
        name = _sampled_checkpoint(reply, job.id)
        if name and name not in found:
            [said] = replies_in(context.records.events.after(reply.id, limit=500)) or [SideReply()]
            found[name] = LiveSample(said, reply.status not in ENDED, reply.error)
    return found


def request_live_sample(context: AppContext, id: str, name: str) -> Job:
    """Ask for a look at a saved state of a training. ValueError when it has nothing to look at."""
    job = own_job(context, id)
    checkpoint: Checkpoint = context.records.checkpoints.get(id, name)
    if not checkpoint.adapter_key:
        raise ValueError("this state has learnt nothing yet: choose a saved one")
    request = ReplyRequest((f"{id}:{name}",), (HistoryTurn("user", PROMPT),), picture="always", seed=SEED)
    return submit.submit_reply(context.records, context.queue, context.owner, request, job.character)


def _sampled_checkpoint(reply: Job, job: str) -> str:
    """The state that a reply job looks at; "" when it is something else."""
    asked = reply.request
    if asked.get("task") != "reply" or asked.get("conversation") or len(asked.get("checkpoints", ())) != 1:
        return ""
    of, _, name = str(asked["checkpoints"][0]).rpartition(":")
    return name if of == job else ""
