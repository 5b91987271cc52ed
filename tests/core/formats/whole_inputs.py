"""One whole input for every reader, as its program writes it.

They are imported, exported and imported again, and damaged by `tests/benchmarks/mutations.py`. Names end as the files
do; `.folder` stands for a folder, which is held here as a zip of it.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.core.character.character import Character, CharacterImage, Fact, MultipleChoice, TestSplit, message
from pipelines.core.character.character_folder import TEST_FILE, write_character, write_test_split
from pipelines.core.formats.card_export import export_card
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign
from tests.core.formats.mmrole_samples import train_samples
from tests.core.formats.test_lorebook import OTHERS
from tests.core.formats.test_other_programs import CHATS, byaf, character_ai, history, old_backyard
from tests.core.formats.test_picture_sets import CSV, JSONL, KOHYA
from tests.core.formats.test_rolescape import PROFILE, scene

START = "<START>\n{{user}}: Open?\n{{char}}: Since nine.\nMind the bell.\n<START>\nAnn: Rain?\nTola: Always.\n" * 6
SHAREGPT = [{"conversations": [{"from": "human", "value": "Rain?"}, {"from": "gpt", "value": "Always."}]}] * 8
DPO = [{"prompt": f"Rain {number}?", "chosen": "Always.", "rejected": "As an AI ..."} for number in range(8)]
ALPACA = [{"instruction": "Rain?", "input": "", "output": "Always.", "history": [["Snow?", "Never."]]}] * 8
SILLYTAVERN = [
    {"user_name": "Ann", "character_name": "Tola", "chat_metadata": {}},
    {"name": "Ann", "is_user": True, "mes": "Rain?"},
    {"name": "Tola", "is_user": False, "mes": "Always.", "swipes": ["Always.", "Never."], "swipe_id": 0},
]
BOOK = {
    "entries": [
        {
            "keys": ["bell"],
            "content": "It lies.",
            "extensions": {},
            "enabled": True,
            "insertion_order": 0,
            "use_regex": False,
            "constant": True,
        }
    ],
    "extensions": {},
}
YAML = "name: Tola\ngreeting: Careful.\ncontext: |-\n  Tola mends clocks.\n  {{user}}: Open?\n  {{char}}: Since nine.\n"


@dataclass(frozen=True)
class Input:
    """A whole input, and whether it is added to a character that is there."""

    name: str
    data: bytes
    is_added: bool = False


def tola() -> tuple[Character, TestSplit, dict[str, bytes]]:
    """A small character with everything in it."""
    pictures = {f"{number:02d}.png": encoded(drawing(number, 160, 120)) for number in (1, 2, 3)}
    talks = tuple(
        (message("user", f"Rain {number}?"), message("character", "Always.", [f"0{number}.png"], "Tola, laughing"))
        for number in (1, 2)
    )
    character = Character(
        "Tola",
        "Mends clocks.",
        style="Short.",
        greeting="Careful.",
        facts=(Fact("How old?", "Seventy."),),
        images=tuple(CharacterImage(file, expression="laughing", clothes="an apron") for file in pictures),
        references=("01.png",),
        interactions=talks,
        extensions={"understudy_card": {"data": {"creator": "tester", "character_book": BOOK}}},
    )
    split = TestSplit((talks[0],), (MultipleChoice("How old?", ("7", "70"), 1),), (CharacterImage("01.png"),))
    return character, split, pictures


def write_tola(folder: Path) -> None:
    """The small character as a folder."""
    character, split, pictures = tola()
    write_character(character, folder, pictures)
    write_test_split(split, folder, {"01.png": pictures["02.png"]})


def _lines(values: list[Any]) -> bytes:
    return b"\n".join(as_json(value) for value in values)


def _comment(kind: str, text: str) -> bytes:
    """A picture with words in its EXIF user comment."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x9286] = text
    drawing(4, 160, 120).save(out, kind, exif=exif)
    return out.getvalue()


def _risu() -> dict[str, Any]:
    face = base64.b64encode(encoded(drawing(5, 96, 96))).decode()
    risu = {"emotions": [["happy", face]], "additionalAssets": [["beach", "__asset:0", "png"]]}
    return {"spec": "chara_card_v2", "data": foreign(extensions={"risuai": risu})["data"]}


