"""Whom a system prompt, or a first message to a model, asks it to be: "You are Captain Rell", "Act as Nurse Ovie."

Only plain sentences count, and only proper names: adjectives, kinds of people and the names of language models are
nobody. A prompt that asks for the character, or for nobody, yields "".
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.core.formats.speaker_labels import SpeakerNames

MAX_SEARCHED = 2000
"""Characters of a prompt that are searched."""
_TITLE = (
    r"(?:Captain|Sergeant|Doctor|Dr|Mr|Mrs|Ms|Miss|Nurse|Professor|Prof|Lady|Lord|Sir|Madam|Queen|King|Princess|Prince)"
)
_WORD = r"[^\W\d_a-z][\w'\u2019-]{0,30}"
"""A word that begins with a capital."""
_PARTICLE = r"(?:of|the|von|van|de|der|den|del|da|di|la|le|al|bin|ibn)"
_NAME = (
    rf"[*_\"\u201c'\[]{{0,3}}(?P<name>(?:{_TITLE}\.?[ ])?{_WORD}(?:[ ](?:{_PARTICLE}[ ]){{0,2}}{_WORD}){{0,3}})"
    r"(?=[*_\"\u201d'\]]{0,3}(?:[.,;:!?(\n]|\s*\Z|[ ]*[-\u2013\u2014(|/]|[ ](?:[a-z])))"
)
_BE = r"(?:act(?:ing)?|behave|behaving|pose|posing|role-?play(?:ing)?|perform(?:ing)?|in character)"
_SAY = r"(?:answer|respond|reply|speak|talk)(?:ing)?"
_PLAIN = tuple(
    re.compile(pattern.replace("~", _NAME))
    for pattern in (
        r"(?:^|[\n.!:;(\"]\s*|\b[Ff]rom now on,? |\b[Nn]ow,? )[Yy]ou(?:['\u2019]re| are)(?: now| to be)? ~",
        rf"\b(?i:{_BE})(?: only| exactly| always| just)? (?:as|like) (?:the character (?:of )?|if you (?:were|are) )?~",
        rf"\b(?i:{_SAY})(?: only| exactly| always| just)? as (?=\w+[ .]+{_WORD})~",
        r"\b(?i:pretend(?:ing)? (?:to be|(?:that )?you are)|impersonat(?:e|ing)|portray(?:ing)?|embody(?:ing)?) ~",
        r"\b(?i:play|assum|tak|adopt)(?:e?s?|ing)(?: on)? the (?i:role|part|identity|persona|character) of ~",
        r"\b(?i:play(?:s|ing)?) (?:the character |as )~",
        r"\b(?i:step(?:ping)?|slip(?:ping)?) into the (?i:shoes|role|skin) of ~",
        r"\b(?i:your name is|you are called|you are named|the character(?:'s name)? is) ~",
    )
)
_LISTED = re.compile(
    r"(?:^|\n)[ \t*_#\[-]*(?i:name|full name|character|character name|char)[*_ \t]*[:=][*_ \t]*~(?![*_]{0,3} )".replace(
        "~", _NAME
    )
)
_USER = re.compile(r"\b(?:user|player|human)\b", re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOBODY = _words(
    "a an the my your his her our their this that these i you it one someone somebody somebodys nobody anyone everyone "
    "not no very so now here there always never only also who what "
    "assistant ai bot chatbot human user character persona narrator model language helpful friend expert "
    "chatgpt gpt openai claude anthropic gemini bard bing copilot llama vicuna alpaca qwen tongyi mistral mixtral "
    "gemma deepseek grok kimi glm chatglm phi falcon hermes dolphin wizardlm openassistant siri alexa cortana "
    "english german french italian spanish american british japanese chinese korean russian dutch greek polish "
    "turkish swedish danish irish scottish welsh indian african european asian australian canadian mexican arabic "
    "portuguese brazilian egyptian ukrainian finnish norwegian swiss jewish muslim christian catholic buddhist hindu "
    "god dm gm and or but json markdown html"
)
"""Words behind "you are" that name nobody, or a model."""
_TITLES = _words(
    "captain sergeant doctor dr mr mrs ms miss nurse professor prof lady lord sir madam queen king princess prince the "
    "old young uncle aunt"
)


@lru_cache(maxsize=1024)
def prompted_name(prompt: str, names: SpeakerNames) -> str:
    """The name of somebody else whom a prompt asks for; "" where it asks for the character or for nobody."""
    if not names.name:
        return ""
    text = prompt[:MAX_SEARCHED]
    found = [match["name"] for pattern in _PLAIN for match in pattern.finditer(text)]
    # A name in a list may be the user's, who is told of before.
    found += [match["name"] for match in _LISTED.finditer(text) if not _USER.search(text[: match.start()])]
    proper = [name for name in found if is_proper_name(name)]
    return "" if any(_is_own(name, names) for name in proper) else next(iter(proper), "")


def is_mentioned(text: str, names: SpeakerNames) -> bool:
    """Whether a text has the character's name, first name or nickname, as words of their own."""
    called = [
        name for name in (names.name, names.nickname, names.name.split()[0] if names.name.split() else "") if name
    ]
    small = " ".join(text.casefold().replace("_", " ").split())
    return any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", small) for name in called)


def is_proper_name(name: str) -> bool:
    """Whether words are written like somebody's name, and name no language model."""
    if not re.fullmatch(_NAME, name):
        return False
    words = [re.split(r"[-'\u2019.\d]", word)[0] for word in name.casefold().split()]
    if (
        len(name) < 2
        or not all(word[0].isupper() or re.fullmatch(_PARTICLE, word) for word in name.split())
        or re.search(r"['\u2019]s?\Z", name)
    ):
        return False
    return words[0] != "the" and not any(word in _NOBODY for word in words if word != "the")


def _is_own(name: str, names: SpeakerNames) -> bool:
    """Whether a name is the character's, whole or in part, with titles before it."""
    bare = " ".join(word for word in name.split() if word.strip(".").casefold() not in _TITLES)
    return names.is_character(name) or not bare or names.is_character(bare)
