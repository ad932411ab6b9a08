"""Changing the genre, and the extra fields, in Vorbis comments and APE tags. Pure: bytes in, bytes out.

Everything else in them keeps its bytes and its order. New values take the places of old ones, the first the
first place; those left over follow the last, or come at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from tagger.formats.id3_frames import UnsafeError
from tagger.formats.names import PLAIN_NAMES
from tagger.tracks import ExtraChange

VENDOR = "tagger"
"""Who made a Vorbis comment block that this program put where there was none."""


def fill_places(items: list[bytes], is_genre: Callable[[bytes], bool], new: Sequence[bytes]) -> list[bytes]:
    """The items with the genres among them replaced, in the same places as far as possible."""
    places = [index for index, item in enumerate(items) if is_genre(item)]
    after_last = places[-1] if places else len(items) - 1
    filled: list[bytes] = []
    left = list(new)
    for index, item in enumerate(items):
        if index not in places:
            filled.append(item)
        elif left:
            filled.append(left.pop(0))
        if index == after_last:
            filled.extend(left)
            left = []
    return filled + left


def _fields(
    genre: str, values: Sequence[str], extras: Sequence[ExtraChange]
) -> list[tuple[bytes, Sequence[str]]]:
    """Keys and their values, those that are taken out last: with the last item an APE tag itself is gone."""
    fields = [(genre, values), *((PLAIN_NAMES[extra.tag], extra.after) for extra in extras)]
    return sorted(((name.encode(), texts) for name, texts in fields), key=lambda field: not field[1])


NO_WAY_BACK = "is not UTF-8 text, and could not be put back as it is"


def is_utf8(text: bytes) -> bool:
    """Whether a text comes back as the same bytes once it has been read."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_texts(texts: Iterable[bytes], field: bytes) -> None:
    if not all(map(is_utf8, texts)):
        raise UnsafeError(f"its {field.decode().lower()} {NO_WAY_BACK}")


def set_vorbis_genre(data: bytes, values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """A Vorbis comment block (vendor, list, and whatever follows it) with other ``GENRE`` and extra fields.

    Raises
    ------
    UnsafeError
        The block is damaged.
    """
    vendor_end = 4 + int.from_bytes(data[:4], "little")
    count = int.from_bytes(data[vendor_end : vendor_end + 4], "little")
    at = vendor_end + 4
    if at > len(data):
        raise UnsafeError("its Vorbis comments are damaged")
    items = []
    for _ in range(count):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise UnsafeError("its Vorbis comments are damaged")
        items.append(data[at + 4 : end])
        at = end

    def key(item: bytes) -> bytes:
        return item.partition(b"=")[0]

    for field, texts in _fields("GENRE", values, extras):

        def is_it(item: bytes, field: bytes = field) -> bool:
            return key(item).upper() == field

        _check_texts(filter(is_it, items), field)
        name = next((key(item) for item in items if is_it(item)), field)
        items = fill_places(items, is_it, [name + b"=" + text.encode() for text in texts])
    stored = b"".join(len(item).to_bytes(4, "little") + item for item in items)
    return data[:vendor_end] + len(items).to_bytes(4, "little") + stored + data[at:]


EMPTY_VORBIS_COMMENT = len(VENDOR).to_bytes(4, "little") + VENDOR.encode() + bytes(4)
"""What is left of a block of ours when the genre is taken out of it."""


def new_vorbis_comment(values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """A Vorbis comment block with nothing but the genres, and the extra fields."""
    return set_vorbis_genre(EMPTY_VORBIS_COMMENT, values, extras)


def set_ape_genre(tag: bytes, values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """An APE tag, with or without a header, with other ``Genre`` and extra items; empty if none is left.

    Raises
    ------
    UnsafeError
        The tag is damaged, or of a kind that cannot hold these genres.
    """
    footer = tag[-32:]
    header = tag[:32] if tag[:8] == b"APETAGEX" and len(tag) >= 64 else b""
    version = int.from_bytes(footer[8:12], "little")
    items = []
    at, end = len(header), len(tag) - 32
    for _ in range(int.from_bytes(footer[16:20], "little")):
        key_end = tag.find(b"\0", at + 8, end)
        stop = key_end + 1 + int.from_bytes(tag[at : at + 4], "little")
        if key_end < 0 or stop > end:
            raise UnsafeError("its APE tag is damaged")
        items.append(tag[at:stop])
        at = stop
    if at != end:
        raise UnsafeError("its APE tag is damaged: it is not as long as its items")
    fields = _fields("Genre", values, extras)
    if version < 2000 and any(len(texts) > 1 or not "".join(texts).isascii() for _, texts in fields):
        raise UnsafeError("its APE tag is of version 1, which cannot hold these genres")

    def key(item: bytes) -> bytes:
        return item[8 : item.index(b"\0", 8)]

    for field, texts in fields:

        def is_it(item: bytes, field: bytes = field) -> bool:
            return key(item).lower() == field.lower()

        places = [item for item in items if is_it(item)]
        if any(item[4] & 6 for item in places):
            raise UnsafeError(f"the {field.decode().lower()} in its APE tag is not text")
        _check_texts((item[8:] for item in places), field)
        name = key(places[0]) if places else field
        text = b"\0".join(value.encode() for value in texts)
        new = [struct.pack("<II", len(text), 0) + name + b"\0" + text] if texts else []
        items = fill_places(items, is_it, new)
    if not items:
        return b""
    body = b"".join(items)
    sizes = struct.pack("<II", len(body) + 32, len(items))
    return b"".join((header and header[:12] + sizes + header[20:], body, footer[:12] + sizes + footer[20:]))


def ape_has_items(tag: bytes) -> bool:
    """Whether there is anything in an APE tag, by its footer."""
    return int.from_bytes(tag[-16:-12], "little") > 0


def new_ape_tag(values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """An APEv2 tag, header and footer, with nothing but the genres, and the extra fields."""
    header, footer = (
        b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, flags) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    )
    return set_ape_genre(header + footer, values, extras)
