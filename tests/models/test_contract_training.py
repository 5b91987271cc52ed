"""The contract where a family is trained, wrapped and saved: one test body for every family at toy size."""

from __future__ import annotations

import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from trl.trainer.utils import add_fused_lm_head

from tests.models.families import FAMILIES, SYSTEM, TALKS, noised, scored, some_codes, some_images


def test_targets_name_linear_modules_and_split_the_model(family):
    model, _ = family
    modules = dict(model.named_modules())
    found = {}
    for pattern in (model.language_targets, model.image_targets):
        found[pattern] = {name for name in modules if re.fullmatch(pattern, name)}
        assert found[pattern] and all(isinstance(modules[name], nn.Linear) for name in found[pattern])
    assert not found[model.language_targets] & found[model.image_targets]
    assert not any("lm_head" in name for names in found.values() for name in names)  # TRL refuses adapters there


def test_training_the_picture_side_leaves_text_bit_equal(fresh):
    model, tokenizer = fresh
    words = tokenizer(SYSTEM + TALKS[0] + "Hello.")["input_ids"]
    picture = [*words, model.spec.boi_id, *some_codes(model, 1)[0]]
    text_before, picture_before = scored(model, words), scored(model, picture)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=model.image_targets))
    optimiser = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=0.02)
    ids = torch.tensor([picture])
    labels = ids.where(ids >= model.spec.text_vocab, -100)
    losses = []
    for _ in range(4):
        images = noised(model, ids)
        loss = adapted(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, **images).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert torch.equal(scored(model, words), text_before)
    after = scored(model, picture)
    assert torch.equal(after[: len(words) + 1], picture_before[: len(words) + 1])  # words before a picture too
    assert not torch.allclose(after[len(words) + 1 :], picture_before[len(words) + 1 :])


def test_training_the_language_side_changes_words_and_pictures(fresh):
    model, tokenizer = fresh
    words = tokenizer(SYSTEM + TALKS[0] + "Hello.")["input_ids"]
    ids = torch.tensor([[*words, model.spec.boi_id, *some_codes(model, 1)[0]]])
    before = scored(model, ids[0].tolist())
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=model.language_targets))
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=0.02)
    for _ in range(2):
        labels = ids.where(ids >= model.spec.text_vocab, -100)
        adapted(input_ids=ids, labels=labels, **noised(model, ids)).loss.backward()
        optimiser.step()
        assert any(p.grad is not None and p.grad.any() for p in weights)  # the picture loss reaches the words' LoRA
        optimiser.zero_grad()
    after = scored(model, ids[0].tolist())
    assert not torch.allclose(after[1 : len(words)], before[1 : len(words)])
    assert not torch.allclose(after[len(words) + 1 :], before[len(words) + 1 :])


def test_arguments_that_would_do_nothing_are_refused(fresh):
    model, tokenizer = fresh
    ids = torch.tensor([tokenizer(SYSTEM)["input_ids"]])
    with pytest.raises(TypeError, match=r"forward does not take images"):
        model(ids, images=some_images(model, 1))
    with pytest.raises(TypeError, match=r"forward does not take fused_lm_head"):
        model(ids, labels=ids, fused_lm_head=True)
    expected = model(ids, labels=ids, use_cache=False, inputs_embeds=None).logps
    assert expected.any()
    add_fused_lm_head(model)  # what TRL's trainers do to every model; it scores words alone
    assert torch.equal(model(input_ids=ids, labels=ids).logps, expected)
    with pytest.raises((RuntimeError, AttributeError)):
        model(input_ids=ids, labels=ids, fused_lm_head=True)


def test_saved_and_loaded_it_is_the_same_model(fresh, tmp_path):
    model, tokenizer = fresh
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert again.spec == model.spec
    words = tokenizer(SYSTEM)["input_ids"]
    ids = [*words, model.spec.boi_id, *some_codes(model, 1)[0]]
    assert torch.equal(scored(again, ids), scored(model, ids))
    pictures = some_images(model, 1)
    assert torch.equal(again.encode_images(pictures), model.encode_images(pictures))
    codes = model.encode_images(pictures)
    assert torch.equal(again.decode_images(codes), model.decode_images(codes))


def test_a_toy_is_the_same_for_the_same_seed_only(fresh):
    model, _ = fresh
    make = next(make for make in FAMILIES.values() if isinstance(make()[0], type(model)))
    one, other = make(seed=0)[0].state_dict(), make(seed=1)[0].state_dict()
    assert all(torch.equal(value, one[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
