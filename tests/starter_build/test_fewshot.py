"""Ten pictures of somebody, at toy size: made as a user would, learned by the real stage, judged by hand."""

from __future__ import annotations

import torch

from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.packing import open_image
from pipelines.models.starter.model import toy_starter
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import toy_critic
from pipelines.starter_build.drawings.attributes import FIRST, WIDE, is_held_out_combination, is_held_out_identity
from pipelines.starter_build.fewshot import TRAIN_IMAGES, case_scores, measure_setting, sample_cases

RECIPE = Recipe(base="starter-toy", sft_steps=2, sft_save_every=2, sft_row_max_tokens=700, sft_row_max_images=3)


def test_people_are_held_out_and_asked_for_what_they_never_showed(tmp_path) -> None:
    for domain in (FIRST, WIDE):
        cases = sample_cases(domain, count=4, prompts=8)
        assert [len(case.test_attributes) for case in cases] == [2] * 4
        assert all(len(case.train_attributes) == TRAIN_IMAGES for case in cases)
        assert all(is_held_out_combination(attributes) for case in cases for attributes in case.test_attributes)
        assert not any(is_held_out_combination(attributes) for case in cases for attributes in case.train_attributes)
        numbers = [20 * (400 + place) for place in range(4)]
        assert [case.identity for case in cases] == [domain.identity(number) for number in numbers]
        assert all(map(is_held_out_identity, numbers))
    character = cases[0].character(tmp_path)
    attributes = cases[0].train_attributes[0]
    assert character.images[0] == CharacterImage(
        "01.png", attributes.expression, attributes.clothes, attributes.place, attributes.full_pose
    )
    assert character.images[0].description == attributes.description
    assert open_image(tmp_path / "images" / "10.png", 32).shape == (3, 32, 32)


def test_kept_and_followed_are_counted_by_picture() -> None:
    critic, case = toy_critic(seed=1), sample_cases(FIRST, 1, 2)[0]
    critic.config.likeness_threshold = 0.5
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        same = critic.encode_images(pixels[:1])
    copies = case_scores(
        critic, pixels[:1].repeat(2, 1, 1, 1), case, same, ImageFeatures(-same.caption, -same.identity)
    )
    assert copies["kept"] == 1 and copies["copying"] > 0.99
    critic.config.likeness_threshold = 1.01
    assert case_scores(critic, pixels, case, same, same)["kept"] == 0
    assert 0 <= copies["followed_whole"] <= copies["followed"] <= 1


def test_one_setting_learns_draws_and_leaves_the_base_as_it_was(tmp_path) -> None:
    model, tokenizer = toy_starter(seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model, scores = measure_setting(model, tokenizer, toy_critic(seed=1), sample_cases(FIRST, 2, 2), RECIPE, tmp_path)
    assert {"kept_before", "kept_after", "kept_real", "followed_after", "copying_after", "seconds"} <= set(scores)
    assert set(before) == set(model.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    _, again = measure_setting(model, tokenizer, toy_critic(seed=1), sample_cases(FIRST, 2, 2), RECIPE, tmp_path)
    assert again == {name: value for name, value in scores.items() if name != "seconds"}  # drawn again, not learned
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "00" / "checkpoints" / "sft-000002").is_dir()
