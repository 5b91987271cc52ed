"""A chat with one checkpoint: greeting, messages and replies, and what can be done with each of them.

While a reply is written its turn is a fragment that looks again twice a second; dialogs only open from turns that are
done.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pipelines.core.jobs.job import CharacterRow, Conversation
from studio import widgets
from studio.actions import chat, chat_turns, images
from studio.actions.chat_turns import ChatTurn
from studio.actions.checkpoint_options import label_of, warning_of
from studio.chat_text import speech
from studio.chat_view import POLL_S, mend, reply, reply_options, said, say_something, send_said, tools
from studio.context import AppContext

MOVING = ("waiting", "running")


def draw(context: AppContext, conversation: Conversation, row: CharacterRow, head: DeltaGenerator) -> None:
    """The whole conversation, and the input below it. head: where the choice of the character stands."""
    told = chat_turns.turns(context, conversation)
    widgets.show_problems()
    if kept := st.session_state.pop("talk-kept", ""):
        st.success(kept, icon=":material/school:")
    widgets.quiet(f"Answers: {label_of(context, conversation.left)}")
    widgets.caution(warning_of(context, conversation.left))
    with head:
        if st.button("New chat", icon=":material/add_comment:"):
            widgets.go(widgets.CHAT, character=conversation.character)
    greeting(context, row)
    moving = bool(told) and told[-1].state in MOVING
    for turn in told:
        with st.container(key=f"turn-{turn.number}"):
            said(context, turn)
            if turn.state in MOVING:
                widgets.live(_written, POLL_S)(context, conversation, row, turn.number)
            else:
                _answer(context, row, turn)
                if not moving:
                    _turn_tools(context, conversation, row, turn, turn is told[-1])
    tools(context, conversation, again=bool(told) and not moving)
    say_something(f"Say something to {row.name or 'them'}", moving, send_said, context, conversation.id)


def greeting(context: AppContext, row: CharacterRow) -> None:
    """Their first words, if they have some."""
    words = str(row.draft.get("greeting", "")).strip()
    if words:
        with st.chat_message("assistant", avatar=_face(context, row)):
            st.html(speech(words))


def _face(context: AppContext, row: CharacterRow) -> Any:
    portrait = images.portrait(context, row.draft)
    return images.face(portrait) if portrait else ":material/theater_comedy:"


def _written(context: AppContext, conversation: Conversation, row: CharacterRow, number: int) -> None:
    """A turn while it is answered; once its answer is there, the page is drawn anew."""
    turn = next((turn for turn in chat_turns.turns(context, conversation) if turn.number == number), None)
    if turn is None or turn.state not in MOVING:
        widgets.draw_anew()
    if turn is None:
        return
    _answer(context, row, turn)


def _answer(context: AppContext, row: CharacterRow, turn: ChatTurn) -> None:
    with st.chat_message("assistant", avatar=_face(context, row)):
        reply(context, row, turn, turn.answers[0])
        if turn.error:
            st.error(widgets.escaped(turn.error), icon=":material/error:")


def _turn_tools(
    context: AppContext, conversation: Conversation, row: CharacterRow, turn: ChatTurn, is_last: bool
) -> None:
    """What can be done with a turn; continuing only with the last one."""
    with st.container(horizontal=True, gap="xsmall", key=f"tools-{turn.number}"):
        if st.button("Edit message", key=f"edit-{turn.number}", icon=":material/edit:", type="tertiary"):
            _edit_message(context, conversation, turn, is_last)
        if turn.state != "done":
            return
        if st.button("Edit answer", key=f"rewrite-{turn.number}", icon=":material/edit_note:", type="tertiary"):
            _edit_reply(context, conversation, turn)
        st.button(
            "Branch",
            key=f"branch-{turn.number}",
            icon=":material/alt_route:",
            type="tertiary",
            help="A new chat that begins with everything up to here",
            on_click=_lead,
            args=(context, chat.branch, conversation.id, turn.number),
        )
        if st.button("Show how it should answer", key=f"mend-{turn.number}", icon=":material/school:", type="tertiary"):
            mend(context, conversation, row, turn, turn.answers[0])
        if is_last:
            st.button(
                "Continue",
                key="continue",
                icon=":material/more_horiz:",
                type="tertiary",
                help="They go on from where this answer ends",
                on_click=widgets.act,
                args=(chat.continue_reply, context, conversation.id, reply_options(context)),
            )


def _lead(context: AppContext, action: object, *args: object) -> None:
    """Do it, and go to the conversation that it gives."""
    found = widgets.attempt(action, context, *args)  # type: ignore[arg-type]  # an action of `chat`
    if isinstance(found, Conversation):
        st.query_params["conversation"] = found.id


@st.dialog("Edit your message", width="medium")
def _edit_message(context: AppContext, conversation: Conversation, turn: ChatTurn, is_last: bool) -> None:
    if is_last:
        widgets.quiet("It is answered anew.")
    else:
        widgets.quiet("It is answered in a new chat. This one stays as it is, and is found under “Earlier chats”.")
    with st.form("edit-message", border=False):
        st.text_area("Your message", turn.question.text, height=140, key="edited-message")
        if st.form_submit_button(
            "Say this instead", type="primary", on_click=_said_anew, args=(context, conversation, turn)
        ):
            st.rerun()


def _said_anew(context: AppContext, conversation: Conversation, turn: ChatTurn) -> None:
    words = st.session_state["edited-message"]
    _lead(context, chat.edit_message, conversation.id, turn.number, words, reply_options(context))


@st.dialog("Edit their answer", width="medium")
def _edit_reply(context: AppContext, conversation: Conversation, turn: ChatTurn) -> None:
    widgets.quiet("The conversation goes on from your words. Nothing is learned from this.")
    with st.form("edit-answer", border=False):
        st.text_area("Their answer", turn.answers[0].text, height=200, key="edited-answer")
        if st.form_submit_button(
            "Keep these words", type="primary", on_click=_rewritten, args=(context, conversation, turn)
        ):
            st.rerun()


def _rewritten(context: AppContext, conversation: Conversation, turn: ChatTurn) -> None:
    widgets.act(chat.edit_reply, context, conversation.id, turn.number, st.session_state["edited-answer"])
