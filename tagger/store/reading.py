"""Rows of an open database, and what SQLite says when it cannot read them, put in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tagger.store.connection import explain

_AT_A_TIME = 5000


class Reading:
    """An open database to be read.

    Every method raises StoreError when the database cannot be read.
    """

    def __init__(self, conn: sqlite3.Connection, name: str) -> None:
        self._conn = conn
        self._name = name

    def _all(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        try:
            return self._conn.execute(sql, params).fetchall()
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a bug of ours
        except sqlite3.DatabaseError as error:
            raise explain(error, self._name) from error

    def in_parts(
        self, sql: str, params: Sequence[object] = (), *, at_a_time: int | None = None
    ) -> Iterator[list[Any]]:
        """Rows by the thousand, for more of them than memory should hold; write nothing meanwhile.

        Large ones rather a few `at_a_time`.
        """
        try:
            cursor = self._conn.execute(sql, params)
            while some := cursor.fetchmany(at_a_time or _AT_A_TIME):
                yield some
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a bug of ours
        except sqlite3.DatabaseError as error:
            raise explain(error, self._name) from error

    def _one(self, sql: str, params: Sequence[object] = ()) -> Any:
        found = self._all(sql, params)
        return found[0] if found else None

    def query(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        """Rows of a SELECT over the tables of `tagger.store.schema`, for those who count differently."""
        return self._all(sql, params)

    def add_function(self, name: str, function: Callable[..., int | float | str | None], n_args: int) -> None:
        """Make a pure function of Python callable from the SQL of `query`."""
        self._conn.create_function(name, n_args, function, deterministic=True)
