"""Which browser tabs have a run of the script at work just now, as the studio itself knows it.

A page that hears nothing of its run's end looks like one whose run takes long, such as reading a large upload. Asking
for a new run mends the first and cuts the second short: what it had read would be lost. So `autosave.js` asks here.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from typing import Any

from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

MAX_TABS = 10_000
"""Names of tabs that are kept; the oldest go first."""

_lock = threading.Lock()
_at_work: set[str] = set()
"""Ids of Streamlit's sessions."""
_session_of: OrderedDict[str, str] = OrderedDict()


@functools.cache
def watch() -> None:
    """Note each run's beginning and end from now on, those of fragments too; a second call changes nothing."""
    run = ScriptRunner._run_script

    def noted(self: ScriptRunner, rerun_data: Any) -> None:
        with _lock:
            _at_work.add(self._session_id)
        try:
            run(self, rerun_data)
        finally:
            with _lock:
                _at_work.discard(self._session_id)

    ScriptRunner._run_script = noted  # type: ignore[method-assign]


def note_tab(tab: str) -> None:
    """This run belongs to the tab of that name."""
    context = get_script_run_ctx()
    if context is None:
        return
    with _lock:
        _session_of[tab] = context.session_id
        _session_of.move_to_end(tab)
        while len(_session_of) > MAX_TABS:
            _session_of.popitem(last=False)


def is_at_work(tab: str) -> bool:
    """Whether a run of that tab is at work; False for a tab that is not known."""
    with _lock:
        return _session_of.get(tab) in _at_work
