"""What earlier versions of a character held out and learned, found again in it by content and not by place.

So that a test stays the same from training to training, and nothing is tested that an earlier one learned.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from pipelines.core.character.character import Character, HeldOut
from pipelines.core.character.held_out_split import Tested, held_places
from pipelines.core.character.serialize import character_from_entries
from pipelines.core.jobs.job import CharacterVersion

Item = TypeVar("Item", bound=Hashable)


def tested_by(version: CharacterVersion, character: Character, new_keys: Mapping[str, str]) -> Tested:
    """What a version held out and learned, in the character as it is now.

    `new_keys`: object keys by file name, since a file name alone may be another picture's today.
    """
    before = character_from_entries(version.entries, [])
    held = HeldOut((), (), ()) if version.test_entries is not None else held_places(before)
    keys = version.images
    talks = _found(before.interactions, character.interactions)
    facts = _found([fact.question for fact in before.facts], [fact.question for fact in character.facts])
    old = [keys.get(image.file, image.file) for image in before.images]
    pictures = _found(old, [new_keys.get(image.file, image.file) for image in character.images])
    files = {image.file: character.images[pictures[n]].file for n, image in enumerate(before.images) if n in pictures}
    kept_talks, kept_files = set(held.conversations or ()), set(held.images or ())
    kept = HeldOut(
        tuple(sorted(now for then, now in talks.items() if then in kept_talks)),
        tuple(sorted(now for then, now in facts.items() if then in set(held.facts or ()))),
        tuple(now for then, now in files.items() if then in kept_files),
    )
    learned = HeldOut(
        tuple(sorted(now for then, now in talks.items() if then not in kept_talks)),
        None,
        tuple(now for then, now in files.items() if then not in kept_files),
    )
    return Tested(kept, learned)


def _found(before: Sequence[Item], now: Sequence[Item]) -> dict[int, int]:
    """Place then -> place now of what is equal, each place once."""
    places: dict[Item, list[int]] = {}
    for place, item in enumerate(now):
        places.setdefault(item, []).append(place)
    return {then: places[item].pop(0) for then, item in enumerate(before) if places.get(item)}
