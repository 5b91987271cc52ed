"""Live samples: one reply with a picture from a checkpoint while its training goes on, made by the reply worker.

The trainer measures its checkpoints after each of its two stages. A live sample is there earlier: a reply job on that
checkpoint alone, found again by its request, so a refresh or a second tab shows the same.
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
"""One prompt and one seed for every checkpoint, so that the samples can be compared."""
RECENT_REPLIES = 60
"""Latest reply jobs of a character among which live samples are searched."""


@dataclass(frozen=True)
class LiveSample:
    """The latest live sample of a checkpoint, as far as it has come."""

    said: SideReply
    is_working: bool
    error: str = ""


def live_samples(context: AppContext, job: Job) -> dict[str, LiveSample]:
    """Name of a checkpoint -> its latest live sample."""
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
    """Queue a live sample of a checkpoint. ValueError for the model before training."""
    job = own_job(context, id)
    checkpoint: Checkpoint = context.records.checkpoints.get(id, name)
    if not checkpoint.adapter_key:
        raise ValueError("this state has learnt nothing yet: choose a saved one")
    request = ReplyRequest((f"{id}:{name}",), (HistoryTurn("user", PROMPT),), picture="always", seed=SEED)
    return submit.submit_reply(context.records, context.queue, context.owner, request, job.character)


def _sampled_checkpoint(reply: Job, job: str) -> str:
    """The checkpoint whose live sample a reply job is; "" for any other job."""
    asked = reply.request
    if asked.get("task") != "reply" or asked.get("conversation") or len(asked.get("checkpoints", ())) != 1:
        return ""
    of, _, name = str(asked["checkpoints"][0]).rpartition(":")
    return name if of == job else ""
