"""Lists of tracks to take along: CSV for spreadsheets, JSON lines for programs, M3U8 for players.

Every format is made line by line, so that a library of any size fits. CSV is safe to open: no cell is taken
for a formula. What a person said of a track stands in the column ``genre``; `tagger.intake` reads it back.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tagger.copies import copy_beside, rename_over
from tagger.errors import ListError
from tagger.files import explain
from tagger.store.rows import TrackRow
from tagger.tracks import display

BOM = b"\xef\xbb\xbf"
"""Put before a CSV file, it tells spreadsheets that this is UTF-8."""

COLUMNS = (
    "path", "genre", "model_genre", "confidence", "file_genres", "title", "artist", "album", "year", "status",
    "reason", "duration_s", "tempo_bpm",
)  # fmt: skip
"""Of the CSV. ``genre`` is a person's word, empty where nobody has said anything."""

SEPARATOR = "; "
"""Between several genres in one cell; it cannot be part of one."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Said = Mapping[int, Sequence[str]]
"""What people said of tracks, by id."""


def cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, which could fetch something; see `uncell`."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def uncell(text: str) -> str:
    """The text that `cell` was given."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def csv_line(values: Iterable[str]) -> bytes:
    """One line of CSV in UTF-8, ended as RFC 4180 says."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow([cell(value) for value in values])
    return out.getvalue().encode("utf-8", "backslashreplace")


def csv_lines(rows: Iterable[TrackRow], said: Said) -> Iterator[bytes]:
    """Tracks as CSV with a header, one line each (of text; a cell may hold line breaks)."""
    yield csv_line(COLUMNS)
    for row in rows:
        yield csv_line(
            (
                display(row.path),
                SEPARATOR.join(said.get(row.id, ())),
                row.genre or "",
                "" if row.confidence is None else f"{row.confidence:.4f}",
                SEPARATOR.join(row.file_genres),
                row.title,
                row.artist,
                row.album,
                "" if row.year is None else str(row.year),
                row.status or "",
                row.reason,
                *map(_tenths, (row.duration_s, row.tempo_bpm)),
            )
        )


def _tenths(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def json_lines(rows: Iterable[TrackRow], said: Said) -> Iterator[bytes]:
    """Tracks as JSON, one object a line. A path that is not UTF-8 holds surrogate escapes (PEP 383)."""
    for row in rows:
        yield json.dumps(record(row, said.get(row.id, ()))).encode() + b"\n"


def record(row: TrackRow, labels: Sequence[str]) -> dict[str, object]:
    """A track as programs get it; `labels` are what people said of it."""
    return {
        "path": os.fsdecode(row.path),
        "status": row.status,
        "reason": row.reason,
        "genre": row.genre,
        "confidence": row.confidence,
        "genres": dict(row.probabilities),
        "file_genres": list(row.file_genres),
        "labels": list(labels),
        "artist": row.artist,
        "album": row.album,
        "title": row.title,
        "year": row.year,
        "duration_s": row.duration_s,
        "tempo_bpm": row.tempo_bpm,
        "tempo_strength": row.tempo_strength,
        "loudness_lufs": row.loudness_lufs,
        "loudness_range_lu": row.loudness_range_lu,
        "model": row.model_id,
        "missing": row.missing_since_ns is not None,
    }


def playlist_lines(
    rows: Iterable[TrackRow],
    *,
    relative_to: bytes | None = None,
    left_out: Callable[[bytes], None] = lambda _: None,
) -> Iterator[bytes]:
    """Tracks as an extended M3U playlist.

    Paths are the very bytes of the file system, which is what players on Linux open, UTF-8 or not.

    Parameters
    ----------
    relative_to : bytes, optional
        The folder the playlist will lie in: paths are then relative to it.
    left_out : callable, optional
        Is given each path that has a line break in it and so cannot stand in a playlist.
    """
    yield b"#EXTM3U\n"
    for row in rows:
        if b"\n" in row.path or b"\r" in row.path:
            left_out(row.path)
            continue
        path = row.path
        if relative_to is not None:
            path = os.path.relpath(path, relative_to)
            # "#1.mp3" would be a comment, " x.mp3" be trimmed, "a:b/c.mp3" might be taken for an address.
            if not path.startswith(b"../"):
                path = b"./" + path
        name = display(os.path.basename(row.path))
        shown = " - ".join(part for part in (row.artist, row.title or name) if part)
        line = f"#EXTINF:{round(row.duration_s or -1)},{' '.join(shown.split())}\n"
        yield line.encode("utf-8", "backslashreplace") + path + b"\n"


def write_file(path: bytes, lines: Iterable[bytes]) -> None:
    """Write a file so that there is the whole of it or what was there before, however this ends.

    Raises
    ------
    ListError
        It cannot be written; what was there is as it was.
    """
    target = os.path.realpath(path)
    try:
        with copy_beside(target) as (copy, file):
            for line in lines:
                file.write(line)
            file.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), _mode(target))
            os.fsync(file.fileno())
            rename_over(copy, target, file)
    except OSError as error:
        why = explain(error)
        if isinstance(error, FileNotFoundError):
            why = f"there is no folder {display(os.path.dirname(target))}; make it first"
        raise ListError(f"{display(path)}: cannot be written: {why}.") from error


def _mode(target: bytes) -> int:
    """Of the file there is, else what a new one gets here: others may be meant to read it."""
    try:
        return os.stat(target).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
