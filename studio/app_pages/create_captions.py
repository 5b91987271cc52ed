"""Step 1 of the wizard, captions: what a worker sees in the pictures, to take or to decline.

Drawn by `create_images.py`; what happens is in `actions/captions.py`.
"""

from __future__ import annotations

import streamlit as st

from studio import widgets
from studio.actions import captions
from studio.actions.captions import CaptionsView
from studio.actions.workers import LOADING_WORDS, waiting_words
from studio.context import AppContext
from studio.labels import counted

POLL_S = 1
"""Seconds between looks at a job that looks at pictures."""


def draw(context: AppContext, id: str, view: CaptionsView) -> None:
    """The line about all pictures: the job that runs, what it suggests, or the button that begins it."""
    if view.is_working:
        widgets.live(watch, POLL_S)(context, id)
        return
    if view.error:
        widgets.quiet(f"I could not look at your pictures: {view.error}")
    if view.suggested:
        all_suggestions(context, id, len(view.suggested))
    elif view.guessed:
        widgets.quiet(
            f"I have a guess about {counted(len(view.guessed), 'picture')}, below. This art is new to me and I am "
            "often wrong in it, so I only ask: say yes where it is true."
        )
    elif view.unseen:
        st.button(
            "Look at my pictures",
            key="captions-look",
            icon=":material/auto_awesome:",
            on_click=widgets.act,
            args=(captions.request_captions, context, id),
            help="A worker suggests captions, and says what it may not hold",
        )


def watch(context: AppContext, id: str) -> None:
    """Looks again while the job runs; the page is drawn anew when it is over."""
    view = captions.captions_view(context, id)
    if not view.is_working:
        widgets.draw_anew()
        return
    words = waiting_words(context, "to look at the pictures")
    if view.is_loading:
        words = f"{LOADING_WORDS}, then it looks at your pictures"
    elif not view.waits:
        words = f"Looking at your pictures: {view.looked_at} of {view.asked}"
    st.progress(min(1.0, view.looked_at / max(1, view.asked)), text=words)
    if view.waits and not captions.can_look(context):
        widgets.quiet("No worker is running just now. You can write the captions yourself meanwhile.")


def all_suggestions(context: AppContext, id: str, count: int) -> None:
    """Take or decline everything that is suggested."""
    with st.container(border=True, key="suggested", gap="xsmall"):
        st.markdown(
            f"**I have captions for {counted(count, 'picture')}**, below each of them. Take them one by one, or"
        )
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Take all",
                key="captions-take",
                type="primary",
                icon=":material/done_all:",
                on_click=widgets.act,
                args=(captions.take_captions, context, id),
            )
            st.button(
                "No, thanks",
                key="captions-decline",
                icon=":material/close:",
                on_click=widgets.act,
                args=(captions.decline_captions, context, id),
            )
        widgets.quiet(
            "I know this kind of drawing and am seldom wrong in it; every word can be changed. What you wrote yourself "
            "stays."
        )


def suggestion(context: AppContext, id: str, file: str, fields: dict[str, str]) -> None:
    """The suggestion for one picture, with a yes and a no."""
    name = file.partition(".")[0]
    with st.container(gap="xxsmall", key=f"suggestion-{file}"):
        widgets.quiet(f"I see: {', '.join(fields.values())}")
        with st.container(horizontal=True, gap="xsmall"):
            st.button(
                "Use it",
                key=f"take-{file}",
                icon=":material/check:",
                help=f"Write this below picture {name}",
                on_click=widgets.act,
                args=(captions.take_captions, context, id, file),
            )
            st.button(
                "No",
                key=f"decline-{file}",
                icon=":material/close:",
                type="tertiary",
                help=f"Decline the caption for picture {name}",
                on_click=widgets.act,
                args=(captions.decline_captions, context, id, file),
            )


def guess(context: AppContext, id: str, file: str, fields: dict[str, str]) -> None:
    """A question about one picture in an art that the model does not know."""
    name = file.partition(".")[0]
    with st.container(gap="xxsmall", key=f"guess-{file}"):
        widgets.quiet(f"Is this {' and '.join(fields.values())}?")
        with st.container(horizontal=True, gap="xsmall"):
            for label, key, icon, action in (
                ("Yes", f"take-{file}", "check", captions.take_captions),
                ("No", f"decline-{file}", "close", captions.decline_captions),
            ):
                st.button(
                    label,
                    key=key,
                    icon=f":material/{icon}:",
                    type="secondary" if label == "Yes" else "tertiary",
                    help=f"{label}, about picture {name}",
                    on_click=widgets.act,
                    args=(action, context, id, file),
                )


def contradiction(context: AppContext, id: str, file: str, fields: dict[str, str]) -> None:
    """Words below a picture that speak against what is seen."""
    seen = " and ".join(f"“{words}”" for words in fields.values())
    widgets.quiet(f"The caption says something else: I see {seen}. I may be wrong; training believes your words.")
    st.button(
        "My words are right",
        key=f"uphold-{file}",
        type="tertiary",
        icon=":material/check:",
        on_click=widgets.act,
        args=(captions.uphold_caption, context, id, file),
    )
