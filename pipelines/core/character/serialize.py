"""Characters to and from plain entries (dicts, lists, texts): the content of `character.yaml`, `test.yaml` and JSON.

`character_to_entries` leaves out what is empty; `character_from_entries` reads field by field, adds every problem
it meets to the list it is given, and goes on. Space around a text is dropped; numbers are taken as text.
"""

from __future__ import annotations

from typing import Any

from pipelines.core.character.character import (
    MAX_FILE_NAME,
    Character,
    CharacterImage,
    Consent,
    Fact,
    HeldOut,
    Interaction,
    Message,
    MultipleChoice,
    Role,
    TestSplit,
    is_file_name,
    message,
)
from pipelines.core.character.field_values import kind_of, read_list, read_mapping, read_text, to_json
from pipelines.core.character.names import tidy_name
from pipelines.core.character.preferences import preference_to_entries, read_preference
from pipelines.core.file_names import MAX_NAME_BYTES, is_device, name_bytes
from pipelines.core.problems import Problem, unknown_keys

TEXT_KEYS = ("name", "persona", "style", "appearance", "greeting", "scenario", "licence")
CHARACTER_KEYS = (
    *TEXT_KEYS,
    "consent",
    "facts",
    "images",
    "references",
    "input_images",
    "interactions",
    "preferences",
    "held_out",
    "extensions",
)
HELD_OUT_KEYS = ("conversations", "facts", "images")
IMAGE_KEYS = ("file", "expression", "clothes", "place", "pose", "caption")
CONSENT_KEYS = ("statement", "given_by", "given_at", "image_sha256")
ROLES: tuple[Role, ...] = ("system", "user", "character")
TURN_KEYS = (*ROLES, "speaker", "image_info", "scene", "image")
SPLIT_KEYS = ("dialogues", "choices", "images", "input_images")

# Roles in other programs' data -> ours; not read, only suggested.
_FOREIGN_ROLES = {
    "assistant": "character",
    "char": "character",
    "bot": "character",
    "gpt": "character",
    "model": "character",
    "human": "user",
    "you": "user",
    "player": "user",
}

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
        "consent": _without_empty(
            {
                "statement": consent.statement,
                "given_by": consent.given_by,
                "given_at": consent.given_at,
                "image_sha256": list(consent.image_sha256),
            }
        ),
        "facts": [{"question": fact.question, "answer": fact.answer} for fact in character.facts],
        "images": [_image_to_entries(image) for image in character.images],
        "references": list(character.references),
        "input_images": list(character.input_images),
        "interactions": [_interaction_to_entries(item) for item in character.interactions],
        "preferences": [preference_to_entries(one) for one in character.preferences],
        "held_out": held_out_to_entries(character.held_out),
        "extensions": dict(character.extensions),
    }
    return {"name": character.name, "persona": character.persona, **_without_empty(texts), **_without_empty(rest)}


def held_out_to_entries(held_out: HeldOut) -> dict[str, Any]:
    """The entries of `held_out`; a kind that nobody chose is left out, one of which nothing is kept is empty."""
    chosen = {"conversations": held_out.conversations, "facts": held_out.facts, "images": held_out.images}
    return {key: list(values) for key, values in chosen.items() if values is not None}


def split_to_entries(split: TestSplit) -> dict[str, Any]:
    """The entries of `test.yaml`."""
    shown = {"input_images": list(split.input_images)} if split.input_images else {}
    return {
        "dialogues": [_interaction_to_entries(item) for item in split.dialogues],
        "choices": [
            {"question": choice.question, "options": list(choice.options), "answer": choice.answer}
            for choice in split.choices
        ],
        "images": [_image_to_entries(image) for image in split.images],
        **shown,
    }


def _without_empty(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value}


