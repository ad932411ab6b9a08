"""A folder of labelled audio to an array file like the published ones: one sub-folder a genre.

The arrays come from the program's own decoder and features: what is trained on is what is heard later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagger.audio import segments
from tagger.errors import TaggerError
from tagger.feature_config import FeatureConfig
from tagger.features import log_mel
from tagger.tracks import display
from training.dataset import DatasetError

CONFIG = FeatureConfig()
N_FRAMES = 1 + CONFIG.segment_samples // CONFIG.hop_length
"""Frames of a full segment; shorter ones are repeated to this length."""


def labelled_files(folder: Path) -> list[tuple[Path, str]]:
    """Files and their labels: a sub-folder is a genre. In stable order; hidden files are left out."""
    found = []
    for genre in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for path in sorted(genre.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                found.append((path, genre.name))
    return found


def to_bytes(mel: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A dB mel (n_frames, n_mels) scaled from its own [minimum, 0 dB] to 0-255, (n_mels, N_FRAMES).

    Raises
    ------
    DatasetError
        The mel is flat: silence.
    """
    low = float(mel.min())
    if low >= 0:
        raise DatasetError("is silent")
    scaled = np.rint((1 - mel / low) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.pad(scaled, ((0, N_FRAMES - len(mel)), (0, 0)), mode="wrap").T)


def clip_arrays(path: Path, max_segments: int) -> list[NDArray[np.uint8]]:
    """The first segments of a file. A last one under half a segment is left out, unless it is the only one.

    Raises
    ------
    TaggerError
        The file cannot be decoded, or is shorter than a chunk, or silent.
    """
    kept: list[NDArray[np.uint8]] = []
    for y in segments(os.fsencode(path), CONFIG):
        if len(y) < CONFIG.chunk_frames * CONFIG.hop_length or (
            kept and len(y) < CONFIG.segment_samples // 2
        ):
            break
        kept.append(to_bytes(log_mel(y, CONFIG)))
        if len(kept) == max_segments:
            break
    if not kept:
        raise DatasetError("is shorter than one chunk of 4 s")
    return kept


def prepare(
    folder: Path, out: Path, *, max_segments: int = 2, say: Callable[[str], None] = lambda line: None
) -> tuple[int, list[str]]:
    """Write the array file of a labelled folder.

    Parameters
    ----------
    folder : Path
        With one sub-folder a genre, as GTZAN has.
    out : Path
        The ``.npz`` to write: ``X`` uint8 (n, n_mels, n_frames), ``track``, ``genre``, ``segment``, and
        ``fingerprint`` of the features.
    max_segments : int
        Segments of 30 s taken of each file.
    say : callable
        Gets a line for every file that is left out, and one for every hundred done.

    Returns
    -------
    n_files : int
        Files in the arrays.
    left_out : list of str
        One sentence for each damaged file.

    Raises
    ------
    DatasetError
        Nothing usable was found.
    """
    arrays: list[NDArray[np.uint8]] = []
    track, genre, segment, left_out = [], [], [], []
    files = labelled_files(folder)
    for i, (path, label) in enumerate(files, start=1):
        name = display(os.fsencode(path.relative_to(folder).with_suffix("")))
        try:
            clips = clip_arrays(path, max_segments)
        except TaggerError as error:
            text = str(error)
            left_out.append(
                text
                if text.startswith(display(os.fsencode(path)))
                else f"{display(os.fsencode(path))}: {text}"
            )
            say(f"left out: {left_out[-1]}")
            continue
        for k, clip in enumerate(clips):
            arrays.append(clip)
            track.append(name)
            genre.append(label)
            segment.append(k)
        if i % 100 == 0:
            say(f"{i} of {len(files)} files")
    if not arrays:
        raise DatasetError(f"{folder} holds no usable audio in sub-folders named by genre")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        X=np.stack(arrays),
        track=np.array(track),
        genre=np.array(genre),
        segment=np.array(segment, dtype=np.uint8),
        fingerprint=np.array(CONFIG.fingerprint()),
    )
    return len(set(track)), left_out
