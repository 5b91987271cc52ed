"""The page on which every import ends: what it brings, what was changed, what was left out and why.

Drawn by the gallery and the wizard in place of themselves while `?import=ID` stands in their address; nothing is saved
before "Take it in" (`actions/import_review.py`). `show` puts an upload's id there.
"""

from __future__ import annotations

import html

import streamlit as st

from pipelines.core.character.character import Interaction
from pipelines.core.formats.import_notes import shown_role
from pipelines.core.problems import Problem
from studio import widgets
from studio.actions import drawings, import_review, typed
from studio.actions.import_review import Group, StagedPicture, StagedUpload
from studio.context import AppContext
from studio.labels import counted

SHOWN_TALKS, MORE_TALKS = 5, 20
"""Conversations that are shown at first, and that a press of the button adds: each is a part of the page."""
SHOWN_TURNS, SHOWN_NOTES = 60, 60
"""Turns of a conversation, and notes of a group, that are shown; the others are counted. A file may have ten thousand,
and a page of as many parts stands still for half a minute."""
GROUPS: dict[Group, tuple[str, str, str]] = {
    "left out": ("Left out", ":material/block:", "This is not taken in."),
    "changed": ("Changed on the way", ":material/build:", "This is taken in, but not as it stood in the file."),
    "kept": ("Kept, but not learned", ":material/inventory_2:", "This goes along and out again with an export."),
    "missing": ("Still missing for a training", ":material/add_circle:", "You can add it in the next steps."),
}


def show(staged: object) -> None:
    """Put an upload that was read into the address, so that this page is drawn; anything else was refused."""
    if isinstance(staged, StagedUpload):
        st.query_params["import"] = staged.id


def page(context: AppContext, id: str) -> None:
    """One upload, and the choice whether to take it in."""
    staged = import_review.get(context, id)
    if staged is None:
        widgets.nothing_here("this upload was taken in or cancelled already; drop the file in again if you want it")
        return
    widgets.title("Look it over", f"From {staged.name}. Nothing of it is saved yet.")
    widgets.show_problems()
    if staged.roles:
        choose_role(context, staged)
    if staged.readings:
        choose_reading(context, staged)
    if staged.save is not None:
        widgets.chips([*staged.contents.counts, *_counts_of_notes(staged)])
    buttons(context, staged)
    if staged.save is None:
        return
    left, right = st.columns(2, gap="medium")  # side by side, so that what is lost is seen beside what is won
    with left:
        brings(staged)
    with right:
        for group, (title, icon, about) in GROUPS.items():
            notes(title, icon, about, staged.notes.get(group, ()), staged.contents.pictures)
        if not any(staged.notes.values()):
            widgets.quiet("All of it is taken in as it stood in the file.")


def _counts_of_notes(staged: StagedUpload) -> list[str]:
    """How much there is to look at, for those who do not scroll."""
    groups: tuple[Group, ...] = ("left out", "changed")
    return [f"{len(staged.notes[group])} {group}" for group in groups if staged.notes.get(group)]


def choose_role(context: AppContext, staged: StagedUpload) -> None:
    """Which one of several characters is meant."""
    st.selectbox(
        "The file holds several characters. Which one do you want?",
        list(staged.roles),
        index=None,
        key=f"role-{staged.id}",
        format_func=lambda name: shown_role(name, staged.roles),
        placeholder="Choose one",
        on_change=take_role,
        args=(context, staged.id),
    )


def take_role(context: AppContext, id: str) -> None:
    """Read the one that was chosen."""
    role = st.session_state.get(f"role-{id}")
    if role:
        widgets.attempt(import_review.choose_role, context, id, role)


def choose_reading(context: AppContext, staged: StagedUpload) -> None:
    """Whether empty lines between exchanges are the ends of conversations."""
    key = f"reading-{staged.id}"
    st.session_state[key] = staged.reading  # also when the choice could not be followed
    st.radio(
        "Empty lines stand between the exchanges. What is it?",
        range(len(staged.readings)),
        key=key,
        format_func=staged.readings.__getitem__,
        on_change=take_reading,
        args=(context, staged.id),
    )


def take_reading(context: AppContext, id: str) -> None:
    """Take it as it was chosen."""
    widgets.attempt(import_review.choose_reading, context, id, st.session_state[f"reading-{id}"])


def buttons(context: AppContext, staged: StagedUpload) -> None:
    """Take it in, or cancel."""
    with st.container(horizontal=True):
        if staged.save is not None and widgets.pressed(
            "Take it in", key="take-import", type="primary", icon=":material/check:"
        ):
            take(context, staged)
        if widgets.pressed("Cancel", key="cancel-import", icon=":material/close:"):
            import_review.discard(context, staged.id)
            leave()


