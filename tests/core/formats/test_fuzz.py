"""500 damaged files: each gives a clean result or `CharacterProblems` that names it; no other exception, none hangs.

Good pictures, cards, archives, yaml files and data sets are damaged by seeded chance: flipped and cut bytes, garbage,
NUL bytes, wrong lengths, huge numbers, deep nesting, values of another type. Damage also goes inside a PNG card or
CHARX with all checksums right, so that the readers behind the containers are reached.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import signal
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from PIL import Image

from pipelines.core.character.character_folder import (
    load_character,
    load_test_split,
    read_character,
    read_test_split,
    write_character,
    write_test_split,
)
from pipelines.core.character.image_check import check_image
from pipelines.core.character.image_decode import clean_image
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.card_files import put_chunks, read_chunks
from pipelines.core.formats.cards import is_card_chunk, read_card
from pipelines.core.formats.chat_formats import read_conversations
from pipelines.core.formats.import_character import import_file
from pipelines.core.problems import CharacterProblems, Problem

CASES = 50
"""Damaged files of each of the ten kinds."""
LIMIT_S = 5
"""Most processor time of one file; not by the clock, so that a busy machine fails no test."""
KINDS = (
    "a.png",
    "a.jpg",
    "a.webp",
    "card.png",
    "card.json",
    "card.charx",
    "character.yaml",
    "test.yaml",
    "chat.jsonl",
    "folder.zip",
)

Chance = random.Random


# ---------------------------------------------------------------- damage


def flipped(data: bytes, chance: Chance) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 3, 30))):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def cut(data: bytes, chance: Chance) -> bytes:
    return data[: chance.randrange(len(data))]


def stuffed(data: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(data))
    stuff = chance.choice((chance.randbytes(40), b"\0" * 9, b"\xed\xa0\x80", b"&a *a !!python/x "))
    return data[:at] + stuff + data[at:]


def holed(data: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randrange(1, 200) :]


def mismeasured(data: bytes, chance: Chance) -> bytes:
    """Four bytes replaced by a length nobody meant; in a PNG or zip those of a chunk or header."""
    places = [match.start() - 4 for match in re.finditer(rb"IHDR|IDAT|tEXt|IEND", data)]
    headers = re.finditer(rb"PK\x01\x02|PK\x03\x04", data)
    places += [match.start() + chance.choice((10, 18, 22, 26, 28)) for match in headers]
    at = max(0, chance.choice(places or [chance.randrange(len(data))]))
    wrong = chance.choice((0, 1, 2**31 - 1, 2**32 - 1, 70_000_000))
    return data[:at] + struct.pack(chance.choice(("<I", ">I")), wrong) + data[at + 4 :]


def overgrown(data: bytes, chance: Chance) -> bytes:
    """A number or word replaced by something enormous or endlessly nested."""
    depth = chance.choice((50, 3000, 100_000))
    grown = chance.choice(
        (
            b"9" * 5000,
            b"1e999",
            b"[" * depth,
            b'{"a":' * depth,
            b"[" * depth + b"]" * depth,
            b"- " * depth,
            b"\n" + b" " * 50 + b"x: y",
            b"x" * 300_000,
        )
    )
    words = list(re.finditer(rb"[A-Za-z0-9.]+", data))
    place = chance.choice(words)
    return data[: place.start()] + grown + data[place.end() :]


def retyped(data: bytes, chance: Chance) -> bytes:
    """One value of a JSON text, or of a line of yaml, replaced by a value of another type."""
    try:
        value = json.loads(data)
    except ValueError:
        lines = data.split(b"\n")
        at = chance.randrange(len(lines))
        wrong = chance.choice(
            (b"7", b"null", b"[1, [2]]", b"{a: {b: c}}", b"2026-13-45", b"~", b"-", b"!!binary x", b".nan")
        )
        lines[at] = re.sub(rb":.*", b": " + wrong, lines[at]) if b":" in lines[at] else wrong
        return b"\n".join(lines)
    places = list(_places(value))
    holder, key = chance.choice(places)
    holder[key] = chance.choice(
        (None, 7, -1e300, True, "", "\ud800\0", [], {}, [[1]], {"a": {"b": []}}, [None], 10**30)
    )
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from _places(value[key])


DAMAGES: tuple[Callable[[bytes, Chance], bytes], ...] = (
    flipped,
    cut,
    stuffed,
    holed,
    mismeasured,
    overgrown,
    retyped,
)


def damaged(kind: str, data: bytes, chance: Chance) -> bytes:
    """The file, damaged outside or, for containers, half of the time inside."""
    damage = chance.choice(DAMAGES)
    if kind == "card.png" and chance.random() < 0.5:
        card = base64.b64decode(read_chunks(data, kind)["ccv3"])
        return put_chunks(data, {"ccv3": base64.b64encode(damage(card, chance))}, is_card_chunk, kind)
    if kind in ("card.charx", "folder.zip") and chance.random() < 0.6:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            texts = [name for name in old.namelist() if name.endswith((".json", ".yaml"))]
            victim = chance.choice(texts * 5 + old.namelist())
            for name in old.namelist():
                new.writestr(name, damage(old.read(name), chance) if name == victim else old.read(name))
        return out.getvalue()
    if damage is retyped and not kind.endswith((".json", ".yaml", ".jsonl")):
        damage = flipped
    return damage(data, chance)


# ---------------------------------------------------------------- reading


def use_picture(kind: str, data: bytes, folder: Path) -> list[Problem]:
    report, problems = check_image(data, kind)
    assert report is not None or problems
    assert all(kind in problem.field for problem in problems)
    if report is not None:
        clean_image(data)
    return problems


def use_card(kind: str, data: bytes, folder: Path) -> list[Problem]:
    card = read_card(data, kind)
    assert set(card.images) == {image.file for image in card.character.images}
    (folder / kind).write_bytes(data)
    try:
        import_file(folder / kind, folder / "imported")
        read_character(folder / "imported")
    except CharacterProblems as problems:
        # What was read but cannot be kept as a folder: told about the folder's file, not the card.
        assert problems.problems
    return card.notes


def use_yaml(kind: str, data: bytes, folder: Path) -> list[Problem]:
    (folder / kind).write_bytes(data)
    if kind == "character.yaml":
        character, problems = load_character(folder)
        if character is not None:
            write_character(character, folder)
            assert read_character(folder) == character
        return problems
    return load_test_split(folder)[1]


def use_chat(kind: str, data: bytes, folder: Path) -> list[Problem]:
    return read_conversations(decode_text(data, kind)[0], kind, "Ada").notes


def use_zip(kind: str, data: bytes, folder: Path) -> list[Problem]:
    (folder / kind).write_bytes(data)
    return import_file(folder / kind, folder / "imported")


def reader_of(kind: str) -> Callable[[str, bytes, Path], list[Problem]]:
    if kind.startswith("a."):
        return use_picture
    if kind.startswith("card."):
        return use_card
    return {"chat.jsonl": use_chat, "folder.zip": use_zip}.get(kind, use_yaml)


# ---------------------------------------------------------------- the test


@pytest.fixture(scope="module")
def good(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One whole file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    whole = read_character(toy_character)
    # Two pictures and three conversations, one of them with a picture: small, so that 500 files are quick.
    small = replace(whole, images=whole.images[:2], interactions=whole.interactions[-3:])
    write_character(small, folder / "ada", toy_character)
    split = read_test_split(toy_character)
    assert split is not None
    write_test_split(replace(split, images=split.images[:1]), folder / "ada", toy_character / "test_images")
    files = {"a.png": (toy_character / "images" / "01.png").read_bytes()}
    check_image(files["a.png"], "a.png")  # libraries load at the first call, which is no picture's fault
    for suffix in ("jpg", "webp"):
        with Image.open(toy_character / "images" / "02.png") as picture:
            picture.save(folder / f"a.{suffix}", quality=90)
        files[f"a.{suffix}"] = (folder / f"a.{suffix}").read_bytes()
    for name in ("card.png", "card.json", "card.charx", "folder.zip"):
        export_card(folder / "ada", folder / name)
        files[name] = (folder / name).read_bytes()
    for name in ("character.yaml", "test.yaml"):
        files[name] = (toy_character / name).read_bytes()
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    files["chat.jsonl"] = b"\n".join(json.dumps(talk).encode() for _ in range(20))
    return files


@pytest.fixture
def alarm() -> Iterator[None]:
    """Raises when one file takes more than `LIMIT_S` of processor time; set anew for each by `signal.setitimer`."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"a file took longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGPROF, ring)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def test_the_good_files_are_good(good: dict[str, bytes], tmp_path: Path) -> None:
    assert set(good) == set(KINDS)
    for number, kind in enumerate(KINDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        problems = reader_of(kind)(kind, good[kind], folder)
        assert not [problem for problem in problems if problem.severity == "error"], kind


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_clear_problems_or_clean_results(kind: str, good: dict[str, bytes], tmp_path: Path) -> None:
    told = 0
    for case in range(CASES):
        data = damaged(kind, good[kind], random.Random(f"{kind} {case}"))
        folder = tmp_path / str(case)
        folder.mkdir()
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            problems = reader_of(kind)(kind, data, folder)
        except CharacterProblems as refused:
            problems = list(refused.problems)
            assert problems and any(problem.severity == "error" for problem in problems), f"{kind}, case {case}"
            if not kind.endswith(".yaml"):
                assert kind in str(refused) or "yaml" in str(refused), f"{kind}, case {case}: {refused}"
        except Exception as error:  # noqa: BLE001  # whatever it is, say which file did it
            pytest.fail(f"{kind}, case {case}: {type(error).__name__}: {error}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        assert time.process_time() - began < LIMIT_S, f"{kind}, case {case} took too long"
        told += bool(problems)
        for problem in problems:
            whole = problem.field and problem.message.endswith(".") and problem.mend.endswith(".")
            nothing_to_do = problem.outcome and problem.severity == "warning" and not problem.mend
            assert whole or nothing_to_do, f"{kind}, case {case}: {problem}"
    # A JPEG or WebP decodes whatever its picture data became, so not every damage can be seen.
    assert told > CASES // 20, f"{kind}: the damage is hardly ever noticed, so this tests nothing"
