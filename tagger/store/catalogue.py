"""What is known of each file: stat, tags, analysis, estimate; files that moved, were copied or are gone."""

from __future__ import annotations

import os
import time
from abc import ABC
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from tagger.errors import StoreError
from tagger.places import below
from tagger.store.columns import (
    MEASURES,
    analysis_fields,
    arrays_to_blobs,
    estimate_fields,
    plain,
    tag_fields,
    to_json,
)
from tagger.store.filters import TrackFilter
from tagger.store.journal import Journal
from tagger.store.rows import PERSONS, LabelSource, TrackRow
from tagger.tracks import FileTags, GenreEstimate, Heard, Track, display

_NO_ANALYSIS: dict[str, object] = {"model_id": None, "listened_ns": None}
_COPIED = (
    "digest, model_id, genre, confidence, probabilities, estimate_reason, duration_s, analysed_s, n_chunks, "
    f"short, abstain, listened_ns, {', '.join(MEASURES)}"
)


class Catalogue(Journal, ABC):
    """Writes tracks and analyses by the means of `Store`."""

    def record_heard(
        self, run_id: int, track: Track, heard: Heard, *, model_id: str, estimate: GenreEstimate | None = None
    ) -> int:
        """Record a worker's report that has an analysis or a failure.

        After a failure an earlier analysis is kept if it is known to be of this very audio.

        Parameters
        ----------
        model_id : str
            Who listened.
        estimate : GenreEstimate, optional
            The decision on `heard.analysis`.

        Returns
        -------
        int
            The track's id.

        Raises
        ------
        ValueError
            The report has neither: see `adopt`.
        """
        if heard.analysis is None and heard.failure is None:
            raise ValueError("nothing was heard: `adopt` records a track whose digest is known")
        known = self.find(track.path)
        fields = _file_fields(run_id, track, heard)
        keep = False
        if heard.analysis is not None:
            fields |= analysis_fields(heard.analysis) | estimate_fields(estimate)
            fields |= {"digest": heard.digest, "model_id": model_id, "listened_ns": time.time_ns()}
        else:
            keep = known is not None and _same_audio(known, heard, fields)
            if not keep:
                fields |= (
                    analysis_fields(None) | estimate_fields(None) | _NO_ANALYSIS | {"digest": heard.digest}
                )
        with self.transaction():
            track_id = self._save_track(known, fields)
            if not keep:
                self._conn.execute("DELETE FROM analyses WHERE track_id = ?", (track_id,))
            if heard.analysis is not None:
                n_chunks, n_genres, activations, embedding = arrays_to_blobs(heard.analysis)
                self._insert(
                    "analyses",
                    {
                        "track_id": track_id,
                        "model_id": model_id,
                        "n_chunks": n_chunks,
                        "n_genres": n_genres,
                        "activations": activations,
                        "embedding": embedding,
                    },
                )
        return track_id

    def adopt(
        self,
        run_id: int,
        track: Track,
        heard: Heard,
        *,
        model_id: str,
        exists: Callable[[bytes], bool] = os.path.lexists,
    ) -> TrackRow | None:
        """Record a file whose coded audio this model has analysed before, without listening.

        The file's own row is brought up to date (its tags changed); or the row of a file that is gone moves
        here with its history; or the analysis is copied from a file that is still there.

        Parameters
        ----------
        exists : callable
            Whether there is still a file at a path.

        Returns
        -------
        TrackRow or None
            The row; None where no track has this digest, analysed with this model.
        """
        own = self.find(track.path)
        twins = [
            (int(row[0]), bytes(row[1]))
            for row in self._all(
                "SELECT id, path FROM tracks WHERE digest = ? AND model_id = ? "
                "ORDER BY missing_since_ns IS NULL, id",
                (heard.digest, model_id),
            )
        ]
        if not twins:
            return None
        with self.transaction():
            fields = _file_fields(run_id, track, heard)
            if own is not None and own.id in (twin for twin, _ in twins):
                track_id = self._save_track(own, fields)
            elif own is None and (gone := next((twin for twin, path in twins if not exists(path)), None)):
                track_id = gone
                self._update("tracks", gone, fields)
            else:
                track_id = self._save_track(own, fields)
                self._copy_analysis(twins[0][0], track_id)
        return self.track(track_id)

    def touch(self, run_id: int, track_id: int, track: Track, tags: FileTags) -> None:
        """Record a file's new size, time and tags when its audio is known to be the same."""
        with self.transaction():
            self._update("tracks", track_id, _file_fields(run_id, track, Heard(track.path, tags=tags)))

    def set_estimate(self, track_id: int, estimate: GenreEstimate) -> None:
        """Record a new decision on the stored analysis."""
        with self.transaction():
            self._update("tracks", track_id, estimate_fields(estimate) | {"updated_ns": time.time_ns()})

    def _save_track(self, known: TrackRow | None, fields: Mapping[str, object]) -> int:
        if known is None:
            return self._insert("tracks", {**fields, "first_seen_ns": fields["updated_ns"]})
        self._update("tracks", known.id, fields)
        return known.id

    def _copy_analysis(self, source: int, target: int) -> None:
        self._conn.execute(
            f"UPDATE tracks SET ({_COPIED}) = (SELECT {_COPIED} FROM tracks WHERE id = ?) WHERE id = ?",
            (source, target),
        )
        self._conn.execute("DELETE FROM analyses WHERE track_id = ?", (target,))
        self._conn.execute(
            "INSERT INTO analyses SELECT ?, model_id, n_chunks, n_genres, activations, embedding "
            "FROM analyses WHERE track_id = ?",
            (target, source),
        )

    # --- what is gone ---

    def mark_missing(
        self, roots: Iterable[bytes], seen_ids: Container[int], *, unreadable: Iterable[bytes] = ()
    ) -> int:
        """Mark the tracks below scanned folders that the scan did not see; clear the mark on those it saw.

        Parameters
        ----------
        roots : iterable of bytes
            Folders that were walked to the end. Not the folder of a file that was named alone.
        seen_ids : container of int
            The tracks found.
        unreadable : iterable of bytes
            Folders the scan could not look into: nothing is known of the tracks below.

        Returns
        -------
        int
            How many tracks below the folders are missing now.
        """
        hidden = tuple(below(folder)[0] for folder in unreadable)
        marked = self.missing_ids()
        unseen = {track_id for root in roots for track_id in self.unseen_below(root, seen_ids)[0]}
        fresh = unseen - marked
        if hidden and fresh:
            asked = self._all(
                "SELECT id, path FROM tracks WHERE id IN (SELECT value FROM json_each(?))",
                (to_json(list(fresh)),),
            )
            fresh = {track_id for track_id, path in asked if not path.startswith(hidden)}
        now = time.time_ns()
        changes: list[tuple[int | None, int]] = [(now, track_id) for track_id in fresh]
        changes += [(None, track_id) for track_id in marked if track_id in seen_ids]
        if changes:
            with self.transaction():
                self._conn.executemany("UPDATE tracks SET missing_since_ns = ? WHERE id = ?", changes)
        return len(fresh) + len(unseen & marked)

    def prune_missing(self, *, force: bool = False) -> int:
        """Forget the tracks that are missing; what was written to them stays in the journal.

        Returns
        -------
        int
            How many were forgotten.

        Raises
        ------
        StoreError
            More than half of all tracks are missing, as if a disk were not there; unless `force`.
        """
        with self.transaction():
            n_missing = self.count_tracks(TrackFilter(missing=True))
            n_tracks = self.count_tracks()
            if 2 * n_missing > n_tracks and not force:
                raise StoreError(
                    f"{n_missing} of {n_tracks} tracks are missing, so none was forgotten: see whether "
                    "the disk with your music is mounted, and scan again."
                )
            self._conn.execute("DELETE FROM tracks WHERE missing_since_ns IS NOT NULL")
        return n_missing

    def set_labels(self, track_id: int, genres: Sequence[str], source: LabelSource) -> None:
        """Record what a person says a track is, in the place of what people have said before.

        Parameters
        ----------
        genres : sequence of str
            None: nobody says anything of it any more.
        """
        with self.transaction():
            self._conn.execute(f"DELETE FROM labels WHERE track_id = ? AND source IN {PERSONS}", (track_id,))
            for genre in genres:
                self.add_label(track_id, genre, source)

    def save_map(
        self, model_id: str, points: Iterable[tuple[int, float, float]], *, n_skipped: int, made_ns: int
    ) -> None:
        """Keep a map of the library in the place of the former one; `points` are track, x and y."""
        with self.transaction():
            self._conn.execute("DELETE FROM map_points")
            self._conn.executemany("INSERT INTO map_points (track_id, x, y) VALUES (?, ?, ?)", points)
            self._conn.execute(
                "INSERT OR REPLACE INTO maps (id, model_id, made_ns, n_tracks, n_skipped) "
                "SELECT 1, ?, ?, count(*), ? FROM map_points",
                (model_id, made_ns, n_skipped),
            )

    def add_label(self, track_id: int, genre: str, source: LabelSource) -> None:
        """Record a genre that a person, an import or the file's own tags give a track."""
        with self.transaction():
            track = self.track(track_id)
            if track is None:
                raise ValueError(f"there is no track {track_id}")
            self._conn.execute(
                "INSERT INTO labels (track_id, path, genre, source, at_ns) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (track_id, source, genre) DO UPDATE SET at_ns = excluded.at_ns",
                (track_id, track.path, plain(genre), source, time.time_ns()),
            )


def _file_fields(run_id: int, track: Track, heard: Heard) -> dict[str, object]:
    """Columns that tell where and what a file is, as it was when it was heard."""
    seen = (heard.size_bytes, heard.mtime_ns)
    if seen == (0, 0):  # the worker did not get as far as that
        seen = (track.size_bytes, track.mtime_ns)
    fields: dict[str, object] = {
        "path": track.path,
        "display": display(track.path),
        "root": track.root,
        "size_bytes": seen[0],
        "mtime_ns": seen[1],
        "missing_since_ns": None,
        "run_id": run_id,
        "updated_ns": time.time_ns(),
    }
    return fields if heard.tags is None else fields | tag_fields(heard.tags)


def _same_audio(known: TrackRow, heard: Heard, fields: Mapping[str, object]) -> bool:
    """Whether a failed attempt was at the audio the row is about."""
    if heard.digest is not None:
        return heard.digest == known.digest
    return (known.size_bytes, known.mtime_ns) == (fields["size_bytes"], fields["mtime_ns"])