def take(context: AppContext, staged: StagedUpload) -> None:
    """Save it; a new character is opened, a known one's step is drawn again."""
    id = widgets.attempt(import_review.take, context, staged.id)
    if not isinstance(id, str):
        st.rerun()
    if staged.pasted:
        typed.use_up(context, f"text-{id}-pasted", staged.pasted, widgets.tab())
    if staged.character and staged.contents.pictures:
        widgets.attempt(drawings.draw_after_upload, context, id)
    st.toast(f"{staged.name}: taken in", icon=":material/check:")
    if not staged.character:
        widgets.go(widgets.CREATE, character=id, step=1)
    leave()


def leave() -> None:
    """Back to the page that the upload came from."""
    st.query_params.pop("import", None)
    st.rerun()


# ---------------------------------------------------------------- what comes in


def brings(staged: StagedUpload) -> None:
    """Pictures, texts and conversations as they would be taken in."""
    contents = staged.contents
    with st.container(border=True, key="review-brings"):
        st.subheader("What comes in", anchor=False)
        if contents.pictures:
            with st.container(key="review-pictures", horizontal=True, gap="small"):
                for one in contents.pictures:
                    picture(one)
            if contents.more_pictures:
                widgets.quiet(f"And {counted(contents.more_pictures, 'more picture', 'more pictures')}.")
        for title, words in contents.texts:
            st.html(f'<p class="u-quiet">{html.escape(title)}</p><div class="u-told">{html.escape(words)}</div>')
        talks(staged.id, contents.talks)


def picture(one: StagedPicture) -> None:
    """A picture with its name and caption."""
    with st.container(width=132, gap="xxsmall"):
        widgets.image(one.thumb, one.caption or one.name, width=120)
        widgets.quiet(one.caption or one.name)


def talks(id: str, found: tuple[Interaction, ...]) -> None:
    """The conversations, folded away; not all of many at once."""
    key = f"talks-shown-{id}"
    shown = st.session_state.get(key, SHOWN_TALKS)
    for number, talk in enumerate(found[:shown], start=1):
        opening = next((turn.text for turn in talk if turn.text), "")
        label = f"Conversation {number}: {' '.join(opening.split())[:60]}"
        with st.expander(widgets.escaped(label), key=f"talk-{id}-{number}"):
            for turn in talk[:SHOWN_TURNS]:
                who = "They answer" if turn.role == "character" else turn.speaker or "Somebody says"
                st.html(
                    f'<p class="u-quiet">{html.escape(who)}</p>'
                    f'<div class="u-told">{html.escape(turn.text or "(shows a picture)")}</div>'
                )
            if len(talk) > SHOWN_TURNS:
                widgets.quiet(f"And {counted(len(talk) - SHOWN_TURNS, 'more turn', 'more turns')}.")
    left = len(found) - shown
    if left > 0:
        more = f"Show {counted(min(left, MORE_TALKS), 'more conversation', 'more conversations')}"
        st.button(
            f"{more} of {left}" if left > MORE_TALKS else more,
            key="more-talks",
            icon=":material/expand_more:",
            on_click=lambda: st.session_state.update({key: shown + MORE_TALKS}),
        )


# ---------------------------------------------------------------- what was done to it


def _told(item: Problem) -> str:
    """A note as people say it: how often only where it was not once."""
    often = "" if item.count == 1 else f", {item.count:,} times"
    return widgets.sentence(item.message.removesuffix(".") + often)


def notes(title: str, icon: str, about: str, found: tuple[Problem, ...], pictures: tuple[StagedPicture, ...]) -> None:
    """One group of notes, each with the lines or pictures that it is about."""
    if not found:
        return
    with st.container(border=True, gap="small"):
        st.subheader(f"{icon} {title}", anchor=False)
        widgets.quiet(about)
        for item in found[:SHOWN_NOTES]:
            st.markdown(f"**{widgets.escaped(_told(item))}** {widgets.escaped(item.mend)}")
            for line in item.examples:
                st.html(f'<blockquote class="u-line">{html.escape(line)}</blockquote>')
            meant = [one for one in pictures if one.name in item.files]
            if meant:
                with st.container(horizontal=True, gap="small"):
                    for one in meant[:3]:
                        picture(one)
        if len(found) > SHOWN_NOTES:
            widgets.quiet(f"And {len(found) - SHOWN_NOTES:,} more of this kind.")
