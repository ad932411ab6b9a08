"""Where in each container the genre stands, with the extra fields, and what has to move when they change.

Every function returns patches: "from this offset, take out so many bytes, put in these". Whatever no patch
names stays as it is; that is how everything but the genre is kept. Padding keeps its size, so that taking
a change back gives back the former bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from tagger.files import BLOCK_BYTES, read_at
from tagger.formats import fields
from tagger.formats.containers import Chunk, Extent, Layout, flac_blocks, id3v2_length, iff_chunks
from tagger.formats.id3 import new_tag, set_genre
from tagger.formats.id3_frames import UnsafeError
from tagger.tracks import IGNR, ONLY_ID3V1, ExtraChange, GenreState

TAG_LIMIT_BYTES = 1 << 26
"""A tag larger than this is not read: it would have to go through memory."""


@dataclass(frozen=True, slots=True)
class Patch:
    """At `offset`, `removed` bytes give way to `inserted`."""

    offset: int
    removed: int
    inserted: bytes


def apply(file: BinaryIO, patches: Sequence[Patch]) -> None:
    """Apply patches to a file open for reading and writing. Not atomic: for copies only.

    Offsets are those of the file as it was; patches must neither overlap nor begin at the same place.
    """
    if not patches:
        return
    patches = sorted(patches, key=lambda patch: patch.offset)
    size = file.seek(0, os.SEEK_END)
    moves: list[tuple[int, int, int]] = []
    shift = 0
    for patch, following in zip(patches, [*patches[1:], Patch(size, 0, b"")], strict=True):
        start = patch.offset + patch.removed
        if start > following.offset:
            raise UnsafeError("the places to change in it overlap")
        shift += len(patch.inserted) - patch.removed
        moves.append((start, following.offset, shift))
    # What moves back goes from the last to the first, what moves forward from the first to the last: the
    # order of the pieces never changes, so none lands on one that has still to move.
    for start, end, by in reversed(moves):
        if by > 0:
            for at in range(end, start, -BLOCK_BYTES):
                _move(file, max(start, at - BLOCK_BYTES), at, by)
    for start, end, by in moves:
        if by < 0:
            for at in range(start, end, BLOCK_BYTES):
                _move(file, at, min(end, at + BLOCK_BYTES), by)
    shift = 0
    for patch in patches:
        file.seek(patch.offset + shift)
        file.write(patch.inserted)
        shift += len(patch.inserted) - patch.removed
    file.truncate(size + shift)


def _move(file: BinaryIO, start: int, end: int, by: int) -> None:
    data = read_at(file, start, end - start)
    file.seek(start + by)
    file.write(data)


def read_extent(file: BinaryIO, extent: Extent) -> bytes:
    """Read a whole tag."""
    if extent[1] - extent[0] > TAG_LIMIT_BYTES:
        raise UnsafeError("its tag is larger than 64 MB")
    return read_at(file, extent[0], extent[1] - extent[0])


def leading_id3(
    file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()
) -> list[Patch]:
    """MP3 and TTA: the ID3v2 tag in front, and the genre byte of an ID3v1 tag at the end."""
    patches = _id3v1(file, where, after)
    if where.id3v2 is not None:
        old = read_extent(file, where.id3v2)
        return [*patches, Patch(where.id3v2[0], len(old), set_genre(old, after.values, extras))]
    if _stays_without_tag(where, after):
        return patches
    if read_at(file, where.body[0], 3) == b"ID3":
        raise UnsafeError("it begins with a damaged ID3 tag")
    if where.trailer.id3v1 is not None:
        # Most readers look at ID3v1 only where there is no ID3v2: title and artist would be gone for them.
        raise UnsafeError(
            "it has only an ID3v1 tag, which has no number for this genre, and which a new ID3v2 tag with "
            "nothing but the genre would hide"
        )
    return [*patches, Patch(0, 0, new_tag(after.values, extras))]


def trailing_ape(
    file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()
) -> list[Patch]:
    """Monkey's Audio, WavPack, Musepack: the APE tag at the end, and the genre byte of an ID3v1 tag."""
    patches = _id3v1(file, where, after)
    if where.trailer.ape is not None:
        old = read_extent(file, where.trailer.ape)
        return [
            *patches,
            Patch(where.trailer.ape[0], len(old), fields.set_ape_genre(old, after.values, extras)),
        ]
    if _stays_without_tag(where, after):
        return patches
    if where.trailer.start != where.size_bytes:
        raise UnsafeError("it ends in a tag that a new APE tag with nothing but the genre would hide")
    return [*patches, Patch(where.size_bytes, 0, fields.new_ape_tag(after.values, extras))]


