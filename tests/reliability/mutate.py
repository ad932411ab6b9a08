"""Damage for music files, made by code: mutation `i` of a container is the same bytes on every machine.

`seeds` makes a few real files of a container, from bare to richly tagged; `mutant` damages one of them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mutagen
import numpy as np
from mutagen import apev2, flac, id3, mp4
from numpy.random import Generator

from tests import media

SECONDS = {"dsf": 0.7}
"""Length of the files in seconds, where not one: DSD is large."""
LOSSLESS_HZ = 22050
"""Lossless files are mono at this rate: they are large enough then."""

TAGS = {"title": "Tïtle; with / signs", "artist": "Artist", "album": "Album", "date": "1999"}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


@lru_cache(maxsize=2)
def seeds(container: str) -> tuple[bytes, ...]:
    """Whole files to be damaged: without tags, with plain ones, with a genre, with everything there is."""
    suffix = media.CONTAINERS[container].suffix
    seconds = SECONDS.get(container, 1.0)
    made = []
    with TemporaryDirectory() as folder:
        for number, tags in enumerate(({}, TAGS, TAGS | {"genre": "Krautrock"}, TAGS)):
            path = Path(folder, f"{number}.{suffix}")
            hz = LOSSLESS_HZ if media.CONTAINERS[container].lossless else None
            channels = 1 if hz or container == "dsf" else 2
            media.make(path, container, seconds=seconds, sr=hz, channels=channels, seed=number, tags=tags)
            if number == 3:
                _enrich(path)
            made.append(path.read_bytes())
    return tuple(made)


def _enrich(path: Path) -> None:
    """Put in what real collections have beside the genre, by another library than the one under test."""
    file: Any = mutagen.File(path)
    if path.suffix == ".aac":  # mutagen finds no place for tags in it
        path.write_bytes(b"ID3\4\0\0\0\0\0\x10TCON\0\0\0\6\0\0\3Rock\0" + path.read_bytes())
        return
    if file.tags is None:
        file.add_tags()
    tags = file.tags
    if isinstance(tags, id3.ID3):
        tags.add(id3.TCON(encoding=3, text=["(17)", "Krautrock"]))
        tags.add(id3.TXXX(encoding=1, desc="MusicBrainz", text=["ü"]))
        tags.add(id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=PICTURE))
        tags.add(id3.POPM(email="me", rating=5, count=9))
        tags.add(id3.CHAP(element_id="c", start_time=0, end_time=9, sub_frames=[id3.TIT2(text=["x"])]))
        if path.suffix == ".mp3":
            file.save(v1=2, v2_version=3)
            tail = path.read_bytes()[-128:]
            path.write_bytes(path.read_bytes()[:-128])
            ape = apev2.APEv2()
            ape["Genre"], ape["REPLAYGAIN_TRACK_GAIN"] = "Pop", "-6 dB"
            ape.save(path)
            path.write_bytes(path.read_bytes() + tail)
            return
    elif isinstance(tags, mp4.MP4Tags):
        tags["\xa9gen"], tags["covr"] = ["Krautrock", "Pop"], [mp4.MP4Cover(PICTURE)]
        tags["----:com.apple.iTunes:x"] = [b"free"]
    elif isinstance(tags, apev2.APEv2):
        tags["Genre"], tags["Cover Art (Front)"] = ["Krautrock", "Pop"], apev2.APEValue(PICTURE, apev2.BINARY)
    else:
        tags["WM/Genre" if path.suffix == ".wma" else "genre"] = ["Krautrock", "Pop"]
        if isinstance(file, flac.FLAC):
            picture = flac.Picture()
            picture.data, picture.mime, picture.type = PICTURE, "image/png", 3
            file.add_picture(picture)
            file.metadata_blocks.insert(1, _application())
    file.save()


def _application() -> flac.MetadataBlock:
    block = flac.MetadataBlock(b"riff" + bytes(20))
    block.code = 2
    return block


def mutant(container: str, index: int) -> bytes:
    """Damaged file number `index` of a container; the first ones are the undamaged seeds themselves."""
    whole = seeds(container)
    if index < len(whole):
        return whole[index]
    rng = np.random.default_rng([zlib.crc32(container.encode()), index])
    data = bytearray(whole[int(rng.integers(len(whole)))])
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        data = _MUTATORS[int(rng.integers(len(_MUTATORS)))](data, rng, whole)
        if not data:
            break
    return bytes(data)


Mutator = Callable[[bytearray, Generator, Sequence[bytes]], bytearray]


def _place(data: bytearray, rng: Generator) -> int:
    """Somewhere in a file; half the time near an end, where headers and tags lie."""
    n = len(data)
    if n and rng.random() < 0.5:
        near = int(min(n, 2 ** rng.uniform(0, 12)))
        at = int(rng.integers(near))
        return at if rng.random() < 0.7 else n - 1 - at
    return int(rng.integers(max(n, 1)))


def _flip(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    for _i in range(int(2 ** rng.uniform(0, 5))):
        at = _place(data, rng)
        data[at] ^= 1 << int(rng.integers(8))
    return data


def _random_bytes(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    at, n = _place(data, rng), int(2 ** rng.uniform(0, 9))
    part = rng.bytes(len(data[at : at + n]))
    data[at : at + n] = part
    return data


def _number(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    """Overwrite a would-be size, count or offset by an extreme or slightly wrong one."""
    kind = [">B", ">H", "<H", ">I", "<I", ">Q", "<Q"][int(rng.integers(7))]
    size = struct.calcsize(kind)
    at = _place(data, rng)
    if at + size > len(data):
        return data
    old = struct.unpack_from(kind, data, at)[0]
    top = 256**size
    new = [0, 1, top - 1, top // 2, top // 2 - 1, old + 1, old - 1, old * 2, len(data), len(data) + 1]
    struct.pack_into(kind, data, at, new[int(rng.integers(len(new)))] % top)
    return data


def _cut_end(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    return data[: _place(data, rng)]


def _delete(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    at = _place(data, rng)
    del data[at : at + int(2 ** rng.uniform(0, 13))]
    return data


def _insert(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    at, n = _place(data, rng), int(2 ** rng.uniform(0, 13))
    data[at:at] = rng.bytes(n) if rng.random() < 0.5 else bytes(n)
    return data


def _repeat(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    """A stretch of the file once more: a second tag, a second header."""
    at, to, n = _place(data, rng), _place(data, rng), int(2 ** rng.uniform(2, 14))
    data[to:to] = data[at : at + n]
    return data


def _zeros(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    """What a failed download or a dying disk leaves."""
    at, n = _place(data, rng), int(2 ** rng.uniform(2, 14))
    data[at : at + n] = bytes(len(data[at : at + n]))
    return data


def _cross(data: bytearray, rng: Generator, whole: Sequence[bytes]) -> bytearray:
    """The beginning of this file and the end of another one of its kind."""
    other = whole[int(rng.integers(len(whole)))]
    at = _place(data, rng)
    return data[:at] + other[at:]


def _foreign(data: bytearray, rng: Generator, _: Sequence[bytes]) -> bytearray:
    """Tags of other kinds in front or behind."""
    id3v2 = (
        b"ID3\4\0\0" + struct.pack(">I", int(rng.integers(0x7F))) + b"TCON\0\0\0\x05\0\0\3Rock" + bytes(60)
    )
    size = int(rng.choice([32, 40, 0, 0xFFFFFFFF]))
    ape = struct.pack("<8sIIIIQ", b"APETAGEX", 2000, size, int(rng.integers(9)), 1 << 31, 0)
    parts = [
        id3v2,
        b"TAG" + bytes(124) + b"\x11",
        ape,
        b"LYRICSBEGIN" + bytes(40) + b"000051LYRICS200",
        b"fLaC",
    ]
    part = parts[int(rng.integers(len(parts)))]
    return bytearray(part + data) if rng.random() < 0.5 else data + part


_MUTATORS: tuple[Mutator, ...] = (
    *(_flip, _flip, _random_bytes, _number, _number, _number, _cut_end),
    *(_delete, _insert, _repeat, _zeros, _cross, _foreign),
)