def _rolescape() -> bytes:
    scenes = [scene(f"Where, {n}?", f"Shelf {n}.", str(n), f"Tock on shelf {n}") for n in range(3)]
    files = {
        "annotation.json": as_json({"role": "Tock", "scenes": scenes}),
        "Tock_with_image.json": as_json(
            {"role": "Tock", "description": "An owl.", "opening": "Tick.", "scenes": scenes}
        ),
        "Tock_knowledge_qa.json": as_json({"qa_items": [{"question": "Eyes?", "answer": "One"}]}),
        "Tock_full_profile.txt": PROFILE.encode(),
        **{f"{n}.png": encoded(drawing(n, 160, 120)) for n in range(3)},
    }
    return as_charx(files)


def _mmrole() -> bytes:
    picture = encoded(drawing(6, 160, 120), "JPEG")
    paths = {f"images/{one['image']}": picture for one in train_samples()}
    return as_charx({"data/train/train.json": as_json(train_samples()), **paths})


def whole_inputs(scratch: Path) -> list[Input]:
    """All of them; `scratch` is an empty folder."""
    write_tola(scratch / "tola")
    exported: list[Input] = []
    for suffix in ("png", "json", "charx", "zip"):
        export_card(scratch / "tola", scratch / f"own.{suffix}")
        exported.append(Input(f"own.{suffix}", (scratch / f"own.{suffix}").read_bytes()))
    folder = [Input(name, (scratch / "tola" / name).read_bytes()) for name in ("character.yaml", TEST_FILE)]
    added = [
        Input("start.txt", START.encode(), True),
        Input("sharegpt.json", as_json(SHAREGPT), True),
        Input("lines.jsonl", _lines(SHAREGPT), True),
        Input("dpo.jsonl", _lines(DPO), True),
        Input("alpaca.json", as_json(ALPACA), True),
        Input("sillytavern.jsonl", _lines(SILLYTAVERN * 3), True),
        Input("history.json", as_json(history()), True),
        Input("mmrole.json", as_json(train_samples()), True),
        *(Input(f"chat-{kind.replace(' ', '-')}.json", as_json(chat), True) for kind, chat in CHATS.items()),
        *(Input(f"book-{kind}.json", as_json(book), True) for kind, book in OTHERS.items()),
        Input("more.zip", as_charx(KOHYA), True),
    ]
    table = {"train/a.png": encoded(drawing(1, 160, 120)), "train/sub/b.png": encoded(drawing(2, 160, 120))}
    return [
        *(Input(f"picture.{kind.lower()}", encoded(drawing(1), kind.upper())) for kind in ("png", "jpeg", "webp")),
        *exported,
        *folder,
        *added,
        Input(
            "v1.json",
            as_json({"name": "Tola", "description": "Mends clocks.", "first_mes": "Hi", "mes_example": START}),
        ),
        Input("v3.png", as_png({"ccv3": foreign(), "chara": foreign()})),
        Input("risu.png", as_png({"chara": _risu()})),
        Input("card.webp", _comment("WEBP", json.dumps(foreign()))),
        Input("backyard.png", _comment("PNG", base64.b64encode(as_json(old_backyard())).decode())),
        Input("backyard.byaf", byaf()),
        Input("character-ai.json", as_json({"character": character_ai()})),
        Input("character-ai-history.json", as_json(history())),
        Input("pygmalion.json", as_json({"char_name": "Tola", "char_persona": "Mends.", "example_dialogue": START})),
        Input(
            "agnai.json", as_json({"name": "Tola", "persona": {"attributes": {"text": ["Mends."]}}, "greeting": "Hi"})
        ),
        Input("webui.yaml", YAML.encode()),
        Input("kohya.zip", as_charx(KOHYA)),
        Input("kohya.folder", as_charx(KOHYA)),
        Input("imagefolder.zip", as_charx({**table, "train/metadata.jsonl": JSONL})),
        Input("imagefolder.folder", as_charx({**table, "train/metadata.csv": CSV})),
        Input("rolescape.folder", _rolescape()),
        Input("mmrole.zip", _mmrole()),
        Input("caption.txt", "laughing, wearing a red apron, müde".encode()),
    ]
