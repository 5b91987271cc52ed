"""The chat and the sample sheet at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.core.runs import RunError
from pipelines.models import load
from pipelines.packing import open_picture
from pipelines.preview import (
    Place,
    Sampling,
    Speakers,
    caption_prompt,
    contact_sheet,
    find_checkpoint,
    load_speakers,
    reply,
    to_image,
    write_replies,
)
from pipelines.render import user
from tests.toys import TOY_BASE, toy

SHORT = Sampling(reply_tokens=12)


@pytest.fixture(scope="module")
def speaker() -> tuple[Any, Any]:
    model, tokenizer = load(TOY_BASE)
    return model.eval(), tokenizer


def test_reply_with_picture(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    character, _ = toy()
    heard: list[str] = []
    answers = [
        reply(
            model,
            tokenizer,
            character,
            (user("Aye?"),),
            picture="always",
            seed=seed,
            sampling=SHORT,
            on_text=heard.append,
        )
        for seed in (3, 3, 4)
    ]
    first, same, other = answers
    assert first.picture is not None and first.picture.size == (model.shape.picture_px,) * 2
    assert first.scene.startswith("Ada")
    assert 0 < first.first_text_s < first.seconds
    assert heard == [answer.text for answer in answers]
    assert (first.text, first.scene) == (same.text, same.scene)
    assert same.picture is not None and first.picture.tobytes() == same.picture.tobytes()
    assert (first.text, first.scene) != (other.text, other.scene)


def test_no_picture_unless_wanted(speaker: tuple[Any, Any]) -> None:
    model, tokenizer = speaker
    answer = reply(model, tokenizer, toy()[0], (user("Aye?"),), picture="never", sampling=SHORT)
    assert answer.picture is None and answer.text


def test_picture_prompts_are_what_training_writes(speaker: tuple[Any, Any]) -> None:
    """The prompt of a picture ends in words, scene line and begin-of-image id, in training's wording."""
    model, tokenizer = speaker
    character, _ = toy()
    [written] = write_replies(model, tokenizer, character, [(user("Aye?"),)], SHORT, picture="always")
    assert written.picture_prompt is not None and written.picture_prompt[-1] == model.shape.boi_id
    body = tokenizer.decode(written.picture_prompt[:-1]).split("<|im_start|>assistant\n")[-1]
    assert "[scene] Ada" in body and "<|im_end|>" not in body
    ids = caption_prompt(model, tokenizer, character, "happy, on a beach")
    text = tokenizer.decode(ids[:-1])
    assert ids[-1] == model.shape.boi_id
    asked, answered = text.split("<|im_start|>")[-2:]
    assert asked == "user\nDraw yourself: happy, on a beach.<|im_end|>\n"
    assert answered == "assistant\n[scene] Ada, happy, on a beach"


def test_adapters_of_two_checkpoints_on_one_base(toy_run: Path, speaker: tuple[Any, Any]) -> None:
    """Each name answers with its own weights; "base" is the untouched model, also after switching."""
    model, _ = speaker
    ids = torch.arange(5, 25)[None]
    labels = ids.clone()
    labels[:, 0] = -100

    def loss(of: Any) -> float:
        with torch.inference_mode():
            return float(of(input_ids=ids, labels=labels).loss)

    places = [Place(toy_run, "sft-000004"), Place(toy_run, "sft-000002"), Place(toy_run, "base")]
    seats = load_speakers(places)
    assert len({id(speakers) for speakers, _ in seats}) == 1
    found = []
    for speakers, name in [*seats, seats[0]]:
        with speakers.using(name) as switched:
            found.append(loss(switched))
    assert found[0] == found[3] and len(set(found)) == 3
    assert found[2] == loss(model)
    assert seats[0][0].character_of(toy_run).name == "Ada"
    with pytest.raises(KeyError), seats[0][0].using("nobody"):
        pass


def test_dropping_adapters_leaves_the_base(toy_run: Path, speaker: tuple[Any, Any]) -> None:
    speakers = Speakers(TOY_BASE)
    for name in ("sft-000002", "sft-000004", "sft-000004"):  # the second one twice: replaced, not stacked
        speakers.add(name, toy_run / "checkpoints" / name)
    speakers.drop("sft-000002")
    speakers.drop("sft-000004")
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode(), speakers.using("base") as model:
        assert torch.equal(model(input_ids=ids, labels=ids).logps, speaker[0](input_ids=ids, labels=ids).logps)
    assert not any("lora" in name for name in speakers.model.state_dict())


def test_find_checkpoint(toy_run: Path, tmp_path: Path) -> None:
    assert find_checkpoint(f"{toy_run}:sft-000002") == Place(toy_run, "sft-000002")
    assert find_checkpoint(f"{toy_run}:base").adapter is None
    best = find_checkpoint(str(toy_run))
    assert best.adapter is not None and best.adapter.is_dir()
    with pytest.raises(RunError, match="it has base, sft-000002"):
        find_checkpoint(f"{toy_run}:sft-000009")
    with pytest.raises(RunError, match=r"no run\.json"):
        find_checkpoint(str(tmp_path))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="no checkpoint yet"):
        find_checkpoint(str(tmp_path))


def test_pixels_to_image_and_back(tmp_path: Path) -> None:
    pixels = torch.rand(3, 32, 32) * 2 - 1
    to_image(pixels).save(tmp_path / "a.png")
    assert (open_picture(tmp_path / "a.png", 32) - pixels).abs().max() <= 1 / 127.5


def test_contact_sheet_has_a_place_for_each() -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    sheet = contact_sheet(images, ["one", "two, a label much longer than the picture is wide", "three"], columns=2)
    assert sheet.size == (2 * 40 + 8, 2 * 54 + 8)
    assert [sheet.getpixel(at) for at in ((20, 20), (60, 20), (20, 74))] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
