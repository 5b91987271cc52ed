"""Replies of the model as it stands, and the sample sheet, at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.data.chat_template import reply_ids, user
from pipelines.data.packing import open_image
from pipelines.inference.generate import (
    GenerationRequest,
    caption_prompt,
    contact_sheet,
    generate_replies,
    generate_texts,
    to_image,
)
from pipelines.inference.streaming import ReplyPart, TextPiece
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from tests.toys import TOY_BASE, toy

SHORT = Sampling(max_new_tokens=12)


@pytest.fixture(scope="module")
def speaker() -> tuple[Any, Any]:
    model, tokenizer = load(TOY_BASE)
    return model.eval(), tokenizer


def test_reply_with_picture(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, _ = toy()
    heard: list[ReplyPart] = []
    requests = [GenerationRequest(character, (user("Aye?"),), seed=seed, picture="always") for seed in (3, 3, 4)]
    first, same, other = generate_replies(model, tokenizer, requests, sampling=SHORT, on_part=heard.append)
    assert first.picture is not None and first.picture.size == (model.spec.image_px,) * 2
    assert first.scene.startswith("Ada")
    assert 0 < first.first_text_s < first.seconds
    for side, reply in enumerate((first, same, other)):
        assert "".join(part.text for part in heard if isinstance(part, TextPiece) and part.side == side) == reply.text
    assert (first.text, first.scene) == (same.text, same.scene)
    assert same.picture is not None and first.picture.tobytes() == same.picture.tobytes()
    assert (first.text, first.scene) != (other.text, other.scene)


def test_the_first_text_is_heard_before_the_second_is_sampled(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    letters = torch.zeros(model.spec.text_vocab, dtype=torch.bool)
    letters[tokenizer("abcdefgh")["input_ids"]] = True  # else the toy says bytes, most of which are no characters
    hook = model.language.lm_head.register_forward_hook(lambda head, given, made: made.masked_fill(~letters, -1e9))
    parts: list[ReplyPart] = []
    heard: list[int] = []
    try:
        [reply] = generate_replies(
            model,
            tokenizer,
            [GenerationRequest(toy()[0], (user("Aye?"),), picture="never")],
            sampling=SHORT,
            on_part=parts.append,
            on_step=lambda: heard.append(len(parts)),
        )
    finally:
        hook.remove()
    assert heard == list(range(1, 13))
    assert [part.text for part in parts if isinstance(part, TextPiece)] == list(reply.text)
    assert 0 < reply.first_text_s < reply.seconds


def test_no_picture_unless_wanted(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    [reply] = generate_replies(
        model, tokenizer, [GenerationRequest(toy()[0], (user("Aye?"),), picture="never")], sampling=SHORT
    )
    assert reply.picture is None and reply.text


def test_a_scene_line_is_drawn_even_if_the_reply_was_closed_after_it(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    said = [*reply_ids("Aye.", "Ada, happy", model.spec, tokenizer), model.spec.eot_id]
    coming = iter(said)

    def say_next(head: Any, given: Any, made: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(made, -1e9)
        forced[..., next(coming)] = 0.0
        return forced

    hook = model.language.lm_head.register_forward_hook(say_next)
    try:
        [written] = generate_texts(
            model, tokenizer, [GenerationRequest(toy()[0], (user("Aye?"),))], Sampling(max_new_tokens=60)
        )
    finally:
        hook.remove()
    assert (written.text, written.scene) == ("Aye.", "Ada, happy")
    assert written.image_prompt is not None
    assert written.image_prompt[-len(said) :] == [*said[:-1], model.spec.boi_id]


def test_picture_prompts_are_what_training_writes(speaker: tuple[Any, Any]) -> None:
    """The prompt of a picture ends in words, scene line and begin-of-image id, in training's wording."""
    model, tokenizer = speaker
    character, _ = toy()
    [written] = generate_texts(
        model, tokenizer, [GenerationRequest(character, (user("Aye?"),), picture="always")], SHORT
    )
    assert written.image_prompt is not None and written.image_prompt[-1] == model.spec.boi_id
    body = tokenizer.decode(written.image_prompt[:-1]).split("<|im_start|>assistant\n")[-1]
    assert "[scene] Ada" in body and "<|im_end|>" not in body
    ids = caption_prompt(model, tokenizer, character, "happy, on a beach")
    text = tokenizer.decode(ids[:-1])
    assert ids[-1] == model.spec.boi_id
    asked, answered = text.split("<|im_start|>")[-2:]
    assert asked == "user\nDraw yourself: happy, on a beach.<|im_end|>\n"
    assert answered == "assistant\n[scene] Ada, happy, on a beach"


def test_pixels_to_image_and_back(tmp_path: Path) -> None:
    pixels = torch.rand(3, 32, 32) * 2 - 1
    to_image(pixels).save(tmp_path / "a.png")
    assert (open_image(tmp_path / "a.png", 32) - pixels).abs().max() <= 1 / 127.5


def test_contact_sheet_has_a_place_for_each() -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    sheet = contact_sheet(images, ["one", "two, a label much longer than the picture is wide", "three"], columns=2)
    assert sheet.size == (2 * 40 + 8, 2 * 54 + 8)
    assert [sheet.getpixel(at) for at in ((20, 20), (60, 20), (20, 74))] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
