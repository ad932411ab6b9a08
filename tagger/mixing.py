"""Decoded frames of one kind -> blocks of mono float32, as libswresample mixes them, in a third of its time.

PyAV's AudioResampler sends every frame of a thousand samples through a filter graph, which costs as much
as half of the decoding of an MP3. For mono and stereo the frames' own memory is read instead and many of
them are mixed at once; whatever else there is goes through the filter graph still.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 16384
"""Samples at the file's own rate that are mixed at a time: what fits the processor's cache."""

_SAMPLES: dict[str, tuple[type[np.generic], float]] = {
    "flt": (np.float32, 1.0),
    "fltp": (np.float32, 1.0),
    "s16": (np.int16, 2.0**-15),
    "s16p": (np.int16, 2.0**-15),
    "s32": (np.int32, 2.0**-31),
    "s32p": (np.int32, 2.0**-31),
}
"""ffmpeg's sample formats: type, and what makes full scale 1."""

_LAYOUTS = ("mono", "stereo", "1 channels", "2 channels")
"""The last two are of files that do not say which channels theirs are: plain WAV for one."""

_HALF_POWER = 0.5**0.5
"""What each of two channels contributes, in libswresample as in any mixing desk."""


class Mixer:
    """Mixes the frames of one rate, layout and sample format, in their order.

    Attributes
    ----------
    power, mixed_power : float
        Sum of the squares of all channels so far, and of their mix, but for blocks in which something is no
        number; both 0 for mono and where the filter graph mixed.
    """

    def __init__(self, frame: Any, filter_graph: Callable[[], Any]) -> None:
        """`frame` shows the kind; `filter_graph` makes an AudioResampler to mono float for other kinds."""
        kind = _SAMPLES.get(frame.format.name) if frame.layout.name in _LAYOUTS else None
        self._graph = None if kind else filter_graph()
        self._n_channels = frame.layout.nb_channels
        self._packed = self._n_channels > 1 and not frame.format.is_planar
        self._held: list[list[NDArray[Any]]] = []
        self._n_held = 0
        self.power = self.mixed_power = 0.0
        if kind:
            self._dtype, self._scale = kind
            self._scale *= _HALF_POWER if self._n_channels == 2 else 1.0

    def feed(self, frame: Any) -> list[NDArray[np.float32]]:
        """Take a frame and give the blocks that are ready, (n,) float32 each; mostly none.

        Raises
        ------
        av.FFmpegError, OSError, ValueError
            The filter graph does not know how to mix this layout.
        """
        if self._graph is not None:
            frame.pts = None
            return [block.to_ndarray()[0] for block in self._graph.resample(frame)]
        n = frame.samples
        count = n * self._n_channels if self._packed else n
        # The arrays hold on to the frame's memory; they are copied before many have come together.
        self._held.append([np.frombuffer(plane, self._dtype, count) for plane in frame.planes])
        self._n_held += n
        return [self._mixed()] if self._n_held >= BLOCK else []

    def finish(self) -> list[NDArray[np.float32]]:
        """The rest, after the last frame."""
        if self._graph is not None:
            return [block.to_ndarray()[0] for block in self._graph.resample(None)]
        return [self._mixed()] if self._n_held else []

    @np.errstate(all="ignore")  # damaged files of floats hold what is no number, or beyond all bounds
    def _mixed(self) -> NDArray[np.float32]:
        channels = [np.concatenate(planes) for planes in zip(*self._held, strict=True)]
        self._held, self._n_held = [], 0
        if self._packed:
            channels = [channels[0][0::2], channels[0][1::2]]
        scale = np.float32(self._scale)
        mono: NDArray[np.float32] = np.multiply(channels[0], scale, dtype=np.float32)
        for channel in channels[1:]:
            other = np.multiply(channel, scale, dtype=np.float32)
            power = 2 * (_squares(mono) + _squares(other))  # at half the power each
            mono += other
            mixed_power = _squares(mono)
            if math.isfinite(power + mixed_power):  # what is no number is silenced later on
                self.power += power
                self.mixed_power += mixed_power
        return mono


def _squares(y: NDArray[np.float32]) -> float:
    return float(np.einsum("i,i", y, y))  # not BLAS, which may share it among threads


def width(mixers: Iterable[Mixer]) -> float:
    """How much more power the channels had than their mix: 1 for mono and for two equal channels, 2 for two
    that have nothing in common."""
    mixers = tuple(mixers)
    mixed = sum(mixer.mixed_power for mixer in mixers)
    return sum(mixer.power for mixer in mixers) / mixed if mixed else 1.0
