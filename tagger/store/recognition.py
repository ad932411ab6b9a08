"""Many files at once held against what is remembered: which are as they were, and which are not.

A night with nothing to do asks this of every file, so that it is one question for hundreds of them, and reads
of each row no more than it must.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tagger.store import rows
from tagger.store.library import Library
from tagger.store.rows import TRACK_COLUMNS, TrackRow
from tagger.store.tables import SETTLED
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
        return isinstance(track_id, int) and track_id < len(self._there) and self._there[track_id] == 1


def settled(store: Library, tracks: Sequence[Track], settings_key: str) -> dict[int, int]:
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
        Place among `tracks` to the track's id.
    """
    found: dict[int, int] = {}
    for start in range(0, len(tracks), _MOST_ASKED):
        some = tracks[start : start + _MOST_ASKED]
        # Answered by the index `tracks_settled` alone: no row is read.
        asked: list[object] = []
        for place, track in enumerate(some, start):
            asked += (place, track.path, track.size_bytes, track.mtime_ns)
        sql = (
            f"WITH files (place, path, size, time) AS (VALUES {', '.join(['(?, ?, ?, ?)'] * len(some))}) "
            "SELECT place, id FROM files CROSS JOIN tracks ON tracks.path = files.path "
            f"AND size_bytes = size AND mtime_ns = time AND settings_key = ? AND {SETTLED}"
        )
        found.update(store.query(sql, [*asked, settings_key]))
    return found


def rows_of(store: Library, tracks: Sequence[Track]) -> dict[bytes, TrackRow]:
    """What is remembered of some files, by their paths; those never met are left out."""
    found: dict[bytes, TrackRow] = {}
    for start in range(0, len(tracks), _MOST_ASKED):
        some = tracks[start : start + _MOST_ASKED]
        sql = f"SELECT {TRACK_COLUMNS} FROM tracks WHERE path IN ({', '.join('?' * len(some))})"
        for row in map(rows.track_row, store.query(sql, [track.path for track in some])):
            found[row.path] = row
    return found
