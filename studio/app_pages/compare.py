"""The compare page: two checkpoints of a character side by side (`?character=ID` or `?conversation=ID`).

Five views: talk, pictures, scorecards, votes, download. The conversation is kept in the records with the job of each
answer, so a page that is loaded again in the middle of an answer goes on showing it.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.jobs.job import CharacterRow
from studio import no_state_yet, picture_grid, widgets
from studio.actions import checkpoint_options, compare
from studio.actions.checkpoint_options import CheckpointOption
from studio.actions.compare import NotPossible
from studio.chat_view import conversation_view
from studio.compare_views import character_select, checkpoint_select, download_view, scores_view, votes_view
from studio.context import AppContext
from studio.labels import ago

TALK, PICTURES, SCORES, VOTES, DOWNLOAD = "Talk", "Pictures", "Scorecards", "Votes", "Download"
VIEWS = {
    TALK: ":material/forum:",
    PICTURES: ":material/grid_view:",
    SCORES: ":material/radar:",
    VOTES: ":material/how_to_vote:",
    DOWNLOAD: ":material/download:",
}
MAX_EARLIER = 10


def page() -> None:
    """The view that the address names, of the character or conversation that it names."""
    context = widgets.app_context()
    conversation_id = widgets.param("conversation")
    conversation = compare.own_conversation(context, conversation_id) if conversation_id else None
    if conversation is not None and not conversation.right:
        widgets.go(widgets.CHAT, conversation=conversation.id)
    widgets.title("Compare", "Say something once, read and see two answers. Then say which one is more like them.")
    row = character_select(context, conversation.character if conversation else widgets.param("character"), 360)
    if row is None:
        return
    choices = checkpoint_options.checkpoint_options(context, row.id)
    if not choices:
        no_state_yet.draw(context, row)
        return
    view = _view()
    if view != VOTES and (said := checkpoint_options.first_in_words(context, row.id)):
        widgets.quiet(said)
    if view == TALK:
        if conversation is None:
            _begin(context, row, choices)
        else:
            conversation_view(context, conversation, row)
    elif view == PICTURES:
        picture_grid.draw(context, row, choices)
    elif view == SCORES:
        scores_view(context, choices, (conversation.left, conversation.right) if conversation else None)
    elif view == VOTES:
        votes_view(context, row.id)
    else:
        download_view(context, choices)


def _view() -> str:
    names = list(VIEWS)
    at = widgets.param("view")
    chosen = st.segmented_control(
        "View",
        names,
        default=at if at in names else TALK,
        format_func=lambda name: f"{VIEWS[name]} {name}",
        label_visibility="collapsed",
        key="view",
        required=True,
    )
    view = str(chosen or TALK)
    if view != (at or TALK):
        st.query_params["view"] = view
    return view


def _begin(context: AppContext, row: CharacterRow, choices: list[CheckpointOption]) -> None:
    """Choose two and begin, or go on with an earlier conversation."""
    with st.container(border=True, key="begin"):
        one, other = st.columns(2)
        first, second = checkpoint_options.sides_of(choices)
        with one:
            left = checkpoint_select("One", choices, first, "one")
        with other:
            right = checkpoint_select("The other", choices, second, "other")
        blind = st.toggle("Blind: hide the names and shuffle the sides until I have voted")
        if st.button("Start talking", type="primary", icon=":material/forum:", disabled=not (left and right)):
            try:
                conversation = compare.start_conversation(context, row.id, left, right, blind)
            except NotPossible as error:
                st.error(widgets.escaped(str(error)), icon=":material/error:")
            else:
                widgets.go(widgets.COMPARE, conversation=conversation.id)
    kept = context.records.chats.conversations(context.owner, character=row.id, limit=4 * MAX_EARLIER)
    earlier = [one for one in kept if one.right][:MAX_EARLIER]
    if earlier:
        st.subheader("Earlier conversations", anchor=False)
    for conversation in earlier:
        words, way = st.columns([5, 1], vertical_alignment="center")
        with words:
            hidden = "Blind comparison" if conversation.blind else conversation.title
            widgets.quiet(f"{hidden} · {ago(conversation.created)}")
        with way:
            if st.button("Go on", key=f"talk-{conversation.id}", width="stretch"):
                widgets.go(widgets.COMPARE, conversation=conversation.id)


if __name__ == "__main__":
    page()
