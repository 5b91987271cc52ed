"""A lint of captions: what they repeat of what never changes, whether they are alike, and what speaks against them.

A caption says what varies in one picture. What never changes belongs into the looks (`appearance`), which the model
reads before every picture: repeated in captions it takes the room of what varies, and drops out wherever it is not
repeated. `check_captions` needs the words alone; `contradicted_fields` compares them with what a model saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipelines.core.character.character import CharacterImage
from pipelines.core.problems import Problem
from pipelines.core.words import words_of

MIN_CAPTIONS = 4
"""Captions below which nothing is said about all of them."""
REPEATED_SHARE = 0.8
"""Share of the captions from which a phrase is said to be in nearly all of them."""
LONGEST_PHRASE = 8
"""Words of the longest phrase that is looked for."""
MAX_FILES_NAMED = 5
_PHRASE_LETTERS = 4
"""A phrase in a script without spaces, where every letter is a word, has at least so many."""

_SMALL = "a an the of in on at with and or her his their its is are was to by from into wearing holding for she he they"
_SMALL_WORDS = frozenset([*_SMALL.split(), "it", "this", "that", "there", "one"])
# Faces that a model may well take for each other stand together: a contradiction must be worth reading.
_MOODS = {
    "bright": "happy laughing smiling smile smiles laugh laughs grin grinning cheerful joyful delighted winking wink",
    "low": "sad crying tears weeping unhappy tearful gloomy melancholy worried anxious",
    "angry": "angry furious annoyed grumpy scowling frowning rage",
    "surprised": "surprised astonished shocked amazed startled",
    "sleepy": "sleepy sleeping tired yawning asleep drowsy",
}
_COLOURS = "red orange yellow green blue purple pink white grey black brown"
_COLOUR_NAMES = {colour: colour for colour in _COLOURS.split()} | {"gray": "grey", "violet": "purple"}
_PLACES = {
    "park": "park",
    "beach": "beach shore seaside",
    "kitchen": "kitchen",
    "library": "library bookshop",
    "city": "city street town",
    "snow": "snow snowy winter ice",
    "forest": "forest woods wood",
    "desert": "desert dunes",
    "stage": "stage theatre theater",
    "space": "space moon stars planet",
    "ship": "ship boat deck sea",
    "flowers": "flowers flower garden meadow field",
    "bedroom": "bedroom bed",
    "rain": "rain rainy raining",
    "water": "underwater water",
    "mountain": "mountain mountains peak hill",
    "castle": "castle",
    "market": "market stall fair",
}
_GROUP_OF_MOOD = {word: group for group, words in _MOODS.items() for word in words.split()}
_GROUP_OF_PLACE = {word: group for group, words in _PLACES.items() for word in words.split()}


def check_captions(
    images: Sequence[CharacterImage], appearance: str = "", called: Callable[[str], str] = str
) -> list[Problem]:
    """Warnings about captions as words. `called` turns a file's name into what the reader calls the picture."""
    told = [image for image in images if image.description.strip()]
    found = [*_in_the_looks(told, appearance, called)]
    if len(told) >= MIN_CAPTIONS:
        alike = _alike(told, called)
        found += alike or _in_nearly_all(told, appearance)
    return found


def contradicted_fields(image: CharacterImage, seen: Mapping[str, str]) -> dict[str, str]:
    """The fields of `seen` (expression, clothes, place) that a caption's words speak against, as they were seen.

    Only words of a small vocabulary are judged: "a wistful face" contradicts nothing.
    """
    told = {"expression": image.expression, "place": image.place}
    words = {name: words_of(image.caption or value) for name, value in told.items()}
    groups = {"expression": _GROUP_OF_MOOD, "place": _GROUP_OF_PLACE}
    found = {
        name: seen[name]
        for name in words
        if seen.get(name) and _speak_against(words[name], words_of(seen[name]), groups[name])
    }
    # In a caption of one's own a colour may be anything's; in the field it is that of the clothes.
    worn = "" if image.caption else image.clothes
    if seen.get("clothes") and _speak_against(words_of(worn), words_of(seen["clothes"]), _COLOUR_NAMES):
        found["clothes"] = seen["clothes"]
    return found


