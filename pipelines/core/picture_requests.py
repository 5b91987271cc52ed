"""Requests for a picture, found in what somebody writes: "It is cold here. Show me yourself laughing in the snow!"

A model that has hardly been trained does not announce a picture when it is asked for one, and may say anything in the
line of its scene. So a direct request is read here, by rules: whether a picture is asked for, and what it shall show,
worded as captions are ("laughing, in the snow"). Whatever no rule finds is left to the model.

Rules are English, as the starter is. A verb counts only where it asks: at the beginning of a sentence or clause, behind
"can you" or "I want you to"; so "I drew you a picture", "do you draw?" and "don't send me a photo" are no requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.core.words import sentences_of

LOOK_WORDS = 24
"""Most words of a look: the image expert reads about 40 tokens of it."""

_PICTURE = r"(?:picture|photo(?:graph)?|pic|image|drawing|portrait|selfie|sketch|painting|snapshot|illustration)s?"
_ME = r"(?:(?:me|us|for me|for us)\s+)?(?:please\s+)?"
_FEW = r"(?:[\w'-]+\s+){0,4}?"
_SELF = r"(?:yourself|your\s+self|you|ya|u)\b(?!\s*['\u2019])"
_ASKING = (
    r"(?:^|[,;:(\u2013\u2014-]\s*"
    r"|\b(?:and|but|so|then|now|please|just|ok|okay|well|maybe|also|instead|again|oh|pls|sure|yes|hey|hi|hello)\s+"
    r"|\b(?:can|could|would|will|won['\u2019]t|can['\u2019]t|couldn['\u2019]t|wouldn['\u2019]t)\s+you\s+"
    r"(?:(?:please|maybe|just|perhaps|also|kindly|try\s+to)\s+)*"
    r"|\b(?:want|like|love|need|ask|wish)\s+you\s+to\s+"
    r"|\b(?:try\s+to|why\s+(?:don['\u2019]t|not)\s+you|why\s+not|go\s+on\s+and|go\s+ahead\s+and)\s+)"
)
_WANTING = (
    r"(?:\bi\s+(?:want|need|wish\s+for)|\bi(?:\s+would|['\u2019]d)\s+(?:like|love|enjoy)"
    r"|\b(?:can|could|may|might)\s+(?:i|we)\s+(?:please\s+)?(?:have|get|see)|\bdo\s+you\s+have|\bhave\s+you\s+got"
    r"|\bgot|\b(?:how|what)\s+about)\s+"
)
_SEEING = (
    r"(?:\blet(?:\s+(?:me|us)|['\u2019]s)|\b(?:can|could|may|might)\s+(?:i|we)(?:\s+please)?"
    r"|\b(?:i|we)\s+(?:really\s+|just\s+)?(?:want|wanna|need)(?:\s+to)?|\bi\s+wish\s+(?:i|we)\s+could"
    r"|\b(?:i|we)(?:\s+would|['\u2019]d)\s+(?:really\s+)?(?:like|love)\s+to)\s+see\s+"
)
_OF_SELF = rf"(?:\s+(?:of|with|from)\s+(?:{_SELF}|\bNAME\b))?"
_APPEAR = r"(?:(?:what|how)\s+(?:do\s+)?you\s+look(?:\s+like)?|what\s+you(?:['\u2019]re|\s+are)\s+wearing|"
_APPEAR += r"where\s+you(?:['\u2019]re|\s+are)(?=\s*(?:$|[,;]|now|right\s+now)))"
_FACE = r"face|expression|look"
_MIEN = r"smile|grin|laugh|frown|tears"
_WORN = (
    r"outfit|clothes|clothing|costume|uniform|dress|coat|jacket|hat|cap|shirt|t-shirt|sweater|hoodie|scarf|boots|shoes|"
    r"gloves|cape|cloak|robe|suit|armou?r|glasses|apron|pyjamas|pajamas|trousers|skirt|tie|crown|mask"
)
_HOME = (
    r"room|home|house|kitchen|garden|workshop|office|studio|library|bedroom|shop|lighthouse|cabin|cottage|castle|"
    r"boat|ship|attic|cellar|lab|laboratory|bakery|classroom|cave|tent|tower|village|town|city|garage|yard|farm"
)
_AT_HOME = {"boat": "on", "ship": "on", "farm": "on"}

# A plain "show me you ..." may go on as a sentence about anything: "show me you trust me".
_SEEN = r"(?=\s*(?:$|[,;:.!?]|\w+ing\b|(?:in|on|at|by|with|under|inside|behind|near|as|when|while|dressed|from)\b|"
_SEEN += r"happy|sad|angry|surprised|sleepy|worried|calm|scared|furious|tired|please\b|now\b|again\b))"
# "I want to see you ..." is about meeting as often.
_MEETING = r"(?!\s+(?:again|soon|later|tomorrow|tonight|next|then|there|around|more|every|off|out|all|can|could|will|"
_MEETING += r"would|are|were|have|had|do|did|mean|think|want|need|in\s+(?:an?|one|two|\d+|the\s+(?:morning|evening))"
_MEETING += r"\s*(?:minutes?|hours?|days?|weeks?|months?)?\b(?=\s*(?:$|[.!?]))|on\s+(?:mon|tues|wednes|thurs|fri|satur|"
_MEETING += r"sun)day|this\s+(?:week|evening|afternoon)|after|before|for|at\s+\d)\b)"

_RULES = (
    # Show me a picture of you ...; draw a quick sketch ...; send me another selfie
    rf"{_ASKING}(?:show|send|give|draw|paint|sketch|share|gimme)\s+{_ME}{_FEW}{_PICTURE}\b{_OF_SELF}",
    # Not "take a picture, it will last longer".
    rf"{_ASKING}(?:take|make|snap|post|create|get)\s+{_ME}{_FEW}{_PICTURE}\b"
    r"(?=\s*(?:$|[:(]|(?:of|for|with|please|in|on|at|from|where|while|wearing)\b))",
    # Draw yourself ...; show me yourself ...; paint Nella ...
    rf"{_ASKING}(?:show|draw|paint|sketch|picture)\s+{_ME}(?:yourself|your\s+self|\bNAME\b(?!['\u2019]))",
    rf"{_ASKING}show\s+{_ME}you\b(?!['\u2019]){_SEEN}",
    rf"{_ASKING}(?:draw|paint|sketch)\s+you\b(?!['\u2019])",
    # Show me what you look like ...
    rf"{_ASKING}(?:show|draw|paint)\s+{_ME}{_APPEAR}",
    r"(?:^|[,;:]\s*|\b(?:and|so|but|now)\s+)what\s+(?:(?:do|would|might)\s+you|does\s+NAME)\s+look\s+like",
    r"\b(?:curious|wonder|wondering)\s+(?:how|what)\s+you\s+look(?:\s+like)?",
    # Let me see you ...; I would like to see a picture of you ...
    rf"{_SEEING}(?:{_FEW}{_PICTURE}\b{_OF_SELF}|yourself|you\b(?!['\u2019]){_MEETING}|{_APPEAR})",
    # I want a picture of you ...; how about a selfie
    rf"{_WANTING}(?:an?|another|one\s+more|some|any|more|the|your)\s+{_FEW}{_PICTURE}\b{_OF_SELF}",
    rf"\b(?:would|do)\s+you\s+mind\s+(?:showing|sending|giving|drawing|painting|taking)\s+{_ME}{_FEW}{_PICTURE}\b{_OF_SELF}",
    rf"\b(?:would|do)\s+you\s+mind\s+(?:showing|drawing|painting)\s+{_ME}yourself",
    # A picture of you laughing, please; selfie?
    rf"(?:^|^(?:and|now|ok|okay|please|then|\bNAME\b)[,\s]+)(?:an?|another|one\s+more)\s+{_FEW}{_PICTURE}{_OF_SELF}(?=\s*[,:]|\s+of\s)",
    rf"(?:^|^(?:and|now|ok|okay|please|then|\bNAME\b)[,\s]+)(?:(?:an?|another|one\s+more)\s+{_FEW})?{_PICTURE}\s+of\s+"
    rf"(?:{_SELF}|\bNAME\b)",
)
_MOOD = re.compile(rf"\b(happy|sad|angry|sleepy|surprised|worried|smiling|laughing)\s+{_PICTURE}\b", re.IGNORECASE)
_BARE = re.compile(
    rf"^(?:(?:and|now|ok|okay|please|then)[,\s]+)*(?:an?|another|one\s+more|more)?\s*"
    rf"(?:{_PICTURE}|show\s+(?:me|us|yourself))(?:\s*,?\s*(?:please|pls|now|then))?\s*[.!?]*$",
    re.IGNORECASE,
)
_YOURS = re.compile(
    rf"(?:{_ASKING}(?:show|draw|send|paint)\s+{_ME}|{_SEEING})your\s+((?:[\w'-]+\s+){{0,3}}?)"
    rf"({_FACE}|{_MIEN}|{_WORN}|{_HOME})\b(?!\s+when\s+(?:they|he|she|it|i|we)\b)",
    re.IGNORECASE,
)
_ANY_OF_SELF = rf"\b(?:an?|one|another|some|any)\s+{_FEW}{_PICTURE}\s+of\s+(?:{_SELF}|\bNAME\b)"
_NO_WISH = re.compile(
    r"\b(?:not|never|no|saw|seen|drew|drawn|painted|took|taken|sent|found|kept|made|got|had|was|were|is|are|my|his|her|our|"
    r"their|thanks?|i\s+have|i['\u2019]ve|\w+n['\u2019]t|did|does|who|why|when|if|"
    r"(?:let\s+(?:me|us)|(?:may|can|shall|could|will)\s+(?:i|we)|i\s+(?:will|can|could|would\s+like\s+to|want\s+to)|"
    r"i['\u2019]ll|i['\u2019]d\s+like\s+to)\s+(?:take|draw|paint|make|show|send|give|sketch))\b",
    re.IGNORECASE,
)
_THING = re.compile(
    rf"{_ASKING}(?:draw|paint|sketch)\s+{_ME}((?:an?|some|the)\s+(?!(?:\w+\s+)?(?:curtains?|lines?|bath|breath|conclusions?|"
    r"blank|cards?|lots?|straws?|blood|water|swords?|attention|distinction|weapons?|guns?|blinds?|walls?|fence)\b).+)",
    re.IGNORECASE,
)
_THIS_PICTURE = re.compile(rf"\b(?:this|that|the|my)\s+{_PICTURE}\b", re.IGNORECASE)
_DOER = re.compile(r"^\W*(?:i|we|they|he|she|it|my|who|when|if|did|do|does|have|has|had)\b", re.IGNORECASE)
_QUOTED = re.compile('"[^"]*"|\u201c[^\u201d]*\u201d')

_CLAUSE = re.compile(
    r"\s*[,;(\u2013\u2014]?\s*\b(?:"
    r"and\s+(?:tell|say|explain|answer|write|describe|let|give|what|how|why|who|where|when|do|are|is|i|you|then|also|"
    r"please|show|send|talk|draw|if|whether)"
    r"|then|because|but|if|unless|since|before|after|though|although|which|who|so\s+(?:that|i|we|you|my)"
    r"|that\s+(?:you|i|we|they|he|she|it|is|was|are|were|shows?|looks?|makes?|has|have|would|will|can)"
    r"|will\s+you|would\s+you|could\s+you|can\s+you|tell|i|i['\u2019](?:m|d|ll|ve)|you\s+(?:can|may|must|should))\b.*$",
    re.IGNORECASE | re.DOTALL,
)
_FILLER = re.compile(
    r"(?:\s*\b(?:please|pls|now|right\s+now|today|again|once\s+more|too|as\s+well|(?:for|with)\s+(?:me|us)|this\s+time|thanks|thank\s+you|"
    r"instead|next|first|quickly|to\s+(?:me|us)|real\s+quick|sometime|then)\b)+\s*$",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^\s*(?:(?:showing|of|where|in\s+which|while|when|as|with)\s+(?:yourself|(?:you(?:['\u2019]re|\s+are)?))\s+|"
    r"(?:while|when|where)\s+(?:(?:you|she|he|they)(?:['\u2019](?:re|s)|\s+are|\s+is)\s+)?|you(?:['\u2019]re|\s+are)\s+)",
    re.IGNORECASE,
)
_DOING = re.compile(r"\b(?:while|when|as)\s+you\s+(?!are\b)([a-z]{3,})\b", re.IGNORECASE)
_VERB = re.compile(r"^(?:smile|laugh|grin|cry|frown|dance|sleep|wave|jump|run|sing|sit|stand|read|swim|play)\b", re.I)
_INNER = re.compile(r"\s*,?\s+(?:while|and\s+while|where|when)\s+(?:you(?:['\u2019]re|\s+are)\s+)?", re.IGNORECASE)
_ANOTHER_PHRASE = re.compile(
    r"(?<!dressed)(?<!clad)(?<!covered)(?<!made)(?<!full)(?<!out)(?<!up)(?<!down)(?<!deep)(?<!sat)(?<!high)(?<=\w)\s+"
    r"(?=(?:(?:out|up|down|deep|high)\s+)?(?:in|on|at|under|by|near|inside|behind|beside)\s+\w|(?:wearing|holding)\s+\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PictureRequest:
    """A picture that somebody asks for."""

    look: str = ""
    """What it shall show, in a caption's words: "laughing, in the snow"; "" where that is left to the character."""


