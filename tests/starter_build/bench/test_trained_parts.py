"""The parts that train, at toy size through the real path: each trained once, resumed, scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import read_result
from pipelines.models.starter.vocabulary import EXPRESSIONS, WIDE_PLACES
from pipelines.starter_build.bench import characters_part, fewshot_part, trained_runs
from pipelines.starter_build.bench.own_art_part import asked_looks
from pipelines.starter_build.bench.reader_sheet import LETTERS
from pipelines.starter_build.bench.run_bench import run_bench
from pipelines.starter_build.own_art.sets import SETS, TEXTS
from tests.toys import write_toy

Bench = Callable[..., Any]


def _toy_fewshot(base: str, steps: int) -> Recipe:
    return Recipe.for_effort(
        base, "quick", sft_steps=steps, sft_save_every=steps, grpo_steps=0, sft_image_rows=steps, sft_row_max_tokens=700
    )


@pytest.fixture(autouse=True)
def toy_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toy models read bytes: rows are shorter, and looks longer than a person may ask for."""
    monkeypatch.setattr(fewshot_part, "fewshot_recipe", _toy_fewshot)
    monkeypatch.setattr("pipelines.starter_build.fewshot.UPLOAD_PX", 64)
    monkeypatch.setattr("pipelines.inference.engine.DRAWN_LOOK_TOKENS", 200)


def test_people_are_learned_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    context, said = bench()
    answer, _ = run_bench(context, ["fewshot"])
    part = answer["parts"]["fewshot"]
    assert {"identity kept", "followed", "likeness", "seconds of learning"} <= set(part["scores"])
    assert part["scores"]["identity kept"]["goal"] == 0.96 and part["scores"]["seconds of learning"]["met"] is True
    assert part["scores"]["followed"]["real"] is not None and (context.out / part["sheets"][0]).is_file()
    log = context.out / "fewshot.jsonl"
    records = log.read_text().splitlines()
    log.write_text("\n".join(records[:2]) + "\n")  # killed when the second person was learned and not yet drawn
    again, said = bench()
    monkeypatch.setattr("pipelines.training.sft.PackedTrainer.training_step", None)  # nobody is learned again
    resumed, _ = run_bench(again, ["fewshot"])
    assert "fewshot: 1 of 2 are there already" in said
    kept = {name: score for name, score in part["scores"].items() if "seconds" not in name}
    assert kept == {n: s for n, s in resumed["parts"]["fewshot"]["scores"].items() if "seconds" not in n}


def test_characters_are_trained_once_for_all_parts(
    bench: Bench, toy_character: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real ones' texts, byte by byte, would take minutes.
    monkeypatch.setattr(trained_runs, "bundled_folder", lambda slug: toy_character)
    monkeypatch.setattr(trained_runs, "write_folder", lambda slug, folder: write_toy(folder))
    context, said = bench()
    answer, _ = run_bench(context, ["own-art", "characters", "replies"])
    parts = json.loads(json.dumps(answer))["parts"]
    assert [line for line in said if line.endswith(": training")] == ["rusk-halloway: training", "quibb: training"]
    assert all(read_result(context.out / "runs" / slug) for slug in ("rusk-halloway", "quibb"))

    own = parts["own-art"]
    assert own["cases"] == 4 and own["scores"]["named among the figures"]["cases"] == 4
    assert any(note.startswith("trained for less than `quick`") for note in own["notes"])
    answers = json.loads((context.out / "own-art-reader-answers.json").read_text())
    assert list(answers) == ["1", "2", "3", "4"] and answers["1"]["face"] in LETTERS
    assert (context.out / "own-art-reader.jpg").is_file() and (context.out / "own-art-1.jpg").is_file()

    found = parts["characters"]["scores"]
    assert found["likeness, share of real: quibb"]["cases"] == 4 and found["facts: quibb"]["cases"] == 2
    assert (
        found["perplexity below the base: quibb"]["interval"][0] <= found["perplexity below the base: quibb"]["score"]
    )

    replies = parts["replies"]
    assert replies["cases"] == 6 and replies["scores"]["without words"]["met"] is True
    assert replies["scores"]["picture when asked"]["cases"] == 3 and replies["scores"]["picture unasked"]["cases"] == 3
    assert replies["scores"]["unfinished sentence"]["real"] == 0  # what the author wrote is whole
    text = (context.out / "replies.md").read_text()
    assert text.count("### quibb-") == 6 and "**Hello! Who are you?**" in text

    log = context.out / "own-art.jsonl"
    records = log.read_text().splitlines()
    log.write_text("\n".join(records[:3]) + "\n")
    again, said = bench()
    monkeypatch.setattr(trained_runs, "train", None)  # nothing is trained again
    resumed, _ = run_bench(again, ["own-art", "characters", "replies"])
    assert said[0] == "own-art: 2 of 4 are there already" and log.read_text().splitlines() == records
    for name in parts:
        assert resumed["parts"][name]["scores"] == answer["parts"][name]["scores"]


def test_a_training_with_another_recipe_is_made_anew(bench: Bench) -> None:
    context, said = bench()
    folder = trained_runs.run_folder(context, "ada", Recipe())
    (folder / "checkpoints").mkdir(parents=True)
    assert trained_runs.run_folder(context, "ada", Recipe()) == folder and folder.is_dir() and not said
    trained_runs.run_folder(context, "ada", Recipe(seed=1))
    assert not folder.exists() and said == ["ada: weights, recipe or character changed, so it is trained anew"]


def test_own_art_is_asked_for_what_no_picture_shows() -> None:
    for slug, chosen in SETS.items():
        looks = asked_looks(slug, 20)
        shown = {(one.expression, one.place) for document in TEXTS for one in chosen.attributes(document).values()}
        assert looks[:7] == asked_looks(slug, 7) and not shown & {(one.expression, one.place) for one in looks}
        assert {one.expression for one in looks} == set(EXPRESSIONS) and {one.place for one in looks} == set(
            WIDE_PLACES
        )
        assert chosen.art.draw(looks[0], 32).size == (32, 32)


def test_perplexity_is_compared_over_all_replies() -> None:
    rows = np.array([[-2.0, 2, -4.0, 2], [-6.0, 6, -12.0, 6]])  # 1 and 2 nats an id
    assert characters_part.perplexity_drop(rows) == pytest.approx(1 - np.exp(-1))
    assert characters_part.without([1.0, 5.0, 3.0], 1) == 2


def test_a_reply_part_without_its_folder_is_not_guessed(tmp_path: Path) -> None:
    assert trained_runs.bundled_folder("quibb").is_dir() and not trained_runs.bundled_folder("nobody").exists()
