"""What `understudy up` starts: `streamlit run studio/app.py`. The pages (`navigation.py`), and routes beside them.

They hand out files of a folder store (`download_route.py`; on S3 the browser fetches them from there), keep what is
typed while it is typed (`autosave.py`, whose script stands in every page), and have what a browser shows while the
studio is stopped (`error_pages.py`). An upload that is broken off is no fault (`aborted_uploads.py`), and
uploads hold so much memory and no more (`held_uploads.py`).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from pipelines.core.queue import broker  # noqa: F401
from pipelines.core.storage import store_s3  # noqa: F401  # imported late elsewhere; here before the first visitor comes
from studio import autosave, download_route, error_pages, held_uploads, script_runs, streamlit_patch
from studio.aborted_uploads import AbortedUploads

streamlit_patch.apply()
held_uploads.apply()
script_runs.watch()

app = st.App(
    Path(__file__).with_name("navigation.py"),
    routes=[download_route.ROUTE, *autosave.ROUTES, *error_pages.ROUTES],
    middleware=[Middleware(AbortedUploads), Middleware(autosave.PageScript)],
)
