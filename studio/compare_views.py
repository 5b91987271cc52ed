"""Scorecards, votes and downloads: the views of the compare page beside the chat.

Each draws what `studio.actions` returns; no state is kept here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pipelines.core.full_disk import is_full
from pipelines.core.jobs.job import CharacterRow, Checkpoint, RecordMissing, RecordsUnusable
from pipelines.core.problems import CharacterProblems
from pipelines.core.run_folder import BASE
from pipelines.core.score_axes import ScoreAxis, scorecard
from pipelines.core.storage.store import StoreError
from pipelines.core.vote_counts import Tally, tallies
from studio import charts, widgets
from studio.actions import downloads, held_out, votes
from studio.actions.checkpoint_options import (
    CheckpointOption,
    checkpoint_of,
    default_of,
    label_of,
    only_one_of,
    sides_of,
    why_no_default,
)
from studio.actions.compare import NotPossible
from studio.context import AppContext
from studio.labels import counted, told_apart

KINDS = {
    "card": (
        "For SillyTavern: the character card",
        "One PNG with portrait, texts, first words and example conversations. In SillyTavern: Characters, then Import "
        "Character from File. Other programs that read Character Cards take it too.",
        ":material/badge:",
    ),
    "charx": (
        "Character card with the learnt state inside",
        "One CHARX file with all pictures, for role-play programs that read it; Understudy takes it back whole.",
        ":material/backpack:",
    ),
    "report": (
        "Report",
        "One page with scores and pictures, to read or send on; needs no network.",
        ":material/lab_profile:",
    ),
    "zip": (
        "Everything as one zip",
        "What was learnt, its scores, the character card, sample pictures and the report.",
        ":material/folder_zip:",
    ),
    "adapter": ("The adapter alone", "The PEFT folder, as training libraries read it.", ":material/extension:"),
}
FOR_ENGINEERS = ("adapter",)
"""Kinds that stand in the engineers' expander."""
MAKERS = {"card": downloads.card_alone, "report": downloads.report_alone}
ADAPTER_MAKERS = {"zip": downloads.adapter_zip, "adapter": downloads.adapter_alone, "charx": downloads.charx}
"""Of the kinds that have the adapter in them, which a strength changes."""


def character_select(
    context: AppContext, id: str, width: int, place: DeltaGenerator | None = None
) -> CharacterRow | None:
    """A list of the characters with a published version, `id` or the first of them chosen; None when there are none.

    place: where the list stands, if not in the page itself. RecordMissing when `id` is none of them.
    """
    rows = {row.id: row for row in context.records.characters.list(context.owner) if row.version}
    if id and id not in rows:
        raise RecordMissing(f"there is no trained character {id}: it was deleted, or the id is wrong")
    if not rows:
        widgets.nothing_here("There is nobody to talk with yet.", widgets.CREATE, "Create a character")
        return None
    ids = list(rows)
    # The oldest keeps its plain name, so no label changes when another of that name comes.
    names = told_apart({one: rows[one].name or "A character" for one in sorted(ids, key=lambda one: rows[one].created)})
    select = st.selectbox if place is None else place.selectbox
    chosen = select(
        "Character",
        ids,
        index=ids.index(id) if id else 0,
        format_func=lambda one: names[one],
        width=width,
    )
    if id and chosen != id:
        st.query_params.from_dict({"character": chosen})
        st.rerun()
    return rows[chosen]


def checkpoint_select(
    label: str, options: Sequence[CheckpointOption], default: str, name: str, warn: bool = True
) -> str:
    """A list of checkpoints to choose one from; returns its `JOB:NAME`, or "" while nothing is chosen.

    A choice goes into the address as `name`, so it stays over refreshes and new checkpoints; before that, and when what
    was chosen is gone, `default` stands there ("": nothing). What should be known about it is said below,
    unless `warn` is False.
    """
    labels = told_apart({one.ref: one.label for one in options})
    refs, chosen, key = list(labels), widgets.param(name), f"state-{name}"
    current = chosen if chosen in labels else default
    st.session_state[key] = current if current in labels else None

    def keep() -> None:
        if st.session_state[key]:
            st.query_params[name] = st.session_state[key]

    chosen_now = st.selectbox(
        label,
        refs,
        format_func=lambda ref: labels[ref],
        key=key,
        placeholder="Choose a state",
        on_change=keep,
    )
    ref = chosen_now or ""
    if not ref and (why := why_no_default(options)):
        widgets.quiet(f"{why}: nothing stands here until you choose it.")
    if warn:
        widgets.caution(next((one.warning for one in options if one.ref == ref), ""))
    return ref


