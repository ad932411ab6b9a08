"""Labelled clips as training arrays, from an audio folder's cache or published mel arrays; artist-wise folds.

Conventions: a clip is up to 30 s of one track as a normalised mel, ``(n_frames, n_mels)`` float32; a track
may have several clips, and everything is measured per track. A genre is an index into ``Clips.genres``;
`NO_GENRE` marks clips that are none of these.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tagger.errors import TaggerError
from tagger.features import mels_from_cache

NO_GENRE = -1
"""The index of clips whose genre is none of those a model knows, or not known at all."""


class DatasetError(TaggerError):
    """Training data are missing, damaged or do not fit together."""


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Clips side by side; all arrays have one row a clip.

    `mel` (n, n_frames, n_mels) float32, normalised; `genre` (n,) int64 indices into `genres`; `track`,
    `artist`, `source` and `split` (n,) strings. Clips of one track share `source` and `track`. An unknown
    artist is the track itself, so that it still falls on one side of a split only.
    """

    mel: NDArray[np.float32]
    genre: NDArray[np.int64]
    track: NDArray[np.str_]
    artist: NDArray[np.str_]
    source: NDArray[np.str_]
    split: NDArray[np.str_]
    genres: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.mel)
        for name in ("genre", "track", "artist", "source", "split"):
            if len(getattr(self, name)) != n:
                raise DatasetError(f"{n} clips but {len(getattr(self, name))} values of {name}")

    def __len__(self) -> int:
        return len(self.mel)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Clips:
        """The clips at `rows` (a mask or indices), in that order."""
        return Clips(
            self.mel[rows],
            self.genre[rows],
            self.track[rows],
            self.artist[rows],
            self.source[rows],
            self.split[rows],
            self.genres,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """What another network said about some clips, for distillation.

    `values` (n_clips, n_steps, n_dims) float32, standardised, evenly spaced over each clip; `known`
    (n_clips,) bool says for which clips there are any.
    """

    values: NDArray[np.float32]
    known: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Teacher:
        """The rows of `Clips.take`."""
        return Teacher(self.values[rows], self.known[rows])


def concatenate(parts: Sequence[Clips]) -> Clips:
    """Several sets of clips, of the same genres, as one. Shorter mels are repeated to the longest."""
    if len({part.genres for part in parts}) != 1:
        raise DatasetError("only clips labelled with the same genres can be put together")
    frames = max(part.mel.shape[1] for part in parts)
    padded = [np.pad(p.mel, ((0, 0), (0, frames - p.mel.shape[1]), (0, 0)), mode="wrap") for p in parts]
    return Clips(
        mel=np.concatenate(padded),
        genre=np.concatenate([p.genre for p in parts]),
        track=np.concatenate([p.track for p in parts]),
        artist=np.concatenate([p.artist for p in parts]),
        source=np.concatenate([p.source for p in parts]),
        split=np.concatenate([p.split for p in parts]),
        genres=parts[0].genres,
    )


def read_arrays(path: Path, *, source: str, genres: Sequence[str], artists: Path | None = None) -> Clips:
    """Clips from a cached array file.

    Parameters
    ----------
    path : Path
        ``.npz`` with ``X`` uint8 (n, n_mels, n_frames), ``track``, and where known ``genre``, ``artist`` and
        ``split``.
    source : str
        Name of the collection, for balanced batches.
    genres : sequence of str
        Names in output order; a clip of another genre, or of none, gets `NO_GENRE`.
    artists : Path or None
        Tab-separated table with the columns ``track`` and ``artist``, where the array file has no artists.

    Raises
    ------
    DatasetError
        The file is missing, damaged or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        mel = mels_from_cache(arrays["X"])
        track = arrays["track"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DatasetError(f"{path} is not a file of mel arrays: {error}") from None
    n = len(mel)
    index = {name: i for i, name in enumerate(genres)}
    labels = arrays.get("genre", np.full(n, ""))
    artist = arrays.get("artist", track)
    if artists is not None:
        with artists.open(encoding="utf-8", newline="") as file:
            names = {row["track"]: row["artist"] for row in csv.DictReader(file, delimiter="\t")}
        artist = np.array([names.get(str(t)) or str(t) for t in track])
    return Clips(
        mel=mel,
        genre=np.array([index.get(str(label), NO_GENRE) for label in labels], dtype=np.int64),
        track=track.astype(np.str_),
        artist=artist.astype(np.str_),
        source=np.full(n, source),
        split=arrays.get("split", np.full(n, "train")).astype(np.str_),
        genres=tuple(genres),
    )


def standardised_logits(p: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities (..., n_dims) as logits with zero mean and unit variance in each of the dimensions."""
    q = np.clip(p.astype(np.float32), 1e-4, 1 - 1e-4)
    logits = np.log(q / (1 - q))
    axes = tuple(range(logits.ndim - 1))
    return np.asarray((logits - logits.mean(axes)) / (logits.std(axes) + 1e-6), dtype=np.float32)


def clip_keys(clips: Clips) -> list[str]:
    """A name for every clip: ``source/track/k``, where k counts the clips of a track."""
    seen: dict[str, int] = {}
    keys = []
    for source, track in zip(clips.source, clips.track, strict=True):
        name = f"{source}/{track}"
        keys.append(f"{name}/{seen.get(name, 0)}")
        seen[name] = seen.get(name, 0) + 1
    return keys


def artist_folds(artist: NDArray[np.str_], kind: NDArray[Any], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each row: artists never split, kinds (genres, say) spread as evenly as that allows.

    The artists with most rows come first, equals in random order; each goes to the fold that is then the
    least overfull.

    Parameters
    ----------
    artist, kind : (n,) arrays
    n_folds : int
    seed : int

    Returns
    -------
    (n,) int64
        0 to ``n_folds - 1``.
    """
    names, who = np.unique(artist, return_inverse=True)
    kinds, which = np.unique(kind, return_inverse=True)
    per_artist = np.zeros((len(names), len(kinds)))
    np.add.at(per_artist, (who, which), 1)
    wanted = per_artist.sum(axis=0) / n_folds
    filled = np.zeros((n_folds, len(kinds)))
    fold = np.zeros(len(names), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    for a in order[np.argsort(-per_artist[order].sum(axis=1), kind="stable")]:
        before, after = (filled / wanted) ** 2, ((filled + per_artist[a]) / wanted) ** 2
        size = filled.sum(axis=1) / len(artist)  # breaks ties between kinds met for the first time
        fold[a] = np.argmin((after - before).sum(axis=1) + 0.01 * size)
        filled[fold[a]] += per_artist[a]
    return np.asarray(fold[who], dtype=np.int64)
