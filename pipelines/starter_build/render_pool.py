"""Worker processes that render an endless sequence of jobs, in order.

`RenderPool` is used as a context manager or closed by its owner: the processes must not outlive a part that failed, or
they keep the finished program from returning. A worker that dies makes `receive` raise instead of waiting for ever.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Rendered = TypeVar("Rendered")


def default_processes() -> int:
    """All processors but one, which trains."""
    return max(1, (os.cpu_count() or 2) - 1)


class RenderPool(Generic[Job, Rendered]):
    """Renders jobs ahead of their use."""

    def __init__(
        self,
        render: Callable[[Job], Rendered],
        jobs: Iterator[Job],
        processes: int | None = None,
        initializer: Callable[..., None] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        """`render` and `initializer` are functions of a module, for the workers import them.

        processes: None uses all processors but one.
        """
        self._render, self._jobs = render, jobs
        self._pool = ProcessPoolExecutor(
            processes or default_processes(),
            mp_context=get_context("spawn"),  # threads of torch do not survive a fork
            initializer=_start_worker,
            initargs=(initializer, initargs),
        )
        self._pending: deque[Future[Rendered]] = deque()

    def submit(self, ahead: int) -> None:
        """Submit jobs until so many are pending, rendered or not."""
        while len(self._pending) < ahead:
            self._pending.append(self._pool.submit(self._render, next(self._jobs)))

    @property
    def is_ready(self) -> bool:
        """Whether the next one is rendered."""
        return bool(self._pending) and self._pending[0].done()

    @property
    def pending(self) -> int:
        """How many are submitted and not received."""
        return len(self._pending)

    def receive(self) -> Rendered:
        """The next one, waiting for it; raises what rendering it raised."""
        return self._pending.popleft().result()

    def close(self) -> None:
        """End the worker processes at once, whatever they are doing."""
        # Python 3.14 has `terminate_workers` for this; before, the processes are only known to a private attribute.
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        # Waited for by their sentinels: the pool's own thread joins them too, and of two threads that join one process
        # the later one returns before the earlier has noted the exit code.
        deadline = time.monotonic() + 5
        waiting = [worker.sentinel for worker in workers]
        while waiting and (left := deadline - time.monotonic()) > 0:
            ended = wait(waiting, left)
            waiting = [sentinel for sentinel in waiting if sentinel not in ended]
        self._pending.clear()

    def __enter__(self) -> RenderPool[Job, Rendered]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start_worker(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    os.nice(5)  # rendering yields the processor to training
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    # Whoever is killed closes no pool, and an idle worker would wait for its next job for ever.
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
