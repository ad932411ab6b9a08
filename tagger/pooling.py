"""From what the network says of each chunk to the one vector a track is remembered by: its embedding.

Three parts, one after the other: the mean of the network's own embedding over the chunks, its standard
deviation (how much the track changes), and the fluctuation of the spectrogram (how fast it pulses,
and where). The last two were measured to help heads that learn from few tracks; see training/EXPERIMENTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig

FLUCTUATION_HZ = (0.02, 0.8, 1.65, 2.5, 3.3, 4.15, 5.01)
"""Edges of the bands of modulation: a beat of 60 to 150 a minute lies between 1 and 2.5 Hz."""
FLUCTUATION_BANDS = 8
"""Bands of the mel axis that are looked at one by one."""
N_FLUCTUATION = (len(FLUCTUATION_HZ) - 1) * FLUCTUATION_BANDS

EMPHASIS = (1.0, 0.7, 2.0)
"""How much a head listens to the three parts, each number of which is first brought to unit variance: the
deviation is the least, the fluctuation the most reliable of so few tracks; see training/EXPERIMENTS.md."""

_AT_A_TIME = 32  # numbers of an embedding, in double precision


def emphasis(n_dims: int) -> NDArray[np.float64]:
    """`EMPHASIS` for each number of a pooled embedding of `n_dims`, (n_dims,)."""
    n_network = (n_dims - N_FLUCTUATION) // 2
    return np.repeat(EMPHASIS, (n_network, n_network, N_FLUCTUATION))


def pooled_dims(n_dims: int) -> int:
    """Length of the pooled embedding of a network whose own has `n_dims`."""
    return 2 * n_dims + N_FLUCTUATION


def fluctuation(mel: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """How strongly each part of the spectrum swells and ebbs, and how fast.

    After the fluctuation patterns of Pampalk et al. (2002), "Content-based organization and visualization of
    music archives", without their loudness model.

    Parameters
    ----------
    mel : (n_frames, n_mels) float32
        Normalised; at least a chunk long.
    config : FeatureConfig

    Returns
    -------
    (N_FLUCTUATION,) float32
        Logarithm of one plus the mean amplitude, speed by speed; of the same size for long and short segments
        of the same sound.
    """
    strength = np.abs(scipy.fft.rfft(mel - mel.mean(axis=0), axis=0))
    strength *= np.sqrt(config.segment_samples / config.hop_length / len(mel))
    hz = np.fft.rfftfreq(len(mel), config.hop_length / config.sr)
    parts = [part.mean(axis=1) for part in np.array_split(strength, FLUCTUATION_BANDS, axis=1)]
    by_band = np.stack(parts, axis=1)
    rows = np.zeros((len(FLUCTUATION_HZ) - 1, FLUCTUATION_BANDS))
    for place, (low, high) in enumerate(pairwise(FLUCTUATION_HZ)):
        inside = (hz >= low) & (hz < high)
        if inside.any():
            rows[place] = by_band[inside].mean(axis=0)
    return np.log1p(rows).ravel().astype(np.float32)


def pool(
    embeddings: NDArray[np.float32],
    fluctuations: Sequence[NDArray[np.float32]],
    n_chunks: Sequence[int],
) -> NDArray[np.float32]:
    """One vector of a whole track.

    Parameters
    ----------
    embeddings : (n, n_dims) float32
        Of each chunk of the track, n at least 1.
    fluctuations : sequence of (N_FLUCTUATION,) float32
        Of each of its segments.
    n_chunks : sequence of int
        Chunks in each segment: every chunk counts the same. Their sum is n.

    Returns
    -------
    (2 * n_dims + N_FLUCTUATION,) float32
    """
    mean, deviation = np.empty((2, embeddings.shape[1]))
    for start in range(0, embeddings.shape[1], _AT_A_TIME):  # all of a mix of hours: tens of megabytes
        some = slice(start, start + _AT_A_TIME)
        wide = embeddings[:, some].astype(np.float64)
        mean[some], deviation[some] = wide.mean(axis=0), wide.std(axis=0)
    pulse = np.average(np.stack(fluctuations).astype(np.float64), axis=0, weights=n_chunks)
    return np.concatenate([mean, deviation, pulse]).astype(np.float32)
