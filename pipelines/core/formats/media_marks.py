"""Marks that stand for a picture, film or sound in the words of a data set, reasoning between tags, and words out of
character.

None of them is something that anybody says. The forms are those of LLaVA and LLaMA-Factory (`<image>`, `<video>`),
Qwen-VL (`Picture 1: <img>a.jpg</img>`), Janus (`<image_placeholder>`), Llama and Phi (`<|image|>`, `<|image_1|>`),
Markdown, HTML and RisuAI (`<img="name">`).
"""

from __future__ import annotations

import re
from collections import Counter

from pipelines.core.formats.import_notes import tell
from pipelines.core.problems import left_out
from pipelines.core.words import visible

MEDIA_LEFT_OUT = left_out("pictures named in the data were left out: add them to the character's images")
FILMS_LEFT_OUT = left_out("films and sounds named in the data were left out: only pictures can be shown")
THOUGHTS_LEFT_OUT = left_out("thoughts between <think> tags were left out: they are not said")

OOC_LEFT_OUT = left_out("words out of character (OOC) and notes to the writer were left out")
SIGNS_LEFT_OUT = left_out("signs of a model's chat format, like <|im_end|>, were left out")
_CHAT_SIGNS = re.compile(
    r"[ \t]?<\|(?:im_start|im_end|eot_id|end_of_text|endoftext|begin_of_text)\|>|</s>\s*\Z|<end_of_turn>", re.IGNORECASE
)
_OOC_SIGNS = ("OOC", "ooc", "((", "[", "A/N", "a/n")

_WORD = r"(?:image|img|picture|photo|video|audio|speech|sound)"
_FILM = re.compile(r"\W*(?:(?:vision|start|end|begin|of)_)?(?:video|audio|speech|sound)", re.IGNORECASE)
_MARK = re.compile(
    rf"[ \t]*(?:"
    rf"(?:(?:Picture|Image|Video|Audio)[ \t]*\d+:[ \t]*)?<img>[^<>\n]{{0,300}}</img>"
    rf"|<(?P<tag>{_WORD})>[ \t]*(?:[^\s<>]{{1,300}}\.\w{{2,5}}|https?://[^\s<>]{{1,300}})[ \t]*</(?P=tag)>"
    rf"|data:(?:image|audio|video)/[\w.+-]{{1,40}};base64,[A-Za-z0-9+/=_-]*"
    rf"|<\|?(?:start|begin|end)_of_{_WORD}\|?>|<\|?im(?:g|age)?_(?:start|end|patch|context|pad|col|row)\d*\|?>"
    rf"|<\|?(?:vision_start|vision_end|audio_bos|audio_eos|vision_bos|vision_eos)\|?>"
    rf"|<\|?{_WORD}(?:_?(?:pad|placeholder|token|here|soft_token))?[ _]?\d*\|?/?>"
    rf"|</{_WORD}>|<img[ =][^<>]{{0,300}}>|\[img\][^\[\]]{{0,300}}\[/img\]|!\[[^\[\]\n]{{0,300}}\]\([^()\s]{{0,500}}\)"
    rf"|<(?:media omitted|attached: ?[^<>\n]{{1,200}})>|</?gen>"
    rf"|\[(?-i:IMAGE|IMG|PICTURE|PIC|PHOTO|VIDEO|AUDIO|image|img)(?:[ _-]?\d{{1,3}})?\](?!\())[ \t]*\n?",
    re.IGNORECASE,
)
_SIGNS = ("<", "![", "[", "data:")
_PLACE = "\ufffc"
"""Stands where a mark was: the sign of Unicode for an object between letters."""
_OBJECT = re.compile(
    rf"\A[^.!?\n]*\b(?:of|in|on|at|with|to|and|or|than|from|between|like|versus|vs|into|for)[ \t]*{_PLACE}+[ \t]*"
    rf"(?=[?.!,;:\n]|\Z)",
    re.IGNORECASE,
)
"""A mark that is a word of the first sentence."""
_FILM_FILE = re.compile(r"\.(?:wav|mp3|ogg|flac|m4a|mp4|webm|mov|avi|mkv)\b|data:(?:audio|video)/", re.IGNORECASE)
_THOUGHTS = re.compile(r"<think(?:ing)?>(?:(?!<think)[\s\S]){0,20000}?</think(?:ing)?>\s*", re.IGNORECASE)
_OOC = re.compile(
    r"[ \t]?(?:\(\(?|\[\[?|\{)[ \t]*OOC\b[^()\[\]{}]{0,2000}(?:\)\)?|\]\]?|\})"
    r"|^[ \t]*(?:(?:/?OOC|A/N)[ \t]*[:\uff1a][^\n]*|\(\([^()\n]{1,2000}\)\)"
    r"|\[[^\[\]\n]{0,300}\b(?:examples?|instructions?|reminder|system note|author'?s note)\b[^\[\]\n]{0,300}\])[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


def _without_cut_thoughts(text: str) -> tuple[str, int]:
    """The text of a turn that was cut inside its thoughts, or is the rest of such a one; and how often."""
    small, count = text.lower(), 0
    closed, opened = small.find("</think"), small.find("<think")
    if closed >= 0 and not 0 <= opened < closed:
        text, count = text[closed:].partition(">")[2].lstrip(), 1
        small = text.lower()
    opened = small.find("<think", small.rfind("</think") + 1)
    return (text[:opened], count + 1) if opened >= 0 else (text, count)


def without_marks(text: str, mended: Counter[str]) -> str:
    """The words alone; what was taken out is counted."""
    if "think" in text and ("<think" in text.lower() or "</think" in text.lower()):
        text, thoughts = _THOUGHTS.subn("", text)
        text, more = _without_cut_thoughts(text)
        mended.update({THOUGHTS_LEFT_OUT: thoughts + more} if thoughts + more else {})
    if any(sign in text for sign in _OOC_SIGNS):
        for match in _OOC.finditer(text):
            tell(mended, OOC_LEFT_OUT, match.group())
        text = _OOC.sub("", text)
    if not any(sign in text for sign in _SIGNS):
        return text
    text, signs = _CHAT_SIGNS.subn("", text)
    mended.update({SIGNS_LEFT_OUT: signs} if signs else {})
    marks = Counter(FILMS_LEFT_OUT if _is_film(mark.group()) else MEDIA_LEFT_OUT for mark in _MARK.finditer(text))
    mended.update(marks)
    return _MARK.sub(lambda mark: " " if mark.start() and not mark.group().endswith("\n") else "", text)


def _is_film(mark: str) -> bool:
    """Whether a mark stands for a film or sound."""
    return _FILM.match(mark) is not None or _FILM_FILE.search(mark) is not None


def needs_marks(text: str) -> bool:
    """Whether a text says nothing, or half a sentence, without what it shows, like "What is in <image>?"."""
    if not any(sign in text for sign in _SIGNS):
        return False
    marked, count = _MARK.subn(_PLACE, text)
    return bool(count) and (not visible(_MARK.sub(" ", text)) or _OBJECT.search(marked) is not None)
