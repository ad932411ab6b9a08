"""The frames of an ID3v2 tag as they lie in it, found without mutagen. Pure.

Version 2.4 applies unsynchronisation inside each frame, the versions before to the tag as a whole; old iTunes
wrote sizes of 2.4 as plain numbers.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from tagger.formats.containers import id3v2_length, synchsafe


class UnsafeError(ValueError):
    """Why something cannot be edited without risk: the end of a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's name, and where it lies in the plain body of its tag, its head included."""

    name: bytes
    start: int
    end: int


_FRAME_NAME = {2: re.compile(rb"[A-Z][A-Z0-9]{2}"), 3: re.compile(rb"[A-Z][A-Z0-9]{2}[A-Z0-9 \0]")}
_MOST_FRAMES = _MOST_VALUES = 4096
_MOST_UNPACKED_BYTES = 1 << 24


def unreadable_texts(tag: bytes, *names: str) -> dict[str, list[str]]:
    """What a person sees in frames of these names (as in version 2.4) that are not the text they claim to be.

    mutagen passes over such frames, others show them more or less: the place is not empty.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    with suppress(UnsafeError):  # damaged: it is not going to be written
        version, flags, plain, frames = _walked(tag)
        called = {stored_name(name, version): name for name in names}
        for frame in frames:
            if frame.name in called and not is_text(content := content_of(plain, frame, version, flags)):
                text = content[content[0] <= 3 :].decode("latin-1").replace("\0", " ").strip()
                found[called[frame.name]] += [text] if text else []
    return found


def _walked(tag: bytes) -> tuple[int, int, bytes, list[Frame]]:
    """Version and flags of a tag, its body as it was before it was unsynchronised, and the frames in that."""
    version, flags, body, unsynchronised = opened(tag)
    plain = body.replace(b"\xff\0", b"\xff") if unsynchronised else body
    return version, flags, plain, frames_of(plain, extended_header(plain, version, flags), version)[0]


def is_text(content: bytes) -> bool:
    """Whether the content of a text frame can be decoded as its first byte says."""
    coding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(content[0]) if content else "latin-1"
    if coding is None:
        return False
    # Of UTF-16 an odd byte may be left over at the end.
    text = (
        content[1:] if coding in ("latin-1", "utf-8") else content[1 : len(content) - (len(content) + 1) % 2]
    )
    try:
        text.decode(coding)
    except UnicodeDecodeError:
        return False
    return True


def stored_name(name: str, version: int) -> bytes:
    """The name of a text's frame in a tag of this version: 2.2 left out the last letter of these."""
    return name.encode() if version > 2 else name[:3].encode()


def refuse_bombs(tag: bytes) -> None:
    """Look for what would take a reader gigabytes or hours: a thousandth of it in zlib, or a million frames
    or values of a text, which mutagen cuts off what is left one by one.

    Raises
    ------
    UnsafeError
        There is such a thing in the tag.
    """
    try:
        version, flags, plain, frames = _walked(tag)
    except UnsafeError:  # damaged: it is not going to be written, and who reads it has a time limit
        return
    if len(frames) > _MOST_FRAMES:
        raise UnsafeError("its ID3 tag has thousands of frames")
    for frame in frames:
        content = content_of(plain, frame, version, flags)
        mark = b"\0\0" if content[:1] in (b"\1", b"\2") else b"\0"
        if frame.name[:1] in b"TI" and content.count(mark) > _MOST_VALUES:
            raise UnsafeError("a text in its ID3 tag has thousands of values")


def content_of(plain: bytes, frame: Frame, version: int, flags: int) -> bytes:
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


def opened(tag: bytes) -> tuple[int, int, bytes, bool]:
    """Version, flags and body of a tag, and whether the body as a whole is unsynchronised."""
    length = id3v2_length(tag)
    if not length or not 2 <= tag[3] <= 4:
        raise UnsafeError("its ID3 tag is of an unknown version")
    if length > len(tag):
        raise UnsafeError("its ID3 tag is cut off")
    version, flags = tag[3], tag[5]
    # Version 2.4 applies unsynchronisation inside each frame: there the sizes are those of the bytes stored.
    return version, flags, tag[10 : 10 + synchsafe(tag[6:10])], bool(flags & 0x80) and version < 4


def stored_at(offset: int, stuffing: list[int]) -> int:
    """Where a byte of the plain tag is in the unsynchronised one, whose stuffed pairs begin at `stuffing`."""
    plain = [at - number for number, at in enumerate(stuffing)]
    return offset + bisect_left(plain, offset)


def extended_header(plain: bytes, version: int, flags: int) -> int:
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


def frames_of(plain: bytes, start: int, version: int) -> tuple[list[Frame], bool]:
    """The frames in order, and whether their sizes are plain numbers (in v2.4 only by old iTunes)."""
    if version != 4:
        return _walk(plain, start, version, plain_sizes=True)[0], True
    walks = [_walk(plain, start, version, plain_sizes=kind) for kind in (False, True)]
    for kind, (frames, clean) in enumerate(walks):
        if clean or (clean is False and walks[0] == walks[1]):
            return frames, bool(kind)
    raise UnsafeError("its ID3 tag is damaged: the sizes of its frames lead nowhere")


def _walk(plain: bytes, start: int, version: int, *, plain_sizes: bool) -> tuple[list[Frame], bool | None]:
    """Frames up to the padding; the flag tells whether nothing but frames and padding was met, and is None
    where a frame's size cannot be right: readers differ on what follows it."""
    head, name_length = (6, 3) if version == 2 else (10, 4)
    frames: list[Frame] = []
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
        frames.append(Frame(name, start, end))
        start = end
    return frames, not plain[start:].strip(b"\0")
