"""Character Cards V1, V2 and V3 in and out: PNG, JSON and CHARX; Backyard archives in.

`read_card` tells the kind by the bytes, not by the name. Of a PNG with both `ccv3` and `chara` the former counts,
unless it is damaged. `write_card` writes both into a PNG, so that older programs read the card too; `card_export.py`
does the same from a character folder. Export and import give an equal character; a card carries no test split (a zip
does). Text fields are in `card_fields.py`, pictures in `card_images.py`, containers in `card_files.py`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.core.character.character import Character
from pipelines.core.character.image_decode import without_metadata
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.backyard import is_backyard_file, read_backyard_archive
from pipelines.core.formats.card_fields import (
    CardData,
    card_data,
    card_of_data,
    character_of_card,
    data_of_character,
    image_hashes,
    nickname_of,
    without_stale_originals,
)
from pipelines.core.formats.card_files import (
    MAX_FILE_BYTES,
    PNG_SIGNATURE,
    decode_base64,
    list_archive,
    put_chunks,
    read_archive,
    read_bytes,
    read_chunks,
    refuse_other_archive,
    write_archive,
)
from pipelines.core.formats.card_images import (
    ADAPTER_TYPE,
    adapter_paths,
    asset_entries,
    assets_of,
    attach_images,
    exif_comment,
    is_adapter_file,
    png_avatar,
    suffix_of,
)
from pipelines.core.formats.chat_formats import conversations_of_records, with_rejected
from pipelines.core.formats.import_notes import Mended, notes_from, refuse
from pipelines.core.formats.json_text import parse_json
from pipelines.core.problems import CharacterProblems, Problem, left_out
from pipelines.core.yaml_text import MAX_YAML_BYTES, read_yaml

Format = Literal["png", "json", "charx"]
MAX_INLINE_BYTES = 24 * 2**20
"""Pictures together, above which a PNG or JSON card carries only the avatar (a CHARX carries all)."""
ADAPTER_FOLDER = "adapter"
"""Folder of an adapter's files in a zip, and in the character folder that a CHARX or zip is imported into."""
CARD_FILE = "card.json"
"""The card inside a CHARX."""
_PNG_ASSET = "chara-ext-asset_"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class CardImport:
    """What a card held."""

    character: Character
    images: dict[str, bytes]
    """Bytes by file name, for every picture that the character lists."""
    notes: list[Problem]
    """What was mended, left out or kept only for export; warnings all."""
    adapter_files: dict[str, bytes] = field(default_factory=dict)
    """Files of an adapter that a CHARX carries, by their path in its folder."""


# ---------------------------------------------------------------- in


def read_card(source: Path | bytes, name: str = "") -> CardImport:
    """Reads a card; `name` is what problems call it (default: the file's name).

    Raises:
        CharacterProblems: not a card, damaged, encrypted, or too large; the text says which and what to do.
    """
    file = name or (source.name if isinstance(source, Path) else "the card")
    data = read_bytes(source, file) if isinstance(source, Path) else source
    if len(data) > MAX_FILE_BYTES:
        refuse(file, f"is larger than {MAX_FILE_BYTES >> 20} MB", "Leave out what is not needed.")
    if data.startswith(PNG_SIGNATURE):
        return _read_png(data, file)
    if data.startswith(b"PK") or zipfile.is_zipfile(io.BytesIO(data)):
        return _read_charx(data, file)
    refuse_other_archive(data, file)
    if suffix_of(data):
        return _read_picture(data, file)
    return _build_import(_parse_card(data, file), None, {}, {}, file, Mended())


def _read_png(data: bytes, file: str) -> CardImport:
    texts = read_chunks(data, file)
    cards = [texts[keyword] for keyword in ("ccv3", "chara") if keyword in texts]
    if not cards and (comment := exif_comment(data)):
        return _build_import(_parse_card(comment, file), without_metadata(data, file), {}, {}, file, Mended())
    if not cards:
        refuse(
            file,
            "is a picture without a card",
            "Resizing or sending it through a chat removes the card: get the original PNG, or the JSON file.",
        )
    mended: Counter[str] = Mended()
    try:
        card = _parse_chunk(cards[0], file)
    except CharacterProblems:
        if len(cards) == 1:
            raise
        mended[left_out("the newer of two cards in the picture is damaged: the older one was read")] += 1
        card = _parse_chunk(cards[1], file)
    files = {}
    for keyword, content in texts.items():
        if keyword.startswith(_PNG_ASSET):
            try:
                files[keyword.removeprefix(_PNG_ASSET).removeprefix(":")] = decode_base64(
                    content, file, "a picture in the card"
                )
            except CharacterProblems:
                mended[left_out("pictures that could not be read were left out")] += 1
    return _build_import(card, put_chunks(data, {}, is_card_chunk, file), files, {}, file, mended)


def _parse_chunk(text: bytes, file: str) -> CardData:
    if text.startswith(b"rcc||"):
        refuse(file, "is protected by RisuAI: only RisuAI opens it", "Export it there as a plain card, or as CHARX.")
    if not text.lstrip().startswith(b"{"):
        text = decode_base64(text, file, "the card in the picture")
    return _parse_card(text, file)


