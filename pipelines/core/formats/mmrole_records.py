"""One MMRole sample and the text that it is written as: `parse_record` reads the published form, `write_record` it.

MMRole (arXiv 2408.04203) trains and tests role-play about a picture in three scenarios: a comment, a talk with a human
and a talk with another role. A sample has two messages. The first holds everything, in sections two blank lines apart:
who plays, the role's profile, the other role's, what is told about the picture, the talk so far, and the instruction
with the other's last words (none where the role is to begin). The second is the role's reply; files of answers add a
model's under `answer`, which is never taken for the role's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from pipelines.core.file_names import storable
from pipelines.core.problems import left_out
from pipelines.core.words import tidy_text

Scenario = Literal["comment", "human-role", "inter-role"]
SCENARIOS: tuple[Scenario, ...] = ("comment", "human-role", "inter-role")
RUN_ON_LEFT_OUT = left_out("lines of somebody else inside a reply were left out, with what follows them")
HUMAN = "a curious human"
"""`other_role` where the role talks with no other role."""
HUMAN_LABEL = "human"
"""What stands before the human's lines of a talk."""
_BREAK = "\n\n\n"
_ABOUT = re.compile(r"The description of (?P<name>.+?) is as follows:\n")
_IMAGE = re.compile(r"The auxiliary information of the image is as follows:\n")
_HISTORY = re.compile(r"The conversation history between .+? is as follows:\n")
_INSTRUCTION = re.compile(r"Please\b.*(?:\bwords of\b|\bconversation\b)")
_LINE = re.compile(r"^\[(?P<name>[^\]\n]{1,80})\][:\uff1a][ \t]*", re.MULTILINE)
_LANGUAGE = re.compile(r"\bin (?P<language>[A-Z][a-z]+)\b(?= using)")

WORDING: dict[str, str] = {
    "first": "Please take the part of {role} from {script}. You are talking with {other} about the given image.",
    "about": "The description of {name} is as follows:",
    "image": "The auxiliary information of the image is as follows:",
    "history": "The conversation history between {role} and {other} is as follows:",
    "answer": "Please answer the following words of {other} about the image in {language} using the voice of {role}:",
    "open": "Please begin the conversation with {other} in {language} using the voice of {role}, about the image.",
}
"""Sentences around the parts of a sample, where an import has not left those of its own file."""


@dataclass(frozen=True)
class Line:
    """Somebody's words in a talk."""

    name: str
    """Who says it; "" for the human."""
    words: str


@dataclass(frozen=True)
class MMRoleRecord:
    """One sample: a talk about a picture that ends with the role's reply."""

    id: str
    role: str
    script: str
    other: str
    """The other role; "" for the human."""
    scenario: Scenario
    image: str
    """Path below the data set's `images/`."""
    profile: str
    other_profile: str
    image_info: str
    history: tuple[Line, ...]
    words: str
    """What the other says last; "" where the role begins."""
    reply: str
    language: str = "English"
    system: str = ""
    wording: dict[str, str] = field(default_factory=dict)
    """The sentences of this sample around its parts, as templates like `WORDING`."""
    has_answer: bool = False
    """A model's answer or a review of one stood in it."""
    run_on: str = ""
    """What stood in the reply from the first line of somebody else on; it is no part of `reply`."""


def folder_name(role: str) -> str:
    """A role's name as one folder: no separators, nothing that a system refuses."""
    return storable(role.replace(" ", "_")[:80], "role")


def is_record(value: Any) -> bool:
    """Whether a JSON value has the shape of an MMRole sample."""
    if not isinstance(value, dict) or not isinstance(value.get("role"), str) or "other_role" not in value:
        return False
    if value["other_role"] is not None and not isinstance(value["other_role"], str):
        return False
    talk = value.get("conversations")
    turns = [turn for turn in talk if isinstance(turn, dict)] if isinstance(talk, list) else []
    return len(turns) == 2 and all(isinstance(turn.get("value"), str) for turn in turns)


def parse_record(value: Mapping[str, Any]) -> MMRoleRecord | None:
    """The sample of a JSON object for which `is_record` holds; None when its parts cannot be told apart."""
    role, other_role = tidy_text(value["role"]).strip(), tidy_text(value["other_role"] or HUMAN).strip()
    prompt, answer = value["conversations"]
    sections = _sections(tidy_text(prompt["value"]))
    profiles = {name.strip(): text for name, text in sections.about}
    spoken_by_others = {name.name for name in _lines(sections.told.get("history", ""), role)} - {role}
    reply, run_on = _own_words(tidy_text(answer["value"]).strip(), role, spoken_by_others | {other_role, "", HUMAN})
    if not role or not reply or not sections.instruction:
        return None
    history = sections.told.get("history", "")
    instruction, found, words = sections.instruction.partition("\n")
    other = "" if other_role == HUMAN else other_role
    names = {"role": role, "script": _text(value, "script"), "other": other or _human_in(instruction)}
    language = _LANGUAGE.search(instruction)
    spoken = language["language"] if language else "English"
    wording = {"first": sections.first, "answer" if found else "open": instruction}
    return MMRoleRecord(
        id=_text(value, "id"),
        role=role,
        script=names["script"],
        other=other,
        scenario=_scenario(_text(value, "id"), other, history),
        image=_text(value, "image"),
        profile=profiles.get(role, "").strip(),
        other_profile=profiles.get(other, "").strip() if other else "",
        image_info=sections.told.get("image", "").strip(),
        history=_lines(history, role),
        words=words.strip(),
        reply=reply,
        language=spoken,
        system=_text(value, "system"),
        wording={key: _template(text, {**names, "language": spoken}) for key, text in wording.items()},
        has_answer="answer" in answer or "rm_review" in value,
        run_on=run_on,
    )