def _image_to_entries(image: CharacterImage) -> dict[str, Any]:
    return _without_empty(
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
    files = list(turn.images)
    image = files[0] if len(files) == 1 else files  # one is written without a list
    more = {"speaker": turn.speaker, "image_info": turn.image_info, "scene": turn.scene, "image": image}
    return {turn.role: turn.text, **_without_empty(more)}


# ---------------------------------------------------------------- from entries


def character_from_entries(entries: dict[str, Any], problems: list[Problem]) -> Character:
    """The character that the entries describe; unreadable ones are left out and named in `problems`."""
    problems += unknown_keys(entries, CHARACTER_KEYS, "The character")
    texts = {key: read_text(entries.get(key), key, f"The entry {key!r}", problems) for key in TEXT_KEYS}
    texts["name"] = tidy_name(texts["name"])
    if not texts["name"] and not any(problem.field == "name" for problem in problems):
        problems.append(Problem("name", "The character has no name.", "Add a line `name:` with the character's name."))
    return Character(
        **texts,
        facts=read_list(entries.get("facts"), "facts", "fact", problems, _read_fact),
        images=read_list(entries.get("images"), "images", "picture", problems, _read_image),
        references=read_list(entries.get("references"), "references", "reference", problems, _read_reference),
        input_images=read_list(entries.get("input_images"), "input_images", "shown picture", problems, _read_reference),
        interactions=read_list(
            entries.get("interactions"), "interactions", "conversation", problems, _read_interaction
        ),
        preferences=read_list(entries.get("preferences"), "preferences", "preference", problems, read_preference),
        held_out=_read_held_out(entries.get("held_out"), problems),
        consent=_read_consent(entries.get("consent"), problems),
        extensions=_read_extensions(entries.get("extensions"), problems),
    )


def split_from_entries(entries: dict[str, Any], problems: list[Problem]) -> TestSplit:
    """The held-out split that the entries describe; problems are added as in `character_from_entries`."""
    problems += unknown_keys(entries, SPLIT_KEYS, "The test split")
    return TestSplit(
        dialogues=read_list(entries.get("dialogues"), "dialogues", "test conversation", problems, _read_interaction),
        choices=read_list(entries.get("choices"), "choices", "test question", problems, _read_choice),
        images=read_list(entries.get("images"), "images", "test picture", problems, _read_image),
        input_images=read_list(entries.get("input_images"), "input_images", "shown picture", problems, _read_reference),
    )


def _read_fact(value: object, field: str, what: str, problems: list[Problem]) -> Fact | None:
    entries = read_mapping(value, field, what, ("question", "answer"), problems)
    if not entries:
        return None
    texts = {
        key: read_text(entries.get(key), f"{field}.{key}", f"The {key} of {what}", problems)
        for key in ("question", "answer")
    }
    return Fact(**texts)


def _read_file_name(value: object, field: str, what: str, problems: list[Problem]) -> str:
    name = read_text(value, field, f"The file of {what}", problems)
    if name and not is_file_name(name):
        problems.append(
            Problem(
                field,
                f"{what.capitalize()} names {name[:80]!r}, which is not a plain file name.",
                _mend_for_name(name),
            )
        )
        return ""
    return name


def _mend_for_name(name: str) -> str:
    """What keeps a name from being a plain file name, as an advice."""
    if "/" not in name and "\\" not in name:
        signs = sorted({sign for sign in name if sign in ':*?"<>|' or not sign.isprintable()})
        if signs:
            return f"Rename the picture without {' and '.join(map(repr, signs))}, which not every system allows."
        if len(name) > MAX_FILE_NAME:
            return f"The name is longer than {MAX_FILE_NAME} characters: rename the picture, like 03.png."
        if is_device(name):
            return "Windows keeps that name for a device: rename the picture, like 03.png."
        if name_bytes(name) > MAX_NAME_BYTES:
            return f"The name takes more than {MAX_NAME_BYTES} bytes: rename the picture, like 03.png."
    return "Put the picture into the folder itself and write only its name, like 03.png."


def _read_reference(value: object, field: str, what: str, problems: list[Problem]) -> str | None:
    return _read_file_name(value, field, what, problems) or None


def _read_image(value: object, field: str, what: str, problems: list[Problem]) -> CharacterImage | None:
    entries = read_mapping({"file": value} if isinstance(value, str) else value, field, what, IMAGE_KEYS, problems)
    if not entries:
        return None
    before = len(problems)
    file = _read_file_name(entries.get("file"), f"{field}.file", what, problems)
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
    texts = {
        key: read_text(entries.get(key), f"{field}.{key}", f"The {key} of {what}", problems) for key in IMAGE_KEYS[1:]
    }
    return CharacterImage(file, **texts)


def _read_interaction(value: object, field: str, what: str, problems: list[Problem]) -> Interaction | None:
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
        return ()  # `validate_dialogues` reports conversations without turns
    return read_list(
        value, field, "turn", problems, lambda item, at, turn, found: _read_turn(item, at, f"{what}, {turn}", found)
    )


def _read_turn(value: object, field: str, what: str, problems: list[Problem]) -> Message | None:
    found: list[Problem] = []
    entries = read_mapping(value, field, what, TURN_KEYS, found)
    # A role of another program is named once, as an error below, and not also as an unknown entry.
    problems += [problem for problem in found if problem.field.rpartition(".")[2] not in _FOREIGN_ROLES]
    if not entries:
        return None
    roles = [role for role in ROLES if role in entries]
    if len(roles) != 1:
        foreign = [key for key in entries if key in _FOREIGN_ROLES]
        said = f"is said by {' and '.join(roles)} at once" if roles else "does not say who speaks"
        mend = (
            f"Write `{_FOREIGN_ROLES[foreign[0]]}:` in place of `{foreign[0]}:`."
            if foreign and not roles
            else "Give each turn one line `user: ...` or `character: ...`, begun with a dash."
        )
        problems.append(Problem(field, f"{what.capitalize()} {said}.", mend))
        return None
    role = roles[0]
    listed = entries.get("image")
    images = [
        _read_file_name(image, f"{field}.image", what, problems)
        for image in (listed if isinstance(listed, (list, tuple)) else [listed])
    ]
    scene, speaker, info = (
        read_text(entries.get(key), f"{field}.{key}", f"The {noun} of {what}", problems)
        for key, noun in (("scene", "scene"), ("speaker", "speaker"), ("image_info", "note on the picture"))
    )
    text = read_text(entries[role], f"{field}.{role}", what.capitalize(), problems)
    return message(role, text, [image for image in images if image], scene, speaker, info)


def _read_choice(value: object, field: str, what: str, problems: list[Problem]) -> MultipleChoice | None:
    entries = read_mapping(value, field, what, ("question", "options", "answer"), problems)
    if not entries:
        return None
    question = read_text(entries.get("question"), f"{field}.question", f"The question of {what}", problems)
    options = read_list(
        entries.get("options"),
        f"{field}.options",
        f"option of {what}",
        problems,
        lambda item, at, option, found: read_text(item, at, option.capitalize(), found),
    )
    number = read_text(entries.get("answer"), f"{field}.answer", f"The answer of {what}", problems)
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


def _read_held_out(value: object, problems: list[Problem]) -> HeldOut:
    if value is None or value == "":
        return HeldOut()
    entries = read_mapping(value, "held_out", "what is held out", HELD_OUT_KEYS, problems)

    def places(key: str) -> tuple[int, ...] | None:
        if entries.get(key) is None:
            return None
        return read_list(entries[key], f"held_out.{key}", "place", problems, _read_place)

    images = None
    if entries.get("images") is not None:
        images = read_list(entries["images"], "held_out.images", "held-out picture", problems, _read_reference)
    return HeldOut(places("conversations"), places("facts"), images)


def _read_place(value: object, field: str, what: str, problems: list[Problem]) -> int | None:
    text = read_text(value, field, what.capitalize(), problems)
    if text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    problems.append(
        Problem(field, f"{what.capitalize()} is {text[:40]!r}, which is no number.", "Write the place, counted from 0.")
    )
    return None


def _read_consent(value: object, problems: list[Problem]) -> Consent:
    if value is None or value == "":
        return Consent()
    entries = read_mapping(value, "consent", "the consent", CONSENT_KEYS, problems)
    texts = {
        key: read_text(entries.get(key), f"consent.{key}", f"The consent's {key}", problems) for key in CONSENT_KEYS[:3]
    }
    hashes = read_list(
        entries.get("image_sha256"),
        "consent.image_sha256",
        "hash",
        problems,
        lambda item, at, name, found: read_text(item, at, name.capitalize(), found),
    )
    return Consent(**texts, image_sha256=hashes)


def _read_extensions(value: object, problems: list[Problem]) -> dict[str, object]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        problems.append(
            Problem(
                "extensions",
                f"'extensions' is {kind_of(value)} where entries are expected.",
                "Take it out unless it came with an imported card.",
            )
        )
        return {}
    return {str(key): to_json(item) for key, item in value.items()}
