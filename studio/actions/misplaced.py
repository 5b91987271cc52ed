"""Sentences of a persona that say how the character looks or speaks, which have fields of their own.

Patterns of everyday English, as in `persona_facts.py`: a verb of speaking counts with what says how ("answers in one
line"), not with what was spoken of ("answers letters"), and only where the character is its subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.core.words import sentences_of

_LOOKS = re.compile(
    r"\b(?:hair|eyes?|beard|moustache|mustache|skin|freckles|scar|glasses|tall|wears?|fur|horns|tail)\b", re.IGNORECASE
)

_QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|\B['\u2018][^'\u2019]{1,60}['\u2019]")
MAX_SENTENCE = 500
"""Characters of a sentence that are looked at."""
_QUOTE = r"['\"\u2018\u201c\u00ab]"
_OWN = r"(?:his|her|their|its|my)"
_SELF = r"(?:him|her|it|them)sel(?:f|ves)"
_EVERY = rf"(?:(?:every|each|all|most|many|nearly|almost|any|half|of|the|{_OWN}) )*"
_FEW = r"(?:[\w'-]+,? (?:and |or |but )?)"
_PEOPLE = (
    r"(?:you|us|everyone|everybody|anyone|anybody|people|strangers?|visitors?|guests?|customers?|passengers?|friends?|"
    r"children|kids|adults|elders|men|women|others|humans|travell?ers?|players?|students?)"
)
_LINES = (
    r"(?:sentences?|repl(?:y|ies)|answers?|lines?|messages?|remarks?|questions?|thoughts?|conversations?|speech(?:es)?)"
)
_WORDING = (
    r"(?:words?|sentences?|slang|contractions?|jargon|phrases?|expressions?|proverbs?|sayings|metaphors?|similes?|"
    r"idioms?|nicknames?|endearments|oaths|language|exclamations?(?: marks?)?|capitals|capital letters|emojis?|"
    r"swear ?words?|curses|pronouns|dialect|accent|vocabulary|grammar|archaisms|honorifics|puns)"
)
_WAYS = (
    r"(?:rhymes?|riddles|verse|questions|proverbs|whispers|a whisper|half-sentences|fragments|monosyllables|sentences|"
    r"pauses|the third person|third person|capitals|one word|one line|one breath|lists|metaphors?|puns)"
)
_OF_VOICE = (
    r"(?:way of (?:speaking|talking)|voice|speech|tone|accent|diction|vocabulary|grammar|humou?r|wit|sentences|replies|"
    r"answers|jokes|words|talk|catchphrase|favou?rite (?:word|phrase|saying|exclamation|oath))"
)
_TONGUES = r"(?:english|french|german|spanish|dutch|latin|italian|greek|russian|chinese|japanese)"
_PATTERNS = (
    # The voice, and the words that are chosen.
    rf"^(?:{_OWN} |the )?{_OF_VOICE}\b[^.]{{0,24}}?\b(?:is|are|sounds?|stays?|remains?|comes?|tends?|has|have|runs?)\b",
    rf"^{_FEW}{{0,6}}(?:sentences|replies|answers|speech|tone|voice|accent)\b"
    r"(?:,? (?:with|like|and|but|of|in|full|without|that)\b.*)?[.!]?$",
    rf"\b(?:has|have|with|in|of) (?:an?|{_OWN}|the) {_FEW}{{0,4}}(?:voice|accent|lisp|drawl|stutter|stammer|brogue|"
    r"burr|tone|manner of speaking|way of (?:speaking|talking)|dialect|vocabulary|catchphrase)\b",
    r"\b(?:uses?|using|avoids?|avoiding|prefers?|favou?rs?|likes|overuses?|misuses?|mangles?|invents?|speaks?|without|no|"
    rf"full of|fond of|hates?) {_FEW}{{0,4}}{_WORDING}\b",
    r"\b(?:peppers?|sprinkles?|laces?|salts?|seasons?|fills?|punctuates?) "
    rf"(?:{_OWN} |every |each |all )?(?:talk|{_LINES}|{_WORDING}|it|everything)\b",
    rf"\b(?:doubles?|weighs?|chooses?|picks?) (?:(?:every|each|{_OWN}) )?words?\b",
    rf"\bdrops? (?:the|{_OWN}) (?:letters? |final )?(?:{_QUOTE}?[a-z]['\u2019]?s?{_QUOTE}?(?=[ .,])|aitches)",
    rf"\b(?:in|with) {_FEW}{{0,3}}{_WAYS}[.,]?(?: |$)",
    rf"\b(?:gives?|has|invents?) (?:{_PEOPLE} )?(?:[\w-]+ )?(?:nicknames?|pet names?)\b",
    r"\b(?:jargon|catchphrase|small talk)\b",
    # Speaking, and how.
    r"\b(?:speaks?|talks?|speaking|talking)\b(?! (?:to|with|about|for|at|on|over|against|up|\w+ languages|\w+ tongues|"
    rf"(?:fluent |broken )?{_TONGUES}[.,])\b)",
    rf"\b(?:speaks?|talks?) (?:to|with|at) (?:all |most )?(?!you\b)(?:{_PEOPLE}|{_SELF})\b",
    rf"\bsays? (?:[\w' ]{{0,20}})?{_QUOTE}",
    r"\bsays? (?:please|thank you|thanks|sorry|(?:very )?little|(?:too )?much|things (?:twice|as)|everything|it|what)"
    r"\b",
    rf"\b(?:calls?|calling|addresses|greets) {_PEOPLE}\b|\baddresses\b.* as\b|\bgreets? .*\b(?:with|as|by) {_QUOTE}",
    rf"\bcalls? (?!{_OWN} |the |an? )(?:[\w-]+ ){{0,3}}{_QUOTE}|\b(?:refers? to|calls) {_SELF}\b|\bin third person\b",
    r"\b(?:ends?|begins?|opens?|closes?|starts?|finishes|prefaces) "
    rf"(?:{_EVERY}(?:\w+ )?{_LINES}\b|[\w ]{{0,20}}(?:with|by saying) {_QUOTE})",
    rf"\banswers? (?:{_EVERY}questions? (?:with|by|in)|in|with|only|slowly|briefly|curtly|before|{_PEOPLE})\b",
    r"\basks? (?:for|about|back|first|again|two|three|(?:too )?many|a lot of|endless|lots of|only|after|more|questions|"
    r"what|why|who|how)\b",
    rf"\brepeats? (?:the (?:last|first|end)|{_OWN} (?:words?|last|own)|words?|every(?:thing)?|each|{_SELF}|what|your|"
    r"things|names?|important)\b",
    r"\b(?:stutters?|stammers?|lisps?|mumbles?|mutters?|murmurs?|drawls?|rambles?|babbles?|chatters?|exclaims?|"
    r"exaggerates?|digresses|trails? off|rhymes|blurts?|monologues?|lectures|overexplains?|enunciates?|whines?|growls?|"
    rf"hisses|purrs)\b(?! (?:to|{_OWN}|the|a) )",
    rf"\b(?:interrupts?|shouts?|yells?|raises? {_OWN} voice)\b(?! (?:(?:at|for|over|to) )?(?:{_OWN}|the|a) )",
    r"\bwhispers?\b(?! (?:to|of|about|in|through|all)\b)",
    r"\b(?:swears?|curses?)\b(?! (?:he|she|they|it|that|to|an?|on|the|allegiance|loyalty|by|him|her)\b)",
    r"(?<!\bhis )(?<!\bher )(?<!\btheir )(?<!\bits )\b(?:jokes?|puns|teases|banters|quips)\b"
    r"(?! (?:about|at|once|got)\b)",
    r"\b(?:quotes|quoting)\b(?! (?:for|a price)\b)|\bexplains? (?:everything|things|it all|all)\b|\bin terms of\b",
    r"\bsounds?\b(?! (?:the|an? (?:alarm|horn|bell)|out|off)\b)|\bpauses (?:for|before|between|often|a lot|mid)\b",
    r"\b(?:counts?|numbers?|lists?|thinks?) (?:[\w' ]{0,30})?\b(?:aloud|out loud)\b",
    rf"\b(?:numbers?|lists?) (?:things|everything|points|{_OWN} (?:points|{_LINES}))\b",
    r"\b(?:thinks?|dreams?|counts?) in (?!peace|silence|bed|the)\w+",
    r"\bapologi[sz]es (?:constantly|often|for everything|too|a lot|before|after|all)\b",
)
_SPEECH = re.compile("|".join(_PATTERNS), re.IGNORECASE)
_FOREIGN = re.compile(
    rf"^(?:(?:the|an?|this|that|these|those|some|many|most|{_OWN})\s+(?!{_OF_VOICE}\b)"
    r"(?!(?:[\w-]+ )?(?:person|woman|man|girl|boy)\b)"
    r"|(?:every(?:one|body)|no(?:body| one)|people|it is|there (?:is|are|was|were)|rumou?rs?|legends?"
    r"|in the|on the|at the)\b)",
    re.IGNORECASE,
)
"""How a sentence begins whose verb is somebody else's."""
_BARE = re.compile(r"^(?:[A-Z][\w'-]*(?:es|s)|Always|Never|Often|Rarely|Seldom|Sometimes|Mostly|Usually)\b")
"""How a sentence of a list begins, without a subject."""
_PRONOUN = re.compile(r"^(?:His|Its|This|James|Charles|Thomas)\b")


