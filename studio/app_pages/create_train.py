"""Step 4 of the wizard, check and train: problems that are left, consent, effort, base model, and the start.

Drawn by `create.py`; decided by `actions/create.py`.
"""

from __future__ import annotations

import html
from typing import get_args

import streamlit as st

from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Effort, Recipe
from pipelines.core.problems import errors
from studio import widgets
from studio.actions import create, estimates, images
from studio.actions.create import Summary
from studio.actions.drafts import Draft
from studio.app_pages import create_held_out
from studio.app_pages.create_fields import text_field, to_step
from studio.context import AppContext
from studio.labels import EFFORTS, ago

ABOUT = {
    "quick": "A first impression. Good for finding out what is still missing.",
    "standard": "What most characters need.",
    "thorough": "When the rest is right and the last bit counts.",
}
_SCROLL_TO_RIGHTS = """<script>
(() => {
  const box = document.querySelector(".st-key-rights");
  box?.scrollIntoView({ block: "center" });
  box?.querySelector("input")?.focus();
})();
</script>"""


def draw(context: AppContext, id: str, draft: Draft) -> None:
    """The step as a whole."""
    found = create.summary(draft)
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        with widgets.slot():
            overview(context, draft, found)
            left_to_mend(draft, found)
            create_held_out.draw(context, id, draft)
        text_field(
            context,
            id,
            draft,
            "licence",
            "all rights reserved, CC-BY-4.0 …",
            help="Travels with the character, in its card and its model card",
        )
        consent(context, id, draft)
    with right:
        effort, base = effort_and_base(context, id, draft)
        train_button(context, id, found, effort, base)


