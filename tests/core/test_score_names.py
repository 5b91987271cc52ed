"""The one table of score words: what the docs, the command line and the model card say of a score comes from it."""

from __future__ import annotations

from pathlib import Path

from pipelines.core.events import STAGES
from pipelines.core.score_names import (
    AXIS_NAMES,
    GENERAL_PERPLEXITY_LIMIT,
    REWARD_NAMES,
    SCORE_NAMES,
    TRAINING_IMAGE_SIMILARITY_LIMIT,
)
from pipelines.core.stage_names import STAGE_NAMES

DOCS = Path(__file__).parents[2] / "docs"


def test_scores_and_limits_are_in_the_docs() -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    assert [key for key in SCORE_NAMES if f"| `{key}` |" not in page] == []
    choosing = page.partition("## Choosing the best checkpoint")[2]
    assert f"at most {GENERAL_PERPLEXITY_LIMIT:g} times" in choosing
    assert f"at most {TRAINING_IMAGE_SIMILARITY_LIMIT:g}" in choosing


def test_how_a_score_is_read() -> None:
    assert SCORE_NAMES["reply_perplexity"].row == "surprise at their own lines (perplexity, lower is better)"
    assert SCORE_NAMES["reply_perplexity"].definition == "perplexity of held-out replies, lower is better"
    assert SCORE_NAMES["likeness"].row == "looks like them"
    assert SCORE_NAMES["likeness"].definition == "drawn pictures against held-out pictures, of 100"
    assert SCORE_NAMES["likeness"].shown(0.616) == "62" and SCORE_NAMES["general_perplexity"].shown(10.04) == "10"


def test_every_name_is_said_once() -> None:
    for table in (SCORE_NAMES, AXIS_NAMES):
        assert len({one.words for one in table.values()}) == len(table)
    assert len(set(REWARD_NAMES.values())) == len(REWARD_NAMES)
    # A mark of practice is no score, so it may not be called like one.
    scores = {one.words.lower() for table in (SCORE_NAMES, AXIS_NAMES) for one in table.values()}
    assert not scores & {words.lower() for words in REWARD_NAMES.values()}


def test_a_name_that_stands_in_both_tables_is_one_score() -> None:
    both = {key for key in AXIS_NAMES if key in SCORE_NAMES}
    shared = {one.words.lower() for one in AXIS_NAMES.values()} & {one.words.lower() for one in SCORE_NAMES.values()}
    assert shared == {AXIS_NAMES[key].words.lower() for key in both} == {SCORE_NAMES[key].words for key in both}
    assert all(SCORE_NAMES[key].scale == "of 100" for key in both)


def test_stages() -> None:
    assert set(STAGES) < set(STAGE_NAMES)
