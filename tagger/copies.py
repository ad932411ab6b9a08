"""Copies that lie beside a file while they are edited: hidden, locked, swept after a crash."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from tagger.errors import TagError
from tagger.files import BLOCK_BYTES, open_regular

if sys.platform != "win32":  # which will not delete a file that is open anyway
    import fcntl

_COPY_NAME = re.compile(rb"\.tagger-[0-9a-f]{16}\.tmp")
"""Short, whatever the file is called: a suffix to its name could make that too long. Nobody else's name."""


@contextmanager
def copy_beside(target: bytes) -> Iterator[tuple[bytes, BinaryIO]]:
    """An empty file in the folder of `target`, locked against `sweep`; gone at the end unless renamed."""
    folder, name = os.path.dirname(target), b".tagger-" + secrets.token_hex(8).encode() + b".tmp"
    path = os.path.join(folder, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    for extra in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, extra, 0)
    with _held(folder) as place:
        fd = os.open(path, flags, 0o600)
        copy = os.fdopen(fd, "r+b")
        try:
            if sys.platform != "win32":
                with suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, copy
        except BaseException:
            if sys.platform == "win32":
                with suppress(OSError):
                    copy.close()
            with suppress(OSError):
                os.unlink(path if place is None else name, dir_fd=place)
            raise
        finally:
            with suppress(OSError):  # what could not be written belongs to a copy that is gone
                copy.close()


@contextmanager
def _held(folder: bytes) -> Iterator[int | None]:
    """A folder as a descriptor, which leads to it even after it was renamed; None where there is no such."""
    if os.unlink not in os.supports_dir_fd:
        yield None
        return
    fd = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _in_use(path: bytes) -> bool:
    if sys.platform != "win32":
        with open_regular(path) as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def fill(copy: BinaryIO, original: BinaryIO, size: int) -> None:
    """Copy the content; where the file system can, by sharing its blocks."""
    done = 0
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not on every file system; a full disk shows below again
            while done < size:
                count = os.copy_file_range(original.fileno(), copy.fileno(), size - done, done, done)
                if not count:
                    break
                done += count
    original.seek(done)
    copy.seek(done)
    while block := original.read(BLOCK_BYTES):
        copy.write(block)
    copy.flush()


def rename_over(path: bytes, target: bytes, *files: BinaryIO) -> None:
    """Put the file `path` into the place of `target` in one step.

    On Windows, which renames no open file and replaces none, `files` are closed before.

    Raises
    ------
    OSError
        It cannot be done; `target` is as it was.
    """
    if sys.platform == "win32":
        for file in files:
            file.close()
    os.replace(path, target)


def sweep(folder: bytes) -> list[bytes]:
    """Remove the copies that killed runs left in a folder, except those that a running one is working on.

    Returns
    -------
    list of bytes
        The paths removed; none where the folder cannot be read.
    """
    removed = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_copy_name(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError, TagError):
                    if not _in_use(entry.path):
                        os.unlink(entry.path)
                        removed.append(entry.path)
    return removed


def is_copy_name(name: bytes) -> bool:
    """Whether a file of this name is a copy that this program is editing, or left behind."""
    return _COPY_NAME.fullmatch(name) is not None
