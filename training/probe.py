"""The last layer of a network alone: fitted to what reaches it of chunks, the rest stays as it is."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from training.dataset import Clips
from training.network import build
from training.recipe import Recipe
from training.train import clip_chunks

PENALTY = 0.01
"""Of the squared weights, against the mean loss: that of a head (`tagger.learning.fitting`)."""
CLIPS_AT_ONCE = 200
MAX_STEPS = 200


def with_fitted_layer(
    network: keras.Model, recipe: Recipe, clips: Clips, wanted: NDArray[np.float32]
) -> keras.Model:
    """The network with its last layer fitted to what is wanted of the clips' chunks, the rest as it was.

    Parameters
    ----------
    network : keras.Model
    recipe : Recipe
    clips : Clips
    wanted : (n_clips, n_genres)
        Distributions over the genres.
    """
    x, clip = _before_last(network, clips)
    weight = clip_weights(clips, recipe)[clip]
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    kernel, bias = fit_layer((x - mean) / scale, wanted[clip].astype(np.float64), weight / weight.sum())
    kernel /= scale[:, None]
    bias -= mean @ kernel
    copy = build(recipe.network, len(recipe.genres))
    copy.set_weights(network.get_weights())
    copy.get_layer("logits").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return copy


def _before_last(network: keras.Model, clips: Clips) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What reaches the last layer of all chunks, (n, n_dims), and the clip of each, (n,)."""
    upto = keras.Model(network.input, network.get_layer("logits").input)
    parts = []
    for first in range(0, len(clips), CLIPS_AT_ONCE):
        cut = clip_chunks(clips.mel[first : first + CLIPS_AT_ONCE])
        flat = cut.reshape(-1, *cut.shape[2:])
        parts.append(upto.predict(flat, batch_size=256, verbose=0).astype(np.float64))
        n_chunks = cut.shape[1]
    return np.concatenate(parts), np.repeat(np.arange(len(clips)), n_chunks)


def clip_weights(clips: Clips, recipe: Recipe) -> NDArray[np.float64]:
    """How much each clip counts, (n_clips,): as batches draw them, sources by share, genres alike in each."""
    weight = np.zeros(len(clips))
    for config in recipe.data:
        here = clips.source == config.source
        kinds = np.unique(clips.genre[here])
        for genre in kinds:
            rows = here & (clips.genre == genre)
            weight[rows] = config.share / len(kinds) / rows.sum()
    return weight


def fit_layer(
    x: NDArray[np.float64], wanted: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Multinomial logistic regression: kernel (n_dims, n_genres) and bias (n_genres,).

    Parameters
    ----------
    x : (n, n_dims)
        Standardised.
    wanted : (n, n_genres)
        Distributions.
    weight : (n,)
        Sums to 1.
    """
    n_dims, n_genres = x.shape[1], wanted.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = flat[: n_dims * n_genres].reshape(n_dims, n_genres), flat[n_dims * n_genres :]
        logits = x @ w + b
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        wrong = (np.exp(log_p) - wanted) * weight[:, None]
        value = -(weight @ (wanted * log_p).sum(axis=1)) + PENALTY * (w**2).sum()
        return float(value), np.concatenate([(x.T @ wrong + 2 * PENALTY * w).ravel(), wrong.sum(axis=0)])

    found = minimize(
        loss, np.zeros((n_dims + 1) * n_genres), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    flat = np.asarray(found.x)
    return flat[: n_dims * n_genres].reshape(n_dims, n_genres), flat[n_dims * n_genres :]
