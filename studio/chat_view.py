"""The chat of the compare page: two replies to every message, votes, and "show me how it should answer".

In a blind comparison the names stay hidden turn by turn until there is a vote on the turn. While its answers are
written, the last turn is a fragment that looks again twice a second; dialogs only open from turns that are done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pipelines.core.jobs.job import CharacterRow, Conversation, RecordMissing, RecordsUnusable, VoteAbout, VoteChoice
from pipelines.core.jobs.reply_protocol import BEST_OF
from pipelines.core.problems import CharacterProblems
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import chat_turns, compare, feedback
from studio.actions.chat_turns import ChatTurn, ReplyView
from studio.actions.checkpoint_options import label_of, warning_of
from studio.actions.compare import SEEDS, ImageMode, NotPossible, ReplyOptions
from studio.actions.images import CAPTION_FIELDS
from studio.actions.workers import waiting_words
from studio.chat_text import speech
from studio.context import AppContext

POLL_S = 0.5
"""Seconds between two polls while a reply is being written."""
PICTURE_PX = 300
PLACES = ("Left", "Right")
CHOICES: dict[VoteChoice, tuple[str, str]] = {
    "left": ("Left is better", ":material/arrow_back:"),
    "right": ("Right is better", ":material/arrow_forward:"),
    "tie": ("Both as good", ":material/balance:"),
    "both_bad": ("Both are bad", ":material/thumb_down:"),
}
IMAGE_MODES: dict[ImageMode, str] = {"auto": "when it fits", "always": "always", "never": "never"}


def conversation_view(context: AppContext, conversation: Conversation, row: CharacterRow) -> None:
    """The whole conversation, and the input below it."""
    told = chat_turns.turns(context, conversation)
    widgets.show_problems()
    if kept := st.session_state.pop("talk-kept", ""):
        st.success(kept, icon=":material/school:")
    _head(context, conversation)
    greeting = str(row.draft.get("greeting", "")).strip()
    if greeting:
        with st.chat_message("assistant", avatar=":material/theater_comedy:"):
            st.html(speech(greeting))
    for turn in told:
        with st.container(key=f"turn-{turn.number}"):
            said(context, turn)
            if turn.state in ("waiting", "running"):
                widgets.live(_written, POLL_S)(context, conversation, row, turn.number)
            else:
                _answers(context, conversation, row, turn)
    moving = bool(told) and told[-1].state in ("waiting", "running")
    tools(context, conversation, bool(told) and not moving)
    say_something("Say something to both", moving, send_said, context, conversation.id)


def _head(context: AppContext, conversation: Conversation) -> None:
    words, way = st.columns([4, 1], vertical_alignment="center")
    with words:
        if conversation.blind:
            widgets.quiet("Blind: the names are hidden until you vote, and the sides change from turn to turn.")
        else:
            left, right = (label_of(context, ref) for ref in (conversation.left, conversation.right))
            widgets.quiet(f"Left: {left}. Right: {right}.")
            for ref in (conversation.left, conversation.right):
                widgets.caution(warning_of(context, ref))
    with way:
        if st.button("New conversation", icon=":material/add_comment:", width="stretch"):
            widgets.go(widgets.COMPARE, character=conversation.character)


def said(context: AppContext, turn: ChatTurn) -> None:
    """What somebody said to them."""
    with st.chat_message("user", avatar=":material/person:"):
        if turn.question.picture_key:
            picture(context, turn.question.picture_key, "The picture that you attached", 200)
        st.html(speech(turn.question.text))


def _written(context: AppContext, conversation: Conversation, row: CharacterRow, number: int) -> None:
    """A turn while it is answered; once its answers are there, the page is drawn anew."""
    turn = next((turn for turn in chat_turns.turns(context, conversation) if turn.number == number), None)
    if turn is None or turn.state not in ("waiting", "running"):
        widgets.draw_anew()
    if turn is None:
        return
    _answers(context, conversation, row, turn)


def _again(context: AppContext, conversation: Conversation) -> None:
    st.button(
        "Answer again",
        icon=":material/refresh:",
        help="The same message with another seed",
        on_click=widgets.act,
        args=(compare.regenerate, context, conversation.id, None, reply_options(context)),
    )


def _answers(context: AppContext, conversation: Conversation, row: CharacterRow, turn: ChatTurn) -> None:
    columns = st.columns(2, border=True)
    for place, (column, answer) in enumerate(zip(columns, turn.answers, strict=True)):
        with column:
            _answer(context, conversation, row, turn, answer, place)
    if turn.state == "failed":
        st.error(widgets.escaped(turn.error), icon=":material/error:")
    if turn.state == "done":
        _votes(context, conversation, turn)


def _answer(
    context: AppContext, conversation: Conversation, row: CharacterRow, turn: ChatTurn, answer: ReplyView, place: int
) -> None:
    name = PLACES[place]
    if not conversation.blind or turn.vote is not None:
        name = f"{name}: {label_of(context, answer.ref)}"
    st.markdown(f"**{widgets.escaped(name)}**")
    reply(context, row, turn, answer)
    if turn.state != "done":
        return
    seconds = f" · {answer.seconds:.1f} s" if answer.seconds else ""
    widgets.quiet(f"Seed {answer.seed}{seconds}")
    if st.button(
        "Show me how it should answer",
        key=f"mend-{turn.number}-{answer.side}",
        icon=":material/edit_note:",
        type="tertiary",
    ):
        mend(context, conversation, row, turn, answer)


def reply(context: AppContext, row: CharacterRow, turn: ChatTurn, answer: ReplyView) -> None:
    """Words, picture and the picture's own words of one reply, as far as they are there."""
    if answer.text:
        st.html(speech(answer.text, is_open=turn.state == "running" and not answer.scene and not answer.done))
    elif turn.state == "waiting":
        widgets.quiet(waiting_words(context))
    elif turn.state == "running" and not answer.done:
        widgets.quiet("Thinking…")
    words = answer.scene or (f"Picture of {row.name}" if answer.picture_key else "")
    if answer.picture_key:
        picture(context, answer.picture_key, words, PICTURE_PX)
    elif answer.scene and not answer.done:
        widgets.quiet("Drawing…")
    if words:
        widgets.quiet(words)


