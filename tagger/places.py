"""Paths as the platform has them: the one name of a file, and what lies in which folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

SEP = os.fsencode(os.sep)


def prefix(folder: bytes, sep: bytes = SEP) -> bytes:
    """What the path of everything below a folder begins with."""
    return folder.rstrip(sep) + sep


def is_inside(path: bytes, folder: bytes, sep: bytes = SEP) -> bool:
    """Whether a path lies below a folder. Both are as `canonical` gives them."""
    return path.startswith(prefix(folder, sep))


def below(folder: bytes, sep: bytes = SEP) -> tuple[bytes, bytes]:
    """First path below a folder, and the first after all of them: paths sort by their bytes."""
    return prefix(folder, sep), folder.rstrip(sep) + bytes([sep[0] + 1])


def canonical(path: bytes) -> bytes:
    """The full path of a file or folder with links resolved: what the database knows it by.

    Windows answers with the name as it is on the disk. macOS opens a file by any case, and by any composition
    of accents, so the file itself is asked what it is called.
    """
    real = os.path.realpath(path)
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):
            fd = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
            try:
                return fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0") or real
            finally:
                os.close(fd)
    return real
