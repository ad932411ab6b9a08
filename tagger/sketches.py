"""Sketches of embeddings: a byte for each number, and by how much that may be wrong.

To find what sounds most like a track among a million, reading their embeddings takes longest. A sketch is a
quarter as large, and says of each track between which bounds its similarity lies. What is stored where, and
how it stays true to the embeddings, is said in `tagger.store.sketched`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tagger.interrupts import check
from tagger.store import Store
from tagger.store.sketched import BLOCK

FLOAT_BYTES = 4
LARGEST = 1e15
"""An embedding with a number beyond this, or with what is no number, is like nothing."""

_STEPS = 127
_EPSILON = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float64).tiny)
_AT_ONCE = 8
"""Blocks in one transaction: a few megabytes."""
_IN_BLOCK = (
    "SELECT model_id, length(embedding), track_id, embedding FROM analyses WHERE track_id BETWEEN ? AND ? "
    "AND length(embedding) > 0 AND NOT EXISTS "
    "(SELECT 1 FROM tracks WHERE id = track_id AND missing_since_ns IS NOT NULL) ORDER BY 1, 2, 3"
)


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """n embeddings that one model made of tracks of one block, each about ``centre + scale * steps``."""

    ids: NDArray[np.int64]
    """(n,)"""
    centre: NDArray[np.float32]
    """(n_dims,), their mean."""
    measures: NDArray[np.float32]
    """(3, n): the scale; how far the embedding is from the centre; how far, at most, from what steps say."""
    steps: NDArray[np.int8]
    """(n, n_dims), -127 to 127."""


def sketch_of(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> Sketch:
    """Sketch embeddings.

    Parameters
    ----------
    ids : (n,) int64
    vectors : (n, n_dims) float32
        None that `comparable` leaves out.
    """
    if not len(ids):
        n_dims = vectors.shape[1]
        nothing = np.zeros((3, 0), np.float32), np.zeros((0, n_dims), np.int8)
        return Sketch(ids, np.zeros(n_dims, np.float32), *nothing)
    centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    away = vectors.astype(np.float64) - centre
    scale = (np.abs(away).max(axis=1, initial=0) / _STEPS).astype(np.float32)
    steps = np.rint(away / np.where(scale > 0, scale, 1)[:, None]).clip(-_STEPS, _STEPS).astype(np.int8)
    error = np.linalg.norm(away - scale[:, None].astype(np.float64) * steps, axis=1)
    measures = np.stack([scale, np.linalg.norm(away, axis=1), error * (1 + 1e-6)]).astype(np.float32)
    return Sketch(ids, centre, measures, steps)


def comparable(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which embeddings (n, n_dims) are numbers throughout, none beyond `LARGEST`: (n,)."""
    return np.asarray((np.abs(vectors) <= LARGEST).all(axis=1))


