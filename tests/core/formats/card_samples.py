"""Cards as other programs write them, in every container; made here, so that tests can damage them at will."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

from PIL import Image

from pipelines.core.formats.card_files import put_chunks


def png(colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (128, 128), colour).save(out, "PNG")
    return out.getvalue()


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG")
    return out.getvalue()


def foreign(**changes: Any) -> dict[str, Any]:
    """A V3 card as another program writes it, every field filled."""
    data = {
        "name": "Haruhi Vale",
        "nickname": "Ru",
        "description": "{{char}} runs a tea house.",
        "personality": "Loud.",
        "scenario": "{{user}} enters the tea house of <BOT>.",
        "first_mes": "Sit, {{USER}}! {{User}}'s tea is hot.",
        "mes_example": "<START>\n{{user}}: Hi\n{{char}}: Hello.\nSit down.\n<start>\nhAruhi: Only me.\n",
        "creator_notes": "SECRETNOTE",
        "tags": ["SECRETTAG"],
        "creator": "SECRETCREATOR",
        "character_version": "SECRET7",
        "system_prompt": "Be {{char}}. {{original}}",
        "post_history_instructions": "",
        "alternate_greetings": ["Oi."],
        "group_only_greetings": [],
        "source": ["https://example.org/1"],
        "creation_date": 1700000000,
        "character_book": {
            "entries": [
                {
                    "keys": ["tea"],
                    "content": "@@depth 4\nTea is green.",
                    "extensions": {},
                    "enabled": True,
                    "insertion_order": 1,
                    "use_regex": False,
                }
            ],
            "extensions": {},
        },
        "extensions": {
            "depth_prompt": {"depth": 4, "prompt": "x"},
            "agnai/voice": 3,
            "sd_character_prompt": {"positive": "red hair", "negative": "blurry"},
        },
        "from_the_future": {"kept": True},
    }
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": {**data, **changes}}


def as_json(card: Any) -> bytes:
    return json.dumps(card).encode()


def as_png(chunks: dict[str, Any]) -> bytes:
    texts = {keyword: base64.b64encode(as_json(card)) for keyword, card in chunks.items()}
    return put_chunks(png(), texts, lambda keyword: False, "x.png")


def as_charx(files: dict[str, bytes], **options: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return out.getvalue()
