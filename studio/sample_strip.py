"""The sample strip of the training page: the fixed prompts at every checkpoint, and live samples of those not measured.

Drawn from checkpoints and reply jobs alone, so a refresh or a second tab shows the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.jobs.training_extent import training_extents
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import scorecard
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import live_samples
from studio.actions.training_jobs import SampleRow
from studio.context import AppContext
from studio.labels import extent_words

POLL_S = 2.0
SAMPLE_PX = 104


def draw(context: AppContext, job: Job, rows: list[SampleRow], marks: Mapping[str, str]) -> None:
    """The fixed prompts at every checkpoint: whole rows, or one prompt through the whole training.

    marks: name of a checkpoint -> its mark, such as "best".
    """
    extents = training_extents(job, [row.checkpoint for row in rows])
    cautions = {name: extent_words(one) for name, one in extents.items() if name not in marks}
    waiting = [row for row in rows if not row.samples]
    rows = [row for row in rows if row.samples]
    st.subheader("The same prompts, at every saved state", anchor=False)
    if not rows:
        widgets.quiet("Every saved state draws the same prompts when it is checked, after the basics and at the end.")
    if waiting:
        widgets.live(_live_samples, POLL_S if job.status not in ENDED else None)(context, job, waiting, cautions)
    if not rows:
        return
    labels = [sample.label for sample in rows[0].samples]
    everything = "All prompts"
    choice = st.selectbox("Prompt", [everything, *dict.fromkeys(labels)], key="strip-prompt")
    for row in rows:
        mark = marks.get(row.checkpoint.name, "")
        name = f"{row.title} ({mark})" if mark else row.title
        if choice == everything:
            st.markdown(f"**{name}**")
            widgets.quiet(_scores_in_words(row, rows))
            widgets.caution(cautions.get(row.checkpoint.name, ""))
            with st.container(horizontal=True, gap="xsmall", key=f"strip-{row.checkpoint.name}"):
                for sample in row.samples:
                    _sample(context, sample.key, f"{name}: {sample.label}")
            continue
        for sample in (sample for sample in row.samples if sample.label == choice):
            picture, words = st.columns([1, 3], vertical_alignment="center")
            with picture:
                _sample(context, sample.key, f"{name}: {sample.label}", 2 * SAMPLE_PX)
            with words:
                st.markdown(f"**{name}**")
                widgets.quiet(sample.answer)


def _live_samples(context: AppContext, job: Job, rows: list[SampleRow], cautions: Mapping[str, str]) -> None:
    """Checkpoints that are not measured yet: a live sample of each can be requested."""
    live = live_samples.live_samples(context, job)
    for row in rows:
        name = row.checkpoint.name
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"strip-peek-{name}"):
            sample = live.get(name)
            if sample is not None and sample.said.picture_key:
                _sample(context, sample.said.picture_key, f"{row.title}: {live_samples.PROMPT}")
            with st.container(width="stretch", gap="xxsmall"):
                st.markdown(f"**{row.title}**, saved")
                if job.status in ENDED:
                    widgets.caution(cautions.get(name, ""))
                widgets.quiet(_live_sample_words(sample))
            again = sample is None or not sample.is_working
            if again and row.checkpoint.adapter_key and (sample is None or not sample.said.picture_key):
                st.button(
                    "Draw something now",
                    key=f"peek-{name}",
                    icon=":material/brush:",
                    on_click=widgets.act,
                    args=(live_samples.request_live_sample, context, job.id, name),
                )


def _live_sample_words(sample: live_samples.LiveSample | None) -> str:
    if sample is None:
        return "Its pictures come when it is checked. A worker can draw one now; that slows the training a little."
    if sample.error:
        return sample.error
    return sample.said.text or ("A worker is at it." if sample.is_working else "It said nothing.")


def _scores_in_words(row: SampleRow, rows: list[SampleRow]) -> str:
    """The five scores of a checkpoint in one line."""
    base = next((dict(one.checkpoint.scores) for one in rows if one.checkpoint.name == BASE), None)
    card = scorecard(row.checkpoint.scores, base, row.checkpoint.measurement)
    words = " · ".join(f"{one.name.lower()} {one.shown}" for one in card if one.value is not None)
    return f"Of 100: {words}" if words else "Saved; it has not been measured yet."


def _sample(context: AppContext, key: str, alt: str, width: int = SAMPLE_PX) -> None:
    try:
        widgets.image(context.image(key), alt, width)
    except StoreError:
        widgets.quiet("(this picture is gone)")
