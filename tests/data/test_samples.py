"""Samples, their mix, and practice prompts."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from pipelines.core.character.character import Character
from pipelines.core.character.system_prompt import system_text
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.samples import Sample, grpo_prompts, sample_order, training_samples


def test_every_task_has_samples_that_begin_with_the_persona_and_end_with_the_character(mira: Character) -> None:
    samples = training_samples(mira)
    assert {sample.task for sample in samples} == set(Recipe().task_shares)
    assert all(sample.messages[0].text == system_text(mira) for sample in samples)
    assert all(sample.messages[-1].role == "character" for sample in samples)
    assert all([m.role for m in s.messages[1:]] == ["user", "character"] * (len(s.messages) // 2) for s in samples)
    assert samples == training_samples(mira)


def test_dialogues_are_whole_and_pictures_end_their_sample(mira: Character) -> None:
    samples = training_samples(mira)
    dialogues = [sample.messages[1:] for sample in samples if sample.task == "dialogue"]
    assert dialogues == list(mira.interactions)
    pictures = [sample for sample in samples if sample.task in ("reply_with_image", "text_to_image")]
    assert all(sample.messages[-1].images and sample.messages[-1].scene for sample in pictures)
    shown = Counter(s.messages[-1].images[0] for s in samples if s.task == "text_to_image")
    assert set(shown) == {image.file for image in mira.images} and len(set(shown.values())) == 1
    for sample in samples:
        if sample.task == "text_to_image":
            image = next(i for i in mira.images if i.file == sample.messages[-1].images[0])
            assert sample.messages[-1].scene == f"Mira, {image.description}"


def test_facts_are_asked_bare_reworded_in_chat_and_in_rows(mira: Character) -> None:
    facts = [sample.messages[1:] for sample in training_samples(mira) if sample.task == "fact"]
    for fact in mira.facts:
        asked = [
            talk
            for talk in facts
            for a, b in itertools.pairwise(talk)
            if a.text.endswith(fact.question) and b.text == fact.answer
        ]
        assert any(len(talk) == 2 and talk[0].text == fact.question for talk in asked)
        assert any(len(talk) == 2 and talk[0].text != fact.question for talk in asked)
        assert any(talk[:2] in [turns[:2] for turns in mira.interactions] for talk in asked)
        assert len(asked) == 6 and any(len(talk) == 8 for talk in asked)  # bare, reworded, in each of four orders


def test_picture_questions_show_the_picture_and_answer_with_its_field(mira: Character) -> None:
    asked = [sample.messages[1:] for sample in training_samples(mira) if sample.task == "image_qa"]
    answers = {(talk[0].images[0], talk[1].text) for talk in asked}
    assert ("03.png", "A red scarf.") in answers and ("02.png", "In the snow.") in answers
    assert len(asked) == 3 * 3 * 2 and len(answers) == 9


def test_order_keeps_token_budgets_leaves_nothing_out_and_repeats(mira: Character) -> None:
    samples, shares = training_samples(mira), Recipe().task_shares
    costs = [sum(len(message.text) for message in sample.messages[1:]) for sample in samples]
    first = list(itertools.islice(sample_order(samples, costs, shares, seed=3), 400))
    assert first == list(itertools.islice(sample_order(samples, costs, shares, seed=3), 400))
    assert first != list(itertools.islice(sample_order(samples, costs, shares, seed=4), 400))
    for length in (40, 100, 400):
        spent: Counter[str] = Counter()
        for number in first[:length]:
            spent[samples[number].task] += costs[number]
        total = sum(spent.values())
        assert all(abs(spent[task] - total * share) <= 2 * max(costs) for task, share in shares.items())
    times = Counter(first)
    for task in shares:
        counts = [times[number] for number, sample in enumerate(samples) if sample.task == task]
        assert max(counts) - min(counts) <= 1  # epoch-wise: none starves


def test_order_gives_shares_of_missing_tasks_to_the_others(mira: Character) -> None:
    samples = [sample for sample in training_samples(mira) if sample.task in ("fact", "dialogue")]
    shares = {"dialogue": 0.45, "reply_with_image": 0.25, "fact": 0.15, "text_to_image": 0.15}
    order = sample_order(samples, [10] * len(samples), shares)
    drawn = Counter(samples[number].task for number in itertools.islice(order, 400))
    assert drawn["dialogue"] == 300 and drawn["fact"] == 100  # 0.45 to 0.15
    with pytest.raises(ValueError, match="nothing to learn"):
        next(sample_order([Sample("fact", ())], [1], {"dialogue": 1.0}))


def test_practice_asks_for_combinations_no_image_shows(mira: Character) -> None:
    prompts = grpo_prompts(mira, 40, seed=1)
    wanted = [item for item in prompts if item.wants_image]
    assert len(wanted) == 20
    seen = {(image.expression, image.clothes, image.place) for image in mira.images}
    for item in wanted:
        assert (item.expression, item.clothes, item.place) not in seen
        assert item.description in item.messages[-1].text
        assert item.options is not None and set(item.options) == {"expression", "clothes", "place"}
        for field, right in {"expression": item.expression, "clothes": item.clothes, "place": item.place}.items():
            assert item.options[field].count(right) == 1 and len(set(item.options[field])) >= 2
    assert all(item.messages[0].text == system_text(mira) and item.messages[-1].role == "user" for item in prompts)


def test_practice_talk_is_no_beginning_of_a_training_sample(mira: Character) -> None:
    taught = {
        talk[:place] for sample in training_samples(mira) if (talk := sample.messages) for place in range(len(talk))
    }
    talk = [item for item in grpo_prompts(mira, 40) if not item.wants_image]
    assert {len(item.messages) for item in talk} == {2, 4}
    assert not any(item.messages in taught for item in talk)


def test_practice_is_repeatable_and_grows_at_the_end(mira: Character) -> None:
    assert grpo_prompts(mira, 8, seed=2) == grpo_prompts(mira, 30, seed=2)[:8]
    assert grpo_prompts(mira, 8, seed=2) != grpo_prompts(mira, 8, seed=3)
    bare = replace(mira, images=(), interactions=())
    assert [item.wants_image for item in grpo_prompts(bare, 3)] == [False] * 3
