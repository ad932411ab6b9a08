"""Reading tags, and setting the genre without touching anything else (R10, R11, R13, R16)."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen import id3 as m
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from tinytag import TinyTag

from tagger.errors import RefusedError, TagError, TaggerError
from tagger.extras import plan_extras, taken_back
from tagger.files import read_at
from tagger.formats.containers import layout
from tagger.formats.digest import audio_digest
from tagger.formats.fields import new_ape_tag, new_vorbis_comment, set_ape_genre, set_vorbis_genre
from tagger.formats.id3 import new_tag, set_genre, to_synchsafe
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.mp4 import box, mp4_genre, set_mp4_genre
from tagger.formats.splice import Patch, apply
from tagger.tags import CONTAINERS, edit_genre, examine, genre_state, read_tags
from tagger.tracks import ONLY_ID3V1, ExtraChange, ExtraTag, GenreState, TagEdit
from tests import media

TAGGABLE = [name for name in media.CONTAINERS if name != "aac"]
TAGS = {"title": "Title", "artist": "Artist", "album": "Album", "genre": "Old Genre", "date": "1999"}
EXTRAS = dict(zip(ExtraTag, ("0.87", "my höad@1 on eleven@1", "0.1.0", "128"), strict=True))
NEW: tuple[str, ...] = ("Hip-Hop", "Drum & Bass", "Zouk béton")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A fresh copy of a one-second file; every kind is encoded once."""
    folder = tmp_path_factory.mktemp("originals")
    numbers = iter(range(10**6))

    def copy(name: str, tagged: bool = False) -> Path:
        original = folder / f"{name}-{tagged}.{media.CONTAINERS[name].suffix}"
        if not original.exists():
            media.make(original, name, seconds=1.0, tags=TAGS if tagged else {})
        return Path(shutil.copy(original, folder / f"copy{next(numbers)}{original.suffix}"))

    return copy


def state_of(path: Path) -> GenreState:
    return read_tags(os.fsencode(path)).state


def set_state(path: Path, after: GenreState, extras: Sequence[ExtraChange] = ()) -> None:
    with path.open("r+b") as file:
        edit_genre(file, after, os.fsencode(path), extras)


def others_in(path: Path) -> bytes:
    with path.open("rb") as file:
        return examine(file, os.fsencode(path))[1]


def set_names(path: Path, *names: str) -> GenreState:
    after = genre_state(names, like=state_of(path))
    set_state(path, after)
    assert state_of(path) == after
    assert read_tags(os.fsencode(path)).genres == names
    return after


def pcm(path: Path) -> bytes:
    with path.open("rb") as file, av.open(file) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def check_only_the_genre_changes(path: Path, look: Callable[[Path], object], *, exact: bool = True) -> None:
    """Set several genres, then one, then what was there: `look` must see the same throughout.

    The bytes come back too, unless genres were scattered over the tag, or coded as other names cannot be.
    Then all of it again with the extra fields, which `look` may see until they are taken out.
    """
    before_bytes, before, seen = path.read_bytes(), state_of(path), look(path)
    digest = audio_digest(os.fsencode(path))
    for names in (NEW, ("Rock",)):
        set_names(path, *names)
        assert look(path) == seen
        assert audio_digest(os.fsencode(path)) == digest
    set_state(path, before)
    assert state_of(path) == before
    assert look(path) == seen
    assert not exact or path.read_bytes() == before_bytes, "taking it back gives back the very bytes"
    if before.values[:1] and before.values[0].startswith(ONLY_ID3V1):
        return  # which has no place for extra fields
    others, came_back = others_in(path), path.read_bytes()
    found = read_tags(os.fsencode(path)).extras or {}  # somebody's tempo
    extras = plan_extras(found, EXTRAS)
    for names in (NEW, ("Rock",)):
        after = genre_state(names, like=before)
        set_state(path, after, extras)
        tags = read_tags(os.fsencode(path))
        assert TagEdit(before, after, extras).is_done(tags)
        assert others_in(path) == others
        assert audio_digest(os.fsencode(path)) == digest
        back = taken_back(TagEdit(before, after, extras), tags.extras or {})
        set_state(path, after, back)
        assert read_tags(os.fsencode(path)).extras == found
        assert look(path) == seen
        set_state(path, after, extras)
    set_state(path, before, back)
    assert state_of(path) == before
    assert look(path) == seen
    assert not exact or path.read_bytes() == came_back, "taking all of it back, too"


# ---- every container -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tagged", [False, True], ids=["untagged", "tagged"])
@pytest.mark.parametrize("name", TAGGABLE)
def test_R10_R11_R13_every_container(name: str, tagged: bool, make: Callable[..., Path]) -> None:
    path = make(name, tagged)
    samples = pcm(path)

    def look(path: Path) -> object:
        assert pcm(path) == samples
        tags = read_tags(os.fsencode(path))
        return tags.container, tags.title, tags.artist, tags.album, tags.year

    assert read_tags(os.fsencode(path)).genres == (("Old Genre",) if tagged and name != "dsf-" else ())
    if tagged:
        assert look(path)[1:] == ("Title", "Artist", "Album", 1999)  # type: ignore[index]
    check_only_the_genre_changes(path, look)


@pytest.mark.parametrize("tagged", [False, True], ids=["untagged", "tagged"])
@pytest.mark.parametrize("name", [name for name in TAGGABLE if name not in ("wv", "tta", "dsf")])
def test_R16_tinytag_reads_the_genres(name: str, tagged: bool, make: Callable[..., Path]) -> None:
    path = make(name, tagged)
    set_names(path, *NEW)
    tag = TinyTag.get(path)
    assert sorted([tag.genre, *tag.other.get("genre", [])]) == sorted(NEW)  # type: ignore[list-item]
    assert not tagged or (tag.title, tag.artist, tag.album) == ("Title", "Artist", "Album")


@pytest.mark.parametrize("name", TAGGABLE)
def test_R16_ffmpeg_reads_the_genre(name: str, make: Callable[..., Path]) -> None:
    path = make(name, True)
    set_names(path, "Reggae")
    with av.open(str(path)) as container:
        found = {**container.metadata, **container.streams.audio[0].metadata}
    genres = {value for key, value in found.items() if key.lower() in ("genre", "wm/genre")}
    # ffmpeg reads no ID3 tag in DSF; TTA made by ffmpeg has an APE tag too, which is not ours to change.
    assert genres == {"dsf": {"Reggae"}, "tta": genres & {"Reggae", "Old Genre"}}.get(name, {"Reggae"})


