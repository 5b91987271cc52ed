"""Pictures drawn on demand: the same as stored ones, changing under training, never a held-out one."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import connection
from pathlib import Path

import numpy as np
import pytest

from pipelines.models.starter.model import toy_starter
from pipelines.starter_build.broad_domain import BroadDomain, SubjectJob, render_subject
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_loop import Budget, read_state
from pipelines.starter_build.build_vision_tower import train_vision_tower
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.drawings.attributes import FIRST, WIDE, is_held_out_combination, is_held_out_identity
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, render_identity, render_images, training_job
from pipelines.starter_build.render_pool import RenderPool
from pipelines.starter_build.streaming_dataset import BroadStream, StreamingDataset
from tests.starter_build.failing_job import fail_at_two
from tests.starter_build.toy_symbols import toy_symbols_file


@pytest.fixture(scope="module")
def stream() -> Iterator[StreamingDataset]:
    """A window of four identities of the wide domain, one process drawing."""
    made = StreamingDataset(WIDE, px=32, seed=3, window=40, processes=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> DrawnDataset:
    """20 pictures of two held-out identities of the wide domain."""
    folder = tmp_path_factory.mktemp("wide")
    render_images(folder / "held_out", 20, px=32, held_out=True, processes=1, domain=WIDE)
    return DrawnDataset.load(folder, "held_out")


def wait(stream: StreamingDataset | BroadStream) -> np.ndarray:
    """Rows of the next refresh that changes any."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rows = stream.refresh()
        if len(rows):
            return rows
        time.sleep(0.05)
    raise AssertionError("no picture came in two minutes")


def test_the_row_of_identities_is_the_stored_set_without_end(tmp_path) -> None:
    render_images(tmp_path, 20, seed=5, px=16, processes=1)
    stored = DrawnDataset.load(tmp_path, "train")
    for position in (0, 1):
        number, attributes, pixels = render_identity(training_job(FIRST, position, 5, 16))
        rows = slice(position * IMAGES_PER_IDENTITY, (position + 1) * IMAGES_PER_IDENTITY)
        assert (stored.identity_numbers[rows] == number).all() and stored.attributes[rows] == attributes
        assert np.array_equal(stored.pixels[rows], pixels)
    numbers = [training_job(WIDE, position, 0, 16)[1] for position in range(40)]
    assert numbers[:3] == [1, 2, 3] and numbers[18:21] == [19, 21, 22] and len(set(numbers)) == 40
    later = training_job(FIRST, 11_400, 0, 16)  # after every training number below 12,000
    assert (later[1], later[2]) == (1, 1)


def test_a_window_moves_on_and_stays_in_order(stream: StreamingDataset) -> None:
    before, identities = stream.pixels.copy(), stream.identity_numbers.copy()
    assert len(stream) == 40 and len(stream.rows_by_identity) == 4
    position = stream.position
    rows = wait(stream)
    assert stream.position == position + len(rows) // IMAGES_PER_IDENTITY
    assert not np.array_equal(stream.pixels[rows], before[rows])
    rest = np.setdiff1d(np.arange(40), rows)
    assert np.array_equal(stream.pixels[rest], before[rest]) and np.array_equal(
        stream.identity_numbers[rest], identities[rest]
    )
    assert {number: stream.identity_numbers[of].tolist() for number, of in stream.rows_by_identity.items()} == {
        number: [number] * IMAGES_PER_IDENTITY for number in stream.rows_by_identity
    }
    assert not any(is_held_out_identity(number) for number in stream.rows_by_identity)
    assert not any(is_held_out_combination(one) for one in stream.attributes)


def test_a_window_gives_what_a_stored_set_gives(stream: StreamingDataset) -> None:
    rng = random.Random(0)
    rows = stream.sample_rows(rng, identities=3, images_per_identity=2)
    assert len(set(stream.identity_numbers[rows].tolist())) == 3
    assert stream.other_row(int(rows[0]), rng) != rows[0]
    assert stream.caption(0, rng) and stream.phrase(0, "expression") == stream.attributes[0].expression
    assert sorted(np.concatenate([next(batch) for batch in [stream.batches(40, 0)]])) == list(range(40))


def test_eyes_learn_from_a_stream(stream: StreamingDataset, held_out: DrawnDataset, tmp_path) -> None:
    model, tokenizer = toy_starter(seed=0)
    position = stream.position
    seen = train_vision_tower(model, tokenizer, stream, held_out, tmp_path, Budget(2.0), SIZES["toy"])
    assert {f"slot_{at}" for at in range(4)} <= set(seen) and 0 <= seen["slot_0"] <= 1
    assert read_state(tmp_path / "eyes.pt")["more"]["place"] >= position


def test_a_step_takes_no_more_pictures_than_it_can_encode(stream: StreamingDataset) -> None:
    deadline = time.monotonic() + 120
    while not all(one.done() for one in stream._pool._pending) and time.monotonic() < deadline:
        time.sleep(0.05)
    ready = IMAGES_PER_IDENTITY * stream._pool.pending
    assert len(stream.refresh(IMAGES_PER_IDENTITY)) == IMAGES_PER_IDENTITY < ready
    assert len(stream.refresh()) == ready - IMAGES_PER_IDENTITY


def test_a_window_of_the_broad_domain(tmp_path) -> None:
    domain = BroadDomain(symbols_file=toy_symbols_file(tmp_path), art=0.3)
    stream = BroadStream(domain, px=16, seed=1, window=40, first=3, processes=1)
    try:
        assert len(stream) == 40 and stream.position == 7
        assert np.array_equal(stream.pixels[30:], render_subject(SubjectJob(domain, 3, 1, 16)).pixels)  # 3 % 4 groups
        before = stream.pixels.copy()
        rows = wait(stream)
        assert stream.position == 7 + len(rows) // IMAGES_PER_IDENTITY and not np.array_equal(stream.pixels, before)
        sampled = stream.sample_rows(random.Random(0), 3, 2)
        assert [group // IMAGES_PER_IDENTITY for group in sampled[::2]] == [one // 10 for one in sampled[1::2]]
        assert len({int(row) // 10 for row in sampled}) == 3 and len(set(sampled.tolist())) == 6
    finally:
        stream.close()


def test_drawing_processes_end_when_a_part_fails() -> None:
    with pytest.raises(RuntimeError, match="cannot be drawn"), RenderPool(fail_at_two, iter(range(99)), 2) as pool:
        others = multiprocessing.active_children()
        pool.submit(8)
        workers = [worker for worker in multiprocessing.active_children() if worker not in others]
        assert [pool.receive(), pool.receive()] == [0, 1] and workers
        pool.receive()
    assert len(connection.wait([worker.sentinel for worker in workers], 0)) == len(workers)


KILLED = """
import os, signal
from itertools import count
from multiprocessing import active_children
from pipelines.starter_build.render_pool import RenderPool
from tests.starter_build.failing_job import fail_at_two
if __name__ == "__main__":
    pool = RenderPool(fail_at_two, count(), 1)
    pool.submit(1)
    pool.receive()
    print(*[child.pid for child in active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_drawing_processes_end_when_the_build_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, script]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    (worker,) = done.stdout.split()
    deadline = time.monotonic() + 30
    status = Path("/proc", worker, "status")
    while status.exists() and "State:\tZ" not in status.read_text():  # Z: ended, and nobody has asked how
        assert time.monotonic() < deadline, "still there half a minute later"
        time.sleep(0.1)
