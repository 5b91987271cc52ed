"""Step 3 of the wizard, how they talk: a style, and example conversations in an editor that looks like a chat.

`?talk=3` is the conversation that is open (counted from 1). Drawn by `create.py`; changes are made by
`actions/interactions.py`.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.character.system_prompt import budget_words
from studio import widgets
from studio.actions import create, drafts, images, interactions
from studio.actions.create import Summary
from studio.actions.drafts import Draft
from studio.actions.interactions import InteractionView, Learned, TurnView
from studio.app_pages.create_fields import text_field, typed_field, writing_at
from studio.app_pages.create_import import import_interactions
from studio.context import AppContext
from studio.labels import counted

LISTED = ("interactions", "input_images")
"""Fields whose problems stand in the editor and beside it."""
SIGNS = {"error": " (to mend)", "warning": " (could be better)", "": ""}


def draw(context: AppContext, id: str, draft: Draft, checked: Summary) -> None:
    """The step as a whole."""
    left, right = st.columns([1.9, 1], gap="large")
    with left:
        text_field(context, id, draft, "style", "Short sentences, dry jokes, calls everybody “tall one”.", 80)
        with widgets.slot():
            if draft.get("name") or draft.get("persona"):  # an empty form shows no problems
                beside = create.problems_beside(draft, 3, checked)
                widgets.problems(item for item in beside if not item.field.startswith(LISTED))
        views = interactions.interaction_views(draft, writing_at(draft))
        editor(context, id, draft, views)
    with right:
        learned(interactions.learned(draft), draft)
        conversations_to_mend(views)
        import_interactions(context, id, draft)


# ---------------------------------------------------------------- the editor


def editor(context: AppContext, id: str, draft: Draft, views: list[InteractionView]) -> None:
    """The list of conversations, and the one that is open."""
    number = widgets.number_param("talk", 1, max(1, len(views))) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if views:
            st.session_state["talk"] = number
            st.selectbox(
                "Conversation",
                range(len(views)),
                key="talk",
                on_change=open_chosen,
                format_func=lambda place: f"{place + 1}. {views[place].opening}{SIGNS[views[place].worst]}",
            )
        st.button(
            "New conversation",
            key="new-talk",
            icon=":material/add_comment:",
            on_click=begin,
            args=(context, id),
            type="secondary" if views else "primary",
        )
    few = interactions.how_many_more(draft)
    with widgets.slot():
        if few:
            widgets.quiet(widgets.sentence(few))
    if not views:
        st.info("Write the first one: what somebody says to them, and what they answer.", icon=":material/forum:")
        return
    view = views[number]
    face = images.portrait(context, draft)
    with st.container(border=True, key=f"talk-{view.ids[0] if view.ids else number}"):
        with widgets.slot():
            widgets.problems(view.problems)
        for place, turn in enumerate(view.turns):
            draw_turn(context, id, draft, view, place, turn, face)
        with st.container(horizontal=True):
            last = view.turns[-1].speaker if view.turns else "character"
            for speaker, label in (("user", "Somebody says"), ("character", f"{who(draft)} answers")):
                st.button(
                    widgets.escaped(label),
                    key=f"add-{speaker}",
                    icon=":material/add:",
                    type="primary" if speaker != last else "secondary",
                    on_click=widgets.act,
                    args=(interactions.add_turn, context, id, view.ids, speaker),
                )
    _list_buttons(context, id, view, len(views))


def _list_buttons(context: AppContext, id: str, view: InteractionView, count: int) -> None:
    """Move the open conversation in the list, or delete it."""
    with st.container(horizontal=True):
        st.button(
            "Earlier",
            icon=":material/arrow_upward:",
            disabled=view.number == 0,
            on_click=move,
            args=(context, id, view.ids, -1),
            help="Move this conversation up in the list",
            type="tertiary",
        )
        st.button(
            "Later",
            icon=":material/arrow_downward:",
            disabled=view.number == count - 1,
            on_click=move,
            args=(context, id, view.ids, 1),
            help="Move this conversation down in the list",
            type="tertiary",
        )
        st.button(
            "Delete this conversation",
            icon=":material/delete:",
            type="tertiary",
            key="delete-talk",
            on_click=widgets.act,
            args=(interactions.remove_interaction, context, id, view.ids),
        )


def who(draft: Draft) -> str:
    """What the character is called here."""
    return str(draft.get("name") or "").strip() or "The character"


def open_chosen() -> None:
    """Put the chosen conversation into the address."""
    st.query_params["talk"] = str(st.session_state.talk + 1)


def begin(context: AppContext, id: str) -> None:
    """A new conversation with an empty line of each."""
    number = widgets.attempt(interactions.add_interaction, context, id, [{"user": ""}, {"character": ""}])
    if isinstance(number, int):
        st.query_params["talk"] = str(number + 1)


def move(context: AppContext, id: str, turns: tuple[str, ...], by: int) -> None:
    """Move the open conversation and stay with it."""
    place = widgets.attempt(interactions.move_interaction, context, id, turns, by)
    if isinstance(place, int):
        st.query_params["talk"] = str(place + 1)


def draw_turn(
    context: AppContext, id: str, draft: Draft, view: InteractionView, place: int, turn: TurnView, face: bytes | None
) -> None:
    """One bubble: its words, its picture, and what can be done with it."""
    said = turn.speaker == "character"
    speaker = who(draft) if said else turn.name or "Somebody"
    avatar = images.face(face) if said and face else ":material/person:" if not said else ":material/theater_comedy:"
    mark = f"{id}-{turn.id}"
    with st.container(key=f"turn-{mark}"), st.chat_message("assistant" if said else "user", avatar=avatar):
        typed_field(
            context,
            draft,
            f"words-{mark}",
            f"{widgets.escaped(speaker)} says, turn {place + 1}",
            f"What {'they answer' if said else 'somebody says to them'}",
            "content",
            label_visibility="collapsed",
        )
        if turn.name:
            widgets.quiet(f"{turn.name} says this.")
        turn_image(context, draft, turn, mark)
        for problem in turn.problems:
            colour = "red" if problem.severity == "error" else "orange"
            sign = "error" if problem.severity == "error" else "lightbulb"
            text = widgets.escaped(f"{problem.message} {problem.mend}")
            st.markdown(f":{colour}[:material/{sign}:] {text}")
        with st.container(horizontal=True, gap="xsmall", key=f"tools-{mark}"):
            image_choice(context, id, draft, turn, mark)
            turn_tools(context, id, view, place, turn, mark)


def turn_tools(context: AppContext, id: str, view: InteractionView, place: int, turn: TurnView, mark: str) -> None:
    """Move a turn, give it to the other speaker, take it out."""
    for label, icon, action, args, off in (
        ("Up", "arrow_upward", interactions.move_turn, (-1,), place == 0),
        ("Down", "arrow_downward", interactions.move_turn, (1,), place == len(view.turns) - 1),
        ("Swap", "swap_horiz", interactions.switch_speaker, (), False),
        ("Remove", "close", interactions.remove_turn, (), False),
    ):
        st.button(
            label,
            key=f"{label}-{mark}",
            icon=f":material/{icon}:",
            type="tertiary",
            disabled=off,
            on_click=widgets.act,
            args=(action, context, id, turn.id, *args),
        )


def turn_image(context: AppContext, draft: Draft, turn: TurnView, mark: str) -> None:
    """The picture of a turn with its scene line."""
    views = images.image_views(context, draft)
    thumb = next((view.thumb for view in views if view.file == turn.image), None)
    if thumb is None and turn.image in draft.get("input_pictures", {}):
        thumb = context.image(draft["input_pictures"][turn.image])
    if thumb is not None:
        widgets.image(thumb, turn.scene or "The picture of this turn", width=140)
    if turn.speaker == "character" and (turn.image or turn.scene):
        typed_field(context, draft, f"scene-{mark}", "What the picture shows")


def image_choice(context: AppContext, id: str, draft: Draft, turn: TurnView, mark: str) -> None:
    """The way to show one of the pictures with a turn."""
    views = images.image_views(context, draft)
    if not views:
        return
    with st.popover("Picture", icon=":material/image:", key=f"picture-{mark}", type="tertiary"):
        names = {view.file: f"{view.file.partition('.')[0]}  {view.caption.description}" for view in views}
        key = f"choose-{mark}"
        st.session_state[key] = turn.image if turn.image in names else ""  # another tab may have chosen
        st.selectbox(
            "Show with this turn",
            ["", *names],
            key=key,
            format_func=lambda file: names.get(file, "No picture"),
            on_change=choose,
            args=(context, id, turn, key),
        )
        widgets.quiet("They learn when to show themselves, and what the picture then holds.")


def choose(context: AppContext, id: str, turn: TurnView, key: str) -> None:
    """Attach a picture; a reply gets the scene line that fits it."""
    image = st.session_state[key]
    draws = bool(image) and turn.speaker == "character"
    scene = interactions.scene_for(drafts.own_character(context, id).draft, image) if draws else ""
    widgets.attempt(interactions.set_image, context, id, turn.id, image, scene)


# ---------------------------------------------------------------- what comes of it


def learned(what: Learned, draft: Draft) -> None:
    """What is learned and what is only told."""
    with st.container(border=True, gap="small"):
        st.markdown("**Learned** :material/psychology:")
        widgets.quiet(
            widgets.sentence(
                f"{counted(what.replies, 'answer')}, about {what.reply_tokens:,} tokens, "
                f"{counted(what.facts, 'fact')} and {counted(what.pictures, 'picture')} with captions"
            )
        )
        st.markdown("**Told each time, not learned** :material/campaign:")
        widgets.quiet(
            f"Who they are, how they speak and look, and the scene: {budget_words(what.prompt_tokens)}. "
            "What others say to them is read, never imitated."
        )
        if what.test.conversations or what.test.questions or what.test.images:
            st.markdown("**Kept for the test** :material/fact_check:")
            widgets.quiet(f"{widgets.sentence(what.test.words)} Step 4 shows them, and lets you choose others.")
        if draft.get("greeting"):
            widgets.quiet("The greeting only opens a chat.")


def conversations_to_mend(views: list[InteractionView]) -> None:
    """Which conversations want another look."""
    for worst, words, colour in (("error", "must be mended", "red"), ("warning", "could be better", "orange")):
        places = [view.number for view in views if view.worst == worst]
        if not places:
            continue
        with st.container(border=True, gap="xsmall"):
            st.markdown(f":{colour}[●] **{counted(len(places), 'conversation')} {words}**")
            with st.container(horizontal=True, gap="xsmall"):
                for number in places[:12]:
                    st.button(
                        str(number + 1),
                        key=f"slip-{number}",
                        on_click=open_talk,
                        args=(number,),
                        help=widgets.escaped(views[number].opening),
                    )
            if len(places) > 12:
                widgets.quiet(f"and {len(places) - 12} more")


def open_talk(number: int) -> None:
    """Open a conversation by its place."""
    st.query_params["talk"] = str(number + 1)