@pytest.mark.parametrize("name", TAGGABLE)
def test_taking_the_genre_out_and_setting_none_at_all(name: str, make: Callable[..., Path]) -> None:
    path = make(name, False)
    before = path.read_bytes()
    set_state(path, state_of(path))
    assert path.read_bytes() == before
    start = state_of(path)
    set_names(path, "Jazz")
    set_state(path, start)
    assert path.read_bytes() == before


def test_raw_aac_has_no_place_for_a_genre(make: Callable[..., Path]) -> None:
    path = make("aac").rename(make("aac").with_suffix(".m4a"))
    before = path.read_bytes()
    assert read_tags(os.fsencode(path)).container == "aac"
    with pytest.raises(RefusedError, match="without a place for a genre"):
        set_state(path, GenreState(("Rock",)))
    assert path.read_bytes() == before


# ---- ID3 -----------------------------------------------------------------------------------------------


def raw_frames(tag: bytes) -> list[bytes]:
    """Frames of an ID3v2.3 or 2.4 tag but TCON, as stored, padding last. Apart from the program."""
    size = int.from_bytes(tag[6:10], "big")
    size = (size & 0x7F) | (size & 0x7F00) >> 1 | (size & 0x7F0000) >> 2 | (size & 0x7F000000) >> 3
    body, frames = tag[10 : 10 + size], [tag[:6]]
    while body[:4].strip(b"\0"):
        length = int.from_bytes(body[4:8], "big")
        if tag[3] == 4:
            length = (length & 0x7F) | (length & 0x7F00) >> 1 | (length & 0x7F0000) >> 2
        frame, body = body[: 10 + length], body[10 + length :]
        if frame[:4] != b"TCON":
            frames.append(frame)
    return [*frames, body]


def rich_frames(version: int) -> list[m.Frame]:
    frames: list[m.Frame] = [
        m.POPM(email="a@b.c", rating=196, count=7),
        m.PRIV(owner="WM/Provider", data=b"\0\1\2\xff"),
        m.GEOB(encoding=0, mime="x/y", filename="f", desc="d", data=bytes(range(256))),
        m.APIC(encoding=0, mime="image/jpeg", type=3, desc="front", data=b"\xff\xd8\xff\xe0" * 999),
        m.APIC(encoding=1, mime="image/png", type=4, desc="back ü", data=b"\x89PNG\xff\0\xff"),
        m.TXXX(encoding=1, desc="MusicBrainz Album Id", text=["x", "y"]),
        m.TXXX(encoding=0, desc="GENRE", text=["not the genre frame"]),
        m.USLT(encoding=1, lang="deu", desc="", text="Zeile ä\nZeile"),
        m.COMM(encoding=0, lang="eng", desc="", text=["comment"]),
        m.COMM(encoding=0, lang="eng", desc="iTunNORM", text=[" 00000"]),
        m.TIT2(encoding=1, text=["Títle"]),
        m.TPE1(encoding=1, text=["One", "Two"]),
        m.UFID(owner="http://musicbrainz.org", data=b"id"),
        m.TRCK(encoding=0, text=["3/12"]),
        m.CTOC(element_id="t", flags=3, child_element_ids=["c"], sub_frames=[m.TIT2(encoding=0, text=["x"])]),
        m.CHAP(element_id="c", start_time=0, end_time=500, sub_frames=[m.TIT2(encoding=0, text=["y"])]),
    ]
    if version == 3:
        frames += [
            m.TYER(encoding=0, text=["1999"]),
            m.TDAT(encoding=0, text=["0402"]),
            m.TIME(encoding=0, text=["1530"]),
            m.TORY(encoding=0, text=["1972"]),
            m.IPLS(encoding=0, people=[["producer", "P"], ["mixer", "M"]]),
        ]
    else:
        frames += [
            m.TDRC(encoding=3, text=["1999-02-04"]),
            m.RVA2(desc="track", channel=1, gain=-3.5, peak=0.9),
        ]
    return frames


def rich_tag(version: int, genres: list[str], *, unknown: bool = True) -> bytes:
    """A tag with much in it, the genre in the middle, an unknown and a broken frame, and padding."""
    tag = m.ID3()
    frames = rich_frames(version)
    rendered = []
    for frame in [*frames[:6], *([m.TCON(encoding=1, text=genres)] if genres else []), *frames[6:]]:
        tag.clear()
        tag.add(frame)
        data = io.BytesIO()
        tag.save(data, v2_version=version, v23_sep=None, padding=lambda info: 0)
        rendered.append(data.getvalue()[10:])
    if unknown:
        rendered.insert(3, b"XYZW" + struct.pack(">IH", 5, 0) + b"\xff\0\xffab")
        rendered.append(b"TPE3" + struct.pack(">IH", 4, 0) + b"\x09bad")  # no such encoding
    body = b"".join(rendered) + bytes(300)
    return b"ID3" + bytes([version, 0, 0]) + to_synchsafe(len(body)) + body


def id3v1(genre: int) -> bytes:
    texts = b"".join(text.ljust(30, b"\0") for text in (b"V1 title", b"V1 artist", b"V1 album"))
    return b"TAG" + texts + b"1988" + b"V1 comment".ljust(28, b"\0") + b"\0\x05" + bytes([genre])


APE_BESIDE = new_ape_tag(["Stale"])


@pytest.mark.parametrize("tail", ["", "v1", "ape", "ape+v1"])
@pytest.mark.parametrize("genres", [[], ["(17)"], ["(17)(18)"], ["Two", "Of them"]], ids=str)
@pytest.mark.parametrize("version", [3, 4])
def test_R10_id3(version: int, genres: list[str], tail: str, make: Callable[..., Path]) -> None:
    path = make("mp3")
    tails = {"": b"", "v1": id3v1(17), "ape": APE_BESIDE, "ape+v1": APE_BESIDE + id3v1(255)}
    path.write_bytes(rich_tag(version, genres) + path.read_bytes() + tails[tail])

    def look(path: Path) -> object:
        data = path.read_bytes()
        tag = m.ID3(io.BytesIO(data), translate=False, load_v1=False)
        end = data[-128:-1] if "v1" in tail else b""
        return (
            raw_frames(data),
            {key: repr(frame) for key, frame in tag.items() if key != "TCON"},
            tag.version,
            end,
            data.count(APE_BESIDE),
            tag["COMM::eng"].text,
        )

    assert state_of(path).values == tuple(genres)
    check_only_the_genre_changes(path, look)


