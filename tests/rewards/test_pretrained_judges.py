"""The four published models as one judge: the real classes at toy size with random weights, CPU against bf16."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    BlipConfig,
    BlipForQuestionAnswering,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
)

from pipelines.core.character.character import Character
from pipelines.data.samples import grpo_prompts
from pipelines.models.hub_weights import MODELS, WeightsMissing
from pipelines.models.toy_tokenizer import EOT_ID, PAD_ID, START_ID, TOY_VOCAB, toy_tokenizer
from pipelines.rewards.pretrained_judges import PretrainedImageFeatures, PretrainedJudges, load_judges, load_tower
from pipelines.rewards.reward_context import RewardContext
from pipelines.rewards.rewards import make_rewards

WEIGHTS = {"image_vqa": 0.3, "caption_match": 0.2, "variety": 0.1, "likeness": 0.2, "reply": 0.1, "semantic_match": 0.1}


def reading_tokenizer():
    """The toy tokenizer with a beginning and an end put around every text, as BERT's and CLIP's do."""
    tokenizer = toy_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", START_ID), ("<|im_end|>", EOT_ID)]
    )
    return tokenizer


def toy_models() -> dict:
    """One model of each class, small, random, livelier than usual so that pictures and texts differ."""
    torch.manual_seed(0)
    text = {
        "vocab_size": TOY_VOCAB,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
    }
    ids = {"pad_token_id": PAD_ID, "bos_token_id": START_ID, "eos_token_id": EOT_ID}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    return {
        "dinov2": Dinov2Model(
            Dinov2Config(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=32,
                patch_size=8,
                mlp_ratio=2,
                initializer_range=0.3,
            )
        ),
        "clip": CLIPModel(CLIPConfig(text_config=text | ids, vision_config=vision, projection_dim=16)),
        "vqa": BlipForQuestionAnswering(
            BlipConfig(
                text_config=text | ids | {"encoder_hidden_size": 32, "is_decoder": True, "sep_token_id": EOT_ID},
                vision_config=vision | {"initializer_range": 0.3},
                projection_dim=16,
            )
        ),
        "minilm": BertModel(BertConfig(**text)),
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as UNDERSTUDY_MODELS names it, with all four in the published layout."""
    home = tmp_path_factory.mktemp("weights")
    for name, model in toy_models().items():
        folder = home / MODELS[name].repository.split("/")[1]
        model.save_pretrained(folder)
        if name != "dinov2":
            reading_tokenizer().save_pretrained(folder)
        if name != "minilm":
            scale = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
            (folder / "preprocessor_config.json").write_text(json.dumps(scale))
    return home


@pytest.fixture
def judges(weights: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainedJudges:
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(weights))
    return load_judges(torch.float32, "cpu")


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def columns(judges: PretrainedJudges, mira: Character) -> dict:
    """Two requests for pictures with three replies each, one of them without its picture."""
    prompts = [prompt for prompt in grpo_prompts(mira, 12, 0) if prompt.wants_image][:2]
    looks = judges.encode_images(pictures(5))
    return {
        "texts": ["Down by the water.", "Never. There is wind.", "", "I keep the light.", "As an AI, no.", "Aye."],
        "scenes": ["Mira, happy, on a beach"] * 5 + [""],
        "image_features": [*(looks[n] for n in range(5)), None],
        "grpo_prompts": [prompt for prompt in prompts for _ in range(3)],
        "finished": [True] * 6,
        "group": [0, 0, 0, 1, 1, 1],
    }


def rewards(judges: PretrainedJudges, mira: Character) -> torch.Tensor:
    """(6, K) with NaN for None."""
    parts, _ = make_rewards(RewardContext.of(mira, judges, pictures(3)), WEIGHTS)
    given = columns(judges, mira)
    rows = [part(**given) for part in parts]
    return torch.tensor([[float("nan") if value is None else value for value in row] for row in rows]).T


