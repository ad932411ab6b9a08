"""From the database to data frames: pages of tracks, counts for charts, runs. Knows nothing of Streamlit.

No question here ever reads the whole table into memory: pages are cut by LIMIT and OFFSET, and counts are
made by the database. `store` has gone through `dashboards.filters.prepare`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dashboards.filters import LibraryFilter
from dashboards.timeline import local_time
from tagger.learning.heads import NONMUSIC
from tagger.store import Store
from tagger.store.columns import names_from_json, state_from_json
from tagger.store.tables import LEAD
from tagger.store.tallies import STEPS
from tagger.tracks import FAILURES, display

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDERS: Mapping[str, str] = {
    "path": "path",
    "artist": "artist COLLATE NOCASE, album COLLATE NOCASE, id",
    "title": "title COLLATE NOCASE, id",
    "genre": "genre, confidence, id",
    "least sure": "confidence NULLS LAST, id",
    "most sure": "confidence DESC, id DESC",
    "longest": "duration_s DESC, id DESC",
    "slowest": "tempo_bpm NULLS LAST, id",
    "fastest": "tempo_bpm DESC, id DESC",
    "newest": "id DESC",
}
"""What a list may be sorted by, and how; ties by what the index at hand has."""

CONFIDENCE_STEPS = STEPS
"""Bars of the histogram of confidence."""

_LISTED = (
    "id, title, artist, album, year, genre, confidence, file_genres, status, duration_s, tempo_bpm, display, "
    "CASE WHEN missing_since_ns IS NULL THEN '' ELSE 'gone' END AS gone"
)
_FAILED = ", ".join(f"'{status}'" for status in sorted(FAILURES))


def count(store: Store, which: LibraryFilter) -> int:
    """How many tracks there are."""
    if tallied := which.tallied():
        sql = f"SELECT coalesce(sum(n), 0) FROM tallies WHERE {tallied[0]}"
        return int(store.query(sql, tallied[1])[0][0])
    where, params = which.where()
    return int(store.query(f"SELECT count(*) FROM tracks WHERE {where}", params)[0][0])


def tracks(
    store: Store, which: LibraryFilter, *, order: str = "path", limit: int = 50, offset: int = 0
) -> pd.DataFrame:
    """One page of the list.

    Parameters
    ----------
    order : str
        A key of `ORDERS`.

    Returns
    -------
    DataFrame
        Columns id, title, artist, album, year, genre, confidence (0-1), in_file, status, duration_s,
        tempo_bpm, path.
    """
    where, params = which.where()
    # The sorter carries ids alone, and only the page's own rows are read in full.
    found = store.query(
        f"SELECT {_LISTED} FROM tracks WHERE id IN "
        f"(SELECT id FROM tracks WHERE {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?) "
        f"ORDER BY {ORDERS[order]}",
        (*params, limit, offset),
    )
    return track_frame(found)


def tracks_by_id(store: Store, ids: Sequence[int]) -> pd.DataFrame:
    """The tracks of these ids, in their order; unknown ones are left out."""
    found = store.query(
        f"SELECT {_LISTED} FROM tracks WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([int(i) for i in ids]),),
    )
    by_id = {row[0]: row for row in found}
    return track_frame([by_id[i] for i in ids if i in by_id])


def track_frame(found: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows of the list as a frame with columns of one type each, whatever stands in the files."""
    names = [
        "id", "title", "artist", "album", "year", "genre", "confidence", "in_file", "status", "duration_s",
        "tempo_bpm", "path", "gone",
    ]  # fmt: skip
    frame = pd.DataFrame([list(row) for row in found], columns=names)
    frame["in_file"] = [" · ".join(names_from_json(value)) for value in frame["in_file"]]
    frame["status"] = [
        gone or _words(status) for status, gone in zip(frame["status"], frame["gone"], strict=True)
    ]
    for name in ("title", "artist", "album", "genre", "in_file", "path"):
        frame[name] = frame[name].fillna("").astype(str)
    # Years in tags go beyond 64 bits' worth of nonsense; a float column holds them all.
    for name in ("year", "confidence", "duration_s", "tempo_bpm"):
        frame[name] = frame[name].astype("Float64")
    return frame.drop(columns="gone")


