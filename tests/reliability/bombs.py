"""R23: small files that would like to be very large ones, through the worker's function.

`python -m tests.reliability.bombs FILE` listens to one file as a worker does and prints what it took.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from tests import media
from tests.conftest import environment
from tests.reliability.figures import Measured, figure
from tests.reliability.program import ANY, peak_bytes, tagger

MOST_MB = 700
MOST_TIMES = 2.0
NORMAL_S = 240.0
"""Length of the normal track."""


def _id3(frames: bytes) -> bytes:
    size = len(frames)
    return b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames


def _frame(name: bytes, body: bytes, flags: bytes = b"\0\0") -> bytes:
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return name + size + flags + body


def _with_id3(path: Path, tag: bytes) -> None:
    media.make(path, "mp3", seconds=5)
    path.write_bytes(tag + path.read_bytes())


def _compressed_tag(path: Path, *, megabytes: int) -> None:
    """A frame of zeros under zlib, which ID3v2.4 allows: a thousandth of what it unpacks to."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()
    unpacked = megabytes << 20
    length = bytes(unpacked >> shift & 0x7F for shift in (21, 14, 7, 0))
    _with_id3(path, _id3(_frame(b"TXXX", length + packed, b"\0\x09")))


def _many_frames(path: Path) -> None:
    _with_id3(path, _id3(b"".join(_frame(b"TXXX", b"\3%d\0x" % i) for i in range(100_000))))


def _claiming_tag(path: Path) -> None:
    """A tag that claims 256 MB."""
    media.make(path, "mp3", seconds=5)
    path.write_bytes(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + path.read_bytes())


def _claiming_comment(path: Path) -> None:
    """Vorbis comments that claim to be four thousand million, each of 4 GB."""
    media.make(path, "flac", seconds=5)
    data = path.read_bytes()
    comment = struct.pack("<I", 3) + b"abc" + struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFF0)
    block = b"\4" + len(comment).to_bytes(3, "big") + comment
    path.write_bytes(data[:42] + block + data[42:])


def _claiming_mp4(path: Path) -> None:
    """Sample tables that claim a thousand million entries."""
    media.make(path, "m4a-aac-faststart", seconds=5)
    data = bytearray(path.read_bytes())
    for name, at in ((b"stsz", 12), (b"stts", 8), (b"stco", 8), (b"stsc", 8)):
        place = data.index(name) + at
        data[place : place + 4] = struct.pack(">I", 0x3FFFFFFF)
    path.write_bytes(data)


def _many_boxes(path: Path) -> None:
    media.make(path, "m4a-aac", seconds=5)
    path.write_bytes(path.read_bytes() + b"\0\0\0\x08free" * 50_000)


def _nested_boxes(path: Path) -> None:
    media.make(path, "m4a-aac", seconds=5)
    nested = b""
    for _ in range(20_000):
        nested = struct.pack(">I4s", len(nested) + 8, b"udta") + nested
        if len(nested) > 1 << 17:
            break
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", len(nested) + 8, b"moov") + nested)


def _many_chunks(path: Path) -> None:
    media.make(path, "wav", seconds=5)
    data = path.read_bytes() + b"junk\0\0\0\0" * 50_000
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def _many_values(path: Path) -> None:
    """A text in a million values, all of them empty."""
    _with_id3(path, _id3(_frame(b"TXXX", b"\3" + bytes(1_000_000))))


def _many_channels(path: Path) -> None:
    """A WAV header with 65,535 channels at four thousand million samples a second."""
    media.make(path, "wav", seconds=5)
    media.patch(path, 22, struct.pack("<HIIHH", 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 16))


def _many_pages(path: Path) -> None:
    """An Ogg file and half a million empty pages."""
    media.make(path, "ogg-vorbis", seconds=5)
    page = b"OggS\0\0" + bytes(8) + b"\1\2\3\4" + bytes(8) + b"\0"
    path.write_bytes(path.read_bytes() + page * 300_000)


BOMBS: dict[str, Callable[[Path], object]] = {
    "day.flac": media.make_bomb,
    "lying.flac": media.make_lying_flac,
    "lying.wav": media.make_lying_wav,
    "compressed-tag.mp3": lambda path: _compressed_tag(path, megabytes=255),
    "claiming-tag.mp3": _claiming_tag,
    "many-frames.mp3": _many_frames,
    "many-values.mp3": _many_values,
    "claiming-comment.flac": _claiming_comment,
    "claiming.m4a": _claiming_mp4,
    "many-boxes.m4a": _many_boxes,
    "nested-boxes.m4a": _nested_boxes,
    "many-chunks.wav": _many_chunks,
    "many-channels.wav": _many_channels,
    "many-pages.ogg": _many_pages,
    "8-channels-192-khz.flac": lambda path: media.make(path, "flac", seconds=60, sr=192_000, channels=8),
}


@figure(
    "R23",
    what="bombs: most memory of a worker in MB, time against a normal track of 4 minutes",
    bar="≤ 700 MB, ≤ 2×",
    base="30 GB",
    full=len(BOMBS),
)
def bombs(folder: Path, *, size: int) -> Measured:
    """The first `size` of the bombs, each in a process of its own; then all of them in one run."""
    music = folder / "music"
    music.mkdir()
    normal = folder / "normal.flac"
    media.make(normal, "flac", seconds=NORMAL_S)
    normal_s = _listened(folder, normal)["seconds"]
    most_mb = most_times = 0.0
    notes = []
    for name, make in list(BOMBS.items())[:size]:
        path = music / name
        make(path)
        took = _listened(folder, path)
        megabytes, times = took["megabytes"], took["seconds"] / normal_s
        most_mb, most_times = max(most_mb, megabytes), max(most_times, times)
        if megabytes > MOST_MB or times > MOST_TIMES:
            notes.append(f"{name}: {megabytes:.0f} MB, {times:.1f} times, {took['ended']}")
    ran = tagger(folder, "run", *ANY, "--jobs", 1, music)
    ended = {name: line["status"] for name, line in ran.by_name().items()}
    notes += [f"{name}: {status}" for name, status in ended.items() if status in ("timed_out", "crashed")]
    if len(ended) != size:
        notes.append(f"{len(ended)} outcomes")
    return Measured(not notes, f"{most_mb:.0f} MB, {most_times:.1f}×", size, tuple(notes))


def _listened(folder: Path, path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.bombs", str(path)],
        capture_output=True, env=environment(folder), check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{path.name}: exit {done.returncode}: {done.stderr.decode()[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Listen to a small file first: neither imports nor the model count. CPU time, as others work too."""
    from tagger.bundle import shipped_model_dir
    from tagger.classify import listen
    from tagger.tracks import ListenTask

    path = Path(sys.argv[1])
    model = os.fspath(shipped_model_dir())
    warm = path.with_name(".warm.wav")
    media.make(warm, "wav", seconds=3)
    listen(ListenTask(os.fsencode(warm), model))
    warm.unlink()
    started_s = time.process_time()
    heard = listen(ListenTask(os.fsencode(path), model))
    seconds = time.process_time() - started_s
    print(
        json.dumps({"seconds": seconds, "megabytes": peak_bytes() / 2**20, "ended": heard.reason or "heard"})
    )


if __name__ == "__main__":
    main()