def whole_sentences(text: str) -> list[str]:
    """The sentences of a text in one line; words in quotes stay with theirs, full stops and all."""
    found: list[str] = []
    for piece in sentences_of(" ".join(text.split())):
        is_open = found and (found[-1].count('"') % 2 == 1 or found[-1].count("\u201c") > found[-1].count("\u201d"))
        if found and (is_open or piece[:1].islower()):
            found[-1] += f" {piece}"
        else:
            found.append(piece)
    return found


def is_about_looks(sentence: str) -> bool:
    """Whether a sentence of a persona says how the character looks; what they say in quotes does not."""
    return _LOOKS.search(_QUOTED.sub("", sentence)) is not None


def is_about_speech(sentence: str) -> bool:
    """Whether a sentence of a persona says how the character speaks."""
    plain = sentence[:MAX_SENTENCE].replace("\u2019", "'")
    return not _FOREIGN.match(plain) and _SPEECH.search(plain) is not None


def speech_sentences(sentences: Sequence[str]) -> list[bool]:
    """Of each sentence whether it says how the character speaks.

    A short one without a subject between two such ("Numbers things.") goes on with the same list.
    """
    told = [is_about_speech(one) for one in sentences]
    for place in range(1, len(sentences) - 1):
        one = sentences[place]
        is_listed = _BARE.match(one) and not _PRONOUN.match(one) and len(one.split()) <= 6 and not is_about_looks(one)
        if not told[place] and is_listed and told[place - 1] and told[place + 1]:
            told[place] = True
    return told
