"""Lists of tracks to take away: CSV for spreadsheets, M3U8 for players."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboards.filters import LibraryFilter, prepare
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tracks import display

_HEADER = (
    *(
        "path",
        "title",
        "artist",
        "album",
        "year",
        "model_genre",
        "confidence",
        "file_genres",
        "status",
        "reason",
    ),
    "duration_s",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(db: Path, which: LibraryFilter, ids: Sequence[int]) -> bytes:
    """Tracks as CSV in UTF-8, with a mark so that spreadsheets know.

    Parameters
    ----------
    ids : sequence of int
        These alone; where empty, all that `which` asks for.
    """
    out = io.StringIO(newline="")
    table = csv.writer(out)
    table.writerow(_HEADER)
    for row in _rows(db, which, ids):
        table.writerow(
            [
                _inert(display(row.path)),
                *map(_inert, (row.title, row.artist, row.album)),
                row.year if row.year is not None else "",
                row.genre or "",
                "" if row.confidence is None else f"{row.confidence:.4f}",
                _inert("; ".join(row.file_genres)),
                row.status or "",
                _inert(row.reason),
                "" if row.duration_s is None else f"{row.duration_s:.1f}",
            ]
        )
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "backslashreplace")


def to_m3u8(db: Path, which: LibraryFilter, ids: Sequence[int]) -> bytes:
    """Tracks as a playlist; paths are the bytes of the file system, which on Linux is what players open.

    A path with a line break in it cannot stand in a playlist and is left out. See `to_csv` for `ids`.
    """
    lines = [b"#EXTM3U"]
    for row in _rows(db, which, ids):
        if b"\n" in row.path or b"\r" in row.path:
            continue
        name = display(os.path.basename(row.path))
        shown = " - ".join(part for part in (row.artist, row.title or name) if part)
        line = f"#EXTINF:{round(row.duration_s or -1)},{' '.join(shown.split())}"
        lines += [line.encode("utf-8", "backslashreplace"), row.path]
    return b"\n".join(lines) + b"\n"


def _rows(db: Path, which: LibraryFilter, ids: Sequence[int]) -> Iterator[TrackRow]:
    with Store.open(db, read_only=True) as store:
        if ids:
            yield from filter(None, map(store.track, ids))
        else:
            prepare(store)
            yield from store.iter_tracks(which)


def _inert(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, which could fetch something."""
    return f"'{text}" if text.startswith(_FORMULA) else text
