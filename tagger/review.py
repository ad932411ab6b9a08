"""Which tracks a person should hear next: those whose correction would teach the model most.

Two things make a track instructive: the model hardly prefers its first guess to its second (margin sampling,
Scheffer et al. 2001, "Active hidden Markov models for information extraction"), or it is sure of a genre that
the file's own tag contradicts. A track a person has judged before is not asked about again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from tagger.genres import display_name, genre_key
from tagger.store import Store
from tagger.store.columns import names_from_json, to_json
from tagger.store.rows import PERSONS, TrackRow
from tagger.tracks import FAILURES

_HEARD = "model_id IS NOT NULL AND abstain = ''"
_FAILED = ", ".join(f"'{status}'" for status in sorted(FAILURES))

KINDS: Mapping[str, str] = {
    "everything": f"{_HEARD} AND (genre IS NULL OR (file_genres <> '[]' AND disagree(file_genres, genre)))",
    "uncertain": f"{_HEARD} AND genre IS NULL",
    "disagreeing": f"{_HEARD} AND genre IS NOT NULL AND file_genres <> '[]' AND disagree(file_genres, genre)",
    "failed": f"status IN ({_FAILED})",
}
"""What may be reviewed, as a condition in SQL."""

_OPEN = (
    "missing_since_ns IS NULL AND NOT EXISTS "
    f"(SELECT 1 FROM labels WHERE labels.track_id = tracks.id AND labels.source IN {PERSONS})"
)


def worklist(store: Store, kind: str = "everything", *, limit: int = 200) -> list[int]:
    """Ids of the tracks to review, the most instructive first.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    """
    _prepare(store)
    found = store.query(
        f"SELECT id FROM tracks WHERE {_OPEN} AND {KINDS[kind]} "
        "ORDER BY lesson(coalesce(genre, ''), probabilities, file_genres) DESC, id LIMIT ?",
        (limit,),
    )
    return [row[0] for row in found]


def _prepare(store: Store) -> None:
    # SQLite may ask beyond an AND that has failed already: about tracks without a genre, too.
    store.add_function("disagree", lambda genres, label: int(bool(label) and disagree(genres, label)), 2)
    store.add_function("lesson", lesson, 3)


def counts(store: Store) -> dict[str, int]:
    """How many tracks are open, by kind."""
    _prepare(store)
    columns = ", ".join(f"coalesce(sum({condition}), 0)" for condition in KINDS.values())
    (row,) = store.query(f"SELECT {columns} FROM tracks WHERE {_OPEN}")
    return dict(zip(KINDS, row, strict=True))


def lesson(genre: str, probabilities: str, file_genres: str) -> float:
    """How much a person's word on a track would teach, 0-1.

    Parameters
    ----------
    genre : str
        The model's label, empty where it abstained.
    probabilities, file_genres : str
        JSON, as the columns have it.
    """
    first, second = top_two(probabilities)
    if genre and file_genres != "[]" and disagree(file_genres, genre):
        return max(1.0 - (first - second), first)
    return 1.0 - (first - second)


@lru_cache(maxsize=65536)
def disagree(file_genres: str, label: str) -> bool:
    """Whether none of a file's genres is the model's, nor a kind of it.

    ``Alternative Rock`` is a kind of ``rock``, because its name holds the other; so is ``Hip-Hop/Rap`` of
    ``hiphop``.

    Parameters
    ----------
    file_genres : str
        JSON list of names, as the column has it.
    label : str
        The model's.
    """
    named = display_name(label) or label
    wanted = {genre_key(label), genre_key(named)}
    keys = [genre_key(name) for name in names_from_json(file_genres)]
    return bool(keys) and not any(key in name for key in wanted for name in keys)


def top_two(probabilities: str) -> tuple[float, float]:
    """The two highest of the stored probabilities, which stand in order; 0 for what is not there."""
    try:  # a fifth of the time of reading all of it, and asked of every track of the library
        first, second, *_ = probabilities.split(",", 2)
        return float(first.rpartition(":")[2]), float(second.rpartition(":")[2].rstrip("}"))
    except ValueError:
        values = sorted(json.loads(probabilities).values(), reverse=True)
        highest, next_to_it, *_ = (*values, 0.0, 0.0)
        return float(highest), float(next_to_it)


def why(row: TrackRow) -> str:
    """Why a track is on the list, in a sentence."""
    if row.status is not None and row.status.is_failure:
        return f"It failed: {row.reason}"
    if row.genre and row.file_genres and disagree(to_json(row.file_genres), row.genre):
        return f"The model says {row.genre}, at {row.confidence or 0:.0%}: not what the file says."
    best = next(iter(row.probabilities), "")
    return f"The model is not sure: {row.estimate_reason or best or 'it heard nothing'}."
