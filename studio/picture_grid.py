"""The picture grid of the compare page: the fixed prompts and one's own, at the saved state that a slider points at.

The slider takes the arrow keys, so one can go through a training from state to state and watch each picture change.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pipelines.core.jobs.job import CharacterRow
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import picture_prompts, training_jobs
from studio.actions.checkpoint_options import CheckpointOption, default_of, unmeasured_base
from studio.actions.picture_prompts import PromptPicture
from studio.actions.scores import checkpoint_title
from studio.actions.training_jobs import SampleRow
from studio.actions.workers import waiting_words
from studio.context import AppContext
from studio.labels import counted

POLL_S = 2.0
PICTURE_PX = 240


def draw(context: AppContext, row: CharacterRow, choices: Sequence[CheckpointOption]) -> None:
    """The grid of one training. choices: the character's states; those of the first one's training count."""
    widgets.show_problems()
    job = training_jobs.own_job(context, choices[0].ref.rpartition(":")[0])
    saved = training_jobs.sample_rows(context, job)
    if all(one.checkpoint.name != BASE for one in saved):
        saved = [SampleRow(unmeasured_base(job), checkpoint_title(BASE), ()), *saved]
    rows = {f"{job.id}:{one.checkpoint.name}": one for one in saved}
    names = list(rows)
    if st.session_state.get("prompt-state") not in rows:
        first = default_of(choices)
        st.session_state["prompt-state"] = first if first in rows else names[-1]
    if len(names) > 1:
        st.select_slider(
            "Saved state (arrow keys go from one to the next)",
            names,
            key="prompt-state",
            format_func=lambda name: rows[name].title,
        )
    state = st.session_state["prompt-state"]
    widgets.caution(next((one.warning for one in choices if one.ref == state), ""))
    _ask(context, row, names, state)
    asked = picture_prompts.prompt_pictures(context, row.id)
    working = any(one.is_working for states in asked.values() for one in states.values())
    st.session_state["prompt-working"] = working
    widgets.live(_own, POLL_S if working else None)(context, row, state, rows[state].title)
    if rows[state].samples:
        st.subheader("The prompts of every check", anchor=False)
        with st.container(horizontal=True, gap="small", key="strip-grid-fixed"):
            for sample in rows[state].samples:
                with st.container(width=PICTURE_PX):
                    _image(context, sample.key, f"{rows[state].title}: {sample.label}")
                    widgets.quiet(sample.label)


def _ask(context: AppContext, row: CharacterRow, names: Sequence[str], state: str) -> None:
    """One more prompt of one's own."""
    st.text_input(
        "Draw something of your own",
        key="prompt-words",
        placeholder="laughing, in a red coat, on a bicycle",
        help="What varies: face, clothes, place. What they look like is known.",
    )
    with st.container(horizontal=True):
        for label, refs, kind in (
            (f"Draw it with {counted(len(names), 'state')}", list(names), "primary"),
            ("With this state only", [state], "secondary"),
        ):
            st.button(
                label,
                key=f"prompt-{kind}",
                icon=":material/brush:",
                type=kind,  # type: ignore[arg-type]  # one of the two above
                on_click=_queue,
                args=(context, row.id, refs),
            )


def _queue(context: AppContext, character: str, refs: list[str]) -> None:
    done = widgets.attempt(picture_prompts.draw_prompt, context, character, refs, st.session_state["prompt-words"])
    if isinstance(done, int):
        st.session_state["prompt-words"] = ""


def _own(context: AppContext, row: CharacterRow, state: str, title: str) -> None:
    """One's own prompts as this state draws them; the page is drawn anew when the last one is there."""
    asked = picture_prompts.prompt_pictures(context, row.id)
    working = any(one.is_working for states in asked.values() for one in states.values())
    if st.session_state.get("prompt-working") and not working:
        widgets.draw_anew()
    if not asked:
        return
    st.subheader("Your prompts", anchor=False)
    with st.container(horizontal=True, gap="small", key="strip-grid-own"):
        for number, (prompt, states) in enumerate(asked.items()):
            with st.container(width=PICTURE_PX):
                _prompt(context, row, state, title, number, prompt, states.get(state))


def _prompt(
    context: AppContext, row: CharacterRow, state: str, title: str, number: int, prompt: str, one: PromptPicture | None
) -> None:
    if one is not None and one.key:
        _image(context, one.key, f"{title}: {prompt}")
    else:
        st.html('<div class="u-frame" aria-hidden="true"></div>')
    widgets.quiet(prompt)
    if one is not None and one.error:
        widgets.quiet(one.error)
    elif one is not None and not one.key:
        widgets.quiet(f"Being drawn, {one.share:.0%}" if one.share else waiting_words(context))
    if one is None or one.error:
        st.button(
            "Draw it here too",
            key=f"prompt-here-{number}",
            icon=":material/brush:",
            type="tertiary",
            on_click=widgets.act,
            args=(picture_prompts.draw_prompt, context, row.id, [state], prompt),
        )


def _image(context: AppContext, key: str, alt: str) -> None:
    try:
        widgets.image(context.image(key), alt, PICTURE_PX)
    except StoreError:
        widgets.quiet("(this picture is gone)")
