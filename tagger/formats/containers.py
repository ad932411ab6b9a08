"""Which container a file is, and where in it things lie: by content alone, never by the file's name.

Offsets count bytes from the start of the file; an extent is ``(start, end)``, `end` excluded. Sizes that
a file claims are never believed beyond the file's own end.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tagger.files import read_at, size_of
from tagger.formats.frames import sniff_frames

Extent = tuple[int, int]

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MAGIC = {
    b"fLaC": "flac",
    b"MAC ": "ape",
    b"wvpk": "wv",
    b"MPCK": "mpc",
    b"MP+": "mpc",
    b"DSD ": "dsf",
    b"TTA1": "tta",
    b"TTA2": "tta",
    ASF_HEADER: "wma",
}
_OGG_MAGIC = {
    b"\x01vorbis": "ogg-vorbis",
    b"OpusHead": "ogg-opus",
    b"\x7fFLAC": "ogg-flac",
    b"Speex   ": "ogg-speex",
}
# Still pictures in the same kind of file as MP4.
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jp2 ", b"jpx ")

# Kinds of file that are none of ours. Frames of MP3 inside one would make it look like a bare stream.
_FOREIGN = (b"caff", b"RIFF", b"FLV", b"\x1aE\xdf\xa3", b".RMF", b"#!AMR", b".snd", b"ADIF")
_QUICKTIME = (b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""First boxes of a film by an old QuickTime, which has no ``ftyp``."""

_TABLE_LIMIT_BYTES = 1 << 26
_MOST_TAGS = 8


@dataclass(frozen=True, slots=True)
class Trailer:
    """The tags at the end of a file. `start` is where the first of them begins: the end of the audio."""

    start: int
    id3v1: int | None = None
    """Offset of the 128 bytes of an ID3v1 tag."""
    ape: Extent | None = None
    """An APEv2 tag, its header (if it has one) included."""
    id3v2: Extent | None = None
    """An appended ID3v2.4 tag."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file is, and what lies around its body."""

    container: str
    """``"mp3"``, ``"flac"``, ``"ogg-vorbis"``…; empty where it is no kind of audio file known here."""
    size_bytes: int
    id3v2: Extent | None
    """The first ID3v2 tag before the body, as the header claims and the file can hold."""
    further_id3v2: tuple[Extent, ...]
    """Those that follow it, before the body or behind. Few programs look at them, and none writes to them."""
    body: Extent
    """The file without the ID3v2 and APEv2 tags in front and the tags behind."""
    trailer: Trailer


def layout(file: BinaryIO) -> Layout:
    """Look at the beginning and the end of a file."""
    size = size_of(file)
    leading, start = _leading_tags(file, size)
    # Only bare streams carry tags behind the body; elsewhere the last bytes may be audio that looks like one.
    container = _sniff(file, start, size)
    bare = container in ("mp3", "aac", "flac", "ape", "wv", "mpc", "tta")
    trailer = trailing_tags(file, start, size) if bare else Trailer(size)
    further = (*leading[1:], *([] if trailer.id3v2 is None else [trailer.id3v2]))
    return Layout(container, size, leading[0] if leading else None, further, (start, trailer.start), trailer)


