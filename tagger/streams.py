"""Standard input, output and error as a program may find them: closed, full, or of another encoding."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EAGAIN, errno.EBADF}
"""What only a stream that was open says: the errors of files of ours are told with their names."""


def prepare() -> None:
    """Open the streams that are closed, and let none fail for a character that it cannot print."""
    # The next file that is opened would get the number of a closed one: a song, or the database. One that is
    # opened the wrong way round fails when it is used; what would be said to nobody is swallowed.
    for fd, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        _let_print(stream)


def _let_print(stream: TextIO) -> None:
    """Escape what the encoding lacks. In UTF-8 only bytes of a name may be lacking, and may be given back."""
    utf8 = stream.encoding.lower() in ("utf-8", "utf8")
    if stream.errors == "strict" or (stream.errors == "surrogateescape" and not utf8):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]


def unwritable(error: OSError | None = None) -> str:
    """Why output cannot be written, or empty where it can. What is left of it is dropped then.

    Parameters
    ----------
    error : OSError, optional
        What ended a command; some other trouble may have.
    """
    why = ""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as lost:
            if lost.errno != errno.EPIPE:  # `tagger ls | head`: nobody reads any more
                why = why or str(lost.strerror)
            # The interpreter's own flush must not fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if not why and error is not None and error.filename is None and error.errno in _OF_WRITING:
        why = str(error.strerror)  # a long text is not kept for the flush
    return why
