"""Facts that a persona's own sentences state, as question and answer: patterns of everyday English, few and plain.

A pattern finds a verb of the character and what follows; `_is_about` says whether the subject is the character, and
`_cut` ends the answer where the next clause begins. What remains doubtful is left out: a fact that is not suggested can
be typed, a wrong one is learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.core.words import normalized_words, sentences_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_ANSWER_WORDS = 14
"""A longer answer is a sentence that was not cut well."""

_SOMETHING = (
    r"(?P<answer>(?:an?|the|two|three|four|five|six|seven|eight|nine|ten|several|many|her|his|its|their|my|every|all|"
    r"old|small|some)\b[^.;:!?]*)"
)
_REST = r"(?P<answer>[^.;:!?]+)"
_KIN = (
    r"(?P<kin>brother|sister|friend|best friend|cat|dog|horse|teacher|wife|husband|daughter|son|mother|father|aunt|"
    r"uncle|grandmother|grandfather|twin|rival|mentor)"
)
_NAME = r"(?P<answer>[A-Z][\w'-]*(?: (?:[A-Z][\w'-]*|of|the|von|de)(?= [A-Z]| *[^\w ]|$| [a-z]))*)"
_PLACE = r"(?:in|on|at|under|behind|near|above|beside|below|inside|beneath|among|between|with)"
# Pattern -> question; {name} is the character, {kin} what that group found. `own`: the pattern says itself whose it is.
_FACTS: tuple[tuple[str, str, bool], ...] = (
    (rf"\b(?:lives?|living|dwells?|resides?) (?P<answer>{_PLACE} [^.;:!?]+)", "Where does {name} live?", False),
    (
        rf"\b(?:was|were) born (?:in \d+,? )?(?P<answer>(?:{_PLACE}|by) [^.;:!?]+)",
        "Where was {name} born?",
        False,
    ),
    (rf"\bgrew up (?P<answer>(?:{_PLACE}|by) [^.;:!?]+)", "Where did {name} grow up?", False),
    (r"\bcomes? (?P<answer>from [^.;:!?]+)", "Where does {name} come from?", False),
    (
        r"\b(?:is|am|are|was) (?:a |an )?(?P<answer>\d+|[a-z]+(?:-[a-z]+)?)[- ]years?[- ]old",
        "How old is {name}?",
        False,
    ),
    (r"\bworks? (?P<answer>as [^.;:!?]+)", "What is {name}'s work?", False),
    (rf"\b(?:fears?|(?:is|am|are) afraid of|dreads?) {_REST}", "What is {name} afraid of?", False),
    (rf"\b(?:loves?|adores?|(?:is|am|are) fond of) {_REST}", "What does {name} love?", False),
    (rf"\b(?:hates?|detests?|loathes?|cannot stand|can't stand) {_REST}", "What does {name} hate?", False),
    (r"\b(?:hopes?|dreams?|wants?|wishes) (?P<answer>to [^.;:!?]+)", "What does {name} hope for?", False),
    (rf"\bdreams? of {_REST}", "What does {name} dream of?", False),
    (rf"\bbelieves? (?:that )?{_REST}", "What does {name} believe?", False),
    (rf"\bkeeps? {_SOMETHING}", "What does {name} keep?", False),
    (rf"\bowns? {_SOMETHING}", "What does {name} own?", False),
    (rf"\b(?:carries|carry) {_SOMETHING}", "What does {name} carry?", False),
    (rf"\bcollects? {_REST}", "What does {name} collect?", False),
    (
        rf"\b(?:an?|his|her|their|its|my) (?:\w+ )?{_KIN},? (?:(?:is|who is|was) )?(?:called|named) {_NAME}",
        "Who is {name}'s {kin}?",
        True,
    ),
    (rf"\b(?:his|her|their|its|my) (?:\w+ )?{_KIN},? {_NAME}", "Who is {name}'s {kin}?", True),
)
_COMPILED = tuple((re.compile(pattern), question, own) for pattern, question, own in _FACTS)
_NO_PLACE = re.compile(
    r"^on (?!the |an? |his |her |their |its |my |top |one |[A-Z])|"
    r"^(?:in|on|at|with|by) (?:\d|fear|terror|dread|hope|peace|harmony|poverty|luxury|hiding|silence|denial|secret|"
    r"constant|debt|shame|the (?:past|moment|present|shadow of)|borrowed|(?:January|February|March|April|May|June|July|"
    r"August|September|October|November|December|spring|summer|autumn|winter)\b)"
)
"""What stands behind "lives in" or "born in" and is no place."""
_NO_THING = re.compile(
    r"(?:word|promises?|distance|temper|mouth|eye|eyes|head|peace|calm|faith|grudges?|weight|burden|guilt)\b"
)
"""What is kept or carried only as one says."""

_TITLES = _words(
    "unit captain professor doctor dr mr mrs ms miss sir lady lord dame king queen prince princess commander "
    "general major sergeant brother sister father mother saint st old young little big the uncle aunt count "
    "countess baron chief detective inspector agent master mistress madame"
)
_PRONOUNS = _words("he she they it i you we")
_ADVERBS = _words(
    "also still always often now then secretly really truly only just even mostly usually sometimes quietly "
    "deeply both and or but who that has have had currently dearly greatly openly forever once there here all"
)
_NEGATIONS = re.compile(
    r"\b(?:not|never|no longer|nobody|no one|hardly|barely|rarely|cannot|neither|nor|pretends? to|\w+n't|would|might|"
    r"may|used to|claims? to|says? (?:he|she|they)|if)\W+(?:\w+\W+)?$",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"(?<!, )\b(?:that|whether|if|where|how|why|what) (?:he|she|they|it|i|you)\s+(?:\w+ly\s+)?$", re.IGNORECASE
)
"""Said, asked or doubted: "it is said that she"."""
_POSSESSIVE = re.compile(r"\b(?:his|her|their|its|my|our|your|whose)\b|\w's\b", re.IGNORECASE)
_CLAUSE_START = re.compile(
    r"[;:\u2014\u2013(]\s*|,\s*(?:and|but|so|yet|while|though|although|because|since|when|where|until|after|before)\s+|"
    r"\b(?:because|while|although|though|but|since|until|unless|whereas)\s+"
)

_VERBS = _words(
    "lives loves hates fears dreads keeps owns carries collects believes hopes dreams wants wishes works comes "
    "adores detests loathes likes dislikes enjoys speaks talks says tells sings plays paints writes reads sells "
    "buys bakes cooks brews sleeps wakes walks runs flies swims travels wanders visits helps teaches learns "
    "studies knows thinks feels remembers forgets refuses tries goes gets gives takes makes makes builds mends "
    "repairs fixes tends guards watches waits looks sees hears listens laughs smiles cries hums whistles mutters "
    "complains argues insists claims pretends avoids trusts distrusts misses needs wears hides seeks searches "
    "hunts fights steals lies spends saves pays eats drinks smokes calls names considers treats serves leads "
    "rules runs leaves returns becomes remains stays stands sits does is was has had can will would could cannot "
    "never always often secretly rarely sometimes still once then grew moved came went left became learned learnt "
    "lost found took made were won saw met fell ran fled escaped died owes sends delivers opens closes speaks "
    "answers asks counts measures draws dances jokes rides sails climbs"
)
"""Words that begin another predicate behind "and"; plural nouns that are seldom listed are among them."""
_ALSO_NOUNS = _words(
    "draws paints plays looks calls names answers counts measures rides sails walks runs flies visits helps cooks "
    "leads rules returns stands needs saves smokes drinks laughs smiles dreams hopes fears loves hates works "
    "talks jokes dances climbs guards watches travels fights leaves lies studies waits tries wakes lives will can "
    "left"
)
_BEHIND_NOUNS = frozenset(["", "and", "or", "&", "of", "too", "also", "alike", "especially", "like"])
_BASE_VERBS = _words(
    "dream hope want wish live work fear dread love hate keep own carry collect believe come sleep speak"
)
"""Of "I", "you" and "they"."""
_DETERMINERS = _words("a an the his her their its my every each no any all this that these those")
_PREPOSITIONS = _words("in of with by for from at on to about without against under over into")
_SUBJECTS = _words("he she they it i you we there nobody everyone everybody")
_BREAKS = _words(
    "because although though while unless but since whereas so yet whenever until except despite which whom than"
)
"""Words that begin a clause by themselves."""


@dataclass(frozen=True)
class FactSuggestion:
    """A fact that the persona states already."""

    question: str
    answer: str


def facts_in(persona: str, name: str) -> list[FactSuggestion]:
    """The facts that a persona states; each question once."""
    found: dict[str, FactSuggestion] = {}
    for sentence in sentences_of(" ".join(persona.replace("\u2019", "'").split())):
        sentence = sentence[:1].lower() + sentence[1:]  # "Loves gold." of a list
        for pattern, question, own in _COMPILED:
            for match in _matches(pattern, sentence):
                asked = question.format(name=_called(name), kin=match.groupdict().get("kin", ""))
                answer = match["answer"].strip(" \"'") if own else _cut(match["answer"])
                if not _is_sound(answer, asked) or not (own or _is_about(sentence[: match.start()], name)):
                    continue
                found.setdefault(normalized_words(asked), FactSuggestion(asked, answer[:1].upper() + answer[1:]))
    return list(found.values())


def _matches(pattern: re.Pattern[str], sentence: str) -> Iterator[re.Match[str]]:
    """All places where it begins, also inside of what it took before."""
    match = pattern.search(sentence)
    while match:
        yield match
        match = pattern.search(sentence, match.start() + 1)


def _called(name: str) -> str:
    """A first name; the whole name where it begins with a title."""
    first, *rest = name.split() or ["the character"]
    return name if rest and first.casefold().rstrip(".") in _TITLES else first


def _is_about(before: str, name: str) -> bool:
    """Whether the verb that follows these words of a sentence is the character's, and is not denied."""
    if _NEGATIONS.search(before) or _SUBORDINATE.search(before):
        return False
    starts = [match.end() for match in _CLAUSE_START.finditer(before)]
    names = {word.casefold().strip("'") for word in name.split()}
    clauses = [before[start:end] for start, end in zip([0, *starts], [*starts, len(before)], strict=True)]
    for clause in reversed(clauses):
        words = [word.strip(",'\"“”") for word in clause.split()]
        while words and (words[-1].casefold() in _ADVERBS or words[-1].casefold().endswith("ly")):
            words.pop()
        if not words:
            continue  # "... and fears rain": the subject stands in the clause before
        return _has_subject(words, clause, names)
    return True  # "Fears rain." of a list without subjects


