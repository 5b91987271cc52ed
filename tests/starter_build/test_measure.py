"""The build's measures at toy size: what a number means is checked by hand, the rest that it can be made."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest
import torch

from pipelines.data.chat_template import render, reply, user
from pipelines.evaluation.attribute_classifier import ANSWERS, AttributeClassifier
from pipelines.models.starter.model import toy_starter
from pipelines.models.starter.vocabulary import PLACES
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import toy_critic
from pipelines.starter_build.build_classifier import classifier_accuracies, expected_answers, train_classifier
from pipelines.starter_build.build_config import SIZES, build_config
from pipelines.starter_build.build_loop import Budget
from pipelines.starter_build.build_vq import psnr
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import FIRST, WIDE, Attributes, Identity, is_held_out_combination
from pipelines.starter_build.export import is_measured
from pipelines.starter_build.measure_context import MeasureContext
from pipelines.starter_build.measure_critic import measure_critic
from pipelines.starter_build.measure_images import attribute_matches, held_out_requests, measure_images, sweep_guidance
from pipelines.starter_build.measure_tokenizer import measure_tokenizer, ssim
from pipelines.starter_build.measure_vision_tower import measure_vision_tower, option_scores, questions_about
from pipelines.starter_build.render_dataset import render_images
from pipelines.starter_build.starter_card import starter_model_card

NELLA = Identity("avataaars", "tanned", "curly", "red", glasses="round")
LOOK = Attributes("sad", "a red hoodie", "on a ship")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory):
    """40 training and 40 held-out drawings of the first domain, 32 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    render_images(folder, 40, px=32, processes=1)
    render_images(folder / "held_out", 40, px=32, held_out=True, processes=1)
    return folder


@pytest.fixture(scope="module")
def context(images, tmp_path_factory: pytest.TempPathFactory) -> MeasureContext:
    """Toys of everything, the classifier trained for two seconds."""
    train_set, held_out = DrawnDataset.load(images, "train"), DrawnDataset.load(images, "held_out")
    out = tmp_path_factory.mktemp("classifier")
    scores = train_classifier(train_set, held_out, out, Budget(2.0), SIZES["toy"])
    assert {"expression_right", "hair_colour_right", "clothes_kind_right", "steps"} <= set(scores)
    assert "extra_right" not in scores  # nobody holds anything in the first domain
    classifier = AttributeClassifier.from_pretrained(out / "model").float().eval()
    model, tokenizer = toy_starter(seed=0)
    return MeasureContext(model.eval(), tokenizer, toy_critic(seed=1), classifier, held_out)


def test_psnr_and_ssim_of_known_pictures() -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    assert psnr(x, x + 0.2).tolist() == pytest.approx([20.0, 20.0], abs=1e-3)  # 10 log10(4 / 0.04)
    assert ssim(x, x).tolist() == pytest.approx([1.0, 1.0])
    assert (ssim(x, torch.rand_like(x) * 2 - 1) < 0.2).all()
    flat, brighter = torch.full((1, 3, 16, 16), -0.5), torch.full((1, 3, 16, 16), 0.5)
    # two flat pictures: only the term of means is left, (2ab + c) / (a^2 + b^2 + c) with c = 0.0004
    assert ssim(flat, brighter).item() == pytest.approx((-0.5 + 0.0004) / (0.5 + 0.0004), abs=1e-4)


def test_attributes_of_a_picture_and_shares() -> None:
    right = expected_answers(NELLA, LOOK)
    assert right == {
        "expression": "sad",
        "hair_colour": "red",
        "clothes_kind": "hoodie",
        "clothes_colour": "red",
        "accessory": "round",
        "place": "on a ship",
        "extra": "",
    }
    assert all(value in ANSWERS[name] for name, value in right.items())
    bare = Identity("critters", "green", "", "red", body="dome")
    assert expected_answers(bare, Attributes("sad", "", "on a ship"))["hair_colour"] is None
    shown = [(NELLA, LOOK), (bare, Attributes("happy", "", "in space"))]
    found = {"expression": ["sad", "sad"], "hair_colour": ["red", "blue"], "clothes_kind": ["", ""], "extra": ["", ""]}
    assert classifier_accuracies(found, shown) == {"expression": 0.5, "hair_colour": 1.0, "clothes_kind": 0.5}
    for domain in (FIRST, WIDE):
        rng = random.Random(0)
        for number in range(200):
            identity = domain.identity(number)
            answers = expected_answers(identity, domain.sample_attributes(rng, identity))
            assert all(value is None or value in ANSWERS[name] for name, value in answers.items())


def test_what_is_asked_was_never_shown() -> None:
    requests = held_out_requests(FIRST, 20)
    assert all(is_held_out_combination(attributes) for _, attributes in requests)
    assert [identity for identity, _ in requests] == [FIRST.identity(20 * place) for place in range(1, 21)]