@pytest.mark.parametrize("version", [3, 4])
def test_R10_id3_the_program_under_test_keeps_what_mutagen_alone_would_not(version: int) -> None:
    """That the matrix would notice: saving the same tag with mutagen fails it."""
    tag = rich_tag(version, ["Rock"])
    loaded = m.ID3(io.BytesIO(tag), translate=False, load_v1=False)
    loaded["TCON"] = m.TCON(encoding=0, text=["Jazz"])
    data = io.BytesIO(tag)
    loaded.save(data, v2_version=version, v23_sep=None)
    assert raw_frames(data.getvalue())[:-1] != raw_frames(tag)[:-1]
    assert raw_frames(set_genre(tag, ["Jazz"])) == raw_frames(tag)


def test_R10_id3v22_is_kept(make: Callable[..., Path]) -> None:
    frames = b"".join(
        name + len(text).to_bytes(3, "big") + text
        for name, text in [
            (b"TT2", b"\0Old title"),
            (b"TCO", b"\0(9)"),
            (b"PIC", b"\0PNG\3\0\x89"),
            (b"TYE", b"\x001971"),
        ]
    )
    path = make("mp3")
    path.write_bytes(b"ID3\2\0\0" + to_synchsafe(len(frames) + 50) + frames + bytes(50) + path.read_bytes())
    tags = read_tags(os.fsencode(path))
    assert (tags.title, tags.year, tags.genres, tags.state.values) == (
        "Old title",
        1971,
        ("Metal",),
        ("(9)",),
    )
    check_only_the_genre_changes(
        path, lambda path: path.read_bytes()[:6] + path.read_bytes()[10:25], exact=False
    )


@pytest.mark.parametrize("version", [2, 3, 4])
def test_R10_id3_unsynchronised(version: int, make: Callable[..., Path]) -> None:
    """FF 00 stands for FF in the whole tag (2.2, 2.3) or in each frame (2.4)."""
    picture = b"\xff\xe0\xff\0\xff\xff\xfe" * 50
    name, size_bytes = (b"PIC", 3) if version == 2 else (b"APIC", 4)
    content = (b"\0PNG\3\0" if version == 2 else b"\0image/png\0\3\0") + picture

    def stuffed(data: bytes) -> bytes:
        return re.sub(rb"\xff(?=[\xe0-\xff\0])", b"\xff\0", data)

    def frame(name: bytes, content: bytes) -> bytes:
        stored = stuffed(content) if version == 4 else content
        size = to_synchsafe(len(stored)) if version == 4 else len(stored).to_bytes(size_bytes, "big")
        flags = {2: b"", 3: b"\0\0", 4: b"\0\2"}[version]
        return name + size + flags + stored

    title = b"\1\xff\xfe" + "ÿþTitle".encode("utf-16-le")
    body = frame(b"TT2" if version == 2 else b"TIT2", title) + frame(name, content)
    body = (body if version == 4 else stuffed(body)) + bytes(64)
    path = make("mp3")
    path.write_bytes(b"ID3" + bytes([version, 0, 0x80]) + to_synchsafe(len(body)) + body + path.read_bytes())

    def look(path: Path) -> object:
        tag = m.ID3(io.BytesIO(path.read_bytes()), load_v1=False, translate=False)
        assert tag.f_unsynch
        (found,) = tag.getall("APIC")
        assert found.data == picture
        return str(tag["TIT2"]), path.read_bytes()[:6]

    check_only_the_genre_changes(path, look)


@pytest.mark.parametrize("version", [3, 4])
def test_R10_id3_extended_header_and_footer(version: int, make: Callable[..., Path]) -> None:
    extended = b"\0\0\0\6\0\0\0\0\0\0" if version == 3 else b"\0\0\0\6\1\0"
    frames = b"".join(raw_frames(rich_tag(version, []))[1:-1])
    footer = version == 4
    body = extended + frames + (b"" if footer else bytes(20))
    head = bytes([version, 0, 0x40 | 0x10 * footer]) + to_synchsafe(len(body))
    path = make("mp3")
    path.write_bytes(b"ID3" + head + body + (b"3DI" + head if footer else b"") + path.read_bytes())

    def look(path: Path) -> object:
        data = path.read_bytes()
        tag = m.ID3(io.BytesIO(data), load_v1=False, translate=False)
        assert tag.f_extended
        if footer:
            at = data.index(b"3DI")
            assert data[at + 3 : at + 10] == data[3:10]
        return data[10 : 10 + len(extended) + len(frames)], sorted(tag)

    before = look(path)
    set_names(path, "Rock")
    data, keys = look(path)  # type: ignore[misc]
    assert data == before[0]  # type: ignore[index]
    assert [key for key in keys if key != "TCON"] == before[1]  # type: ignore[index]


def test_id3_sizes_as_old_itunes_wrote_them(make: Callable[..., Path]) -> None:
    """Version 2.4 with plain numbers for sizes, recognisable only by where they lead."""
    frames = b"".join(
        name + struct.pack(">IH", len(text), 0) + text
        for name, text in [(b"TIT2", b"\0" + b"t" * 299), (b"TCON", b"\0Pop"), (b"TALB", b"\0" + b"a" * 400)]
    )
    path = make("mp3")
    path.write_bytes(b"ID3\4\0\0" + to_synchsafe(len(frames) + 99) + frames + bytes(99) + path.read_bytes())
    assert read_tags(os.fsencode(path)).genres == ("Pop",)
    check_only_the_genre_changes(
        path, lambda path: (read_tags(os.fsencode(path)).title, path.read_bytes()[20:320]), exact=False
    )


@pytest.mark.parametrize(
    ("raw", "readable"),
    [
        (["(17)"], ("Rock",)),
        (["17"], ("Rock",)),
        (["(17)(18)"], ("Rock", "Techno")),
        (["(RX)"], ("Remix",)),
        (["CR"], ("Cover",)),
        (["(4)Eurodisco"], ("Disco", "Eurodisco")),
        (["((odd"], ("(odd",)),
        (["(17)Rock"], ("Rock",)),
        (["Rock", "Rock"], ("Rock",)),
        (["250"], ()),
        ([" Soul "], ("Soul",)),
        ([""], ()),
    ],
)
def test_R13_id3_genres_are_readable_and_come_back_as_they_were(
    raw: list[str], readable: tuple[str, ...], make: Callable[..., Path]
) -> None:
    path = make("mp3")
    path.write_bytes(rich_tag(3, raw) + path.read_bytes())
    tags = read_tags(os.fsencode(path))
    assert tags.genres == readable
    assert tags.state.values == tuple(value for value in raw if value)
    before = tags.state
    set_names(path, "Other")
    set_state(path, before)
    assert state_of(path) == before


