"""Honest figures: per track, with intervals, calibration and the price of precision.

Conventions: logits ``(n_clips, n_chunks, n_genres)``; probabilities ``(n_tracks, n_genres)``, the mean over
all chunks of a track of the calibrated softmax, as `tagger.decision` takes it; `genre` ``(n_tracks,)`` is
the reference. Nothing here trains or chooses a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from training.dataset import NO_GENRE, Clips, DatasetError, artist_folds

N_BOOTSTRAP = 2000
N_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class HeardTracks:
    """What a network said about tracks: one row of each array a track."""

    chunks: tuple[NDArray[np.float32], ...]
    """Logits of the chunks of each track, (n_chunks, n_genres)."""
    genre: NDArray[np.int64]
    track: NDArray[np.str_]
    artist: NDArray[np.str_]
    source: NDArray[np.str_]

    def take(self, rows: NDArray[np.bool_]) -> HeardTracks:
        """Some of the tracks."""
        kept = tuple(c for c, row in zip(self.chunks, rows, strict=True) if row)
        return HeardTracks(kept, self.genre[rows], self.track[rows], self.artist[rows], self.source[rows])


def joined(parts: Sequence[HeardTracks]) -> HeardTracks:
    """The tracks of several parts, one after the other."""
    return HeardTracks(
        chunks=tuple(c for part in parts for c in part.chunks),
        genre=np.concatenate([part.genre for part in parts]),
        track=np.concatenate([part.track for part in parts]),
        artist=np.concatenate([part.artist for part in parts]),
        source=np.concatenate([part.source for part in parts]),
    )


def by_track(clips: Clips, logits: NDArray[np.float32]) -> HeardTracks:
    """Put the clips of each track together."""
    names = np.array([f"{s}/{t}" for s, t in zip(clips.source, clips.track, strict=True)])
    _, first, track = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as they come, not by name
    chunks = tuple(np.concatenate(list(logits[track == t])) for t in order)
    rows = first[order]
    return HeardTracks(chunks, clips.genre[rows], clips.track[rows], clips.artist[rows], clips.source[rows])


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    e = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def track_probabilities(heard: HeardTracks, temperature: float = 1.0) -> NDArray[np.float64]:
    """(n_tracks, n_genres): mean over the chunks of the calibrated softmax."""
    return np.stack([softmax(c / temperature).mean(axis=0) for c in heard.chunks])


def fit_temperature(heard: HeardTracks) -> float:
    """The temperature under which the tracks' references are most likely."""
    rows = np.arange(len(heard.genre))

    def loss(log_t: float) -> float:
        p = track_probabilities(heard, float(np.exp(log_t)))[rows, heard.genre]
        return float(-np.log(np.maximum(p, 1e-9)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def precision_threshold(p: NDArray[np.float64], correct: NDArray[np.bool_], precision: float) -> float:
    """Lowest confidence from which on at least `precision` of the tracks are right.

    Among the tracks' own confidences that keep at least 20 tracks; 1.0 where none does.
    """
    confidence = p.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(right >= precision)
    good = good[good >= 19]
    return float(confidence[order][good[-1]]) if len(good) else 1.0


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over ten equal bins, by their tracks (Naeini et al. 2015)."""
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = [abs(confidence[bins == b].sum() - correct[bins == b].sum()) for b in range(N_BINS)]
    return float(sum(gaps) / len(confidence))


def bootstrap_interval(correct: NDArray[np.bool_], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean, by resampling tracks."""
    rng = np.random.default_rng(seed)
    means = correct[rng.integers(0, len(correct), (N_BOOTSTRAP, len(correct)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def confusion_matrix(genre: NDArray[np.int64], said: NDArray[np.int64], n_genres: int) -> NDArray[np.int64]:
    """Tracks by reference (rows) and estimate (columns)."""
    matrix = np.zeros((n_genres, n_genres), dtype=np.int64)
    np.add.at(matrix, (genre, said), 1)
    return matrix


def cross_fitted(heard: HeardTracks, precision: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities and acceptance of each track under the calibration of the other half of the artists.

    So that temperature and threshold are measured on tracks they were not fitted to.

    Returns
    -------
    p : (n_tracks, n_genres) float64
    accepted : (n_tracks,) bool
        The confidence reaches the threshold at which the other half had `precision`.

    Raises
    ------
    DatasetError
        All tracks are of one artist.
    """
    half = artist_folds(heard.artist, heard.genre, 2, seed=0)
    if len(set(half.tolist())) < 2:
        raise DatasetError("at least two artists must be held out to be measured on")
    p = np.empty((len(half), heard.chunks[0].shape[1]))
    accepted = np.zeros(len(half), dtype=np.bool_)
    for side in (0, 1):
        here, other = half == side, heard.take(half != side)
        temperature = fit_temperature(other)
        q = track_probabilities(other, temperature)
        threshold = precision_threshold(q, q.argmax(axis=1) == other.genre, precision)
        p[here] = track_probabilities(heard.take(here), temperature)
        accepted[here] = p[here].max(axis=1) >= threshold
    return p, accepted


def measure(
    heard: HeardTracks, genres: tuple[str, ...], p: NDArray[np.float64], accepted: NDArray[np.bool_]
) -> dict[str, Any]:
    """Everything that is said about a model on labelled tracks, as plain values.

    Parameters
    ----------
    heard : HeardTracks
        Tracks of known genres only.
    genres : tuple of str
    p : (n_tracks, n_genres) float64
        Calibrated probabilities.
    accepted : (n_tracks,) bool
        Which tracks would get a genre.

    Raises
    ------
    ValueError
        There are no tracks, or one has none of the genres.
    """
    if not len(heard.genre) or (heard.genre == NO_GENRE).any():
        raise ValueError("only tracks of known genres can be right or wrong")
    said, confidence = p.argmax(axis=1), p.max(axis=1)
    correct = said == heard.genre
    matrix = confusion_matrix(heard.genre, said, len(genres))
    n_said, n_true, hits = matrix.sum(axis=0), matrix.sum(axis=1), np.diag(matrix)
    f1 = 2 * hits / np.maximum(n_said + n_true, 1)
    here = n_true > 0
    n_chunks = sum(len(c) for c in heard.chunks)
    n_hits = sum((c.argmax(axis=1) == g).sum() for c, g in zip(heard.chunks, heard.genre, strict=True))
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    order = np.argsort(-confidence, kind="stable")
    pair = [i for i, name in enumerate(genres) if name in ("pop", "rock")]
    half_right = ~correct & np.isin(said, pair) & np.isin(heard.genre, pair)
    steps = np.unique(np.linspace(1, len(order), 20).round().astype(np.int64))
    return {
        "n_tracks": len(heard.genre),
        "accuracy": _round(correct.mean()),
        "accuracy_95": [_round(v) for v in bootstrap_interval(correct)],
        "accuracy_pop_rock_half": _round((correct + half_right / 2).mean()),
        "chunk_accuracy": _round(n_hits / n_chunks),
        "macro_f1": _round(f1[here].mean()),
        "ece": _round(expected_calibration_error(confidence, correct)),
        "coverage": _round(accepted.mean()),
        "precision_when_given": _round(correct[accepted].mean()) if accepted.any() else None,
        "per_genre": {
            name: {
                "n_tracks": int(n_true[i]),
                "recall": _round(hits[i] / n_true[i]),
                "precision": _round(hits[i] / n_said[i]) if n_said[i] else None,
                "f1": _round(f1[i]),
            }
            for i, name in enumerate(genres)
            if here[i]
        },
        "confusion": {"genres": list(genres), "rows_are_reference": matrix.tolist()},
        "reliability": [
            {
                "from": b / N_BINS,
                "n_tracks": int((bins == b).sum()),
                "confidence": _round(confidence[bins == b].mean()),
                "accuracy": _round(correct[bins == b].mean()),
            }
            for b in range(N_BINS)
            if (bins == b).any()
        ],
        "risk_coverage": [
            {
                "coverage": _round(k / len(order)),
                "threshold": _round(confidence[order[k - 1]]),
                "precision": _round(correct[order[:k]].mean()),
            }
            for k in steps
        ],
    }


def trade_off(
    heard: HeardTracks, p: NDArray[np.float64], strangers: Mapping[str, HeardTracks], temperature: float
) -> list[dict[str, float]]:
    """What a threshold gives and what it costs, from 0.3 to 0.95.

    Parameters
    ----------
    heard, p
        As `measure` takes them.
    strangers : mapping of str to HeardTracks
        Music of none of the genres.

    Returns
    -------
    list of dict
        ``threshold``, ``coverage`` and ``precision`` (0 where no track is named) of the tracks of known
        genres, and by name the share of each kind of strangers that gets a genre all the same.
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == heard.genre
    rows = []
    for threshold in np.arange(0.3, 0.951, 0.05):
        named = confidence >= threshold
        row = {
            "threshold": round(float(threshold), 2),
            "coverage": _round(named.mean()),
            "precision": _round(right[named].mean() if named.any() else 0),
        }
        row |= {
            name: _round(share_named(tracks, temperature=temperature, threshold=float(threshold)))
            for name, tracks in strangers.items()
        }
        rows.append(row)
    return rows


def share_named(heard: HeardTracks, *, temperature: float, threshold: float) -> float:
    """Share of the tracks that would get a genre: of music of none of them, the smaller the better."""
    return float((track_probabilities(heard, temperature).max(axis=1) >= threshold).mean())


def _round(value: Any) -> float:
    return round(float(value), 4)
