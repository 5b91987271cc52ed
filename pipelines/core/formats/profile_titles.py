"""Titles of a written profile that head a section on speech or on looks, told by all of their words.

Profiles of fan pages have titles that hold the same words and mean something else: "First Appearance", "English Voice",
"Voice Actor", "Love Language", "Public Appearances", "Famous Speech", "Looks up to". So every word of a title must be
one that such a section is called by; the name of somebody ("Tola's voice") and numbers do not count.
"""

from __future__ import annotations

import re

from pipelines.core.words import count_words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LINKS = _words("and or of the a an in her his their its she he they it for with how")
_SPEECH = _words("linguistic linguistics speech speaking speaks language tone voice talk talks talking dialogue verbal")
_SPEECH_BESIDE = _words(
    "style styles habit habits manner manners mannerisms pattern patterns feature features characteristic "
    "characteristics trait traits quirk quirks way ways use usage choice expression expressions tic tics vocabulary "
    "word words typical general unique distinctive distinct common catchphrase catchphrases attitude register "
    "communication personality behavior behaviour behavioral behavioural actions gestures preferences"
)
_LOOKS = _words("appearance looks look physique physical")
_LOOKS_BESIDE = _words(
    "visual general overall outward outer external personal description descriptions feature features characteristic "
    "characteristics trait traits detail details style clothing clothes attire outfit dress fashion body build face "
    "hair hairstyle figure design character distinctive distinguishing current typical personality"
)
_SPEECH_WHOLE = _words("语言风格 说话方式 说话风格 語言風格 說話方式 口調 話し方 言葉遣い 말투")
_LOOKS_WHOLE = _words("外貌 外观 外觀 外見 容姿 外形 외모")
_OF_SOMEBODY = re.compile(r"\b\w+['\u2019]s\b")
_AMBIGUOUS = ("language", "voice")
"""Alone, they head what languages somebody knows and who lends the voice as often as how somebody speaks."""
_LEAST_WORDS = 4
"""Fewer words below an ambiguous title name a language or an actor."""


def heads_speech(title: str, text: str) -> bool:
    """Whether a title with the text below it says how somebody speaks."""
    if title.strip().casefold() in _AMBIGUOUS and count_words(text) < _LEAST_WORDS:
        return False
    return _consists_of(title, _SPEECH, _SPEECH_BESIDE, _SPEECH_WHOLE)


def heads_looks(title: str, text: str) -> bool:
    """Whether a title with the text below it says what somebody looks like."""
    return bool(text) and _consists_of(title, _LOOKS, _LOOKS_BESIDE, _LOOKS_WHOLE)


def _consists_of(title: str, keys: frozenset[str], beside: frozenset[str], whole: frozenset[str]) -> bool:
    words = set(re.findall(r"[^\W\d_]+", _OF_SOMEBODY.sub("", title.casefold())))
    return bool(words & (keys | whole)) and words <= keys | beside | whole | _LINKS