def test_id3v1_keeps_its_bytes_but_one(make: Callable[..., Path]) -> None:
    path = make("mp3")
    path.write_bytes(rich_tag(3, ["Rock"]) + path.read_bytes() + id3v1(17))
    assert set_names(path, "Hip-Hop") == GenreState(("Hip-Hop",), 7)
    assert path.read_bytes()[-128:] == id3v1(7)
    assert set_names(path, "Zouk") == GenreState(("Zouk",), 255)
    assert path.read_bytes()[-128:] == id3v1(255)


def test_a_lone_id3v1_tag_is_read_and_not_hidden(make: Callable[..., Path]) -> None:
    path = make("mp3")
    path.write_bytes(path.read_bytes() + id3v1(17))
    with path.open("rb") as file:
        data = file.read()
    data = data[data.index(b"\xff\xfb") :]
    path.write_bytes(data)
    tags = read_tags(os.fsencode(path))
    assert (tags.title, tags.artist, tags.album, tags.year) == ("V1 title", "V1 artist", "V1 album", 1988)
    assert (tags.genres, tags.state) == (("Rock",), GenreState(("ID3v1:Rock",), 17))
    for names in (["Zouk"], ["Jazz", "Rock"], ["ID3v1:Rock", "Jazz"]):
        with pytest.raises(RefusedError, match="only an ID3v1 tag, which has no number"):
            set_state(path, genre_state(names, like=tags.state))
        assert path.read_bytes() == data


@pytest.mark.parametrize("container", ["mp3", "wv", "tta"])
@pytest.mark.parametrize(("number", "name"), [(8, "Jazz"), (255, "")])
def test_of_a_lone_id3v1_tag_one_byte_changes_and_comes_back(
    container: str, number: int, name: str, make: Callable[..., Path]
) -> None:
    path = make(container)
    with path.open("rb") as file:
        where = layout(file)
        data = read_at(file, *where.body) + id3v1(number)
    path.write_bytes(data)
    before = state_of(path)
    assert before == GenreState((f"ID3v1:{name}",), number)
    after = genre_state(["Hip-Hop"], like=before)
    set_state(path, after)
    assert state_of(path) == after == GenreState(("ID3v1:Hip-Hop",), 7)
    assert read_tags(os.fsencode(path)).genres == ("Hip-Hop",)
    assert path.read_bytes() == data[:-1] + b"\7"
    set_state(path, before)
    assert path.read_bytes() == data


def test_an_ape_tag_beside_id3_is_reported(make: Callable[..., Path]) -> None:
    path = make("mp3")
    path.write_bytes(rich_tag(3, ["Rock"]) + path.read_bytes() + new_ape_tag(["Pop"]))
    assert read_tags(os.fsencode(path)).note == "an APEv2 tag says 'Pop' beside 'Rock'"
    set_names(path, "Pop")
    assert read_tags(os.fsencode(path)).note == ""


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        (b"ID3\3\0\x40" + to_synchsafe(40) + b"\0\0\0\x0a\x80\0" + bytes(34), "checksum"),
        (b"ID3\2\0\x40" + to_synchsafe(20) + bytes(20), "compressed"),
        (b"ID3\3\0\0" + to_synchsafe(30) + b"TIT2\0\0\1\0\0\0" + b"x" * 20, "claims more bytes"),
        (b"ID3\4\0\0" + to_synchsafe(200) + b"TIT2\0\0\1\0\0\0" + b"x" * 190, "lead nowhere"),
        (b"ID3\5\0\0" + to_synchsafe(20) + b"TIT2\0\0\0\2\0\0\0t" + bytes(8), "unknown version"),
        (b"ID3\4\0\0" + to_synchsafe(300) + b"TIT2", "cut off"),
        (b"ID3\3\0\0" + to_synchsafe(10) + b"\1\2\3\4\5\6\7\x08\x09\x0a", "no frame that can be read"),
        (b"ID3\4\0\0" + to_synchsafe(0), "no frame that can be read"),
        (
            b"ID3\4\0\0" + to_synchsafe(36) + b"TIT2\0\0\0\2\0\0\3t\0\0E1\0\0\0\2\0\0\3aTCON\0\0\0\2\0\0\3b",
            "interrupted",
        ),
    ],
)
def test_id3_tags_that_cannot_be_changed_in_part_are_refused(tag: bytes, reason: str) -> None:
    with pytest.raises(UnsafeError, match=reason):
        set_genre(tag, ["Rock"])


NAMES = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
)
GENRES = st.lists(NAMES, max_size=4).map(tuple)


@settings(max_examples=120, deadline=None)
@given(
    first=GENRES, second=GENRES, model=NAMES, version=st.sampled_from([3, 4]), unsynchronised=st.booleans()
)
def test_any_names_come_back_from_id3(
    first: tuple[str, ...], second: tuple[str, ...], model: str, version: int, unsynchronised: bool
) -> None:
    there, gone = ((ExtraChange(ExtraTag.MODEL, *texts),) for texts in (((), (model,)), ((model,), ())))
    tag = rich_tag(version, [], unknown=False)
    if unsynchronised and version == 3:
        body = re.sub(rb"\xff(?=[\xe0-\xff\0])", b"\xff\0", tag[10:])
        tag = tag[:5] + b"\x80" + to_synchsafe(len(body)) + body
    for values in (first, second):
        changed = set_genre(tag, values)
        found = m.ID3(io.BytesIO(changed), translate=False, load_v1=False)
        assert [text for frame in found.getall("TCON") for text in frame.text] == list(values)
        again = set_genre(changed, ())
        assert again == tag
        with_model = set_genre(tag, values, there)
        found = m.ID3(io.BytesIO(with_model), translate=False, load_v1=False)
        assert found["TXXX:TAGGER_MODEL"].text[0] == model
        assert set_genre(with_model, values, gone) == changed
        assert set_genre(with_model, (), gone) == tag
        tag = changed if not unsynchronised else tag
        if tag is changed:
            tag = again


# ---- Vorbis comments -----------------------------------------------------------------------------------

PAIRS = [
    *[("TITLE", "Upper"), ("artist", "A"), ("Artist", "B"), ("artist", "A"), ("genre", "one")],
    *[("Comment", "c"), ("GENRE", "two"), ("ALBUM", "Ä"), ("empty", "")],
]


