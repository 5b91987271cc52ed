"""The pictures of a Character Card, both ways: avatar and assets -> images, images -> avatar and assets.

Assets are found behind `embeded://` (the specification spells it so; `embedded://` is read too), `__asset:` in PNG
cards, and data URLs. Nothing is fetched from the network. Only PNG, JPEG and WebP are taken; what a file is called
does not count, its first bytes do. A card that was exported here has each picture's hash, so pictures come back under
their own names even when another program renamed the assets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from PIL import Image, UnidentifiedImageError

from pipelines.core.character.amounts import MAX_IMAGES
from pipelines.core.character.character import Character, CharacterImage, Interaction, is_file_name, message
from pipelines.core.character.image_decode import MAX_PIXELS
from pipelines.core.character.image_header import read_header
from pipelines.core.command_line import as_typed
from pipelines.core.formats.card_files import PNG_SIGNATURE, chunks_of, decode_base64
from pipelines.core.formats.import_notes import refuse, tell
from pipelines.core.problems import CharacterProblems, left_out
from pipelines.core.run_folder import REFERENCE_THUMBNAILS

ADAPTER_TYPE = "x_understudy_adapter"
"""Asset type of an adapter's files in a CHARX."""
INPUT_IMAGE_TYPE = "x_understudy_input_image"
"""Asset type of pictures that users show in conversations; they do not show the character."""
ADAPTER_SUFFIXES = (".safetensors", ".json", ".md", ".txt", ".jinja")

_IMAGE_SUFFIX = re.compile(r"\.(?:png|jpe?g|webp|gif|avif)$", re.IGNORECASE)
_CARD_CHUNKS = tuple(
    kind + keyword + b"\0" for kind in (b"tEXt", b"zTXt", b"iTXt") for keyword in (b"chara", b"Chara", b"ccv3", b"CCv3")
)
"""Beginnings of the text chunks of a PNG that hold a card."""
_CARD_WORDS = (b'"chara_card_v', b'"first_mes"', b'"char_name"')
"""One of them stands in the JSON of every card that programs keep in a picture's EXIF comment; workflows of image
generators are JSON too."""
_USER_COMMENT, _EXIF_IFD = 0x9286, 0x8769
_EMBEDDED = re.compile(r"embedd?ed://", re.IGNORECASE)
_CHARACTER_TYPES = ("icon", "emotion", "other", "x_")
"""Asset types that may show the character; backgrounds and the user's icon do not."""


@dataclass(frozen=True)
class Asset:
    """One picture of a card."""

    kind: str
    name: str
    data: bytes


def suffix_of(data: bytes) -> str:
    """`.png`, `.jpg` or `.webp` by the first bytes; "" for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return ".png"
    if data.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    return ".webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


# ---------------------------------------------------------------- card -> images


def assets_of(data: dict[str, Any], files: dict[str, bytes], file: str, mended: Counter[str]) -> list[Asset]:
    """The pictures that the card's `assets` name, main icon first; `files` are those inside the card by path."""
    listed = data.get("assets")
    inside = {_plain_path(path): path for path in files}
    used: set[str] = set()
    found = []
    for item in [*(listed if isinstance(listed, list) else []), *_risu_assets(data)]:
        if not isinstance(item, dict) or not isinstance(item.get("uri"), str):
            mended[left_out("assets without an address were left out")] += 1
            continue
        kind, name = (value if isinstance(value, str) else "" for value in (item.get("type"), item.get("name")))
        if item["uri"].startswith("ccdefault:") or kind == ADAPTER_TYPE:
            continue
        address = "" if item["uri"].startswith("data:") else _EMBEDDED.sub("", item["uri"]).removeprefix("__asset:")
        path = inside.get(_plain_path(address), "")
        used.add(path)
        content = _asset_bytes(item["uri"], files.get(path), file, mended)
        if content is None:
            continue
        if not suffix_of(content):
            tell(mended, left_out("assets that are not PNG, JPEG or WebP pictures were left out"), name or address)
        elif not kind.startswith(_CHARACTER_TYPES):
            tell(mended, left_out("assets that do not show the character were left out"), f"{name} ({kind})")
        else:
            found.append(Asset(kind, name, content))
    unnamed = [
        path for path, content in files.items() if path not in used and suffix_of(content) and "/ai/" not in path
    ]
    for path in unnamed:
        tell(mended, left_out("pictures that the card does not name were left out"), path)
    return sorted(found, key=lambda asset: (asset.kind, asset.name) != ("icon", "main"))


