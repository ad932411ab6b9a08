"""Questions to the database that change nothing: tracks by path, filter and text, runs, edits, figures."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Literal

from tagger.places import below
from tagger.store import columns, rows
from tagger.store.filters import EVERYTHING, Condition, TrackFilter
from tagger.store.reading import Reading
from tagger.store.rows import (
    RUN_COLUMNS,
    TRACK_COLUMNS,
    ErrorGroup,
    LabelRow,
    LabelSource,
    OutcomeRow,
    RunRow,
    Summary,
    TrackRow,
)
from tagger.tracks import FAILURES, Status, TrackAnalysis

Order = Literal[
    "path", "artist", "album", "title", "genre", "confidence", "-confidence", "tempo", "-tempo", "duration",
    "-updated", "id",
]  # fmt: skip

# Ties as the indexes of `tagger.store.tables` have them: ids mostly come in the order of paths.
_ORDERS: Mapping[str, str] = {
    "path": "path",
    "artist": "artist COLLATE NOCASE, album COLLATE NOCASE, id",
    "album": "album COLLATE NOCASE, path",
    "title": "title COLLATE NOCASE, id",
    "genre": "genre, confidence, id",
    "confidence": "confidence, id",
    "-confidence": "confidence DESC, id DESC",
    "tempo": "tempo_bpm NULLS LAST, id",
    "-tempo": "tempo_bpm DESC, id DESC",
    "duration": "duration_s, id",
    "-updated": "updated_ns DESC, id DESC",
    "id": "id",
}
_BATCH = 500
_FAILED = ", ".join(f"'{status}'" for status in sorted(FAILURES))


class Library(Reading):
    """Reads; `Store` adds the writing.

    Every method raises StoreError when the database cannot be read.
    """

    def find(self, path: bytes) -> TrackRow | None:
        """Track at a path."""
        row = self._one(f"SELECT {TRACK_COLUMNS} FROM tracks WHERE path = ?", (path,))
        return None if row is None else rows.track_row(row)

    def knows(self, path: bytes) -> bool:
        """Whether there is a track at a path."""
        return self._one("SELECT 1 FROM tracks WHERE path = ?", (path,)) is not None

    def track(self, track_id: int) -> TrackRow | None:
        """Track of an id; ids are never used twice."""
        row = self._one(f"SELECT {TRACK_COLUMNS} FROM tracks WHERE id = ?", (track_id,))
        return None if row is None else rows.track_row(row)

    def digests_for_size(self, size_bytes: int, model_id: str) -> frozenset[bytes]:
        """Digests this model has analysed in files of a size: a copy or a moved file is among them."""
        return frozenset(
            row[0]
            for row in self._all(
                "SELECT digest FROM tracks WHERE size_bytes = ? AND model_id = ? AND digest IS NOT NULL",
                (size_bytes, model_id),
            )
        )

    def analysis(self, track_id: int) -> TrackAnalysis | None:
        """What the model (`TrackRow.model_id`) heard; None where it did not listen."""
        row = self._one(
            "SELECT a.activations, a.n_chunks, a.n_genres, a.embedding, "
            f"t.duration_s, t.analysed_s, t.short, t.abstain, t.{', t.'.join(columns.MEASURES)} "
            "FROM analyses AS a JOIN tracks AS t ON t.id = a.track_id WHERE a.track_id = ?",
            (track_id,),
        )
        if row is None:
            return None
        return TrackAnalysis(
            activations=columns.activations_from_blob(*row[:3]),
            embedding=columns.embedding_from_blob(row[3]),
            duration_s=row[4] or 0.0,
            analysed_s=row[5] or 0.0,
            short=bool(row[6]),
            abstain=row[7],
            **dict(zip(columns.MEASURES, row[8:], strict=True)),
        )

    def other_embeddings(self, n_dims: int) -> frozenset[int]:
        """Tracks whose embedding has another length than this: made by an earlier version."""
        sql = "SELECT track_id FROM analyses WHERE length(embedding) NOT IN (0, ?)"
        return frozenset(row[0] for row in self._all(sql, (4 * n_dims,)))

    def analysis_of_digest(self, digest: bytes, model_id: str) -> TrackAnalysis | None:
        """What this model heard in a track of that coded audio, whichever file it is in."""
        row = self._one(
            "SELECT id FROM tracks WHERE digest = ? AND model_id = ? ORDER BY id LIMIT 1", (digest, model_id)
        )
        return None if row is None else self.analysis(row[0])

    def list_tracks(
        self,
        which: TrackFilter = EVERYTHING,
        *,
        order: Order = "path",
        limit: int | None = None,
        offset: int = 0,
    ) -> list[TrackRow]:
        """Tracks, sorted. See `iter_tracks` for all of a large library."""
        where, params = which.where()
        found = self._all(
            f"SELECT {TRACK_COLUMNS} FROM tracks WHERE {where} ORDER BY {_ORDERS[order]} LIMIT ? OFFSET ?",
            (*params, -1 if limit is None else limit, offset),
        )
        return [rows.track_row(row) for row in found]

    def track_ids(
        self, which: Condition = EVERYTHING, *, order: Order = "path", limit: int | None = None
    ) -> list[int]:
        """Ids of the tracks that `list_tracks` has, in its order: of a large library, too."""
        where, params = which.where()
        found = self._all(
            f"SELECT id FROM tracks WHERE {where} ORDER BY {_ORDERS[order]} LIMIT ?",
            (*params, -1 if limit is None else limit),
        )
        return [row[0] for row in found]

    def tracks_of(self, ids: Sequence[int]) -> Iterator[TrackRow]:
        """The tracks of these ids, in their order, a few at a time in memory; unknown ones are left out."""
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            sql = f"SELECT {TRACK_COLUMNS} FROM tracks WHERE id IN ({', '.join('?' * len(some))})"
            by_id = {row[0]: row for row in self._all(sql, some)}
            yield from (rows.track_row(by_id[track_id]) for track_id in some if track_id in by_id)

    def count_tracks(self, which: TrackFilter = EVERYTHING) -> int:
        """How many tracks `list_tracks` has without a limit."""
        where, params = which.where()
        return int(self._one(f"SELECT count(*) FROM tracks WHERE {where}", params)[0])

    def iter_tracks(self, which: Condition = EVERYTHING) -> Iterator[TrackRow]:
        """Tracks in the order they came to be known; the database may be written meanwhile."""
        where, params = which.where()
        last = 0
        while True:
            found = self._all(
                f"SELECT {TRACK_COLUMNS} FROM tracks WHERE {where} AND id > ? ORDER BY id LIMIT {_BATCH}",
                (*params, last),
            )
            if not found:
                return
            yield from map(rows.track_row, found)
            last = found[-1][0]

    def folders(self) -> set[bytes]:
        """The folders that hold a track which is not missing."""
        found = self._all("SELECT path FROM tracks WHERE missing_since_ns IS NULL")
        return {os.path.dirname(row[0]) for row in found}

    def missing_ids(self) -> set[int]:
        """The tracks marked as missing."""
        return {row[0] for row in self._all("SELECT id FROM tracks WHERE missing_since_ns IS NOT NULL")}

    def unseen_below(self, folder: bytes, seen_ids: Container[int]) -> tuple[list[int], int]:
        """The tracks anywhere below a folder that are not among those seen, and how many there are in all.

        Read from the index of paths alone, in whose order they are.
        """
        unseen, n_all = [], 0
        for some in self.in_parts("SELECT id FROM tracks WHERE path >= ? AND path < ?", below(folder)):
            n_all += len(some)
            unseen += [track_id for (track_id,) in some if track_id not in seen_ids]
        return unseen, n_all

    def missing_share(self, folder: bytes, seen_ids: Container[int]) -> tuple[int, int]:
        """How many tracks were present below a scanned folder, and how many of these the scan did not see.

        When most have vanished the disk is rather not mounted: ask before `Store.mark_missing`.

        Returns
        -------
        n_known, n_vanished : int
        """
        sql = "SELECT id FROM tracks WHERE missing_since_ns IS NOT NULL AND path >= ? AND path < ?"
        marked = {row[0] for row in self._all(sql, below(folder))}
        unseen, n_all = self.unseen_below(folder, seen_ids)
        return n_all - len(marked), sum(track_id not in marked for track_id in unseen)

    def runs(self, limit: int | None = 20) -> list[RunRow]:
        """Runs, the latest first."""
        found = self._all(
            f"SELECT {RUN_COLUMNS} FROM runs ORDER BY id DESC LIMIT ?", (-1 if limit is None else limit,)
        )
        return [rows.run_row(row) for row in found]

    def run(self, run_id: int) -> RunRow | None:
        """One run."""
        row = self._one(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = ?", (run_id,))
        return None if row is None else rows.run_row(row)

    def outcomes(
        self, run_id: int, *, status: Status | None = None, limit: int | None = None, offset: int = 0
    ) -> list[OutcomeRow]:
        """Outcomes of a run, but for tracks that stayed unchanged, in the order of `iter_tracks`."""
        found = self._all(
            "SELECT o.run_id, o.track_id, t.path, o.status, o.reason, o.genre, o.confidence, o.before, "
            "o.after FROM outcomes AS o JOIN tracks AS t ON t.id = o.track_id "
            "WHERE o.run_id = ? AND (? IS NULL OR o.status = ?) ORDER BY o.track_id LIMIT ? OFFSET ?",
            (run_id, *[None if status is None else status.value] * 2, -1 if limit is None else limit, offset),
        )
        return [rows.outcome_row(row) for row in found]

    def labels(self, source: LabelSource | None = None) -> list[LabelRow]:
        """Labels in the order they were given."""
        found = self._all(
            "SELECT track_id, path, genre, source, at_ns FROM labels WHERE (? IS NULL OR source = ?) "
            "ORDER BY at_ns, id",
            (source, source),
        )
        return [LabelRow(*row) for row in found]

    def labels_of(self, track_id: int) -> list[LabelRow]:
        """What people say a track is, in the order they said it."""
        found = self._all(
            "SELECT track_id, path, genre, source, at_ns FROM labels "
            f"WHERE track_id = ? AND source IN {rows.PERSONS} ORDER BY id",
            (track_id,),
        )
        return [LabelRow(*row) for row in found]

    def said(self) -> dict[int, list[str]]:
        """What people say tracks are, by the id of the track."""
        found: dict[int, list[str]] = {}
        sql = f"SELECT track_id, genre FROM labels WHERE source IN {rows.PERSONS} ORDER BY id"
        for track_id, genre in self._all(sql):
            found.setdefault(track_id, []).append(genre)
        return found

    def errors(self, *, paths_each: int = 20) -> list[ErrorGroup]:
        """Tracks whose last outcome was a failure, by status and reason, the largest group first."""
        found = self._all(
            "SELECT status, reason, path, count(*) OVER (PARTITION BY status, reason) AS n FROM tracks "
            f"WHERE status IN ({_FAILED}) AND missing_since_ns IS NULL ORDER BY n DESC, status, reason, path"
        )
        groups: dict[tuple[str, str], tuple[int, list[bytes]]] = {}
        for status, reason, path, n in found:
            paths = groups.setdefault((status, reason), (n, []))[1]
            if len(paths) < paths_each:
                paths.append(path)
        return [
            ErrorGroup(Status(status), reason, n, tuple(paths))
            for (status, reason), (n, paths) in groups.items()
        ]

    def unsketched(self) -> list[int]:
        """Blocks of embeddings that have no sketch yet (`tagger.store.sketched`), in order."""
        return [row[0] for row in self._all("SELECT block FROM unsketched ORDER BY block")]

    def summary(self, model_id: str | None = None) -> Summary:
        """The library in figures; `n_stale` counts tracks analysed with another model than `model_id`."""

        def counts(column: str) -> dict[str, int]:
            sql = f"SELECT {column}, sum(n) AS n FROM tallies WHERE NOT gone GROUP BY 1 ORDER BY n DESC, 1"
            return dict(self._all(sql))

        by_status, by_genre = counts("status"), counts("genre")
        by_genre.pop("", None)
        by_model = dict(
            self._all(
                "SELECT model_id, count(*) AS n FROM tracks WHERE missing_since_ns IS NULL "
                "AND model_id IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1"
            )
        )
        last = self.runs(1)
        return Summary(
            n_tracks=sum(by_status.values()),
            n_missing=self._one("SELECT coalesce(sum(n), 0) FROM tallies WHERE gone")[0],
            n_stale=0 if model_id is None else sum(n for model, n in by_model.items() if model != model_id),
            by_status=by_status,
            by_genre=by_genre,
            by_model=by_model,
            last_run=last[0] if last else None,
        )