def picture_request(text: str, name: str = "") -> PictureRequest | None:
    """The last direct request for a picture in a message; None where there is none.

    name: of the character, who may be spoken of by it ("draw Nella in the snow").
    """
    found = None
    for sentence in sentences_of(_QUOTED.sub(" ", " ".join(text.split()))):
        bare = sentence.rstrip(" .!?\u2026\"')")
        if not _THIS_PICTURE.search(bare):
            found = _in_sentence(bare, name) or found
    return found


def _in_sentence(sentence: str, name: str) -> PictureRequest | None:
    if yours := _first(_YOURS, sentence):
        return PictureRequest(_look(_of_yours(yours[1].strip(), yours[2]) + sentence[yours.end() :]))
    names = "|".join(map(re.escape, dict.fromkeys([name, *name.split()[:1]]))) if name.strip() else r"(?!)"
    named = f"(?:{names})"
    for rule in _RULES:
        if match := _first(re.compile(rule.replace("NAME", named), re.IGNORECASE), sentence):
            mood = _MOOD.search(match.group())
            rest = _opened(sentence[match.end() :])
            return PictureRequest(_look(f"{mood[1]}, {rest}" if mood else rest))
    wish = re.search(_ANY_OF_SELF.replace("NAME", named), sentence, re.IGNORECASE)
    if wish and not _NO_WISH.search(sentence[: wish.start()]):
        return PictureRequest(_look(_opened(sentence[wish.end() :])))
    if _BARE.match(sentence):
        return PictureRequest()
    if thing := _first(_THING, sentence):
        return PictureRequest(_look(_beside(thing[1])))
    return None


