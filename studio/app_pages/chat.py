"""The chat page: one character, one conversation (`?character=ID` or `?conversation=ID`).

The best state answers unless another is chosen. A chat is kept from its first message on, with the job of each answer,
so a page that is loaded again in the middle of one goes on showing it.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pipelines.core.jobs.job import CharacterRow, Conversation
from studio import no_state_yet, one_chat_view, widgets
from studio.actions import chat, compare, workers
from studio.actions.checkpoint_options import CheckpointOption, base_of, checkpoint_options, default_of, why_no_default
from studio.chat_view import keep_unsaid, say_something, send, tools
from studio.compare_views import character_select, checkpoint_select
from studio.context import AppContext
from studio.labels import ago

EARLIER, MORE = 10, 20
"""Earlier chats in the list at first, and how many more come at each press."""


def page() -> None:
    """The conversation that the address names, or the beginning of a new one."""
    context = widgets.app_context()
    conversation_id = widgets.param("conversation")
    conversation = compare.own_conversation(context, conversation_id) if conversation_id else None
    if conversation is not None and conversation.right:
        widgets.go(widgets.COMPARE, conversation=conversation.id)
    widgets.title("Chat")
    head = st.container(horizontal=True, vertical_alignment="bottom", key="chat-head")
    chosen = conversation.character if conversation else widgets.param("character")
    row = character_select(context, chosen, 300, head)
    if row is None:
        return
    if conversation is not None:
        one_chat_view.draw(context, conversation, row, head)
        return
    choices = checkpoint_options(context, row.id)
    if not choices:
        no_state_yet.draw(context, row)
        return
    _begin(context, row, choices, head)


def _begin(context: AppContext, row: CharacterRow, choices: list[CheckpointOption], head: DeltaGenerator) -> None:
    """A new chat: it exists once something is said."""
    default, base = default_of(choices), base_of(choices)
    with head:
        with st.container(width=400):
            ref = checkpoint_select("Who answers", choices, default or base, "who", warn=False)
        _earlier(context, row.id)
    widgets.caution(next((one.warning for one in choices if one.ref == ref), ""))
    if ref == base and not default:
        words = f"{why_no_default(choices)}: the model before training answers until you choose another."
        st.info(widgets.escaped(words), icon=":material/hourglass_empty:")
    if not workers.live_workers(context, "reply"):
        st.warning(
            "No worker is running, so nobody answers just now. See the System page.", icon=":material/power_off:"
        )
    elif st.session_state.get("chat-warm") != ref:
        st.session_state["chat-warm"] = ref
        widgets.attempt(chat.warm, context, row.id, ref)
    widgets.show_problems()
    one_chat_view.greeting(context, row)
    tools(context, None, again=False)
    say_something(f"Say something to {row.name or 'them'}", False, _say_first, context, row.id, ref)


def _earlier(context: AppContext, character: str) -> None:
    """The chats there have been, the newest first, and more of them at each press."""
    key = f"chats-shown-{character}"
    shown = st.session_state.get(key, EARLIER)
    found = chat.earlier_chats(context, character, shown + 1)
    if not found:
        return
    with st.popover("Earlier chats", icon=":material/history:"):
        for one in found[:shown]:
            label = f"{widgets.escaped(one.title)} · {ago(one.created)}"
            if st.button(label, key=f"chat-{one.id}", type="tertiary"):
                widgets.go(widgets.CHAT, conversation=one.id)
        if len(found) > shown:
            st.button("Show more", icon=":material/history:", on_click=_show_more, args=(key, shown))


def _show_more(key: str, shown: int) -> None:
    st.session_state[key] = shown + MORE


def _say_first(context: AppContext, character: str, ref: str) -> None:
    """The first message makes the conversation."""
    conversation = widgets.attempt(chat.start_chat, context, character, ref)
    if not isinstance(conversation, Conversation):
        keep_unsaid(character)
    elif send(context, conversation.id, character):
        st.query_params.from_dict({"conversation": conversation.id})


if __name__ == "__main__":
    page()
