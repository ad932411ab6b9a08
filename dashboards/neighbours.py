"""Which tracks sound alike: embeddings of a model, nearest ones, and a flat map of them.

Of a large library a sample is looked at, drawn the same way every time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagger.store import Store
from tagger.store.columns import embedding_from_blob

MAX_COMPARED = 20_000
"""Tracks that are compared with one."""
LEAST_ALIKE = 0.1
"""Below this two tracks are strangers: the cosine of tracks drawn at random is about 0."""
MAX_MAPPED = 4_000
"""Dots of a map: more would hide one another, and make the browser slow."""


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Embeddings of tracks that one model heard."""

    ids: NDArray[np.int64]
    """(n,)"""
    vectors: NDArray[np.float32]
    """(n, n_dims), centred on the library's mean, each of length 1 (or 0)."""
    mean: NDArray[np.float32]
    """(n_dims,), that was taken off."""
    n_all: int
    """Tracks in the library that have one; more than n where this is a sample."""


def load_embeddings(store: Store, model_id: str, *, limit: int) -> Embeddings:
    """Embeddings of the tracks a model heard that are not gone, or of `limit` of them drawn at random."""
    found = store.query(
        "SELECT id FROM tracks WHERE model_id = ? AND missing_since_ns IS NULL ORDER BY id", (model_id,)
    )
    ids = np.array([row[0] for row in found], dtype=np.int64)
    n_all = len(ids)
    if n_all > limit:
        ids = np.sort(np.random.default_rng(0).choice(ids, size=limit, replace=False))
    rows = store.query(
        "SELECT track_id, embedding FROM analyses WHERE model_id = ? AND length(embedding) > 0 "
        "AND track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id",
        (model_id, json.dumps(ids.tolist())),
    )
    longest = max((len(row[1]) for row in rows), default=0)  # a shorter one is of an earlier version
    rows = [row for row in rows if len(row[1]) == longest]
    if not rows:
        return Embeddings(np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros(0, np.float32), 0)
    vectors = np.stack([embedding_from_blob(row[1]) for row in rows])
    mean = vectors.mean(axis=0)
    vectors = vectors - mean
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(
        ids=np.array([row[0] for row in rows], dtype=np.int64),
        vectors=vectors / np.where(length > 0, length, 1),
        mean=mean,
        n_all=n_all if n_all > limit else len(rows),
    )


def nearest(
    embeddings: Embeddings, embedding: NDArray[np.float32], *, but: int, k: int = 10
) -> list[tuple[int, float]]:
    """The tracks that sound most like a given one.

    Parameters
    ----------
    embedding : (n_dims,) float32
        Of the given track, of the same model; it need not be among the others.
    but : int
        Id of the given track.

    Returns
    -------
    list of (id, similarity)
        The cosine of the centred embeddings, at least `LEAST_ALIKE`, the most similar first.
    """
    others = embeddings.ids != but
    if not others.any() or embedding.shape != embeddings.mean.shape:
        return []
    direction = embedding - embeddings.mean
    direction = direction / max(float(np.linalg.norm(direction)), 1e-12)
    similarity = np.where(others, embeddings.vectors @ direction, -np.inf)
    best = np.argsort(-similarity, kind="stable")[: min(k, int(others.sum()))]
    return [(int(embeddings.ids[i]), float(similarity[i])) for i in best if similarity[i] >= LEAST_ALIKE]


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
    centred = embeddings.vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    # Of the covariance, not of the vectors: it is small however many tracks there are.
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    at = centred @ axes
    spread = np.abs(at).max(axis=0)
    return np.asarray(at / np.where(spread > 0, spread, 1))