def _has_subject(words: list[str], clause: str, names: set[str]) -> bool:
    """Whether these words before a verb name the character as their subject."""
    last = words[-1].casefold()
    if last in _PRONOUNS or last in names:
        return True
    if last in _DETERMINERS or last in _PREPOSITIONS:
        return False  # a noun: "in fear of"
    if re.search(r"\bwho\W*(?:\w+ly\W+|also\W+|still\W+|always\W+)?$", clause.strip()):
        # Who it is stands before "who": "a fox who", but not "her cat, who" or "Tom, who".
        near = " ".join(words[-4:])
        others = [word for word in words[-3:] if word[:1].isupper() and word.casefold() not in names and len(words) > 1]
        return not _POSSESSIVE.search(near) and not others
    first = next((word.casefold() for word in words if word.casefold() not in _ADVERBS), "")
    if first in names or first in _PRONOUNS or first in ("a", "an"):
        return "and" in clause.casefold().split() or "," in clause or len(words) > 2
    return any(word.casefold() in names | _PRONOUNS for word in words[1:]) and not _POSSESSIVE.search(
        " ".join(words[:2])
    )


def _cut(text: str) -> str:
    """The beginning of a clause's rest, up to where another clause begins.

    "rain and loves seals, and he hums" -> "rain"; "seals, stamps and short cuts, and he hums" -> "seals, stamps and
    short cuts".
    """
    words = re.sub(r"\s*(?:[\u2014\u2013(]| - ).*", "", text).split()
    kept: list[str] = []
    for place, word in enumerate(words):
        plain = _plain(word)
        after, then = (_plain(words[n]) if n < len(words) else "" for n in (place + 1, place + 2))
        if words[place + 1 : place + 2] and words[place + 1].endswith(","):
            then = ""  # "peas and baths, loves": what follows belongs to no noun of this list
        comma = bool(kept) and kept[-1].endswith(",")
        joins = plain in ("and", "or", "then", "nor", "&")
        if kept and (
            plain in _BREAKS
            or (joins and _begins_clause(after, then))
            or (comma and not word.endswith(",") and (_begins_clause(plain, after) or plain in _STARTS_ASIDE))
        ):
            if plain == "than" and kept[-1].casefold() == "more":
                kept.pop()
            break
        kept.append(word)
    while kept and kept[-1].strip(",").casefold() in _NO_END:
        kept.pop()
    return " ".join(kept).strip(",'\"“” ")


