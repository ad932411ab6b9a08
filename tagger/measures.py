"""What is measured of a track's sound besides its genre, while it is listened to: tempo and loudness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig
from tagger.loudness import loudness, weighted_power
from tagger.rhythm import pulse, tempo


@dataclass(frozen=True, slots=True)
class Measured:
    """As in `tagger.tracks.TrackAnalysis`."""

    tempo_bpm: float | None
    tempo_strength: float
    loudness_lufs: float | None
    loudness_range_lu: float | None


class Measures:
    """Takes the segments of a track in time order and keeps a few kilobytes of each."""

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._pulses: list[NDArray[np.float64]] = []
        self._seconds: list[float] = []
        self._frames: list[NDArray[np.float64]] = []

    def add(self, y: NDArray[np.float32], power: NDArray[np.float32]) -> None:
        """Take a segment that is not silent.

        Parameters
        ----------
        y : (n_samples,) float32
            Mono at the config's rate.
        power : (n_frames, n_fft // 2 + 1) float32
            Its `tagger.features.power_spectrogram`.
        """
        self._frames.append(weighted_power(power, self._config))
        found = pulse(y, self._config.sr)
        if found is not None:
            self._pulses.append(found)
            self._seconds.append(len(y) / self._config.sr)

    def of_track(self, width: float) -> Measured:
        """The track's measures; `width` is `tagger.mixing.width` of how it was mixed."""
        beat = tempo(self._pulses, self._seconds, self._config.sr)
        loud = loudness([frames * width for frames in self._frames], self._config)
        return Measured(beat.bpm, beat.strength, loud.lufs, loud.range_lu)
