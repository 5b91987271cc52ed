"""What is said in a chat, as HTML: actions in italics, and nothing of a stranger's that does anything."""

from __future__ import annotations

import re

import pytest

from studio.chat_text import speech

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![pixel](https://example.org/p.png)",
    "<a href='https://example.org'>x</a>",
    "*<b onclick=alert(1)>waves</b>*",
    "`<i>`",
    "```html\n<iframe src=x></iframe>\n```",
    "https://example.org/p.png",
    '" onmouseover="alert(1)',
    "# <h1>\n\n| a | b |\n|---|---|\n| <u> | 2 |",
)
ALLOWED = {"div", "p", "br", "em", "strong", "code", "pre"}


def inside(text: str, is_open: bool = False) -> str:
    """Without the frame around it."""
    return speech(text, is_open).removeprefix('<div class="u-speech">').removesuffix("</div>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*waves* Hello!", "<p><em>waves</em> Hello!</p>"),
        ("*smiles*Come in.", "<p><em>smiles</em>Come in.</p>"),
        ("*looks up,\nslowly*", "<p><em>looks up,<br>slowly</em></p>"),
        ("**No.** Never.", "<p><strong>No.</strong> Never.</p>"),
        ("***Run!***", "<p><strong><em>Run!</em></strong></p>"),
        ("_sighs_ my_own_word", "<p><em>sighs</em> my_own_word</p>"),
        ("2*3*4 and 5 * 6 * 7", "<p>2*3*4 and 5 * 6 * 7</p>"),
        ("One.\n\nTwo.\nThree.", "<p>One.</p><p>Two.<br>Three.</p>"),
        ("# Day one\n- salt\n* bread", "<p><strong>Day one</strong><br>\u2022 salt<br>\u2022 bread</p>"),
        ("`*as it is*`", "<p><code>*as it is*</code></p>"),
        (
            "So:\n```py\na = '*b*'\n```\n*nods*",
            '<p>So:</p><pre class="u-code">a = &#x27;*b*&#x27;</pre><p><em>nods</em></p>',
        ),
        ("[the map](https://example.org)", "<p>[the map](https://example.org)</p>"),
        ("*** and * alone", "<p>*** and * alone</p>"),
        ("", ""),
    ],
)
def test_what_is_read_and_what_stays(text: str, shown: str) -> None:
    assert inside(text) == shown


def test_an_action_is_one_while_it_is_written() -> None:
    assert inside("Aye. *turns to the wi", True) == "<p>Aye. <em>turns to the wi</em></p>"
    assert inside("Aye. *turns to the wi") == "<p>Aye. *turns to the wi</p>"
    assert inside("*turns* and", True) == "<p><em>turns</em> and</p>"


@pytest.mark.parametrize("text", HOSTILE)
def test_only_own_tags_without_attributes(text: str) -> None:
    for is_open in (False, True):
        for tag, rest in re.findall(r"</?([a-z0-9]+)([^>]*)>", speech(text, is_open)):
            assert tag in ALLOWED and rest in ("", ' class="u-speech"', ' class="u-code"')
