"""Real media files made by code: one row per container, and the hostile ones.

`make` encodes a deterministic signal with the encoders inside PyAV (or libsndfile); nothing is fetched and
nothing is read from disk. Samples are float in [-1, 1], ``(n_samples, n_channels)``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

AnyPath = str | bytes | os.PathLike[str]
Signal = str | NDArray[np.floating[Any]]


def as_path(path: AnyPath) -> Path:
    """Any form of a path, bytes that are not UTF-8 among them."""
    return Path(os.fsdecode(path))


LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class Container:
    """How one kind of file is made. `writer` is None where ffmpeg muxes it."""

    suffix: str
    format: str = ""
    codec: str = ""
    sr: int = 44100
    bit_rate: int | None = None
    sample_format: str = ""
    """ffmpeg's name, where the encoder's first choice would be another width than 16 bits."""
    lossless: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    writer: Callable[[Path, NDArray[np.float32], int, Mapping[str, str]], None] | None = None


def _write_vorbis(path: Path, y: NDArray[np.float32], sr: int, tags: Mapping[str, str]) -> None:
    """libsndfile's libvorbis: ffmpeg's own encoder is experimental and stereo only."""
    with soundfile.SoundFile(path, "w", sr, y.shape[1], format="OGG", subtype="VORBIS") as file:
        for name, value in tags.items():
            setattr(file, name, value)
        for start in range(0, len(y), 4096):  # libsndfile overflows its stack on long blocks
            file.write(y[start : start + 4096])


def _write_dsf(path: Path, y: NDArray[np.float32], sr: int, tags: Mapping[str, str]) -> None:
    """DSD64 by first-order sigma-delta, which has a closed form; an ID3v2 tag may follow the audio."""
    rate, block = 64 * 44100, 4096
    n = len(y) * rate // sr
    at = np.arange(n) * (sr / rate)
    rows = []
    for channel in y.T:
        total = np.floor(np.cumsum((np.interp(at, np.arange(len(y)), channel) * 0.5 + 1) / 2))
        bits = np.diff(total, prepend=0).astype(np.uint8)
        packed = np.packbits(bits, bitorder="little")
        rows.append(np.pad(packed, (0, -len(packed) % block)).reshape(-1, block))
    data = np.stack(rows, axis=1).tobytes()
    tag = _id3(tags) if tags else b""
    end = 28 + 52 + 12 + len(data)
    path.write_bytes(
        struct.pack("<4sQQQ", b"DSD ", 28, end + len(tag), end if tag else 0)
        + struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, y.shape[1], y.shape[1], rate, 1, n, block, 0)
        + struct.pack("<4sQ", b"data", 12 + len(data))
        + data
        + tag
    )


def _id3(tags: Mapping[str, str]) -> bytes:
    """A minimal ID3v2.4 tag."""
    names = {"title": b"TIT2", "artist": b"TPE1", "album": b"TALB", "genre": b"TCON", "date": b"TDRC"}
    frames = b"".join(
        names[name] + struct.pack(">I", _syncsafe(len(text))) + b"\0\0" + text
        for name, value in tags.items()
        for text in [b"\3" + value.encode()]
    )
    return b"ID3\4\0\0" + struct.pack(">I", _syncsafe(len(frames))) + frames


def _syncsafe(n: int) -> int:
    return (n & 0x7F) | (n & 0x3F80) << 1 | (n & 0x1FC000) << 2 | (n & 0xFE00000) << 3


CONTAINERS: dict[str, Container] = {
    "mp3": Container("mp3", "mp3", "libmp3lame", bit_rate=128_000),
    "flac": Container("flac", "flac", "flac", sample_format="s16", lossless=True),
    "ogg-vorbis": Container("ogg", writer=_write_vorbis),
    "ogg-opus": Container("opus", "ogg", "libopus", sr=48000, bit_rate=96_000),
    "ogg-flac": Container("oga", "ogg", "flac", sample_format="s16", lossless=True),
    "m4a-aac": Container("m4a", "ipod", "aac", bit_rate=128_000),
    "m4a-aac-faststart": Container(
        "m4a", "ipod", "aac", bit_rate=128_000, options={"movflags": "+faststart"}
    ),
    "m4a-alac": Container("m4a", "ipod", "alac", sample_format="s16p", lossless=True),
    "wav": Container("wav", "wav", "pcm_s16le", lossless=True),
    "wav-float": Container("wav", "wav", "pcm_f32le", lossless=True),
    "aiff": Container("aiff", "aiff", "pcm_s16be", lossless=True, options={"write_id3v2": "1"}),
    "wma": Container("wma", "asf", "wmav2", bit_rate=128_000),
    "wv": Container("wv", "wv", "wavpack", sample_format="s16p", lossless=True),
    "tta": Container("tta", "tta", "tta", sample_format="s16", lossless=True),
    "aac": Container("aac", "adts", "aac", bit_rate=128_000),
    "dsf": Container("dsf", writer=_write_dsf),
}


def music(seconds: float, sr: int = 44100, channels: int = 2, *, seed: int = 0) -> NDArray[np.float32]:
    """Chords with harmonics over a drum-like pulse, different for every seed; peak 0.8.

    Returns
    -------
    (n_samples, channels) float32
    """
    rng = np.random.default_rng(seed)
    n = round(seconds * sr)
    t = np.arange(n) / sr
    y = np.zeros((n, channels))
    beat_s = 60 / rng.uniform(80, 150)
    root = rng.uniform(80, 220)
    chord = np.floor(t / (4 * beat_s)).astype(int)
    steps = rng.choice([-5, -3, 0, 2, 4, 5, 7], size=int(chord.max(initial=0)) + 1)
    for interval in (0, rng.choice([3, 4]), 7):
        phase = 2 * np.pi * np.cumsum(root * 2 ** ((interval + steps[chord]) / 12)) / sr
        for harmonic in range(1, 7):
            pan = rng.uniform(0.3, 1, channels)
            y += np.sin(harmonic * phase + rng.uniform(0, 6))[:, None] * pan / harmonic
    into_beat = t % beat_s
    y += (rng.standard_normal(n) * np.exp(-into_beat * 30) * 3)[:, None]
    y += (np.sin(2 * np.pi * 55 * t) * np.exp(-(t % (2 * beat_s)) * 12) * 4)[:, None]
    return np.asarray(y * (0.8 / max(float(np.abs(y).max(initial=0)), 1e-9)), dtype=np.float32)


def render(signal: Signal, seconds: float, sr: int, channels: int, seed: int) -> NDArray[np.float32]:
    """The named signal, or the given samples, as (n_samples, n_channels) float32."""
    if not isinstance(signal, str):
        y = np.asarray(signal, dtype=np.float32)
        return y if y.ndim == 2 else np.repeat(y[:, None], channels, axis=1)
    n = round(seconds * sr)
    if signal == "music":
        return music(seconds, sr, channels, seed=seed)
    if signal == "noise":
        return np.random.default_rng(seed).random((n, channels), dtype=np.float32) - np.float32(0.5)
    if signal == "silence":
        return np.zeros((n, channels), dtype=np.float32)
    raise ValueError(f"no such signal: {signal}")


def make(
    path: AnyPath,
    container: str,
    *,
    seconds: float = 3.0,
    sr: int | None = None,
    channels: int = 2,
    signal: Signal = "music",
    seed: int = 0,
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Make one file and return its path as the program has paths.

    `container` is a key of `CONTAINERS`. `tags` may hold title, artist, album, genre and date; they are
    written by the encoder's own library, not by the one under test.
    """
    row = CONTAINERS[container]
    rate = sr or row.sr
    y = render(signal, seconds, rate, channels, seed)
    with tempfile.TemporaryDirectory() as folder:  # faststart wants a name that ffmpeg can open again
        made = Path(folder, f"made.{row.suffix}")
        (row.writer or _mux(row))(made, y, rate, tags or {})
        shutil.copyfile(made, as_path(path))
    return os.fsencode(path)


