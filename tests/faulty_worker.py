"""A worker whose decoder fails in whatever way the file's name says. Imported by worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from tagger.tracks import Heard, ListenTask


class UnpicklableError(Exception):
    """Pickles, but cannot be unpickled: its constructor wants two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def listen(task: ListenTask) -> Heard:
    """Behave as `Path(task.path).stem` says; anything else is a good file."""
    match Path(os.fsdecode(task.path)).stem:
        case "segfault":
            ctypes.string_at(0)
        case "late-segfault":
            time.sleep(task.time_limit_s + 0.2)
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "sys-exit":
            sys.exit(4)
        case "loop":
            while True:
                pass
        case "hang-in-c":
            ctypes.PyDLL(None).sleep(1000)  # PyDLL keeps the interpreter lock, as a bad extension would
        case "kill-parent":
            os.kill(os.getppid(), signal.SIGKILL)
        case "allocate":
            bytearray(8 << 30)
        case "unpicklable":
            raise UnpicklableError("a", "b")
    time.sleep(0.005)
    return Heard(path=task.path, size_bytes=os.getpid(), reason=os.environ.get("OMP_NUM_THREADS", ""))
