"""Step 1 of the wizard, above the pictures: the uploader, what it could not take, and the choice among too many.

Drawn by `create_images.py`; what happens is in `actions/images.py`, `actions/refused_uploads.py` and
`actions/surplus.py`.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.character.amounts import MAX_IMAGES
from studio import held_uploads, widgets
from studio.actions import captions, drawings, images, import_review, picture_uploads, refused_uploads, surplus
from studio.actions.drafts import Draft
from studio.app_pages import review
from studio.context import AppContext
from studio.labels import counted


def draw(context: AppContext, id: str, draft: Draft) -> None:
    """The uploader, and below it what became of the files."""
    round = st.session_state.setdefault("pictures-round", 0)
    # Any file may come: the browser's own refusal has no reason and no way on.
    st.file_uploader(
        "Drop pictures here: PNG, JPEG or WebP, or a zip of them",
        accept_multiple_files=True,
        key=f"pictures-{round}",
        max_upload_size=picture_uploads.MAX_SET_BYTES >> 20,
        on_change=take,
        args=(context, id, round),
        help="Where and when a photo was taken is removed. A text file with a picture's name becomes its caption."
        " Zips of kohya, and image folders with their metadata.csv or .jsonl, are read too.",
    )
    refused(context, id, draft)
    choose(context, id, draft)


def take(context: AppContext, id: str, round: int) -> None:
    """Add the uploads to the draft, and empty the uploader so that none is added twice."""
    dropped = widgets.new_uploads(st.session_state.get(f"pictures-{round}") or [])
    if not dropped:
        return
    files, refused = held_uploads.take(dropped)
    st.session_state["pictures-round"] = round + 1
    if files and picture_uploads.needs_review(name for name, _ in files):
        widgets.remember_problems(refused)
        review.show(widgets.attempt(import_review.stage_pictures, context, id, files))
        return
    told = widgets.attempt(images.add, context, id, files, refused)
    if isinstance(told, list):
        widgets.attempt(captions.look_after_upload, context, id)  # first: it takes seconds, the drawings longer
        widgets.attempt(drawings.draw_after_upload, context, id)
        names = {problem.field for problem in told if problem.severity == "error"}
        if len(dropped) > len(names):
            st.toast(f"{counted(len(dropped) - len(names), 'file')} taken in", icon=":material/check:")


def refused(context: AppContext, id: str, draft: Draft) -> None:
    """What the last upload was refused for, until it was read."""
    found = refused_uploads.refusals(draft)
    if not found:
        return
    left_out = sum(one.count for one in found if one.severity == "error")
    with st.container(border=True, key="refused", gap="xsmall"):
        if left_out:
            st.markdown(f"**{counted(left_out, 'file')} could not be used.** Everything else was taken in.")
        else:
            st.markdown("**Taken in, with a note**")
        for one in found:
            sign = ":red[:material/block:]" if one.severity == "error" else ":orange[:material/lightbulb:]"
            st.markdown(f"{sign} **{widgets.escaped(one.message)}** {widgets.escaped(one.mend)}")
        st.button(
            "I have read this",
            key="refused-read",
            type="tertiary",
            icon=":material/close:",
            on_click=widgets.act,
            args=(refused_uploads.forget_refused, context, id),
        )


def choose(context: AppContext, id: str, draft: Draft) -> None:
    """All pictures with a tick each, where there are more than can be used."""
    found = surplus.choices(context, draft)
    if not found:
        return
    ticked = sum(one.is_used for one in found)
    with st.container(border=True, key="surplus", gap="small"):
        if len(found) > MAX_IMAGES:
            st.markdown(f"**Choose up to {MAX_IMAGES} of your {len(found)} pictures**")
        else:
            st.markdown(f"**{counted(len(found) - ticked, 'picture')} not used**")
        if ticked > MAX_IMAGES:
            st.markdown(f":red[:material/error:] {ticked} are ticked: take the tick from {ticked - MAX_IMAGES}.")
        else:
            widgets.quiet(
                f"{ticked} are ticked, and only those are learned from; the others stay here. To begin with, the ones "
                "that differ most from each other are ticked."
            )
        with st.container(key="strip-surplus", horizontal=True, gap="small"):
            for one in found:
                tick(context, id, one)
        if ticked < len(found):
            st.button(
                f"Take the {counted(len(found) - ticked, 'other')} out for good",
                key="surplus-drop",
                type="tertiary",
                icon=":material/delete:",
                on_click=widgets.act,
                args=(surplus.drop_unused, context, id),
            )


def tick(context: AppContext, id: str, one: surplus.Choice) -> None:
    """One picture among too many."""
    name = one.file.partition(".")[0]
    key = f"use-{id}-{one.file}"
    st.session_state[key] = one.is_used
    with st.container(width=112, gap="xxsmall", key=f"surplus-{one.file}"):
        widgets.image(one.thumb, f"Picture {name}", 112)
        st.checkbox(f"Use {name}", key=key, on_change=set_used, args=(context, id, one.file, key), width="content")
        if one.is_unusable:
            widgets.quiet("has a fault" if one.is_used else "has a fault, or is there twice")


def set_used(context: AppContext, id: str, file: str, key: str) -> None:
    """Keep the tick."""
    widgets.attempt(surplus.use, context, id, file, bool(st.session_state[key]))
