"""Bounded, block-wise decoding of any music file to mono float32, or one clear error.

PyAV (ffmpeg) decodes, `tagger.mixing` mixes, soxr resamples: to 0.001 dB of mel what librosa would load, and
no slower than any other way that was measured (soundfile is not faster for any container). Memory is bounded
by a segment whatever the file's length, rate or channels.

What counts as damage: a file cut off by its own structure; less sound than its header states (beyond 0.05 s
where samples are counted, 0.3 s in MP4, else half a second or 1 %: encoders pad and decoders trim), or more
where they are counted; more than 3 undecodable packets that are also over 1 % of all (a few are normal at
the joins and ends of real MP3s); samples that are not numbers beyond a trace; no sound at all. A damaged raw
PCM stretch, or one inside an MP3 frame, cannot be told from music.

Two limits keep one file from taking all night, and both show in `Recording.complete`: only the first
`MAX_LISTENED_S` are decoded, and decoding stops where a stream holds too little data to be music.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from tagger.errors import AudioError, TagError, TimeLimitError
from tagger.feature_config import FeatureConfig
from tagger.files import ForgivingSource, explain, open_regular, size_of
from tagger.formats.headers import Claims, discrepancy, read_claims
from tagger.mixing import BLOCK, Mixer
from tagger.resample import Resampler
from tagger.tracks import MAX_LISTENED_S, display

_FORMATS = "aac,aiff,ape,asf,dsf,flac,mov,mp3,mpc,mpc8,ogg,tta,w64,wav,wv"  # no playlists to be followed
_SAFELY = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
_CODINGS = "mp3 flac vorbis opus aac alac pcm_s16le pcm_s16be wmav2 ape wavpack mpc7 mpc8 tta dsd_lsbf"
_STATING = {"aiff", "ape", "asf", "flac", "mov", "mpc", "mpc8", "tta", "w64", "wav", "wv"}
_RATES_HZ = range(4000, 12_000_000)  # outside, a packet could be resampled to gigabytes
_TRACE = 0.001  # up to this share of samples that are not numbers is silenced; beyond it a file is damaged
_ALL = 0.99  # beyond this there never was any sound: the caller decides
_BOMB_VALUES = 2**25  # 6 minutes of CD stereo before judging
_BOMB_BITS = 0.05  # per sample and channel; Opus at its lowest has 0.12, FLAC of digital silence 0.02

_FAILURES = (av.FFmpegError, OSError, ValueError)  # of a file or of ffmpeg; a MemoryError is neither
_CHECKSUMMED = {"flac", "tta", "wavpack"}  # a checksum in every frame, which ffmpeg checks when told to

av.logging.set_level(av.logging.PANIC)  # ffmpeg's own log would go to the terminal


class Recording:
    """An opened music file, to be decoded once. Made by `open_recording`.

    Attributes
    ----------
    container, codec : str
        ffmpeg's names of the container and of the decoder.
    stated_s, about_s : float or None, float
        Length by the file's own headers; ffmpeg's guess where they do not say, 0 for no idea.
    decoded_s : float
        Length of what has been decoded so far.
    complete : bool
        False when a limit ended the decoding before the end of the file.
    name, input, stream, failures, mixers : PyAV's own, what they raise, and what mixed: for other modules.
    """

    failures = _FAILURES

    def __init__(self, path: bytes, file: BinaryIO) -> None:
        self.name = display(path)
        self.decoded_s, self.complete = 0.0, True
        self.mixers: list[Mixer] = []
        self._resamplers: list[Resampler] = []
        if not size_of(file):
            raise AudioError(f"{self.name}: the file is empty")
        claims = read_claims(file)
        if claims.cut:
            raise AudioError(f"{self.name}: the file is cut off: {claims.cut}")
        file.seek(0)
        try:
            self.input: Any = av.open(ForgivingSource(file), options=_SAFELY, metadata_errors="ignore")
        except MemoryError:
            raise
        except _FAILURES as error:
            raise AudioError(f"{self.name}: {_why(error, 'holds no audio that can be decoded')}") from error
        self.container = self.input.format.name.split(",")[0]
        if claims.container == "mp3" != self.container:  # whose tables a tag in front would make wrong
            raise AudioError(f"{self.name}: is MP3 by its frames, but the decoder finds {self.container}")
        streams = [s for s in self.input.streams.audio if s.codec_context is not None]
        if not streams:  # pictures only, or a coding nobody but its seller can decode
            self.input.close()
            raise AudioError(f"{self.name}: holds no audio in a known coding")
        self.stream: Any = streams[0]
        codec = self.stream.codec_context
        codec.thread_count = 1  # the pool has one process a core already
        self.codec: str = codec.name
        if self.codec in _CHECKSUMMED:
            codec.options = {"err_detect": "crccheck+explode"}
        self.stated_s = self._stated_s(claims)
        self.about_s = self.stated_s or float((self.stream.duration or 0) * (self.stream.time_base or 0))

    def _stated_s(self, claims: Claims) -> float | None:
        stream = self.stream
        if self.container == "mp3":
            return claims.mp3_s
        if self.container == "ogg" and claims.ogg_end is not None:
            return float((claims.ogg_end - (stream.start_time or 0)) * stream.time_base)
        if self.container in _STATING and stream.duration:
            return float(stream.duration * stream.time_base)
        return None

    def segments(
        self, config: FeatureConfig, *, deadline: float | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Decode, segment by segment, from the start; to be called once.

        Parameters
        ----------
        config : FeatureConfig
            Gives the rate and the length of a segment.
        deadline : float, optional
            Value of `time.monotonic` after which decoding stops.

        Yields
        ------
        (n_samples,) float32
            Mono at ``config.sr``, ``config.segment_samples`` long except for the last. Full scale is 1 for
            mono, 1.41 for stereo of two equal channels. Always finite: what is not is silenced.

        Raises
        ------
        AudioError
            The file is damaged (see the module); known for certain only after the last segment.
        TimeLimitError
            The deadline has passed.
        """
        segment = np.empty(config.segment_samples, dtype=np.float32)
        filled = 0
        for block in self._resampled(config.sr, deadline):
            while len(block):
                part = block[: len(segment) - filled]
                segment[filled : filled + len(part)] = part
                filled += len(part)
                block = block[len(part) :]
                if filled == len(segment):
                    yield segment.copy()
                    filled = 0
        if filled:
            yield segment[:filled].copy()
        if _TRACE < self.broken_share < _ALL:
            raise AudioError(f"{self.name}: is damaged: parts of its samples are not numbers")

    @property
    def broken_share(self) -> float:
        """Share of the samples so far that were not numbers, 0-1."""
        n_samples = sum(r.n_samples for r in self._resamplers)
        return sum(r.n_broken for r in self._resamplers) / max(n_samples, 1)

    @property
    def resampling_s(self) -> float:
        """Time spent on resampling so far."""
        return sum(r.seconds for r in self._resamplers)

    def _resampled(self, sr: int, deadline: float | None) -> Iterator[NDArray[np.float32]]:
        """Mono blocks at `sr`; a new chain where rate, channels or sample format change within the file."""
        mixer: Mixer | None = None
        shape: object = None
        for frame in self._frames(deadline):
            if (now := (frame.sample_rate, frame.layout.name, frame.format.name)) != shape:
                yield from self._drained(mixer)
                shape, mixer = now, self.mixer(frame)
                self.resampler(frame.sample_rate, sr)
            assert mixer is not None
            try:
                mixed = mixer.feed(frame)
            except _FAILURES as error:
                raise AudioError(f"{self.name}: {frame.layout.name} cannot be mixed to one") from error
            for block in mixed:
                yield self._resamplers[-1].feed(block)
        yield from self._drained(mixer)

    def mixer(self, frame: Any) -> Mixer:
        """What mixes frames like this one."""
        graph = partial(av.AudioResampler, "flt", "mono", frame.sample_rate, frame_size=BLOCK)
        self.mixers.append(Mixer(frame, graph))
        return self.mixers[-1]

    def resampler(self, rate: int, sr: int) -> Resampler:
        """A new one, that counts for this recording."""
        self._resamplers.append(Resampler(rate, sr))
        return self._resamplers[-1]

    def _drained(self, mixer: Mixer | None) -> Iterator[NDArray[np.float32]]:
        """What the present chain still holds."""
        if mixer is not None:
            for block in mixer.finish():
                yield self._resamplers[-1].feed(block)
            yield self._resamplers[-1].finish()

    def _frames(self, deadline: float | None) -> Iterator[Any]:
        """Decoded frames as ffmpeg gives them, judged at the end."""
        n_packets = n_bad = n_bytes = n_values = 0
        cut = ""
        packets = self.input.demux(self.stream)
        while True:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeLimitError(f"{self.name}: took longer than the time limit")
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except _FAILURES as error:
                cut = _why(error, "what follows makes no sense")
                break
            if packet is None:
                break
            n_packets += 1
            n_bytes += packet.size
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except _FAILURES:
                n_bad += 1
                continue
            for frame in frames:
                if frame.sample_rate not in _RATES_HZ:
                    raise AudioError(f"{self.name}: states a rate of {frame.sample_rate} samples a second")
                self.decoded_s += frame.samples / frame.sample_rate
                n_values += frame.samples * frame.layout.nb_channels
                yield frame
            bomb = n_values > _BOMB_VALUES and n_bytes * 8 < n_values * _BOMB_BITS
            if bomb or self.decoded_s >= MAX_LISTENED_S:
                self.complete = False
                return
        self._judge(n_packets, n_bad, cut)

    def _judge(self, n_packets: int, n_bad: int, cut: str) -> None:
        """Raise `AudioError` unless everything was decoded."""
        got, stated = self.decoded_s, self.stated_s
        if not got:
            raise AudioError(f"{self.name}: holds no sound")
        if cut:
            raise AudioError(f"{self.name}: cannot be read beyond {got:.1f} s: {cut}")
        if n_bad > max(3, n_packets / 100):
            raise AudioError(f"{self.name}: is damaged: {n_bad} of {n_packets} packets cannot be decoded")
        if stated is not None and (why := discrepancy(self.container, stated_s=stated, decoded_s=got)):
            raise AudioError(f"{self.name}: is damaged: {why}")

    def close(self) -> None:
        """Release the decoder."""
        self.input.close()