def _stays_without_tag(where: Layout, after: GenreState) -> bool:
    """Whether a file without a newer tag gets none: it has no genre, or ID3v1's byte is enough."""
    return not after.values or (where.trailer.id3v1 is not None and after.values[0].startswith(ONLY_ID3V1))


def _id3v1(file: BinaryIO, where: Layout, after: GenreState) -> list[Patch]:
    at = where.trailer.id3v1
    if (at is None) != (after.id3v1 is None):
        raise UnsafeError("an ID3v1 tag cannot be added or removed")
    if at is None or after.id3v1 is None or read_at(file, at + 127, 1)[0] == after.id3v1:
        return []
    return [Patch(at + 127, 1, bytes([after.id3v1]))]


def flac(file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()) -> list[Patch]:
    """The Vorbis comment block, which is made behind STREAMINFO where there is none."""
    no_id3v1(after)
    blocks = list(flac_blocks(file, *where.body))
    if not blocks or not all(block.complete for block in blocks):
        raise UnsafeError("its FLAC metadata is cut off")
    block = next((block for block in blocks if block.kind == b"\4"), None)
    if block is not None:
        content = fields.set_vorbis_genre(read_extent(file, (block.content, block.end)), after.values, extras)
        if content == fields.EMPTY_VORBIS_COMMENT:
            return _without_block(file, blocks, block)
        flags = read_at(file, block.start, 1)
        return [Patch(block.start, block.end - block.start, flags + _uint24(content) + content)]
    if not after.values:
        return []
    first, content = blocks[0], fields.new_vorbis_comment(after.values, extras)
    last = read_at(file, first.start, 1)[0] & 0x80
    return [
        Patch(first.start, 1, first.kind),
        Patch(first.end, 0, bytes([4 | last]) + _uint24(content) + content),
    ]


def _without_block(file: BinaryIO, blocks: Sequence[Chunk], block: Chunk) -> list[Patch]:
    """Take a block out; where it was the last, the one before becomes that."""
    taken = Patch(block.start, block.end - block.start, b"")
    if block is not blocks[-1]:
        return [taken]
    before = blocks[blocks.index(block) - 1]
    return [Patch(before.start, 1, bytes([before.kind[0] | 0x80])), taken]


def _uint24(content: bytes) -> bytes:
    if len(content) >= 1 << 24:
        raise UnsafeError("its comments would become larger than FLAC allows")
    return len(content).to_bytes(3, "big")


def no_id3v1(after: GenreState) -> None:
    """Refuse a state that only a container with an ID3v1 tag can be in."""
    if after.id3v1 is not None:
        raise UnsafeError("an ID3v1 tag cannot be added or removed")


def id3_chunk_of(file: BinaryIO, where: Layout) -> Chunk | None:
    """The chunk of a WAV or AIFF file that holds an ID3 tag."""
    return next((chunk for chunk in iff_chunks(file, *where.body) if chunk.kind.upper() == b"ID3 "), None)


def id3_chunk(
    file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()
) -> list[Patch]:
    """WAV and AIFF: an ID3 tag in a chunk, which comes last where it is new."""
    no_id3v1(after)
    start, size = where.body
    head = read_at(file, start, 12)
    is_aiff = head[:4] == b"FORM"
    order: Literal["big", "little"] = "big" if is_aiff else "little"
    name = b"ID3 " if is_aiff else b"id3 "
    chunks = list(iff_chunks(file, start, size))
    total_at, total_bytes = start + 4, 4
    if head[:4] in (b"RF64", b"BW64"):
        if not chunks or chunks[0].kind != b"ds64":
            raise UnsafeError("its RF64 header is damaged")
        total_at, total_bytes = chunks[0].content, 8
    total = int.from_bytes(read_at(file, total_at, total_bytes), order)
    last = chunks[-1].end if chunks else 0
    # A chunk that claims more than the file has leaves no place of which it is sure that it is not audio.
    if not chunks or not all(chunk.complete and chunk.kind.isascii() for chunk in chunks):
        raise UnsafeError("it is cut off, or one of its chunks claims a wrong size")
    ends = (last, last + (last - start) % 2)
    if start + 8 + total not in ends or size not in ends:
        raise UnsafeError("the size in its header is not the size it has")
    values = tuple(value for value in after.values if not value.startswith(IGNR))
    patches = [_id3_in_chunk(file, where, name, order, values, extras)]
    patches += _riff_genre(
        file, chunks, [value[len(IGNR) :] for value in after.values if value.startswith(IGNR)]
    )
    new_total = size - start - 8 + sum(len(patch.inserted) - patch.removed for patch in patches)
    if new_total >= 1 << 8 * total_bytes:
        raise UnsafeError("it would become larger than its header can say")
    return [Patch(total_at, total_bytes, new_total.to_bytes(total_bytes, order)), *patches]


