"""Ctrl-C, `kill` and a closed terminal: one orderly end, whenever they come and however often.

The first signal raises KeyboardInterrupt in the main thread; later ones do nothing, so that what the first
began (workers stopped, the run recorded, the lock released) is not itself torn apart. Python drops an
exception raised inside a finaliser or a callback of C code; the flow therefore also asks `check` between
tracks.
"""

from __future__ import annotations

import signal
from types import FrameType

_requested = False


def install() -> None:
    """Make the signals that ask a program to stop raise KeyboardInterrupt, once.

    A signal that this process was started to ignore (`nohup`) stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _request)


def requested() -> bool:
    """Whether a signal has asked this process to stop."""
    return _requested


def check() -> None:
    """Raise what a signal raised before and somebody dropped.

    Raises
    ------
    KeyboardInterrupt
        This process was asked to stop.
    """
    if _requested:
        raise KeyboardInterrupt


def finish() -> None:
    """Ignore signals from here on: the work is over, the exit code stands, only the interpreter ends.

    Raises
    ------
    KeyboardInterrupt
        One came just before.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def _request(_signal: int, _frame: FrameType | None) -> None:
    global _requested
    if not _requested:
        _requested = True
        raise KeyboardInterrupt
