"""What came of a training, on its page: what falls short and what to do, with the pictures of before and after.

Drawn from checkpoints alone (`actions/verdict.py`), so every tab shows the same.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions.training_jobs import SampleRow, SampleView
from studio.actions.verdict import Verdict
from studio.context import AppContext

PICTURE_PX = 150
SHOWN = 4
"""Pictures of either row."""


def draw(context: AppContext, verdict: Verdict, rows: list[SampleRow]) -> None:
    """Everything that falls short, with what to do; nothing when there is nothing to say."""
    if not verdict.findings and not verdict.unknown:
        return
    with st.container(border=True, key="verdict"):
        for finding in verdict.findings:
            st.warning(f"**{widgets.escaped(finding.text)}** {widgets.escaped(finding.mend)}", icon=":material/flag:")
        if verdict.shows_pictures:
            _before_and_after(context, verdict, {row.checkpoint.name: row.samples for row in rows})
        for words in verdict.unknown:
            widgets.quiet(words)


def _before_and_after(context: AppContext, verdict: Verdict, samples: dict[str, tuple[SampleView, ...]]) -> None:
    for words, name in (("Before training", BASE), ("Now", verdict.best)):
        shown = samples.get(name, ())[:SHOWN]
        if not shown:
            continue
        st.markdown(f"**{words}**, asked for the same")
        with st.container(horizontal=True, gap="xsmall", key=f"verdict-{name}"):
            for sample in shown:
                with st.container(width=PICTURE_PX, gap="xxsmall"):
                    try:
                        widgets.image(context.image(sample.key), f"{words}: {sample.label}", PICTURE_PX)
                    except StoreError:
                        widgets.quiet("(this picture is gone)")
                    widgets.quiet(sample.label)
