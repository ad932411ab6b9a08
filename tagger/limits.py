"""What keeps a run from being in the way: the least priority, a load to stay under, a time to stop at."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from tagger.tracks import ListenTask

POLL_S = 0.5

_IOPRIO_SET = {
    "x86_64": 251,
    "aarch64": 30,
    "i686": 289,
    "armv7l": 314,
    "ppc64le": 273,
    "riscv64": 30,
    "s390x": 282,
}
"""Number of the system call on each machine: the C library has no name for it."""
_IDLE_CLASS = 3 << 13
_WINDOWS_IDLE = 0x40


class Gate:
    """Lets tasks through one by one, as long as there is time and the machine is not too busy."""

    def __init__(
        self,
        *,
        time_limit_s: float | None = None,
        max_load: float | None = None,
        load: Callable[[], float | None] | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._stop_at_s = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._max_load, self._load, self._poll_s = max_load, load or load_average, poll_s
        self._closed = threading.Event()
        self.stopped = False
        """Whether tasks were left behind because the time was over."""

    def over(self) -> bool:
        """Whether the time is over; the run counts as stopped from then on."""
        if self._stop_at_s is not None and time.monotonic() >= self._stop_at_s:
            self.stopped = True
        return self.stopped

    def wait(self) -> None:
        """Come back when the machine is not too busy, the time is over, or the gate is closed."""
        while self._busy() and not self.over() and not self._closed.is_set():
            self._closed.wait(self._poll_s)

    def through(self, tasks: Iterable[ListenTask]) -> Iterator[ListenTask]:
        """The tasks, each when its time has come; none any more when the time is over."""
        for task in tasks:
            # The main thread starts the processes with Ctrl-C held back (`tagger.pool`), so it must not wait.
            if threading.current_thread() is not threading.main_thread():
                self.wait()
            if self.over() or self._closed.is_set():
                return
            yield task

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed.set()

    def _busy(self) -> bool:
        if self._max_load is None:
            return False
        load = self._load()
        return load is not None and load > self._max_load


def load_average() -> float | None:
    """Load of the machine over the last minute; None where the system does not tell (Windows)."""
    if not hasattr(os, "getloadavg"):
        return None
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def lower_priority() -> None:
    """Give this process, and those it starts from now on, what nobody else wants of processor and disk.

    What the system does not offer is left out: nothing of this is worth failing for.
    """
    if sys.platform == "win32":
        _idle_class_of_windows()
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    if sys.platform == "linux" and platform.machine() in _IOPRIO_SET:
        import ctypes

        itself = 1
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).syscall(_IOPRIO_SET[platform.machine()], itself, 0, _IDLE_CLASS)


def _idle_class_of_windows() -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _WINDOWS_IDLE)