ABOUT: dict[VoteAbout, str] = {"both": "All of it", "words": "Its words", "picture": "Its picture"}


def _votes(context: AppContext, conversation: Conversation, turn: ChatTurn) -> None:
    given = turn.vote.choice if turn.vote else ""
    with st.container(horizontal=True, key=f"votes-{turn.number}"):
        for choice, (label, icon) in CHOICES.items():
            kind: Any = "primary" if choice == given else "secondary"
            st.button(
                label,
                key=f"vote-{turn.number}-{choice}",
                icon=icon,
                type=kind,
                on_click=widgets.act,
                args=(feedback.vote, context, conversation.id, turn.number, choice),
            )
    if given in ("left", "right") and any(answer.picture_key for answer in turn.answers):
        _about(context, conversation, turn)


def _about(context: AppContext, conversation: Conversation, turn: ChatTurn) -> None:
    """What made it the better one: only words are learned from, so a vote on the picture alone must not teach them."""
    assert turn.vote is not None
    key = f"vote-about-{turn.number}"
    st.session_state[key] = turn.vote.about
    st.segmented_control(
        "What is better about it?",
        list(ABOUT),
        format_func=lambda one: ABOUT[one],
        key=key,
        required=True,
        on_change=_vote_about,
        args=(context, conversation, turn, key),
    )


def _vote_about(context: AppContext, conversation: Conversation, turn: ChatTurn, key: str) -> None:
    assert turn.vote is not None
    about = st.session_state[key] or "both"
    widgets.act(feedback.vote, context, conversation.id, turn.number, turn.vote.choice, about)


def picture(context: AppContext, key: str, alt: str, width: int) -> None:
    """A picture of the object store; quiet words where it is gone."""
    try:
        widgets.image(context.image(key), alt, width)
    except StoreError:
        widgets.quiet("(this picture is gone)")


@st.dialog("Show me how it should answer", width="medium")
def mend(context: AppContext, conversation: Conversation, row: CharacterRow, turn: ChatTurn, answer: ReplyView) -> None:
    """A better answer becomes an example conversation in the draft."""
    widgets.quiet(f"To: {turn.question.text}")
    names = _picture_names(row)
    with st.form("mend", border=False):
        st.text_area("A better answer", answer.text, height=160, key="mend-words")
        st.text_input("What its picture shows (may stay empty)", answer.scene, key="mend-scene")
        st.selectbox(
            "A picture of yours that fits (may stay empty)",
            ["", *names],
            format_func=lambda one: names.get(one, "none"),
            key="mend-image",
        )
        st.checkbox("Also keep what was said before", value=False, key="mend-before")
        if st.form_submit_button(
            "Keep it for the next training", type="primary", on_click=_keep, args=(context, conversation, turn, answer)
        ):
            st.rerun()


