"""From labelled embeddings to a head: the fit, and what is set out of fold.

Regularised multinomial logistic regression over pooled embeddings, fitted with SciPy: seconds for 10,000
tracks. Everything that is chosen or measured (temperature, blend, bias of the new genres, threshold, limit of
distance, all figures) comes from words about tracks whose artist the fit had not met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from tagger.learning.folds import N_FOLDS, folds
from tagger.learning.heads import blended, distance

PENALTY = 0.01
"""Of the squared weights, against the mean loss: flat between 0.003 and 0.03 for 5 to 50 tracks a genre."""
EVENING = 0.5
"""A track weighs by the size of its genre to minus this: 0 leaves large genres in front, 1 evens them out."""
ENOUGH_OWN = 30
"""From so many labels of one's own on, the reference of a genre is left out: the person's meaning counts."""
LEAST_TO_CALIBRATE = 20
MOST_LOST = 0.01
"""How much of its own music that a base model got right the new genres may take away, out of fold. Of other
music it is more: what a network learnt from lies more neatly in its embedding than what it never heard."""
CAUTION = 0.1
"""By how much the new genres' bias stays below the best one: in favour of what was there before."""
STRANGE_SHARE = 0.03
"""Share of the known music that is given up as too far from the rest."""
MOST_REMEMBERED = 2000
PRECISION = 0.90
_MAX_STEPS = 300


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled tracks, one row each.

    `embedding` (n, n_dims) float32, pooled; `kept` (n, n_kept) float64, the base model's probabilities of the
    first n_kept of `genres`; `genre` (n,) int64, indices into `genres`; `group` (n,) uint64, the same for
    tracks that must stay together; `own` (n,) bool, False for the base model's reference.
    """

    embedding: NDArray[np.float32]
    kept: NDArray[np.float64]
    genre: NDArray[np.int64]
    group: NDArray[np.uint64]
    own: NDArray[np.bool_]
    genres: tuple[str, ...]

    @property
    def n_kept(self) -> int:
        """How many genres are the base model's."""
        return int(self.kept.shape[1])

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Examples:
        """The tracks at `rows` (a mask or indices)."""
        return Examples(
            self.embedding[rows],
            self.kept[rows],
            self.genre[rows],
            self.group[rows],
            self.own[rows],
            self.genres,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A fitted layer over standardised embeddings; see `tagger.learning.heads.Head`."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    memory: NDArray[np.float64]

    def standardised(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, n_dims) as the layer takes them."""
        return (np.asarray(embedding, dtype=np.float64) - self.mean) / self.scale

    def logits(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, n_genres)."""
        return np.asarray(self.standardised(embedding) @ self.weights + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A fit on everything, with what was set and said out of fold.

    `probabilities` (n, n_genres), `distance` (n,) from the music learnt from and `noise_distance` (n,) from
    sounds that are no music are of the examples, each while its artist was held out; `fold` (n,) int64 says
    in which part.
    """

    layer: Linear
    temperature: float
    blend: float
    farthest: float
    probabilities: NDArray[np.float64]
    distance: NDArray[np.float64]
    noise_distance: NDArray[np.float64]
    fold: NDArray[np.int64]


def fit(examples: Examples, emphasis: NDArray[np.float64] | None = None) -> Linear:
    """Fit a layer to examples, of whose genres some may be absent.

    The reference of a genre with many labels of the person's own is left out; see `ENOUGH_OWN`. `emphasis`
    (n_dims,) says how readily the layer draws on each number of the embedding, all alike by default.
    """
    n_genres = len(examples.genres)
    own = np.bincount(examples.genre[examples.own], minlength=n_genres)
    examples = examples.take(examples.own | (own[examples.genre] < ENOUGH_OWN))
    x = examples.embedding.astype(np.float64)
    n_dims = x.shape[1]
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    x = (x - mean) / scale
    memory = x[_remembered(examples.genre)]
    # By the square root of their number, so that one penalty serves embeddings of any length.
    weigh = (np.ones(n_dims) if emphasis is None else emphasis) / np.sqrt(n_dims / 100)
    x = x * weigh
    counts = np.bincount(examples.genre, minlength=n_genres)
    weight = counts[examples.genre] ** -EVENING
    weight /= weight.sum()
    target = np.eye(n_genres)[examples.genre]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        layer = flat.reshape(n_dims + 1, n_genres)
        logits = x @ layer[:-1] + layer[-1]
        logits -= logsumexp(logits, axis=1, keepdims=True)
        value = -(weight * (target * logits).sum(axis=1)).sum()
        value += 0.5 * PENALTY * (layer[:-1] ** 2).sum() + 1e-4 * (layer[-1] ** 2).sum()
        error = (np.exp(logits) - target) * weight[:, np.newaxis]
        slope = np.vstack([x.T @ error + PENALTY * layer[:-1], error.sum(axis=0) + 2e-4 * layer[-1]])
        return float(value), slope.ravel()

    start = np.zeros((n_dims + 1) * n_genres)
    with threadpool_limits(1, "blas"):  # small products: more threads take up to five times as long
        done = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS})
    layer = done.x.reshape(n_dims + 1, n_genres)
    return Linear(mean, scale, layer[:-1] * weigh[:, np.newaxis], layer[-1], memory)


def _remembered(genre: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `MOST_REMEMBERED` tracks, as many of each genre as can be."""
    if len(genre) <= MOST_REMEMBERED:
        return np.arange(len(genre))
    order = np.random.default_rng(0).permutation(len(genre))
    rank = np.empty(len(genre), dtype=np.int64)
    for kind in np.unique(genre):
        some = order[genre[order] == kind]
        rank[some] = np.arange(len(some))
    return np.sort(order[np.argsort(rank[order], kind="stable")][:MOST_REMEMBERED])


def learn(
    examples: Examples,
    nonmusic: NDArray[np.float32] | None = None,
    *,
    emphasis: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Learnt:
    """Fit a head, and set whatever there is to set out of fold.

    Parameters
    ----------
    examples : Examples
        Of at least two genres and two groups.
    nonmusic : (m, n_dims) float32 or None
        Embeddings of speech and noises.
    emphasis : (n_dims,) float64 or None
        See `fit`.
    """
    n_folds = min(N_FOLDS, len(np.unique(examples.group)))
    fold = folds(examples.group, examples.genre, n_folds, seed)
    logits = np.zeros((len(fold), len(examples.genres)))
    away, from_noise = np.zeros(len(fold)), np.full(len(fold), np.inf)
    for part in range(n_folds):
        held = fold == part
        layer = fit(examples.take(~held), emphasis)
        logits[held] = layer.logits(examples.embedding[held])
        rows = layer.standardised(examples.embedding[held])
        away[held] = distance(rows, layer.memory)
        if nonmusic is not None:
            from_noise[held] = distance(rows, layer.standardised(nonmusic))
    blend = _best_blend(examples, logits)
    shift = _best_shift(examples, logits, blend)
    logits[:, examples.n_kept :] += shift
    temperature = _best_temperature(examples, logits, blend)
    layer = fit(examples, emphasis)
    layer.bias[examples.n_kept :] += shift
    return Learnt(
        layer=layer,
        temperature=temperature,
        blend=blend,
        farthest=float(np.quantile(away, 1 - STRANGE_SHARE)),
        probabilities=blended(logits / temperature, examples.kept, blend),
        distance=away,
        noise_distance=from_noise,
        fold=fold,
    )


def _log_loss(p: NDArray[np.float64], genre: NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(p)), genre], 1e-9)).mean())


