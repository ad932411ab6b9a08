"""The database's tables, and how an older database becomes a current one.

A database is ours when its application id says so. Its version is SQLite's `user_version`. Whatever is
not ours, newer than this program or damaged is refused before a byte of it changes.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from tagger.errors import StoreError

APPLICATION_ID = 0x7A6C4752
"""Bytes 68-71 of our database files; marks them as ours, whatever their name."""

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"

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
    # With `missing_since_ns` at the end the summary counts from the index alone.
    "CREATE INDEX tracks_by_status ON tracks (status, missing_since_ns)",
    "CREATE INDEX tracks_by_genre ON tracks (genre, confidence, missing_since_ns)",
    "CREATE INDEX tracks_by_model ON tracks (model_id, missing_since_ns)",
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
)
"""The current schema, one statement each."""

REQUIRED = frozenset({"runs", "tracks", "analyses", "outcomes", "edits", "labels", "tracks_fts"})

MIGRATIONS: tuple[tuple[str, ...], ...] = ()
"""`MIGRATIONS[n - 1]` are the statements that make version n + 1 of version n.

Who changes `TABLES` once a version is released adds a migration, and freezes the former schema in
tests/test_store.py: a test compares the migrated database with a fresh one.
"""


def schema_version() -> int:
    """Version of the database this program writes."""
    return 1 + len(MIGRATIONS)


def check_header(path: bytes, name: str) -> bool:
    """Look at a database file without SQLite, which would roll back or recover somebody else's file.

    Parameters
    ----------
    path : bytes
        The database file.
    name : str
        How to call it in a message.

    Returns
    -------
    bool
        True where there is a database of ours, False where there is none yet (no file, or an empty one).

    Raises
    ------
    StoreError
        It is not a database, not ours, newer than this program, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a named pipe would wait for ever
            raise StoreError(f"The database {name} is not a file: name another with --db.")
        with Path(os.fsdecode(path)).open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"The database {name} cannot be read: {error.strerror}.") from error
    if not header:
        return False
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreError(f"{name} is not a database: name another file with --db, or move it away.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(
            f"{name} is another program's database and was left alone: name another file with --db."
        )
    _refuse_newer(int.from_bytes(header[60:64], "big"), name)
    return True


def prepare(conn: sqlite3.Connection, name: str) -> None:
    """Create the tables of a new database, or bring an older one up to date, in one transaction.

    Parameters
    ----------
    conn : sqlite3.Connection
        Writable, in autocommit mode (`isolation_level` None).
    name : str
        How to call the database in a message.

    Raises
    ------
    StoreError
        The database is not ours, newer than this program, or lacks tables.
    sqlite3.Error
        It could not be changed; it is as it was.
    """
    if _version(conn) != schema_version():
        conn.execute("BEGIN IMMEDIATE")
        try:
            _upgrade(conn, name)
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
    check_tables(conn, name)


def check_tables(conn: sqlite3.Connection, name: str) -> None:
    """Refuse a database whose version is not the current one or that lacks tables.

    Raises
    ------
    StoreError
        With what to do about it.
    """
    version = _version(conn)
    _refuse_newer(version, name)
    if version < schema_version():
        raise StoreError(
            f"The database {name} was made by an older version of this program and is open for reading only: "
            "start `tagger run` once to bring it up to date."
        )
    found = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    lacking = sorted(REQUIRED - found)
    if lacking:
        raise StoreError(
            f"The database {name} is damaged (it has no table {lacking[0]}): restore a copy of it, "
            "or move it away."
        )


def _upgrade(conn: sqlite3.Connection, name: str) -> None:
    version = _version(conn)  # again, now under the lock: another process may have been first
    _refuse_newer(version, name)
    if version == 0:
        if conn.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise StoreError(f"{name} is another program's database: name another file with --db.")
        for statement in TABLES:
            conn.execute(statement)
    else:
        for migration in MIGRATIONS[version - 1 :]:
            for statement in migration:
                conn.execute(statement)
        if conn.execute("PRAGMA foreign_key_check").fetchone():
            raise StoreError(
                f"The database {name} is damaged (rows refer to rows that are gone): restore a copy of it."
            )
    conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    conn.execute(f"PRAGMA user_version = {schema_version()}")


def _version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(version: int, name: str) -> None:
    if version > schema_version():
        raise StoreError(
            f"The database {name} was made by a newer version of this program (its schema is {version}, "
            f"this program's {schema_version()}) and was left alone: update the program, "
            "or name another file with --db."
        )