@contextmanager
def open_recording(path: bytes) -> Iterator[Recording]:
    """Open a music file for decoding.

    Raises
    ------
    AudioError
        It cannot be opened, is certainly cut off, or holds no audio in a known coding.
    """
    try:
        opened = open_regular(path)
    except OSError as error:
        raise AudioError(f"{display(path)}: cannot read it: {explain(error)}") from error
    except TagError as error:
        raise AudioError(str(error)) from error
    with opened as file:
        try:
            recording = Recording(path, file)
            try:
                yield recording
            finally:
                recording.close()
        except MemoryError as error:  # a header that lies, or a limit on the process
            raise AudioError(f"{display(path)}: decoding it takes more memory than there is") from error


def available_decoders() -> dict[str, bool]:
    """The codings of music files, and whether PyAV decodes them."""
    return {name: name in av.codecs_available for name in _CODINGS.split()}


def segments(
    path: bytes, config: FeatureConfig, *, deadline: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """All segments of one file: `open_recording` and `Recording.segments` in one."""
    with open_recording(path) as recording:
        yield from recording.segments(config, deadline=deadline)


def _why(error: Exception, otherwise: str) -> str:
    """The disk's own failures say what to do; ffmpeg's do not."""
    if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
        return explain(error)
    return otherwise
