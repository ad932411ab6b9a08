"""The genre in Ogg Vorbis, Opus, FLAC and Speex: packets cut into pages that are numbered and checksummed.

The comments are the second packet. They are paged again with what shares their pages, in as many pages as
before wherever that is possible; else all later pages get new numbers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from tagger.files import read_at
from tagger.formats.containers import Layout
from tagger.formats.fields import new_vorbis_comment, set_vorbis_genre
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.splice import TAG_LIMIT_BYTES, Patch, no_id3v1
from tagger.tracks import ExtraChange, GenreState

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_COMMENT_PREFIX = {"ogg-vorbis": b"\x03vorbis", "ogg-opus": b"OpusTags", "ogg-speex": b"", "ogg-flac": b""}


@dataclass(frozen=True, slots=True)
class _Page:
    start: int
    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes

    @property
    def end(self) -> int:
        return self.start + 27 + len(self.lacing) + len(self.body)

    def render(self) -> bytes:
        head = struct.pack(
            "<4sBBqIIIB", b"OggS", 0, self.flags, self.granule, self.serial, self.number, 0, len(self.lacing)
        )
        data = head + self.lacing + self.body
        return data[:22] + _ogg_crc(data).to_bytes(4, "little") + data[26:]


def _ogg_crc(data: bytes) -> int:
    # Ogg's checksum is zlib's with all bits in the other order and without the inversions.
    crc = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def _page_at(file: BinaryIO, offset: int) -> _Page | None:
    """The page at an offset; None at the end of the file."""
    head = read_at(file, offset, 27)
    if not head:
        return None
    if len(head) < 27 or head[:5] != b"OggS\0":
        raise UnsafeError("it is damaged: between two Ogg pages is something else")
    flags, granule, serial, number, crc, count = struct.unpack("<BqIIIB", head[5:])
    lacing = file.read(count)
    page = _Page(offset, flags, granule, serial, number, lacing, file.read(sum(lacing)))
    if len(lacing) < count or len(page.body) < sum(lacing):
        raise UnsafeError("its last Ogg page is cut off")
    if _ogg_crc(head[:22] + bytes(4) + head[26:] + lacing + page.body) != crc:
        raise UnsafeError("it is damaged: the checksum of an Ogg page is wrong")
    return page


def ogg(file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()) -> list[Patch]:
    """Ogg: the second packet of the first stream, paged again with what shares its pages."""
    no_id3v1(after)
    first = _page_at(file, where.body[0])
    assert first is not None  # its beginning told what it is
    pages: list[_Page] = []
    lacing, body, offset = b"", b"", first.end
    while not lacing or lacing[-1] == 255:
        page = _page_at(file, offset)
        if page is None or page.serial != first.serial or len(body) > TAG_LIMIT_BYTES:
            raise UnsafeError("its Ogg header is cut off, or mixed with other streams")
        if page.granule not in (0, -1) or not page.lacing:
            raise UnsafeError("its Ogg header shares a page with audio")
        pages.append(page)
        lacing, body, offset = lacing + page.lacing, body + page.body, page.end
    segments = next(index for index, length in enumerate(lacing) if length < 255) + 1
    length = sum(lacing[:segments])
    packet = _edit_packet(body[:length], where.container, after, extras)
    lacing = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) + lacing[segments:]
    new = _paged(pages, lacing, packet + body[length:])
    patches = [Patch(pages[0].start, offset - pages[0].start, b"".join(page.render() for page in new))]
    if len(new) != len(pages):
        patches += _renumbered(file, offset, first.serial, len(new) - len(pages))
    return patches


def _edit_packet(packet: bytes, container: str, after: GenreState, extras: Sequence[ExtraChange]) -> bytes:
    prefix = _COMMENT_PREFIX[container]
    if container == "ogg-flac":
        # A FLAC metadata block: type (4) and flag, three bytes of length.
        if packet[:1] not in (b"\x04", b"\x84") or int.from_bytes(packet[1:4], "big") != len(packet) - 4:
            raise UnsafeError("its Ogg comments are damaged")
        content = set_vorbis_genre(packet[4:], after.values, extras)
        if len(content) >= 1 << 24:
            raise UnsafeError("its comments would become larger than FLAC allows")
        return packet[:1] + len(content).to_bytes(3, "big") + content
    if not packet.startswith(prefix):
        raise UnsafeError("its Ogg comments are damaged")
    content = packet[len(prefix) :]
    if not content and container == "ogg-speex":
        return new_vorbis_comment(after.values, extras)
    return prefix + set_vorbis_genre(content, after.values, extras)


def _paged(pages: list[_Page], lacing: bytes, body: bytes) -> list[_Page]:
    """Cut packets into as many pages as before if they fit, the last ones taking the difference."""
    counts = [len(page.lacing) for page in pages]
    difference = len(lacing) - sum(counts)
    for index in reversed(range(len(counts))):
        count = min(255, max(1, counts[index] + difference))
        difference -= count - counts[index]
        counts[index] = count
    while difference > 0:
        counts.append(min(255, difference))
        difference -= counts[-1]
    while difference < 0:  # fewer segments than pages
        difference += counts.pop()
    new, at, byte = [], 0, 0
    for index, count in enumerate(counts):
        part = lacing[at : at + count]
        page = pages[min(index, len(pages) - 1)]
        continued = at > 0 and lacing[at - 1] == 255
        ends = min(part) < 255
        was_ending = index < len(pages) and min(page.lacing) < 255
        # The position on a page where no packet ends is "none".
        granule = page.granule if index < len(pages) and ends == was_ending else 0 if ends else -1
        last = page.flags & 4 if index == len(counts) - 1 else 0
        new.append(
            replace(
                page,
                flags=continued | last,
                granule=granule,
                number=pages[0].number + index,
                lacing=part,
                body=body[byte : byte + sum(part)],
            )
        )
        at, byte = at + count, byte + sum(part)
    return new


def _renumbered(file: BinaryIO, offset: int, serial: int, by: int) -> list[Patch]:
    """New numbers and checksums for all later pages of a stream, up to the next link of a chain."""
    patches = []
    while (page := _page_at(file, offset)) is not None:
        offset = page.end
        if page.flags & 2:
            break
        if page.serial == serial:
            data = replace(page, number=(page.number + by) & 0xFFFFFFFF).render()
            patches.append(Patch(page.start + 18, 8, data[18:26]))
    return patches
