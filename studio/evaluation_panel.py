"""Measuring a training again, on the training page: the question before it is queued, and how far it is.

Drawn from the evaluation job's row and events alone, so a refresh or a second tab shows the same.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.jobs.job import Job
from studio import widgets
from studio.actions import evaluations
from studio.context import AppContext

POLL_S = 2.0


def button(context: AppContext, training: Job) -> None:
    """Opens the question; while the training cannot be measured, the button says why."""
    reason = evaluations.why_not_measurable(context, training)
    if st.button(
        "Measure again",
        icon=":material/straighten:",
        disabled=bool(reason),
        help=widgets.sentence(reason) if reason else "New scores and sample pictures for every saved state",
    ):
        ask(context, training)


@st.dialog("Measure this training again?")
def ask(context: AppContext, training: Job) -> None:
    """Says what happens before it does."""
    st.write(
        "A worker gives every saved state, and the model before training, the same test once more: the unseen "
        "conversations and questions, the same prompts and seeds. The new scores and sample pictures take the place of "
        "the old ones. Nothing is learned, and the state marked as best stays the one that the training chose."
    )
    widgets.quiet("It takes about as long as “Checking” did. Until it is over, the old scores stand.")
    if st.button(
        "Measure them all",
        type="primary",
        width="stretch",
        on_click=widgets.act,
        args=(evaluations.measure_again, context, training.id),
    ):
        st.rerun()
    if st.button("Leave it", type="tertiary", width="stretch"):
        st.rerun()


def draw(context: AppContext, training: Job) -> None:
    """The latest evaluation of the training; nothing when it was never measured again."""
    evaluation = evaluations.evaluation_view(context, training)
    if evaluation is None:
        return
    st.session_state[_seen_key(training)] = (evaluation.job.id, evaluation.job.status)
    widgets.live(_panel, None if evaluation.is_over else POLL_S)(context, training)


def _panel(context: AppContext, training: Job) -> None:
    evaluation = evaluations.evaluation_view(context, training)
    if evaluation is None:
        return
    # Scores and pictures stand elsewhere on the page, so a new status draws all of it anew.
    if st.session_state.get(_seen_key(training)) != (evaluation.job.id, evaluation.job.status):
        widgets.draw_anew()
    with st.container(border=True, key="evaluation"):
        if evaluation.job.status == "failed":
            st.error(
                f"**{widgets.escaped(evaluation.words)}** {widgets.escaped(evaluation.job.error)}",
                icon=":material/error:",
            )
        elif evaluation.is_over:
            widgets.quiet(evaluation.words)
        else:
            st.progress(evaluation.fraction, text=widgets.escaped(evaluation.words))
            if evaluation.job.status != "stopping":
                st.button(
                    "Stop measuring",
                    icon=":material/stop_circle:",
                    type="tertiary",
                    on_click=widgets.act,
                    args=(evaluations.stop_measuring, context, training.id),
                )


def _seen_key(training: Job) -> str:
    return f"evaluation-{training.id}"