def with_pairs(path: Path) -> None:
    tagged = {".flac": FLAC, ".ogg": OggVorbis, ".opus": OggOpus}[path.suffix](path)
    if tagged.tags is None:
        tagged.add_tags()
    tagged.tags.clear()
    for pair in PAIRS:
        tagged.tags.append(pair)
    if path.suffix == ".flac":
        picture = Picture()
        picture.data, picture.mime, picture.desc = b"\xff\xd8" * 500, "image/jpeg", "ü"
        tagged.add_picture(picture)
    else:
        tagged.tags.append(("METADATA_BLOCK_PICTURE", "AAAA" * 30_000))
    tagged.save()


def other_pairs(path: Path) -> object:
    tagged: Any = mutagen.File(path)
    return [pair for pair in tagged.tags if pair[0].lower() != "genre"], tagged.tags.vendor


@pytest.mark.parametrize("name", ["flac", "ogg-vorbis", "ogg-opus"])
def test_R10_vorbis_order_case_duplicates_picture(name: str, make: Callable[..., Path]) -> None:
    path = make(name)
    with_pairs(path)
    assert state_of(path).values == ("one", "two")
    check_only_the_genre_changes(path, other_pairs, exact=False)
    set_names(path, "x", "y", "z")
    tagged: Any = mutagen.File(path)
    assert [pair for pair in tagged.tags if pair[0] == "genre"] == [
        ("genre", "x"),
        ("genre", "y"),
        ("genre", "z"),
    ]
    assert list(tagged.tags)[4] == ("genre", "x"), "the first keeps the place and the spelling"


@pytest.mark.parametrize("name", ["ogg-vorbis", "ogg-opus", "ogg-flac"])
@pytest.mark.parametrize("size", [3_000, 64_800, 65_000, 65_300, 200_000])
def test_R10_ogg_pages_are_renumbered_when_the_header_grows(
    name: str, size: int, make: Callable[..., Path]
) -> None:
    """The sizes lie around what one page can hold."""
    path = make(name)
    tagged: Any = mutagen.File(path)
    tagged["lyrics"] = "l" * size
    tagged.save()
    samples, before = pcm(path), path.read_bytes()
    for names in [("Jazz",), tuple(f"Genre number {n}" for n in range(40)), ()]:
        set_state(path, GenreState(names))
        assert mutagen.File(path).get("genre", []) == list(names)
        assert mutagen.File(path)["lyrics"] == ["l" * size]
        assert pcm(path) == samples
    assert path.read_bytes() == before


def test_R10_ogg_chain_keeps_its_second_link(make: Callable[..., Path], tmp_path: Path) -> None:
    path = make("ogg-vorbis")
    media.make(tmp_path / "second.ogg", "ogg-vorbis", seconds=1.0, seed=3, tags={"genre": "Second"})
    second = (tmp_path / "second.ogg").read_bytes()
    path.write_bytes(path.read_bytes() + second)
    set_state(path, GenreState(tuple(f"Genre number {n}" for n in range(7000))))
    assert path.read_bytes().endswith(second)


def test_R10_opus_bytes_behind_the_comments_are_kept() -> None:
    data = new_vorbis_comment(["a"]) + b"\x01\xff\0binary"
    assert set_vorbis_genre(set_vorbis_genre(data, ["b", "c"]), ["a"]) == data


def test_R10_vorbis_values_that_are_not_utf8_keep_their_bytes() -> None:
    entries = [b"TITLE=\xff\xfe", b"no equals sign", b"genre=x", b"=empty key"]
    data = (
        b"\1\0\0\0v"
        + struct.pack("<I", 4)
        + b"".join(struct.pack("<I", len(e)) + e for e in entries)
        + b"\x01"
    )
    changed = set_vorbis_genre(data, ["yy"])
    assert changed == data.replace(b"\7\0\0\0genre=x", b"\x08\0\0\0genre=yy")


@settings(max_examples=100, deadline=None)
@given(first=GENRES, second=GENRES, model=NAMES)
def test_any_names_come_back_from_vorbis_ape_and_mp4(
    first: tuple[str, ...], second: tuple[str, ...], model: str
) -> None:
    there, gone = ((ExtraChange(ExtraTag.MODEL, *texts),) for texts in (((), (model,)), ((model,), ())))
    comment = set_vorbis_genre(set_vorbis_genre(new_vorbis_comment(["x"]), first), second)
    assert comment == new_vorbis_comment(second)
    ilst = set_mp4_genre(
        set_mp4_genre(box(b"\xa9nam", box(b"data", bytes(8) + b"n")), first, 3), second, None
    )
    assert mp4_genre(ilst) == (second, None)
    assert set_vorbis_genre(set_vorbis_genre(comment, first, there), second, gone) == comment
    assert set_mp4_genre(set_mp4_genre(ilst, second, None, there), second, None, gone) == ilst
    tag = APEv2()
    tag["Title"], tag["Track"] = "T", "1"
    data = io.BytesIO()
    tag.save(data)
    changed = io.BytesIO(set_ape_genre(set_ape_genre(data.getvalue(), first), second))
    assert list(APEv2(changed).get("Genre", [])) == list(second)
    assert set_ape_genre(changed.getvalue(), ()) == data.getvalue()
    with_model = set_ape_genre(data.getvalue(), first, there)
    assert list(APEv2(io.BytesIO(with_model))["TAGGER_MODEL"]) == [model]
    assert set_ape_genre(with_model, (), gone) == data.getvalue()


def test_R10_flac_seektable_cuesheet_application_padding(make: Callable[..., Path]) -> None:
    path = make("flac")
    with_pairs(path)
    data = path.read_bytes()
    end = data.index(b"\xff\xf8", 42)
    seektable = struct.pack(">QQH", 0, 0, 4096) + b"\xff" * 8 + bytes(10)
    cuesheet = b"1234567890123".ljust(128, b"\0") + struct.pack(">Q", 88200) + b"\x80" + bytes(258) + b"\1"
    cuesheet += struct.pack(">QB", 0, 170) + bytes(12) + b"\0" + bytes(14) + b"\0"
    blocks = [
        (3, seektable),
        (5, cuesheet),
        (2, b"abcd" + bytes(range(50))),
        (126, b"unknown"),
        (1, bytes(77)),
        (1, bytes(5)),
    ]
    extra = b"".join(bytes([kind]) + len(block).to_bytes(3, "big") + block for kind, block in blocks)
    # Behind STREAMINFO, before everything else: the order is to be kept too.
    path.write_bytes(data[:42] + extra + data[42:end] + data[end:])

    def look(path: Path) -> object:
        file = FLAC(path)
        found = [(block.code, block.write()) for block in file.metadata_blocks if block.code != 4]
        assert extra in path.read_bytes()
        assert file.seektable is not None and file.cuesheet is not None
        return found, other_pairs(path)

    check_only_the_genre_changes(path, look, exact=False)


