"""The training page: all trainings in one list, or one of them live (`?job=ID`).

What is shown of a job comes from its row, its events and its checkpoints alone, so any tab shows the same at any time.
Fragments ask again while the job goes on, for progress every two seconds and for charts every ten; the page as a whole
is drawn anew when the job's status changes or a new state was measured.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from pipelines.core.jobs.job import ENDED, Checkpoint, Job, now
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import START
from pipelines.core.score_names import LOSS_NAMES, REWARD_NAMES
from studio import charts, evaluation_panel, sample_strip, verdict_panel, widgets
from studio import training_dialogs as dialogs
from studio.actions import estimates, evaluations, system, training_jobs
from studio.actions.checkpoint_options import marks_of
from studio.actions.job_progress import JobProgress, StageProgress
from studio.actions.run_log import RunLog
from studio.actions.talk_start import talk_start
from studio.actions.training_jobs import JobLine, JobView, SampleRow
from studio.context import AppContext
from studio.labels import EFFORTS, ago, base_title

POLL_S, CHARTS_S = 2.0, 10.0
"""Seconds between two polls of the numbers, and of the charts."""
JOBS_PER_PAGE = 20
PORTRAIT_PX, HEAD_PX = 56, 84
STATE_WORDS = {
    "waiting": "waits",
    "running": "at work",
    "done": "done",
    "left_out": "left out",
    "stopped": "stopped",
}


@st.cache_resource(show_spinner=False, max_entries=200)
def _log(job: str) -> RunLog:
    """A log only ever grows, so all tabs share what was read of it."""
    return RunLog(job)


@st.cache_data(show_spinner=False, ttl=60, max_entries=100)
def _pace(_context: AppContext, recipe: dict[str, Any], job: str) -> dict[str, float]:
    return dict(estimates.known_pace(_context, Recipe.from_json(recipe), but=job))


def page() -> None:
    """The list, or the job that the address names."""
    context = widgets.app_context()
    id = widgets.param("job")
    if id:
        _one(context, id)
    else:
        _all(context)


# ---------------------------------------------------------------- all jobs


def _all(context: AppContext) -> None:
    widgets.title("Training", "Every training, the newest first. Those that wait or run go on without this page.")
    lines = training_jobs.jobs(context, JOBS_PER_PAGE, widgets.param("before") or None)
    if not lines and (said := system.alarm(context)):  # a lost database is no fresh start
        st.error(widgets.escaped(said), icon=":material/emergency:")
        return
    if not lines:
        widgets.nothing_here("Nothing has been trained yet.", widgets.CREATE, "Create a character")
        return
    active = any(line.job.status not in ENDED for line in lines)
    widgets.live(_list, POLL_S if active else None)(context, widgets.param("before") or None)
    if len(lines) == JOBS_PER_PAGE and st.button("Earlier trainings", icon=":material/history:"):
        st.query_params["before"] = lines[-1].job.id
        st.rerun()


def _list(context: AppContext, before: str | None) -> None:
    for line in training_jobs.jobs(context, JOBS_PER_PAGE, before):
        with st.container(border=True, key=f"tile-line-{line.job.id}"):
            _line(line)


def _line(line: JobLine) -> None:
    job = line.job
    words, state, way = st.columns([3, 3, 1.4], vertical_alignment="center")
    with words, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if line.portrait is not None:
            widgets.image(line.portrait, f"Portrait of {line.name}", PORTRAIT_PX)
        with st.container(gap="xxsmall", width="stretch"):
            st.html(f'<p class="u-name">{html.escape(line.name or "A character")}</p>')
            widgets.quiet(f"{_recipe_words(job)} · {ago(job.created)}")
    with state:
        widgets.status_badge(job, line.shortfall)
        if line.stage:
            st.progress(min(1.0, line.fraction), text=line.stage)
        elif line.shortfall:
            widgets.quiet(line.shortfall)
        elif job.error:
            widgets.quiet(job.error.split("\n")[0][:160])
    with way:
        if st.button("Open", key=f"open-{job.id}", width="stretch"):
            widgets.go(widgets.TRAINING, job=job.id)


def _recipe_words(job: Job) -> str:
    recipe = job.recipe or {}
    effort = EFFORTS.get(str(recipe.get("effort", "")), "")
    return " · ".join(filter(None, [effort, base_title(str(recipe.get("base", "")))]))


# ---------------------------------------------------------------- one job


def _one(context: AppContext, id: str) -> None:
    view = _job_view(context, id)
    rows = training_jobs.sample_rows(context, view.job)
    measured = sum(bool(row.samples) for row in rows)
    st.session_state[f"seen-{id}"] = (view.job.status, len(rows), measured)
    if st.button("All trainings", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="tile-head"):
        face = training_jobs.portrait_of(context, view.job)
        if face is not None:
            widgets.image(face, f"Portrait of {view.name}", HEAD_PX)
        with st.container(gap="xxsmall", width="stretch"):
            st.html(f'<h1 class="u-h1">{html.escape(view.name or "Training")}</h1>')
            widgets.live(_begun, None if view.is_over else CHARTS_S)(view.job)
    widgets.show_problems()
    if view.job.parent:
        widgets.quiet(_follows(rows, view.job))
    _buttons(context, view, [row.checkpoint for row in rows])
    again = None if view.is_over else POLL_S
    widgets.live(_progress, again)(context, id)
    if view.verdict is not None:
        verdict_panel.draw(context, view.verdict, rows)
    widgets.live(_charts, None if view.is_over else CHARTS_S)(context, id)
    if view.is_over:
        evaluation_panel.draw(context, view.job)
    sample_strip.draw(context, view.job, rows, marks_of(context, view.job))
    widgets.live(_engineer_details, None if view.is_over else CHARTS_S)(context, id)


def _follows(rows: list[SampleRow], job: Job) -> str:
    """What an earlier training has to do with this one."""
    if any(row.checkpoint.name == START for row in rows):
        return f"Goes on from an earlier training ({job.parent[:8]}), and counts its own steps."
    return f"Made like an earlier training ({job.parent[:8]}), from the beginning."


def _begun(job: Job) -> None:
    widgets.quiet(f"{_recipe_words(job)} · begun {ago(job.created)}")


def _job_view(context: AppContext, id: str) -> JobView:
    job = training_jobs.own_job(context, id)
    pace = _pace(context, job.recipe, job.id) if job.recipe and job.status not in ENDED else {}
    return training_jobs.job_view(context, id, _log(id), pace, now())


def _progress(context: AppContext, id: str) -> None:
    """Where it is and how long it will take; draws the whole page anew when something it shows elsewhere changed."""
    view = _job_view(context, id)
    job, progress = view.job, view.progress
    checkpoints = context.records.checkpoints.of_job(id)
    measured = sum(any(path.startswith("samples/") for path in one.files) for one in checkpoints)
    seen = (job.status, len(checkpoints), measured)
    if st.session_state.get(f"seen-{id}", seen) != seen:
        widgets.draw_anew()
    with st.container(border=True, key="now"):
        st.subheader(progress.headline, anchor=False)
        if progress.detail:
            widgets.quiet(progress.detail)
        _stages(progress)
        if progress.preference_words:
            widgets.quiet(progress.preference_words)
        notes = [
            widgets.sentence(progress.time_words) if progress.time_words else "",
            f"taken up again {progress.resumes} times" if progress.resumes > 1 else "",
        ]
        notes.append("taken up again once" if progress.resumes == 1 else "")
        if any(notes):
            widgets.quiet(" · ".join(filter(None, notes)))
        for sentence in view.safekeeping:
            widgets.quiet(sentence)
    for warning in progress.warnings:
        st.warning(f"**{widgets.escaped(warning.text)}** {widgets.escaped(warning.mend)}", icon=":material/warning:")


def _stages(progress: JobProgress) -> None:
    for column, stage in zip(st.columns(len(progress.stages)), progress.stages, strict=True):
        with column:
            st.markdown(f"**{stage.title}**")
            st.progress(stage.fraction, text=_stage_words(stage))
            widgets.quiet(stage.about)


def _stage_words(stage: StageProgress) -> str:
    words = STATE_WORDS[stage.state]
    if stage.state == "running":
        return f"{stage.step} of {stage.total}"  # one countdown, of the whole, stands below
    if stage.state == "stopped":
        return f"stopped after {stage.step} of {stage.total}"
    return words


def _charts(context: AppContext, id: str) -> None:
    """The charts, as far as there is something to draw."""
    progress = _job_view(context, id).progress
    if not progress.losses and not progress.rewards:
        return
    basics, practice = st.columns(2)
    with basics:
        st.subheader("Learning the basics", anchor=False)
        if progress.losses:
            said = "; ".join(charts.trend(LOSS_NAMES[name], series) for name, series in progress.losses.items())
            charts.draw(charts.loss_chart(progress.losses), said, f"loss-{id}")
    with practice:
        st.subheader("Practising with feedback", anchor=False)
        if progress.rewards:
            of_100 = {name: [(at, 100 * mark) for at, mark in series] for name, series in progress.rewards.items()}
            said = "; ".join(charts.trend(REWARD_NAMES[name], series) for name, series in of_100.items())
            charts.draw(charts.reward_chart(progress.rewards), said, f"rewards-{id}")
        else:
            widgets.quiet("The marks of each step will stand here: all together, and each part of them.")


def _engineer_details(context: AppContext, id: str) -> None:
    """Log, events and recipe."""
    with st.expander("For engineers: log, events, recipe", icon=":material/terminal:"):
        view = _job_view(context, id)
        job = view.job
        widgets.quiet(f"Job {job.id} · attempt {job.attempt} · worker {job.worker or 'none yet'}")
        lines = [
            f"{event.time[:19]} {event.stage:8} {event.step:>4}/{event.total:<4} {event.note} "
            + " ".join(f"{name}={value:.4g}" for name, value in event.metrics.items())
            for event in view.events[-60:]
        ]
        st.code("\n".join(lines) or "no events yet", language=None, height=260)
        if job.log_tail:
            st.code(job.log_tail, language=None, height=260)
        st.code(json.dumps(job.recipe, indent=1), language="json", height=200)


# ---------------------------------------------------------------- what a person can do


def _buttons(context: AppContext, view: JobView, checkpoints: list[Checkpoint]) -> None:
    job = view.job
    learnt = [one for one in checkpoints if one.adapter_key]
    begin = talk_start(context, job, checkpoints)
    with st.container(horizontal=True, key="buttons"):
        if job.status in ("queued", "running"):
            _dialog_button("Stop", ":material/stop_circle:", lambda: _stop(context, job))
        if job.status in ("stopped", "failed"):
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                type="primary",
                on_click=widgets.act,
                args=(training_jobs.resume, context, job.id),
            )
        kind: Any = "primary" if job.status == "succeeded" else "secondary"
        if begin.ref and st.button("Chat", icon=":material/chat:", type=kind):
            widgets.go(widgets.CHAT, character=job.character, who=begin.ref)
        if begin.ref and st.button("Talk and compare", icon=":material/compare:"):
            widgets.go(widgets.COMPARE, character=job.character, one=begin.ref)
        if job.status in ENDED:
            if learnt:
                _dialog_button("Train further", ":material/trending_up:", lambda: dialogs.further(context, job, learnt))
            _dialog_button("Clone with changes", ":material/content_copy:", lambda: dialogs.clone(context, job))
            if learnt:
                evaluation_panel.button(context, job)
        if learnt and job.status in ("stopped", "failed") and not evaluations.is_being_measured(context, job):
            _dialog_button("Discard", ":material/delete:", lambda: _discard(context, job))
    if begin.words:
        widgets.quiet(begin.words)


def _dialog_button(label: str, icon: str, dialog: Callable[[], None]) -> None:
    if st.button(label, icon=icon):
        dialog()


def _choice(label: str, action: Callable[..., object] | None = None, *args: object, main: bool = False) -> None:
    """A button of a dialog: it acts, and the dialog closes."""
    kind: Any = "primary" if main else "secondary" if action else "tertiary"
    if st.button(label, type=kind, width="stretch", on_click=widgets.act if action else None, args=(action, *args)):
        st.rerun()


@st.dialog("Stop this training?")
def _stop(context: AppContext, job: Job) -> None:
    st.write("The step at hand is finished first. What is kept can be used, and training can go on from there later.")
    _choice("Stop and keep what is learnt", training_jobs.stop, context, job.id, "keep", main=True)
    _choice("Stop and throw it away", training_jobs.stop, context, job.id, "discard")
    _choice("Let it go on")


@st.dialog("Throw away what this training learnt?")
def _discard(context: AppContext, job: Job) -> None:
    st.write("All its saved states go. The character itself stays as it is.")
    _choice("Throw it away", training_jobs.stop, context, job.id, "discard", main=True)
    _choice("Keep it")


if __name__ == "__main__":
    page()
