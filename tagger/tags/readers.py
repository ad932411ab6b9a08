"""Reading the tags of each container with mutagen, which is met here and in `tagger.tags.states` alone.

A reader finds the genre and the extra fields apart, and all the rest as something to hash: so whoever proves
an edit sees whether anything else has changed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TCON
from mutagen.mp4 import MP4, AtomDataType
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis

from tagger.files import read_at
from tagger.formats import splice
from tagger.formats.containers import Extent, Layout, iff_chunks
from tagger.formats.fields import VENDOR, ape_has_items
from tagger.formats.id3_frames import refuse_bombs, unreadable_texts
from tagger.formats.mp4 import GNRE, mp4_genre, mp4_ilst, without_end_of_udta
from tagger.formats.names import ASF_NAMES, ASF_TAGS, ID3_TAGS, MP4_TAGS, PLAIN_TAGS, tag_called
from tagger.formats.reading import Found, Window, cleaned, decoded, grouped
from tagger.tags.states import readable
from tagger.tracks import ONLY_ID3V1, ExtraTag

# ID3


def _id3_tag(file: BinaryIO, extent: Extent | None, found: Found) -> None:
    if extent is None:
        return
    stored = splice.read_extent(file, extent)
    refuse_bombs(stored)
    # As it is: neither translated to another version nor mixed with ID3v1.
    tag = ID3(Window(file, extent), translate=False, load_v1=False)
    values = [text for frame in tag.getall("TCON") for text in frame.text]
    while values and not values[-1]:  # what a NUL at the end makes
        values.pop()
    # What mutagen passes over is there all the same, and is not to be written over.
    passed_over = unreadable_texts(stored, "TCON", "TBPM")
    values += passed_over["TCON"]
    found.values, found.genres = tuple(values), readable(values)
    texts = {key: frame.text for key, frame in tag.items() if key[0] == "T" and hasattr(frame, "text")}
    found.fill_from(texts, title="TIT2", artist="TPE1 TPE2", album="TALB", date="TDRC TYER TDRL TDOR")
    for key, frame in tag.items():
        if extra := tag_called(key, ID3_TAGS):
            found.extra(extra, _without_last_nul(frame.text))
    if passed_over["TBPM"] or any(frame.startswith((b"TBPM", b"TBP")) for frame in tag.unknown_frames):
        found.extras[ExtraTag.TEMPO] = None
    others = [frame for key, frame in tag.items() if key != "TCON" and not tag_called(key, ID3_TAGS)]
    if others or tag.unknown_frames:  # a tag with nothing but the genre (and extra fields) comes and goes
        found.others += [tag.version, tag.f_unsynch, others, tag.unknown_frames]


def _without_last_nul(texts: list[str]) -> list[str]:
    return texts[:-1] if len(texts) > 1 and not texts[-1] else texts


def leading_id3(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    _id3_tag(file, where.id3v2, found)
    _id3v1_tag(file, where, found)
    in_ape: tuple[str, ...] = ()
    if where.trailer.ape is not None:
        in_ape = cleaned(_ape_beside(file, where.trailer.ape, found))
    if where.id3v2 is None and where.trailer.id3v1 is not None and not in_ape:
        # An APE tag that says nothing of the genre (of loudness, say) takes nothing from ID3v1's word on it.
        found.values = (ONLY_ID3V1 + "".join(found.genres),)
    found.secondary("an APEv2 tag", in_ape)
    for extent in where.further_id3v2:
        found.secondary("another ID3 tag", _further_id3(file, extent))
    return found


def _further_id3(file: BinaryIO, extent: Extent) -> tuple[str, ...]:
    """Genres of an ID3 tag that is never written to, none where it cannot be read."""
    found = Found()
    with suppress(Exception):  # mutagen raises anything where a tag is damaged; only the first must be whole
        _id3_tag(file, extent, found)
    return found.genres


def _ape_beside(file: BinaryIO, extent: Extent, found: Found) -> tuple[str, ...]:
    """Genres of an APE tag that is never written to, so that it may be damaged."""
    try:
        return _ape_tag(file, extent, found, beside=True)
    except Exception:
        stored = splice.read_extent(file, extent)
        if b"genre" in stored.lower():  # it says one, and who knows which
            raise
        found.others.append(stored)
        return ()


def _id3v1_tag(file: BinaryIO, where: Layout, found: Found) -> None:
    if where.trailer.id3v1 is not None:
        found.id3v1_texts(read_at(file, where.trailer.id3v1, 128))
        if not found.genres and found.id3v1 is not None and found.id3v1 < len(TCON.GENRES):
            found.genres = (TCON.GENRES[found.id3v1],)


def id3_chunk(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    chunk = splice.id3_chunk_of(file, where)
    _id3_tag(file, (chunk.content, chunk.end) if chunk else None, found)
    for item in iff_chunks(file, *where.body):
        if item == chunk or item.kind in (b"data", b"SSND", b"ds64"):
            continue
        if item.kind.upper() == b"ID3 ":
            found.secondary("another ID3 tag", _further_id3(file, (item.content, item.end)))
        content = splice.read_extent(file, (item.content, item.end))
        if item.kind == b"LIST" and content[:4] == b"INFO":
            found.riff_info(content[4:])
            continue
        if item.kind in (b"NAME", b"AUTH"):
            found.fill({"title" if item.kind == b"NAME" else "artist": decoded(content)})
        found.others += [item.kind, content]
    return found


def dsf(file: BinaryIO, where: Layout) -> Found:
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
        others = []
        for key, value in pairs:
            if extra := tag_called(key, PLAIN_TAGS):
                found.extra(extra, [value])
            elif key.upper() != "GENRE":
                others.append((key, value))
        blocks = [block for block in getattr(tagged, "metadata_blocks", ()) if block is not tagged.tags]
        found.others = [
            # A block that this program made comes and goes with the genre.
            "" if getattr(tagged.tags, "vendor", "") in ("", VENDOR) else tagged.tags.vendor,
            others,
            [(block.code, block.write()) for block in blocks],
        ]
        return found

    return read


flac, ogg_flac = _vorbis(FLAC), _vorbis(OggFLAC)
ogg_vorbis, ogg_opus, ogg_speex = _vorbis(OggVorbis), _vorbis(OggOpus), _vorbis(OggSpeex)


def ape(file: BinaryIO, where: Layout) -> Found:
    found = Found()
    if where.trailer.ape is not None:
        found.values = _ape_tag(file, where.trailer.ape, found)
        found.genres = cleaned(found.values)
    _id3v1_tag(file, where, found)
    if where.trailer.id3v1 is not None and where.trailer.ape is None and where.id3v2 is None:
        found.values = (ONLY_ID3V1 + "".join(found.genres),)
    return found


def _ape_tag(file: BinaryIO, extent: Extent, found: Found, *, beside: bool = False) -> tuple[str, ...]:
    """Read an APE tag; returns its genres as they are stored.

    `beside`: another tag is the one that is written to. A tempo that is here must then not be given there.
    """
    if not ape_has_items(splice.read_extent(file, extent)):  # which mutagen takes for no tag at all
        return ()
    tag = APEv2(Window(file, extent))
    lists = {key.lower(): list(value) for key, value in tag.items() if value.kind == 0}
    found.fill_from(lists, title="title", artist="artist", album="album", date="year date")
    for key, value in tag.items():
        extra = tag_called(key, PLAIN_TAGS)
        if beside and extra is ExtraTag.TEMPO:
            found.extras.setdefault(extra, None)
        elif extra and not beside:
            found.extra(extra, lists.get(key.lower(), ()))
            if value.kind == 0:
                continue
            found.extras[extra] = None
        if key.lower() != "genre":
            found.others.append((key, value.kind, value.value))
    return tuple(lists.get("genre", ()))


def mp4(file: BinaryIO, where: Layout) -> Found:
    plain = without_end_of_udta(file, where)
    tags: Any = MP4(Window(file, where.body) if plain is None else io.BytesIO(plain)).tags or {}
    found = Found()
    texts = {key: value for key, value in tags.items() if key.startswith("\xa9")}
    found.fill_from(texts, title="\xa9nam", artist="\xa9ART", album="\xa9alb", date="\xa9day")
    # mutagen makes one of ©gen and gnre, which undo must be able to tell apart.
    ilst, _ = mp4_ilst(file, where)
    if ilst is not None:
        names, number = mp4_genre(splice.read_extent(file, (ilst.content, ilst.end)))
        numbers = () if number is None else (f"{GNRE}{number}",)
        found.values, found.genres = numbers + names, cleaned(names) or readable(numbers)
    others = []
    for key, value in tags.items():
        extra = tag_called(key, MP4_TAGS)
        values = [] if extra is None else _mp4_texts(value)
        if extra is not None and values is not None:
            found.extra(extra, values)
        elif key != "\xa9gen":
            others.append((key, value))
            found.extras |= {} if extra is None else {extra: None}
    failed = getattr(tags, "_failed_atoms", {})
    found.extras |= {extra: None for key in failed if (extra := tag_called(key, MP4_TAGS))}
    found.others = [others, failed]
    return found


def _mp4_texts(values: list[Any]) -> list[str] | None:
    """Numbers, or free texts; None where one is neither."""
    if any(getattr(value, "dataformat", AtomDataType.UTF8) != AtomDataType.UTF8 for value in values):
        return None
    return [bytes(value).decode() if isinstance(value, bytes) else str(value) for value in values]


def asf(file: BinaryIO, where: Layout) -> Found:
    pairs = list(ASF(Window(file, where.body)).tags or [])
    lists = grouped((key, value.value) for key, value in pairs if isinstance(value.value, str))
    found = Found(values=tuple(lists.get("wm/genre", ())))
    found.genres = cleaned(found.values)
    found.fill_from(lists, title="title", artist="author", album="wm/albumtitle", date="wm/year date")
    others = []
    for key, value in pairs:
        extra = tag_called(key, ASF_TAGS)
        if extra and key == ASF_NAMES[extra] and isinstance(value.value, str):
            found.extra(extra, [value.value])
        elif key != "WM/Genre":
            others.append((key, value))
            found.extras |= {extra: None} if extra else {}
    found.others = [others]
    return found
