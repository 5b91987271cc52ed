"""One turn of a record by its keys: who speaks, in which role and by which name, what is said, and whether it is good.

Programs call the same things by many names and write truth values as words and numbers; all of that is read here.
A key that is there but empty never hides one that is filled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.character import Role
from pipelines.core.formats.media_marks import FILMS_LEFT_OUT, MEDIA_LEFT_OUT

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter", "you", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "character", "char", "machine", "ai"), "character"),
    **dict.fromkeys(("system", "developer", "tool", "function", "function_call", "observation"), "system"),
}
SPEAKER_KEYS = ("from", "role", "speaker", "author", "sender", "name", "username")
_USER_FLAGS = ("is_human", "is_user", "isHuman", "isUser", "from_user")
_CHARACTER_FLAGS = ("is_bot", "is_ai", "isBot", "is_assistant")
NAME_KEYS = (
    "name",
    "character",
    "character_name",
    "char_name",
    "speaker_name",
    "speaker",
    "author",
    "sender",
    "handle",
)
"""Keys that call somebody by name beside a role."""
TEXT_KEYS = ("value", "content", "text", "message", "mes", "msg", "parts")
TRAINED_KEYS = (
    *(
        "label",
        "kto_tag",
        "weight",
        "train",
        "loss",
        "trainable",
        "desirable",
        "is_desirable",
        "accepted",
        "is_accepted",
    ),
    *("liked", "is_liked", "is_good", "approved", "is_approved", "is_chosen", "is_preferred"),
)
"""Keys whose false values, or zero, say that something is not to be learned."""
RATED_KEYS = ("rating", "feedback", "vote", "thumbs", "score", "quality")
"""Keys whose negative values say that an answer was bad; 0 is no vote."""
BAD_KEYS = (
    "is_bad",
    "bad",
    "is_rejected",
    "rejected",
    "disliked",
    "is_disliked",
    "downvoted",
    "is_negative",
    "undesirable",
)
"""Keys whose true values say that an answer was bad; a word or number is one only where the key asks for it ("is_")."""
_JUDGED_KEYS = (*TRAINED_KEYS, *RATED_KEYS, "value")
_FALSE_WORDS = frozenset(("false", "no", "off", "n", "none", "null", ""))
_BAD_WORDS = frozenset(
    (
        "bad",
        "rejected",
        "undesirable",
        "negative",
        "down",
        "thumbs_down",
        "thumbsdown",
        "thumbs down",
        "dislike",
        "\U0001f44e",
    )
)
_MEDIA_TYPES = ("image", "img", "audio", "video", "file", "document", "tool", "refusal", "thinking", "reasoning")


@dataclass(frozen=True)
class RawTurn:
    """One turn of a record."""

    speaker: str
    """As the file has it: a role, or a name."""
    text: str
    is_good: bool = True
    """False for what the file marks as not to be learned."""
    rejected: tuple[str, ...] = ()
    """Other answers in the same place that were not chosen."""
    is_shown: bool = False
    """Parts of it were pictures, films or sounds."""
    is_name: bool = False
    """The file says by itself that the speaker is not the user."""
    name: str = ""
    """Who speaks in the role; "" where the file does not say."""


@dataclass(frozen=True)
class RawRecord:
    """One conversation of a file."""

    turns: tuple[RawTurn, ...]
    role: str = ""
    """Whom it is with, where the record says so."""
    is_good: bool = True
    """False where the record says that its answer is a bad one."""
    prompt: str = ""
    """The system prompt that stands beside the turns."""


def first_filled(record: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The first value that is neither missing nor empty; None without one."""
    return next((record[key] for key in keys if record.get(key) not in (None, "", [], {})), None)


def is_true(value: Any) -> bool:
    """A truth value as programs write it: true, 1, "true", "1", "yes"."""
    number = _number(value)
    if number is not None:
        return number > 0
    return bool(value) and str(value).strip().lower() not in _FALSE_WORDS


