"""Lines that begin with a label and a colon, found in plain text in all the ways in which people write them.

A label may stand in bold, in brackets or quotes, behind `#`, a list mark, a time (`[10:15] Anna:`), invisible letters
or HTML tags, and beside a stage direction (`Anna (whispers):`, `Anna *laughs*:`, `Anna, still laughing:`). Whether it
is a speaker is decided in `speaker_labels.py`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipelines.core.formats.label_words import INTERJECTIONS, NOT_NAMES, OPENING_WORDS

MACRO = r"\{\{[ \t]*\w+[ \t]*\}\}|<(?:user|bot|char)>|\{(?:user|char|bot|character)\}"
"""A macro as a label."""
MAX_WORDS = 8
"""Most words of a label that is no known name."""
_HIDDEN = r"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_GAP = rf"[ \t\x0b\x0c\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000{_HIDDEN}]"
_SYMBOLS = re.compile(
    r"^[\s\u2190-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff]+|[\s\u2190-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff]+$"
)
_TAG = r"(?:</?(?:b|strong|i|em|u|span|font|p|div|li)\b[^<>\n]{0,100}>)"
_DAY = r"(?:\d{1,4}[./-](?:\d{1,2}|[A-Za-z]{3})[./-]\d{1,4}[,T]?[ \u00a0]?)"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[ \u00a0\u202f]?[ap]\.?m\.?)?"
_TIME = rf"(?:\[{_DAY}?{_CLOCK}\]|\({_DAY}?{_CLOCK}\)|{_DAY}?{_CLOCK}){_GAP}*(?:[-\u2013\u2014]{_GAP}*)?"
_COLON = (
    r"(?:(?:(?<!\d):|:(?!\d))(?!//|:)|\uff1a)"  # no times, no addresses, no `File::Copy`; \uff1a: Chinese and Japanese
)
_NAME = r"[^\s:\uff1a{}<>|\[\]()*_=;\"\u201c\u201d\u00ab\u00bb\\/,.!?-][^\n:\uff1a{}<>|\[\]()*=;\\/]{0,59}?"
_STAGED = r"(?:\([^()\n]{1,60}\)|\[[^\[\]\n]{1,60}\]|\*{1,2}[^*\n]{1,60}\*{1,2}|_[^_\n]{1,60}_)"
"""A stage direction in brackets or stars."""
_STAGE_ALONE = re.compile(rf"{_GAP}*{_STAGED}")
_NO_MANNER = (
    "darling|duckling|sibling|(?:some|any|every|no)?thing|morning|evening|king|ring|spring|string|wing|being|ceiling"
    "|building|wedding|clothing|during|(?:in|ex)cluding|concerning|regarding|according|considering|willing"
)
MANNER = (
    rf"(?:,|{_GAP}[-\u2013\u2014]){_GAP}*(?:(?:\w+ly|still|now|then|while|half|almost|already){_GAP}+){{0,2}}"
    rf"(?!(?:{_NO_MANNER})\b)[a-z]{{2,}}ing\b(?:{_GAP}+[\w'\u2019]+){{0,4}}"
)
"""A stage direction without brackets: how somebody speaks, never whom they call."""
_SENTENCE_END = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bSt)(?<!\b[^\W\d_])[.!?,\u2026\u3001\u3002]\s")
_PERSON = r"(?:\{{1,2}[ \t]*(?:user|char|bot|character|random_?user(?:_\d+)?)[ \t]*\}{1,2}|<(?:user|bot|char)>)"
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
_INLINE = re.compile(
    rf"(?P<before>[^\s{_HIDDEN}]{{1,20}}){_GAP}+"
    rf"(?=(?:\*\*|__)?(?P<macro>{_PERSON})(?:\*\*|__)?(?:{_GAP}*{_STAGED}|{MANNER})?(?:\*\*|__)?{_GAP}*[:\uff1a])",
    re.IGNORECASE,
)
_ANY_MACRO = re.compile(rf"\S{_GAP}+(?:\*\*|__)?{_PERSON}", re.IGNORECASE)
_SPEECH_VERBS = re.compile(
    r"(?:to|at|for|with|of|from|by|and|or|like|tells?|told|asks?|asked|answers?|answered|calls?|called)\Z",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
_DASHED = re.compile(rf"^{_GAP}*({_PERSON}){_GAP}+[-\u2013\u2014]{_GAP}+", re.IGNORECASE | re.MULTILINE)
_DASHED_NAME = re.compile(
    rf"^{_GAP}*(?P<name>[^\W\d_a-z][\w'\u2019.]*(?: [^\W\d_a-z][\w'\u2019.]*){{0,3}}){_GAP}+[-\u2013\u2014]{_GAP}+"
    r"(?=[\"\u201c'*(]?[^\W\d_a-z])",
    re.MULTILINE,
)
"""A name where a speaker's macro has a dash behind it, too."""
_MACRO_COLON = re.compile(
    rf"^{_GAP}*{_PERSON}(?:{_GAP}*{_STAGED}|{MANNER})?{_GAP}*[:\uff1a]", re.IGNORECASE | re.MULTILINE
)
_NICKS = re.compile(
    rf"^{_GAP}*(?:{_TIME})?<[@+%&~]?([^<>\s/:|][^<>\n:|/]{{0,30}})>{_GAP}+(?=\S)", re.IGNORECASE | re.MULTILINE
)
"""Lines of IRC: `<anna> Is it open?`"""
_TABS = re.compile(r"^[ ]*([^\t\n:]{1,40})\t+(?=\S)", re.MULTILINE)
_INSTRUCT = re.compile(r"^###[ \t]*(?P<who>instruction|input|response|output)[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class LabelLine:
    """A label at the start of a line."""

    label: str
    start: int
    """Where its line's decoration begins."""
    end: int
    """Where the words behind it begin."""
    aside: str = ""
    """A stage direction beside the label."""
    is_listed: bool = False
    """Behind a list mark, in a block between lines of ```, or with a stage direction that has no brackets."""


@lru_cache(maxsize=4096)
def label_key(label: str) -> str:
    """A label as labels are compared: no invisible letters or emoji around it, one width, one case, single spaces."""
    if label.isascii():
        return " ".join(label.split()).casefold()
    plain = " ".join(re.sub(rf"[{_HIDDEN}]", "", unicodedata.normalize("NFKC", label)).split())
    return (_SYMBOLS.sub("", plain) or plain).casefold()


def label_lines(text: str, known: Sequence[str]) -> list[LabelLine]:
    """Every line of the text that begins with a label; `known` are names that are labels whatever they look like."""
    if ":" not in text and "\uff1a" not in text:
        return []
    found = []
    fences = [fence.start() for fence in _FENCE.finditer(text)] if "```" in text else []
    for match in _pattern(tuple(known)).finditer(text):
        label = match["label"].strip()
        if match["known"] is not None or _is_label(label):
            listed = (match["bullet"] or match["manner"]) is not None or bisect(fences, match.start()) % 2 == 1
            staged = match["aside"] or match["after"] or match["manner"] or match["ahead"] or ""
            found.append(LabelLine(label, match.start(), match.end(), staged.strip("()[]*_,-\u2013\u2014 \t"), listed))
    return found


def _is_label(label: str) -> bool:
    """Whether words before a colon can be a name: not a sentence, not a number."""
    return (
        (label[0].isalpha() or any(letter.isalpha() for letter in label))
        and label.count(" ") < MAX_WORDS
        and label.count('"') % 2 == 0
        and not _SENTENCE_END.search(label)
    )


@lru_cache(maxsize=64)
def _pattern(known: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join([*map(re.escape, sorted(filter(None, known), key=len, reverse=True)), MACRO])
    closing = r"(?(open)[\"\u201d\u00bb)\]\u300d]|)"
    return re.compile(
        rf"^(?=[^\n]{{0,240}}?[:\uff1a]){_GAP}*(?:{_TIME})?(?P<bullet>(?:[-\u2022>]|\d{{1,3}}[.)]){_GAP}+)?"
        rf"(?:(?P<ahead>{_STAGED}){_GAP}*(?=[*_(\[\"]*(?:{names})))?(?:#+{_GAP}*)?(?:{_TAG}{_GAP}*)*(?P<mark>\*{{1,3}}|_{{1,3}}|)(?P<open>[\"\u201c\u00ab(\[\u300c])?"
        rf"(?P<label>(?P<known>{names})|{_NAME}){closing}(?:{_GAP}*(?P<aside>{_STAGED})|(?P<manner>{MANNER}))?"
        rf"{_TAG}*{_GAP}*(?:(?P=mark){_TAG}*{_GAP}*(?P<after>{_STAGED})?{_GAP}*{_COLON}|{_COLON}(?P=mark)){_TAG}*{_GAP}*",
        re.IGNORECASE | re.MULTILINE,
    )


def with_lines_and_colons(text: str) -> str:
    """The text with line feeds for HTML breaks and escapes, and a colon behind each speaker.

    For `### Instruction:` and `### Response:` macros stand; a log whose lines all begin with `<anna>`, or a name and a
    tab, and blocks of `{{user}} - words` get colons.
    """
    if "<br" in text.lower():
        text = _BREAK.sub("\n", text)
    if "\n" not in text.strip() and "\\n" in text:
        text = text.replace("\\r", "").replace("\\n", "\n")  # line ends that were escaped twice
    if "###" in text:
        text = _INSTRUCT.sub(_instructed, text)
    if _DASHED.search(text) and not _MACRO_COLON.search(text):
        return _DASHED_NAME.sub(_with_colon, _DASHED.sub(r"\1: ", text))
    for marks in (_NICKS, _TABS) if text[:1] in "<[" or "\t" in text else ():
        if _are_all(marks, text):
            return marks.sub(r"\1: ", text)
    return text


def _are_all(marks: re.Pattern[str], text: str) -> bool:
    """Whether nearly all lines of a text begin with a name in such marks, and two people or more speak."""
    found = marks.findall(text)
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    return len(set(found)) > 1 and len(found) * 5 >= lines * 4


def _with_colon(match: re.Match[str]) -> str:
    """A name with a colon for its dash; other words stay as they are."""
    words = {word.strip(".'\u2019") for word in label_key(match["name"]).split()}
    return match.group() if words & (NOT_NAMES | OPENING_WORDS | INTERJECTIONS) else f"{match['name']}: "


def _instructed(match: re.Match[str]) -> str:
    return "{{user}}:" if match["who"].lower() in ("instruction", "input") else "{{char}}:"


def one_speaker_a_line(text: str) -> str:
    """The text with a line of its own for each speaker, where macros with a colon stand inside a line.

    A macro with a colon inside a line begins a turn where a sentence ends before it, or where that speaker begins no
    line of the text; "I said to {{user}}: wait" is one turn.
    """
    if not _ANY_MACRO.search(text):
        return text
    begun = {_bare(line.label) for line in label_lines(text, ()) if line.label[:1] in "{<"}

    def parted(match: re.Match[str]) -> str:
        ends = match["before"][-1] in '.!?\u2026\u3002\uff01\uff1f"\u201d\u00bb*)]~'
        alone = _bare(match["macro"]) not in begun and not _SPEECH_VERBS.search(match["before"])
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.end("before")]
        starts_line = line in ("#", "-", "*", ">", "\u2022") or _STAGE_ALONE.fullmatch(line) is not None
        return match["before"] + "\n" if (ends or alone) and not starts_line else match.group()

    return _INLINE.sub(parted, text)


def _bare(macro: str) -> str:
    return macro.strip("{}<> \t").lower()
