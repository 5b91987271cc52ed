"""What several steps of the wizard draw: a text field that saves itself, and the way to another step.

The steps are drawn by `create_images.py`, `create_persona.py`, `create_dialogues.py` and `create_train.py`.
"""

from __future__ import annotations

import streamlit as st

from studio import widgets
from studio.actions import drafts
from studio.actions.drafts import MAX_CHARS, Draft
from studio.context import AppContext


def text_field(
    context: AppContext,
    id: str,
    draft: Draft,
    field: str,
    label: str,
    example: str = "",
    height_px: int = 0,
    help: str | None = None,
) -> None:
    """One text of the draft, saved when the field is left; one line, or an area of that height."""
    # autosave.js finds the field by this key when the page is closed while somebody writes.
    key = f"text-{id}-{field}"
    value, limit = str(draft.get(field, "")), MAX_CHARS[field]
    args = (context, id, field, key)
    if height_px:
        st.text_area(
            label, value, key=key, height=height_px, placeholder=example, max_chars=limit, on_change=_save, args=args
        )
    else:
        st.text_input(
            label, value, key=key, placeholder=example, max_chars=limit, on_change=_save, args=args, help=help
        )


def _save(context: AppContext, id: str, field: str, key: str) -> None:
    widgets.attempt(drafts.set_text, context, id, field, st.session_state[key])


def to_step(step: int) -> None:
    """Put a step into the address."""
    st.query_params["step"] = str(step)
    st.query_params.pop("talk", None)
