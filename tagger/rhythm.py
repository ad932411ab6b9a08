"""How fast a track goes: from samples to onsets, to their autocorrelation, to beats a minute.

A beat is found where the onsets, taken apart into low and high ones, look most like themselves a beat later;
of several such times that nearest to what people tap (Ellis 2007, "Beat tracking by dynamic programming") is
chosen, the faster of two where every other pulse is nearly as plain as the rest. What is kept of a segment is
small; its mean over the track is taken, whose tempo is thereby taken to be one.

Onsets are looked for a hundred times a second, in windows of 6 ms: nearly half of the samples are never
looked at, which saves a third of the time and, measured, costs no accuracy. Columns of the mel are too far
apart for this (training/EXPERIMENTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_WINDOW = 128
_HOP = 220
"""Samples, of 22,050 a second."""
_N_BANDS = 12
_GROUPS = 2
"""Low and high onsets are compared with their like: a hi-hat between two drums is no drum."""
_FLOOR_DB = 70.0
"""What is this far below the loudest is silence, so that noise does not count as onsets."""

_LEAST_RISE = 0.02
"""Standard deviation, in bels, from which on there are onsets at all: the quietest music measured has twice
as much; a steady tone, which only seems to swell where waves and windows come in turn, has less."""

_LOCAL_S = 10.0
"""Length over which the beat must keep its time."""
_LONGEST_S = 5.0
"""Autocorrelations are kept up to here."""
_SHORTEST_S = 4.0
"""Of less sound nobody tells the tempo."""

SLOWEST_BPM, FASTEST_BPM = 40.0, 210.0
_LIKELY_BPM = 120.0
_SPREAD_OCTAVES = 0.7
_PLAIN = 0.5
"""A beat as plain as this is taken for every other one…"""
_AS_PLAIN = 0.9
"""…where what lies between is this much as plain."""
LEAST_STRENGTH = 0.08
"""Below this there is no beat: 30 seconds of white noise come to 0.06."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """`bpm`: beats a minute, None where no beat is heard. `strength`: how plainly it is heard, 0-1."""

    bpm: float | None
    strength: float


@lru_cache(maxsize=2)
def _bands() -> NDArray[np.float32]:
    """Sums of power by band: of real and imaginary parts, which lie side by side, (2 * n_bins, n_bands)."""
    n_bins = _WINDOW // 2 + 1
    edges = np.unique([1, *np.geomspace(1.5, n_bins, _N_BANDS + 1).astype(int)])
    bands = np.zeros((n_bins, len(edges) - 1), dtype=np.float32)
    for number, (low, high) in enumerate(pairwise(edges)):
        bands[low:high, number] = 1.0
    return np.repeat(bands, 2, axis=0)


def onsets(y: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much louder each moment is than the one before, in low bands and in high ones.

    Parameters
    ----------
    y : (n_samples,) float32
        Mono, at least one window long.

    Returns
    -------
    (2, n_frames - 1) float64
        Mean rise over the bands, in bels; a frame is 220 samples.
    """
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(y, _WINDOW)[::_HOP]
    parts = scipy.fft.rfft(frames * window, overwrite_x=True).view(np.float32)
    parts *= parts
    level = np.log10(np.maximum(parts @ _bands(), 1e-10))
    np.maximum(level, level.max() - _FLOOR_DB / 10, out=level)
    rise = np.diff(level, axis=0)
    np.maximum(rise, 0.0, out=rise)
    groups = np.array_split(rise, _GROUPS, axis=1)
    found = np.stack([group.mean(axis=1) for group in groups]).astype(np.float64)
    # A hit between two frames is half in each: spread them all alike.
    found[:, 1:-1] = (found[:, :-2] + 2 * found[:, 1:-1] + found[:, 2:]) / 4
    return found