def _mux(row: Container) -> Callable[[Path, NDArray[np.float32], int, Mapping[str, str]], None]:
    def write(path: Path, y: NDArray[np.float32], sr: int, tags: Mapping[str, str]) -> None:
        with av.open(str(path), "w", format=row.format, options=dict(row.options)) as out:
            out.metadata.update(tags)
            _encode(out, _add_audio(out, row, sr, y.shape[1]), y, sr)

    return write


def _add_audio(out: Any, row: Container, sr: int, channels: int) -> Any:
    stream = out.add_stream(row.codec, rate=sr)
    stream.layout = LAYOUTS[channels]
    if row.sample_format:
        stream.format = row.sample_format
    if row.bit_rate:
        stream.bit_rate = row.bit_rate
    return stream


def _encode(out: Any, stream: Any, y: NDArray[np.float32], sr: int, block: int = 65536) -> None:
    for start in range(0, len(y), block):
        part = y[start : start + block].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=LAYOUTS[y.shape[1]])
        frame.sample_rate, frame.pts, frame.time_base = sr, start, Fraction(1, sr)
        out.mux(stream.encode(frame))
    out.start_encoding()  # the header, even when there was nothing to encode
    out.mux(stream.encode(None))


# ---- hostile files -------------------------------------------------------------------------------------


