"""Toy samples in the published form of MMRole, for the tests of import and export."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

BREAK = "\n\n\n"
PROFILES = {
    "Tola": "### Brief Introduction\nTola keeps the ferry at Sand Reach.\n### Personality\nDry and patient.\n"
    "### Life Story\nShe was born on the ferry.\n### Main Interpersonal Relationships\n- **Ben:** her brother.\n"
    '### Catchphrases\n1. "Mind the rope."\n2. "The river waits for nobody."',
    "Ben": '### Introduction\nBen mends nets.\n\n\n### Personality\nLoud.\n### Catchphrases\n- "Ha!"',
    "船夫": "### 简要介绍\n船夫住在河边。\n### 性格特点\n安静。\n### 名言\n- “河水不等人。”",
}
SCRIPTS = {"Tola": "the Ferry Tales", "Ben": "the Ferry Tales", "船夫": "河的故事"}


def prompt(role: str, words: str, other: str = "", info: str = "", history: str = "", language: str = "English") -> str:
    """The first message of a sample, its parts two blank lines apart."""
    script, them = SCRIPTS[role], other or "the curious human"
    with_whom = f"{other} from {SCRIPTS[other]}" if other else "a curious human"
    voice = f"in {language} using the distinctive tone, manner and vocabulary of {role}"
    parts = [
        f"Please step into the shoes of {role} from {script}. Imagine you are talking with {with_whom} about the "
        "given image. You must know the character well.",
        f"The description of {role} is as follows:\n{PROFILES[role]}",
    ]
    if other:
        parts.append(f"The description of {other} is as follows:\n{PROFILES[other]}")
    if info:
        parts.append(f"The auxiliary information of the image is as follows:\n {info}")
    if history:
        parts.append(f"The conversation history between {role} and {them} is as follows:\n{history}")
    if words:
        parts.append(f"Please respond to the following words of {them} about the image {voice}:\n{words}")
    else:
        parts.append(f"Please initiate the conversation with {them} {voice}, raising questions about the image.")
    return BREAK.join(parts)


def sample(id: str, image: str, role: str, asked: str, reply: str, other: str = "a curious human") -> dict[str, Any]:
    """One sample; `asked` is its whole first message."""
    return {
        "id": id,
        "system": "You are a role-playing assistant.",
        "image": image,
        "conversations": [{"from": "user", "value": asked}, {"from": "assistant", "value": reply}],
        "role": role,
        "script": SCRIPTS[role],
        "other_role": other,
    }


FIRST = "[human]: What is that boat?"
SECOND = f"{FIRST}\n[Tola]: Mine.\nAll of it.\n[human]: And the rope?"
PLACE = "- Character information: Ben (left).\n - Place information: the jetty."


def train_samples() -> list[dict[str, Any]]:
    """Training: a comment, one talk with the human in three samples, one that Tola opens with Ben, and Ben's own."""
    boat, jetty = "COCO/train2017/000000000007.jpg", "The_Ferry_Tales/01.jpg"
    talk = "Tola_human-role-dialogue_COCO_3"
    both = "Ben_role-role-dialogue_script_0"
    opened = "[Tola]: Is that your net, Ben?\n[Ben]: It was a net.\n[Tola]: And now?"
    return [
        sample("Tola_comment_COCO_1_1", boat, "Tola", prompt("Tola", "What do you see?"), "A boat. It leaks."),
        sample(f"{talk}_1", boat, "Tola", prompt("Tola", "What is that boat?"), "Mine.\nAll of it."),
        sample(
            f"{talk}_3",
            boat,
            "Tola",
            prompt("Tola", "And the rope?", history=FIRST + "\n[Tola]: Mine.\nAll of it."),
            "Mind the rope.",
        ),
        sample(
            f"{talk}_5",
            boat,
            "Tola",
            prompt("Tola", "Does it swim?", history=SECOND + "\n[Tola]: Mind the rope."),
            "It did once.",
        ),
        sample(f"{both}_0", jetty, "Tola", prompt("Tola", "", "Ben", PLACE), "Is that your net, Ben?", "Ben"),
        sample(
            f"{both}_2",
            jetty,
            "Tola",
            prompt("Tola", "It was a net.", "Ben", PLACE, "[Tola]: Is that your net, Ben?"),
            "And now?",
            "Ben",
        ),
        sample(
            f"{both}_3",
            jetty,
            "Ben",
            prompt("Ben", "And now?", "Tola", PLACE, opened.rpartition("\n")[0]),
            "Now it is a hat.",
            "Tola",
        ),
    ]


def test_samples() -> dict[str, list[dict[str, Any]]]:
    """The test of Tola and of the boatman, by file."""
    night = "COCO/train2017/000000000009.jpg"
    asked = "[Ben]: Look at the moon.\n[Tola]: It pulls the river."
    return {
        "data/test/in-distribution/comment_test.json": [
            sample(
                "Tola_comment_COCO_2_1", night, "Tola", prompt("Tola", "What do you see?"), "A night without a ferry."
            )
        ],
        "data/test/in-distribution/human-role_test.json": [
            sample(
                "船夫_human-role-dialogue_COCO_2_1",
                night,
                "船夫",
                prompt("船夫", "这是什么\uff1f", language="Chinese"),
                "这是月亮。",
            )
        ],
        "data/test/out-of-distribution/inter-role_test.json": [
            sample(
                "Tola_role-role-dialogue_COCO_5_2",
                night,
                "Tola",
                prompt("Tola", "Like a rope?", "Ben", history=asked),
                "Like a patient one.",
                "Ben",
            )
        ],
    }


def picture(colour: str) -> bytes:
    """A small JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (120, 120), colour).save(out, "JPEG")
    return out.getvalue()


def write_data_set(root: Path, train: list[dict[str, Any]] | None = None) -> Path:
    """The toy data set in the published layout."""
    files = {"data/train/train_85k.json": train_samples() if train is None else train, **test_samples()}
    for path, samples in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(json.dumps(samples, ensure_ascii=False, indent=4), encoding="utf-8")
    for name, colour in (
        ("COCO/train2017/000000000007.jpg", "teal"),
        ("COCO/train2017/000000000009.jpg", "navy"),
        ("The_Ferry_Tales/01.jpg", "tan"),
    ):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / name).write_bytes(picture(colour))
    return root
