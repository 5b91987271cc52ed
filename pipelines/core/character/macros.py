"""Macros of chat programs in texts: `{{char}}`, `{{user}}`, `{{random::a::b}}`, `{{// comment}}`, `<BOT>` and the like.

`resolve_macros` replaces what has one meaning without a running chat and drops conditional blocks; what depends on the
moment (`{{time}}`, `{{getvar::x}}`) stays as it is, and the checks warn of everything that `PLACEHOLDER` finds. The
names are those of SillyTavern, RisuAI (CBS) and the Character Card V3 specification.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.core.problems import left_out
from pipelines.core.upload_budget import spend

MAX_NAME_CHARS = 200
"""As much of a name is put in the place of a macro; one of 80 can be trained."""
MAX_NESTED = 20
"""Choices inside choices that are resolved; deeper ones stay as they are. Each takes another look at all inside it."""

PLACEHOLDER = re.compile(r"\{\{[^{}]{1,200}\}\}|\{\{[#/:]|<(?:START|BOT|CHAR|USER)>", re.IGNORECASE)
"""A macro or conditional block that a text still holds."""

_BRACES = re.compile(r"\{\{|\}\}")
# Also in single braces, as Backyard and hand-written cards have them.
_ANGLED = re.compile(r"<(user|bot|char)>|(?<!\{)\{(user|char|bot|character)\}(?!\})", re.IGNORECASE)
_USER = re.compile(r"user|random_?user(?:_\d+)?", re.IGNORECASE)
_CHARACTER = re.compile(r"char|bot|character|charifnotgroup", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_USERS = re.compile(rf"(?:<user>|(?<!\{{)\{{user\}}){_POSSESSIVE.pattern}", re.IGNORECASE)
_CHOICE = re.compile(r"(?:random|pick)\s*:(?P<list>.*)", re.IGNORECASE | re.DOTALL)
_MEDIA = re.compile(
    r"(?:img|image|asset|emotion|inlay|inlayed|raw|path|source|bg|background|bgm|audio|video(?:-img)?)\s*::?.*",
    re.IGNORECASE | re.DOTALL,
)
"""Pictures, films and sounds that RisuAI shows where they stand."""
_FIXED = {"noop": "", "trim": "", "original": "", "newline": "\n", "space": " "}


def is_user_macro(label: str) -> bool:
    """Whether a label such as `{{ random_user_1 }}` or `<USER>` stands for the user."""
    return _USER.fullmatch(_bare(label)) is not None and label[:1] in "{<"


def is_character_macro(label: str) -> bool:
    """Whether a label such as `{{char}}` or `<BOT>` stands for the character."""
    return _CHARACTER.fullmatch(_bare(label)) is not None and label[:1] in "{<"


def _bare(label: str) -> str:
    return label.strip("{}<> \t\u00a0")


def resolve_macros(text: str, character: str, user: str, mended: Counter[str] | None = None) -> str:
    """The text with names for macros, comments and conditional blocks taken out, and one of each list of choices.

    `user` is what the user is called; "you" makes `{{user}}'s` "your". `mended` counts what was changed for good.
    """
    counts: Counter[str] = Counter() if mended is None else mended
    character, user = character[:MAX_NAME_CHARS], user[:MAX_NAME_CHARS]
    if len(text) > MAX_NAME_CHARS:
        spend("letters", (text.count("{") + text.count("<")) * max(len(character), len(user)), "A text")
    text = _resolve_spans(text, character, user, counts)

    def named(match: re.Match[str]) -> str:
        return user if (match[1] or match[2]).lower() == "user" else character

    if user == "you":
        text = _USERS.sub("your", text)
    return _ANGLED.sub(named, text).strip()


def _outermost(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every balanced `{{...}}` that lies in no other."""
    depth, start = 0, 0
    for brace in _BRACES.finditer(text):
        if brace.group() == "{{":
            start = brace.start() if depth == 0 else start
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                yield start, brace.end()


def _resolve_spans(text: str, character: str, user: str, counts: Counter[str], depth: int = 0) -> str:
    out: list[str] = []
    opened: list[int] = []  # lengths of `out` where conditional blocks begin
    position = 0
    for start, end in _outermost(text):
        out.append(text[position:start])
        inner, position = text[start + 2 : end - 2].strip(), end
        if inner.startswith("#"):
            opened.append(len(out))
            out.append(text[start:end])  # stays, to be seen, if the block is never closed
        elif inner.startswith("/") and not inner.startswith("//") and opened:
            del out[opened.pop() :]
            counts[left_out("conditional blocks were left out: what they say depends on a running chat")] += 1
        else:
            value = _value(inner, character, user, counts, depth)
            possessive = _POSSESSIVE.match(text, end) if value == user == "you" else None
            if possessive:
                value, position = "your", possessive.end()
            out.append(text[start:end] if value is None else value)
    return "".join(out) + text[position:]


def _first_option(listed: str) -> str:
    """The first of several choices; those of a macro inside one are its own."""
    spans = list(_outermost(listed))
    separator = re.compile("::" if "::" in _between(listed, spans) else r"(?<!\\),")
    ends = (cut.start() for cut in separator.finditer(listed) if not any(a <= cut.start() < b for a, b in spans))
    return listed[: next(ends, len(listed))].replace("\\,", ",").strip()


def _between(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text without what lies in macros."""
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
    return " ".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def _value(inner: str, character: str, user: str, counts: Counter[str], depth: int) -> str | None:
    """What a macro says; None when only a running chat knows."""
    if inner.startswith("//") or inner.lower().startswith("comment:"):
        return ""
    if _USER.fullmatch(inner):
        return user
    if _CHARACTER.fullmatch(inner):
        return character
    choice = _CHOICE.fullmatch(inner)
    if choice and depth < MAX_NESTED:
        counts["choices by chance ({{random}}, {{pick}}) became their first one"] += 1
        return _resolve_spans(_first_option(choice["list"].removeprefix(":")), character, user, counts, depth + 1)
    if _MEDIA.fullmatch(inner):
        counts[left_out("macros that show a picture or play a sound were left out: nobody says them")] += 1
        return ""
    return _FIXED.get(inner.lower())
