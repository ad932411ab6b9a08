"""The genre in WMA (ASF): attributes called ``WM/Genre`` in objects in the header object.

The first stands in the Extended Content Description, more of them in the Metadata Library: where TagLib and
mutagen put them and look for them. So do the extra fields, under names of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from tagger.files import read_at
from tagger.formats.containers import Layout
from tagger.formats.fields import fill_places
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.names import ASF_NAMES
from tagger.formats.splice import Patch, no_id3v1, read_extent
from tagger.tracks import ExtraChange, GenreState

_GENRE = "WM/Genre"
_Fields = Mapping[str, Sequence[str]]
"""Attributes to set, by name, none to take them out."""


def set_asf_texts(content: bytes, fields: _Fields, *, library: bool) -> bytes:
    """An ASF Extended Content Description (or, with `library`, Metadata Library) object with other texts.

    `content` is what follows the object's own header: a count and the attributes.

    Raises
    ------
    UnsafeError
        The object is damaged, or what is to be changed in it is not text.
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
    for name, texts in fields.items():
        items = fill_places(
            items, _is_called(name, library=library), _attributes(name, texts, library=library)
        )
    return len(items).to_bytes(2, "little") + b"".join(items) + content[at:]


def _attributes(name: str, texts: Sequence[str], *, library: bool) -> list[bytes]:
    key, *values = ((text + "\0").encode("utf-16-le") for text in (name, *texts))
    if library:
        return [struct.pack("<HHHHI", 0, 0, len(key), 0, len(value)) + key + value for value in values]
    head = len(key).to_bytes(2, "little") + key
    return [head + struct.pack("<HH", 0, len(value)) + value for value in values]


def _is_called(name: str, *, library: bool) -> Callable[[bytes], bool]:
    key = name.encode("utf-16-le")

    def is_it(item: bytes) -> bool:
        start = 12 if library else 2
        length = int.from_bytes(item[4:6] if library else item[:2], "little")
        if item[start : start + length].rstrip(b"\0") != key.rstrip(b"\0"):
            return False
        kind = item[6:8] if library else item[2 + length :][:2]
        if kind != b"\0\0":
            what = "genre" if name == _GENRE else name
            raise UnsafeError(f"the {what} in its ASF metadata is not text")
        return True

    return is_it


_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_ASF_CONTENT = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
_ASF_LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")


def asf(file: BinaryIO, where: Layout, after: GenreState, extras: Sequence[ExtraChange] = ()) -> list[Patch]:
    """Patch for the header object, which is made anew around the objects in it."""
    no_id3v1(after)
    fields = {_GENRE: after.values} | {ASF_NAMES[extra.tag]: extra.after for extra in extras}
    first = {name: texts[:1] for name, texts in fields.items()}
    more = {name: texts[1:] for name, texts in fields.items()}
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
    changed = list(filter(None, (_asf_changed(item, first, more) for item in items)))
    if any(first.values()) and _ASF_CONTENT not in kinds:
        changed.append(_asf_object(_ASF_CONTENT, set_asf_texts(bytes(2), first, library=False)))
    if any(more.values()) and _ASF_EXTENSION not in kinds:
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


def _asf_changed(item: bytes, first: _Fields, more: _Fields) -> bytes:
    kind, content = item[:16], item[24:]
    if kind == _ASF_CONTENT:
        return _asf_attributes(item, first, library=False)
    if kind == _ASF_EXTENSION:
        children = _asf_split(content[22:])
        if int.from_bytes(content[18:22], "little") != len(content) - 22:
            raise UnsafeError("its ASF header is damaged")
        if any(more.values()) and not any(child[:16] == _ASF_LIBRARY for child in children):
            children.append(_asf_object(_ASF_LIBRARY, bytes(2)))
        libraries = [index for index, child in enumerate(children) if child[:16] == _ASF_LIBRARY]
        for index in libraries:
            here: _Fields = more if index == libraries[0] else dict.fromkeys(more, ())
            children[index] = _asf_attributes(children[index], here, library=True)
        inner = b"".join(children)
        return _asf_object(kind, content[:18] + len(inner).to_bytes(4, "little") + inner)
    return item


def _asf_attributes(item: bytes, fields: _Fields, *, library: bool) -> bytes:
    content = set_asf_texts(item[24:], fields, library=library)
    # An object that held nothing but these goes with it, as it may have come with it.
    return b"" if content == bytes(2) and content != item[24:] else _asf_object(item[:16], content)


def _asf_file_size(item: bytes, size: int, grown: int) -> bytes:
    # A stream saved as it came has no size, or a wrong one: that is not ours to mend.
    if int.from_bytes(item[40:48], "little") != size:
        return item
    return item[:40] + (size + grown).to_bytes(8, "little") + item[48:]
