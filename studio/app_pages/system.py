"""The system page: workers, queues, health, disk use, versions and settings.

Nothing here changes anything: what a cleaning of the object store would remove is only listed.
"""

from __future__ import annotations

import streamlit as st

from pipelines.core.command_line import as_typed
from pipelines.core.storage.store import StoreError
from studio import widgets
from studio.actions import system
from studio.actions.system import WorkerLine
from studio.actions.workers import REPLY_WORKER, TRAIN_WORKER
from studio.context import AppContext
from studio.labels import ago, counted

POLL_S = 5.0


def page() -> None:
    """Everything, one below the other."""
    context = widgets.app_context()
    widgets.title("System", "What works for you in the background, and whether it is well.")
    if said := system.alarm(context):
        st.error(widgets.escaped(said), icon=":material/emergency:")
    widgets.live(_work, POLL_S)(context)
    _health(context)
    _disk(context)
    _engineers(context)


def _work(context: AppContext) -> None:
    st.subheader("Workers", anchor=False)
    lines = system.workers(context)
    if not any(line.is_alive for line in lines):
        st.warning(
            "No worker is running, so nothing is trained and nobody answers. One that ended is started again within a "
            f"minute where `make studio` runs; by hand: `{as_typed(TRAIN_WORKER)}`, `{as_typed(REPLY_WORKER)}`.",
            icon=":material/power_off:",
        )
    for line in lines:
        with st.container(border=True, key=f"worker-{line.worker.id}"):
            _worker(line)
    st.subheader("Waiting", anchor=False)
    with st.container(horizontal=True, key="queues"):
        for words, count in system.queue_depths(context).items():
            most = system.MAX_COUNTED
            st.metric(words, f"more than {most}" if count >= most else count, border=True, width=240)


def _worker(line: WorkerLine) -> None:
    worker = line.worker
    who, does = st.columns([3, 2], vertical_alignment="center")
    with who:
        st.markdown(f"**{widgets.escaped(worker.host)}**")
        device = worker.gpu or "no GPU"
        takes = " and ".join(
            {"train": "training", "reply": "answers and drawings"}.get(one, one) for one in worker.queues
        )
        widgets.quiet(f"{device} · {worker.memory_gb:.0f} GB · takes {takes}")
    with does:
        if not line.is_alive:
            st.badge("Gone", icon=":material/power_off:", color="gray")
        elif line.doing:
            st.badge(widgets.escaped(line.doing), icon=":material/bolt:", color="blue")
        else:
            st.badge("Free", icon=":material/check_circle:", color="green")
        widgets.quiet(f"last seen {ago(worker.seen)}, started {ago(worker.started)}")
    with st.expander("Versions"):
        widgets.quiet(", ".join(f"{name} {number}" for name, number in worker.versions.items()) or "not told")


def _health(context: AppContext) -> None:
    st.subheader("Health", anchor=False)
    for one in system.health(context):
        name, answer = st.columns([1, 3], vertical_alignment="center")
        with name:
            icon, colour = (":material/check_circle:", "green") if one.is_well else (":material/error:", "red")
            st.badge(one.name, icon=icon, color=colour)  # type: ignore[arg-type]  # one of the two above
        with answer:
            told = f"answers in {one.seconds * 1000:.0f} ms" if one.is_well else one.answer
            widgets.quiet(f"{told} · {one.place}")


def _disk(context: AppContext) -> None:
    st.subheader("Disk", anchor=False)
    if not st.toggle("Count what is kept (reads the whole list)", key="count"):
        return
    try:
        used = system.disk_use(context)
        garbage = system.garbage(context)
    except StoreError as error:
        st.error(widgets.escaped(str(error)), icon=":material/error:")
        return
    with st.container(horizontal=True, key="disk"):
        for one in used:
            st.metric(
                one.kind,
                system.size_words(one.size),
                counted(one.count, "file"),
                delta_color="off",
                delta_arrow="off",
                border=True,
                width=200,
            )
    if not used:
        widgets.quiet("Nothing is kept yet.")
    size = system.size_words(sum(size for _, size in garbage))
    if garbage:
        widgets.quiet(f"{counted(len(garbage), 'file')} ({size}) are no longer used by anything.")
        with st.expander("What cleaning would remove"):
            st.code("\n".join(key for key, _ in garbage[:200]), language=None, height=200)
    else:
        widgets.quiet("Nothing would be removed by cleaning: everything old enough is still used.")


def _engineers(context: AppContext) -> None:
    with st.expander("Versions on this machine", icon=":material/inventory:"):
        _table("Package", "Version", system.versions())
    with st.expander("Settings in force (secrets are not shown)", icon=":material/settings:"):
        _table("Variable", "Value", system.settings_in_force(context.settings))


def _table(first: str, second: str, rows: dict[str, str]) -> None:
    lines = [f"| {widgets.escaped(name)} | {widgets.escaped(value)} |" for name, value in rows.items()]
    st.markdown("\n".join([f"| {first} | {second} |", "|---|---|", *lines]))


if __name__ == "__main__":
    page()
