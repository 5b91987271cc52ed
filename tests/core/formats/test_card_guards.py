"""Cards from strangers: what is damaged, too large, encrypted or no card at all is refused by name."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from pipelines.core.formats import card_files
from pipelines.core.formats.card_files import put_chunks
from pipelines.core.formats.cards import read_card, write_card
from pipelines.core.problems import CharacterProblems
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign, png


def refused(data: bytes, *words: str) -> None:
    with pytest.raises(CharacterProblems) as caught:
        read_card(data, "mira.png")
    text = str(caught.value)
    assert "mira.png" in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["JSON"]),
        (b"hello", ["JSON"]),
        (b"[1, 2]", ["not a Character Card"]),
        (b'{"a": 1}', ["not a Character Card", "'a'"]),
        (b'{"spec": "lorebook_v3", "data": {"entries": []}}', ["not a Character Card"]),
        (b'{"spec": "chara_card_v2", "data": {"name": "  "}}', ["has no name"]),
        (b"\xff\xfe\x00", ["neither a PNG"]),
        (b'{"name": "A", "description": ' + b"[" * 5000 + b"]" * 5000 + b"}", ["nested too deeply"]),
        (b'{"name": "A", "description": "", "x": ' + b"[" * 60 + b"]" * 60 + b"}", ["nested too deeply"]),
        (png(), ["without a card", "JSON"]),
        (as_png({"ccv3": foreign()})[:-30], ["cut short"]),
        (as_png({"ccv3": foreign()}).replace(b"tEXtccv3\0ey", b"tEXtccv3\0eZ"), ["damaged"]),
        (put_chunks(png(), {"ccv3": b"%%%"}, lambda keyword: False, "x"), ["base64"]),
        (as_charx({"other.json": b"{}"}), ["card.json"]),
        (as_charx({"card.json": as_json(foreign())})[:-40], ["damaged"]),
        (as_charx({"card.json": as_json(foreign()), "assets/../../x.png": b""}), ["unsafe path"]),
        (as_charx({"card.json": as_json(foreign()), "/etc/x.png": b""}), ["unsafe path"]),
        (as_charx({"card.json": as_json(foreign()), "C:\\x.png": b""}), ["unsafe path"]),
        (as_charx({f"{n}": b"" for n in range(4001)}), ["more than 4000 files"]),
        (as_charx({"card.json": b" " * 50_000_000}, compression=zipfile.ZIP_DEFLATED), ["from almost nothing"]),
    ],
)
def test_what_is_no_whole_card_is_refused_by_name(data: bytes, words: list[str]) -> None:
    refused(data, *words)


def test_encrypted_archives_are_refused() -> None:
    data = bytearray(as_charx({"card.json": as_json(foreign())}))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1  # the encryption flag in the central directory
    refused(bytes(data), "encrypted")


def test_zip_bomb_in_a_text_chunk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_files, "MAX_TEXT_BYTES", 1 << 20)  # 64 MB take seconds to make
    body = b"ccv3\0\0" + zlib.compress(b"0" * (2 << 20))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = png()
    refused(data[:-12] + chunk + data[-12:], "more than 1 MB")


def test_half_characters_and_nul_can_be_written_again(tmp_path: Path) -> None:
    card = read_card(as_json(foreign(description="a\ud800b\0c\r\nd", extensions={"k\udfff": ["\ud800"]})), "h.json")
    assert card.character.persona.startswith("a\ufffdbc\nd")
    write_card(card.character, card.images, tmp_path / "h.json")
    assert read_card(tmp_path / "h.json").character == card.character
