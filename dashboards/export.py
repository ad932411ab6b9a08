"""What a page gives to take away: the lists of `tagger export`, of the tracks a page shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboards.filters import LibraryFilter, prepare
from tagger.export import BOM, csv_lines, playlist_lines
from tagger.store import Store
from tagger.store.rows import TrackRow


def to_csv(db: Path, which: LibraryFilter, ids: Sequence[int]) -> bytes:
    """Tracks as CSV in UTF-8, with a mark so that spreadsheets know.

    Parameters
    ----------
    ids : sequence of int
        These alone; where empty, all that `which` asks for.
    """
    with Store.open(db, read_only=True) as store:
        return BOM + b"".join(csv_lines(_rows(store, which, ids), store.said()))


def to_m3u8(db: Path, which: LibraryFilter, ids: Sequence[int]) -> bytes:
    """Tracks as a playlist; paths are the bytes of the file system, which on Linux is what players open.

    A path with a line break in it cannot stand in a playlist and is left out. See `to_csv` for `ids`.
    """
    with Store.open(db, read_only=True) as store:
        return b"".join(playlist_lines(_rows(store, which, ids)))


def _rows(store: Store, which: LibraryFilter, ids: Sequence[int]) -> Iterator[TrackRow]:
    return store.tracks_of(ids) if ids else prepare(store).iter_tracks(which)