def _id3_in_chunk(
    file: BinaryIO, where: Layout, name: bytes, order: Literal["big", "little"], values: Sequence[str],
    extras: Sequence[ExtraChange],
) -> Patch:  # fmt: skip
    start, size = where.body
    chunk = id3_chunk_of(file, where)
    if chunk is None:
        tag = new_tag(values, extras) if values else b""
        # The last chunk of some files lacks its byte of padding.
        padding = bytes((size - start) % 2) if tag else b""
        return Patch(size, 0, padding + _iff_chunk(name, tag, order))
    old = read_extent(file, (chunk.content, chunk.end))
    length = id3v2_length(old)
    if not 0 < length <= len(old):
        raise UnsafeError("the ID3 tag in it is damaged")
    tag = set_genre(old[:length], values, extras)
    # What follows the tag in its chunk, padding most likely, stays.
    tag += old[length:] if tag else b""
    end = min(chunk.end + (chunk.end - chunk.start) % 2, size)
    return Patch(chunk.start, end - chunk.start, _iff_chunk(chunk.kind, tag, order))


def _iff_chunk(kind: bytes, content: bytes, order: Literal["big", "little"]) -> bytes:
    return kind + len(content).to_bytes(4, order) + content + bytes(len(content) % 2) if content else b""


def _riff_genre(file: BinaryIO, chunks: Sequence[Chunk], texts: Sequence[str]) -> list[Patch]:
    """The genre in the INFO list of a WAV file: kept in step where there is one, never added."""
    for chunk in chunks:
        if chunk.kind != b"LIST" or read_at(file, chunk.content, 4) != b"INFO":
            continue
        for item in iff_chunks(file, chunk.content - 8, chunk.end):
            if item.kind == b"IGNR" and item.complete and len(texts) == 1:
                former = read_extent(file, (item.content, item.end)).partition(b"\0")[0].strip()
                if texts[0].encode("latin-1", "replace") == former or texts[0].encode() == former:
                    return []  # not spelled anew
                if not fields.is_utf8(former):
                    raise UnsafeError(f"the genre in its RIFF INFO list {fields.NO_WAY_BACK}")
                end = min(item.end + (item.end - item.start) % 2, chunk.end)
                new = _iff_chunk(b"IGNR", texts[0].encode() + b"\0", "little")
                grown = len(new) - (end - item.start)
                length = (chunk.end - chunk.content + grown).to_bytes(4, "little")
                return [Patch(chunk.start + 4, 4, length), Patch(item.start, end - item.start, new)]
    if texts:
        raise UnsafeError("its RIFF INFO list has no genre to change")
    return []


def dsf_tag(file: BinaryIO, where: Layout) -> Extent | None:
    """The ID3 tag at the end of a DSF file."""
    start, end = where.body
    pointer = int.from_bytes(read_at(file, start + 20, 8), "little")
    return (start + pointer, end) if pointer and start + pointer < end else None


def dsf(file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()) -> list[Patch]:
    """DSF: an ID3 tag at the end, with its place and the file's size in the header."""
    no_id3v1(after)
    start, end = where.body
    if start or int.from_bytes(read_at(file, 12, 8), "little") != end:
        raise UnsafeError("the size in its header is not the size it has")
    place = dsf_tag(file, where)
    if place is None and read_at(file, 20, 8) != bytes(8):
        raise UnsafeError("its header points at a tag outside the file")
    old = read_extent(file, place) if place else b""
    length = id3v2_length(old)
    if place and not 0 < length <= len(old):
        raise UnsafeError("its ID3 tag is damaged")
    new = (
        set_genre(old[:length], after.values, extras)
        if place
        else new_tag(after.values, extras)
        if after.values
        else b""
    )
    new += old[length:] if new else b""
    at = place[0] if place else end
    head = (at + len(new)).to_bytes(8, "little") + (at if new else 0).to_bytes(8, "little")
    return [Patch(12, 16, head), Patch(at, len(old), new)]
