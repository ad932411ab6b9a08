"""Only some segments of a track: which ones, and how they are cut out of a file by seeking.

The segments are those that full decoding would give, at the same places, to the rounding of the resampler:
frames are placed by their time stamps, decoding begins a little early so that codec and filter have settled,
and the end of the file is looked at too, so that one that was cut off is still found out. Whatever does not
fit together exactly is `InexactError`, and the caller decodes the whole file instead, which also says what is
wrong with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagger.audio import Recording
from tagger.errors import TimeLimitError
from tagger.feature_config import FeatureConfig
from tagger.features import spread_segments
from tagger.formats.headers import discrepancy
from tagger.mixing import Mixer

SEEKABLE = frozenset({"mp3", "flac", "mov", "ogg", "wav", "w64", "aiff"})
"""ffmpeg's names of containers whose time stamps count samples."""

_SETTLING_S = 0.1
"""At least so long before a segment the resampler begins to hear what it would hear in full decoding."""
_CODEC_S = 0.3
"""Before that, for the codec alone: MP3 draws on earlier frames, Opus on 80 ms."""
_TAIL_S = 0.05
"""After a segment, for the filter of the resampler."""
_END_S = 1.0
"""What is decoded of the end of a file. Where it ends earlier than that, the file is heard as a whole."""


class InexactError(Exception):
    """The file cannot be sampled exactly. Never leaves the program."""


def sample(
    recording: Recording, config: FeatureConfig, n: int, *, deadline: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """Decode `n` segments of a freshly opened file instead of all of them.

    Parameters
    ----------
    recording : Recording
        Its `decoded_s` and `complete` tell afterwards what was covered.
    config : FeatureConfig
    n : int
        How many segments, 1 or more.
    deadline : float, optional
        Value of `time.monotonic` after which decoding stops.

    Yields
    ------
    (segment_samples,) float32
        As `Recording.segments` gives them, in time order.

    Raises
    ------
    InexactError
        The file must be decoded as a whole: it has no more segments than that, it does not state its length,
        its container cannot be sought in exactly, or anything about it is odd. Opened anew, that is.
    TimeLimitError
        The deadline has passed.
    """
    stated_s, about_s = recording.stated_s, recording.about_s
    n_whole = int(about_s // config.segment_s)
    if n_whole <= n or recording.container not in SEEKABLE:
        raise InexactError
    try:
        cutter = _Cutter(recording, config, deadline)
        for number in spread_segments(n_whole, n):
            y = cutter.segment(number)
            recording.decoded_s += config.segment_s
            yield y
        end_s = cutter.end_s(about_s)
    except recording.failures as error:
        raise InexactError from error
    cut = stated_s is not None and discrepancy(recording.container, stated_s=stated_s, decoded_s=end_s)
    if cut or recording.broken_share:
        raise InexactError
    recording.complete, recording.stated_s = False, end_s


class _Cutter:
    """Cuts segments out of an opened file."""

    def __init__(self, recording: Recording, config: FeatureConfig, deadline: float | None) -> None:
        self._recording, self._config, self._deadline = recording, config, deadline
        self._stream = recording.stream
        first = next(self._frames(None), None)
        if first is None or first.pts is None or not 4000 <= first.sample_rate <= 768_000:
            raise InexactError
        self._rate, self._shape = first.sample_rate, _shape(first)
        ticks = 1 / (Fraction(self._stream.time_base) * self._rate)
        if ticks.denominator != 1:
            raise InexactError
        self._ticks = ticks.numerator
        """Of the time stamps, in a sample. Places are compared in these: fractions cost too much a frame."""
        self._origin = int(first.pts)

    def segment(self, number: int) -> NDArray[np.float32]:
        """One whole segment, (segment_samples,) float32 at the config's rate."""
        config, rate = self._config, self._rate
        begin = number * config.segment_s * rate
        step = rate // math.gcd(rate, config.sr)  # samples that become whole samples
        settle = min(math.ceil(_SETTLING_S * rate / step) * step, begin)
        wanted = settle + config.segment_s * rate + round(_TAIL_S * rate)
        resampler = self._recording.resampler(rate, config.sr)
        parts: list[NDArray[np.float32]] = []
        got = 0
        for block in self._mono(begin - settle):
            part = block[: wanted - got]
            parts.append(resampler.feed(part))
            got += len(part)
            if got == wanted:
                break
        parts.append(resampler.finish())
        skip = settle * config.sr // rate
        y = np.concatenate(parts)[skip : skip + config.segment_samples]
        if got < settle + config.segment_s * rate or len(y) < config.segment_samples:
            raise InexactError
        return y

    def end_s(self, about_s: float) -> float:
        """Where the sound ends, found by decoding the last seconds."""
        begin = max(0, round((about_s - _END_S) * self._rate))
        n_samples: int = begin + sum(map(len, self._mono(begin)))
        return n_samples / self._rate if n_samples > begin else 0.0

    def _mono(self, begin: int) -> Iterator[NDArray[np.float32]]:
        """Mono blocks at the file's rate, from the sample `begin` to the end of the file."""
        early = max(0, begin - round(_CODEC_S * self._rate))
        mixer: Mixer | None = None
        at = 0  # of the next sample to come out of the mixer
        expected: int | None = None  # the next time stamp
        astray = False
        for frame in self._frames(early):
            if frame.pts is None or _shape(frame) != self._shape:
                raise InexactError
            place = int(frame.pts) - self._origin
            if expected is None:
                at = round(Fraction(place, self._ticks))
                expected = at * self._ticks
                # The very first frames after a seek may lack what they draw on: they must come early enough.
                if 4 * abs(place - expected) > self._ticks or at > early:
                    raise InexactError
                mixer = self._recording.mixer(frame)
            # A lone stamp may be wrong (Vorbis, where short blocks follow long ones), a gap stays.
            was_astray, astray = astray, 2 * abs(place - expected) > self._ticks
            if astray and was_astray:
                raise InexactError
            expected += frame.samples * self._ticks
            assert mixer is not None
            for block in mixer.feed(frame):
                yield block[max(0, begin - at) :]
                at += len(block)
        if mixer is not None:
            for block in mixer.finish():
                yield block[max(0, begin - at) :]
                at += len(block)

    def _frames(self, at: int | None) -> Iterator[Any]:
        """Frames from a place on, or earlier; from the start of the file where `at` is None."""
        if at is not None:
            ticks = self._origin + at * self._ticks
            self._recording.input.seek(ticks, stream=self._stream, backward=True)
        n_bad = n_good = 0
        for packet in self._recording.input.demux(self._stream):
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise TimeLimitError(f"{self._recording.name}: took longer than the time limit")
            try:
                frames = packet.decode()
            except self._recording.failures:
                n_bad += 1
                if n_good > 1 or n_bad > 8:  # the first after a seek may fail: nothing is taken from them
                    raise InexactError from None
                continue
            for frame in frames:
                n_good += 1
                yield frame


def _shape(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name