def _risu_assets(data: dict[str, Any]) -> list[dict[str, str]]:
    """What RisuAI's V2 cards list in an extension of their own, in the form of V3's `assets`."""
    extensions = data.get("extensions")
    risu = extensions.get("risuai") if isinstance(extensions, dict) else None
    found = []
    for key, kind in (("emotions", "emotion"), ("additionalAssets", "other")):
        entries = risu.get(key) if isinstance(risu, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, list) and len(entry) > 1 and all(isinstance(text, str) for text in entry[:2]):
                name, address = entry[:2]
                is_address = address.startswith(("__asset:", "data:")) or "://" in address[:20]
                # Without an address it is the picture itself, as base64.
                uri = address if is_address else f"data:image/png;base64,{address}"
                found.append({"type": kind, "name": name, "uri": uri})
    return found


def _asset_bytes(uri: str, inside: bytes | None, file: str, mended: Counter[str]) -> bytes | None:
    """The bytes behind an address, or None with a note."""
    if _EMBEDDED.match(uri) or uri.startswith("__asset:"):
        if inside is None:
            mended[left_out("assets whose file is missing were left out")] += 1
        return inside
    if uri.startswith("data:"):
        head, _, body = uri.partition(",")
        if head.endswith(";base64"):
            try:
                return decode_base64(body.encode("ascii", "replace"), file, "a picture in its text")
            except CharacterProblems:
                mended[left_out("pictures that could not be read were left out")] += 1
                return None
        return unquote_to_bytes(body)
    tell(mended, left_out("pictures on the internet were left out: nothing is fetched"), uri)
    return None


def _plain_path(address: str) -> str:
    """A path inside a card as it is compared: without case, `./`, a leading slash and what stands behind a `?`."""
    return str(PurePosixPath(unquote(address).partition("?")[0].lstrip("/"))).casefold()


def attach_images(
    character: Character, hashes: dict[str, str], avatar: bytes | None, assets: list[Asset], mended: Counter[str]
) -> tuple[Character, dict[str, bytes]]:
    """The character with the card's pictures, avatar first; `hashes` (file -> SHA-256) is {} for a foreign card."""
    if hashes:
        return _attach_own_images(character, hashes, avatar, assets, mended)
    own = [asset for asset in assets if asset.kind != INPUT_IMAGE_TYPE]
    chosen = ([Asset("icon", "main", avatar)] if avatar else []) + own
    images: dict[str, bytes] = {}
    described = []
    for asset in chosen:
        if asset.data in images.values():
            continue
        if len(images) == MAX_IMAGES:
            mended[left_out(f"pictures beyond the first {MAX_IMAGES} were left out")] += 1
            continue
        name = f"{len(images) + 1:02d}{suffix_of(asset.data)}"
        images[name] = asset.data
        named = _IMAGE_SUFFIX.sub("", asset.name).replace("_", " ").strip().lower()
        expression = named if asset.kind == "emotion" else ""
        described.append(CharacterImage(name, expression=expression))
    return replace(character, images=tuple(described)), images


def _attach_own_images(
    character: Character, hashes: dict[str, str], avatar: bytes | None, assets: list[Asset], mended: Counter[str]
) -> tuple[Character, dict[str, bytes]]:
    """Each listed picture by its hash; the avatar stands in for the first one if a program re-encoded it."""
    pool = {hashlib.sha256(data).hexdigest(): data for data in [*(asset.data for asset in assets), avatar or b""]}
    listed_files = [*(image.file for image in character.images), *character.input_images]
    images = {file: pool[hashes[file]] for file in listed_files if hashes.get(file) in pool}
    first = character.images[0].file if character.images else ""
    if avatar and first and first not in images:
        images = {first: avatar, **images}
        mended["the first picture was changed by another program; the card's avatar takes its place"] += 1
    missing = set(listed_files) - set(images)
    if missing:
        mended[left_out("pictures that this kind of card does not carry were left out")] += len(missing)
    names = {file: file for file in images}
    interactions = tuple(rename_images(interaction, names) for interaction in character.interactions)
    listed = tuple(image for image in character.images if image.file in images)
    references = tuple(file for file in character.references if file in images)
    shown = tuple(file for file in character.input_images if file in images)
    whole = replace(character, images=listed, references=references, input_images=shown, interactions=interactions)
    return whole, images


