"""Sound that is still coming in, decoded to mono blocks by two threads beside the one that listens.

One thread waits for bytes, the other decodes them. So whoever listens never waits longer than it wants to,
and Ctrl-C ends the program at once, whatever the source is doing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tagger.errors import AudioError, ConfigError
from tagger.live.sources import Source
from tagger.mixing import BLOCK, Mixer
from tagger.resample import Resampler

_FORMATS = "aac,aiff,asf,flac,matroska,mov,mp3,mpegts,ogg,tta,w64,wav"  # no playlists to be followed
_OPENING = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",
    # Of a live stream the usual megabytes would be minutes: these are a second of MP3.
    "formatprobesize": "16384",
    "probesize": "4096",
    "ignore_length": "1",  # a WAV that is still being written states no length, or a wrong one
}
_PLAYLISTS = (b"#EXTM3U", b"[playlist]", b"<asx", b"<?xml")
_PCM = ("u8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")
_LAYOUTS = {1: "mono", 2: "stereo"}
_RATES_HZ = range(4000, 400_000)
_WAIT_S = 0.1
_FAILURES = (av.FFmpegError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Pcm:
    """What raw samples are: ffmpeg's name of their format, samples a second, channels."""

    format: str
    rate: int
    channels: int

    @classmethod
    def parse(cls, text: str) -> Pcm:
        """From ``"s16le:44100:2"``.

        Raises
        ------
        ConfigError
            It is none of that.
        """
        name, _, rest = text.partition(":")
        rate, _, channels = rest.partition(":")
        if name in _PCM and rate.isdecimal() and channels.isdecimal():
            pcm = cls(name, int(rate), int(channels))
            if pcm.rate in _RATES_HZ and 1 <= pcm.channels <= 8:
                return pcm
        raise ConfigError(
            f"Raw samples are told as FORMAT:RATE:CHANNELS such as s16le:44100:2, not {text!r}; "
            f"the formats are {', '.join(_PCM)}."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Mono samples (n,) float32 at the rate asked for, and when their last bytes arrived (monotonic)."""

    y: NDArray[np.float32]
    arrived_s: float


@dataclass(frozen=True, slots=True)
class End:
    """No more will come. `error` says what broke, empty where the source has come to its proper end."""

    error: str = ""


Take = Callable[[float], "Sound | End | None"]
"""Waits so many seconds at most for what comes next; None where nothing came."""


@contextmanager
def decoded(source: Source, sr: int, pcm: Pcm | None = None) -> Iterator[Take]:
    """Decode a source while it comes in.

    Parameters
    ----------
    source : Source
    sr : int
        Samples a second to resample to.
    pcm : Pcm, optional
        What it is made of where it is raw samples; otherwise the container is recognised.

    Yields
    ------
    callable
        Gives the next `Sound`, the `End`, or after so many seconds None.
    """
    out: queue.Queue[Sound | End] = queue.Queue(maxsize=64)
    stop = threading.Event()
    feed = _Feed(source, stop)

    def put(item: Sound | End) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                out.put(item, timeout=_WAIT_S)
                return

    def decode() -> None:
        error = ""
        try:
            for y in _blocks(feed, sr, pcm):
                put(Sound(y, feed.arrived_s))
        except AudioError as failed:
            error = str(failed)
        except Exception as failed:  # whatever it is, nobody must be left waiting
            error = f"{source.name}: cannot be decoded any further: {type(failed).__name__}"
        put(End(feed.error or error))

    def take(wait_s: float) -> Sound | End | None:
        try:
            return out.get(timeout=max(wait_s, 0.001))
        except queue.Empty:
            return None

    decoder = threading.Thread(target=decode, daemon=True)
    decoder.start()
    try:
        yield take
    finally:
        stop.set()
        decoder.join(5)  # a thread inside ffmpeg must be gone before the interpreter is


class _Feed:
    """A file as ffmpeg reads it, from which bytes come as they arrive; `error` says why they ended."""

    name = ""

    def __init__(self, source: Source, stop: threading.Event) -> None:
        self.source = source
        self.error = ""
        self.arrived_s = time.monotonic()
        self._stop = stop
        self._rest = b""
        self._ended = False
        self._arrived: queue.Queue[tuple[bytes, float]] = queue.Queue(maxsize=16)
        # It may wait in the system for ever, which a daemon does without harm.
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        try:
            for data in self.source.chunks:
                self._arrived.put((data, time.monotonic()))
        except AudioError as error:
            self.error = str(error)
        except Exception as error:  # a bug, but one that must not leave the listener waiting
            self.error = f"{self.source.name}: cannot be read any further: {type(error).__name__}"
        self._arrived.put((b"", time.monotonic()))

    def peek(self) -> bytes:
        """What comes next, empty at the end, without taking it."""
        while not self._rest and not self._ended and not self._stop.is_set():
            try:
                self._rest, self.arrived_s = self._arrived.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            self._ended = not self._rest
        return self._rest

    def read(self, size: int) -> bytes:
        """Up to `size` bytes: whatever is there, waiting only for the first."""
        data = self.peek()[:size]
        self._rest = self._rest[len(data) :]
        return data


def _blocks(feed: _Feed, sr: int, pcm: Pcm | None) -> Iterator[NDArray[np.float32]]:
    """Mono blocks at `sr`, until the feed ends.

    Raises
    ------
    AudioError
        It holds no audio, or nothing that can be decoded as it comes.
    """
    name = feed.source.name
    start = feed.peek()
    if not start:
        raise AudioError(f"{name}: nothing has come in")
    if not pcm and start.lstrip(b"\xef\xbb\xbf \r\n")[:10].startswith(_PLAYLISTS):
        raise AudioError(f"{name}: is a playlist or a page; name the address of a stream that stands in it")
    options, kind = dict(_OPENING), None
    if pcm:
        kind = options["format_whitelist"] = pcm.format
        options |= {"sample_rate": str(pcm.rate), "ch_layout": _LAYOUTS.get(pcm.channels, f"{pcm.channels}c")}
    try:
        container = av.open(feed, format=kind, options=options, metadata_errors="ignore", buffer_size=4096)
    except _FAILURES as error:
        raise AudioError(f"{name}: holds no audio that can be decoded as it comes in") from error
    with container:
        streams = [s for s in container.streams.audio if s.codec_context is not None]
        if not streams:
            raise AudioError(f"{name}: holds no audio in a known coding")
        yield from _mono(_frames(container, streams[0], name), sr)


def _frames(container: Any, stream: Any, name: str) -> Iterator[Any]:
    """Decoded frames. Packets that cannot be decoded are left out: one joins a stream in its midst."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except _FAILURES:
            continue
        for frame in frames:
            if frame.sample_rate not in _RATES_HZ:
                raise AudioError(f"{name}: states a rate of {frame.sample_rate} samples a second")
            yield frame


def _mono(frames: Iterator[Any], sr: int) -> Iterator[NDArray[np.float32]]:
    """Mixed and resampled, by a new chain where rate, channels or sample format change."""
    mixer: Mixer | None = None
    resampler: Resampler | None = None
    shape: object = None
    for frame in frames:
        if (now := (frame.sample_rate, frame.layout.name, frame.format.name)) != shape:
            yield from _rest(mixer, resampler)
            graph = partial(av.AudioResampler, "flt", "mono", frame.sample_rate, frame_size=BLOCK)
            shape, mixer, resampler = now, Mixer(frame, graph), Resampler(frame.sample_rate, sr)
        assert mixer is not None and resampler is not None
        for block in mixer.feed(frame):
            yield resampler.feed(block)
    yield from _rest(mixer, resampler)


def _rest(mixer: Mixer | None, resampler: Resampler | None) -> Iterator[NDArray[np.float32]]:
    if mixer is not None and resampler is not None:
        for block in mixer.finish():
            yield resampler.feed(block)
        yield resampler.finish()
