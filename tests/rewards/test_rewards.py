"""Rewards: every part in range and documented, the pure arithmetic by hand, failures that stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import REWARD_PARTS
from pipelines.data.chat_template import reply, user
from pipelines.data.samples import GrpoPrompt
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.reward_context import RewardContext
from pipelines.rewards.rewards import (
    REPLY_PARTS,
    REWARDS,
    SILENT_REPLY_SCORE,
    band,
    band_score,
    leave_one_out_distance,
    make_rewards,
    scene_named,
)
from pipelines.rewards.starter_critic import StarterCritic, toy_critic
from pipelines.rewards.style import StyleStats, ending

DOCS = Path(__file__).parents[2] / "docs" / "rewards.md"

WISH = GrpoPrompt(
    messages=(user("Show me a picture of you: sad, wearing a red scarf, in the snow."),),
    wants_image=True,
    expression="sad",
    clothes="a red scarf",
    place="in the snow",
    options={
        "expression": ("happy", "sad"),
        "clothes": ("a blue cape", "a red scarf"),
        "place": ("in the snow", "on a beach"),
    },
)
TALK = GrpoPrompt(messages=(user("Do you keep the light?"),), wants_image=False)


@pytest.fixture
def critic() -> StarterCritic:
    return toy_critic(0)


@pytest.fixture
def context(mira: Character, critic: StarterCritic) -> RewardContext:
    torch.manual_seed(1)
    return RewardContext.of(mira, critic, torch.rand(3, 3, 32, 32) * 2 - 1)


@pytest.fixture
def columns(critic: StarterCritic) -> dict[str, list]:
    """Two groups of three: a wish (one sample drew nothing) and talk."""
    torch.manual_seed(2)
    with torch.no_grad():
        seen = critic.encode_images(torch.rand(2, 3, 32, 32) * 2 - 1)
    said = ["I keep the light.", "There is wind.", ""]
    return {
        "prompts": ["0"] * 3 + ["1"] * 3,
        "completions": said * 2,
        "texts": said * 2,
        "scenes": ["Mira, sad, in the snow", "Mira, happy", "", "", "", ""],
        "image_features": [seen[0], seen[1], None, None, None, None],
        "grpo_prompts": [WISH] * 3 + [TALK] * 3,
        "finished": [True, True, False] * 2,
        "group": [0] * 3 + [1] * 3,
    }


@pytest.mark.parametrize("name", list(REWARDS))
def test_every_reward_is_in_range_and_documented(name: str, context: RewardContext, columns: dict[str, list]) -> None:
    values = REWARDS[name](context)(**columns)
    assert len(values) == 6
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")
    if name == "semantic_match":
        assert values == [None] * 6, (
            "the starter's critic compares no texts (test_pretrained_judges.py has one that does)"
        )
        return
    assert all(isinstance(value, float) and 0.0 <= value <= 1.0 for value in values[:3])
    if name == "reply":
        assert all(isinstance(value, float) for value in values[3:])
    else:
        assert values[3:] == [None] * 3, "no picture was asked for or drawn, so this part does not apply"
        assert values[2] == 0.0, "a picture was asked for and none drawn"


def test_reward_names_are_the_functions_names_and_unknown_names_are_refused(context: RewardContext) -> None:
    functions, weights = make_rewards(context, {"reply": 0.5, "variety": 0.0, "likeness": 0.25})
    assert [function.__name__ for function in functions] == ["reply", "likeness"]
    assert weights == [0.5, 0.25]
    with pytest.raises(ValueError, match="politeness is not one of"):
        make_rewards(context, {"politeness": 1.0})
    with pytest.raises(ValueError, match="every weight is 0"):
        make_rewards(context, {"reply": 0.0})


def test_variety_is_leave_one_out_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    group = torch.tensor([0, 0, 0, 1, 2])
    # Group 0: distances 0-1: 0, 0-2: 1, 1-2: 1. The others are alone.
    assert leave_one_out_distance(features, group).tolist() == pytest.approx([0.5, 0.5, 1.0, 0.0, 0.0])


def test_variety_differs_inside_a_group(context: RewardContext, columns: dict[str, list]) -> None:
    features = columns["image_features"]
    same = [features[0], features[0], features[1]]
    values = REWARDS["variety"](context)(image_features=same, group=[0, 0, 0], grpo_prompts=[WISH] * 3)
    assert values[2] > values[0] == pytest.approx(values[1]), "the odd one out earns more: it is not one shared number"


def test_likeness_band_by_hand() -> None:
    own = torch.tensor([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]])  # means without self: 0.7, 0.75, 0.65
    low, high = band(own, own)
    assert (low, high) == (pytest.approx(0.7), pytest.approx(0.8))
    alike = torch.tensor([0.0, 0.35, 0.7, 0.9, 0.9, 0.9])
    nearest = torch.tensor([0.1, 0.5, 0.8, 0.8, 0.9, 1.0])
    assert band_score(alike, nearest, low, high).tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.5, 0.0], abs=1e-6)
    assert band(torch.ones(1, 1), torch.ones(1, 1)) == (0.5, 0.98)


def test_a_copied_training_picture_loses_its_likeness(context: RewardContext) -> None:
    copy = context.references[0]
    [value] = REWARDS["likeness"](context)(image_features=[copy], grpo_prompts=[WISH])
    assert value == pytest.approx(0.0, abs=1e-5)


def test_image_vqa_chooses_among_the_prompts_options_only(context: RewardContext, columns: dict[str, list]) -> None:
    score = REWARDS["image_vqa"](context)
    features = columns["image_features"][0]
    [alone] = score(image_features=[features], grpo_prompts=[WISH])
    other = replace(WISH, options={field: (*options, "xyz") for field, options in WISH.options.items()})
    first, _ = score(image_features=[features, features], grpo_prompts=[WISH, other])
    assert first == pytest.approx(alone, abs=1e-6)
    expected = []
    for options, right in (
        (["happy", "sad"], 1),
        (["wearing a blue cape", "wearing a red scarf"], 1),
        (["in the snow", "on a beach"], 0),
    ):
        row = ImageFeatures(features.caption[None], features.identity[None])
        expected.append(context.judge.caption_probs(row, options)[0, right].item())
    assert alone == pytest.approx(sum(expected) / 3, abs=1e-5)


def test_scene_names_what_was_asked() -> None:
    assert scene_named("Mira, sad, wearing a red scarf, in the snow", WISH) == 1.0
    assert scene_named("Mira, sad, wearing a blue scarf", WISH) == pytest.approx((1 + 0.5 + 0) / 3)
    assert scene_named("", WISH) == 0.0


def test_a_failing_reward_stops(context: RewardContext, columns: dict[str, list]) -> None:
    broken = {**columns, "grpo_prompts": [None] * 6}
    for name in set(REWARDS) - {"semantic_match"}:
        with pytest.raises((AttributeError, TypeError)):
            REWARDS[name](context)(**broken)
    folder = Path(__file__).parents[2] / "pipelines" / "rewards"
    for file in ("rewards.py", "semantic.py", "style.py"):
        assert "except" not in (folder / file).read_text(encoding="utf-8")


def test_a_picture_alone_is_neither_praised_nor_blamed_for_its_silence(
    context: RewardContext, columns: dict[str, list]
) -> None:
    silent = {**columns, "texts": ["", "", "", *columns["texts"][3:]]}
    alone, unnamed, nothing, *_ = REWARDS["reply"](context)(**silent)
    assert alone == pytest.approx(0.9 * SILENT_REPLY_SCORE + 0.1 * scene_named(columns["scenes"][0], WISH))
    assert alone is not None and unnamed is not None
    assert alone > unnamed > 0.9 * SILENT_REPLY_SCORE - 1e-6, "its scene line counts"
    assert nothing is not None and nothing < 0.2, "no words and no picture is no reply"


@pytest.fixture
def pirate() -> Character:
    lines = [
        ("What do you eat?", "Arr, salted beef and hard tack, matey, washed down with grog."),
        ("Do you like rain?", "Arr, the rain be a sailor's bath, matey. It falls and we sing."),
        ("Where is your ship?", "Moored by the black rocks, matey, where no king's man dares to sail."),
        ("Who taught you?", "Me old captain, arr, a hard man with a soft heart for parrots."),
        ("Can you dance?", "Aye, a hornpipe on the deck, matey, when the grog be flowing."),
        ("Tell me of gold.", "Arr, gold be heavy, matey, and heavier still on the heart."),
    ]
    talks = tuple((user(question), reply(answer)) for question, answer in lines)
    return Character("Jack", "A pirate.", interactions=talks)


def test_voice_tells_its_own_style_from_others(pirate: Character) -> None:
    voice = StyleStats.of(pirate)
    own = voice.style("Arr, the sea be cold, matey, and the grog be warm.")
    plain = voice.style("The ocean has a low temperature, and I like a hot drink.")
    assert own > 0.7 > 0.4 > plain
    assert voice.style("qzx wvk jjj qqq") < 0.1
    assert voice.style("") == 0.0


def test_voice_parts(pirate: Character) -> None:
    voice = StyleStats.of(pirate)
    good = "Arr, I sail at dawn, matey, when the rain be gone."
    assert voice.length(good) == 1.0
    assert voice.length("Arr.") < 0.2
    assert voice.length("arr " * 60) == 0.0
    assert voice.answer("Do you like the rain?", good) == 1.0
    assert voice.answer("Do you like the rain?", "Why? What for?") == 0.0
    assert voice.answer("Do you like the rain?", "Do you like the rain?") == 0.0, "an echo is no answer"
    assert voice.non_repetition(good) == 1.0
    assert voice.non_repetition("we sail away we sail away we sail away") < 0.6
    assert voice.non_repetition("Arr, gold be heavy, matey, and heavier still on the heart.") == 0.0, (
        "a training turn, verbatim"
    )
    assert voice.no_assistant_markup("As an AI language model I cannot sail.") == 0.0
    assert voice.no_assistant_markup("Aye.\nUser: what?") == 0.0
    assert voice.no_assistant_markup(good) == 1.0
    assert ending(good, True) == 1.0
    assert ending("and then", False) == 0.0


def test_a_phrase_of_the_characters_own_is_not_assistant_speak(pirate: Character) -> None:
    butler = replace(pirate, greeting="How may I help you, madam?")
    assert StyleStats.of(butler).no_assistant_markup("How may I help you today?") == 1.0
    assert StyleStats.of(pirate).no_assistant_markup("How may I help you today?") == 0.0


def test_a_character_that_never_speaks_is_refused_in_the_creators_words() -> None:
    with pytest.raises(ValueError, match="interactions: the character never speaks"):
        StyleStats.of(Character("Mute", "Says nothing."))


def test_reply_logs_its_parts_and_shares_the_scenes_weight(context: RewardContext, columns: dict[str, list]) -> None:
    logged: list[tuple[str, float]] = []
    values = REWARDS["reply"](context)(**columns, log_metric=lambda name, value: logged.append((name, value)))
    assert {name for name, _ in logged} == {f"reply/{part}" for part in REPLY_PARTS}
    assert sum(name == "reply/scene" for name, _ in logged) == 3, "only where a picture was asked for"
    assert values[0] > values[2], "words beat silence"
    json.dumps(values)


def test_a_recipe_knows_every_reward() -> None:
    assert set(REWARDS) == set(REWARD_PARTS)


def test_length_echo_and_repetition_count_in_scripts_without_spaces() -> None:
    lines = [
        ("この時計はどうして止まりましたか。", "ばねが眠くなったのです。"),
        ("雨の日も店は開いていますか。", "雨の日こそ時計は嘘をつきます。"),
        ("鍵を集めるのはなぜですか。", "開かない扉が多すぎるからです。"),
    ]
    talks = tuple((user(asked), reply(said)) for asked, said in lines)
    voice = StyleStats.of(Character("ミラ", "時計屋。", interactions=talks))
    assert voice.length("ばねが疲れたのでしょうね。") == 1.0 and voice.length("ばね" * 60) == 0.0
    assert voice.answer(lines[0][0], lines[0][0]) == 0.0, "an echo is no answer"
    assert voice.non_repetition("ばねが少し疲れたのでしょうね。") > 0.6
    assert voice.non_repetition("開かない扉が多すぎるからです。") == 0.0
    assert voice.non_repetition("時計は嘘をつく、時計は嘘をつく、時計は嘘をつく。") < 0.7