def _words(status: str | None) -> str:
    return (status or "").replace("_", " ")


def overview(store: Store, which: LibraryFilter) -> pd.DataFrame:
    """Everything the library's charts count, in one pass over the tracks.

    Returns
    -------
    DataFrame
        Columns genre ("" for none), status, decade (None where the year is absent or absurd), step (0-19: of
        the confidence, None without an estimate), n.
    """
    names = ["genre", "status", "decade", "step", "n", "n_with_tag", "seconds"]
    if tallied := which.tallied():
        found = store.query(
            "SELECT genre, status, CASE WHEN year BETWEEN 1900 AND 2100 THEN year / 10 * 10 END, "
            "nullif(step, -1), sum(n), sum(CASE WHEN tagged THEN n ELSE 0 END), sum(ms) / 1000.0 "
            f"FROM tallies WHERE {tallied[0]} GROUP BY 1, 2, 3, 4",
            tallied[1],
        )
        return pd.DataFrame([list(row) for row in found], columns=names)
    where, params = which.where()
    found = store.query(
        "SELECT coalesce(genre, ''), coalesce(status, ''), "
        "CASE WHEN year BETWEEN 1900 AND 2100 THEN year / 10 * 10 END, "
        f"min(CAST(confidence * {CONFIDENCE_STEPS} AS INTEGER), {CONFIDENCE_STEPS - 1}), count(*), "
        "sum(file_genres <> '[]'), coalesce(sum(duration_s), 0.0) "
        f"FROM tracks WHERE {where} GROUP BY 1, 2, 3, 4",
        params,
    )
    return pd.DataFrame([list(row) for row in found], columns=names)


def folders(store: Store, *, limit: int = 200) -> list[str]:
    """The scanned folders and the folders directly below them that hold tracks, as shown; sorted."""
    found: set[str] = set()
    for (root,) in store.query("SELECT DISTINCT root FROM tracks"):
        stem = root.rstrip(b"/")
        found.add(display(stem))
        # From folder to folder along the index of paths, never from track to track.
        at, end = stem + b"/", stem + b"0"  # "0" follows "/"
        while len(found) < limit:
            row = store.query(
                "SELECT path FROM tracks WHERE path > ? AND path < ? ORDER BY path LIMIT 1", (at, end)
            )
            if not row:
                break
            path: bytes = row[0][0]
            name, slash, _ = path[len(stem) + 1 :].partition(b"/")
            folder = stem + b"/" + name
            at = folder + b"0" if slash else path
            if slash:
                found.add(display(folder))
    return sorted(found)


def years(store: Store) -> tuple[int, int] | None:
    """First and last year that are plausible; None where no track has one."""
    low, high = store.query("SELECT min(year), max(year) FROM tallies WHERE year BETWEEN 1900 AND 2100")[0]
    return None if low is None else (low, high)


def labels(store: Store) -> list[str]:
    """The genres that tracks have, the most frequent first."""
    found = store.query(
        "SELECT genre, sum(n) AS n FROM tallies WHERE genre <> '' AND NOT gone "
        "GROUP BY genre ORDER BY n DESC, genre"
    )
    return [row[0] for row in found]


def sureness(
    store: Store, model_id: str, *, margin: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How sure a model was of each track it heard, abstentions for lack of sound left out.

    Parameters
    ----------
    margin : float
        A track whose first genre leads the second by less counts with a confidence of 0.

    Returns
    -------
    confidence : (n,) float32
        Of the most probable genre, 0-1.
    tagged : (n,) bool
        The file has a genre.
    """
    heard = "model_id = ? AND missing_since_ns IS NULL AND abstain = '' AND confidence IS NOT NULL"
    params: tuple[object, ...] = (model_id,)
    sql = f"SELECT confidence, file_genres <> '[]' FROM tracks WHERE {heard}"
    if margin > 0:
        # Whoever has more than half of what the margin leaves is ahead by it; for the others a text is read.
        ahead = f"CASE WHEN confidence > ? THEN confidence WHEN {LEAD} >= ? THEN confidence ELSE 0 END"
        sql = f"SELECT {ahead}, file_genres <> '[]' FROM tracks NOT INDEXED WHERE {heard}"
        params = ((1 + margin) / 2 + 0.001, margin, model_id)
    parts = store.in_parts(sql, params)
    sure, tagged = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for rows in parts:
        sure.append(np.array([row[0] for row in rows], dtype=np.float32))
        tagged.append(np.array([row[1] for row in rows], dtype=np.bool_))
    return np.concatenate(sure), np.concatenate(tagged)


def refused(store: Store, model_id: str, threshold: float, *, margin: float = 0.0) -> tuple[int, int]:
    """How many that `sureness` finds sure enough get no genre all the same: being more like speech or
    noise than like music, or unlike what a head learnt from. All, and those whose file has no genre."""
    # Without a genre and yet as sure as that are few, and stand together in this index.
    found = store.query(
        "SELECT count(*), coalesce(sum(file_genres = '[]'), 0) FROM tracks INDEXED BY tracks_by_genre "
        "WHERE genre IS NULL AND confidence >= ? AND confidence > 0 AND missing_since_ns IS NULL "
        "AND model_id = ? AND abstain = '' AND (estimate_reason = ? OR estimate_reason LIKE ?)"
        + (f" AND {LEAD} >= {float(margin)}" if margin > 0 else ""),
        (threshold, model_id, NONMUSIC, "unlike the music that %"),
    )[0]
    return int(found[0]), int(found[1])


def runs(store: Store, *, limit: int = 200) -> pd.DataFrame:
    """Runs, the latest first: id, kind, state, started, seconds, tracks_per_s, counts by status, n_edits…"""
    edits = dict(
        store.query("SELECT run_id, count(*) FROM edits WHERE state IN ('done', 'undone') GROUP BY 1")
    )
    rows = [
        {
            "id": run.id,
            "kind": run.kind,
            "state": run.ended,
            "started": local_time(run.started_ns),
            "seconds": None if run.ended_ns is None else (run.ended_ns - run.started_ns) / 1e9,
            "tracks_per_s": run.tracks_per_s,
            "n_tracks": sum(run.counts.values()),
            "n_written": run.counts.get("tagged", 0),
            "n_failed": sum(n for status, n in run.counts.items() if status in FAILURES),
            "n_edits": edits.get(run.id, 0),
            "model": run.model_id or "",
            "counts": dict(run.counts),
        }
        for run in store.runs(limit)
    ]
    return pd.DataFrame(rows)


def changes(store: Store, run_id: int, *, limit: int = 500, offset: int = 0) -> pd.DataFrame:
    """What a run wrote: track id, path, before, after, state of the edit; the order it was written in."""
    found = store.query(
        "SELECT e.track_id, coalesce(t.display, ''), e.path, e.before, e.after, e.state FROM edits AS e "
        "LEFT JOIN tracks AS t ON t.id = e.track_id WHERE e.run_id = ? ORDER BY e.id LIMIT ? OFFSET ?",
        (run_id, limit, offset),
    )
    rows = [
        [track, shown or display(path), _genres(before), _genres(after), state]
        for track, shown, path, before, after, state in found
    ]
    return pd.DataFrame(rows, columns=["id", "path", "before", "after", "state"])


def _genres(state: str) -> str:
    return " · ".join(state_from_json(state).names) or "no genre"


def n_failed(store: Store) -> int:
    """How many tracks failed when they were last tried."""
    sql = f"SELECT count(*) FROM tracks WHERE status IN ({_FAILED}) AND missing_since_ns IS NULL"
    return int(store.query(sql)[0][0])


def map_points(store: Store, ids: NDArray[np.int64], at: NDArray[np.float64]) -> pd.DataFrame:
    """Tracks with their place on a map: id, x, y, title, artist, genre ("" for none), sure (0-1)."""
    found = store.query(
        "SELECT id, title, artist, coalesce(genre, ''), confidence, display FROM tracks "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids.tolist()),),
    )
    by_id = {row[0]: row for row in found}
    rows = []
    for track_id, (x, y) in zip(ids.tolist(), at.tolist(), strict=True):
        if track_id in by_id:
            _, title, artist, genre, confidence, path = by_id[track_id]
            rows.append((track_id, x, y, title or path.rpartition("/")[2], artist, genre, confidence))
    return pd.DataFrame(rows, columns=["id", "x", "y", "title", "artist", "genre", "sure"])