def _first(rule: re.Pattern[str], sentence: str) -> re.Match[str] | None:
    """The match, unless somebody else does it: "I sit here and draw a picture"."""
    match = rule.search(sentence)
    if match is None:
        return None
    opening = match.group().lstrip(" ,;:").split(maxsplit=1)[0].lower()
    told = opening in ("and", "then", "so", "now", "just", "also", "again") and _DOER.match(sentence[: match.start()])
    return None if told else match


def _of_yours(words: str, noun: str) -> str:
    """ "your angry face" -> "angry", "your new coat" -> "wearing a new coat", "your kitchen" -> "in the kitchen"."""
    noun = noun.lower()
    if re.fullmatch(_FACE, noun):
        return words
    if re.fullmatch(_MIEN, noun):
        doing = {"smile": "smiling", "grin": "grinning", "laugh": "laughing", "frown": "frowning"}
        return doing.get(noun, "in tears")
    phrase = f"{words} {noun}".strip()
    if re.fullmatch(_HOME, noun):
        return f"{_AT_HOME.get(noun, 'in')} the {phrase}"
    many = noun.endswith("s") and not noun.endswith("ss")
    return f"wearing {phrase}" if many or noun in ("clothing", "armor", "armour") else f"wearing {_article(phrase)}"


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _beside(thing: str) -> str:
    """Only the character can be drawn, so what somebody asks for is drawn with them."""
    first, _, rest = thing.partition(" ")
    return f"with {thing}" if first.lower() in ("a", "an", "some") else f"beside the {rest}"