def synchsafe(data: bytes) -> int:
    """The number in bytes of 7 bits each, as in ID3v2 sizes."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def id3v2_length(header: bytes) -> int:
    """Bytes an ID3v2 tag takes by its own 10-byte header, footer included; 0 where this is no such header."""
    if (
        len(header) < 10
        or header[:3] != b"ID3"
        or header[3] == 0xFF
        or any(byte & 0x80 for byte in header[6:10])
    ):
        return 0
    return 10 + synchsafe(header[6:10]) + (10 if header[3] >= 4 and header[5] & 0x10 else 0)


def _leading_tags(file: BinaryIO, size: int) -> tuple[list[Extent], int]:
    found: list[Extent] = []
    offset = 0
    while True:
        head = read_at(file, offset, 32)
        length = id3v2_length(head)
        if length and len(found) < _MOST_TAGS:
            found.append((offset, min(offset + length, size)))
        if not length and len(head) == 32 and head[:8] == b"APETAGEX":
            length = 32 + int.from_bytes(head[12:16], "little")
        if not length:
            return found, offset
        offset = min(offset + length, size)


def trailing_tags(file: BinaryIO, start: int, end: int) -> Trailer:
    """Walk back from `end` over ID3v1, APEv2, Lyrics3 and appended ID3v2 tags, in any order."""
    id3v1 = ape = id3v2 = None
    # The head of an APE tag of 131 bytes looks like ID3v1's from the fourth letter on.
    is_ape = end - start >= 131 and read_at(file, end - 131, 8) == b"APETAGEX"
    if end - start >= 128 and read_at(file, end - 128, 3) == b"TAG" and not is_ape:
        end = id3v1 = end - 128
        if end - start >= 227 and read_at(file, end - 227, 4) == b"TAG+":
            end -= 227
    while end - start >= 32:
        foot = read_at(file, end - 32, 32)
        length = 0
        if foot[:8] == b"APETAGEX":
            claimed = int.from_bytes(foot[12:16], "little")
            length = claimed + (32 if foot[23] & 0x80 else 0)
            if claimed >= 32 and length <= end - start and ape is None:
                ape = (end - length, end)
        elif foot[-9:] == b"LYRICS200" and foot[-15:-9].isdigit():
            length = int(foot[-15:-9]) + 15
        elif foot[-9:] == b"LYRICSEND":
            at = read_at(file, max(start, end - 5109), min(5109, end - start)).rfind(b"LYRICSBEGIN")
            length = min(5109, end - start) - at if at >= 0 else 0
        elif foot[-10:-7] == b"3DI" and not any(byte & 0x80 for byte in foot[-4:]):
            length = synchsafe(foot[-4:]) + 20
            if id3v2 is None and length <= end - start:
                id3v2 = (end - length, end)
        if not 0 < length <= end - start:
            break
        end -= length
    return Trailer(end, id3v1, ape, id3v2)


def _sniff(file: BinaryIO, start: int, size: int) -> str:
    head = read_at(file, start, 64)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        return "" if head[8:12] in _PICTURE_BRANDS else "mp4"
    if head[:4] == b"OggS" and len(head) > 28:
        packet = head[27 + head[26] :]
        return next((name for magic, name in _OGG_MAGIC.items() if packet.startswith(magic)), "")
    if head.startswith(_FOREIGN) or head[4:8] in _QUICKTIME:
        return ""
    return sniff_frames(file, start, size)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of RIFF or AIFF, a box of MP4, an object of ASF, a metadata block of FLAC."""

    kind: bytes
    start: int
    """Offset of its own header."""
    content: int
    """Offset of its content."""
    end: int
    """Offset after its content, padding excluded: never past the file or the parent."""
    complete: bool = True
    """False where it claims more bytes than there are."""


def iff_chunks(file: BinaryIO, start: int, size: int) -> Iterator[Chunk]:
    """The chunks of a RIFF/RF64 WAVE or AIFF file whose 12-byte header is at `start`."""
    head = read_at(file, start, 12)
    order = ">" if head[:4] == b"FORM" else "<"
    offset, wide = start + 12, 0
    while offset + 8 <= size:
        kind, length = struct.unpack(order + "4sI", read_at(file, offset, 8))
        if kind == b"ds64" and length >= 16:
            wide = struct.unpack("<Q", read_at(file, offset + 16, 8).ljust(8, b"\0"))[0]
        if kind == b"data" and length == 0xFFFFFFFF and head[:4] != b"RIFF":
            length = wide
        end = offset + 8 + length
        yield Chunk(kind, offset, offset + 8, min(end, size), end <= size)
        offset = end + (length & 1)


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """The MP4 boxes between two offsets."""
    while start + 8 <= end:
        head = read_at(file, start, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        content = start + 8
        if length == 1 and len(head) == 16:
            length, content = int.from_bytes(head[8:16], "big"), start + 16
        elif length == 0:
            length = end - start
        if length < content - start:
            return
        yield Chunk(kind, start, content, min(start + length, end), start + length <= end)
        start += length


def asf_objects(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """The ASF objects between two offsets."""
    while start + 24 <= end:
        head = read_at(file, start, 24)
        length = int.from_bytes(head[16:24], "little")
        if length < 24:
            return
        yield Chunk(head[:16], start, start + 24, min(start + length, end), start + length <= end)
        start += length


def flac_blocks(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """The metadata blocks of a FLAC stream whose ``fLaC`` is at `start`; `kind` is the type, one byte."""
    offset, last = start + 4, False
    while not last and offset + 4 <= end:
        head = read_at(file, offset, 4)
        last = bool(head[0] & 0x80)
        stop = offset + 4 + int.from_bytes(head[1:], "big")
        yield Chunk(bytes([head[0] & 0x7F]), offset, offset + 4, min(stop, end), stop <= end)
        offset = stop


def find_boxes(file: BinaryIO, parent: Chunk, *path: bytes) -> list[Chunk]:
    """All boxes at a path of box names below `parent`."""
    found = [parent]
    for name in path:
        found = [box for above in found for box in boxes(file, above.content, above.end) if box.kind == name]
    return found


def chunk_offsets(file: BinaryIO, box: Chunk) -> array[int]:
    """The numbers in an ``stco`` or ``co64`` box: offsets in the file."""
    offsets = array("Q" if box.kind == b"co64" else "I")
    data = read_at(file, box.content + 8, min(box.end - box.content - 8, _TABLE_LIMIT_BYTES))
    count = int.from_bytes(read_at(file, box.content + 4, 4), "big")
    offsets.frombytes(data[: min(count, len(data) // offsets.itemsize) * offsets.itemsize])
    if sys.byteorder == "little":
        offsets.byteswap()
    return offsets