def test_flac_without_comments_gets_a_block(make: Callable[..., Path]) -> None:
    path = make("flac")
    data = path.read_bytes()
    end = data.index(b"\xff\xf8", 42)
    path.write_bytes(data[:4] + b"\x80" + data[5:42] + data[end:])
    samples = pcm(path)
    set_names(path, "Jazz")
    assert FLAC(path)["genre"] == ["Jazz"]
    assert pcm(path) == samples


def test_flac_behind_an_id3_tag_and_before_an_id3v1_tag(make: Callable[..., Path]) -> None:
    path = make("flac")
    path.write_bytes(rich_tag(3, ["Wrong"]) + path.read_bytes())
    tag = rich_tag(3, ["Wrong"])
    assert read_tags(os.fsencode(path)).genres == ()
    check_only_the_genre_changes(path, lambda path: path.read_bytes()[: len(tag)] == tag)


# ---- MP4 -----------------------------------------------------------------------------------------------


def with_rich_mp4_tags(path: Path) -> None:
    tagged = MP4(path)
    tagged["\xa9nam"], tagged["\xa9ART"], tagged["\xa9cmt"] = ["N"], ["A", "B"], ["comment"]
    tagged["trkn"], tagged["cpil"], tagged["tmpo"] = [(3, 12)], True, [120]
    tagged["covr"] = [
        MP4Cover(b"\xff\xd8" * 999, MP4Cover.FORMAT_JPEG),
        MP4Cover(b"\x89P", MP4Cover.FORMAT_PNG),
    ]
    tagged["----:com.apple.iTunes:MusicBrainz Track Id"] = [MP4FreeForm(b"one"), MP4FreeForm(b"\0\1", 0)]
    tagged["----:com.apple.iTunes:GENRE"] = [MP4FreeForm(b"not the genre atom")]
    tagged.save()
    # An unknown atom, one whose content cannot be parsed, and chapters as Nero has them.
    data = path.read_bytes()
    at = data.index(b"ilst") + 4
    odd = box(b"xyzw", b"\0\1\2") + box(b"trkn", b"bad") + box(b"\xa9wrt", box(b"data", b"\0\0\0\1\0\0\0\0W"))
    chapters = box(b"chpl", b"\1\0\0\0\0\0\0\0\1" + bytes(8) + b"\7chapter")
    path.write_bytes(inserted(inserted(data, at, odd), data.index(b"udta") + 4, chapters))


def inserted(data: bytes, at: int, new: bytes) -> bytes:
    """Bytes inserted into an MP4 file by hand: sizes of the boxes around and offsets behind follow."""
    out = bytearray(data)

    def walk(start: int, end: int) -> None:
        while start + 8 <= end:
            size, kind = struct.unpack(">I4s", data[start : start + 8])
            if start + 8 <= at <= start + size and kind in (b"moov", b"udta", b"meta", b"ilst"):
                out[start : start + 4] = struct.pack(">I", size + len(new))
            if kind in (b"moov", b"udta", b"meta", b"trak", b"mdia", b"minf", b"stbl"):
                walk(start + (12 if kind == b"meta" else 8), start + size)
            if kind == b"stco":
                for place in range(start + 16, start + size, 4):
                    offset = struct.unpack(">I", data[place : place + 4])[0]
                    out[place : place + 4] = struct.pack(">I", offset + (len(new) if offset >= at else 0))
            start += size

    walk(0, len(data))
    return bytes(out[:at]) + new + bytes(out[at:])


def other_atoms(path: Path) -> object:
    data, tagged = path.read_bytes(), MP4(path)
    at = data.index(b"ilst") - 4
    ilst = data[at + 8 : at + int.from_bytes(data[at : at + 4], "big")]
    atoms = []
    while ilst:
        size = int.from_bytes(ilst[:4], "big")
        atoms, ilst = [*atoms, ilst[:size]], ilst[size:]
    kept = [atom for atom in atoms if atom[4:8] not in (b"\xa9gen", b"gnre")]
    free = data.count(b"free")
    return (
        kept,
        {key: repr(value) for key, value in tagged.items() if key != "\xa9gen"},
        b"\7chapter" in data,
        free,
    )


@pytest.mark.parametrize("name", ["m4a-aac", "m4a-aac-faststart", "m4a-alac"])
@pytest.mark.parametrize("genre", ["none", "text", "gnre", "both"])
def test_R10_mp4_freeform_covers_chapters(name: str, genre: str, make: Callable[..., Path]) -> None:
    path = make(name, False)
    with_rich_mp4_tags(path)
    samples = pcm(path)
    data = path.read_bytes()
    number = box(b"gnre", box(b"data", bytes(8) + b"\0\x12"))
    text = box(b"\xa9gen", b"".join(box(b"data", b"\0\0\0\1" + bytes(4) + t) for t in (b"One", b"Two")))
    atoms = {"none": b"", "text": text, "gnre": number, "both": number + text}[genre]
    path.write_bytes(inserted(data, data.index(b"ilst") + 4, atoms))
    values = {"none": (), "text": ("One", "Two"), "gnre": ("gnre:18",), "both": ("gnre:18", "One", "Two")}[
        genre
    ]
    assert state_of(path).values == values
    assert read_tags(os.fsencode(path)).genres == {"gnre": ("Rock",)}.get(genre, values[-2:])

    def look(path: Path) -> object:
        assert pcm(path) == samples
        return other_atoms(path)

    check_only_the_genre_changes(path, look, exact=genre != "both")


def test_mp4_in_fragments_that_count_from_the_beginning_is_refused(make: Callable[..., Path]) -> None:
    path = make("m4a-aac-faststart")
    data = path.read_bytes()
    head = box(b"tfhd", b"\0\0\0\1" + bytes(4) + bytes(8))
    path.write_bytes(data + box(b"moof", box(b"traf", head)))
    before = path.read_bytes()
    with pytest.raises(RefusedError, match="fragmented"):
        set_state(path, GenreState(("Rock",)))
    assert path.read_bytes() == before
    # Fragments that count from their own place may move.
    path.write_bytes(data + box(b"moof", box(b"traf", box(b"tfhd", b"\0\2\0\0" + bytes(4)))))
    set_names(path, "Rock")


# ---- WAV, AIFF, DSF, ASF, APE --------------------------------------------------------------------------


