"""The two parts that train nothing, at toy size through the real path: drawn, read, resumed, scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipelines.starter_build.bench import drawings_part
from pipelines.starter_build.bench.drawings_part import asked_answers, attribute_scores
from pipelines.starter_build.bench.people_part import nearest_place, other_people, sample_people
from pipelines.starter_build.bench.run_bench import run_bench
from pipelines.starter_build.drawings.attributes import WIDE, Attributes, is_held_out_combination

Bench = Callable[..., Any]
SCORE_KEYS = {"score", "interval", "cases", "real", "goal", "goal_is", "met"}


class Killed(Exception):
    """What interrupts the benchmark."""


def test_drawings_are_read_and_an_interrupted_call_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = bench()
    answer, [result] = run_bench(whole, ["drawings"])
    part = json.loads(json.dumps(answer))["parts"]["drawings"]
    assert answer["revision"] and not answer["skipped"] and part["cases"] == 10 and part["seconds"] > 0
    assert {"expression", "kind of clothes", "hair colour", "place"} <= set(part["scores"])
    assert all(set(score) == SCORE_KEYS for score in part["scores"].values())
    assert part["scores"]["expression"]["goal"] == 0.97 and part["scores"]["expression"]["cases"] == 10
    assert part["scores"]["hair colour"]["cases"] < 10  # not everybody has hair
    assert (whole.out / "drawings-1.jpg").is_file() and json.loads((whole.out / "bench.json").read_text()) == answer

    log = whole.out / "drawings.jsonl"
    records = log.read_text().splitlines()
    log.write_text("\n".join(records[:4]) + "\n" + records[4][:20])  # killed in the fourth case
    again, said = bench()
    drawn: list[int] = []
    draw = type(again).draw
    monkeypatch.setattr(type(again), "draw", lambda self, wanted: drawn.append(len(wanted)) or draw(self, wanted))
    resumed, _ = run_bench(again, ["drawings"])
    assert drawn == [7] and "drawings: 3 of 10 are there already" in said
    assert sorted(log.read_text().splitlines()) == sorted(records)  # a batch of another size draws the same
    assert resumed["parts"]["drawings"]["scores"] == answer["parts"]["drawings"]["scores"]
    assert result.scores["place"].goal == 0.99


def test_a_few_cases_are_the_first_of_many(bench: Bench) -> None:
    few, _ = bench(drawings=3, people=2)
    run_bench(few, ["drawings", "people"])
    more, said = bench(drawings=5, people=3)
    answer, _ = run_bench(more, ["drawings", "people"])
    assert "drawings: 3 of 5 are there already" in said and "people: 2 of 3 are there already" in said
    assert answer["parts"]["people"]["cases"] == 3


def test_people_are_compared_with_galleries(bench: Bench) -> None:
    context, said = bench()
    answer, _ = run_bench(context, ["people"])
    part = answer["parts"]["people"]
    assert part["scores"]["identity"]["cases"] == 4 and part["scores"]["identity"]["goal"] == 0.94
    assert 0 <= part["scores"]["identity"]["score"] <= 1 and part["scores"]["likeness"]["real"] is not None
    assert part["settings"]["references"] == 2 and (context.out / part["sheets"][0]).is_file()
    again, said = bench()
    assert run_bench(again, ["people"])[0]["parts"]["people"]["scores"] == part["scores"]
    assert not said  # nothing was left to do, not even the galleries


def test_other_settings_begin_anew(bench: Bench) -> None:
    context, _ = bench()
    run_bench(context, ["people"])
    changed, said = bench(galleries=3)
    run_bench(changed, ["people"])
    assert said[0].startswith("people.jsonl: settings changed, so this part begins anew")


def test_a_missing_grader_skips_its_part(bench: Bench, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.evaluation.graders import load_classifier

    context, said = bench()
    monkeypatch.setattr(
        "pipelines.starter_build.bench.bench_context.load_classifier",
        lambda preset, folder: load_classifier("starter", tmp_path),
    )
    answer, results = run_bench(context, ["drawings", "people"])
    assert "attribute classifier is missing" in answer["skipped"]["drawings"] and list(answer["parts"]) == ["people"]
    assert len(results) == 1 and said[0].startswith("drawings: skipped")


def test_held_things_count_where_they_were_asked_for() -> None:
    identity = WIDE.identity(20)
    bare, holding = Attributes("sad", "", "in space"), Attributes("sad", "", "in space", "", "holding a cup")
    assert asked_answers(identity, bare)["extra"] is None
    asked = asked_answers(identity, holding)
    assert asked["extra"] == "holding a cup"
    right = {name: word for name, word in asked.items() if word is not None}
    nothing = dict.fromkeys(drawings_part.NAMES, "nothing of that kind")
    scores = attribute_scores([{"asked": asked, "drawn": nothing | right, "real": nothing}] * 3)
    assert (scores["held things"].value, scores["held things"].real, scores["held things"].met) == (1, 0, True)


def test_the_nearest_gallery_is_found_by_mean_cosine() -> None:
    axes = torch.eye(3)
    galleries = [axes[[0, 0]], axes[[1, 0]], axes[[2, 2]]]
    assert nearest_place(axes, galleries, [2, 0, 1]) == [0, 1, 2]
    assert nearest_place(axes[:1], galleries, [2, 1]) == [1]
    others = other_people(3, 100, 63)
    assert len(set(others)) == 63 and 3 not in others and others == other_people(3, 100, 63)


def test_people_show_two_framings_and_are_asked_for_what_training_never_showed() -> None:
    people = sample_people(WIDE, 6, 5)
    assert people[:3] == sample_people(WIDE, 3, 5)
    for person in people:
        references, gallery = person.split()
        assert (len(references), len(gallery), len(person.asked)) == (2, 7, 5)
        assert all(map(is_held_out_combination, person.asked))
        assert not any(map(is_held_out_combination, person.pictures))