_NO_END = _words("and or nor & but then too also again either now even so meanwhile")


_STARTS_ASIDE = _words("who whose which where when if as for with after before like especially even not")
"""Words that begin an aside behind a comma."""


def _plain(word: str) -> str:
    return word.strip(",'\"“”").casefold()


def _begins_clause(word: str, after: str) -> bool:
    """Whether a word behind "and" or a comma begins a clause of its own and not the next item of a list."""
    if word in _SUBJECTS or word.endswith("n't"):
        return True
    if word == "dreams" and after == "of":
        return True
    if word in _VERBS:
        return word not in _ALSO_NOUNS or after not in _BEHIND_NOUNS
    if word in _BASE_VERBS:
        plain_noun = word in ("dream", "work", "hope", "fear", "sleep", "wish")
        return after in _DETERMINERS | _PREPOSITIONS | {"that"} or not (plain_noun or after in _BEHIND_NOUNS)
    is_verb_like = word.endswith("s") and not word.endswith(("ss", "us", "'s")) and word not in _DETERMINERS
    if is_verb_like and after not in _BEHIND_NOUNS | _PREPOSITIONS | _BREAKS | {"that", "who"}:
        return True
    # "and his sister writes ...": a subject of its own.
    return word in ("his", "her", "their", "my", "the", "nobody") and after in (
        "sister",
        "brother",
        "mother",
        "father",
        "friends",
    )


_NO_ANSWER = _words("him them me us both himself herself itself themselves nothing none nobody of than this that")
"""What an answer does not begin with: it means something in another sentence."""


def _is_sound(answer: str, question: str) -> bool:
    """Whether it reads as an answer: neither empty, nor long, nor a way of speaking."""
    words = answer.split()
    if not words or len(words) > MAX_ANSWER_WORDS or words[0].casefold() in _NO_ANSWER:
        return False
    if len(words) == 1 and answer.casefold() in _SUBJECTS | _DETERMINERS:
        return False
    if question.startswith("Where") and _NO_PLACE.match(answer):
        return False
    return not (re.search(r" (?:keep|carry)\?$", question) and _NO_THING.search(answer))