def rename_images(interaction: Interaction, names: dict[str, str]) -> Interaction:
    """The conversation with its pictures under their new names (old -> new); others are left out."""
    return tuple(
        message(
            turn.role,
            turn.text,
            [names[file] for file in turn.images if file in names],
            turn.scene,
            turn.speaker,
            turn.image_info,
        )
        if turn.images
        else turn
        for turn in interaction
    )


# ---------------------------------------------------------------- images -> card


def png_avatar(data: bytes, file: str) -> bytes:
    """The picture as PNG; a PNG stays byte for byte what it is."""
    if data.startswith(PNG_SIGNATURE):
        return data
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                refuse(file, "is too large for an avatar", f"Scale it below {MAX_PIXELS // 10**6} megapixels.")
            out = io.BytesIO()
            image.convert("RGBA" if "A" in image.getbands() else "RGB").save(out, "PNG")
            return out.getvalue()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        refuse(file, "cannot be opened as a picture", f"Replace it; `{as_typed('character check')}` lists all such.")


def holds_card(data: bytes) -> bool:
    """Whether a picture carries a Character Card, whole or damaged; no pixel is decoded."""
    if data.startswith(PNG_SIGNATURE) and any(mark in data for mark in _CARD_CHUNKS):
        return True
    return any(key in exif_comment(data) for key in _CARD_WORDS)


def exif_comment(data: bytes) -> bytes:
    """The JSON in a picture's EXIF user comment, plain or as base64, b"" without any; no pixel is decoded."""
    try:
        if data.startswith(PNG_SIGNATURE):
            body = next((body for kind, body in chunks_of(data, "the picture") if kind == b"eXIf"), b"")
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + body if body else b"")
        elif (header := read_header(data)).is_endless or header.width * header.height > MAX_PIXELS:
            return b""
        else:
            with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as image:
                exif = image.getexif()
        found = exif.get(_USER_COMMENT) or exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT) or b""
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, struct.error):
        return b""
    except (CharacterProblems, TypeError, KeyError):
        return b""
    content = found.encode("utf-8", "replace") if isinstance(found, str) else found if isinstance(found, bytes) else b""
    content = content.removeprefix(b"ASCII\0\0\0").removeprefix(b"\0" * 8).removeprefix(b"UNICODE\0")
    content = content.lstrip(b"\xef\xbb\xbf \n")
    if content[:1] not in (b"{", b""):
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            return b""
    return content if content.startswith(b"{") else b""


def asset_entries(
    character: Character, images: dict[str, bytes], avatar: str | None
) -> list[tuple[dict[str, str], str]]:
    """The card's `assets` entries without their addresses, each with its image's file name ("" for the avatar itself).

    `avatar` names the image that the card's own picture shows byte for byte; None when it shows none of them so.
    """
    entries: list[tuple[dict[str, str], str]] = []
    used: Counter[str] = Counter()
    for image in character.images:
        extension = suffix_of(images[image.file]).removeprefix(".") or "unknown"
        if not entries:
            shown = "" if image.file == avatar else image.file
            entries.append(({"type": "icon", "name": "main", "ext": extension}, shown))
            continue
        name = image.expression or PurePosixPath(image.file).stem
        used[name] += 1
        unique = name if used[name] == 1 else f"{name}_{used[name]}"
        entries.append(({"type": "emotion", "name": unique, "ext": extension}, image.file))
    for file in character.input_images:
        extension = suffix_of(images[file]).removeprefix(".") or "unknown"
        entries.append(({"type": INPUT_IMAGE_TYPE, "name": PurePosixPath(file).stem, "ext": extension}, file))
    return entries


def is_adapter_file(name: str) -> bool:
    """Whether a path inside an adapter's folder is one of its files: never code or pickles, and no folder but one."""
    folder, _, file = name.rpartition("/")
    if folder:
        return folder == REFERENCE_THUMBNAILS and is_file_name(file) and file.endswith(".jpg")
    return is_file_name(file) and file.endswith(ADAPTER_SUFFIXES)


def adapter_paths(adapter_files: dict[str, bytes]) -> dict[str, bytes]:
    """An adapter's files by their path in a CHARX; raises `CharacterProblems` for names that are not plain."""
    for name in adapter_files:
        plain = is_file_name(name) or is_adapter_file(name)
        if not plain or not name.isascii():
            refuse(name, "is not a plain file name", "Give only the files of the adapter's own folder.")
    return {f"assets/{ADAPTER_TYPE}/ai/{name}": data for name, data in adapter_files.items()}
