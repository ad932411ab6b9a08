"""Changing the genre frame of an ID3v2 tag and not one byte of the other frames. Pure: bytes in, bytes out.

The frames of the extra fields (`tagger.formats.names`) are changed along with it where they are to be.

mutagen reads these tags; writing with it sorts the frames, spells them anew, drops those it cannot parse and
loses the extended header, unsynchronisation and frame flags. Here the tag stays what it is, version 2.2, 2.3
or 2.4, with the same padding, so that putting the former genre back gives back the former bytes.

Several genres stand in one frame, divided by NUL. That is ID3v2.4's own way; in 2.3 and 2.2 it is the custom
(v2.3 itself has none): readers built on TagLib or mutagen see all of them, the others the first.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tagger.formats.containers import id3v2_length, synchsafe
from tagger.formats.names import ID3_NAMES
from tagger.tracks import ExtraChange


class UnsafeError(ValueError):
    """Why something cannot be edited without risk: the end of a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class _Frame:
    name: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Field:
    """A text to set: the frame, by its name in versions 2.3 and 2.4, and the description of a TXXX frame."""

    name: str
    description: str
    values: tuple[str, ...]


_FRAME_NAME = {2: re.compile(rb"[A-Z][A-Z0-9]{2}"), 3: re.compile(rb"[A-Z][A-Z0-9]{2}[A-Z0-9 \0]")}
_MAX_SIZE = (1 << 28) - 1
_MOST_FRAMES = _MOST_VALUES = 4096
_MOST_UNPACKED_BYTES = 1 << 24


