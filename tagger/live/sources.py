"""Where sound that is still coming in comes from: standard input, a growing file, an address. Bytes only.

This is the one module that uses the network, and only for an address that the user named.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tagger.errors import AudioError, TagError
from tagger.files import explain, open_regular
from tagger.tracks import display

STANDARD_INPUT = b"-"
GIVE_UP_S = 30.0
"""A file that has not grown for so long is finished; a server that has sent nothing for so long is dead."""

_READ_BYTES = 16384
_POLL_S = 0.1
_WEB = (b"http://", b"https://")


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source.

    `chunks` yields bytes as they arrive, waiting for them; it ends where the source has come to its proper
    end, and raises `AudioError` where it broke. `paced` says that it sets its own pace: whoever falls behind
    must catch up. A pipe waits.
    """

    name: str
    paced: bool
    chunks: Iterator[bytes]


def is_address(source: bytes) -> bool:
    """Whether this names a stream and not a file."""
    return source.lower().startswith(_WEB)


def open_source(source: bytes, *, give_up_s: float = GIVE_UP_S) -> Source:
    """Open a source by its name.

    Parameters
    ----------
    source : bytes
        ``b"-"`` for standard input, an address that begins with http:// or https://, or the path of a file,
        which may still be growing.
    give_up_s : float
        Longest wait for more, in seconds. Standard input is waited for without end.

    Raises
    ------
    AudioError
        It cannot be opened.
    """
    if source == STANDARD_INPUT:
        return Source("standard input", False, _from_pipe(0))
    if is_address(source):
        return Source(
            display(source), True, _from_server(source.decode("utf-8", "surrogateescape"), give_up_s)
        )
    try:
        file = open_regular(source)
    except (OSError, TagError) as error:
        why = explain(error) if isinstance(error, OSError) else "it is not a regular file"
        raise AudioError(f"{display(source)}: cannot read it: {why}") from error
    return Source(display(source), True, _from_file(file, display(source), give_up_s))


def _from_pipe(fd: int) -> Iterator[bytes]:
    # Not sys.stdin.buffer: a thread that waits in it holds its lock, and the interpreter could not end.
    try:
        while data := os.read(fd, _READ_BYTES):
            yield data
    except OSError as error:
        raise AudioError(f"Standard input cannot be read: {explain(error)}") from error


def _from_file(file: BinaryIO, name: str, give_up_s: float) -> Iterator[bytes]:
    with file:
        n_read, grown_s = 0, time.monotonic()
        while time.monotonic() - grown_s < give_up_s:
            try:
                data = file.read(_READ_BYTES)
                size = os.fstat(file.fileno()).st_size
            except OSError as error:
                raise AudioError(f"{name}: cannot be read any further: {explain(error)}") from error
            if size < n_read:
                raise AudioError(f"{name}: the file was cut short while it was being listened to")
            if data:
                n_read, grown_s = n_read + len(data), time.monotonic()
                yield data
            else:
                time.sleep(_POLL_S)


def _from_server(address: str, give_up_s: float) -> Iterator[bytes]:
    """Connects at once, and returns what reads on."""
    import http.client
    import urllib.error
    import urllib.request

    name = display(os.fsencode(address))
    failures = (OSError, http.client.HTTPException)
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(address, headers={"User-Agent": "tagger", "Accept": "audio/*, */*;q=0.1"}),
            timeout=give_up_s,
        )
    except urllib.error.HTTPError as error:
        raise AudioError(f"{name}: the server answers {error.code} {error.reason}") from error
    except ValueError as error:
        raise AudioError(f"{name}: this is no address of a stream") from error
    except failures as error:
        raise AudioError(f"{name}: cannot be reached: {_why(error)}") from error

    def chunks() -> Iterator[bytes]:
        stated, n_read = response.length, 0
        with response:
            try:
                while n_read != stated and (data := response.read1(_READ_BYTES)):
                    n_read += len(data)
                    yield data
            except TimeoutError:
                raise AudioError(f"{name}: the server has sent nothing for {give_up_s:.0f} s") from None
            except failures as error:
                raise AudioError(f"{name}: the connection broke: {_why(error)}") from error
            if stated is None and not response.chunked:  # a station's stream has no end of its own
                raise AudioError(f"{name}: the server has closed the stream")
            if stated is not None and n_read < stated:
                raise AudioError(f"{name}: the server broke off before the end")

    return chunks()


def _why(error: Exception) -> str:
    """What the system says of a connection, without its numbers."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, str):
        return inner
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    if untrusted := getattr(inner, "verify_message", ""):  # of a certificate
        return f"its certificate is not trusted ({untrusted})"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return "what the server says is not HTTP"