def _read_picture(data: bytes, file: str) -> CardImport:
    """A card in the EXIF comment of a WebP or JPEG, where TavernAI, SillyTavern and Backyard once put it."""
    text = exif_comment(data)
    if not text:
        refuse(
            file,
            "is a picture without a card",
            "Saving it as JPEG or WebP removes the card: get the original PNG, or the JSON file.",
        )
    return _build_import(_parse_card(text, file), without_metadata(data, file), {}, {}, file, Mended())


def is_card_chunk(keyword: str) -> bool:
    """Whether a PNG text chunk of this keyword (lower case) belongs to a card."""
    return keyword in ("chara", "ccv3") or keyword.startswith(_PNG_ASSET)


def _read_charx(data: bytes, file: str) -> CardImport:
    paths = list_archive(data, file)
    card = next((path for path in paths if path.lower() == CARD_FILE), CARD_FILE)
    mended: Counter[str] = Mended()
    files, others = read_archive(data, file, belongs_to_card, mended)
    if card in files:
        return read_card_files({**files, CARD_FILE: files[card]}, others, file, mended)
    backyard = read_backyard_archive(files, file, mended)
    if backyard is not None:
        return _build_import(
            replace(card_data(backyard.card, file), chats=backyard.chats), None, files, {}, file, mended
        )
    if any(path.lower().endswith(_PICTURES) for path in files):
        refuse(
            file,
            "holds pictures but no character",
            "Make the character first, then drop the pictures and their captions in at step Pictures.",
        )
    refuse(
        file,
        f"is an archive without a {CARD_FILE}, and holds no character otherwise",
        "Send the PNG or JSON card, or pack its files again; archives inside it are not opened.",
    )


def belongs_to_card(path: str) -> bool:
    """Whether a file of a CHARX or of a Backyard archive is read, by its path inside it."""
    named = path.lower() == CARD_FILE or (is_backyard_file(path) and path.endswith(".json"))
    return named or path.lower().endswith(_PICTURES) or "/ai/" in path


def read_card_files(
    files: Mapping[str, bytes], others: Iterable[str], file: str, mended: Counter[str] | None = None
) -> CardImport:
    """The card of an unpacked CHARX: `card.json` and what it names, by path; `others` are paths that were not read."""
    told: Counter[str] = Mended() if mended is None else mended
    adapter = {}
    for path, content in files.items():
        inside = path.partition("/ai/")[2]
        name = inside if is_adapter_file(inside) else inside.rpartition("/")[2]
        if is_adapter_file(name):
            adapter[name] = content
        elif "/ai/" in path:
            told[left_out("model files that are not safetensors were left out")] += 1
    extra = [path for path in others if path.startswith("assets/")]
    if extra:
        told[left_out("assets that are not pictures were left out")] += len(extra)
    return _build_import(_parse_card(files[CARD_FILE], file), None, dict(files), adapter, file, told)


def _parse_card(text: bytes, file: str) -> CardData:
    try:
        words, notes = decode_text(text, file)
    except CharacterProblems:
        refuse(
            file, "is no Character Card: it is neither a PNG, an archive nor readable text", "Send the original file."
        )
    try:
        is_yaml = file.lower().endswith((".yaml", ".yml"))
        card = card_data(read_yaml(words.encode(), file) if is_yaml else parse_json(words, file), file)
        return replace(card, notes=notes + card.notes)
    except ValueError as error:
        refuse(file, f"holds no valid JSON ({error})", "Export the card again from the program that made it.")


def _build_import(
    card: CardData,
    avatar: bytes | None,
    files: dict[str, bytes],
    adapter: dict[str, bytes],
    file: str,
    mended: Counter[str],
) -> CardImport:
    """Character, pictures and notes from the card's data, its own picture and the files inside it."""
    for key, value in card.data.items():
        if isinstance(value, str) and len(value) > MAX_YAML_BYTES:  # no character folder could hold it
            refuse(
                file, f"has a text of {len(value) >> 20} MB ({str(key)[:40]})", "Take out what does not belong there."
            )
    character, notes = character_of_card(card, file)
    if card.chats:
        talks = conversations_of_records(card.chats, character.name, nickname_of(character.extensions), file)
        character = replace(
            character,
            interactions=character.interactions + talks.interactions,
            extensions=with_rejected(character.extensions, talks.rejected),
        )
        character = without_stale_originals(character)
        notes += talks.notes
    assets = assets_of(card.data, files, file, mended)
    hashes = image_hashes(card.data) if character.images or character.input_images else {}
    character, images = attach_images(character, hashes, avatar, assets, mended)
    return CardImport(character, images, notes + notes_from(mended, file), adapter)


# ---------------------------------------------------------------- out


