"""The database's tables, search index and views, and the statements that make an older database current.

The views are for people who look into the database with tools of their own, Datasette for one: they spell out
what the tables hold as JSON, bytes and nanoseconds. The program does not use them.
"""

from __future__ import annotations

from tagger.store.sketched import ALL_UNSKETCHED, SKETCHES
from tagger.store.tallies import FILL, TALLIES

_MAPS: tuple[str, ...] = (
    """CREATE TABLE maps (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        model_id TEXT NOT NULL,
        made_ns INTEGER NOT NULL,
        n_tracks INTEGER NOT NULL,
        n_skipped INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE map_points (
        track_id INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
        x REAL NOT NULL,
        y REAL NOT NULL
    ) STRICT""",
)

# Of a file that was forgotten only the bytes of its path are left: in hexadecimal where they may be no text.
VIEWS: tuple[str, ...] = (
    """CREATE VIEW library AS SELECT
        tracks.id, display AS path, title, artist, album, year,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(file_genres)) AS in_file,
        genre AS heard, round(confidence, 4) AS confidence, round(tempo_bpm, 1) AS tempo_bpm,
        round(loudness_lufs, 1) AS loudness_lufs,
        (SELECT coalesce(group_concat(genre, '; '), '') FROM (SELECT genre FROM labels
            WHERE track_id = tracks.id AND source IN ('user', 'import') ORDER BY id)) AS said,
        status, reason, round(duration_s, 1) AS duration_s, model_id AS model,
        missing_since_ns IS NOT NULL AS missing
    FROM tracks""",
    """CREATE VIEW changes AS SELECT
        edits.id, edits.run_id AS run, datetime(intended_ns / 1000000000, 'unixepoch') AS at,
        coalesce(tracks.display, CASE WHEN CAST(edits.path AS TEXT) GLOB '*[^ -~]*'
            THEN hex(edits.path) ELSE CAST(edits.path AS TEXT) END) AS path,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(edits.before, '$[0]')) AS before,
        (SELECT coalesce(group_concat(value, '; '), '') FROM json_each(edits.after, '$[0]')) AS after,
        edits.state
    FROM edits LEFT JOIN tracks ON tracks.id = edits.track_id""",
    """CREATE VIEW history AS SELECT
        id AS run, kind, state, datetime(started_ns / 1000000000, 'unixepoch') AS started,
        round((ended_ns - started_ns) / 1e9, 1) AS seconds, exit_code, model_id AS model,
        round(tracks_per_s, 2) AS tracks_per_s, counts
    FROM runs""",
)

_BY_TEMPO: tuple[str, ...] = ("CREATE INDEX tracks_by_tempo ON tracks (tempo_bpm)",)

# The dashboard counts how many a threshold would name from the index alone.
_BY_MODEL = (
    "CREATE INDEX tracks_by_model ON tracks (model_id, missing_since_ns, abstain, confidence, file_genres)"
)

SETTLED = (
    "model_id IS NOT NULL AND missing_since_ns IS NULL "
    "AND status NOT IN ('changed_meanwhile', 'failed', 'refused')"
)
"""Tracks to which a run comes back only when file or settings have changed; in the words of the index."""

THERE = "missing_since_ns IS NULL"

_ALL = "(probabilities || ',\"\":0')"  # where there is no second, it is 0
_OTHERS = f"substr({_ALL}, instr({_ALL}, ',\"'))"
_FIRST, _SECOND = (f"CAST(substr({text}, instr({text}, '\":') + 2) AS REAL)" for text in (_ALL, _OTHERS))
LEAD = f"({_FIRST} - {_SECOND})"
"""Lead of the first of the stored probabilities, which stand in order, over the second."""
LESSON = f"max(1 - {LEAD}, {_FIRST})"
"""How much a word on a track would teach of which the file says something else than the model."""

_HEARD = f"{THERE} AND model_id IS NOT NULL AND abstain = ''"
UNSURE = f"{_HEARD} AND genre IS NULL"
SURE = f"{_HEARD} AND genre IS NOT NULL AND file_genres <> '[]'"
"""Tracks with a genre by the model and, perhaps another, in the file."""

