"""The gallery: all characters, the three that come with the project, and files of other programs to begin with.

`?character=ID` shows one of them: its state, its versions, and the way to delete everything of it.
"""

from __future__ import annotations

import html
import io

import streamlit as st

from pipelines.core.character.amounts import GOOD_IMAGES, GOOD_INTERACTIONS, MIN_IMAGES
from pipelines.core.jobs.job import ENDED
from studio import held_uploads, widgets
from studio.actions import characters, drafts, images, import_review
from studio.actions.characters import Tile
from studio.app_pages import review
from studio.context import AppContext
from studio.labels import ago, counted

PER_PAGE = 24


def page() -> None:
    """The gallery, or one character."""
    context = widgets.app_context()
    if widgets.param("import"):
        review.page(context, widgets.param("import"))
        return
    widgets.show_problems()
    id = widgets.param("character")
    if id:
        one(context, id)
    else:
        all_of_them(context)


# ---------------------------------------------------------------- the gallery


def all_of_them(context: AppContext) -> None:
    """Tiles of the owner's characters, then ways to make a new one."""
    number = widgets.number_param("page", 1, 10_000)
    search = widgets.param("find")
    tiles, count = characters.gallery(context, search, (number - 1) * PER_PAGE, PER_PAGE)
    if not count and not search:
        widgets.title("Understudy", "Teach a model to play a character: how they talk, what they look like.")
        first_steps()
        examples(context)
        begin(context)
        return
    widgets.title("Characters", "Everybody you are working on. Open one to edit, train or talk with it.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("New character", type="primary", icon=":material/add:"):
            widgets.go(widgets.CREATE, character=drafts.create(context), step=1)
        if count > 8 or search:
            st.text_input(
                "Find",
                value=search,
                key="find",
                on_change=find,
                placeholder="Find by name",
                label_visibility="collapsed",
                icon=":material/search:",
                width=240,
            )
    if not tiles:
        st.info("No character has that in its name.", icon=":material/search_off:")
    with st.container(key="grid-gallery"):
        for tile in tiles:
            draw_tile(tile)
    pager(number, count)
    st.space("small")
    with st.expander("Begin with a file, or try an example", icon=":material/upload_file:"):
        begin(context)
        examples(context)


def find() -> None:
    """Put the search into the address."""
    st.query_params.pop("page", None)
    if st.session_state.find:
        st.query_params["find"] = st.session_state.find
    else:
        st.query_params.pop("find", None)


def first_steps() -> None:
    """What happens here, in three short lines."""
    steps = (
        ("1", "Show", f"About {GOOD_IMAGES} pictures of one character, {MIN_IMAGES} at least."),
        ("2", "Tell", f"Who they are, and how they talk: about {GOOD_INTERACTIONS} short conversations, one at least."),
        ("3", "Train and talk", "Minutes later they answer, and draw themselves."),
    )
    tiles = "".join(
        f"<li><b>{number}</b><div><strong>{head}</strong><br>{text}</div></li>" for number, head, text in steps
    )
    st.html(f'<ol class="u-steps">{tiles}</ol>')


def draw_tile(tile: Tile) -> None:
    """One character: portrait, name, state, score, and the way in."""
    with st.container(border=True, key=f"tile-{tile.id}", gap="small"):
        widgets.image(tile.portrait, f"Portrait of {tile.name}")
        st.html(f'<p class="u-name">{html.escape(tile.name)}</p>')
        state(tile)
        label = f"Open {widgets.escaped(tile.name)}"
        if st.button("Open", key=f"open-{tile.id}", help=label, width="stretch"):
            widgets.go(widgets.CHARACTERS, character=tile.id)


def state(tile: Tile) -> None:
    """The status of a character as a badge, and its latest score."""
    with st.container(horizontal=True, gap="xsmall"):
        if tile.job is None:
            st.badge("Draft" if not tile.version else "Ready", icon=":material/edit:", color="gray")
        else:
            widgets.status_badge(tile.job, tile.shortfall)
        if tile.score is not None:
            st.badge(
                f"{100 * tile.score:.0f} of 100 overall",
                icon=":material/star:",
                color="violet",
                help="All plain scores of the best saved state together",
            )


def pager(number: int, count: int) -> None:
    """Buttons to the other pages of the gallery."""
    pages = -(-count // PER_PAGE)
    if pages < 2:
        return
    with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
        if st.button("Back", icon=":material/chevron_left:", disabled=number <= 1):
            st.query_params["page"] = str(number - 1)
            st.rerun()
        widgets.quiet(f"Page {number} of {pages}, {counted(count, 'character')}")
        if st.button("More", icon=":material/chevron_right:", disabled=number >= pages):
            st.query_params["page"] = str(number + 1)
            st.rerun()


def examples(context: AppContext) -> None:
    """The characters that come with the project."""
    st.subheader("Try one of these", anchor=False)
    widgets.quiet("Pictures, facts and conversations are there already; you only press Train.")
    with st.container(key="grid-examples"):
        for example in characters.bundled():
            with st.container(border=True, key=f"tile-{example.slug}", gap="small"):
                widgets.image(example.portrait, f"Portrait of {example.name}")
                st.html(f'<p class="u-name">{html.escape(example.name)}</p>')
                widgets.quiet(example.about)
                if st.button(f"Try {example.name}", key=f"try-{example.slug}", width="stretch"):
                    widgets.go(widgets.CREATE, character=characters.try_bundled(context, example.slug), step=4)


def begin(context: AppContext) -> None:
    """A new character, empty or from a file."""
    st.subheader("Begin your own", anchor=False)
    left, right = st.columns([1, 2], gap="medium")
    with left.container(border=True, height="stretch"):
        st.markdown("**From pictures**")
        widgets.quiet("The usual way: drop in your pictures, then tell who it is.")
        if st.button("Start with pictures", icon=":material/add_photo_alternate:", key="start-pictures"):
            widgets.go(widgets.CREATE, character=drafts.create(context), step=1)
    with right.container(border=True, height="stretch"):
        st.markdown("**From a file**")
        widgets.quiet(
            "A Character Card (PNG, JSON or CHARX), a character of Backyard or Character.AI, or the zip of a "
            "character folder or of pictures."
        )
        round = st.session_state.setdefault("import-round", 0)
        st.file_uploader(
            "Character Card or zip",
            type=["png", "json", "charx", "byaf", "zip", "webp", "jpg", "yaml", "yml"],
            key=f"import-{round}",
            max_upload_size=import_review.MAX_IMPORT_BYTES >> 20,
            label_visibility="collapsed",
            on_change=take,
            args=(context, round),
        )


def take(context: AppContext, round: int) -> None:
    """Read the upload, and empty the uploader so that it is not taken twice.

    A callback, since the next request cuts the rest of a run short: what was read would be lost without a word.
    """
    upload = st.session_state.get(f"import-{round}")
    dropped = widgets.new_uploads([upload] if upload else [])
    if not dropped:
        return
    files, refused = held_uploads.take(dropped)
    st.session_state["import-round"] = round + 1
    widgets.remember_problems(refused)
    for name, data in files:
        with st.spinner("Reading the file"):
            review.show(widgets.attempt(import_review.stage_character, context, name, io.BytesIO(data)))


# ---------------------------------------------------------------- one character


def one(context: AppContext, id: str) -> None:
    """A character's own page."""
    row = drafts.own_character(context, id)
    if st.button("All characters", icon=":material/arrow_back:", type="tertiary"):
        widgets.go(widgets.CHARACTERS)
    left, right = st.columns([1, 2.2], gap="large")
    with left.container(key="tile-portrait"):
        widgets.image(images.portrait(context, row.draft), f"Portrait of {row.name}")
    versions = characters.versions(context, id)
    latest = next((job for version in versions for job in version.jobs), None)
    with right:
        st.html(f'<h1 class="u-h1">{html.escape(row.name or "A character without a name")}</h1>')
        st.html(f'<p class="u-about">{html.escape(characters.beginning(str(row.draft.get("persona", "")), 420))}</p>')
        widgets.chips(
            [
                counted(len(row.draft.get("pictures", ())), "picture"),
                counted(len(drafts.entries_of(row.draft).get("facts", ())), "fact"),
                counted(len(row.draft.get("interactions", ())), "conversation"),
                f"edited {ago(row.changed)}",
            ]
        )
        st.space("small")
        is_over = latest is not None and latest.status in ENDED
        with st.container(horizontal=True):
            if is_over and st.button("Chat", icon=":material/chat:", type="primary"):
                widgets.go(widgets.CHAT, character=id)
            if is_over and st.button("Talk and compare", icon=":material/compare:"):
                widgets.go(widgets.COMPARE, character=id)
            if latest and st.button(
                "See the training", icon=":material/school:", type="secondary" if is_over else "primary"
            ):
                widgets.go(widgets.TRAINING, job=latest.id)
            if st.button("Edit", icon=":material/edit:", type="secondary" if latest else "primary"):
                widgets.go(widgets.CREATE, character=id, step=1)
            if st.button("Train again" if latest else "Train", icon=":material/model_training:"):
                widgets.go(widgets.CREATE, character=id, step=4)
            if st.button("Delete", icon=":material/delete:", type="tertiary"):
                ask_before_deleting(context, id)
    shown = images.image_views(context, row.draft)
    if len(shown) > 1:
        with st.container(key="strip-pictures", horizontal=True, gap="xsmall"):
            for view in shown:
                widgets.image(view.thumb, view.caption.description or f"Picture {view.file}", 92)
    history(context, id, versions)


def history(context: AppContext, id: str, versions: list[characters.VersionView]) -> None:
    """The published versions and what was trained on them."""
    st.subheader("Versions", anchor=False)
    if not versions:
        widgets.quiet("None yet. A version is made when you train, so that later edits do not reach into a run.")
        return
    for version in versions:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Version {version.number}**", width=110)
            widgets.quiet(f"{version.contents} · {ago(version.created)}")
            for job, shortfall in list(zip(version.jobs, version.shortfalls, strict=True))[:3]:
                widgets.status_badge(job, shortfall)
                if st.button("Training", key=f"job-{job.id}", icon=":material/school:", type="tertiary"):
                    widgets.go(widgets.TRAINING, job=job.id)
            if st.button("Edit from here", key=f"back-{version.number}", icon=":material/history:", type="tertiary"):
                ask_before_going_back(context, id, version.number)


@st.dialog("Go back to this version?")
def ask_before_going_back(context: AppContext, id: str, number: int) -> None:
    """The question before a draft is replaced."""
    st.write(f"Your draft becomes version {number} again. What you changed since the last training is lost.")
    with st.container(horizontal=True):
        if st.button(
            "Go back to it",
            type="primary",
            on_click=widgets.act,
            args=(characters.restore_version, context, id, number),
        ):
            widgets.go(widgets.CREATE, character=id, step=1)
        if st.button("Keep my draft"):
            st.rerun()


@st.dialog("Delete everything?")
def ask_before_deleting(context: AppContext, id: str) -> None:
    """The question before a character and all of it is deleted."""
    if widgets.param("character") != id:
        st.rerun()  # it was deleted just now
    summary = characters.deletion_summary(context, id)
    st.write(f"This deletes **{widgets.escaped(summary.name or 'this character')}** for good:")
    st.markdown("\n".join(f"- {line}" for line in summary.lines if not line.startswith("no ")))
    if summary.is_training:
        st.warning("It is being trained just now; that stops too.", icon=":material/warning:")
    st.write("There is no way back. Download what you may want again first.")
    widgets.quiet(
        "Nothing of it is shown or used from then on; its files leave the disk with the daily cleaning, "
        "within three days."
    )
    with st.container(horizontal=True):
        st.button(
            "Delete everything", type="primary", icon=":material/delete_forever:", on_click=delete, args=(context, id)
        )
        if st.button("Keep it"):
            st.rerun()


def delete(context: AppContext, id: str) -> None:
    """Delete it, and leave for the gallery."""
    widgets.attempt(characters.delete, context, id)
    st.query_params.pop("character", None)


if __name__ == "__main__":
    page()
