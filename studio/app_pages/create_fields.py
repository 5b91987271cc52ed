"""What several steps of the wizard draw: a text field that keeps what is typed, clashes, and the way to another step.

The steps are drawn by `create_images.py`, `create_persona.py`, `create_dialogues.py` and `create_train.py`.
"""

from __future__ import annotations

import html
from typing import Any

import streamlit as st

from studio import widgets
from studio.actions import at_work, typed
from studio.actions.at_work import AtWork
from studio.actions.drafts import Draft
from studio.actions.typed import Clash, Typed
from studio.context import AppContext
from studio.labels import ago


def text_field(
    context: AppContext,
    id: str,
    draft: Draft,
    field: str,
    example: str = "",
    height_px: int = 0,
    help: str | None = None,
) -> None:
    """One text of the draft under its title; one line, or an area of that height."""
    typed_field(context, draft, f"text-{id}-{field}", typed.TITLES[field], example, height_px or None, help=help)


def typed_field(
    context: AppContext, draft: Draft, key: str, label: str, example: str = "", height: Any = None, **how: Any
) -> None:
    """A text of the draft as in `row_field`; what is too long is counted below it."""
    told = row_field(context, draft, key, label, example, height, **how)
    with widgets.slot():
        over_limit(told)


def over_limit(*told: str) -> None:
    """What is said of texts that are too long."""
    for words in told:
        if words:
            st.markdown(f":red[:material/error:] {widgets.escaped(words)}")


def row_field(
    context: AppContext, draft: Draft, key: str, label: str, example: str = "", height: Any = None, **how: Any
) -> str:
    """A text of the draft by the key of its place (`typed.PLACES`), kept as it is typed: by `autosave.js`, which knows
    it by this key, and when it is left. One line, or an area of `height`. Returns what is to be said by `over_limit`
    at the end of its row.
    """
    place = typed.place_of(key)
    assert place is not None, key
    stands = typed.read(draft, place) or ""
    state = st.session_state
    # What stands in the draft is taken over; a field that somebody is writing in keeps their words until it is left.
    shown = state.get(key)
    if shown is None or shown not in (stands, state.get(f"refused-{key}")):
        state[key] = stands
    # In one entry: Streamlit goes through all of the session's state for each field.
    state.setdefault("fields-seen", {})[key] = stands
    typed.note_shown(context, key, stands, widgets.tab())
    # Also as the default: a text set by the state is told to the browser in this run alone, and a run that a newer one
    # cuts short may never tell it. The field of a page just loaded stayed empty then.
    shared = {"key": key, "value": state[key], "placeholder": example, "on_change": keep_field, "args": (context, key)}
    if height is None:
        st.text_input(label, **shared, **how)
    else:
        st.text_area(label, height=height, **shared, **how)
    return typed.over_limit(state[key], typed.limit_of(place))


def keep_field(context: AppContext, key: str) -> None:
    """Keep what stands in a field of the page, edited from what the page had shown there."""
    state = st.session_state
    state.pop(f"refused-{key}", None)
    kept = widgets.attempt(
        typed.keep, context, Typed(key, state[key], state.get("fields-seen", {}).get(key, ""), widgets.tab())
    )
    if kept is None:  # the reason is shown; the text stays in its field
        state[f"refused-{key}"] = state[key]


def writing_at(draft: Draft) -> AtWork:
    """Where somebody is typing on this page; what they typed before they came to it is left."""
    last = at_work.last_written(draft, widgets.tab())
    if widgets.is_new_here():
        st.session_state["written-before"] = last
    return at_work.NOWHERE if last == st.session_state.get("written-before") else at_work.at_work(draft, last)


def empty_field(context: AppContext, id: str, field: str) -> None:
    """Empty a field whose text was used."""
    key = f"text-{id}-{field}"
    typed.use_up(context, key, st.session_state.get(key, ""), widgets.tab())


# ---------------------------------------------------------------- two texts for one field


def show_clashes(context: AppContext, id: str, draft: Draft) -> None:
    """Every text that was written over one that had changed meanwhile, with both of them and a choice."""
    for number, clash in enumerate(typed.clashes(id, draft)):
        with st.container(border=True, key=f"clash-{number}", gap="small"):
            st.markdown(f":orange[:material/call_split:] **{widgets.escaped(clash.title)}: there are two texts**")
            if clash.stands is None:
                widgets.quiet(
                    f"This was written {ago(clash.at)}, after its place had been taken out in another tab. Copy what "
                    "you need."
                )
                _text_box("Written", clash.text)
            else:
                widgets.quiet("It was changed in two tabs. Both texts are kept until you choose.")
                ours, theirs = st.columns(2)
                with ours:
                    _text_box("Stands there now", clash.stands)
                with theirs:
                    _text_box(f"Also written, {ago(clash.at)}", clash.text)
            with st.container(horizontal=True):
                if clash.stands is not None:
                    _choice("Use the other text", number, context, clash, True)
                _choice(
                    "Leave it as it is" if clash.stands is not None else "Leave it out", number, context, clash, False
                )


def _choice(label: str, number: int, context: AppContext, clash: Clash, takes_it: bool) -> None:
    st.button(
        label,
        key=f"clash-{number}-{'take' if takes_it else 'leave'}",
        on_click=widgets.act,
        args=(typed.settle, context, clash, takes_it),
    )


def _text_box(title: str, text: str) -> None:
    widgets.quiet(title)
    st.html(
        f'<div class="u-told" tabindex="0" role="region" aria-label="{html.escape(title)}">{html.escape(text)}</div>'
    )


def to_step(step: int) -> None:
    """Put a step into the address."""
    st.query_params["step"] = str(step)
    st.query_params.pop("talk", None)
