"""The genre in WMA (ASF): attributes called ``WM/Genre`` in objects in the header object.

The first stands in the Extended Content Description, more of them in the Metadata Library: where TagLib and
mutagen put them and look for them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from tagger.files import read_at
from tagger.formats.containers import Layout
from tagger.formats.fields import fill_places
from tagger.formats.id3 import UnsafeError
from tagger.formats.splice import Patch, no_id3v1, read_extent
from tagger.tracks import GenreState

_WM_GENRE = "WM/Genre\0".encode("utf-16-le")


def set_asf_genre(content: bytes, values: Sequence[str], *, library: bool) -> bytes:
    """An ASF Extended Content Description (or, with `library`, Metadata Library) object with other genres.

    `content` is what follows the object's own header: a count and the attributes.

    Raises
    ------
    UnsafeError
        The object is damaged, or the genre in it is not text.
    """
    items, at = [], 2
    for _ in range(int.from_bytes(content[:2], "little")):
        if library:
            name_at = at + 12
            name_length, _kind, length = struct.unpack_from("<HHI", content.ljust(at + 12, b"\0"), at + 4)
            end = name_at + name_length + length
        else:
            name_at = at + 2
            name_length = int.from_bytes(content[at : at + 2], "little")
            end = name_at + name_length + 4
            end += int.from_bytes(content[end - 2 : end], "little")
        if end > len(content):
            raise UnsafeError("its ASF metadata is damaged")
        items.append(content[at:end])
        at = end
    encoded = [(value + "\0").encode("utf-16-le") for value in values]
    if library:
        head = [struct.pack("<HHHHI", 0, 0, len(_WM_GENRE), 0, len(text)) for text in encoded]
        new = [start + _WM_GENRE + text for start, text in zip(head, encoded, strict=True)]
    else:
        name = len(_WM_GENRE).to_bytes(2, "little") + _WM_GENRE
        new = [name + struct.pack("<HH", 0, len(text)) + text for text in encoded]

    def is_genre(item: bytes) -> bool:
        start = 12 if library else 2
        length = int.from_bytes(item[4:6] if library else item[:2], "little")
        return item[start : start + length].rstrip(b"\0") == _WM_GENRE.rstrip(b"\0")

    def kind(item: bytes) -> bytes:
        return item[6:8] if library else item[2 + int.from_bytes(item[:2], "little") :][:2]

    if any(is_genre(item) and kind(item) != b"\0\0" for item in items):
        raise UnsafeError("the genre in its ASF metadata is not text")
    items = fill_places(items, is_genre, new)
    return len(items).to_bytes(2, "little") + b"".join(items) + content[at:]


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_ASF_CONTENT = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
_ASF_LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")


def asf(file: BinaryIO, where: Layout, after: GenreState) -> list[Patch]:
    """Patch for the header object, which is made anew around the objects in it."""
    no_id3v1(after)
    start = where.body[0]
    head = read_at(file, start, 30)
    length = int.from_bytes(head[16:24], "little")
    if len(head) < 30 or not 30 <= length <= where.size_bytes - start:
        raise UnsafeError("its ASF header is cut off")
    header = read_extent(file, (start, start + length))
    items = _asf_split(header[30:])
    kinds = [item[:16] for item in items]
    if max(map(kinds.count, (_ASF_FILE, _ASF_CONTENT, _ASF_EXTENSION))) > 1:
        raise UnsafeError("its ASF header has two objects of a kind")
    if int.from_bytes(header[24:28], "little") != len(items):
        raise UnsafeError("its ASF header is damaged")
    changed = list(filter(None, (_asf_changed(item, after) for item in items)))
    if after.values and _ASF_CONTENT not in kinds:
        changed.append(_asf_object(_ASF_CONTENT, set_asf_genre(bytes(2), after.values[:1], library=False)))
    if len(after.values) > 1 and _ASF_EXTENSION not in kinds:
        raise UnsafeError("its ASF header lacks the extension that several genres need")
    grown = sum(map(len, changed)) - sum(map(len, items))
    changed = [
        _asf_file_size(item, where.size_bytes, grown) if item[:16] == _ASF_FILE else item for item in changed
    ]
    new = (
        head[:16] + (length + grown).to_bytes(8, "little") + len(changed).to_bytes(4, "little") + head[28:30]
    )
    return [Patch(start, length, new + b"".join(changed))]


def _asf_split(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at + 16 : at + 24], "little")
        if not 24 <= length <= len(data) - at:
            raise UnsafeError("its ASF header is damaged")
        found.append(data[at : at + length])
        at += length
    return found


def _asf_object(kind: bytes, content: bytes) -> bytes:
    return kind + (len(content) + 24).to_bytes(8, "little") + content


def _asf_changed(item: bytes, after: GenreState) -> bytes:
    kind, content = item[:16], item[24:]
    if kind == _ASF_CONTENT:
        return _asf_attributes(item, after.values[:1], library=False)
    if kind == _ASF_EXTENSION:
        children = _asf_split(content[22:])
        if int.from_bytes(content[18:22], "little") != len(content) - 22:
            raise UnsafeError("its ASF header is damaged")
        more = after.values[1:]
        if more and not any(child[:16] == _ASF_LIBRARY for child in children):
            children.append(_asf_object(_ASF_LIBRARY, bytes(2)))
        libraries = [index for index, child in enumerate(children) if child[:16] == _ASF_LIBRARY]
        for index in libraries:
            children[index] = _asf_attributes(
                children[index], more if index == libraries[0] else (), library=True
            )
        inner = b"".join(children)
        return _asf_object(kind, content[:18] + len(inner).to_bytes(4, "little") + inner)
    return item


def _asf_attributes(item: bytes, values: Sequence[str], *, library: bool) -> bytes:
    content = set_asf_genre(item[24:], values, library=library)
    # An object that held nothing but the genre goes with it, as it may have come with it.
    return b"" if content == bytes(2) and content != item[24:] else _asf_object(item[:16], content)


def _asf_file_size(item: bytes, size: int, grown: int) -> bytes:
    # A stream saved as it came has no size, or a wrong one: that is not ours to mend.
    if int.from_bytes(item[40:48], "little") != size:
        return item
    return item[:40] + (size + grown).to_bytes(8, "little") + item[48:]