def _best_blend(examples: Examples, logits: NDArray[np.float64]) -> float:
    """How much the base model's telling apart of its own genres is to be trusted: all where the person's
    labels of these are too few to say."""
    judges = examples.own & (examples.genre < examples.n_kept)
    if judges.sum() < LEAST_TO_CALIBRATE:
        return 1.0 if examples.n_kept else 0.0
    few = examples.take(judges)
    losses = {
        blend: _log_loss(blended(logits[judges], few.kept, blend), few.genre) for blend in (1.0, 0.5, 0.0)
    }
    return min(losses, key=lambda blend: losses[blend])


def _best_shift(examples: Examples, logits: NDArray[np.float64], blend: float) -> float:
    """What to add to the new genres' logits: a little less than gives the best mean recall at which the old
    genres lose little."""
    old = examples.genre < examples.n_kept
    if not old.any() or old.all():
        return 0.0
    best, found = -1.0, 0.0
    for shift in np.arange(-6.0, 3.01, 0.1):
        moved = logits.copy()
        moved[:, examples.n_kept :] += shift
        said = blended(moved, examples.kept, blend).argmax(axis=1)
        if lost(examples, said) > MOST_LOST:
            break
        right = said == examples.genre
        recall = np.mean([right[examples.genre == g].mean() for g in np.unique(examples.genre)])
        if recall > best:
            best, found = float(recall), float(shift)
    return found - CAUTION


def lost(examples: Examples, said: NDArray[np.int64]) -> float:
    """Share of the old genres' tracks that the base model gets right and `said` (n,) calls something new."""
    old = examples.genre < examples.n_kept
    if not old.any():
        return 0.0
    right = examples.kept[old].argmax(axis=1) == examples.genre[old]
    return float((right & (said[old] >= examples.n_kept)).mean())


def _best_temperature(examples: Examples, logits: NDArray[np.float64], blend: float) -> float:
    if examples.own.sum() < LEAST_TO_CALIBRATE:
        return 1.0
    own = examples.take(examples.own)
    z = logits[examples.own]
    done = minimize_scalar(
        lambda t: _log_loss(blended(z / np.exp(t), own.kept, blend), own.genre),
        bounds=(np.log(0.4), np.log(3.0)),
        method="bounded",
    )
    return float(np.exp(done.x))


def precision_threshold(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], precision: float = PRECISION
) -> float:
    """The lowest confidence from which on `precision` of the tracks are right; 1 where there is none."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= precision)
    return float(confidence[order[enough[-1]]]) if len(enough) else 1.0


def named_out_of_fold(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], fold: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which tracks would be named, each under the threshold that the other folds ask for, (n,)."""
    fold = np.asarray(fold)
    named = np.zeros(len(confidence), dtype=np.bool_)
    for part in np.unique(fold):
        held = fold == part
        if (~held).any():
            named[held] = confidence[held] >= precision_threshold(confidence[~held], right[~held])
    return named
