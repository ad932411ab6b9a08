"""The genre in MP4: ``moov.udta.meta.ilst``, whose growing may move audio that other boxes point at.

``©gen`` holds texts, one ``data`` box each; ``gnre`` a number of ID3v1's list, counted from 1. The extra
fields (`tagger.formats.names`) stand beside them, in ``----`` boxes and in ``tmpo``, a number. Free space in
the file keeps its size, so that taking a change back gives back the former bytes; audio behind the metadata
moves, and the tables that point at it follow (`tagger.formats.digest` proves that they do).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import BinaryIO

from tagger.files import read_at
from tagger.formats.containers import Chunk, Layout, boxes, chunk_offsets, find_boxes
from tagger.formats.fields import fill_places
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.names import MP4_MEAN, MP4_NAMES, MP4_TAGS, tag_called
from tagger.formats.splice import Patch, no_id3v1, read_extent
from tagger.tracks import ExtraChange, ExtraTag, GenreState

GNRE = "gnre:"
"""How the number in ``gnre`` stands among the values of a `GenreState`: ``"gnre:18"`` is Rock."""

_DATA_TEXT, _DATA_NUMBER, _DATA_INTEGER = 1, 0, 21


def split_boxes(data: bytes) -> list[bytes]:
    """The MP4 boxes that lie in `data` one after another.

    Raises
    ------
    UnsafeError
        They do not fill it.
    """
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if not 8 <= length <= len(data) - at:
            raise UnsafeError("its MP4 metadata is damaged")
        found.append(data[at : at + length])
        at += length
    return found


def box(kind: bytes, content: bytes) -> bytes:
    """An MP4 box."""
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def mp4_genre(ilst: bytes) -> tuple[tuple[str, ...], int | None]:
    """The texts of ``©gen`` and the number of ``gnre`` (from 1) in the content of ``ilst``."""
    texts: list[str] = []
    number = None
    for item in split_boxes(ilst):
        if item[4:8] not in (b"\xa9gen", b"gnre"):
            continue
        contents = [data[16:] for data in split_boxes(item[8:]) if data[4:8] == b"data"]
        if item[4:8] == b"\xa9gen":
            texts.extend(content.decode("utf-8", "replace") for content in contents)
        elif contents and len(contents[0]) == 2:
            number = int.from_bytes(contents[0], "big")
    return tuple(texts), number


def set_mp4_genre(
    ilst: bytes, values: Sequence[str], number: int | None, extras: Sequence[ExtraChange] = ()
) -> bytes:
    """The content of ``ilst`` with other genres: one ``©gen`` with a ``data`` box a value, and ``gnre``.

    Raises
    ------
    UnsafeError
        The metadata is damaged.
    """
    texts = [_data_box(_DATA_TEXT, value.encode()) for value in values]
    new = [box(b"\xa9gen", b"".join(texts))] if texts else []
    if number is not None:
        new.append(box(b"gnre", _data_box(_DATA_NUMBER, number.to_bytes(2, "big"))))
    items = fill_places(split_boxes(ilst), lambda item: item[4:8] in (b"\xa9gen", b"gnre"), new)
    for extra in extras:

        def is_it(item: bytes, tag: ExtraTag = extra.tag) -> bool:
            return _extra_of(item) is tag

        former = next((item for item in items if is_it(item)), b"")
        items = fill_places(items, is_it, _extra_box(extra, former))
    return b"".join(items)


def _extra_of(item: bytes) -> ExtraTag | None:
    """The extra field that a box in ``ilst`` holds, if it holds one."""
    if item[4:8] == b"tmpo":
        return ExtraTag.TEMPO
    if item[4:8] != b"----":
        return None
    try:
        mean, name = (inner[12:] for inner in split_boxes(item[8:])[:2])
    except ValueError:  # fewer than these two, or damaged: nothing of ours
        return None
    return tag_called(f"----:{mean.decode('latin-1')}:{name.decode('latin-1')}", MP4_TAGS)


def _extra_box(extra: ExtraChange, former: bytes) -> list[bytes]:
    """The box for an extra field, a number's in the form of the former one where that is a plain one."""
    if not extra.after:
        return []
    if extra.tag is ExtraTag.TEMPO:
        head = former[16:24] if len(former) == 26 else struct.pack(">II", _DATA_INTEGER, 0)
        numbers = [max(-(1 << 15), min(int(value), (1 << 15) - 1)) for value in extra.after]
        data = [box(b"data", head + number.to_bytes(2, "big", signed=True)) for number in numbers]
        return [box(b"tmpo", b"".join(data))]
    name = MP4_NAMES[extra.tag].rpartition(":")[2]
    parts = [box(b"mean", bytes(4) + MP4_MEAN.encode()), box(b"name", bytes(4) + name.encode())]
    return [box(b"----", b"".join(parts + [_data_box(_DATA_TEXT, value.encode()) for value in extra.after]))]


