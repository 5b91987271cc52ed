"""What stands in place of a page that cannot be drawn: plain words and a way on; the engineer's words are folded away.

And the routes of two scripts that say the same when the studio itself does not answer.
"""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipelines.core.full_disk import is_full
from studio import widgets

logger = logging.getLogger("understudy.studio")


def storage_unusable(error: Exception) -> None:
    """The records or the object store do not answer."""
    widgets.title("The studio cannot reach what it keeps")
    if is_full(error):
        st.write(widgets.escaped(widgets.sentence(str(error))))
    else:
        st.write(f"{widgets.OUT_OF_REACH} It may be busy or not started yet: try again in a moment.")
    _way_on(error)


def disk_full(error: OSError) -> None:
    """There was no room for what the page had to write."""
    widgets.title("The disk is full")
    st.write(widgets.escaped(f"{widgets.disk_words(error)} {widgets.DISK_MEND}"))
    _way_on(error)


def unexpected(error: Exception) -> None:
    """Anything that should not happen: written to the log, and told without a traceback in sight."""
    logger.error("a page failed", exc_info=error)
    widgets.title("Something went wrong here")
    st.write("That is a fault of the studio, not yours. What was saved is kept.")
    _way_on(error)


def _way_on(error: Exception) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try again", type="primary", icon=":material/refresh:")
        st.page_link(widgets.CHARACTERS, label="To the characters", icon=":material/arrow_back:")
    with st.expander("For engineers", icon=":material/terminal:"):
        st.exception(error)


async def serve_script(request: Request) -> Response:
    """One of the two scripts; asked for anew each time, so that a new version is taken."""
    name = Path(request.url.path).name
    headers = {"cache-control": "no-cache"}
    return FileResponse(Path(__file__).with_name(name), media_type="text/javascript", headers=headers)


ROUTES = [Route(f"/{name}", serve_script) for name in ("connection.js", "stopped_page.js")]
"""The script that every page has (`autosave.PageScript` puts it there), and the service worker that it registers."""
