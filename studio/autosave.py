"""Saves a field that was being edited when its page was refreshed or closed: `POST /keep`, sent by `autosave.js`.

Takes fields of the wizard alone, by the key of their widget, and saves them the way leaving the field would have done.
A request that another site's page makes is refused, and so is what no longer fits the draft.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.problems import CharacterProblems
from studio.actions import drafts, images, interactions
from studio.context import AppContext, shared_context

AUTOSAVE_JS = Path(__file__).with_name("autosave.js")
MAX_BYTES = 64 * 1024
ID = "([0-9a-f]{32})"


def turn_digest(words: str, scene: str, image: str) -> str:
    """What a turn held when its field was drawn; part of the field's key, so that words never land in another turn."""
    return f"{hash((words, scene, image)) & 0xFFFFFFFF:x}"


def autosave(context: AppContext, key: str, value: str) -> bool:
    """Save what a field held; False for a key that is none of ours or a turn that has changed since."""
    for pattern, save in _FIELDS:
        if found := re.fullmatch(pattern, key):
            return save(context, value, *found.groups())
    return False


def _text(context: AppContext, value: str, id: str, field: str) -> bool:
    if field not in drafts.MAX_CHARS:
        return False
    drafts.set_text(context, id, field, value)
    return True


def _caption(context: AppContext, value: str, id: str, number: str, ending: str, field: str) -> bool:
    images.describe(context, id, f"{number}.{ending}", field, value)
    return True


def _words(context: AppContext, value: str, id: str, number: str, place: str, mark: str) -> bool:
    views = interactions.interaction_views(drafts.own_character(context, id).draft)
    if int(number) >= len(views) or int(place) >= len(views[int(number)].turns):
        return False
    turn = views[int(number)].turns[int(place)]
    if turn_digest(turn.words, turn.scene, turn.image) != mark:
        return False
    interactions.set_words(context, id, int(number), int(place), value)
    return True


_FIELDS: tuple[tuple[str, Callable[..., bool]], ...] = (
    (f"text-{ID}-([a-z]+)", _text),
    (f"caption-{ID}-([0-9]+)-(png|jpg|jpeg|webp)-(expression|clothes|place|pose|caption)", _caption),
    (f"words-{ID}-([0-9]+)-([0-9]+)-([0-9a-f]+)", _words),
)
"""The key as it stands in the page, where every sign that is neither letter nor digit has become a dash."""


async def receive(request: Request) -> Response:
    """One field. Nobody reads the answer: the page is gone."""
    if not _is_own(request) or int(request.headers.get("content-length") or MAX_BYTES + 1) > MAX_BYTES:
        return PlainTextResponse("not taken", 403)
    try:
        said = json.loads(await request.body())
        kept = await run_in_threadpool(autosave, shared_context(), str(said["key"]), str(said["value"]))
    except (ValueError, KeyError, TypeError, CharacterProblems, RecordMissing, RecordsUnusable) as error:
        return PlainTextResponse(str(error), 400)
    return Response(status_code=204 if kept else 404)


def _is_own(request: Request) -> bool:
    """Whether a page of the studio sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "-")


ROUTE = Route("/keep", receive, methods=["POST"])
