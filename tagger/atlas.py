"""The map of the collection: every track's place on a plane, computed once and stored in the database.

Near means alike to the model: the two main directions of what it heard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagger.errors import StoreError
from tagger.similar import flat, load_embeddings
from tagger.store import Store


@dataclass(frozen=True, slots=True)
class MapState:
    """The stored map, and how far the library has moved on since."""

    model_id: str
    """Who heard the tracks on it."""
    made_ns: int
    n_tracks: int
    n_skipped: int
    """Tracks of another version's embedding, which have no place on it."""
    n_since: int
    """Tracks that were heard, by any model, after it was made."""

    @property
    def is_current(self) -> bool:
        """Nothing was heard since."""
        return not self.n_since


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where tracks are."""

    ids: NDArray[np.int64]
    """(n,)"""
    at: NDArray[np.float64]
    """(n, 2), -1 to 1."""
    n_all: int
    """Tracks on the map that are not gone; more than n where these are a sample."""


def make_map(store: Store) -> MapState:
    """Compute the map of the tracks that the model heard which has heard most of them, and store it.

    The same embeddings give the same map.

    Raises
    ------
    StoreError
        Nothing was heard yet, or the database cannot be written.
    """
    models = store.summary().by_model
    if not models:
        raise StoreError("No track was heard yet, so there is nothing to map: `tagger scan FOLDER` listens.")
    model_id = next(iter(models))
    found = load_embeddings(store, model_id)
    at = flat(found)
    points = [(int(i), float(x), float(y)) for i, (x, y) in zip(found.ids, at, strict=True)]
    store.save_map(model_id, points, n_skipped=found.n_skipped, made_ns=time.time_ns())
    state = map_state(store)
    assert state is not None
    return state


def map_state(store: Store) -> MapState | None:
    """The stored map, None where none was made yet."""
    found = store.query("SELECT model_id, made_ns, n_tracks, n_skipped FROM maps")
    if not found:
        return None
    model_id, made_ns, n_tracks, n_skipped = found[0]
    n_since = store.query(
        "SELECT count(*) FROM tracks WHERE listened_ns > ? AND missing_since_ns IS NULL AND abstain = ''",
        (made_ns,),
    )[0][0]
    return MapState(model_id, made_ns, n_tracks, n_skipped, n_since)


def map_places(store: Store, *, limit: int) -> Places:
    """Places of the tracks on the map that are not gone, or of `limit` of them drawn at random.

    The same are drawn every time.
    """
    found = store.query(
        "SELECT track_id, x, y FROM map_points WHERE track_id IN "
        "(SELECT id FROM tracks WHERE missing_since_ns IS NULL) ORDER BY track_id"
    )
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    if len(table) > limit:
        chosen = np.random.default_rng(0).choice(len(table), size=limit, replace=False)
        table = table[np.sort(chosen)]
    return Places(table[:, 0].astype(np.int64), table[:, 1:], len(found))
