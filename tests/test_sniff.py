"""Candidates by name and by content."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.formats.sniff import AUDIO_SUFFIXES, OTHER_SUFFIXES, by_content, by_suffix
from tests.media import CONTAINERS, make, make_video, make_with_cover


def test_no_suffix_is_both_and_all_are_lower_case() -> None:
    assert not AUDIO_SUFFIXES & OTHER_SUFFIXES
    for suffix in AUDIO_SUFFIXES | OTHER_SUFFIXES:
        assert (
            suffix == suffix.lower()
            and suffix.startswith(b".")
            and os.path.splitext(b"x" + suffix)[1] == suffix
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"x.mp3", True),
        (b"x.Mp3", True),
        (b"\xff.opus", True),
        (b"x.jpg.flac", True),
        (b"cover.JPG", False),
        (b"x.mp3.part", False),
        (b"x.mp3~", False),
        (b"x~", False),
        (b"mp3", None),
        (b"07. So What", None),
        (b"x.mp3 ", None),
        (b"x.", None),
    ],
)
def test_by_suffix(name: bytes, expected: bool | None) -> None:
    assert by_suffix(name) is expected


@pytest.mark.parametrize("kind", sorted(set(CONTAINERS) - {"aac"}))
def test_music_of_every_container_is_known_without_its_name(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path / f"x.{CONTAINERS[kind].suffix}", kind, seconds=0.5)
    assert by_suffix(made) is True
    bare = tmp_path / "no suffix"
    os.rename(made, os.fsencode(bare))
    assert by_content(os.fsencode(bare))


def test_raw_aac_needs_its_name(tmp_path: Path) -> None:
    path = make(tmp_path / "x.aac", "aac", seconds=0.5)
    assert by_suffix(path) is True
    assert not by_content(path)


def test_an_mp3_behind_a_large_picture(tmp_path: Path) -> None:
    path = make_with_cover(tmp_path / "x")
    assert os.path.getsize(path) > 100_000
    assert by_content(path)


@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_music_inside_a_file_of_another_kind_is_not_enough(tmp_path: Path, kind: str) -> None:
    music = Path(os.fsdecode(make(tmp_path / f"x.{kind}", kind, seconds=1.0))).read_bytes()
    archive = tmp_path / "game data"
    archive.write_bytes(b"GAME" + bytes(500) + music)
    assert not by_content(os.fsencode(archive))


NOT_MUSIC = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"only words\n" * 100,
    "utf-16": "UTF-16 with a byte order mark, so eleven set bits".encode("utf-16"),
    "jpeg": bytes.fromhex("ffd8ffe000104a464946") + bytes(2000),
    "set bits": b"\xff" * 5000,
    "one sync word": bytes.fromhex("fffb9064") + bytes(5000),
    "webp": b"RIFF\0\0\0\0WEBPVP8 " + bytes(100),
    "avi": b"RIFF\0\0\0\0AVI LIST" + bytes(100),
    "iff picture": b"FORM\0\0\0\0ILBMBMHD" + bytes(100),
    "heic": b"\0\0\0\x18ftypheic" + bytes(100),
    "quicktime": b"\0\0\0\x14ftypqt  " + bytes(100),
    "itunes film": b"\0\0\0\x20ftypM4V " + bytes(100),
    "theora": b"OggS" + bytes(22) + b"\x01\x2a\x80theora" + bytes(100),
    "half a magic": b"fLa",
    "id3 and nothing": b"ID3\x04\0\0\0\0\0\0",
    "zip": b"PK\x03\x04" + bytes(100),
    "elf": b"\x7fELF" + bytes(100),
}


@pytest.mark.parametrize("content", NOT_MUSIC.values(), ids=NOT_MUSIC.keys())
def test_what_is_no_music(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert not by_content(os.fsencode(path))


def test_noise_is_no_music(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for seed in range(20):
        path.write_bytes(random.Random(seed).randbytes(100_000))
        assert not by_content(os.fsencode(path)), seed


def test_a_film_in_a_general_mp4_stays_a_candidate(tmp_path: Path) -> None:
    assert by_content(make_video(tmp_path / "x", seconds=0.5))


def test_a_pipe_neither_hangs_nor_counts(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "x")
    os.mkfifo(path)
    assert not by_content(path)
    with pytest.raises(FileNotFoundError):
        by_content(path + b"y")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([b"", b"ID3\x04\0\0", b"OggS", b"RIFF", b"\xff\xfb", b"\xff\xf1", b"APETAGEX"]),
    st.binary(),
)
def test_no_content_is_too_odd(tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd"
    path.write_bytes(start + rest)
    assert by_content(os.fsencode(path)) in (True, False)