_FOR_MANY: tuple[str, ...] = (
    # A night with nothing to do asks this index alone (`tagger.store.recognition`), and reads no row.
    f"CREATE INDEX tracks_settled ON tracks (path, size_bytes, mtime_ns, settings_key) WHERE {SETTLED}",
    # Few are missing, mostly none: a question after them reads nothing else.
    "CREATE INDEX tracks_missing ON tracks (path) WHERE missing_since_ns IS NOT NULL",
    # A page of a list is read along one of these, in its order.
    f"CREATE INDEX tracks_by_artist ON tracks (artist COLLATE NOCASE, album COLLATE NOCASE) WHERE {THERE}",
    f"CREATE INDEX tracks_by_title ON tracks (title COLLATE NOCASE) WHERE {THERE}",
    f"CREATE INDEX tracks_by_sureness ON tracks (confidence) WHERE {THERE}",
    f"CREATE INDEX tracks_by_length ON tracks (duration_s) WHERE {THERE}",
    # What a person should hear next (`tagger.review`): the least sure, and by what the file says otherwise.
    f"CREATE INDEX tracks_unsure ON tracks ({LEAD}) WHERE {UNSURE}",
    f"CREATE INDEX tracks_sure ON tracks (file_genres, genre, {LESSON} DESC) WHERE {SURE}",
)
"""What keeps questions to a million tracks short."""

