"""The database: what was heard, decided, written and said about every track. SQLite through sqlite-utils.

One process writes at a time, others read meanwhile. Everything that belongs to one track is written in one
transaction, which begins by taking the write lock: a deferred one fails at once beside another writer.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

from tagger.errors import StoreError
from tagger.store.catalogue import Catalogue
from tagger.store.columns import plain, to_json
from tagger.store.connection import connect, empty_log, explain, roll_back, tidy_sidecars
from tagger.store.rows import (
    RunKind,
    RunState,
)
from tagger.store.sketched import SKETCHED, SKETCHED_AGAIN
from tagger.store.tallies import COUNT_AGAIN
from tagger.tracks import Outcome, Status, display


@contextmanager
def _left_out(module: str) -> Iterator[None]:
    """What is imported inside does not find this module, unless it was there before.

    sqlite-utils imports pandas wherever that is installed, to know its time stamps: of a run's one and a half
    seconds of starting that is half a second, for something that is never stored here.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # the documented way to say that there is none
    try:
        yield
    finally:
        del sys.modules[module]


class Store(Catalogue):
    """An open database; a context manager that closes it.

    Writing methods raise StoreError when the database cannot be written. They join the transaction they are
    called in; see `transaction`.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        name: str,
        *,
        path: bytes | None,
        read_only: bool,
        notices: Sequence[str],
    ) -> None:
        super().__init__(conn, name)
        self._tidy_path = path if read_only else None
        self.read_only = read_only
        self.notices = tuple(notices)
        """Sentences for the user about how the database could be opened."""

    @cached_property
    def _db(self) -> Any:
        # With the first track that is written, so that a run with nothing to do is spared it.
        with _left_out("pandas"):
            from sqlite_utils import Database

        # No plug-ins: they may change the connection. Triggers need not fire one another.
        return Database(self._conn, recursive_triggers=False, execute_plugins=False)

    @classmethod
    def open(
        cls,
        path: bytes | str | os.PathLike[str] | None,
        *,
        read_only: bool = False,
        busy_timeout_s: float = 30.0,
    ) -> Self:
        """Open a database, making or migrating it where it is to be written.

        Parameters
        ----------
        path : path or None
            The file; its folder is made. None: a database in memory that is gone with the process.
        read_only : bool
            Change nothing and create nothing; works beside a running writer.
        busy_timeout_s : float
            How long to wait for another writer, in seconds.

        Raises
        ------
        StoreError
            The database is missing (`read_only`), not ours, newer than this program or damaged; it is
            as it was.
        """
        where = None if path is None else os.path.abspath(os.fsencode(path))
        conn, notices = connect(where, read_only=read_only, busy_timeout_s=busy_timeout_s)
        name = "in memory" if where is None else display(where)
        return cls(conn, name, path=where, read_only=read_only and where is not None, notices=notices)

    def close(self) -> None:
        """Close the database. A second call does nothing."""
        if not self.read_only:
            empty_log(self._conn)
        self._conn.close()
        if self._tidy_path is not None:
            tidy_sidecars(self._tidy_path)
            self._tidy_path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is written, or nothing is.

        Inside another transaction it is a part of that one: it fails alone, and is committed with the whole.

        Raises
        ------
        StoreError
            The database cannot be written.
        """
        if self.read_only:
            raise StoreError(f"The database {self._name} is open for reading only.")
        try:
            if self._conn.in_transaction:
                with self._db.atomic():
                    yield
                return
            self._conn.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._conn.execute("COMMIT")
            except BaseException:
                roll_back(self._conn)
                raise
        except sqlite3.Error as error:
            if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                raise  # a bug of ours
            raise explain(error, self._name) from error

    def _insert(self, table: str, fields: Mapping[str, object]) -> int:
        record = {name: plain(value) for name, value in fields.items()}
        row_id = self._db.table(table).insert(record).last_pk
        assert isinstance(row_id, int)
        return row_id

    def _update(self, table: str, row_id: int, fields: Mapping[str, object]) -> None:
        self._db.table(table).update(row_id, {name: plain(value) for name, value in fields.items()})

    # --- runs ---

    def begin_run(
        self, kind: RunKind, *, model_id: str | None, options: Mapping[str, object], version: str
    ) -> int:
        """Record the start of a run, and as interrupted those that never recorded their end.

        The caller holds the lock of runs: no other is going on.

        Parameters
        ----------
        options : mapping
            Of JSON's types, for people to read.
        version : str
            Of the program.

        Returns
        -------
        int
            The run's id.
        """
        with self.transaction():
            self._conn.execute("UPDATE runs SET state = 'interrupted' WHERE state = 'running'")
            begun = self._conn.execute(
                "INSERT INTO runs (kind, state, started_ns, version, model_id, options, counts) "
                "VALUES (?, 'running', ?, ?, ?, ?, '{}')",
                (kind, time.time_ns(), plain(version), plain(model_id), to_json(dict(options))),
            )
            assert begun.lastrowid is not None
            return begun.lastrowid

    def finish_run(
        self,
        run_id: int,
        *,
        state: RunState,
        exit_code: int,
        counts: Mapping[str, int],
        tracks_per_s: float | None = None,
    ) -> None:
        """Record how a run ended; `counts` are the tracks by status."""
        with self.transaction():
            written = to_json({str(key): int(n) for key, n in counts.items()})
            self._conn.execute(
                "UPDATE runs SET state = ?, ended_ns = ?, exit_code = ?, counts = ?, tracks_per_s = ? "
                "WHERE id = ?",
                (state, time.time_ns(), plain(exit_code), written, plain(tracks_per_s), run_id),
            )

    def set_outcome(self, run_id: int, track_id: int, outcome: Outcome, *, settings_key: str) -> None:
        """Record how a track ended a run.

        Parameters
        ----------
        settings_key : str
            Hash of the settings that decided: under others the track must be decided on again.
        """
        with self.transaction():
            self._update(
                "tracks",
                track_id,
                {
                    "status": outcome.status.value,
                    "reason": outcome.reason,
                    "settings_key": settings_key,
                    "run_id": run_id,
                    "updated_ns": time.time_ns(),
                },
            )
            if outcome.status is Status.UNCHANGED:
                return  # the run's counts have it: a line for every track of every night would be too much
            record = {
                "run_id": run_id,
                "track_id": track_id,
                "status": outcome.status.value,
                "reason": outcome.reason,
                "genre": outcome.genre,
                "confidence": outcome.confidence,
                "before": to_json(outcome.before),
                "after": to_json(outcome.after),
            }
            self._db.table("outcomes").upsert(
                {name: plain(value) for name, value in record.items()}, pk=("run_id", "track_id")
            )

    def save_sketches(self, block: int, sketches: Iterable[Mapping[str, object]]) -> None:
        """Keep the sketches of a block, inside the `transaction` in which its embeddings are read.

        Parameters
        ----------
        sketches : iterable of mapping
            Columns of the table `sketches` but for `block`; see `tagger.store.sketched`.
        """
        self._conn.execute("DELETE FROM sketches WHERE block = ?", (block,))
        self._conn.executemany(
            "INSERT INTO sketches (block, model_id, n_bytes, n, ids, centre, measures, steps) "
            "VALUES (:block, :model_id, :n_bytes, :n, :ids, :centre, :measures, :steps)",
            ({"block": block, **fields} for fields in sketches),
        )
        self._conn.execute("DELETE FROM unsketched WHERE block = ?", (block,))

    # --- care ---

    def integrity_check(self) -> list[str]:
        """Examine the whole database; takes seconds on a large one.

        Returns
        -------
        list of str
            What is wrong, empty where nothing is.
        """
        try:
            problems = [str(row[0]) for row in self._all("PRAGMA integrity_check") if row[0] != "ok"]
        except StoreError as error:
            problems = [str(error)]
        if problems:
            return problems  # the rest can only be asked of a sound file
        problems = [
            f"a row of {row[0]} refers to a row of {row[2]} that is gone"
            for row in self._all("PRAGMA foreign_key_check")
        ]
        kept = "SELECT gone, genre, status, year, step, tagged, n, ms FROM tallies"
        if self._differ(kept, COUNT_AGAIN):
            problems.append("the counts of tracks do not match the tracks")
        if self._differ(SKETCHED, SKETCHED_AGAIN):
            problems.append("the sketches of embeddings do not match the embeddings")
        if not self.read_only:  # the search index is examined by a command that counts as writing
            try:
                self._conn.execute("INSERT INTO tracks_fts (tracks_fts, rank) VALUES ('integrity-check', 1)")
            except sqlite3.DatabaseError as error:
                problems.append(f"the search index does not match the tracks ({error})")
        return problems

    def _differ(self, one: str, other: str) -> bool:
        """Whether two questions have different answers."""
        return any(
            self._one(f"SELECT 1 FROM ({a} EXCEPT {b}) LIMIT 1") for a, b in ((one, other), (other, one))
        )
