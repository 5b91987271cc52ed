"""What is kept for the test, in step 4 of the wizard: shown, and chosen where the even spread does not please.

Decided by `actions/held_out.py`.
"""

from __future__ import annotations

import streamlit as st

from studio import widgets
from studio.actions import held_out
from studio.actions.drafts import Draft
from studio.actions.held_out import Kind, KindView
from studio.context import AppContext

TITLES: dict[Kind, tuple[str, str]] = {
    "conversations": ("Conversations", "Never learned: how they sound is measured on them."),
    "facts": ("Facts asked about", "Learned all the same: the test asks whether they were."),
    "images": ("Pictures", "Never learned: what is drawn is measured against them. References cannot be kept."),
}


def draw(context: AppContext, id: str, draft: Draft) -> None:
    """The panel: what the scores will rest on."""
    test = held_out.draft_test(draft)
    # With a key it stays open while its title follows what is chosen.
    with st.expander(f"Kept for the test: {test.words}", key=f"kept-{id}", icon=":material/fact_check:"):
        for words in test.missing:
            widgets.quiet(words)
        found = held_out.kinds(draft)
        if not found:
            widgets.quiet("This character came with a test of its own. Training sees none of it.")
            for words in (*test.conversations, *test.questions):
                st.markdown(f"- {widgets.escaped(words)}")
            for file, words in test.images:
                # Named after the test, since step 1 has other pictures of the same names.
                st.markdown(f"- Test picture {file.partition('.')[0]}: {widgets.escaped(words or 'without words')}")
        for view in found:
            _choose(context, id, view, bool(draft.get("tested")))


def _choose(context: AppContext, id: str, view: KindView, is_trained: bool) -> None:
    title, about = TITLES[view.kind]
    labels = {item.key: item.label for item in view.there}
    key = f"keep-{id}-{view.kind}"
    st.session_state[key] = list(view.kept)
    st.multiselect(
        title,
        list(labels),
        format_func=lambda one: labels.get(one, one),
        key=key,
        help=about,
        placeholder="None is kept",
        on_change=_keep,
        args=(context, id, view.kind, key),
    )
    if view.is_chosen:
        st.button(
            "Keep what the last training kept" if is_trained else "Spread them evenly again",
            key=f"spread-{id}-{view.kind}",
            type="tertiary",
            on_click=widgets.act,
            args=(held_out.choose, context, id, view.kind, None),
        )


def _keep(context: AppContext, id: str, kind: Kind, key: str) -> None:
    widgets.attempt(held_out.choose, context, id, kind, list(st.session_state[key]))
