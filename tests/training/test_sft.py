"""Stage 1 at toy size with the real classes: it learns, leaves the base alone, saves exact files, and resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.events import Event, Stopped
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.model_identity import UNKNOWN_MODEL, identity_in
from pipelines.core.run_folder import checkpoint_name, ends_stage_early, saved_for
from pipelines.data.packing import PackedRow, collate, encode_images
from pipelines.models.interface import Scores
from pipelines.models.janus import toy_janus
from pipelines.models.starter.model import toy_starter
from pipelines.training import image_rate
from pipelines.training.image_rate import untrained_image_loss
from pipelines.training.sft import SftResult, run_sft
from pipelines.training.sft_loss import SftLoss, packed_sft_rows, sft_loss

FILES = {
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "sha256.json",
    "rng_state.pth",
    "scheduler.pt",
    "trainer_state.json",
}
RECIPE = Recipe(
    base="starter-toy",
    sft_steps=6,
    sft_save_every=2,
    sft_learning_rate=2e-2,
    sft_row_max_tokens=700,
    sft_row_max_images=3,
    sft_image_rows=1,
    sft_row_images=3,
    task_shares=dict.fromkeys(Recipe().task_shares, 0.2),
)


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def test_loss_weighs_words_and_codes_apart() -> None:
    logps = torch.tensor([[0.0, -1.0, -3.0, -4.0, -6.0]], requires_grad=True)
    labels = torch.tensor([[-100, 5, 6, 100, 101]])  # two words, two codes
    loss = sft_loss(Scores(logps=logps), labels, text_vocab=100)
    assert loss.loss.item() == pytest.approx(2.0 + 1.0 * 5.0)
    assert (loss.words, loss.codes, loss.tokens) == (2.0, 5.0, 4)
    loss.loss.backward()
    assert logps.grad.tolist() == [[0.0, -0.5, -0.5, -0.5, -0.5]]
    text_only = sft_loss(Scores(logps=logps), torch.tensor([[-100, 5, 6, -100, -100]]), text_vocab=100)
    assert text_only.loss.item() == pytest.approx(2.0) and text_only.codes == 0


@dataclass(frozen=True)
class Run:
    folder: Path
    before: dict[str, torch.Tensor]
    tokenizer: PreTrainedTokenizerBase
    events: list[Event]
    result: SftResult


@pytest.fixture(scope="module", params=[toy_starter, toy_janus])
def run(request: pytest.FixtureRequest, mira: Character, new_run_dir: Callable[[], Path]) -> Run:
    """One whole stage of each family."""
    folder, events = new_run_dir(), []
    model, tokenizer = request.param(seed=0)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    return Run(folder, before, tokenizer, events, run_sft(model, tokenizer, mira, RECIPE, folder, events.append))


def adapter_of(run_dir: Path, name: str = "sft-000006") -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoints" / name / "adapter_model.safetensors")


def test_words_and_codes_are_learned(run: Run, mira: Character) -> None:
    model = run.result.model
    spec = model.get_base_model().spec
    pictures = encode_images(model.get_base_model(), mira, run.folder / "character")
    talks, drawings = packed_sft_rows(mira, RECIPE, spec, run.tokenizer, pictures, rows=2)

    def losses(row: PackedRow) -> SftLoss:
        batch = collate([row], spec, pictures)
        weights = batch.pop("loss_weights", None)
        with torch.no_grad():
            return sft_loss(model(**batch), batch["labels"], spec.text_vocab, weights)

    with model.disable_adapter():
        plain, plain_drawings = losses(talks), losses(drawings)
    assert plain.loss.item() == pytest.approx(run.result.losses[0], abs=1e-4)  # what the first step began with
    assert losses(talks).words < plain.words - 0.1 and plain.codes == 0  # pictures are only announced here
    assert losses(drawings).codes < plain_drawings.codes - 0.01 and plain_drawings.words == 0


def test_with_no_rows_of_images_they_are_drawn_where_they_are_announced(run: Run, mira: Character) -> None:
    model = run.result.model.get_base_model()
    pictures = encode_images(model, mira, run.folder / "character")
    together = replace(RECIPE, sft_image_rows=0, sft_row_max_tokens=1200)
    rows = packed_sft_rows(mira, together, model.spec, run.tokenizer, pictures, rows=4)
    assert sum(row.drawn for row in rows) > 0 and all(max(row.segments) > 0 for row in rows)
    for row in rows:
        codes = [label for label in row.labels if label >= model.spec.text_vocab]
        assert len(codes) == row.drawn * model.spec.image_tokens


def test_words_of_facts_and_requests_count_more(run: Run, mira: Character) -> None:
    model = run.result.model.get_base_model()
    pictures = encode_images(model, mira, run.folder / "character")
    row = packed_sft_rows(mira, RECIPE, model.spec, run.tokenizer, pictures, rows=1)[0]
    known = {1.0, RECIPE.fact_loss_weight, RECIPE.scene_loss_weight}
    assert set(row.weights) <= known and max(row.weights) > 1 and len(row.weights) == len(row.ids)
    even = replace(RECIPE, fact_loss_weight=1.0, scene_loss_weight=1.0)
    plain = packed_sft_rows(mira, even, model.spec, run.tokenizer, pictures, rows=1)[0]
    assert plain.ids == row.ids and plain.weights == ()
    logps, labels = torch.tensor([[-1.0, -3.0]]), torch.tensor([[5, 6]])
    assert sft_loss(Scores(logps=logps), labels, 100, torch.tensor([[1.0, 3.0]])).words == pytest.approx(2.5)


def test_few_conversations_make_short_rows(run: Run, mira: Character) -> None:
    model = run.result.model.get_base_model()
    pictures = encode_images(model, mira, run.folder / "character")

    def sizes(character: Character, epochs: float) -> list[int]:
        recipe = replace(RECIPE, sft_row_max_tokens=4000, sft_row_max_images=99, sft_max_epochs=epochs)
        rows = packed_sft_rows(character, recipe, model.spec, run.tokenizer, pictures, rows=12)
        return [len(row.ids) for row in rows[::2]]  # every other one has drawings alone

    unlimited, twice, often = sizes(mira, 0), sizes(mira, 2), sizes(mira, 1e6)
    assert often == unlimited and max(twice) < min(unlimited)
    assert min(sizes(replace(mira, interactions=mira.interactions * 4), 2)) > max(twice)


def test_base_weights_stay_and_every_adapter_matrix_moves(run: Run) -> None:
    trained = run.result.model.get_base_model().state_dict()
    base = {name.replace(".base_layer", ""): weight for name, weight in trained.items()}
    assert all(torch.equal(base[name], weight) for name, weight in run.before.items())
    adapter = adapter_of(run.folder)
    assert adapter and all(weight.dtype == torch.float32 for weight in adapter.values())
    zero_at_first = [weight for name, weight in adapter.items() if "lora_B" in name]
    assert 2 * len(zero_at_first) == len(adapter) and all(weight.abs().max() > 0 for weight in zero_at_first)


def test_files_and_events_are_exact(run: Run) -> None:
    assert names(run.folder) == ["sft-000002", "sft-000004", "sft-000006"] == list(run.result.checkpoints)
    reads_references = bool(run.result.model.get_base_model().spec.max_references)
    for name in run.result.checkpoints:
        files = {path.name for path in (run.folder / "checkpoints" / name).iterdir()}
        assert files == FILES | ({"references.safetensors", "references"} if reads_references else set())
        config = json.loads((run.folder / "checkpoints" / name / "adapter_config.json").read_text(encoding="utf-8"))
        assert identity_in(config) == run.result.model.get_base_model().identity != UNKNOWN_MODEL
    steps = [event for event in run.events if event.metrics]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6] and {event.total for event in steps} == {6}
    kinds = [{"loss_words", "loss_codes"} & event.metrics.keys() for event in steps]
    assert kinds == [{"loss_words"}, {"loss_codes"}] * 3  # rows of conversations and of images by turns
    assert all(event.stage == "sft" and event.metrics["loss"] > 0 for event in steps)
    assert sum(event.metrics["tokens"] for event in steps) == run.result.tokens and run.result.steps == 6
    saved = [event.artifacts for event in run.events if event.artifacts]
    assert saved == [(f"checkpoints/{name}",) for name in run.result.checkpoints]


@pytest.mark.parametrize("run", [toy_starter], indirect=True)
def test_adapter_loads_onto_a_fresh_base_with_the_same_scores(run: Run) -> None:
    fresh, tokenizer = toy_starter(seed=0)
    loaded = PeftModel.from_pretrained(fresh, run.folder / "checkpoints" / "sft-000006").eval()
    ids = torch.tensor([tokenizer("Who are you? Mira.")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(loaded(ids, labels=ids).logps, run.result.model.eval()(ids, labels=ids).logps)


@pytest.mark.parametrize("run", [toy_starter], indirect=True)
def test_killed_and_resumed_ends_like_an_unbroken_run(run: Run, mira: Character, run_dir: Path) -> None:
    def die(event: Event) -> None:
        if event.step == 5:
            raise MemoryError("the machine went away")  # no chance to save, like a kill

    torch.manual_seed(1234)  # whatever the process did before must not matter
    model, tokenizer = toy_starter(seed=0)
    with pytest.raises(MemoryError):
        run_sft(model, tokenizer, mira, RECIPE, run_dir, die)
    assert names(run_dir) == ["sft-000002", "sft-000004"]
    torch.rand(7)
    model, tokenizer = toy_starter(seed=0)
    rest = run_sft(model, tokenizer, mira, RECIPE, run_dir, lambda event: None, run_dir / "checkpoints" / "sft-000004")
    # Tolerance 1e-6 nats; on one CPU thread the two are equal to the last bit.
    assert rest.losses == pytest.approx(run.result.losses[4:], abs=1e-6)
    want = adapter_of(run.folder)
    assert all(torch.allclose(weight, want[name], atol=1e-6) for name, weight in adapter_of(run_dir).items())


@pytest.mark.parametrize("run", [toy_starter], indirect=True)
def test_resuming_a_finished_stage_does_nothing(run: Run, mira: Character) -> None:
    model, tokenizer = toy_starter(seed=0)
    last = run.folder / "checkpoints" / "sft-000006"
    rest = run_sft(model, tokenizer, mira, RECIPE, run.folder, lambda event: None, last)
    assert rest.steps == 6 and rest.losses == () and names(run.folder) == list(run.result.checkpoints)


def test_a_stage_whose_gradients_are_no_numbers_ends_with_the_last_good_weights(
    mira: Character, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.core.jobs.recipe.MAX_AMOUNT", 1e31)
    events: list[Event] = []
    model, tokenizer = toy_starter(seed=0)
    recipe = replace(RECIPE, sft_learning_rate=1e30)  # the first whole update makes weights that overflow
    result = run_sft(model, tokenizer, mira, recipe, run_dir, events.append)
    last = result.checkpoints[-1]
    assert result.steps < RECIPE.sft_steps and last == checkpoint_name("sft", result.steps)
    assert not all(math.isfinite(loss) for loss in result.losses)
    ends = [event for event in events if "ended_early" in event.payload]
    assert [(event.payload["ended_early"], event.step) for event in ends] == [("not_a_number", result.steps)]
    assert ends[0].artifacts == (f"checkpoints/{last}",)
    assert saved_for(run_dir, last) == "plan", "it is measured, as the state that the stage ends with"
    assert ends_stage_early(run_dir, last) and not any(ends_stage_early(run_dir, name) for name in names(run_dir)[:-1])
    kept = adapter_of(run_dir, last)
    assert all(torch.isfinite(weight).all() for weight in kept.values())
    fresh, tokenizer = toy_starter(seed=0)
    loaded = PeftModel.from_pretrained(fresh, run_dir / "checkpoints" / last).eval()
    ids = torch.tensor([tokenizer("Who are you? Mira.")["input_ids"]])
    with torch.no_grad():
        assert torch.isfinite(loaded(ids, labels=ids).logps[:, 1:]).all()


def test_stop_saves_then_raises_and_the_run_goes_on(mira: Character, run_dir: Path) -> None:
    def stop(event: Event) -> None:
        if event.step == 1:
            raise Stopped("enough")

    recipe = replace(RECIPE, sft_steps=2, sft_row_max_tokens=500)
    model, tokenizer = toy_starter(seed=0)
    with pytest.raises(Stopped):
        run_sft(model, tokenizer, mira, recipe, run_dir, stop)
    assert names(run_dir) == ["sft-000001"]
    model, tokenizer = toy_starter(seed=0)
    rest = run_sft(model, tokenizer, mira, recipe, run_dir, lambda event: None, run_dir / "checkpoints" / "sft-000001")
    assert rest.steps == 2 and len(rest.losses) == 1


def test_stop_while_a_checkpoint_is_reported_keeps_it_and_nothing_is_printed(
    mira: Character, run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def stop(event: Event) -> None:
        if event.artifacts:
            raise Stopped("enough")

    model, tokenizer = toy_starter(seed=0)
    with pytest.raises(Stopped):
        run_sft(model, tokenizer, mira, replace(RECIPE, sft_save_every=1, sft_row_max_tokens=500), run_dir, stop)
    assert names(run_dir) == ["sft-000001"]
    assert capfd.readouterr() == ("", "")


def test_a_foreign_style_has_a_rate_of_its_own(run: Run, mira: Character, monkeypatch: pytest.MonkeyPatch) -> None:
    model = run.result.model.get_base_model()
    pictures = encode_images(model, mira, run.folder / "character")
    rows = packed_sft_rows(mira, RECIPE, model.spec, run.tokenizer, pictures, rows=4)
    recipe = replace(RECIPE, image_learning_rate=1e-3, foreign_image_learning_rate=3e-3)
    with run.result.model.disable_adapter():
        loss = untrained_image_loss(model, rows, pictures)
        drawings = collate([rows[1]], model.spec, pictures)
        other = collate([rows[3]], model.spec, pictures)
        expected = [-model(**one).logps[one["labels"] >= 0].mean().item() for one in (drawings, other)]
        assert loss == pytest.approx(sum(expected) / 2, abs=1e-4)  # rows of conversations do not count
        for limit, rate in ((loss - 0.1, 3e-3), (loss + 0.1, 1e-3)):
            monkeypatch.setattr(image_rate, "FOREIGN_LOSS", limit)
            assert image_rate.image_learning_rate(model, recipe, rows, pictures) == rate
        no_other = replace(recipe, foreign_image_learning_rate=0.0)
        assert image_rate.image_learning_rate(model, no_other, rows, pictures) == 1e-3
    assert untrained_image_loss(model, rows[::2], pictures) == 0.0  # a character without pictures
