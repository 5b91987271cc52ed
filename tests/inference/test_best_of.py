"""The best of several drawings: all in one batch, chosen by likeness to the references and by the words asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.data.chat_template import user
from pipelines.data.packing import open_image
from pipelines.inference.best_of import BestOf, generate_best_images, preference, reference_features
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import GenerationRequest
from pipelines.inference.generate_images import caption_prompt, generate_images
from pipelines.inference.streaming import ReplyDone
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from tests.toys import TOY_BASE, toy

LOOKS = ["happy, on a beach", "sad"]
FREE = Sampling(max_new_tokens=12, image_temperature=1.0)


@pytest.fixture(scope="module")
def engine() -> InferenceEngine:
    return InferenceEngine(TOY_BASE)


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_the_kept_drawing_is_the_one_that_is_liked_best(toy_character: Path) -> None:
    model, tokenizer = load(TOY_BASE)
    judge = load_judge(TOY_BASE)
    prompts = [caption_prompt(model, tokenizer, toy()[0], look) for look in LOOKS]
    files = [toy_character / "images" / name for name in ("01.png", "06.png")]
    codes = model.encode_images(torch.stack([open_image(file, model.spec.image_px) for file in files]))
    references = codes[None].repeat(2, 1, 1)  # (2, 2, C)
    references[1, 1] = -1  # the second prompt has one reference only
    given: dict[str, Any] = {"reference_codes": references}
    kept = generate_best_images(
        model, prompts, LOOKS, FREE, BestOf(judge, 3), generator=generators(2), **given
    )  # (2, 3, px, px)
    everything = generate_images(model, prompts, FREE, num_return_sequences=3, generator=generators(2), **given)
    with torch.inference_mode():
        own = reference_features(model, judge, references, 2)
        scores = preference(judge, everything, LOOKS, own)
        for row, look in enumerate(LOOKS):
            for place in range(3):
                features = judge.encode_images(everything[3 * row + place][None])
                alike = judge.likeness(features, judge.encode_images(model.decode_images(codes[: 2 - row]))).mean()
                assert float(scores[row, place]) == pytest.approx(float(alike * judge.match(features, [look])), 1e-4)
    assert [len(one.identity) for one in own if one] == [2, 1]
    for row in range(2):
        assert torch.equal(kept[row], everything[3 * row + int(scores[row].argmax())])


def test_without_references_the_words_alone_count() -> None:
    model, tokenizer = load(TOY_BASE)
    judge = load_judge(TOY_BASE)
    assert reference_features(model, judge, None, 2) == [None, None]
    prompts = [caption_prompt(model, tokenizer, toy()[0], LOOKS[0])]
    one = generate_best_images(model, prompts, LOOKS[:1], FREE, None, generator=generators(1))
    same = generate_best_images(model, prompts, LOOKS[:1], FREE, BestOf(judge, 1), generator=generators(1))
    assert torch.equal(one, same)
    with pytest.raises(ValueError, match="1 to 16"):
        BestOf(judge, 17)


def test_replies_keep_their_words_and_are_the_same_in_any_batch(engine: InferenceEngine, toy_character: Path) -> None:
    character, _ = toy()
    files = (toy_character / "images" / "01.png", toy_character / "images" / "06.png")
    requests = [
        GenerationRequest(character, (user(words),), seed=seed, picture="always", references=files)
        for words, seed in (("Aye?", 1), ("Where are you?", 2))
    ]

    def replies(*asked: GenerationRequest, best_of: int) -> list[Any]:
        parts = engine.replies(list(asked), sampling=FREE, best_of=best_of)
        return [part.reply for part in parts if isinstance(part, ReplyDone)]

    single, best = replies(*requests, best_of=1), replies(*requests, best_of=4)
    assert [one.text for one in single] == [one.text for one in best]
    assert all(one.picture is not None for one in best)
    [alone] = replies(requests[1], best_of=4)
    assert alone.picture.tobytes() == best[1].picture.tobytes()


def test_drawings_of_the_engine(engine: InferenceEngine, toy_character: Path) -> None:
    character, _ = toy()
    files = [toy_character / "images" / "01.png"]
    steps: list[int] = []
    drawn = engine.draw("base", character, LOOKS, references=files, seed=4, best_of=2, on_step=lambda: steps.append(1))
    spec = engine.model.spec
    assert len(drawn) == 2 and {one.size for one in drawn} == {(spec.image_px, spec.image_px)}
    assert len(steps) == spec.image_tokens
    assert engine.rebuild(files[0]).size == drawn[0].size
    with pytest.raises(ValueError, match="too long for one picture"):
        engine.draw("base", character, ["very " * 90])
