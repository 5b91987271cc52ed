"""Replies of the model as it stands, and the sample sheet, at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.data.chat_template import image_turn, subject_of, user, words_ids
from pipelines.data.packing import open_image
from pipelines.data.reply_form import LOOK_TOKENS, ImageMode
from pipelines.inference.generate import GeneratedText, GenerationRequest, generate_replies, generate_texts
from pipelines.inference.generate_images import caption_prompt, contact_sheet, to_image
from pipelines.inference.streaming import Reply, ReplyPart, TextPiece
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from tests.toys import TOY_BASE, toy

SHORT = Sampling(max_new_tokens=24)


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
    assert heard == list(range(1, SHORT.max_new_tokens + 1))
    assert [part.text for part in parts if isinstance(part, TextPiece)] == list(reply.text)
    assert 0 < reply.first_text_s < reply.seconds


def test_no_picture_unless_wanted(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    [reply] = generate_replies(
        model, tokenizer, [GenerationRequest(toy()[0], (user("Aye?"),), picture="never")], sampling=SHORT
    )
    assert reply.picture is None and reply.text


def test_a_reply_is_continued_where_it_ends(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    heard: list[ReplyPart] = []
    request = GenerationRequest(toy()[0], (user("Aye?"),), seed=3, picture="never", begun="Aye, the bell. And ")
    [reply] = generate_replies(model, tokenizer, [request], sampling=SHORT, on_part=heard.append)
    assert reply.text.startswith("Aye, the bell. And") and len(reply.text) > len("Aye, the bell. And")
    pieces = [part.text for part in heard if isinstance(part, TextPiece)]
    assert pieces[0] == "Aye, the bell. And" and reply.picture is None
    with pytest.raises(ValueError, match="alone"):
        generate_replies(model, tokenizer, [request, request], sampling=SHORT)


def say(model: Any, said: list[int]) -> Any:
    """A hook that makes the model say these ids, one after the other, as far as they may be sampled."""
    coming = iter(said)

    def say_next(head: Any, given: Any, made: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(made, -1e9)
        forced[..., next(coming)] = 0.0
        return forced

    return model.language.lm_head.register_forward_hook(say_next)


def ask(speaker: tuple[Any, Any], said: list[int], picture: ImageMode = "auto", limit: int = 90) -> GeneratedText:
    model, tokenizer = speaker
    hook = say(model, said)
    try:
        request = GenerationRequest(toy()[0], (user("Aye?"),), picture=picture)
        [written] = generate_texts(model, tokenizer, [request], Sampling(max_new_tokens=limit))
    finally:
        hook.remove()
    return written


def test_an_announced_image_is_drawn_from_its_own_turn(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    spec = model.spec
    look = tokenizer(" happy, on a beach")["input_ids"]
    said = [*words_ids("Aye, look.", True, spec, tokenizer), spec.eot_id, *look, spec.boi_id]
    for picture in ("auto", "always"):
        written = ask(speaker, said, picture)
        assert (written.text, written.scene) == ("Aye, look.", "Ada, happy, on a beach")
        subject = subject_of(toy()[0], tokenizer)
        assert written.image_prompt == image_turn(subject, "happy, on a beach", spec, tokenizer)
        assert tokenizer.decode(written.image_prompt) == (
            "<|im_start|>assistant\n[scene] Ada, Round face, happy, on a beach<|boi|>"
        )
    # The mark may not be written where no image is wanted, and the model is forced to something else.
    silent = ask(speaker, said, "never")
    assert silent.image_prompt is None and silent.scene == ""


def test_without_the_mark_there_is_no_image(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    written = ask(speaker, [*words_ids("Aye, look.", False, model.spec, tokenizer), model.spec.eot_id])
    assert (written.text, written.scene, written.image_prompt) == ("Aye, look.", "", None)


def test_half_sentences_and_half_looks_at_the_limit_are_left_out(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    words = words_ids("Aye. And then I saw the sea and all the ships that were", True, model.spec, tokenizer)
    look = tokenizer(" happy, on a beach that has no end")["input_ids"]
    written = ask(speaker, [*words[:50], *look[:LOOK_TOKENS]], limit=50)
    assert (written.text, written.scene) == ("Aye.", "Ada, happy")


def test_the_prompt_of_a_caption_is_the_turn_of_a_reply_with_that_look(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, _ = toy()
    ids = caption_prompt(model, tokenizer, character, "happy, on a beach")
    assert ids == image_turn(subject_of(character, tokenizer), "happy, on a beach", model.spec, tokenizer)


def test_references_change_the_image_of_their_own_reply_only() -> None:
    model, tokenizer = load(TOY_BASE)
    with torch.no_grad():  # as it comes, the toy hardly looks at anything
        for name, weight in model.picture.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                weight.mul_(7)
    codes = [[(7 * n + k) % model.spec.codebook for n in range(model.spec.image_tokens)] for k in range(2)]
    requests = [GenerationRequest(toy()[0], (user("Aye?"),), seed=3, picture="always")] * 2
    settings: dict[str, Any] = {"sampling": SHORT}
    plain = generate_replies(model, tokenizer, requests, **settings)
    mixed = generate_replies(model, tokenizer, requests, references=[(), codes], **settings)
    assert [reply.text for reply in mixed] == [reply.text for reply in plain]
    assert same_image(mixed[0], plain[0]) and not same_image(mixed[1], plain[1])


def same_image(one: Reply, other: Reply) -> bool:
    assert one.picture is not None and other.picture is not None
    return one.picture.tobytes() == other.picture.tobytes()


def test_pixels_to_image_and_back(tmp_path: Path) -> None:
    pixels = torch.rand(3, 32, 32) * 2 - 1
    to_image(pixels).save(tmp_path / "a.png")
    assert (open_image(tmp_path / "a.png", 32) - pixels).abs().max() <= 1 / 127.5


def test_contact_sheet_has_a_place_for_each() -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    sheet = contact_sheet(images, ["one", "two, a label much longer than the picture is wide", "three"], columns=2)
    assert sheet.size == (2 * 40 + 8, 2 * 54 + 8)
    assert [sheet.getpixel(at) for at in ((20, 20), (60, 20), (20, 74))] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
