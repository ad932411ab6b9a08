"""Arrays as pictures: a mel spectrogram as a small PNG, made without an imaging library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

MAX_COLUMNS = 1200

# Nine points of a perceptually even map from dark violet to pale yellow, in the manner of viridis and magma.
_POINTS = ("0b0724", "2a115c", "5b1a80", "8c2981", "bd3786", "e5546a", "fb8861", "fec287", "fcfdbf")


def spectrogram_png(mel: NDArray[np.float32]) -> bytes:
    """Picture of a spectrogram: time to the right, frequency upwards, loud is bright.

    Parameters
    ----------
    mel : (n_frames, n_mels) float32
        Finite.

    Returns
    -------
    bytes
        A PNG at most `MAX_COLUMNS` wide; neighbouring frames are averaged to fit.
    """
    if len(mel) > MAX_COLUMNS:
        edges = np.linspace(0, len(mel), MAX_COLUMNS + 1).astype(np.int64)
        mel = (np.add.reduceat(mel, edges[:-1], axis=0) / np.diff(edges)[:, None]).astype(np.float32)
    low, high = float(mel.min()), float(mel.max())
    levels = np.zeros(mel.shape) if high <= low else (mel - low) / (high - low)
    return _png(np.round(levels.T[::-1] * 255).astype(np.uint8))


def data_url(png: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _palette() -> NDArray[np.uint8]:
    points = np.array([[int(p[i : i + 2], 16) for i in (0, 2, 4)] for p in _POINTS], dtype=np.float64)
    at = np.linspace(0, len(points) - 1, 256)
    return np.stack([np.interp(at, range(len(points)), channel) for channel in points.T], axis=1).astype(
        np.uint8
    )


def _png(levels: NDArray[np.uint8]) -> bytes:
    height, width = levels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), levels], axis=1)  # 0: this row is not filtered

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", _palette().tobytes())
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )
