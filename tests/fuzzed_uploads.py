"""Uploads by seeded chance for every field of the studio: whole inputs that were damaged, and files made anew.

    samples = whole_inputs(folder)
    fuzzed(samples, number, seed) -> Upload

Damage is that of `tests/benchmarks/mutations.py`. One in five is made anew, of words that readers look for in places
where they do not expect them; one in five has a name that no file should have. Equal seeds give equal uploads, but for
the times that zips keep.
"""

from __future__ import annotations

import base64
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from PIL import Image

from pipelines.core.formats.card_files import put_chunks
from pipelines.core.formats.cards import is_card_chunk
from tests.benchmarks.mutations import mutated
from tests.core.formats.card_samples import png
from tests.core.formats.test_fuzz import Chance
from tests.core.formats.whole_inputs import Input
from tests.upload_bombs import Way

WHO = {"name": "Tola", "persona": "Mends clocks."}
"""The character that pictures, conversations and lorebooks are dropped on."""
MADE_SHARE, ODD_NAME_SHARE = 0.2, 0.2
NATURAL_SHARE = 0.7
"""How many go where they belong; the others go to another field that takes such a file."""
WAYS: dict[str, tuple[Way, ...]] = {
    ".png": ("character", "pictures"),
    ".webp": ("character", "pictures"),
    ".jpg": ("character", "pictures"),
    ".jpeg": ("pictures", "pictures"),
    ".zip": ("character", "pictures"),
    ".json": ("character", "talks", "lore"),
    ".jsonl": ("talks", "pictures"),
    ".txt": ("talks", "pictures"),
    ".caption": ("pictures", "pictures"),
    ".csv": ("pictures", "pictures"),
    ".yaml": ("character", "pictures"),
    ".charx": ("character", "pictures"),
    ".byaf": ("character", "pictures"),
}
"""Where a file of that ending can be dropped, the natural place first."""


@dataclass(frozen=True)
class Upload:
    """One upload."""

    way: Way
    file: str
    """As the browser calls it."""
    data: bytes
    source: str
    """What it was made from."""


def fuzzed(samples: Sequence[Input], number: int, seed: int) -> Upload:
    """The upload of that number."""
    chance = random.Random(f"{seed} upload {number}")
    if chance.random() < MADE_SHARE:
        suffix = chance.choice(list(MAKERS))
        name, data, source = f"made{suffix}", MAKERS[suffix](chance), f"made {suffix}"
        natural = chance.choice(WAYS[suffix])
    else:
        sample = samples[number % len(samples)]
        data, source = mutated(sample, samples, chance), sample.name
        name = sample.name.removesuffix(".folder") + ".zip" if sample.name.endswith(".folder") else sample.name
        natural = _natural(sample)
    suffix = f".{name.rpartition('.')[2]}"
    way = natural if chance.random() < NATURAL_SHARE else chance.choice(WAYS[suffix])
    if chance.random() < ODD_NAME_SHARE:
        name = chance.choice(ODD_NAMES) + suffix
    return Upload(way, name, data, source)


def _natural(sample: Input) -> Way:
    if sample.name.startswith(("picture.", "kohya.", "imagefolder.", "more.", "caption.")):
        return "pictures"
    if sample.name.startswith("book-"):
        return "lore"
    return "talks" if sample.is_added and not sample.name.startswith("mmrole") else "character"


ODD_NAMES = (
    "CON",
    "nul.tar",
    "é" * 200,
    "x" * 300,
    "../../../etc/passwd",
    "C:\\Windows\\a",
    "a\u202egnp",
    "<img src=x onerror=alert(1)>",
    "**bold** [a](javascript:alert(1))",
    "'; DROP TABLE characters; --",
    "\x1b[31mred\x07",
    "line\nline",
    "%s%n%00",
    "{{char}}",
    "🐌",
    ".",
    "",
    " ",
)
"""Before the ending."""


# ---------------------------------------------------------------- made anew

KEYS = (
    *("name", "description", "personality", "scenario", "first_mes", "mes_example", "character_book", "extensions"),
    *("spec", "spec_version", "data", "assets", "entries", "keys", "content", "messages", "role", "from", "value"),
    *("conversations", "prompt", "chosen", "rejected", "images", "interactions", "facts", "persona", "file", "user"),
    *("character", "references", "text", "mes", "is_user", "alternate_greetings", "depth", "uid", "version", "test"),
)
WORDS = (
    *("", " ", "Mira", "{{char}}", "{{user}}: Hi", "<START>", "chara_card_v2", "chara_card_v3", "assistant", "human"),
    *("\ud800", "\0", "\u202e", "\x1b[2J", "a" * 5000, "{{random:" * 40, "01.png", "../01.png", "CON.png", "é" * 300),
    *("data:image/png;base64,AAAA", "embeded://a.png", "<script>", "1:0:0", "=1+1", "9" * 400, "\u2028", "\ufeff"),
)
NUMBERS = (0, -1, 7, 2**31, 2**64, 10**30, 1e308, -1e-300, 0.1)


def tree(chance: Chance, depth: int = 0) -> Any:
    """A value of nested lists and objects with keys that readers know."""
    kind = chance.random()
    if depth > 5 or kind < 0.4:
        word = chance.choice(WORDS)
        return chance.choice((word, word, word * chance.choice((1, 2, 50)), chance.choice(NUMBERS), None, True))
    if kind < 0.55:
        return [tree(chance, depth + 1) for _ in range(chance.choice((0, 1, 3, 8)))]
    return {chance.choice(KEYS): tree(chance, depth + 1) for _ in range(chance.choice((1, 3, 6)))}