def _data_box(kind: int, content: bytes) -> bytes:
    return box(b"data", struct.pack(">II", kind, 0) + content)


def mp4_ilst(file: BinaryIO, where: Layout) -> tuple[Chunk | None, list[Chunk]]:
    """The ``ilst`` of a file, and the boxes on the way to it: as far as there is one."""
    found = mp4_ilsts(file, where)
    if found:
        return found[0][-1], found[0][:-1]
    path = [_moov(file, where)]
    for name in (b"udta", b"meta"):
        box_found = next(
            (item for item in boxes(file, path[-1].content, path[-1].end) if item.kind == name), None
        )
        if box_found is None:
            break
        path.append(box_found)
    return None, path


def mp4_ilsts(file: BinaryIO, where: Layout) -> list[list[Chunk]]:
    """Every ``ilst`` where one may be, last in the list of boxes on the way to it: mostly one at most."""
    moov = _moov(file, where)
    return [
        [moov, udta, meta, ilst]
        for udta in find_boxes(file, moov, b"udta")
        for meta in find_boxes(file, udta, b"meta")
        for ilst in _in_meta(file, meta)
        if ilst.kind == b"ilst"
    ]


def _moov(file: BinaryIO, where: Layout) -> Chunk:
    moov = next((item for item in boxes(file, *where.body) if item.kind == b"moov"), None)
    if moov is None:
        raise UnsafeError("it has no moov box")
    return moov


def without_end_of_udta(file: BinaryIO, where: Layout) -> bytes | None:
    """The ``moov`` box without the zeros by which QuickTime ends a ``udta``; None where there are none.

    mutagen takes them for a box that is cut off.
    """
    moov = next((item for item in boxes(file, *where.body) if item.kind == b"moov"), None)
    if moov is None:
        return None
    stray = []
    for udta in find_boxes(file, moov, b"udta"):
        end = _end_of_children(file, [moov, udta])
        if 0 < udta.end - end < 8 and not read_at(file, end, udta.end - end).strip(b"\0"):
            stray.append((udta, end))
    if not stray:
        return None
    content, at = b"", moov.content
    for udta, end in stray:
        content += read_extent(file, (at, udta.start)) + box(b"udta", read_extent(file, (udta.content, end)))
        at = udta.end
    return box(b"moov", content + read_extent(file, (at, moov.end)))


def _in_meta(file: BinaryIO, meta: Chunk) -> list[Chunk]:
    # QuickTime's meta box has no version before its children.
    skip = 0 if read_at(file, meta.content + 4, 4) == b"hdlr" else 4
    return list(boxes(file, meta.content + skip, meta.end))


