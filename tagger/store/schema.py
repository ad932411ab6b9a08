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
from tagger.store.tables import MIGRATIONS, TABLES, VIEWS

APPLICATION_ID = 0x7A6C4752
"""Bytes 68-71 of our database files; marks them as ours, whatever their name."""

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"

REQUIRED = frozenset(
    {
        "runs",
        "tracks",
        "analyses",
        "outcomes",
        "edits",
        "labels",
        "tracks_fts",
        "maps",
        "map_points",
        "tallies",
        "sketches",
        "unsketched",
    }
)


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
        for (view,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            conn.execute(f'DROP VIEW "{view}"')
    for statement in VIEWS:
        conn.execute(statement)
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
