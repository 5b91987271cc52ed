"""The entry page: navigation between the five pages, and what is shown when records or objects fail.

Settings come from the environment (docs/operations.md), theme and limits from `.streamlit/config.toml` beside this
file. A failure of the records or the object store is shown in plain words instead of a traceback.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.storage.store import StoreError
from studio import widgets

ICON = Path(__file__).with_name("icon.svg")


def main() -> None:
    """One run of the page that the address names."""
    st.set_page_config(page_title="Understudy", page_icon=str(ICON), layout="wide")
    widgets.apply_style()
    pages = [
        st.Page(widgets.CHARACTERS, title="Characters", icon=":material/groups:", default=True),
        st.Page(widgets.CREATE, title="Create", icon=":material/draw:"),
        st.Page(widgets.TRAINING, title="Training", icon=":material/school:"),
        st.Page(widgets.COMPARE, title="Compare", icon=":material/forum:"),
        st.Page(widgets.SYSTEM, title="System", icon=":material/monitor_heart:"),
    ]
    page = st.navigation(pages, position="top")
    try:
        page.run()
    except RecordMissing as error:
        widgets.nothing_here(str(error))
    except (RecordsUnusable, StoreError) as error:
        st.error(widgets.escaped(str(error)), icon=":material/error:")
        st.button("Try again")


if __name__ == "__main__":
    main()
