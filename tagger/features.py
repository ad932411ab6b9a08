"""The feature extractor of the whole program: samples -> log-mel spectrogram -> normalised chunks.

Conventions: a mel is ``(n_frames, n_mels)`` float32, time first; a chunk is ``(chunk_frames, n_mels)``.
The recipe is librosa's ``melspectrogram`` (Slaney scale and norm, power 2, Hann window, centred frames
padded with zeros) and ``power_to_db(ref=max)`` of each segment, then zero mean and unit variance.
Training and the program read the same functions; `FeatureConfig.fingerprint` ties a model to them.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig

_AMIN = 1e-10
_MIN_STD_DB = 1e-3  # a mel flatter than this is silence or a constant: dividing would only blow up rounding


def librosa_filterbank(sr: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """librosa's mel filters (Slaney scale and norm), (n_fft // 2 + 1, n_mels)."""
    from librosa.filters import mel

    return np.ascontiguousarray(mel(sr=sr, n_fft=n_fft, n_mels=n_mels).T, dtype=np.float32)


@lru_cache(maxsize=4)
def _filterbank(sr: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """`librosa_filterbank`, from the copy kept beside this module where it holds these values.

    librosa costs every worker a second and 115 MB, nearly all of it numba, for the sake of this one constant;
    the copy also keeps a model's features from drifting with librosa's version. A test holds them equal.
    """
    with resources.files("tagger").joinpath("mel_filters.npz").open("rb") as file, np.load(file) as kept:
        if (sr, n_fft, n_mels) == tuple(kept["made_for"]):
            return np.asarray(kept["filters"], dtype=np.float32)
    return librosa_filterbank(sr, n_fft, n_mels)


@lru_cache(maxsize=4)
def _window(n_fft: int) -> NDArray[np.float32]:
    """Periodic Hann window, as librosa's stft uses."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def log_mel(y: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Log-mel spectrogram of one segment.

    Parameters
    ----------
    y : (n_samples,) float32
        Mono samples at ``config.sr``, finite, nominally in [-1, 1] (the level drops out).
    config : FeatureConfig

    Returns
    -------
    (n_frames, n_mels) float32
        dB relative to the loudest cell, in [-top_db, 0]; ``n_frames = 1 + n_samples // hop_length``.
        Digital silence is 0 dB throughout.

    Raises
    ------
    ValueError
        `y` is not one-dimensional or is empty.
    """
    return log_mel_of(power_spectrogram(y, config), config)


def power_spectrogram(y: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Power spectrum of each frame of one segment.

    Parameters
    ----------
    y : (n_samples,) float32
    config : FeatureConfig

    Returns
    -------
    (n_frames, n_fft // 2 + 1) float32
        Squared magnitudes of the Hann-windowed frames; ``n_frames = 1 + n_samples // hop_length``.

    Raises
    ------
    ValueError
        `y` is not one-dimensional or is empty.
    """
    if y.ndim != 1 or not y.size:
        raise ValueError(f"expected mono samples, got the shape {y.shape}")
    padded = np.pad(np.asarray(y, dtype=np.float32), config.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_length]
    import scipy.fft  # a quarter of a second, which those who read a model's card alone need not wait

    spectrum = scipy.fft.rfft(
        frames * _window(config.n_fft), overwrite_x=True
    )  # numpy's takes four times as long
    return np.asarray(spectrum.real**2 + spectrum.imag**2, dtype=np.float32)


def log_mel_of(power: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """`log_mel` of a segment whose `power_spectrogram` is known."""
    mel = power @ _filterbank(config.sr, config.n_fft, config.n_mels)
    db = 10.0 * np.log10(np.maximum(mel, _AMIN))
    db -= db.max()
    return np.asarray(np.maximum(db, -config.top_db), dtype=np.float32)


def normalise(mel: NDArray[np.floating]) -> NDArray[np.float32]:
    """Zero mean and unit variance over each mel.

    Parameters
    ----------
    mel : (..., n_frames, n_mels) float
        Spectrograms on any linear scale: it drops out.

    Returns
    -------
    (..., n_frames, n_mels) float32
        All zero where a mel has no range (silence).
    """
    x = np.asarray(mel, dtype=np.float32)
    x = x - x.mean(axis=(-2, -1), keepdims=True, dtype=np.float64).astype(np.float32)
    std = x.std(axis=(-2, -1), keepdims=True, dtype=np.float64)
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > _MIN_STD_DB)
    return np.asarray(x * scale.astype(np.float32), dtype=np.float32)


def chunks(mel: NDArray[np.float32], config: FeatureConfig, *, pad: bool = False) -> NDArray[np.float32]:
    """Overlapping chunks of one segment's mel, in time order.

    Parameters
    ----------
    mel : (n_frames, n_mels) float32
        Usually normalised.
    config : FeatureConfig
    pad : bool
        Make one chunk of a mel shorter than a chunk by repeating it from its start as often as needed, which
        keeps its mean and variance; otherwise such a mel has no chunks.

    Returns
    -------
    (n_chunks, chunk_frames, n_mels) float32
        A copy. Frames after the last whole chunk are dropped: 387 frames give 13 chunks.
    """
    if pad and 0 < len(mel) < config.chunk_frames:
        mel = np.pad(mel, ((0, config.chunk_frames - len(mel)), (0, 0)), mode="wrap")
    if len(mel) < config.chunk_frames:
        return np.empty((0, config.chunk_frames, config.n_mels), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(mel, config.chunk_frames, axis=0)
    return np.ascontiguousarray(windows[:: config.chunk_hop_frames].swapaxes(1, 2), dtype=np.float32)


def mels_from_cache(arrays: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalised mels from cached arrays, as `normalise(log_mel(…))` gives them from audio.

    Parameters
    ----------
    arrays : (n, n_mels, n_frames) uint8
        Each clip's dB scaled linearly from its own [minimum, 0 dB] to 0-255: normalising undoes the scale.

    Returns
    -------
    (n, n_frames, n_mels) float32
    """
    return normalise(np.ascontiguousarray(arrays.swapaxes(1, 2), dtype=np.float32))


def chunks_from_cache(arrays: NDArray[np.uint8], config: FeatureConfig) -> NDArray[np.float32]:
    """Normalised chunks from cached arrays.

    Parameters
    ----------
    arrays : (n, n_mels, n_frames) uint8
    config : FeatureConfig

    Returns
    -------
    (n, n_chunks, chunk_frames, n_mels) float32
        With the default config and 387 frames, (n, 13, 52, 128).
    """
    return np.stack([chunks(mel, config) for mel in mels_from_cache(arrays)])


def spread_segments(n_segments: int, n: int) -> tuple[int, ...]:
    """Which `n` of a track's segments are heard when not all are: those in the middle of equal parts of it.

    All of them where there are no more than that.
    """
    if n >= n_segments:
        return tuple(range(n_segments))
    return tuple(int((i + 0.5) * n_segments / n) for i in range(n))
