"""Pieces that several pages draw: navigation between pages, texts of strangers shown safely, problems, small pictures.

Whatever a person or a card wrote goes through `escaped` (for Markdown) or `html.escape` (inside `st.html`) before it
is drawn, so that a name like `<script>` or `# Title` is seen as it was written and does nothing.
"""

from __future__ import annotations

import functools
import html
import logging
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, ParamSpec
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pipelines.core.full_disk import full_words, is_full
from pipelines.core.jobs.job import Job, JobStatus, RecordMissing, RecordsUnusable
from pipelines.core.jobs.reply_protocol import MAX_STRENGTH
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.storage.store import StoreError
from studio import script_runs
from studio.context import AppContext, shared_context
from studio.labels import STATUS

P = ParamSpec("P")
logger = logging.getLogger("understudy.studio")

CHARACTERS = "app_pages/characters.py"
CREATE = "app_pages/create.py"
TRAINING = "app_pages/training.py"
CHAT = "app_pages/chat.py"
COMPARE = "app_pages/compare.py"
SYSTEM = "app_pages/system.py"

OUT_OF_REACH = (
    "The place where characters, pictures and trainings are kept does not answer. Nothing is lost by that: trainings "
    "go on, and what you type is kept in this browser until it can be saved."
)
DISK_MEND = "Free some space there and try again."
PRESS_S = 10.0
"""How long a press waits for a run that comes to its button; later, nobody expects it any more."""
SHOWN = "shown-problems"
SHOWN_S = 60.0
"""How long problems stand on a page that is drawn anew without an action."""
MAX_SHOWN_PROBLEMS = 8
"""Problems of one click that are shown; the rest is counted."""
_STYLE = Path(__file__).with_name("style.css")
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])")
_STATUS_BADGE: dict[JobStatus, tuple[str, str]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "running": (":material/school:", "blue"),
    "stopping": (":material/pause_circle:", "orange"),
    "succeeded": (":material/check_circle:", "green"),
    "stopped": (":material/stop_circle:", "gray"),
    "failed": (":material/error:", "red"),
}


@dataclass(frozen=True)
class ShownProblems:
    """What went wrong with the latest action."""

    problems: tuple[Problem, ...]
    address: tuple[object, ...]
    """Of the page that told it."""
    since: float
    """`time.monotonic()` when it was first told."""


def app_context() -> AppContext:
    """The one context of this process."""
    return shared_context()


def apply_style() -> None:
    """Our own style on top of the theme, and what `autosave.js` needs: the tab's name, a button to draw anew."""
    st.html(_STYLE)
    script_runs.note_tab(tab())
    with st.container(key="autosave"), st.container(key=f"tab-{tab()}"):
        st.button("Look again", key="look-again")  # autosave.js presses it when the page has news


def note_address() -> None:
    """Tell `autosave.js` which address this run has drawn, at its end; `is_new_here` asks for it."""
    st.session_state["drawn"] = address()
    st.html(f'<span class="u-drawn" data-address="{html.escape(urlencode(st.query_params.to_dict()))}"></span>')


def address() -> tuple[object, ...]:
    """Which page with which parameters is drawn."""
    context = get_script_run_ctx()
    return (context.page_script_hash if context else "", *sorted(st.query_params.to_dict().items()))


def is_new_here() -> bool:
    """Whether the run before this one drew another page, or the page with other parameters."""
    return bool(st.session_state.get("drawn") != address())


def tab() -> str:
    """The name of this browser tab's session: texts are kept with it (`actions/typed.py`)."""
    if "tab" not in st.session_state:
        st.session_state["tab"] = secrets.token_hex(8)
    return str(st.session_state["tab"])


def pressed(label: str, *, key: str, **how: Any) -> bool:
    """`st.button`, and True also in the run after the press when that run was cut short before it came here.

    Streamlit ends a run as soon as another is wanted, and a press is only told to the first.
    """
    name = f"pressed-{key}"
    st.button(label, key=key, on_click=_note_press, args=(name,), **how)
    return bool(time.monotonic() - st.session_state.pop(name, float("-inf")) < PRESS_S)


