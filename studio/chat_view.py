"""The chat of the compare page: two replies to every message, votes, and "show me how it should answer".

In a blind comparison the names stay hidden turn by turn until there is a vote on the turn. While its answers are
written, the last turn is a fragment that looks again twice a second; dialogs only open from turns that are done.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pipelines.core.jobs.job import CharacterRow, Conversation, RecordMissing, RecordsUnusable, VoteChoice
from pipelines.core.jobs.reply_protocol import BEST_OF
from pipelines.core.problems import CharacterProblems
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import compare, feedback
from studio.actions.compare import SEEDS, ChatTurn, ImageMode, NotPossible, ReplyView
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
    told = compare.turns(context, conversation)
    widgets.show_problems()
    if kept := st.session_state.pop("talk-kept", ""):
        st.success(kept, icon=":material/school:")
    _head(context, conversation)
    greeting = str(row.draft.get("greeting", "")).strip()
    if greeting:
        with st.chat_message("assistant", avatar=":material/theater_comedy:"):
            st.write(widgets.escaped(greeting))
    for turn in told:
        with st.container(key=f"turn-{turn.number}"):
            _said(context, turn)
            if turn.state in ("waiting", "running"):
                st.fragment(_written, run_every=POLL_S)(context, conversation, row, turn.number)
            else:
                _answers(context, conversation, row, turn)
    moving = bool(told) and told[-1].state in ("waiting", "running")
    _say(context, conversation, moving, bool(told) and not moving)


def _head(context: AppContext, conversation: Conversation) -> None:
    words, way = st.columns([4, 1], vertical_alignment="center")
    with words:
        if conversation.blind:
            widgets.quiet("Blind: the names are hidden until you vote, and the sides change from turn to turn.")
        else:
            left, right = compare.label_of(context, conversation.left), compare.label_of(context, conversation.right)
            widgets.quiet(f"Left: {left}. Right: {right}.")
    with way:
        if st.button("New conversation", icon=":material/add_comment:", width="stretch"):
            widgets.go(widgets.COMPARE, character=conversation.character)


def _said(context: AppContext, turn: ChatTurn) -> None:
    with st.chat_message("user", avatar=":material/person:"):
        if turn.question.picture_key:
            _picture(context, turn.question.picture_key, "The picture that you attached", 200)
        st.write(widgets.escaped(turn.question.text))


def _written(context: AppContext, conversation: Conversation, row: CharacterRow, number: int) -> None:
    """A turn while it is answered; once its answers are there, the page is drawn anew."""
    turn = next((turn for turn in compare.turns(context, conversation) if turn.number == number), None)
    if turn is None or turn.state not in ("waiting", "running"):
        st.rerun()
    _answers(context, conversation, row, turn)


def _again(context: AppContext, conversation: Conversation) -> None:
    st.button(
        "Answer again",
        icon=":material/refresh:",
        help="The same message with another seed",
        on_click=widgets.act,
        args=(compare.regenerate, context, conversation.id, None, _image_mode(), _best_of(context)),
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
        name = f"{name}: {compare.label_of(context, answer.ref)}"
    st.markdown(f"**{widgets.escaped(name)}**")
    if answer.text:
        st.write(widgets.escaped(answer.text))
    elif turn.state == "waiting":
        widgets.quiet("Waiting for a worker…")
    elif turn.state == "running" and not answer.done:
        widgets.quiet("Thinking…")
    if answer.picture_key:
        _picture(context, answer.picture_key, answer.scene or f"Picture of {row.name}", PICTURE_PX)
    elif answer.scene and not answer.done:
        widgets.quiet("Drawing…")
    if answer.scene:
        widgets.quiet(answer.scene)
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
        _mend(context, conversation, row, turn, answer)


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


def _picture(context: AppContext, key: str, alt: str, width: int) -> None:
    try:
        widgets.image(context.image(key), alt, width)
    except StoreError:
        widgets.quiet("(this picture is gone)")


@st.dialog("Show me how it should answer", width="medium")
def _mend(
    context: AppContext, conversation: Conversation, row: CharacterRow, turn: ChatTurn, answer: ReplyView
) -> None:
    widgets.quiet(f"To: {turn.question.text}")
    files = ["", *(str(item["file"]) for item in row.draft.get("pictures", []) if item.get("file"))]
    with st.form("mend", border=False):
        st.text_area("A better answer", answer.text, height=160, key="mend-words")
        st.text_input("What its picture shows (may stay empty)", answer.scene, key="mend-scene")
        st.selectbox(
            "A picture of yours that fits (may stay empty)",
            files,
            format_func=lambda one: one or "none",
            key="mend-image",
        )
        st.checkbox("Also keep what was said before", value=False, key="mend-before")
        if st.form_submit_button(
            "Keep it for the next training", type="primary", on_click=_keep, args=(context, conversation, turn, answer)
        ):
            st.rerun()


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


def _image_mode() -> ImageMode:
    chosen: ImageMode = st.session_state.get("talk-wish") or "auto"
    return chosen


def _best_of(context: AppContext) -> int:
    wanted = st.session_state.get("talk-best")
    return BEST_OF if (compare.is_best_of_quick(context) if wanted is None else wanted) else 1


def _say(context: AppContext, conversation: Conversation, moving: bool, again: bool) -> None:
    with st.container(horizontal=True, key="talk-tools"):
        if again:
            _again(context, conversation)
        settings = st.popover("Pictures and seed", icon=":material/tune:")
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
        fixed = st.toggle(
            "Use a fixed seed", key="talk-fixed", help="Equal seeds give equal answers; both sides always share one."
        )
        st.number_input("Seed", 0, SEEDS - 1, 0, disabled=not fixed, key="talk-seed")
    if why := st.session_state.pop("unsent", ""):
        st.error(widgets.escaped(why), icon=":material/error:")
    st.chat_input(
        "The answers are being written…" if moving else "Say something to both",
        accept_file=True,
        file_type=["png", "jpg", "jpeg", "webp"],
        disabled=moving,
        key="say",
        on_submit=_send,
        args=(context, conversation.id),
    )


def _send(context: AppContext, conversation_id: str) -> None:
    """Send the message; what cannot be sent is explained above the field, and stands in it again."""
    state = st.session_state
    said: Any = state["say"]
    picture = said.files[0].getvalue() if said.files else None
    seed = int(state["talk-seed"]) if state["talk-fixed"] else None
    words = said.text or ""
    try:
        compare.send_message(context, conversation_id, words, picture, _image_mode(), seed, _best_of(context))
    except CharacterProblems as refused:
        state["unsent"] = " ".join(f"{problem.message} {problem.mend}" for problem in refused.problems)
    except (NotPossible, RecordMissing, RecordsUnusable, StoreError) as error:
        state["unsent"] = str(error)
    if "unsent" in state:
        state["say"] = words
        if picture is not None:
            state["unsent"] += " Your picture has to be attached again."
