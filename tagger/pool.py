"""Many files, several processes: joblib/loky workers that a bad file cannot take down with it.

Workers are pure: a `ListenTask` goes in, a `Heard` comes out; they write nothing. When one dies (a decoder
that crashes, the kernel out of memory, the watchdog of `tagger.guard`) joblib ends the whole call, so the
pool is started again, and the few tasks that were in flight are run one at a time in a process of their own:
the culprit is named, its neighbours are merely done a second time.
"""

from __future__ import annotations

import re
import signal
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor

from tagger.guard import GRACE_S, Worker, crashed, guarded, one_thread, start_worker, timed_out
from tagger.tracks import Heard, ListenTask


@dataclass(frozen=True, slots=True)
class _Dispatched:
    task: ListenTask
    at_s: float


def listen_all(tasks: Iterable[ListenTask], *, worker: Worker, n_jobs: int) -> Generator[Heard, None, None]:
    """Run `worker` over all tasks in `n_jobs` processes and yield every report as it arrives.

    Parameters
    ----------
    tasks
        Consumed lazily, at most ``2 * n_jobs`` ahead, from a thread of joblib's: the iterable must not touch
        anything bound to the calling thread. Paths must be unique.
    worker
        An importable function that never raises.
    n_jobs
        Number of processes, 1 or more; one core each (BLAS and OpenMP are held to one thread).

    Yields
    ------
    Heard
        Exactly one per task, in no particular order. A worker's death gives `Status.CRASHED`; a task that
        outlives its time limit by more than `GRACE_S` gives `Status.TIMED_OUT`.
    """
    remaining = iter(tasks)
    in_flight: dict[bytes, _Dispatched] = {}

    def feed() -> Iterator[Any]:
        for task in remaining:
            in_flight[task.path] = _Dispatched(task, time.monotonic())
            yield delayed(guarded)(worker, task)

    while True:
        try:
            for heard in _parallel(feed(), n_jobs):
                del in_flight[heard.path]
                yield heard
            return
        except BrokenProcessPool:
            hung, suspects = _sort_out(list(in_flight.values()))
            in_flight.clear()
        except BaseException:  # the consumer is leaving (Ctrl-C, say): leave no process behind
            stop_workers()
            raise
        yield from map(timed_out, hung)
        yield from _one_by_one(suspects, worker)


def stop_workers() -> None:
    """Kill the pool's processes at once, whatever they are doing."""
    with suppress(Exception):
        get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


def _parallel(calls: Iterator[Any], n_jobs: int) -> Iterator[Heard]:
    # With n_jobs=1 joblib would run in this very process: ask for two and let the feed keep to one at a time.
    with parallel_config(backend="loky", inner_max_num_threads=1, initializer=start_worker):
        pool = Parallel(
            n_jobs=max(n_jobs, 2),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=2 * n_jobs if n_jobs > 1 else 1,
        )
        with _held_interrupts():
            reports = pool(calls)
        try:
            for heard in reports:  # noqa: UP028 - `yield from` would close `reports` before `finally`
                yield heard
        finally:
            with warnings.catch_warnings():  # joblib advises against leaving early
                warnings.simplefilter("ignore")
                reports.close()


@contextmanager
def _held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they inherit it, so it cannot hit them half imported.

    The terminal sends Ctrl-C to all of them; what to do about it is the parent's business.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Loky starts it before the first process, and starting it lets Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _sort_out(in_flight: list[_Dispatched]) -> tuple[list[ListenTask], list[ListenTask]]:
    """Split what was in flight when the pool broke into what hung and what must be tried again.

    A task that was handed out longer ago than any watchdog allows can only be the one that was ended. When
    there are several, some merely waited behind another, so each gets its own chance.
    """
    now = time.monotonic()
    overdue = [d.task for d in in_flight if now - d.at_s >= d.task.time_limit_s + GRACE_S]
    hung = overdue if len(overdue) == 1 else []
    return hung, [d.task for d in in_flight if d.task not in hung]


def _one_by_one(suspects: list[ListenTask], worker: Worker) -> Iterator[Heard]:
    """Run each suspect alone in a process of its own; yield what it reports or how it died."""
    executor: ProcessPoolExecutor | None = None
    try:
        for task in suspects:
            if executor is None:
                executor = ProcessPoolExecutor(max_workers=1, initializer=start_worker, env=one_thread())
            started = time.monotonic()
            try:
                # The watchdog inside ends the process; this limit is for a process that cannot even start.
                with _held_interrupts():
                    future = executor.submit(guarded, worker, task)
                yield future.result(task.time_limit_s + GRACE_S + 60)
                continue
            except FutureTimeoutError:
                yield timed_out(task)
            except BrokenProcessPool as error:
                # The watchdog exits, it never ends by a signal, and not before its time; starting the process
                # may take as long where the machine is busy.
                overdue = time.monotonic() - started >= task.time_limit_s + GRACE_S
                how = _signal_in(str(error))
                yield timed_out(task) if overdue and not how.startswith("SIG") else crashed(task, how)
            executor.shutdown(wait=False, kill_workers=True)
            executor = None
    finally:
        if executor is not None:
            executor.shutdown(wait=False, kill_workers=True)


def _signal_in(message: str) -> str:
    """What loky says of how its process ended."""
    found = re.search(r"\{(.+?)\}", message)
    return found[1] if found else ""
