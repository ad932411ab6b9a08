"""Corrections from a CSV file: which line is about which track, and why a line is left out.

The file has a header with the columns ``path`` and ``genre``, others do not matter: what `tagger export`
writes, filled in, or what the dashboard's review gives to take away.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tagger.config import Config
from tagger.errors import ConfigError, ListError
from tagger.export import uncell
from tagger.files import explain, open_regular
from tagger.genres import genre_key
from tagger.labels import split_genres, written_name
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tracks import display

MAX_BYTES = 1 << 28
"""256 MB: a list of a million tracks; more is no list."""

_DELIMITERS = (",", ";", "\t")
"""Spreadsheets write another one in each country."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file that is about a track."""

    number: int
    """As editors count."""
    path: str
    genre: str
    track: TrackRow | None = None
    genres: tuple[str, ...] = ()
    left_out: str = ""
    """Why it is left out; empty where it is taken."""
    failed: bool = False
    """It asks for something that cannot be done, rather than for nothing."""


def read_lines(path: bytes) -> list[Line]:
    """The lines of a CSV file that have a path or a genre.

    Raises
    ------
    ListError
        It cannot be read, is not CSV in UTF-8, or lacks one of the columns.
    """
    name = display(path)
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ListError(f"{name}: cannot be read: {explain(error)}.") from error
    if len(raw) > MAX_BYTES:
        raise ListError(f"{name}: is larger than {MAX_BYTES >> 20} MB, so no list of tracks.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ListError(f"{name}: line {line} is not UTF-8; save the file as CSV in UTF-8.") from error
    header = text.splitlines()[0].lower() if text.strip() else ""
    for delimiter in _DELIMITERS:
        names = [column.strip() for column in next(csv.reader([header], delimiter=delimiter), [])]
        if "path" in names and "genre" in names:
            break
    else:
        raise ListError(f"{name}: its first line must name the columns path and genre; see `tagger export`.")
    at_path, at_genre = names.index("path"), names.index("genre")
    lines: list[Line] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        next(reader)
        number = reader.line_num + 1
        for fields in reader:
            cells = [*fields, *[""] * (max(at_path, at_genre) + 1 - len(fields))]
            shown, genre = uncell(cells[at_path]), uncell(cells[at_genre]).strip()
            if shown or genre:
                lines.append(Line(number, shown, genre))
            number = reader.line_num + 1
    except csv.Error as error:
        raise ListError(f"{name}: line {reader.line_num} is not CSV: {error}.") from error
    return lines


def match(
    store: Store, lines: Sequence[Line], config: Config, *, folder: bytes, write: bool = False
) -> list[Line]:
    """Find the tracks that lines are about, and leave out what cannot or need not be taken.

    Parameters
    ----------
    folder : bytes
        What relative paths are relative to: where the file lies.
    write : bool
        The genres are for the files, too: what was said before may not be in them yet.
    """
    found = _Finder(store, folder)
    said = {} if write else store.said()
    matched = [_matched(line, found, said, config) for line in lines]
    counts: dict[int, int] = {}
    for at in range(len(matched) - 1, -1, -1):  # of two lines about one track the later counts
        line = matched[at]
        if line.track is not None and counts.setdefault(line.track.id, line.number) != line.number:
            why = f"line {counts[line.track.id]} is about the same track, and counts"
            matched[at] = replace(line, genres=(), left_out=why)
    return matched


class _Finder:
    """Tracks by the text that stands for their path."""

    def __init__(self, store: Store, folder: bytes) -> None:
        self.store, self.folder = store, folder
        self.shown: dict[str, list[int]] | None = None

    def find(self, text: str) -> list[TrackRow]:
        """The tracks that a text may mean: several where two paths look the same."""
        path = os.path.join(self.folder, text.encode())
        rows = [] if b"\0" in path else [self.store.find(path) or self.store.find(os.path.realpath(path))]
        found = {row.id: row for row in rows if row is not None}
        if not found or "\\" in text:  # what is not UTF-8 or a control character is shown as \xNN
            if self.shown is None:
                self.shown = {}
                for track_id, shown in self.store.query("SELECT id, display FROM tracks"):
                    self.shown.setdefault(shown, []).append(track_id)
            for track_id in self.shown.get(text, ()):
                if track_id not in found and (row := self.store.track(track_id)) is not None:
                    found[track_id] = row
        return list(found.values())


def _matched(line: Line, finder: _Finder, said: dict[int, list[str]], config: Config) -> Line:
    if not line.genre:
        return replace(line, left_out="no genre is given")
    if not line.path:
        return replace(line, left_out="no path is given", failed=True)
    genres = split_genres(line.genre)
    try:
        for genre in genres:
            written_name(genre, config.genres)
    except ConfigError as error:
        return replace(line, left_out=str(error).rstrip("."), failed=True)
    rows = finder.find(line.path)
    if len(rows) != 1:
        why = "several tracks are shown like this" if rows else "is not in the database: `tagger scan` it"
        return replace(line, left_out=why, failed=True)
    if _keys(said.get(rows[0].id, ())) == _keys(genres):
        return replace(line, track=rows[0], left_out="was said before")
    return replace(line, track=rows[0], genres=genres)


def _keys(genres: Iterable[str]) -> list[str]:
    """In their order, which counts: the first is the one players show."""
    return list(dict.fromkeys(map(genre_key, genres)))
