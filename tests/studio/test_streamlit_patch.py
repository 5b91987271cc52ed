"""A press reaches its callback although the next request comes first: with Streamlit's own script runner."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.runtime.scriptrunner.script_runner import RerunData, ScriptRunnerEvent
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from studio import streamlit_patch


def page() -> None:
    """A button whose callback reads and writes the state, as those of the studio do."""
    import streamlit as st

    def note() -> None:
        st.session_state["begun"] = True
        st.session_state["done"] = True

    st.button("Next", on_click=note)
    st.write("done" if st.session_state.get("done") else "not yet")


@pytest.mark.parametrize("comes_at", [ScriptRunnerEvent.SCRIPT_STARTED, "callback"])
def test_a_press_is_told_although_another_request_comes_before_its_callback_has_run(
    monkeypatch: pytest.MonkeyPatch, comes_at: ScriptRunnerEvent | str
) -> None:
    streamlit_patch.apply()
    test = AppTest.from_function(page).run()
    waits = [RerunData()]  # the request that comes in between, once

    def request_now(runner: Any) -> None:
        if waits:
            runner.request_rerun(waits.pop())

    start = LocalScriptRunner.start

    def started(self: LocalScriptRunner) -> None:
        def when(sender: Any, event: Any, **told: Any) -> None:
            if event == comes_at:
                request_now(self)

        self.on_event.connect(when, weak=False)
        if comes_at == "callback":
            write = type(self._session_state).__setitem__

            def written(state: Any, key: str, value: Any) -> None:
                write(state, key, value)
                if key == "begun":
                    request_now(self)

            monkeypatch.setattr(type(self._session_state), "__setitem__", written)
        start(self)

    monkeypatch.setattr(LocalScriptRunner, "start", started)
    test.button[0].click().run()
    assert not waits, "the request never came"
    assert test.session_state["begun"] and test.session_state["done"]
    assert test.markdown[0].value == "done"
