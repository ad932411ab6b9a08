"""A stream of mono blocks at one rate, to another: soxr's high quality, which is also librosa's.

Samples that are not numbers are silenced here, before the filter would spread each over a thousand others.
"""

from __future__ import annotations

import time

import numpy as np
import soxr
from numpy.typing import NDArray

_ABSURD = 1e12  # beyond any scale a float file may use, and still finite when squared and summed


class Resampler:
    """Resamples one stream. `n_samples` went in so far, `n_broken` of them not numbers; it took `seconds`."""

    def __init__(self, rate: int, sr: int) -> None:
        """Both rates in samples a second, from and to."""
        self._stream = soxr.ResampleStream(rate, sr, 1, dtype="float32", quality="HQ")
        self.n_samples = 0
        self.n_broken = 0
        self.seconds = 0.0

    def feed(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take one block, (n,) float32, and give what is ready, of another length and perhaps empty."""
        started_s = time.perf_counter()
        self.n_samples += len(y)
        if len(y) and not (y.min() > -_ABSURD and y.max() < _ABSURD):  # a NaN is the least and the most
            broken = ~(np.abs(y) < _ABSURD)
            self.n_broken += int(broken.sum())
            y = np.where(broken, np.float32(0), y)
        resampled = np.asarray(self._stream.resample_chunk(y))
        self.seconds += time.perf_counter() - started_s
        return resampled

    def finish(self) -> NDArray[np.float32]:
        """The rest, after the last block."""
        return np.asarray(self._stream.resample_chunk(np.empty(0, dtype=np.float32), last=True))
