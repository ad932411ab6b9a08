"""Which tracks a person should hear next: those whose correction would teach the model most.

Two things make a track instructive: the model hardly prefers its first guess to its second (margin sampling,
Scheffer et al. 2001, "Active hidden Markov models for information extraction"), or it is sure of a genre that
the file's own tag contradicts. A track a person has judged before is not asked about again.
"""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.filters import disagree
from dashboards.queries import top_two
from tagger.store import Store
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
    "(SELECT 1 FROM labels WHERE labels.track_id = tracks.id AND labels.source = 'user')"
)


def worklist(store: Store, kind: str = "everything", *, limit: int = 200) -> list[int]:
    """Ids of the tracks to review, the most instructive first.

    Parameters
    ----------
    store : Store
        Has gone through `dashboards.filters.prepare`.
    kind : str
        A key of `KINDS`.
    """
    store.add_function("lesson", lesson, 3)
    found = store.query(
        f"SELECT id FROM tracks WHERE {_OPEN} AND {KINDS[kind]} "
        "ORDER BY lesson(coalesce(genre, ''), probabilities, file_genres) DESC, id LIMIT ?",
        (limit,),
    )
    return [row[0] for row in found]


def counts(store: Store) -> dict[str, int]:
    """How many tracks are open, by kind."""
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