def is_marked_bad(item: Mapping[str, Any]) -> bool:
    """Whether a turn or record says of itself that it is not to be learned."""
    if any(item.get(key) is True or (key.startswith("is_") and is_true(item.get(key))) for key in BAD_KEYS):
        return True
    return any(_is_bad_value(item.get(key), key) for key in (*TRAINED_KEYS, *RATED_KEYS))


def _is_bad_value(value: Any, key: str) -> bool:
    """Whether what stands under a key says that an answer is bad: one value, a list of them, or an object with some."""
    if isinstance(value, dict):
        found = [
            (one, key if name == "value" else name) for name in _JUDGED_KEYS if (one := value.get(name)) is not None
        ]
        return any(_says_bad(one, name) for one, name in found)
    if isinstance(value, list):
        return bool(value) and all(_says_bad(one, key) for one in value)
    return _says_bad(value, key)


def _says_bad(value: Any, key: str) -> bool:
    """Whether one value under a key of `TRAINED_KEYS` or `RATED_KEYS` says that an answer is bad."""
    if value is None or isinstance(value, (list, dict)):
        return False
    number, word = _number(value), str(value).strip().lower()
    if word in _BAD_WORDS or (number is not None and (number < 0 or (number == 0 and key in TRAINED_KEYS))):
        return True
    return number is None and bool(word) and word in _FALSE_WORDS and key in TRAINED_KEYS


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (bool, int, float, str)) else None
    except ValueError:
        return None


def speaker_of(turn: Mapping[str, Any]) -> tuple[str, str]:
    """Who speaks: the role, or the name where there is no role; and the name beside a role, "" without one."""
    called = [(key, text) for key in SPEAKER_KEYS if key in turn and (text := _called(turn[key]))]
    who = next((text for _, text in called if text.casefold() in ROLES), "") or _flagged(turn)
    if not who:
        return (called[0][1] if called else ""), ""
    names = (_called(turn[key]) for key in NAME_KEYS if key in turn)
    return who, next((name for name in names if name and name.casefold() not in ROLES), "")


def _flagged(turn: Mapping[str, Any]) -> str:
    """The role of a turn that only says whether a person speaks; "" without that."""
    for keys, yes, no in ((_USER_FLAGS, "user", "assistant"), (_CHARACTER_FLAGS, "assistant", "user")):
        for value in (turn[key] for key in keys if turn.get(key) is not None):
            if str(value).strip().lower() in ("true", "false", "0", "1", "yes", "no"):
                return yes if is_true(value) else no
    return ""


def _called(value: Any) -> str:
    """A role or name: a text, or an object that holds one."""
    if isinstance(value, dict):
        value = first_filled(value, ("role", "name", "username"))
    return value.strip() if isinstance(value, str) else ""


def words_of_turn(turn: Mapping[str, Any], mended: Counter[str]) -> str:
    """The words of a turn: a text, or the text parts of a list or object; pictures in it are counted."""
    return _words_of(first_filled(turn, TEXT_KEYS), mended)


def _words_of(content: Any, mended: Counter[str]) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return str(content)
    if isinstance(content, dict):
        kind = str(content.get("type") or "text")
        words = first_filled(content, ("text", "value", "parts", "content"))
        if words is not None and not kind.startswith(_MEDIA_TYPES):
            return _words_of(words, mended)
        mended[FILMS_LEFT_OUT if kind.startswith(("audio", "video")) else MEDIA_LEFT_OUT] += 1
        return ""
    if not isinstance(content, list):
        return ""
    said = [(words, isinstance(part, str)) for part in content if (words := _words_of(part, mended))]
    # Telegram cuts a message at every bold word; other lists hold whole paragraphs, or pieces that keep their spaces.
    texts = [words for words, _ in said]
    in_pieces = any(bare for _, bare in said) or any(words[0] == " " or words[-1] == " " for words in texts)
    return ("" if in_pieces else "\n").join(texts)
