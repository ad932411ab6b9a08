"""A head: genres learnt from a person's own collection, judged from stored embeddings. Application alone.

A head stands on a base model and hears nothing itself. It is a linear layer over the pooled embedding
(`tagger.pooling`) with a memory of the music it was learnt from, so that it can say of other music that it is
none of this. Its bundle is read by `tagger.learning.headfile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.decision import NO_PARENTS, choose, chunk_probabilities, decide
from tagger.learning.headcard import HeadCard
from tagger.tracks import GenreEstimate, TrackAnalysis

if TYPE_CHECKING:
    from tagger.learning.reference import Reference

NEIGHBOURS = 10
"""How far a track is from the music learnt from is told by its tenth nearest neighbour (Sun et al. 2022,
"Out-of-distribution detection with deep nearest neighbors"). Measured here, distance beats their cosine."""

LEAST_CHUNKS = 5
"""Of fewer an embedding cannot tell music from noise: one chunk alone is as even as a steady noise."""
NONMUSIC = "more like speech or noise than like music"

STALE = "its embedding is of an earlier version of this program; `tagger run --stale` listens again"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A loaded head.

    `mean`, `scale` (n_dims,) standardise an embedding; `weights` (n_dims, n_genres), `bias` (n_genres,);
    `kept` (n_kept,) int64 are the places of its first genres in the base model's; `memory` (m, n_dims) are
    standardised embeddings of music learnt from, `nonmusic` (l, n_dims) those of speech and noises, of which
    there may be none; `digests` (n,) bytes of the tracks whose labels were learnt from, with the genre said
    of each while it was held out, `said` (n,) int64.
    """

    card: HeadCard
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    kept: NDArray[np.int64]
    memory: NDArray[np.float32]
    nonmusic: NDArray[np.float32]
    digests: NDArray[np.bytes_]
    said: NDArray[np.int64]

    def standardised(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, n_dims) embeddings with the mean and deviation of those learnt from taken out."""
        return (np.asarray(embedding, dtype=np.float64) - self.mean) / self.scale

    def probabilities(
        self, embedding: NDArray[np.floating], base: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Calibrated probabilities of the head's genres.

        Parameters
        ----------
        embedding : (n, n_dims)
            Pooled.
        base : (n, n_base_genres)
            Calibrated probabilities of the base model, averaged over each track.

        Returns
        -------
        (n, n_genres) float64
        """
        logits = self.standardised(embedding) @ self.weights + self.bias
        return blended(logits / self.card.temperature, base[:, self.kept], self.card.blend)

    def distance(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far (n, n_dims) embeddings are from the music learnt from, (n,)."""
        return distance(self.standardised(embedding), self.memory)

    def distance_from_nonmusic(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far (n, n_dims) embeddings are from speech and noises, (n,); infinite where none are known."""
        return distance(self.standardised(embedding), self.nonmusic)


class Memory:
    """What a base model remembers of music, and of speech and noises, to tell these apart.

    Parameters
    ----------
    reference : Reference
        Of the model, with some speech and noises.
    """

    def __init__(self, reference: Reference) -> None:
        self._mean, self._scale = reference.embedding.mean(axis=0), reference.embedding.std(axis=0) + 1e-3
        self._music = self._standardised(reference.embedding)
        self._nonmusic = self._standardised(reference.nonmusic)

    def _standardised(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray((np.asarray(embedding, dtype=np.float64) - self._mean) / self._scale)

    def finds_music(self, analysis: TrackAnalysis) -> bool:
        """Whether a track is nearer to the music than to the speech and noises, or cannot be told."""
        if len(analysis.activations) < LEAST_CHUNKS or analysis.embedding.shape != self._mean.shape:
            return True
        row = self._standardised(analysis.embedding[np.newaxis])
        return bool(distance(row, self._music)[0] <= distance(row, self._nonmusic)[0])


def memory_of(directory: str | Path, card: ModelCard, head: Head | None) -> Memory | None:
    """What the model in a folder remembers; None where that is no speech or noise, or a head decides.

    Raises
    ------
    ModelError
        The reference that the card names is missing, changed, or does not fit the model.
    """
    if head is not None:
        return None
    from tagger.learning.reference import read_reference  # a run with nothing to decide does without

    reference = read_reference(directory, card)
    return Memory(reference) if reference is not None and len(reference.nonmusic) else None


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to 1."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def blended(logits: NDArray[np.float64], kept: NDArray[np.floating], blend: float) -> NDArray[np.float64]:
    """Softmax of the head, in which the base model has a say in telling its own genres apart.

    Parameters
    ----------
    logits : (n, n_genres)
    kept : (n, n_kept)
        The base model's probabilities of the first n_kept genres, whatever they sum to.
    blend : float
        Share of the base model, 0-1. How much all of its genres get together is the head's to say.
    """
    p = softmax(logits)
    n_kept = kept.shape[1]
    if n_kept and blend:
        mass = p[:, :n_kept].sum(axis=1, keepdims=True)
        share = kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-9)
        p[:, :n_kept] = blend * mass * share + (1 - blend) * p[:, :n_kept]
    return p


def distance(rows: NDArray[np.float64], memory: NDArray[np.floating]) -> NDArray[np.float64]:
    """Root of the mean squared difference of each of `rows` (n, n_dims) and its tenth nearest of `memory`
    (m, n_dims), both standardised, (n,); infinite where there is nothing to be near to."""
    if not len(memory):
        return np.full(len(rows), np.inf)
    known = memory.astype(np.float64, copy=False)
    k = min(NEIGHBOURS, len(known))
    squared = (rows**2).sum(axis=1)[:, np.newaxis] + (known**2).sum(axis=1) - 2 * rows @ known.T
    near = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return np.asarray(np.sqrt(np.maximum(near, 0.0) / rows.shape[1]))


def judge(
    analysis: TrackAnalysis,
    card: ModelCard,
    head: Head | None,
    memory: Memory | None,
    *,
    threshold: float | None = None,
    margin: float | None = None,
    parents: Mapping[str, str] = NO_PARENTS,
) -> GenreEstimate:
    """The genre of a track, or none with the reason why not: by the head, or without one by the base model.

    Parameters
    ----------
    analysis : TrackAnalysis
        By the base model.
    card : ModelCard
        Of the base model.
    head : Head or None
    memory : Memory or None
        Of the base model; a head has its own.
    threshold : float or None
        Least confidence, 0-1; None: the head's, or the card's.
    margin : float or None
        Least lead over the second genre, 0-1; None: the card's.
    parents : mapping
        The genre above a genre, where that may be given in its place.
    """
    if head is None:
        if memory is not None and not analysis.abstain and not memory.finds_music(analysis):
            analysis = replace(analysis, abstain=NONMUSIC)
        return decide(analysis, card, threshold=threshold, margin=margin, parents=parents)
    if not len(analysis.activations):
        return decide(analysis, card)
    if analysis.embedding.shape != (head.card.n_dims,):
        return GenreEstimate(genre=None, confidence=0.0, reason=STALE)
    base = chunk_probabilities(analysis, card).mean(axis=0, keepdims=True)
    row = analysis.embedding[np.newaxis]
    abstain = analysis.abstain
    if not abstain:
        away = head.distance(row)[0]
        if away > head.card.farthest:
            abstain = f"unlike the music that {head.card.head_id} was learnt from"
        elif len(analysis.activations) >= LEAST_CHUNKS and away > head.distance_from_nonmusic(row)[0]:
            abstain = NONMUSIC
    return choose(
        head.card.genres,
        head.probabilities(row, base)[0],
        threshold=head.card.threshold if threshold is None else threshold,
        margin=card.decision.margin if margin is None else margin,
        abstain=abstain,
        parents=parents,
    )
