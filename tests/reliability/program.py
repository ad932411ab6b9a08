"""The real program in a process of its own, as the figures run it, and what it needs of the machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Ran, environment
from tests.reliability.figures import NotHere

ANY = ("--threshold", "0", "--margin", "0", "--json")
"""Synthetic music sounds like nothing in particular: take the best guess."""


def tagger(
    scratch: Path,
    *args: object,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    module: str = "tagger",
    timeout_s: float = 300,
) -> Ran:
    """Run the program with a configuration and database of its own below `scratch`; a traceback fails.

    `prefix` is a command to run it under; `module` a driver that calls it with something put in its way.
    """
    done = subprocess.run(
        [*prefix, sys.executable, "-m", module, *(a if isinstance(a, bytes) else str(a) for a in args)],
        capture_output=True,
        env=environment(scratch) | dict(env or {}),
        timeout=timeout_s,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    if "Traceback" in ran.out + ran.err:
        raise AssertionError(f"a traceback: {ran.err[-2000:]}")
    return ran


def contents(folder: Path) -> dict[bytes, str]:
    """Digest of every regular file below a folder by its path; links are not followed."""
    found = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:  # noqa: PTH123 - bytes
                    found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def strays(folder: Path) -> list[bytes]:
    """Copies that the program left behind."""
    return [path for path in contents(folder) if os.path.basename(path).startswith(b".tagger-")]


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """`mount OPTIONS folder` for the time being.

    Raises
    ------
    NotHere
        This machine does not let us.
    """
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        raise NotHere(f"mount {' '.join(options)}: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def unprivileged() -> list[str]:
    """A prefix that takes from root what makes permissions meaningless to it; none for other users.

    Raises
    ------
    NotHere
        We are root, and there is no way.
    """
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    if not shutil.which("setpriv") or subprocess.run([*prefix, "true"], check=False).returncode:
        raise NotHere("root can read everything, and setpriv cannot take that from it")
    return prefix


def peak_bytes() -> int:
    """Most memory this process has held. Not `ru_maxrss`, which begins with that of the process it was
    started from: pytest with TensorFlow inside has more than any decoder.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