def slot(gap: Literal["small", "xsmall", "xxsmall"] = "small") -> DeltaGenerator:
    """A place for what comes and goes above or between fields; empty, it takes no room on the page.

    Streamlit sends a page piece by piece, each to its number among its siblings. Where one comes to stand before a
    field, the field gives its number away and comes back with the next one: made anew, without the cursor.
    """
    return st.container(gap=gap)


def new_uploads(uploads: Sequence[UploadedFile]) -> list[UploadedFile]:
    """Those that this session has not been given yet.

    A callback whose run was cut short is called once more, with the same files: pictures were there twice.
    """
    given: set[str] = st.session_state.setdefault("uploads-given", set())
    new = [upload for upload in uploads if upload.file_id not in given]
    given.update(upload.file_id for upload in new)
    return new


def _note_press(name: str) -> None:
    st.session_state[name] = time.monotonic()


def param(name: str) -> str:
    """A value of the address, such as `character`; "" when it is not there."""
    return st.query_params.get(name, "")


def number_param(name: str, low: int, high: int) -> int:
    """A number of the address inside its limits; the lower limit for anything else."""
    text = param(name)
    return min(max(int(text), low), high) if text.isdecimal() and len(text) < 9 else low


def go(page: str, **params: str | int) -> NoReturn:
    """Switch to another page, with ids in its address."""
    st.switch_page(page, query_params={name: str(value) for name, value in params.items()})


def escaped(text: str) -> str:
    """Somebody's words for a place that reads Markdown: every mark is shown as it stands."""
    return _MARKS.sub(r"\\\1", text).replace("\n", "  \n")


def title(text: str, about: str = "") -> None:
    """The heading of a page, and one quiet line below it."""
    st.title(text, anchor=False)
    if about:
        st.html(f'<p class="u-about">{html.escape(about)}</p>')


def quiet(text: str) -> None:
    """A small grey line; the words may be anybody's."""
    st.html(f'<p class="u-quiet">{html.escape(text)}</p>')


def attempt(action: Callable[..., object], *args: object) -> object:
    """Run an action for a button or field; why it failed is shown by `show_problems` in the same run."""
    st.session_state.pop(SHOWN, None)  # somebody goes on: what an earlier action said is read
    try:
        return action(*args)
    except CharacterProblems as error:
        remember_problems(error.problems)
    except (RecordMissing, RecordsUnusable, StoreError, ValueError) as error:
        remember_problems([Problem("", sentence(str(error)), "")])
    except OSError as error:
        if not is_full(error):
            raise
        remember_problems([Problem("", disk_words(error), DISK_MEND)])
    return None


def disk_words(error: OSError) -> str:
    """What is said of a disk that was full when something was to be written to it."""
    return full_words(error.filename or tempfile.gettempdir(), "this could not be done")


def live(draw: Callable[P, None], every_s: float | None) -> Callable[P, None]:
    """A part of a page that is drawn again by itself every so many seconds; None: only with the page.

    What a part raises would else be told in English for engineers, in place of the part: `navigation.py` catches only
    what a whole page raises.
    """

    @functools.wraps(draw)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except RecordMissing as error:
            nothing_here(str(error))
        except (RecordsUnusable, StoreError) as error:
            logger.warning("a part of a page cannot be drawn: %s", error)
            again = f"It is tried again every {every_s:g} seconds." if every_s else "Look again in a moment."
            st.warning(f"{OUT_OF_REACH} {again}", icon=":material/cloud_off:")

    return st.fragment(guarded, run_every=every_s)


def draw_anew() -> None:
    """Have the whole page drawn anew, from a part of it that draws itself again: as soon as no dialog is open.

    A run of the whole page closes a dialog, with what is typed in it, so `autosave.js` asks for that run. Where the
    browser has no such script the page is drawn at once.
    """
    if shared_context().has_script(tab()):
        st.html(f'<span class="u-news" data-news="{secrets.token_hex(4)}"></span>')
    else:
        st.rerun()


