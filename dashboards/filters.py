"""Which tracks the library page is about: one condition in SQL for the table, the charts and the export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from tagger.review import Lineage, disagree
from tagger.store import Store
from tagger.store.columns import plain
from tagger.store.filters import TrackFilter
from tagger.store.tallies import NO_YEAR
from tagger.tracks import Status

NO_GENRE = "(none)"
"""Stands for the tracks to which the model gives no genre."""
GONE = "gone"
"""Stands beside the names of `Status` for tracks whose file is no longer on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFilter:
    """Which tracks; every condition given must hold. Empty texts and None ask for nothing."""

    text: str = ""
    genre: str = ""
    """A label of the model, or `NO_GENRE`."""
    status: str = ""
    """One of `Status`, or `GONE`."""
    confidence: tuple[float, float] = (0.0, 1.0)
    """Least and most, 0-1; the whole range includes tracks without an estimate."""
    artist: str = ""
    """Words in the artist's name, each the beginning of one."""
    folder: str = ""
    """As shown: tracks anywhere below it."""
    years: tuple[int | None, int | None] = (None, None)
    """First and last, both included."""
    tagged: bool | None = None
    """Whether the file itself has a genre."""
    disagrees: bool = False
    """The file's genre and the model's are different ones, and neither lies above the other."""
    parents: Lineage = ()
    """The user's hierarchy, in which they may."""

    def where(self) -> tuple[str, list[object]]:
        """SQL condition on `tracks`, and its parameters; needs `prepare`."""
        low, high = self.confidence
        folder = _storable(self.folder).rstrip("/")
        shown_only = "\\" in folder  # perhaps it stands for bytes that could not be shown
        base = TrackFilter(
            folder=folder.encode() if folder and not shown_only else None,
            text=self.text,
            genre=self.genre if self.genre not in ("", NO_GENRE) else None,
            status=Status(self.status) if self.status not in ("", GONE) else None,
            min_confidence=low if low > 0 else None,
            max_confidence=high if high < 1 else None,
            missing=self.status == GONE,
        )
        clause, params = base.where()
        clauses = [clause]

        def add(clause: str, *values: object) -> None:
            clauses.append(clause)
            params.extend(values)

        if self.genre == NO_GENRE:
            add("genre IS NULL")
        if words := [word.replace('"', '""') for word in _storable(self.artist).split()]:
            query = " AND ".join(f'artist : "{word}" *' for word in words)
            add("tracks.id IN (SELECT rowid FROM tracks_fts WHERE tracks_fts MATCH ?)", query)
        if shown_only:
            add("display >= ? AND display < ?", f"{folder}/", f"{folder}0")  # "0" follows "/"
        first, last = self.years
        if first is not None:
            add("year >= ?", first)
        if last is not None:
            add("year <= ?", last)
        if self.tagged is not None:
            add(f"file_genres {'<>' if self.tagged else '='} '[]'")
        if self.disagrees:
            add(
                "genre IS NOT NULL AND file_genres <> '[]' AND disagree(file_genres, genre, ?)",
                json.dumps(self.parents),
            )
        return " AND ".join(clauses), params

    def tallied(self) -> tuple[str, list[object]] | None:
        """The same condition on the table `tallies`; None where that has not what is asked for."""
        if self.text.strip() or self.artist.strip() or self.folder.strip() or self.disagrees:
            return None
        if self.confidence != (0.0, 1.0):
            return None
        first, last = self.years
        asked: list[tuple[str, object]] = [("gone = ?", int(self.status == GONE))]
        if self.genre:
            asked.append(("genre = ?", "" if self.genre == NO_GENRE else _storable(self.genre)))
        if self.status not in ("", GONE):
            asked.append(("status = ?", Status(self.status).value))
        if first is not None or last is not None:
            asked.append(("year > ?", NO_YEAR))
        if first is not None:
            asked.append(("year >= ?", first))
        if last is not None:
            asked.append(("year <= ?", last))
        if self.tagged is not None:
            asked.append(("tagged = ?", int(self.tagged)))
        return " AND ".join(clause for clause, _ in asked), [value for _, value in asked]


def prepare(store: Store) -> Store:
    """Teach an open database the functions that the conditions here use."""
    store.add_function("disagree", _disagree, 3)
    return store


@lru_cache(maxsize=65536)
def _disagree(file_genres: str, label: str | None, parents: str) -> int:
    # SQLite may ask beyond an AND that has failed already: about tracks without a genre, too.
    if not label:
        return 0
    return int(disagree(file_genres, label, tuple((child, parent) for child, parent in json.loads(parents))))


def _storable(text: str) -> str:
    return str(plain(text)).strip()
