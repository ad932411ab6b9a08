"""What a file says about itself, and how its genre is set: one row of a table per container.

mutagen reads; it never writes here, because it edits in place, reorders and respells what it does not need
to touch, and drops what it cannot parse. The writing functions (`tagger.formats.splice` and its kin) splice
the new genre into the bytes of the old tag. So whoever proves an edit (`tagger.replace`) reads it back with
another parser than the one that wrote it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from tagger.errors import UnknownKindError
from tagger.files import open_regular
from tagger.formats import asf, mp4, ogg, splice
from tagger.formats.containers import Layout, layout
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.reading import Found, feed, guarded
from tagger.tags import readers
from tagger.tags.states import genre_state
from tagger.tracks import ExtraChange, FileTags, GenreState, display

__all__ = ["CONTAINERS", "edit_genre", "examine", "genre_state", "read_tags"]


def read_tags(path: bytes) -> FileTags:
    """Read a file's tags.

    Raises
    ------
    TagError
        The file cannot be read, is no audio file known here, or its tags are damaged.
    """
    with guarded(path, "read its tags"), open_regular(path) as file:
        return examine(file, path)[0]


def examine(file: BinaryIO, named: bytes) -> tuple[FileTags, bytes]:
    """The tags of an open file, and 16 bytes over all that they say but for the genre and the extra fields.

    Raises
    ------
    TagError
        As `read_tags`, naming the file `named`.
    """
    with guarded(named, "read its tags"):
        where = layout(file)
        row = CONTAINERS.get(where.container)
        if row is None:
            raise UnknownKindError(f"{display(named)}: not a kind of audio file whose tags are known here")
        found = row.read(file, where)
        digest = hashlib.blake2b(where.container.encode(), digest_size=16)
        feed(digest, found.others)
        year = re.search(r"\b(\d{4})\b", found.date)
        tags = FileTags(
            container=where.container,
            state=GenreState(found.values, found.id3v1),
            genres=found.genres,
            title=found.title,
            artist=found.artist,
            album=found.album,
            year=int(year[1]) if year else None,
            note=found.note,
            extras=found.extras,
        )
        return tags, digest.digest()


def edit_genre(file: BinaryIO, after: GenreState, named: bytes, extras: Sequence[ExtraChange] = ()) -> None:
    """Set the genre and extra fields in an open file. Neither atomic nor with a way back: for copies only.

    Raises
    ------
    RefusedError
        The file is damaged, or of a kind whose tags cannot be changed in part; it names the file `named`.
    TagError
        It cannot be read or written.
    """
    with guarded(named, "set its genre"):
        where = layout(file)
        row = CONTAINERS.get(where.container)
        if row is None or row.edit is None:
            raise UnsafeError("it is of a kind without a place for a genre that other programs would find")
        splice.apply(file, row.edit(file, where, after, extras))
        file.flush()


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file: how its tags are read and how its genre is set (`edit` is None where it cannot be)."""

    read: Callable[[BinaryIO, Layout], Found]
    edit: Callable[[BinaryIO, Layout, GenreState, Sequence[ExtraChange]], list[splice.Patch]] | None


CONTAINERS: dict[str, Container] = {
    "mp3": Container(readers.leading_id3, splice.leading_id3),
    "aac": Container(readers.leading_id3, None),
    "tta": Container(readers.leading_id3, splice.leading_id3),
    "flac": Container(readers.flac, splice.flac),
    "ogg-vorbis": Container(readers.ogg_vorbis, ogg.ogg),
    "ogg-opus": Container(readers.ogg_opus, ogg.ogg),
    "ogg-flac": Container(readers.ogg_flac, ogg.ogg),
    "ogg-speex": Container(readers.ogg_speex, ogg.ogg),
    "mp4": Container(readers.mp4, mp4.mp4),
    "wav": Container(readers.id3_chunk, splice.id3_chunk),
    "aiff": Container(readers.id3_chunk, splice.id3_chunk),
    "dsf": Container(readers.dsf, splice.dsf),
    "wma": Container(readers.asf, asf.asf),
    "ape": Container(readers.ape, splice.trailing_ape),
    "wv": Container(readers.ape, splice.trailing_ape),
    "mpc": Container(readers.ape, splice.trailing_ape),
}
"""Container, as `tagger.formats.containers.layout` names it, to what can be done with it."""
