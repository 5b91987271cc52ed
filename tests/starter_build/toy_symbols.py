"""A file of symbols as `prepare_symbols` writes it, with shapes of our own: nothing is fetched in tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pipelines.starter_build.drawings.symbols import Symbol

SQUARE = f'<path fill="#d02030" d="M4 4H28V28H4Z"/><!--{"." * 220}-->'
_COLOURS = ("#d02030", "#2040c0", "#20a040", "#e0a020", "#802090")
_SHAPES = ("M4 4H28V28H4Z", "M16 2L30 30H2Z", "M2 16L16 2L30 16L16 30Z", "M2 10H30V22H2Z", "M10 2H22V30H10Z")
_KINDS = ("plain", "round", "wide", "tall", "flat")
_NOUNS = ("fox", "lamp", "boat", "pear", "drum", "kite", "owl", "tent", "bell", "cup", "star", "shoe", "fish", "moon")


def toy_symbols_file(folder: Path) -> Path:
    """Seventy symbols, a few of them held out."""
    symbols = [
        Symbol("toys", f"{noun}-{number}", f"{noun} {_KINDS[number]}", "", (0, 0, 32, 32))
        for noun in _NOUNS
        for number in range(5)
    ]
    bodies = [f'<path fill="{colour}" d="{shape}"/>' for colour in _COLOURS for shape in _SHAPES]
    file = folder / "symbols.json"
    entries = [
        asdict(symbol) | {"body": bodies[index % len(bodies)], "view": list(symbol.view)}
        for index, symbol in enumerate(symbols)
    ]
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file
