"""A listening process at the other end of two pipes: whatever a file does to it, who asked only hears of it.

`Ear` is the asking end; ``python -m tagger.cluster.ear`` is the process. It is a plain subprocess because
a Dask worker is a daemonic process, which `multiprocessing` forbids to have any of its own. A message is
its length in eight bytes and a pickle. To a request (a function and its arguments) the process answers
twice: with one byte when it begins, so that one that could not even start is not taken for the victim of
a file; and with the result. POSIX only: pipes are waited for with `select`.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tagger.errors import TaggerError
from tagger.guard import one_thread, start_worker

START_S = 60.0
"""A process may take so long to come up, on a disk that is far away and asleep."""

IDLE_S = 60.0
"""A process that is asked nothing for so long ends by itself: whoever needed it may be gone."""

REAP_S = 5.0
"""A process in the middle of a call to a dead disk cannot be killed: it is given up after so long."""

BEGUN = b"\x01"
_NICE = "--nice"
_STARTS = 2
_LENGTH = 8


class DiedError(TaggerError):
    """The process ended, or was ended at its limit, before it had an answer."""

    def __init__(self, how: str, after_s: float) -> None:
        super().__init__(f"the listening process ended after {after_s:.0f} s {how}".rstrip())
        self.how, self.after_s = how, after_s


class DeafError(TaggerError):
    """No process can be started here, or none that gets as far as the request."""


class Ear:
    """One process, started when it is needed, asked one thing at a time by one thread."""

    def __init__(self, *, nice: bool = False) -> None:
        """Start nothing yet; with `nice`, the process will have the least priority."""
        self._nice = nice
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, function: Callable[..., Any], *arguments: object, limit_s: float) -> Any:
        """Call an importable function in the process.

        Parameters
        ----------
        limit_s
            So many seconds after it has begun, the process is killed.

        Raises
        ------
        DiedError
            The process ended, by itself or at the limit, while it was at it.
        DeafError
            It cannot be started.
        """
        request = pickle.dumps((function, arguments))
        code = 0
        for _ in range(_STARTS):
            process = self._running()
            began_s = None
            with suppress(OSError):  # nobody reads any more
                _write(process.stdin, request)
                if _read(process.stdout, len(BEGUN), time.monotonic() + START_S) == BEGUN:
                    began_s = time.monotonic()
                    answer = _message(process.stdout, began_s + limit_s)
                    if answer is not None:
                        return pickle.loads(answer)
            code = self.close()
            if began_s is not None:
                raise DiedError(_signal_name(code), time.monotonic() - began_s)
        raise DeafError(f"a listening process cannot be started there (it ends with exit code {code})")

    def close(self) -> int:
        """Kill the process, if there is one; its exit code. Another thread may be waiting for its answer."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)  # one that is dying already says by what
        with suppress(OSError):
            process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(REAP_S)
        return process.returncode or 0

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # -P: a folder called tagger in the directory it is started from is not the program.
            argv = [sys.executable, "-P", "-m", "tagger.cluster.ear", *([_NICE] if self._nice else [])]
            path = os.pathsep.join(filter(None, sys.path))
            try:
                self._process = subprocess.Popen(
                    argv, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env=os.environ | one_thread() | {"PYTHONPATH": path},
                )  # fmt: skip
            except OSError as error:
                raise DeafError(f"a listening process cannot be started there: {error.strerror}") from error
        return self._process


def _signal_name(code: int) -> str:
    """``"SIGSEGV(-11)"``; empty for an exit code."""
    if code >= 0:
        return ""
    with suppress(ValueError):
        return f"{signal.Signals(-code).name}({code})"
    return f"signal {-code}"


def _write(pipe: Any, content: bytes) -> None:
    left = memoryview(len(content).to_bytes(_LENGTH, "big") + content)
    while left:
        left = left[pipe.write(left) :]


def _message(pipe: Any, until_s: float) -> bytes | None:
    """The next message; None where it does not come in time, or the other end is gone."""
    length = _read(pipe, _LENGTH, until_s)
    return None if length is None else _read(pipe, int.from_bytes(length, "big"), until_s)


def _read(pipe: Any, n_bytes: int, until_s: float) -> bytes | None:
    """So many bytes; None where they do not come before `time.monotonic` says so, or never will."""
    content = bytearray()
    while len(content) < n_bytes:
        wait_s = max(until_s - time.monotonic(), 0.0)
        if not select.select([pipe], [], [], wait_s)[0]:
            return None
        part = pipe.read(n_bytes - len(content))
        if not part:
            return None
        content += part
    return bytes(content)


# What follows runs in the listening process.


def main() -> None:
    """Answer requests until the other end closes its pipe, or is silent for `IDLE_S`."""
    with _taken(0, "rb") as requests, _taken(1, "wb") as answers:
        if _NICE in sys.argv:
            from tagger.limits import lower_priority

            lower_priority()
        start_worker()
        while (request := _message(requests, time.monotonic() + IDLE_S)) is not None:
            function, arguments = pickle.loads(request)
            answers.write(BEGUN)
            _write(answers, pickle.dumps(function(*arguments)))


def _taken(number: int, mode: str) -> Any:
    """A standard stream for messages alone: what a library prints goes to where nobody reads."""
    pipe = os.dup(number)
    with Path(os.devnull).open("r+b") as nowhere:
        os.dup2(nowhere.fileno(), number)
    return os.fdopen(pipe, mode, buffering=0)


if __name__ == "__main__":
    main()
