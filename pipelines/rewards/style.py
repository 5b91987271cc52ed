"""Stylometry: what sets the character's own turns apart from the people who talk to it. Counts only, no model.

`StyleStats.of(character)` counts once; its methods then measure one reply each, 0..1. Used by the `reply` reward.
Everything is relative to the character's own turns: a laconic character is not asked to be long, and a character
whose own turns say "certainly" may say it. Features are words and letter trigrams, so only the stop list is English.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from pipelines.core.character.assistant_phrases import ASSISTANT_PHRASES, find_assistant_phrases
from pipelines.core.character.character import Character
from pipelines.core.words import LETTERS_PER_WORD, QUESTION_MARKS, is_unspaced, paired, sentences_of, words_of

ASSISTANT_TURNS = (
    "Certainly! Here is some information that may help you. Please let me know if you have any further questions.",
    "I'm sorry, but as an AI language model I don't have personal experiences or feelings.",
    "Of course! I'd be happy to help you with that. Here are a few suggestions to consider:",
    "It is important to note that there are several factors to consider in this situation.",
    "Thank you for your question. In summary, the answer depends on your specific needs and preferences.",
    "Sure! Here's a list of things you can do. Feel free to ask if you need more details.",
    "I'm here to assist you with any questions you may have. How can I help you today?",
    "As a helpful assistant, I strive to provide accurate and relevant information to users.",
)
"""Counted as the opposite of every character, beside the people it talks to."""

_MARKUP = re.compile(r"(?im)<\||\|>|\[scene\]|\[/?inst\]|^\s*(user|assistant|system|human)\s*:")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a about all also am an and any are as at be been but by can could did do does for from had has have he "
        "her here him his how i if in into is it its just like me more my no not now of on one or our out over "
        "please really she should so some tell than that the their them then there these they this to too up us "
        "very was we were what when where which who why will with would you your yes show",
    )
)
"""Words that carry no meaning of their own."""
_ENDS = ".!?*~)\"'\u2026\u201d\u2019\u00bb\u3002\uff01\uff1f\u300d\u300f\uff09\u061f\u06d4\u0964"
"""Marks that end a sentence, a quotation or an acted line."""
_SMOOTHING = 0.5
"""Pseudo-count of every feature on both sides: words seen once decide little."""


def features(text: str) -> Counter[str]:
    """Counts of words (`=word`), of letter trigrams with word edges as blanks, and of punctuation marks."""
    words = words_of(text)
    counts: Counter[str] = Counter(f"={word}" for word in paired(words))
    for word in words:
        edged = f" {word} "
        counts.update(edged[start : start + 3] for start in range(len(edged) - 2))
    counts.update(f"={mark}" for mark in re.findall(r"[^\w\s]", text))
    return counts


def content_stems(text: str) -> set[str]:
    """First five letters of the words outside the stop list: a crude stemmer that needs no language resources."""
    stems = {word[:5] for word in words_of(text) if word not in _COMMON and len(word) > 2}
    return stems | {pair for pair in paired([word for word in words_of(text) if is_unspaced(word)]) if len(pair) > 1}


def ngrams(words: list[str], size: int) -> list[tuple[str, ...]]:
    """All n-grams of `size` words; of a script without spaces, of as many letters as such words have."""
    if sum(map(is_unspaced, words)) * 2 > len(words):
        size *= LETTERS_PER_WORD
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def ramp(value: float, low: float, high: float) -> float:
    """0 at `low` or below, 1 at `high` or above, linear between."""
    if high <= low:
        return float(value >= high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _keyness(counts: Counter[str], own: Counter[str], other: Counter[str]) -> float:
    """Mean log-odds of the features under the character's counts against the other side's, in nats per feature.

    Features that neither side has used are left out of the sum, not out of the mean, so unknown words dilute it.
    """
    total = sum(counts.values())
    if not total:
        return -math.inf  # an empty reply has nobody's style
    kinds = len(own) + len(other)
    # Additive (Lidstone) smoothing: a feature seen on one side only has finite odds.
    own_total, other_total = sum(own.values()) + _SMOOTHING * kinds, sum(other.values()) + _SMOOTHING * kinds
    score = 0.0
    for feature, count in counts.items():
        mine, theirs = own[feature], other[feature]
        if mine or theirs:
            score += count * math.log((mine + _SMOOTHING) / own_total * other_total / (theirs + _SMOOTHING))
    return score / total


def _known(counts: Counter[str], own: Counter[str]) -> float:
    """Share of the features that the character has used."""
    return sum(count for feature, count in counts.items() if own[feature]) / max(1, sum(counts.values()))


@dataclass(frozen=True)
class StyleStats:
    """Counts and bands of one character's own turns."""

    own: Counter[str]
    """Features of the character's turns."""
    other: Counter[str]
    """Features of the people it talks to and of assistants."""
    floor: float
    """Mean keyness of the other side, each turn left out of its own counts."""
    ceiling: float
    """Mean keyness of the character's turns, each left out of its own counts."""
    familiar: float
    """Mean share of a turn's features that its other turns hold too."""
    shortest: float
    """Words: the 10th percentile of its turns."""
    longest: float
    """Words: the 90th percentile."""
    overlap: float
    """Median share of the user's meaning-carrying words that its turns take up."""
    runs: tuple[frozenset[tuple[str, ...]], ...]
    """Five-word runs of each of its turns."""
    phrases: tuple[str, ...]
    """Assistant phrases that this character does not use itself."""

    @classmethod
    def of(cls, character: Character) -> StyleStats:
        """Measure the character's interactions; ValueError naming the field when it never speaks."""
        pairs = list(exchanges(character))
        turns = [reply for _, reply in pairs] + ([character.greeting] if character.greeting else [])
        if not turns:
            raise ValueError("interactions: the character never speaks; write at least one conversation")
        others = [user for user, _ in pairs if user] + list(ASSISTANT_TURNS)
        own_rows, other_rows = [features(turn) for turn in turns], [features(turn) for turn in others]
        own, other = _total(own_rows), _total(other_rows)
        # Leave-one-out: a turn scored by counts that contain it would set a ceiling no new reply can reach.
        alone = len(turns) == 1  # nothing is left when the only turn is left out
        rest = [own if alone else own - row for row in own_rows]
        ceiling = [_keyness(row, left, other) for row, left in zip(own_rows, rest, strict=True)]
        familiar = [_known(row, left) for row, left in zip(own_rows, rest, strict=True)]
        floor = [_keyness(row, own, other - row) for row in other_rows]
        lengths = sorted(len(words_of(turn)) for turn in turns)
        overlaps = [_overlap(user, reply) for user, reply in pairs if content_stems(user)]
        own_phrases = find_assistant_phrases("\n".join(turns))
        return cls(
            own=own,
            other=other,
            floor=sum(floor) / len(floor),
            ceiling=sum(ceiling) / len(ceiling),
            familiar=sum(familiar) / len(familiar),
            shortest=max(1.0, _quantile(lengths, 0.1)),
            longest=max(2.0, _quantile(lengths, 0.9)),
            overlap=max(0.15, median(overlaps)) if overlaps else 0.15,
            runs=tuple(frozenset(ngrams(words_of(turn), 5)) for turn in turns),
            # Longer forms of what it says itself are its own too.
            phrases=tuple(phrase for phrase in ASSISTANT_PHRASES if not any(part in phrase for part in own_phrases)),
        )

    def style(self, text: str) -> float:
        """0: reads like the people it talks to or an assistant, or like nothing it ever said; 1: like its own turns."""
        counts = features(text)
        own_side = ramp(_keyness(counts, self.own, self.other), self.floor, self.ceiling)
        return own_side * ramp(_known(counts, self.own), 0.0, self.familiar)

    def length(self, text: str) -> float:
        """1 between its short and its long turns; 0 for no words, and again from twice its long turns on."""
        count = len(words_of(text))
        return min(ramp(count, 0.0, self.shortest), 1.0 - ramp(count, self.longest, 2.0 * self.longest))

    def answer(self, user: str, text: str) -> float:
        """Half for saying something (not only asking back), half for taking up the user's words as it usually does;
        0 for repeating the user's line."""
        reply_words, user_words = words_of(text), words_of(user)
        if not reply_words:
            return 0.0
        if len(user_words) >= 4 and " ".join(user_words) in " ".join(reply_words):
            return 0.0
        sentences = [sentence for sentence in sentences_of(text) if words_of(sentence)]
        statement = any(
            not sentence.rstrip("\"'\u201d\u2019\u300d)").endswith(QUESTION_MARKS) for sentence in sentences
        )
        taken = ramp(_overlap(user, text), 0.0, self.overlap) if content_stems(user) else 1.0
        return 0.5 * statement + 0.5 * taken

    def non_repetition(self, text: str) -> float:
        """1: no trigram twice and no more than half copied from one of its turns; 0: all repeated or all copied."""
        words = words_of(text)
        triples = ngrams(words, 3)
        repeated = 1.0 - len(set(triples)) / len(triples) if triples else 0.0
        fives = ngrams(words, 5)
        copied = max(sum(run in turn for run in fives) / len(fives) for turn in self.runs) if fives else 0.0
        return (1.0 - repeated) * (1.0 - ramp(copied, 0.5, 1.0))

    def no_assistant_markup(self, text: str) -> float:
        """0 when it has an assistant's phrase, leaked markup or a speaker's label; else 1."""
        return float(not _MARKUP.search(text) and not find_assistant_phrases(text, self.phrases))


def ending(text: str, finished: bool) -> float:
    """Half for having stopped at a stop id, half for ending in a mark that ends a sentence."""
    return 0.5 * finished + 0.5 * (text.rstrip()[-1:] in _ENDS and bool(text.strip()))


def _overlap(user: str, reply: str) -> float:
    """Share of the user's meaning-carrying words found in the reply."""
    asked = content_stems(user)
    return len(asked & content_stems(reply)) / len(asked) if asked else 0.0


def exchanges(character: Character) -> Iterable[tuple[str, str]]:
    """(the user's latest text, "" before the first, and the character's) for every spoken turn of the character."""
    for interaction in character.interactions:
        user_text = ""
        for message in interaction:
            if message.role == "user":
                user_text = message.text
            elif message.role == "character" and message.text:
                yield user_text, message.text


def _total(rows: list[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    return total


def _quantile(ranked: list[int], share: float) -> float:
    """Linear interpolation in a sorted list."""
    place = share * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])
