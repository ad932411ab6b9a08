"""The genre of what is playing: every two seconds, of the last thirty.

What has been heard lately is taken for one segment, scaled and normalised as the segments of a track are, and
the same model and head decide on it. Silence is left out of it, as it is of tracks, and said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagger.classify import MIN_SOUND_S, SILENT_PEAK, Listener
from tagger.errors import AudioError
from tagger.feature_config import FeatureConfig
from tagger.features import chunks, log_mel, normalise
from tagger.live.sources import Source
from tagger.live.streaming import End, Pcm, Sound, decoded
from tagger.pooling import fluctuation, pool
from tagger.tracks import GenreEstimate, TrackAnalysis

STEP_S = 2.0
"""From one word to the next."""
GAP_S = 4.0
"""Servers send in bursts: only when nothing has come in for so long it is called a gap."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is playing now."""

    at_s: float
    """Length of all sound that has come in so far: where in it we are."""
    window_s: float
    """How much sound the estimate is of."""
    estimate: GenreEstimate | None
    """None while nothing is to be heard."""
    silent_s: float
    """For how long there has been silence now; 0 where there is sound."""
    gap_s: float
    """For how long nothing has come in now; 0 where something has."""
    latency_s: float
    """From the arrival of the latest sound until this was decided."""


class Window:
    """The last sound, up to a segment of it. Silence of that length empties it."""

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._kept = np.empty(0, dtype=np.float32)
        self._fresh = np.empty(0, dtype=np.float32)
        self.n_fresh = 0
        """Samples that came since the last step."""
        self.silent_s = 0.0

    @property
    def samples(self) -> NDArray[np.float32]:
        """(n,) float32 at the model's rate: the sound heard last, without what came since the last step."""
        return self._kept

    def add(self, y: NDArray[np.float32]) -> None:
        """Take samples (n,) float32."""
        self._fresh = np.concatenate([self._fresh, y])[-self._config.segment_samples :]
        self.n_fresh += len(y)

    def step(self) -> None:
        """What came since the last step becomes part of the window, or counts as silence."""
        fresh, n_fresh = self._fresh, self.n_fresh
        self._fresh, self.n_fresh = fresh[:0], 0
        if not n_fresh:
            return
        if np.abs(fresh).max() < SILENT_PEAK:
            self.silent_s += n_fresh / self._config.sr
            if self.silent_s >= self._config.segment_s:
                self.clear()
        else:
            self.silent_s = 0.0
            self._kept = np.concatenate([self._kept, fresh])[-self._config.segment_samples :]

    def clear(self) -> None:
        """Forget what was heard."""
        self._kept = self._kept[:0]


def hear(y: NDArray[np.float32], model: Listener) -> TrackAnalysis:
    """Listen to samples as to a track of one segment.

    Parameters
    ----------
    y : (n,) float32
        Mono at the model's rate, at least `MIN_SOUND_S` and at most a segment long, not silent.
    model : Listener

    Returns
    -------
    TrackAnalysis
        What `tagger.classify.analyse` gives of a file of these samples.
    """
    config = model.card.features
    short = len(y) < (config.chunk_frames - 1) * config.hop_length
    mel = normalise(log_mel(y, config))
    cut = chunks(mel, config, pad=short)
    said, embedded = model.predict(cut)
    length_s = len(y) / config.sr
    return TrackAnalysis(
        activations=said.astype(np.float16),
        embedding=pool(embedded, [fluctuation(cut[0] if short else mel, config)], [len(cut)]),
        duration_s=length_s,
        analysed_s=length_s,
        short=short,
    )


def follow(
    source: Source,
    model: Listener,
    judge: Callable[[TrackAnalysis], GenreEstimate],
    *,
    pcm: Pcm | None = None,
    step_s: float = STEP_S,
) -> Generator[Moment, None, None]:
    """Listen to a source until it ends. To be closed by whoever leaves before: threads are at work.

    Parameters
    ----------
    source : Source
    model : Listener
    judge : callable
        Decides on an analysis.
    pcm : Pcm, optional
        What the source is made of where it is raw samples.
    step_s : float
        A source that sets its own pace gives a moment after each so many seconds by the clock; a pipe after
        each so many of sound, and by the clock when none comes.

    Yields
    ------
    Moment
        Before any sound has come in only when it is long in coming.

    Raises
    ------
    AudioError
        The source broke, or cannot be decoded.
    """
    config = model.card.features
    window = Window(config)
    n_samples = 0
    heard_s = said_s = time.monotonic()

    def moment() -> Moment:
        now_s = time.monotonic()
        gap_s = now_s - heard_s if now_s - heard_s >= GAP_S else 0.0
        window.step()
        if gap_s >= config.segment_s:
            window.clear()
        y = window.samples
        estimate = None
        if not gap_s and not window.silent_s and len(y) >= MIN_SOUND_S * config.sr:
            estimate = judge(hear(y, model))
        return Moment(
            at_s=n_samples / config.sr,
            window_s=len(y) / config.sr,
            estimate=estimate,
            silent_s=0.0 if gap_s else window.silent_s,
            gap_s=gap_s,
            latency_s=time.monotonic() - heard_s,
        )

    step = round(step_s * config.sr)
    # In a pipe sound tells the time; half a second of patience, or the two clocks would take turns.
    patience_s = step_s if source.paced else step_s + 0.5
    with decoded(source, config.sr, pcm) as take:
        while True:
            got = take(said_s + patience_s - time.monotonic())
            if isinstance(got, End):
                if window.n_fresh >= MIN_SOUND_S * config.sr:
                    yield moment()
                if got.error:
                    raise AudioError(got.error)
                return
            if isinstance(got, Sound):
                y, heard_s = got.y, got.arrived_s
                while not source.paced and window.n_fresh + len(y) >= step:
                    part, y = y[: step - window.n_fresh], y[step - window.n_fresh :]
                    window.add(part)
                    n_samples += len(part)
                    said_s = time.monotonic()
                    yield moment()
                window.add(y)
                n_samples += len(y)
            now_s = time.monotonic()
            if now_s >= said_s + patience_s:
                said_s = max(said_s + step_s, now_s - step_s / 2)  # late words are not made up for
                if n_samples or now_s - heard_s >= GAP_S:
                    yield moment()
