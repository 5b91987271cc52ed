"""What somebody or a character says, as safe HTML: `*actions*` in italics, a little Markdown, and nothing that loads.

Words come from models and cards of strangers. Every character is escaped first; only marks that this module reads
itself become tags, so there is no HTML of others, no link and no picture to fetch, and no heading or table that breaks
the page. What is not read stays as it was written.
"""

from __future__ import annotations

import html
import re

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*\n(.*?)(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`[^`\n]+`)")
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)[-*+][ \t]+", re.MULTILINE)
_BOTH = re.compile(r"\*\*\*(?=\S)([^*]+?)(?<=\S)\*\*\*")
_STRONG = re.compile(r"\*\*(?=[^\s*])(.+?)(?<=\S)\*\*", re.DOTALL)
_STAR = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]*[^\s*])\*(?!\*)")
_LINE = re.compile(r"(?<![\w_])_(?=[^\s_])([^_]*[^\s_])_(?![\w_])")
_UNCLOSED = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]*)\Z")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def speech(text: str, is_open: bool = False) -> str:
    """HTML of what was said. is_open: more of it is being written, so an action that has just begun is one already."""
    parts: list[str] = []
    at = 0
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for fence in _FENCE.finditer(text):
        parts += _paragraphs(text[at : fence.start()])
        parts.append(f'<pre class="u-code">{html.escape(fence.group(1).rstrip())}</pre>')
        at = fence.end()
    parts += _paragraphs(text[at:], is_open)
    return f'<div class="u-speech">{"".join(parts)}</div>'


def _paragraphs(text: str, is_open: bool = False) -> list[str]:
    blocks = [block for block in _PARAGRAPHS.split(text.strip()) if block.strip()]
    return [f"<p>{_marked(block, is_open and block is blocks[-1])}</p>" for block in blocks]


def _marked(block: str, is_open: bool) -> str:
    pieces = _CODE.split(html.escape(block))
    for place, piece in enumerate(pieces):
        if place % 2:
            pieces[place] = f"<code>{piece[1:-1]}</code>"
        else:
            pieces[place] = _emphasis(piece, is_open and place == len(pieces) - 1)
    return "".join(pieces).replace("\n", "<br>")


def _emphasis(text: str, is_open: bool) -> str:
    text = _HEADING.sub(r"<strong>\1</strong>", text)
    text = _BULLET.sub("\\1\u2022 ", text)
    text = _BOTH.sub(r"<strong><em>\1</em></strong>", text)
    text = _STRONG.sub(r"<strong>\1</strong>", text)
    text = _STAR.sub(r"<em>\1</em>", text)
    text = _LINE.sub(r"<em>\1</em>", text)
    return _UNCLOSED.sub(r"<em>\1</em>", text) if is_open else text