def riff(path: Path, *chunks: tuple[bytes, bytes], before_data: bool = False) -> None:
    data = path.read_bytes()
    order = ">" if data[:4] == b"FORM" else "<"
    extra = b"".join(kind + struct.pack(order + "I", len(c)) + c + bytes(len(c) % 2) for kind, c in chunks)
    at = 12 if before_data else len(data)
    data = data[:at] + extra + data[at:]
    path.write_bytes(data[:4] + struct.pack(order + "I", len(data) - 8) + data[8:])


@pytest.mark.parametrize("before_data", [False, True], ids=["behind", "in-front"])
@pytest.mark.parametrize("kind", [b"id3 ", b"ID3 "])
def test_R10_wav_list_and_id3(before_data: bool, kind: bytes, make: Callable[..., Path]) -> None:
    path = make("wav", True)
    cue = struct.pack("<IIIIIII", 1, 1, 100, 0x61746164, 0, 0, 100)
    odd = [(b"cue ", cue), (b"bext", b"b" * 603), (kind, rich_tag(3, ["(17)"])), (b"xyz ", b"odd")]
    riff(path, *odd, before_data=before_data)
    assert state_of(path).values == ("IGNR:Old Genre", "(17)")

    def look(path: Path) -> object:
        data = path.read_bytes()
        assert int.from_bytes(data[4:8], "little") == len(data) - 8
        found = data[data.index(kind) + 8 :]
        return raw_frames(found), cue in data, b"b" * 603 in data, b"odd\0" in data, TinyTag.get(path).title

    check_only_the_genre_changes(path, look)


def test_wav_info_genre_is_kept_in_step_but_never_added(make: Callable[..., Path]) -> None:
    path = make("wav", True)
    assert read_tags(os.fsencode(path)).note == "the genre is only in the RIFF INFO list"
    assert set_names(path, "Jazz", "Soul").values == ("IGNR:Jazz", "Jazz", "Soul")
    assert TinyTag.get(path).genre == "Jazz"
    plain = make("wav", False)
    set_names(plain, "Jazz")
    assert b"IGNR" not in plain.read_bytes()


@pytest.mark.parametrize("name", ["wav", "aiff"])
@pytest.mark.parametrize("damage", ["cut", "size", "header", "a byte too many"])
def test_damaged_wav_and_aiff_are_refused(name: str, damage: str, make: Callable[..., Path]) -> None:
    """A tag put where such a file seems to end may land in the audio."""
    path = make(name)
    if damage == "cut":
        media.truncate(path, 0.6)
    elif damage == "a byte too many":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        at = path.read_bytes().index(b"data" if name == "wav" else b"SSND") + 4 if damage == "size" else 4
        media.patch(path, at, b"\x7f\x7f\x7f\x7f")
    before = path.read_bytes()
    with pytest.raises(RefusedError, match=re.escape(path.name)):
        set_state(path, GenreState(("Rock",)))
    assert path.read_bytes() == before


def test_R10_aiff_chunks(make: Callable[..., Path]) -> None:
    path = make("aiff", False)
    path.write_bytes(path.read_bytes().replace(b"ID3 ", b"(c) "))  # ffmpeg's own, with its name
    riff(
        path, (b"NAME", b"Name chunk"), (b"ANNO", b"odd"), (b"ID3 ", rich_tag(4, ["Pop"])), (b"MARK", b"\0\0")
    )
    assert read_tags(os.fsencode(path)).genres == ("Pop",)

    def look(path: Path) -> object:
        data = path.read_bytes()
        assert int.from_bytes(data[4:8], "big") == len(data) - 8
        return raw_frames(data[data.index(b"ID3 ") + 8 :]), data[data.index(b"NAME") :][:30], data[-10:]

    check_only_the_genre_changes(path, look)


def test_R10_asf_attributes(make: Callable[..., Path]) -> None:
    path = make("wma", True)
    tagged = ASF(path)
    tagged["WM/Genre"] = ["One", "Two", "Three"]
    tagged["WM/Composer"] = ["C", "D"]
    tagged["WM/Picture"] = mutagen.asf.ASFByteArrayAttribute(data=b"\3" + bytes(70_000))
    tagged["WM/IsVBR"] = True
    tagged["Description"] = "comment"
    tagged.save()
    assert read_tags(os.fsencode(path)).genres == ("One", "Two", "Three")

    def look(path: Path) -> object:
        found: Any = ASF(path)
        data = path.read_bytes()
        at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
        size = int.from_bytes(data[at + 40 : at + 48], "little")
        assert size in (0, len(data)) or size == stale
        return [
            (key, repr(value), value.stream, value.language) for key, value in found.tags if key != "WM/Genre"
        ]

    data = path.read_bytes()
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    stale = 0
    path.write_bytes(data[: at + 40] + len(data).to_bytes(8, "little") + data[at + 48 :])
    check_only_the_genre_changes(path, look, exact=False)


@pytest.mark.parametrize("v1", [False, True])
def test_R10_ape_items(v1: bool, make: Callable[..., Path]) -> None:
    path = make("wv")
    tag = APEv2()
    tag["Title"], tag["genre"], tag["REPLAYGAIN_TRACK_GAIN"] = "T", ["One", "Two"], "-6.0 dB"
    tag["Cover Art (Front)"] = mutagen.apev2.APEValue(b"f.jpg\0" + bytes(9999), 1)
    tag["Related"] = mutagen.apev2.APEValue("http://x", 2)
    tag.save(path)
    if v1:
        path.write_bytes(path.read_bytes() + id3v1(9))

    def look(path: Path) -> object:
        found = APEv2(path)
        end = path.read_bytes()[-128:-1] if v1 else b""
        return [(key, value.kind, value.value) for key, value in found.items() if key.lower() != "genre"], end

    assert state_of(path) == GenreState(("One", "Two"), 9 if v1 else None)
    check_only_the_genre_changes(path, look)
    set_names(path, "x")
    assert b"\0genre\0x" in path.read_bytes(), "the spelling of the key is kept"


@pytest.mark.parametrize("header", [b"MAC \x96\x0f", b"MPCK", b"MP+\x07"], ids=["ape", "mpc8", "mpc7"])
def test_monkeys_audio_and_musepack_by_content(header: bytes, tmp_path: Path) -> None:
    """Nothing here can encode these two; their tags are APE tags behind whatever the audio is."""
    path = tmp_path / "x.bin"
    path.write_bytes(header + random.Random(1).randbytes(5000))
    before = path.read_bytes()
    assert read_tags(os.fsencode(path)).container in ("ape", "mpc")
    set_names(path, *NEW)
    assert list(APEv2(path)["Genre"]) == list(NEW)
    assert path.read_bytes().startswith(before)
    set_state(path, GenreState())
    assert path.read_bytes() == before