def write_card(
    character: Character,
    images: dict[str, bytes],
    path: Path,
    version: int = 3,
    format: Format | None = None,
    adapter_files: dict[str, bytes] | None = None,
) -> list[Problem]:
    """Writes a card and returns notes on what it cannot carry; `format` defaults to the path's suffix.

    Raises:
        CharacterProblems: a listed picture is not in `images`, no picture for a PNG, or a format that cannot hold this.
    """
    kind = format or path.suffix.lower().removeprefix(".")
    if kind not in ("png", "json", "charx"):
        refuse(path.name, "is no kind of card", "Name the file .png, .json or .charx.")
    if version not in (1, 2, 3) or (kind == "charx" and version != 3):
        refuse(path.name, f"cannot be a card of version {version}", "PNG and JSON hold 1, 2 or 3; CHARX holds 3.")
    if adapter_files and kind != "charx":
        refuse(path.name, "cannot carry an adapter", "Name the file .charx.")
    listed = [*(image.file for image in character.images), *character.input_images]
    missing = [file for file in listed if file not in images]
    if missing:
        refuse(path.name, f"cannot be written: the pictures {', '.join(missing)} are missing", "Add the files.")
    hashes = {file: hashlib.sha256(images[file]).hexdigest() for file in listed}
    data = data_of_character(character, hashes)
    mended: Counter[str] = Mended()
    if kind == "charx":
        content = _write_charx(character, images, data, adapter_files or {})
    elif kind == "png":
        content = _write_png(character, images, data, version, path.name, mended)
    else:
        if version == 3:
            data |= {"assets": _inline_assets(character, images, None, mended)}
        elif images:
            mended[left_out("pictures are not in this card: only V3 cards carry them")] += len(images)
        content = _dump_json(card_of_data(data, version), path.name)
    if version == 1:
        mended[left_out("a V1 card holds only words: style, facts and captions are not in it")] += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return notes_from(mended, path.name)


def _write_png(
    character: Character, images: dict[str, bytes], data: dict[str, Any], version: int, file: str, mended: Counter[str]
) -> bytes:
    if not character.images:
        refuse(file, "needs a picture to be written into", "Add a picture to the character, or name the file .json.")
    first = character.images[0].file
    avatar = put_chunks(png_avatar(images[first], first), {}, is_card_chunk, first)
    same = first if avatar == images[first] else None
    cards = {"chara": card_of_data(data, min(version, 2), backfill=version == 3)}
    if version == 3:
        cards["ccv3"] = card_of_data(data | {"assets": _inline_assets(character, images, same, mended)}, 3)
    elif len(images) > 1:
        sentence = "pictures beyond the first are not in this card: only V3 cards carry them"
        mended[left_out(sentence)] += len(images) - 1
    texts = {keyword: base64.b64encode(_dump_json(card, file, None)) for keyword, card in cards.items()}
    return put_chunks(avatar, texts, is_card_chunk, first)


def _inline_assets(
    character: Character, images: dict[str, bytes], avatar: str | None, mended: Counter[str]
) -> list[dict[str, str]]:
    """`assets` with the pictures as data URLs, as far as they fit; the card's own picture is the avatar."""
    entries = asset_entries(character, images, avatar)
    if sum(len(images[file]) for _, file in entries if file) > MAX_INLINE_BYTES:
        sentence = "pictures beyond the first are too large for this kind of card: name the file .charx"
        mended[left_out(sentence)] += len(images) - 1
        entries = entries[:1] if character.images else []
    kinds = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "unknown": "application/octet-stream"}
    assets = []
    for entry, file in entries:
        uri = f"data:{kinds[entry['ext']]};base64,{base64.b64encode(images[file]).decode()}" if file else "ccdefault:"
        assets.append({**entry, "uri": uri})
    return assets


def _write_charx(
    character: Character, images: dict[str, bytes], data: dict[str, Any], adapter_files: dict[str, bytes]
) -> bytes:
    files: dict[str, bytes] = {}
    assets = []
    for number, (entry, file) in enumerate(asset_entries(character, images, None), start=1):
        path = f"assets/{entry['type']}/images/{number:02d}.{entry['ext']}"  # ASCII, whatever the picture is called
        files[path] = images[file]
        assets.append({**entry, "uri": f"embeded://{path}"})  # spelled as the specification spells it
    for path, content in adapter_paths(adapter_files).items():
        files[path] = content
        name = path.rsplit("/", 1)[-1]
        ext = name.rsplit(".", 1)[-1].lower()
        assets.append({"type": ADAPTER_TYPE, "name": name, "ext": ext, "uri": f"embeded://{path}"})
    return write_archive({CARD_FILE: _dump_json(card_of_data(data | {"assets": assets}, 3), CARD_FILE), **files})


def _dump_json(card: dict[str, Any], file: str, indent: int | None = 2) -> bytes:
    try:
        return json.dumps(card, ensure_ascii=False, indent=indent, allow_nan=False).encode()
    except ValueError:
        refuse(
            file,
            "cannot be written: `extensions` holds a number that JSON does not have (.nan or .inf)",
            "Take it out of character.yaml.",
        )
