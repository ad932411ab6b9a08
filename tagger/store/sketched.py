"""Sketches: all embeddings once more, block by block and a quarter as large, for `tagger similar`.

What the bytes of a sketch mean is said in `tagger.sketches`. It is of a block as it is: whatever changes one
of the embeddings, or whether a track is there, has a trigger delete the sketches of the block and note it as
unsketched, until the next run sketches it again.
"""

from __future__ import annotations

BLOCK = 512
"""Ids of tracks in a block: ``track_id // BLOCK`` is its number."""


def _changed(row: str) -> str:
    """What becomes of the block of a track; after the first change to it, nothing any more."""
    block = f"{row} / {BLOCK}"
    return (
        f"DELETE FROM sketches WHERE block = {block}; "
        f"INSERT INTO unsketched (block) VALUES ({block}) ON CONFLICT DO NOTHING;"
    )


SKETCHES: tuple[str, ...] = (
    # The large column comes last: the others are read without it.
    f"""CREATE TABLE sketches (
        block INTEGER NOT NULL,
        model_id TEXT NOT NULL,
        n_bytes INTEGER NOT NULL,
        n INTEGER NOT NULL,
        ids BLOB NOT NULL CHECK (length(ids) % 8 = 0 AND length(ids) <= 8 * {BLOCK}),
        centre BLOB NOT NULL CHECK (length(centre) = n_bytes / 4 * 4),
        measures BLOB NOT NULL CHECK (length(measures) = 12 * (length(ids) / 8)),
        steps BLOB NOT NULL CHECK (length(steps) = n_bytes / 4 * (length(ids) / 8)),
        PRIMARY KEY (block, model_id, n_bytes)
    ) STRICT""",
    "CREATE TABLE unsketched (block INTEGER PRIMARY KEY) STRICT",
    f"CREATE TRIGGER sketches_insert AFTER INSERT ON analyses BEGIN {_changed('new.track_id')} END",
    f"CREATE TRIGGER sketches_delete AFTER DELETE ON analyses BEGIN {_changed('old.track_id')} END",
    "CREATE TRIGGER sketches_update AFTER UPDATE OF track_id, model_id, embedding ON analyses "
    f"BEGIN {_changed('old.track_id')} {_changed('new.track_id')} END",
    # A track that is missing, or back, leaves its embedding where it is.
    "CREATE TRIGGER sketches_missing AFTER UPDATE OF missing_since_ns ON tracks "
    "WHEN (old.missing_since_ns IS NULL) <> (new.missing_since_ns IS NULL) "
    f"BEGIN {_changed('new.id')} END",
)
"""The tables and the triggers that keep them.

Columns of `sketches`: this model made `n` embeddings of `n_bytes` bytes each of tracks of this block that are
there; `ids` and what follows as `tagger.sketches.Sketch` has it.
"""

ALL_UNSKETCHED = (
    "INSERT INTO unsketched (block) WITH RECURSIVE upto (block) AS (SELECT 0 UNION ALL "
    f"SELECT block + 1 FROM upto WHERE block < (SELECT max(track_id) / {BLOCK} FROM analyses)) "
    "SELECT block FROM upto"
)
"""Notes every block there may be: nothing was sketched before the tables."""

THERE = "length(embedding) > 0 AND track_id NOT IN (SELECT id FROM tracks WHERE missing_since_ns IS NOT NULL)"
"""Analyses that are in a sketch, or must be: of tracks that are there."""

SKETCHED = "SELECT block, model_id, n_bytes, n FROM sketches"
SKETCHED_AGAIN = (
    f"SELECT track_id / {BLOCK}, model_id, length(embedding), count(*) FROM analyses WHERE {THERE} "
    f"AND track_id / {BLOCK} NOT IN (SELECT block FROM unsketched) GROUP BY 1, 2, 3"
)
"""How many embeddings the sketches must hold."""
