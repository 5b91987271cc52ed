"""Step 1 of the wizard, pictures: upload them, see the problems of each, mend them by a click, caption them.

Drawn by `create.py`; what happens is in `actions/images.py` and `actions/suggestions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from studio import widgets
from studio.actions import create, drawings, images, import_review, picture_uploads, suggestions
from studio.actions.drafts import Draft, own_character
from studio.actions.images import ImageView
from studio.app_pages import create_drawings, review
from studio.app_pages.create_fields import typed_field
from studio.context import AppContext
from studio.labels import counted

RATINGS = {
    "green": ("Good", ":material/check_circle:", "green"),
    "amber": ("Could be better", ":material/lightbulb:", "orange"),
    "red": ("Cannot be used", ":material/error:", "red"),
}
FIELDS = {
    "expression": ("Face", "happy, sad, angry …"),
    "clothes": ("Clothes", "a red scarf"),
    "place": ("Place", "on the beach"),
    "pose": ("Pose", "close-up, waving"),
}


def draw(context: AppContext, id: str, draft: Draft) -> None:
    """The step as a whole."""
    round = st.session_state.setdefault("pictures-round", 0)
    st.file_uploader(
        "Drop pictures here: PNG, JPEG or WebP, or a zip of them",
        type=["png", "jpg", "jpeg", "jfif", "webp", "heic", "avif", "txt", "caption", "zip", "jsonl", "csv"],
        accept_multiple_files=True,
        key=f"pictures-{round}",
        max_upload_size=picture_uploads.MAX_SET_BYTES >> 20,
        on_change=take,
        args=(context, id, round),
        help="Where and when a photo was taken is removed. A text file with a picture's name becomes its caption."
        " Zips of kohya, and image folders with their metadata.csv or .jsonl, are read too.",
    )
    shown = images.image_views(context, draft)
    found = images.image_set_problems(draft)
    if shown:
        st.markdown(f"**{create.image_count_words(draft)}**")
    if found:
        with st.container(border=True, gap="xsmall"):
            st.markdown("**What is missing**" if shown else "**To begin**")
            for item in found:
                sign = ":red[:material/error:]" if item.severity == "error" else ":orange[:material/lightbulb:]"
                st.markdown(f"{sign} {widgets.escaped(item.message)} {widgets.escaped(item.mend)}")
    if not shown:
        if not st.session_state.get("starter-warmed"):
            st.session_state["starter-warmed"] = True
            widgets.attempt(drawings.warm, context)
        return
    view = drawings.drawings_view(context, id)
    create_drawings.draw(context, id, draft, view)
    captions(context, id, shown)
    widgets.quiet("Say what varies: face, clothes, place, pose. What nobody names is learned as always being there.")
    with st.container(key="grid-pictures-pairs" if view.rebuilt else "grid-pictures"):
        used = drawings.used_references(draft)
        for one in shown:
            draw_picture(context, id, draft, one, view.rebuilt.get(one.file), one.file in used)


def take(context: AppContext, id: str, round: int) -> None:
    """Add the uploads to the draft, and empty the uploader so that none is added twice."""
    dropped = widgets.new_uploads(st.session_state.get(f"pictures-{round}") or [])
    if not dropped:
        return
    files = [(upload.name, upload.getvalue()) for upload in dropped]
    st.session_state["pictures-round"] = round + 1
    if picture_uploads.needs_review(name for name, _ in files):
        review.show(widgets.attempt(import_review.stage_pictures, context, id, files))
        return
    refused = widgets.attempt(images.add, context, id, files)
    if isinstance(refused, list):
        widgets.remember_problems(refused)
        widgets.attempt(drawings.draw_after_upload, context, id)
        names = {problem.field for problem in refused if problem.severity == "error"}
        if len(files) > len(names):
            st.toast(f"{counted(len(files) - len(names), 'file')} taken in", icon=":material/check:")


def draw_picture(
    context: AppContext, id: str, draft: Draft, view: ImageView, rebuilt: bytes | None, is_reference: bool
) -> None:
    """One picture with its rebuilding, its rating, its problems, edits and caption."""
    words, icon, colour = RATINGS[view.rating]
    name = view.file.partition(".")[0]
    with st.container(border=True, key=f"tile-{view.file}", gap="small"):
        show_picture(view, rebuilt, name)
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            st.badge(f"{name} {words}", icon=icon, color=colour)  # type: ignore[arg-type]  # one of LIGHTS
            if view.is_portrait:
                st.badge("Portrait", icon=":material/star:", color="violet", help="Stands for them in lists")
        reference_toggle(context, id, view.file, name, is_reference)
        for problem in view.problems:
            widgets.quiet(f"{problem.message} {problem.mend}")
        crop_label, crop_icon = "Crop to a square", ":material/crop:"
        if "crop" in view.fixes and widgets.pressed(crop_label, key=f"fix-crop-{view.file}", icon=crop_icon):
            crop(context, id, view.file)
        if "drop" in view.fixes:
            edit_button("Take this one out", "fix-drop", "delete", images.remove, context, id, view.file, "content")
        with st.container(gap="xxsmall", key=f"captions-{view.file}"):
            for field, (label, example) in FIELDS.items():
                typed_field(
                    context,
                    draft,
                    f"caption-{id}-{view.file}-{field}",
                    f"{label} in picture {name}",
                    f"{label}: {example}",
                    label_visibility="collapsed",
                )
        more(context, id, draft, view, name)


def show_picture(view: ImageView, rebuilt: bytes | None, name: str) -> None:
    """The picture, and beside it what the model's own tokenizer makes of it: no drawing can show more."""
    words = view.caption.description or f"Picture {name}"
    if rebuilt is None:
        widgets.image(view.thumb, words)
        return
    with st.container(key=f"pair-{view.file}"):
        with st.container(gap="xxsmall"):
            widgets.image(view.thumb, words)
            widgets.quiet("yours")
        with st.container(gap="xxsmall"):
            widgets.image(rebuilt, f"Picture {name} as the model can draw it")
            widgets.quiet("as I can draw it")


