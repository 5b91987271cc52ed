"""Which checkpoint of a run is the best: by scores alone, and by votes on top."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.core.checkpoint_selection import Choice, choose_best, faults_of, preferred_by_votes, selection_score
from pipelines.core.run_folder import RunError
from pipelines.core.score_axes import LEAST

ENOUGH = {what: least for axis in LEAST.values() for what, least in axis.items()}


def entry(name: str, counts: dict[str, int] = ENOUGH, **scores: float) -> dict[str, Any]:
    base = {"general_perplexity": 10.0, "reply_perplexity": 50.0, "likeness": 0.5, "training_image_similarity": 0.1}
    return {"name": name, "scores": base | scores, "measurement": {"counts": counts}}


BASE = entry("base")
GOOD, BETTER = entry("sft-000002", likeness=0.6), entry("sft-000004", likeness=0.7)


def test_the_score_that_chooses() -> None:
    scores = entry("x", reply_perplexity=25.0, likeness=0.7)["scores"]
    assert selection_score(scores, BASE["scores"]) == pytest.approx(0.6)
    assert selection_score(entry("x", reply_perplexity=99.0)["scores"], BASE["scores"]) == pytest.approx(0.25)
    assert selection_score({"general_perplexity": 10.0}, BASE["scores"]) == 0.0


def test_the_highest_without_a_fault() -> None:
    assert choose_best([BASE, GOOD, BETTER]) == Choice("sft-000004")
    assert choose_best([BASE, BETTER, entry("grpo-000001", likeness=0.7)]).name == "grpo-000001"  # of equals the later
    for fault in (
        {"general_perplexity": 10.6},
        {"training_image_similarity": 0.6},
        {"reply_perplexity": 51.0},
        {"speaking": 0.8},
        {"prompt_leaking": 0.1},
    ):
        assert choose_best([BASE, GOOD, entry("grpo-000001", likeness=0.9, **fault)]) == Choice("sft-000002")
    with pytest.raises(RunError):
        choose_best([BASE])


def test_where_all_have_a_fault_the_nearest_is_named_with_it() -> None:
    forgot, forgot_more = entry("sft-000002", general_perplexity=11.0), entry("grpo-000002", general_perplexity=12.0)
    assert choose_best([BASE, forgot, forgot_more]) == Choice("sft-000002", ("forgets",))
    # It forgot least, and yet it only repeats its training pictures: the one that forgot a little is nearer.
    copies = entry("grpo-000002", training_image_similarity=0.9)
    assert choose_best([BASE, entry("sft-000002", general_perplexity=10.6), copies]).name == "sft-000002"
    silent = entry("grpo-000001", likeness=0.9, speaking=0.85)
    assert choose_best([BASE, silent, copies]) == Choice("grpo-000002", ("copies",)), "nobody can talk with the silent"


def test_what_rests_on_too_little_decides_nothing() -> None:
    few = {**ENOUGH, "held_out_conversations": 1}
    by_chance = entry("grpo-000001", few, reply_perplexity=5.0, likeness=0.6)
    assert choose_best([entry("base", few), entry("sft-000004", few, likeness=0.7), by_chance]).name == "sft-000004"
    assert choose_best([entry("base", few), entry("sft-000004", few, reply_perplexity=99.0)]).faults == ()
    nothing = entry("grpo-000001", {"questions": 0})
    assert choose_best([entry("base", {"questions": 0}), nothing]) == Choice("grpo-000001")
    unknown = {**by_chance, "measurement": {}}  # of a version that did not count: taken as it stands
    assert choose_best([BASE, BETTER, unknown]).name == "grpo-000001"


def test_how_far_beyond_the_limit() -> None:
    scores = {"general_perplexity": 12.6, "training_image_similarity": 0.75, "speaking": 0.45}
    assert faults_of(scores, BASE["scores"]) == pytest.approx({"does_not_speak": 0.5, "copies": 0.5, "forgets": 0.2})
    assert faults_of({}, {}) == {}


def test_votes_count_when_they_are_clear() -> None:
    eligible = ["a", "b", "c"]
    assert preferred_by_votes("a", eligible, []) == "a"
    assert preferred_by_votes("a", eligible, [("b", "a")] * 3) == "a", "three votes could be chance"
    clear = [("b", "a")] * 5
    assert preferred_by_votes("a", eligible, clear) == "b"
    assert preferred_by_votes("a", eligible, [*clear, *[("c", "b")] * 6]) == "c"
    assert preferred_by_votes("a", ["a", "c"], clear) == "a", "one with a fault takes nobody's place"
    circle = [*clear, *[("a", "b")] * 0, *[("c", "b")] * 5, *[("a", "c")] * 5]
    assert preferred_by_votes("a", eligible, circle) == "c"