def test_the_critic_chooses_among_all_the_words() -> None:
    critic = toy_critic(seed=1)
    texts = critic.encode_texts(["sad", "wearing a red hoodie"])
    sight = ImageFeatures(texts[:1], texts[:1])  # a picture that looks exactly like the word
    right = attribute_matches(critic, sight, [(NELLA, LOOK)])
    assert right["expression"] == [True] and set(right) == {"expression", "place", "clothes_kind", "clothes_colour"}
    assert attribute_matches(critic, sight, [(NELLA, Attributes("happy", "", "in space"))])["clothes_kind"] == [None]
    sight = ImageFeatures(texts[1:], texts[1:])
    right = attribute_matches(critic, sight, [(NELLA, LOOK)])
    assert (right["clothes_kind"], right["clothes_colour"]) == ([True], [True])


def test_options_packed_behind_one_picture_score_as_alone(context: MeasureContext) -> None:
    pixels, options = torch.rand(1, 3, 32, 32) * 2 - 1, ["happy", "sad", "in a park"]
    packed = option_scores(context, "How do they look?", options, pixels)
    for option, found in zip(options, packed.tolist(), strict=True):
        row = render(
            (user("How do they look?", "p"), reply(option[:1].upper() + option[1:] + ".")),
            context.model.spec,
            context.tokenizer,
        )
        ids, labels = torch.tensor([row.ids]), torch.tensor([row.labels])
        labels[labels == context.model.spec.eot_id] = -100  # options are compared without the end mark
        with torch.no_grad():
            alone = context.model(input_ids=ids, labels=labels, pixel_values=pixels).logps.sum().item()
        assert found == pytest.approx(alone, abs=1e-4)


def test_questions_have_their_answer_among_the_options() -> None:
    rng = random.Random(0)
    for number in range(0, 400, 20):
        identity = WIDE.identity(number)
        for _, question, answer, *options in questions_about(
            identity, WIDE.sample_attributes(rng, identity), PLACES, rng
        ):
            assert question.endswith("?")
            assert answer in options or answer not in PLACES


def test_every_section_makes_numbers(context: MeasureContext, tmp_path) -> None:
    notes: list[str] = []
    sections = {
        "tokenizer": measure_tokenizer(context, 12, notes),
        "pictures": measure_images(context, 9, 2.0, tmp_path / "sheet.png"),
        "guidance": sweep_guidance(context, 4, (1.0, 2.0)),
        "eyes": measure_vision_tower(context, 2),
        "critic": measure_critic(context, tmp_path / "likeness.png"),
    }
    assert all(np.isfinite(value) for scores in sections.values() for value in scores.values())
    assert {"psnr_person", "ssim_person", "critic_expression_rebuilt", "classifier_expression_real"} <= set(
        sections["tokenizer"]
    )
    expected = {"classifier_hair_colour_drawn", "classifier_hair_colour_real", "critic_place_drawn", "seconds_for_8"}
    assert expected <= set(sections["pictures"])
    assert {"critic_expression_at_1", "critic_expression_at_2"} <= set(sections["guidance"])
    assert {"slot_expression", "answer_place", "answer_yes_or_no", "answers"} <= set(sections["eyes"])
    assert {"caption_among_20", "identity_among_50", "expression_accuracy", "same_above_half"} <= set(
        sections["critic"]
    )
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "likeness.png").exists()


def test_readings_of_real_drawings_are_better_than_chance_after_two_seconds(context: MeasureContext) -> None:
    held = context.held_out
    shown = [(held.identity(row), held.attributes[row]) for row in range(len(held))]
    right = classifier_accuracies(context.classifier.classify(to_pixels(held.pixels)), shown)
    assert right["place"] > 2 / len(PLACES)


def test_the_card_has_every_figure_and_what_was_not_measured(tmp_path) -> None:
    measured = {"pictures": {"critic_expression_drawn": 0.8125}, "notes": ["emoji: none"]}
    (tmp_path / "measured.json").write_text(json.dumps(measured))
    assert is_measured(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"psnr_people": 21.5}))
    build_config(tmp_path, size="gpu")
    page = starter_model_card(tmp_path, {"starter-01.safetensors": 12_500_000}, "a GPU")
    figures = (
        "| critic expression drawn | 0.8125 |",
        "| psnr people | 21.5 |",
        "- emoji: none",
        "12.5 MB",
        "256 px",
        "Noto Emoji",
    )
    assert all(words in page for words in figures)
    assert "Lisa Wischofsky (CC BY 4.0)" in page and "never stored" in page
    build_config(tmp_path, stream=False)
    (tmp_path / "picture.json").write_text(json.dumps({"drawn": 30_000}))
    (tmp_path / "fewshot").mkdir()
    (tmp_path / "fewshot" / "fewshot.json").write_text(json.dumps({"steps 28 rank 16": {"kept_after": 0.75}}))
    page = starter_model_card(tmp_path, {"starter-01.safetensors": 12_500_000}, "a GPU")
    assert "unseen, steps 28 rank 16" in page and "| kept after | 0.75 |" in page and "with 6,000 more" in page
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "eyes.pt").write_bytes(b"later")
    os.utime(tmp_path / "measured.json", (1, 1))
    assert not is_measured(tmp_path)  # a part was trained since
    (tmp_path / "measured.json").write_text(json.dumps({"pictures": 96.0}))
    assert not is_measured(tmp_path)  # from before there were sections
