"""Step 1 of the wizard, pictures: upload them, see the problems of each, mend them by a click, caption them.

Drawn by `create.py`; parts of it are in `create_uploads.py`, `create_drawings.py` and `create_captions.py`. What
happens is in `actions/images.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from studio import widgets
from studio.actions import captions, create, drawings, images
from studio.actions.captions import CaptionsView
from studio.actions.drafts import Draft, own_character
from studio.actions.images import ImageView
from studio.app_pages import create_captions, create_drawings, create_uploads
from studio.app_pages.create_fields import over_limit, row_field, typed_field
from studio.context import AppContext

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


OWN_WORDS_PX = 68
"""Two lines; Streamlit's least."""


def draw(context: AppContext, id: str, draft: Draft) -> None:
    """The step as a whole."""
    shown = images.image_views(context, draft)
    with widgets.slot():
        above(context, id, draft, shown)
    if not shown:
        return
    seen = captions.captions_view(context, id)
    view = drawings.drawings_view(context, id)
    with widgets.slot():
        create_drawings.draw(context, id, draft, view)
        create_captions.draw(context, id, seen)
        if view.rebuilt:
            widgets.quiet(
                "Beside each picture stands what I make of it. No drawing of mine shows more: eyes and mouths that are "
                "lost there stay lost, so choose pictures that come back well."
            )
        widgets.quiet(
            "Say what varies: face, clothes, place, pose. What nobody names is learned as always being there."
        )
    # One key with and without what is made of the pictures: with another one all fields in it would be made anew.
    with st.container(key="grid-pictures"):
        used = drawings.used_references(draft)
        for one in shown:
            draw_picture(context, id, draft, one, seen, view.rebuilt.get(one.file), one.file in used)


def above(context: AppContext, id: str, draft: Draft, shown: list[ImageView]) -> None:
    """The upload, and what is said of the pictures as a set."""
    create_uploads.draw(context, id, draft)
    found = images.image_set_problems(draft)
    if shown:
        st.markdown(f"**{create.image_count_words(draft)}**")
    if found:
        with st.container(border=True, gap="xsmall"):
            st.markdown("**What is missing or could be better**" if shown else "**To begin**")
            for item in found:
                sign = ":red[:material/error:]" if item.severity == "error" else ":orange[:material/lightbulb:]"
                st.markdown(f"{sign} {widgets.escaped(item.message)} {widgets.escaped(item.mend)}")
    if not shown and not st.session_state.get("starter-warmed"):
        st.session_state["starter-warmed"] = True
        widgets.attempt(drawings.warm, context)


def draw_picture(
    context: AppContext,
    id: str,
    draft: Draft,
    view: ImageView,
    seen: CaptionsView,
    rebuilt: bytes | None,
    is_reference: bool,
) -> None:
    """One picture with its rebuilding, its rating, its problems, edits and caption."""
    doubts = seen.doubts.get(view.file, ())
    words, icon, colour = RATINGS["amber" if doubts and view.rating == "green" else view.rating]
    name = view.file.partition(".")[0]
    with st.container(border=True, key=f"tile-{view.file}", gap="small"):
        with widgets.slot():
            show_picture(view, rebuilt, name)
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            st.badge(f"{name} {words}", icon=icon, color=colour)  # type: ignore[arg-type]  # one of LIGHTS
            if view.is_portrait:
                st.badge("Portrait", icon=":material/star:", color="violet", help="Stands for them in lists")
        reference_toggle(context, id, view.file, name, is_reference)
        with widgets.slot():
            for problem in (*view.problems, *doubts):
                widgets.quiet(f"{problem.message} {problem.mend}")
            crop_label, crop_icon = "Crop to a square", ":material/crop:"
            if "crop" in view.fixes and widgets.pressed(crop_label, key=f"fix-crop-{view.file}", icon=crop_icon):
                crop(context, id, view.file)
            if "drop" in view.fixes:
                edit_button("Take this one out", "fix-drop", "delete", images.remove, context, id, view.file, "content")
        draw_caption(context, id, draft, view.file, name, seen)
        more(context, id, draft, view, name)


def draw_caption(context: AppContext, id: str, draft: Draft, file: str, name: str, seen: CaptionsView) -> None:
    """The fields of what varies, with what is suggested for them and what speaks against them."""
    with widgets.slot():
        if file in seen.suggested:
            create_captions.suggestion(context, id, file, seen.suggested[file])
        elif file in seen.guessed:
            create_captions.guess(context, id, file, seen.guessed[file])
    has_own_words = bool(own_words(draft, file))
    with st.container(gap="xxsmall", key=f"captions-{file}"):
        if has_own_words:
            own_words_field(context, id, draft, file, f"In your own words, picture {name}")
        else:
            over_limit(
                *[
                    row_field(
                        context,
                        draft,
                        f"caption-{id}-{file}-{field}",
                        f"{label} in picture {name}",
                        f"{label}: {example}",
                        label_visibility="collapsed",
                    )
                    for field, (label, example) in FIELDS.items()
                ]
            )
    with widgets.slot():
        if has_own_words:
            widgets.quiet("Stands in place of face, clothes, place and pose; empty it to tell those one by one.")
        if file in seen.contradicted:
            create_captions.contradiction(context, id, file, seen.contradicted[file])


def own_words(draft: Draft, file: str) -> str:
    """The words that take the place of the four fields: written here, or come with the picture in a caption file."""
    return next((str(entry.get("caption") or "") for entry in draft.get("images", ()) if entry["file"] == file), "")


def own_words_field(context: AppContext, id: str, draft: Draft, file: str, label: str) -> None:
    """One field in one of two places: on the card where words stand in it, else under "Change"."""
    typed_field(
        context,
        draft,
        f"caption-{id}-{file}-caption",
        label,
        "In your own words",
        height=OWN_WORDS_PX,
        label_visibility="collapsed",
    )


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
        if not own_words(draft, view.file):
            st.markdown("Or in your own words, in place of the four fields")
            own_words_field(context, id, draft, view.file, f"In your own words, picture {name}")
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