# ---- hostile files, splicing, table --------------------------------------------------------------------


@pytest.mark.parametrize("name", list(media.CONTAINERS))
def test_mutated_files_raise_our_errors_only_and_refused_ones_stay(
    name: str, make: Callable[..., Path]
) -> None:
    original = make(name, True).read_bytes()
    path = make(name, True)
    random_ = random.Random(name)
    reach = {"m4a": len(original)}.get(path.suffix[1:], 3000)
    for _ in range(120):
        data = bytearray(original)
        for _ in range(random_.choice([1, 2, 10])):
            at = random_.randrange(min(reach, len(data)))
            data[at if random_.random() < 0.7 else -1 - at] = random_.choice(
                [0, 1, 0x7F, 0xFF, random_.randrange(256)]
            )
        if random_.random() < 0.2:
            del data[random_.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            state = state_of(path)
            set_state(path, genre_state(["Rock"], like=state))
        except TaggerError as error:
            assert path.name in str(error)
            assert path.read_bytes() == bytes(data)


def test_nothing_known_is_a_clear_error(tmp_path: Path) -> None:
    for data in (b"", b"x", b"just a text file renamed\n" * 500, b"\xff" * 9000, bytes(9000)):
        (tmp_path / "x.mp3").write_bytes(data)
        with pytest.raises(TagError, match=r"x\.mp3: not a kind of audio file"):
            read_tags(os.fsencode(tmp_path / "x.mp3"))


def test_a_tag_that_claims_256_mb_is_not_given_them(tmp_path: Path) -> None:
    path = tmp_path / "liar.mp3"
    path.write_bytes(b"ID3\3\0\0\x7f\x7f\x7f\x7f" + b"TIT2\x7f\xff\xff\xff\0\0" + b"x" * 1000)
    with pytest.raises(TagError, match="liar"):
        read_tags(os.fsencode(path))


def test_names_that_are_not_utf8(make: Callable[..., Path]) -> None:
    path = make("mp3")
    odd = os.fsencode(path.parent) + b"/caf\xe9\n.mp3"
    os.rename(path, odd)
    assert read_tags(odd).container == "mp3"
    with open(odd, "r+b") as file:  # noqa: PTH123
        edit_genre(file, GenreState(("Jazz",)), odd)
    assert read_tags(odd).genres == ("Jazz",)
    os.truncate(odd, 0)
    with pytest.raises(TagError, match=r"caf\\xe9\\n\.mp3"):
        read_tags(odd)


def test_what_a_file_is_does_not_depend_on_its_name(make: Callable[..., Path]) -> None:
    for name in media.CONTAINERS:
        path = make(name)
        expected = "mp4" if name.startswith("m4a") else name.removesuffix("-float")
        assert read_tags(os.fsencode(path.rename(path.with_suffix(".aac")))).container == expected


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=200),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), st.binary(max_size=40)), max_size=6),
)
def test_patches_do_to_a_file_what_slicing_does_to_bytes(
    data: bytes, cuts: list[tuple[int, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    patches, at, expected = [], 0, b""
    for gap, removed, new in cuts:
        gap += bool(patches)  # two patches at one place would have no order
        if at + gap + removed > len(data):
            break
        patches.append(Patch(at + gap, removed, new))
        expected += data[at : at + gap] + new
        at += gap + removed
    expected += data[at:]
    path = tmp_path_factory.getbasetemp() / "patched"
    path.write_bytes(data)
    with path.open("r+b") as file:
        apply(file, patches[::-1])
    assert path.read_bytes() == expected


def test_patches_move_more_than_a_block(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(3_500_000)
    path = tmp_path / "large"
    for first, second in [(b"x" * 70_000, b""), (b"", b"y" * 1_500_000), (b"z" * 2_000_000, b"z")]:
        path.write_bytes(data)
        with path.open("r+b") as file:
            apply(file, [Patch(10, 1000, first), Patch(2_000_000, 400_000, second)])
        assert path.read_bytes() == data[:10] + first + data[1010:2_000_000] + second + data[2_400_000:]


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_every_row_can_be_read(name: str) -> None:
    row = CONTAINERS[name]
    assert callable(row.read)
    assert (row.edit is None) == (name == "aac")


def test_a_new_tag_is_version_4_with_nul_between_genres() -> None:
    assert new_tag(["A", "B"]) == b"ID3\4\0\0\0\0\0\x0eTCON\0\0\0\4\0\0\0A\0B"


@pytest.mark.parametrize(
    ("names", "like", "after"),
    [
        (("Jazz",), GenreState(), GenreState(("Jazz",))),
        (("jazz",), GenreState((), 17), GenreState(("jazz",), 8)),
        (("Zouk",), GenreState(("x",), 17), GenreState(("Zouk",), 255)),
        (("gnre:18", "Jazz"), GenreState(("gnre:18",)), GenreState(("Rock", "Jazz"))),
        (("gnre:18", "Pop", "Jazz"), GenreState(("gnre:18", "Pop")), GenreState(("Pop", "Jazz"))),
        (("IGNR:Old", "Jazz"), GenreState(("IGNR:Old",)), GenreState(("IGNR:Old", "Old", "Jazz"))),
        (
            ("IGNR:Old", "Pop", "Jazz"),
            GenreState(("IGNR:Old", "Pop")),
            GenreState(("IGNR:Old", "Pop", "Jazz")),
        ),
        (("Jazz",), GenreState(("IGNR:Old", "Pop")), GenreState(("IGNR:Jazz", "Jazz"))),
        (("(17)", "Jazz"), GenreState(("(17)",), 17), GenreState(("(17)", "Jazz"), 17)),
        (("Jazz",), GenreState(("ID3v1:Rock",), 17), GenreState(("ID3v1:Jazz",), 8)),
        (("Zouk",), GenreState(("ID3v1:Rock",), 17), GenreState(("Zouk",), 255)),
        (("ID3v1:Rock", "Jazz"), GenreState(("ID3v1:Rock",), 17), GenreState(("Rock", "Jazz"), 255)),
        (("ID3v1:", "Jazz"), GenreState(("ID3v1:",), 255), GenreState(("ID3v1:Jazz",), 8)),
        ((), GenreState(("ID3v1:Rock",), 17), GenreState(("ID3v1:",), 255)),
    ],
)
def test_genre_state(names: tuple[str, ...], like: GenreState, after: GenreState) -> None:
    assert genre_state(names, like=like) == after
