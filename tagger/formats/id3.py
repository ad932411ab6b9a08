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
from collections.abc import Sequence
from dataclasses import dataclass

from tagger.formats.containers import id3v2_length, synchsafe
from tagger.formats.id3_frames import (
    Frame,
    UnsafeError,
    content_of,
    extended_header,
    frames_of,
    is_text,
    opened,
    stored_at,
    stored_name,
)
from tagger.formats.names import ID3_NAMES
from tagger.tracks import ExtraChange


@dataclass(frozen=True, slots=True)
class _Field:
    """A text to set: the frame, by its name in versions 2.3 and 2.4, and the description of a TXXX frame."""

    name: str
    description: str
    values: tuple[str, ...]


_MAX_SIZE = (1 << 28) - 1


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
    version, flags, body, unsynchronised = opened(tag)
    stuffing = [match.start() for match in re.finditer(rb"\xff\0", body)] if unsynchronised else []
    plain = body.replace(b"\xff\0", b"\xff") if unsynchronised else body
    first = extended_header(plain, version, flags)
    frames, plain_sizes = frames_of(plain, first, version)
    behind = frames[-1].end if frames else first
    empty_behind = not plain[behind:].strip(b"\0")
    if not plain or (not frames and not empty_behind):
        raise UnsafeError("its ID3 tag has no frame that can be read")

    name = stored_name(field.name, version)
    if name in plain[behind:]:  # some readers find the next frame there, others stop before it
        raise UnsafeError("its ID3 tag is damaged: its frames are interrupted by bytes that are none")
    old = [
        frame for frame in frames if frame.name == name and _is_called(field, plain, frame, version, flags)
    ]
    if not all(is_text(content_of(plain, frame, version, flags)) for frame in old):
        raise UnsafeError(
            f"its ID3 frame {field.name} is not the text it claims to be, and could not be put back"
        )
    former = plain[old[0].start + (6 if version == 2 else 10) : old[0].end] if old else b""
    new = _text_frame(field, version, plain_sizes=plain_sizes, like=former) if field.values else b""
    if unsynchronised:
        new = re.sub(rb"\xff(?=[\xe0-\xff\0])", b"\xff\0", new)
    if not field.values and len(old) == len(frames) and empty_behind:
        return b""
    spots = old or [Frame(name, behind, behind)]
    for number, spot in reversed(list(enumerate(spots))):
        start, end = (stored_at(offset, stuffing) for offset in (spot.start, spot.end))
        body = body[:start] + (new if number == 0 else b"") + body[end:]
    if len(body) > _MAX_SIZE:
        raise UnsafeError("its ID3 tag would become larger than ID3 allows")
    head = tag[:6] + to_synchsafe(len(body))
    footer = tag[10 + synchsafe(tag[6:10]) : length]
    if footer and footer[:3] != b"3DI":  # the flag is damage, and these bytes are audio
        raise UnsafeError("its ID3 tag claims a footer that is not there")
    return head + body + (b"3DI" + head[3:] if footer else b"")


def _is_called(field: _Field, plain: bytes, frame: Frame, version: int, flags: int) -> bool:
    """Whether a frame has the field's description, in any case of the letters; true where that has none."""
    if not field.description:
        return True
    text = content_of(plain, frame, version, flags)
    if text[:1] in (b"\1", b"\2"):
        end = next((at for at in range(1, len(text), 2) if text[at : at + 2] == b"\0\0"), len(text))
        description = text[1:end].decode("utf-16" if text[:1] == b"\1" else "utf-16-be", "replace")
    else:
        description = (
            text[1:].partition(b"\0")[0].decode("utf-8" if text[:1] == b"\3" else "latin-1", "replace")
        )
    return description.casefold() == field.description.casefold()


def to_synchsafe(number: int) -> bytes:
    """A number below 2**28 in four bytes of 7 bits each."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


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
    name = stored_name(field.name, version)
    if version == 2:
        return name + len(content).to_bytes(3, "big") + content
    size = len(content).to_bytes(4, "big") if plain_sizes else to_synchsafe(len(content))
    return name + size + b"\0\0" + content
