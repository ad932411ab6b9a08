"""What a container says about its own length, where ffmpeg does not report it or quietly corrects it.

Used to tell a complete file from a truncated one: a partial decode must never pass for a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from tagger.files import read_at
from tagger.formats.containers import asf_objects, iff_chunks, layout
from tagger.formats.frames import mpeg_frame_length

_OGG_PAGE_MAX = 65307
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SYNC_SEARCH_BYTES = 8192
_EXACT = {"aiff", "ape", "flac", "tta", "w64", "wav", "wv"}  # they count samples, and nothing is trimmed


@dataclass(frozen=True, slots=True)
class Claims:
    """What a file claims about itself."""

    container: str
    """As `containers.layout` names it; empty where it is no known kind of audio file."""
    cut: str = ""
    """Why the file is certainly cut off, as the end of a sentence; else empty."""
    mp3_s: float | None = None
    """Length of an MP3 by the frame count of its Xing, Info or VBRI header."""
    ogg_end: int | None = None
    """Position of the last sample of an Ogg file, in the codec's own unit."""


def read_claims(file: BinaryIO) -> Claims:
    """Look at the structure of an open file, whose position is moved."""
    where = layout(file)
    start, end = where.body
    size, cut, mp3_s, ogg_end = where.size_bytes, "", None, None
    if where.container == "wav":
        cut = _wav_cut(file, start, size)
    elif where.container == "wma":
        data = next((o for o in asf_objects(file, start, size) if o.kind == _ASF_DATA), None)
        if data is None or not data.complete:
            cut = "its data object is not all there"
    elif where.container == "dsf":
        length = read_at(file, start + 84, 8)
        if start + 80 + int.from_bytes(length, "little") > size:
            cut = "its data chunk is not all there"
    elif where.container.startswith("ogg"):
        ogg_end, page_end = _last_ogg_page(file, size)
        if page_end > size:
            cut = "its last page is not all there"
    elif where.container == "mp3":
        mp3_s = _mp3_duration_s(read_at(file, start, min(_SYNC_SEARCH_BYTES, end - start)))
    return Claims(where.container, cut, mp3_s, ogg_end)


def discrepancy(container: str, *, stated_s: float, decoded_s: float) -> str:
    """How the sound in a file contradicts its header, as the end of a sentence; empty where it does not.

    Encoders pad and decoders trim, so half a second or 1 % may be missing; less in MP4, whose lengths are
    cared for, and next to nothing where samples are counted, which then must not be too many either.

    Parameters
    ----------
    container : str
        ffmpeg's name of it.
    stated_s, decoded_s : float
        Length by the header, and of what could be decoded.
    """
    exact = container in _EXACT
    tolerance_s = 0.05 if exact else 0.3 if container == "mov" else max(0.5, stated_s / 100)
    if decoded_s < stated_s - tolerance_s or (exact and decoded_s > stated_s + tolerance_s):
        return f"it states {stated_s:.2f} s of sound but has {decoded_s:.2f} s"
    return ""


def _wav_cut(file: BinaryIO, start: int, size: int) -> str:
    chunks = list(iff_chunks(file, start, size))
    data = next((c for c in chunks if c.kind == b"data"), None)
    if data is None:
        return "it has no data chunk"
    # The largest size is that of a file written to a pipe, whose length nobody knew.
    if not data.complete and read_at(file, data.start + 4, 4) != b"\xff" * 4:
        return "its data chunk is not all there"
    strange = next((c for c in chunks if c.start > data.start and not c.kind.isascii()), None)
    if strange and size - strange.start > data.end - data.start:
        return "its data chunk states less than half of what is there"
    return ""


def _mp3_duration_s(data: bytes) -> float | None:
    """Length of the MP3 stream that begins in `data`, or None where its first frame does not tell."""
    at = next((i for i in range(len(data)) if data[i] == 0xFF and mpeg_frame_length(data[i : i + 4])), None)
    if at is None or len(data) < at + 200:
        return None
    version, layer, mono = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3, data[at + 3] >> 6 == 3
    if layer != 1:  # layers I and II have no such header
        return None
    rate = (44100, 48000, 32000)[data[at + 2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)  # side information before the header
    xing = data[at + 4 + side : at + 16 + side]
    if xing[:4] in (b"Xing", b"Info") and xing[7] & 1:
        return int.from_bytes(xing[8:12], "big") * samples / rate
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big") * samples / rate
    return None


def _last_ogg_page(file: BinaryIO, size: int) -> tuple[int | None, int]:
    """(position of the last sample, where the last page should end); past the file where it is torn."""
    start = max(0, size - 3 * _OGG_PAGE_MAX)
    data = read_at(file, start, 3 * _OGG_PAGE_MAX)
    end = 0
    at = len(data)
    while (at := data.rfind(b"OggS\0", 0, at)) >= 0:
        header = data[at : at + 27]
        whole = len(header) == 27 and len(data) >= at + 27 + header[26]
        if not end:
            lacing = data[at + 27 : at + 27 + header[26]] if whole else b""
            end = start + at + 27 + len(lacing) + sum(lacing) if whole else size + 1
        position = int.from_bytes(header[6:14], "little", signed=True)
        if whole and position >= 0:  # -1: no packet ends on this page
            return position, end
    return None, end or size + 1