def card(chance: Chance) -> dict[str, Any]:
    """A card in which some fields hold what does not belong there."""
    names = ("name", "description", "personality", "scenario", "first_mes", "mes_example", "character_book", "assets")
    data = {name: tree(chance, 3) if chance.random() < 0.4 else chance.choice(WORDS) for name in names}
    data["extensions"] = {chance.choice(KEYS): tree(chance, 2)}
    spec = chance.choice(("chara_card_v2", "chara_card_v3"))
    return {"spec": spec, "spec_version": "2.0", "data": data} if chance.random() < 0.8 else data


def made_json(chance: Chance) -> bytes:
    """A card, a lorebook, conversations, or anything."""
    turns = [{chance.choice(("role", "from")): chance.choice(WORDS), "content": tree(chance, 4)} for _ in range(4)]
    book = {"entries": {str(n): {"key": tree(chance, 4), "content": tree(chance, 4), "uid": n} for n in range(3)}}
    return json.dumps(chance.choice((card(chance), book, [{"messages": turns}], tree(chance)))).encode()


def made_lines(chance: Chance) -> bytes:
    """JSON lines, one of them cut."""
    lines = [json.dumps(tree(chance, chance.choice((1, 4)))) for _ in range(chance.choice((1, 5, 60)))]
    return "\n".join([*lines, lines[0][: len(lines[0]) // 2]]).encode()


def made_text(chance: Chance) -> bytes:
    """A conversation as people write it down."""
    labels = ("Mira: ", "{{user}}: ", "You:", "[12:03] Mira: ", "> ", "", "Mira\u00a0: ", "- ", "#", "A" * 90 + ": ")
    lines = [chance.choice(labels) + chance.choice(WORDS) for _ in range(chance.choice((1, 20, 900)))]
    return chance.choice(("\n", "\r\n", "\n\n", "\r")).join(lines).encode("utf-8", "replace")


def made_yaml(chance: Chance) -> bytes:
    """A character folder's file, or anything, with values that YAML reads in its own way."""
    value = {"name": "Mira", "persona": "A baker.", chance.choice(KEYS): tree(chance, 2)}
    text = yaml.safe_dump(chance.choice((value, value, tree(chance))), allow_unicode=True, sort_keys=False)
    odd = chance.choice(
        ("", "x: 1:0:0\n", "x: 2026-02-30\n", "x: &a [*a]\n", "? [a]\n: b\n", "x: !!binary =\n", "<<: x\n")
    )
    return (text + odd).encode("utf-8", "replace")


def made_zip(chance: Chance) -> bytes:
    """Files of every kind under names that no file should have."""
    inner: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("character.yaml", lambda: made_yaml(chance)),
        ("test.yaml", lambda: made_yaml(chance)),
        ("card.json", lambda: json.dumps(card(chance)).encode()),
        ("manifest.json", lambda: made_json(chance)),
        ("metadata.csv", lambda: made_table(chance)),
        ("metadata.jsonl", lambda: made_lines(chance)),
        (f"{chance.choice(ODD_NAMES)}.png", png),
        ("images/01.png", lambda: made_png(chance)),
        ("01.txt", lambda: made_text(chance)),
        ("inner.zip", lambda: made_zip(chance) if chance.random() < 0.3 else b"PK"),
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, make in chance.sample(inner, chance.randrange(1, len(inner))):
            folder = chance.choice(("", "", "a/", "../", "/", "train/10_mira/", "__MACOSX/"))
            method = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
            archive.writestr(zipfile.ZipInfo(folder + name), make(), method)
    return out.getvalue()


def made_table(chance: Chance) -> bytes:
    """A table of pictures."""
    heads = ("file_name,text\n", "file_name;caption\n", "image,role\n", '"file_name","te\n')
    rows = (f"{chance.choice(('01.png', 'images/01.png', *WORDS))},{chance.choice(WORDS)}\n" for _ in range(20))
    return (chance.choice(heads) + "".join(rows)).encode("utf-8", "replace")


def made_png(chance: Chance) -> bytes:
    """A picture with a card in it, or of an odd shape."""
    if chance.random() < 0.3:
        size = chance.choice(((1, 1), (1, 4000), (4000, 1), (40, 30), (700, 600)))
        return _saved(size, chance.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")), "PNG")
    keys = chance.sample(("ccv3", "chara", "chara-ext-asset_:0", "parameters"), 2)
    text = chance.choice((json.dumps(card(chance)).encode(), made_json(chance), b"\xff\xfe", b""))
    return put_chunks(png(), dict.fromkeys(keys, base64.b64encode(text)), is_card_chunk, "made.png")


def made_jpeg(chance: Chance) -> bytes:
    """A picture of an odd mode."""
    return _saved((chance.choice((1, 33, 700)), 40), chance.choice(("L", "RGB", "CMYK")), "JPEG")


def made_webp(chance: Chance) -> bytes:
    """A picture with words in its metadata."""
    exif = Image.Exif()
    exif[0x9286] = json.dumps(card(chance))
    return _saved((chance.choice((1, 33, 700)), 40), chance.choice(("RGB", "RGBA")), "WEBP", exif=exif)


def _saved(size: tuple[int, int], mode: str, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **more)
    return out.getvalue()


MAKERS: dict[str, Callable[[Chance], bytes]] = {
    ".json": made_json,
    ".jsonl": made_lines,
    ".txt": made_text,
    ".yaml": made_yaml,
    ".zip": made_zip,
    ".charx": made_zip,
    ".byaf": made_zip,
    ".csv": made_table,
    ".png": made_png,
    ".jpg": made_jpeg,
    ".webp": made_webp,
}
assert all(way in get_args(Way) for ways in WAYS.values() for way in ways)
