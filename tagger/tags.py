"""What a file says about itself, and how its genre is set: one row of a table per container.

mutagen reads; it never writes here, because it edits in place, reorders and respells what it does not need
to touch, and drops what it cannot parse. The writing functions (`tagger.formats.splice` and its kin) splice
the new genre into the bytes of the old tag. So whoever proves an edit (`tagger.replace`) reads it back with
another parser than the one that wrote it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TCON
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis

from tagger.errors import TagError
from tagger.files import open_regular, read_at
from tagger.formats import asf, mp4, ogg, splice
from tagger.formats.containers import Extent, Layout, iff_chunks, layout
from tagger.formats.id3 import UnsafeError, refuse_bombs
from tagger.formats.reading import Found, Window, cleaned, decoded, feed, grouped, guarded
from tagger.tracks import IGNR, ONLY_ID3V1, FileTags, GenreState, display

_NO_ID3V1_GENRE = 255


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
    """The tags of an open file, and 16 bytes over everything that they say but for the genre.

    Raises
    ------
    TagError
        As `read_tags`, naming the file `named`.
    """
    with guarded(named, "read its tags"):
        where = layout(file)
        row = CONTAINERS.get(where.container)
        if row is None:
            raise TagError(f"{display(named)}: not a kind of audio file whose tags are known here")
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
        )
        return tags, digest.digest()


def edit_genre(file: BinaryIO, after: GenreState, named: bytes) -> None:
    """Set the genre in an open file, in place. Neither atomic nor with a way back: for copies only.

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
        splice.apply(file, row.edit(file, where, after))
        file.flush()


def genre_state(names: Sequence[str], *, like: GenreState) -> GenreState:
    """The state in which a file has these genres, where it is in the state `like` now.

    Parameters
    ----------
    names : sequence of str
        Names, or values of `like` that are to stay.
    like : GenreState
        The file's present state. Where it has an ID3v1 tag, that gets the number of the first name, or "none"
        (255) if it has no number for it; where a RIFF INFO list holds a genre, that becomes the first name.
        Where ID3v1 is all it has, the number alone is set if there is one for a single name.
    """
    if like.values and like.values[0].startswith(ONLY_ID3V1):
        return _only_id3v1(names)
    marks = (mp4.GNRE, IGNR)
    values = [name for name in names if not name.startswith(marks)]
    if len(values) == len(names) - 1 and not [value for value in like.values if not value.startswith(marks)]:
        # The only genre it had stood in a place that cannot hold another beside it: it is spelled out.
        (mark,) = (name for name in names if name.startswith(marks))
        values = [*_readable([mark.removeprefix(IGNR)]), *values]
    number = None if like.id3v1 is None else _id3v1_number("".join(_readable(values[:1])))
    if values and any(value.startswith(IGNR) for value in like.values):
        values.insert(0, IGNR + values[0])
    return GenreState(tuple(values), number)


def _only_id3v1(names: Sequence[str]) -> GenreState:
    wanted = tuple(dict.fromkeys(filter(None, (name.removeprefix(ONLY_ID3V1) for name in names))))
    number = _id3v1_number(wanted[0]) if len(wanted) == 1 else _NO_ID3V1_GENRE
    fits = not wanted or number != _NO_ID3V1_GENRE  # else `tagger.formats.splice` will refuse it
    return GenreState((ONLY_ID3V1 + "".join(wanted),) if fits else wanted, number)


