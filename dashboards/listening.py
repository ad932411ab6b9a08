"""Sound for the browser: which files it may have, what it can play, and a preview of what it cannot.

A file is reached only through its row in the database, and only while it lies under the folder it was
scanned in: nothing a page or an address says is ever used as a path.
"""

from __future__ import annotations

import io
import os
import wave
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from tagger.audio import open_recording
from tagger.errors import AudioError, RefusedError, TagError
from tagger.feature_config import FeatureConfig
from tagger.features import log_mel
from tagger.files import explain, open_regular, size_of
from tagger.store.rows import TrackRow
from tagger.tracks import Status, display

MAX_PLAIN_BYTES = 64 * 2**20
"""Larger files are not handed to the browser as they are: each listener would hold one in memory."""

PREVIEW_S = 180.0
"""Of what the browser cannot play, so much is made playable: 16 MB."""

MEL_S = 600.0
"""The spectrogram shows at most the first ten minutes."""

_PREVIEW = FeatureConfig(sr=44100)  # only its rate matters here

# By ffmpeg's names of container and coding. What is not here, no browser or not every browser plays.
_PLAYS = {
    ("mp3", "mp3"): "audio/mpeg",
    ("mp3", "mp3float"): "audio/mpeg",
    ("flac", "flac"): "audio/flac",
    ("ogg", "vorbis"): "audio/ogg",
    ("ogg", "opus"): "audio/ogg",
    ("ogg", "libopus"): "audio/ogg",
    ("ogg", "flac"): "audio/ogg",
    ("mov", "aac"): "audio/mp4",
    ("mov", "mp3float"): "audio/mp4",
    ("aac", "aac"): "audio/aac",
    ("wav", "pcm_s16le"): "audio/wav",
    ("wav", "pcm_u8"): "audio/wav",
}


@dataclass(frozen=True, slots=True)
class Playable:
    """Sound as a browser plays it. `note` says what is not as in the file, empty where nothing is."""

    data: bytes
    mime: str
    note: str = ""


def file_of(row: TrackRow) -> bytes:
    """Path to open for a track of the database.

    Raises
    ------
    RefusedError
        The file is gone, is no regular file, leads out of the folder it was scanned in, or crashed the
        decoder before: it must not take the dashboard with it.
    """
    name = display(row.path)
    if row.status is Status.CRASHED:
        raise RefusedError(f"{name}: it crashed the decoder before, so it is not opened here")
    if row.missing_since_ns is not None:
        raise RefusedError(f"{name}: the file was gone when its folder was last scanned")
    real, root = os.path.realpath(row.path), os.path.realpath(row.root)
    if not real.startswith(root.rstrip(b"/") + b"/"):
        raise RefusedError(
            f"{name}: it leads out of the scanned folder {display(row.root)}, so it is not played"
        )
    try:
        open_regular(real).close()
    except OSError as error:
        raise RefusedError(f"{name}: cannot be read: {explain(error)}") from error
    except TagError as error:
        raise RefusedError(str(error)) from error
    return real


def playable(row: TrackRow) -> Playable:
    """The sound of a track of the database.

    Raises
    ------
    RefusedError
        The file may not be served; see `file_of`.
    AudioError
        It holds nothing that can be played.
    """
    return playable_file(file_of(row))


def playable_file(path: bytes) -> Playable:
    """The sound of a file: as it is where browsers play it, else a preview in WAV.

    Raises
    ------
    AudioError
        It cannot be read or decoded at all.
    """
    with open_recording(path) as recording:
        mime = _PLAYS.get((recording.container, recording.codec))
    try:
        with open_regular(path) as file:
            size = size_of(file)
            if mime and size <= MAX_PLAIN_BYTES:
                file.seek(0)
                return Playable(file.read(MAX_PLAIN_BYTES), mime)
    except OSError as error:
        raise AudioError(f"{display(path)}: cannot read it: {explain(error)}") from error
    y = decoded(path, _PREVIEW, PREVIEW_S)
    why = "browsers do not play this kind of file" if mime is None else "the file is very large"
    whole = len(y) < PREVIEW_S * _PREVIEW.sr
    length = "" if whole else f" of its first {PREVIEW_S / 60:.0f} minutes"
    return Playable(to_wav(y, _PREVIEW.sr), "audio/wav", f"A preview in mono{length}: {why}.")


def decoded(path: bytes, config: FeatureConfig, limit_s: float) -> NDArray[np.float32]:
    """The first `limit_s` of a file as mono samples at ``config.sr``.

    Of a damaged file, what comes before the damage.

    Raises
    ------
    AudioError
        There is nothing before the damage, or it is no audio.
    """
    blocks: list[NDArray[np.float32]] = []
    wanted = n = int(limit_s * config.sr)
    in_bits = replace(config, segment_s=ceil(config.chunk_s))  # of the one with the damage nothing comes
    try:
        with open_recording(path) as recording:
            for block in recording.segments(in_bits):
                blocks.append(block[:n])
                n -= len(block)
                if n <= 0:
                    break
    except AudioError:
        if not blocks:
            raise
    y = np.concatenate(blocks)[:wanted] if blocks else np.zeros(0, np.float32)
    return np.nan_to_num(y, nan=0.0, posinf=0.0, neginf=0.0)


def stated_length(path: bytes) -> float | None:
    """Length of a file by its own headers, in seconds; None where they do not say.

    Raises
    ------
    AudioError
        It is no audio.
    """
    with open_recording(path) as recording:
        return recording.stated_s


def to_wav(y: NDArray[np.float32], sr: int) -> bytes:
    """Mono samples as a 16-bit WAV file; what is louder than full scale is turned down."""
    peak = max(float(np.abs(y).max(initial=0.0)), 1.0)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sr)
        file.writeframes((y * (32767 / peak)).astype("<i2").tobytes())
    return out.getvalue()


def mel_of(path: bytes, config: FeatureConfig) -> tuple[NDArray[np.float32], float]:
    """Log-mel spectrogram of the first `MEL_S` of a file, for the eye.

    Returns
    -------
    mel : (n_frames, n_mels) float32
        dB relative to the loudest cell.
    seconds : float
        What it covers.

    Raises
    ------
    AudioError
        The file cannot be decoded.
    """
    y = decoded(path, config, MEL_S)
    if not len(y):
        raise AudioError(f"{display(path)}: holds no sound")
    return log_mel(y, config), len(y) / config.sr
