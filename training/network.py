"""The network: Conv2D, MaxPooling, Dropout, Flatten, Dense over a 4 s chunk. Keras 3 alone, any backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
from keras import layers


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the network. Kernels and pools are (time, frequency)."""

    frames: int = 52
    n_mels: int = 128
    stem: int = 16
    stem_kernel: tuple[int, int] = (5, 7)
    stem_strides: tuple[int, int] = (1, 2)
    stem_pool: tuple[int, int] = (1, 2)
    widths: tuple[int, ...] = (48, 64, 96, 128)
    pools: tuple[tuple[int, int], ...] = ((2, 2), (2, 2), (2, 2), (6, 2))
    dropout: float = 0.1
    """After each convolution block."""
    hidden: int = 96
    dense_dropout: float = 0.3


def _pooled(x: keras.KerasTensor, pool: tuple[int, int]) -> keras.KerasTensor:
    """Pool, then normalise and rectify: the same as in the usual order but a quarter of the work."""
    x = layers.MaxPooling2D(pool)(x)
    return layers.Activation("relu")(layers.BatchNormalization()(x))


def build(config: NetworkConfig, n_genres: int, teachers: Mapping[str, int] | None = None) -> keras.Model:
    """The network with its outputs by name.

    Parameters
    ----------
    config : NetworkConfig
    n_genres : int
    teachers : mapping of str to int, optional
        Auxiliary regression heads (name to number of dimensions), for distillation; dropped on export.

    Returns
    -------
    keras.Model
        (n, frames, n_mels) to ``{"logits": (n, n_genres), "embedding": (n, n_dims), **teachers}``. The
        embedding is what the convolutions give: the hidden layer behind it keeps what tells the known genres
        apart, and heads that learn others from few tracks do better without it (training/EXPERIMENTS.md).
    """
    chunk = keras.Input((config.frames, config.n_mels), name="chunk")
    x = layers.Reshape((config.frames, config.n_mels, 1))(chunk)
    x = layers.Conv2D(
        config.stem, config.stem_kernel, strides=config.stem_strides, padding="same", use_bias=False
    )(x)
    x = _pooled(x, config.stem_pool)
    for width, pool in zip(config.widths, config.pools, strict=True):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = _pooled(x, pool)
        x = layers.Dropout(config.dropout)(x)
    embedding = layers.Flatten(dtype="float32", name="embedding")(x)
    x = layers.Dropout(config.dense_dropout)(embedding)
    hidden = layers.Dense(config.hidden, activation="relu", dtype="float32", name="hidden")(x)
    dropped = layers.Dropout(config.dense_dropout)(hidden)
    outputs = {
        "logits": layers.Dense(n_genres, dtype="float32", name="logits")(dropped),
        "embedding": embedding,
    }
    for name, n_dims in (teachers or {}).items():
        outputs[name] = layers.Dense(n_dims, dtype="float32", name=name)(hidden)
    return keras.Model(chunk, outputs)
