"""The music the benchmarks listen to: real tracks, and longer ones joined from them without re-encoding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av

from tests.benchmarks.harness import ROOT, NotHere

LONG_S = 240.0
"""Four minutes: the length of a usual track."""


def real_tracks() -> list[Path]:
    """The real MP3s: a collection of one-minute tracks, and some longer ones.

    Raises
    ------
    NotHere
        There is no test data.
    """
    data = Path(os.environ.get("TAGGER_TEST_DATA", ROOT.parent / "shared" / "data"))
    found = sorted((data / "library").rglob("*.mp3")) + sorted((data / "full-tracks").rglob("*.mp3"))
    if not found:
        raise NotHere(f"no real music at {data}; set TAGGER_TEST_DATA")
    return found


def copies(folder: Path) -> list[Path]:
    """The real tracks under names of their own."""
    folder.mkdir(parents=True)
    made = []
    for number, path in enumerate(real_tracks()):
        made.append(folder / f"{number:03d}.mp3")
        shutil.copyfile(path, made[-1])
    return made


def long_tracks(
    folder: Path, *, seconds: float = LONG_S, at_most: int = 1000, lengths: int = 1
) -> list[Path]:
    """One long track of each one-minute track and those that follow it in its genre, round about.

    So each has music of one genre by several artists: harder to tell from a part than a real track is. With
    several `lengths` there are as many of each, a second longer each time: other files to the program.
    """
    folder.mkdir(parents=True)
    by_genre: dict[str, list[Path]] = {}
    for path in real_tracks():
        if path.parent.parent.name == "library":
            by_genre.setdefault(path.parent.name, []).append(path)
    made = []
    for longer in range(lengths):
        for genre, paths in sorted(by_genre.items()):
            for start in range(len(paths)):
                if len(made) == at_most:
                    return made
                made.append(folder / f"{genre}-{start}-{longer}.mp3")
                join(made[-1], paths[start:] + paths[:start], seconds + longer)
    return made


def join(path: Path, parts: Sequence[Path], seconds: float) -> None:
    """One MP3 of several of the same rate and channels, their packets one after another, again and again."""
    with av.open(str(path), "w", format="mp3") as out:
        stream: Any = None
        at_s = 0.0
        while at_s < seconds:
            for part in parts:
                with av.open(str(part)) as source:
                    audio = source.streams.audio[0]
                    shape = (audio.rate, audio.layout.name)
                    if stream is None:
                        stream, first = out.add_stream_from_template(audio), shape
                    if shape != first:
                        continue
                    for packet in source.demux(audio):
                        if packet.dts is None or at_s >= seconds:
                            continue
                        length_s = float(packet.duration * packet.time_base)
                        packet.pts = packet.dts = round(at_s / packet.time_base)
                        packet.stream = stream
                        out.mux(packet)
                        at_s += length_s
