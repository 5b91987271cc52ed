"""Facts in step 2 of the wizard: plain rows, numbered, each with a field for the question and one for the answer.

Some empty rows always stand below. A row is named by its id (`drafts.name_places`), so rows may come and go in another
tab. Drawn by `create_persona.py`.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.character.amounts import GOOD_FACTS
from studio import widgets
from studio.actions import drafts, typed
from studio.actions.drafts import Draft
from studio.app_pages.create_fields import over_limit, row_field
from studio.context import AppContext

EMPTY_ROWS = 3
"""Rows to type into; as soon as something stands in one, another is drawn below."""


def facts(context: AppContext, id: str, draft: Draft) -> None:
    """All rows, those to type into last."""
    st.markdown("**Facts**")
    widgets.quiet(f"Short questions and answers that they know by heart. About {GOOD_FACTS} are good; none is needed.")
    with st.container(key="facts", gap="xsmall"):
        written = {fact["id"]: drafts.is_written(fact) for fact in draft.get("facts", ())}
        number = 0
        for row in rows(id, draft):
            number += written.get(row, True)  # an emptied row is no fact, so the checks do not count it
            fact_row(context, id, draft, row, number if written.get(row, True) else 0)


def rows(id: str, draft: Draft) -> list[str]:
    """Ids of the rows: the facts, and empty ones whose ids stay the same until something is written in them."""
    there = [str(fact["id"]) for fact in draft.get("facts", ())]
    spare: list[str] = st.session_state.setdefault(f"spare-facts-{id}", [])
    spare[:] = [row for row in spare if row not in there]
    while len(spare) < EMPTY_ROWS:
        spare.append(drafts.short_id())
    return [*there, *spare]


def fact_row(context: AppContext, id: str, draft: Draft, row: str, number: int) -> None:
    """One row: number (0 for an emptied one), question, answer, and a button to take it out."""
    is_there = any(fact["id"] == row for fact in draft.get("facts", ()))
    name = number or "without words"
    with st.container(key=f"fact-row-{row}", horizontal=True, vertical_alignment="top", gap="xsmall"):
        st.html(f'<p class="u-number">{number or ""}</p>', width="content")
        too_long = [
            row_field(
                context,
                draft,
                f"fact-{id}-{row}-{part}",
                f"{part.capitalize()} {name}",
                example if number == 1 else part.capitalize(),
                label_visibility="collapsed",
            )
            for part, example in (("question", "Where do you live?"), ("answer", "In the old mill."))
        ]
        st.button(
            f"Take out fact {name}",
            key=f"fact-out-{row}",
            icon=":material/close:",
            type="tertiary",
            disabled=not is_there,
            on_click=widgets.act,
            args=(typed.remove_fact, context, id, row),
        )
        over_limit(*too_long)