def overview(context: AppContext, draft: Draft, found: Summary) -> None:
    """The character in a few words."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container(width=96, key="tile-glance"):
            widgets.image(images.portrait(context, draft), "Portrait")
        with st.container(width="stretch"):
            st.html(f'<p class="u-name">{html.escape(str(draft.get("name") or "No name yet"))}</p>')
            widgets.chips(list(found.lines))


def left_to_mend(draft: Draft, found: Summary) -> None:
    """Problems by the step that mends them, each with a button to that step."""
    if not any(found.problems.values()):
        st.success("Nothing is left to mend.", icon=":material/check_circle:")
    cut = [item for item in create.prompt_problems(draft) if item.severity == "warning"]
    widgets.problems(cut)  # in sight: the hints are folded away
    for item in cut:
        back_to_step(create.step_of(item), "cut")
    for step, items in found.problems.items():
        wrong = [item for item in items if item.severity == "error"]
        hints = [item for item in items if item.severity == "warning" and item not in cut]
        if step == len(create.STEPS):
            widgets.problems(item for item in hints if item.field != "licence")
            continue
        if wrong:
            with st.container(border=True, gap="small"):
                widgets.problems(wrong[: widgets.MAX_SHOWN_PROBLEMS])
                back_to_step(step, "error")
        if hints:
            label = f"{create.STEPS[step - 1]}: {len(hints)} that could be better"
            with st.expander(label, key=f"hints-{step}", icon=":material/lightbulb:"):
                for item in hints[:30]:
                    st.markdown(f"- {widgets.escaped(item.message)} {widgets.escaped(item.mend)}")
                back_to_step(step, "hint")


def back_to_step(step: int, why: str) -> None:
    """A button to the step that mends it."""
    st.button(
        f"To “{create.STEPS[step - 1]}”",
        key=f"to-{step}-{why}",
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=to_step,
        args=(step,),
    )


# ---------------------------------------------------------------- rights


def consent(context: AppContext, id: str, draft: Draft) -> None:
    """The statement about rights and likeness: what was stated, or the form to state it."""
    with st.container(border=True, key="rights"):
        st.markdown("**Rights and likeness**")
        if st.session_state.pop("rights-wanted", False):
            st.html(_SCROLL_TO_RIGHTS, unsafe_allow_javascript=True)
        given = draft.get("consent") or {}
        if create.consent_covers(draft):
            st.markdown(f":green[:material/verified:] {widgets.escaped(given['statement'])}")
            widgets.quiet(
                f"Stated by {given.get('given_by') or 'the creator'} {ago(given.get('given_at', ''))}, "
                f"for {len(draft.get('pictures', ()))} pictures by their content."
            )
            st.button(
                "Take it back", type="tertiary", on_click=widgets.act, args=(create.withdraw_consent, context, id)
            )
            return
        with widgets.slot():
            if given.get("statement"):
                st.warning("Pictures were added or changed since. Please state it again.", icon=":material/history:")
        kind = st.radio(
            "What is true?",
            list(create.STATEMENTS),
            index=None,
            key=f"rights-{id}",
            format_func=lambda key: create.STATEMENTS[key],
        )
        text_field(context, id, draft, "stated_by", "Your name or studio")
        st.button(
            "I state this",
            icon=":material/verified:",
            disabled=not kind,
            on_click=state_rights,
            args=(context, id),
        )
        widgets.quiet("Kept with a fingerprint of every picture, so it covers these pictures and no others.")


def state_rights(context: AppContext, id: str) -> None:
    """Make the statement with what stands in the form now: a name that was just typed came after the page was drawn."""
    name = st.session_state.get(f"text-{id}-stated_by", "")
    widgets.attempt(create.give_consent, context, id, st.session_state.get(f"rights-{id}") or "", name)


# ---------------------------------------------------------------- effort and start


def effort_and_base(context: AppContext, id: str, draft: Draft) -> tuple[Effort, str]:
    """How much effort, and on which base model."""
    efforts = get_args(Effort)
    effort: Effort = (
        st.segmented_control(
            "How thorough?",
            efforts,
            default=draft.get("effort", efforts[0]),
            required=True,
            key=f"effort-{id}",
            format_func=lambda name: EFFORTS[name],
            width="stretch",
        )
        or efforts[0]
    )
    widgets.quiet(ABOUT[effort])
    choices = create.preset_choices(context)
    presets = [choice.base.preset for choice in choices]
    chosen = draft.get("base", presets[0])
    base = st.radio(
        "Which base model?",
        presets,
        index=presets.index(chosen) if chosen in presets else 0,
        key=f"base-{id}",
        format_func=lambda preset: next(choice.base.title for choice in choices if choice.base.preset == preset),
        captions=[f"{choice.base.about} {choice.reason}".strip() for choice in choices],
    )
    if (effort, base) != (draft.get("effort", efforts[0]), draft.get("base", presets[0])):
        widgets.attempt(create.set_effort, context, id, effort, base)
    return effort, base


def train_button(context: AppContext, id: str, found: Summary, effort: Effort, base: str) -> None:
    """How long it may take, and the button."""
    told = estimates.estimate(context, Recipe.for_effort(base, effort))
    with st.container(border=True):
        st.markdown(f":material/schedule: **How long:** {widgets.escaped(told.words)}.")
        reason = next(choice.reason for choice in create.preset_choices(context) if choice.base.preset == base)
        if reason:
            st.warning(widgets.escaped(reason), icon=":material/memory:")
        for sentence in create.room_warnings(context):
            st.warning(widgets.escaped(sentence), icon=":material/hard_drive:")
        if not reason and not create.has_training_worker(context):
            widgets.quiet("No worker is running just now: the training waits in the queue until one is.")
        if not found.can_train:
            missing_buttons(found)
            return
        if widgets.pressed(
            "Train",
            type="primary",
            icon=":material/school:",
            width="stretch",
            key="train",
            disabled=bool(reason),
        ):
            job = widgets.attempt(create.start, context, id, effort, base)
            if isinstance(job, Job):
                widgets.go(widgets.TRAINING, job=job.id)
            st.rerun()


def missing_buttons(found: Summary) -> None:
    """In place of the button that trains: what is missing before it can, and buttons that go there."""
    missing = [(step, wrong) for step, items in found.problems.items() if (wrong := errors(items))]
    for number, (step, wrong) in enumerate(missing):
        own = step == len(create.STEPS)
        st.button(
            f"Before training: {'state the rights' if own else create.STEPS[step - 1]}",
            key="train" if number == 0 else f"missing-{step}",
            type="primary" if number == 0 else "secondary",
            icon=":material/arrow_back:",
            width="stretch",
            on_click=point_at_rights if own else to_step,
            args=() if own else (step,),
        )
        more = f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""
        widgets.quiet(f"{wrong[0].message} {wrong[0].mend}{more}")


def point_at_rights() -> None:
    """Bring the form about the rights into view when the page is drawn."""
    st.session_state["rights-wanted"] = True
