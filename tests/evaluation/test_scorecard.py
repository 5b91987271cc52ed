"""The scorecard: numbers by hand, packed against alone, and the rule for the best checkpoint."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.core.character.character import TestSplit, message
from pipelines.core.events import Event
from pipelines.core.run_folder import RunError
from pipelines.data.chat_template import prompt, reply, user
from pipelines.data.replay_chat import general_eval_rows, general_replay_rows
from pipelines.evaluation.evaluate_run import evaluate_run, mean_step_reward
from pipelines.evaluation.image_scores import reply_matches, training_image_similarity
from pipelines.evaluation.scorecard import (
    EvalContext,
    dialogue_rows,
    input_image_bank,
    log_likelihoods,
    perplexity,
    right_answers,
)
from pipelines.inference.generate import GeneratedText
from pipelines.models.presets import load
from pipelines.rewards.starter_critic import toy_critic
from tests.toys import TOY_BASE, toy


@pytest.fixture(scope="module")
def speaker() -> tuple[Any, Any]:
    model, tokenizer = load(TOY_BASE)
    return model.eval(), tokenizer


def alone(model: Any, ids: list[int], first: int) -> float:
    """log p of ids[first:], by one plain forward of the whole row, no packing."""
    labels = torch.tensor([[-100] * first + ids[first:]])
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([ids]), labels=labels).logps.double().sum())


def test_perplexity_by_hand() -> None:
    # two rows: three ids at probability 1/2, one id at 1/4 -> mean loss (3 ln 2 + ln 4) / 4 = 5/4 ln 2
    rows = [(3 * math.log(0.5), 3), (math.log(0.25), 1)]
    assert perplexity(rows) == pytest.approx(2**1.25)


def test_packed_likelihoods_equal_each_row_alone(speaker: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = speaker
    character, split = toy()
    rows = dialogue_rows(character, split.dialogues, model.spec, tokenizer)
    one_row = log_likelihoods(model, rows)
    monkeypatch.setattr("pipelines.evaluation.scorecard.ROW_TOKENS", len(rows[0].ids) + 40)
    for found in (one_row, log_likelihoods(model, rows)):
        for (total, count), row in zip(found, rows, strict=True):
            labels = torch.tensor([row.labels])
            with torch.inference_mode():
                expected = float(model(input_ids=torch.tensor([row.ids]), labels=labels).logps.double().sum())
            assert total == pytest.approx(expected, abs=1e-3)
            assert count == sum(row.mask)


def test_dialogues_score_the_characters_words_only(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, _ = toy()
    talk = (user("Where?"), reply("By the water.", "Ada, happy, on a beach", "01.png"), user("Cold?"), reply("Aye."))
    [row] = dialogue_rows(character, [talk], model.spec, tokenizer)
    scored = tokenizer.decode([token for token, learned in zip(row.ids, row.mask, strict=True) if learned])
    assert scored == "By the water.<|im_end|>Aye.<|im_end|>"
    assert "[scene]" not in tokenizer.decode(row.ids)


def test_what_others_show_is_looked_at(speaker: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = speaker
    character, _ = toy()
    asked = message("user", "And this?", ["cat.png"], speaker="Ben", image_info="a cat")
    talk = (asked, reply("Not mine."))
    split = TestSplit(dialogues=(talk,), input_images=("cat.png",))
    found = []
    for colour in ("olive", "white"):
        (tmp_path / "test_images").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), colour).save(tmp_path / "test_images" / "cat.png")
        context = replace(
            EvalContext(character, split, None, None), input_image_files=(tmp_path / "test_images" / "cat.png",)
        )
        shown = input_image_bank(context, model.spec.image_px)
        rows = dialogue_rows(character, split.dialogues, model.spec, tokenizer, shown.pixels)
        assert rows[0].input_images == ("cat.png",)
        found += log_likelihoods(model, rows, shown)
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]
    # Pictures of the character in a user's turn stay out, as before.
    [plain] = dialogue_rows(character, [talk], model.spec, tokenizer)
    assert not plain.input_images


def test_facts_are_chosen_by_likelihood_among_familiar_answers(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, split = toy()
    rights = [choice.options[choice.answer] for choice in split.choices]

    def likely(question: str, option: str) -> float:
        start = prompt(character, (user(question),), model.spec, tokenizer).ids
        answer = tokenizer(option, add_special_tokens=False)["input_ids"]
        return alone(model, [*start, *answer, model.spec.eot_id], len(start))

    options = [tuple(dict.fromkeys((*choice.options, *rights))) for choice in split.choices]
    chosen = [
        max(range(len(offered)), key=lambda i, offered=offered, asks=choice.question: likely(asks, offered[i]))
        for choice, offered in zip(split.choices, options, strict=True)
    ]
    expected = [pick == choice.answer for pick, choice in zip(chosen, split.choices, strict=True)]
    assert right_answers(model, tokenizer, EvalContext(character, split, None, None), len(expected)) == expected
    # Naming the chosen answers as right gives 1, so the comparison above cannot pass by always being wrong.
    right = TestSplit(
        choices=tuple(
            type(c)(c.question, offered, pick) for c, offered, pick in zip(split.choices, options, chosen, strict=True)
        )
    )
    assert all(right_answers(model, tokenizer, EvalContext(character, right, None, None), len(expected)))


def test_fewer_questions_are_taken_evenly_from_all(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, split = toy()
    longer = TestSplit(choices=split.choices * 3)
    every = right_answers(model, tokenizer, EvalContext(character, longer, None, None), len(longer.choices))
    third = right_answers(model, tokenizer, EvalContext(character, split, None, None), len(split.choices))
    assert every[: len(third)] == third, "options come from the questions behind, the same in each third"
    asked = []
    questions = tuple(replace(choice, question=f"{n}?") for n, choice in enumerate(longer.choices))
    context = EvalContext(character, TestSplit(choices=questions), None, None)
    for most in (1, 2, 4):
        asked.append(len(right_answers(model, tokenizer, context, most)))
    assert asked == [1, 2, 4]


def test_plain_chat_is_whole_and_short(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    rows = general_eval_rows(model.spec, tokenizer)
    assert len(rows) >= 30 and all(any(row.mask) for row in rows)
    folder = Path(__file__).parents[2] / "pipelines" / "data"
    files = [(folder / name).read_text(encoding="utf-8") for name in ("general_eval.jsonl", "general_replay.jsonl")]
    asked = [json.loads(line)["user"] for text in files for line in text.splitlines()]
    assert len(set(asked)) == len(asked), "what is measured on is not learned from"


def test_all_of_the_kept_chat_is_in_its_rows(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    rendered, rows = (
        general_eval_rows(model.spec, tokenizer, "general_replay"),
        general_replay_rows(model.spec, tokenizer),
    )
    learned = {tuple(i for i, label in zip(row.ids, row.labels, strict=True) if label >= 0) for row in rows}
    whole = " ".join(str(i) for ids in learned for i in ids)
    for item in rendered:
        own = " ".join(str(i) for i, mask in zip(item.ids, item.mask, strict=True) if mask)
        assert own in whole


def test_copying_by_hand() -> None:
    trained = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    references = torch.tensor([[0.6, 0.8]])  # nearest 0.8
    assert training_image_similarity(trained, references, trained) == pytest.approx(1.0)  # identical copies
    assert training_image_similarity(references, references, trained) == 0.0
    middle = torch.tensor([[math.sqrt(1 - 0.81), 0.9]])  # nearest 0.9: half of the way from 0.8 to 1
    assert training_image_similarity(middle, references, trained) == pytest.approx(0.5)


def test_agreement_counts_a_missing_scene_as_nothing() -> None:
    critic = toy_critic()
    with torch.inference_mode():
        features = critic.encode_images(torch.rand(2, 3, 32, 32) * 2 - 1)
        both = critic.match(features, ["happy, on a beach", "sad, in space"])
        replies = [GeneratedText("Aye.", "Ada, happy, on a beach", [1]), GeneratedText("Aye.", "", [1])]
        assert reply_matches(features, replies, "Ada", critic) == pytest.approx([float(both[0]), 0.0])


def test_mean_step_reward_takes_the_last_report_of_its_own_steps(tmp_path: Path) -> None:
    for name in ("grpo-000002", "grpo-000004"):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").touch()
        (folder / "adapter_model.safetensors").touch()
    steps = [(1, 0.1), (2, 0.2), (3, 0.9), (3, 0.4), (4, 0.6)]  # step 3 was repeated after a kill
    lines = [Event("grpo", step, 4, {"reward": value}).to_line() for step, value in steps]
    (tmp_path / "events.jsonl").write_text("".join(lines))
    assert mean_step_reward(tmp_path, "grpo-000002") == pytest.approx(0.15)
    assert mean_step_reward(tmp_path, "grpo-000004") == pytest.approx(0.5)
    assert mean_step_reward(tmp_path, "sft-000002") is None


def test_a_checkpoint_of_other_weights_is_not_measured(toy_run: Path, tmp_path: Path) -> None:
    run_dir = shutil.copytree(toy_run, tmp_path / "run")
    config = run_dir / "checkpoints" / "sft-000002" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"revision": "0000"}), encoding="utf-8")
    events: list[Event] = []
    with pytest.raises(RunError, match=r"checkpoint sft-000002 was trained on starter-toy of 0000: train again"):
        evaluate_run(run_dir, (), events.append, again=True)
    assert not events, "nothing is measured before all is known to be right"
    assert len(evaluate_run(run_dir, (), events.append)) == 5  # scores that are there are read


def test_the_card_says_what_lies_beside_the_adapter(toy_run: Path) -> None:
    folder = toy_run / "checkpoints" / "grpo-000002"
    card = (folder / "README.md").read_text(encoding="utf-8")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert f"`{config['base_model_name_or_path']}` at revision `{config['revision']}`" in card
    assert "`references.safetensors` holds the codes of two pictures of Ada" in card and "`references/`" in card
    assert sorted(path.name for path in (folder / "references").iterdir()) == ["01.jpg", "02.jpg"]


def test_evaluating_again_gives_the_same_scores(toy_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(toy_run, run_dir)
    before = {
        name: json.loads((run_dir / "checkpoints" / name / "scores.json").read_text())
        for name in ("base", "grpo-000002")
    }
    events: list[Event] = []
    again = evaluate_run(run_dir, ("base", "grpo-000002"), events.append, again=True)
    assert [event.note for event in events] == ["base", "grpo-000002"]
    for item in again:
        assert item["scores"] == pytest.approx(before[item["name"]]["scores"], abs=1e-6)
    with pytest.raises(RunError, match="sft-000009"):
        evaluate_run(run_dir, ("sft-000009",), events.append)


def test_a_longer_effort_draws_sixty_from_seeds_of_their_own(toy_run: Path, tmp_path: Path) -> None:
    run_dir = shutil.copytree(toy_run, tmp_path / "run")
    run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    run["recipe"]["effort"] = "standard"
    (run_dir / "run.json").write_text(json.dumps(run), encoding="utf-8")
    quick = json.loads((run_dir / "checkpoints" / "base" / "scores.json").read_text(encoding="utf-8"))
    [base] = evaluate_run(run_dir, ("base",), lambda _: None, again=True)
    counts = base["measurement"]["counts"]
    assert quick["measurement"]["counts"]["captioned_drawings"] < 60 <= counts["captioned_drawings"] < 66
    drawn = [run / "checkpoints" / "base" / "samples" / "01.png" for run in (toy_run, run_dir)]
    assert drawn[0].read_bytes() == drawn[1].read_bytes(), "the first picture of the first caption has the same seed"