# A genre is the model's label; what was written to the file stands in `outcomes` and `edits`. Paths are
# BLOBs: file names need not be text. `display` is the printable path, for people and for the search.
# Analyses lie apart so that a list of tracks never reads past the arrays.
TABLES: tuple[str, ...] = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'interrupted', 'failed')),
        started_ns INTEGER NOT NULL,
        ended_ns INTEGER,
        exit_code INTEGER,
        version TEXT NOT NULL,
        model_id TEXT,
        options TEXT NOT NULL,
        counts TEXT NOT NULL,
        tracks_per_s REAL
    ) STRICT""",
    """CREATE TABLE tracks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path BLOB NOT NULL UNIQUE,
        display TEXT NOT NULL,
        root BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB,
        container TEXT NOT NULL DEFAULT '',
        title TEXT NOT NULL DEFAULT '',
        artist TEXT NOT NULL DEFAULT '',
        album TEXT NOT NULL DEFAULT '',
        year INTEGER,
        note TEXT NOT NULL DEFAULT '',
        file_genres TEXT NOT NULL DEFAULT '[]',
        file_state TEXT,
        model_id TEXT,
        genre TEXT COLLATE NOCASE,
        confidence REAL,
        probabilities TEXT NOT NULL DEFAULT '{}',
        estimate_reason TEXT NOT NULL DEFAULT '',
        duration_s REAL,
        analysed_s REAL,
        n_chunks INTEGER,
        short INTEGER NOT NULL DEFAULT 0,
        abstain TEXT NOT NULL DEFAULT '',
        tempo_bpm REAL,
        tempo_strength REAL,
        loudness_lufs REAL,
        loudness_range_lu REAL,
        status TEXT,
        reason TEXT NOT NULL DEFAULT '',
        settings_key TEXT NOT NULL DEFAULT '',
        first_seen_ns INTEGER NOT NULL,
        listened_ns INTEGER,
        updated_ns INTEGER NOT NULL,
        missing_since_ns INTEGER,
        run_id INTEGER REFERENCES runs (id) ON DELETE SET NULL
    ) STRICT""",
    "CREATE INDEX tracks_by_size ON tracks (size_bytes)",
    "CREATE INDEX tracks_by_digest ON tracks (digest)",
    "CREATE INDEX tracks_by_root ON tracks (root)",
    "CREATE INDEX tracks_by_run ON tracks (run_id)",
    "CREATE INDEX tracks_by_time ON tracks (updated_ns)",
    *_FOR_MANY,
    # With `missing_since_ns` at the end the summary counts from the index alone.
    "CREATE INDEX tracks_by_status ON tracks (status, missing_since_ns)",
    "CREATE INDEX tracks_by_genre ON tracks (genre, confidence, missing_since_ns)",
    _BY_MODEL,
    *_BY_TEMPO,
    """CREATE TABLE analyses (
        track_id INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
        model_id TEXT NOT NULL,
        n_chunks INTEGER NOT NULL,
        n_genres INTEGER NOT NULL,
        activations BLOB NOT NULL,
        embedding BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE outcomes (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        track_id INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        genre TEXT,
        confidence REAL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (run_id, track_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX outcomes_by_track ON outcomes (track_id)",
    """CREATE TABLE edits (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id INTEGER NOT NULL REFERENCES runs (id),
        track_id INTEGER REFERENCES tracks (id) ON DELETE SET NULL,
        path BLOB NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('intended', 'done', 'abandoned', 'superseded', 'undone')),
        undoes INTEGER REFERENCES edits (id),
        size_before_bytes INTEGER NOT NULL,
        mtime_before_ns INTEGER NOT NULL,
        size_after_bytes INTEGER,
        mtime_after_ns INTEGER,
        intended_ns INTEGER NOT NULL,
        settled_ns INTEGER
    ) STRICT""",
    "CREATE INDEX edits_by_run ON edits (run_id)",
    "CREATE INDEX edits_by_track ON edits (track_id, state)",
    "CREATE INDEX edits_by_state ON edits (state, run_id)",
    "CREATE INDEX edits_by_undoes ON edits (undoes)",
    """CREATE TABLE labels (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        track_id INTEGER REFERENCES tracks (id) ON DELETE SET NULL,
        path BLOB NOT NULL,
        genre TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('user', 'import', 'tags')),
        at_ns INTEGER NOT NULL,
        UNIQUE (track_id, source, genre)
    ) STRICT""",
    """CREATE VIRTUAL TABLE tracks_fts USING fts5 (
        title, artist, album, display, content='tracks', content_rowid='id',
        tokenize='unicode61 remove_diacritics 2', prefix='2 3'
    )""",
    """CREATE TRIGGER tracks_fts_insert AFTER INSERT ON tracks BEGIN
        INSERT INTO tracks_fts (rowid, title, artist, album, display)
        VALUES (new.id, new.title, new.artist, new.album, new.display);
    END""",
    """CREATE TRIGGER tracks_fts_delete AFTER DELETE ON tracks BEGIN
        INSERT INTO tracks_fts (tracks_fts, rowid, title, artist, album, display)
        VALUES ('delete', old.id, old.title, old.artist, old.album, old.display);
    END""",
    """CREATE TRIGGER tracks_fts_update AFTER UPDATE ON tracks
    WHEN old.title <> new.title OR old.artist <> new.artist OR old.album <> new.album
        OR old.display <> new.display
    BEGIN
        INSERT INTO tracks_fts (tracks_fts, rowid, title, artist, album, display)
        VALUES ('delete', old.id, old.title, old.artist, old.album, old.display);
        INSERT INTO tracks_fts (rowid, title, artist, album, display)
        VALUES (new.id, new.title, new.artist, new.album, new.display);
    END""",
    *_MAPS,
    *TALLIES,
    *SKETCHES,
)
"""The current schema but for the views, one statement each."""

_VERSION_3: tuple[str, ...] = (
    "ALTER TABLE tracks ADD COLUMN tempo_bpm REAL",
    "ALTER TABLE tracks ADD COLUMN tempo_strength REAL",
    "ALTER TABLE tracks ADD COLUMN loudness_lufs REAL",
    "ALTER TABLE tracks ADD COLUMN loudness_range_lu REAL",
    *_BY_TEMPO,
    *_FOR_MANY,
    *TALLIES,
    FILL,
)

_VERSION_4: tuple[str, ...] = (*SKETCHES, ALL_UNSKETCHED)

_VERSION_5: tuple[str, ...] = ("DROP INDEX tracks_by_model", _BY_MODEL)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_MAPS, _VERSION_3, _VERSION_4, _VERSION_5)
"""`MIGRATIONS[n - 1]` are the statements that make version n + 1 of version n. Views are made anew each time.

Who changes `TABLES` once a version is released adds a migration with statements of its own, and freezes the
former schema in tests/: a test compares the migrated database with a fresh one.
"""
