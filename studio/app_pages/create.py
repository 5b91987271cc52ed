"""The wizard: four steps from pictures to a training, `?character=ID&step=1..4`.

Everything is kept while it is typed, and by every button, so a refresh, a closed tab or a restarted studio lose
nothing. The steps are drawn by `create_images.py`, `create_persona.py`, `create_dialogues.py` and `create_train.py`.
"""

from __future__ import annotations

import html

import streamlit as st

from pipelines.core.character.amounts import GOOD_IMAGES
from studio import widgets
from studio.actions import characters, create, drafts
from studio.actions.create import Summary
from studio.app_pages import create_dialogues, create_images, create_persona, create_train, review
from studio.app_pages.create_fields import show_clashes, to_step, writing_at
from studio.context import AppContext
from studio.labels import ago

# State of a step -> the sign on it.
MARKS = {"error": ":material/radio_button_unchecked:", "warning": ":material/lightbulb:", "": ":material/check_circle:"}
ABOUT = (
    f"About {GOOD_IMAGES} pictures of the same character, each with another face, other clothes or another place.",
    "What the model is told before every conversation, and the facts it learns by heart.",
    "Conversations in their voice. The answers are what is learned, word for word.",
    "A last look, then one button.",
)


def page() -> None:
    """The step that the address names, or a choice of characters when it names none."""
    context = widgets.app_context()
    if widgets.param("import"):
        review.page(context, widgets.param("import"))
        return
    id = widgets.param("character")
    if not id:
        choose(context)
        return
    draft = characters.open_draft(context, id)
    step = widgets.number_param("step", 1, 4)
    row = drafts.own_character(context, id)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(f'<h1 class="u-h1">{html.escape(row.name or "New character")}</h1>', width="content")
        st.html(f'<p class="u-quiet" role="status">Saved {html.escape(ago(row.changed))}</p>', width="content")
    checked = create.summary(draft, writing_at(draft))
    show_steps(checked, step)
    widgets.quiet(ABOUT[step - 1])
    with st.container(key="news"):
        widgets.show_problems()
        show_clashes(context, id, draft)
    st.space("small")
    # Streamlit knows a container without a key by its place among its siblings: where something comes to stand before
    # it, it is made anew, and the field in it that somebody is writing in is gone. So what holds fields has a key.
    with st.container(key=f"step-{step}"):
        if step in (1, 4):
            (create_images.draw if step == 1 else create_train.draw)(context, id, draft)
        else:
            (create_persona.draw if step == 2 else create_dialogues.draw)(context, id, draft, checked)
    step_buttons(step)


def choose(context: AppContext) -> None:
    """What stands here without a character: a new one, or one of those begun."""
    widgets.title("Create", "Begin a new character, or go on with one.")
    if widgets.pressed("New character", key="new-character", type="primary", icon=":material/add:"):
        widgets.go(widgets.CREATE, character=drafts.create(context), step=1)
    tiles, _ = characters.gallery(context, count=8)
    if tiles:
        st.subheader("Go on with", anchor=False)
    with st.container(key="grid-gallery"):
        for tile in tiles:
            with st.container(border=True, key=f"tile-{tile.id}", gap="small"):
                widgets.image(tile.portrait, f"Portrait of {tile.name}")
                st.html(f'<p class="u-name">{html.escape(tile.name)}</p>')
                label = f"Edit {widgets.escaped(tile.name)}"
                if widgets.pressed("Go on", key=f"go-{tile.id}", width="stretch", help=label):
                    widgets.go(widgets.CREATE, character=tile.id, step=1)
    widgets.quiet("Files of other programs and ready examples are on the first page.")
    st.page_link(widgets.CHARACTERS, label="Characters", icon=":material/groups:")


def show_steps(checked: Summary, step: int) -> None:
    """The four steps with their marks; any of them may be gone to at any time."""
    states = create.states(checked)
    st.session_state["step"] = step
    st.segmented_control(
        "Step",
        [1, 2, 3, 4],
        key="step",
        required=True,
        on_change=to_chosen_step,
        label_visibility="collapsed",
        format_func=lambda number: f"{MARKS[states[number]]} {number}. {create.STEPS[number - 1]}",
        width="stretch",
    )


def to_chosen_step() -> None:
    """Put the chosen step into the address."""
    to_step(st.session_state.step)


def step_buttons(step: int) -> None:
    """The buttons to the step before and the step after."""
    st.space("medium")
    with st.container(horizontal=True, horizontal_alignment="distribute" if step > 1 else "right"):
        if step > 1:
            st.button(
                create.STEPS[step - 2],
                icon=":material/arrow_back:",
                on_click=to_step,
                args=(step - 1,),
                key="step-back",
            )
        if step < len(create.STEPS):
            st.button(
                create.STEPS[step],
                icon=":material/arrow_forward:",
                icon_position="right",
                type="primary",
                on_click=to_step,
                args=(step + 1,),
                key="step-next",
            )


if __name__ == "__main__":
    page()