def scores_view(context: AppContext, choices: Sequence[CheckpointOption], pair: tuple[str, str] | None) -> None:
    """The scorecards of two checkpoints: radar chart, numbers and sample sheets."""
    refs = {one.ref: one for one in choices}
    first, second = pair if pair and set(pair) <= set(refs) else sides_of(choices)
    left, right = st.columns(2)
    with left:
        one = checkpoint_select("One", choices, first, "one")
    with right:
        other = checkpoint_select("The other", choices, second, "other")
    shown = dict.fromkeys(ref for ref in (one, other) if ref)
    if not shown:
        return
    found = {ref: _scored(context, ref) for ref in shown}
    cards = {refs[ref].label: card for ref, (_, card) in found.items()}
    if all(axis.value is None for card in cards.values() for axis in card):
        widgets.quiet("Neither has been measured yet: that happens at the end of a training.")
    else:
        radar, table = st.columns(2, vertical_alignment="center", gap="medium")
        with radar:
            charts.draw(charts.radar_chart(cards), _in_words(cards), "radar")
        with table:
            _table(cards)
    for words in dict.fromkeys(_tested_on(context, ref) for ref in shown):
        widgets.quiet(words)
    for column, (ref, (checkpoint, _)) in zip(st.columns(2), found.items(), strict=False):
        with column:
            st.markdown(f"**{widgets.escaped(refs[ref].label)}**")
            _sheet(context, checkpoint)


def _scored(context: AppContext, ref: str) -> tuple[Checkpoint, tuple[ScoreAxis, ...]]:
    job, checkpoint = checkpoint_of(context, ref)
    base = next((dict(one.scores) for one in context.records.checkpoints.of_job(job.id) if one.name == BASE), None)
    return checkpoint, scorecard(checkpoint.scores, base, checkpoint.measurement)


def _tested_on(context: AppContext, ref: str) -> str:
    """What a state was tested on, in words."""
    test = held_out.job_test(context, checkpoint_of(context, ref)[0])
    if test is None:
        return ""
    talks = "; ".join(f"“{words}”" for words in test.conversations[:3])
    more = " and others" if len(test.conversations) > 3 else ""
    return f"Tested on {test.words} that training never saw or asks about" + (f": {talks}{more}." if talks else ".")


def _in_words(cards: dict[str, tuple[ScoreAxis, ...]]) -> str:
    return "; ".join(
        f"{label}: " + ", ".join(f"{one.name} {one.shown} of 100" for one in card if one.value is not None)
        for label, card in cards.items()
    )


def _table(cards: dict[str, tuple[ScoreAxis, ...]]) -> None:
    """Each score with a bar for either side, in the colours of the outlines."""
    rows = []
    for axes in zip(*cards.values(), strict=True):
        bars = "".join(_bar(one, number) for number, one in enumerate(axes))
        needed = "".join(f" {one}" for one in dict.fromkeys(axis.withheld for axis in axes if axis.withheld))
        about = html.escape(axes[0].help + needed)
        rows.append(f"<dt>{html.escape(axes[0].name)}</dt><dd>{bars}<small>{about}</small></dd>")
    st.html(f'<dl class="u-scores">{"".join(rows)}</dl>')
    widgets.quiet("Of 100. In brackets: where the true score lies with 95 % certainty, as far as this test can tell.")


def _bar(axis: ScoreAxis, number: int) -> str:
    if axis.value is None:
        return f'<div class="u-bar"><i></i><b>{"too little" if axis.withheld else "not measured"}</b></div>'
    return (
        f'<div class="u-bar u-bar-{number}"><i><u style="width:{100 * min(1.0, max(0.0, axis.value)):.0f}%"></u></i>'
        f"<b>{axis.shown}</b></div>"
    )


def _sheet(context: AppContext, checkpoint: Checkpoint) -> None:
    key = checkpoint.files.get("samples/sheet.png")
    if key is None:
        widgets.quiet("No sample sheet yet.")
        return
    try:
        widgets.image(context.image(key), "Sample sheet: the fixed prompts as this checkpoint draws them")
    except StoreError:
        widgets.quiet("(the sample sheet is gone)")


