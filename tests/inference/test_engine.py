"""Checkpoints side by side on one base model: adapters, replies in one batch, what is told while they are made."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.core.run_folder import RunError, scale_adapter
from pipelines.data.chat_template import reply as said
from pipelines.data.chat_template import user
from pipelines.inference.engine import CheckpointRef, InferenceEngine, find_checkpoint, load_engine
from pipelines.inference.generate import GenerationRequest
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart, SceneReady, TextPiece
from pipelines.models.decoding.multi_lora import AdapterError
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from tests.toys import TOY_BASE, toy

SHORT = Sampling(max_new_tokens=24)
NAMES = ("sft-000002", "sft-000004")


@pytest.fixture(scope="module")
def engine(toy_run: Path) -> InferenceEngine:
    """The toy run's two first checkpoints on one base model."""
    made = InferenceEngine(TOY_BASE)
    for name in NAMES:
        made.prepare(name, toy_run / "checkpoints" / name)
    return made


def scored(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        return model(input_ids=ids, labels=ids).logps


def answers(parts: list[ReplyPart]) -> list[Reply]:
    """The whole replies, in order of their sides."""
    whole = {part.side: part.reply for part in parts if isinstance(part, ReplyDone)}
    return [whole[side] for side in sorted(whole)]


def pixels(image: Image.Image | None) -> bytes:
    assert image is not None
    return image.tobytes()


def test_each_name_is_its_own_weights_and_base_is_untouched(toy_run: Path, engine: InferenceEngine) -> None:
    from peft import PeftModel

    plain = load(TOY_BASE)[0].eval()
    expected = [scored(plain)]
    for name in NAMES:
        wrapped = PeftModel.from_pretrained(plain, str(toy_run / "checkpoints" / name))
        expected.append(scored(plain))
        wrapped.unload()
    for name, logps in zip(("base", *NAMES, "base"), (*expected, expected[0]), strict=True):
        with engine.using(name) as model:
            assert torch.equal(scored(model), logps) if name == "base" else torch.allclose(scored(model), logps)
    assert not torch.allclose(expected[1], expected[2])
    assert engine.names() == ["base", *NAMES] and set(engine.loaded()) == set(NAMES)
    assert not any("lora" in name for name in engine.model.state_dict())
    with pytest.raises(KeyError, match="nobody"), engine.using("nobody"):
        pass


def test_strength_is_what_an_adapter_of_scaled_alpha_says(
    toy_run: Path, engine: InferenceEngine, tmp_path: Path
) -> None:
    """Half of what was learned, in a batch beside all of it and none; an export at that strength says the same."""
    character = toy()[0]
    half = tmp_path / "half"
    shutil.copytree(toy_run / "checkpoints" / NAMES[1], half)
    scale_adapter(half, 0.5)
    engine.add("half", half)

    def asked(name: str, strength: float = 1.0) -> GenerationRequest:
        return GenerationRequest(character, (user("Who are you?"),), name, 3, "always", strength=strength)

    requests = [asked(NAMES[1]), asked(NAMES[1], 0.5), asked(NAMES[1], 0.0), asked("half")]
    whole, scaled, none, exported = answers(list(engine.replies(requests, sampling=SHORT)))
    assert (scaled.text, scaled.scene) == (exported.text, exported.scene)
    assert pixels(scaled.picture) == pixels(exported.picture)
    [base] = answers(list(engine.replies([asked("base")], sampling=SHORT)))
    assert none.text == base.text and len({whole.text, scaled.text, none.text}) == 3
    looks = ["happy"]
    drawn = [engine.draw(name, character, looks, strength=by)[0] for name, by in ((NAMES[1], 0.5), ("half", 1.0))]
    assert pixels(drawn[0]) == pixels(drawn[1])
    engine.drop("half")


def test_replies_in_one_batch_are_those_made_alone(engine: InferenceEngine) -> None:
    character, _ = toy()
    histories = [(user("Aye?"),), (user("Where are you?"), said("By the water."), user("Cold there?"))]
    requests = [
        GenerationRequest(character, histories[0], NAMES[0], seed=3, picture="always"),
        GenerationRequest(character, histories[1], NAMES[1], seed=4, picture="always"),
        GenerationRequest(character, histories[0], "base", seed=5, picture="never"),
    ]
    together = answers(list(engine.replies(requests, sampling=SHORT)))
    for request, reply in zip(requests, together, strict=True):
        [alone] = answers(list(engine.replies([request], sampling=SHORT)))
        assert (reply.text, reply.scene) == (alone.text, alone.scene)
        if request.picture == "always":
            assert reply.scene.startswith("Ada") and pixels(reply.picture) == pixels(alone.picture)
        else:
            assert reply.picture is None
    [other] = answers(
        list(engine.replies([GenerationRequest(character, histories[0], NAMES[0], seed=6)], sampling=SHORT))
    )
    assert other.text != together[0].text


def test_parts_come_in_order_and_add_up(engine: InferenceEngine) -> None:
    character, _ = toy()
    requests = [GenerationRequest(character, (user("Aye?"),), name, seed=8, picture="always") for name in NAMES]
    parts = list(engine.replies(requests, sampling=Sampling(max_new_tokens=24)))
    for side, reply in enumerate(answers(parts)):
        own = [part for part in parts if part.side == side]
        *words, scene, last = own
        assert all(isinstance(part, TextPiece) and part.text for part in words) and len(words) > 1
        assert "".join(part.text for part in words if isinstance(part, TextPiece)) == reply.text
        assert scene == SceneReady(side, reply.text, reply.scene, drawing=True) and last == ReplyDone(side, reply)
        assert 0 < reply.first_text_s < reply.seconds
    kinds = [type(part) for part in parts]
    assert kinds.index(ReplyDone) > max(i for i, kind in enumerate(kinds) if kind is SceneReady)
    sides = [part.side for part in parts if isinstance(part, TextPiece)]
    assert sides.index(1) < len(sides) - 1 - sides[::-1].index(0)  # both sides are written at the same time


def test_a_reply_that_nobody_hears_ends_and_the_next_is_unharmed(engine: InferenceEngine) -> None:
    character, _ = toy()
    request = GenerationRequest(character, (user("Aye?"),), NAMES[0], seed=3, picture="always")
    expected = answers(list(engine.replies([request], sampling=SHORT)))
    endless = engine.replies([request], sampling=Sampling(max_new_tokens=3000, temperature=5.0, top_p=1.0))
    assert isinstance(next(endless), TextPiece)
    endless.close()
    [again] = answers(list(engine.replies([request], sampling=SHORT)))
    assert (again.text, pixels(again.picture)) == (expected[0].text, pixels(expected[0].picture))


def test_what_goes_wrong_reaches_who_asked(engine: InferenceEngine, toy_run: Path, tmp_path: Path) -> None:
    character, _ = toy()
    with pytest.raises(KeyError, match="nobody"):
        list(engine.replies([GenerationRequest(character, (user("Aye?"),), "nobody")]))
    broken = shutil.copytree(toy_run / "checkpoints" / NAMES[0], tmp_path / "broken")
    (broken / "adapter_model.safetensors").unlink()
    engine.prepare("broken", broken)
    with pytest.raises(AdapterError, match="is not a whole adapter"):
        list(engine.replies([GenerationRequest(character, (user("Aye?"),), "broken")]))
    with pytest.raises(ValueError, match=r"shows a\.png"):
        list(engine.replies([GenerationRequest(character, (user("Look!", "a.png"),))]))
    with pytest.raises(ValueError, match="'base' is the model before training"):
        engine.prepare("base", broken)
    engine.drop("broken")
    assert engine.reply("base", character, (user("Aye?"),), sampling=SHORT).text


def test_an_adapter_of_other_weights_is_refused(engine: InferenceEngine, toy_run: Path, tmp_path: Path) -> None:
    older = shutil.copytree(toy_run / "checkpoints" / NAMES[0], tmp_path / "older")
    config = json.loads((older / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["revision"] == engine.model.identity.revision
    (older / "adapter_config.json").write_text(json.dumps(config | {"revision": "0000"}), encoding="utf-8")
    engine.prepare("older", older)
    with pytest.raises(AdapterError, match=r"was trained on starter-toy of 0000: train again"):
        engine.reply("older", toy()[0], (user("Aye?"),), sampling=SHORT)
    engine.drop("older")


def test_an_adapter_brings_its_references_and_the_base_is_given_some(
    engine: InferenceEngine, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[torch.Tensor | None] = []
    draw = engine.model.sample_images

    def sample_images(*arguments: Any, **settings: Any) -> Any:
        given.append(settings["reference_codes"])
        return draw(*arguments, **settings)

    monkeypatch.setattr(engine.model, "sample_images", sample_images)
    character, _ = toy()
    files = CheckpointRef(toy_run, "base").references
    assert [path.name for path in files[:2]] == ["01.png", "04.png"]  # plain faces before a close-up with a strong one
    asked: dict[str, Any] = {"seed": 3, "picture": "always"}
    requests = [
        GenerationRequest(character, (user("Aye?"),), NAMES[0], **asked),
        GenerationRequest(character, (user("Aye?"),), "base", references=files, **asked),
        GenerationRequest(character, (user("Aye?"),), "base", **asked),
    ]
    list(engine.replies(requests, sampling=SHORT))
    [codes] = given
    assert codes is not None and codes.shape == (3, 2, engine.model.spec.image_tokens)
    assert torch.equal(codes[0], codes[1]), "the adapter's are the same two pictures"
    assert (codes[2] == -1).all()
    engine.reply("base", character, (user("Aye?"),), sampling=SHORT, **asked)
    assert given[-1] is None


def test_the_users_picture_is_looked_at(engine: InferenceEngine, tmp_path: Path) -> None:
    character, _ = toy()
    texts = []
    for colour in ("red", "white"):
        Image.effect_noise((64, 64), 90).convert("RGB").point(lambda v, c=colour: v if c == "red" else 255 - v).save(
            tmp_path / "a.png"
        )
        request = GenerationRequest(
            character, (user("Look!", "a.png"),), NAMES[0], 3, "always", {"a.png": tmp_path / "a.png"}
        )
        [reply] = answers(
            list(engine.replies([request, GenerationRequest(character, (user("Aye?"),), NAMES[1])], sampling=SHORT))
        )[:1]
        texts.append((reply.text, pixels(reply.picture)))
    assert texts[0] != texts[1]


def test_adapters_are_loaded_while_a_reply_is_made(toy_run: Path) -> None:
    """Few fit, so they are read again and again beside running replies; every reply is as it is alone."""
    character, _ = toy()
    few = InferenceEngine(TOY_BASE, keep=1)
    for name in NAMES:
        few.prepare(name, toy_run / "checkpoints" / name)
    expected = {name: few.reply(name, character, (user("Aye?"),), seed=3, sampling=SHORT).text for name in NAMES}
    found: list[tuple[str, str]] = []

    def talk(name: str) -> None:
        for _ in range(4):
            found.append((name, few.reply(name, character, (user("Aye?"),), seed=3, sampling=SHORT).text))

    threads = [threading.Thread(target=talk, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for number in range(8):
        few.prepare(f"more-{number % 2}", toy_run / "checkpoints" / NAMES[number % 2]).result()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8 and all(expected[name] == text for name, text in found)
    assert len(few.loaded()) <= 1


def test_warming_reads_the_persona(engine: InferenceEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    character, _ = toy()
    fresh = InferenceEngine(TOY_BASE)
    fresh.warm("base", character)
    widths: list[int] = []
    embed = fresh.model.embed_text

    def counted(ids: torch.Tensor, pictures: Any) -> torch.Tensor:
        widths.append(ids.shape[1])
        return embed(ids, pictures)

    monkeypatch.setattr(fresh.model, "embed_text", counted)
    warm = fresh.reply("base", character, (user("Aye?"),), picture="never", sampling=SHORT)
    persona = len(fresh.tokenizer(character.persona)["input_ids"])
    assert len(widths) == 1 and widths[0] < persona
    assert warm.text == engine.reply("base", character, (user("Aye?"),), picture="never", sampling=SHORT).text


def test_engines_of_checkpoints(toy_run: Path) -> None:
    references = [
        CheckpointRef(toy_run, "sft-000004"),
        CheckpointRef(toy_run, "sft-000002"),
        CheckpointRef(toy_run, "base"),
    ]
    loaded = load_engine(references)
    assert len({id(engine) for engine, _ in loaded}) == 1 and loaded[2][1] == "base"
    assert len({name for _, name in loaded}) == 3
    assert references[0].character.name == "Ada" and references[0].preset == TOY_BASE


def test_find_checkpoint(toy_run: Path, tmp_path: Path) -> None:
    assert find_checkpoint(f"{toy_run}:sft-000002") == CheckpointRef(toy_run, "sft-000002")
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
