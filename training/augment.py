"""Random changes to training crops: what differs between recordings of a genre, or their masterings.

All functions work on batches ``(n, n_frames, n_mels)`` float32 in units of the normalised mel (one is a
clip's standard deviation, some 15-20 dB) and take the random generator: a seed and a step give one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How strong each change is; zero switches it off."""

    stretch: float = 0.1
    """Largest relative change of tempo."""
    shift_bins: float = 2.0
    """Largest shift of pitch along the mel axis."""
    tilt: float = 0.1
    """Standard deviation of a straight filter's gain at the ends of the mel axis."""
    curve: float = 0.1
    """Standard deviation of a smooth filter's gain at its 8 points."""
    compression: float = 0.2
    """Largest share of the loudness contour taken away (or, a third as much, added)."""
    band_limit: float = 0.0
    """Chance of a low-pass: the top of the mel axis falls to the floor."""
    noise: float = 0.05
    """Largest standard deviation of white noise added."""
    time_masks: int = 1
    time_mask_frames: int = 10
    band_masks: int = 1
    band_mask_bins: int = 16
    mixstyle: float = 0.0
    """Share of the crops that take on the spectrum (each band's mean and deviation) of another crop."""
    mixup: float = 0.2
    """Parameter of the beta distribution of the mixing weight."""
    mixup_share: float = 0.5
    """Share of the batch that is mixed."""


def crops(
    mel: Batch,
    rows: NDArray[np.int64],
    starts: NDArray[np.float64],
    stretch: NDArray[np.float64],
    frames: int,
) -> Batch:
    """Crops of `frames` frames from clips `rows` at fractional `starts`, played faster by ``1 + stretch``.

    Frames are picked, not averaged, as in the cached arrays; beyond a clip's end its last frame repeats.
    """
    columns = starts[:, None] + np.arange(frames) * (1 + stretch[:, None])
    picked = np.clip(np.rint(columns).astype(np.int64), 0, mel.shape[1] - 1)
    return mel[rows[:, None], picked]


def shift_pitch(x: Batch, shifts: NDArray[np.float64]) -> Batch:
    """Move each crop along the mel axis by a fractional number of bins; edges repeat."""
    n_mels = x.shape[2]
    where = np.arange(n_mels)[None, :] - shifts[:, None]
    low = np.clip(np.floor(where).astype(np.int64), 0, n_mels - 1)
    high = np.minimum(low + 1, n_mels - 1)
    weight = np.clip(where - low, 0, 1).astype(np.float32)[:, None, :]
    take = np.take_along_axis
    return np.asarray(take(x, low[:, None, :], 2) * (1 - weight) + take(x, high[:, None, :], 2) * weight)


def random_filters(n: int, n_mels: int, tilt: float, curve: float, rng: np.random.Generator) -> Batch:
    """Gains over the mel axis, (n, n_mels): a tilt and a smooth curve through 8 random points."""
    ends = np.linspace(-1, 1, n_mels)
    points = rng.normal(0, curve, (n, 8)) if curve else np.zeros((n, 8))
    x = np.linspace(0, 7, n_mels)
    i = np.minimum(x.astype(np.int64), 6)
    smooth = (1 - np.cos(np.pi * (x - i))) / 2
    gains = points[:, i] * (1 - smooth) + points[:, i + 1] * smooth + rng.normal(0, tilt, (n, 1)) * ends
    return np.asarray(gains, dtype=np.float32)


def mask(x: Batch, config: AugmentConfig, rng: np.random.Generator) -> None:
    """Blank stripes of time and frequency to the clip's mean, in place (SpecAugment, Park et al. 2019)."""
    n, n_frames, n_mels = x.shape
    for _ in range(config.time_masks):
        width = rng.integers(0, config.time_mask_frames + 1, n)
        start = rng.integers(0, n_frames - width + 1)
        t = np.arange(n_frames)
        x[(t >= start[:, None]) & (t < (start + width)[:, None])] = 0
    for _ in range(config.band_masks):
        width = rng.integers(0, config.band_mask_bins + 1, n)
        start = rng.integers(0, n_mels - width + 1)
        f = np.arange(n_mels)
        hit = (f >= start[:, None]) & (f < (start + width)[:, None])
        x *= ~hit[:, None, :]


def distort(
    x: Batch, band_mean: Batch, loudness: Batch, config: AugmentConfig, rng: np.random.Generator
) -> Batch:
    """Filter, compress, band-limit, add noise, then normalise again as the whole clip would be.

    Parameters
    ----------
    x : (n, n_frames, n_mels) float32
        Crops of normalised clips.
    band_mean : (n, n_mels) float32
        Mean of each band over the whole clip that a crop is from.
    loudness : (n,) float32
        Variance over time of the clip's mean level: the part of its unit variance that is its contour.
    """
    n, _, n_mels = x.shape
    gains = random_filters(n, n_mels, config.tilt, config.curve, rng)
    share = np.asarray(rng.uniform(-config.compression / 3, config.compression, n), dtype=np.float32)
    x = x + gains[:, None, :] - share[:, None, None] * x.mean(axis=2, keepdims=True)
    mean = gains.mean(axis=1, keepdims=True)
    spread = gains - mean
    var = 1 + (spread**2 + 2 * spread * band_mean).mean(axis=1) - (2 * share - share**2) * loudness
    x = (x - mean[:, :, None]) / np.sqrt(np.maximum(var, 0.1))[:, None, None]
    if config.band_limit:
        cut = np.where(rng.random(n) < config.band_limit, rng.integers(n_mels * 3 // 4, n_mels, n), n_mels)
        x = np.where(np.arange(n_mels) >= cut[:, None, None], x.min(axis=(1, 2), keepdims=True), x)
    if config.noise:
        level = np.asarray(rng.uniform(0, config.noise, (n, 1, 1)), dtype=np.float32)
        x = x + level * rng.standard_normal(x.shape, dtype=np.float32)
    return np.asarray(x, dtype=np.float32)


def mix_styles(x: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Move the mean and deviation of each band some of the way to those of another crop of the batch.

    So that the spectrum of a mastering tells nothing (MixStyle, Zhou et al. 2021, per frequency).
    """
    n = len(x)
    mean = x.mean(axis=1, keepdims=True)
    std = x.std(axis=1, keepdims=True) + 0.05  # a silent band stays nearly silent
    partner = rng.permutation(n)
    own = np.where(rng.random(n) < share, rng.uniform(0, 1, n), 1.0)
    keep = np.asarray(own, dtype=np.float32)[:, None, None]
    new_mean = keep * mean + (1 - keep) * mean[partner]
    new_std = keep * std + (1 - keep) * std[partner]
    return np.asarray((x - mean) * (new_std / std) + new_mean, dtype=np.float32)


def mixing_weights(n: int, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weight of the crop itself in each mixture, (n,), at least a half; 1 where it is not mixed."""
    weight = rng.beta(config.mixup, config.mixup, n) if config.mixup else np.ones(n)
    weight = np.maximum(weight, 1 - weight)
    return np.where(rng.random(n) < config.mixup_share, weight, 1.0).astype(np.float32)
