"""What a process that listens does before anything else, and what is said of one that has died.

The same for every such process, whoever starts it: loky (`tagger.pool`) or a Dask worker
(`tagger.cluster.ear`).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tagger.tracks import Heard, ListenTask, Status, display

Worker = Callable[[ListenTask], Heard]

GRACE_S = 2.0
"""A worker stops by itself at the time limit wherever Python code runs; one stuck in C code is killed this
much later."""

WORKER_MEMORY_BYTES = 4 * 2**30
"""Address space a worker may claim beyond what it has when it starts (Linux; elsewhere no limit is set)."""

NOT_AGAIN = "it will not be tried again until it changes or --retry"


def timed_out(task: ListenTask) -> Heard:
    """The report on a task whose process outlived its time limit and was ended."""
    reason = f"{display(task.path)} was given up after {task.time_limit_s:.0f} s: the decoder did not return"
    return Heard(path=task.path, failure=Status.TIMED_OUT, reason=reason)


def crashed(task: ListenTask, how: str) -> Heard:
    """The report on a task whose process died; `how` is the signal, ``"SIGSEGV(-11)"``, or empty."""
    shown = f" ({how})" if how else ""
    reason = f"{display(task.path)} crashed the decoder{shown}: {NOT_AGAIN}"
    return Heard(path=task.path, failure=Status.CRASHED, reason=reason)


def taken_along(task: ListenTask) -> Heard:
    """The report on a task that Dask's own workers were lost with, again and again."""
    reason = (
        f"{display(task.path)} was on the Dask worker each time one was lost, the last time with nothing "
        f"beside it: {NOT_AGAIN}"
    )
    return Heard(path=task.path, failure=Status.CRASHED, reason=reason)


def one_thread() -> dict[str, str]:
    """Environment of a process whose libraries are to keep to one core."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, "1")


def start_worker() -> None:
    """Ctrl-C is the parent's business: a worker goes on until it is told, or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    limit_memory()
    keep_freed_memory()


def guarded(worker: Worker, task: ListenTask) -> Heard:
    """Call the worker under a watchdog that ends this process even when C code never returns."""
    faulthandler.disable()  # loky has enabled it; the parent reports a crash in one sentence, without a stack
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(task.time_limit_s + GRACE_S, exit=True, file=nowhere)
        try:
            return worker(task)
        except BaseException as error:  # an exception that will not unpickle would break the whole pool
            reason = f"{display(task.path)} could not be analysed: {type(error).__name__} in the decoder"
            return Heard(path=task.path, failure=Status.FAILED, reason=reason)
        finally:
            faulthandler.cancel_dump_traceback_later()


def die_with_parent() -> None:
    """Ask Linux to end this worker when the parent is killed outright."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def limit_memory() -> None:
    """A decoder that asks for more gets a MemoryError instead of the machine's last page."""
    if sys.platform == "linux":
        import resource

        with suppress(OSError, ValueError), Path("/proc/self/statm").open() as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + WORKER_MEMORY_BYTES, resource.RLIM_INFINITY))


def keep_freed_memory() -> None:
    """Have glibc use freed memory again instead of handing it back.

    Arrays of megabytes come and go with every segment, and each time the kernel would clear their pages: a
    tenth of a worker's time.
    """
    if sys.platform == "linux":
        import ctypes

        m_trim_threshold, m_mmap_threshold, kept_bytes = -1, -3, 32 * 2**20
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(m_mmap_threshold, kept_bytes)
            ctypes.CDLL(None).mallopt(m_trim_threshold, 2 * kept_bytes)
