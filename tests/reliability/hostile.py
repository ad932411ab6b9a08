"""R20: good and bad files side by side through the real program."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tagger.tracks import Status
from tests import media
from tests.reliability.figures import Measured, figure
from tests.reliability.program import ANY, contents, strays, tagger

Maker = Callable[[Path, int], object]
"""Makes one file at a path (without suffix: the maker knows it), from a seed."""

WRITABLE = tuple(name for name in media.CONTAINERS if name != "aac")
"""Raw AAC has no place for a genre that players would find."""


def _plain(container: str, **how: object) -> Maker:
    def make(path: Path, seed: int) -> object:
        suffix = media.CONTAINERS[container].suffix
        return media.make(f"{path}.{suffix}", container, seed=seed, **how)  # type: ignore[arg-type]

    return make


def _renamed(container: str, suffix: str) -> Maker:
    return lambda path, seed: media.make(f"{path}{suffix}", container, seed=seed)


def _around(container: str, *, before: bytes = b"", behind: bytes = b"") -> Maker:
    def make(path: Path, seed: int) -> None:
        file = Path(f"{path}.{media.CONTAINERS[container].suffix}")
        media.make(file, container, seed=seed)
        file.write_bytes(before + file.read_bytes() + behind)

    return make


def _with_chunk(path: Path, seed: int) -> None:
    """A chunk of some other program's behind the sound."""
    media.make(path, "wav", seed=seed)
    data = path.read_bytes() + b"junk\4\0\0\0abcd"
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


ID3V2 = b"ID3\4\0\0\0\0\0\x14TIT2\0\0\0\6\0\0\3Title\0\0\0\0"
ID3V1 = b"TAG" + bytes(124) + b"\xff"

GOOD: tuple[Maker, ...] = (
    *(_plain(container) for container in WRITABLE),
    *(_plain(container, channels=8) for container in ("wav", "flac", "m4a-aac", "ogg-opus")),
    *(_plain(container, sr=192_000, seconds=2.0) for container in ("wav", "flac", "aiff", "wv")),
    *(_plain(container, channels=1) for container in ("mp3", "ogg-vorbis", "wma", "m4a-aac")),
    _plain("mp3", sr=8000, channels=1),
    _plain("wav", sr=8000, seconds=40.0, channels=1),
    _plain("mp3", seconds=0.7),
    _plain("flac", seconds=65.0, channels=1, sr=22050),
    _plain("mp3", tags={"title": "T" * 3000}),
    _plain("ogg-vorbis", tags={"title": "é\U0001f3b5", "artist": "\u202e"}),
    lambda path, seed: media.make_with_cover(f"{path}.mp3", seed=seed),
    lambda path, seed: media.make_with_cover(f"{path}.mp3", seed=seed, picture_bytes=3_000_000),
    lambda path, seed: media.make_video(f"{path}.mp4", seed=seed),
    _around("mp3", behind=ID3V1),
    _around("mp3", before=bytes(500)),
    _around("mp3", before=ID3V2 + ID3V2),
    _around("flac", before=ID3V2),
    _around("flac", behind=ID3V1),
    lambda path, seed: _with_chunk(Path(f"{path}.wav"), seed),
    _renamed("flac", ".mp3"),
    _renamed("mp3", ".flac"),
    _renamed("m4a-aac", ".mp3"),
    _renamed("wav", ".ogg"),
    _renamed("ogg-opus", ""),
    _renamed("mp3", ".MP3"),
)


def _truncated(container: str) -> Maker:
    def make(path: Path, seed: int) -> None:
        file = f"{path}.{media.CONTAINERS[container].suffix}"
        media.make(file, container, seed=seed, seconds=6)
        media.truncate(file, 0.5)

    return make


def _bytes(suffix: str, content: bytes) -> Maker:
    return lambda path, seed: Path(f"{path}{suffix}").write_bytes(content)


def _samples(container: str, y: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Maker:
    return _plain(container, signal=y)


def _not_numbers(share: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    y = media.music(3, seed=9)
    y[: round(share * len(y))] = np.nan
    return y


def _no_sound(container: str) -> Maker:
    return _plain(container, seconds=0.0)


BAD: dict[str, tuple[Maker, Status]] = {
    **{
        f"truncated-{name}": (_truncated(name), Status.UNREADABLE)
        for name in WRITABLE
        if name not in ("wav-float",)
    },
    "empty": (_bytes(".mp3", b""), Status.UNREADABLE),
    "text": (_bytes(".mp3", b"# Not music at all\n" * 500), Status.UNREADABLE),
    "picture": (_bytes(".ogg", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40), Status.UNREADABLE),
    "random": (_bytes(".flac", np.random.default_rng(1).bytes(50_000)), Status.UNREADABLE),
    "lying-flac": (lambda path, seed: media.make_lying_flac(f"{path}.flac"), Status.UNREADABLE),
    "lying-wav": (lambda path, seed: media.make_lying_wav(f"{path}.wav"), Status.UNREADABLE),
    "no-sound": (_no_sound("wav"), Status.UNREADABLE),
    "one-sample": (_samples("wav", np.full((1, 2), 0.5, np.float32)), Status.UNCERTAIN),
    "not-numbers": (_samples("wav-float", _not_numbers(1.0)), Status.UNCERTAIN),
    "half-not-numbers": (_samples("wav-float", _not_numbers(0.5)), Status.UNREADABLE),
    "pictures-only": (lambda path, seed: media.make_video_only(f"{path}.mp4"), Status.UNREADABLE),
}
"""Name to maker and the status the file must end with."""


@figure(
    "R20",
    what="good files tagged, bad files each with the right status and untouched, exit code",
    bar="100/100, 25/25, 1",
    full=100,
)
def hostile(folder: Path, *, size: int) -> Measured:
    """`size` good files and all bad ones in one folder, through one run."""
    music = folder / "music"
    music.mkdir()
    for number in range(size):
        GOOD[number % len(GOOD)](music / f"good {number:03}", number)
    for name, (make, _) in BAD.items():
        make(music / name, 0)
    before = contents(music)
    ran = tagger(folder, "run", *ANY, "--jobs", 2, music)
    after = contents(music)
    outcomes = {os.path.splitext(name)[0]: line for name, line in ran.by_name().items()}

    notes = [] if len(ran.lines) == len(before) else [f"{len(ran.lines)} outcomes of {len(before)} files"]
    n_good = n_bad = 0
    for path in before:
        stem = os.path.splitext(os.path.basename(os.fsdecode(path)))[0]
        line = outcomes.get(stem, {"status": "no outcome", "reason": ""})
        good = stem.startswith("good")
        wanted = Status.TAGGED if good else BAD[stem][1]
        changed = after.get(path) != before[path]
        if line["status"] == wanted and line["reason"] and changed == good:
            n_good, n_bad = n_good + good, n_bad + (not good)
        else:
            name = os.path.basename(os.fsdecode(path))
            notes.append(f"{name}: {line['status']}, not {wanted}: {line['reason']}, changed: {changed}")
    notes += [f"left behind: {path!r}" for path in strays(music)]
    return Measured(
        ok=not notes and n_good == size and n_bad == len(BAD) and ran.code == 1,
        text=f"{n_good}/{size}, {n_bad}/{len(BAD)}, {ran.code}",
        n=len(before),
        notes=tuple(notes),
    )
