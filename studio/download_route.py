"""Downloads from a folder store: `GET /files/TICKET/NAME`, streamed, never whole in memory.

A ticket names the object and when it expires, signed by a secret of this process: nobody can ask for another object,
and links are void when the studio starts again. On S3 none of this is used: there the server signs its own links.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import StoreError, link

_SECRET = secrets.token_bytes(32)


def address(key: str, filename: str, seconds: int) -> str:
    """A link, relative to any page, that hands out the object under this name for so many seconds."""
    words = json.dumps([key, int(time.time()) + seconds]).encode()
    body = base64.urlsafe_b64encode(words).decode().rstrip("=")
    return f"files/{body}.{_sign(body)}/{quote(filename)}"


def key_of(ticket: str) -> str:
    """The object that a ticket stands for; ValueError when it is forged or too old."""
    body, _, sign = ticket.partition(".")
    if not hmac.compare_digest(sign.encode(), _sign(body).encode()):
        raise ValueError("this link is not valid: prepare the download again")
    key, until = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if time.time() > until:
        raise ValueError("this link has expired: prepare the download again")
    return str(key)


def _sign(body: str) -> str:
    return hmac.new(_SECRET, body.encode(), hashlib.sha256).hexdigest()


def serve(request: Request) -> Response:
    """The file as a download, or why not."""
    name = request.path_params["name"]
    try:
        key = key_of(request.path_params["ticket"])
        place = link(open_store(Settings.from_environment()), key, 1, name)
    except (ValueError, StoreError) as error:
        return PlainTextResponse(str(error), 404)
    if not isinstance(place, Path):
        return PlainTextResponse("this file is on another server: prepare the download again", 404)
    # A report is somebody's HTML: it must not run with the studio's address, so everything is a download.
    return FileResponse(
        place, filename=name, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"}
    )


ROUTE = Route("/files/{ticket}/{name}", serve, methods=["GET"])
