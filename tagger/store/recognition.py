"""Many files at once held against what is remembered: which are as they were, and which are not.

A night with nothing to do asks this of every file, so that it is one question for hundreds of them, and reads
of each row no more than it must.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tagger.store import rows
from tagger.store.library import Library
from tagger.store.rows import TRACK_COLUMNS, TrackRow
from tagger.tracks import Status, Track

_MOST_ASKED = 500
"""Paths in one question; older versions of SQLite take 999 parameters."""

WRITTEN_AGAIN = frozenset({Status.REFUSED, Status.CHANGED_MEANWHILE, Status.FAILED})
"""Writing is tried again in the next run: what stood in its way may be gone without the file showing it."""

_AGAIN = ", ".join(f"'{status}'" for status in sorted(WRITTEN_AGAIN))


class Ids:
    """A set of track ids, one byte for each: of a million tracks a megabyte."""

    def __init__(self) -> None:
        self._there = bytearray(1024)

    def add(self, track_id: int) -> None:
        """Put an id in; ids are positive."""
        self.update((track_id,))

    def update(self, ids: Collection[int]) -> None:
        """Put ids in."""
        there = self._there
        highest = max(ids, default=0)
        if highest >= len(there):
            there.extend(bytes(max(highest + 1 - len(there), len(there))))
        for track_id in ids:
            there[track_id] = 1

    def __contains__(self, track_id: object) -> bool:
        return isinstance(track_id, int) and 0 <= track_id < len(self._there) and self._there[track_id] > 0


def settled(store: Library, tracks: Sequence[Track], settings_key: str) -> dict[bytes, int]:
    """Those of some files with which a run has nothing to do, whatever is in their rows besides.

    They have the size and time that were recorded, are not marked as missing, were heard, and were decided
    under this settings_key, with an outcome after which nothing is tried again.

    Parameters
    ----------
    settings_key
        See `Store.set_outcome`.

    Returns
    -------
    dict
        Path to the track's id.
    """
    found: dict[bytes, int] = {}
    for some in _parts(tracks):
        asked = store.query(
            "SELECT path, size_bytes, mtime_ns, id FROM tracks "
            f"WHERE path IN ({_marks(some)}) AND settings_key = ? AND model_id IS NOT NULL "
            f"AND missing_since_ns IS NULL AND status NOT IN ({_AGAIN})",
            [*(track.path for track in some), settings_key],
        )
        recorded = {row[:3]: row[3] for row in asked}
        for track in some:
            track_id = recorded.get((track.path, track.size_bytes, track.mtime_ns))
            if track_id is not None:
                found[track.path] = track_id
    return found


def rows_of(store: Library, tracks: Sequence[Track]) -> dict[bytes, TrackRow]:
    """What is remembered of some files, by their paths; those never met are left out."""
    found: dict[bytes, TrackRow] = {}
    for some in _parts(tracks):
        sql = f"SELECT {TRACK_COLUMNS} FROM tracks WHERE path IN ({_marks(some)})"
        for row in map(rows.track_row, store.query(sql, [track.path for track in some])):
            found[row.path] = row
    return found


def _parts(tracks: Sequence[Track]) -> Iterator[Sequence[Track]]:
    for start in range(0, len(tracks), _MOST_ASKED):
        yield tracks[start : start + _MOST_ASKED]


def _marks(some: Sequence[Track]) -> str:
    return ", ".join("?" * len(some))
