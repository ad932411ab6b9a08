"""Databases made by code for the tests of the dashboard: as a run leaves them, without listening."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tagger.sketches import sketch_changes
from tagger.store import Store
from tagger.store.columns import to_json
from tagger.store.tables import TABLES
from tagger.tracks import (
    FileTags,
    GenreEstimate,
    GenreState,
    Heard,
    Outcome,
    Status,
    Track,
    TrackAnalysis,
)

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
MODEL_ID = "made@1"
N_DIMS = 16


@dataclass(frozen=True)
class Made:
    """One track of a made collection."""

    path: bytes
    genre: str | None = "jazz"
    """The model's label; None: uncertain."""
    confidence: float = 0.8
    in_file: tuple[str, ...] = ()
    title: str = ""
    artist: str = ""
    album: str = ""
    year: int | None = None
    status: Status = Status.TAGGED
    reason: str = ""
    heard: bool = True
    tempo_bpm: float | None = None
    fields: dict[str, object] = field(default_factory=dict)


def analysis_of(
    label: str, *, n_chunks: int = 13, seed: int = 0, tempo_bpm: float | None = None
) -> TrackAnalysis:
    """What a model might hear in 30 s of a genre; its embedding lies near those of the same genre."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (n_chunks, len(GENRES)))
    logits[:, GENRES.index(label)] += 3
    embedding = rng.normal(0, 0.4, N_DIMS)
    embedding[GENRES.index(label)] += 2
    return TrackAnalysis(
        activations=logits.astype(np.float16),
        embedding=embedding.astype(np.float32),
        duration_s=30.0,
        analysed_s=30.0,
        tempo_bpm=tempo_bpm,
        tempo_strength=0.25 if tempo_bpm else 0.0,
        loudness_lufs=-9.5,
        loudness_range_lu=4.5,
    )


def probabilities(label: str, confidence: float) -> dict[str, float]:
    """Calibrated probabilities with a given first."""
    others = [genre for genre in GENRES if genre != label]
    return {label: confidence} | {genre: (1 - confidence) / len(others) for genre in others}


def make_database(
    path: Path, tracks: Sequence[Made], *, root: bytes = b"/music", model_id: str = MODEL_ID
) -> list[int]:
    """A database as one run over `tracks` leaves it; their ids."""
    ids = []
    with Store.open(path) as store:
        run_id = store.begin_run("run", model_id=model_id, options={}, version="1")
        counts: dict[str, int] = {}
        for number, made in enumerate(tracks):
            track = Track(made.path, root, 1_000_000, 1_700_000_000_000_000_000)
            tags = FileTags(
                "mp3", GenreState(made.in_file), made.in_file, made.title, made.artist, made.album, made.year
            )
            best = made.genre or "pop"
            if made.heard:
                heard = Heard(
                    made.path,
                    track.size_bytes,
                    track.mtime_ns,
                    number.to_bytes(16, "big"),
                    tags,
                    analysis_of(best, seed=number, tempo_bpm=made.tempo_bpm),
                )
                reason = "" if made.genre else f"best guess {best} at {made.confidence:.2f}, below 0.60"
                estimate = GenreEstimate(
                    made.genre, made.confidence, probabilities(best, made.confidence), reason
                )
                track_id = store.record_heard(run_id, track, heard, model_id=model_id, estimate=estimate)
            else:
                failed = Heard(made.path, tags=tags, failure=made.status, reason=made.reason)
                track_id = store.record_heard(run_id, track, failed, model_id=model_id)
            store.set_outcome(
                run_id, track_id, Outcome(made.path, made.status, made.reason), settings_key="made"
            )
            counts[made.status] = counts.get(made.status, 0) + 1
            ids.append(track_id)
        store.finish_run(run_id, state="done", exit_code=0, counts=counts, tracks_per_s=10.0)
    return ids


def some_tracks(n: int = 24, *, root: bytes = b"/music") -> list[Made]:
    """Tracks of every genre, some uncertain, some whose own tag says something else, one damaged."""
    found = []
    for i in range(n):
        genre = GENRES[i % len(GENRES)]
        found.append(
            Made(
                path=root + f"/{genre}/{i:03d}.mp3".encode(),
                genre=None if i % 5 == 4 else genre,
                confidence=0.35 if i % 5 == 4 else 0.6 + (i % 4) / 10,
                in_file=("Opera",) if i % 7 == 3 else (genre.capitalize(),) if i % 3 == 0 else (),
                title=f"Song {i}",
                artist=f"Artist {i % 6}",
                album=f"Album {i % 4}",
                year=1960 + 3 * i if i % 4 else None,
                tempo_bpm=80.0 + 5 * i if i % 3 else None,
                status=Status.UNCERTAIN if i % 5 == 4 else Status.TAGGED,
            )
        )
    damaged = Made(
        root + b"/bad/broken.mp3",
        None,
        0.0,
        status=Status.UNREADABLE,
        reason="the file is empty",
        heard=False,
    )
    return [*found, damaged]


def make_large_database(path: Path, n: int, *, n_dims: int = 128) -> None:
    """`n` tracks in one go, straight into the tables of a fresh database, as a run would leave them."""
    with Store.open(path) as store:
        run_id = store.begin_run("run", model_id=MODEL_ID, options={}, version="1")
        store.finish_run(run_id, state="done", exit_code=0, counts={"tagged": n}, tracks_per_s=20.0)
    with sqlite3.connect(path, isolation_level=None) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("BEGIN")
        conn.execute(
            "DROP TRIGGER tracks_fts_insert"
        )  # the index is built in one go, and the trigger put back
        names = (
            "path, display, root, size_bytes, mtime_ns, digest, container, title, artist, album, year, "
            "file_genres, file_state, model_id, genre, confidence, probabilities, duration_s, analysed_s, "
            "n_chunks, status, reason, settings_key, first_seen_ns, listened_ns, updated_ns, run_id"
        )
        marks = ", ".join("?" * len(names.split(", ")))
        conn.executemany(f"INSERT INTO tracks ({names}) VALUES ({marks})", _rows(n, run_id))
        conn.executemany(
            "INSERT INTO analyses VALUES (?, ?, 12, ?, ?, ?)",
            (
                (track_id, MODEL_ID, len(GENRES), bytes(240), vector.tobytes())
                for track_id, vector in zip(range(1, n + 1), _vectors(n, n_dims), strict=True)
            ),
        )
        conn.execute("INSERT INTO tracks_fts (tracks_fts) VALUES ('rebuild')")
        conn.execute(next(sql for sql in TABLES if "TRIGGER tracks_fts_insert" in sql))
        conn.execute("COMMIT")
    conn.close()
    with Store.open(path) as store:  # which empties the log when it is closed
        sketch_changes(store)


def _vectors(n: int, n_dims: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    rng = np.random.default_rng(0)
    for start in range(0, n, 10_000):
        yield from rng.normal(0, 1, (min(10_000, n - start), n_dims)).astype("<f4")


def _rows(n: int, run_id: int) -> Iterator[tuple[object, ...]]:
    rng = np.random.default_rng(0)
    sure = rng.beta(3, 1.5, n).round(4)
    which = rng.integers(0, len(GENRES), n)
    own = rng.integers(0, len(GENRES) * 2, n)
    decided = [
        to_json(probabilities(GENRES[g], float(p))) for g, p in zip(which[:500], sure[:500], strict=True)
    ]
    for i in range(n):
        genre, p = GENRES[which[i]], float(sure[i])
        name = f"/music/{genre}/Artist {i % 9000}/Album {i % 20000}/{i:06d} Some Title of a Song.flac"
        tag = (GENRES[own[i]].capitalize(),) if own[i] < len(GENRES) else ()
        yield (
            name.encode(), name, b"/music", 30_000_000 + i, 10**18 + i, i.to_bytes(16, "big"), "flac",
            f"Title {i} of Words", f"Artist {i % 9000}", f"Album {i % 20000}", 1950 + i % 75,
            to_json(tag), to_json([tag, None]), MODEL_ID, genre if p > 0.5 else None, p,
            decided[i % 500], 180.0 + i % 200, 30.0, 12,
            "tagged" if p > 0.5 else "uncertain", "sounds like it", "key",
            10**18 + i, 10**18, 10**18 + i, run_id,
        )  # fmt: skip