def pulse(y: NDArray[np.float32], sr: int) -> NDArray[np.float64] | None:
    """How alike a segment's onsets are to themselves some time later.

    Parameters
    ----------
    y : (n_samples,) float32
        Mono, of a segment.
    sr : int
        Samples a second: about 22,050.

    Returns
    -------
    (n_lags,) float64 or None
        Autocorrelation by lag in frames of 220 samples, at most 1, as many lags for every segment. None
        for too little sound.
    """
    if len(y) < _SHORTEST_S * sr:
        return None
    rises = onsets(y)
    length = min(round(_LOCAL_S * sr / _HOP), rises.shape[1])
    local = np.lib.stride_tricks.sliding_window_view(rises, length, axis=1)[:, :: max(length // 2, 1)]
    window = np.hanning(length)
    local = (local - local.mean(axis=-1, keepdims=True)) * window
    n = scipy.fft.next_fast_len(2 * length, real=True)
    alike = scipy.fft.irfft(np.abs(scipy.fft.rfft(local, n)) ** 2, n)
    n_lags = round(_LONGEST_S * sr / _HOP)
    kept = np.zeros((*alike.shape[:-1], n_lags))
    n_known = min(n_lags, length)
    kept[..., :n_known] = alike[..., :n_known]
    strong = kept[..., :1] > _LEAST_RISE**2 * (window @ window)
    kept /= np.where(strong, kept[..., :1], np.inf)
    return np.asarray(kept.mean(axis=(0, 1)))


def tempo(pulses: Sequence[NDArray[np.float64]], seconds: Sequence[float], sr: int) -> Tempo:
    """The tempo of a track.

    Parameters
    ----------
    pulses : sequence of (n_lags,) float64
        From `pulse`, of each of its segments that has one.
    seconds : sequence of float
        The length of each: every second counts the same.
    sr : int
        Samples a second.

    Returns
    -------
    Tempo
        Between `SLOWEST_BPM` and `FASTEST_BPM`; without a segment, no beat of strength 0.
    """
    if not len(pulses):
        return Tempo(None, 0.0)
    alike = np.average(np.stack(pulses), axis=0, weights=seconds)
    per_minute = 60.0 * sr / _HOP
    lags = np.arange(int(np.ceil(per_minute / FASTEST_BPM)), int(per_minute / SLOWEST_BPM) + 1)
    octaves = np.log2(per_minute / lags / _LIKELY_BPM)
    liked = np.maximum(alike[lags], 0.0) * np.exp(-0.5 * (octaves / _SPREAD_OCTAVES) ** 2)
    lag = int(lags[np.argmax(liked)])
    half = _peak(alike, lag / 2)
    fast_enough = 2 * per_minute / lag <= FASTEST_BPM
    if fast_enough and alike[lag] > _PLAIN and _around(alike, half) >= _AS_PLAIN * _around(alike, lag):
        lag = half
    strength = float(np.clip(alike[lag], 0.0, 1.0))
    if strength < LEAST_STRENGTH:
        return Tempo(None, strength)
    bpm = per_minute / _refined(alike, lag)
    return Tempo(float(np.clip(bpm, SLOWEST_BPM, FASTEST_BPM)), strength)


def _peak(alike: NDArray[np.float64], lag: float) -> int:
    """The highest place at most a frame from a lag."""
    low = max(int(np.floor(lag)) - 1, 1)
    return low + int(np.argmax(alike[low : int(np.ceil(lag)) + 2]))


def _around(alike: NDArray[np.float64], lag: int) -> float:
    """A peak with its neighbours: wherever between frames it lies."""
    return float(alike[lag - 1 : lag + 2].sum())


def _refined(alike: NDArray[np.float64], lag: int) -> float:
    """The lag between frames: from its peak and, if they are plain, from those at two and four times it."""
    exact = _vertex(alike, lag)
    for times in (2, 4):
        if times * exact + 2 >= len(alike):
            break
        peak = _peak(alike, times * exact)
        if alike[peak] < alike[lag] / 2:
            break
        exact = _vertex(alike, peak) / times
    return exact


def _vertex(alike: NDArray[np.float64], lag: int) -> float:
    """The top of the parabola through a peak and its neighbours; the peak itself where it is none."""
    before, here, after = alike[lag - 1 : lag + 2]
    bend = before - 2 * here + after
    if not (here >= before and here >= after and bend < 0):
        return float(lag)
    return float(lag + 0.5 * (before - after) / bend)
