"""The digest of the coded audio: blind to tags, and to nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3, TIT2
from mutagen.mp4 import MP4

from tagger.errors import AudioError, TagError, TaggerError
from tagger.formats.containers import boxes, chunk_offsets, find_boxes, layout
from tagger.formats.digest import audio_digest
from tests import media

TAGGABLE = [name for name in media.CONTAINERS if name != "aac"]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("originals")

    def original(name: str) -> Path:
        path = folder / f"{name}.{media.CONTAINERS[name].suffix}"
        if not path.exists():
            media.make(path, name, seconds=1.0, tags={"title": "Before"})
        return path

    return original


def digest(path: Path) -> bytes:
    return audio_digest(os.fsencode(path))


@pytest.mark.parametrize("name", TAGGABLE)
def test_R11_digest_is_the_same_after_another_program_wrote_tags(
    name: str, originals: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(originals(name), tmp_path))
    before = digest(path)
    tagged = mutagen.File(path, easy=name in ("mp3", "tta"))
    if name in ("wav", "wav-float", "aiff", "dsf"):
        if tagged.tags is None:
            tagged.add_tags()
        tagged.tags.add(TIT2(encoding=3, text=["x" * 5000]))
    elif name.startswith("m4a"):
        tagged["\xa9nam"] = "x" * 5000
    else:
        tagged["title"] = "x" * 5000
    tagged.save()
    assert path.read_bytes() != originals(name).read_bytes()
    assert digest(path) == before


@pytest.mark.parametrize("name", list(media.CONTAINERS))
def test_R11_digest_notices_one_changed_byte_of_audio(
    name: str, originals: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(originals(name), tmp_path))
    before = digest(path)
    # The middle of these files is audio whatever the container.
    middle = path.stat().st_size // 2
    byte = path.read_bytes()[middle]
    media.patch(path, middle, bytes([byte ^ 1]))
    assert digest(path) != before


@pytest.mark.parametrize("name", list(media.CONTAINERS))
def test_digest_notices_that_the_end_is_missing(
    name: str, originals: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(originals(name), tmp_path))
    before = digest(path)
    media.truncate(path, 0.7)
    assert digest(path) != before


def test_digests_of_different_recordings_differ(tmp_path: Path) -> None:
    paths = [media.make(tmp_path / f"{seed}.mp3", "mp3", seconds=0.5, seed=seed) for seed in range(3)]
    assert len({audio_digest(path) for path in paths}) == 3


def test_mp3_tags_in_front_and_behind_in_any_number_do_not_count(
    originals: Callable[[str], Path], tmp_path: Path
) -> None:
    bare = originals("mp3").read_bytes()
    with originals("mp3").open("rb") as file:
        start, end = layout(file).body
    bare = bare[start:end]
    (tmp_path / "bare.mp3").write_bytes(bare)
    expected = digest(tmp_path / "bare.mp3")

    def id3(text: str, *, footer: bool = False) -> bytes:
        frame = b"TIT2" + struct.pack(">IH", len(text) + 1, 0) + b"\0" + text.encode()
        head = struct.pack(">BBB4B", 4, 0, 0x10 * footer, 0, 0, len(frame) >> 7, len(frame) & 127)
        return b"ID3" + head + frame + (b"3DI" + head if footer else b"")

    ape_path = tmp_path / "tag.ape"
    ape_path.write_bytes(b"")
    tag = APEv2()
    tag["Title"] = "Behind"
    tag.save(ape_path)
    ape = ape_path.read_bytes()
    lyrics = b"LYRICSBEGININD0000210"
    lyrics += f"{len(lyrics):06d}".encode() + b"LYRICS200"
    v1 = b"TAG" + bytes(124) + b"\x11"
    whole = id3("one") + id3("two", footer=True) + bare + id3("appended", footer=True) + lyrics + ape + v1
    for number, data in enumerate([whole, id3("one") + bare + v1, bare + ape, bare + ape + lyrics + v1]):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(data)
        assert digest(path) == expected, number


def test_flac_metadata_blocks_do_not_count(originals: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(originals("flac"), tmp_path))
    before = digest(path)
    tagged = FLAC(path)
    picture = Picture()
    picture.data = os.urandom(100_000)
    tagged.add_picture(picture)
    tagged.save(padding=lambda info: 12_345)
    assert digest(path) == before


def test_ogg_pages_may_be_cut_differently(originals: Callable[[str], Path], tmp_path: Path) -> None:
    """With comments of 200 KB the header takes more pages, and all later pages get new numbers."""
    for name in ("ogg-vorbis", "ogg-opus", "ogg-flac"):
        path = Path(shutil.copy(originals(name), tmp_path))
        before = digest(path)
        tagged = mutagen.File(path)
        tagged["lyrics"] = "la " * 70_000
        tagged.save()
        assert digest(path) == before, name


def test_a_chained_ogg_stream_counts_as_a_whole(originals: Callable[[str], Path], tmp_path: Path) -> None:
    one = originals("ogg-vorbis").read_bytes()
    media.make(tmp_path / "b.ogg", "ogg-vorbis", seconds=1.0, seed=5)
    two = (tmp_path / "b.ogg").read_bytes()
    digests = set()
    for number, data in enumerate([one, two, one + two, two + one, one + one]):
        (tmp_path / f"{number}.ogg").write_bytes(data)
        digests.add(digest(tmp_path / f"{number}.ogg"))
    assert len(digests) == 5


@pytest.mark.parametrize("name", ["m4a-aac", "m4a-aac-faststart"])
def test_mp4_tables_must_point_at_the_same_audio(
    name: str, originals: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(originals(name), tmp_path))
    before = digest(path)
    tagged = MP4(path)
    tagged["\xa9lyr"] = "la " * 3000
    tagged.save(padding=lambda info: 0)
    assert digest(path) == before
    with path.open("rb") as file:
        moov = next(box for box in boxes(file, 0, path.stat().st_size) if box.kind == b"moov")
        (stco,) = find_boxes(file, moov, b"trak", b"mdia", b"minf", b"stbl", b"stco")
        first = chunk_offsets(file, stco)[0]
    media.patch(path, stco.content + 8, struct.pack(">I", first + 1))
    assert digest(path) != before


def test_wave_in_64_bits_is_read_like_riff(originals: Callable[[str], Path], tmp_path: Path) -> None:
    """RF64 keeps the size of ``data`` in ``ds64``; what follows the audio must not be taken for it."""
    riff = originals("wav").read_bytes()
    at = riff.index(b"data")
    size = struct.unpack("<I", riff[at + 4 : at + 8])[0]
    tail = b"junk\4\0\0\0abcd"
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, len(riff) + 36 + len(tail) - 8, size, size // 4, 0)
    wide = b"RF64\xff\xff\xff\xffWAVE" + ds64 + riff[12:at] + b"data\xff\xff\xff\xff" + riff[at + 8 :]
    (tmp_path / "wide.wav").write_bytes(wide + tail)
    assert digest(tmp_path / "wide.wav") == digest(originals("wav"))


def test_a_tag_that_claims_more_than_the_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "liar.mp3"
    path.write_bytes(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"x" * 100)
    assert len(digest(path)) == 16


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from(
        [
            b"",
            b"fLaC",
            b"OggS",
            b"RIFF\0\0\0\0WAVE",
            b"RF64\0\0\0\0WAVEds64",
            b"FORM\0\0\0\0AIFF",
            b"\0\0\0\x08ftypM4A ",
            b"ID3\4\0\0\0\0\0\0",
            b"DSD ",
            b"MAC ",
            b"wvpk",
            b"\xff\xfb\x90",
            b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel",
        ]
    ),
    data=st.binary(max_size=400),
)
def test_any_bytes_at_all_have_a_digest(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + data)
    assert len(digest(path)) == 16
    assert digest(path) == digest(path)


@pytest.mark.parametrize("name", list(media.CONTAINERS))
def test_mutated_files_have_a_digest_or_one_of_our_errors(
    name: str, originals: Callable[[str], Path], tmp_path: Path
) -> None:
    random_ = random.Random(name)
    data = originals(name).read_bytes()[:40_000]
    path = tmp_path / "mutated"
    for _ in range(60):
        mutated = bytearray(data)
        for _ in range(random_.choice([1, 4, 30])):
            mutated[random_.randrange(min(len(mutated), random_.choice([64, 4000, 40_000])))] = (
                random_.randrange(256)
            )
        path.write_bytes(mutated)
        with contextlib.suppress(TaggerError):
            assert len(digest(path)) == 16


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp3")
    with pytest.raises(TagError, match="not a regular file"):
        digest(tmp_path / "x.mp3")
    with pytest.raises(AudioError, match=r"gone\.mp3: .*there is no such file"):
        digest(tmp_path / "gone.mp3")


def test_id3_cover_art_does_not_count(originals: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(originals("mp3"), tmp_path))
    before = digest(path)
    tag = ID3(path)
    tag.add(APIC(encoding=0, mime="image/png", type=3, desc="", data=b"\xff\xfb\x90\0" * 5000))
    tag.save(path, v1=2)
    assert digest(path) == before
