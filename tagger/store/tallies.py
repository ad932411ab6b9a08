"""Counts that the database keeps by itself: how many tracks there are of each genre, status and year.

To count a million tracks each time somebody looks at them takes seconds. Triggers keep the counts true,
whoever writes; a track that is written costs some microseconds more.
"""

from __future__ import annotations

NO_YEAR = -1_000_000_000
"""Stands for the absence of a year, which a key cannot lack."""

STEPS = 20
"""Steps of confidence, 0-19; -1 stands for tracks without an estimate."""

_COUNTED = ("genre", "status", "year", "confidence", "file_genres", "duration_s", "missing_since_ns")
_KEY = "gone, genre, status, year, step, tagged"


def _key(row: str) -> str:
    """What a row of `tracks` (``new.``, ``old.`` or nothing) is counted under, in the order of `_KEY`."""
    return (
        f"{row}missing_since_ns IS NOT NULL, coalesce({row}genre, '') COLLATE NOCASE, "
        f"coalesce({row}status, ''), coalesce({row}year, {NO_YEAR}), "
        f"coalesce(min(CAST({row}confidence * {STEPS} AS INTEGER), {STEPS - 1}), -1), "
        f"{row}file_genres <> '[]'"
    )


def _ms(row: str) -> str:
    return f"CAST(round(coalesce({row}duration_s, 0) * 1000) AS INTEGER)"


_ADD = (
    f"INSERT INTO tallies ({_KEY}, n, ms) VALUES ({_key('new.')}, 1, {_ms('new.')}) "
    "ON CONFLICT DO UPDATE SET n = n + 1, ms = ms + excluded.ms;"
)
_TAKE = (
    f"UPDATE tallies SET n = n - 1, ms = ms - {_ms('old.')} WHERE ({_KEY}) = ({_key('old.')}); "
    f"DELETE FROM tallies WHERE ({_KEY}) = ({_key('old.')}) AND n = 0;"
)
_CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in _COUNTED)

TALLIES: tuple[str, ...] = (
    f"""CREATE TABLE tallies (
        gone INTEGER NOT NULL,
        genre TEXT NOT NULL COLLATE NOCASE,
        status TEXT NOT NULL,
        year INTEGER NOT NULL,
        step INTEGER NOT NULL,
        tagged INTEGER NOT NULL,
        n INTEGER NOT NULL,
        ms INTEGER NOT NULL,
        PRIMARY KEY ({_KEY})
    ) STRICT, WITHOUT ROWID""",
    f"CREATE TRIGGER tallies_insert AFTER INSERT ON tracks BEGIN {_ADD} END",
    f"CREATE TRIGGER tallies_delete AFTER DELETE ON tracks BEGIN {_TAKE} END",
    f"CREATE TRIGGER tallies_update AFTER UPDATE OF {', '.join(_COUNTED)} ON tracks WHEN {_CHANGED} "
    f"BEGIN {_TAKE} {_ADD} END",
)
"""The table and the triggers that keep it. Columns: `n` tracks that play for `ms` milliseconds."""

COUNT_AGAIN = f"SELECT {_key('')}, count(*), sum({_ms('')}) FROM tracks GROUP BY 1, 2, 3, 4, 5, 6"
"""What the table must hold."""

FILL = f"INSERT INTO tallies ({_KEY}, n, ms) {COUNT_AGAIN}"
"""Counts what was there before the table."""
