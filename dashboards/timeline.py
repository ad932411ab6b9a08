"""When in a track each chunk was heard, and the genres over its seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig

MAX_POINTS = 240
"""More than a chart is wide: of a longer track neighbouring chunks are averaged."""
MAX_GENRES = 6
OTHER = "other"


def timeline(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    starts: NDArray[np.float64],
    duration_s: float,
    config: FeatureConfig,
) -> pd.DataFrame:
    """Genres over time, ready for `charts.activations`.

    Parameters
    ----------
    probabilities : (n_chunks, n_genres) float64
        Rows sum to 1.
    starts : (n_chunks,) float64
        Seconds.

    Returns
    -------
    DataFrame
        Columns second, clock (``1:05``), genre, p, rank: the `MAX_GENRES` most probable genres of the track
        and the rest as `OTHER`. Each chunk stands at its middle; the ends of the track repeat the nearest.
    """
    columns = ["second", "clock", "genre", "p", "rank"]
    if not len(probabilities):
        return pd.DataFrame(columns=columns)
    middle = np.minimum(starts + config.chunk_s / 2, duration_s)
    if len(probabilities) > MAX_POINTS:
        edges = np.linspace(0, len(probabilities), MAX_POINTS + 1).astype(np.int64)[:-1]
        sizes = np.diff(np.append(edges, len(probabilities)))
        probabilities = np.add.reduceat(probabilities, edges, axis=0) / sizes[:, None]
        middle = np.add.reduceat(middle, edges) / sizes
    order = np.argsort(-probabilities.mean(axis=0), kind="stable")
    shown: Mapping[str, NDArray[np.float64]] = {labels[i]: probabilities[:, i] for i in order[:MAX_GENRES]}
    if len(order) > MAX_GENRES:
        shown = {**shown, OTHER: probabilities[:, order[MAX_GENRES:]].sum(axis=1)}
    seconds = np.concatenate([[0.0], middle, [duration_s]]).round(2)
    frames = [
        pd.DataFrame(
            {"second": seconds, "genre": label, "p": np.concatenate([p[:1], p, p[-1:]]), "rank": rank}
        )
        for rank, (label, p) in enumerate(shown.items())
    ]
    frame = pd.concat(frames, ignore_index=True).drop_duplicates(["second", "genre"])
    frame["clock"] = [clock(s) for s in frame["second"]]
    return frame[columns]


def clock(seconds: float | None) -> str:
    """A length as people write it: ``4:05``, ``1:02:03``; a dash where it is not known."""
    if seconds is None or not np.isfinite(seconds):
        return "–"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def local_time(at_ns: int) -> pd.Timestamp:
    """A moment by this machine's clock, as the command line tells it; without a zone it is shown as it is."""
    return pd.Timestamp(datetime.fromtimestamp(at_ns / 1e9))


def mel_ticks(config: FeatureConfig) -> dict[int, str]:
    """Mel band to frequency, for an axis: Slaney's scale, as librosa has it."""

    def mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * float(np.log(hz / 1000) / np.log(6.4))

    top = mel(config.sr / 2)
    named = {100: "100 Hz", 500: "500 Hz", 1000: "1 kHz", 2000: "2 kHz", 4000: "4 kHz", 8000: "8 kHz"}
    return {
        round(mel(hz) / top * (config.n_mels + 1)) - 1: name
        for hz, name in named.items()
        if hz < config.sr / 2
    }
