"""What `understudy up` starts: `streamlit run studio/app.py`. The pages (`navigation.py`), and two routes beside them.

One hands out files of a folder store (`download_route.py`; on S3 the browser fetches them from there), one takes words that were
being written when a page went away (`autosave.py`).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pipelines.core.queue import broker  # noqa: F401
from pipelines.core.storage import store_s3  # noqa: F401  # imported late elsewhere; here before the first visitor comes
from studio import autosave, download_route

app = st.App(Path(__file__).with_name("front_door.py"), routes=[download_route.ROUTE, autosave.ROUTE])
