"""How much of a card that is only kept for export a character folder can hold.

A lorebook of hundreds of entries is what most often is too much: of it as many entries are kept as fit, those first
that are in every prompt. Whatever else is too large is left out, and told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines.core.formats.card_fields import KEPT_KEY, kept_card
from pipelines.core.formats.lorebook import read_entries
from pipelines.core.problems import left_out
from pipelines.core.yaml_text import MAX_ITEMS

MAX_EXTENSION_ITEMS = MAX_ITEMS - 20_000
"""Most entries of a card's unknown parts; the rest of `character.yaml` needs its own."""
MAX_EXTENSION_CHARS = 1_000_000
"""Most characters of JSON that a card's unknown parts (a large lorebook) may fill in `character.yaml`."""


def fit_extensions(extensions: Mapping[str, object], mended: Counter[str]) -> dict[str, object]:
    """The extensions as far as a folder can hold them; what is left out is counted."""
    kept = dict(extensions)
    if _fits(kept):
        return kept
    data = kept_card(kept)
    book = data.get("character_book")
    entries = book.get("entries") if isinstance(book, dict) else None
    card = kept.get(KEPT_KEY)
    if isinstance(card, dict) and isinstance(book, dict) and isinstance(entries, list):
        without = {**kept, KEPT_KEY: {**card, "data": {**data, "character_book": {**book, "entries": []}}}}
        chosen = _first_that_fit(entries, without)
        kept = {**kept, KEPT_KEY: {**card, "data": {**data, "character_book": {**book, "entries": chosen}}}}
        if _fits(kept):
            sentence = "entries of the lorebook were left out: they are too large for a folder"
            mended[left_out(sentence)] += len(entries) - len(chosen)
            return kept
    mended[left_out("parts that are only kept for export are too large for a folder and were left out")] += 1
    return {}


def _first_that_fit(entries: list[Any], rest: Mapping[str, object]) -> list[Any]:
    """As many entries as there is room for beside the rest, in their order; constant ones come first."""
    items, chars = count_items(rest), len(json.dumps(rest))
    always = [any(found.constant for found in read_entries({"entries": [entry]})) for entry in entries]
    places = []
    for place in sorted(range(len(entries)), key=lambda place: not always[place]):
        items += count_items(entries[place])
        chars += len(json.dumps(entries[place])) + 2
        if items > MAX_EXTENSION_ITEMS or chars > MAX_EXTENSION_CHARS:
            break
        places.append(place)
    return [entries[place] for place in sorted(places)]


def _fits(extensions: Mapping[str, object]) -> bool:
    return count_items(extensions) <= MAX_EXTENSION_ITEMS and len(json.dumps(extensions)) <= MAX_EXTENSION_CHARS


def count_items(value: object) -> int:
    """Keys, texts, lists and groups of a value, as `yaml_text` counts them."""
    if isinstance(value, Mapping):
        return 1 + sum(1 + count_items(item) for item in value.values())
    return 1 + sum(map(count_items, value)) if isinstance(value, list) else 1
