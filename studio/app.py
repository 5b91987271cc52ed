"""What `understudy up` starts: `streamlit run studio/app.py`. The pages (`navigation.py`), and two routes beside them.

One hands out files of a folder store (`download_route.py`; on S3 the browser fetches them from there), the other saves
a field that was being edited when its page was closed (`autosave.py`).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pipelines.core.queue import broker  # noqa: F401
from pipelines.core.storage import store_s3  # noqa: F401  # imported late elsewhere; here before the first visitor comes
from studio import autosave, download_route

app = st.App(Path(__file__).with_name("navigation.py"), routes=[download_route.ROUTE, autosave.ROUTE])
