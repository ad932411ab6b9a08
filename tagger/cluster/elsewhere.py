"""Listening elsewhere: the address of a cluster, and which path stands there for which path here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace

from tagger.places import SEP, is_inside, prefix
from tagger.tracks import Heard, display

PathMap = tuple[bytes, bytes]
"""A folder here, and the same folder there; both are full paths."""

_ADDRESS = re.compile(r"(tcp|tls)://([\w.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", re.ASCII)


def check_address(value: object) -> str:
    """The address of a Dask scheduler, as it is.

    Raises
    ------
    ValueError
        It is none; the message ends a sentence that begins with its name.
    """
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError(f"is {value!r:.60}, but must be an address such as 'tcp://nas:8786'")
    return value


def check_maps(value: object) -> tuple[PathMap, ...]:
    """Pairs of folders, from texts such as ``"/mnt/nas=/data/music"``: here, and there.

    Of several equal signs that counts which stands between two full paths, the first such.

    Raises
    ------
    ValueError
        A text is no such pair, or two begin with the same folder; the message is as in `check_address`.
    """
    texts = value if isinstance(value, list | tuple) else [None]
    maps: dict[bytes, bytes] = {}
    for text in texts:
        pair = _pair(os.fsencode(text)) if isinstance(text, str) else None
        if pair is None:
            allowed = "pairs of full paths, here and there, such as '/mnt/nas=/data/music'"
            raise ValueError(f"is {value if text is None else text!r:.60}, but must be {allowed}")
        if maps.setdefault(*pair) != pair[1]:
            raise ValueError(f"has two places for {display(pair[0])}")
    return tuple(maps.items())


def _pair(text: bytes) -> PathMap | None:
    for place, sign in enumerate(text):
        here, there = text[:place], text[place + 1 :]
        if sign == ord("=") and os.path.isabs(here) and there.startswith(b"/") and b"\0" not in text:
            return os.path.normpath(here), os.path.normpath(there)
    return None


def to_there(path: bytes, maps: Iterable[PathMap], sep: bytes = SEP) -> bytes:
    """A path as the other machine has it: by the longest folder that fits, or else as it is."""
    fits = [(here, there) for here, there in maps if path == here or is_inside(path, here, sep)]
    if not fits:
        return path
    here, there = max(fits, key=lambda pair: len(pair[0]))
    rest = path[len(prefix(here, sep)) :].replace(sep, b"/")
    return prefix(there, b"/") + rest if rest else there


def at_home(heard: Heard, path: bytes, there: bytes) -> Heard:
    """A report from another machine, where the file is called `there`, under the path it has here."""
    return replace(heard, path=path, reason=heard.reason.replace(display(there), display(path)))
