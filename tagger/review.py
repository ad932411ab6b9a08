"""Which tracks a person should hear next: those whose correction would teach the model most.

Two things make a track instructive: the model hardly prefers its first guess to its second (margin sampling,
Scheffer et al. 2001, "Active hidden Markov models for information extraction"), or it is sure of a genre that
the file's own tag contradicts. A track a person has judged before is not asked about again.

The user's hierarchy (``[parents]``) is handed to each question as a `Lineage`: House is no contradiction of
Electronic where it lies below it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial

from tagger.genres import display_name, genre_key
from tagger.learning.canon import canonical
from tagger.learning.hierarchy import ancestors, descendants, leaf
from tagger.store import Store
from tagger.store.columns import names_from_json, to_json
from tagger.store.rows import PERSONS, TrackRow
from tagger.store.tables import LEAD, LESSON, SURE, THERE, UNSURE
from tagger.tracks import FAILURES

_FAILED = ", ".join(f"'{status}'" for status in sorted(FAILURES))
_SAID = f"SELECT track_id FROM labels WHERE source IN {PERSONS} AND track_id IS NOT NULL"
_OPEN = f"NOT EXISTS (SELECT 1 FROM labels WHERE labels.track_id = tracks.id AND labels.source IN {PERSONS})"

KINDS = ("everything", "uncertain", "disagreeing", "failed")
"""What may be reviewed."""

Lineage = tuple[tuple[str, str], ...]
"""A hierarchy as pairs of a genre and the one above it, so that answers can be remembered by it."""


def lineage(parents: Mapping[str, str]) -> Lineage:
    """A hierarchy (`Config.parents`) for the questions here."""
    return tuple(parents.items())


def worklist(store: Store, kind: str = "everything", *, limit: int = 200, parents: Lineage = ()) -> list[int]:
    """Ids of the tracks to review, the most instructive first.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    parents : tuple of pairs
        The user's hierarchy.
    """
    found: list[tuple[float, int]] = []
    if kind == "failed":
        store.add_function("lesson", partial(lesson, parents=parents), 3)
        found = store.query(
            "SELECT lesson(coalesce(genre, ''), probabilities, file_genres) AS much, id FROM tracks "
            f"WHERE status IN ({_FAILED}) AND {THERE} AND {_OPEN} ORDER BY much DESC, id LIMIT ?",
            (limit,),
        )
    if kind in ("everything", "uncertain"):
        found += store.query(
            f"SELECT 1 - {LEAD}, id FROM tracks INDEXED BY tracks_unsure WHERE {UNSURE} AND {_OPEN} "
            f"ORDER BY {LEAD}, id LIMIT ?",
            (limit,),
        )
    if kind in ("everything", "disagreeing"):
        for file_genres, genre, _ in _disagreeing(store, parents):
            found += store.query(
                f"SELECT {LESSON}, id FROM tracks WHERE {SURE} AND file_genres = ? AND genre = ? AND {_OPEN} "
                f"ORDER BY {LESSON} DESC, id LIMIT ?",
                (file_genres, genre, limit),
            )
    found.sort(key=lambda much: (-much[0], much[1]))
    return [track_id for _, track_id in found[:limit]]


def counts(store: Store, parents: Lineage = ()) -> dict[str, int]:
    """How many tracks are open, by kind; see `worklist`."""
    n = {
        "uncertain": _one(store, f"SELECT count(*) FROM tracks INDEXED BY tracks_unsure WHERE {UNSURE}")
        - _one(store, f"SELECT count(*) FROM tracks WHERE {UNSURE} AND id IN ({_SAID})"),
        "disagreeing": sum(n for _, _, n in _disagreeing(store, parents))
        - _n_disagreeing_but_judged(store, parents),
        "failed": _one(
            store, f"SELECT count(*) FROM tracks WHERE status IN ({_FAILED}) AND {THERE} AND {_OPEN}"
        ),
    }
    return {"everything": n["uncertain"] + n["disagreeing"]} | n


def _one(store: Store, sql: str) -> int:
    return int(store.query(sql)[0][0])


def _disagreeing(store: Store, parents: Lineage) -> list[tuple[str, str, int]]:
    """What files say, what the model says otherwise, and of how many tracks: there are few such pairs."""
    pairs = store.query(
        f"SELECT file_genres, genre, count(*) FROM tracks INDEXED BY tracks_sure WHERE {SURE} GROUP BY 1, 2"
    )
    return [pair for pair in pairs if disagree(pair[0], pair[1], parents)]


def _n_disagreeing_but_judged(store: Store, parents: Lineage) -> int:
    judged = store.query(f"SELECT file_genres, genre FROM tracks WHERE {SURE} AND id IN ({_SAID})")
    return sum(disagree(file_genres, genre, parents) for file_genres, genre in judged)


def lesson(genre: str, probabilities: str, file_genres: str, parents: Lineage = ()) -> float:
    """How much a person's word on a track would teach, 0-1.

    Parameters
    ----------
    genre : str
        The model's label, empty where it abstained.
    probabilities, file_genres : str
        JSON, as the columns have it.
    parents : tuple of pairs
        The user's hierarchy.
    """
    first, second = top_two(probabilities)
    if genre and file_genres != "[]" and disagree(file_genres, genre, parents):
        return max(1.0 - (first - second), first)
    return 1.0 - (first - second)


@lru_cache(maxsize=65536)
def disagree(file_genres: str, label: str, parents: Lineage = ()) -> bool:
    """Whether none of a file's genres is the model's, nor a kind of it, nor a genre above it.

    ``Alternative Rock`` is a kind of ``rock``, because its name holds the other; so is ``Hip-Hop/Rap`` of
    ``hiphop``. By the user's hierarchy, ``House`` is a kind of ``Electronic``, and so is ``French House``; a
    file that says ``Electronic`` says less than a model that says ``House``, but nothing else. Two genres
    beside each other, ``House`` and ``Techno``, do contradict.

    Parameters
    ----------
    file_genres : str
        JSON list of names, as the column has it.
    label : str
        The model's.
    parents : tuple of pairs
        The user's hierarchy.

    Examples
    --------
    >>> disagree('["Electronic"]', "House"), disagree('["Electronic"]', "House", (("House", "Electronic"),))
    (True, False)
    """
    kinds, kin = _kin(label, parents)
    names = names_from_json(file_genres)
    keys = [genre_key(name) for name in names]
    if not keys or any(kind in key for kind in kinds for key in keys):
        return False
    return not any(_lowest(name, parents) in kin for name in names)


@lru_cache(maxsize=4096)
def _kin(label: str, parents: Lineage) -> tuple[frozenset[str], frozenset[str]]:
    """Keys that make a name holding one a kind of a genre; and those of whole names above and below it."""
    table = dict(parents)
    below = descendants(label, table)
    kinds = {genre_key(name) for name in (label, display_name(label) or label, *below)} - {""}
    return frozenset(kinds), frozenset(_key(name) for name in (*below, *ancestors(label, table)))


@lru_cache(maxsize=65536)
def _lowest(name: str, parents: Lineage) -> str:
    """Key of a file's genre, or of the last of a branch: of House, where it says ``Electronic > House``."""
    return _key(leaf(name, dict(parents)))


def _key(name: str) -> str:
    return genre_key(canonical(name))


def top_two(probabilities: str) -> tuple[float, float]:
    """The two highest of the stored probabilities, which stand in order; 0 for what is not there."""
    try:  # a fifth of the time of reading all of it, and asked of every track of the library
        first, second, *_ = probabilities.split(",", 2)
        return float(first.rpartition(":")[2]), float(second.rpartition(":")[2].rstrip("}"))
    except ValueError:
        values = sorted(json.loads(probabilities).values(), reverse=True)
        highest, next_to_it, *_ = (*values, 0.0, 0.0)
        return float(highest), float(next_to_it)


def why(row: TrackRow, parents: Lineage = ()) -> str:
    """Why a track is on the list, in a sentence."""
    if row.status is not None and row.status.is_failure:
        return f"It failed: {row.reason}"
    if row.genre:
        said = f"The model says {row.genre}, at {row.confidence or 0:.0%}"
        if not row.file_genres:
            return f"{said}."
        contradicts = disagree(to_json(row.file_genres), row.genre, parents)
        return f"{said}: not what the file says." if contradicts else f"{said}, and so does the file."
    best = next(iter(row.probabilities), "")
    return f"The model is not sure: {row.estimate_reason or best or 'it heard nothing'}."
