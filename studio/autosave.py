"""Keeps what is typed while it is typed: `POST /keep`, sent by `autosave.js` for fields that were edited in the page.

Takes fields of the wizard alone, by the key of their widget, and keeps them by `actions/typed.py`, which never lets a
text replace one that its writer has not seen. A request that another site's page makes is refused.

The script stands in the page itself (`PageScript`) and not among what Streamlit draws: it has to listen before the
first field is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.core.formats.json_text import parse_json
from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.problems import CharacterProblems
from studio import script_runs
from studio.actions import drafts, typed
from studio.actions.typed import Typed
from studio.context import AppContext, shared_context

AUTOSAVE_JS = Path(__file__).with_name("autosave.js")
MAX_BYTES = 8 * typed.MAX_TYPED_CHARS
"""Of one message: a text and the one that it was edited from."""
MAX_TAB_CHARS = 64
"""Of a tab's name."""


def autosave(context: AppContext, one: Typed) -> dict[str, Any]:
    """Keep a text; says what became of it ("state"), and whether the page has to be drawn anew ("look")."""
    place = typed.place_of(one.key)
    if place is None:
        raise ValueError(f"{one.key!r} names no field")
    is_new_row = place.kind == "fact" and typed.is_new_row(drafts.own_character(context, place.character).draft, place)
    return {"state": typed.keep(context, one), "look": is_new_row}


async def receive(request: Request) -> Response:
    """One field. 503 asks the page to send it again, other errors not to."""
    size = request.headers.get("content-length", "")
    if not _is_own(request) or not size.isdecimal() or int(size[:12]) > MAX_BYTES:
        return PlainTextResponse("not taken", 403)
    try:
        told = _told(await request.body())
        if "key" not in told:  # the script tells that it is there, and asks whether its page is being drawn
            shared_context().note_script(told["tab"])
            return JSONResponse({"at_work": script_runs.is_at_work(told["tab"])})
        one = Typed(told["key"], told["value"], told["base"], told["tab"], told["number"])
        shared_context().note_script(one.tab)
        return JSONResponse(await run_in_threadpool(autosave, shared_context(), one))
    except RecordsUnusable as error:
        return PlainTextResponse(str(error), 503)
    except (ValueError, KeyError, TypeError, CharacterProblems, RecordMissing) as error:
        return PlainTextResponse(str(error), 400)


def _told(body: bytes) -> dict[str, Any]:
    """The fields of a message, each of its kind; ValueError for anything else."""
    told = parse_json(body, "this message")
    kinds = {"key": str, "value": str, "base": str, "tab": str, "number": int}
    if not isinstance(told, dict) or any(type(value) is not kinds.get(name) for name, value in told.items()):
        raise ValueError("this is no message of the studio's own pages")
    if len(told.get("tab", "")) > MAX_TAB_CHARS:
        raise ValueError("no tab of the studio's own pages is called so")
    return told


def _is_own(request: Request) -> bool:
    """Whether a page of the studio sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "-")


async def script(request: Request) -> Response:
    """`autosave.js`, asked for anew each time: a page must not talk to a newer studio with an older script."""
    return FileResponse(AUTOSAVE_JS, media_type="text/javascript", headers={"cache-control": "no-cache"})


class PageScript:
    """Puts the script, and that of `error_pages.py`, into the page that Streamlit serves (ASGI middleware)."""

    # Deferred scripts run in their order, so still before Streamlit's own, and the page is read on meanwhile.
    TAG = b'<script defer src="./autosave.js"></script><script defer src="./connection.js"></script>'

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; a page is read whole, and goes on with the script in its head."""
        headers = dict(scope.get("headers", ()))
        if scope["type"] != "http" or scope["method"] != "GET" or b"text/html" not in headers.get(b"accept", b""):
            await self.app(scope, receive, send)
            return
        # The page has to come whole and as it is: not packed, and not as "unchanged".
        asked = [(name, value) for name, value in scope["headers"] if name not in _HALVES]
        start: Message = {}
        body = b""

        async def insert(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                if not _is_page(start):
                    await send(start)
                return
            if not _is_page(start):
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            whole = body.replace(b"<head>", b"<head>" + self.TAG, 1)
            kept = [(name, value) for name, value in start["headers"] if name not in (b"content-length", b"etag")]
            start["headers"] = [*kept, (b"content-length", str(len(whole)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": whole})

        await self.app({**scope, "headers": asked}, receive, insert)


_HALVES = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")


def _is_page(start: Message) -> bool:
    kind: bytes = dict(start["headers"]).get(b"content-type", b"")
    return kind.startswith(b"text/html")


ROUTES = [Route("/keep", receive, methods=["POST"]), Route("/autosave.js", script)]
