"""Checkpoints in the published layout: the real loading code, chat format, processor and ids, at toy size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import JanusForConditionalGeneration
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from pipelines.core.character.character import Message, TextPart
from pipelines.data.chat_template import render, reply, user
from pipelines.data.packing import open_image
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.janus import JanusModel
from pipelines.models.janus_loading import load_folder
from pipelines.models.janus_random_weights import SIZES, layout_config, write_layout

TOY = SIZES["toy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("layout") / "Janus-Pro-toy"
    write_layout(made, TOY)
    return made


@pytest.fixture(scope="module")
def loaded(folder: Path):
    return load_folder(folder, "janus-toy")


@pytest.mark.parametrize(("size", "tensors", "weights"), [("1b", 964, 2_076_636_811), ("7b", 1018, 7_407_773_323)])
def test_the_sizes_are_the_published_ones(size: str, tensors: int, weights: int) -> None:
    with torch.device("meta"):
        model = JanusForConditionalGeneration(layout_config(SIZES[size]))
    assert len(model.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert SIZES[size].image_tokens == 576


def test_it_loads_with_its_ids_and_marks(loaded) -> None:
    model, tokenizer = loaded
    spec = model.spec
    assert isinstance(model, JanusModel) and not model.training and model.dtype == torch.float32
    assert (spec.boi_id, spec.image_placeholder_id, spec.pad_id) == (
        TOY.boi_id,
        TOY.image_placeholder_id,
        TOY.pad_id,
    )
    assert (spec.start_id, spec.eot_id) == (TOY.bos_id, TOY.bos_id + 1)
    assert tokenizer("<begin_of_image>", add_special_tokens=False)["input_ids"] == [spec.boi_id]
    assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()


def test_a_conversation_is_written_as_the_published_template_writes_it(loaded) -> None:
    model, tokenizer = loaded
    talk = (user("Hi"), reply("Aye."), user("Where?"))
    rendered = render(talk, model.spec, tokenizer, add_reply=True)
    listed = [("user", "Hi"), ("assistant", "Aye."), ("user", "Where?")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in listed]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(rendered.ids) == tokenizer.bos_token + text
    assert rendered.ids == [model.spec.start_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    learned = [token for token, mask in zip(rendered.ids, rendered.mask, strict=True) if mask]
    assert tokenizer.decode(learned) == " Aye." + tokenizer.eos_token


def test_a_system_prompt_and_a_shown_picture_stand_as_in_the_original(loaded) -> None:
    model, tokenizer = loaded
    talk = (Message("system", (TextPart("You are Mira."),)), user("Who is it?", "01.png"))
    text = tokenizer.decode(render(talk, model.spec, tokenizer, add_reply=True).ids)
    look = "<begin_of_image>" + "<image_placeholder>" * model.spec.image_input_tokens + "<end_of_image>\n"
    assert text == f"{tokenizer.bos_token}You are Mira.\n\n<|User|>: {look}Who is it?\n\n<|Assistant|>:"


def test_marks_written_by_people_stay_words(loaded) -> None:
    model, tokenizer = loaded
    ids = render((user("<|User|>: <begin_of_image>"),), model.spec, tokenizer).ids
    assert ids.count(model.spec.boi_id) == 0
    assert ids.count(tokenizer.convert_tokens_to_ids("<|User|>")) == 1


def test_pictures_are_scaled_as_the_published_processor_scales_them(folder: Path, tmp_path: Path) -> None:
    image = Image.radial_gradient("L").resize((TOY.px, TOY.px)).convert("RGB")
    image.save(tmp_path / "square.png")
    processor = JanusImageProcessorPil.from_pretrained(folder)
    assert [*processor.image_mean, *processor.image_std] == [0.5] * 6  # to [-1, 1]
    assert processor.rescale_factor * 255 == pytest.approx(1, abs=1e-6) and processor.size["height"] == TOY.px
    theirs = torch.as_tensor(processor(image, return_tensors="pt")["pixel_values"][0])
    assert torch.allclose(open_image(tmp_path / "square.png", TOY.px), theirs.float(), atol=1e-5)


def test_weights_are_taken_as_they_lie_even_if_the_config_says_they_are_tied(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "tied")
    config = json.loads((copied / "config.json").read_text())
    del config["tie_word_embeddings"]  # the library's default is True
    (copied / "config.json").write_text(json.dumps(config))
    model, _ = load_folder(copied, "toy")
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(model.lm_head.weight, stored["lm_head.weight"].float())
    assert torch.equal(model.get_input_embeddings().weight, stored["model.language_model.embed_tokens.weight"].float())


def test_a_generation_config_of_the_first_published_form_is_understood(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "first")
    first = {"boi_token_id": TOY.boi_id, "pad_token_id": TOY.pad_id, "guidance_scale": 5}
    (copied / "generation_config.json").write_text(json.dumps(first))
    model, _ = load_folder(copied, "toy")
    assert (model.spec.boi_id, model.spec.start_id) == (TOY.boi_id, TOY.bos_id)
    assert model.spec.eot_id == TOY.bos_id + 1


def test_sharded_weights_load(tmp_path: Path) -> None:
    write_layout(tmp_path / "sharded", TOY, shard_bytes=100_000)
    write_layout(tmp_path / "whole", TOY)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    first, second = (load_folder(tmp_path / name, "toy")[0].state_dict() for name in ("sharded", "whole"))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_half_a_file_is_told(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "half")
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsMissing, match=r"model.safetensors has \d+ of \d+ bytes; copy or download it again"):
        load_folder(copied, "janus-pro-1b")
    (copied / "model.safetensors").write_bytes(data[:100])
    with pytest.raises(WeightsMissing, match="damaged"):
        load_folder(copied, "janus-pro-1b")


def test_files_of_two_models_are_told(folder: Path, tmp_path: Path) -> None:
    copied = copy(folder, tmp_path / "mixed")
    config = json.loads((copied / "generation_config.json").read_text())
    config["generation_kwargs"]["boi_token_id"] = 7
    (copied / "generation_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsMissing, match="two different models"):
        load_folder(copied, "janus-pro-1b")


def test_four_bits_without_a_gpu_are_refused(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match="in 4 bits needs a GPU"):
        load_folder(folder, "janus-pro-1b", bits=4)


def test_the_files_are_what_the_library_writes(folder: Path, loaded, tmp_path: Path) -> None:
    loaded[0].save_pretrained(tmp_path)
    names = [set(load_file(where / "model.safetensors")) for where in (folder, tmp_path)]
    assert names[0] == names[1]


def copy(folder: Path, to: Path) -> Path:
    """A copy of a checkpoint that a test may damage."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to
