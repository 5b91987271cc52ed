"""Conversations that a column holds as one text, with a mark before each turn, as they are sent to a model.

Known: ChatML, the headers of Llama 3, Gemma's turns, `[INST]`, `### Human:`, and lines of `Human:` or `USER:`.
"""

from __future__ import annotations

import re
from collections import Counter

from pipelines.core.formats.blank_lines import is_blank, part
from pipelines.core.formats.turn_fields import ROLES, RawTurn

_WHO = r"system|user|human|assistant|model|gpt|instruction|input|response"
_MARK = re.compile(
    rf"<\|im_start\|>\s*({_WHO})[ \t]*(?:\n|\Z)|<\|start_header_id\|>\s*({_WHO})\s*<\|end_header_id\|>\s*"
    rf"|<start_of_turn>({_WHO})[ \t]*(?:\n|\Z)|###[ \t]*({_WHO})[ \t]*:[ \t]*|(?:^|(?<=\n))[ \t]*({_WHO}):[ \t]*",
    re.IGNORECASE,
)
_VICUNA = re.compile(r"(?:^|(?<=\s))(USER|ASSISTANT):[ \t]*")
_INSTRUCT = re.compile(r"\[/?INST\]")
_ENDS = re.compile(
    r"<\|(?:im_end|eot_id|end_of_text|endoftext|begin_of_text)\|>|<(?:end_of_turn|bos|eos)>|</?s>", re.IGNORECASE
)
_BEGINS = re.compile(
    r"\s*(?:<\|(?:im_start|start_header_id|begin_of_text)\|>|<start_of_turn>|(?:<s>|<bos>)\s*[<\[]|\[INST\])",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"<\|(?:end_of_text|endoftext|begin_of_text)\|>|<s>|<bos>|(?=<\|im_start\|>\s*system\b)"
    r"|(?=<\|start_header_id\|>\s*system\b)",
    re.IGNORECASE,
)
"""What parts conversations: the end of a text, a system prompt. Where neither does, empty lines may."""
_SPEAKERS = {"instruction": "user", "input": "user", "response": "assistant"}


def transcript(text: str) -> list[RawTurn]:
    """The turns of a text that begins with the mark of one; [] when it is plain words."""
    return [turn for turn, _ in _turns_and_blanks(text)]


def _turns_and_blanks(text: str) -> list[tuple[RawTurn, bool]]:
    """Each turn of `transcript`, and whether an empty line stands before it."""
    head = text[:40].lstrip()
    if head[:1] not in ("", "<", "[", "#") and ":" not in head[:20]:
        return []
    plain = _ENDS.sub("", text).strip()
    if plain.startswith("[INST]"):
        pieces = _INSTRUCT.split(plain)[1:]
        turns = [RawTurn(("user", "assistant")[number % 2], words.strip()) for number, words in enumerate(pieces)]
    else:
        found = list((_VICUNA if plain.startswith("USER:") else _MARK).finditer(plain))
        if not found or found[0].start():
            return []
        ends = [mark.start() for mark in found[1:]] + [len(plain)]
        who = [next(filter(None, mark.groups())).lower() for mark in found]
        pieces = [plain[mark.end() : end] for mark, end in zip(found, ends, strict=True)]
        turns = [
            RawTurn(_SPEAKERS.get(speaker, speaker), piece.strip()) for speaker, piece in zip(who, pieces, strict=True)
        ]
    while turns and not turns[-1].text:
        turns.pop()
    return list(zip(turns, [False, *map(is_blank, pieces)], strict=False))


def transcripts_of(text: str, parts_at_blank: bool | None, told: Counter[str]) -> list[list[RawTurn]]:
    """The conversations of a file that holds such text and nothing else; [] when it is plain words.

    `parts_at_blank` and `told` as of `blank_lines.part`.
    """
    if not _BEGINS.match(text):
        return []
    talks = [_turns_and_blanks(piece) for piece in _PARTS.split(text) if piece.strip()]
    talks = [talk for talk in talks if talk]
    if len(talks) != 1:
        return [[turn for turn, _ in talk] for talk in talks]
    turns, after_blank = [turn for turn, _ in talks[0]], [after for _, after in talks[0]]
    return part(turns, [ROLES.get(turn.speaker, "") for turn in turns], after_blank, parts_at_blank, False, told)


def answered(text: str) -> list[RawTurn]:
    """As `transcript`, of a text that ends with the answer; [] otherwise."""
    turns = transcript(text)
    return turns if turns and ROLES.get(turns[-1].speaker) == "character" else []
