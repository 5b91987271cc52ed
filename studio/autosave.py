"""Keeps what is typed while it is typed: `POST /keep`, sent by `autosave.js` for fields that were edited in the page.

Takes fields of the wizard alone, by the key of their widget, and keeps them by `actions/typed.py`, which never lets a
text replace one that its writer has not seen. A request that another site's page makes is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.problems import CharacterProblems
from studio.actions import drafts, typed
from studio.actions.typed import Typed
from studio.context import AppContext, shared_context

AUTOSAVE_JS = Path(__file__).with_name("autosave.js")
MAX_BYTES = 8 * typed.MAX_TYPED_CHARS
"""Of one message: a text and the one that it was edited from."""


def autosave(context: AppContext, one: Typed) -> dict[str, Any]:
    """Keep a text; says what became of it ("state"), and whether the page has to be drawn anew ("look")."""
    place = typed.place_of(one.key)
    if place is None:
        raise ValueError(f"{one.key!r} names no field")
    is_new_row = place.kind == "fact" and typed.is_new_row(drafts.own_character(context, place.character).draft, place)
    return {"state": typed.keep(context, one), "look": is_new_row}


async def receive(request: Request) -> Response:
    """One field. 503 asks the page to send it again, other errors not to."""
    if not _is_own(request) or int(request.headers.get("content-length") or MAX_BYTES + 1) > MAX_BYTES:
        return PlainTextResponse("not taken", 403)
    try:
        told = json.loads(await request.body())
        one = Typed(str(told["key"]), str(told["value"]), str(told["base"]), str(told["tab"]), int(told["number"]))
        return JSONResponse(await run_in_threadpool(autosave, shared_context(), one))
    except RecordsUnusable as error:
        return PlainTextResponse(str(error), 503)
    except (ValueError, KeyError, TypeError, CharacterProblems, RecordMissing) as error:
        return PlainTextResponse(str(error), 400)


def _is_own(request: Request) -> bool:
    """Whether a page of the studio sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "-")


ROUTE = Route("/keep", receive, methods=["POST"])