def votes_view(context: AppContext, character: str) -> None:
    """Win rates of every pair, and the votes as pairs for a next training."""
    given = votes.votes_of(context, character)
    if not given:
        widgets.quiet("No votes yet. Every answer in a talk can be voted on.")
        return
    blind_only = st.toggle("Count only blind votes", value=False)
    for tally in tallies(given, blind_only):
        with st.container(border=True):
            _tally(context, tally)
    widgets.quiet(
        f"The next training learns from {counted(len(votes.voted(context, character)), 'vote')}: each teaches which of "
        "two answers to give. Votes about a picture alone are not learned from."
    )
    st.download_button(
        "Votes as chosen and rejected answers (JSON lines)",
        lambda: votes.pairs_as_lines(context, character),
        "votes.jsonl",
        "application/jsonl",
        icon=":material/download:",
    )


def _tally(context: AppContext, tally: Tally) -> None:
    first, second = (
        label_of(context, tally.first),
        label_of(context, tally.second),
    )
    st.markdown(f"**{widgets.escaped(first)}** against **{widgets.escaped(second)}**")
    if tally.share is None:
        widgets.quiet("No vote has chosen one of the two yet.")
    else:
        decided = counted(tally.decided, "choice")
        st.progress(tally.share, text=f"The first is preferred in {tally.share:.0%} of {decided}")
        sure = "That is clear." if tally.is_clear else "That could still be chance: more votes would tell."
        widgets.quiet(f"With 95 % certainty the true share is between {tally.low:.0%} and {tally.high:.0%}. {sure}")
    widgets.quiet(
        f"{tally.wins} to {tally.losses}, {counted(tally.ties, 'tie')}, {tally.both_bad} times both bad; "
        f"{tally.blind} of these blind."
    )


def download_view(context: AppContext, choices: Sequence[CheckpointOption]) -> None:
    """Choose a trained checkpoint and download it."""
    trained = [one for one in choices if not one.ref.endswith(f":{BASE}")]
    if not trained:
        widgets.quiet("There is no trained state to download yet.")
        return
    ref = checkpoint_select("Which state", trained, default_of(trained) or only_one_of(trained), "state")
    if not ref:
        return
    strength = widgets.strength_slider("download-strength")
    st.subheader("Use it", anchor=False)
    for kind in (one for one in KINDS if one not in FOR_ENGINEERS):
        _kind(context, ref, kind, strength)
    _, checkpoint = checkpoint_of(context, ref)
    with st.expander("For engineers: the adapter, and Python that uses it", icon=":material/code:"):
        for kind in FOR_ENGINEERS:
            _kind(context, ref, kind, strength)
        widgets.quiet("In the folder of the zip, where Understudy and its training libraries are installed.")
        for title, text in downloads.snippets(checkpoint).items():
            st.markdown(f"**{title}**")
            st.code(text, language="bash" if text.startswith("understudy") else "python")


def _kind(context: AppContext, ref: str, kind: str, strength: float) -> None:
    """One thing to download: what it is, and the way to it."""
    label, about, icon = KINDS[kind]
    if kind == "zip" and not checkpoint_of(context, ref)[1].scores:
        about = "What was learnt, the character card and the report; it was not measured, so it has no scores."
    with st.container(border=True, key=f"take-{kind}"):
        words, way = st.columns([3, 2], vertical_alignment="center")
        with words:
            st.markdown(f"{icon} **{label}**")
            widgets.quiet(about)
        with way:
            _ready(context, ref, kind, strength if kind in ADAPTER_MAKERS else 1.0)


def _ready(context: AppContext, ref: str, kind: str, strength: float) -> None:
    """A button that packs the file, then a link to it that expires; no file is held in memory."""
    key = f"{kind}-{ref}-{strength:g}"
    made: downloads.Download | None = st.session_state.get(f"ready-{key}")
    if made is None:
        way = st.empty()  # the button makes room for what it leads to
        if not way.button("Prepare", key=f"prepare-{key}", icon=":material/inventory_2:", width="stretch"):
            return
        try:
            with st.spinner("Packing"):
                if kind in ADAPTER_MAKERS:
                    made = ADAPTER_MAKERS[kind](context, ref, strength)
                else:
                    made = MAKERS[kind](context, ref)
            way.empty()
        except (NotPossible, CharacterProblems, StoreError, RecordsUnusable) as error:
            st.error(widgets.escaped(str(error)), icon=":material/error:")
            return
        except OSError as error:
            if not is_full(error):
                raise
            st.error(widgets.escaped(f"{widgets.disk_words(error)} {widgets.DISK_MEND}"), icon=":material/error:")
            return
        st.session_state[f"ready-{key}"] = made
    try:
        widgets.download_link("Download now", downloads.address(context, made))
    except StoreError:  # garbage collection took it meanwhile
        del st.session_state[f"ready-{key}"]
        st.button("Prepare again", key=f"again-{key}", icon=":material/refresh:", width="stretch")