def _speak_against(told: Iterable[str], seen: Iterable[str], groups: Mapping[str, str]) -> bool:
    said, there = ({groups[word] for word in words if word in groups} for words in (told, seen))
    return bool(said and there) and not said & there


def _in_the_looks(images: Sequence[CharacterImage], appearance: str, called: Callable[[str], str]) -> list[Problem]:
    """Phrases of two words and more that captions have in common with the looks."""
    looks = _phrases(_content(appearance))
    files: dict[str, list[str]] = {}
    for image in images:
        # Clothes are what the looks may name as well, where they are always worn.
        words = image.caption or ", ".join(filter(None, (image.expression, image.pose, image.place)))
        for phrase in _longest(_phrases(_content(words)) & looks):
            files.setdefault(_said(phrase), []).append(image.file)
    return [
        Problem(
            "images",
            f'"{phrase}" stands in the looks already, and in the captions of {_named(names, called)}.',
            "Take it out of the captions: they say what varies, and the looks are read before every picture.",
            "warning",
        )
        for phrase, names in sorted(files.items(), key=lambda item: -len(item[1]))[:3]
    ]


def _in_nearly_all(images: Sequence[CharacterImage], appearance: str) -> list[Problem]:
    """Phrases that nearly all captions of one's own have; fields that never vary are told by `check_variety`."""
    own = [image.caption for image in images if image.caption]
    if len(own) < MIN_CAPTIONS:
        return []
    counts = Counter(phrase for caption in own for phrase in _phrases(_content(caption), shortest=1))
    looks = _phrases(_content(appearance), shortest=1)
    often = {
        phrase
        for phrase, count in counts.items()
        if phrase not in looks and count >= (len(own) if len(phrase) == 1 else REPEATED_SHARE * len(own))
    }
    return [
        Problem(
            "images",
            f'{counts[phrase]} of {len(own)} captions say "{_said(phrase)}".',
            "What never changes belongs into the looks or the persona; captions say what varies.",
            "warning",
        )
        for phrase in sorted(_longest(often), key=lambda phrase: (-counts[phrase], phrase))[:3]
    ]


def _alike(images: Sequence[CharacterImage], called: Callable[[str], str]) -> list[Problem]:
    """The same words below most or many pictures."""
    files: dict[tuple[str, ...], list[str]] = {}
    for image in images:
        files.setdefault(tuple(words_of(image.description)), []).append(image.file)
    same = max(files.values(), key=len)
    mend = "Say below each what is different there: face, clothes, place, pose. Nothing else tells it."
    if len(same) == len(images):
        return [Problem("images", "All captions are alike.", mend, "warning")]
    if len(same) >= max(3, len(images) / 3):
        return [Problem("images", f"The captions of {_named(same, called)} are alike.", mend, "warning")]
    return []


def _content(text: str) -> list[str]:
    return [word for word in words_of(text) if word not in _SMALL_WORDS]


def _phrases(words: Sequence[str], shortest: int = 2) -> set[tuple[str, ...]]:
    """Neighbouring words, from `shortest` to LONGEST_PHRASE of them; letters of scripts without spaces need more."""
    return {
        phrase
        for length in range(shortest, LONGEST_PHRASE + 1)
        for start in range(len(words) - length + 1)
        if (phrase := tuple(words[start : start + length]))
        and (length >= _PHRASE_LETTERS or any(len(word) > 1 for word in phrase))
    }


def _longest(phrases: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Those that are no part of a longer one."""
    spaced = {phrase: f" {' '.join(phrase)} " for phrase in phrases}
    return [
        phrase
        for phrase in phrases
        if not any(spaced[phrase] in spaced[other] for other in phrases if len(other) > len(phrase))
    ]


def _said(phrase: tuple[str, ...]) -> str:
    return ("" if all(len(word) == 1 for word in phrase) else " ").join(phrase)


def _named(files: Sequence[str], called: Callable[[str], str]) -> str:
    names = [called(file) for file in files]
    if len(names) > MAX_FILES_NAMED:
        return f"{', '.join(names[:MAX_FILES_NAMED])} and {len(names) - MAX_FILES_NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