def make_video(path: AnyPath, *, seconds: float = 3.0, seed: int = 0) -> bytes:
    """An MP4 whose first stream is moving pictures and whose second is sound."""
    row = CONTAINERS["m4a-aac"]
    with as_path(path).open("wb") as file, av.open(file, "w", format="mp4") as out:
        pictures: Any = out.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = _add_audio(out, row, row.sr, 2)
        for i in range(round(seconds * 10)):
            picture = np.full((48, 64, 3), i * 7 % 256, dtype=np.uint8)
            out.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(pictures.encode(None))
        _encode(out, sound, music(seconds, seed=seed), row.sr)
    return os.fsencode(path)


def make_video_only(path: AnyPath) -> bytes:
    """An MP4 without any sound."""
    with as_path(path).open("wb") as file, av.open(file, "w", format="mp4") as out:
        pictures: Any = out.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        out.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        out.mux(pictures.encode(None))
    return os.fsencode(path)


def make_with_cover(
    path: AnyPath, *, seconds: float = 3.0, seed: int = 0, picture_bytes: int = 300_000
) -> bytes:
    """An MP3 with a large front cover in an ID3v2 tag before the sound."""
    made = make(path, "mp3", seconds=seconds, seed=seed)
    picture = b"\xff\xd8\xff\xe0" + np.random.default_rng(seed).bytes(picture_bytes) + b"\xff\xd9"
    body = b"\0image/jpeg\0\3\0" + picture
    frame = b"APIC" + struct.pack(">I", _syncsafe(len(body))) + b"\0\0" + body
    with as_path(path).open("r+b") as file:
        sound = file.read()
        file.seek(0)
        file.write(b"ID3\4\0\0" + struct.pack(">I", _syncsafe(len(frame))) + frame + sound)
    return made


def truncate(path: AnyPath, fraction: float) -> bytes:
    """Cut the end of a file off, keeping this fraction of its bytes."""
    os.truncate(path, int(os.path.getsize(path) * fraction))
    return os.fsencode(path)


def patch(path: AnyPath, offset: int, data: bytes) -> bytes:
    """Overwrite bytes in place."""
    with as_path(path).open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return os.fsencode(path)


def make_lying_flac(path: AnyPath, *, total_samples: int = 2**36 - 1, seconds: float = 3.0) -> bytes:
    """A FLAC file whose header claims another number of samples than it holds."""
    make(path, "flac", seconds=seconds)
    with as_path(path).open("rb") as file:
        packed = int.from_bytes(file.read(26)[18:26], "big")
    return patch(path, 18, (packed >> 36 << 36 | total_samples).to_bytes(8, "big"))


def make_lying_wav(path: AnyPath, *, data_bytes: int = 0x7FFFFFF0, seconds: float = 3.0) -> bytes:
    """A WAV file whose ``data`` chunk claims another size than it has."""
    make(path, "wav", seconds=seconds)
    with as_path(path).open("rb") as file:
        at = file.read(200).index(b"data")
    return patch(path, at + 4, struct.pack("<I", data_bytes))


