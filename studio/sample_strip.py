"""The film strip of the training page: the fixed prompts at every saved state, and looks at states not measured yet.

Drawn from checkpoints and reply jobs alone, so a refresh or a second tab shows the same.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import live_samples
from studio.actions.scores import scorecard
from studio.actions.training_jobs import StripRow
from studio.context import AppContext

POLL_S = 2.0
FRAME_PX = 104


def draw(context: AppContext, job: Job, rows: list[StripRow], best: str) -> None:
    """The fixed prompts at every checkpoint: whole rows, or one prompt through the whole training."""
    waiting = [row for row in rows if not row.frames]
    rows = [row for row in rows if row.frames]
    st.subheader("The same prompts, at every saved state", anchor=False)
    if not rows:
        widgets.quiet("Every saved state draws the same prompts when it is checked, after the basics and at the end.")
    if waiting:
        st.fragment(_peeks, run_every=POLL_S if job.status not in ENDED else None)(context, job, waiting)
    if not rows:
        return
    labels = [frame.label for frame in rows[0].frames]
    everything = "All prompts"
    choice = st.selectbox("Prompt", [everything, *dict.fromkeys(labels)], key="strip-prompt")
    for row in rows:
        name = f"{row.title} (best)" if row.checkpoint.name == best else row.title
        if choice == everything:
            st.markdown(f"**{name}**")
            widgets.quiet(_scores_in_words(row, rows))
            with st.container(horizontal=True, gap="xsmall", key=f"strip-{row.checkpoint.name}"):
                for frame in row.frames:
                    _frame(context, frame.key, f"{name}: {frame.label}")
            continue
        for frame in (frame for frame in row.frames if frame.label == choice):
            picture, words = st.columns([1, 3], vertical_alignment="center")
            with picture:
                _frame(context, frame.key, f"{name}: {frame.label}", 2 * FRAME_PX)
            with words:
                st.markdown(f"**{name}**")
                widgets.quiet(frame.answer)


def _peeks(context: AppContext, job: Job, rows: list[StripRow]) -> None:
    """States that are saved and not measured yet: each can draw something at once."""
    looks = live_samples.live_samples(context, job)
    for row in rows:
        name = row.checkpoint.name
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"strip-peek-{name}"):
            look = looks.get(name)
            if look is not None and look.said.picture_key:
                _frame(context, look.said.picture_key, f"{row.title}: {live_samples.ASKED}")
            with st.container(width="stretch", gap="xxsmall"):
                st.markdown(f"**{row.title}**, saved")
                widgets.quiet(_peek_words(look))
            again = look is None or not look.is_working
            if again and row.checkpoint.adapter_key and (look is None or not look.said.picture_key):
                st.button(
                    "Draw something now",
                    key=f"peek-{name}",
                    icon=":material/brush:",
                    on_click=widgets.act,
                    args=(live_samples.live_sample, context, job.id, name),
                )


def _peek_words(look: live_samples.LiveSample | None) -> str:
    if look is None:
        return "Its pictures come when it is checked. A worker can draw one now; that slows the training a little."
    if look.error:
        return look.error
    return look.said.text or ("A worker is at it." if look.is_working else "It said nothing.")


def _scores_in_words(row: StripRow, rows: list[StripRow]) -> str:
    """The plain scores of a row in one line."""
    base = next((dict(one.checkpoint.scores) for one in rows if one.checkpoint.name == BASE), None)
    card = scorecard(row.checkpoint.scores, base)
    words = " · ".join(f"{one.name.lower()} {100 * one.value:.0f}" for one in card if one.value is not None)
    return f"Of 100: {words}" if words else "Saved; it has not been measured yet."


def _frame(context: AppContext, key: str, alt: str, width: int = FRAME_PX) -> None:
    try:
        widgets.picture(context.image(key), alt, width)
    except StoreError:
        widgets.quiet("(this picture is gone)")