def test_images_are_encoded_by_every_tower_to_unit_length(judges: PretrainedJudges) -> None:
    seen = judges.encode_images(pictures(5))
    assert isinstance(seen, PretrainedImageFeatures) and len(seen.vqa_states) == 5
    for part in (seen.caption, seen.identity):
        assert torch.allclose(part.norm(dim=-1), torch.ones(5), atol=1e-5)
    again = PretrainedImageFeatures.stack([judges.encode_images(pictures(5)[n : n + 1])[0] for n in range(5)])
    assert torch.allclose(seen.identity, again.identity, atol=1e-4)  # alone or in a batch
    assert torch.allclose(seen.vqa_states, again.vqa_states, atol=1e-4)


def test_answers_are_scored_by_likelihood_as_the_library_scores_them(judges: PretrainedJudges) -> None:
    seen, options = judges.encode_images(pictures(2)), ["happy", "very sad indeed", "angry"]
    chances = judges.answer_probs(seen, "expression", options, options)
    assert torch.allclose(chances.sum(1), torch.ones(2), atol=1e-5)
    model, losses = judges.vqa.model, []
    for picture in judges.vqa.prepared(pictures(2)):
        for option in options:  # the library's own loss of one answer, one picture at a time
            ids, _ = judges._answers([option])
            question = judges._question("expression")
            with torch.no_grad():
                eyes = model.vision_model(pixel_values=picture[None]).last_hidden_state
                heard = model.text_encoder(**question, encoder_hidden_states=eyes)[0]
                logits = model.text_decoder(input_ids=ids, encoder_hidden_states=heard).logits
            losses.append(-torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]))
    assert torch.allclose(chances, torch.stack(losses).view(2, 3).softmax(-1), atol=1e-4)


def test_every_reward_is_a_share_and_a_missing_picture_is_worth_nothing(
    judges: PretrainedJudges, mira: Character
) -> None:
    found = rewards(judges, mira)
    assert found.shape == (6, 6) and ((found >= 0) & (found <= 1)).all()
    assert found[5, :4].tolist() == [0, 0, 0, 0]  # asked for and not drawn
    assert found[2, 5] == 0  # nothing said
    assert found[:5, 0].unique().numel() > 2 and found[:3, 2].unique().numel() == 3


def test_a_failing_reward_stops(judges: PretrainedJudges, mira: Character) -> None:
    (meaning,), _ = make_rewards(RewardContext.of(mira, judges, pictures(3)), {"semantic_match": 1.0})
    with pytest.raises(AttributeError):
        meaning(texts=["Aye."], grpo_prompts=[None])


def test_captions_and_turns_are_encoded_once(judges: PretrainedJudges) -> None:
    first = judges.encode_texts(["a", "b", "a"])
    assert torch.equal(first[0], first[2])
    before = dict(judges._text_embeddings)
    judges.encode_texts(["b"])
    assert before.keys() == judges._text_embeddings.keys()


def test_bf16_gives_the_rewards_of_fp32_within_a_tolerance(weights: Path, mira: Character, monkeypatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(weights))
    whole, rounded = (rewards(load_judges(dtype, "cpu"), mira) for dtype in (torch.float32, torch.bfloat16))
    assert (whole - rounded).abs().max() < 0.05


@pytest.mark.gpu
def test_a_gpu_gives_the_rewards_of_the_cpu_within_a_tolerance(weights: Path, mira: Character, monkeypatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(weights))
    here, there = (rewards(load_judges(torch.float32, device), mira) for device in ("cpu", "cuda"))
    assert (here - there).abs().max() < 1e-3
    assert (here - rewards(load_judges(torch.bfloat16, "cuda"), mira)).abs().max() < 0.05


def test_a_missing_reward_model_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    toy_models()["clip"].save_pretrained(folder)
    reading_tokenizer().save_pretrained(folder)
    with pytest.raises(WeightsMissing, match=r"clip in .*preprocessor_config.json is missing"):
        load_tower("clip", folder, torch.float32, "cpu")
