"""Conversations that a column holds as one text, with a mark before each turn, as they are sent to a model.

Known: ChatML, the headers of Llama 3, Gemma's turns, `[INST]`, `### Human:`, and lines of `Human:` or `USER:`.
"""

from __future__ import annotations

import re

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
    r"|(?=<\|start_header_id\|>\s*system\b)|\n\s*\n\s*(?=<\|im_start\|>\s*user\b)",
    re.IGNORECASE,
)
"""What parts conversations: the end of a text, a system prompt, an empty line before a user's turn."""
_SPEAKERS = {"instruction": "user", "input": "user", "response": "assistant"}


def transcript(text: str) -> list[RawTurn]:
    """The turns of a text that begins with the mark of one; [] when it is plain words."""
    head = text[:40].lstrip()
    if head[:1] not in ("", "<", "[", "#") and ":" not in head[:20]:
        return []
    plain = _ENDS.sub("", text).strip()
    if plain.startswith("[INST]"):
        pieces = [piece.strip() for piece in _INSTRUCT.split(plain)[1:]]
        turns = [RawTurn(("user", "assistant")[number % 2], words) for number, words in enumerate(pieces)]
    else:
        found = list((_VICUNA if plain.startswith("USER:") else _MARK).finditer(plain))
        if not found or found[0].start():
            return []
        ends = [mark.start() for mark in found[1:]] + [len(plain)]
        who = [next(filter(None, mark.groups())).lower() for mark in found]
        turns = [
            RawTurn(_SPEAKERS.get(speaker, speaker), plain[mark.end() : end].strip())
            for speaker, mark, end in zip(who, found, ends, strict=True)
        ]
    while turns and not turns[-1].text:
        turns.pop()
    return turns


def transcripts_of(text: str) -> list[list[RawTurn]]:
    """The conversations of a file that holds such text and nothing else; [] when it is plain words."""
    if not _BEGINS.match(text):
        return []
    talks = [transcript(piece) for piece in _PARTS.split(text) if piece.strip()]
    return [talk for talk in talks if talk]


def answered(text: str) -> list[RawTurn]:
    """As `transcript`, of a text that ends with the answer; [] otherwise."""
    turns = transcript(text)
    return turns if turns and ROLES.get(turns[-1].speaker) == "character" else []