def act(action: Callable[..., object], *args: object) -> None:
    """`attempt` for a button that wants no answer."""
    attempt(action, *args)


def remember_problems(found: Iterable[Problem]) -> None:
    """Keep problems until the page draws them, wherever on the page the click was."""
    st.session_state.setdefault("problems", []).extend(found)


def show_problems() -> None:
    """Draw what `attempt` and `remember_problems` kept: until the next action, the next address, or for SHOWN_S.

    Not in one run alone. Another may follow at once that nobody asked for (an emptied upload field, a redraw by
    `autosave.js`), and the words would be gone before they are read.
    """
    state = st.session_state
    if state.get("problems"):
        state[SHOWN] = ShownProblems(tuple(state.problems), address(), time.monotonic())
        state.pop("problems", None)  # only now: a run that is cut short in between shows them again
    shown: ShownProblems | None = state.get(SHOWN)
    if shown is None:
        return
    if shown.address != address() or time.monotonic() - shown.since > SHOWN_S:
        state.pop(SHOWN, None)
        return
    found = shown.problems
    problems(list(dict.fromkeys(found))[:MAX_SHOWN_PROBLEMS])
    if len(found) > MAX_SHOWN_PROBLEMS:
        quiet(f"And {len(found) - MAX_SHOWN_PROBLEMS} more of this kind.")


def sentence(text: str) -> str:
    """The text with a capital first letter and an end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def nothing_here(message: str, page: str = CHARACTERS, way_out: str = "To the characters") -> None:
    """What stands where something was deleted or never was, with a way out."""
    st.info(escaped(sentence(message)), icon=":material/search_off:")
    st.page_link(page, label=way_out, icon=":material/arrow_back:")


def status_badge(job: Job, shortfall: str = "") -> None:
    """A job's status in a word, a sign and a colour; `shortfall` says why a training that is over is not good yet."""
    icon, colour = _STATUS_BADGE[job.status]
    words = STATUS[job.status]
    if shortfall:
        icon, colour, words = ":material/flag:", "orange", f"{words}, not good yet"
    st.badge(words, icon=icon, color=colour, help=shortfall or None)  # type: ignore[arg-type]  # one of the literals above


def problems(found: Iterable[Problem]) -> None:
    """Problems one below the other: red keeps a character from being trained, amber could be better."""
    for item in found:
        shown = f"**{escaped(item.said)}** {escaped(item.mend)}"
        if item.severity == "error":
            st.error(shown, icon=":material/error:")
        else:
            st.warning(shown, icon=":material/lightbulb:")


def image(data: bytes | None, alt: str, width: int | str = "stretch") -> None:
    """A picture with words for those who do not see it; a quiet frame where there is none."""
    if data is None:
        st.html('<div class="u-frame" role="img" aria-label="No picture yet"><span>no picture yet</span></div>')
        return
    st.image(data, width=width, alt=alt)  # type: ignore[arg-type]  # pixels, or one of Streamlit's words


def caution(text: str) -> None:
    """What somebody should know before they go on with what they chose; nothing for ""."""
    if text:
        st.warning(escaped(text), icon=":material/warning:")


def chips(words: Sequence[str]) -> None:
    """Short words in a row, as labels that do nothing."""
    if words:
        inner = "".join(f'<span class="u-chip">{html.escape(word)}</span>' for word in words)
        st.html(f'<div class="u-chips">{inner}</div>')


def download_link(label: str, address: str) -> None:
    """A link that looks like the main button and brings a file; the page stays where it is."""
    st.html(f'<a class="u-download" href="{html.escape(address)}" download>{html.escape(label)}</a>')


def strength_slider(key: str) -> float:
    """How much of what was learned is used."""
    return st.slider(
        "Strength of what was learned",
        0.0,
        MAX_STRENGTH,
        1.0,
        0.05,
        key=key,
        help="0 is the model before training, 1 what the training made. Less where they only repeat themselves, more "
        "where they are still somebody else.",
    )
