"""Opening files that may be anything: regular files only, never waiting, every failure one sentence."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from tagger.errors import RefusedError, TagError
from tagger.tracks import display

BLOCK_BYTES = 1 << 20
"""How much is read at a time: bounds the memory of everything that reads a whole file."""

# A FIFO opened for reading waits for a writer: forever, where it is called x.mp3 in a music folder.
# O_NONBLOCK makes the open return at once, and the fstat after it decides. Windows has neither flag.
_READ_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "permission denied; check the owner and mode of the file and its folder",
    errno.EPERM: "the operation is not permitted; the file or its folder may be marked immutable",
    errno.ENOENT: "there is no such file or folder",
    errno.EIO: "the disk reported an input/output error; check the disk",
    errno.ELOOP: "its symbolic links go round in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open",
    errno.ESTALE: "the network share has lost the file; mount it again",
}
_REFUSALS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def no_such_file(path: bytes) -> str:
    """The sentence on a path that a person named and where nothing is; else empty."""
    return "" if os.path.lexists(path) else f"{display(path)}: there is no such file"


def explain(error: OSError) -> str:
    """What went wrong, in words a person can act on."""
    return _ADVICE.get(error.errno or 0) or (error.strerror or "the file system failed").lower()


def os_failure(doing: str, path: bytes, error: OSError) -> TagError:
    """The error to raise for a failed system call on a file that was there: refused where permission is
    lacking, else failed.

    Parameters
    ----------
    doing : str
        What was being attempted: ``"write"``, of the file itself, or ``"read its tags"``.
    path : bytes
        The file it was attempted on.
    error : OSError
        What the system said.
    """
    kind = RefusedError if error.errno in _REFUSALS else TagError
    what = doing if " " in doing else f"{doing} it"
    why = "the file is not there any more" if error.errno == errno.ENOENT else explain(error)
    return kind(f"{display(path)}: cannot {what}: {why}")


def open_regular(path: bytes) -> BinaryIO:
    """Open a regular file for reading; a FIFO, socket, device or folder is never waited for or read.

    Raises
    ------
    OSError
        The file cannot be opened.
    TagError
        It is not a regular file.
    """
    try:
        fd = os.open(path, _READ_FLAGS)
    except ValueError as error:  # a NUL byte in the path
        raise TagError(f"{display(path)}: this is not a possible file name") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise TagError(f"{display(path)}: not a regular file, so it cannot hold music")
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def size_of(file: BinaryIO) -> int:
    """Size of an open file in bytes."""
    return file.seek(0, os.SEEK_END)


def read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Read at most `length` bytes at `offset`: fewer where the file ends, none where it is past the end or
    where `length`, from sizes in a damaged file, is negative."""
    file.seek(offset)
    return file.read(max(length, 0))


class ForgivingSource:
    """A file as ffmpeg may read it: an impossible seek is an error code; an exception would be printed."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1
