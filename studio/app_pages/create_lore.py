"""The lorebook in step 2 of the wizard: every entry to be read, and buttons that make facts or persona of some.

Drawn by `create_persona.py` where a character came with a lorebook; one of its own can be added.
"""

from __future__ import annotations

import streamlit as st

from studio import held_uploads, widgets
from studio.actions import lore
from studio.actions.drafts import Draft
from studio.actions.lore import LoreView
from studio.context import AppContext
from studio.labels import counted

SHOWN = 20
"""Entries that are drawn at first, and more at each press."""
TEXT_CHARS = 600
TAUGHT = {"facts": "Is a fact", "persona": "Is in the persona"}


def lorebook(context: AppContext, id: str, draft: Draft) -> None:
    """The entries with what is taught of them, and a place for another book."""
    views = lore.lore_views(draft)
    title = f"Lorebook: {counted(len(views), 'entry', 'entries')}" if views else "Add a lorebook"
    with st.container(key="lore"), st.expander(title, key=f"book-{id}", icon=":material/menu_book:"):
        if views:
            widgets.quiet("All of it is kept for export. They learn only what you make a fact or part of the persona.")
            always = [view.id for view in views if view.entry.constant and view.entry.enabled and view.taught == "keep"]
            if len(always) > 1:
                widgets.quiet(f"{len(always)} are always used where they come from:")
                take_buttons(context, id, always, "all")
            shown = st.session_state.setdefault(f"lore-{id}", SHOWN)
            for view in views[:shown]:
                entry(context, id, view)
            if len(views) > shown:
                more = counted(min(SHOWN, len(views) - shown), "more entry", "more entries")
                st.button(f"Show {more}", key="lore-more", on_click=show_more, args=(f"lore-{id}",))
        round = st.session_state.setdefault("lore-round", 0)
        st.file_uploader(
            "A lorebook as JSON (SillyTavern, RisuAI, Agnai, NovelAI)",
            type=["json"],
            key=f"lore-file-{round}",
            max_upload_size=lore.MAX_BOOK_BYTES >> 20,
            on_change=upload,
            args=(context, id, round),
        )


def entry(context: AppContext, id: str, view: LoreView) -> None:
    """One entry, with the buttons while nothing is learned of it."""
    words = view.words
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{widgets.escaped(view.entry.topic or 'Without a title')}**")
        about = ["always used" if view.entry.constant else "used when one of these is said"]
        about += [] if view.entry.enabled else ["switched off"]
        keys = ", ".join(view.entry.keys)[:200]
        widgets.quiet(f"{', '.join(about)}: {keys}" if keys else ", ".join(about))
        st.markdown(widgets.escaped(words if len(words) <= TEXT_CHARS else f"{words[:TEXT_CHARS]} …"))
        if view.taught == "keep":
            take_buttons(context, id, [view.id], view.id)
        else:
            widgets.quiet(TAUGHT[view.taught])


def take_buttons(context: AppContext, id: str, entries: list[str], key: str) -> None:
    """Make facts or persona of these entries."""
    what = "Make them" if len(entries) > 1 else "Make it"
    with st.container(horizontal=True):
        for use, words in (("facts", "facts" if len(entries) > 1 else "a fact"), ("persona", "part of the persona")):
            st.button(
                f"{what} {words}",
                key=f"lore-{use}-{key}",
                on_click=widgets.act,
                args=(lore.take, context, id, entries, use),
            )


def show_more(key: str) -> None:
    """Draw more entries from now on."""
    st.session_state[key] += SHOWN


def upload(context: AppContext, id: str, round: int) -> None:
    """Read the uploaded lorebook."""
    file = st.session_state.get(f"lore-file-{round}")
    if file is not None and widgets.new_uploads([file]):
        files, refused = held_uploads.take([file])
        widgets.remember_problems(refused)
        for name, data in files:
            notes = widgets.attempt(lore.upload, context, id, name, data)
            if isinstance(notes, list):
                widgets.remember_problems(notes)
        st.session_state["lore-round"] = round + 1
