"""The entry page: navigation between the six pages, and what is shown when records or objects fail.

Settings come from the environment (docs/operations.md), theme and limits from `.streamlit/config.toml` beside this
file. Failures are told in plain words (`error_pages.py`) instead of a traceback.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pipelines.core.full_disk import is_full
from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.storage.store import StoreError
from studio import error_pages, widgets

ICON = Path(__file__).with_name("icon.svg")


def main() -> None:
    """One run of the page that the address names."""
    st.set_page_config(page_title="Understudy", page_icon=str(ICON), layout="wide")
    widgets.apply_style()
    pages = [
        st.Page(widgets.CHARACTERS, title="Characters", icon=":material/groups:", default=True),
        st.Page(widgets.CREATE, title="Create", icon=":material/draw:"),
        st.Page(widgets.TRAINING, title="Training", icon=":material/school:"),
        st.Page(widgets.CHAT, title="Chat", icon=":material/chat:"),
        st.Page(widgets.COMPARE, title="Compare", icon=":material/compare:"),
        st.Page(widgets.SYSTEM, title="System", icon=":material/monitor_heart:"),
    ]
    page = st.navigation(pages, position="top")
    try:
        page.run()
    except RecordMissing as error:
        widgets.nothing_here(str(error))
    except (RecordsUnusable, StoreError) as error:
        error_pages.storage_unusable(error)
    except OSError as error:
        if is_full(error):
            error_pages.disk_full(error)
        else:
            error_pages.unexpected(error)
    except Exception as error:  # noqa: BLE001  # whatever it is, nobody should read a traceback
        error_pages.unexpected(error)
    widgets.note_address()


if __name__ == "__main__":
    main()