def _picture_names(row: CharacterRow) -> dict[str, str]:
    """File -> what a draft's picture is called here: its number and its caption."""
    captions = {str(entry.get("file")): entry for entry in row.draft.get("images", [])}
    names = {}
    for number, entry in enumerate(row.draft.get("pictures", []), start=1):
        varies = [str(captions.get(entry["file"], {}).get(key) or "") for key in CAPTION_FIELDS]
        names[str(entry["file"])] = ": ".join(filter(None, [f"Picture {number}", ", ".join(filter(None, varies))]))
    return names


def _keep(context: AppContext, conversation: Conversation, turn: ChatTurn, answer: ReplyView) -> None:
    given = st.session_state
    count = widgets.attempt(
        feedback.correct,
        context,
        conversation.id,
        turn.number,
        answer.side,
        given["mend-words"],
        given["mend-scene"],
        given["mend-image"] or "",
        given["mend-before"],
    )
    if isinstance(count, int):
        given["talk-kept"] = f"Kept. There are {count} example conversations now; the next training learns from them."


def reply_options(context: AppContext) -> ReplyOptions:
    """When pictures come, how many drawings each is chosen from and how strong the adapter is, as chosen."""
    state = st.session_state
    wanted = state.get("talk-best")
    several = compare.is_best_of_quick(context) if wanted is None else wanted
    return ReplyOptions(state.get("talk-wish") or "auto", BEST_OF if several else 1, state.get("talk-strength", 1.0))


def tools(context: AppContext, conversation: Conversation | None, again: bool) -> None:
    """Beside the input: answer again, and when and how pictures come. again: there is an answer to replace."""
    with st.container(horizontal=True, key="talk-tools"):
        if again and conversation is not None:
            _again(context, conversation)
        settings = st.popover("Pictures, strength and seed", icon=":material/tune:")
    with settings:
        st.segmented_control(
            "Pictures in the answers",
            list(IMAGE_MODES),
            default="auto",
            format_func=lambda one: IMAGE_MODES[one],
            key="talk-wish",
            required=True,
        )
        st.toggle(
            f"Best of {BEST_OF}: draw each picture {BEST_OF} times",
            value=compare.is_best_of_quick(context),
            key="talk-best",
            help="The one most like them and most like what was asked for is kept. Slow without a graphics card.",
        )
        widgets.strength_slider("talk-strength")
        fixed = st.toggle("Use a fixed seed", key="talk-fixed", help="Equal seeds give equal answers.")
        st.number_input("Seed", 0, SEEDS - 1, 0, disabled=not fixed, key="talk-seed")


def say_something(prompt: str, moving: bool, on_submit: Callable[..., None], *args: object) -> None:
    """The input at the bottom of the page. moving: an answer is being written; on_submit takes `args` and sends it.

    The second of `args` is the id of where it is said: words that could not be sent stand in the field there again.
    """
    place, words = st.session_state.get("unsaid", ("", ""))
    if place and place == args[1]:
        del st.session_state["unsaid"]
        st.session_state["say"] = words
    if why := st.session_state.pop("unsent", ""):
        st.error(widgets.escaped(why), icon=":material/error:")
    st.chat_input(
        "The answer is being written…" if moving else prompt,
        accept_file=True,
        file_type=["png", "jpg", "jpeg", "webp"],
        disabled=moving,
        key="say",
        on_submit=on_submit,
        args=args,
    )


def send_said(context: AppContext, conversation_id: str) -> None:
    """`send` for an input that wants no answer."""
    send(context, conversation_id)


def send(context: AppContext, conversation_id: str, place: str = "") -> bool:
    """Send the message; False where it cannot be sent: that is explained above the field, and it stands there again.

    place: where it is said, unless that is the conversation (`say_something`).
    """
    state = st.session_state
    message: Any = state["say"]
    attached = message.files[0].getvalue() if message.files else None
    seed = int(state.get("talk-seed") or 0) if state.get("talk-fixed") else None
    words = message.text or ""
    try:
        compare.send_message(context, conversation_id, words, attached, seed, reply_options(context))
    except CharacterProblems as refused:
        state["unsent"] = " ".join(f"{problem.message} {problem.mend}" for problem in refused.problems)
    except (NotPossible, RecordMissing, RecordsUnusable, StoreError) as error:
        state["unsent"] = str(error)
    else:
        return True
    if attached is not None:
        state["unsent"] += " Your picture has to be attached again."
    keep_unsaid(place or conversation_id)
    return False


def keep_unsaid(place: str) -> None:
    """The words that were just sent stand in the field again as soon as the page can be drawn.

    Not at once: with records that do not answer the page has no field now, and Streamlit forgets what stood there.
    """
    st.session_state["unsaid"] = (place, st.session_state["say"].text or "")