def mp4_number(values: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
    """Texts of ``©gen`` and number of ``gnre`` from the values of a state."""
    numbers = [value for value in values if value.startswith(GNRE)]
    texts = tuple(value for value in values if not value.startswith(GNRE))
    return texts, int(numbers[0].removeprefix(GNRE)) if numbers else None


def mp4(file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()) -> list[Patch]:
    """MP4: ``moov.udta.meta.ilst``; what it grows comes out of the free space behind it, if there is some."""
    no_id3v1(after)
    top = list(boxes(file, *where.body))
    if not all(item.complete for item in top) or not top or top[-1].end != where.size_bytes:
        raise UnsafeError("it is cut off, or one of its boxes claims a wrong size")
    ilst, path = mp4_ilst(file, where)
    first = next(iter(find_boxes(file, path[0], b"udta")), None)
    if ilst is not None and (path[1] != first or len(mp4_ilsts(file, where)) > 1):
        raise UnsafeError("it has its metadata in a second place, which programs read in different ways")
    values, number = mp4_number(after.values)
    if ilst is not None:
        content = set_mp4_genre(read_extent(file, (ilst.content, ilst.end)), values, number, extras)
        patch = Patch(ilst.start, ilst.end - ilst.start, box(b"ilst", content))
    elif not after.values:
        return []
    else:
        content = set_mp4_genre(b"", values, number, extras)
        patch = Patch(_end_of_children(file, path), 0, _new_boxes(file, path, content))
    grown = len(patch.inserted) - patch.removed
    if not grown:
        return [patch]
    return [
        patch,
        *(_resized(file, parent, grown) for parent in path),
        *_moved_offsets(file, top, patch.offset, grown),
    ]


def _new_boxes(file: BinaryIO, path: list[Chunk], content: bytes) -> bytes:
    """What is missing below the last box of the path, around the content of an ``ilst``."""
    ilst = box(b"ilst", content)
    if len(path) == 3:
        handler = next((item for item in _in_meta(file, path[-1]) if item.kind == b"hdlr"), None)
        if handler is None or read_at(file, handler.content + 8, 4) != b"mdir":
            raise UnsafeError("its metadata is of a kind other than iTunes'")
        return ilst
    meta = box(b"meta", bytes(4) + box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)) + ilst)
    return meta if len(path) == 2 else box(b"udta", meta)


def _end_of_children(file: BinaryIO, path: list[Chunk]) -> int:
    # QuickTime may end a udta with four zero bytes, which must stay last.
    parent = path[-1]
    children = _in_meta(file, parent) if len(path) == 3 else boxes(file, parent.content, parent.end)
    return max([parent.content, *(item.end for item in children)])


def _resized(file: BinaryIO, item: Chunk, by: int) -> Patch:
    head = read_at(file, item.start, 16)
    size = int.from_bytes(head[:4], "big")
    if size == 0:  # "to the end of the file"
        return Patch(item.start, 0, b"")
    if size == 1:
        return Patch(item.start + 8, 8, (int.from_bytes(head[8:16], "big") + by).to_bytes(8, "big"))
    if size + by >= 1 << 32:
        raise UnsafeError("its metadata would become larger than MP4 allows")
    return Patch(item.start, 4, (size + by).to_bytes(4, "big"))


def _moved_offsets(file: BinaryIO, top: list[Chunk], at: int, by: int) -> list[Patch]:
    """Every table of places in the file, for what lies behind `at` and moves."""
    behind = any(item.start >= at for item in top)
    if behind and _has_absolute_fragments(file, top, at):
        raise UnsafeError("it is fragmented in a way that ties its parts to their places in the file")
    patches = []
    moov = next(item for item in top if item.kind == b"moov")
    for table in find_boxes(file, moov, b"trak", b"mdia", b"minf", b"stbl"):
        for item in boxes(file, table.content, table.end):
            if item.kind == b"saio" and behind:
                raise UnsafeError("it is encrypted, with its metadata in front and no room in it")
            if item.kind not in (b"stco", b"co64"):
                continue
            old = chunk_offsets(file, item)
            if any(offset >= at for offset in old):
                if not behind:
                    raise UnsafeError("its audio lies inside its metadata")
                patches.append(Patch(item.content + 8, len(old) * old.itemsize, _moved(old, at, by)))
    return patches


def _has_absolute_fragments(file: BinaryIO, top: list[Chunk], at: int) -> bool:
    # Fragments count from their own beginning, if they are not told to count from that of the file; an index
    # in front counts from its end, so it must move along.
    if any(item.kind == b"mfra" or (item.kind == b"sidx" and item.start < at) for item in top):
        return True
    heads = (
        head for item in top if item.kind == b"moof" for head in find_boxes(file, item, b"traf", b"tfhd")
    )
    return any(read_at(file, head.content + 3, 1)[0] & 1 for head in heads)


def _moved(offsets: array[int], at: int, by: int) -> bytes:
    try:
        moved = array(offsets.typecode, (offset + by if offset >= at else offset for offset in offsets))
    except OverflowError as error:
        raise UnsafeError("its audio would lie further in than its tables can say") from error
    if sys.byteorder == "little":
        moved.byteswap()
    return moved.tobytes()
