"""Training of the image expert with references: shares of a batch, the model's own losses, learning, compiling."""

from __future__ import annotations

import multiprocessing
import random
from itertools import islice
from multiprocessing import connection
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.model import StarterModel, toy_starter
from pipelines.models.starter.references import ABSENT
from pipelines.starter_build.broad_domain import CAPTIONS, BroadDomain
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_image_expert import code_losses, reference_places, train_image_expert, weighted_loss
from pipelines.starter_build.build_loop import Budget, read_state
from pipelines.starter_build.code_store import CodeStore, CodeStream, subject_jobs
from pipelines.starter_build.encoded_subjects import render_encoded, start_tokenizer
from pipelines.starter_build.image_contexts import context_text
from tests.starter_build.toy_symbols import toy_symbols_file


@pytest.fixture(scope="module")
def toy() -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """The starter at toy size, which reads two references."""
    return toy_starter(seed=0)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> BroadDomain:
    """Figures and symbols alike."""
    return BroadDomain(symbols_file=toy_symbols_file(tmp_path_factory.mktemp("symbols")), symbols=0.5)


@pytest.fixture(scope="module")
def store(toy: tuple[StarterModel, PreTrainedTokenizerFast], domain: BroadDomain) -> CodeStore:
    """80 pictures, drawn here instead of in processes."""
    model, tokenizer = toy
    start_tokenizer(tokenizer.backend_tokenizer.to_str(), model.spec.boi_id, model.config.context_tokens)
    made = CodeStore(80, model.spec.image_tokens, model.config.context_tokens, torch.device("cpu"))
    for job in islice(subject_jobs(domain, model, 3), 8):
        subject = render_encoded(job)
        made.add(model.encode_images(torch.from_numpy(subject.pixels).permute(0, 3, 1, 2) / 127.5 - 1), [subject])
    return made


def test_what_a_worker_sends_is_tokenised_as_the_model_reads_it(toy, store: CodeStore, domain: BroadDomain) -> None:
    model, _ = toy
    assert store.filled == 80 and store.ids.shape == (80, CAPTIONS, model.config.context_tokens)
    ids, length = store.ids[5, 0], int(store.lengths[5, 0])
    assert ids[length - 1] == model.spec.boi_id and not ids[length:].any()
    assert length == model.config.context_tokens  # the toy's contexts are too long for 16 ids and lose their beginning
    text = context_text("Tomo, happy", random.Random(1))
    assert text.startswith("<|im_start|>assistant\n") and text.endswith("\n[scene] Tomo, happy")


def test_rows_lack_words_or_references_in_their_shares(store: CodeStore) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = store.batch(6000, 4, generator)
    counts = batch.present.sum(1)
    shares = [(counts == count).float().mean().item() for count in range(5)]
    assert shares == pytest.approx([0.3, 0.28, 0.14, 0.14, 0.14], abs=0.02)
    without = counts == 0
    assert batch.drop_words[without].float().mean().item() == pytest.approx(1 / 3, abs=0.03)
    assert (batch.drop_words & ~without).float().mean().item() == pytest.approx(0.07, abs=0.01)
    rows, others = torch.arange(80), store.other_rows(torch.arange(80), 4, torch.rand(80, 10))
    assert ((others // 10) == (rows // 10)[:, None]).all() and not (others == rows[:, None]).any()
    assert all(len(set(row.tolist())) == 4 for row in others)


def test_the_loss_is_that_of_the_model(toy, store: CodeStore) -> None:
    model, _ = toy
    rows = torch.tensor([3, 14, 25])
    references = store.other_rows(rows, 2, torch.rand(3, 10))
    counts, drop = torch.tensor([0, 1, 2]), torch.tensor([False, False, True])
    batch = store.gather(rows, torch.tensor([0, 2, 1]), references, counts, drop)
    with torch.no_grad():
        found = code_losses(model, batch)
        codes = batch.codes + model.spec.text_vocab
        ids = [torch.cat([batch.ids[row, : batch.lengths[row]], codes[row]]) for row in range(3)]
        labels = [torch.cat([torch.full((int(batch.lengths[row]),), -100), codes[row]]) for row in range(3)]
        absent = ~batch.present[..., None]
        scores = model(
            input_ids=torch.stack(ids),
            labels=torch.stack(labels),
            reference_codes=batch.reference_codes.masked_fill(absent, ABSENT),
            drop_context=drop,
        )
    assert torch.allclose(found, -scores.logps[:, -codes.shape[1] :], atol=1e-4)
    weights = torch.where(batch.figure, 2.0, 1.0)
    assert weighted_loss(model, batch).item() == pytest.approx(((found * weights).sum() / weights.sum()).item(), 1e-4)


def test_the_loss_compiles_into_one_graph(toy, store: CodeStore) -> None:
    model, _ = toy
    batch = store.batch(4, 2, torch.Generator().manual_seed(1))
    compiled = torch.compile(weighted_loss, dynamic=False, fullgraph=True, backend="eager")
    model.picture.zero_grad()
    loss = compiled(model, batch)
    loss.backward()
    assert loss.item() == pytest.approx(weighted_loss(model, batch).item(), abs=1e-4)
    assert model.picture.references.merge.weight.grad.abs().sum() > 0
    model.picture.zero_grad()


def test_it_learns_and_goes_on_with_other_subjects(domain: BroadDomain, tmp_path: Path) -> None:
    model, tokenizer = toy_starter(seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def train(seconds: float) -> dict[str, float]:
        return train_image_expert(model, tokenizer, domain, tmp_path, Budget(seconds), SIZES["toy"], 0, 1, 40)

    first = train(2.0)
    position = read_state(tmp_path / "picture.pt")["more"]["place"]
    again = train(3.5)
    assert again["steps"] > first["steps"] > 2 and again["drawn"] > 10 * position
    assert again["held_out_loss"] < 3.6  # below log 32 codes = 3.47 plus a little: toys learn something in seconds
    assert {"held_out_1_references", "held_out_2_references", "held_out_references_alone"} <= set(again)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"picture"}


def test_a_full_store_replaces_its_oldest(store: CodeStore, toy) -> None:
    model, _ = toy
    small = CodeStore(20, model.spec.image_tokens, model.config.context_tokens, torch.device("cpu"))
    subject = render_encoded(next(subject_jobs(BroadDomain(), model, 0)))
    for value in range(3):
        small.add(torch.full((10, model.spec.image_tokens), value), [subject])
    assert small.filled == 20 and small.added == 30
    assert [int(small.codes[row, 0]) for row in (0, 10)] == [2, 1]


def test_places_for_references_take_turns() -> None:
    assert [reference_places(step, 4) for step in range(4)] == [2, 2, 4, 2]
    assert {reference_places(step, 2) for step in range(4)} == {2} and reference_places(0, 0) == 0


def test_a_closed_stream_leaves_no_processes(toy, domain: BroadDomain) -> None:
    model, tokenizer = toy
    store = CodeStore(20, model.spec.image_tokens, model.config.context_tokens, torch.device("cpu"))
    others = multiprocessing.active_children()
    stream = CodeStream(model, tokenizer, subject_jobs(domain, model, 0), processes=1)
    stream.fill(store, 10)
    assert store.filled == 10
    workers = [worker for worker in multiprocessing.active_children() if worker not in others]
    assert workers
    stream.close()
    # By their sentinels: a process that another thread is joining may still count as an active child.
    assert len(connection.wait([worker.sentinel for worker in workers], 0)) == len(workers)
