"""A digest of the coded audio that no edit of the tags can change.

It says whether a file is the same recording as before (moved, retagged), and proves, before a file is
replaced, that its audio is untouched. Only the parts that make sound are hashed: between the tags of an MP3,
the blocks of a FLAC file that are not metadata, the packets of an Ogg stream behind its comments… Paging,
padding and the place of the audio in the file do not count. Own small parsers: a damaged file has a digest
too, and an unknown one is hashed as a whole.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, BinaryIO

from tagger.errors import AudioError
from tagger.files import BLOCK_BYTES, explain, open_regular, read_at
from tagger.formats.containers import (
    ASF_HEADER,
    Chunk,
    Extent,
    Layout,
    asf_objects,
    boxes,
    chunk_offsets,
    find_boxes,
    flac_blocks,
    iff_chunks,
    layout,
)
from tagger.tracks import display

DIGEST_BYTES = 16

_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")


def audio_digest(path: bytes) -> bytes:
    """Digest of a file's coded audio.

    Parameters
    ----------
    path : bytes
        The file.

    Returns
    -------
    bytes
        16 bytes of BLAKE2b, the same before and after any edit of tags.

    Raises
    ------
    AudioError
        The file cannot be read.
    TagError
        It is not a regular file.
    """
    try:
        with open_regular(path) as file:
            return digest_of(file)
    except OSError as error:
        raise AudioError(f"{display(path)}: cannot read it: {explain(error)}") from error


def digest_of(file: BinaryIO) -> bytes:
    """As `audio_digest`, of a file that is open for reading."""
    where = layout(file)
    digest = _Hasher(file, where.container)
    _PARTS.get(where.container, _body)(digest, where)
    return digest.result()


class _Hasher:
    """Hashes extents of a file block by block, each with its length, so that no two ways of cutting agree."""

    def __init__(self, file: BinaryIO, container: str) -> None:
        self.file = file
        self._hash: Any = hashlib.blake2b(container.encode(), digest_size=DIGEST_BYTES)
        self._block = memoryview(bytearray(BLOCK_BYTES))

    def data(self, data: bytes) -> None:
        self._hash.update(len(data).to_bytes(8, "little"))
        self._hash.update(data)

    def extent(self, extent: Extent) -> None:
        start, end = extent
        left = max(0, end - start)
        self._hash.update(left.to_bytes(8, "little"))
        self.file.seek(start)
        while left:
            count = self.file.readinto(self._block[: min(left, BLOCK_BYTES)])  # type: ignore[attr-defined]
            if not count:
                break
            self._hash.update(self._block[:count])
            left -= count

    def result(self) -> bytes:
        return bytes(self._hash.digest())


def _body(digest: _Hasher, where: Layout) -> None:
    digest.extent(where.body)


def _flac(digest: _Hasher, where: Layout) -> None:
    start, end = where.body
    frames = start + 4
    for block in flac_blocks(digest.file, start, end):
        if block.kind == b"\0":
            digest.extent((block.content, block.end))
        frames = block.end
    digest.extent((frames, end))


def _chunks_named(*names: bytes) -> Callable[[_Hasher, Layout], None]:
    def parts(digest: _Hasher, where: Layout) -> None:
        for chunk in iff_chunks(digest.file, *where.body):
            if chunk.kind in names:
                digest.data(chunk.kind)
                digest.extent((chunk.content, chunk.end))

    return parts


def _dsf(digest: _Hasher, where: Layout) -> None:
    start, end = where.body
    pointer = int.from_bytes(read_at(digest.file, start + 20, 8), "little")
    # The first 28 bytes hold the size of the file and the place of the tag.
    digest.extent((start + 28, start + pointer if 28 <= pointer <= end - start else end))


def _asf(digest: _Hasher, where: Layout) -> None:
    for item in asf_objects(digest.file, *where.body):
        if item.kind == _ASF_DATA:
            digest.extent((item.content, item.end))
        elif item.kind == ASF_HEADER:
            # The header object counts its children in six bytes before them.
            for child in asf_objects(digest.file, item.content + 6, item.end):
                if child.kind == _ASF_STREAM:
                    digest.extent((child.content, child.end))


def _mp4(digest: _Hasher, where: Layout) -> None:
    top = list(boxes(digest.file, *where.body))
    media = [box for box in top if box.kind == b"mdat"]
    for box in media:
        digest.extent((box.content, box.end))
    # The same bytes are the same sound only while the tables point at the same places in them: a tag that
    # grows in front of the audio moves it, and every table has to follow.
    for box in top:
        if box.kind == b"moov":
            for table in find_boxes(digest.file, box, b"trak", b"mdia", b"minf", b"stbl"):
                _sample_table(digest, table, media)


def _sample_table(digest: _Hasher, table: Chunk, media: list[Chunk]) -> None:
    for box in boxes(digest.file, table.content, table.end):
        if box.kind in (b"stsd", b"stts", b"stsc", b"stsz", b"stz2", b"ctts", b"stss"):
            digest.data(box.kind)
            digest.extent((box.content, box.end))
        elif box.kind in (b"stco", b"co64"):
            digest.data(_relative_offsets(chunk_offsets(digest.file, box), media))


def _relative_offsets(offsets: array[int], media: list[Chunk]) -> bytes:
    """Offsets as (number of the ``mdat`` box, place in it): what stays the same when the boxes move."""
    starts = [box.start for box in media]
    places = array("q")
    for offset in offsets:
        box = bisect_right(starts, offset) - 1
        places.extend((box, offset - media[box].content if box >= 0 else offset))
    return places.tobytes()


def _ogg(digest: _Hasher, where: Layout) -> None:
    offset, end = where.body
    file = digest.file
    streams: dict[int, _OggStream] = {}
    file.seek(offset)
    while True:
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            break
        lacing = file.read(head[26])
        body = file.read(sum(lacing))
        offset += 27 + len(lacing) + len(body)
        granule, serial = struct.unpack("<qI", head[6:18])
        if head[5] & 2 and serial in streams:  # a chained stream may use the same number again
            streams.pop(serial).finish(digest)
        streams.setdefault(serial, _OggStream()).page(granule, lacing, body)
    for stream in streams.values():
        stream.finish(digest)
    digest.extent((offset, end))  # what is not Ogg: nothing, unless the file is damaged


class _OggStream:
    """Hashes the packets of one logical stream but its comments, however they are cut into pages.

    A packet's lacing values are the same on whatever pages they lie, so all of them in a row, and all bodies
    in a row, are a canonical form of the packets.
    """

    def __init__(self) -> None:
        self._hash: Any = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._lacing: Any = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._number = 0
        self._at_start = True
        self._in_headers = True
        self._is_flac = False
        self._granule = -1

    def page(self, granule: int, lacing: bytes, body: bytes) -> None:
        if granule != -1:
            self._granule = granule  # the last one says where the audio ends
        if not self._in_headers:
            self._hash.update(body)
            self._lacing.update(lacing)
            return
        at = 0
        for index, length in enumerate(lacing):
            if self._at_start:
                self._at_start = False
                if self._number == 0:
                    self._is_flac = body.startswith(b"\x7fFLAC")
                # Ogg FLAC has any number of metadata packets; a frame begins with 0xFF.
                elif self._number >= 2 and not (self._is_flac and body[at : at + 1] != b"\xff"):
                    self._in_headers = False
                    self.page(granule, lacing[index:], body[at:])
                    return
            if self._number == 0:
                self._hash.update(body[at : at + length])
                self._lacing.update(lacing[index : index + 1])
            at += length
            if length < 255:
                self._number, self._at_start = self._number + 1, True

    def finish(self, digest: _Hasher) -> None:
        digest.data(self._hash.digest() + self._lacing.digest() + struct.pack("<q", self._granule))


_PARTS: dict[str, Callable[[_Hasher, Layout], None]] = {
    "flac": _flac,
    "wav": _chunks_named(b"fmt ", b"data"),
    "aiff": _chunks_named(b"COMM", b"SSND"),
    "dsf": _dsf,
    "wma": _asf,
    "mp4": _mp4,
    "ogg-vorbis": _ogg,
    "ogg-opus": _ogg,
    "ogg-flac": _ogg,
    "ogg-speex": _ogg,
}