class Comparison:
    """A track held against sketches.

    Parameters
    ----------
    mean : (n_dims,) float32
        Of the library.
    direction : (n_dims,) float32
        Of the track's embedding from there, of length 1.
    """

    def __init__(self, mean: NDArray[np.float32], direction: NDArray[np.float32]) -> None:
        self._mean, self._direction = mean, direction
        self._wide = np.empty((BLOCK, len(mean)), np.float32)

    def bounds(
        self, sketch: Sketch, least: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Between what the cosine of each embedding and the track lies, both taken from the mean.

        Parameters
        ----------
        least : float
            Above 0: embeddings whose cosine is certainly less may be left out.

        Returns
        -------
        which : (n,) int64
            Places in the sketch.
        lower, upper : (n,) float64
            0 to 1; 0 stands for a negative cosine, too.
        """
        n, n_dims = sketch.steps.shape
        offset = sketch.centre - self._mean
        wide = self._wide[:n]
        np.copyto(wide, sketch.steps)
        scale, length, error = sketch.measures.astype(np.float64)
        far = float(np.linalg.norm(offset.astype(np.float64)))
        rounding = n_dims * _EPSILON * (length + far)  # of a sum of so many products
        error += rounding
        # Not by `@`: for so few rows the threads of a BLAS wait for one another longer than they work.
        along = scale * np.einsum("ij,j->i", wide, self._direction) + float(offset @ self._direction)
        which = np.flatnonzero(along + error >= least * (length - far - rounding))
        along, error, scale, length = along[which], error[which], scale[which], length[which]
        # The same again for the few that are left, with how far they really are from the mean.
        square = length**2 + 2 * scale * np.einsum("ij,j->i", wide[which], offset) + far**2
        doubt = 2 * error * far
        shortest, longest = (np.sqrt(np.maximum(square + by, _TINY)) for by in (-doubt, doubt))
        lower = np.minimum(np.maximum(along - error, 0) / longest, 1)
        return which, lower, np.minimum(np.maximum(along + error, 0) / shortest, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Sketched:
    """What of a model's embeddings of one length the sketches have, without reading them all."""

    blocks: frozenset[int]
    """Blocks that have a sketch of such embeddings."""
    others: frozenset[int]
    """Blocks that must be looked through in `analyses`."""
    total: NDArray[np.float64]
    """(n_dims,), sum of the embeddings in the sketches."""
    n: int
    """How many these are."""
    n_skipped: int
    """Embeddings of this model of another length."""


def sketched(store: Store, model_id: str, n_dims: int) -> Sketched:
    """See what the sketches have of a model's embeddings of `n_dims` numbers.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    total, n, n_skipped = np.zeros(n_dims, np.float64), 0, 0
    blocks = set()
    sql = "SELECT block, n_bytes, n, length(ids), centre FROM sketches WHERE model_id = ?"
    for some in store.in_parts(sql, (model_id,)):
        for block, n_bytes, n_all, id_bytes, centre in some:
            if n_bytes == n_dims * FLOAT_BYTES:
                blocks.add(block)
                n += id_bytes // 8
                total += id_bytes // 8 * np.frombuffer(centre, "<f4").astype(np.float64)
            else:
                n_skipped += n_all
    # In this order: a block that somebody changes in between is in both, and looked through; else in neither.
    others = frozenset(store.unsketched())
    return Sketched(frozenset(blocks - others), others, total, n, n_skipped)


def sketches(store: Store, model_id: str, n_dims: int) -> Iterator[tuple[int, Sketch]]:
    """Every sketch of a model's embeddings of `n_dims` numbers, with its block; few in memory at a time.

    Raises
    ------
    StoreError
        The database cannot be read.
    """
    sql = "SELECT block, ids, centre, measures, steps FROM sketches WHERE model_id = ? AND n_bytes = ?"
    for some in store.in_parts(sql, (model_id, n_dims * FLOAT_BYTES), at_a_time=1):
        for block, ids, centre, measures, steps in some:
            yield (
                block,
                Sketch(
                    ids=np.frombuffer(ids, "<i8"),
                    centre=np.frombuffer(centre, "<f4"),
                    measures=np.frombuffer(measures, "<f4").reshape(3, -1),
                    steps=np.frombuffer(steps, np.int8).reshape(-1, n_dims),
                ),
            )


def sketch_changes(store: Store) -> int:
    """Sketch every block that has changed since it was; may be stopped at any moment, and goes on next time.

    Parameters
    ----------
    store
        Open for writing.

    Returns
    -------
    int
        How many blocks there were.

    Raises
    ------
    StoreError
        The database cannot be read or written.
    """
    blocks = store.unsketched()
    for start in range(0, len(blocks), _AT_ONCE):
        check()
        with store.transaction():
            for block in blocks[start : start + _AT_ONCE]:
                store.save_sketches(block, _rows(store, block))
    return len(blocks)


def _rows(store: Store, block: int) -> Iterator[Mapping[str, object]]:
    """The sketches of a block as columns of their table."""
    found = store.query(_IN_BLOCK, (block * BLOCK, (block + 1) * BLOCK - 1))
    for (model_id, n_bytes), group in groupby(found, key=lambda row: row[:2]):
        rows = list(group)
        ids, vectors = as_arrays([row[2:] for row in rows], n_bytes // FLOAT_BYTES)
        sketch = sketch_of(ids, vectors)
        yield {
            "model_id": model_id,
            "n_bytes": n_bytes,
            "n": len(rows),
            "ids": sketch.ids.astype("<i8").tobytes(),
            "centre": sketch.centre.astype("<f4").tobytes(),
            "measures": sketch.measures.astype("<f4").tobytes(),
            "steps": sketch.steps.tobytes(),
        }


def as_arrays(rows: list[tuple[int, bytes]], n_dims: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids (n,) and embeddings (n, n_dims) of those rows (id, embedding) that can be compared."""
    fitting = [row for row in rows if len(row[1]) == n_dims * FLOAT_BYTES]
    vectors = np.frombuffer(b"".join(row[1] for row in fitting), dtype="<f4").reshape(len(fitting), n_dims)
    kept = comparable(vectors)
    ids = np.array([row[0] for row in fitting], np.int64)
    return (ids, vectors) if kept.all() else (ids[kept], vectors[kept])