def _id3v1_number(name: str) -> int:
    numbers = {genre.casefold(): number for number, genre in enumerate(TCON.GENRES)}
    return numbers.get(name.casefold(), _NO_ID3V1_GENRE)


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file: how its tags are read and how its genre is set (`edit` is None where it cannot be)."""

    read: Callable[[BinaryIO, Layout], Found]
    edit: Callable[[BinaryIO, Layout, GenreState], list[splice.Patch]] | None


# ID3


def _id3_tag(file: BinaryIO, extent: Extent | None, found: Found) -> None:
    if extent is None:
        return
    refuse_bombs(splice.read_extent(file, extent))
    # As it is: neither translated to another version nor mixed with ID3v1.
    tag = ID3(Window(file, extent), translate=False, load_v1=False)
    values = [text for frame in tag.getall("TCON") for text in frame.text]
    while values and not values[-1]:  # what a NUL at the end makes
        values.pop()
    found.values, found.genres = tuple(values), _readable(values)
    texts = {key: frame.text for key, frame in tag.items() if key[0] == "T" and hasattr(frame, "text")}
    found.fill_from(texts, title="TIT2", artist="TPE1 TPE2", album="TALB", date="TDRC TYER TDRL TDOR")
    others = [frame for key, frame in tag.items() if key != "TCON"]
    if others or tag.unknown_frames:  # a tag with nothing but the genre comes and goes with it
        found.others += [tag.version, tag.f_unsynch, others, tag.unknown_frames]


def _leading_id3(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    _id3_tag(file, where.id3v2, found)
    _id3v1_tag(file, where, found)
    if where.trailer.ape is not None:
        found.secondary("an APEv2 tag", cleaned(_ape_tag(file, where.trailer.ape, found)))
    return found


def _id3v1_tag(file: BinaryIO, where: Layout, found: Found) -> None:
    if where.trailer.id3v1 is not None:
        found.id3v1_texts(read_at(file, where.trailer.id3v1, 128))
        if not found.genres and found.id3v1 is not None and found.id3v1 < len(TCON.GENRES):
            found.genres = (TCON.GENRES[found.id3v1],)
        if where.id3v2 is None and where.trailer.ape is None:
            found.values = (ONLY_ID3V1 + "".join(found.genres),)


def _id3_chunk(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    chunk = splice.id3_chunk_of(file, where)
    _id3_tag(file, (chunk.content, chunk.end) if chunk else None, found)
    for item in iff_chunks(file, *where.body):
        if item == chunk or item.kind in (b"data", b"SSND", b"ds64"):
            continue
        content = splice.read_extent(file, (item.content, item.end))
        if item.kind == b"LIST" and content[:4] == b"INFO":
            found.riff_info(content[4:])
            continue
        if item.kind in (b"NAME", b"AUTH"):
            found.fill({"title" if item.kind == b"NAME" else "artist": decoded(content)})
        found.others += [item.kind, content]
    return found


def _dsf(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    _id3_tag(file, splice.dsf_tag(file, where), found)
    return found


# Vorbis comments, APE, MP4, ASF


def _vorbis(kind: Callable[[io.RawIOBase], Any]) -> Callable[[BinaryIO, Layout], Found]:
    def read(file: BinaryIO, where: Layout) -> Found:
        tagged = kind(Window(file, where.body))
        pairs = list(tagged.tags or [])
        found = Found()
        found.fill_from(grouped(pairs), title="title", artist="artist", album="album", date="date year")
        found.values = tuple(value for key, value in pairs if key.upper() == "GENRE")
        found.genres = cleaned(found.values)
        blocks = [block for block in getattr(tagged, "metadata_blocks", ()) if block is not tagged.tags]
        found.others = [
            getattr(tagged.tags, "vendor", ""),
            [pair for pair in pairs if pair[0].upper() != "GENRE"],
            [(block.code, block.write()) for block in blocks],
        ]
        return found

    return read


def _ape(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    if where.trailer.ape is not None:
        found.values = _ape_tag(file, where.trailer.ape, found)
        found.genres = cleaned(found.values)
    _id3v1_tag(file, where, found)
    return found


def _ape_tag(file: BinaryIO, extent: Extent, found: Found) -> tuple[str, ...]:
    """Read an APE tag; returns its genres as they are stored."""
    tag = APEv2(Window(file, extent))
    lists = {key.lower(): list(value) for key, value in tag.items() if value.kind == 0}
    found.fill_from(lists, title="title", artist="artist", album="album", date="year date")
    others = [(key, value.kind, value.value) for key, value in tag.items() if key.lower() != "genre"]
    found.others += others
    return tuple(lists.get("genre", ()))


def _mp4(file: BinaryIO, where: Layout) -> Found:
    tags: Any = MP4(Window(file, where.body)).tags or {}
    found = Found()
    texts = {key: value for key, value in tags.items() if key.startswith("\xa9")}
    found.fill_from(texts, title="\xa9nam", artist="\xa9ART", album="\xa9alb", date="\xa9day")
    # mutagen makes one of ©gen and gnre, which undo must be able to tell apart.
    ilst, _ = mp4.mp4_ilst(file, where)
    if ilst is not None:
        names, number = mp4.mp4_genre(splice.read_extent(file, (ilst.content, ilst.end)))
        numbers = () if number is None else (f"{mp4.GNRE}{number}",)
        found.values, found.genres = numbers + names, cleaned(names) or _readable(numbers)
    others = [(key, value) for key, value in tags.items() if key != "\xa9gen"]
    found.others = [others, getattr(tags, "_failed_atoms", {})]
    return found


def _asf(file: BinaryIO, where: Layout) -> Found:
    pairs = list(ASF(Window(file, where.body)).tags or [])
    lists = grouped((key, value.value) for key, value in pairs if isinstance(value.value, str))
    found = Found(values=tuple(lists.get("wm/genre", ())))
    found.genres = cleaned(found.values)
    found.fill_from(lists, title="title", artist="author", album="wm/albumtitle", date="wm/year date")
    found.others = [[pair for pair in pairs if pair[0] != "WM/Genre"]]
    return found


def _readable(values: Iterable[str]) -> tuple[str, ...]:
    """Names for stored values: ``"(17)"``, ``"17"`` and ``"gnre:18"`` are Rock, ``"RX"`` is Remix."""
    plain = [
        str(int(value[len(mp4.GNRE) :]) - 1) if value.startswith(mp4.GNRE) else value for value in values
    ]
    return tuple(dict.fromkeys(cleaned(name for name in TCON(text=plain).genres if name != "Unknown")))


CONTAINERS: dict[str, Container] = {
    "mp3": Container(_leading_id3, splice.leading_id3),
    "aac": Container(_leading_id3, None),
    "tta": Container(_leading_id3, splice.leading_id3),
    "flac": Container(_vorbis(FLAC), splice.flac),
    "ogg-vorbis": Container(_vorbis(OggVorbis), ogg.ogg),
    "ogg-opus": Container(_vorbis(OggOpus), ogg.ogg),
    "ogg-flac": Container(_vorbis(OggFLAC), ogg.ogg),
    "ogg-speex": Container(_vorbis(OggSpeex), ogg.ogg),
    "mp4": Container(_mp4, mp4.mp4),
    "wav": Container(_id3_chunk, splice.id3_chunk),
    "aiff": Container(_id3_chunk, splice.id3_chunk),
    "dsf": Container(_dsf, splice.dsf),
    "wma": Container(_asf, asf.asf),
    "ape": Container(_ape, splice.trailing_ape),
    "wv": Container(_ape, splice.trailing_ape),
    "mpc": Container(_ape, splice.trailing_ape),
}
"""Container, as `tagger.formats.containers.layout` names it, to what can be done with it."""
