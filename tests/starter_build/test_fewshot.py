"""Nine pictures of somebody, at toy size: made as a user would, learned by the real stage, judged by hand."""

from __future__ import annotations

import torch

from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.packing import open_image
from pipelines.models.starter.model import toy_starter
from pipelines.rewards.starter_critic import ImageFeatures, toy_critic
from pipelines.starter_build.drawings.attributes import FIRST, WIDE, are_held_out, is_held_out_identity
from pipelines.starter_build.fewshot import PICTURES, judged, measure_setting, people

RECIPE = Recipe(base="starter-toy", sft_steps=2, sft_save_every=2, sft_row_max_tokens=700, sft_row_max_images=3)


def test_people_are_held_out_and_asked_for_what_they_never_showed(tmp_path) -> None:
    for domain in (FIRST, WIDE):
        crowd = people(domain, count=4, prompts=8)
        assert [len(someone.asked) for someone in crowd] == [2] * 4
        assert all(len(someone.learned) == PICTURES for someone in crowd)
        assert all(are_held_out(look) for someone in crowd for look in someone.asked)
        assert not any(are_held_out(look) for someone in crowd for look in someone.learned)
        numbers = [20 * (400 + place) for place in range(4)]
        assert [someone.identity for someone in crowd] == [domain.identity(number) for number in numbers]
        assert all(map(is_held_out_identity, numbers))
    character = crowd[0].character(tmp_path)
    look = crowd[0].learned[0]
    assert character.images[0] == CharacterImage("01.png", look.expression, look.clothes, look.place, look.full_pose)
    assert character.images[0].description == look.description
    assert open_image(tmp_path / "images" / "09.png", 32).shape == (3, 32, 32)


def test_kept_and_followed_are_counted_by_picture() -> None:
    critic, someone = toy_critic(seed=1), people(FIRST, 1, 2)[0]
    critic.config.likeness_threshold = 0.5
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        same = critic.look(pixels[:1])
    copies = judged(critic, pixels[:1].repeat(2, 1, 1, 1), someone, same, ImageFeatures(-same.caption, -same.identity))
    assert copies["kept"] == 1 and copies["copying"] > 0.99
    critic.config.likeness_threshold = 1.01
    assert judged(critic, pixels, someone, same, same)["kept"] == 0
    assert 0 <= copies["followed_whole"] <= copies["followed"] <= 1


def test_one_setting_learns_draws_and_leaves_the_base_as_it_was(tmp_path) -> None:
    model, tokenizer = toy_starter(seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model, scores = measure_setting(model, tokenizer, toy_critic(seed=1), people(FIRST, 2, 2), RECIPE, tmp_path)
    assert {"kept_before", "kept_after", "kept_real", "followed_after", "copying_after", "seconds"} <= set(scores)
    assert set(before) == set(model.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    _, again = measure_setting(model, tokenizer, toy_critic(seed=1), people(FIRST, 2, 2), RECIPE, tmp_path)
    assert again == {name: value for name, value in scores.items() if name != "seconds"}  # drawn again, not learned
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "00" / "checkpoints" / "sft-000002").is_dir()