def reference_toggle(context: AppContext, id: str, file: str, name: str, is_reference: bool) -> None:
    """Whether the picture is looked at wherever the character is drawn."""
    key = f"reference-{id}-{file}"
    st.session_state[key] = is_reference  # choosing one picture leaves another out
    st.toggle(
        "Reference",
        key=key,
        on_change=set_reference,
        args=(context, id, file, key),
        help=f"Whether picture {name} is one of the {drawings.USED} that are looked at wherever they are drawn",
    )


def set_reference(context: AppContext, id: str, file: str, key: str) -> None:
    """Keep the choice."""
    widgets.attempt(drawings.use_reference, context, id, file, st.session_state[key])


def more(context: AppContext, id: str, draft: Draft, view: ImageView, name: str) -> None:
    """What can be done with any picture."""
    with st.popover("Change", icon=":material/tune:", width="stretch", key=f"more-{view.file}"):
        edit_button("Turn right", "turn", "rotate_right", images.rotate, context, id, view.file)
        if widgets.pressed("Crop to a square", key=f"crop-{view.file}", icon=":material/crop:", width="stretch"):
            crop(context, id, view.file)
        if not view.is_portrait:
            edit_button("Use as portrait", "first", "star", images.make_portrait, context, id, view.file)
        edit_button("Take out", "drop", "delete", images.remove, context, id, view.file)
        typed_field(
            context,
            draft,
            f"caption-{id}-{view.file}-caption",
            "Or in your own words",
            help="Takes the place of the four fields",
        )
        widgets.quiet(f"Came as {view.original}")


def edit_button(
    label: str,
    name: str,
    icon: str,
    action: Callable[..., object],
    context: AppContext,
    id: str,
    file: str,
    width: Literal["stretch", "content"] = "stretch",
) -> None:
    """A button that edits one picture at once."""
    st.button(
        label,
        key=f"{name}-{file}",
        icon=f":material/{icon}:",
        width=width,
        on_click=widgets.act,
        args=(action, context, id, file),
    )


@st.dialog("Crop to a square", width="medium")
def crop(context: AppContext, id: str, file: str) -> None:
    """The square with a preview."""
    seen, handles = st.columns(2, gap="medium", vertical_alignment="center")
    with handles:
        # Percent on the page, 0 to 1 in the action.
        size = st.slider("Closer", 0, 100, 0, 5, key=f"zoom-{file}", format="%d %%") / 100
        across = st.slider("Left to right", 0, 100, 50, 5, key=f"across-{file}", format="%d %%") / 100
        down = st.slider("Up and down", 0, 100, 35, 5, key=f"down-{file}", format="%d %%") / 100
    draft = own_character(context, id).draft
    preview = widgets.attempt(images.crop_preview, context, draft, file, size, across, down)
    if isinstance(preview, bytes):
        with seen:
            widgets.image(preview, "How the square would look")
    with st.container(horizontal=True):
        if widgets.pressed("Use this", type="primary", key=f"cut-{file}"):
            widgets.attempt(images.crop, context, id, file, size, across, down)
            st.rerun()
        if st.button("Leave it", key=f"uncut-{file}"):
            st.rerun()


# ---------------------------------------------------------------- captions from a worker


def captions(context: AppContext, id: str, shown: list[ImageView]) -> None:
    """Request captions, follow the job, take its suggestions."""
    news = suggestions.caption_suggestions(context, own_character(context, id).draft)
    if news.is_working:
        watch_captions(context, id)
    else:
        captions_found(context, id, news, shown)


@st.fragment(run_every=2)
def watch_captions(context: AppContext, id: str) -> None:
    """Looks again every two seconds while the job runs, and no longer."""
    news = suggestions.caption_suggestions(context, own_character(context, id).draft)
    if not news.is_working:
        st.rerun()
    waits = news.job is not None and news.job.status == "queued"
    text = "Waiting for a worker to look at the pictures" if waits else "Looking at the pictures"
    st.progress(min(1.0, len(news.ready) / max(1, len(news.ready) + 1)), text=text)
    if waits and not create.has_training_worker(context):
        widgets.quiet("No worker is running just now. You can write the captions yourself meanwhile.")


def captions_found(context: AppContext, id: str, news: suggestions.CaptionSuggestions, shown: list[ImageView]) -> None:
    """The button, or what the job found."""
    if news.error:
        widgets.quiet(f"The suggestions did not come: {news.error}")
    if news.ready:
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**Suggested captions** for {counted(len(news.ready), 'picture')}")
            thumbs = {view.file: view.thumb for view in shown}
            with st.container(key="strip-suggested", horizontal=True, gap="small"):
                for file, fields in news.ready.items():
                    with st.container(width=132, gap="xxsmall"):
                        widgets.image(thumbs.get(file), f"Picture {file.partition('.')[0]}", 132)
                        widgets.quiet(", ".join(fields.values()))
            st.button(
                "Fill them in",
                type="primary",
                icon=":material/check:",
                on_click=widgets.act,
                args=(suggestions.take_captions, context, id),
            )
            widgets.quiet("You can change every word afterwards. What you wrote yourself stays.")
        return
    if not suggestions.without_caption(own_character(context, id).draft):
        return
    st.button(
        "Suggest captions",
        icon=":material/auto_awesome:",
        on_click=widgets.act,
        args=(suggestions.request_captions, context, id),
        help="A worker looks at the pictures where you wrote nothing yet",
    )