def make_bomb(path: AnyPath, *, hours: float = 24.0, sr: int = 44100, channels: int = 2) -> bytes:
    """A perfectly valid FLAC file of silence that is almost as small as FLAC can be: 24 h in a megabyte."""
    block = 65535
    n_frames = int(hours * 3600 * sr) // block
    info = struct.pack(">HH", block, block) + b"\0" * 6
    info += (sr << 44 | (channels - 1) << 41 | 15 << 36 | n_frames * block).to_bytes(8, "big") + b"\0" * 16
    with as_path(path).open("wb") as file:
        file.write(b"fLaC\x80" + len(info).to_bytes(3, "big") + info)
        for number in range(n_frames):
            # sync, 16-bit block size in the header, rate from STREAMINFO, 16 bits a sample, frame number
            head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4 | 0b1000]) + _flac_number(number)
            head += struct.pack(">H", block - 1)
            head += _crc(head, 0x07, 8).to_bytes(1, "big")
            frame = head + b"\0\0\0" * channels  # a constant subframe: type byte and one 16-bit sample
            file.write(frame + _crc(frame, 0x8005, 16).to_bytes(2, "big"))
    return os.fsencode(path)


def _flac_number(n: int) -> bytes:
    """FLAC's frame numbers are coded like UTF-8, beyond Unicode's range too."""
    if n < 0x80:
        return bytes([n])
    tail = []
    while n >= 0x40 >> len(tail):  # the lead byte of a sequence with k tail bytes has room for 6 - k bits
        tail.insert(0, 0x80 | n & 0x3F)
        n >>= 6
    return bytes([0xFF << 7 - len(tail) & 0xFF | n, *tail])


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    table = _CRC_TABLES.get(bits) or _CRC_TABLES.setdefault(bits, _crc_table(polynomial, bits))
    crc, mask = 0, (1 << bits) - 1
    for byte in data:
        crc = (crc << 8 & mask) ^ table[(crc >> (bits - 8) ^ byte) & 0xFF]
    return crc


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << (bits - 8)
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> (bits - 1) & 1 else 0)
        table.append(crc & ((1 << bits) - 1))
    return table


_CRC_TABLES: dict[int, list[int]] = {}


# ---- containers that nothing here can encode: composed by hand, so they hold nothing but silence --------


def make_silent_ape(path: AnyPath, *, seconds: float = 3.0) -> bytes:
    """A Monkey's Audio file, 44.1 kHz stereo, whose frames all carry the flag that says "silence"."""
    block = 73728
    n = round(seconds * 44100)
    sizes = [min(block, n - start) for start in range(0, n, block)]
    frames = []
    for size in sizes:
        checksum = zlib.crc32(bytes(size * 4)) >> 1 | 0x80000000  # the top bit: flags follow
        words = struct.pack(">II", checksum, 3) + bytes(8)  # both channels silent; an idle range coder
        frames.append(b"".join(words[i : i + 4][::-1] for i in range(0, 16, 4)))
    first = 52 + 24 + 4 * len(frames)
    seek_table = struct.pack(f"<{len(frames)}I", *(first + 16 * i for i in range(len(frames))))
    data = b"".join(frames)
    head = struct.pack("<4sHHIIIIIII", b"MAC ", 3990, 0, 52, 24, len(seek_table), 0, len(data), 0, 0)
    head += hashlib.md5(data).digest()
    head += struct.pack("<HHIIIHHI", 2000, 0x20, block, sizes[-1], len(sizes), 16, 2, 44100)
    as_path(path).write_bytes(head + seek_table + data)
    return os.fsencode(path)


def make_silent_mpc(path: AnyPath, *, seconds: float = 3.0) -> bytes:
    """A Musepack stream of version 8, 44.1 kHz stereo, whose frames have no bands at all."""
    n = round(seconds * 44100)
    body = b"\x08" + _musepack_number(n) + b"\0" + bytes([0 << 5 | 26 - 1, (2 - 1) << 4])
    packets = [_musepack_packet(b"SH", struct.pack(">I", zlib.crc32(body)) + body)]
    packets += [_musepack_packet(b"RG", b"\1" + bytes(8))]
    packets += [_musepack_packet(b"AP", bytes(4))] * -(-(n + 481) // 1152)  # the filters delay by 481 samples
    as_path(path).write_bytes(b"MPCK" + b"".join(packets) + _musepack_packet(b"SE", b""))
    return os.fsencode(path)


def _musepack_packet(kind: bytes, content: bytes) -> bytes:
    """A size that counts itself, in one byte."""
    assert len(content) < 100
    return kind + bytes([3 + len(content)]) + content


def _musepack_number(n: int) -> bytes:
    digits = [n & 0x7F]
    while n := n >> 7:
        digits.insert(0, n & 0x7F | 0x80)
    return bytes(digits)
