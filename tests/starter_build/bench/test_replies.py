"""Detectors of faults with known texts, and the prompts that replies are sampled for."""

from __future__ import annotations

import pytest

from pipelines.core.reply_faults import faults_of
from pipelines.data.chat_template import IMAGE_REQUESTS
from pipelines.starter_build.bench.replies_part import readable, reply_scores
from pipelines.starter_build.bench.reply_prompts import REQUESTS, TALK, reply_prompts


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Step in, passenger.", []),
        ("“Mind the gap!”", []),
        ("Ding ding… *rings the bell.*", []),
        ("", ["without words", "unfinished sentence"]),
        (" ...", ["without words"]),
        ("I was on my way to the", ["unfinished sentence"]),
        ("Here, then.]", ["square brackets", "unfinished sentence"]),
        ("[scenes] I am here.", ["square brackets"]),
        ("I am here now, I am here now, and I am here now.", ["repeated four words"]),
        ("I am here now, and I am here now.", []),
        ("No no no no no no.", ["repeated four words"]),
    ],
)
def test_faults(text: str, faults: list[str]) -> None:
    assert faults_of(text) == faults


def test_half_of_the_prompts_ask_for_a_picture() -> None:
    prompts = reply_prompts(100, "nella-tarn")
    assert sum(prompt.wants_picture for prompt in prompts) == 50
    assert prompts[:20] == reply_prompts(20, "nella-tarn") and prompts != reply_prompts(100, "quibb")
    assert len(set(TALK)) == 50 and {prompt.text for prompt in prompts if not prompt.wants_picture} == set(TALK)
    assert not any("{" in prompt.text for prompt in prompts) and not set(REQUESTS) & set(IMAGE_REQUESTS)
    for wants in (False, True):
        behind = [prompt.after_talk for prompt in prompts if prompt.wants_picture is wants]
        assert 10 < sum(behind) < 25


def test_shares_of_replies_and_the_page_to_read() -> None:
    record = {"case": "ada-000", "character": "Ada", "prompt": "Hello?", "before": ["Hm."], "scene": "Ada, happy"}
    records = [
        {**record, "asked": True, "picture": True, "text": "Aye.", "faults": []},
        {**record, "asked": True, "picture": False, "text": "Aye", "faults": ["unfinished sentence"]},
        {**record, "asked": False, "picture": False, "text": "", "faults": ["without words"]},
    ]
    scores = reply_scores(records, [[], ["unfinished sentence"]])
    assert scores["picture when asked"].value == 0.5 and scores["picture when asked"].met is False
    assert scores["picture unasked"].value == 0 and scores["picture unasked"].met is True
    assert scores["without words"].met is False and scores["without words"].real == 0
    assert scores["unfinished sentence"].real == 0.5 and scores["unfinished sentence"].goal is None
    page = readable(records)
    assert "> Hm." in page and "*picture: Ada, happy*" in page and "(without words)" in page
