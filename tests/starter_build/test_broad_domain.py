"""The broad domain: packages are checked, symbols selected and dressed, hues turned, captions free of colours."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.starter_build.broad_domain import (
    CAPTIONS,
    BroadDomain,
    SubjectJob,
    figure_mask,
    render_subject,
    symbol_attributes,
)
from pipelines.starter_build.drawings.draw_symbols import COAT_CUTS, SymbolCharacter, symbol_figure
from pipelines.starter_build.drawings.hue import turn_hue, without_colours
from pipelines.starter_build.drawings.random_art import random_art
from pipelines.starter_build.drawings.render_svg import framed, rasterise
from pipelines.starter_build.drawings.symbols import (
    Package,
    SymbolsMissing,
    fetch_package,
    prepare_symbols,
    read_symbols,
    split_words,
)
from tests.starter_build.toy_symbols import SQUARE, toy_symbols_file

NAMES = ("red-fox", "flag-peru", "waving-hand", "one-oclock", "blue-heart", "crown", "cook-dark-skin-tone", "palm-tree")


def package(folder: Path, icons: dict[str, str], categories: dict[str, list[str]]) -> Package:
    """A package file as npm has it, with the integrity of what it holds."""
    made = Package("@iconify-json/toys", "1.0.0", "")
    files = {
        "icons.json": {
            "prefix": "toys",
            "width": 32,
            "height": 32,
            "icons": {name: {"body": body} for name, body in icons.items()},
        },
        "metadata.json": {"categories": categories},
    }
    with tarfile.open(folder / made.file_name, "w:gz") as archive:
        for name, content in files.items():
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    digest = hashlib.sha512((folder / made.file_name).read_bytes()).digest()
    return replace(made, sha512=base64.b64encode(digest).decode())


def test_packages_are_checked_and_what_cannot_be_a_character_is_left_out(tmp_path) -> None:
    folder = tmp_path / "symbols"
    folder.mkdir()
    icons = dict.fromkeys(NAMES, SQUARE) | {"redfox": SQUARE, "plain-dot": "<path/>", "huge-owl": SQUARE * 60}
    found = package(folder, icons | {"mars-glyph": SQUARE}, {"Symbols": ["mars-glyph"]})
    symbols = read_symbols(prepare_symbols(tmp_path, [found]))
    assert [symbol.name for symbol in symbols] == ["crown", "palm-tree", "red-fox", "redfox"]
    assert symbols[2].noun == symbols[3].noun == "red fox" and symbols[0].view == (0, 0, 32, 32)
    with pytest.raises(SymbolsMissing, match="delete it and try again"):
        fetch_package(replace(found, sha512="other"), folder)
    assert split_words("babychick", {"baby", "chick", "bab"}) == ["baby", "chick"]
    assert split_words("qwert", {"baby"}) == ["qwert"]


def test_a_symbol_is_the_figure_or_the_head_above_a_coat(tmp_path) -> None:
    symbol = read_symbols(toy_symbols_file(tmp_path))[0]
    bare = np.asarray(rasterise(framed(symbol_figure(SymbolCharacter(symbol)), ""), 50))
    worn = np.asarray(rasterise(framed(symbol_figure(SymbolCharacter(symbol, "zip"), "green"), ""), 50))
    assert bare[25, 25, 3] and not bare[48, 25, 3] and worn[48, 25, 3]
    assert tuple(worn[46, 20, :3]) == (0x2B, 0x9A, 0x4A)  # the green of the vocabulary
    seen = symbol_attributes(SymbolCharacter(symbol, "zip"), random.Random(0))
    assert seen.kind == "coat" and not seen.expression
    with pytest.raises(ValueError, match="cannot wear"):
        symbol_figure(SymbolCharacter(symbol), "green")
    assert len({symbol_figure(SymbolCharacter(symbol, cut), "red") for cut in COAT_CUTS[1:]}) == len(COAT_CUTS) - 1


def test_hues_turn_and_captions_lose_their_colours() -> None:
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (90, 90, 90))
    turned = turn_hue(image, 85)  # a third of a turn
    assert turned.getpixel((0, 0))[1] > 250 and turned.getpixel((1, 0)) == (90, 90, 90)
    assert turn_hue(image, 256) is image
    words = (
        "Tomo, a brown-skinned person with an orange quiff and pink cheeks, wearing an orange-red hoodie, in the snow."
    )
    assert without_colours(words) == "Tomo, a person with a quiff and round cheeks, wearing a hoodie, in the snow."
    assert without_colours("A grey owl with red eyes") == "An owl with eyes"
    assert without_colours("in blue overalls, with a gold medal") == "in overalls, with a medal"
    assert without_colours("a blackboard, orange") == "a blackboard,"


def test_subjects_are_drawn_as_asked(tmp_path) -> None:
    domain = BroadDomain(symbols_file=toy_symbols_file(tmp_path))
    jobs = [SubjectJob(domain, position, 3, 32, mask_side=4) for position in range(24)]
    subjects = [render_subject(job) for job in jobs]
    kinds = [subject.kind for subject in subjects]
    assert 5 <= kinds.count("symbol") <= 16 and len(set(kinds)) > 3
    for subject in subjects[:6]:
        assert subject.pixels.shape == (10, 32, 32, 3) and subject.figure.shape == (10, 16)
        assert {len(texts) for texts in subject.captions} == {CAPTIONS}
        assert subject.figure.any(1).all() and not subject.figure.all()
    again = render_subject(jobs[4])
    assert np.array_equal(again.pixels, subjects[4].pixels) and again.captions == subjects[4].captions
    # The first half of the captions say who it is; what says it stands in none of the others.
    symbol = subjects[kinds.index("symbol")]
    noun = symbol.captions[0][1].split(" the ")[1].split(",")[0]
    assert all(noun in text for texts in symbol.captions for text in texts[:2])
    assert not any(noun in text for texts in symbol.captions for text in texts[2:])


def test_held_out_subjects_are_others_and_turned_ones_have_no_colours(tmp_path) -> None:
    file = toy_symbols_file(tmp_path)
    symbols = BroadDomain(symbols_file=file, symbols=1.0)
    held_out = {symbol.noun for symbol in read_symbols(file) if symbol.is_held_out}
    assert held_out

    def nouns(is_held_out: bool) -> set[str]:
        drawn = [render_subject(SubjectJob(symbols, position, 0, 16, is_held_out)) for position in range(12)]
        return {subject.captions[0][1].split(" the ")[1].split(",")[0] for subject in drawn}

    assert nouns(True) <= held_out and not nouns(False) & held_out
    turned = render_subject(SubjectJob(BroadDomain(turned_figures=1.0), 0, 0, 16))
    plain = render_subject(SubjectJob(BroadDomain(turned_figures=0.0), 0, 0, 16))
    assert not np.array_equal(turned.pixels, plain.pixels)
    assert all(without_colours(text) == text for texts in turned.captions for text in texts)
    assert any(without_colours(text) != text for texts in plain.captions for text in texts)


def test_random_art_is_flat_art_of_any_kind() -> None:
    rng = random.Random(0)
    pictures = [np.asarray(rasterise(random_art(rng), 24).convert("RGB")) for _ in range(12)]
    assert len({picture.tobytes() for picture in pictures}) == 12
    art = render_subject(SubjectJob(BroadDomain(art=1.0), 0, 0, 24))
    assert art.kind == "art" and art.captions == [] and art.pixels.shape == (10, 24, 24, 3)


def test_the_mask_is_where_the_figure_stands() -> None:
    layer = Image.new("RGBA", (8, 8))
    layer.paste((9, 9, 9, 255), (0, 4, 4, 8))
    assert figure_mask(layer, 2).tolist() == [False, False, True, False] and figure_mask(layer, 0).shape == (0,)
