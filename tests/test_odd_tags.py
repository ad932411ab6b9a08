"""Tags as programs of all kinds leave them: what is there counts, stays, and comes back (R10, R11, R13)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import mutagen
import pytest
from mutagen.flac import FLAC

from tagger.errors import RefusedError, TagError
from tagger.formats.containers import boxes, find_boxes, layout
from tagger.formats.id3 import to_synchsafe
from tagger.formats.mp4 import box
from tagger.plan import WritePolicy, plan_edit
from tagger.replace import FileStat, write_genre
from tagger.tags import genre_state, read_tags
from tagger.tracks import ExtraTag, FileTags, GenreEstimate, TagEdit, WriteMode
from tests import media

ROCK = GenreEstimate("rock", 0.9, {"rock": 0.9})
APPEND, OVERWRITE = WriteMode.APPEND, WriteMode.OVERWRITE


def tags_of(path: Path) -> FileTags:
    return read_tags(os.fsencode(path))


def write(path: Path, mode: WriteMode = WriteMode.MISSING) -> TagEdit | None:
    """What a run does to a file whose genre is rock; None where it leaves it alone."""
    tags = tags_of(path)
    plan = plan_edit(tags, ROCK, WritePolicy(mode=mode), None)
    if plan.after is None:
        return None
    edit = TagEdit(tags.state, genre_state(plan.after, like=tags.state))
    carry_out(path, edit)
    return edit


def carry_out(path: Path, edit: TagEdit) -> None:
    name = os.fsencode(path)
    write_genre(name, edit, expected=FileStat.of(name), digest=None)
    assert tags_of(path).state == edit.after


def there_and_back(path: Path, mode: WriteMode = WriteMode.MISSING) -> FileTags:
    """Written, and put back to the byte; the tags in between."""
    before = path.read_bytes()
    edit = write(path, mode)
    assert edit is not None
    tags = tags_of(path)
    carry_out(path, TagEdit(edit.after, edit.before))
    assert path.read_bytes() == before
    return tags


def left_alone(path: Path, match: str, mode: WriteMode = APPEND) -> None:
    before = path.read_bytes()
    with pytest.raises(RefusedError, match=match):
        write(path, mode)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder = tmp_path_factory.mktemp("originals")

    def made(name: str) -> bytes:
        path = folder / f"{name}.{media.CONTAINERS[name].suffix}"
        if not path.exists():
            media.make(path, name, seconds=0.6)
        return path.read_bytes()

    return made


@pytest.fixture
def mp3(originals: Callable[[str], bytes], tmp_path: Path) -> Callable[..., Path]:
    """An MP3 with these bytes before and behind the frames."""
    source = tmp_path / "source.mp3"
    source.write_bytes(originals("mp3"))
    with source.open("rb") as file:
        start, end = layout(file).body
    frames = source.read_bytes()[start:end]

    def made(before: bytes = b"", behind: bytes = b"") -> Path:
        path = tmp_path / "made.mp3"
        path.write_bytes(before + frames + behind)
        return path

    return made


def frame(name: str, content: bytes, version: int = 3) -> bytes:
    size = to_synchsafe(len(content)) if version == 4 else len(content).to_bytes(4, "big")
    return name.encode() + size + b"\0\0" + content


def id3(*frames: bytes, version: int = 3, footer: bool = False) -> bytes:
    body = b"".join(frames)
    head = bytes([version, 0, 0x10 if footer else 0]) + to_synchsafe(len(body))
    return b"ID3" + head + body + (b"3DI" + head if footer else b"")


def id3v1(genre: int) -> bytes:
    return (b"TAG" + b"Title".ljust(30, b"\0") + b"Artist".ljust(30, b"\0")).ljust(127, b"\0") + bytes(
        [genre]
    )


def ape(*items: tuple[bytes, bytes], version: int = 2000) -> bytes:
    body = b"".join(struct.pack("<II", len(value), 0) + key + b"\0" + value for key, value in items)
    head, foot = (
        b"APETAGEX" + struct.pack("<IIII", version, len(body) + 32, len(items), flags) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    )
    return head + body + foot


GAIN = (b"MP3GAIN_MINMAX", b"098,202")
TITLE = frame("TIT2", b"\0Title")


@pytest.mark.parametrize("name", [name for name in media.CONTAINERS if name not in ("aac", "wma")])
def test_a_file_without_any_tag_is_written_and_put_back(
    name: str, originals: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"bare.{media.CONTAINERS[name].suffix}"
    path.write_bytes(originals(name))
    found = mutagen.File(path)
    if found is not None and found.tags is not None:
        found.delete()
    assert there_and_back(path).genres == ("Rock",)


@pytest.mark.parametrize("blocks", [[], [(1, 0)], [(1, 10), (2, 20)], [(2, 20)]], ids=str)
def test_flac_without_a_comment_block(
    blocks: list[tuple[int, int]], originals: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "bare.flac"
    path.write_bytes(originals("flac"))
    FLAC(path).delete()
    with path.open("rb") as file:
        audio = FLAC(path)
        start = file.read().index(b"\xff\xf8", 42)
    streaminfo, frames = path.read_bytes()[4:42], path.read_bytes()[start:]
    assert audio.info.sample_rate
    all_blocks = [streaminfo[4:], *(bytes(size) for _, size in blocks)]
    kinds = [0, *(kind for kind, _ in blocks)]
    data = b"fLaC"
    for i, (kind, content) in enumerate(zip(kinds, all_blocks, strict=True)):
        last = 0x80 if i == len(kinds) - 1 else 0
        data += bytes([kind | last]) + len(content).to_bytes(3, "big") + content
    path.write_bytes(data + frames)
    assert there_and_back(path).genres == ("Rock",)


def test_flac_with_comments_of_others_keeps_its_block(
    originals: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(originals("flac"))
    file = FLAC(path)
    file["title"] = "Title"
    file.save()
    there_and_back(path)
    del file["title"]
    file.save()
    there_and_back(path)


@pytest.mark.parametrize("name", ["flac", "ogg-vorbis", "ogg-opus"])
def test_a_genre_that_is_not_utf8_is_never_respelt(
    name: str, originals: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a.{media.CONTAINERS[name].suffix}"
    path.write_bytes(originals(name))
    file = mutagen.File(path)
    assert file is not None
    file["genre"] = "XXlectronique"
    file.save()
    data = path.read_bytes()
    if name == "flac":  # in Ogg the page's checksum would be wrong, and the file unreadable
        path.write_bytes(data.replace(b"XXlec", b"X\xc9lec"))
        assert write(path) is None
        for mode in (APPEND, OVERWRITE):
            left_alone(path, "genre is not UTF-8 text, and could not be put back", mode)
    else:
        assert write(path) is None


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"\3\xc9lectronique", "Électronique"), (b"Soul", "Soul"), (b"\1\xff\xfe\0\xd8A\0", "")],
)
def test_a_genre_that_mutagen_passes_over_is_there_all_the_same(
    version: int, content: bytes, shown: str, mp3: Callable[..., Path]
) -> None:
    path = mp3(id3(TITLE, frame("TCON", content, version), version=version))
    tags = tags_of(path)
    assert tags.genres and (not shown or tags.genres == (shown,))
    assert write(path) is None
    for mode in (APPEND, OVERWRITE):
        left_alone(path, "TCON is not the text it claims to be", mode)


def test_an_empty_genre_frame_is_no_genre(mp3: Callable[..., Path]) -> None:
    for content in (b"\0", b"\3\0", b"\1\xff\xfe", b"\1\xff\xfe\0\0"):
        path = mp3(id3(TITLE, frame("TCON", content)))
        assert tags_of(path).genres == ()
        assert write(path) is not None


def test_a_tempo_that_mutagen_passes_over_is_left_alone(mp3: Callable[..., Path]) -> None:
    path = mp3(id3(TITLE, frame("TBPM", b"\x09120")))
    assert (tags_of(path).extras or {})[ExtraTag.TEMPO] is None


def test_a_genre_in_another_id3_tag_counts(mp3: Callable[..., Path], tmp_path: Path) -> None:
    jazz = frame("TCON", b"\0Jazz", 4)
    in_front = mp3(id3(TITLE) + id3(jazz, version=4))
    assert tags_of(in_front).genres == ("Jazz",) and "another ID3 tag" in tags_of(in_front).note
    assert write(in_front) is None
    behind = mp3(behind=id3(jazz, version=4, footer=True))
    assert tags_of(behind).genres == ("Jazz",)
    assert write(behind) is None
    damaged = mp3(id3(TITLE) + id3(jazz, version=7))
    assert there_and_back(damaged).genres == ("Rock",)


def test_a_genre_in_another_chunk_of_a_wav_counts(originals: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = originals("wav")
    for tag in (id3(TITLE), id3(frame("TCON", b"\0Jazz"))):
        tag += bytes(len(tag) % 2)
        data += b"id3 " + len(tag).to_bytes(4, "little") + tag
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert tags_of(path).genres == ("Jazz",)
    assert write(path) is None


@pytest.mark.parametrize(
    "tag",
    [ape(), ape((b"Title", b"\xc9t\xe9")), ape(GAIN, version=1000), ape(GAIN)],
    ids=["empty", "Latin-1", "version 1", "loudness"],
)
def test_an_ape_tag_beside_an_id3_tag_stands_in_nobodys_way(tag: bytes, mp3: Callable[..., Path]) -> None:
    assert there_and_back(mp3(id3(TITLE), tag)).genres == ("Rock",)


def test_a_damaged_ape_tag_that_may_say_the_genre_is_not_passed_over(mp3: Callable[..., Path]) -> None:
    with pytest.raises(TagError, match="the tags are damaged"):
        tags_of(mp3(id3(TITLE), ape((b"Genre", b"\xc9lectro"))))


def test_an_empty_ape_tag_is_filled(originals: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.wv"
    path.write_bytes(originals("wv"))
    found = mutagen.File(path)
    if found is not None and found.tags is not None:
        found.delete()
    path.write_bytes(path.read_bytes() + ape())
    assert tags_of(path).genres == ()
    assert write(path) is not None
    assert tags_of(path).genres == ("Rock",)


def test_id3v1_with_a_tag_of_loudness_gets_its_number(mp3: Callable[..., Path]) -> None:
    path = mp3(behind=ape(GAIN) + id3v1(255))
    assert there_and_back(path).genres == ("Rock",)
    write(path)
    assert path.read_bytes()[-1] == 17
    said = mp3(behind=ape((b"Genre", b"Jazz")) + id3v1(255))
    assert tags_of(said).genres == ("Jazz",) and write(said) is None


def info(genre: bytes) -> bytes:
    genre += b"\0"
    item = b"IGNR" + len(genre).to_bytes(4, "little") + genre + bytes(len(genre) % 2)
    return b"LIST" + (len(item) + 4).to_bytes(4, "little") + b"INFO" + item


@pytest.fixture
def wav(originals: Callable[[str], bytes], tmp_path: Path) -> Callable[..., Path]:
    def made(*chunks: bytes) -> Path:
        data = originals("wav")
        data += bytes(len(data) % 2) + b"".join(chunks)
        path = tmp_path / "a.wav"
        path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
        return path

    return made


def test_append_keeps_the_genre_of_the_info_list(wav: Callable[..., Path]) -> None:
    tag = id3(frame("TCON", b"\0House"))
    path = wav(info(b"Techno"), b"id3 " + len(tag).to_bytes(4, "little") + tag + bytes(len(tag) % 2))
    there_and_back(path, APPEND)
    write(path, APPEND)
    assert b"IGNR\x07\0\0\0Techno\0" in path.read_bytes()
    assert tags_of(path).genres == ("House", "Rock")


def test_an_info_genre_that_is_not_utf8_stays_or_is_refused(wav: Callable[..., Path]) -> None:
    path = wav(info(b"\xc9lectro"))
    assert write(path) is None
    assert "Électro" in there_and_back(path, APPEND).genres
    left_alone(path, "RIFF INFO list is not UTF-8 text", OVERWRITE)


def ilst(*genres: bytes) -> bytes:
    items = [box(b"\xa9gen", box(b"data", struct.pack(">II", 1, 0) + genre)) for genre in genres]
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return box(b"meta", bytes(4) + handler + box(b"ilst", b"".join(items)))


@pytest.fixture
def mp4(originals: Callable[[str], bytes], tmp_path: Path) -> Callable[..., Path]:
    """An MP4 with these boxes at the end of its moov, which lies behind the audio, in place of its udta."""

    def made(*udtas: bytes) -> Path:
        path = tmp_path / "a.m4a"
        path.write_bytes(originals("m4a-aac"))
        with path.open("rb") as file:
            moov = next(item for item in boxes(file, 0, path.stat().st_size) if item.kind == b"moov")
            own = find_boxes(file, moov, b"udta")
        data = path.read_bytes()
        content = data[moov.content : moov.end]
        for item in reversed(own):
            content = content[: item.start - moov.content] + content[item.end - moov.content :]
        assert moov.end == len(data)
        path.write_bytes(data[: moov.start] + box(b"moov", content + b"".join(udtas)))
        return path

    return made


def test_metadata_in_a_second_place_of_an_mp4(mp4: Callable[..., Path]) -> None:
    assert there_and_back(mp4(box(b"udta", ilst()))).genres == ("Rock",)
    second = mp4(box(b"udta", box(b"name", b"x")), box(b"udta", ilst(b"Jazz")))
    assert tags_of(second).genres == ("Jazz",)
    assert write(second) is None
    left_alone(second, "metadata in a second place")
    left_alone(mp4(box(b"udta", ilst()), box(b"udta", ilst(b"Jazz"))), "metadata in a second place")


def test_zeros_that_end_a_udta_are_no_damage(mp4: Callable[..., Path]) -> None:
    assert there_and_back(mp4(box(b"udta", ilst() + bytes(4)))).genres == ("Rock",)
    path = mp4(box(b"udta", box(b"name", b"x") + bytes(4)))
    assert write(path) is not None
    assert tags_of(path).genres == ("Rock",)
    assert path.read_bytes().endswith(bytes(4))
    assert tags_of(mp4(box(b"udta", bytes(4)))).genres == ()


def test_number_0_of_an_mp4_is_no_genre(mp4: Callable[..., Path]) -> None:
    number = box(b"gnre", box(b"data", struct.pack(">II", 0, 0) + b"\0\0"))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    path = mp4(box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", number))))
    assert tags_of(path).genres == ()
    assert there_and_back(path).genres == ("Rock",)


@pytest.mark.parametrize(
    "head", [b"caff\0\1\0\0", *(bytes([0, 0, 0, 8]) + kind for kind in (b"free", b"wide"))]
)
def test_frames_inside_a_file_of_another_kind_make_no_mp3(
    head: bytes, originals: Callable[[str], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(head + bytes(64) + originals("mp3"))
    with pytest.raises(TagError, match="not a kind of audio file"):
        tags_of(path)
