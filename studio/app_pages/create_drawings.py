"""Step 1 of the wizard, below the pictures' captions: how the model sees the character before any training.

Four drawings by a worker, "Draw again", and which pictures they are drawn from. Drawn by `create_images.py`, which also
shows each picture's rebuilding beside it; what happens is in `actions/drawings.py`.
"""

from __future__ import annotations

import streamlit as st

from studio import widgets
from studio.actions import drawings
from studio.actions.drafts import Draft, own_character
from studio.actions.drawings import DrawingsView
from studio.actions.workers import LOADING_WORDS, is_training_beside, waiting_words
from studio.context import AppContext
from studio.labels import minutes

POLL_S = 1
"""Seconds between looks at a job that draws."""


def draw(context: AppContext, id: str, draft: Draft, view: DrawingsView) -> None:
    """The box as a whole."""
    with st.container(border=True, key="drawings", gap="small"):
        st.markdown("**This is how I see them now**")
        if view.state in ("waiting", "drawing"):
            widgets.live(watch, POLL_S)(context, id)
        else:
            made(context, id, view)
        reference_words(context, id, draft)


def watch(context: AppContext, id: str) -> None:
    """Looks again while the job runs, and no longer."""
    view = drawings.drawings_view(context, id)
    if view.state not in ("waiting", "drawing"):
        widgets.draw_anew()
        return
    if view.state == "waiting":
        words = waiting_words(context, "to draw")
    elif view.is_loading:
        words = f"{LOADING_WORDS}, then it draws"
    else:
        words = "Drawing four pictures" if view.share < 1 else "Looking at your pictures once more"
        if is_training_beside(context):
            words += ": a training runs beside it, so this takes some minutes"
    art_words(context, id, view)
    st.progress(view.share if view.state == "drawing" else 0.0, text=words)
    show(view)
    if view.state == "waiting" and not drawings.can_draw(context):
        widgets.quiet("No worker is running just now: this goes on by itself once one is. Nothing else has to wait.")


def made(context: AppContext, id: str, view: DrawingsView) -> None:
    """The drawings, or why there are none, and the button."""
    if view.is_put_off:
        widgets.quiet(
            "Stopped before they were done, so that the training has this machine for itself. Draw them when it is "
            "over, or now: then both take longer."
        )
    elif is_training_beside(context):
        widgets.quiet(
            "A training is at work on this machine, so I draw only when you ask for it: then both take longer."
        )
    if view.error and not view.is_put_off:
        widgets.quiet(f"The drawings did not come: {view.error}")
    art_words(context, id, view)
    show(view)
    if view.is_stale and view.drawn:
        widgets.quiet("Your pictures or words have changed since these were drawn.")
    if not view.drawn:
        if drawings.can_draw(context):
            took = drawings.last_took_s(context)
            measured = f" The last ones here took {minutes(took)}." if took else ""
            widgets.quiet(f"Four drawings from your pictures, though nothing is learned yet.{measured}")
        else:
            widgets.quiet("No worker is running, so nothing is drawn yet. You can go on, and come back for it.")
    st.button(
        "Draw again" if view.drawn else "Draw them",
        key="draw-again",
        icon=":material/brush:",
        type="primary" if view.is_stale else "secondary",
        on_click=widgets.act,
        args=(drawings.request_drawings, context, id),
        help="With other faces and places each time",
    )


def art_words(context: AppContext, id: str, view: DrawingsView) -> None:
    """What can be expected of the drawings now, and of a training, as far as it was measured."""
    if view.is_foreign is None:
        return
    if view.is_foreign:
        name = widgets.escaped(str(own_character(context, id).draft.get("name") or "").strip() or "your character")
        st.warning(
            f"**This art is new to me, so these are not {name} yet.** I keep colours, face and place, and draw the "
            "rest in my own art. A training learns yours from the pictures. Tried with three such characters: after a "
            "quick training two were clearly themselves in all 24 drawings, one of them with half of the faces as "
            "asked; the third, a snail, in one of eight, and places and things that none of its pictures has never "
            "came. Nothing gets finer than “as I can draw it” below.",
            icon=":material/lightbulb:",
        )
    else:
        widgets.quiet(
            "I know this kind of drawing: of characters in it that were new to me, 36 of 40 drawings were recognised "
            "without any training. A training then changes little in the pictures; it teaches voice and facts."
        )


def show(view: DrawingsView) -> None:
    """The four drawings in a row."""
    if not view.drawn:
        return
    with st.container(key="grid-drawings"):
        for number, (look, picture) in enumerate(view.drawn):
            with st.container(key=f"tile-drawing-{number}", gap="xxsmall"):
                widgets.image(picture, f"Drawing: {look}")
                widgets.quiet(look)


def reference_words(context: AppContext, id: str, draft: Draft) -> None:
    """Which pictures are looked at, and the way back to the automatic choice."""
    names = sorted(file.partition(".")[0] for file in drawings.used_references(draft))
    if not names:
        return
    *others, last = names
    which = f"pictures {', '.join(others)} and {last}" if others else f"picture {last}"
    widgets.quiet(
        f"Whenever I draw them I look at {which}. Whole, plain faces serve best: choose others below with “Reference”."
    )
    if draft.get("references"):
        st.button(
            "Choose references for me",
            key="references-auto",
            type="tertiary",
            on_click=widgets.act,
            args=(drawings.forget_references, context, id),
        )
