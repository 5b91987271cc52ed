"""The dialogs of the training page that make a new training from an earlier one: go on from it, or do it again.

Both say what the character was given since, and which settings of then today's defaults would set otherwise.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.training_results import best_of
from studio import widgets
from studio.actions import new_material, training_jobs
from studio.actions.new_material import NewMaterial
from studio.actions.scores import checkpoint_title
from studio.context import AppContext
from studio.labels import EFFORTS

TODAY, THEN = "As they are set today", "As they were then"
SHOWN_SETTINGS = 12


@st.dialog("Train further")
def further(context: AppContext, job: Job, learnt: list[Checkpoint]) -> None:
    """Go on from a saved state, for steps of its own."""
    st.write("A new training goes on from a saved state of this one. This one stays as it is.")
    today = Recipe.from_json(job.recipe or {}).with_new_defaults()
    material = new_material.new_material(context, job)
    draft = context.records.characters.get(job.character).draft
    best = best_of(context.records, job)
    names = [one.name for one in reversed(learnt)]
    with st.form("further", border=False):
        _newer(material, "further-newest")
        st.selectbox(
            "Go on from",
            names,
            index=names.index(best.name) if best and best.name in names else 0,
            format_func=lambda name: checkpoint_title(name) + (" (best)" if best and name == best.name else ""),
            key="further-start",
        )
        st.number_input(
            "Steps of learning the basics",
            0,
            5000,
            new_material.further_steps(material, draft, today),
            key="further-sft",
            help="What is new is learned here: so many that everything comes up at least once.",
        )
        st.number_input("Steps of practising with feedback", 0, 2000, today.grpo_steps, key="further-grpo")
        _settings(job, "further-settings")
        if st.form_submit_button("Start", type="primary", on_click=_go_further, args=(context, job)):
            st.rerun()


def _go_further(context: AppContext, job: Job) -> None:
    given = st.session_state
    _lead_to(
        widgets.attempt(
            training_jobs.continue_training,
            context,
            job.id,
            given["further-start"],
            given["further-sft"],
            given["further-grpo"],
            given.get("further-newest", False),
            given.get("further-settings", TODAY) == TODAY,
        )
    )


@st.dialog("Clone with changes")
def clone(context: AppContext, job: Job) -> None:
    """The same again from the beginning, with changes."""
    st.write("A new training like this one, from the beginning.")
    old = Recipe.from_json(job.recipe or {})
    with st.form("clone", border=False):
        _newer(new_material.new_material(context, job), "clone-newest")
        st.segmented_control(
            "Effort",
            list(EFFORTS),
            default=old.effort,
            format_func=lambda one: EFFORTS[one],
            key="clone-effort",
            required=True,
        )
        _settings(job, "clone-settings")
        st.number_input(
            "Seed", 0, 2**31 - 1, old.seed, key="clone-seed", help="Another number gives another attempt at the same."
        )
        with st.expander("For engineers: any setting of the recipe"):
            st.text_area(
                "Settings as JSON",
                "",
                key="clone-json",
                placeholder='{"sft_steps": 60, "lora_rank": 32}',
                help="Names as in docs/training.md; what stands here counts more than the effort.",
            )
        if st.form_submit_button("Start", type="primary", on_click=_go_clone, args=(context, job)):
            st.rerun()


def _go_clone(context: AppContext, job: Job) -> None:
    given = st.session_state
    changes = {"effort": given["clone-effort"], "seed": given["clone-seed"]}
    _lead_to(
        widgets.attempt(
            training_jobs.clone_with_text,
            context,
            job.id,
            changes,
            given["clone-json"],
            given.get("clone-newest", False),
            given.get("clone-settings", TODAY) == TODAY,
        )
    )


def _newer(material: NewMaterial, key: str) -> None:
    """What is new, and whether it is taken."""
    widgets.quiet(material.words)
    if material.is_anything:
        st.checkbox("Use the character as it is now", True, key=key, help="It becomes a new version, as by “Train”.")


def _settings(job: Job, key: str) -> None:
    """Which settings of then differ from what the effort gives today; nothing where none does."""
    found = training_jobs.old_settings(job)
    if not found:
        return
    st.radio(
        "Settings that differ",
        [TODAY, THEN],
        key=key,
        captions=["", "Also those that somebody set by hand"],
    )
    listed = [f"{name} {_short(then)} then, {_short(today)} today" for name, (then, today) in found.items()]
    more = f"; and {len(listed) - SHOWN_SETTINGS} more" if len(listed) > SHOWN_SETTINGS else ""
    widgets.quiet("; ".join(listed[:SHOWN_SETTINGS]) + more + ".")


def _short(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _lead_to(job: object) -> None:
    if isinstance(job, Job):
        st.query_params["job"] = job.id