@dataclass
class _Sections:
    first: str = ""
    instruction: str = ""
    about: list[tuple[str, str]] = field(default_factory=list)
    """Name and profile."""
    told: dict[str, str] = field(default_factory=dict)
    """What is told about the `image`, and the `history`."""


def _sections(prompt: str) -> _Sections:
    """The parts of a prompt; blank lines inside a part stay in it."""
    found = _Sections()
    pieces = prompt.split(_BREAK)
    found.first = pieces[0].strip()
    # The instruction stands last; words behind it may hold blank lines of their own.
    starts = [place for place, piece in enumerate(pieces) if place and _INSTRUCTION.match(piece.partition("\n")[0])]
    end = starts[-1] if starts else len(pieces)
    found.instruction = _BREAK.join(pieces[end:]).strip()
    kind = ""
    for piece in pieces[1:end]:
        about, image, history = _ABOUT.match(piece), _IMAGE.match(piece), _HISTORY.match(piece)
        if about:
            kind = "about"
            found.about.append((about["name"], piece[about.end() :]))
        elif image:
            kind, found.told["image"] = "image", piece[image.end() :]
        elif history:
            kind, found.told["history"] = "history", piece[history.end() :]
        elif kind == "about":
            name, text = found.about[-1]
            found.about[-1] = name, text + _BREAK + piece
        elif kind:
            found.told[kind] += _BREAK + piece
    return found


def _own_words(reply: str, role: str, others: Collection[str]) -> tuple[str, str]:
    """A reply up to the first line of somebody else, and what stands from there on: models run on with the talk."""
    own = re.sub(rf"\A\[{re.escape(role)}\][:\uff1a][ \t]*", "", reply, flags=re.IGNORECASE)
    known = {name.casefold() for name in others} | {HUMAN_LABEL, "user", "you"}
    for mark in _LINE.finditer(own):
        if mark["name"].strip().casefold() in known:
            return own[: mark.start()].strip(), own[mark.start() :].strip()
    return own.strip(), ""


def _lines(history: str, role: str) -> tuple[Line, ...]:
    """Who said what so far: only a line that begins with the role's own name is the role's."""
    marks = list(_LINE.finditer(history))
    lines = []
    for mark, following in zip_longest(marks, marks[1:]):
        name = mark["name"].strip()
        words = history[mark.end() : following.start() if following else len(history)].strip()
        plain = "" if name.casefold().removeprefix("the ").removeprefix("curious ") == HUMAN_LABEL else name
        lines.append(Line(role if name.casefold() == role.casefold() else plain, words))
    return tuple(line for line in lines if line.words)


def _scenario(id: str, other: str, history: str) -> Scenario:
    if other:
        return "inter-role"
    return "comment" if "_comment_" in id and not history else "human-role"


def _human_in(instruction: str) -> str:
    """How the instruction calls the human, so that templates know the name."""
    found = re.search(r"\b(?:the|a) curious human\b|\b(?:the|a) human\b", instruction)
    return found.group() if found else "the curious human"


def _template(sentence: str, names: Mapping[str, str]) -> str:
    """A sentence with its names as `{role}`, `{script}`, `{other}`, `{language}`; longer names first."""
    plain = sentence.replace("{", "{{").replace("}", "}}")
    for key, name in sorted(names.items(), key=lambda item: -len(item[1])):
        if len(name) > 1:
            # The human is "a" one where the talk is told and "the" one where words of theirs follow.
            plain = re.sub(rf"(?<![{{\w]){re.escape(name)}(?!\w)", f"{{{key}}}", plain)
    return plain


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    return tidy_text(text).strip() if isinstance(text, str) else ""


# ---------------------------------------------------------------- out


def write_record(record: MMRoleRecord) -> dict[str, Any]:
    """The JSON object of a sample, in the published form."""
    names = {
        "role": record.role,
        "script": record.script,
        "other": record.other or "the curious human",
        "language": record.language,
    }
    parts = [_filled(record, "first", names)]
    parts.append(f"{WORDING['about'].format(name=record.role)}\n{record.profile}")
    if record.other and record.other_profile:
        parts.append(f"{WORDING['about'].format(name=record.other)}\n{record.other_profile}")
    if record.image_info:
        parts.append(f"{WORDING['image']}\n {record.image_info}")
    if record.history:
        lines = [f"[{line.name or HUMAN_LABEL}]: {line.words}" for line in record.history]
        parts.append("\n".join([WORDING["history"].format(**names), *lines]))
    asked = f"\n{record.words}" if record.words else ""
    parts.append(_filled(record, "answer" if record.words else "open", names) + asked)
    return {
        "id": record.id,
        "system": record.system,
        "image": record.image,
        "conversations": [
            {"from": "user", "value": _BREAK.join(parts)},
            {"from": "assistant", "value": record.reply},
        ],
        "role": record.role,
        "script": record.script,
        "other_role": record.other or HUMAN,
    }


def _filled(record: MMRoleRecord, key: str, names: Mapping[str, str]) -> str:
    for template in (record.wording.get(key), WORDING[key]):
        try:
            if template:
                return template.format(**names)
        except (KeyError, IndexError, ValueError):
            continue  # somebody has edited it in the character's file
    return ""


def talk_of(lines: Sequence[Line], role: str) -> list[Line]:
    """Lines with those in a row of the same side joined: the role's own, and everybody else's."""
    joined: list[Line] = []
    for line in lines:
        if joined and (joined[-1].name == role) == (line.name == role):
            last = joined[-1]
            # Two others in a row: the second keeps its name before its words.
            more = line.words if line.name == last.name else f"{line.name or 'The human'}: {line.words}"
            joined[-1] = Line(last.name, f"{last.words}\n{more}")
        else:
            joined.append(line)
    return joined
