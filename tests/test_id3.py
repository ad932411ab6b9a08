"""What in an ID3 tag would cost its reader hours or gigabytes is seen before it is read."""

from __future__ import annotations

import zlib

import pytest

from tagger.formats.id3 import set_genre, to_synchsafe
from tagger.formats.id3_frames import UnsafeError, refuse_bombs


def tag(*frames: bytes, version: int = 4, flags: int = 0) -> bytes:
    body = b"".join(frames)
    return b"ID3" + bytes([version, 0, flags]) + to_synchsafe(len(body)) + body


def frame(name: bytes, content: bytes, *, flags: int = 0, version: int = 4) -> bytes:
    size = to_synchsafe(len(content)) if version == 4 else len(content).to_bytes(4, "big")
    return name + size + bytes([0, flags]) + content


@pytest.mark.parametrize(("version", "flags"), [(3, 0x80), (4, 0x09)])
def test_a_frame_that_unpacks_to_a_thousand_times_its_size(version: int, flags: int) -> None:
    packed = bytes(4) + zlib.compress(bytes(17 << 20))
    with pytest.raises(UnsafeError, match="16 MB"):
        refuse_bombs(tag(frame(b"APIC", packed, flags=flags, version=version), version=version))


def test_a_compressed_picture_is_no_bomb() -> None:
    refuse_bombs(tag(frame(b"APIC", bytes(4) + zlib.compress(bytes(1 << 20)), flags=0x09)))


@pytest.mark.parametrize("name", [b"TXXX", b"TCON", b"IPLS"])
def test_a_text_with_too_many_values(name: bytes) -> None:
    with pytest.raises(UnsafeError, match="values"):
        refuse_bombs(tag(frame(name, b"\3" + b"a\0" * 5000)))


def test_values_hidden_by_compression() -> None:
    packed = bytes(4) + zlib.compress(b"\3" + bytes(1 << 20))
    with pytest.raises(UnsafeError, match="values"):
        refuse_bombs(tag(frame(b"TXXX", packed, flags=0x09)))


def test_long_texts_pictures_and_padding_are_no_bombs() -> None:
    text = b"\1\xff\xfe" + ("Long text. " * 2000).encode("utf-16-le")  # every other byte is NUL
    refuse_bombs(tag(frame(b"TXXX", text), frame(b"APIC", bytes(100_000)), bytes(100_000)))


def test_too_many_frames() -> None:
    with pytest.raises(UnsafeError, match="frames"):
        refuse_bombs(tag(*(frame(b"TXXX", b"\3%d\0x" % i) for i in range(5000))))
    refuse_bombs(tag(*(frame(b"TXXX", b"\3%d\0x" % i) for i in range(500))))


def test_a_damaged_tag_is_left_to_the_reader() -> None:
    refuse_bombs(tag(b"TXXX\x7f\x7f\x7f\x7f\0\0" + bytes(5000)))


def test_a_footer_that_is_not_there_is_not_written_over() -> None:
    whole = tag(frame(b"TIT2", b"\3Title"), flags=0x10)
    assert set_genre(whole + b"3DI" + whole[3:10], ["Rock"])[-10:-7] == b"3DI"
    with pytest.raises(UnsafeError, match="footer"):
        set_genre(whole + b"\xff\xfb\x90\x64" + bytes(6), ["Rock"])
