"""An upload that the browser breaks off, by a refresh or a lost connection, is nothing to tell of.

Streamlit (1.67) lets Starlette's `ClientDisconnect` through, which the server logs with a whole traceback as if the
studio had failed; whoever looks for real faults in the log then finds one for each refresh.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send


class AbortedUploads:
    """ASGI middleware: whoever has gone gets no answer, and the log says nothing of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return
