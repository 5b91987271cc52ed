"""What `understudy up` starts: `streamlit run studio/app.py`. The pages (`navigation.py`), and two routes beside them.

One hands out files of a folder store (`download_route.py`; on S3 the browser fetches them from there), the other keeps
what is typed while it is typed (`autosave.py`, whose script stands in every page).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from pipelines.core.queue import broker  # noqa: F401
from pipelines.core.storage import store_s3  # noqa: F401  # imported late elsewhere; here before the first visitor comes
from studio import autosave, download_route

app = st.App(
    Path(__file__).with_name("navigation.py"),
    routes=[download_route.ROUTE, *autosave.ROUTES],
    middleware=[Middleware(autosave.PageScript)],
)
