"""Folders watched for what is new: told once it has settled, and never of what this program wrote itself.

What is new is asked of the database, not of the clock: a file whose size and time are those the last run
recorded is no news, whoever touched it. So a run's own writes, of which the system tells like of any other,
start nothing. An event says only that it is worth looking; the run that follows walks the folders as always.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagger.errors import ConfigError, TaggerError
from tagger.formats.sniff import by_content, by_suffix
from tagger.places import SEP, is_inside
from tagger.scan import SERVICE_FOLDERS
from tagger.store import Store, TrackFilter
from tagger.tracks import display

POLL_MS = 10_000
"""How often all files are looked at where the system does not tell of changes."""
STEP_MS = 500

NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "davfs", "fuse.glusterfs")
) | {"fuse.sshfs", "fuse.rclone"}
"""File systems on which the system does not tell of what other machines change."""


def settled(roots: Sequence[bytes], *, settle_s: float, poll: bool) -> Iterator[frozenset[bytes]]:
    """Watch folders for ever; ended by KeyboardInterrupt.

    Parameters
    ----------
    roots
        Folders, which exist.
    settle_s
        Yield only when nothing has changed for so long: a file that is still being copied is not finished.
    poll
        Look at all files time and again instead of being told.

    Yields
    ------
    frozenset of bytes
        First an empty set, when the watch has begun, then the paths of what has changed, each time it has
        settled. Names that are not UTF-8 are not told of by the system's watcher; polling does not help.

    Raises
    ------
    ConfigError
        The watcher is not installed, or the system allows no more folders to be watched.
    """
    try:
        import watchfiles
    except ImportError:
        raise ConfigError("Watching is not installed; `pip install 'tagger[watch]'` installs it.") from None
    changes = watchfiles.watch(
        *(os.fsdecode(root) for root in roots),
        watch_filter=None,
        debounce=STEP_MS,
        rust_timeout=STEP_MS,
        yield_on_timeout=True,
        force_polling=poll or None,
        poll_delay_ms=POLL_MS,
        ignore_permission_denied=True,
    )
    pending: set[bytes] = set()
    last_s = 0.0
    try:
        for number, events in enumerate(changes):
            if not number:
                yield frozenset()
            if events:
                pending |= {os.fsencode(path) for _, path in events}
                last_s = time.monotonic()
            elif pending and time.monotonic() - last_s >= settle_s:
                told, pending = frozenset(pending), set()
                yield told
    except OSError as error:
        raise ConfigError(
            f"The folders cannot be watched: {error}; raise the system's limit of watched folders "
            "(fs.inotify.max_user_watches on Linux), or use --poll."
        ) from error


def is_news(store: Store | None, path: bytes, roots: Sequence[bytes]) -> bool:
    """Whether a path of which the system told is worth a run.

    Parameters
    ----------
    store
        What is remembered; None where nothing is yet.
    path
        Of anything: what is no music, hidden, or as it was recorded is no news.
    roots
        The folders that are watched.
    """
    inside = next((path[len(root) :] for root in roots if is_inside(path, root)), b"")
    parts = inside.strip(SEP).split(SEP)
    if any(part.startswith(b".") or part in SERVICE_FOLDERS for part in parts):
        return False
    row = store.find(path) if store is not None else None
    try:
        status = os.stat(path)
    except OSError:  # gone: news if it was known, or a folder that held what is known
        return (row is not None and row.missing_since_ns is None) or _held_something(store, path)
    if stat.S_ISDIR(status.st_mode):
        return _holds_news(store, path, roots)
    if row is not None and row.missing_since_ns is None:
        return (row.size_bytes, row.mtime_ns) != (status.st_size, status.st_mtime_ns)
    try:
        likely = by_suffix(parts[-1])
        return stat.S_ISREG(status.st_mode) and (by_content(path) if likely is None else likely)
    except OSError:
        return False


def _held_something(store: Store | None, folder: bytes) -> bool:
    return store is not None and store.count_tracks(TrackFilter(folder=folder, missing=False)) > 0


def _holds_news(store: Store | None, folder: bytes, roots: Sequence[bytes]) -> bool:
    """Of a folder that was moved here as a whole, the system tells of nothing inside."""
    try:
        with os.scandir(folder) as entries:
            inner = [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:
        return False
    return any(is_news(store, path, roots) for path in inner)


def on_network(folder: bytes, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a folder lies on a network file system, as far as the system tells (Linux)."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return False
    kinds = {}
    for line in lines:
        words = line.split(b" ")
        if len(words) > 2:  # a space in a path is \040
            kinds[words[1].decode("unicode_escape").encode("latin-1")] = words[2].decode("ascii", "replace")
    place = os.path.realpath(folder)
    while place not in kinds and place != os.path.dirname(place):
        place = os.path.dirname(place)
    return kinds.get(place, "") in NETWORK


def check_folders(roots: Sequence[bytes]) -> None:
    """Refuse what cannot be watched.

    Raises
    ------
    TaggerError
        It is not a folder, or not there.
    """
    for root in roots:
        if not os.path.isdir(root):
            raise TaggerError(f"{display(root)} is not a folder that is there, so it cannot be watched.")
