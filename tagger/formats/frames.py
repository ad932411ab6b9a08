"""Frames of MPEG audio and of raw AAC: streams without a container, known only by frames in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from tagger.files import read_at

_SYNC_SEARCH_BYTES = 1 << 16
_BITRATES = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def sniff_frames(file: BinaryIO, start: int, size: int) -> str:
    """``"mp3"`` or ``"aac"`` where frames stand in a row at `start` or after a little rubbish, else empty."""
    data = read_at(file, start, _SYNC_SEARCH_BYTES + 8192)
    whole = start + len(data) >= size
    for length_of, name in ((mpeg_frame_length, "mp3"), (_adts_frame_length, "aac")):
        at = data.find(b"\xff")
        while 0 <= at < _SYNC_SEARCH_BYTES:
            # Eleven set bits are soon found in anything: at a distance it takes more frames to be believed.
            if _frames_in_row(data, at, length_of, whole, wanted=2 if at == 0 else 4):
                return name
            at = data.find(b"\xff", at + 1)
    return ""


def _frames_in_row(data: bytes, at: int, length_of: Callable[[bytes], int], whole: bool, wanted: int) -> bool:
    first = data[at : at + 4]
    for count in range(wanted):
        head = data[at : at + 8]
        length = length_of(head)
        # Version, layer and sample rate are the same throughout a stream.
        if not length or (head[1] ^ first[1]) & 0xFE or (head[2] ^ first[2]) & 0x0C:
            # A file may be one frame long, or end in a broken one; at a distance that is chance, and an ID3
            # tag before what is no MP3 makes it unreadable.
            return wanted == 2 and count > 0 and whole and at >= len(data)
        at += length
    return True


def mpeg_frame_length(head: bytes) -> int:
    """Bytes of the MPEG audio frame (layers I to III) that begins with `head`; 0 where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 0 or rate in (0, 15) or sample_rate == 3:
        return 0
    bits = _BITRATES[3 if version == 3 else 2, layer][rate] * 1000
    hz = _SAMPLE_RATES[version][sample_rate]
    padding = head[2] >> 1 & 1
    if layer == 3:
        return (12 * bits // hz + padding) * 4
    return (72 if layer == 1 and version != 3 else 144) * bits // hz + padding


def _adts_frame_length(head: bytes) -> int:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else 0
