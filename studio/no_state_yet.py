"""What stands in Chat and Compare for a character without a saved state: that it is being trained, or must be first.

Words and links alone; what is known of the training is in `actions/being_trained.py`.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.jobs.job import CharacterRow
from studio import widgets
from studio.actions.being_trained import being_trained
from studio.actions.checkpoint_options import checkpoint_options
from studio.context import AppContext

POLL_S = 3.0


def draw(context: AppContext, row: CharacterRow) -> None:
    """Looks again by itself while a training goes on, and draws the page anew once something can answer."""
    if being_trained(context, row.id) is None:
        who = row.name or "This character"
        widgets.nothing_here(f"{who} cannot answer yet: train it first.", widgets.TRAINING, "To the trainings")
    else:
        widgets.live(_trained, POLL_S)(context, row)


def _trained(context: AppContext, row: CharacterRow) -> None:
    found = being_trained(context, row.id)
    if found is None or checkpoint_options(context, row.id):
        widgets.draw_anew()
        return
    st.info(widgets.escaped(f"{row.name or 'This character'} {found.words}"), icon=":material/school:")
    st.page_link(
        widgets.TRAINING, label="See the training", icon=":material/arrow_forward:", query_params={"job": found.job}
    )
