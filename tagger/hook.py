"""The user's own command after a run: a media server's rescan, a message. It cannot make the run fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

TIMEOUT_S = 300.0

_SHOWN = 200


def call_hook(command: Sequence[str], facts: Mapping[str, object], *, timeout_s: float = TIMEOUT_S) -> str:
    """Run `command` with `facts` as one JSON object on standard input.

    Parameters
    ----------
    command
        Program and arguments; no shell is in between.
    facts
        What to tell it.
    timeout_s
        When to end it, with all that it has started (where the system knows process groups).

    Returns
    -------
    str
        A sentence on what went wrong, empty when nothing did.
    """
    told = (json.dumps(facts) + "\n").encode()
    name = f"The on_finish command {command[0]!r}"
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, to end all of it; Windows does not mind
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return f"{name} cannot be started: {why}."
    try:
        _, said = process.communicate(told, timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"{name} was ended after {timeout_s:.0f} s."
    except BaseException:  # Ctrl-C
        _end(process)
        raise
    if process.returncode == 0:
        return ""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return f"{name} failed with exit code {process.returncode}{': ' + lines[-1][:_SHOWN] if lines else '.'}"


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired, ValueError):
        # Not communicate(): a grandchild that got away may hold the pipe open for as long as it likes.
        process.wait(5)
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