def new_tag(values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """An ID3v2.4 tag with nothing but the genres, and the extra fields.

    Version 2.4, because it alone has a way of its own to hold several; what is still in use reads it.
    """
    fields = [field for field in _fields(values, extras) if field.values]
    body = b"".join(_text_frame(field, 4, plain_sizes=False) for field in fields)
    return b"ID3\4\0\0" + to_synchsafe(len(body)) + body


def set_genre(tag: bytes, values: Sequence[str], extras: Sequence[ExtraChange] = ()) -> bytes:
    """The tag with other genres.

    Parameters
    ----------
    tag : bytes
        A whole tag: header, frames, padding, footer.
    values : sequence of str
        The genres as they are to be stored, in order; none to take the frame out.
    extras : sequence of ExtraChange
        The extra fields to be changed too.

    Returns
    -------
    bytes
        The new tag; empty where no frame is left in it.

    Raises
    ------
    UnsafeError
        The tag is damaged, or of a kind that cannot be changed in part.
    """
    # What is taken out comes last: with the last of its frames the tag itself is gone.
    for field in sorted(_fields(values, extras), key=lambda field: not field.values):
        tag = _set_field(tag, field) if tag else b""
    return tag


def _fields(values: Sequence[str], extras: Sequence[ExtraChange]) -> list[_Field]:
    named = [(ID3_NAMES[extra.tag].partition(":"), extra.after) for extra in extras]
    return [_Field("TCON", "", tuple(values)), *(_Field(name[0], name[2], after) for name, after in named)]


def _set_field(tag: bytes, field: _Field) -> bytes:
    length = id3v2_length(tag)
    version, flags, body, unsynchronised = _opened(tag)
    stuffing = [match.start() for match in re.finditer(rb"\xff\0", body)] if unsynchronised else []
    plain = body.replace(b"\xff\0", b"\xff") if unsynchronised else body
    first = _extended_header(plain, version, flags)
    frames, plain_sizes = _frames(plain, first, version)
    behind = frames[-1].end if frames else first
    empty_behind = not plain[behind:].strip(b"\0")
    if not plain or (not frames and not empty_behind):
        raise UnsafeError("its ID3 tag has no frame that can be read")

    name = _stored_name(field.name, version)
    if name in plain[behind:]:  # some readers find the next frame there, others stop before it
        raise UnsafeError("its ID3 tag is damaged: its frames are interrupted by bytes that are none")
    old = [
        frame for frame in frames if frame.name == name and _is_called(field, plain, frame, version, flags)
    ]
    former = plain[old[0].start + (6 if version == 2 else 10) : old[0].end] if old else b""
    new = _text_frame(field, version, plain_sizes=plain_sizes, like=former) if field.values else b""
    if unsynchronised:
        new = re.sub(rb"\xff(?=[\xe0-\xff\0])", b"\xff\0", new)
    if not field.values and len(old) == len(frames) and empty_behind:
        return b""
    spots = old or [_Frame(name, behind, behind)]
    for number, spot in reversed(list(enumerate(spots))):
        start, end = (_stored(offset, stuffing) for offset in (spot.start, spot.end))
        body = body[:start] + (new if number == 0 else b"") + body[end:]
    if len(body) > _MAX_SIZE:
        raise UnsafeError("its ID3 tag would become larger than ID3 allows")
    head = tag[:6] + to_synchsafe(len(body))
    footer = tag[10 + synchsafe(tag[6:10]) : length]
    if footer and footer[:3] != b"3DI":  # the flag is damage, and these bytes are audio
        raise UnsafeError("its ID3 tag claims a footer that is not there")
    return head + body + (b"3DI" + head[3:] if footer else b"")


def _stored_name(name: str, version: int) -> bytes:
    # Of these frames, version 2.2 left out the last letter.
    return name.encode() if version > 2 else name[:3].encode()


def _is_called(field: _Field, plain: bytes, frame: _Frame, version: int, flags: int) -> bool:
    """Whether a frame has the field's description, in any case of the letters; true where that has none."""
    if not field.description:
        return True
    text = _content(plain, frame, version, flags)
    if text[:1] in (b"\1", b"\2"):
        end = next((at for at in range(1, len(text), 2) if text[at : at + 2] == b"\0\0"), len(text))
        description = text[1:end].decode("utf-16" if text[:1] == b"\1" else "utf-16-be", "replace")
    else:
        description = (
            text[1:].partition(b"\0")[0].decode("utf-8" if text[:1] == b"\3" else "latin-1", "replace")
        )
    return description.casefold() == field.description.casefold()


def refuse_bombs(tag: bytes) -> None:
    """Look for what would take a reader gigabytes or hours: a thousandth of it in zlib, or a million frames
    or values of a text, which mutagen cuts off what is left one by one.

    Raises
    ------
    UnsafeError
        There is such a thing in the tag.
    """
    try:
        version, flags, body, unsynchronised = _opened(tag)
        plain = body.replace(b"\xff\0", b"\xff") if unsynchronised else body
        frames, _ = _frames(plain, _extended_header(plain, version, flags), version)
    except UnsafeError:  # damaged: it is not going to be written, and who reads it has a time limit
        return
    if len(frames) > _MOST_FRAMES:
        raise UnsafeError("its ID3 tag has thousands of frames")
    for frame in frames:
        content = _content(plain, frame, version, flags)
        mark = b"\0\0" if content[:1] in (b"\1", b"\2") else b"\0"
        if frame.name[:1] in b"TI" and content.count(mark) > _MOST_VALUES:
            raise UnsafeError("a text in its ID3 tag has thousands of values")


def _content(plain: bytes, frame: _Frame, version: int, flags: int) -> bytes:
    """The content of a frame as it was before it was unsynchronised or compressed."""
    content = plain[frame.start + (6 if version == 2 else 10) : frame.end]
    marks = plain[frame.start + 9] if version > 2 else 0
    if version == 4 and (flags & 0x80 or marks & 0x02):
        content = content.replace(b"\xff\0", b"\xff")
    if marks & (0x80 if version == 3 else 0x08):
        return _unpacked(content)
    # In version 2.4 the size it had before may stand in front.
    return content[4:] if version == 4 and marks & 0x01 else content


def _unpacked(content: bytes) -> bytes:
    """The content of a compressed frame, whose first four bytes are mostly the size it is said to have."""
    for start in (4, 0):
        unpacker = zlib.decompressobj()
        with suppress(zlib.error):
            unpacked = unpacker.decompress(content[start:], _MOST_UNPACKED_BYTES)
            if unpacker.unconsumed_tail:
                raise UnsafeError("a compressed frame of its ID3 tag unpacks to more than 16 MB")
            return unpacked
    return content


def _opened(tag: bytes) -> tuple[int, int, bytes, bool]:
    """Version, flags and body of a tag, and whether the body as a whole is unsynchronised."""
    length = id3v2_length(tag)
    if not length or not 2 <= tag[3] <= 4:
        raise UnsafeError("its ID3 tag is of an unknown version")
    if length > len(tag):
        raise UnsafeError("its ID3 tag is cut off")
    version, flags = tag[3], tag[5]
    # Version 2.4 applies unsynchronisation inside each frame: there the sizes are those of the bytes stored.
    return version, flags, tag[10 : 10 + synchsafe(tag[6:10])], bool(flags & 0x80) and version < 4


def to_synchsafe(number: int) -> bytes:
    """A number below 2**28 in four bytes of 7 bits each."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _stored(offset: int, stuffing: list[int]) -> int:
    """Where a byte of the plain tag is in the unsynchronised one, whose stuffed pairs begin at `stuffing`."""
    plain = [at - number for number, at in enumerate(stuffing)]
    return offset + bisect_left(plain, offset)


def _extended_header(plain: bytes, version: int, flags: int) -> int:
    """Where the frames begin."""
    if version == 2 and flags & 0x40:
        raise UnsafeError("its ID3v2.2 tag is compressed")
    # Some writers set the flag and begin with the first frame all the same.
    if version == 2 or not flags & 0x40 or _FRAME_NAME[3].fullmatch(plain[:4]):
        return 0
    if version == 3:
        length, has_checksum = int.from_bytes(plain[:4], "big") + 4, plain[4:5] >= b"\x80"
    else:
        length, has_checksum = synchsafe(plain[:4]), bool(plain[5:6] and plain[5] & 0x20)
    if not 6 <= length <= len(plain):
        raise UnsafeError("the extended header of its ID3 tag is damaged")
    if has_checksum:
        raise UnsafeError("its ID3 tag has a checksum over all frames")
    return length


def _frames(plain: bytes, start: int, version: int) -> tuple[list[_Frame], bool]:
    """The frames in order, and whether their sizes are plain numbers (in v2.4 only by old iTunes)."""
    if version != 4:
        return _walk(plain, start, version, plain_sizes=True)[0], True
    walks = [_walk(plain, start, version, plain_sizes=kind) for kind in (False, True)]
    for kind, (frames, clean) in enumerate(walks):
        if clean or (clean is False and walks[0] == walks[1]):
            return frames, bool(kind)
    raise UnsafeError("its ID3 tag is damaged: the sizes of its frames lead nowhere")


def _walk(plain: bytes, start: int, version: int, *, plain_sizes: bool) -> tuple[list[_Frame], bool | None]:
    """Frames up to the padding; the flag tells whether nothing but frames and padding was met, and is None
    where a frame's size cannot be right: readers differ on what follows it."""
    head, name_length = (6, 3) if version == 2 else (10, 4)
    frames: list[_Frame] = []
    while start + head <= len(plain):
        name = plain[start : start + name_length]
        if not _FRAME_NAME[min(version, 3)].fullmatch(name):
            break
        digits = plain[start + name_length : start + name_length + (3 if version == 2 else 4)]
        if not plain_sizes and any(byte & 0x80 for byte in digits):
            return frames, None
        end = start + head + (int.from_bytes(digits, "big") if plain_sizes else synchsafe(digits))
        if end > len(plain):
            if version != 4:
                raise UnsafeError("its ID3 tag is damaged: a frame claims more bytes than the tag has")
            return frames, None
        frames.append(_Frame(name, start, end))
        start = end
    return frames, not plain[start:].strip(b"\0")


def _text_frame(field: _Field, version: int, *, plain_sizes: bool, like: bytes = b"") -> bytes:
    """A frame of texts, coded as in the content of the frame `like` where that is possible."""
    texts = [field.description] * bool(field.description) + list(field.values)
    ascii_only = all(text.isascii() for text in texts)
    coding = (
        0 if ascii_only else 3 if version == 4 else 1
    )  # the first is the one that every reader gets right
    if like[:1] == b"\1" or (like[:1] == b"\3" and version == 4):
        coding = like[0]
    if coding == 1:
        # Each with its own byte order mark, and the last one ended too: else a text that ends in 0xFF would
        # run into the padding of an unsynchronised tag.
        content = b"\1" + b"".join(b"\xff\xfe" + text.encode("utf-16-le") + b"\0\0" for text in texts)
    else:
        content = bytes([coding]) + "\0".join(texts).encode()
        content += b"\0" if like[:1] == content[:1] and like.endswith(b"\0") else b""
    name = _stored_name(field.name, version)
    if version == 2:
        return name + len(content).to_bytes(3, "big") + content
    size = len(content).to_bytes(4, "big") if plain_sizes else to_synchsafe(len(content))
    return name + size + b"\0\0" + content
