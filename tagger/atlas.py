"""The map of the collection: every track's place on a plane, computed once and stored in the database.

Near means alike to the model: the two main directions of what it heard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagger.errors import StoreError
from tagger.store import Store

_BLOCK = 10_000


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


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Embeddings of tracks that one model heard."""

    ids: NDArray[np.int64]
    """(n,)"""
    vectors: NDArray[np.float32]
    """(n, n_dims), centred on these tracks' mean, each of length 1 (or 0)."""
    n_skipped: int = 0
    """Tracks whose embedding is of another length: they were heard by an earlier version of the program."""


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


def load_embeddings(store: Store, model_id: str) -> Embeddings:
    """Embeddings of the tracks a model heard that are not gone, those of the greatest length there is.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    rows = store.query(
        "SELECT track_id, embedding FROM analyses WHERE model_id = ? AND length(embedding) > 0 AND track_id "
        "NOT IN (SELECT id FROM tracks WHERE missing_since_ns IS NOT NULL) ORDER BY track_id",
        (model_id,),
    )
    n_found = len(rows)
    size = max((len(row[1]) for row in rows), default=0)
    rows = [row for row in rows if len(row[1]) == size]
    if not rows:
        return Embeddings(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    # One buffer, changed in place: of a large library there is no room for copies.
    raw = np.frombuffer(bytearray().join(row[1] for row in rows), dtype="<f4")
    vectors = raw.astype(np.float32, copy=False).reshape(len(rows), -1)
    vectors -= vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    vectors /= np.where(length > 0, length, 1)
    return Embeddings(np.array([row[0] for row in rows], np.int64), vectors, n_found - len(rows))


def flat(embeddings: Embeddings) -> NDArray[np.float64]:
    """Map of the embeddings on a plane: their two main directions (Pearson 1901), scaled to [-1, 1].

    Returns
    -------
    (n, 2) float64
        The sign of each direction is fixed, so that the map does not flip from one run to the next.
    """
    n, n_dims = embeddings.vectors.shape
    if n < 2 or n_dims < 2:
        return np.zeros((n, 2))
    centre = embeddings.vectors.mean(axis=0, dtype=np.float64)
    # Of the covariance, which is small however many tracks there are; block by block, for the same reason.
    covariance = np.zeros((n_dims, n_dims))
    for start in range(0, n, _BLOCK):
        block = embeddings.vectors[start : start + _BLOCK] - centre
        covariance += block.T @ block
    _, directions = np.linalg.eigh(covariance)
    axes = directions[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    at = embeddings.vectors @ axes.astype(np.float32) - centre @ axes
    spread = np.abs(at).max(axis=0)
    return np.asarray(at / np.where(spread > 0, spread, 1))