def _opened(rest: str) -> str:
    """What stands behind "a picture of you", without the words that only join it; a picture of a thing is beside it."""
    rest = re.sub(r"^and\s+", "with ", rest.lstrip(" ,:;-\u2013\u2014"), flags=re.IGNORECASE)
    rest = _DOING.sub(lambda match: f"while {_ing(match[1])}", rest)
    shorter = _OPENING.sub("", rest)
    of = re.match(r"(?:of|showing)\s+(.+)", shorter, re.IGNORECASE | re.DOTALL)
    if of is None:
        return shorter
    words = of[1]
    return _beside(words) if re.match(r"(?:an?|some|the|your)\s", words, re.IGNORECASE) else words


def _ing(verb: str) -> str:
    """ "laugh" -> "laughing", "dance" -> "dancing", "sit" -> "sitting"."""
    verb = verb.lower()
    if verb.endswith("e") and not verb.endswith("ee"):
        return f"{verb[:-1]}ing"
    doubled = re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", verb)
    return f"{verb}{verb[-1] if doubled else ''}ing"


def _look(words: str) -> str:
    """Phrases as captions have them: "laughing in the snow, please" -> "laughing, in the snow"."""
    words = _CLAUSE.sub("", f" {words}").strip()
    words = re.sub(r"\byour\b", "the", _INNER.sub(", ", words), flags=re.IGNORECASE)
    phrases: list[str] = []
    for part in _ANOTHER_PHRASE.sub(", ", words).split(","):
        phrase = _FILLER.sub("", part).strip(" .;:-\u2013\u2014'\"()[]")
        phrase = _VERB.sub(lambda match: _ing(match.group()), phrase)
        phrase = re.sub(r"^(?:and|being|just|all)\s+", "", phrase, flags=re.IGNORECASE)
        if phrase and sum(len(one.split()) for one in [*phrases, phrase]) <= LOOK_WORDS:
            phrases.append(phrase)
    look = ", ".join(dict.fromkeys(phrases))
    return look[:1].lower() + look[1:] if look[1:2].islower() or len(look) == 1 else look
