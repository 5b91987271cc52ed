"""Characters as plain entries (dicts, lists, texts): the shape of `character.yaml`, `test.yaml` and their JSON.

`character_to_entries` leaves out what is empty; `character_from_entries` reads field by field, adds every problem
it meets to the list it is given, and goes on. Space around a text is dropped; numbers are taken as text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pipelines.core.character.character import (
    Character,
    CharacterImage,
    Consent,
    Fact,
    ImagePart,
    Interaction,
    Message,
    MessagePart,
    MultipleChoice,
    Role,
    TestSplit,
    TextPart,
)
from pipelines.core.problems import Problem, unknown_keys

T = TypeVar("T")

TEXT_KEYS = ("name", "persona", "style", "appearance", "greeting", "scenario", "licence")
CHARACTER_KEYS = (*TEXT_KEYS, "consent", "facts", "images", "interactions", "extensions")
IMAGE_KEYS = ("file", "expression", "clothes", "place", "pose", "caption")
CONSENT_KEYS = ("statement", "given_by", "given_at", "image_sha256")
ROLES: tuple[Role, ...] = ("system", "user", "character")
TURN_KEYS = (*ROLES, "scene", "image")
SPLIT_KEYS = ("dialogues", "choices", "images")

# Names other programs give to the two speakers; only to word the mend.
_SPEAKERS = {
    "assistant": "character",
    "char": "character",
    "bot": "character",
    "gpt": "character",
    "model": "character",
    "human": "user",
    "you": "user",
    "player": "user",
}

# A name that is one plain file on every system: no folder, no leading dot, no sign Windows refuses.
_FILE_NAME = re.compile(r"[^\\/:*?\"<>|\x00-\x1f.][^\\/:*?\"<>|\x00-\x1f]{0,119}")


def message(role: Role, words: str = "", images: Iterable[str] = (), scene: str = "") -> Message:
    """A turn in its usual order of parts: a character's pictures after the words, a user's before them."""
    text: tuple[MessagePart, ...] = (TextPart(words),) if words else ()
    pictures: tuple[MessagePart, ...] = tuple(ImagePart(image) for image in images)
    return Message(role, text + pictures if role == "character" else pictures + text, scene)


def is_file_name(name: str) -> bool:
    """Whether `name` is one plain file name, safe to join to a folder on every system."""
    return _FILE_NAME.fullmatch(name) is not None and not name.endswith((".", " "))


# ---------------------------------------------------------------- to entries


def character_to_entries(character: Character) -> dict[str, Any]:
    """The entries of `character.yaml`; what is empty is left out, `name` and `persona` always stand."""
    texts = {
        "name": character.name,
        "persona": character.persona,
        "style": character.style,
        "appearance": character.appearance,
        "greeting": character.greeting,
        "scenario": character.scenario,
        "licence": character.licence,
    }
    consent = character.consent
    rest: dict[str, Any] = {
        "consent": _filled(
            {
                "statement": consent.statement,
                "given_by": consent.given_by,
                "given_at": consent.given_at,
                "image_sha256": list(consent.image_sha256),
            }
        ),
        "facts": [{"question": fact.question, "answer": fact.answer} for fact in character.facts],
        "images": [_image_to_entries(image) for image in character.images],
        "interactions": [_interaction_to_entries(item) for item in character.interactions],
        "extensions": dict(character.extensions),
    }
    return {"name": character.name, "persona": character.persona, **_filled(texts), **_filled(rest)}


def split_to_entries(split: TestSplit) -> dict[str, Any]:
    """The entries of `test.yaml`."""
    return {
        "dialogues": [_interaction_to_entries(item) for item in split.dialogues],
        "choices": [
            {"question": choice.question, "options": list(choice.options), "answer": choice.answer}
            for choice in split.choices
        ],
        "images": [_image_to_entries(image) for image in split.images],
    }


def _filled(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value}


def _image_to_entries(image: CharacterImage) -> dict[str, Any]:
    return _filled(
        {
            "file": image.file,
            "expression": image.expression,
            "clothes": image.clothes,
            "place": image.place,
            "pose": image.pose,
            "caption": image.caption,
        }
    )


def _interaction_to_entries(interaction: Interaction) -> list[dict[str, Any]]:
    return [_turn_to_entries(turn) for turn in interaction]


def _turn_to_entries(turn: Message) -> dict[str, Any]:
    pictures = list(turn.images)
    image = pictures[0] if len(pictures) == 1 else pictures
    return {turn.role: turn.text, **_filled({"scene": turn.scene, "image": image})}


# ---------------------------------------------------------------- from entries


def character_from_entries(entries: dict[str, Any], problems: list[Problem]) -> Character:
    """The character that the entries describe; unreadable ones are left out and named in `problems`."""
    problems += unknown_keys(entries, CHARACTER_KEYS, "The character")
    texts = {key: _text(entries.get(key), key, f"The entry {key!r}", problems) for key in TEXT_KEYS}
    if not texts["name"] and not any(problem.field == "name" for problem in problems):
        problems.append(Problem("name", "The character has no name.", "Add a line `name:` with the character's name."))
    return Character(
        **texts,
        facts=_all(entries.get("facts"), "facts", "fact", problems, _fact),
        images=_all(entries.get("images"), "images", "picture", problems, _image),
        interactions=_all(entries.get("interactions"), "interactions", "conversation", problems, _interaction),
        consent=_consent(entries.get("consent"), problems),
        extensions=_extensions(entries.get("extensions"), problems),
    )


def split_from_entries(entries: dict[str, Any], problems: list[Problem]) -> TestSplit:
    """The held-out split that the entries describe; problems are added as in `character_from_entries`."""
    problems += unknown_keys(entries, SPLIT_KEYS, "The test split")
    return TestSplit(
        dialogues=_all(entries.get("dialogues"), "dialogues", "test conversation", problems, _interaction),
        choices=_all(entries.get("choices"), "choices", "test question", problems, _choice),
        images=_all(entries.get("images"), "images", "test picture", problems, _image),
    )


def _kind(value: object) -> str:
    """What a creator would call the value."""
    if isinstance(value, dict):
        return "a group of entries"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else "a text"


def _text(value: object, field: str, what: str, problems: list[Problem]) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int, float, datetime.date)):
        return str(value).strip()
    mend = "Write it as one text; put it in quotes if it holds a colon."
    problems.append(Problem(field, f"{what} is {_kind(value)} where a text is expected.", mend))
    return ""


def _all(
    value: object,
    field: str,
    what: str,
    problems: list[Problem],
    read: Callable[[object, str, str, list[Problem]], T | None],
) -> tuple[T, ...]:
    """Every item of a list through `read(item, field, what, problems)`, which gives None for a hopeless one."""
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)):
        mend = f"Begin each {what} on its own line with a dash and a space."
        problems.append(Problem(field, f"{field!r} is {_kind(value)} where a list is expected.", mend))
        return ()
    read_items = (read(item, f"{field}[{n}]", f"{what} {n + 1}", problems) for n, item in enumerate(value))
    return tuple(item for item in read_items if item is not None)


def _group(value: object, field: str, what: str, known: tuple[str, ...], problems: list[Problem]) -> dict[str, Any]:
    """The entries of a mapping with text keys; {} and a problem when it is something else."""
    if not isinstance(value, dict):
        mend = f"Write it as lines like `{known[-1]}: ...`; known here: {', '.join(known)}."
        problems.append(Problem(field, f"{what.capitalize()} is {_kind(value)} where entries are expected.", mend))
        return {}
    entries = {str(key): item for key, item in value.items()}
    problems += unknown_keys(entries, known, what.capitalize(), f"{field}.")
    return entries


def _fact(value: object, field: str, what: str, problems: list[Problem]) -> Fact | None:
    entries = _group(value, field, what, ("question", "answer"), problems)
    if not entries:
        return None
    texts = {
        key: _text(entries.get(key), f"{field}.{key}", f"The {key} of {what}", problems)
        for key in ("question", "answer")
    }
    return Fact(**texts)


def _file(value: object, field: str, what: str, problems: list[Problem]) -> str:
    name = _text(value, field, f"The file of {what}", problems)
    if name and not is_file_name(name):
        problems.append(
            Problem(
                field,
                f"{what.capitalize()} names {name[:80]!r}, which is not a plain file name.",
                "Put the picture into the folder itself and write only its name, like 03.png.",
            )
        )
        return ""
    return name


def _image(value: object, field: str, what: str, problems: list[Problem]) -> CharacterImage | None:
    entries = _group({"file": value} if isinstance(value, str) else value, field, what, IMAGE_KEYS, problems)
    if not entries:
        return None
    before = len(problems)
    file = _file(entries.get("file"), f"{field}.file", what, problems)
    if not file:
        if len(problems) == before:
            problems.append(
                Problem(
                    f"{field}.file",
                    f"{what.capitalize()} has no file name.",
                    "Add `file:` with the picture's name, like 03.png.",
                )
            )
        return None
    texts = {key: _text(entries.get(key), f"{field}.{key}", f"The {key} of {what}", problems) for key in IMAGE_KEYS[1:]}
    return CharacterImage(file, **texts)


def _interaction(value: object, field: str, what: str, problems: list[Problem]) -> Interaction | None:
    if isinstance(value, dict):
        problems.append(
            Problem(
                field,
                f"{what.capitalize()} is a single turn where a list of turns is expected.",
                "Begin a conversation with two dashes (`- - user: ...`), each later turn with one.",
            )
        )
        return None
    if not value:
        return ()  # the checks speak of conversations without turns
    return _all(value, field, "turn", problems, lambda item, at, turn, found: _turn(item, at, f"{what}, {turn}", found))


def _turn(value: object, field: str, what: str, problems: list[Problem]) -> Message | None:
    found: list[Problem] = []
    entries = _group(value, field, what, TURN_KEYS, found)
    # A strange speaker is spoken of once, as an error below, not also as an unknown entry.
    problems += [problem for problem in found if problem.field.rpartition(".")[2] not in _SPEAKERS]
    if not entries:
        return None
    speakers = [role for role in ROLES if role in entries]
    if len(speakers) != 1:
        strange = [key for key in entries if key in _SPEAKERS]
        said = f"is said by {' and '.join(speakers)} at once" if speakers else "does not say who speaks"
        mend = (
            f"Write `{_SPEAKERS[strange[0]]}:` in place of `{strange[0]}:`."
            if strange and not speakers
            else "Give each turn one line `user: ...` or `character: ...`, begun with a dash."
        )
        problems.append(Problem(field, f"{what.capitalize()} {said}.", mend))
        return None
    role = speakers[0]
    listed = entries.get("image")
    images = [
        _file(image, f"{field}.image", what, problems)
        for image in (listed if isinstance(listed, (list, tuple)) else [listed])
    ]
    scene = _text(entries.get("scene"), f"{field}.scene", f"The scene of {what}", problems)
    words = _text(entries[role], f"{field}.{role}", what.capitalize(), problems)
    return message(role, words, [image for image in images if image], scene)


def _choice(value: object, field: str, what: str, problems: list[Problem]) -> MultipleChoice | None:
    entries = _group(value, field, what, ("question", "options", "answer"), problems)
    if not entries:
        return None
    question = _text(entries.get("question"), f"{field}.question", f"The question of {what}", problems)
    options = _all(
        entries.get("options"),
        f"{field}.options",
        f"option of {what}",
        problems,
        lambda item, at, option, found: _text(item, at, option.capitalize(), found),
    )
    number = _text(entries.get("answer"), f"{field}.answer", f"The answer of {what}", problems)
    if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(options)):
        problems.append(
            Problem(
                f"{field}.answer",
                f"The answer of {what} is {number[:40]!r}, which is not the number of one of its "
                f"{len(options)} options.",
                "Write the number of the right option, counted from 0.",
            )
        )
        return None
    return MultipleChoice(question, options, int(number))


def _consent(value: object, problems: list[Problem]) -> Consent:
    if value is None or value == "":
        return Consent()
    entries = _group(value, "consent", "the consent", CONSENT_KEYS, problems)
    texts = {
        key: _text(entries.get(key), f"consent.{key}", f"The consent's {key}", problems) for key in CONSENT_KEYS[:3]
    }
    hashes = _all(
        entries.get("image_sha256"),
        "consent.image_sha256",
        "hash",
        problems,
        lambda item, at, name, found: _text(item, at, name.capitalize(), found),
    )
    return Consent(**texts, image_sha256=hashes)


def _extensions(value: object, problems: list[Problem]) -> dict[str, object]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        problems.append(
            Problem(
                "extensions",
                f"'extensions' is {_kind(value)} where entries are expected.",
                "Take it out unless it came with an imported card.",
            )
        )
        return {}
    return {str(key): _json(item) for key, item in value.items()}


def _json(value: object) -> object:
    """The value as JSON can hold it: dates become text, keys become text, tuples become lists."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
