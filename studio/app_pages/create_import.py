"""More conversations for step 3 of the wizard: pasted, uploaded, or written by an LLM endpoint and then reviewed.

Drawn by `create_dialogues.py`. What an endpoint wrote is used only after somebody took it, every line editable.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pipelines.core.formats.chat_formats import Conversations
from pipelines.core.formats.import_conversations import CONVERSATION_SUFFIXES
from pipelines.core.jobs.job import ENDED
from studio import held_uploads, widgets
from studio.actions import drafts, import_review, suggestions, talk_uploads
from studio.actions.drafts import Draft
from studio.actions.upload_readers import plain_name
from studio.app_pages import review
from studio.app_pages.create_fields import text_field
from studio.context import AppContext
from studio.labels import counted

EXAMPLE = "<START>\n{{user}}: Good evening!\n{{char}}: Evening. Mind the wet stairs."

LLM_POLL_S = 3.0
"""Seconds between two looks while conversations are written."""


def import_interactions(context: AppContext, id: str, draft: Draft) -> None:
    """Ways to add many conversations at once."""
    with st.container(key="paste"), st.expander("Paste conversations", icon=":material/content_paste:"):
        text_field(context, id, draft, "pasted", EXAMPLE, 160)
        st.button("Read them", key="paste-add", on_click=paste, args=(context, id))
    with st.expander("Upload conversations", icon=":material/upload_file:"):
        round = st.session_state.setdefault("data-round", 0)
        st.file_uploader(
            "Chats as JSON or JSON lines (ShareGPT, chat messages, SillyTavern), or as text",
            type=[suffix.removeprefix(".") for suffix in CONVERSATION_SUFFIXES],
            key=f"data-{round}",
            max_upload_size=talk_uploads.MAX_DATA_BYTES >> 20,
            on_change=upload,
            args=(context, id, round),
        )
    if suggestions.has_llm(context):
        with st.expander("Let a model write more", icon=":material/auto_awesome:"):
            llm_suggestions(context, id)


def paste(context: AppContext, id: str) -> None:
    """Read the pasted blocks and show them; they stay in the field until they are taken in."""
    text = st.session_state.get(f"text-{id}-pasted", "")
    found = widgets.attempt(talk_uploads.read_pasted, context, id, text)
    if isinstance(found, Conversations):
        review.show(widgets.attempt(import_review.stage_talks, context, id, found, talk_uploads.PASTED, text))


def upload(context: AppContext, id: str, round: int) -> None:
    """Read the uploaded file and show what is in it."""
    file = st.session_state.get(f"data-{round}")
    if file is not None and widgets.new_uploads([file]):
        files, refused = held_uploads.take([file])
        widgets.remember_problems(refused)
        for name, data in files:
            found = widgets.attempt(talk_uploads.read_file, context, id, name, data)
            if isinstance(found, Conversations):
                review.show(widgets.attempt(import_review.stage_talks, context, id, found, plain_name(name)))
        st.session_state["data-round"] = round + 1  # also when it was refused: it stays refused


# ---------------------------------------------------------------- from an LLM endpoint


def llm_suggestions(context: AppContext, id: str) -> None:
    """Request conversations from the endpoint, wait, and review them."""
    job, written = suggestions.interaction_suggestions(context, drafts.own_character(context, id).draft)
    if job is not None and job.status not in ENDED:
        widgets.live(watch_llm, LLM_POLL_S)(context, id)
        return
    if job is not None and job.error:
        st.warning(widgets.escaped(job.error), icon=":material/error:")
    for number, turns in written[:3]:
        review_written(context, id, number, turns)
    if len(written) > 3:
        widgets.quiet(f"{len(written) - 3} more wait behind these.")
    if not written:
        widgets.quiet(
            f"Name, texts, facts and conversations are sent to {context.settings.llm_model}; pictures never "
            "are. Nothing is used before you have looked at it."
        )
        st.button(
            "Write ten more",
            icon=":material/auto_awesome:",
            key="expand",
            on_click=widgets.act,
            args=(suggestions.request_interactions, context, id, 10),
        )


def watch_llm(context: AppContext, id: str) -> None:
    """Looks again every three seconds while the job runs, and no longer."""
    job, written = suggestions.interaction_suggestions(context, drafts.own_character(context, id).draft)
    if job is None or job.status in ENDED:
        widgets.draw_anew()
        return
    widgets.quiet(f"Being written, {counted(len(written), 'conversation')} so far.")


def review_written(context: AppContext, id: str, number: int, turns: list[dict[str, Any]]) -> None:
    """One suggested conversation, every line editable."""
    with st.form(key=f"expand-{number}"):
        edited = []
        for place, turn in enumerate(turns):
            speaker = "character" if "character" in turn else "user"
            label = "They answer" if speaker == "character" else "Somebody says"
            key = f"expand-{number}-{place}"
            words = st.text_area(label, value=str(turn.get(speaker, "")), key=key, height="content")
            edited.append({speaker: words or ""})
        with st.container(horizontal=True):
            taken = st.form_submit_button("Add it", type="primary")
            left_out = st.form_submit_button("Leave it out")
    if taken or left_out:
        widgets.attempt(suggestions.take_interaction, context, id, number, edited if taken else None)
        st.rerun()
