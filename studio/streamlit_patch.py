"""Mends one fault of Streamlit (1.67): a press is lost when the next request comes before its callback has run.

A run looks for a newer request whenever it reads the session's state or draws, and gives way to it by an exception
(`ScriptRunner._maybe_handle_execution_control_request`). It also looks right before and while it applies what the
browser has sent (`SafeSessionState.on_script_will_rerun`), and then a button's press, which the browser tells only
once, is gone with the run; a callback that is cut in two keeps half of what it was called for. `apply` puts that look
off until all callbacks have run, which is where Streamlit itself looks next. It goes with `runner.fastReruns = false`
in `.streamlit/config.toml`: with true, a new thread takes the newer request while the older still runs its callbacks.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.state.safe_session_state import SafeSessionState


class _Applying(threading.local):
    """`is_on` in a thread whose run applies what the browser has sent."""

    is_on = False


_applying = _Applying()


@functools.cache
def apply() -> None:
    """Change both classes; a second call changes nothing. Before the first session begins."""
    take_states = SafeSessionState.on_script_will_rerun
    give_way = ScriptRunner._maybe_handle_execution_control_request

    def on_script_will_rerun(self: SafeSessionState, *args: Any, **kwargs: Any) -> None:
        _applying.is_on = True
        try:
            take_states(self, *args, **kwargs)
        finally:
            _applying.is_on = False

    def maybe_handle_execution_control_request(self: ScriptRunner) -> None:
        if not _applying.is_on:
            give_way(self)

    SafeSessionState.on_script_will_rerun = on_script_will_rerun  # type: ignore[method-assign]
    ScriptRunner._maybe_handle_execution_control_request = maybe_handle_execution_control_request  # type: ignore[method-assign]
